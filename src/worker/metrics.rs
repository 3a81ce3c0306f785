//! The metrics, as text: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::fmt::{Display, Write as _};

use crate::rules::{LAGS, Suspension};
use crate::service::monitor::Health;
use crate::service::shards::Unreachable;
use crate::store::{DURATION_BANDS_MS, Dashboard, Duration, Rolled};

/// All of them. Counters are over all time; gauges of creations look at as many rows as the dashboard does.
///
/// While one of several databases does not answer, no counter is there, and `durations` may be `None`: a sum of the others would be less
/// than before, which a scraper takes for a restart, and all of it for new once the database is back.
pub fn text(
    health: &Health,
    data: &Dashboard,
    durations: Option<&[Duration]>,
    unreachable: &[Unreachable],
) -> String {
    let mut text = String::new();
    if let Some(durations) = durations.filter(|_| unreachable.is_empty()) {
        swept(&mut text, data);
        for (measure, name, help) in DURATIONS {
            family(&mut text, name, "histogram", help);
            for row in durations.iter().filter(|row| row.measure == measure) {
                let labels = [("kind", row.kind.as_str()), ("outcome", &row.outcome)];
                let labels = if measure == "wait" { labels.get(..1).unwrap_or_default() } else { &labels };
                histogram(&mut text, name, labels, &DURATION_BANDS_MS, &row.bands, row.total_ms);
            }
        }
    }
    gauges(&mut text, health, data, unreachable);
    text.push_str("# EOF\n");
    text
}

/// By their names in the database.
const DURATIONS: [(&str, &str, &str); 2] = [
    (
        "wait",
        "stale_drafts_wait_seconds",
        "From being asked for, or put back for another attempt, to a worker's start.",
    ),
    (
        "processing",
        "stale_drafts_processing_seconds",
        "From a worker's start to its result or its failure; what sweeps fail is not in it.",
    ),
];

/// What sweeps did.
fn swept(text: &mut String, data: &Dashboard) {
    let swept = "stale_drafts_swept_creations";
    family(text, swept, "counter", "Stale creations that sweeps failed or put back for another attempt.");
    for row in &data.totals {
        sample(text, &format!("{swept}_total"), &labels(row), row.creations);
    }
    let refunded = "stale_drafts_refunded_tokens";
    family(text, refunded, "counter", "Tokens that sweeps refunded.");
    for row in data.totals.iter().filter(|row| row.outcome == "failed") {
        sample(text, &format!("{refunded}_total"), &labels(row), row.tokens);
    }
    let lag = "stale_drafts_time_to_failure_seconds";
    family(
        text,
        lag,
        "histogram",
        "From the deadline of a stale creation to its failure, or to its next attempt.",
    );
    for outcome in ["failed", "retried"] {
        let rows = || data.totals.iter().filter(|row| row.outcome == outcome);
        let mut bands = [0_u64; LAGS.len() + 1];
        for row in rows() {
            bands.iter_mut().zip(row.lags).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        }
        let total_ms = rows().fold(0, |sum: u64, row| sum.saturating_add(row.lag_ms));
        histogram(text, lag, &[("outcome", outcome)], &LAGS, &bands, total_ms);
    }
}

/// The samples of a histogram: `bands` count what is up to each of the limits, in milliseconds, and beyond.
fn histogram(
    text: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    limits_ms: &[u64],
    bands: &[u64],
    total_ms: u64,
) {
    let mut sum = 0_u64;
    for (at, count) in bands.iter().enumerate() {
        sum = sum.saturating_add(*count);
        let limit = limits_ms.get(at).map_or(String::from("+Inf"), |limit| format!("{}.0", limit / 1_000));
        let with_limit: Vec<_> = labels.iter().copied().chain([("le", limit.as_str())]).collect();
        sample(text, &format!("{name}_bucket"), &with_limit, sum);
    }
    sample(text, &format!("{name}_count"), labels, sum);
    sample(
        text,
        &format!("{name}_sum"),
        labels,
        format_args!("{}.{:03}", total_ms / 1_000, total_ms % 1_000),
    );
}

/// What is now.
fn gauges(text: &mut String, health: &Health, data: &Dashboard, unreachable: &[Unreachable]) {
    let active = "stale_drafts_active_creations";
    family(text, active, "gauge", "Creations that are being generated; at most 5,000 are counted.");
    for band in &data.active {
        let quarter = band.band.map_or(String::from("none"), |quarter| quarter.to_string());
        let labels = [("phase", &band.phase), ("kind", &band.kind), ("quarter_of_limit", &quarter)]
            .map(|(name, value)| (name, value.as_str()));
        sample(text, active, &labels, band.creations);
    }
    let newest = "stale_drafts_newest_creations";
    family(text, newest, "gauge", "How the newest 1,000 creations ended.");
    let rates = data.rates;
    for (outcome, number) in [
        ("completed", rates.completed),
        ("failed", rates.failed),
        ("timed_out", rates.timed_out),
        ("retried", rates.retried),
        ("active", rates.active),
    ] {
        sample(text, newest, &[("outcome", outcome)], number);
    }
    let firing = "stale_drafts_alert_firing";
    family(text, firing, "gauge", "1 for each alert that is firing.");
    for finding in &health.findings {
        sample(text, firing, &[("code", finding.code), ("severity", finding.severity.as_str())], 1);
    }
    let silent = "stale_drafts_database_unreachable";
    family(text, silent, "gauge", "1 for each of several databases that does not answer.");
    for Unreachable { shard, .. } in unreachable {
        sample(text, silent, &[("shard", shard)], 1);
    }
    let suspended = "stale_drafts_sweeping_suspended";
    family(text, suspended, "gauge", "1 if sweeps are held back, by an operator or by the breaker.");
    sample(
        text,
        suspended,
        &[("by", "operator")],
        u64::from(matches!(health.suspended, Some(Suspension::Paused { .. }))),
    );
    sample(
        text,
        suspended,
        &[("by", "circuit_breaker")],
        u64::from(matches!(health.suspended, Some(Suspension::BreakerOpen { .. }))),
    );
    let good = "stale_drafts_last_good_sweep_timestamp_seconds";
    family(text, good, "gauge", "When the last good sweep of the cron trigger began.");
    if let Some(at) = health.last_good_sweep {
        sample(text, good, &[], at.as_millis() / 1_000);
    }
}

fn labels(row: &Rolled) -> [(&'static str, &str); 4] {
    let Rolled { outcome, kind, stuck_status, rule, .. } = row;
    [("outcome", outcome), ("kind", kind), ("stuck_status", stuck_status), ("rule", rule)]
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}");
}

/// A line. A label's value is somebody's text: the three characters that would end it are escaped.
fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: impl Display) {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let list: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    let list = if list.is_empty() { String::new() } else { format!("{{{}}}", list.join(",")) };
    let _ = writeln!(text, "{name}{list} {value}");
}
