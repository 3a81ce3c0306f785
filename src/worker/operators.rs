//! What operators read: every route here needs the scope `read`, and none writes.

use super::console;
use super::context::Context;
use super::drafts::{Listing, listing};
use super::message::{Answered, Request};
use super::sweeping::{self, Ask};
use super::{caller, respond, url, watch};
use crate::auth::Scope;
use crate::input::whole;
use crate::rules::Status;
use crate::service::monitor;
use crate::store::{self, Database as _, DatabaseError, Page, Row};
use crate::sweep::Source;
use crate::view::{self, Explained, parse_cursor};

/// The bands of age that are counted by, in minutes, if none are given.
const BANDS: &str = "30,60,1440";
const MINUTE_MS: u64 = 60_000;

/// An answer, or the status and text of an error.
pub(super) type Answer = Result<serde_json::Value, (u16, String)>;

/// Answers a `GET` below `/api/`; `None` if there is no such route.
pub(super) async fn answer(context: &Context, request: &Request, method: &str) -> Option<Answered> {
    let path = request.path();
    let id = path.strip_prefix("/api/creations/").filter(|id| !id.is_empty() && !id.contains('/'));
    let known = ["/api/creations", "/api/counts", "/api/sweeps", "/api/doctor", "/api/events"];
    if id.is_none() && !known.contains(&path) {
        return None;
    }
    if method != "GET" {
        let allow = if path == "/api/creations" { "GET, POST" } else { "GET" };
        return Some(respond::method_not_allowed(allow));
    }
    if let Err(refusal) = caller::operator(context, request, Scope::Read).await {
        return Some(respond::refused(path, refusal));
    }
    let answer = match (path, id) {
        (_, Some(id)) => explain(context, request, id).await,
        ("/api/creations", _) => creations(context, request).await,
        ("/api/counts", _) => counts(context, request).await,
        ("/api/sweeps", _) => sweeps(context, request).await,
        ("/api/events", _) => events(context, request).await,
        _ => doctor(context, request).await,
    };
    Some(match answer {
        Ok(body) => respond::json(200, &body),
        Err((status, error)) => respond::error(status, &error),
    })
}

/// `GET /api/creations?user_id=`: one user's creations, the newest first, without sweeping.
async fn creations(context: &Context, request: &Request) -> Answer {
    let known = ["user_id", "status", "limit", "cursor"];
    let [user_id, status, limit, after] = url::parameters(request, known).map_err(bad)?;
    let user_id = user_id.ok_or_else(|| bad(String::from("`user_id` is missing: expected a user's id")))?;
    let status =
        status.map(|status| status.parse::<Status>()).transpose().map_err(|error| bad(error.to_string()))?;
    let limit =
        limit.map_or(Ok(context.config.page_size), |limit| whole("limit", &limit, 1..=100)).map_err(bad)?;
    let after = after.map_or_else(|| Ok(Page::first()), |text| parse_cursor(&text)).map_err(bad)?;
    let one_more = limit.saturating_add(1);
    let page = store::page_of_all(&user_id, status.map(Status::as_str), &after, one_more);
    let Listing { balance, drafts, next_cursor } =
        listing(context, limit, &[store::balance(&user_id), page]).await.map_err(unavailable)?;
    Ok(view::creations_json(context.now, &user_id, balance, &drafts, next_cursor))
}

/// `GET /api/creations/{id}`: all about one creation.
async fn explain(context: &Context, request: &Request, id: &str) -> Answer {
    url::parameters(request, []).map_err(bad)?;
    explanation(context, id).await
}

/// All about one creation.
pub(super) async fn explanation(context: &Context, id: &str) -> Answer {
    let id = url::decode(id);
    let results = context.database.run(&store::explain(&id)).await.map_err(unavailable)?;
    let mut results = results.into_iter();
    let mut next = || results.next().unwrap_or_default();
    let rows = store::page_rows(&next()).map_err(unavailable)?;
    let creation = rows.into_iter().next().ok_or_else(|| (404, format!("there is no creation `{id}`")))?;
    let explained = Explained { creation, ledger: next(), sweeps: next(), attempts: next(), events: next() };
    Ok(view::explanation_json(context.now, explained, &context.config.policy))
}

/// `GET /api/counts?bands=30,60,1440`: active creations by age.
async fn counts(context: &Context, request: &Request) -> Answer {
    let [bands] = url::parameters(request, ["bands"]).map_err(bad)?;
    let bands = bands.as_deref().unwrap_or(BANDS);
    let wrong = || {
        bad(format!(
            "`bands` is `{bands}`: expected up to 10 ascending numbers of minutes, such as `{BANDS}`"
        ))
    };
    let minutes: Vec<u64> = bands
        .split(',')
        .map(|band| band.parse::<u32>().map(u64::from))
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())?;
    let ascending = minutes.is_sorted_by(|one, next| one < next) && minutes.first() != Some(&0);
    if !ascending || minutes.len() > 10 {
        return Err(wrong());
    }
    let bands: Vec<_> = minutes.into_iter().map(|minutes| minutes.saturating_mul(MINUTE_MS)).collect();
    let rows = only(context.database.run(&[store::count(context.now, &bands)]).await.map_err(unavailable)?);
    Ok(view::counts_json(context.now, &bands, &rows, &context.config.policy))
}

/// `GET /api/sweeps`: what ran, the newest first.
async fn sweeps(context: &Context, request: &Request) -> Answer {
    let [limit, cursor] = url::parameters(request, ["limit", "cursor"]).map_err(bad)?;
    let limit = limit.map_or(Ok(20), |limit| whole("limit", &limit, 1..=100)).map_err(bad)?;
    let id =
        |text: &String| text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if let Some(cursor) = cursor.as_ref().filter(|cursor| !id(cursor)) {
        return Err(bad(format!("`cursor` is `{cursor}`: expected the `next_cursor` of the page before")));
    }
    let statement = store::sweeps(cursor.as_deref(), limit.saturating_add(1));
    let rows = only(context.database.run(&[statement]).await.map_err(unavailable)?);
    Ok(view::sweeps_json(context.now, rows, limit as usize))
}

/// `GET /api/events?state=dead`: what has not been delivered, the first due first.
async fn events(context: &Context, request: &Request) -> Answer {
    let [state, limit, cursor] = url::parameters(request, ["state", "limit", "cursor"]).map_err(bad)?;
    let state = state.unwrap_or_else(|| String::from("dead"));
    if state != "dead" && state != "due" {
        return Err(bad(format!("`state` is `{state}`: expected `dead` or `due`")));
    }
    let limit = limit.map_or(Ok(20), |limit| whole("limit", &limit, 1..=100)).map_err(bad)?;
    let after = match &cursor {
        None => (-1, ""),
        Some(text) => {
            text.split_once('.').and_then(|(due_at, id)| Some((due_at.parse().ok()?, id))).ok_or_else(
                || bad(format!("`cursor` is `{text}`: expected the `next_cursor` of the page before")),
            )?
        }
    };
    let statement = store::events(&state, after, limit.saturating_add(1));
    let rows = only(context.database.run(&[statement]).await.map_err(unavailable)?);
    Ok(view::events_json(context.now, rows, limit as usize))
}

/// `GET /api/doctor`: likely root causes, with their evidence.
async fn doctor(context: &Context, request: &Request) -> Answer {
    url::parameters(request, []).map_err(bad)?;
    // What a sweep would do is known by asking for one that writes nothing.
    let dry_run = Ask { dry_run: true, ..Ask::new(context, Source::Endpoint) };
    let (_, report) =
        sweeping::run(context, dry_run).await.map_err(|error| unavailable(DatabaseError::new(error)))?;
    let stale = report.failed.len().saturating_add(report.retried.len()) as u64;
    let settings = watch::settings(context);
    let health = monitor::diagnose(&context.database, &settings, context.now, Some(stale)).await;
    let findings = health.map_err(unavailable)?.findings;
    Ok(view::diagnosis_json(context.now, &findings))
}

fn only(results: Vec<Vec<Row>>) -> Vec<Row> {
    results.into_iter().next().unwrap_or_default()
}

const fn bad(error: String) -> (u16, String) {
    (400, error)
}

fn unavailable(error: DatabaseError) -> (u16, String) {
    console::error(&view::failed_read_line(&error.to_string()));
    (503, String::from("the database does not answer right now: see /readyz"))
}
