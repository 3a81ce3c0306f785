//! Who is calling, by the credential that came with the request. Everything fails closed.

use super::context::Context;
use super::jwks;
use super::message::Request;
use crate::auth::{
    Algorithm, Issuer, Scope, Signed, TokenError, Unverified, bearer, claimed_issuer, cookie, find,
};

/// Why a caller is refused.
pub(super) enum Refusal {
    /// No valid credential; the reason is for the log only.
    Unauthorized(String),
    /// A valid one, that does not allow this.
    Forbidden(String),
}

/// The user whose token is in the `Authorization` header or in the configured cookie.
pub(super) async fn user(context: &Context, request: &Request) -> Result<String, String> {
    let auth = &context.config.auth;
    let header = header(request, "Authorization");
    let cookies = self::header(request, "Cookie").unwrap_or_default();
    let token = match (&header, &auth.cookie) {
        (Some(header), _) => bearer(header),
        (None, Some(name)) => cookie(&cookies, name),
        (None, None) => None,
    };
    let token = token.ok_or("no token")?;
    let read = Unverified::read(token, auth.algorithm).map_err(|error| error.to_string())?;
    let signed = match &auth.jwks_url {
        None => read.verify(&context.jwt_secret()?),
        Some(url) => jwks::verify(read, auth.algorithm, url, context.now).await,
    };
    let user = signed.and_then(|signed| signed.user(auth, context.now)).map_err(|error| error.to_string())?;
    context.known.set(true);
    Ok(user)
}

/// The operator or scheduler who calls, as the audit names them, if the credential allows `scope`.
pub(super) async fn operator(context: &Context, request: &Request, scope: Scope) -> Result<String, Refusal> {
    let header = header(request, "Authorization");
    let presented = header.as_deref().and_then(bearer);
    allowed(context, presented, assertion(request).as_deref(), scope).await
}

/// Cloudflare Access' word for whoever comes through it.
pub(super) fn assertion(request: &Request) -> Option<String> {
    header(request, "Cf-Access-Jwt-Assertion")
}

/// The operator whose credential is `presented`, or for whom Cloudflare Access' `assertion` stands.
pub(super) async fn allowed(
    context: &Context,
    presented: Option<&str>,
    assertion: Option<&str>,
    scope: Scope,
) -> Result<String, Refusal> {
    let (name, scopes) = identify(context, presented, assertion).await.map_err(Refusal::Unauthorized)?;
    if scopes.contains(&scope) {
        context.known.set(true);
        Ok(name)
    } else {
        Err(Refusal::Forbidden(format!("`{name}` lacks the scope `{}`", scope.as_str())))
    }
}

/// The token of somebody at the dashboard: from the header or the dashboard's cookie.
pub(super) fn at_dashboard(request: &Request, name: &str) -> Option<String> {
    let header = header(request, "Authorization");
    let cookies = self::header(request, "Cookie").unwrap_or_default();
    let own = header.as_deref().and_then(bearer).or_else(|| cookie(&cookies, name));
    own.map(str::to_owned)
}

async fn identify<'a>(
    context: &'a Context,
    presented: Option<&str>,
    assertion: Option<&str>,
) -> Result<(String, &'a [Scope]), String> {
    if let Some(presented) = presented {
        if let Some(token) = find(&context.config.api_tokens, presented) {
            return Ok((token.name.clone(), &token.scopes));
        }
        if let Some((name, scopes)) = secret(context, presented) {
            return Ok((name.to_owned(), scopes));
        }
    }
    for (token, access) in [(assertion, true), (presented, false)] {
        let Some(token) = token else { continue };
        if let Some(outcome) = by_issuer(context, token, access).await {
            return outcome;
        }
    }
    Err(match (presented, configured(context)) {
        (_, Err(reason)) => reason,
        (None, Ok(())) => String::from("no bearer token"),
        (Some(_), Ok(())) => String::from("the bearer token is none of the configured ones"),
    })
}

/// The caller by the issuer that the token claims; `None` if that is none of the configured ones. There may be several for
/// one, each with callers and scopes of its own: the first that vouches counts.
async fn by_issuer<'a>(
    context: &'a Context,
    token: &str,
    access: bool,
) -> Option<Result<(String, &'a [Scope]), String>> {
    let claimed = claimed_issuer(token)?;
    let issuers = &context.config.issuers;
    let mut refused = None;
    for issuer in issuers.iter().filter(|issuer| issuer.access == access && issuer.issuer == claimed) {
        match vouched(context, token, issuer).await {
            Ok(caller) => return Some(Ok(caller)),
            Err(reason) => refused = Some(Err(reason)),
        }
    }
    refused
}

async fn vouched<'a>(
    context: &Context,
    token: &str,
    issuer: &'a Issuer,
) -> Result<(String, &'a [Scope]), String> {
    let caller = |signed: Signed<'_>| signed.caller(issuer, context.now);
    let name = match Unverified::read(token, issuer.algorithm) {
        Ok(read) => {
            jwks::verify(read, issuer.algorithm, &issuer.jwks_url, context.now).await.and_then(caller)
        }
        Err(error) => Err(error),
    };
    let name = name.map_err(|error: TokenError| format!("{}: {error}", issuer.name))?;
    Ok((name, &issuer.scopes))
}

/// The secrets that open the routes, and what each allows. There are two of each, so that a new one can be added before the
/// old one is removed.
const SECRETS: [(&str, &[Scope]); 4] = [
    ("CLEANUP_TOKEN", &[Scope::Read, Scope::Sweep]),
    ("CLEANUP_TOKEN_NEXT", &[Scope::Read, Scope::Sweep]),
    ("REPORT_TOKEN", &[Scope::Report]),
    ("REPORT_TOKEN_NEXT", &[Scope::Report]),
];

/// The secret that was presented. All are compared, whichever matches.
fn secret(context: &Context, presented: &str) -> Option<(&'static str, &'static [Scope])> {
    let matches = |name| context.secret(name).is_ok_and(|secret| bool::from(secret.matches(presented)));
    let compared = SECRETS.map(|(name, scopes)| (name, scopes, matches(name)));
    compared.into_iter().find(|(.., matches)| *matches).map(|(name, scopes, _)| (name, scopes))
}

/// Whether there is any credential at all that could open the door; otherwise what is wrong with the secrets.
fn configured(context: &Context) -> Result<(), String> {
    if !context.config.api_tokens.is_empty() || !context.config.issuers.is_empty() {
        return Ok(());
    }
    let faults: Vec<_> = SECRETS.iter().filter_map(|(name, _)| context.secret(name).err()).collect();
    if faults.len() < SECRETS.len() {
        return Ok(());
    }
    // One that is set and unfit tells more than one that is not set.
    let telling = faults.iter().find(|fault| !fault.is_missing()).or(faults.first());
    telling.map_or(Ok(()), |fault| Err(fault.to_string()))
}

/// Whether the secrets that are needed are there, and those that are there are fit.
pub(super) fn secrets_are_fit(context: &Context) -> Result<(), String> {
    let config = &context.config;
    let needed = [
        ("JWT_SECRET", config.auth.algorithm == Algorithm::Hs256),
        ("WEBHOOK_SECRET", config.webhook_url.is_some()),
    ];
    for (name, needed) in SECRETS.map(|(name, _)| (name, false)).into_iter().chain(needed) {
        match context.secret(name) {
            Err(error) if needed || !error.is_missing() => return Err(error.to_string()),
            _ => {}
        }
    }
    Ok(())
}

fn header(request: &Request, name: &str) -> Option<String> {
    request.header(name)
}
