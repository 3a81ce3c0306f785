use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::secret::Secret;
use crate::config::AuthConfig;
use crate::rules::Timestamp;

/// The longest token that is looked at, in bytes.
const MAX_BYTES: usize = 8_192;
/// How far the clocks of the issuer and of this machine may be apart, in seconds.
const LEEWAY_SECONDS: f64 = 60.0;

/// What verifies signatures. It comes from the configuration, and it alone decides the algorithm: what a token
/// says of itself must agree with it.
#[derive(Clone, Debug)]
pub enum Key {
    /// HMAC with SHA-256, and this secret.
    Hs256(Secret),
}

impl Key {
    const fn algorithm(&self) -> &'static str {
        match self {
            Key::Hs256(_) => "HS256",
        }
    }

    /// A token for `user_id` that expires at `expires_at`, signed with this key.
    ///
    /// # Errors
    ///
    /// [`TokenError::Signature`] if this key can't sign.
    pub fn sign(&self, user_id: &str, expires_at: Timestamp) -> Result<String, TokenError> {
        let header = serde_json::json!({ "alg": self.algorithm(), "typ": "JWT" });
        let body = serde_json::json!({ "sub": user_id, "exp": expires_at.as_millis() / 1_000 });
        let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(header), encode(body));
        let signature = self.mac(signed.as_bytes())?.finalize().into_bytes();
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn mac(&self, signed: &[u8]) -> Result<Hmac<Sha256>, TokenError> {
        let Key::Hs256(secret) = self;
        let mut mac = Hmac::new_from_slice(secret.as_bytes()).map_err(|_| TokenError::Signature)?;
        mac.update(signed);
        Ok(mac)
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        // Compares in constant time.
        self.mac(signed)?.verify_slice(signature).map_err(|_| TokenError::Signature)
    }
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user's id: the `sub` of the token.
    pub user_id: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Body {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn contains(&self, audience: &str) -> bool {
        match self {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// Verifies a JSON Web Token in compact form: the signature, then `exp` (which it must have) and `nbf` against
/// `now` with a leeway of 60 seconds, `iss` and `aud` if the configuration names them, and `sub`.
///
/// # Errors
///
/// [`TokenError`], whose text may be logged: it holds nothing of the token.
pub fn verify(token: &str, key: &Key, config: &AuthConfig, now: Timestamp) -> Result<Claims, TokenError> {
    if token.len() > MAX_BYTES {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, body) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
    let header: Header = part(header)?;
    if header.alg != key.algorithm() {
        return Err(TokenError::Algorithm);
    }
    // RFC 7515 §4.1.11: an extension that must be understood, and isn't.
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    key.verify(signed.as_bytes(), &signature)?;

    let body: Body = part(body)?;
    let now = now.as_millis() as f64 / 1_000.0;
    if !body.exp.is_some_and(|exp| now < exp + LEEWAY_SECONDS) {
        return Err(TokenError::Expired);
    }
    if body.nbf.is_some_and(|nbf| now < nbf - LEEWAY_SECONDS) {
        return Err(TokenError::NotYetValid);
    }
    if config.issuer.is_some() && config.issuer != body.iss {
        return Err(TokenError::Issuer);
    }
    if let Some(audience) = &config.audience
        && !body.aud.is_some_and(|aud| aud.contains(audience))
    {
        return Err(TokenError::Audience);
    }
    match body.sub {
        Some(sub) if !sub.is_empty() => Ok(Claims { user_id: sub }),
        _ => Err(TokenError::Subject),
    }
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is no JSON Web Token, or longer than 8,192 bytes.
    Malformed,
    /// It names another algorithm than the configured one.
    Algorithm,
    /// Its signature is wrong.
    Signature,
    /// It has expired, or never would.
    Expired,
    /// Its `nbf` is in the future.
    NotYetValid,
    /// Its `iss` is not the configured one.
    Issuer,
    /// Its `aud` does not hold the configured one.
    Audience,
    /// It has no `sub`.
    Subject,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::Malformed => "the token is malformed",
            TokenError::Algorithm => "the token's algorithm is not the configured one",
            TokenError::Signature => "the token's signature is wrong",
            TokenError::Expired => "the token has expired or has no `exp`",
            TokenError::NotYetValid => "the token is not valid yet",
            TokenError::Issuer => "the token's `iss` is not the configured one",
            TokenError::Audience => "the token's `aud` does not hold the configured one",
            TokenError::Subject => "the token has no `sub`",
        })
    }
}

impl std::error::Error for TokenError {}
