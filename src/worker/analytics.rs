//! A data point per sweep for Analytics Engine, where the binding `ANALYTICS` is configured.

use worker::{AnalyticsEngineDataPointBuilder, console_error};

use super::app::Context;
use super::log;
use crate::sweep::{Report, Source};

/// Writes it; nothing depends on it.
pub(super) fn write(context: &Context, report: &Report, source: Source) {
    let Ok(dataset) = context.env.analytics_engine("ANALYTICS") else { return };
    // docs/dashboard.md says what each place holds.
    let doubles = [
        report.failed.len() as u64,
        report.retried.len() as u64,
        u64::from(report.raced),
        report.rejected.len() as u64,
        report.unreadable.len() as u64,
        report.refunded_tokens,
        report.cost.queries,
        report.cost.rows_read,
        report.cost.rows_written,
    ];
    let suspended = report.suspended.as_ref().map(ToString::to_string).unwrap_or_default();
    let point = AnalyticsEngineDataPointBuilder::new()
        .indexes([source.as_str()])
        .blobs([source.as_str(), suspended.as_str()])
        .doubles(doubles.map(|number| number as f64));
    if let Err(error) = point.write_to(&dataset) {
        console_error!("{}", log::failed_delivery("ANALYTICS", &error.to_string()));
    }
}
