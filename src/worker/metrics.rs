//! The metrics, as text: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::fmt::Write as _;

use crate::rules::{LAGS, Suspension};
use crate::service::monitor::Health;
use crate::service::shards::Unreachable;
use crate::store::{Dashboard, Rolled};

/// All of them. Counters are over all time; gauges of creations look at as many rows as the dashboard does. While a database is missing,
/// there are no counters: who collects them would take a smaller number for a new beginning, and count it all once more.
pub fn text(health: &Health, data: &Dashboard, unreachable: &[Unreachable]) -> String {
    let totals = if unreachable.is_empty() { data.totals.as_slice() } else { &[] };
    let mut text = String::new();
    let swept = "stale_drafts_swept_creations";
    family(
        &mut text,
        swept,
        "counter",
        "Stale creations that sweeps failed or put back for another attempt.",
    );
    for row in totals {
        sample(&mut text, &format!("{swept}_total"), &labels(row), row.creations);
    }
    let refunded = "stale_drafts_refunded_tokens";
    family(&mut text, refunded, "counter", "Tokens that sweeps refunded.");
    for row in totals.iter().filter(|row| row.outcome == "failed") {
        sample(&mut text, &format!("{refunded}_total"), &labels(row), row.tokens);
    }
    let lag = "stale_drafts_time_to_failure_seconds";
    family(&mut text, lag, "histogram", "From the deadline of a stale creation to its failure.");
    let mut sum = 0_u64;
    for at in (0..=LAGS.len()).filter(|_| unreachable.is_empty()) {
        let here = totals.iter().filter_map(|row| row.lags.get(at));
        sum = here.fold(sum, |sum, count| sum.saturating_add(*count));
        let limit = LAGS.get(at).map_or(String::from("+Inf"), |limit| format!("{}.0", limit / 1_000));
        sample(&mut text, &format!("{lag}_bucket"), &[("le", &limit)], sum);
    }
    let active = "stale_drafts_active_creations";
    family(&mut text, active, "gauge", "Creations that are being generated; at most 5,000 are counted.");
    for band in &data.active {
        let quarter = band.band.map_or(String::from("none"), |quarter| quarter.to_string());
        let labels = [("phase", &band.phase), ("kind", &band.kind), ("quarter_of_limit", &quarter)]
            .map(|(name, value)| (name, value.as_str()));
        sample(&mut text, active, &labels, band.creations);
    }
    let newest = "stale_drafts_newest_creations";
    family(&mut text, newest, "gauge", "How the newest 1,000 creations ended.");
    let rates = data.rates;
    for (outcome, number) in [
        ("completed", rates.completed),
        ("failed", rates.failed),
        ("timed_out", rates.timed_out),
        ("retried", rates.retried),
        ("active", rates.active),
    ] {
        sample(&mut text, newest, &[("outcome", outcome)], number);
    }
    let firing = "stale_drafts_alert_firing";
    family(&mut text, firing, "gauge", "1 for each alert that is firing.");
    for finding in &health.findings {
        sample(&mut text, firing, &[("code", finding.code), ("severity", finding.severity.as_str())], 1);
    }
    let silent = "stale_drafts_database_unreachable";
    family(&mut text, silent, "gauge", "1 for each of several databases that does not answer.");
    for Unreachable { shard, .. } in unreachable {
        sample(&mut text, silent, &[("shard", shard)], 1);
    }
    let suspended = "stale_drafts_sweeping_suspended";
    family(&mut text, suspended, "gauge", "1 if sweeps are held back, by an operator or by the breaker.");
    sample(
        &mut text,
        suspended,
        &[("by", "operator")],
        u64::from(matches!(health.suspended, Some(Suspension::Paused { .. }))),
    );
    sample(
        &mut text,
        suspended,
        &[("by", "circuit_breaker")],
        u64::from(matches!(health.suspended, Some(Suspension::BreakerOpen { .. }))),
    );
    let good = "stale_drafts_last_good_sweep_timestamp_seconds";
    family(&mut text, good, "gauge", "When the last good sweep of the cron trigger began.");
    if let Some(at) = health.last_good_sweep {
        sample(&mut text, good, &[], at.as_millis() / 1_000);
    }
    text.push_str("# EOF\n");
    text
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
fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let list: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    let list = if list.is_empty() { String::new() } else { format!("{{{}}}", list.join(",")) };
    let _ = writeln!(text, "{name}{list} {value}");
}
