//! Creations found by what they are.

use axum::http::StatusCode;

use crate::worker::app::App;
use crate::worker::caller::{Operator, Read};
use crate::worker::exploring::ExplorerQuery;
use crate::worker::extract::Query;
use crate::worker::problem::{Answer, json};

/// `GET /api/search`: creations found by what they are, without sweeping.
#[worker::send]
pub(in crate::worker) async fn search(
    app: App,
    _: Operator<Read>,
    Query(query): Query<ExplorerQuery>,
) -> Answer {
    Ok(json(StatusCode::OK, &query.find(&app).await?))
}
