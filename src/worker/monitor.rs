//! Runs the monitor: at every cron, and beside requests where nobody else has.

use std::cell::Cell;

use worker::{console_error, console_log};

use super::app::Context;
use super::{archive, courier, log};
use crate::rules::Timestamp;
use crate::service::monitor::{self, Health, INTERVAL_MS, Occasion, Settings};
use crate::service::shards::{Shard, Unreachable, part, run_each};
use crate::store::{self, CandidateRow, D1, Dashboard, DatabaseError, Duration};

const MINUTE_MS: u64 = 60_000;

thread_local! {
    /// When this isolate last asked whether it is its turn.
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn settings(context: &Context) -> Settings<'_> {
    let max_minutes = u64::from(context.config.max_minutes_since_sweep);
    Settings {
        policy: &context.config.policy,
        thresholds: &context.config.alerts,
        max_ms_since_sweep: if max_minutes == 0 { u64::MAX } else { max_minutes.saturating_mul(MINUTE_MS) },
        keep: context.config.keep,
        destinations: courier::of_alerts(context),
        shards: &context.config.shards,
        has_archive: archive::bucket(&context.env).is_some(),
    }
}

/// What is read for the dashboard and the metrics.
pub(super) struct View {
    pub(super) health: Health,
    pub(super) data: Dashboard,
    /// Of several databases, those whose part of `data` is missing.
    pub(super) unreachable: Vec<Unreachable>,
}

/// What the dashboard shows from `since` on, and the metrics.
pub(super) async fn read(
    context: &Context,
    shards: &[Shard<'_, D1>],
    since: Timestamp,
) -> Result<View, DatabaseError> {
    let batch = store::dashboard(&context.config.policy, context.now, since);
    let answers = run_each(shards, &batch).await.into_iter().map(|answer| answer.and_then(Dashboard::read));
    let (there, unreachable) = part(shards, answers)?;
    let named = |(shard, mut dashboard): (Shard<'_, D1>, Dashboard)| {
        if shards.len() > 1 {
            dashboard.name(shard.name);
            // While an owner moves both databases have what is theirs: it is listed from the one that the configuration says.
            let is_home = |row: &CandidateRow| {
                let (home, _) = context.shard_of(&row.user_id);
                shards.get(home).is_some_and(|home| home.name == shard.name)
            };
            dashboard.oldest.retain(is_home);
        }
        dashboard
    };
    let data = there.into_iter().map(named).reduce(Dashboard::and).unwrap_or_default();
    let health = monitor::look(shards, &settings(context), context.now).await?;
    Ok(View { health, data, unreachable })
}

/// How long creations wait and take, of all databases; `None` if one of several does not answer.
pub(super) async fn durations(shards: &[Shard<'_, D1>]) -> Result<Option<Vec<Duration>>, DatabaseError> {
    let results = run_each(shards, &[store::durations()]).await;
    let rows = results.into_iter().map(|result| Ok(result?.into_iter().next().unwrap_or_default()));
    match rows.collect::<Result<Vec<_>, DatabaseError>>() {
        Ok(rows) => store::durations_of(rows).map(Some),
        Err(error) if shards.len() == 1 => Err(error),
        Err(_) => Ok(None),
    }
}

/// Runs the monitor and writes its log.
pub(super) async fn run(context: &Context, occasion: Occasion) {
    ASKED.set(context.now.as_millis());
    match monitor::run(&context.shards(), &settings(context), context.now, occasion).await {
        Ok(None) => {}
        Ok(Some(changes)) => {
            for finding in &changes.fired {
                console_error!("{}", log::alert_fired(finding));
            }
            for code in &changes.resolved {
                console_log!("{}", log::alert_resolved(code));
            }
            changes.events_due.into_iter().for_each(|at| context.emitted(at));
        }
        Err(error) => console_error!("{}", log::failed_read(&error.to_string())),
    }
}

/// Whether this isolate has not asked for a minute.
pub(super) fn is_due(context: &Context) -> bool {
    context.now.as_millis().saturating_sub(ASKED.get()) >= u64::from(INTERVAL_MS)
}
