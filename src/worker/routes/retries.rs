//! Retries of many failed creations: previewed, and then exactly those.

use axum::http::StatusCode;

use crate::worker::app::App;
use crate::worker::caller::{Operator, Read, Sweep};
use crate::worker::extract::{Json, MAX_PLAN, Nothing, Query};
use crate::worker::problem::{Answer, Problem, json};
use crate::worker::retries::{self, ApplyBody, PreviewBody};

/// `POST /api/retries/preview`: what a plan would do, or a plan of what is sought. Nothing is written.
#[worker::send]
pub(in crate::worker) async fn preview(
    app: App,
    _: Operator<Read>,
    Query(Nothing {}): Query<Nothing>,
    Json(PreviewBody { filter, plan, limit, cursor }): Json<PreviewBody, MAX_PLAN>,
) -> Answer {
    let chooses = limit.is_some() || cursor.is_some();
    let preview = match (filter, plan) {
        (None, Some(_)) if chooses => {
            return Err(Problem::bad_request(
                "a plan says itself which creations it is for: leave out `limit` and `cursor`",
            ));
        }
        (None, Some(plan)) => retries::preview(&app, &plan.planned()?).await?,
        (Some(filter), None) => {
            let limit = limit.map_or(retries::MAX_ROWS, |limit| limit.get_u32());
            let cursor = cursor.as_ref().map(|cursor| cursor.as_str());
            retries::find(&app, &filter.sought(), cursor, limit).await?
        }
        _ => return Err(Problem::bad_request("expected either `filter` or `plan`")),
    };
    Ok(json(StatusCode::OK, &preview))
}

/// `POST /api/retries`: carries out a plan.
#[worker::send]
pub(in crate::worker) async fn apply(
    app: App,
    operator: Operator<Sweep>,
    Query(Nothing {}): Query<Nothing>,
    Json(ApplyBody { plan, reason }): Json<ApplyBody, MAX_PLAN>,
) -> Answer {
    let reason = reason.as_ref().map_or("", |reason| reason.as_str());
    let outcome = retries::apply(&app, &operator.name, &plan.planned()?, reason).await?;
    Ok(json(StatusCode::OK, &outcome))
}
