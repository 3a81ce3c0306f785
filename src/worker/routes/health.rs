use axum::http::StatusCode;
use axum::response::Response;
use js_sys::Reflect;
use serde_json::{Map, Value, json};
use worker::{Env, console_error};

use crate::store::{self, Database as _, SCHEMA_VERSION};
use crate::worker::app::{Context, Invocation, config};
use crate::worker::problem::json;
use crate::worker::{caller, log};

type Check = Result<(), String>;

const NO_ANSWER: &str = "the database does not answer right now: the log says why";

/// `GET /healthz`: the Worker runs.
pub(in crate::worker) async fn alive() -> Response {
    json(StatusCode::OK, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /readyz`: whether it can do its work; 503 names each thing that is in the way.
#[worker::send]
pub(in crate::worker) async fn ready(Invocation { env, .. }: Invocation) -> Response {
    let configuration = config(&env).map_err(|error| error.to_string()).and_then(|_| bindings(&env));
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
        // Anybody may ask: the database's own words go to the log.
        Err(error) => {
            let error = error.to_string();
            console_error!("{}", log::failed_read(&error));
            let missing = ["no such table", "no such column"].iter().any(|missing| error.contains(missing));
            let check = if missing { "the schema is not there: apply the migrations" } else { NO_ANSWER };
            return (Err(String::from(check)), Err(String::from(check)));
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

/// Whether each binding that is there is what its name stands for. None of these is needed, so a wrong one would go unnoticed.
fn bindings(env: &Env) -> Check {
    let writes = Reflect::get(env, &"ANALYTICS".into())
        .and_then(|dataset| Reflect::has(&dataset, &"writeDataPoint".into()));
    for (name, valid, expected) in [
        ("RATE_LIMITER", env.rate_limiter("RATE_LIMITER").is_ok(), "ratelimits"),
        ("ANALYTICS", writes.unwrap_or(false), "analytics_engine_datasets"),
        ("EVENTS", env.queue("EVENTS").is_ok(), "queues.producers"),
        ("GENERATIONS", env.queue("GENERATIONS").is_ok(), "queues.producers"),
    ] {
        if !valid && Reflect::has(env, &name.into()).unwrap_or(false) {
            return Err(format!("the binding `{name}` is of another kind: expected one of `[[{expected}]]`"));
        }
    }
    Ok(())
}
