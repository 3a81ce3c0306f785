//! Runs sweeps for the cron trigger, the drafts page, the endpoint, the dashboard and the doctor, and writes their log.

use axum::http::StatusCode;
use serde_json::json;
use worker::{console_error, console_log};

use super::app::Context;
use super::problem::Problem;
use super::{analytics, asking, courier, log};
use crate::config::QUERIES_OF_A_SHARD;
use crate::rules::{Planned, Policy, Suspension};
use crate::service;
use crate::service::sweep::{MAX_ROWS, ShardOutcome, Source, SweepOutcome, SweepRequest, max_queries};
use crate::store::{self, Database as _, Filter};

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
            limit_of_all: None,
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
    let SweepOptions {
        source,
        actor,
        user_id,
        filter,
        planned,
        plan_id,
        policy,
        dry_run,
        limit,
        only,
        limit_of_all,
    } = options;
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
    let queries = max_queries(source, context.config.queries_per_run.into());
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
        max_queries: share(queries, shards.len()),
    };
    asking::before(context, &shards, request).await;
    let swept = service::shards::mark_stale_creations_as_failed(&shards, request, limit_of_all).await;
    let (outcome, error) = match swept {
        Ok(outcome) => (outcome, None),
        Err(stopped) => (stopped.outcome, Some(stopped.error.to_string())),
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
            console_error!("{}", log::failed_sweep(&sweep_id, source, &error));
            Err(Stopped(error))
        }
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

/// The queue whose messages are each a database to sweep.
const SWEEPS: &str = "SWEEPS";

/// The most queries of a sweep that has to split nothing, beside those of the monitor.
const QUERIES_OF_A_SWEEP: usize = 6;

/// The cron trigger: everybody's creations. A sweep that the circuit breaker suspended is an error of the invocation too.
///
/// Several databases are swept side by side, as many as one invocation may. If they are more, each is handed over to the queue, and so is
/// one that failed; without a queue they take turns, and the next cron tries again. Whether all of them were swept here.
pub(super) async fn cron(context: &Context) -> Result<bool, String> {
    let shards = context.shards();
    let names: Vec<_> = shards.iter().map(|shard| shard.name).collect();
    let each = QUERIES_OF_A_SWEEP.saturating_add(QUERIES_OF_A_SHARD);
    let at_once = (context.config.queries_per_run as usize).checked_div(each).unwrap_or(1).max(1);
    if names.len() <= at_once {
        return sweep(context, None).await;
    }
    if hand_over(context, &names).await? {
        return Ok(false);
    }
    let minute = usize::try_from(context.now.as_millis() / 60_000).unwrap_or(0);
    let first = minute.wrapping_mul(at_once).checked_rem(names.len()).unwrap_or(0);
    let turn: Vec<_> = (0..names.len()).cycle().skip(first).take(at_once).collect();
    sweep(context, Some(&turn)).await.map(|_| false)
}

/// One of several databases, as a message of the queue says. An error has the queue deliver the message again.
pub(super) async fn by_message(context: &Context, name: &str) -> Result<(), String> {
    let shards = context.shards();
    let Some(at) = shards.iter().position(|shard| shard.name == name) else {
        // It was removed from the configuration meanwhile: repeating the message is of no use.
        console_error!("{}", log::failed_sweep("", Source::Cron, &format!("there is no shard `{name}`")));
        return Ok(());
    };
    let options = SweepOptions { only: Some(&[at]), ..SweepOptions::new(context, Source::Cron) };
    let (_, outcome) = run(context, options).await.map_err(|Stopped(error)| error)?;
    // Where nothing is stale, a sweep does not ask what suspends it.
    match shards.get(at).filter(|_| outcome.suspended.is_none()) {
        Some(shard) => {
            let closed = shard.database.run(&[store::close_breaker()]).await;
            closed.map(drop).map_err(|error| error.to_string())
        }
        None => Ok(()),
    }
}

/// Hands the databases over to the queue, if there is one.
async fn hand_over(context: &Context, names: &[&str]) -> Result<bool, String> {
    if context.env.queue(SWEEPS).is_err() {
        return Ok(false);
    }
    let bodies: Vec<_> =
        names.iter().map(|name| json!({ "type": "sweep", "shard": name }).to_string()).collect();
    // A queue takes 100 messages at once.
    for bodies in bodies.chunks(100) {
        courier::enqueue(context, SWEEPS, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    }
    Ok(true)
}

/// Sweeps here. Whether that did not need the queue.
async fn sweep(context: &Context, only: Option<&[usize]>) -> Result<bool, String> {
    let options = SweepOptions { only, ..SweepOptions::new(context, Source::Cron) };
    let swept = run(context, options).await;
    let (sweep_id, outcome) = swept.map_err(|Stopped(error)| error)?;
    let failed: Vec<_> = outcome.shards.iter().filter(|shard| shard.error.is_some()).collect();
    for ShardOutcome { shard, error, .. } in &failed {
        let error = format!("`{shard}`: {}", error.as_deref().unwrap_or_default());
        console_error!("{}", log::failed_sweep(&sweep_id, Source::Cron, &error));
    }
    let names: Vec<_> = failed.iter().map(|shard| shard.shard.as_str()).collect();
    if !names.is_empty() && !hand_over(context, &names).await? {
        return Err(format!("these databases were not swept: {}", names.join(", ")));
    }
    match outcome.suspended {
        Some(suspended @ Suspension::BreakerOpen { .. }) => {
            let error = suspended.to_string();
            console_error!("{}", log::failed_sweep(&sweep_id, Source::Cron, &error));
            Err(error)
        }
        _ => Ok(names.is_empty()),
    }
}
