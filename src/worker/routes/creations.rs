//! Creations: what operators read, and what workers and operators report.

use axum::http::{HeaderMap, StatusCode};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::read::{Address, Name, Text, Whole, whole};
use crate::rules::{
    CANCELLED, FAILED_BY_OPERATOR, GENERATION_TIMEOUT, Limit, Phase, Report, Status, Timestamp,
};
use crate::service::creations;
use crate::store::{self, Database as _, Details, MAX_TOKENS, NewCreation, Page};
use crate::worker::app::{App, creation_id};
use crate::worker::caller::{self, Operator, Sweep};
use crate::worker::courier;
use crate::worker::draft::{Cursor, Listing};
use crate::worker::extract::{Json, Nothing, Path, Query};
use crate::worker::listing::OwnerQuery;
use crate::worker::listing::{PageSize, StatusWord};
use crate::worker::problem::{Answer, json};
use crate::worker::reporting::{carry_out, idempotency_key, problem};
use crate::worker::retry_cancel::{
    By, CancelBody, FailNowBody, RetryBody, cancelled, fail_now as fail_by_hand, over, restore as restore_by,
    retried,
};
use crate::worker::shards::{self, Known};

/// The longest texts that are taken, in characters.
const MAX_NAME: usize = 200;
const MAX_TEXT: usize = 20_000;
const MAX_URL: usize = 2_048;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct ListQuery {
    user_id: Name,
    status: Option<StatusWord>,
    limit: Option<PageSize>,
    cursor: Option<Cursor>,
}

/// `GET /api/creations?user_id=`: one user's creations, the newest first, without sweeping.
#[worker::send]
pub(in crate::worker) async fn list(
    app: App,
    _: Operator<caller::Read>,
    Query(query): Query<ListQuery>,
) -> Answer {
    let user_id = query.user_id.into_string();
    let status = query.status.map(|status| status.status().as_str());
    let limit = query.limit.map_or(app.config.page_size, PageSize::get);
    let after = query.cursor.map_or_else(Page::first, |cursor| cursor.0);
    let page = store::page_of_all(&user_id, status, &after, limit.saturating_add(1));
    let batch = [store::balance(&user_id), page, store::archived_of_user(&user_id)];
    let results = app.database_of(&user_id).run(&batch).await?;
    let Listing { balance, drafts, next_cursor, archived } =
        Listing::read(&results, limit, app.now, &app.config.policy)?;
    let answer = json!({
        "now": app.now.as_millis(),
        "user_id": user_id,
        "balance": balance,
        "creations": drafts,
        "next_cursor": next_cursor,
        "archived": archived,
    });
    Ok(json(StatusCode::OK, &answer))
}

/// `GET /api/creations/{id}`: all about one creation; of one that is archived, where it is.
#[worker::send]
pub(in crate::worker) async fn explain(
    app: App,
    _: Operator<caller::Read>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
) -> Answer {
    match shards::explanation(&app, &id, user_id.as_ref().map(Name::as_str)).await? {
        Known::Here(explanation) => Ok(json(StatusCode::OK, &explanation)),
        Known::Archived(explanation) => Ok(json(StatusCode::OK, &explanation)),
    }
}

/// The body of `POST /api/creations`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    user_id: Name,
    kind: Name,
    prompt: Text<MAX_TEXT>,
    tokens: Whole<0, MAX_TOKENS>,
}

impl CreateBody {
    /// What is made, with this id.
    pub fn creation<'a>(&'a self, id: &'a str) -> NewCreation<'a> {
        NewCreation {
            id,
            user_id: self.user_id.as_str(),
            kind: self.kind.as_str(),
            prompt: self.prompt.as_str(),
            tokens: self.tokens.get(),
        }
    }
}

#[derive(Serialize)]
struct Created {
    id: String,
    user_id: String,
    kind: String,
    status: &'static str,
    attempt: u32,
    tokens: u64,
    created_at: Option<u64>,
}

/// `POST /api/creations`: makes a creation and charges its owner. Repeating it with the same `Idempotency-Key` is harmless.
#[worker::send]
pub(in crate::worker) async fn create(
    app: App,
    _: Operator<caller::Report>,
    headers: HeaderMap,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<CreateBody>,
) -> Answer {
    let id = match idempotency_key(&headers)? {
        None => app.new_creation_id(body.user_id.as_str())?,
        Some(key) => keyed_id(body.user_id.as_str(), key),
    };
    let limits = app.config.policy.max_active(body.kind.as_str());
    let database = app.database_of(body.user_id.as_str());
    let row = creations::create_within(&database, body.creation(&id), limits, app.now).await;
    let row = row.map_err(|error| problem(error, None))?.creation;
    // What was made, whatever has become of it since.
    let created = Created {
        id: row.id,
        user_id: row.user_id,
        kind: row.kind,
        status: Status::Pending.as_str(),
        attempt: 1,
        tokens: row.tokens,
        created_at: row.created_at.instant().map(Timestamp::as_millis),
    };
    // If this is lost, the creation waits until its limit, and is tried again or refunded.
    courier::offer(&app, json!(created)).await;
    Ok(json(StatusCode::CREATED, &created))
}

/// An id that the same user and key always give: the primary key keeps a repeated request from making another creation, at no
/// cost.
fn keyed_id(user_id: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(user_id.len().to_be_bytes());
    hash.update(user_id);
    hash.update(key);
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, hashed)| *byte = hashed);
    creation_id(bytes, user_id)
}

/// The body of `POST /api/creations/{id}/start`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    worker: Text<MAX_NAME>,
}

impl StartBody {
    /// As the rules take it.
    pub fn report(&self) -> Report<'_> {
        Report::Start { worker: self.worker.as_str() }
    }
}

/// `POST /api/creations/{id}/start`: a worker begins, and is given the fence that its further reports carry.
#[worker::send]
pub(in crate::worker) async fn start(
    app: App,
    _: Operator<caller::Report>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(body): Json<StartBody>,
) -> Answer {
    let random = app.random_text()?;
    let row = carry_out(
        &app,
        &id,
        user_id.as_ref().map(Name::as_str),
        body.report(),
        Details { random: &random, ..Details::default() },
    )
    .await?;
    // Once it has sent a heartbeat, this is how long it may be silent.
    let silence = match app.config.policy.limit_in(Phase::Heartbeating, &row.creation.kind).0 {
        Limit::After(max_age) => Some(max_age.as_millis()),
        Limit::Never => None,
    };
    let answer = json!({
        "id": row.creation.id,
        "status": Status::Processing.as_str(),
        "attempt": row.creation.attempt,
        "fence": row.fence,
        "user_id": row.creation.user_id,
        "kind": row.creation.kind,
        "prompt": row.prompt,
        "started_at": row.creation.started_at.instant().map(Timestamp::as_millis),
        "max_silence_ms": silence,
    });
    Ok(json(StatusCode::OK, &answer))
}

/// The body of `POST /api/creations/{id}/heartbeat`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatBody {
    fence: Text<MAX_NAME>,
    progress: Option<Percent>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Percent(#[serde(deserialize_with = "whole::<0, 100, _>")] u32);

impl HeartbeatBody {
    /// As the rules take it.
    pub fn report(&self) -> Report<'_> {
        Report::Heartbeat { fence: self.fence.as_str() }
    }

    /// How far the worker is, in percent.
    pub fn progress(&self) -> Option<u32> {
        self.progress.map(|percent| percent.0)
    }
}

/// `POST /api/creations/{id}/heartbeat`: its worker is alive.
#[worker::send]
pub(in crate::worker) async fn heartbeat(
    app: App,
    _: Operator<caller::Report>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(body): Json<HeartbeatBody>,
) -> Answer {
    let details = Details { progress: body.progress(), ..Details::default() };
    let row = carry_out(&app, &id, user_id.as_ref().map(Name::as_str), body.report(), details).await?;
    let answer = json!({
        "id": row.creation.id,
        "status": Status::Processing.as_str(),
        "attempt": row.creation.attempt,
        "heartbeat_at": row.creation.heartbeat_at.instant().map(Timestamp::as_millis),
    });
    Ok(json(StatusCode::OK, &answer))
}

/// The body of `POST /api/creations/{id}/complete`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompleteBody {
    fence: Text<MAX_NAME>,
    #[serde(deserialize_with = "address")]
    result_url: Text<MAX_URL>,
    tokens_used: Option<Whole<0, MAX_TOKENS>>,
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text<MAX_URL>, D::Error> {
    let url = Text::<MAX_URL>::deserialize(deserializer)?;
    if Address::parse(url.as_str()).is_some() {
        Ok(url)
    } else {
        let expected = "an address such as `https://files.example/fox.png`, with a host, and without a user name or white space";
        Err(D::Error::invalid_value(Unexpected::Str(url.as_str()), &expected))
    }
}

impl CompleteBody {
    /// As the rules take it.
    pub fn report(&self) -> Report<'_> {
        Report::Complete {
            fence: self.fence.as_str(),
            result_url: self.result_url.as_str(),
            tokens_used: self.tokens_used.map(Whole::get),
        }
    }
}

/// `POST /api/creations/{id}/complete`: its worker has a result.
#[worker::send]
pub(in crate::worker) async fn complete(
    app: App,
    _: Operator<caller::Report>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(body): Json<CompleteBody>,
) -> Answer {
    let details = Details { keep: app.config.policy.keeps_late_results(), ..Details::default() };
    let row = carry_out(&app, &id, user_id.as_ref().map(Name::as_str), body.report(), details).await?;
    let answer = json!({
        "id": row.creation.id,
        "status": Status::Draft.as_str(),
        "attempt": row.creation.attempt,
        "finished_at": row.finished_at,
        "tokens_used": row.used(),
        "refunded_tokens": row.refunded(),
    });
    Ok(json(StatusCode::OK, &answer))
}

/// The body of `POST /api/creations/{id}/fail`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailBody {
    fence: Option<Text<MAX_NAME>>,
    #[serde(default, deserialize_with = "own_code")]
    error_code: Option<String>,
    #[serde(default, deserialize_with = "said::<MAX_TEXT, _>")]
    error: Option<String>,
    tokens_used: Option<Whole<0, MAX_TOKENS>>,
}

/// What a worker says of a failure, cut to `MAX` characters; `None` if it is nothing. If a long or an empty text were refused, the
/// creation would go on until its limit.
fn said<'de, const MAX: usize, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    let text: String = text.chars().filter(|char| *char != '\0').take(MAX).collect();
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// Where a worker says nothing.
const NO_REASON: &str = "The worker gave no reason.";
const NO_CODE: &str = "unknown";

/// Whoever reads the code of a sweep or of a cancellation can rely on who wrote it.
fn own_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let code = said::<MAX_NAME, _>(deserializer)?;
    let others = [
        (GENERATION_TIMEOUT, "a code of your own, for this one is the sweep's"),
        (CANCELLED, "a code of your own, for this one is that of a cancellation"),
        (FAILED_BY_OPERATOR, "a code of your own, for this one is an operator's"),
    ];
    match others.into_iter().find(|(other, _)| code.as_deref() == Some(*other)) {
        Some((other, expected)) => Err(D::Error::invalid_value(Unexpected::Str(other), &expected)),
        None => Ok(code),
    }
}

impl FailBody {
    /// As the rules take it.
    pub fn report(&self) -> Report<'_> {
        let error_code = self.error_code.as_deref().unwrap_or(NO_CODE);
        Report::Fail {
            fence: self.fence.as_ref().map(Text::as_str),
            error_code,
            tokens_used: self.tokens_used.map(Whole::get),
        }
    }

    /// What the owner reads.
    pub fn error(&self) -> &str {
        self.error.as_deref().unwrap_or(NO_REASON)
    }
}

/// `POST /api/creations/{id}/fail`: its worker can't generate it; its owner is refunded.
#[worker::send]
pub(in crate::worker) async fn fail(
    app: App,
    _: Operator<caller::Report>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(body): Json<FailBody>,
) -> Answer {
    let details =
        Details { error: body.error(), notify: courier::destinations(&app).app, ..Details::default() };
    let row = carry_out(&app, &id, user_id.as_ref().map(Name::as_str), body.report(), details).await?;
    Ok(over(&row))
}

/// `POST /api/creations/{id}/restore`: an operator accepts a result that came too late, and its owner is charged again.
#[worker::send]
pub(in crate::worker) async fn restore(
    app: App,
    operator: Operator<Sweep>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(Nothing {}): Json<Nothing>,
) -> Answer {
    let row = restore_by(&app, &id, user_id.as_ref().map(Name::as_str), &operator.name).await?;
    let answer: Value = json!({
        "id": row.creation.id,
        "status": Status::Draft.as_str(),
        "attempt": row.creation.attempt,
        "restored_at": row.restored_at,
        "charged_tokens": row.charged_again.unwrap_or(0),
        "result_url": row.result_url,
    });
    Ok(json(StatusCode::OK, &answer))
}

/// `POST /api/creations/{id}/retry`: a failed creation gets another attempt, and its owner is charged again.
#[worker::send]
pub(in crate::worker) async fn retry(
    app: App,
    operator: Operator<Sweep>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(body): Json<RetryBody>,
) -> Answer {
    retried(&app, &id, user_id.as_ref().map(Name::as_str), By::Token(&operator.name), &body).await
}

/// `POST /api/creations/{id}/cancel`: nobody wants it any more.
#[worker::send]
pub(in crate::worker) async fn cancel(
    app: App,
    operator: Operator<caller::ReportOrSweep>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(body): Json<CancelBody>,
) -> Answer {
    cancelled(&app, &id, user_id.as_ref().map(Name::as_str), By::Token(&operator.name), &body).await
}

/// `POST /api/creations/{id}/fail-now`: an operator fails what is active, and its owner is refunded.
#[worker::send]
pub(in crate::worker) async fn fail_now(
    app: App,
    operator: Operator<Sweep>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(body): Json<FailNowBody>,
) -> Answer {
    let at = user_id.as_ref().map(Name::as_str);
    Ok(over(&fail_by_hand(&app, &id, at, &operator.name, &body).await?))
}
