use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::store::{self, Database as _, SCHEMA_VERSION};
use crate::worker::app::{Context, Invocation, config};
use crate::worker::caller;
use crate::worker::problem::json;

type Check = Result<(), String>;

/// `GET /healthz`: the Worker runs.
pub(in crate::worker) async fn alive() -> Response {
    json(StatusCode::OK, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /readyz`: whether it can do its work; 503 names each thing that is in the way.
#[worker::send]
pub(in crate::worker) async fn ready(Invocation { env, .. }: Invocation) -> Response {
    let configuration = config(&env).map(drop).map_err(|error| error.to_string());
    let (secrets, schema, sweep) = match Context::new(&env) {
        Ok(context) => {
            let (schema, sweep) = database(&context).await;
            (caller::secrets_are_fit(&context), schema, sweep)
        }
        Err(error) => (Ok(()), Err(error.clone()), Err(error)),
    };
    let checks =
        [("configuration", configuration), ("secrets", secrets), ("schema", schema), ("sweep", sweep)];
    let ready = checks.iter().all(|(_, check)| check.is_ok());
    let text = |check: Check| check.map_or_else(Value::from, |()| Value::from("ok"));
    let checks: Map<_, _> = checks.into_iter().map(|(name, check)| (name.to_owned(), text(check))).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &json!({ "ready": ready, "checks": checks }))
}

/// Whether the schema is current, and whether the last good sweep is recent.
async fn database(context: &Context) -> (Check, Check) {
    let rows = match context.database.run(&[store::readiness()]).await {
        Ok(results) => results.into_iter().next().unwrap_or_default(),
        Err(error) => {
            let error = format!("the database does not answer as expected: apply the migrations ({error})");
            return (Err(error.clone()), Err(error));
        }
    };
    let number = |column: &str| rows.first().and_then(|row| row.get(column)).and_then(Value::as_i64);
    let schema = match number("version") {
        Some(version) if version == SCHEMA_VERSION => Ok(()),
        version => Err(format!(
            "the schema is version {}: expected {SCHEMA_VERSION}, apply the migrations",
            version.unwrap_or(0)
        )),
    };
    let limit = context.config.max_minutes_since_sweep;
    let now = i64::try_from(context.now.as_millis()).unwrap_or(i64::MAX);
    let sweep = match number("last_good_sweep").map(|finished_at| now.saturating_sub(finished_at) / 60_000) {
        Some(minutes) if minutes < i64::from(limit) => Ok(()),
        Some(minutes) => {
            Err(format!("the last good sweep was {minutes} minutes ago: expected less than {limit}"))
        }
        None => Err(String::from("no good sweep yet: expected one by the cron trigger every minute")),
    };
    (schema, sweep)
}
