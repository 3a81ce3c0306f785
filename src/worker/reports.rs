//! What workers, owners and operators report. The routes convert; `crate::report` carries out.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::body;
use super::console;
use super::context::Context;
use super::message::{Answered, Request};
use super::{caller, outbox, respond, url};
use crate::auth::Scope;
use crate::input::{Asked, Fields, Reported};
use crate::report::{ReportError, create, report};
use crate::rules::{Refusal, Report};
use crate::store::{self, Database as _, Details, NewCreation};
use crate::view;

/// The status and body of an answer.
type Answer = (u16, Value);

/// Answers a report; `None` if there is no such route.
pub(super) async fn answer(context: &Context, request: &Request, method: &str) -> Option<Answered> {
    let path = request.path();
    let parts: Vec<_> = path.strip_prefix("/api/")?.split('/').collect();
    let (allow, answer) = match (method, parts.as_slice()) {
        ("POST", ["creations"]) => ("", made(context, request).await),
        ("POST", ["creations", id, verb @ ("start" | "heartbeat" | "complete" | "fail")]) => {
            ("", worked(context, request, id, verb).await)
        }
        ("POST", ["events", "replay"]) => ("", replayed(context, request).await),
        (_, ["events", "replay"]) => ("POST", Err(bad(String::new()))),
        ("POST", ["creations", id, "restore"]) => ("", restored(context, request, id).await),
        ("POST", ["drafts", id, "publish"]) => ("", owned(context, request, id, Report::Publish).await),
        ("DELETE", ["drafts", id]) => ("", owned(context, request, id, Report::Delete).await),
        (_, ["creations", _, "start" | "heartbeat" | "complete" | "fail" | "restore"])
        | (_, ["drafts", _, "publish"]) => ("POST", Err(bad(String::new()))),
        (_, ["drafts", id]) if *id != "active" => ("DELETE", Err(bad(String::new()))),
        _ => return None,
    };
    if !allow.is_empty() {
        return Some(respond::method_not_allowed(allow));
    }
    Some(match answer {
        Ok((status, body)) => respond::json(status, &body),
        Err(Failure::Answer(status, body)) => respond::json(status, &body),
        Err(Failure::Caller(refusal)) => respond::refused(path, refusal),
    })
}

/// Why there is no good answer.
enum Failure {
    Caller(caller::Refusal),
    Answer(u16, Value),
}

impl From<caller::Refusal> for Failure {
    fn from(refusal: caller::Refusal) -> Self {
        Failure::Caller(refusal)
    }
}

fn bad(error: String) -> Failure {
    Failure::Answer(400, json!({ "error": error }))
}

async fn fields(request: &Request) -> Result<Fields, Failure> {
    url::parameters(request, []).map_err(bad)?;
    let unread = |(status, error)| Failure::Answer(status, json!({ "error": error }));
    let text = body::text(request).await.map_err(unread)?;
    Fields::read(&text).map_err(bad)
}

/// `POST /api/creations`: makes a creation and charges its owner.
async fn made(context: &Context, request: &Request) -> Result<Answer, Failure> {
    caller::operator(context, request, Scope::Report).await?;
    let key = request.header("Idempotency-Key");
    let Asked { user_id, kind, prompt, tokens } = Asked::read(fields(request).await?).map_err(bad)?;
    let id = match key {
        None => context.new_id().map_err(bad)?,
        Some(key) => keyed_id(&user_id, Asked::key(&key).map_err(bad)?),
    };
    let new = NewCreation { id: &id, user_id: &user_id, kind: &kind, prompt: &prompt, tokens };
    match create(&context.database, new, context.now).await {
        Ok(row) => {
            let answer = view::created_json(&row);
            // If this is lost, the creation waits until its limit, and is tried again or refunded.
            outbox::offer(context, &answer).await;
            Ok((201, answer))
        }
        Err(error) => Err(failure(error, false)),
    }
}

/// An id that the same user and key always give: the primary key keeps a repeated request from making another
/// creation, at no cost.
fn keyed_id(user_id: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(user_id.len().to_be_bytes());
    hash.update(user_id);
    hash.update(key);
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, hashed)| *byte = hashed);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string()
}

/// `POST /api/creations/{id}/start` and the others of a worker.
async fn worked(context: &Context, request: &Request, id: &str, verb: &str) -> Result<Answer, Failure> {
    caller::operator(context, request, Scope::Report).await?;
    let reported = Reported::read(verb, fields(request).await?).map_err(bad)?;
    let mut details = Details { keep: context.config.policy.keeps_late_results(), ..Details::default() };
    let random;
    match &reported {
        Reported::Start { .. } => {
            random = context.random_text().map_err(bad)?;
            details.random = &random;
        }
        Reported::Heartbeat { progress, .. } => details.progress = *progress,
        Reported::Complete { .. } => {}
        Reported::Fail { error, .. } => {
            details.error = error;
            details.notify = context.notify().app;
        }
    }
    carry_out(context, id, reported.report(), details).await
}

/// `POST /api/creations/{id}/restore`: an operator's.
async fn restored(context: &Context, request: &Request, id: &str) -> Result<Answer, Failure> {
    let actor = caller::operator(context, request, Scope::Sweep).await?;
    fields(request).await?.end().map_err(bad)?;
    let details = Details { notify: context.notify().app, ..Details::default() };
    let answer = carry_out(context, id, Report::Restore, details).await?;
    console::log(&view::restored_line(&url::decode(id), &actor));
    Ok(answer)
}

/// `POST /api/events/replay`: dead events are tried again, those in `ids` or all of them.
async fn replayed(context: &Context, request: &Request) -> Result<Answer, Failure> {
    caller::operator(context, request, Scope::Sweep).await?;
    let mut fields = fields(request).await?;
    let ids = fields.texts("ids", 1_000).map_err(bad)?;
    fields.end().map_err(bad)?;
    let ids: Option<Vec<_>> = ids.as_ref().map(|ids| ids.iter().map(String::as_str).collect());
    let results = context.database.run(&[store::replay(ids.as_deref(), context.now)]).await;
    let rows = results.map_err(|error| failure(ReportError::Database(error), false))?;
    let replayed = rows.first().map_or(0, Vec::len);
    context.tell.set(replayed > 0);
    Ok((200, json!({ "replayed": replayed })))
}

/// What an owner does. By the header only, and not by the cookie: no other site can make a browser send it.
async fn owned(
    context: &Context,
    request: &Request,
    id: &str,
    report: Report<'_>,
) -> Result<Answer, Failure> {
    if request.header("Authorization").is_none() {
        return Err(caller::Refusal::Unauthorized(String::from("no `Authorization` header")).into());
    }
    let user_id = caller::user(context, request)
        .await
        .map_err(|reason| Failure::Caller(caller::Refusal::Unauthorized(reason)))?;
    fields(request).await?.end().map_err(bad)?;
    carry_out(context, id, report, Details { user_id: &user_id, ..Details::default() }).await
}

async fn carry_out(
    context: &Context,
    id: &str,
    what: Report<'_>,
    details: Details<'_>,
) -> Result<Answer, Failure> {
    let keep = details.keep;
    match report(&context.database, &url::decode(id), what, details, context.now).await {
        Ok(row) => {
            context.tell.set(details.notify != 0);
            Ok((200, view::reported_json(&what, &row, &context.config.policy)))
        }
        Err(error) => {
            let late = keep && matches!(what, Report::Complete { .. });
            Err(failure(error, late))
        }
    }
}

fn failure(error: ReportError, late: bool) -> Failure {
    let (status, body) = match error {
        ReportError::NotFound => (404, json!({ "error": "there is no such creation" })),
        ReportError::Refused { refusal, standing } => {
            let kept = late && refusal == Refusal::Over && standing.late_at.is_some();
            (409, view::refused_json(refusal, &standing, kept))
        }
        ReportError::InsufficientTokens { balance, tokens } => {
            let error = "insufficient tokens: the balance does not cover the charge";
            (402, json!({ "error": error, "balance": balance, "tokens": tokens }))
        }
        ReportError::Different => (
            422,
            json!({ "error": "this `Idempotency-Key` was used for another creation: expected the same body" }),
        ),
        ReportError::Database(error) => {
            console::error(&view::failed_read_line(&error.to_string()));
            let error = "the database does not answer right now: repeat the request, it does no harm";
            (503, json!({ "error": error }))
        }
    };
    Failure::Answer(status, body)
}
