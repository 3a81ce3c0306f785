use serde_json::{Value, json};
use wasm_bindgen::JsValue;

use super::context::{Context, config};
use super::message::Answered;
use super::{caller, respond};
use crate::store::{self, Database as _, SCHEMA_VERSION};

/// `GET /healthz`: the Worker runs.
pub(super) fn alive() -> Answered {
    respond::json(200, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /readyz`: whether it can do its work; 503 names each thing that is in the way.
pub(super) async fn ready(env: &JsValue) -> Answered {
    let configuration = config(env).map(drop).map_err(|error| error.to_string());
    let (secrets, schema, sweep) = match Context::scheduled(env) {
        Ok(context) => {
            let (schema, sweep) = database(&context).await;
            (caller::secrets_are_fit(&context), schema, sweep)
        }
        Err(error) => (Ok(()), Err(error.clone()), Err(error)),
    };
    let checks =
        [("configuration", configuration), ("secrets", secrets), ("schema", schema), ("sweep", sweep)];
    let ready = checks.iter().all(|(_, check)| check.is_ok());
    let checks: serde_json::Map<_, _> = checks
        .into_iter()
        .map(|(name, check)| (name.to_owned(), check.map_or_else(Value::from, |()| Value::from("ok"))))
        .collect();
    respond::json(if ready { 200 } else { 503 }, &json!({ "ready": ready, "checks": checks }))
}

type Check = Result<(), String>;

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
