//! The circuit breaker over several databases: it judges the share of what is stale on all of them, wherever each is swept.

use super::shards::{Shard, each};
use super::sweep::{Run, SweepRequest};
use crate::rules::{CircuitBreaker, Suspension};
use crate::store::{self, Database};

/// How many creations are stale, and how many are active. No more of the active ones are counted than it takes to see that the share is
/// within bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The stale ones.
    pub stale: u64,
    /// The active ones.
    pub active: u64,
}

impl Numbers {
    /// Those of all of them.
    pub fn sum(each: &[Numbers]) -> Numbers {
        each.iter().fold(Numbers::default(), |sum, one| Numbers {
            stale: sum.stale.saturating_add(one.stale),
            active: sum.active.saturating_add(one.active),
        })
    }

    /// Those of all but the one at this place.
    pub fn of_others(each: &[Numbers], at: usize) -> Numbers {
        let (all, own) = (Numbers::sum(each), each.get(at).copied().unwrap_or_default());
        Numbers { stale: all.stale.saturating_sub(own.stale), active: all.active.saturating_sub(own.active) }
    }
}

/// What the circuit breaker says of several databases together.
#[derive(Default)]
pub(super) struct Judged {
    /// So many are stale on all of them that each sweep is suspended.
    pub(super) suspension: Option<Suspension>,
    /// The numbers of each, where they were counted.
    pub(super) each: Option<Vec<Numbers>>,
}

/// Judges what was found: so many are `stale` on each, or nobody knows. `others` are databases that somebody else sweeps. For who
/// sweeps `unknown` databases more, the numbers are counted in any case.
pub(super) async fn judge<D: Database>(
    shards: &[Shard<'_, D>],
    breaker: CircuitBreaker,
    stale: &[Option<u64>],
    others: Numbers,
    unknown: usize,
) -> Judged {
    // How many are too many at once is a matter of one database: over many of them, as many are stale on a good day.
    let breaker = CircuitBreaker { creations: u32::MAX, ..breaker };
    let found: Vec<_> = stale.iter().copied().map(Option::unwrap_or_default).collect();
    let sum = found.iter().fold(others.stale, |sum, stale| sum.saturating_add(*stale));
    let places = found.iter().chain([&others.stale]).filter(|stale| **stale > 0).count();
    // What is stale on one only, that one has judged.
    let judges = places > 1 && breaker.check(sum, 0).is_some();
    if !judges && unknown == 0 {
        return Judged::default();
    }
    // Of so many active ones, it would be a share that is not abnormal. A database that is not known yet adds less than `at_least`
    // to it, or is judged by itself.
    let more = u64::from(breaker.at_least).saturating_mul(unknown as u64);
    let most = sum.saturating_add(more).saturating_mul(100);
    let enough = most.checked_div(breaker.percent.into()).unwrap_or(u64::MAX);
    let mut numbers: Vec<_> = found.into_iter().map(|stale| Numbers { stale, active: 0 }).collect();
    let (mut active, mut largest) = (others.active, 0_u64);
    for (at, Shard { database, .. }) in shards.iter().enumerate() {
        // Who sweeps one of them is to know enough of all the others.
        let known = if unknown == 0 { active } else { active.saturating_sub(largest) };
        if known > enough {
            break;
        }
        // Those of a database that does not answer are not counted, nor is anything written there.
        if stale.get(at).is_none_or(Option::is_none) {
            continue;
        }
        let results =
            database.run(&[store::active_up_to(enough.saturating_add(1))]).await.unwrap_or_default();
        let row = results.first().and_then(|rows| rows.first());
        let counted = row.and_then(|row| row.get("active")).and_then(serde_json::Value::as_u64).unwrap_or(0);
        if let Some(numbers) = numbers.get_mut(at) {
            numbers.active = counted;
        }
        active = active.saturating_add(counted);
        largest = largest.max(counted);
    }
    Judged { suspension: breaker.check(sum, active).filter(|_| judges), each: Some(numbers) }
}

/// Looks at all of them, writes nothing, and says how many are stale and active on each, for who sweeps `unknown` others of them at a
/// time. One that does not answer has none. `None` without a circuit breaker.
pub async fn look<D: Database>(
    shards: &[Shard<'_, D>],
    request: SweepRequest<'_>,
    unknown: usize,
) -> Option<Vec<Numbers>> {
    let breaker = request.breaker?;
    // What is found is counted and dropped: of many databases at once it may be much.
    let stale = each(shards, |Shard { database, .. }| async move {
        Run::new(database, request).look().await.ok().map(|found| found.stale())
    })
    .await;
    judge(shards, breaker, &stale, Numbers::default(), unknown.max(1)).await.each
}
