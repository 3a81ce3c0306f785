//! Asks somebody else over HTTP, by the runtime's own `fetch`: the wrapper of the crate `worker` brings what can be told
//! to Cloudflare's cache and image resizing, a twentieth of the Worker.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, RequestInit, Response};

/// What is sent: headers and a body.
pub(super) struct Post<'a> {
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a str,
}

/// A `GET`, or a `POST`. A redirect is not followed: what is meant for one address goes nowhere else.
pub(super) async fn fetch(url: &str, post: Option<Post<'_>>, timeout_ms: u32) -> Result<Response, JsValue> {
    let init = RequestInit::new();
    init.set_signal(Some(&AbortSignal::timeout_with_u32(timeout_ms)));
    Reflect::set(&init, &"redirect".into(), &"manual".into())?;
    if let Some(Post { headers, body }) = post {
        let list = Headers::new()?;
        for (name, value) in headers {
            list.append(name, value)?;
        }
        init.set_method("POST");
        init.set_headers(&list);
        init.set_body(&body.into());
    }
    let fetch: Function = Reflect::get(&js_sys::global(), &"fetch".into())?.dyn_into()?;
    let promise: Promise = fetch.call2(&JsValue::UNDEFINED, &url.into(), &init)?.dyn_into()?;
    JsFuture::from(promise).await?.dyn_into()
}

/// The body of an answer as text.
pub(super) async fn text(response: &Response) -> Result<String, JsValue> {
    Ok(JsFuture::from(response.text()?).await?.as_string().unwrap_or_default())
}
