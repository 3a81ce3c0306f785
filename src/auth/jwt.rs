use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde_json::Value;
use sha2::Sha256;

use super::claims::{Claims, part};
use super::{Algorithm, AuthConfig, Caller, Issuer, Secret};
use crate::rules::Timestamp;

/// The longest token that is looked at, in bytes.
const MAX_BYTES: usize = 8_192;

/// A token for `user_id` that expires at `expires_at`, signed with `secret` by HS256.
///
/// # Errors
///
/// [`TokenError::Signature`] if the secret can't sign.
pub fn sign(secret: &Secret, user_id: &str, expires_at: Timestamp) -> Result<String, TokenError> {
    let header = serde_json::json!({ "alg": Algorithm::Hs256.as_str(), "typ": "JWT" });
    let body = serde_json::json!({ "sub": user_id, "exp": expires_at.as_millis() / 1_000 });
    let encode = |part: Value| URL_SAFE_NO_PAD.encode(serde_json::to_string(&part).unwrap_or_default());
    let signed = format!("{}.{}", encode(header), encode(body));
    let signature = mac(secret, signed.as_bytes())?.finalize().into_bytes();
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn mac(secret: &Secret, signed: &[u8]) -> Result<Hmac<Sha256>, TokenError> {
    let mut mac = Hmac::new_from_slice(secret.as_bytes()).map_err(|_| TokenError::Signature)?;
    mac.update(signed);
    Ok(mac)
}

#[derive(serde::Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// RFC 7515 §4.1.11: extensions that must be understood. None is.
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// Whether a key is there, whatever its value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A JSON Web Token in compact form whose signature has not been looked at: nothing of what it says counts yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    signed: &'a str,
    body: &'a str,
    signature: Vec<u8>,
    kid: Option<String>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart. The algorithm comes from the configuration, and it alone decides: what the token says of
    /// itself must agree with it.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`] or [`TokenError::Algorithm`].
    pub fn read(token: &'a str, algorithm: Algorithm) -> Result<Self, TokenError> {
        if token.len() > MAX_BYTES {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, body) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        let header: Header = part(header)?;
        if header.alg != algorithm.as_str() {
            return Err(TokenError::Algorithm);
        }
        if header.crit {
            return Err(TokenError::Malformed);
        }
        Ok(Unverified { signed, body, signature, kid: header.kid })
    }

    /// Which of the issuer's keys it says it is signed with.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What the signature is over.
    pub const fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Verifies the signature by HS256, in constant time.
    ///
    /// # Errors
    ///
    /// [`TokenError::Signature`] if it is wrong.
    pub fn verify(self, secret: &Secret) -> Result<Signed<'a>, TokenError> {
        let valid = mac(secret, self.signed())?.verify_slice(&self.signature).is_ok();
        self.verified(valid)
    }

    /// Takes somebody else's word on whether the signature is valid: the runtime's own cryptography.
    ///
    /// # Errors
    ///
    /// [`TokenError::Signature`] if it is not.
    pub fn verified(self, valid: bool) -> Result<Signed<'a>, TokenError> {
        if valid { Ok(Signed { body: self.body }) } else { Err(TokenError::Signature) }
    }
}

/// A token whose signature is good. What it says has not been looked at.
#[derive(Debug)]
pub struct Signed<'a> {
    body: &'a str,
}

impl Signed<'_> {
    /// The id of the user whom the token is for: its `sub`. `exp` (which it must have) and `nbf` are checked against
    /// `now` with a leeway of 60 seconds, `iss` and `aud` if the configuration names them.
    ///
    /// # Errors
    ///
    /// [`TokenError`], whose text may be logged: it holds nothing of the token.
    pub fn user(self, config: &AuthConfig, now: Timestamp) -> Result<String, TokenError> {
        part::<Claims>(self.body)?.user(config, now)
    }

    /// Who calls by the word of this issuer, as the audit names them: the issuer's name, and the email, the `sub` or, of
    /// a Cloudflare Access service token, the `common_name`.
    ///
    /// # Errors
    ///
    /// As [`Signed::user`]; [`TokenError::Caller`] and [`TokenError::EmailUnverified`] unless the issuer may vouch for
    /// everybody.
    pub fn caller(self, issuer: &Issuer, now: Timestamp) -> Result<Caller, TokenError> {
        part::<Claims>(self.body)?.caller(issuer, now)
    }
}

/// The `iss` that a token claims, to choose by whose keys it is to be verified. It proves nothing.
pub fn claimed_issuer(token: &str) -> Option<String> {
    let body = token.split('.').nth(1).filter(|_| token.len() <= MAX_BYTES)?;
    part::<Claims>(body).ok()?.iss
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
    /// Neither its email nor its `sub` is a configured one.
    Caller,
    /// It does not say that its email is verified.
    EmailUnverified,
    /// None of the issuer's keys has its `kid`, or they can't be fetched.
    Key,
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
            TokenError::Caller => "neither the token's email nor its `sub` is a configured one",
            TokenError::EmailUnverified => "the token's email is not verified",
            TokenError::Key => "the issuer's keys do not have the token's `kid`",
        })
    }
}

impl std::error::Error for TokenError {}
