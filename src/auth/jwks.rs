use serde_json::Value;

use super::Algorithm;
use crate::rules::Timestamp;

/// Keys are fetched anew when they are older than this.
const FRESH_MS: u64 = 60 * 60_000;
/// Keys older than this are not used, even if new ones can't be fetched.
const USABLE_MS: u64 = 24 * 60 * 60_000;
/// An unknown `kid` fetches the keys at most this often.
const REFETCH_MS: u64 = 60_000;
/// A fetch that failed is repeated at most this often.
const RETRY_MS: u64 = 10_000;
/// A fetch that has not ended by then never will: whoever made it has gone away.
const FETCH_MS: u64 = 10_000;
/// An RSA modulus of 2,048 bits, as base64url digits.
const MIN_MODULUS: usize = 342;

/// A public key of a JSON Web Key Set.
#[derive(Clone, Debug)]
struct Jwk(Value);

impl Jwk {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::Hs256 => false,
            Algorithm::Rs256 => {
                self.text("kty") == Some("RSA") && self.text("n").is_some_and(|n| n.len() >= MIN_MODULUS)
            }
            Algorithm::Es256 => self.text("kty") == Some("EC") && self.text("crv") == Some("P-256"),
        };
        kind && self.text("use").is_none_or(|usage| usage == "sig")
            && self.text("alg").is_none_or(|alg| alg == algorithm.as_str())
    }

    /// What WebCrypto needs of it, as JSON.
    fn to_json(&self) -> String {
        let parts = ["kty", "n", "e", "crv", "x", "y"];
        let parts = parts.iter().filter_map(|name| Some(((*name).to_owned(), Value::from(self.text(name)?))));
        // Text can't fail to be written.
        serde_json::to_string(&Value::Object(parts.collect())).unwrap_or_default()
    }
}

/// What is known of an issuer's keys, and when to ask again.
#[derive(Debug, Default)]
pub struct KeyCache {
    keys: Vec<Jwk>,
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    /// Whether a fetch has begun and not ended.
    fetching: bool,
}

/// What to do to get a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Verify with this one: as WebCrypto imports it, JSON.
    Use(String),
    /// Fetch the keys, say so by [`KeyCache::fetching`] and [`KeyCache::fetched`], and look again.
    Fetch,
    /// Somebody else is fetching the keys: look again when that has ended. If it never ends, fetch.
    Wait,
    /// There is none.
    Refuse,
}

impl KeyCache {
    /// Looks for the key with this id, at the instant `now`. Without an id, for the only key that fits.
    pub fn lookup(&self, kid: Option<&str>, algorithm: Algorithm, now: Timestamp) -> Lookup {
        let age = self.fetched_at.map(|at| now.millis_since(at));
        let within = |at: Option<Timestamp>, millis| at.is_some_and(|at| now.millis_since(at) < millis);
        let mut fitting =
            self.keys.iter().filter(|key| key.fits(algorithm) && (kid.is_none() || key.text("kid") == kid));
        let found = match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(key),
            _ => None,
        };
        let failed = self.failed_at.is_some() && self.failed_at >= self.tried_at;
        let may_fetch = if failed || age.is_none() {
            !within(self.failed_at, RETRY_MS)
        } else {
            !within(self.tried_at, REFETCH_MS)
        };
        let younger_than = |millis| age.is_some_and(|age| age < millis);
        match found.filter(|_| younger_than(USABLE_MS)) {
            Some(key) if younger_than(FRESH_MS) || self.fetching && within(self.tried_at, FETCH_MS) => {
                Lookup::Use(key.to_json())
            }
            None if self.fetching => Lookup::Wait,
            _ if may_fetch => Lookup::Fetch,
            Some(key) => Lookup::Use(key.to_json()),
            None => Lookup::Refuse,
        }
    }

    /// Notes that the keys are being fetched.
    pub const fn fetching(&mut self, now: Timestamp) {
        self.tried_at = Some(now);
        self.fetching = true;
    }

    /// Takes what was fetched: the text of a JSON Web Key Set, or `None` if that failed. Keys that are not understood
    /// are never used.
    pub fn fetched(&mut self, text: Option<&str>, now: Timestamp) {
        self.fetching = false;
        let set: Option<Value> = text.and_then(|text| serde_json::from_str(text).ok());
        match set.as_ref().and_then(|set| set.get("keys")).and_then(Value::as_array) {
            Some(keys) => {
                self.keys = keys.iter().cloned().map(Jwk).collect();
                self.fetched_at = Some(now);
            }
            None => self.failed_at = Some(now),
        }
    }
}
