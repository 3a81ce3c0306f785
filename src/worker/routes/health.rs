use axum::http::StatusCode;
use axum::response::Response;
use js_sys::Reflect;
use serde_json::{Map, Value, json};
use worker::{Env, console_error};

use crate::rules::Suspension;
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
    let ok = |check: Check| check.map(|()| "ok");
    let checks = [
        ("configuration", ok(configuration)),
        ("secrets", ok(secrets)),
        ("schema", ok(schema)),
        ("sweep", sweep),
    ];
    let ready = checks.iter().all(|(_, check)| check.is_ok());
    let text = |check: Result<&str, String>| check.map_or_else(Value::from, Value::from);
    let checks: Map<_, _> = checks.into_iter().map(|(name, check)| (name.to_owned(), text(check))).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &json!({ "ready": ready, "checks": checks }))
}

/// Whether the schema is current; and whether the cron trigger sweeps, or what else is right about that.
async fn database(context: &Context) -> (Check, Result<&'static str, String>) {
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
    if let Err(error) = &schema {
        // Whether it sweeps is no other question.
        return (schema.clone(), Err(error.clone()));
    }
    if let Some(held) = held(context).await {
        return (schema, Ok(held));
    }
    let limit = context.config.max_minutes_since_sweep;
    let now = i64::try_from(context.now.as_millis()).unwrap_or(i64::MAX);
    let sweep = match number("last_run").map(|finished_at| now.saturating_sub(finished_at) / 60_000) {
        _ if limit == 0 => Ok("not expected: `max_minutes_since_sweep` is 0"),
        Some(minutes) if minutes < i64::from(limit) => Ok("ok"),
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

/// What holds sweeping: neither a fault of the cron trigger, nor a reason to send nobody here.
async fn held(context: &Context) -> Option<&'static str> {
    let rows = context.database.run(&[store::suspension()]).await.ok()?.into_iter().next()?;
    Some(match store::suspended(&rows)? {
        Suspension::Paused { .. } => "held: an operator paused sweeping",
        Suspension::BreakerOpen { .. } => "held: the circuit breaker is open",
    })
}
