//! Tokens that come in.

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::read::{Name, Whole};
use crate::service::creations::grant;
use crate::store::{Grant, MAX_TOKENS};
use crate::worker::app::App;
use crate::worker::caller::{self, Operator};
use crate::worker::extract::{Json, Nothing, Query};
use crate::worker::problem::{Answer, Problem, json};
use crate::worker::reporting::{idempotency_key, problem};

/// The body of `POST /api/grants`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantBody {
    user_id: Name,
    tokens: Whole<1, MAX_TOKENS>,
}

/// `POST /api/grants`: a user gets tokens. Repeating it with the same `Idempotency-Key` is harmless, so it needs one.
#[worker::send]
pub(in crate::worker) async fn create(
    app: App,
    _: Operator<caller::Grant>,
    headers: HeaderMap,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<GrantBody>,
) -> Answer {
    let key = idempotency_key(&headers)?.ok_or_else(|| {
        Problem::bad_request(
            "`Idempotency-Key` is missing: expected what names this grant, such as an order's id",
        )
    })?;
    let wanted = Grant { key, user_id: body.user_id.as_str(), tokens: body.tokens.get() };
    let row = grant(&app.database_of(wanted.user_id), wanted, app.now)
        .await
        .map_err(|error| problem(error, None))?;
    let answer = json!({
        "user_id": row.user_id,
        "tokens": row.tokens,
        "created_at": row.created_at,
        "balance": row.balance,
    });
    Ok(json(StatusCode::CREATED, &answer))
}
