//! Asks the provider before a sweep: at an address, or by the service binding `ASK`.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::futures::JsFuture;
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use worker::{
    Delay, Env, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Response, console_error,
    console_log,
};

use super::app::{Context, now};
use super::{courier, log};
use crate::config::Ask;
use crate::service::ask::{self, Provider};
use crate::service::shards::Shard;
use crate::service::sweep::{Source, SweepRequest};
use crate::store::D1;

/// The binding of a Worker that answers.
pub(super) const ASK: &str = "ASK";
/// The address that a bound Worker sees, if the configuration names none.
const BOUND: &str = "https://ask.invalid/";
/// The most milliseconds, while somebody waits for a page.
const PAGE_MS: u64 = 2_000;

/// Asks, if that is configured, and writes the log.
pub(super) async fn before(context: &Context, shards: &[Shard<'_, D1>], request: SweepRequest<'_>) {
    let Some(settings) = &context.config.ask else { return };
    let within_ms = match request.source {
        Source::Page => settings.within_ms.min(PAGE_MS),
        Source::Cron | Source::Endpoint | Source::Tool => settings.within_ms,
    };
    let asked = ask::ask(shards, &Asking { context, settings, within_ms }, request, settings.creations).await;
    if asked.creations > 0 {
        match &asked.error {
            None => console_log!("{}", log::asked(&asked, request.sweep_id)),
            Some(error) => console_error!("{}", log::failed_ask(&asked, request.sweep_id, error)),
        }
    }
}

/// The Worker that is bound.
fn service(env: &Env) -> Option<JsValue> {
    Reflect::get(env, &ASK.into()).ok().filter(JsValue::is_object)
}

/// Whether what is bound as a Worker is one.
pub(super) fn is_service(env: &Env) -> bool {
    service(env).is_some_and(|service| Reflect::has(&service, &"fetch".into()).unwrap_or(false))
}

/// Whether there is somebody to ask.
pub(super) fn is_fit(env: &Env, settings: Option<&Ask>) -> Result<(), String> {
    match settings {
        Some(Ask { url: None, .. }) if service(env).is_none() => {
            Err(format!("`ask` has no `url`, and there is no binding `{ASK}`: expected one of the two"))
        }
        _ => Ok(()),
    }
}

struct Asking<'a> {
    context: &'a Context,
    settings: &'a Ask,
    within_ms: u64,
}

impl Provider for Asking<'_> {
    async fn ask(&self, id: &str, question: &str) -> Result<String, String> {
        let Asking { context, settings, within_ms } = *self;
        let service = service(&context.env);
        let url = settings.url.as_deref().unwrap_or(BOUND);
        if service.is_none() {
            is_fit(&context.env, Some(settings))?;
        }
        let headers = courier::signed(context, id, now(), question)?;
        let mut init = RequestInit::new();
        init.with_method(Method::Post)
            .with_headers(Headers::from_iter(headers.iter().map(|(name, value)| (*name, value.as_str()))))
            .with_redirect(RequestRedirect::Manual)
            .with_body(Some(question.into()));
        let answer = pin!(send(service, url, init));
        match select(answer, Delay::from(Duration::from_millis(within_ms))).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(format!("it did not answer within {within_ms} ms")),
        }
    }
}

/// The text of the answer.
async fn send(service: Option<JsValue>, url: &str, init: RequestInit) -> Result<String, String> {
    let answer = match service {
        Some(service) => call(&service, url, &init).await,
        None => match Request::new_with_init(url, &init) {
            Ok(request) => Fetch::Request(request).send().await,
            Err(error) => Err(error),
        },
    };
    let mut answer = answer.map_err(courier::text)?;
    match answer.status_code() {
        200 => answer.text().await.map_err(courier::text),
        status => Err(format!("it answered {status}: expected 200")),
    }
}

/// Calls a bound Worker. That of the crate `worker` gives another sort of response, which would be a second way to read one.
async fn call(service: &JsValue, url: &str, init: &RequestInit) -> worker::Result<Response> {
    let fetch = Reflect::get(service, &"fetch".into())?.dyn_into::<Function>()?;
    let request = Request::new_with_init(url, init)?;
    let answer = fetch.call1(service, request.inner())?.dyn_into::<Promise>()?;
    Ok(JsFuture::from(answer).await?.dyn_into::<web_sys::Response>()?.into())
}
