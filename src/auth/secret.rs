use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{ApiToken, find};

/// The least length of a secret, in bytes: 256 bits, as RFC 7518 asks for HS256.
const MIN_BYTES: usize = 32;

/// Every secret that the Worker knows. No two of them may be the same: whoever has one would have the other.
pub const SECRETS: [&str; 6] = [
    "JWT_SECRET",
    "CLEANUP_TOKEN",
    "CLEANUP_TOKEN_NEXT",
    "REPORT_TOKEN",
    "REPORT_TOKEN_NEXT",
    "WEBHOOK_SECRET",
];

/// Words that stand in templates and tutorials. A secret that contains one was never meant to be one.
const PLACEHOLDERS: [&str; 8] =
    ["change-me", "changeme", "change_me", "placeholder", "your-", "your_", "example", "secret-here"];

/// A secret that is fit to be compared with, or to sign with. It is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` as a secret, under the name by which it is configured.
    ///
    /// # Errors
    ///
    /// [`SecretError`] if it is missing, shorter than 32 bytes, of one repeated character, a placeholder, or
    /// with white space around it or a control character in it, such as the line break of a file.
    pub fn new(name: &'static str, text: Option<&str>) -> Result<Self, SecretError> {
        let fault = |fault| Err(SecretError { name, fault });
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return fault(Fault::Missing);
        };
        let lower = text.to_ascii_lowercase();
        if PLACEHOLDERS.iter().any(|placeholder| lower.contains(placeholder)) {
            return fault(Fault::Placeholder);
        }
        // A byte order mark is not white space, but invisible too.
        if text.trim() != text || text.starts_with('\u{feff}') {
            return fault(Fault::Spaced);
        }
        if text.contains(char::is_control) {
            return fault(Fault::Control);
        }
        let first = text.bytes().next();
        if text.len() < MIN_BYTES || text.bytes().all(|byte| Some(byte) == first) {
            return fault(Fault::Weak);
        }
        Ok(Secret(text.to_owned()))
    }

    /// The same, if none of `tokens` and no other secret is this one: `text` gives each of [`SECRETS`] by its name.
    ///
    /// # Errors
    ///
    /// [`SecretError`] as [`Secret::new`]'s, or with the name of the other.
    pub fn own(
        name: &'static str,
        text: impl Fn(&str) -> Option<String>,
        tokens: &[ApiToken],
    ) -> Result<Self, SecretError> {
        let secret = Self::new(name, text(name).as_deref())?;
        let same = |other: &&&str| **other != name && text(other).is_some_and(|other| other == secret.0);
        match SECRETS.iter().find(same) {
            Some(other) => Err(SecretError { name, fault: Fault::Shared(other) }),
            None if find(tokens, &secret.0).is_some() => {
                Err(SecretError { name, fault: Fault::Shared("api_tokens") })
            }
            None => Ok(secret),
        }
    }

    /// Whether `presented` is this secret. Both are hashed first, so that the comparison takes the same time
    /// whatever their lengths and wherever they differ.
    pub fn matches(&self, presented: &str) -> Choice {
        Sha256::digest(&self.0).as_slice().ct_eq(Sha256::digest(presented).as_slice())
    }

    /// The signature of a webhook: HMAC with SHA-256 over the parts, one after the other. The key is what the secret
    /// stands for in base64, with or without `whsec_` before it, as Standard Webhooks has it; or its bytes, if it is no
    /// base64.
    pub fn sign(&self, parts: &[&str]) -> Vec<u8> {
        let text = self.0.strip_prefix("whsec_").unwrap_or(&self.0);
        let key = STANDARD.decode(text).unwrap_or_else(|_| self.0.as_bytes().to_vec());
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return Vec::new() };
        parts.iter().for_each(|part| mac.update(part.as_bytes()));
        mac.finalize().into_bytes().to_vec()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret that is not fit for use. Its text names the secret and not its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretError {
    name: &'static str,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Missing,
    Placeholder,
    Weak,
    Spaced,
    Control,
    Shared(&'static str),
}

impl SecretError {
    /// Whether it was left out, which is right for an optional secret.
    pub fn is_missing(&self) -> bool {
        self.fault == Fault::Missing
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Missing => "is not set",
            Fault::Placeholder => "is a placeholder",
            Fault::Weak => "is too weak",
            Fault::Spaced => "is surrounded by white space",
            Fault::Control => "is not plain text",
            Fault::Shared(other) => {
                return write!(f, "secret `{}` is also in `{other}`: give each its own", self.name);
            }
        };
        write!(
            f,
            "secret `{}` {fault}: expected 32 random bytes or more, as `openssl rand -base64 32` prints them",
            self.name
        )
    }
}

impl std::error::Error for SecretError {}

/// The credential of an `Authorization: Bearer …` header.
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, credential) = header.split_once(' ')?;
    let credential = credential.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty()).then_some(credential)
}

/// The cookie called `name` of a `Cookie` header.
pub fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name && !value.is_empty()).then_some(value)
    })
}
