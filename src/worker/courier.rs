//! Carries events: to Cloudflare Queues and to a webhook.

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{Either, select};
use js_sys::futures::JsFuture;
use js_sys::{JSON, encode_uri};
use serde_json::{Value, json};
use worker::{
    AbortSignal, Delay, Fetch, Headers, Method, Queue, QueueContentType, RawMessageBuilder, Request,
    RequestInit, RequestRedirect, ResponseBody, console_error,
};

use super::app::{Context, now};
use super::log;
use crate::rules::Timestamp;
use crate::service::outbox::{self, Bounds, Courier, Message, TIMEOUT_MS};
use crate::service::shards::Shard;
use crate::service::sweep::Notify;
use crate::store::Destination;

/// The bindings of the queues.
const EVENTS: &str = "EVENTS";
const GENERATIONS: &str = "GENERATIONS";

/// Where events go.
pub(super) fn destinations(context: &Context) -> Notify {
    let bit = |to: Destination| if context.configured(to).is_ok() { to.bit() } else { 0 };
    let app = bit(Destination::Queue) | bit(Destination::Webhook);
    Notify { app, retry: app | bit(Destination::Workers) }
}

/// Offers a new creation to the workers. Nothing depends on it: one that is lost here is found by the sweep.
pub(super) async fn offer(context: &Context, mut data: Value) {
    if context.env.queue(GENERATIONS).is_err() {
        return;
    }
    if let Value::Object(data) = &mut data {
        let id = data.remove("id").unwrap_or_default();
        data.insert(String::from("creation_id"), id);
    }
    let body = json!({ "type": "creation.created", "data": data }).to_string();
    if let Err(error) = enqueue(context, GENERATIONS, &[&body]).await {
        console_error!("{}", log::failed_delivery("generations", &error));
    }
}

/// Delivers what is due, for as long as `time_ms`, and writes the log.
pub(super) async fn deliver(context: &Context, time_ms: u64) {
    let bounds = Bounds {
        max_deliveries: context.config.max_deliveries,
        time_ms,
        // Each database counts its own.
        max_queries: context.share_of_queries(),
    };
    let shards = context.shards();
    let end = now().saturating_add(time_ms);
    for (at, Shard { database, .. }) in shards.iter().enumerate() {
        // Of several, an outbox in which nothing is due costs nothing.
        if shards.len() > 1 && !context.has_emitted_in(at) {
            continue;
        }
        let bounds = Bounds { time_ms: end.millis_since(now()), ..bounds };
        let done = outbox::deliver(*database, context, bounds).await;
        for (to, error, count) in &done.errors {
            console_error!("{}", log::failed_delivery(to.name(), &format!("{error} ({count} times)")));
        }
        if let Some(error) = done.stopped {
            console_error!("{}", log::failed_delivery("outbox", &error.to_string()));
        }
    }
}

impl Courier for Context {
    fn now(&self) -> Timestamp {
        now()
    }

    fn configured(&self, to: Destination) -> Result<(), String> {
        match to {
            Destination::Queue => queue(self, EVENTS).map(drop),
            Destination::Workers => queue(self, GENERATIONS).map(drop),
            Destination::Webhook if self.config.webhook_url.is_some() => Ok(()),
            Destination::Webhook => Err(String::from(NO_WEBHOOK)),
        }
    }

    async fn send(&self, to: Destination, messages: &[Message<'_>]) -> Result<(), String> {
        let bodies: Vec<_> = messages.iter().map(|message| message.body).collect();
        match (to, messages) {
            (Destination::Queue, _) => enqueue(self, EVENTS, &bodies).await,
            (Destination::Workers, _) => enqueue(self, GENERATIONS, &bodies).await,
            (Destination::Webhook, [message]) => post(self, message).await,
            (Destination::Webhook, _) => Err(String::from("a webhook takes one message at once")),
        }
    }
}

const NO_WEBHOOK: &str = "`webhook_url` is not set";

fn queue(context: &Context, name: &str) -> Result<Queue, String> {
    context.env.queue(name).map_err(|_| format!("there is no binding `{name}`"))
}

/// Sends each body, a JSON text, as a message of its own.
pub(super) async fn enqueue(context: &Context, name: &str, bodies: &[&str]) -> Result<(), String> {
    let queue = queue(context, name)?;
    let message = |body: &&str| {
        // Parsed by the runtime: serde would make a `Map` of an object, which a queue delivers empty.
        let body = JSON::parse(body)?;
        Ok(RawMessageBuilder::new(body).build_with_content_type(QueueContentType::Json))
    };
    let messages = bodies.iter().map(message).collect::<worker::Result<Vec<_>>>().map_err(text)?;
    let sent = pin!(queue.send_raw_batch(messages));
    match select(sent, Delay::from(Duration::from_millis(TIMEOUT_MS))).await {
        Either::Left((sent, _)) => sent.map_err(text),
        // It may have the messages all the same: they are sent again.
        Either::Right(_) => Err(format!("it did not answer within {} s", TIMEOUT_MS / 1_000)),
    }
}

/// An error's own words.
fn text(error: worker::Error) -> String {
    match error {
        worker::Error::UnknownJsError { message, .. } => message,
        error => error.to_string(),
    }
}

/// Sends an event as Standard Webhooks has it: <https://www.standardwebhooks.com>.
async fn post(context: &Context, message: &Message<'_>) -> Result<(), String> {
    let url = context.config.webhook_url.as_ref().ok_or(NO_WEBHOOK)?;
    let secret = context.secret("WEBHOOK_SECRET").map_err(|error| error.to_string())?;
    let seconds = (message.sent_at.as_millis() / 1_000).to_string();
    // A header that is not ASCII is read as another text, whose signature would be wrong.
    let id = if message.id.is_ascii() { message.id.to_owned() } else { encode_uri(message.id).into() };
    let signature = STANDARD.encode(secret.sign(&[&id, ".", &seconds, ".", message.body]));
    let headers = [
        ("Content-Type", "application/json"),
        ("webhook-id", id.as_str()),
        ("webhook-timestamp", &seconds),
        ("webhook-signature", &format!("v1,{signature}")),
    ];
    match send(url, &headers, message.body).await.map_err(text)? {
        200..=299 => Ok(()),
        status => Err(format!("it answered {status}")),
    }
}

/// The status of the answer. A redirect is not followed: what is meant for one address goes nowhere else.
async fn send(url: &str, headers: &[(&str, &str)], body: &str) -> worker::Result<u16> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(Headers::from_iter(headers.iter().copied()))
        .with_redirect(RequestRedirect::Manual)
        .with_body(Some(body.into()));
    let signal = AbortSignal::from(web_sys::AbortSignal::timeout_with_u32(TIMEOUT_MS as u32));
    let request = Request::new_with_init(url, &init)?;
    let answer = Fetch::Request(request).send_with_signal(&signal).await?;
    let status = answer.status_code();
    // Nobody reads the rest of it, and a body that waits to be read keeps a connection: the runtime has six.
    if let ResponseBody::Stream(body) = answer.body() {
        let _ = JsFuture::from(body.cancel()).await;
    }
    Ok(status)
}
