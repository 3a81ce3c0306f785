//! The one function that sweeps. The cron trigger, the drafts page and the scheduler's endpoint all call it.
//!
//! Select candidates by the index → the rules decide → one transaction writes, and repeats in every write what
//! was decided on.

use std::collections::HashSet;

use crate::rules::{
    Action, Active, CircuitBreaker, Decision, Decisions, Planned, Policy, Rule, SkipReason, Staleness,
    Suspension, Timestamp, Unreadable, decide, recheck,
};
use crate::store::{
    self, CandidateRow, Cost, Database, DatabaseError, FailureRow, Filter, SweepStart, SweepTotals, Window,
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
pub struct Request<'a> {
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
    /// Whom the rest of the app is told by: see `events.destinations`.
    pub notify: Notify,
    /// When it is suspended, if nobody has confirmed what it does; `None` for never.
    pub breaker: Option<CircuitBreaker>,
    /// At most this many creations are marked in one transaction; from 1.
    pub rows_per_transaction: u32,
    /// At most this many creations are looked at, beside unreadable ones; from 1. A plan is not bounded by it.
    pub rows_per_sweep: u32,
}

/// Whom events go to, as `events.destinations` has it; 0 is nobody, and then none is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Of a failure or a restore.
    pub app: u32,
    /// Of a retry.
    pub retry: u32,
}

/// What a sweep did, or would do.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Marked failed and refunded; in a dry run, what would be.
    pub failed: Vec<Marked>,
    /// Put back for another attempt; in a dry run, what would be.
    pub retried: Vec<Marked>,
    /// How many had moved on between the decision and the write, and were left alone.
    pub raced: u32,
    /// Those whose write the database rejected, one by one, with its reason.
    pub rejected: Vec<Rejected>,
    /// Active creations whose age can't be known; at most `rows_per_transaction` of each sort are listed.
    pub unreadable: Vec<Skipped>,
    /// Creations of the plan that were left alone, and why.
    pub skipped: Vec<(String, SkipReason)>,
    /// How many creations were looked at.
    pub examined: u32,
    /// What was refunded; in a dry run, what would be.
    pub refunded_tokens: u64,
    /// Whether stale creations remain beyond the bound.
    pub more: bool,
    /// What suspended it back: then it wrote nothing, unless it was a dry run, which only says so.
    pub suspended: Option<Suspension>,
    /// What the sweep cost.
    pub cost: Cost,
}

/// A creation that was marked failed, or put back for another attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
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

/// A creation that the database refused to mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The creation's id.
    pub id: String,
    /// The database's reason.
    pub error: String,
}

/// A creation that was left alone because its age can't be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The creation's id.
    pub id: String,
    /// Why.
    pub reason: Unreadable,
}

/// A sweep that stopped early. Its transactions that went through stand; the next sweep carries on.
#[derive(Clone, Debug)]
pub struct SweepError {
    /// What was done before.
    pub report: Report,
    /// Why it stopped.
    pub error: DatabaseError,
}

/// Finds stale creations, marks them failed, refunds them and records itself. Those with an attempt left are put back
/// to pending instead.
///
/// - Each creation is failed at most once per attempt and refunded at most once: the writes are guarded by what
///   was decided on, and the ledger's key is unique.
/// - A creation that moves on meanwhile is counted in [`Report::raced`]; the others of its transaction go through.
/// - A transaction that a constraint refuses is halved until the row that it is about stands alone; that row is
///   counted in [`Report::rejected`], and the others go through.
/// - Creations that a sweep can't mark are passed over, so they don't keep it from those behind them.
/// - A sweep that would do abnormally many is held by the [`CircuitBreaker`], and so is every one while an operator has paused
///   sweeping; a page load also while the circuit breaker is open. A plan that somebody has confirmed is carried out all the same.
/// - A row stays in `sweeps`, with the error if there was one. Only a page load that finds nothing to do leaves
///   none: it would be a write for every view.
///
/// # Errors
///
/// [`SweepError`] if the database failed otherwise.
pub async fn mark_stale_creations_as_failed(
    database: &impl Database,
    request: Request<'_>,
) -> Result<Report, Box<SweepError>> {
    let mut run = Run { database, request, report: Report::default(), begun: false, ended: false };
    let outcome = match request.planned {
        Some(planned) => run.apply(planned).await,
        None => run.sweep().await,
    };
    let ended = match &outcome {
        Ok(()) => {
            let suspended = run.report.suspended.as_ref().map(ToString::to_string);
            run.end(suspended.as_deref()).await
        }
        Err(error) => {
            // The first error is the one to report; that its record failed too would add nothing.
            let _ = run.end(Some(&error.to_string())).await;
            Ok(())
        }
    };
    run.report.cost = database.cost();
    match outcome.and(ended) {
        Ok(()) => Ok(run.report),
        Err(error) => Err(Box::new(SweepError { report: run.report, error })),
    }
}

struct Run<'a, D> {
    database: &'a D,
    request: Request<'a>,
    report: Report,
    begun: bool,
    ended: bool,
}

impl<D: Database> Run<'_, D> {
    async fn sweep(&mut self) -> Result<(), DatabaseError> {
        let Request { rows_per_transaction, rows_per_sweep, now, policy, filter, .. } = self.request;
        let mut seen = 0_u32;
        // Candidates that stay where they are: the next select begins behind them.
        let mut passed_over = 0_u32;
        // A dry run passes over all of them, and meets one again if another comes before it meanwhile.
        let mut shown = HashSet::new();
        loop {
            let take = rows_per_transaction.min(rows_per_sweep.saturating_sub(seen));
            // The circuit breaker judges how many are stale, however few of them one transaction would take.
            let breaker = self.request.breaker.filter(|_| seen == 0 && self.decides());
            let look = breaker.map_or(take, |breaker| take.max(breaker.creations));
            let Selected { mut rows, active, suspended } = self.select(look, passed_over, seen == 0).await?;
            self.report.more = rows.len() > take as usize;
            if seen == 0 && self.is_held(count(rows.len()), active, suspended).await? && !self.request.dry_run
            {
                return Ok(());
            }
            rows.truncate(take as usize);
            let taken = count(rows.len());
            seen = seen.saturating_add(taken);
            rows.retain(|row| {
                row.draft()
                    .status
                    .and_then(|status| status.active())
                    .is_none_or(|status| filter.matches(status, &row.kind))
            });
            rows.retain(|row| !self.request.dry_run || shown.insert(row.id.clone()));
            self.report.examined = self.report.examined.saturating_add(count(rows.len()));

            let Decisions { fail, retry, unreadable } =
                decide(rows.iter().map(CandidateRow::candidate), now, policy);
            self.note_unreadable(unreadable);
            let left = taken.saturating_sub(count(fail.len()).saturating_add(count(retry.len())));
            let (rejected, retried) = (self.report.rejected.len(), self.report.retried.len());
            let last = !self.report.more || seen >= rows_per_sweep;
            self.carry_out_both(fail, retry, &rows, last).await?;
            if last {
                return Ok(());
            }
            let rejected = self.report.rejected.len().saturating_sub(rejected);
            // What is put back is not stale any more, but still among a user's active creations.
            let put_back = match self.request.user_id {
                Some(_) => self.report.retried.len().saturating_sub(retried),
                None => 0,
            };
            let stay = if self.request.dry_run {
                taken
            } else {
                left.saturating_add(count(rejected.saturating_add(put_back)))
            };
            passed_over = passed_over.saturating_add(stay);
        }
    }

    /// Whether this sweep engages and releases the breaker. A user's own creations say nothing of everybody's: a page load goes by
    /// what the last sweep of all has found.
    fn decides(&self) -> bool {
        self.request.source != Source::Page && self.request.user_id.is_none()
    }

    /// Whether something holds this sweep back, that finds `stale` creations. A circuit breaker that holds no more is released.
    async fn is_held(
        &mut self,
        stale: u32,
        active: Option<u64>,
        suspended: Option<Suspension>,
    ) -> Result<bool, DatabaseError> {
        let Request { source, now, breaker, dry_run, filter, .. } = self.request;
        let was = matches!(suspended, Some(Suspension::BreakerOpen { .. }));
        let decides = self.decides();
        let stale = u64::from(stale);
        let check = |breaker: CircuitBreaker| breaker.check(stale, active.unwrap_or(u64::MAX));
        let holds = breaker.filter(|_| decides).and_then(check);
        self.report.suspended = match suspended {
            Some(Suspension::BreakerOpen { .. }) if decides => holds.clone(),
            Some(suspended) => Some(suspended),
            None => holds.clone(),
        };
        if decides && !dry_run {
            match holds {
                Some(Suspension::BreakerOpen { detail }) => {
                    self.database.run(&[store::hold("circuit_breaker", None, &detail, now)]).await?;
                }
                // It takes a sweep of everything to say that there is nothing abnormal any more.
                _ if was && filter.is_empty() && source != Source::Tool => {
                    self.database.run(&[store::release("circuit_breaker")]).await?;
                }
                _ => {}
            }
        }
        Ok(self.report.suspended.is_some())
    }

    /// Carries out a plan that somebody has confirmed: exactly its creations, as far as they are still what it was
    /// made for.
    async fn apply(&mut self, planned: &[Planned<'_>]) -> Result<(), DatabaseError> {
        let Request { rows_per_transaction, now, policy, .. } = self.request;
        // A creation that the plan lists twice would be credited twice in one transaction.
        let mut listed = HashSet::new();
        let planned: Vec<_> =
            planned.iter().filter(|planned| listed.insert(planned.id.to_owned())).copied().collect();
        let parts = planned.chunks(rows_per_transaction.max(1) as usize);
        let count_parts = parts.len();
        for (part, at) in parts.zip(1_usize..) {
            let ids: Vec<_> = part.iter().map(|planned| planned.id).collect();
            let results = self.database.run(&[store::by_id(&ids)]).await?;
            let rows =
                store::candidates(results.first().map(Vec::as_slice).unwrap_or_default(), "candidates")?;
            self.report.examined = self.report.examined.saturating_add(count(part.len()));
            let (mut fail, mut retry) = (Vec::new(), Vec::new());
            for planned in part {
                let candidate = rows.iter().map(CandidateRow::candidate).find(|row| row.id == planned.id);
                match recheck(planned, candidate.as_ref(), now, policy) {
                    Ok(decision) if matches!(decision.staleness.action(), Action::Retry) => {
                        retry.push(decision)
                    }
                    Ok(decision) => fail.push(decision),
                    Err(reason) => self.report.skipped.push((planned.id.to_owned(), reason)),
                }
            }
            self.carry_out_both(fail, retry, &rows, at == count_parts).await?;
        }
        Ok(())
    }

    /// One candidate more than `take`, to know whether more remain. Unreadable ones are noted at the first select.
    async fn select(&mut self, take: u32, offset: u32, first: bool) -> Result<Selected, DatabaseError> {
        let Request { now, policy, user_id, filter, rows_per_transaction, breaker, .. } = self.request;
        let limit = take.saturating_add(1);
        let statement = match user_id {
            Some(user_id) => store::active_of_user(user_id, limit, offset),
            None => {
                let unreadable = if first { rows_per_transaction } else { 0 };
                // Only the first select asks for what the circuit breaker has to know.
                let never = CircuitBreaker { at_least: u32::MAX, ..CircuitBreaker::default() };
                let breaker = breaker.filter(|_| first).unwrap_or(never);
                store::stale(policy, filter, now, Window { limit, offset, unreadable }, breaker)
            }
        };
        let results = self.database.run(&[statement]).await?;
        let rows = results.first().map(Vec::as_slice).unwrap_or_default();
        let unreadable = store::candidates(rows, "unreadable")?;
        self.report.examined = self.report.examined.saturating_add(count(unreadable.len()));
        let decisions = decide(unreadable.iter().map(CandidateRow::candidate), now, policy);
        self.note_unreadable(decisions.unreadable);
        let active = rows.first().and_then(|row| row.get("active")).and_then(serde_json::Value::as_u64);
        Ok(Selected {
            active,
            suspended: store::suspended(rows),
            rows: store::candidates(rows, "candidates")?,
        })
    }

    fn note_unreadable(&mut self, found: Vec<(&str, Unreadable)>) {
        let skipped = found.into_iter().map(|(id, reason)| Skipped { id: id.to_owned(), reason });
        self.report.unreadable.extend(skipped);
    }

    /// Notes the creations of `plan` that are among `ids`; all of them if `ids` is `None`.
    fn note(
        &mut self,
        action: Action,
        plan: &[(Decision<'_>, &CandidateRow)],
        ids: Option<&HashSet<String>>,
    ) {
        for (failure, row) in
            plan.iter().filter(|(failure, _)| ids.is_none_or(|ids| ids.contains(failure.id)))
        {
            let list = match action {
                Action::Fail => {
                    self.report.refunded_tokens = self.report.refunded_tokens.saturating_add(row.tokens);
                    &mut self.report.failed
                }
                Action::Retry => &mut self.report.retried,
            };
            list.push(Marked {
                id: row.id.clone(),
                user_id: row.user_id.clone(),
                kind: row.kind.clone(),
                attempt: row.attempt,
                tokens: row.tokens,
                staleness: failure.staleness,
            });
        }
    }

    async fn carry_out_both(
        &mut self,
        fail: Vec<Decision<'_>>,
        retry: Vec<Decision<'_>>,
        rows: &[CandidateRow],
        last: bool,
    ) -> Result<(), DatabaseError> {
        let (fail, retry) = (with_rows(fail, rows), with_rows(retry, rows));
        self.carry_out(Action::Fail, &fail, last && retry.is_empty()).await?;
        self.carry_out(Action::Retry, &retry, last).await
    }

    /// Carries out a plan, unless this is a dry run, in one transaction, or in several smaller ones if the database
    /// refuses a row of it.
    async fn carry_out(
        &mut self,
        action: Action,
        plan: &[(Decision<'_>, &CandidateRow)],
        last: bool,
    ) -> Result<(), DatabaseError> {
        if self.request.dry_run {
            self.note(action, plan, None);
            return Ok(());
        }
        let mut parts = vec![plan];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let whole = part.len() == plan.len();
            match self.transaction(action, part, last && whole).await {
                Ok(()) => {}
                Err(error) if error.is_constraint() => {
                    if let [(failure, _)] = part {
                        self.report
                            .rejected
                            .push(Rejected { id: failure.id.to_owned(), error: error.to_string() });
                    } else {
                        let (head, tail) = part.split_at(part.len() / 2);
                        parts.extend([tail, head]);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn transaction(
        &mut self,
        action: Action,
        part: &[(Decision<'_>, &CandidateRow)],
        last: bool,
    ) -> Result<(), DatabaseError> {
        let notify = self.request.notify;
        let rows: Vec<_> = part.iter().map(|(failure, row)| failure_row(failure, row)).collect();
        let (start, totals, counted) = (self.start(), self.totals(), counted(action, part));
        let batch = match action {
            Action::Fail => store::mark_failed(start, &rows, totals, notify.app, last, counted),
            Action::Retry => store::retry(start, &rows, totals, notify.retry, last, counted),
        };
        let results = self.database.run(&batch).await?;
        self.begun = true;
        self.ended = last;
        let answer = results.last().map(Vec::as_slice).unwrap_or_default();
        let ids: Option<HashSet<String>> = store::failed_ids(answer)?.map(HashSet::from_iter);
        let marked = ids.as_ref().map_or(part.len(), HashSet::len);
        self.report.raced = self.report.raced.saturating_add(count(part.len().saturating_sub(marked)));
        self.note(action, part, ids.as_ref());
        Ok(())
    }

    /// Leaves the sweep's row, unless its last transaction did.
    async fn end(&mut self, error: Option<&str>) -> Result<(), DatabaseError> {
        let Request { dry_run, source, .. } = self.request;
        let suspended = self.report.suspended.is_some();
        let nothing_to_do = !self.begun && self.report.rejected.is_empty() && (error.is_none() || suspended);
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
        let Request { sweep_id, source, actor, plan_id, now, .. } = self.request;
        SweepStart { sweep_id, source: source.as_str(), actor, plan_id, now }
    }

    fn totals(&self) -> SweepTotals {
        let Report { examined, rejected, unreadable, more, .. } = &self.report;
        SweepTotals {
            examined: *examined,
            rejected: count(rejected.len()),
            unreadable: count(unreadable.len()),
            more: *more,
        }
    }
}

/// What a select has found.
struct Selected {
    rows: Vec<CandidateRow>,
    /// How many creations are active, where the circuit breaker wants to know.
    active: Option<u64>,
    suspended: Option<Suspension>,
}

/// Creations of a transaction that are rolled up together.
struct Group<'a> {
    kind: &'a str,
    status: Active,
    rule: Rule,
    creations: u64,
    tokens: u64,
    lags: [u64; 6],
}

/// What is rolled up if all of a transaction goes through: see `sweeps.counted`.
fn counted(action: Action, part: &[(Decision<'_>, &CandidateRow)]) -> String {
    // `(kind, status, rule)` are few: they are looked for one by one.
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (failure, row) in part {
        let staleness = failure.staleness;
        let (kind, status, rule) = (row.kind.as_str(), staleness.stuck_status, staleness.rule);
        let known = groups
            .iter()
            .position(|group| group.kind == kind && group.status == status && group.rule == rule);
        let at = known.unwrap_or_else(|| {
            groups.push(Group { kind, status, rule, creations: 0, tokens: 0, lags: [0; 6] });
            groups.len().saturating_sub(1)
        });
        let Some(group) = groups.get_mut(at) else { continue };
        group.creations = group.creations.saturating_add(1);
        if matches!(action, Action::Fail) {
            group.tokens = group.tokens.saturating_add(row.tokens);
        }
        if let Some(lag) = group.lags.get_mut(failure.staleness.lag()) {
            *lag = lag.saturating_add(1);
        }
    }
    let rows: Vec<_> = groups
        .into_iter()
        .map(|Group { kind, status, rule, creations, tokens, lags: [a, b, c, d, e, f] }| {
            let (rule, status) = (rule.describe(status, kind), status.as_str());
            serde_json::json!([action.outcome(), kind, status, rule, creations, tokens, a, b, c, d, e, f])
        })
        .collect();
    // Writing tuples of text and integers to a string can't fail.
    serde_json::to_string(&rows).unwrap_or_default()
}

/// Each failure with the row that it was decided on. A plan has the order of its rows, so each is found at once; that of an
/// operator may have another.
fn with_rows<'a, 'r>(
    fail: Vec<Decision<'a>>,
    rows: &'r [CandidateRow],
) -> Vec<(Decision<'a>, &'r CandidateRow)> {
    let mut around = rows.iter().cycle();
    fail.into_iter()
        .filter_map(|failure| {
            Some((failure, around.by_ref().take(rows.len()).find(|row| row.id == failure.id)?))
        })
        .collect()
}

fn failure_row<'a>(decision: &Decision<'a>, row: &'a CandidateRow) -> FailureRow<'a> {
    let Decision { id, kind, staleness } = *decision;
    FailureRow {
        id,
        status: staleness.stuck_status.as_str(),
        attempt: staleness.attempt,
        last_sign_of_life: staleness.last_sign_of_life.as_millis(),
        error: staleness.error_text().to_string(),
        age_ms: staleness.age_ms,
        max_age_ms: staleness.max_age_ms,
        rule: staleness.rule.describe(staleness.stuck_status, kind),
        phase: staleness.phase.as_str(),
        lag: staleness.lag(),
        processing_since: staleness.processing_since().map(Timestamp::as_millis),
        kind,
        tokens: row.tokens,
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
