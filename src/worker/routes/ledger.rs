//! An owner's money: the balance, and where each token went.

use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::read::Name;
use crate::store::{self, Database as _, LedgerPlace};
use crate::texts;
use crate::worker::app::{App, Context};
use crate::worker::caller::{User, Whose};
use crate::worker::extract::Query;
use crate::worker::ledger::{LedgerCursor, LedgerView};
use crate::worker::listing::{PageSize, place_on_page};
use crate::worker::one_message::{message, no_such_page, signed_out};
use crate::worker::pages::{Language, ledger_page};
use crate::worker::problem::{Answer, Problem, html, json};
use crate::worker::{language, sweeping};

/// `user_id` is read by [`Whose`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct BalanceQuery {
    #[serde(rename = "user_id")]
    _user_id: Option<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct LedgerQuery {
    #[serde(rename = "user_id")]
    _user_id: Option<Name>,
    limit: Option<PageSize>,
    cursor: Option<LedgerCursor>,
}

#[derive(Serialize)]
struct Balance {
    now: u64,
    user_id: String,
    balance: u64,
    swept: Option<bool>,
}

/// Sweeps the owner's creations, so that what is due comes back first. An operator asks for what is there.
async fn swept(context: &Context, whose: &Whose) -> Option<bool> {
    match whose {
        Whose::Own(user_id) => Some(sweeping::by_page(context, user_id).await.1),
        Whose::Asked(_) => None,
    }
}

/// `GET /api/balance`: the caller's balance, or with `user_id` a user's, for an operator.
#[worker::send]
pub(in crate::worker) async fn balance(app: App, whose: Whose, Query(_): Query<BalanceQuery>) -> Answer {
    let swept = swept(&app, &whose).await;
    let user_id = whose.into_user();
    let results = app.database_of(&user_id).run(&[store::balance(&user_id)]).await?;
    let row = results.first().and_then(|rows| rows.first());
    let balance = row.and_then(|row| row.get("tokens")).and_then(Value::as_u64).unwrap_or(0);
    Ok(json(StatusCode::OK, &Balance { now: app.now.as_millis(), user_id, balance, swept }))
}

/// `GET /api/ledger`: the caller's ledger, or with `user_id` a user's, for an operator.
#[worker::send]
pub(in crate::worker) async fn list(app: App, whose: Whose, Query(query): Query<LedgerQuery>) -> Answer {
    Ok(json(StatusCode::OK, &view(&app, whose, query).await?))
}

async fn view(context: &Context, whose: Whose, query: LedgerQuery) -> Result<LedgerView, Problem> {
    let swept = swept(context, &whose).await;
    let user_id = whose.into_user();
    let limit = query.limit.map_or(context.config.page_size, PageSize::get);
    let after = query.cursor.map_or_else(LedgerPlace::first, |cursor| cursor.0);
    let page = store::ledger_page(&user_id, &after, limit.saturating_add(1));
    let batch = [store::balance(&user_id), page, store::archived_money(&user_id)];
    let results = context.database_of(&user_id).run(&batch).await?;
    Ok(LedgerView::read(&results, limit, user_id, context.now, swept)?)
}

/// `GET /drafts/tokens`: the same for the caller, as a page.
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
        Err(problem) => return signed_out(app, language, &texts::SIGN_IN_FOR_TOKENS, &problem),
    };
    let Ok(query) = place_on_page::<LedgerQuery>(uri) else {
        return no_such_page(language, "/drafts/tokens", &texts::BACK_TO_TOKENS);
    };
    let first_page = query.cursor.is_none();
    match view(app, Whose::Own(user_id), query).await {
        Ok(view) => html(StatusCode::OK, ledger_page(&view, language, first_page)),
        Err(_) => {
            let said = language.say(&texts::TOKENS_NOT_LOADED);
            let next = ("/drafts/tokens", &texts::TRY_AGAIN);
            message(language, StatusCode::SERVICE_UNAVAILABLE, &texts::LEDGER, &said, next)
        }
    }
}
