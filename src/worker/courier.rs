//! Carries events: to Cloudflare Queues and to a webhook.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use js_sys::JSON;
use serde_json::{Value, json};
use worker::{
    AbortSignal, Fetch, Headers, Method, QueueContentType, RawMessageBuilder, Request, RequestInit,
    RequestRedirect, console_error,
};

use super::app::Context;
use super::log;
use crate::store::destinations::{QUEUE, WEBHOOK, WORKERS};
use crate::store::{self, Claimed, Database as _, Outcome};
use crate::sweep::Notify;

/// The bindings of the queues.
const EVENTS: &str = "EVENTS";
const GENERATIONS: &str = "GENERATIONS";

/// At most so many events are delivered by one invocation.
const EVENTS_PER_RUN: u32 = 50;
const TIMEOUT_MS: u32 = 10_000;

/// Where events go.
pub(super) fn destinations(context: &Context) -> Notify {
    let bit = |there: bool, bit| if there { bit } else { 0 };
    let bound = |name| context.env.queue(name).is_ok();
    let app = bit(bound(EVENTS), QUEUE) | bit(context.config.webhook_url.is_some(), WEBHOOK);
    Notify { app, retry: app | bit(bound(GENERATIONS), WORKERS) }
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

/// Delivers what is due.
pub(super) async fn deliver(context: &Context) {
    if destinations(context).retry == 0 {
        return;
    }
    if let Err(error) = try_deliver(context).await {
        console_error!("{}", log::failed_delivery("outbox", &error.to_string()));
    }
}

async fn try_deliver(context: &Context) -> Result<(), store::DatabaseError> {
    let results = context.database.run(&[store::claim(context.now, EVENTS_PER_RUN)]).await?;
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
            console_error!("{}", log::failed_delivery(target, &error));
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
    let sent = enqueue(context, name, &bodies).await;
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.left & bit != 0) {
        note(outcome, bit, name, sent.clone());
    }
}

/// Sends each body, a JSON text, as a message of its own.
async fn enqueue(context: &Context, name: &str, bodies: &[&str]) -> Result<(), String> {
    let queue = context.env.queue(name).map_err(|_| format!("there is no binding `{name}`"))?;
    let message = |body: &&str| {
        // Parsed by the runtime: serde would make a `Map` of an object, which a queue delivers empty.
        let body = JSON::parse(body)?;
        Ok(RawMessageBuilder::new(body).build_with_content_type(QueueContentType::Json))
    };
    let messages = bodies.iter().map(message).collect::<worker::Result<Vec<_>>>().map_err(text)?;
    queue.send_raw_batch(messages).await.map_err(text)
}

/// An error's own words.
fn text(error: worker::Error) -> String {
    match error {
        worker::Error::UnknownJsError { message, .. } => message,
        error => error.to_string(),
    }
}

/// Sends an event as Standard Webhooks has it: <https://www.standardwebhooks.com>.
async fn post(context: &Context, event: &Claimed) -> Result<(), String> {
    let Some(url) = &context.config.webhook_url else {
        return Err(String::from("`webhook_url` is not set"));
    };
    let secret = context.secret("WEBHOOK_SECRET").map_err(|error| error.to_string())?;
    let seconds = (context.now.as_millis() / 1_000).to_string();
    let signature = STANDARD.encode(secret.sign(&[&event.id, ".", &seconds, ".", &event.body]));
    let headers = [
        ("Content-Type", "application/json"),
        ("webhook-id", &event.id),
        ("webhook-timestamp", &seconds),
        ("webhook-signature", &format!("v1,{signature}")),
    ];
    match send(url, &headers, &event.body).await.map_err(text)? {
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
    let signal = AbortSignal::from(web_sys::AbortSignal::timeout_with_u32(TIMEOUT_MS));
    let request = Request::new_with_init(url, &init)?;
    Ok(Fetch::Request(request).send_with_signal(&signal).await?.status_code())
}
