//! What workers are judged by.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::rules::Limit;
use crate::worker::app::App;
use crate::worker::caller::{Operator, Report};
use crate::worker::extract::{Nothing, Query};
use crate::worker::problem::{Answer, json};

/// `GET /api/policy`: the policy as the configuration has it, and the longest that an attempt may take by it. A fleet compares that
/// with the time after which its broker delivers a task again.
#[worker::send]
pub(in crate::worker) async fn show(
    app: App,
    _: Operator<Report>,
    Query(Nothing {}): Query<Nothing>,
) -> Answer {
    // It writes nothing, and neither does anything beside it.
    app.monitors.set(false);
    let policy: Value = serde_json::from_str(&app.config.policy_json).unwrap_or_default();
    let max_run_ms = match app.config.policy.longest_run() {
        Limit::After(max_age) => Some(max_age.as_millis()),
        Limit::Never => None,
    };
    Ok(json(StatusCode::OK, &json!({ "policy": policy, "max_run_ms": max_run_ms })))
}
