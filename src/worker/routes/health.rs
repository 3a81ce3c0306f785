use axum::http::StatusCode;
use axum::response::Response;
use js_sys::Reflect;
use serde_json::{Map, Value, json};
use worker::{Env, console_error};

use crate::config::Config;
use crate::rules::{Evidence, Finding, Severity, Suspension, WITHOUT_SCHEMA, alerts, apply_migrations};
use crate::service::placement::{Look, placed};
use crate::service::shards::run_each;
use crate::store::{self, DatabaseError, Row, SCHEMA_VERSION};
use crate::worker::app::{Context, Invocation, config};
use crate::worker::archive::{ARCHIVE, NO_BUCKET};
use crate::worker::asking::{self, ASK};
use crate::worker::problem::json;
use crate::worker::{caller, log};

type Check = Result<(), String>;
/// What a database has answered.
type Answer = Result<Vec<Vec<Row>>, DatabaseError>;

const NO_ANSWER: &str = "the database does not answer right now: the log says why";

/// `GET /healthz`: the Worker runs.
pub(in crate::worker) async fn alive() -> Response {
    json(StatusCode::OK, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /readyz`: whether it can do its work; 503 names each thing that is in the way.
#[worker::send]
pub(in crate::worker) async fn ready(Invocation { env, .. }: Invocation) -> Response {
    let configuration = config(&env).map_err(|error| error.to_string());
    let configuration = configuration.and_then(|config| {
        bindings(&env)?;
        archive(&env, &config)?;
        asking::is_fit(&env, config.ask.as_ref())
    });
    let (secrets, schema, sweep, placement) = match Context::new(&env) {
        Ok(context) => {
            let (schema, sweep) = databases(&context).await;
            (caller::secrets_are_fit(&context), schema, sweep, placement(&context).await)
        }
        Err(error) => (Ok(()), Err(error.clone()), Err(error), Vec::new()),
    };
    let ok = |check: Check| check.map(|()| "ok");
    let mut checks = vec![
        ("configuration", ok(configuration)),
        ("secrets", ok(secrets)),
        ("schema", ok(schema)),
        ("sweep", sweep),
    ];
    checks.extend(placement.into_iter().map(|(name, check)| (name, ok(check))));
    let ready = checks.iter().all(|(_, check)| check.is_ok());
    let text = |check: Result<&str, String>| check.map_or_else(Value::from, Value::from);
    let checks: Map<_, _> = checks.into_iter().map(|(name, check)| (name.to_owned(), text(check))).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &json!({ "ready": ready, "checks": checks }))
}

/// The same of every database. What is in the way of one of several says which.
async fn databases(context: &Context) -> (Check, Result<&'static str, String>) {
    let shards = context.shards();
    let several = shards.len() > 1;
    let answers = run_each(&shards, &[store::readiness()]).await;
    let suspensions = run_each(&shards, &[store::suspension()]).await;
    let (mut schema, mut sweep) = (Ok(()), Ok("ok"));
    for ((shard, answer), suspension) in shards.iter().zip(answers).zip(suspensions) {
        let migrate = match several {
            true => format!("apply the migrations: {}", apply_migrations(shard.name)),
            false => String::from("apply the migrations"),
        };
        let (own_schema, own_sweep) = check(context, answer, suspension, &migrate);
        let of = |error: String| if several { format!("`{}`: {error}", shard.name) } else { error };
        schema = both(schema, own_schema.map_err(of), |(), ()| ());
        sweep = both(sweep, own_sweep.map_err(of), |one, other| if one == "ok" { other } else { one });
    }
    (schema, sweep)
}

/// Of several databases, and of one that was one of several, whether a move of users goes on, or else holds none of them; and whether each has
/// the buckets that the configuration gives it. What does not answer is not moved.
async fn placement(context: &Context) -> Vec<(&'static str, Check)> {
    let shards = context.shards();
    let several = shards.len() > 1;
    let answers = run_each(&shards, &[store::identity(), store::open_moves()]).await;
    let mut evidence = Evidence { max_ms_since_sweep: u64::MAX, ..Evidence::default() };
    let mut recorded = Vec::new();
    for (shard, answer) in shards.iter().zip(answers) {
        let read = |results: Vec<Vec<Row>>| {
            let mut results = results.into_iter();
            let identity = store::identity_of(results.next().unwrap_or_default())?;
            let (moves, recorded) = store::open_moves_of(results.next().unwrap_or_default(), shard.name)?;
            Ok((identity, moves, recorded))
        };
        recorded.push(match answer.and_then(read) {
            Ok((identity, moves, recorded)) => {
                evidence.databases.push((shard.name.to_owned(), identity));
                evidence.moves.extend(moves);
                Some(recorded)
            }
            Err(error) => {
                evidence.unreachable.push((shard.name.to_owned(), error.to_string()));
                None
            }
        });
    }
    evidence.placed = placed(&shards, &context.config.shards, recorded, Look::Unrecorded).await;
    // The only one, which was never one of several.
    if !several && evidence.placed.is_empty() {
        return Vec::new();
    }
    let findings = alerts(&evidence, &context.config.alerts, context.now);
    let check = |code: &str| {
        let found =
            findings.iter().find(|finding| finding.code == code && finding.severity == Severity::Critical);
        found.map_or(Ok(()), |Finding { cause, evidence, .. }| Err(format!("{cause}: {evidence}")))
    };
    // That two are one explains whatever is misplaced.
    let buckets = check("database_shared").and_then(|()| check("buckets_misplaced"));
    vec![("moves", check("move_unfinished")), ("buckets", buckets)]
}

/// What is wrong of either, or what is right of both.
fn both<T>(one: Result<T, String>, other: Result<T, String>, right: impl Fn(T, T) -> T) -> Result<T, String> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok(right(one, other)),
        (Err(one), Err(other)) => Err(format!("{one}; {other}")),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

/// Whether the schema is current; and whether the cron trigger sweeps, or what else is right about that.
fn check(
    context: &Context,
    answer: Answer,
    suspension: Answer,
    migrate: &str,
) -> (Check, Result<&'static str, String>) {
    let rows = match answer {
        Ok(results) => results.into_iter().next().unwrap_or_default(),
        // Anybody may ask: the database's own words go to the log.
        Err(error) => {
            console_error!("{}", log::failed_read(&error.to_string()));
            let missing = || match context.config.shards.are_several() {
                true => format!(
                    "the schema is not there: {}",
                    migrate.replacen("apply the migrations", WITHOUT_SCHEMA, 1)
                ),
                false => format!("the schema is not there: {migrate}"),
            };
            let check = if error.is_of_schema() { missing() } else { String::from(NO_ANSWER) };
            return (Err(check.clone()), Err(check));
        }
    };
    let number = |column: &str| rows.first().and_then(|row| row.get(column)).and_then(Value::as_i64);
    let schema = match number("version") {
        Some(version) if version == SCHEMA_VERSION => Ok(()),
        version => Err(format!(
            "the schema is version {}: expected {SCHEMA_VERSION}, {migrate}",
            version.unwrap_or(0)
        )),
    };
    if let Err(error) = &schema {
        // Whether it sweeps is no other question.
        return (schema.clone(), Err(error.clone()));
    }
    if let Some(held) = held(suspension) {
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
        ("SWEEPS", env.queue("SWEEPS").is_ok(), "queues.producers"),
        (ARCHIVE, env.bucket(ARCHIVE).is_ok(), "r2_buckets"),
        (ASK, asking::is_service(env), "services"),
    ] {
        if !valid && Reflect::has(env, &name.into()).unwrap_or(false) {
            return Err(format!("the binding `{name}` is of another kind: expected one of `[[{expected}]]`"));
        }
    }
    Ok(())
}

/// Whether what is to be archived has somewhere to go.
fn archive(env: &Env, config: &Config) -> Check {
    if config.keep.creations.is_some() && env.bucket(ARCHIVE).is_err() {
        return Err(String::from(NO_BUCKET));
    }
    Ok(())
}

/// What holds sweeping: neither a fault of the cron trigger, nor a reason to send nobody here.
fn held(suspension: Answer) -> Option<&'static str> {
    let rows = suspension.ok()?.into_iter().next()?;
    Some(match store::suspended(&rows)? {
        Suspension::Paused { .. } => "held: an operator paused sweeping",
        Suspension::BreakerOpen { .. } => "held: the circuit breaker is open",
    })
}
