//! Runs the monitor: at every cron, and beside requests where nobody else has.

use std::cell::Cell;

use super::console;
use super::context::Context;
use crate::service::monitor::{self, Health, INTERVAL_MS, Occasion, Settings};
use crate::store::DatabaseError;
use crate::view;

const MINUTE_MS: u64 = 60_000;

thread_local! {
    /// When this isolate last asked whether it is its turn.
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn settings(context: &Context) -> Settings<'_> {
    Settings {
        policy: &context.config.policy,
        thresholds: &context.config.alerts,
        max_ms_since_sweep: u64::from(context.config.max_minutes_since_sweep).saturating_mul(MINUTE_MS),
        keep: context.config.keep,
        destinations: context.notify().app,
    }
}

/// Looks, and writes nothing.
pub(super) async fn look(context: &Context) -> Result<Health, DatabaseError> {
    monitor::look(&context.database, &settings(context), context.now).await
}

/// Runs the monitor and writes its log.
pub(super) async fn run(context: &Context, occasion: Occasion) {
    ASKED.set(context.now.as_millis());
    match monitor::run(&context.database, &settings(context), context.now, occasion).await {
        Ok(None) => {}
        Ok(Some(changes)) => {
            for finding in &changes.fired {
                console::error(&view::alert_line(finding));
            }
            for code in &changes.resolved {
                console::log(&view::resolved_line(code));
            }
            context.tell.set(context.tell.get() || changes.events_due);
        }
        Err(error) => console::error(&view::failed_read_line(&error.to_string())),
    }
}

/// Whether this isolate has not asked for a minute.
pub(super) fn is_due(context: &Context) -> bool {
    context.now.as_millis().saturating_sub(ASKED.get()) >= u64::from(INTERVAL_MS)
}
