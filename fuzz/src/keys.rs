//! The keys that an identity provider publishes: a JSON Web Key Set.
//!
//! The input is the algorithm and the `kid` that are looked for, in the first line, and the set below it.

use serde_json::Value;
use stale_drafts::auth::{Algorithm, KeyCache, Lookup};
use stale_drafts::rules::Timestamp;

use crate::{as_text, now};

const HOUR_MS: u64 = 3_600_000;

/// Panics if a law is broken.
pub fn holds(data: &[u8]) {
    let text = as_text(data);
    let (wanted, set) = text.split_once('\n').unwrap_or((&text, ""));
    let (name, kid) = wanted.split_once(' ').map_or((wanted, None), |(name, kid)| (name, Some(kid)));
    for algorithm in [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256] {
        if algorithm.as_str() == name || !["HS256", "RS256", "ES256"].contains(&name) {
            looked_up(set, kid, algorithm);
        }
    }
}

fn looked_up(set: &str, kid: Option<&str>, algorithm: Algorithm) {
    let later = |hours: u64| now().saturating_add(hours * HOUR_MS);
    let mut cache = KeyCache::default();
    assert_eq!(cache.lookup(kid, algorithm, now()), Lookup::Fetch);
    fetch(&mut cache, Some(set), now());
    let found = cache.lookup(kid, algorithm, now());
    // What has just been fetched is not fetched again: a token can't make the Worker ask and ask.
    assert_ne!(found, Lookup::Fetch);
    let parsed: Option<Value> = serde_json::from_str(set).ok();
    let keys = parsed.as_ref().and_then(|set| set.get("keys")).and_then(Value::as_array);
    let list = keys.map(Vec::as_slice).unwrap_or_default();
    let fitting: Vec<_> = list.iter().filter(|key| fits(key, kid, algorithm)).collect();
    match (&found, fitting.as_slice()) {
        (Lookup::Use(json), [only]) => used(json, only, algorithm),
        // Two keys that fit are none: which of them it is would be a guess.
        (Lookup::Refuse, [] | [_, _, ..]) => {}
        _ => panic!("{found:?} of {} keys that fit", fitting.len()),
    }
    if keys.is_some() {
        assert_eq!(cache.lookup(kid, algorithm, later(1)), Lookup::Fetch);
        // While none can be fetched, what is known is used for a day.
        fetch(&mut cache, None, later(2));
        assert_eq!(cache.lookup(kid, algorithm, later(2)), found);
        assert_ne!(cache.lookup(kid, algorithm, later(24)), found.use_only());
        fetch(&mut cache, Some("{\"keys\": []}"), later(3));
        assert_eq!(cache.lookup(kid, algorithm, later(3)), Lookup::Refuse);
    }
}

fn fetch(cache: &mut KeyCache, set: Option<&str>, at: Timestamp) {
    cache.fetching(at);
    cache.fetched(set, at);
}

trait UseOnly {
    fn use_only(self) -> Self;
}

impl UseOnly for Lookup {
    /// What must not come: the key, if there was one; otherwise what never comes.
    fn use_only(self) -> Self {
        match self {
            Lookup::Use(json) => Lookup::Use(json),
            Lookup::Fetch | Lookup::Wait | Lookup::Refuse => Lookup::Use(String::new()),
        }
    }
}

/// Whether a key may verify what is signed so.
fn fits(key: &Value, kid: Option<&str>, algorithm: Algorithm) -> bool {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let kind = match algorithm {
        Algorithm::Hs256 => false,
        // 2,048 bits, in base64url.
        Algorithm::Rs256 => text("kty") == Some("RSA") && text("n").unwrap_or_default().len() >= 342,
        Algorithm::Es256 => text("kty") == Some("EC") && text("crv") == Some("P-256"),
    };
    kind && (kid.is_none() || text("kid") == kid)
        && text("use").is_none_or(|usage| usage == "sig")
        && text("alg").is_none_or(|alg| alg == algorithm.as_str())
}

/// The key as WebCrypto imports it: texts of the set, and of them only what makes a public key.
fn used(json: &str, key: &Value, algorithm: Algorithm) {
    assert_ne!(algorithm, Algorithm::Hs256);
    let Ok(Value::Object(used)) = serde_json::from_str(json) else { panic!("{json} is no object") };
    for (name, value) in &used {
        assert!(["kty", "n", "e", "crv", "x", "y"].contains(&name.as_str()), "{name}");
        assert!(value.is_string() && key.get(name) == Some(value));
    }
}
