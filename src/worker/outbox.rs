//! Delivers the outbox: to Cloudflare Queues and to a webhook.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use js_sys::{Array, Function, JSON, Object, Promise, Reflect};
use serde_json::Value;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::console;
use super::context::Context;
use super::http;
use crate::service::sweep::Notify;
use crate::store::destinations::{QUEUE, WEBHOOK, WORKERS};
use crate::store::{self, Claimed, Database as _, Outcome};
use crate::view;

/// The bindings.
const EVENTS: &str = "EVENTS";
const GENERATIONS: &str = "GENERATIONS";

/// At most this many are delivered by one invocation.
const BATCH: u32 = 50;
const TIMEOUT_MS: u32 = 10_000;

fn binding(env: &JsValue, name: &str) -> Option<Object> {
    Reflect::get(env, &name.into()).ok()?.dyn_into().ok()
}

impl Context {
    /// To whom events go.
    pub(super) fn notify(&self) -> Notify {
        let bit = |there: bool, bit| if there { bit } else { 0 };
        let app = bit(binding(&self.env, EVENTS).is_some(), QUEUE)
            | bit(self.config.webhook_url.is_some(), WEBHOOK);
        Notify { app, retry: app | bit(binding(&self.env, GENERATIONS).is_some(), WORKERS) }
    }
}

/// Offers a new creation to the workers. Nothing depends on it: what is lost here is found by the sweep.
pub(super) async fn offer(context: &Context, creation: &Value) {
    let body = serde_json::json!({ "type": "creation.created", "data": creation_data(creation) });
    if let Some(queue) = binding(&context.env, GENERATIONS)
        && let Err(error) = send(&queue, &[&serde_json::to_string(&body).unwrap_or_default()]).await
    {
        console::error(&view::failed_delivery_line("generations", &text(&error)));
    }
}

fn creation_data(creation: &Value) -> Value {
    let mut data = creation.clone();
    if let Value::Object(data) = &mut data {
        let id = data.remove("id").unwrap_or_default();
        data.insert(String::from("creation_id"), id);
    }
    data
}

/// Delivers what is due.
pub(super) async fn deliver(context: &Context) {
    if context.notify().retry == 0 {
        return;
    }
    if let Err(error) = try_deliver(context).await {
        console::error(&view::failed_delivery_line("outbox", &error.to_string()));
    }
}

async fn try_deliver(context: &Context) -> Result<(), store::DatabaseError> {
    let results = context.database.run(&[store::claim(context.now, BATCH)]).await?;
    let events = store::claimed(results.first().map(Vec::as_slice).unwrap_or_default());
    if events.is_empty() {
        return Ok(());
    }
    let mut outcomes: Vec<_> = events
        .iter()
        .map(|event| Outcome { event, left: event.destinations, error: String::new() })
        .collect();
    to_queue(context, EVENTS, QUEUE, &mut outcomes).await;
    to_queue(context, GENERATIONS, WORKERS, &mut outcomes).await;
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.left & WEBHOOK != 0) {
        let sent = post(context, outcome.event).await;
        note(outcome, WEBHOOK, "webhook", sent);
    }
    context.database.run(&store::settle(&outcomes, context.config.max_deliveries)).await.map(drop)
}

fn note(outcome: &mut Outcome<'_>, bit: u32, target: &str, sent: Result<(), String>) {
    match sent {
        Ok(()) => outcome.left &= !bit,
        Err(error) => {
            console::error(&view::failed_delivery_line(target, &error));
            outcome.error = format!("{target}: {error}");
        }
    }
}

async fn to_queue(context: &Context, name: &str, bit: u32, outcomes: &mut [Outcome<'_>]) {
    let bodies: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.left & bit != 0)
        .map(|outcome| outcome.event.body.as_str())
        .collect();
    if bodies.is_empty() {
        return;
    }
    let sent = match binding(&context.env, name) {
        Some(queue) => send(&queue, &bodies).await.map_err(|error| text(&error)),
        None => Err(format!("there is no binding `{name}`")),
    };
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.left & bit != 0) {
        note(outcome, bit, name, sent.clone());
    }
}

/// `queue.sendBatch([{ body, contentType: "json" }])`
async fn send(queue: &Object, bodies: &[&str]) -> Result<(), JsValue> {
    let messages = Array::new();
    for body in bodies {
        let message = Object::new();
        Reflect::set(&message, &"body".into(), &JSON::parse(body)?)?;
        Reflect::set(&message, &"contentType".into(), &"json".into())?;
        messages.push(&message);
    }
    let send: Function = Reflect::get(queue, &"sendBatch".into())?.dyn_into()?;
    let promise: Promise = send.call1(queue, &messages)?.dyn_into()?;
    JsFuture::from(promise).await.map(drop)
}

fn text(error: &JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map_or_else(|| String::from("it failed"), |error| error.message().into())
}

/// Sends an event as Standard Webhooks has it: <https://www.standardwebhooks.com>.
async fn post(context: &Context, event: &Claimed) -> Result<(), String> {
    let Some(url) = &context.config.webhook_url else {
        return Err(String::from("`webhook_url` is not set"));
    };
    let secret = context.secret("WEBHOOK_SECRET").map_err(|error| error.to_string())?;
    let seconds = (context.now.as_millis() / 1_000).to_string();
    let signature = STANDARD.encode(secret.sign(&[&event.id, ".", &seconds, ".", &event.body]));
    let signature = format!("v1,{signature}");
    let headers = [
        ("Content-Type", "application/json"),
        ("webhook-id", &*event.id),
        ("webhook-timestamp", &*seconds),
        ("webhook-signature", &*signature),
    ];
    let post = http::Post { headers: &headers, body: &event.body };
    let response = http::fetch(url, Some(post), TIMEOUT_MS).await.map_err(|error| text(&error))?;
    match response.status() {
        200..=299 => Ok(()),
        status => Err(format!("it answered {status}")),
    }
}
