use serde::{Deserialize, Serialize};

use crate::config::Algorithm;
use crate::rules::Timestamp;

/// Keys are fetched anew when they are older than this.
const FRESH_MS: u64 = 60 * 60_000;
/// Keys older than this are not used, even if new ones can't be fetched.
const USABLE_MS: u64 = 24 * 60 * 60_000;
/// An unknown `kid` fetches the keys at most this often.
const REFETCH_MS: u64 = 60_000;
/// If there are no keys at all, failed fetches are repeated at most this often.
const RETRY_MS: u64 = 10_000;
/// An RSA modulus of 2,048 bits, as base64url digits.
const MIN_MODULUS: usize = 342;

/// A public key in a JSON Web Key Set, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Jwk {
    kty: String,
    #[serde(skip_serializing)]
    kid: Option<String>,
    #[serde(skip_serializing)]
    alg: Option<String>,
    #[serde(rename = "use", skip_serializing)]
    usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl Jwk {
    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::Hs256 => false,
            Algorithm::Rs256 => self.kty == "RSA" && self.n.as_ref().is_some_and(|n| n.len() >= MIN_MODULUS),
            Algorithm::Es256 => self.kty == "EC" && self.crv.as_deref() == Some("P-256"),
        };
        kind && self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.alg.as_deref().is_none_or(|alg| alg == algorithm.as_str())
    }

    fn to_json(&self) -> String {
        // Text fields can't fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// What is known of an issuer's keys, and when to ask again.
#[derive(Debug, Default)]
pub struct KeyCache {
    keys: Vec<Jwk>,
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
}

/// What to do to get a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Verify with this one: as WebCrypto imports it, JSON.
    Use(String),
    /// Fetch the keys, say so by [`KeyCache::fetching`] and [`KeyCache::fetched`], and look again.
    Fetch,
    /// There is none.
    Refuse,
}

impl KeyCache {
    /// Looks for the key with this id, at the instant `now`. Without an id, for the only key that fits.
    pub fn lookup(&self, kid: Option<&str>, algorithm: Algorithm, now: Timestamp) -> Lookup {
        let age = self.fetched_at.map(|at| now.millis_since(at));
        let within = |at: Option<Timestamp>, millis| at.is_some_and(|at| now.millis_since(at) < millis);
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.fits(algorithm) && (kid.is_none() || key.kid.as_deref() == kid));
        let found = match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(key),
            _ => None,
        };
        let may_fetch = match age {
            Some(_) => !within(self.tried_at, REFETCH_MS),
            None => !within(self.failed_at, RETRY_MS),
        };
        match found {
            Some(key) if age.is_some_and(|age| age < FRESH_MS) => Lookup::Use(key.to_json()),
            _ if may_fetch => Lookup::Fetch,
            Some(key) if age.is_some_and(|age| age < USABLE_MS) => Lookup::Use(key.to_json()),
            _ => Lookup::Refuse,
        }
    }

    /// Notes that the keys are being fetched.
    pub const fn fetching(&mut self, now: Timestamp) {
        self.tried_at = Some(now);
    }

    /// Takes what was fetched: the text of a JSON Web Key Set, or `None` if that failed. Keys that are not understood
    /// are left out.
    pub fn fetched(&mut self, text: Option<&str>, now: Timestamp) {
        match text.and_then(|text| serde_json::from_str::<KeySet>(text).ok()) {
            Some(set) => {
                self.keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
                self.fetched_at = Some(now);
            }
            None => self.failed_at = Some(now),
        }
    }
}
