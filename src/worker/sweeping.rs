//! Runs sweeps for the cron trigger, the drafts page, the endpoint, the dashboard and the doctor, and writes their log.

use axum::http::StatusCode;
use worker::{console_error, console_log};

use super::app::Context;
use super::problem::Problem;
use super::{analytics, courier, log};
use crate::rules::{Planned, Policy, Suspension};
use crate::service::sweep::{
    MAX_ROWS, Source, SweepOutcome, SweepRequest, mark_stale_creations_as_failed, max_queries,
};
use crate::store::Filter;

/// What is asked of a sweep; by default everything that is stale by the configuration.
#[derive(Clone, Copy)]
pub(super) struct SweepOptions<'a> {
    pub(super) source: Source,
    pub(super) actor: Option<&'a str>,
    pub(super) user_id: Option<&'a str>,
    pub(super) filter: Filter<'a>,
    pub(super) planned: Option<&'a [Planned<'a>]>,
    pub(super) plan_id: Option<&'a str>,
    pub(super) policy: &'a Policy,
    pub(super) dry_run: bool,
    pub(super) limit: u32,
}

impl<'a> SweepOptions<'a> {
    pub(super) fn new(context: &'a Context, source: Source) -> Self {
        SweepOptions {
            source,
            actor: None,
            user_id: None,
            filter: Filter::default(),
            planned: None,
            plan_id: None,
            policy: &context.config.policy,
            dry_run: false,
            limit: context.config.rows_per_sweep,
        }
    }
}

/// A sweep that stopped early: what it did before stays done.
pub(super) struct Stopped(pub(super) String);

impl From<Stopped> for Problem {
    fn from(_: Stopped) -> Self {
        let message = "the sweep stopped early: what it did is kept, and the next one carries on";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

/// Sweeps and writes the log. Everything that sweeps comes through here.
pub(super) async fn run(
    context: &Context,
    options: SweepOptions<'_>,
) -> Result<(String, SweepOutcome), Stopped> {
    let sweep_id = context.new_id().map_err(|problem| Stopped(problem.message().to_owned()))?;
    let SweepOptions { source, actor, user_id, filter, planned, plan_id, policy, dry_run, limit } = options;
    if dry_run {
        // It writes nothing, and neither does anything beside it.
        context.monitors.set(false);
    }
    let request = SweepRequest {
        sweep_id: &sweep_id,
        source,
        actor,
        user_id,
        filter,
        planned,
        plan_id,
        now: context.now,
        policy,
        dry_run,
        notify: courier::destinations(context),
        breaker: context.config.breaker,
        limit: limit.min(MAX_ROWS),
        max_queries: max_queries(source, context.config.queries_per_run.into()),
    };
    let (outcome, error) = match mark_stale_creations_as_failed(&context.database, request).await {
        Ok(outcome) => (outcome, None),
        Err(stopped) => (stopped.outcome, Some(stopped.error.to_string())),
    };
    let changed = !outcome.failed.is_empty() || !outcome.retried.is_empty();
    if changed && !dry_run {
        context.emitted.set(true);
    }
    // A dry run changes nothing, and a page load that finds nothing is not a sweep: neither writes a line.
    let idle_page = source == Source::Page && !changed && outcome.rejected.is_empty();
    if !dry_run && !idle_page {
        for line in log::sweep(&outcome, &sweep_id, source) {
            console_log!("{line}");
        }
    }
    if !dry_run && source != Source::Page {
        analytics::write(context, &outcome, source);
    }
    match error {
        None => Ok((sweep_id, outcome)),
        Some(error) => {
            console_error!("{}", log::failed_sweep(&sweep_id, source, &error));
            Err(Stopped(error))
        }
    }
}

/// The cron trigger: everybody's creations. A sweep that the circuit breaker suspended is an error of the invocation too.
pub(super) async fn cron(context: &Context) -> Result<(), String> {
    let swept = run(context, SweepOptions::new(context, Source::Cron)).await;
    let (sweep_id, outcome) = swept.map_err(|Stopped(error)| error)?;
    match outcome.suspended {
        Some(suspended @ Suspension::BreakerOpen { .. }) => {
            let error = suspended.to_string();
            console_error!("{}", log::failed_sweep(&sweep_id, Source::Cron, &error));
            Err(error)
        }
        _ => Ok(()),
    }
}
