//! Who is calling, by the credential that came with the request. Everything fails closed.
//!
//! A handler names its caller among its parameters: [`User`], [`Owner`] or [`Operator`] with the scope that it needs.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;

use super::app::{App, Context};
use super::courier;
use super::cross_site::{Assertion, Credentials};
use super::extract::pairs;
use super::jwks;
use super::problem::Problem;
use crate::auth::{Algorithm, Issuer, Scope, Signed, TokenError, Unverified, claimed_issuer, find};
use crate::read::{self, Invalid, Name};

/// The user whose token is in the `Authorization` header or in the configured cookie.
pub(super) struct User(pub(super) String);

/// The same by the header only, and not by the cookie.
pub(super) struct Owner(pub(super) String);

/// Whose the answer is about: the caller's own, or of the user whom an operator names.
pub(super) enum Whose {
    /// The caller's own, as [`User`] has it.
    Own(String),
    /// That of the `user_id` in the query. It takes the scope [`Scope::Read`].
    Asked(String),
}

impl Whose {
    /// The user's id.
    pub(super) fn into_user(self) -> String {
        match self {
            Whose::Own(user_id) | Whose::Asked(user_id) => user_id,
        }
    }
}

/// The operator, scheduler or worker, as the audit names them, whose credential allows `S`.
pub(super) struct Operator<S> {
    pub(super) name: String,
    scope: PhantomData<S>,
}

/// A scope as a type.
pub(super) trait Needed {
    const SCOPE: Scope;
    /// One that is enough in its place.
    const OR: Option<Scope> = None;
}

/// [`Scope::Read`]
pub(super) enum Read {}
/// [`Scope::Sweep`]
pub(super) enum Sweep {}
/// [`Scope::Report`]
pub(super) enum Report {}
/// [`Scope::Grant`]
pub(super) enum Grant {}
/// [`Scope::Report`], as the app has it, or [`Scope::Sweep`], as operators have it.
pub(super) enum ReportOrSweep {}

impl Needed for Read {
    const SCOPE: Scope = Scope::Read;
}
impl Needed for Sweep {
    const SCOPE: Scope = Scope::Sweep;
}
impl Needed for Report {
    const SCOPE: Scope = Scope::Report;
}
impl Needed for Grant {
    const SCOPE: Scope = Scope::Grant;
}
impl Needed for ReportOrSweep {
    const SCOPE: Scope = Scope::Report;
    const OR: Option<Scope> = Some(Scope::Sweep);
}

/// The app that this Worker is embedded in, whose own code calls: it is on the caller's side of every credential.
#[derive(Clone)]
pub(super) struct Trusted {
    /// The user on whose behalf it calls.
    user: Result<Option<Name>, Invalid>,
}

/// As the audit names the app's own code.
const APP: &str = "app";

impl Trusted {
    /// From what the app has passed: JSON with `user_id`; nothing where the route is no user's.
    pub(super) fn new(caller: Option<&str>) -> Self {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Caller {
            user_id: Name,
        }
        let caller = caller.map(|caller| read::json::<Caller>(caller.as_bytes())).transpose();
        Trusted { user: caller.map(|caller| caller.map(|caller| caller.user_id)) }
    }

    /// The user on whose behalf the app calls, if it is the app that calls.
    fn user(parts: &Parts, app: &Context) -> Result<Option<String>, Problem> {
        let Some(trusted) = parts.extensions.get::<Trusted>() else { return Ok(None) };
        let user = trusted.user.clone()?.map(Name::into_string);
        app.identified();
        Ok(user)
    }
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Problem;

    #[worker::send]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let app = App::from_request_parts(parts, state).await?;
        if let Some(user) = Trusted::user(parts, &app)? {
            return Ok(User(user));
        }
        let credentials = Credentials::of(parts);
        let user = user(&app, credentials.token(app.config.auth.cookie.as_deref())).await;
        user.map(User).map_err(|reason| Problem::unauthorized(parts.uri.path(), &reason))
    }
}

impl<S: Sync> FromRequestParts<S> for Owner {
    type Rejection = Problem;

    #[worker::send]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let app = App::from_request_parts(parts, state).await?;
        if let Some(user) = Trusted::user(parts, &app)? {
            return Ok(Owner(user));
        }
        let user = user(&app, Credentials::of(parts).token(None)).await;
        user.map(Owner).map_err(|reason| Problem::unauthorized(parts.uri.path(), &reason))
    }
}

impl<S: Sync> FromRequestParts<S> for Whose {
    type Rejection = Problem;

    #[worker::send]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Asked {
            user_id: Name,
        }
        // A query that can't be read is refused after the credential.
        let mut asked = pairs(&parts.uri).unwrap_or_default();
        asked.retain(|(key, _)| key == "user_id");
        if asked.is_empty() {
            let User(user_id) = User::from_request_parts(parts, state).await?;
            return Ok(Whose::Own(user_id));
        }
        Operator::<Read>::from_request_parts(parts, state).await?;
        let Asked { user_id } = read::query(asked)?;
        Ok(Whose::Asked(user_id.into_string()))
    }
}

impl<S: Sync, N: Needed> FromRequestParts<S> for Operator<N> {
    type Rejection = Problem;

    #[worker::send]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let app = App::from_request_parts(parts, state).await?;
        if parts.extensions.get::<Trusted>().is_some() {
            app.identified_for(N::SCOPE);
            return Ok(Operator { name: APP.to_owned(), scope: PhantomData });
        }
        let credentials = Credentials::of(parts);
        let mut outcome = allowed(&app, credentials.token(None), credentials.assertion(), N::SCOPE).await;
        if let (Err(Denial::Forbidden(_)), Some(scope)) = (&outcome, N::OR) {
            outcome = allowed(&app, credentials.token(None), credentials.assertion(), scope).await;
        }
        match outcome {
            Ok(name) => Ok(Operator { name, scope: PhantomData }),
            Err(Denial::Unauthorized(reason)) => Err(Problem::unauthorized(parts.uri.path(), &reason)),
            Err(Denial::Forbidden(reason)) => Err(Problem::forbidden(parts.uri.path(), reason)),
        }
    }
}

/// Why a caller is turned away.
pub(super) enum Denial {
    /// No valid credential; the reason is for the log only.
    Unauthorized(String),
    /// A valid one that does not allow this.
    Forbidden(String),
}

async fn user(context: &Context, token: Option<&str>) -> Result<String, String> {
    let auth = &context.config.auth;
    let token = token.ok_or("no token")?;
    let read = Unverified::read(token, auth.algorithm).map_err(|error| error.to_string())?;
    let signed = match &auth.jwks_url {
        None => read.verify(&context.jwt_secret()?),
        Some(url) => jwks::verify(read, auth.algorithm, url, context.now).await,
    };
    let user = signed.and_then(|signed| signed.user(auth, context.now)).map_err(|error| error.to_string())?;
    context.identified();
    Ok(user)
}

/// The operator whose credential is `presented`, or for whom Cloudflare Access' `assertion` vouches.
pub(super) async fn allowed(
    context: &Context,
    presented: Option<&str>,
    assertion: Option<Assertion<'_>>,
    scope: Scope,
) -> Result<String, Denial> {
    let (name, scopes) = identify(context, presented, assertion).await.map_err(Denial::Unauthorized)?;
    if scopes.contains(&scope) {
        context.identified_for(scope);
        Ok(name)
    } else {
        Err(Denial::Forbidden(format!("`{name}` lacks the scope `{}`", scope.as_str())))
    }
}

async fn identify<'a>(
    context: &'a Context,
    presented: Option<&str>,
    assertion: Option<Assertion<'_>>,
) -> Result<(String, &'a [Scope]), String> {
    if let Some(presented) = presented {
        if let Some(token) = find(&context.config.api_tokens, presented) {
            return Ok((token.name.clone(), &token.scopes));
        }
        if let Some((name, scopes)) = secret(context, presented) {
            return Ok((name.to_owned(), scopes));
        }
    }
    if let Some(Assertion { token, people }) = assertion
        && let Some(outcome) = by_issuer(context, token, true, people).await
    {
        return outcome;
    }
    if let Some(token) = presented
        && let Some(outcome) = by_issuer(context, token, false, true).await
    {
        return outcome;
    }
    Err(match (presented, configured(context)) {
        (_, Err(reason)) => reason,
        (None, Ok(())) => String::from("no bearer token"),
        (Some(_), Ok(())) => String::from("the bearer token matches no configured one"),
    })
}

/// The caller by the issuer that the token claims; `None` if that is none of the configured ones. There may be several for
/// one, each with callers and scopes of its own: the first that vouches counts.
async fn by_issuer<'a>(
    context: &'a Context,
    token: &str,
    access: bool,
    people: bool,
) -> Option<Result<(String, &'a [Scope]), String>> {
    let claimed = claimed_issuer(token)?;
    let issuers = &context.config.issuers;
    let mut refused = None;
    for issuer in issuers.iter().filter(|issuer| issuer.access == access && issuer.issuer == claimed) {
        match vouched(context, token, issuer, people).await {
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
    people: bool,
) -> Result<(String, &'a [Scope]), String> {
    let caller_of = |signed: Signed<'_>| signed.caller(issuer, context.now);
    let caller = match Unverified::read(token, issuer.algorithm) {
        Ok(read) => {
            jwks::verify(read, issuer.algorithm, &issuer.jwks_url, context.now).await.and_then(caller_of)
        }
        Err(error) => Err(error),
    };
    let caller = caller.map_err(|error: TokenError| format!("{}: {error}", issuer.name))?;
    if !people && !caller.service {
        let message = "another site's page may have sent it: expected `Sec-Fetch-Site: same-origin` or `X-Requested-With`";
        return Err(format!("{}: {message}", issuer.name));
    }
    Ok((caller.name, &issuer.scopes))
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
        ("WEBHOOK_SECRET", config.webhook_url.is_some() || config.ask.is_some()),
    ];
    for (name, needed) in SECRETS.map(|(name, _)| (name, false)).into_iter().chain(needed) {
        match context.secret(name) {
            Err(error) if needed || !error.is_missing() => return Err(error.to_string()),
            _ => {}
        }
    }
    courier::chats_are_fit(context)
}
