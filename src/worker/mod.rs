//! The Cloudflare Worker: converts what comes in, calls, carries out. It decides nothing.

mod analytics;
mod body;
mod caller;
mod console;
mod context;
mod dashboard;
mod demo;
mod drafts;
mod health;
mod http;
mod jwks;
mod limits;
mod message;
mod operators;
mod outbox;
mod reports;
mod respond;
mod start;
mod sweeping;
mod url;
mod watch;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use self::context::Context;
use self::message::{Answered, ExecutionContext, Request};
use crate::service::monitor::Occasion;
use crate::service::outbox::{CRON_MS, REQUEST_MS};
use crate::sweep::Source;

/// Answers a request.
#[wasm_bindgen(js_name = fetch)]
pub async fn fetch(
    request: web_sys::Request,
    env: JsValue,
    invocation: ExecutionContext,
) -> Result<web_sys::Response, JsValue> {
    let request = Request::new(request);
    let path = request.path().to_owned();
    let method = match request.method() {
        // A HEAD is answered as a GET; the runtime leaves out the body.
        method if method == "HEAD" => String::from("GET"),
        method => method,
    };
    if (method.as_str(), path.as_str()) == ("GET", "/healthz") {
        return health::alive();
    }
    if let Some(refusal) = limits::check(&env, &request).await {
        return refusal;
    }
    if (method.as_str(), path.as_str()) == ("GET", "/readyz") {
        return health::ready(&env).await;
    }
    let context = match Context::new(&env, &request) {
        Ok(context) => context,
        Err(error) => return respond::misconfigured(&path, &error),
    };
    let answer = route(&context, &request, &method, &path).await;
    let watch = context.known.get() && watch::is_due(&context);
    if watch || context.tell.get() {
        // The answer does not wait for it, and the next cron trigger does what this does not.
        invocation.wait_until(async move {
            if watch {
                watch::run(&context, Occasion::Request).await;
            }
            if context.tell.get() {
                outbox::deliver(&context, REQUEST_MS).await;
            }
        });
    }
    answer
}

async fn route(context: &Context, request: &Request, method: &str, path: &str) -> Answered {
    match (method, path) {
        ("GET", "/") => respond::see_other("/drafts"),
        ("GET", "/drafts") => drafts::page(context, request).await,
        ("GET", "/api/drafts") => drafts::api(context, request).await,
        ("GET", "/api/drafts/active") => drafts::active(context, request).await,
        ("POST", "/api/generate/cleanup-stale") => sweeping::endpoint(context, request).await,
        ("GET", "/demo") if context.demo => demo::page(context).await,
        ("POST", "/demo") if context.demo => demo::sign_in(context, request).await,
        ("GET", "/metrics") => dashboard::metrics(context, request).await,
        (_, "/" | "/drafts" | "/api/drafts" | "/api/drafts/active" | "/healthz" | "/readyz" | "/metrics") => {
            respond::method_not_allowed("GET")
        }
        (_, "/api/generate/cleanup-stale") => respond::method_not_allowed("POST"),
        _ => {
            if let Some(answer) = dashboard::answer(context, request, method).await {
                return answer;
            }
            if let Some(answer) = reports::answer(context, request, method).await {
                return answer;
            }
            match operators::answer(context, request, method).await {
                Some(answer) => answer,
                None => respond::not_found(path),
            }
        }
    }
}

/// Runs a sweep. Written by hand, because the `scheduled` macro drops the error, and a failed sweep would look
/// like a good one.
#[wasm_bindgen(js_name = scheduled)]
pub async fn scheduled(_event: JsValue, env: JsValue, _context: JsValue) -> Result<(), JsValue> {
    let context = Context::scheduled(&env).map_err(|error| {
        console::error(&crate::view::failed_sweep_line("", Source::Cron, &error));
        js_sys::Error::new(&error)
    })?;
    let swept = sweeping::cron(&context).await;
    watch::run(&context, Occasion::Cron { swept: swept.is_ok() }).await;
    // Whatever became of the sweep: what is due is due.
    outbox::deliver(&context, CRON_MS).await;
    swept.map_err(|error| js_sys::Error::new(&error).into())
}
