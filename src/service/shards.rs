//! What concerns several databases: they are asked side by side, and one that does not answer keeps nothing from the others.

use std::cell::Cell;
use std::collections::HashMap;
use std::pin::Pin;

use futures_util::stream::{self, StreamExt as _};

use super::sweep::{Run, Source, SweepError, SweepOutcome, SweepRequest};
use super::together::{Judged, Numbers, judge};
use crate::rules::{Planned, SkipReason, Suspension};
use crate::store::{Cost, Database, DatabaseError, Row, Statement};

/// So many are asked at the same time: a Worker has six connections.
pub const SIDE_BY_SIDE: usize = 6;

/// One of several databases.
#[derive(Debug)]
pub struct Shard<'a, D> {
    /// Its binding.
    pub name: &'a str,
    /// It itself.
    pub database: &'a D,
}

impl<'a, D> Shard<'a, D> {
    /// The only one.
    pub const fn one(database: &'a D) -> [Self; 1] {
        [Shard { name: "DB", database }]
    }
}

impl<D> Clone for Shard<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Shard<'_, D> {}

/// Asks all of them, six at a time, and gives the answers in their order.
pub async fn each<'a, T, D, F>(shards: &[Shard<'a, D>], ask: impl Fn(Shard<'a, D>) -> F) -> Vec<T>
where
    F: Future<Output = T>,
{
    side_by_side(shards.iter().map(|shard| ask(*shard))).await
}

/// Runs the same statements on all of them, a transaction each.
pub async fn run_each<D: Database>(
    shards: &[Shard<'_, D>],
    batch: &[Statement],
) -> Vec<Result<Vec<Vec<Row>>, DatabaseError>> {
    each(shards, |Shard { database, .. }| database.run(batch)).await
}

/// One of several databases that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Its binding.
    pub shard: String,
    /// Why, in the database's words.
    pub error: String,
}

/// What those say that answer, each with its database.
pub type Answers<'a, D, T> = Vec<(Shard<'a, D>, T)>;

/// Parts those that answer from those that don't. For what is shown only: what decides or writes needs them all.
///
/// # Errors
///
/// The first error if none answers.
pub fn part<'a, D, T>(
    shards: &[Shard<'a, D>],
    answers: impl IntoIterator<Item = Result<T, DatabaseError>>,
) -> Result<(Answers<'a, D, T>, Vec<Unreachable>), DatabaseError> {
    let (mut there, mut unreachable) = (Vec::new(), Vec::new());
    let mut first_error = None;
    for (shard, answer) in shards.iter().zip(answers) {
        match answer {
            Ok(answer) => there.push((*shard, answer)),
            Err(error) => {
                unreachable.push(Unreachable { shard: shard.name.to_owned(), error: error.to_string() });
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error.filter(|_| there.is_empty()) {
        Some(error) => Err(error),
        None => Ok((there, unreachable)),
    }
}

/// The results of futures in their order, six of which are at work at a time: a slow one holds up none behind it.
pub(super) async fn side_by_side<T, F: Future<Output = T>>(futures: impl Iterator<Item = F>) -> Vec<T> {
    let futures: Vec<_> = futures.collect();
    let results: Vec<_> = futures.iter().map(|_| Cell::new(None)).collect();
    let noted = futures
        .into_iter()
        .zip(&results)
        .map(|(future, result)| -> Noted<'_> { Box::pin(async move { result.set(Some(future.await)) }) });
    all(noted.collect()).await;
    results.into_iter().filter_map(Cell::into_inner).collect()
}

type Noted<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Apart from the results, whose types are many: so there is one of it.
async fn all(futures: Vec<Noted<'_>>) {
    stream::iter(futures).buffer_unordered(SIDE_BY_SIDE).collect().await
}

/// What a sweep did on one of several databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardOutcome {
    /// The database's binding.
    pub shard: String,
    /// How many were failed.
    pub failed: u32,
    /// How many were put back.
    pub retried: u32,
    /// What was refunded.
    pub refunded_tokens: u64,
    /// Whether stale creations remain.
    pub more: bool,
    /// What suspended it there.
    pub suspended: Option<Suspension>,
    /// Why it stopped early, or was not reached at all.
    pub error: Option<String>,
    /// What the circuit breaker has counted on all the others, if it has: for who sweeps this one later.
    pub others: Option<Numbers>,
}

/// Sweeps several databases as one: see [`super::sweep::mark_stale_creations_as_failed`]. On each of them it is a sweep with a row of its
/// own, all under the same id; [`SweepOutcome::shards`] says what became of each.
///
/// - All are looked at before anything is written. The circuit breaker judges each by itself, and all of them together by the share
///   of what is stale.
/// - Without `limit_of_all` each sweep does as many as `request.limit` says; otherwise all together do no more.
/// - A plan is carried out on each as far as its creations are there.
///
/// # Errors
///
/// [`SweepError`] if no database could be swept.
pub async fn mark_stale_creations_as_failed<D: Database>(
    shards: &[Shard<'_, D>],
    request: SweepRequest<'_>,
    limit_of_all: Option<u32>,
) -> Result<SweepOutcome, Box<SweepError>> {
    sweep_beside(shards, request, limit_of_all, Numbers::default()).await
}

/// The same where somebody else sweeps `others`: the circuit breaker judges their numbers too.
///
/// # Errors
///
/// [`SweepError`] if no database could be swept.
pub async fn sweep_beside<D: Database>(
    shards: &[Shard<'_, D>],
    request: SweepRequest<'_>,
    limit_of_all: Option<u32>,
    others: Numbers,
) -> Result<SweepOutcome, Box<SweepError>> {
    let (results, numbers) = match request.planned {
        Some(planned) => (apply(shards, request, planned).await, None),
        None => sweep(shards, request, limit_of_all, others).await,
    };
    match <[Swept; 1]>::try_from(results) {
        // The only one: it is no part of anything.
        Ok([only]) => only,
        Err(results) => merge(shards, request, results, numbers.as_deref()),
    }
}

type Swept = Result<SweepOutcome, Box<SweepError>>;

async fn apply<D: Database>(
    shards: &[Shard<'_, D>],
    request: SweepRequest<'_>,
    planned: &[Planned<'_>],
) -> Vec<Swept> {
    each(shards, |Shard { database, .. }| async move {
        let mut run = Run::new(database, request);
        let result = run.apply(planned).await;
        run.finish(result).await
    })
    .await
}

async fn sweep<D: Database>(
    shards: &[Shard<'_, D>],
    request: SweepRequest<'_>,
    limit_of_all: Option<u32>,
    others: Numbers,
) -> (Vec<Swept>, Option<Vec<Numbers>>) {
    let found = each(shards, |Shard { database, .. }| async move {
        let run = Run::new(database, request);
        let found = run.look().await;
        (run, found)
    })
    .await;
    let stale: Vec<_> =
        found.iter().map(|(_, found)| found.as_ref().ok().map(|found| found.stale())).collect();
    let silent = stale.iter().filter(|stale| stale.is_none()).count();
    let judged = match request.breaker.filter(|_| request.user_id.is_none()) {
        // Those that do not answer now are swept by a message each.
        Some(breaker) => {
            let unknown = if request.source == Source::Cron { silent.min(1) } else { 0 };
            judge(shards, breaker, &stale, others, unknown).await
        }
        None => Judged::default(),
    };
    let together = judged.suspension.as_ref();
    let mut left = limit_of_all;
    let runs = found.into_iter().map(|(mut run, found)| {
        let stale = found.as_ref().map_or(0, |found| u32::try_from(found.stale()).unwrap_or(u32::MAX));
        let limit = left.map_or(request.limit, |left| left.min(request.limit));
        left = left.map(|left| left.saturating_sub(stale.min(limit)));
        async move {
            let result = match found {
                Ok(found) => run.carry_on(found, limit, together).await,
                Err(error) => Err(error),
            };
            run.finish(result).await
        }
    });
    let swept = side_by_side(runs.collect::<Vec<_>>().into_iter()).await;
    (swept, judged.each)
}

/// One outcome of all. A shard that failed is an item of it.
fn merge<D>(
    shards: &[Shard<'_, D>],
    request: SweepRequest<'_>,
    results: Vec<Swept>,
    numbers: Option<&[Numbers]>,
) -> Result<SweepOutcome, Box<SweepError>> {
    let mut all = SweepOutcome::default();
    let mut first_error: Option<DatabaseError> = None;
    let mut swept = false;
    for (at, (shard, result)) in shards.iter().zip(results).enumerate() {
        let (outcome, error) = match result {
            Ok(outcome) => (outcome, None),
            Err(stopped) => (stopped.outcome, Some(stopped.error)),
        };
        swept |= error.is_none();
        all.shards.push(ShardOutcome {
            shard: shard.name.to_owned(),
            failed: count(outcome.failed.len()),
            retried: count(outcome.retried.len()),
            refunded_tokens: outcome.refunded_tokens,
            more: outcome.more,
            suspended: outcome.suspended.clone(),
            error: error.as_ref().map(ToString::to_string),
            others: numbers.map(|numbers| Numbers::of_others(numbers, at)),
        });
        first_error = first_error.or(error);
        add(&mut all, outcome);
    }
    settle_plan(&mut all, request);
    match first_error.filter(|_| !swept) {
        None => Ok(all),
        Some(error) => Err(Box::new(SweepError { outcome: all, error })),
    }
}

fn add(all: &mut SweepOutcome, outcome: SweepOutcome) {
    let SweepOutcome {
        failed,
        retried,
        raced,
        rejected,
        unreadable,
        skipped,
        examined,
        refunded_tokens,
        more,
        suspended,
        held,
        cost,
        shards: _,
    } = outcome;
    all.failed.extend(failed);
    all.retried.extend(retried);
    all.raced = all.raced.saturating_add(raced);
    all.rejected.extend(rejected);
    all.unreadable.extend(unreadable);
    all.held.extend(held);
    all.skipped.extend(skipped);
    all.examined = all.examined.saturating_add(examined);
    all.refunded_tokens = all.refunded_tokens.saturating_add(refunded_tokens);
    all.more |= more;
    all.suspended = all.suspended.take().or(suspended);
    all.cost = Cost {
        queries: all.cost.queries.saturating_add(cost.queries),
        rows_read: all.cost.rows_read.saturating_add(cost.rows_read),
        rows_written: all.cost.rows_written.saturating_add(cost.rows_written),
    };
}

/// A creation of a plan is on one database, and gone on each of the others: it is gone where all of them say so.
fn settle_plan(all: &mut SweepOutcome, request: SweepRequest<'_>) {
    let Some(planned) = request.planned else { return };
    all.examined = count(planned.len());
    let mut gone: HashMap<String, usize> = HashMap::new();
    for (id, _) in all.skipped.iter().filter(|(_, reason)| *reason == SkipReason::Gone) {
        let times = gone.entry(id.clone()).or_default();
        *times = times.saturating_add(1);
    }
    let shards = all.shards.len();
    // Once for all of them.
    all.skipped.retain(|(id, reason)| *reason != SkipReason::Gone || gone.remove(id) == Some(shards));
    let place: HashMap<_, _> = planned.iter().enumerate().map(|(at, planned)| (planned.id, at)).collect();
    all.skipped.sort_by_key(|(id, _)| place.get(id.as_str()).copied());
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
