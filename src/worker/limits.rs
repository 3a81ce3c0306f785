//! What is rejected before anything is looked at: URLs without end, and callers who ask too often.

use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::message::{Answered, Request};
use super::respond;

// The wrapper of the crate `worker` reads the answer by serde, whose errors print floating-point numbers: a twentieth of
// the Worker for one truth value.
#[wasm_bindgen]
extern "C" {
    type RateLimiter;
    #[wasm_bindgen(method, catch)]
    fn limit(this: &RateLimiter, options: &Object) -> Result<Promise, JsValue>;
}

/// The longest URL that is looked at, in bytes.
const MAX_URL: usize = 4_096;

/// A refusal, if there is a reason for one.
pub(super) async fn check(env: &JsValue, request: &Request) -> Option<Answered> {
    let url = request.url();
    if url.len() > MAX_URL {
        let error = format!("the URL has {} bytes: expected at most {MAX_URL}", url.len());
        return Some(respond::error(414, &error));
    }
    // A Worker that calls by a service binding has no address: it is of the same account, and is not limited.
    let address = request.header("CF-Connecting-IP")?;
    // The binding is there where it is configured; one that does not answer keeps nobody out.
    let within = within(env, &address).await.unwrap_or(true);
    (!within).then(respond::too_many_requests)
}

async fn within(env: &JsValue, address: &str) -> Result<bool, JsValue> {
    let binding = Reflect::get(env, &"RATE_LIMITER".into())?;
    if !binding.is_object() {
        return Ok(true);
    }
    let options = Object::new();
    Reflect::set(&options, &"key".into(), &address.into())?;
    let outcome = JsFuture::from(binding.unchecked_into::<RateLimiter>().limit(&options)?).await?;
    Ok(!Reflect::get(&outcome, &"success".into())?.is_falsy())
}
