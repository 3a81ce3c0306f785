//! Retries many failed creations: found by what they are, previewed, and then exactly those that were previewed.
//!
//! A plan is a list of creations, each with the attempt that has failed. It is the caller's: nothing is kept of it here. Each creation of it
//! is retried if that attempt is still the present one and still failed, and if its owner's balance covers it after those before it in the
//! plan; otherwise it is named, with the reason. So nobody's empty balance keeps anybody else's from it, and to repeat a plan is harmless.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use super::explorer::{Places, ROUNDS};
use super::shards::{Shard, each, side_by_side};
use crate::rules::{Judgement, Refusal, Report, Snapshot, Status, Timestamp, covered};
use crate::store::{
    self, Cost, Database, DatabaseError, FailedPlace, Looked, RetryAudit, RetryCreation, RetryRow,
    RetryState, Row, Sought,
};

/// The longest plan.
pub const MAX_ROWS: u32 = 1_000;
/// The statements of a transaction.
const STATEMENTS: u64 = 5;

/// A failed creation that is to be retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRetry {
    /// Its id.
    pub id: String,
    /// The attempt that has failed.
    pub attempt: u32,
    /// Its owner, if it is known.
    pub user_id: Option<String>,
}

/// A plan, divided among databases.
#[derive(Clone, Debug, Default)]
pub struct Divided<'a>(Vec<Vec<(usize, &'a PlannedRetry)>>);

impl<'a> Divided<'a> {
    /// `plan` among `shards` databases: `shard_of` says which has a creation. What stands in it twice counts once.
    ///
    /// # Errors
    ///
    /// The first one whose database nobody knows, and its place.
    pub fn new(
        plan: &'a [PlannedRetry],
        shards: usize,
        shard_of: impl Fn(&PlannedRetry) -> Option<usize>,
    ) -> Result<Self, (usize, &'a PlannedRetry)> {
        let mut parts = vec![Vec::new(); shards];
        let mut listed = HashSet::new();
        for (place, planned) in plan.iter().enumerate() {
            if !listed.insert((planned.id.as_str(), planned.attempt)) {
                continue;
            }
            let part = shard_of(planned).and_then(|at| parts.get_mut(at));
            part.ok_or((place, planned))?.push((place, planned));
        }
        Ok(Divided(parts))
    }

    fn of(&self, at: usize) -> Vec<RetryRow<'a>> {
        let rows = self.0.get(at).map(Vec::as_slice).unwrap_or_default();
        let row = |(place, planned): &(usize, &'a PlannedRetry)| RetryRow {
            place: *place,
            id: &planned.id,
            user_id: planned.user_id.as_deref(),
            attempt: planned.attempt,
        };
        rows.iter().map(row).collect()
    }
}

/// Why a creation of a plan is left as it is. Where a single retry is refused for the same reason, it has the same code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetrySkip {
    /// There is no such creation.
    NotFound,
    /// That attempt was retried by hand before.
    AlreadyRetried {
        /// What it is now.
        status: String,
        /// The present attempt.
        attempt: u32,
    },
    /// It is not what was previewed any more.
    Changed {
        /// What it is now.
        status: String,
        /// The present attempt.
        attempt: u32,
    },
    /// It has failed, and can't be retried.
    Refused(Refusal),
    /// Its owner's balance does not cover it.
    InsufficientTokens {
        /// What is left, after those before it.
        balance: u64,
        /// What it would cost.
        tokens: u64,
    },
    /// All that is its owner's is on the way to another database.
    Moving,
    /// The database rejects it.
    Rejected(String),
    /// Its database does not answer.
    Unreachable(String),
    /// The queries that an invocation may make were used up before.
    NotTried,
}

impl RetrySkip {
    /// A stable code for JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            RetrySkip::NotFound => "not_found",
            RetrySkip::AlreadyRetried { .. } => "already_retried",
            RetrySkip::Changed { .. } => "changed",
            RetrySkip::Refused(refusal) => refusal.code(),
            RetrySkip::InsufficientTokens { .. } => "insufficient_tokens",
            RetrySkip::Moving => "moving",
            RetrySkip::Rejected(_) => "rejected",
            RetrySkip::Unreachable(_) => "unreachable",
            RetrySkip::NotTried => "not_tried",
        }
    }
}

impl fmt::Display for RetrySkip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetrySkip::NotFound => f.write_str("there is no such creation"),
            RetrySkip::AlreadyRetried { status, attempt } => {
                write!(f, "it has been retried since: it is `{status}` now, attempt {attempt}")
            }
            RetrySkip::Changed { status, attempt } => {
                write!(f, "it has moved on: it is `{status}` now, attempt {attempt}")
            }
            RetrySkip::Refused(refusal) => refusal.fmt(f),
            RetrySkip::InsufficientTokens { balance, tokens } => {
                write!(
                    f,
                    "insufficient tokens: it costs {tokens}, and its owner's balance has {balance} left for it"
                )
            }
            RetrySkip::Moving => f.write_str(
                "what is its owner's is on its way to another database, or there already: try it again in a minute",
            ),
            RetrySkip::Rejected(error) => write!(f, "the database rejects it: `{error}`"),
            RetrySkip::Unreachable(error) => {
                write!(f, "its database does not answer, so look before you repeat it: `{error}`")
            }
            RetrySkip::NotTried => {
                f.write_str("the queries of this request were used up before its turn: send it again")
            }
        }
    }
}

/// A creation of a plan that was left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedRetry {
    /// Its place in the plan.
    pub place: usize,
    /// Its id.
    pub id: String,
    /// Its owner, if that is known.
    pub user_id: Option<String>,
    /// The attempt that was to be retried.
    pub attempt: u32,
    /// Why.
    pub reason: RetrySkip,
}

impl SkippedRetry {
    fn new(row: &RetryRow<'_>, reason: RetrySkip) -> Self {
        SkippedRetry {
            place: row.place,
            id: row.id.to_owned(),
            user_id: row.user_id.map(str::to_owned),
            attempt: row.attempt,
            reason,
        }
    }
}

/// Failed creations that were found.
#[derive(Debug, Default)]
pub struct FoundRetries {
    /// They, one database after the other, and of each the newest first.
    pub plan: Vec<PlannedRetry>,
    /// Where the next question begins; `None` at the end.
    pub next: Option<Places>,
    /// When the oldest row was made that was looked at, in epoch milliseconds; `None` where all were.
    pub back_to: Option<i64>,
    /// The databases that did not answer, with the error: what they have is missing, and the next question asks them again.
    pub missing: Vec<(String, DatabaseError)>,
}

/// Failed creations that are sought and can be retried, `limit` at most. Like a page of the explorer it looks at a bounded number of rows in
/// each database, the newest ones, and may find few and have a next one all the same.
pub async fn find<'a, D: Database>(
    shards: &[Shard<'a, D>],
    sought: &Sought<'_>,
    from: &Places,
    limit: u32,
) -> FoundRetries {
    let answers = each(shards, |shard| async move {
        let mut walk = Walk::from(from.get(shard.name));
        for _ in 0..ROUNDS {
            let Some(before) = walk.next.filter(|_| walk.rows.len() < limit as usize) else { break };
            let left = limit.saturating_sub(u32::try_from(walk.rows.len()).unwrap_or(u32::MAX));
            let read =
                async { Looked::read(shard.database.run(&store::failed(sought, before, left)).await?, left) };
            match read.await {
                Ok(looked) => walk.add(looked),
                Err(error) => {
                    walk.failed = Some(error);
                    break;
                }
            }
        }
        walk
    })
    .await;
    let mut found = FoundRetries::default();
    let mut next = Places::new();
    for (shard, mut walk) in shards.iter().zip(answers) {
        let left = (limit as usize).saturating_sub(found.plan.len());
        walk.cut(left, from.get(shard.name));
        if walk.next.is_some() {
            found.back_to = found.back_to.max(walk.back_to);
        }
        next.insert(shard.name.to_owned(), walk.next.map(|place| (place, 0)));
        found.missing.extend(walk.failed.map(|error| (shard.name.to_owned(), error)));
        found.plan.extend(walk.rows.into_iter().map(|row| PlannedRetry {
            id: row.id,
            attempt: row.attempt,
            user_id: Some(row.user_id),
        }));
    }
    found.next = Some(next).filter(|next| next.values().any(Option::is_some));
    found
}

/// What one database has given so far.
struct Walk {
    rows: Vec<FailedPlace>,
    /// Where it is asked next; `None` at the end.
    next: Option<i64>,
    back_to: Option<i64>,
    failed: Option<DatabaseError>,
}

impl Walk {
    fn from(place: Option<&Option<(i64, i64)>>) -> Self {
        let next = match place {
            None => Some(store::NEWEST),
            Some(place) => place.map(|(place, _)| place),
        };
        Walk { rows: Vec::new(), next, back_to: None, failed: None }
    }

    fn add(&mut self, looked: Looked) {
        self.rows.extend(looked.rows);
        self.next = looked.next;
        self.back_to = looked.back_to;
    }

    /// Keeps so many rows, and goes on after the last of them.
    fn cut(&mut self, rows: usize, from: Option<&Option<(i64, i64)>>) {
        if self.rows.len() <= rows {
            return;
        }
        self.rows.truncate(rows);
        let last = self.rows.last();
        self.next = last.map_or_else(|| Walk::from(from).next, |row| Some(row.place));
        self.back_to = last.map(|row| row.listed_at);
    }
}

/// A creation of a plan that would be retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewedRetry {
    /// Its id.
    pub id: String,
    /// The attempt that has failed.
    pub attempt: u32,
    /// What there is of it.
    pub creation: RetryCreation,
    /// Whether its owner's balance covers it, after those before it.
    pub is_covered: bool,
}

/// What a plan would do.
#[derive(Clone, Debug, Default)]
pub struct RetryPreview {
    /// What would be retried, or would be if its owner could pay, in the order in which they failed, for that is who is served first.
    pub creations: Vec<PreviewedRetry>,
    /// What would be left as it is, for another reason than its owner's balance.
    pub skipped: Vec<SkippedRetry>,
}

/// Says what a plan would do, and writes nothing.
pub async fn preview<D: Database>(shards: &[Shard<'_, D>], plan: &Divided<'_>) -> RetryPreview {
    let parts: Vec<_> = (0..shards.len()).map(|at| plan.of(at)).collect();
    let asked = shards.iter().zip(&parts).map(|(Shard { database, .. }, rows)| async move {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        state_of(database.run(&[store::retry_state(rows, "")]).await)
    });
    let answers = side_by_side(asked).await;
    let mut preview = RetryPreview::default();
    for (rows, answer) in parts.iter().zip(answers) {
        let states = match answer {
            Ok(states) => by_place(states),
            Err(error) => {
                let skipped = |row| SkippedRetry::new(row, RetrySkip::Unreachable(error.to_string()));
                preview.skipped.extend(rows.iter().map(skipped));
                continue;
            }
        };
        for row in rows {
            match judged(row, states.get(&row.place), false) {
                Ok(creation) => preview.creations.push(PreviewedRetry {
                    id: row.id.to_owned(),
                    attempt: row.attempt,
                    creation: creation.clone(),
                    is_covered: false,
                }),
                Err(reason) => preview.skipped.push(SkippedRetry::new(row, reason)),
            }
        }
    }
    preview.creations.sort_by(|one, other| {
        (one.creation.finished_at, &one.id).cmp(&(other.creation.finished_at, &other.id))
    });
    preview.skipped.sort_by_key(|skipped| skipped.place);
    let balances: HashMap<_, _> =
        preview.creations.iter().map(|one| (one.creation.user_id.clone(), one.creation.balance)).collect();
    let charges = preview.creations.iter().map(|one| (one.creation.user_id.as_str(), one.creation.tokens));
    let covered = covered(charges, |owner| balances.get(owner).copied().unwrap_or(0));
    for (one, is_covered) in preview.creations.iter_mut().zip(covered) {
        one.is_covered = is_covered;
    }
    preview
}

/// A creation that was retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetriedCreation {
    /// Its place in the plan.
    pub place: usize,
    /// Its id.
    pub id: String,
    /// Its owner, who was charged again.
    pub user_id: String,
    /// Its kind.
    pub kind: String,
    /// The new attempt.
    pub attempt: u32,
    /// What it was charged.
    pub tokens: u64,
}

/// What came of a plan.
#[derive(Clone, Debug, Default)]
pub struct RetryOutcome {
    /// What was retried, in the plan's order.
    pub retried: Vec<RetriedCreation>,
    /// What was left as it is, in the plan's order.
    pub skipped: Vec<SkippedRetry>,
    /// The places of the databases in which something was retried.
    pub written: Vec<usize>,
    /// What it cost.
    pub cost: Cost,
}

/// How a plan is carried out.
#[derive(Clone, Copy, Debug)]
pub struct RetryRequest<'a> {
    /// Who, and why.
    pub audit: RetryAudit<'a>,
    /// Where the events go: see `stale_drafts_events.destinations`.
    pub notify: u32,
    /// So many queries each database may be asked.
    pub max_queries: u64,
    /// The instant.
    pub now: Timestamp,
}

/// Carries out a plan: on each database one transaction. If one row makes it fail, it is divided until that row is alone.
pub async fn apply<D: Database>(
    shards: &[Shard<'_, D>],
    plan: &Divided<'_>,
    request: RetryRequest<'_>,
) -> RetryOutcome {
    let parts: Vec<_> = (0..shards.len()).map(|at| plan.of(at)).collect();
    let applied = shards.iter().zip(&parts).map(|(shard, rows)| apply_to(shard.database, rows, request));
    let outcomes = side_by_side(applied).await;
    let mut all = RetryOutcome::default();
    for (at, outcome) in outcomes.into_iter().enumerate() {
        if !outcome.retried.is_empty() {
            all.written.push(at);
        }
        all.retried.extend(outcome.retried);
        all.skipped.extend(outcome.skipped);
        all.cost = Cost {
            queries: all.cost.queries.saturating_add(outcome.cost.queries),
            rows_read: all.cost.rows_read.saturating_add(outcome.cost.rows_read),
            rows_written: all.cost.rows_written.saturating_add(outcome.cost.rows_written),
        };
    }
    all.retried.sort_by_key(|retried| retried.place);
    all.skipped.sort_by_key(|skipped| skipped.place);
    all
}

async fn apply_to<D: Database>(
    database: &D,
    rows: &[RetryRow<'_>],
    request: RetryRequest<'_>,
) -> RetryOutcome {
    let RetryRequest { audit, notify, max_queries, now } = request;
    let mut outcome = RetryOutcome::default();
    let mut left = VecDeque::from([rows]);
    let mut queries = 0_u64;
    while let Some(part) = left.pop_front().filter(|part| !part.is_empty()) {
        queries = queries.saturating_add(STATEMENTS);
        if queries > max_queries.max(STATEMENTS) {
            left.push_front(part);
            break;
        }
        let batch = store::retry_many(part, audit, notify, now);
        let answer = database.run(&batch).await;
        let divides = answer.as_ref().is_err_and(|error| error.is_constraint() || error.is_too_big());
        match state_of(answer) {
            Ok(states) => outcome.settle(part, states),
            Err(_) if divides && part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                left.push_front(second);
                left.push_front(first);
            }
            Err(error) => {
                let reason = |error: String| match divides {
                    true if error.contains("moving: ") => RetrySkip::Moving,
                    true => RetrySkip::Rejected(error),
                    false => RetrySkip::Unreachable(error),
                };
                let skipped = |row| SkippedRetry::new(row, reason(error.to_string()));
                outcome.skipped.extend(part.iter().map(skipped));
                if !divides {
                    // The others would wait for it as long.
                    outcome.skipped.extend(left.drain(..).flatten().map(skipped));
                }
            }
        }
    }
    let untried = left.into_iter().flatten();
    outcome.skipped.extend(untried.map(|row| SkippedRetry::new(row, RetrySkip::NotTried)));
    outcome.cost = database.cost();
    outcome
}

impl RetryOutcome {
    /// Notes what has become of some rows.
    fn settle(&mut self, rows: &[RetryRow<'_>], states: Vec<RetryState>) {
        let states = by_place(states);
        for row in rows {
            match judged(row, states.get(&row.place), true) {
                Ok(creation) => self.retried.push(RetriedCreation {
                    place: row.place,
                    id: row.id.to_owned(),
                    user_id: creation.user_id.clone(),
                    kind: creation.kind.clone(),
                    attempt: row.attempt.saturating_add(1),
                    tokens: creation.tokens,
                }),
                Err(reason) => self.skipped.push(SkippedRetry::new(row, reason)),
            }
        }
    }
}

/// What a row of a plan has become, once it was carried out; otherwise what would become of it, if its owner could pay.
fn judged<'a>(
    row: &RetryRow<'_>,
    state: Option<&'a RetryState>,
    carried_out: bool,
) -> Result<&'a RetryCreation, RetrySkip> {
    let Some(creation) = state.and_then(|state| state.creation.as_ref()) else {
        return Err(RetrySkip::NotFound);
    };
    if creation.is_done {
        return Ok(creation);
    }
    let RetryCreation { status, attempt, balance, tokens, .. } = creation;
    let changed = || RetrySkip::Changed { status: status.clone(), attempt: *attempt };
    let Some(snapshot) = snapshot(creation, row) else { return Err(changed()) };
    match (Report::Retry { attempt: row.attempt }).judge(&snapshot) {
        Judgement::Repeat => Err(RetrySkip::AlreadyRetried { status: status.clone(), attempt: *attempt }),
        Judgement::Refuse(Refusal::OtherAttempt { .. } | Refusal::Active | Refusal::Illegal(_)) => {
            Err(changed())
        }
        Judgement::Refuse(refusal) => Err(RetrySkip::Refused(refusal)),
        Judgement::Accept if creation.moves => Err(RetrySkip::Moving),
        // It was not chosen, though it could be retried: that is the balance's doing.
        Judgement::Accept if carried_out => {
            Err(RetrySkip::InsufficientTokens { balance: *balance, tokens: *tokens })
        }
        Judgement::Accept => Ok(creation),
    }
}

/// As the rules take it; `None` if its status is none.
fn snapshot<'a>(creation: &'a RetryCreation, row: &'a RetryRow<'_>) -> Option<Snapshot<'a>> {
    Some(Snapshot {
        status: creation.status.parse::<Status>().ok()?,
        attempt: creation.attempt,
        worker: None,
        fence: None,
        kind: &creation.kind,
        tokens: creation.tokens,
        tokens_used: None,
        retried: if creation.is_retried { std::slice::from_ref(&row.attempt) } else { &[] },
        error_code: creation.error_code.as_deref(),
        result_url: None,
        late: creation.late_at.is_some(),
        restored: false,
        deleted: creation.deleted_at.is_some(),
        elsewhere: creation.elsewhere,
    })
}

fn state_of(results: Result<Vec<Vec<Row>>, DatabaseError>) -> Result<Vec<RetryState>, DatabaseError> {
    store::retry_rows(results?.pop().unwrap_or_default())
}

fn by_place(states: Vec<RetryState>) -> HashMap<usize, RetryState> {
    states.into_iter().map(|state| (state.place, state)).collect()
}
