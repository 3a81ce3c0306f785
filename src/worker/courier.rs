//! Carries events: to Cloudflare Queues, to a webhook, and alerts to Slack and Discord.

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{Either, select};
use js_sys::futures::JsFuture;
use js_sys::{Date, JSON, encode_uri};
use serde_json::{Value, json};
use worker::{
    AbortSignal, Delay, Fetch, Headers, Method, Queue, QueueContentType, RawMessageBuilder, Request,
    RequestInit, RequestRedirect, ResponseBody, console_error,
};

use super::app::{Context, now};
use super::log;
use crate::auth::ChatUrl;
use crate::rules::Timestamp;
use crate::service::chat;
use crate::service::outbox::{self, Bounds, Courier, Message, NotSent, TIMEOUT_MS, retry_after_ms};
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

/// Where alerts go: to people too.
pub(super) fn of_alerts(context: &Context) -> u32 {
    let chats = [Destination::Slack, Destination::Discord].into_iter();
    let fit = chats.filter(|to| context.configured(*to).is_ok());
    fit.fold(destinations(context).app, |bits, to| bits | to.bit())
}

/// Whether the addresses of chats that are set are fit to be sent to.
pub(super) fn chats_are_fit(context: &Context) -> Result<(), String> {
    chat_url(context, SLACK)?;
    chat_url(context, DISCORD).map(drop)
}

fn chat_url(context: &Context, name: &str) -> Result<Option<ChatUrl>, String> {
    ChatUrl::new(name, context.text(name).as_deref())
}

/// The address of a chat that is there.
fn chat(context: &Context, name: &str) -> Result<ChatUrl, String> {
    chat_url(context, name)?.ok_or_else(|| format!("the secret `{name}` is not set"))
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
            Destination::Slack => chat(self, SLACK).map(drop),
            Destination::Discord => chat(self, DISCORD).map(drop),
        }
    }

    async fn send(&self, to: Destination, messages: &[Message<'_>]) -> Result<(), NotSent> {
        let bodies: Vec<_> = messages.iter().map(|message| message.body).collect();
        match (to, messages) {
            (Destination::Queue, _) => enqueue(self, EVENTS, &bodies).await.map_err(NotSent::from),
            (Destination::Workers, _) => enqueue(self, GENERATIONS, &bodies).await.map_err(NotSent::from),
            (Destination::Webhook, [message]) => post(self, message).await,
            (Destination::Slack, [message]) => say(self, SLACK, message, chat::slack).await,
            (Destination::Discord, [message]) => say(self, DISCORD, message, chat::discord).await,
            (Destination::Webhook | Destination::Slack | Destination::Discord, _) => {
                Err(NotSent::from("it takes one message at once"))
            }
        }
    }
}

const NO_WEBHOOK: &str = "`webhook_url` is not set";
/// The secrets that hold the addresses of chats.
const SLACK: &str = "SLACK_WEBHOOK_URL";
const DISCORD: &str = "DISCORD_WEBHOOK_URL";

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
pub(super) fn text(error: worker::Error) -> String {
    match error {
        worker::Error::UnknownJsError { message, .. } => message,
        error => error.to_string(),
    }
}

/// Sends an event as Standard Webhooks has it: <https://www.standardwebhooks.com>.
async fn post(context: &Context, message: &Message<'_>) -> Result<(), NotSent> {
    let url = context.config.webhook_url.as_ref().ok_or(NO_WEBHOOK)?;
    let headers = signed(context, message.id, message.sent_at, message.body)?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    taken(send(url, &headers, message.body).await.map_err(text)?)
}

/// The headers of a body that is signed.
pub(super) fn signed(
    context: &Context,
    id: &str,
    sent_at: Timestamp,
    body: &str,
) -> Result<[(&'static str, String); 4], String> {
    let secret = context.secret("WEBHOOK_SECRET").map_err(|error| error.to_string())?;
    let seconds = (sent_at.as_millis() / 1_000).to_string();
    // A header that is not ASCII is read as another text, whose signature would be wrong.
    let id = if id.is_ascii() { id.to_owned() } else { encode_uri(id).into() };
    let signature = STANDARD.encode(secret.sign(&[&id, ".", &seconds, ".", body]));
    Ok([
        ("Content-Type", String::from("application/json")),
        ("webhook-id", id),
        ("webhook-timestamp", seconds),
        ("webhook-signature", format!("v1,{signature}")),
    ])
}

/// Sends an alert as a chat takes it. Its address is in no error: they are kept, shown and logged.
async fn say(
    context: &Context,
    name: &str,
    message: &Message<'_>,
    format: fn(&str, Option<&str>) -> Option<String>,
) -> Result<(), NotSent> {
    let url = chat(context, name)?;
    let body = format(message.body, context.config.public_url.as_deref());
    let body = body.ok_or("only alerts go to a chat")?;
    let sent = send(url.expose(), &[("Content-Type", "application/json")], &body).await;
    taken(sent.map_err(|error| url.redact(&text(error)))?)
}

/// What an answer says.
struct Answer {
    status: u16,
    wait_ms: Option<u64>,
}

/// Whether the receiver has taken the message. One that refuses it for now may say for how long.
fn taken(Answer { status, wait_ms }: Answer) -> Result<(), NotSent> {
    match status {
        200..=299 => Ok(()),
        429 | 503 => Err(NotSent { error: format!("it answered {status}"), wait_ms }),
        status => Err(NotSent::from(format!("it answered {status}"))),
    }
}

/// How long it is until a date, in milliseconds.
fn until(date: &str) -> Option<u64> {
    let at = Date::parse(date);
    let at = at.is_finite().then(|| Timestamp::from_millis(at as i64)).flatten();
    at.map(|at| at.millis_since(now()))
}

/// The answer. A redirect is not followed: what is meant for one address goes nowhere else.
async fn send(url: &str, headers: &[(&str, &str)], body: &str) -> worker::Result<Answer> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(Headers::from_iter(headers.iter().copied()))
        .with_redirect(RequestRedirect::Manual)
        .with_body(Some(body.into()));
    let signal = AbortSignal::from(web_sys::AbortSignal::timeout_with_u32(TIMEOUT_MS as u32));
    let request = Request::new_with_init(url, &init)?;
    let answer = Fetch::Request(request).send_with_signal(&signal).await?;
    let status = answer.status_code();
    let retry_after = answer.headers().get("Retry-After").ok().flatten();
    let wait_ms = retry_after.and_then(|text| retry_after_ms(&text).or_else(|| until(&text)));
    // Nobody reads the rest of it, and a body that waits to be read keeps a connection: the runtime has six.
    if let ResponseBody::Stream(body) = answer.body() {
        let _ = JsFuture::from(body.cancel()).await;
    }
    Ok(Answer { status, wait_ms })
}
