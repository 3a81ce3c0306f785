//! The keys of identity providers: fetched, kept for the life of the isolate, and handed to the runtime's cryptography.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use js_sys::futures::JsFuture;
use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{CryptoKey, WorkerGlobalScope};
use worker::{AbortSignal, Delay, Fetch, RequestInit, RequestRedirect};

use crate::auth::{Algorithm, KeyCache, Lookup, Signed, TokenError, Unverified};
use crate::rules::Timestamp;

/// No key set that was meant for this is longer.
const MAX_BYTES: usize = 100_000;
const TIMEOUT_MS: u32 = 5_000;
/// How often a request that waits for another's fetch looks whether it has ended. It can't await that one's promise: the
/// runtime ties each to its own request.
const LOOK_MS: u32 = 50;

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
    let look = || cache(url, |cache| cache.lookup(token.kid(), algorithm, now));
    let mut found = look();
    for _ in 0..=TIMEOUT_MS / LOOK_MS {
        if found != Lookup::Wait {
            break;
        }
        Delay::from(Duration::from_millis(LOOK_MS.into())).await;
        found = look();
    }
    // The other request was cancelled with its fetch, if there is still nothing.
    if matches!(found, Lookup::Fetch | Lookup::Wait) {
        cache(url, |cache| cache.fetching(now));
        let text = fetch(url).await.ok().flatten();
        found = cache(url, |cache| {
            cache.fetched(text.as_deref(), now);
            cache.lookup(token.kid(), algorithm, now)
        });
    }
    let Lookup::Use(key) = found else { return Err(TokenError::Key) };
    let valid = signature_is_valid(&key, algorithm, token.signed(), token.signature()).await;
    token.verified(valid.unwrap_or(false))
}

/// The key set; `None` if the answer is anything else. A redirect is not followed: only this address vouches for the keys.
async fn fetch(url: &str) -> worker::Result<Option<String>> {
    let mut init = RequestInit::new();
    init.with_redirect(RequestRedirect::Manual);
    let request = worker::Request::new_with_init(url, &init)?;
    let signal = AbortSignal::from(web_sys::AbortSignal::timeout_with_u32(TIMEOUT_MS));
    let mut response = Fetch::Request(request).send_with_signal(&signal).await?;
    if response.status_code() != 200 {
        return Ok(None);
    }
    Ok(Some(response.text().await?).filter(|text| text.len() <= MAX_BYTES))
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
    let subtle = js_sys::global().unchecked_into::<WorkerGlobalScope>().crypto()?.subtle();
    let jwk: Object = JSON::parse(key)?.dyn_into()?;
    let usages = Array::of1(&"verify".into());
    let key = subtle.import_key_with_object("jwk", &jwk, &parameters, false, &usages)?;
    let key: CryptoKey = JsFuture::from(key).await?.unchecked_into();
    let valid = subtle.verify_with_object_and_u8_array_and_u8_array(&parameters, &key, signature, signed)?;
    Ok(JsFuture::from(valid).await?.is_truthy())
}
