use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker::console_error;

use crate::rules::{Report, Status, Time, Timestamp};
use crate::service::holds;
use crate::store::{self, CandidateRow, Database as _, DatabaseError, Details, Page};
use crate::texts;
use crate::worker::app::{App, Context};
use crate::worker::caller::{Owner, User};
use crate::worker::draft::{Cursor, DraftsView, Listing};
use crate::worker::extract::{Form, Json, Nothing, Path, Query};
use crate::worker::listing::{PageSize, place_on_page};
use crate::worker::one_message::{message, no_such_page, signed_out};
use crate::worker::pages::{Language, drafts_page};
use crate::worker::problem::{Answer, Problem, html, json, see_other, tagged};
use crate::worker::reporting::carry_out;
use crate::worker::retry_cancel::{By, CancelBody, PressedForm, RetryBody, cancelled, retried};
use crate::worker::{language, log, sweeping};

/// Which page of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct ListQuery {
    cursor: Option<Cursor>,
    limit: Option<PageSize>,
}

/// `GET /drafts`: the caller's drafts, as a page.
#[worker::send]
pub(in crate::worker) async fn page(
    app: App,
    user: Result<User, Problem>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let language = language::of(&app, &headers);
    let answer = page_in(&app, &language, user, &uri).await;
    Ok(language::mark(&app, &language, answer))
}

async fn page_in(app: &App, language: &Language, user: Result<User, Problem>, uri: &Uri) -> Response {
    let user_id = match user {
        Ok(User(user_id)) => user_id,
        Err(problem) => return signed_out(app, language, &texts::SIGN_IN, &problem),
    };
    let Ok(query) = place_on_page::<ListQuery>(uri) else {
        return no_such_page(language, "/drafts", &texts::BACK);
    };
    let first_page = query.cursor.is_none();
    match swept_list(app, user_id, query).await {
        Ok(view) => {
            let page = drafts_page(&view, language, &app.config.policy_json, first_page, app.demo);
            html(StatusCode::OK, page)
        }
        Err(_) => {
            let said = language.say(&texts::NOT_LOADED);
            let next = ("/drafts", &texts::TRY_AGAIN);
            message(language, StatusCode::SERVICE_UNAVAILABLE, &texts::DRAFTS, &said, next)
        }
    }
}

const NOT_LOADED: &str = "the drafts can't be loaded right now";

/// The answer of `GET /api/drafts`.
#[derive(Serialize)]
struct Drafts {
    #[serde(flatten)]
    view: DraftsView,
    policy: Value,
}

/// By what drafts are judged, as the configuration has it: a page that is open judges by it too.
fn policy(context: &Context) -> Value {
    serde_json::from_str(&context.config.policy_json).unwrap_or_default()
}

/// `GET /api/drafts`: the same as JSON.
#[worker::send]
pub(in crate::worker) async fn list(app: App, User(user_id): User, Query(query): Query<ListQuery>) -> Answer {
    let view = swept_list(&app, user_id, query).await;
    let view = view.map_err(|error| Problem::unanswered(&error, NOT_LOADED))?;
    Ok(json(StatusCode::OK, &Drafts { view, policy: policy(&app) }))
}

/// Sweeps the user's creations, then lists them. A sweep that fails does not keep the list from showing: it shows the verdicts.
async fn swept_list(
    context: &Context,
    user_id: String,
    query: ListQuery,
) -> Result<DraftsView, DatabaseError> {
    let (marked_as_failed, swept) = sweeping::by_page(context, &user_id).await;
    let limit = query.limit.map_or(context.config.page_size, PageSize::get);
    let after = query.cursor.map_or_else(Page::first, |cursor| cursor.0);
    let page = store::page(&user_id, &after, limit.saturating_add(1));
    let batch = [store::balance(&user_id), page, store::archived_of_user(&user_id)];
    let results = context.database_of(&user_id).run(&batch).await;
    let listing =
        results.and_then(|results| Listing::read(&results, limit, context.now, &context.config.policy));
    let Listing { balance, drafts, next_cursor, archived } = listing.inspect_err(|error| {
        console_error!("{}", log::failed_read(&error.to_string()));
    })?;
    // What is stale still was not carried out, also where it was set aside earlier.
    let swept = swept && drafts.iter().all(|draft| draft.verdict != "stale");
    Ok(DraftsView {
        now: context.now.as_millis(),
        user_id,
        balance,
        drafts,
        next_cursor,
        marked_as_failed,
        swept,
        archived,
    })
}

/// At most this many drafts are followed by a page that is open.
const FOLLOWED: u32 = 100;

/// The answer of `GET /api/drafts/active`, without the server's `now`.
#[derive(Serialize)]
struct ActiveDrafts {
    user_id: String,
    balance: u64,
    drafts: Vec<ActiveDraft>,
    policy: Value,
}

#[derive(Serialize)]
struct ActiveDraft {
    id: String,
    kind: String,
    status: String,
    attempt: u32,
    created_at: Option<u64>,
    queued_at: Option<u64>,
    started_at: Option<u64>,
    heartbeat_at: Option<u64>,
    extended_until: Option<u64>,
    progress: Option<u64>,
}

impl ActiveDraft {
    /// `held_until` is until when no sweep decides on it: then it has time until then.
    fn new(row: CandidateRow, held_until: Option<u64>) -> Self {
        let millis = |time: Time| time.instant().map(Timestamp::as_millis);
        ActiveDraft {
            id: row.id,
            kind: row.kind,
            status: row.status,
            attempt: row.attempt,
            created_at: millis(row.created_at),
            queued_at: millis(row.queued_at),
            started_at: millis(row.started_at),
            heartbeat_at: millis(row.heartbeat_at),
            extended_until: millis(row.extended_until).max(held_until),
            progress: row.progress,
        }
    }
}

/// `GET /api/drafts/active`: what is being generated for the caller. It sweeps nothing and reads little, and answers 304
/// while nothing has changed.
#[worker::send]
pub(in crate::worker) async fn active(app: App, User(user_id): User, headers: HeaderMap) -> Answer {
    let batch = [store::balance(&user_id), store::active_of_user(&user_id, FOLLOWED)];
    let rows = app.database_of(&user_id).run(&batch).await.and_then(|results| match results.as_slice() {
        [balance, active] => {
            let tokens = balance.first().and_then(|row| row.get("tokens")).and_then(Value::as_u64);
            let hold = active.first().and_then(|row| row.get("hold")).and_then(Value::as_u64);
            Ok((tokens.unwrap_or(0), store::candidates(active, "candidates")?, hold))
        }
        _ => Err(DatabaseError::new("expected two results")),
    });
    let (balance, rows, hold) = rows.map_err(|error| Problem::database(&error, NOT_LOADED))?;
    let held_until = hold.map(|hold| holds::until(hold, app.now).as_millis());
    let drafts = rows.into_iter().map(|row| ActiveDraft::new(row, held_until)).collect();
    let policy = policy(&app);
    tagged(&ActiveDrafts { user_id, balance, drafts, policy }, app.now.as_millis(), &headers)
}

#[derive(Serialize)]
struct Published<'a> {
    id: &'a str,
    status: &'static str,
    attempt: u32,
}

/// `POST /api/drafts/{id}/publish`
#[worker::send]
pub(in crate::worker) async fn publish(
    app: App,
    Owner(user_id): Owner,
    Path(id): Path,
    Query(Nothing {}): Query<Nothing>,
    Json(Nothing {}): Json<Nothing>,
) -> Answer {
    let details = Details { user_id: &user_id, ..Details::default() };
    let row = carry_out(&app, &id, Some(&user_id), Report::Publish, details).await?;
    let status = Status::Published.as_str();
    Ok(json(StatusCode::OK, &Published { id: &row.creation.id, status, attempt: row.creation.attempt }))
}

#[derive(Serialize)]
struct Deleted<'a> {
    id: &'a str,
    status: &'static str,
    attempt: u32,
    deleted_at: Option<u64>,
}

/// `DELETE /api/drafts/{id}`
#[worker::send]
pub(in crate::worker) async fn delete(
    app: App,
    Owner(user_id): Owner,
    Path(id): Path,
    Query(Nothing {}): Query<Nothing>,
    Json(Nothing {}): Json<Nothing>,
) -> Answer {
    let details = Details { user_id: &user_id, ..Details::default() };
    let row = carry_out(&app, &id, Some(&user_id), Report::Delete, details).await?;
    let status = row.creation.draft().status.unwrap_or(Status::Failed).as_str();
    let deleted =
        Deleted { id: &row.creation.id, status, attempt: row.creation.attempt, deleted_at: row.deleted_at };
    Ok(json(StatusCode::OK, &deleted))
}

/// `POST /api/drafts/{id}/retry`
#[worker::send]
pub(in crate::worker) async fn retry(
    app: App,
    Owner(user_id): Owner,
    Path(id): Path,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<RetryBody>,
) -> Answer {
    retried(&app, &id, Some(&user_id), By::Owner(&user_id), &body).await
}

/// `POST /api/drafts/{id}/cancel`
#[worker::send]
pub(in crate::worker) async fn cancel(
    app: App,
    Owner(user_id): Owner,
    Path(id): Path,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<CancelBody>,
) -> Answer {
    cancelled(&app, &id, Some(&user_id), By::Owner(&user_id), &body).await
}

/// `POST /drafts/retry`: a button of the page. No other site's page can press it: see `cross_site`.
#[worker::send]
pub(in crate::worker) async fn retry_on_page(
    app: App,
    user: Result<User, Problem>,
    headers: HeaderMap,
    form: Result<Form<PressedForm>, Problem>,
) -> Answer {
    let carried_out = async |user_id: &str, form: &PressedForm| {
        retried(&app, &form.id, Some(user_id), By::Owner(user_id), &form.retry()).await
    };
    Ok(pressed(&app, &headers, user, form, carried_out).await)
}

/// `POST /drafts/cancel`: the same for a cancellation.
#[worker::send]
pub(in crate::worker) async fn cancel_on_page(
    app: App,
    user: Result<User, Problem>,
    headers: HeaderMap,
    form: Result<Form<PressedForm>, Problem>,
) -> Answer {
    let carried_out = async |user_id: &str, form: &PressedForm| {
        cancelled(&app, &form.id, Some(user_id), By::Owner(user_id), &form.cancel()).await
    };
    Ok(pressed(&app, &headers, user, form, carried_out).await)
}

/// Back to the list; or what is in the way, in words.
async fn pressed(
    app: &App,
    headers: &HeaderMap,
    user: Result<User, Problem>,
    form: Result<Form<PressedForm>, Problem>,
    carried_out: impl AsyncFnOnce(&str, &PressedForm) -> Answer,
) -> Response {
    let language = language::of(app, headers);
    let User(user_id) = match user {
        Ok(user) => user,
        Err(problem) => {
            let answer = signed_out(app, &language, &texts::SIGN_IN, &problem);
            return language::mark(app, &language, answer);
        }
    };
    let answer = match form {
        Ok(Form(form)) => carried_out(&user_id, &form).await,
        Err(problem) => Err(problem),
    };
    let Err(problem) = answer else { return see_other("/drafts") };
    let said = language.problem(problem.code());
    let next = ("/drafts", &texts::BACK);
    let answer = message(&language, problem.status(), &texts::NOTHING_CHANGED, &said, next);
    language::mark(app, &language, answer)
}
