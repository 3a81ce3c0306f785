//! The Cloudflare Worker: converts what comes in, calls, carries out. It decides nothing.
//!
//! What is pure, such as the pages and the bodies, is public for the fuzz targets, which compile it natively.

mod analytics;
mod app;
pub mod archive;
mod asking;
mod at_dashboard;
mod caller;
mod cors;
mod courier;
mod cron;
mod cross_site;
pub mod draft;
pub mod error_params;
pub mod explanation;
pub mod exploring;
mod extending;
mod extract;
mod jwks;
mod language;
pub mod ledger;
mod listing;
pub mod log;
pub mod metrics;
mod monitor;
mod noting;
mod of_user;
mod one_message;
pub mod pages;
pub mod plan;
mod problem;
mod rate_limit;
mod reporting;
pub mod retries;
pub mod retry_cancel;
pub mod routes;
mod security_headers;
mod shards;
pub mod sweep_json;
mod sweeping;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tower_service::Service as _;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsError};
use worker::worker_sys::{ScheduleContext, ScheduledEvent};
use worker::{Env, console_error, event, web_sys};

use self::app::{Context, Invocation};
use self::caller::Trusted;
use self::problem::Problem;
use crate::service::monitor::Occasion;
use crate::service::outbox::CRON_MS;
use crate::service::sweep::Source;

thread_local! {
    /// Made once for each isolate; a clone counts a reference.
    static ROUTER: Router = routes::router();
}

/// Answers a request.
#[event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: Env,
    context: worker::Context,
) -> worker::Result<worker::Response> {
    respond(request, env, context, None).await
}

/// Answers a call of the app that this Worker is embedded in. It needs no credential, for no request from outside gets here. For the
/// routes of users, `caller` is JSON with the `user_id` on whose behalf the app calls.
#[wasm_bindgen(js_name = fetchTrusted, wasm_bindgen_futures = worker::wasm_bindgen_futures)]
pub async fn fetch_trusted(
    request: web_sys::Request,
    env: Env,
    context: worker::worker_sys::Context,
    caller: Option<String>,
) -> Result<web_sys::Response, JsError> {
    let context = worker::Context::new(context);
    let response = respond(request, env, context, Some(Trusted::new(caller.as_deref()))).await;
    response.map(web_sys::Response::from).map_err(|error| JsError::new(&error.to_string()))
}

async fn respond(
    request: web_sys::Request,
    env: Env,
    context: worker::Context,
    trusted: Option<Trusted>,
) -> worker::Result<worker::Response> {
    let response = match answer(request, env, context, trusted).await {
        Ok(response) => response,
        Err(problem) => security_headers::headers(problem.into_response()).await,
    };
    whole(response).await
}

async fn answer(
    request: web_sys::Request,
    env: Env,
    context: worker::Context,
    trusted: Option<Trusted>,
) -> Result<Response, Problem> {
    rate_limit::url_length(&request.url())?;
    let invalid = |error| Problem::bad_request(format!("the request is not valid: {error}"));
    let mut request = converted(&request).map_err(invalid)?;
    request.extensions_mut().insert(Invocation { env, context: Arc::new(context) });
    if let Some(trusted) = trusted {
        request.extensions_mut().insert(trusted);
    }
    match ROUTER.with(Clone::clone).call(request).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

/// The request as axum takes it. Written by hand, because `worker`'s own refuses every header that is not ASCII, such as a
/// city's name that Cloudflare adds, and panics at a version of HTTP that it does not know.
fn converted(request: &web_sys::Request) -> Result<Request, axum::http::Error> {
    let mut converted = Request::builder().uri(request.url()).method(request.method().as_str());
    for entry in request.headers().entries().into_iter().flatten() {
        let entry: js_sys::Array = entry.unchecked_into();
        if let (Some(name), Some(value)) = (entry.get(0).as_string(), entry.get(1).as_string()) {
            converted = converted.header(name, value.into_bytes());
        }
    }
    converted.body(request.body().map_or_else(Body::empty, |body| Body::new(worker::Body::new(body))))
}

/// The headers as the runtime takes them; `worker`'s own conversion panics where one is not ASCII.
fn headers(headers: &HeaderMap) -> worker::Result<worker::Headers> {
    let converted = worker::Headers::new();
    for (name, value) in headers {
        converted.append(name.as_str(), &String::from_utf8_lossy(value.as_bytes()))?;
    }
    Ok(converted)
}

/// An answer in one piece: so it has a length, and is not streamed through WebAssembly.
async fn whole(response: Response) -> worker::Result<worker::Response> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|error| error.to_string())?;
    let builder =
        worker::Response::builder().with_status(parts.status.as_u16()).with_headers(headers(&parts.headers)?);
    let bodiless = parts.status == StatusCode::NOT_MODIFIED || parts.status == StatusCode::NO_CONTENT;
    Ok(if bodiless { builder.empty() } else { builder.fixed(body.into()) })
}

/// Sweeps one of several databases, as a message of the queue `SWEEPS` says.
#[wasm_bindgen(js_name = sweepShard, wasm_bindgen_futures = worker::wasm_bindgen_futures)]
pub async fn sweep_shard(message: String, env: Env) -> Result<(), JsError> {
    let context = Context::new(&env).map_err(|error| JsError::new(&error))?;
    let swept = cron::by_message(&context, &message).await;
    courier::deliver(&context, CRON_MS).await;
    swept.map_err(|error| JsError::new(&error))
}

/// Runs a sweep. Written by hand, because the macro drops the error, and a failed sweep would look like a good one.
#[wasm_bindgen(js_name = scheduled, wasm_bindgen_futures = worker::wasm_bindgen_futures)]
pub async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) -> Result<(), JsError> {
    let context = Context::new(&env).map_err(|error| {
        console_error!("{}", log::failed_sweep("", Source::Cron, &error));
        JsError::new(&error)
    })?;
    let swept = cron::sweep(&context).await;
    monitor::run(&context, Occasion::Cron { swept: matches!(swept, Ok(true)) }).await;
    archive::run(&context).await;
    // Whatever became of the sweep: what is due is due.
    courier::deliver(&context, CRON_MS).await;
    swept.map(drop).map_err(|error| JsError::new(&error))
}
