use serde::Deserialize;

use super::Scope;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// HMAC with SHA-256, and the secret `JWT_SECRET`.
    #[default]
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

impl Algorithm {
    /// The name in JWT headers and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        }
    }
}

/// How the users' tokens are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// How they are signed.
    pub algorithm: Algorithm,
    /// Where the issuer publishes its keys; there unless the algorithm is HS256.
    pub jwks_url: Option<String>,
    /// The `iss` that a token must carry, if given.
    pub issuer: Option<String>,
    /// The `aud` that a token must carry, if given.
    pub audience: Option<String>,
    /// The cookie that holds the token where there is no `Authorization` header, if given.
    pub cookie: Option<String>,
}

/// An identity provider that signs tokens for operators and schedulers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// What the audit calls it, before the email.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` that a token must carry.
    pub audience: String,
    /// Where it publishes its keys.
    pub jwks_url: String,
    /// How it signs.
    pub algorithm: Algorithm,
    /// Who may call.
    pub callers: Callers,
    /// Whether the token comes in `Cf-Access-Jwt-Assertion` instead of `Authorization`.
    pub access: bool,
    /// What its tokens allow.
    pub scopes: Vec<Scope>,
}

/// Who calls by the word of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As the audit names them: the issuer's name, and theirs.
    pub name: String,
    /// Whether it is a service token of Cloudflare Access: a machine, and nobody's browser.
    pub service: bool,
}

/// Who may call with an issuer's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Everybody with a token for the audience: the issuer signs for the team's own people alone.
    Anyone,
    /// Those with one of these emails or subjects.
    Only {
        /// Emails, in any case.
        emails: Vec<String>,
        /// Whether a token must say that its email is verified.
        email_verified: bool,
        /// Subjects, or names of service tokens; one with `*` at its end stands for all that begin so.
        subjects: Vec<String>,
    },
}
