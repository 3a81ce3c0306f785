//! Hands on what is the dashboard's, where its Worker is bound as `DASHBOARD`.

use js_sys::{Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::context::Context;
use super::message::{Answered, Request};

#[wasm_bindgen]
extern "C" {
    type Fetcher;
    #[wasm_bindgen(method, catch)]
    fn fetch(this: &Fetcher, request: &web_sys::Request) -> Result<Promise, JsValue>;
}

/// The dashboard's answer; `None` if this is none of it, or there is none.
pub(super) async fn answer(context: &Context, request: &Request) -> Option<Answered> {
    let path = request.path();
    let its = path == "/metrics" || path == "/dashboard" || path.starts_with("/dashboard/");
    let binding = Reflect::get(&context.env, &"DASHBOARD".into()).ok().filter(JsValue::is_object);
    let binding = binding.filter(|_| its)?;
    Some(ask(binding.unchecked_into(), request).await)
}

async fn ask(dashboard: Fetcher, request: &Request) -> Answered {
    Ok(JsFuture::from(dashboard.fetch(request.inner())?).await?.unchecked_into())
}
