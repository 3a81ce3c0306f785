use super::console;
use super::context::Context;
use super::message::{Answered, Request};
use super::{caller, respond, sweeping, url};
use crate::input::{parameters, whole};
use crate::service::sweep::Source;
use crate::store::{self, Database as _, DatabaseError, Page};
use crate::view::{
    self, DraftView, DraftsView, cursor, drafts_page, failed_sweep_line, message_page, parse_cursor,
};
use serde_json::Value;

/// `GET /drafts`: the caller's drafts, as a page.
pub(super) async fn page(context: &Context, request: &Request) -> Answered {
    let user_id = match caller::user(context, request).await {
        Ok(user_id) => user_id,
        Err(reason) => return respond::sign_in("/drafts", &reason, context.demo),
    };
    // Links to a page gather parameters of other people's.
    let mut own = url::query(request);
    own.retain(|(key, _)| PLACE.contains(&key.as_str()));
    let (after, limit) = match place(context, own) {
        Ok(place) => place,
        Err(error) => return respond::html(400, message_page("There is no such page", &error, false)),
    };
    match list(context, &user_id, &after, limit).await {
        Ok(view) => respond::html(
            200,
            drafts_page(&view, &context.config.policy_json, after == Page::first(), context.demo),
        ),
        Err(_) => {
            let message = "Your drafts can't be loaded right now. Nothing is lost; try again in a minute.";
            respond::html(503, message_page("Drafts", message, false))
        }
    }
}

/// `GET /api/drafts`: the same as JSON.
pub(super) async fn api(context: &Context, request: &Request) -> Answered {
    let user_id = match caller::user(context, request).await {
        Ok(user_id) => user_id,
        Err(reason) => return respond::unauthorized("/api/drafts", &reason),
    };
    let (after, limit) = match place(context, url::query(request)) {
        Ok(place) => place,
        Err(error) => return respond::bad_request(&error),
    };
    match list(context, &user_id, &after, limit).await {
        Ok(view) => respond::json(200, &view),
        Err(_) => respond::error(503, "the drafts can't be loaded right now"),
    }
}

/// At most this many drafts are followed by a page that is open.
const FOLLOWED: u32 = 100;

/// `GET /api/drafts/active`: what is being generated for the caller. It sweeps nothing and reads little, and answers 304
/// while nothing has changed.
pub(super) async fn active(context: &Context, request: &Request) -> Answered {
    let user_id = match caller::user(context, request).await {
        Ok(user_id) => user_id,
        Err(reason) => return respond::unauthorized("/api/drafts/active", &reason),
    };
    let batch = [store::balance(&user_id), store::active_of_user(&user_id, FOLLOWED)];
    let rows = context.database.run(&batch).await.and_then(|results| match results.as_slice() {
        [balance, active] => {
            let tokens = balance.first().and_then(|row| row.get("tokens")).and_then(Value::as_u64);
            Ok((tokens.unwrap_or(0), store::candidates(active, "candidates")?))
        }
        _ => Err(DatabaseError::new("expected two results")),
    });
    match rows {
        Ok((balance, rows)) => {
            let known = request.header("If-None-Match");
            respond::tagged(&view::active_json(&user_id, balance, &rows), context.now, known.as_deref())
        }
        Err(error) => {
            console::error(&view::failed_read_line(&error.to_string()));
            respond::error(503, "the drafts can't be loaded right now")
        }
    }
}

/// The parameters that say which page of the list.
const PLACE: [&str; 2] = ["cursor", "limit"];

fn place(context: &Context, pairs: Vec<(String, String)>) -> Result<(Page, u32), String> {
    let [cursor, limit] = parameters(pairs, PLACE)?;
    Ok((
        cursor.map_or_else(|| Ok(Page::first()), |text| parse_cursor(&text))?,
        limit.map_or(Ok(context.config.page_size), |limit| whole("limit", &limit, 1..=100))?,
    ))
}

/// Sweeps the user's creations, then lists them. A sweep that fails does not keep the list from showing: what
/// is shown is the verdict.
async fn list(
    context: &Context,
    user_id: &str,
    after: &Page,
    limit: u32,
) -> Result<DraftsView, DatabaseError> {
    let ask = sweeping::Ask {
        actor: Some(user_id),
        user_id: Some(user_id),
        ..sweeping::Ask::new(context, Source::Page)
    };
    let swept = sweeping::run(context, ask).await;
    let batch = [store::balance(user_id), store::page(user_id, after, limit.saturating_add(1))];
    read(context, user_id, limit, swept.map(|(_, report)| report.failed.len()), &batch)
        .await
        .inspect_err(|error| console::error(&failed_sweep_line("", Source::Page, &error.to_string())))
}

async fn read(
    context: &Context,
    user_id: &str,
    limit: u32,
    swept: Result<usize, String>,
    batch: &[store::Statement],
) -> Result<DraftsView, DatabaseError> {
    let Listing { balance, drafts, next_cursor } = listing(context, limit, batch).await?;
    Ok(DraftsView {
        now: context.now.as_millis(),
        user_id: user_id.to_owned(),
        balance,
        drafts,
        next_cursor,
        marked_as_failed: *swept.as_ref().unwrap_or(&0),
        swept: swept.is_ok(),
    })
}

/// One page of a user's creations.
pub(super) struct Listing {
    pub(super) balance: u64,
    pub(super) drafts: Vec<DraftView>,
    pub(super) next_cursor: Option<String>,
}

/// Reads a page: `batch` asks for the balance, and for one creation more than `limit`, to know whether there is a next
/// page.
pub(super) async fn listing(
    context: &Context,
    limit: u32,
    batch: &[store::Statement],
) -> Result<Listing, DatabaseError> {
    let results = context.database.run(batch).await?;
    let [balance, page] = results.as_slice() else {
        return Err(DatabaseError::new("expected two results"));
    };
    let balance = balance.first().and_then(|row| row.get("tokens")).and_then(Value::as_u64);
    let mut rows = store::page_rows(page)?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| more);
    let next_cursor = last.map(|row| cursor(&Page { listed_at: row.listed_at, id: row.creation.id.clone() }));
    let view = |row| DraftView::new(row, context.now, &context.config.policy);
    Ok(Listing { balance: balance.unwrap_or(0), drafts: rows.into_iter().map(view).collect(), next_cursor })
}
