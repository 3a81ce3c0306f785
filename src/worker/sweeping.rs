//! Runs sweeps for the cron trigger, the drafts page, the endpoint, the dashboard and the doctor, and writes their log.

use worker::{console_error, console_log};

use super::app::Context;
use super::problem::Problem;
use super::{analytics, asking, courier, log};
use crate::config::QUERIES_OF_A_SHARD;
use crate::rules::{Planned, Policy};
use crate::service::shards::sweep_beside;
use crate::service::sweep::{MAX_ROWS, Source, SweepOutcome, SweepRequest, max_queries};
use crate::service::together::Numbers;
use crate::store::{DatabaseError, Filter};

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
    /// Of several databases, these by their places; all by default.
    pub(super) only: Option<&'a [usize]>,
    /// What there is on databases that somebody else sweeps.
    pub(super) others: Numbers,
    /// Of several databases, at most so many on all together; by default `limit` on each.
    pub(super) limit_of_all: Option<u32>,
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
            only: None,
            others: Numbers::default(),
            limit_of_all: None,
        }
    }
}

/// A sweep that stopped early: what it did before stays done.
pub(super) struct Stopped(pub(super) DatabaseError);

impl From<Stopped> for Problem {
    fn from(Stopped(error): Stopped) -> Self {
        Problem::unanswered(
            &error,
            "the sweep stopped early: what it did is kept, and the next one carries on",
        )
    }
}

/// Sweeps one user's creations as their owner looks at them. Gives how many were failed, and whether all that it met was carried out: what
/// suspends sweeping, what the database rejects, and what is left for the next sweep hold it back as much as an error. What an earlier one
/// has set aside it does not meet.
pub(super) async fn by_page(context: &Context, user_id: &str) -> (usize, bool) {
    let options = SweepOptions {
        actor: Some(user_id),
        user_id: Some(user_id),
        ..SweepOptions::new(context, Source::Page)
    };
    match run(context, options).await {
        Ok((_, SweepOutcome { failed, suspended, rejected, more, .. })) => {
            (failed.len(), suspended.is_none() && rejected.is_empty() && !more)
        }
        Err(Stopped(_)) => (0, false),
    }
}

/// Sweeps and writes the log. Everything that sweeps comes through here.
pub(super) async fn run(
    context: &Context,
    options: SweepOptions<'_>,
) -> Result<(String, SweepOutcome), Stopped> {
    let sweep_id = context.new_id().map_err(|problem| Stopped(DatabaseError::new(problem.message())))?;
    let SweepOptions { source, user_id, dry_run, only, others, limit_of_all, .. } = options;
    if dry_run {
        // It writes nothing, and neither does anything beside it.
        context.monitors.set(false);
    }
    let all = context.shards();
    let places: Vec<_> = match (user_id, only) {
        (Some(user_id), _) => vec![context.shard_of(user_id).0],
        (None, Some(only)) => only.to_vec(),
        (None, None) => (0..all.len()).collect(),
    };
    let shards: Vec<_> = places.iter().filter_map(|at| all.get(*at).copied()).collect();
    let request = request(context, options, &sweep_id, shards.len());
    asking::before(context, &shards, request).await;
    let swept = sweep_beside(&shards, request, limit_of_all, others).await;
    let (outcome, error) = match swept {
        Ok(outcome) => (outcome, None),
        Err(stopped) => (stopped.outcome, Some(stopped.error)),
    };
    let changed = !outcome.failed.is_empty() || !outcome.retried.is_empty();
    if changed && !dry_run {
        for (index, at) in places.into_iter().enumerate() {
            let swept = outcome.shards.get(index);
            if swept.is_none_or(|swept| swept.failed > 0 || swept.retried > 0) {
                context.emitted(at);
            }
        }
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
            console_error!("{}", log::failed_sweep(&sweep_id, source, &error.to_string()));
            Err(Stopped(error))
        }
    }
}

/// What a sweep of so many databases is asked to do.
pub(super) fn request<'a>(
    context: &'a Context,
    options: SweepOptions<'a>,
    sweep_id: &'a str,
    databases: usize,
) -> SweepRequest<'a> {
    let SweepOptions { source, actor, user_id, filter, planned, plan_id, policy, dry_run, limit, .. } =
        options;
    SweepRequest {
        sweep_id,
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
        max_queries: share(max_queries(source, context.config.queries_per_run.into()), databases),
    }
}

/// What a sweep needs that finds something: its question, one transaction of both sorts, and its row.
const LEAST_OF_A_SWEEP: u64 = 8;

/// How many of an invocation's queries a sweep of one of several databases may make: what the monitor needs there is left, and no less than
/// one transaction.
fn share(queries: u64, databases: usize) -> u64 {
    if databases <= 1 {
        return queries;
    }
    let each = queries.checked_div(databases as u64).unwrap_or(0);
    each.saturating_sub(QUERIES_OF_A_SHARD as u64).max(LEAST_OF_A_SWEEP)
}
