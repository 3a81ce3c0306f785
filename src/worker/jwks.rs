//! The keys of identity providers: fetched, kept for the life of the isolate, and handed to the runtime's cryptography.

use std::cell::RefCell;
use std::collections::HashMap;

use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, SubtleCrypto};

use super::http;
use crate::auth::Algorithm;
use crate::auth::{KeyCache, Lookup, Signed, TokenError, Unverified};
use crate::rules::Timestamp;

/// No key set that was meant for this is longer.
const MAX_BYTES: usize = 100_000;
const TIMEOUT_MS: u32 = 5_000;

thread_local! {
    static CACHES: RefCell<HashMap<String, KeyCache>> = RefCell::default();
}

fn cache<T>(url: &str, use_it: impl FnOnce(&mut KeyCache) -> T) -> T {
    CACHES.with_borrow_mut(|caches| use_it(caches.entry(url.to_owned()).or_default()))
}

/// Verifies a token's signature by the keys that are published at `url`.
pub(super) async fn verify<'a>(
    token: Unverified<'a>,
    algorithm: Algorithm,
    url: &str,
    now: Timestamp,
) -> Result<Signed<'a>, TokenError> {
    let mut found = cache(url, |cache| cache.lookup(token.kid(), algorithm, now));
    if found == Lookup::Fetch {
        cache(url, |cache| cache.fetching(now));
        let text = fetch(url).await;
        found = cache(url, |cache| {
            cache.fetched(text.as_deref(), now);
            cache.lookup(token.kid(), algorithm, now)
        });
    }
    let Lookup::Use(key) = found else { return Err(TokenError::Key) };
    let valid = signature_is_valid(&key, algorithm, token.signed(), token.signature()).await;
    token.verified(valid.unwrap_or(false))
}

async fn fetch(url: &str) -> Option<String> {
    let response = http::fetch(url, None, TIMEOUT_MS).await.ok()?;
    if response.status() != 200 {
        return None;
    }
    http::text(&response).await.ok().filter(|text| text.len() <= MAX_BYTES)
}

async fn signature_is_valid(
    key: &str,
    algorithm: Algorithm,
    signed: &[u8],
    signature: &[u8],
) -> Result<bool, JsValue> {
    let (name, option, value) = match algorithm {
        Algorithm::Hs256 => return Ok(false),
        Algorithm::Rs256 => ("RSASSA-PKCS1-v1_5", "hash", "SHA-256"),
        Algorithm::Es256 => ("ECDSA", "namedCurve", "P-256"),
    };
    let parameters = Object::new();
    for (key, value) in [("name", name), (option, value), ("hash", "SHA-256")] {
        Reflect::set(&parameters, &key.into(), &value.into())?;
    }
    let subtle: SubtleCrypto =
        Reflect::get(&Reflect::get(&js_sys::global(), &"crypto".into())?, &"subtle".into())?.unchecked_into();
    let jwk: Object = JSON::parse(key)?.unchecked_into();
    let usages = Array::of1(&"verify".into());
    let key = subtle.import_key_with_object("jwk", &jwk, &parameters, false, &usages)?;
    let key: CryptoKey = JsFuture::from(key).await?.unchecked_into();
    let valid = subtle.verify_with_object_and_u8_array_and_u8_array(&parameters, &key, signature, signed)?;
    Ok(JsFuture::from(valid).await?.is_truthy())
}
