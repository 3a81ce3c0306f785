//! Watches the sweeper: at every cron, and while cron does not run, beside whatever else comes in.

use std::cell::Cell;

use super::console;
use super::context::Context;
use crate::rules::{decide, watch};
use crate::store::{self, CandidateRow, Database as _, DatabaseError, Seen};
use crate::view::{self, Health};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

thread_local! {
    /// When this isolate last watched.
    static WATCHED: Cell<u64> = const { Cell::new(0) };
}

/// Looks, and writes nothing.
pub(super) async fn look(context: &Context) -> Result<(Health, Seen), DatabaseError> {
    look_with(context, None).await
}

/// The same, where it is known how many creations are stale.
pub(super) async fn look_with(
    context: &Context,
    known: Option<u64>,
) -> Result<(Health, Seen), DatabaseError> {
    let config = &context.config;
    let mut batch = store::observe(context.now).to_vec();
    batch.push(store::overdue(&config.policy, context.now, config.alerts.overdue_ms));
    let mut results = context.database.run(&batch).await?;
    let stale = results.pop().unwrap_or_default();
    let mut seen = store::observed(&results)?;
    let rows = store::candidates(&stale, "candidates")?;
    let found = decide(rows.iter().map(CandidateRow::candidate), context.now, &config.policy);
    let late = found.fail.iter().chain(&found.retry).next();
    seen.observed.overdue =
        late.map(|failure| (failure.id.to_owned(), context.now.millis_since(failure.staleness.deadline())));
    seen.observed.evidence.stale = known;
    seen.observed.evidence.max_ms_since_sweep =
        u64::from(config.max_minutes_since_sweep).saturating_mul(MINUTE_MS);
    let findings = watch(&seen.observed, &config.alerts, context.now);
    let health = Health {
        findings,
        firing: seen.firing.clone(),
        suspended: seen.observed.suspended.clone(),
        last_good_sweep: seen.observed.evidence.last_good_sweep,
    };
    Ok((health, seen))
}

/// How a watch comes about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Beside a request.
    Request,
    /// By cron, after a sweep that went well or not.
    Cron {
        /// Whether it did.
        swept: bool,
    },
}

/// Looks, and has alerts fire or be resolved. By cron it also goes on checking the ledger, trims, and releases a circuit breaker that the
/// sweep before has not needed.
pub(super) async fn run(context: &Context, occasion: Occasion) {
    WATCHED.set(context.now.as_millis());
    if let Err(error) = try_run(context, occasion).await {
        console::error(&view::failed_read_line(&error.to_string()));
    }
}

/// Whether this isolate has not watched for a minute: what comes in keeps an eye on cron.
pub(super) fn is_due(context: &Context) -> bool {
    context.now.as_millis().saturating_sub(WATCHED.get()) >= MINUTE_MS
}

async fn try_run(context: &Context, occasion: Occasion) -> Result<(), DatabaseError> {
    if occasion == (Occasion::Cron { swept: true }) {
        context.database.run(&[store::release("circuit_breaker")]).await?;
    }
    let (Health { findings, firing, .. }, seen) = look(context).await?;
    let is_firing = |code: &str| firing.iter().any(|alert| alert.code == code);
    let is_found = |code: &str| findings.iter().any(|finding| finding.code == code);
    let fired: Vec<_> = findings.iter().filter(|finding| !is_firing(finding.code)).collect();
    let resolved: Vec<_> =
        firing.iter().map(|alert| alert.code.as_str()).filter(|code| !is_found(code)).collect();
    for finding in &fired {
        console::error(&view::alert_line(finding));
    }
    for code in &resolved {
        console::log(&view::resolved_line(code));
    }
    let notify = context.notify().app;
    let mut batch = store::alerts(&fired, &resolved, context.now, notify);
    context.tell.set(context.tell.get() || (notify > 0 && !batch.is_empty()));
    if occasion != Occasion::Request {
        batch.push(store::checked(&seen.checked, &seen.observed.differs));
        batch.extend(trims(context));
    }
    if batch.is_empty() { Ok(()) } else { context.database.run(&batch).await.map(drop) }
}

/// What is trimmed, in the first minute of each hour.
fn trims(context: &Context) -> Vec<store::Statement> {
    let now = context.now.as_millis();
    if !(now / MINUTE_MS).is_multiple_of(60) {
        return Vec::new();
    }
    let before = |days: u32| context.now.saturating_sub(u64::from(days).saturating_mul(DAY_MS));
    let keep = context.config.keep;
    store::trim(before(keep.sweeps), before(keep.events), before(keep.rollups)).to_vec()
}
