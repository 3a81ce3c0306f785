//! The one function that sweeps. The cron trigger, the drafts page and the scheduler's endpoint all call it.
//!
//! Select candidates by the index → the rules decide → one transaction writes, and repeats in every write what
//! was decided on.

mod steps;

use std::collections::{HashMap, HashSet, VecDeque};

use self::steps::{Step, counted, plan, seam, steps};
use super::shards::ShardOutcome;
use crate::rules::{
    Action, CircuitBreaker, Decisions, Planned, Policy, SkipReason, Staleness, Suspension, Timestamp,
    Unreadable, decide, recheck,
};
use crate::store::{
    self, CandidateRow, Cost, Count, Database, DatabaseError, Filter, HeldUsers, Row, SetAside, SweepStart,
    SweepTotals, TOGETHER, Window,
};

/// Who asked for a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cron trigger.
    Cron,
    /// Somebody who opened the drafts page.
    Page,
    /// A scheduler that called the endpoint.
    Endpoint,
    /// The command-line tool.
    Tool,
}

impl Source {
    /// The word in `sweeps.source`, JSON and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::Cron => "cron",
            Source::Page => "page",
            Source::Endpoint => "endpoint",
            Source::Tool => "tool",
        }
    }
}

/// What a sweep may touch, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct SweepRequest<'a> {
    /// The sweep's id: a UUIDv7, so that sweeps are ordered by it.
    pub sweep_id: &'a str,
    /// What asked.
    pub source: Source,
    /// Who asked, for the audit: a user's id, a token's name.
    pub actor: Option<&'a str>,
    /// Only this user's creations; `None` for everybody's.
    pub user_id: Option<&'a str>,
    /// Only creations of this kind and status.
    pub filter: Filter<'a>,
    /// Exactly these creations, as far as they are still what the plan was made for; then nothing else applies.
    pub planned: Option<&'a [Planned<'a>]>,
    /// The plan's id, for the audit.
    pub plan_id: Option<&'a str>,
    /// The one instant that the whole sweep measures from.
    pub now: Timestamp,
    /// After how long a creation is stale.
    pub policy: &'a Policy,
    /// Take the same path and write nothing.
    pub dry_run: bool,
    /// Where its events go: see `stale_drafts_events.destinations`.
    pub notify: Notify,
    /// When it is suspended, if nobody has confirmed what it does; `None` for never.
    pub breaker: Option<CircuitBreaker>,
    /// At most this many creations are failed or retried, in one transaction; from 1 to [`MAX_ROWS`].
    pub limit: u32,
    /// How many queries the invocation may have made when the sweep ends: see [`max_queries`]. Where the database rejects rows, no
    /// further transaction is tried that could exceed it.
    pub max_queries: u64,
}

/// How many queries a sweep may make, with those before it, of the `queries` that the platform allows an invocation. Some are left for
/// what goes on beside it: the page, the monitor, and an event or two. A page that somebody waits for takes no more than it would on
/// the free plan.
pub fn max_queries(source: Source, queries: u64) -> u64 {
    let allowed = if source == Source::Page { queries.min(FREE_QUERIES) } else { queries };
    allowed.saturating_sub(QUERIES_BESIDE)
}

/// The queries that D1 allows an invocation on the free plan.
const FREE_QUERIES: u64 = 50;
/// The most queries of the page or the monitor, and what the outbox needs for one event.
const QUERIES_BESIDE: u64 = 20;
/// A sweep's last ones: it sets aside what was rejected, and ends its row.
const LAST_QUERIES: u64 = 2;

/// The most that one sweep does, and the longest plan that it carries out: one transaction's worth. Who wants more calls again.
pub const MAX_ROWS: u32 = 1_000;

/// The statements that fail the creations of a transaction, and those that retry them.
const STATEMENTS: usize = 3;
/// After this time a sweep tries again what was rejected by itself.
const REJECTED_FOR_MS: u64 = 3_600_000;
/// After this time it tries again what was only rejected together with others.
const REJECTED_TOGETHER_FOR_MS: u64 = 300_000;
/// A reason is cut to so many characters: what is set aside is one string, and the database takes 2,000,000 bytes.
const MAX_REASON: usize = 200;
/// So many unreadable ones are listed of each of the two sorts: they are one string too.
const MAX_UNREADABLE: u32 = 500;
/// So much later come the next ones that were rejected together, so many as a sweep can tell from one another.
const TURN_MS: u32 = 60_000;

/// Whom events go to, as `stale_drafts_events.destinations` has it; 0 is nobody, and then none is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Of a failure or a restore.
    pub app: u32,
    /// Of a retry.
    pub retry: u32,
}

/// What a sweep did, or would do.
#[derive(Clone, Debug, Default)]
pub struct SweepOutcome {
    /// Marked failed and refunded; in a dry run, what would be.
    pub failed: Vec<SweptCreation>,
    /// Put back for another attempt; in a dry run, what would be.
    pub retried: Vec<SweptCreation>,
    /// How many had moved on between the decision and the write, and were left alone.
    pub raced: u32,
    /// Those whose write the database rejected, each by itself, with its reason. They are set aside, and tried again later.
    pub rejected: Vec<Rejected>,
    /// Active creations whose age can't be known; at most 500 of each sort are listed.
    pub unreadable: Vec<UnreadableCreation>,
    /// Creations of the plan that were left alone, and why.
    pub skipped: Vec<(String, SkipReason)>,
    /// How many creations were looked at.
    pub examined: u32,
    /// What was refunded; in a dry run, what would be.
    pub refunded_tokens: u64,
    /// Whether stale creations remain beyond the limit.
    pub more: bool,
    /// What suspended it: then it wrote nothing, unless it was a dry run, which only says so.
    pub suspended: Option<Suspension>,
    /// On whom it does not decide, since they move to another database, as each database has it; only a dry run and a plan say so.
    pub held: Vec<HeldUsers>,
    /// What the sweep cost.
    pub cost: Cost,
    /// What it did on each database, where there are several.
    pub shards: Vec<ShardOutcome>,
}

/// A creation that was marked failed, or put back for another attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweptCreation {
    /// The creation's id.
    pub id: String,
    /// Its owner.
    pub user_id: String,
    /// Its kind.
    pub kind: String,
    /// The attempt that was stale.
    pub attempt: u32,
    /// What was charged, and for a failed one refunded.
    pub tokens: u64,
    /// How it was stale.
    pub staleness: Staleness,
}

/// A creation whose write the database rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The creation's id.
    pub id: String,
    /// The database's reason.
    pub error: String,
}

/// A creation that was left alone because its age can't be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableCreation {
    /// The creation's id.
    pub id: String,
    /// Why.
    pub reason: Unreadable,
}

/// A sweep that stopped early. Its transactions that went through stand; the next sweep carries on.
#[derive(Clone, Debug)]
pub struct SweepError {
    /// What was done before.
    pub outcome: SweepOutcome,
    /// Why it stopped.
    pub error: DatabaseError,
}

/// Finds stale creations, marks them failed, refunds them and records itself. Those with an attempt left are put back
/// to pending instead.
///
/// - Each creation is failed at most once per attempt and refunded at most once: the writes are guarded by what
///   was decided on, and the ledger's key is unique.
/// - A creation that moves on meanwhile is counted in [`SweepOutcome::raced`]; the others of its transaction go through.
/// - A transaction that the database rejects is halved, and each row that is rejected by itself is counted in
///   [`SweepOutcome::rejected`] and set aside for an hour, so that it keeps nothing from its turn. After a bounded number of
///   transactions what is left is set aside for five minutes, good rows and bad.
/// - A sweep that would fail abnormally many is suspended by the [`CircuitBreaker`], and so is every one while an operator has paused
///   sweeping; a page load also while the circuit breaker is open. A plan that somebody has confirmed is carried out all the same.
/// - A row stays in `sweeps`, with the error if there was one. Only a page load that finds nothing to do leaves
///   none: it would be a write for every view.
///
/// # Errors
///
/// [`SweepError`] if the database failed otherwise.
pub async fn mark_stale_creations_as_failed(
    database: &impl Database,
    request: SweepRequest<'_>,
) -> Result<SweepOutcome, Box<SweepError>> {
    let mut run = Run::new(database, request);
    let result = match request.planned {
        Some(planned) => run.apply(planned).await,
        None => run.sweep().await,
    };
    run.finish(result).await
}

pub(super) struct Run<'a, D> {
    database: &'a D,
    request: SweepRequest<'a>,
    outcome: SweepOutcome,
    /// How many creations its transactions have done or left alone.
    settled: u32,
    begun: bool,
    ended: bool,
}

impl<'a, D: Database> Run<'a, D> {
    pub(super) fn new(database: &'a D, request: SweepRequest<'a>) -> Self {
        Run { database, request, outcome: SweepOutcome::default(), settled: 0, begun: false, ended: false }
    }

    /// Records the sweep, whatever became of it.
    pub(super) async fn finish(
        mut self,
        result: Result<(), DatabaseError>,
    ) -> Result<SweepOutcome, Box<SweepError>> {
        let ended = match &result {
            Ok(()) => {
                let suspended = self.outcome.suspended.as_ref().map(ToString::to_string);
                self.end(suspended.as_deref()).await
            }
            Err(error) => {
                // The first error is the one to report; that its record failed too would add nothing.
                let _ = self.end(Some(&error.to_string())).await;
                Ok(())
            }
        };
        self.outcome.cost = self.database.cost();
        match result.and(ended) {
            Ok(()) => Ok(self.outcome),
            Err(error) => Err(Box::new(SweepError { outcome: self.outcome, error })),
        }
    }

    async fn sweep(&mut self) -> Result<(), DatabaseError> {
        let found = self.look().await?;
        self.carry_on(found, self.request.limit.max(1), None).await
    }

    /// What a sweep finds; it writes nothing yet.
    pub(super) async fn look(&self) -> Result<Found, DatabaseError> {
        self.select(self.request.limit.clamp(1, MAX_ROWS)).await
    }

    /// Decides on what was found, and carries out at most `limit` of it. `together` suspends it because of what was found on all
    /// databases together.
    pub(super) async fn carry_on(
        &mut self,
        found: Found,
        limit: u32,
        together: Option<&Suspension>,
    ) -> Result<(), DatabaseError> {
        let SweepRequest { now, policy, dry_run, .. } = self.request;
        let limit = limit.min(MAX_ROWS);
        let Found { mut rows, unreadable, active, suspended, held } = found;
        self.outcome.held = held;
        let stale = count(rows.len());
        self.outcome.more = stale > limit;
        rows.truncate(limit as usize);
        self.outcome.examined = count(rows.len().saturating_add(unreadable.len()));
        let candidates = rows.iter().chain(&unreadable).map(CandidateRow::candidate);
        let Decisions { fail, retry, unreadable } = decide(candidates, now, policy);
        let listed = |(id, reason): (&str, Unreadable)| UnreadableCreation { id: id.to_owned(), reason };
        self.outcome.unreadable = unreadable.into_iter().map(listed).collect();
        if self.is_suspended(stale, active, suspended, together).await? && !dry_run {
            return Ok(());
        }
        self.carry_out(&steps(fail.into_iter().chain(retry), &rows)).await
    }

    /// Carries out a plan that somebody has confirmed: exactly its creations, as far as they are still what it was
    /// made for.
    pub(super) async fn apply(&mut self, planned: &[Planned<'_>]) -> Result<(), DatabaseError> {
        let SweepRequest { now, policy, .. } = self.request;
        // A creation that the plan lists twice would be credited twice.
        let mut listed = HashSet::new();
        let planned: Vec<_> = planned.iter().filter(|planned| listed.insert(planned.id)).collect();
        self.outcome.more = planned.len() > MAX_ROWS as usize;
        let planned: Vec<_> = planned.into_iter().take(MAX_ROWS as usize).collect();
        self.outcome.examined = count(planned.len());
        let ids: Vec<_> = planned.iter().map(|planned| planned.id).collect();
        let batch = [store::by_id(&ids), store::held_users(None)];
        let results = self.database.run(&batch).await?;
        self.outcome.held = held(&results);
        let rows = store::candidates(only(&results), "candidates")?;
        let candidates: HashMap<_, _> = rows.iter().map(|row| (row.id.as_str(), row.candidate())).collect();
        let mut decisions = Vec::new();
        for planned in planned {
            match recheck(planned, candidates.get(planned.id), now, policy) {
                Ok(decision) => decisions.push(decision),
                Err(reason) => self.outcome.skipped.push((planned.id.to_owned(), reason)),
            }
        }
        self.carry_out(&steps(decisions, &rows)).await
    }

    /// Whether this sweep opens and closes the breaker for all. A user's own creations say nothing of everybody's: a sweep of
    /// them goes by what the last sweep of all has found, and is held by itself if they are abnormally many.
    fn decides(&self) -> bool {
        self.request.source != Source::Page && self.request.user_id.is_none()
    }

    /// Whether something suspends this sweep, which finds `stale` creations. A circuit breaker that would not open now is closed.
    async fn is_suspended(
        &mut self,
        stale: u32,
        active: Option<u64>,
        suspended: Option<Suspension>,
        together: Option<&Suspension>,
    ) -> Result<bool, DatabaseError> {
        let SweepRequest { source, now, breaker, dry_run, filter, .. } = self.request;
        let was_open = matches!(suspended, Some(Suspension::BreakerOpen { .. }));
        let decides = self.decides();
        let check = |breaker: CircuitBreaker| breaker.check(stale.into(), active.unwrap_or(u64::MAX));
        let opens = breaker.and_then(check).or_else(|| together.cloned());
        self.outcome.suspended = match suspended {
            Some(Suspension::BreakerOpen { .. }) if decides => opens.clone(),
            Some(suspended) => Some(suspended),
            None => opens.clone(),
        };
        if decides && !dry_run {
            match opens {
                Some(Suspension::BreakerOpen { detail }) => {
                    self.database.run(&[store::hold("circuit_breaker", None, &detail, now)]).await?;
                }
                // It takes a sweep of everything to say that there is nothing abnormal any more.
                _ if was_open && filter.is_empty() && source != Source::Tool => {
                    self.database.run(&[store::release("circuit_breaker")]).await?;
                }
                _ => {}
            }
        }
        Ok(self.outcome.suspended.is_some())
    }

    /// One candidate more than `limit`, to know whether more remain; or as many as the circuit breaker has to know of, since it
    /// judges how many are stale, however few of them the sweep would take.
    async fn select(&self, limit: u32) -> Result<Found, DatabaseError> {
        let SweepRequest { now, policy, user_id, filter, breaker, dry_run, .. } = self.request;
        let look = breaker.map_or(limit, |breaker| limit.max(breaker.creations)).saturating_add(1);
        let window = Window { limit: look, unreadable: MAX_UNREADABLE };
        let judge = breaker.unwrap_or(CircuitBreaker { at_least: u32::MAX, ..CircuitBreaker::default() });
        let statement = match user_id {
            Some(user_id) => store::stale_of_user(user_id, policy, filter, now, window, judge),
            None => store::stale(policy, filter, now, window, judge),
        };
        let mut batch = vec![statement];
        batch.extend(dry_run.then(|| store::held_users(user_id)));
        let results = self.database.run(&batch).await?;
        let held = held(&results);
        let rows = only(&results);
        Ok(Found {
            rows: store::candidates(rows, "candidates")?,
            unreadable: store::candidates(rows, "unreadable")?,
            active: rows.first().and_then(|row| row.get("active")).and_then(serde_json::Value::as_u64),
            suspended: store::suspended(rows),
            held,
        })
    }

    /// Carries out the steps, unless this is a dry run, in one transaction; in several smaller ones if the database
    /// rejects a row. The larger parts come first, so most of what can be written is written before the queries are used up. What is
    /// left then is set aside, by turns: so the parts come back apart, smaller than before, and one without a rejected row goes
    /// through whole.
    async fn carry_out(&mut self, steps: &[Step<'_>]) -> Result<(), DatabaseError> {
        if self.request.dry_run {
            steps.iter().for_each(|step| self.note(step));
            return Ok(());
        }
        // What is alike stands together, where it is split.
        let mut steps = steps.to_vec();
        steps.sort_by(|one, other| one.likeness().cmp(&other.likeness()));
        let steps = steps.as_slice();
        let mut parts = VecDeque::from([steps]);
        let (mut wait, mut in_turn) = (REJECTED_TOGETHER_FOR_MS, 0_usize);
        let mut aside = Vec::new();
        let mut reason = String::new();
        let mut stopped = Ok(());
        while let Some(part) = parts.pop_front().filter(|part| !part.is_empty()) {
            // Those that are failed come first. Only the whole is of both sorts: it is split between them.
            let retries = part.partition_point(|step| step.action() == Action::Fail);
            let mixed = 0 < retries && retries < part.len();
            if part.len() < steps.len() && !self.may_ask(STATEMENTS) {
                if in_turn > 0 && in_turn.saturating_add(part.len()) > self.rows_of_a_turn() {
                    wait = wait.saturating_add(TURN_MS.into());
                    in_turn = 0;
                }
                in_turn = in_turn.saturating_add(part.len());
                for step in part {
                    let error = format!("{TOGETHER}{reason}");
                    self.outcome.rejected.push(Rejected { id: step.row.id.clone(), error: error.clone() });
                    aside.push((step, wait, error));
                }
                self.outcome.more = true;
                continue;
            }
            let Err(error) = self.transaction(part, part.len() == steps.len()).await else { continue };
            if !error.is_constraint() && !error.is_too_big() {
                stopped = Err(error);
                break;
            }
            reason = error.to_string().chars().take(MAX_REASON).collect();
            if let [step] = part {
                self.outcome.rejected.push(Rejected { id: step.row.id.clone(), error: reason.clone() });
                aside.push((step, REJECTED_FOR_MS, reason.clone()));
            } else {
                let (head, tail) = part.split_at(if mixed { retries } else { seam(part) });
                parts.extend([head, tail]);
            }
        }
        stopped.and(self.set_aside(&aside).await)
    }

    /// So many rejected ones a sweep can tell from one another, down to the last: it takes a transaction for each of them, and for
    /// each part that has two of them.
    fn rows_of_a_turn(&self) -> usize {
        usize::try_from(self.request.max_queries).unwrap_or(usize::MAX) / (2 * STATEMENTS)
    }

    /// Whether so many queries more are within bounds.
    fn may_ask(&self, queries: usize) -> bool {
        let after = self.database.cost().queries.saturating_add(queries as u64);
        after.saturating_add(LAST_QUERIES) <= self.request.max_queries
    }

    /// All of `part` in one transaction: those that are failed, and those that are retried.
    async fn transaction(&mut self, part: &[Step<'_>], ends: bool) -> Result<(), DatabaseError> {
        let (start, totals, notify) = (self.start(), self.totals(), self.request.notify);
        let of = |action| part.iter().filter(move |step| step.action() == action).collect::<Vec<_>>();
        let (fail, retry) = (of(Action::Fail), of(Action::Retry));
        let count_of = |action, steps: &[&Step<'_>], before, last| Count {
            totals,
            before,
            last,
            counted: counted(action, steps),
        };
        let mut batch = Vec::new();
        let mut settled = self.settled;
        if !fail.is_empty() {
            let counts = count_of(Action::Fail, &fail, settled, ends && retry.is_empty());
            batch.extend(store::mark_failed(start, &plan(&fail), counts, notify.app));
            settled = settled.saturating_add(count(fail.len()));
        }
        if !retry.is_empty() {
            let counts = count_of(Action::Retry, &retry, settled, ends);
            batch.extend(store::retry(start, &plan(&retry), counts, notify.retry));
            settled = settled.saturating_add(count(retry.len()));
        }
        let results = self.database.run(&batch).await?;
        self.settled = settled;
        self.begun = true;
        self.ended = ends;
        let answers = results.chunks(STATEMENTS).filter_map(<[_]>::last);
        for (steps, answer) in [fail, retry].iter().filter(|steps| !steps.is_empty()).zip(answers) {
            let done: Option<HashSet<String>> = self.done_ids(steps, answer).await?.map(HashSet::from_iter);
            let raced = done.as_ref().map_or(0, |done| steps.len().saturating_sub(done.len()));
            self.outcome.raced = self.outcome.raced.saturating_add(count(raced));
            let done = |step: &&&Step<'_>| done.as_ref().is_none_or(|done| done.contains(&step.row.id));
            steps.iter().filter(done).for_each(|step| self.note(step));
        }
        Ok(())
    }

    /// Which of the steps were done; `None` for all. A transaction that was repeated, because the answer to it was lost, has no answer.
    async fn done_ids(
        &self,
        steps: &[&Step<'_>],
        answer: &[Row],
    ) -> Result<Option<Vec<String>>, DatabaseError> {
        if !answer.is_empty() {
            return store::done_ids(answer);
        }
        let results = self.database.run(&[store::done_before(self.request.sweep_id, &plan(steps))]).await?;
        store::done_ids(only(&results))
    }

    /// Notes what was done.
    fn note(&mut self, Step { decision, row }: &Step<'_>) {
        let list = match decision.staleness.action() {
            Action::Fail => {
                self.outcome.refunded_tokens = self.outcome.refunded_tokens.saturating_add(row.tokens);
                &mut self.outcome.failed
            }
            Action::Retry => &mut self.outcome.retried,
        };
        list.push(SweptCreation {
            id: row.id.clone(),
            user_id: row.user_id.clone(),
            kind: row.kind.clone(),
            attempt: row.attempt,
            tokens: row.tokens,
            staleness: decision.staleness,
        });
    }

    /// Leaves rejected creations aside, each for so many milliseconds and with the database's reason.
    async fn set_aside(&self, steps: &[(&Step<'_>, u64, String)]) -> Result<(), DatabaseError> {
        if steps.is_empty() {
            return Ok(());
        }
        let creations: Vec<_> = steps
            .iter()
            .map(|(step, millis, reason)| SetAside {
                id: &step.row.id,
                attempt: step.row.attempt,
                until: self.request.now.saturating_add(*millis).as_millis(),
                reason,
                together: reason.starts_with(TOGETHER),
            })
            .collect();
        let first_turn = self.request.now.saturating_add(REJECTED_TOGETHER_FOR_MS);
        self.database.run(&[store::set_aside(&creations, first_turn, TURN_MS)]).await.map(drop)
    }

    /// Leaves the sweep's row, unless its last transaction did.
    async fn end(&mut self, error: Option<&str>) -> Result<(), DatabaseError> {
        let SweepRequest { dry_run, source, .. } = self.request;
        let suspended = self.outcome.suspended.is_some();
        let nothing_to_do = !self.begun && self.outcome.rejected.is_empty() && (error.is_none() || suspended);
        if dry_run || (source == Source::Page && nothing_to_do) {
            return Ok(());
        }
        let statement = store::end_sweep(self.start(), self.totals(), error, self.database.cost());
        if self.ended && error.is_none() {
            // Its last transaction has ended it, and what it did stands: if its cost can't be noted, that is all that is lost.
            // Somebody waits for a page: its sweep costs what it writes, and no statement more.
            if source != Source::Page {
                let _ = self.database.run(&[statement]).await;
            }
            return Ok(());
        }
        self.ended = true;
        self.database.run(&[statement]).await.map(drop)
    }

    const fn start(&self) -> SweepStart<'_> {
        let SweepRequest { sweep_id, source, actor, plan_id, now, .. } = self.request;
        SweepStart { sweep_id, source: source.as_str(), actor, plan_id, now }
    }

    fn totals(&self) -> SweepTotals {
        let SweepOutcome { examined, rejected, unreadable, more, .. } = &self.outcome;
        SweepTotals {
            examined: *examined,
            rejected: count(rejected.len()),
            unreadable: count(unreadable.len()),
            more: *more,
        }
    }
}

/// What a select has found.
pub(super) struct Found {
    pub(super) rows: Vec<CandidateRow>,
    unreadable: Vec<CandidateRow>,
    /// How many creations are active, where the circuit breaker wants to know.
    active: Option<u64>,
    pub(super) suspended: Option<Suspension>,
    held: Vec<HeldUsers>,
}

impl Found {
    /// How many are stale.
    pub(super) fn stale(&self) -> u64 {
        count(self.rows.len()).into()
    }
}

/// On whom no sweep decides, where that was asked behind the first statement.
fn held(results: &[Vec<Row>]) -> Vec<HeldUsers> {
    results.get(1).map(|rows| store::held_of(rows)).unwrap_or_default()
}

/// The rows of the first statement.
fn only(results: &[Vec<Row>]) -> &[Row] {
    results.first().map(Vec::as_slice).unwrap_or_default()
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
