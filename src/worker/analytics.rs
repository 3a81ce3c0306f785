//! A data point per sweep for Analytics Engine, where the binding `ANALYTICS` is configured.

use worker::{AnalyticsEngineDataPointBuilder, console_error};

use super::app::Context;
use super::log;
use crate::service::sweep::{Source, SweepOutcome};

/// Writes it; nothing depends on it.
pub(super) fn write(context: &Context, outcome: &SweepOutcome, source: Source) {
    let Ok(dataset) = context.env.analytics_engine("ANALYTICS") else { return };
    // docs/dashboard.md says what each place holds.
    let doubles = [
        outcome.failed.len() as u64,
        outcome.retried.len() as u64,
        u64::from(outcome.raced),
        outcome.rejected.len() as u64,
        outcome.unreadable.len() as u64,
        outcome.refunded_tokens,
        outcome.cost.queries,
        outcome.cost.rows_read,
        outcome.cost.rows_written,
    ];
    let suspended = outcome.suspended.as_ref().map(ToString::to_string).unwrap_or_default();
    let point = AnalyticsEngineDataPointBuilder::new()
        .indexes([source.as_str()])
        .blobs([source.as_str(), suspended.as_str()])
        .doubles(doubles.map(|number| number as f64));
    if let Err(error) = point.write_to(&dataset) {
        console_error!("{}", log::failed_delivery("ANALYTICS", &error.to_string()));
    }
}
