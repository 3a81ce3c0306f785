//! The Cloudflare Worker: converts what comes in, calls, carries out. It decides nothing.
//!
//! What is pure, such as the pages and the bodies, is public for the fuzz targets, which compile it natively.

mod analytics;
mod app;
mod caller;
mod courier;
mod cross_site;
pub mod draft;
pub mod explanation;
mod extract;
mod jwks;
pub mod log;
pub mod metrics;
mod monitor;
pub mod pages;
pub mod plan;
mod problem;
mod rate_limit;
mod reporting;
pub mod routes;
mod security_headers;
pub mod sweep_json;
mod sweeping;

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tower_service::Service as _;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::worker_sys::{ScheduleContext, ScheduledEvent};
use worker::{Env, console_error, event, web_sys};

use self::app::{Context, Invocation};
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
    let response = match answer(request, env, context).await {
        Ok(response) => response,
        Err(problem) => security_headers::headers(problem.into_response()).await,
    };
    whole(response).await
}

async fn answer(request: web_sys::Request, env: Env, context: worker::Context) -> Result<Response, Problem> {
    rate_limit::url_length(&request.url())?;
    let invalid = |error: worker::Error| Problem::bad_request(format!("the request is not valid: {error}"));
    let mut request = worker::request_from_wasm(request).map_err(invalid)?;
    request.extensions_mut().insert(Invocation { env, context: Arc::new(context) });
    match ROUTER.with(Clone::clone).call(request).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

/// An answer in one piece: so it has a length, and is not streamed through WebAssembly.
async fn whole(response: Response) -> worker::Result<worker::Response> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|error| error.to_string())?;
    let builder =
        worker::Response::builder().with_status(parts.status.as_u16()).with_headers(parts.headers.into());
    let bodiless = parts.status == StatusCode::NOT_MODIFIED || parts.status == StatusCode::NO_CONTENT;
    Ok(if bodiless { builder.empty() } else { builder.fixed(body.into()) })
}

/// Runs a sweep. Written by hand, because the macro drops the error, and a failed sweep would look like a good one.
#[wasm_bindgen(js_name = scheduled, wasm_bindgen_futures = worker::wasm_bindgen_futures)]
pub async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) -> Result<(), JsError> {
    let context = Context::new(&env).map_err(|error| {
        console_error!("{}", log::failed_sweep("", Source::Cron, &error));
        JsError::new(&error)
    })?;
    let swept = sweeping::cron(&context).await;
    monitor::run(&context, Occasion::Cron { swept: swept.is_ok() }).await;
    // Whatever became of the sweep: what is due is due.
    courier::deliver(&context, CRON_MS).await;
    swept.map_err(|error| JsError::new(&error))
}
