//! The Cloudflare Worker: converts what comes in, calls, carries out. It decides nothing.

mod body;
mod caller;
mod context;
mod demo;
mod drafts;
mod health;
mod http;
mod jwks;
mod limits;
mod operators;
mod outbox;
mod reports;
mod respond;
mod sweeping;
mod url;

use ::worker::{Env, Request, Response, event};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use self::context::Context;
use crate::sweep::Source;

/// Answers a request.
#[event(fetch)]
async fn fetch(mut request: Request, env: Env, invocation: ::worker::Context) -> ::worker::Result<Response> {
    let path = request.path();
    let method = match request.method().to_string().as_str() {
        // A HEAD is answered as a GET; the runtime leaves out the body.
        "HEAD" => String::from("GET"),
        method => method.to_owned(),
    };
    match (method.as_str(), path.as_str()) {
        ("GET", "/healthz") => return health::alive(),
        ("GET", "/readyz") => return health::ready(&env).await,
        _ => {}
    }
    if let Some(refusal) = limits::check(&env, &request).await {
        return refusal;
    }
    let context = match Context::new(&env, &request) {
        Ok(context) => context,
        Err(error) => return respond::misconfigured(&path, &error),
    };
    let answer = route(&context, &mut request, &method, &path).await;
    if context.tell.get() {
        // The answer does not wait for it, and the next cron trigger delivers what this does not.
        invocation.wait_until(async move { outbox::deliver(&context).await });
    }
    answer
}

async fn route(
    context: &Context,
    request: &mut Request,
    method: &str,
    path: &str,
) -> ::worker::Result<Response> {
    match (method, path) {
        ("GET", "/") => respond::see_other("/drafts"),
        ("GET", "/drafts") => drafts::page(context, request).await,
        ("GET", "/api/drafts") => drafts::api(context, request).await,
        ("GET", "/api/drafts/active") => drafts::active(context, request).await,
        ("POST", "/api/generate/cleanup-stale") => sweeping::endpoint(context, request).await,
        ("GET", "/demo") if context.demo => demo::page(context).await,
        ("POST", "/demo") if context.demo => demo::sign_in(context, request).await,
        (_, "/" | "/drafts" | "/api/drafts" | "/api/drafts/active" | "/healthz" | "/readyz") => {
            respond::method_not_allowed("GET")
        }
        (_, "/api/generate/cleanup-stale") => respond::method_not_allowed("POST"),
        _ => {
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
pub async fn scheduled(_event: JsValue, env: Env, _context: JsValue) -> Result<(), JsValue> {
    let context = Context::scheduled(&env).map_err(|error| {
        ::worker::console_error!("{}", crate::view::failed_sweep_line("", Source::Cron, &error));
        js_sys::Error::new(&error)
    })?;
    let swept = sweeping::cron(&context).await;
    // Whatever became of the sweep: what is due is due.
    outbox::deliver(&context).await;
    swept.map_err(|error| js_sys::Error::new(&error).into())
}
