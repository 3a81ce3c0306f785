//! Requests and answers by the runtime's own interface. The wrappers of the crate `worker` bring streams, conversions and the
//! texts of errors that nothing here meets: a twentieth of the Worker.

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, ReadableStreamDefaultReader, Response, ResponseInit, Url};

/// What a route gives.
pub(super) type Answered = Result<Response, JsValue>;

#[wasm_bindgen]
extern "C" {
    /// What an invocation may go on with after its answer.
    pub type ExecutionContext;
    #[wasm_bindgen(method, js_name = waitUntil)]
    fn wait_until_promise(this: &ExecutionContext, promise: &Promise);
}

impl ExecutionContext {
    /// Has the runtime wait for it.
    pub(super) fn wait_until(&self, work: impl Future<Output = ()> + 'static) {
        let promise = wasm_bindgen_futures::future_to_promise(async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        });
        self.wait_until_promise(&promise);
    }
}

/// A request.
pub(super) struct Request {
    request: web_sys::Request,
    url: String,
    path: String,
}

impl Request {
    pub(super) fn new(request: web_sys::Request) -> Self {
        let url = request.url();
        let path = Url::new(&url).map(|url| url.pathname()).unwrap_or_default();
        Request { request, url, path }
    }

    /// `GET`, `POST`, …
    pub(super) fn method(&self) -> String {
        self.request.method()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The path, as it was sent.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.request.headers().get(name).ok().flatten()
    }

    /// The body, if it is no longer than `max` bytes; empty if there is none. No more of it is taken than that, whatever was
    /// announced.
    pub(super) async fn body(&self, max: usize) -> Result<Option<Vec<u8>>, JsValue> {
        let mut body = Vec::new();
        let Some(stream) = self.request.body() else { return Ok(Some(body)) };
        let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
        loop {
            let part = JsFuture::from(reader.read()).await?;
            let Ok(part) = Reflect::get(&part, &"value".into())?.dyn_into::<Uint8Array>() else {
                return Ok(Some(body));
            };
            if body.len().saturating_add(part.length() as usize) > max {
                // Whether it takes note or not: nothing more is read.
                let _ = JsFuture::from(reader.cancel()).await;
                return Ok(None);
            }
            body.extend_from_slice(&part.to_vec());
        }
    }
}

/// An answer with these headers; with a body if there is one.
pub(super) fn response(status: u16, headers: &[(&str, &str)], body: Option<&str>) -> Answered {
    let list = Headers::new()?;
    for (name, value) in headers {
        list.set(name, value)?;
    }
    let init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(&list);
    Response::new_with_opt_str_and_init(body, &init)
}

/// The error of an invocation.
pub(super) fn failure(error: impl std::fmt::Display) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}
