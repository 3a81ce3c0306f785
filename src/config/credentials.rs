use serde::Deserialize;

use super::ConfigError;
use super::values::{Name, Sha256, Team, Url, is_label};
use crate::auth::{Algorithm, ApiToken, AuthConfig, Callers, Issuer, Scope};

/// Whoever signs for anybody who asks.
const PUBLIC_ISSUERS: [&str; 7] = [
    "https://accounts.google.com",
    "accounts.google.com",
    "https://token.actions.githubusercontent.com",
    "https://gitlab.com",
    "https://agent.buildkite.com",
    "https://app.terraform.io",
    "https://appleid.apple.com",
];

/// How the users' tokens are verified, as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UsersTable {
    algorithm: Option<Algorithm>,
    jwks_url: Option<Url>,
    issuer: Option<Name>,
    audience: Option<Name>,
    cookie: Option<Name>,
    preset: Option<UsersPreset>,
    project: Option<Name>,
}

const FIREBASE_PROJECT: &str = "the Firebase project's id";

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum UsersPreset {
    Firebase,
}

impl UsersTable {
    pub(super) fn config(self) -> Result<AuthConfig, ConfigError> {
        let given = [
            ("algorithm", self.algorithm.is_some()),
            ("jwks_url", self.jwks_url.is_some()),
            ("issuer", self.issuer.is_some()),
            ("audience", self.audience.is_some()),
        ];
        let algorithm = self.algorithm.unwrap_or_default();
        if let Some(cookie) = &self.cookie {
            fits("auth.cookie", cookie, Name::is_token, "a cookie's name")?;
        }
        if let Some(project) = &self.project {
            fits("auth.project", project, |project| is_label(&project.0), FIREBASE_PROJECT)?;
        }
        let auth = AuthConfig {
            algorithm,
            jwks_url: self.jwks_url.map(|url| url.0),
            issuer: self.issuer.map(|issuer| issuer.0),
            audience: self.audience.map(|audience| audience.0),
            cookie: self.cookie.map(|cookie| cookie.0),
        };
        match (self.preset, self.project) {
            (Some(UsersPreset::Firebase), Some(project)) => {
                exclude("auth", &given)?;
                Ok(firebase(project.0, auth.cookie))
            }
            (Some(_), None) => Err(missing("auth", "project", FIREBASE_PROJECT)),
            (None, Some(_)) => Err(missing("auth", "preset", "`\"firebase\"`, beside `auth.project`")),
            (None, None) => published(auth),
        }
    }
}

/// <https://firebase.google.com/docs/auth/admin/verify-id-tokens>
fn firebase(project: String, cookie: Option<String>) -> AuthConfig {
    let keys = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";
    AuthConfig {
        algorithm: Algorithm::Rs256,
        jwks_url: Some(keys.to_owned()),
        issuer: Some(format!("https://securetoken.google.com/{project}")),
        audience: Some(project),
        cookie,
    }
}

/// What belongs together: published keys, their algorithm, and for whom they are.
fn published(auth: AuthConfig) -> Result<AuthConfig, ConfigError> {
    match (auth.algorithm, &auth.jwks_url) {
        (Algorithm::Hs256, None) => Ok(auth),
        (Algorithm::Hs256, Some(_)) => Err(ConfigError(String::from(
            "`auth.jwks_url` needs `auth.algorithm`: expected `\"RS256\"` or `\"ES256\"`",
        ))),
        (_, None) => Err(missing("auth", "jwks_url", "the `https://` URL of the issuer's keys")),
        // A key set may serve several issuers and many audiences: without these, their tokens would open the drafts.
        _ if auth.issuer.is_none() => Err(missing("auth", "issuer", "the `iss` of the tokens")),
        _ if auth.audience.is_none() => Err(missing("auth", "audience", "the `aud` of the tokens")),
        _ => Ok(auth),
    }
}

/// An API token as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenTable {
    name: Name,
    sha256: Sha256,
    scopes: Vec<Scope>,
}

/// Adds the tokens of a list at `place`, such as `api_tokens`, to those that are there.
pub(super) fn add_api_tokens(
    tokens: &mut Vec<ApiToken>,
    place: &str,
    tables: Vec<TokenTable>,
) -> Result<(), ConfigError> {
    for (table, number) in tables.into_iter().zip(0_usize..) {
        let at = format!("{place}[{number}]");
        let token = ApiToken { name: table.name.0, sha256: table.sha256.0, scopes: table.scopes };
        some_scope(&at, &token.scopes)?;
        own_name(&at, &token.name, tokens.iter().map(|other| &other.name))?;
        if let Some(other) = tokens.iter().find(|other| other.sha256 == token.sha256) {
            let text = format!("`{at}.sha256` is also that of `{}`: give each token its own", other.name);
            return Err(ConfigError(text));
        }
        tokens.push(token);
    }
    Ok(())
}

/// An identity provider as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerTable {
    name: Name,
    preset: Option<IssuerPreset>,
    team: Option<Team>,
    issuer: Option<Name>,
    audience: Name,
    jwks_url: Option<Url>,
    algorithm: Option<Algorithm>,
    #[serde(default)]
    emails: Vec<Name>,
    email_verified: Option<bool>,
    #[serde(default)]
    subjects: Vec<Name>,
    #[serde(default)]
    anyone: bool,
    scopes: Vec<Scope>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum IssuerPreset {
    Google,
    CloudflareAccess,
}

pub(super) fn issuers(tables: Vec<IssuerTable>) -> Result<Vec<Issuer>, ConfigError> {
    let mut issuers: Vec<Issuer> = Vec::new();
    for (table, number) in tables.into_iter().zip(0_usize..) {
        let at = format!("issuers[{number}]");
        let issuer = table.issuer(&at)?;
        own_name(&at, &issuer.name, issuers.iter().map(|other| &other.name))?;
        issuers.push(issuer);
    }
    Ok(issuers)
}

impl IssuerTable {
    fn issuer(self, at: &str) -> Result<Issuer, ConfigError> {
        some_scope(at, &self.scopes)?;
        if self.preset.is_some() {
            let given = [
                ("issuer", self.issuer.is_some()),
                ("jwks_url", self.jwks_url.is_some()),
                ("algorithm", self.algorithm.is_some()),
                ("email_verified", self.email_verified.is_some()),
            ];
            exclude(at, &given)?;
        }
        if self.team.is_some() && self.preset != Some(IssuerPreset::CloudflareAccess) {
            let expected = "expected `preset = \"cloudflare-access\"` beside it";
            return Err(ConfigError(format!("`{at}.team` has no use here: {expected}")));
        }
        let callers = self.callers(at)?;
        let keys = match self.preset {
            Some(IssuerPreset::Google) => google(),
            Some(IssuerPreset::CloudflareAccess) => cloudflare_access(at, self.team)?,
            None => own_keys(at, self.issuer, self.jwks_url, self.algorithm)?,
        };
        Ok(Issuer {
            name: self.name.0,
            issuer: keys.issuer,
            audience: self.audience.0,
            jwks_url: keys.jwks_url,
            algorithm: keys.algorithm,
            callers,
            access: self.preset == Some(IssuerPreset::CloudflareAccess),
            scopes: self.scopes,
        })
    }

    /// Most issuers sign tokens for anybody, for any audience: only the email or the subject tells who it is.
    fn callers(&self, at: &str) -> Result<Callers, ConfigError> {
        let access = self.preset == Some(IssuerPreset::CloudflareAccess);
        let public = self.preset == Some(IssuerPreset::Google)
            || self.issuer.as_ref().is_some_and(|Name(issuer)| PUBLIC_ISSUERS.contains(&issuer.as_str()));
        all_fit(&format!("{at}.emails"), &self.emails, Name::is_email, "a whole email, without `*`")?;
        let subject = "a subject, or the beginning of one and a single `*` behind it";
        all_fit(&format!("{at}.subjects"), &self.subjects, Name::is_subject, subject)?;
        if public {
            let owner = "a subject that names its owner before the `*`, such as `repo:my-org/*`, for this issuer signs for anybody";
            all_fit(&format!("{at}.subjects"), &self.subjects, Name::is_subject_of_an_owner, owner)?;
        }
        let names = |names: &[Name]| names.iter().map(|Name(name)| name.clone()).collect();
        let named = !self.emails.is_empty() || !self.subjects.is_empty();
        match (named, self.anyone) {
            (true, true) => Err(ConfigError(format!(
                "`{at}.anyone` and `{at}.emails` or `{at}.subjects` exclude each other: give one"
            ))),
            (true, false) => Ok(Callers::Only {
                emails: names(&self.emails),
                // Access' tokens don't say it: the team's own identity provider vouches for the email.
                email_verified: self.email_verified.unwrap_or(!access),
                subjects: names(&self.subjects),
            }),
            (false, true) if public => Err(ConfigError(format!(
                "`{at}.anyone` would let in everybody, for this issuer signs for anybody: give `emails` or `subjects`"
            ))),
            (false, true) => Ok(Callers::Anyone),
            // A team's own Access lets in whom the team lets in.
            (false, false) if access => Ok(Callers::Anyone),
            (false, false) => Err(missing(
                at,
                "emails",
                "the emails that may call, or `subjects`, or `anyone = true` if the issuer signs for your own people alone",
            )),
        }
    }
}

/// Who signs, and how.
struct Keys {
    issuer: String,
    jwks_url: String,
    algorithm: Algorithm,
}

/// <https://developers.google.com/identity/openid-connect/openid-connect#discovery>
fn google() -> Keys {
    Keys {
        issuer: String::from("https://accounts.google.com"),
        jwks_url: String::from("https://www.googleapis.com/oauth2/v3/certs"),
        algorithm: Algorithm::Rs256,
    }
}

/// <https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/validating-json/>
fn cloudflare_access(at: &str, team: Option<Team>) -> Result<Keys, ConfigError> {
    let expected = "the team's name, as in `<team>.cloudflareaccess.com`";
    let Team(team) = team.ok_or_else(|| missing(at, "team", expected))?;
    let issuer = format!("https://{team}.cloudflareaccess.com");
    let jwks_url = format!("{issuer}/cdn-cgi/access/certs");
    Ok(Keys { issuer, jwks_url, algorithm: Algorithm::Rs256 })
}

fn own_keys(
    at: &str,
    issuer: Option<Name>,
    jwks_url: Option<Url>,
    algorithm: Option<Algorithm>,
) -> Result<Keys, ConfigError> {
    let algorithms = "`\"RS256\"` or `\"ES256\"`";
    let issuer = issuer.ok_or_else(|| missing(at, "issuer", "the `iss` of its tokens"))?;
    let Url(jwks_url) =
        jwks_url.ok_or_else(|| missing(at, "jwks_url", "the `https://` URL of the issuer's keys"))?;
    match algorithm.ok_or_else(|| missing(at, "algorithm", algorithms))? {
        Algorithm::Hs256 => {
            Err(ConfigError(format!("`{at}.algorithm` is `\"HS256\"`: expected {algorithms}")))
        }
        algorithm => Ok(Keys { issuer: issuer.0, jwks_url, algorithm }),
    }
}

/// A preset stands for these keys.
fn exclude(at: &str, given: &[(&str, bool)]) -> Result<(), ConfigError> {
    match given.iter().find(|(_, given)| *given) {
        Some((key, _)) => {
            Err(ConfigError(format!("`{at}.preset` and `{at}.{key}` exclude each other: give one")))
        }
        None => Ok(()),
    }
}

fn some_scope(at: &str, scopes: &[Scope]) -> Result<(), ConfigError> {
    if scopes.is_empty() {
        let expected = "expected a list of `\"read\"`, `\"sweep\"`, `\"report\"` and `\"grant\"`";
        return Err(ConfigError(format!("`{at}.scopes` is empty: {expected}")));
    }
    Ok(())
}

/// The audit tells callers apart by their names.
fn own_name<'a>(
    at: &str,
    name: &String,
    mut others: impl Iterator<Item = &'a String>,
) -> Result<(), ConfigError> {
    if others.any(|other| other == name) {
        return Err(ConfigError(format!("`{at}.name` is `{name}` a second time: give each its own")));
    }
    Ok(())
}

/// What is said of a name that is of no use where it stands.
fn fits(at: &str, name: &Name, valid: fn(&Name) -> bool, expected: &str) -> Result<(), ConfigError> {
    if valid(name) { Ok(()) } else { Err(ConfigError(format!("`{at}` is not valid: expected {expected}"))) }
}

/// The same of each in a list.
pub(super) fn all_fit(
    at: &str,
    names: &[Name],
    valid: fn(&Name) -> bool,
    expected: &str,
) -> Result<(), ConfigError> {
    let mut list = names.iter().zip(0_usize..);
    list.try_for_each(|(name, number)| fits(&format!("{at}[{number}]"), name, valid, expected))
}

fn missing(at: &str, key: &str, expected: &str) -> ConfigError {
    ConfigError(format!("`{at}.{key}` is missing: expected {expected}"))
}
