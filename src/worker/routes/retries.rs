//! Retries of many failed creations: previewed, and then exactly those.

use axum::http::StatusCode;

use crate::worker::app::App;
use crate::worker::caller::{Operator, Read, Sweep};
use crate::worker::extract::{Json, MAX_PLAN, Nothing, Query};
use crate::worker::problem::{Answer, json};
use crate::worker::retries::{self, ApplyBody, PreviewBody};

/// `POST /api/retries/preview`: what a plan would do, or a plan of what is sought. Nothing is written.
#[worker::send]
pub(in crate::worker) async fn preview(
    app: App,
    _: Operator<Read>,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<PreviewBody, MAX_PLAN>,
) -> Answer {
    Ok(json(StatusCode::OK, &body.preview(&app).await?))
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
