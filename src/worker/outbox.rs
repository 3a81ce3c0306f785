//! Delivers the outbox: to Cloudflare Queues and to a webhook.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use js_sys::{Array, Function, JSON, Object, Promise, Reflect};
use serde_json::Value;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::console;
use super::context::{Context, now};
use super::http;
use crate::rules::Timestamp;
use crate::service::outbox::{self, Courier, Message, TIMEOUT_MS};
use crate::store::Destination;
use crate::sweep::Notify;
use crate::view;

/// The bindings.
const EVENTS: &str = "EVENTS";
const GENERATIONS: &str = "GENERATIONS";

fn binding(env: &JsValue, name: &str) -> Option<Object> {
    Reflect::get(env, &name.into()).ok()?.dyn_into().ok()
}

impl Context {
    /// To whom events go.
    pub(super) fn notify(&self) -> Notify {
        let bit = |to: Destination| if self.configured(to).is_ok() { to.bit() } else { 0 };
        let app = bit(Destination::Queue) | bit(Destination::Webhook);
        Notify { app, retry: app | bit(Destination::Workers) }
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

/// Delivers what is due, for as long as `time_ms`.
pub(super) async fn deliver(context: &Context, time_ms: u64) {
    let done = outbox::deliver(&context.database, context, context.config.max_deliveries, time_ms).await;
    for (to, error, count) in &done.errors {
        console::error(&view::failed_delivery_line(to.name(), &format!("{error} ({count} times)")));
    }
    if let Some(error) = done.stopped {
        console::error(&view::failed_delivery_line("outbox", &error.to_string()));
    }
}

impl Courier for Context {
    fn now(&self) -> Timestamp {
        now()
    }

    fn configured(&self, to: Destination) -> Result<(), String> {
        let there = match to {
            Destination::Queue => binding(&self.env, EVENTS).is_some(),
            Destination::Workers => binding(&self.env, GENERATIONS).is_some(),
            Destination::Webhook => self.config.webhook_url.is_some(),
        };
        let missing = match to {
            Destination::Queue => "there is no binding `EVENTS`",
            Destination::Workers => "there is no binding `GENERATIONS`",
            Destination::Webhook => "`webhook_url` is not set",
        };
        if there { Ok(()) } else { Err(String::from(missing)) }
    }

    async fn send(&self, to: Destination, messages: &[Message<'_>]) -> Result<(), String> {
        let name = match (to, messages) {
            (Destination::Webhook, [message]) => return post(self, message).await,
            (Destination::Webhook, _) => return Err(String::from("a webhook takes one message at once")),
            (Destination::Queue, _) => EVENTS,
            (Destination::Workers, _) => GENERATIONS,
        };
        let queue = binding(&self.env, name).ok_or_else(|| format!("there is no binding `{name}`"))?;
        let bodies: Vec<_> = messages.iter().map(|message| message.body).collect();
        send(&queue, &bodies).await.map_err(|error| text(&error))
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
async fn post(context: &Context, message: &Message<'_>) -> Result<(), String> {
    let Some(url) = &context.config.webhook_url else {
        return Err(String::from("`webhook_url` is not set"));
    };
    let secret = context.secret("WEBHOOK_SECRET").map_err(|error| error.to_string())?;
    let seconds = (message.sent_at.as_millis() / 1_000).to_string();
    let signature = STANDARD.encode(secret.sign(&[message.id, ".", &seconds, ".", message.body]));
    let signature = format!("v1,{signature}");
    let headers = [
        ("Content-Type", "application/json"),
        ("webhook-id", message.id),
        ("webhook-timestamp", &*seconds),
        ("webhook-signature", &*signature),
    ];
    let post = http::Post { headers: &headers, body: message.body };
    let response = http::fetch(url, Some(post), TIMEOUT_MS as u32).await.map_err(|error| text(&error))?;
    match response.status() {
        200..=299 => Ok(()),
        status => Err(format!("it answered {status}")),
    }
}
