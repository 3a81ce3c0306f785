//! The monitor: evaluates the health rules, and fires or resolves alerts. It also checks the ledger and removes old rows.

use crate::config::Keep;
use crate::rules::{
    Evidence, Finding, Policy, Suspension, Thresholds, Timestamp, alerts, decide, diagnose as causes_of,
};
use crate::store::{self, Alert, CandidateRow, Database, DatabaseError, Observed, Statement};

/// How often it looks beside requests, whichever of the Worker's isolates does.
pub const INTERVAL_MS: u32 = 60_000;
const DAY_MS: u64 = 86_400_000;

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

/// Looks, and writes nothing.
///
/// # Errors
///
/// [`DatabaseError`] if the database does not answer.
pub async fn look(
    database: &impl Database,
    settings: &Settings<'_>,
    now: Timestamp,
) -> Result<Health, DatabaseError> {
    let observed = observe(database, settings, now, Vec::new()).await?.0;
    let findings = alerts(&observed.evidence, settings.thresholds, now);
    Ok(Health::new(findings, observed))
}

/// Looks for likely root causes too, and writes nothing. `stale` is how many creations a sweep would find now, if that is known.
///
/// # Errors
///
/// [`DatabaseError`] if the database does not answer.
pub async fn diagnose(
    database: &impl Database,
    settings: &Settings<'_>,
    now: Timestamp,
    stale: Option<u64>,
) -> Result<Health, DatabaseError> {
    let (mut observed, rest) = observe(database, settings, now, vec![store::causes(now)]).await?;
    observed.add_causes(rest.into_iter().next().unwrap_or_default())?;
    observed.evidence.stale = stale;
    let findings = causes_of(&observed.evidence, settings.thresholds, now);
    Ok(Health::new(findings, observed))
}

/// Runs what the monitor looks at, and `more` in the same transaction.
async fn observe(
    database: &impl Database,
    settings: &Settings<'_>,
    now: Timestamp,
    more: Vec<Statement>,
) -> Result<(Observed, Vec<Vec<store::Row>>), DatabaseError> {
    let mut batch = store::observe(now).to_vec();
    let looks = batch.len();
    batch.push(store::overdue(settings.policy, now, settings.thresholds.overdue_ms));
    batch.extend(more);
    let mut results = database.run(&batch).await?;
    let mut rest = results.split_off(looks.min(results.len())).into_iter();
    let stale = rest.next().unwrap_or_default();
    let mut observed = store::observed(results)?;
    observed.evidence.max_ms_since_sweep = settings.max_ms_since_sweep;
    observed.evidence.overdue = overdue(&stale, settings.policy, now)?;
    Ok((observed, rest.collect()))
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
    /// Whether events are due: those of these alerts, and what is to be tried again.
    pub events_due: bool,
}

/// Looks, fires and resolves alerts, checks the next user's ledger, and removes old rows when that is due. `None` if it is not due
/// beside this request.
///
/// # Errors
///
/// [`DatabaseError`] if the database does not answer.
pub async fn run(
    database: &impl Database,
    settings: &Settings<'_>,
    now: Timestamp,
    occasion: Occasion,
) -> Result<Option<Changes>, DatabaseError> {
    let interval = if occasion == Occasion::Request { INTERVAL_MS } else { 0 };
    let mut batch = vec![store::take_turn(now, interval)];
    if occasion == (Occasion::Cron { swept: true }) {
        batch.push(store::close_breaker());
    }
    let results = database.run(&batch).await?;
    let Some(trims) = store::turn(results.into_iter().next().unwrap_or_default())? else {
        return Ok(None);
    };
    let (observed, _) = observe(database, settings, now, Vec::new()).await?;
    let findings = alerts(&observed.evidence, settings.thresholds, now);
    let fires = |code: &str| observed.firing.iter().any(|alert| alert.code == code);
    let fired: Vec<_> = findings.iter().filter(|finding| !fires(finding.code)).collect();
    let found = |code: &str| findings.iter().any(|finding| finding.code == code);
    let firing = observed.firing.iter().map(|alert| alert.code.as_str());
    let resolved: Vec<_> = firing.filter(|code| !found(code)).collect();
    let emitted = settings.destinations != 0 && !(fired.is_empty() && resolved.is_empty());
    let changes = Changes {
        fired: fired.iter().copied().cloned().collect(),
        resolved: resolved.iter().copied().map(str::to_owned).collect(),
        events_due: emitted || observed.next_event_at.is_some_and(|at| at <= now),
    };
    let mut batch = store::record_alerts(&fired, &resolved, now, settings.destinations);
    batch.push(store::checked(&observed.checked, &observed.evidence.differs));
    if trims {
        let before = |days: u32| now.saturating_sub(u64::from(days).saturating_mul(DAY_MS));
        let Keep { sweeps, events, rollups } = settings.keep;
        batch.extend(store::trim(before(sweeps), before(events), before(rollups)));
    }
    database.run(&batch).await?;
    Ok(Some(changes))
}
