//! What concerns several databases: they are asked side by side, and one that does not answer keeps nothing from the others.

use std::cell::Cell;
use std::collections::HashMap;
use std::pin::Pin;

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use super::sweep::{Run, ShardOutcome, SweepError, SweepOutcome, SweepRequest};
use crate::rules::{CircuitBreaker, Planned, SkipReason, Suspension};
use crate::store::{self, Cost, Database, DatabaseError, Row, Statement};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    let results = match request.planned {
        Some(planned) => apply(shards, request, planned).await,
        None => sweep(shards, request, limit_of_all).await,
    };
    match <[Swept; 1]>::try_from(results) {
        // The only one: it is no part of anything.
        Ok([only]) => only,
        Err(results) => merge(shards, request, results),
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
) -> Vec<Swept> {
    let found = each(shards, |Shard { database, .. }| async move {
        let run = Run::new(database, request);
        let found = run.look().await;
        (run, found)
    })
    .await;
    let mut stale: Vec<(u64, Option<u64>)> = Vec::new();
    let mut there = Vec::new();
    for (shard, (_, found)) in shards.iter().zip(&found) {
        if let Ok(found) = found {
            stale.push(found.stale_of_active());
            there.push(*shard);
        }
    }
    let together = together(&there, request, &stale).await;
    let together = together.as_ref();
    let mut left = limit_of_all;
    let runs = found.into_iter().map(|(mut run, found)| {
        let stale =
            found.as_ref().map_or(0, |found| u32::try_from(found.stale_of_active().0).unwrap_or(u32::MAX));
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
    side_by_side(runs.collect::<Vec<_>>().into_iter()).await
}

/// Whether so many are stale on all of them that every sweep is suspended.
async fn together<D: Database>(
    shards: &[Shard<'_, D>],
    request: SweepRequest<'_>,
    stale: &[(u64, Option<u64>)],
) -> Option<Suspension> {
    let breaker = request.breaker.filter(|_| request.user_id.is_none())?;
    // How many are too many at once is a matter of one database: over many of them, as many are stale on a good day.
    let breaker = CircuitBreaker { creations: u32::MAX, ..breaker };
    // What is stale on one only, that one has judged.
    if stale.iter().filter(|(stale, _)| *stale > 0).count() < 2 {
        return None;
    }
    let sum = stale.iter().fold(0, |sum: u64, (stale, _)| sum.saturating_add(*stale));
    // Of so many active ones, it would be a share that is not abnormal: no more are counted.
    let enough = sum.saturating_mul(100).checked_div(breaker.percent.into()).unwrap_or(u64::MAX);
    breaker.check(sum, 0)?;
    let mut active = 0_u64;
    for Shard { database, .. } in shards {
        let left = enough.saturating_sub(active).saturating_add(1);
        // Those of a database that does not answer now are not counted, nor is anything written there.
        let results = database.run(&[store::active_up_to(left)]).await.unwrap_or_default();
        let row = results.first().and_then(|rows| rows.first());
        let counted = row.and_then(|row| row.get("active")).and_then(serde_json::Value::as_u64);
        active = active.saturating_add(counted.unwrap_or(0));
        if active > enough {
            break;
        }
    }
    breaker.check(sum, active)
}

/// One outcome of all. A shard that failed is an item of it.
fn merge<D>(
    shards: &[Shard<'_, D>],
    request: SweepRequest<'_>,
    results: Vec<Swept>,
) -> Result<SweepOutcome, Box<SweepError>> {
    let mut all = SweepOutcome::default();
    let mut first_error: Option<DatabaseError> = None;
    let mut swept = false;
    for (shard, result) in shards.iter().zip(results) {
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
        cost,
        shards: _,
    } = outcome;
    all.failed.extend(failed);
    all.retried.extend(retried);
    all.raced = all.raced.saturating_add(raced);
    all.rejected.extend(rejected);
    all.unreadable.extend(unreadable);
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
