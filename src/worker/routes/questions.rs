use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::rules::{Active, Limit, Policy, Severity};
use crate::service::holds::left_out;
use crate::service::monitor::diagnose;
use crate::service::shards::{part, run_each};
use crate::service::sweep::Source;
use crate::store::{self, Row};
use crate::worker::app::App;
use crate::worker::caller::{Operator, Read};
use crate::worker::extract::{Nothing, Query};
use crate::worker::metrics;
use crate::worker::monitor::{self, View};
use crate::worker::problem::{Answer, Problem, json, partial};
use crate::worker::sweeping::{self, Stopped, SweepOptions};

const MINUTE_MS: u64 = 60_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct CountsQuery {
    #[serde(default)]
    bands: Bands,
}

/// Limits of age in milliseconds, ascending.
struct Bands(Vec<u64>);

impl Default for Bands {
    fn default() -> Self {
        Bands([30, 60, 1_440].map(|minutes: u64| minutes.saturating_mul(MINUTE_MS)).into())
    }
}

impl Bands {
    fn parse(text: &str) -> Option<Self> {
        let minutes: Vec<u32> = text.split(',').map(|band| band.parse().ok()).collect::<Option<_>>()?;
        let ascending = minutes.is_sorted_by(|one, next| one < next) && minutes.first() != Some(&0);
        let bands = minutes.iter().map(|minutes| u64::from(*minutes).saturating_mul(MINUTE_MS));
        (ascending && minutes.len() <= 10).then(|| Bands(bands.collect()))
    }
}

impl<'de> Deserialize<'de> for Bands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "up to 10 ascending numbers of minutes, such as `30,60,1440`";
        Bands::parse(&text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

/// Active creations of a status and kind in a band of age: above one limit and up to the next, in milliseconds.
#[derive(Serialize)]
struct Count {
    status: String,
    kind: String,
    readable: bool,
    above_ms: Option<u64>,
    up_to_ms: Option<u64>,
    max_age_ms: Option<u64>,
    creations: u64,
    tokens: u64,
}

impl Count {
    /// Those of several databases that are alike, as one, in the order of the statement.
    fn sums(counts: Vec<Count>) -> Vec<Count> {
        let mut sums: BTreeMap<_, Count> = BTreeMap::new();
        for count in counts {
            let key = (count.status.clone(), count.kind.clone(), count.readable, count.above_ms);
            match sums.entry(key) {
                Entry::Vacant(place) => drop(place.insert(count)),
                Entry::Occupied(mut sum) => {
                    let sum = sum.get_mut();
                    sum.creations = sum.creations.saturating_add(count.creations);
                    sum.tokens = sum.tokens.saturating_add(count.tokens);
                }
            }
        }
        sums.into_values().collect()
    }

    fn new(row: &Row, bands: &[u64], policy: &Policy) -> Self {
        let band = row.get("band").and_then(Value::as_i64).and_then(|band| usize::try_from(band).ok());
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |key: &str| row.get(key).and_then(store::nearest).unwrap_or(0);
        let (status, kind) = (text("status"), text("kind"));
        let active = Active::ALL.into_iter().find(|active| active.as_str() == status);
        let max_age_ms = active.and_then(|active| match policy.limit(active, &kind).0 {
            Limit::After(max_age) => Some(max_age.as_millis()),
            Limit::Never => None,
        });
        let above =
            |band: usize| band.checked_sub(1).and_then(|below| bands.get(below)).copied().unwrap_or(0);
        Count {
            status,
            kind,
            readable: band.is_some(),
            above_ms: band.map(above),
            up_to_ms: band.and_then(|band| bands.get(band)).copied(),
            max_age_ms,
            creations: number("creations"),
            tokens: number("tokens"),
        }
    }
}

/// `GET /api/counts?bands=30,60,1440`: active creations by status, kind and band of age.
#[worker::send]
pub(in crate::worker) async fn counts(
    app: App,
    _: Operator<Read>,
    Query(CountsQuery { bands: Bands(bands) }): Query<CountsQuery>,
) -> Answer {
    let statement = [store::count(app.now, &bands)];
    let shards = app.replicas();
    let (there, unreachable) = part(&shards, run_each(&shards, &statement).await)?;
    let rows = there.iter().flat_map(|(_, results)| results.iter().flatten());
    let counts: Vec<_> = rows.map(|row| Count::new(row, &bands, &app.config.policy)).collect();
    let counts = if shards.len() > 1 { Count::sums(counts) } else { counts };
    let body = json!({ "now": app.now.as_millis(), "bands_ms": bands, "counts": counts });
    Ok(partial(body, &unreachable))
}

/// `GET /api/doctor`: likely root causes, with their evidence. It is healthy if nothing is critical.
#[worker::send]
pub(in crate::worker) async fn doctor(
    app: App,
    _: Operator<Read>,
    Query(Nothing {}): Query<Nothing>,
) -> Answer {
    // What a sweep would do is known by asking for one that writes nothing.
    let dry_run = SweepOptions { dry_run: true, ..SweepOptions::new(&app, Source::Endpoint) };
    let swept = sweeping::run(&app, dry_run).await;
    let (_, outcome) = swept.map_err(|Stopped(error)| Problem::from(error))?;
    let left_out = left_out(&outcome.held);
    let stale = outcome.failed.len().saturating_add(outcome.retried.len()) as u64;
    let settings = monitor::settings(&app);
    let findings = diagnose(&app.shards(), &settings, app.now, Some(stale)).await?.findings;
    let healthy = findings.iter().all(|finding| finding.severity < Severity::Critical);
    let list: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code,
                "severity": finding.severity.as_str(),
                "error_code": finding.error_code,
                "cause": finding.cause,
                "evidence": finding.evidence,
                "remedy": finding.remedy,
            })
        })
        .collect();
    let now = app.now.as_millis();
    let mut body = json!({ "now": now, "healthy": healthy, "findings": list });
    if let (false, Some(body)) = (left_out.is_empty(), body.as_object_mut()) {
        body.insert(String::from("left_out"), json!(left_out));
    }
    Ok(json(StatusCode::OK, &body))
}

/// `GET /metrics`: for machines, as OpenMetrics has it.
#[worker::send]
pub(in crate::worker) async fn metrics(app: App, _: Operator<Read>) -> Answer {
    let shards = app.replicas();
    let View { health, data, unreachable } = monitor::read(&app, &shards, app.now).await?;
    let durations = monitor::durations(&shards).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = metrics::text(&health, &data, durations.as_deref(), &unreachable);
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}
