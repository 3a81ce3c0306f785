//! The monitor: evaluates the health rules, and fires or resolves alerts. It also checks the ledger and removes old rows.

use super::moves::GRACE_MS;
use super::placement::{Look, placed};
use super::shards::{Shard, Unreachable, each, part, side_by_side};
use crate::config::{Keep, Shards};
use crate::rules::{
    Evidence, Finding, Policy, Suspension, Thresholds, Timestamp, alerts, decide, diagnose as causes_of,
    first_records,
};
use crate::store::{self, Alert, CandidateRow, Database, DatabaseError, Observed};

/// How often it looks beside requests, whichever of the Worker's isolates does.
pub const INTERVAL_MS: u32 = 60_000;
const DAY_MS: u64 = 86_400_000;
/// In so many databases are moves settled in one run. Moves are between two, and what is too much waits for a minute.
const SETTLED_AT_ONCE: u32 = 8;

/// The settings, from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// How long a creation may show no sign of life.
    pub policy: &'a Policy,
    /// From which values on something is wrong.
    pub thresholds: &'a Thresholds,
    /// How old the last good sweep by cron may be; `u64::MAX` where no cron trigger is expected.
    pub max_ms_since_sweep: u64,
    /// How long old rows are kept.
    pub keep: Keep,
    /// Where the events of alerts go: bits of [`store::Destination`].
    pub destinations: u32,
    /// Which databases there are, and the buckets of each.
    pub shards: &'a Shards,
    /// Whether a bucket is bound for what is to be archived.
    pub has_archive: bool,
}

/// The current health.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// What is wrong now, the critical ones first.
    pub findings: Vec<Finding>,
    /// The alerts that are firing.
    pub firing: Vec<Alert>,
    /// What suspends sweeping.
    pub suspended: Option<Suspension>,
    /// When the last good sweep of the cron trigger began.
    pub last_good_sweep: Option<Timestamp>,
}

impl Health {
    fn new(findings: Vec<Finding>, observed: Observed) -> Self {
        let Observed { evidence: Evidence { suspended, last_good_sweep, .. }, firing, .. } = observed;
        Health { findings, firing, suspended, last_good_sweep }
    }
}

/// Looks at all the databases, and writes nothing.
///
/// # Errors
///
/// [`DatabaseError`] if none of them answers.
pub async fn look<D: Database>(
    shards: &[Shard<'_, D>],
    settings: &Settings<'_>,
    now: Timestamp,
) -> Result<Health, DatabaseError> {
    let observed = observe(shards, settings, now, Beside::Nothing).await;
    let observed = together(shards, settings, observed, Look::Unrecorded).await?;
    let findings = alerts(&observed.evidence, settings.thresholds, now);
    Ok(Health::new(findings, observed))
}

/// Looks for likely root causes too, and writes nothing. `stale` is how many creations a sweep would find now, if that is known.
///
/// # Errors
///
/// [`DatabaseError`] if no database answers.
pub async fn diagnose<D: Database>(
    shards: &[Shard<'_, D>],
    settings: &Settings<'_>,
    now: Timestamp,
    stale: Option<u64>,
) -> Result<Health, DatabaseError> {
    let observed = observe(shards, settings, now, Beside::Causes).await;
    let mut observed = together(shards, settings, observed, Look::All).await?;
    observed.evidence.stale = stale;
    observed.evidence.archives = settings.keep.creations.is_some();
    let findings = causes_of(&observed.evidence, settings.thresholds, now);
    Ok(Health::new(findings, observed))
}

/// What is done in the transaction that looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// Likely root causes are looked for too.
    Causes,
    /// The circuit breaker is closed first.
    CloseBreaker,
}

/// What each database says.
async fn observe<D: Database>(
    shards: &[Shard<'_, D>],
    settings: &Settings<'_>,
    now: Timestamp,
    beside: Beside,
) -> Vec<Result<Observed, DatabaseError>> {
    let several = shards.len() > 1;
    each(shards, |Shard { name, database }| async move {
        let mut observed = observe_one(database, settings, now, beside).await?;
        if several {
            observed.name(name);
        }
        Ok(observed)
    })
    .await
}

async fn observe_one(
    database: &impl Database,
    settings: &Settings<'_>,
    now: Timestamp,
    beside: Beside,
) -> Result<Observed, DatabaseError> {
    let mut batch = Vec::new();
    if beside == Beside::CloseBreaker {
        batch.push(store::close_breaker());
    }
    let first = batch.len();
    batch.extend(store::observe(now));
    let looks = batch.len();
    batch.push(store::overdue(settings.policy, now, settings.thresholds.overdue_ms));
    if beside == Beside::Causes {
        batch.push(store::causes(now));
    }
    let mut results = database.run(&batch).await?;
    let mut rest = results.split_off(looks.min(results.len())).into_iter();
    let stale = rest.next().unwrap_or_default();
    let mut observed = store::observed(results.split_off(first.min(results.len())))?;
    observed.evidence.max_ms_since_sweep = settings.max_ms_since_sweep;
    observed.evidence.overdue = overdue(&stale, settings.policy, now)?;
    if beside == Beside::Causes {
        observed.add_causes(rest.next().unwrap_or_default())?;
    }
    Ok(observed)
}

/// What all of them say together. One that does not answer is evidence too, unless it is the only one.
async fn together<D: Database>(
    shards: &[Shard<'_, D>],
    settings: &Settings<'_>,
    observed: Vec<Result<Observed, DatabaseError>>,
    look: Look,
) -> Result<Observed, DatabaseError> {
    let recorded: Vec<_> =
        observed.iter().map(|observed| observed.as_ref().ok().map(|observed| observed.recorded)).collect();
    let (there, unreachable) = part(shards, observed)?;
    let all = there.into_iter().map(|(_, observed)| observed).reduce(Observed::and);
    let mut all = all.ok_or_else(|| DatabaseError::new("there is no database"))?;
    for Unreachable { shard, error } in unreachable {
        // It does answer, but lacks what it is asked for.
        if DatabaseError::new(error.as_str()).is_of_schema() {
            all.evidence.other_schemas.push((shard, None));
        } else {
            all.evidence.unreachable.push((shard, error));
        }
    }
    all.evidence.archive_not_bound = settings.keep.creations.is_some() && !settings.has_archive;
    all.evidence.placed = placed(shards, settings.shards, recorded, look).await;
    Ok(all)
}

fn overdue(
    rows: &[store::Row],
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<(String, u64)>, DatabaseError> {
    let rows = store::candidates(rows, "candidates")?;
    let decisions = decide(rows.iter().map(CandidateRow::candidate), now, policy);
    let first = decisions.fail.iter().chain(&decisions.retry).next();
    Ok(first.map(|decision| (decision.id.to_owned(), now.millis_since(decision.staleness.deadline()))))
}

/// When the monitor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Beside a request: at most once in [`INTERVAL_MS`], whichever isolate does.
    Request,
    /// By cron, after a sweep.
    Cron {
        /// Whether the sweep went well. Then a circuit breaker is released: the sweep has not needed it.
        swept: bool,
    },
}

/// What a run has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Alerts that fire now.
    pub fired: Vec<Finding>,
    /// The codes of those that are resolved.
    pub resolved: Vec<String>,
    /// The databases, by their places, in which events are due: those of these alerts, and what is to be tried again.
    pub events_due: Vec<usize>,
}

/// Looks, fires and resolves alerts, checks the next user's ledger of each database, removes old rows when that is due, and writes down
/// which buckets each has where that is not on record yet. `None` if it is not due beside this request.
///
/// Of several databases, the first that answers says whose turn it is, and an alert stands in the first that answers when it fires.
///
/// # Errors
///
/// [`DatabaseError`] if no database answers, or if one of them does not take what is written.
pub async fn run<D: Database>(
    shards: &[Shard<'_, D>],
    settings: &Settings<'_>,
    now: Timestamp,
    occasion: Occasion,
) -> Result<Option<Changes>, DatabaseError> {
    let interval = if occasion == Occasion::Request { INTERVAL_MS } else { 0 };
    let Some(trims) = take_turn(shards, now, interval).await? else { return Ok(None) };
    let closes = occasion == (Occasion::Cron { swept: true });
    let beside = if closes { Beside::CloseBreaker } else { Beside::Nothing };
    let observed = observe(shards, settings, now, beside).await;
    let all = together(shards, settings, observed.clone(), Look::Unrecorded).await?;
    let findings = alerts(&all.evidence, settings.thresholds, now);
    let fires = |code: &str| all.firing.iter().any(|alert| alert.code == code);
    let mut fired: Vec<_> = findings.iter().filter(|finding| !fires(finding.code)).collect();
    let mut changes = Changes { fired: fired.iter().copied().cloned().collect(), ..Changes::default() };
    let minute = usize::try_from(now.as_millis().checked_div(INTERVAL_MS.into()).unwrap_or(0)).unwrap_or(0);
    let turn = minute.checked_rem(shards.len()).unwrap_or(0);
    // What one has that does not answer can't be known to be free.
    let answer_all = all.evidence.placed.len() == shards.len();
    let Evidence { placed, moves, .. } = &all.evidence;
    let records = if answer_all { first_records(placed, moves) } else { Vec::new() };
    let (mut writes, mut settled) = (Vec::new(), 0_u32);
    for (at, (shard, observed)) in shards.iter().zip(observed).enumerate() {
        // One that does not answer is written to when it does.
        let Ok(observed) = observed else { continue };
        let found = |code: &str| findings.iter().any(|finding| finding.code == code);
        let firing = observed.firing.iter().map(|alert| alert.code.as_str());
        let resolved: Vec<_> = firing.filter(|code| !found(code)).collect();
        let fired = std::mem::take(&mut fired);
        let emitted = settings.destinations != 0 && !(fired.is_empty() && resolved.is_empty());
        if emitted || observed.next_event_at.is_some_and(|at| at <= now) {
            changes.events_due.push(at);
        }
        let mut batch = store::record_alerts(&fired, &resolved, now, settings.destinations);
        batch.push(store::checked(&observed.checked, &observed.evidence.differs));
        // Of several databases, one a minute: what all of them would take at once is more than an invocation has.
        if trims && shards.len() == 1 || shards.len() > 1 && at == turn {
            let before = |days: u32| now.saturating_sub(u64::from(days).saturating_mul(DAY_MS));
            let Keep { sweeps, events, rollups, creations: _ } = settings.keep;
            batch.extend(store::trim(before(sweeps), before(events), before(rollups)));
        }
        if observed.settles && settled < SETTLED_AT_ONCE {
            batch.extend(store::settle_moves(now.saturating_sub(GRACE_MS), now));
            settled = settled.saturating_add(1);
        }
        let record = records.iter().find(|(name, _)| *name == shard.name);
        batch.extend(record.map(|(_, buckets)| store::record(buckets)));
        changes.resolved.extend(resolved.into_iter().map(str::to_owned));
        writes.push((*shard, batch));
    }
    let written = side_by_side(writes.iter().map(|(shard, batch)| shard.database.run(batch)));
    written.await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(Some(changes))
}

/// Whether it is our turn, and then whether old rows are to be removed, by the first database that answers.
async fn take_turn<D: Database>(
    shards: &[Shard<'_, D>],
    now: Timestamp,
    interval: u32,
) -> Result<Option<bool>, DatabaseError> {
    let mut stopped = DatabaseError::new("there is no database");
    for Shard { database, .. } in shards {
        match database.run(&[store::take_turn(now, interval)]).await {
            Ok(results) => return store::turn(results.into_iter().next().unwrap_or_default()),
            Err(error) => stopped = error,
        }
    }
    Err(stopped)
}
