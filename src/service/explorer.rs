//! Finds creations over all databases, in one order. A page looks at a bounded number of rows and says how far back that is.

use std::collections::{BTreeMap, VecDeque};

use super::shards::{Shard, each};
use crate::config::Shards;
use crate::read::encoded;
use crate::rules::Bucket;
use crate::store::{self, Database, DatabaseError, Found, PageRow, Sought};

/// A page asks each database so often at most, and each time for [`store::LOOKED_AT`] rows at most.
pub const ROUNDS: u32 = 4;

/// Alerts are about failures within so long.
const HOUR_MS: u64 = 3_600_000;

/// The explorer's address with what failed by this code within the hour before an instant, in epoch milliseconds.
pub fn failures_address(error_code: &str, now: u64) -> String {
    let since = now.saturating_sub(HOUR_MS);
    format!("/dashboard/creations?status=failed&error_code={}&failed_since={since}", encoded(error_code))
}

/// Where a page ended in each database, by its binding: a place, or `None` where there is nothing more. What is not in it is at the
/// beginning.
pub type Places = BTreeMap<String, Option<(i64, i64)>>;

/// A page of what was sought.
#[derive(Debug, Default)]
pub struct Explored {
    /// The creations, in order.
    pub rows: Vec<PageRow>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Places>,
    /// When the oldest row was made that was looked at, in epoch milliseconds; `None` where all were.
    pub back_to: Option<i64>,
    /// The databases that did not answer, with the error: what they have is missing, and the next page asks them again.
    pub missing: Vec<(String, DatabaseError)>,
}

/// What one database has still to give.
struct Source<'a, D> {
    shard: Shard<'a, D>,
    /// Where it is asked next; `None` at the end.
    next: Option<i64>,
    rows: VecDeque<(i64, PageRow)>,
    /// Nothing that it has still to give was made later, as far as rows stand in the order in which they were made.
    horizon: i64,
    rounds: u32,
    failed: Option<DatabaseError>,
}

impl<D> Source<'_, D> {
    /// Whether it may have a row that comes before one that was made at this time.
    fn is_before(&self, listed_at: i64) -> bool {
        self.rows.is_empty() && self.failed.is_none() && self.next.is_some() && self.horizon > listed_at
    }
}

/// What is sought among the newest creations, the newest first; `limit` at most.
pub async fn newest<'a, D: Database>(
    shards: &[Shard<'a, D>],
    configured: &Shards,
    sought: &Sought<'_>,
    from: &Places,
    limit: u32,
) -> Explored {
    let source = |shard: Shard<'a, D>| {
        let next = match from.get(shard.name) {
            None => Some(store::NEWEST),
            Some(place) => place.map(|(place, _)| place),
        };
        Source { shard, next, rows: VecDeque::new(), horizon: i64::MAX, rounds: 0, failed: None }
    };
    let mut sources: Vec<_> = shards.iter().copied().map(source).collect();
    let mut explored = Explored::default();
    while explored.rows.len() < limit as usize {
        let newest = sources
            .iter()
            .enumerate()
            .filter_map(|(at, source)| Some((source.rows.front()?.1.listed_at, at)))
            .max_by_key(|(listed_at, at)| (*listed_at, std::cmp::Reverse(*at)));
        let listed_at = newest.map_or(i64::MIN, |(listed_at, _)| listed_at);
        if sources.iter().any(|source| source.is_before(listed_at)) {
            if !ask(&mut sources, sought, listed_at, limit).await {
                break;
            }
            continue;
        }
        let Some(source) = newest.and_then(|(_, at)| sources.get_mut(at)) else { break };
        let Some((_, row)) = source.rows.pop_front() else { break };
        if !is_a_copy(&row, source.shard.name, configured) {
            explored.rows.push(row);
        }
    }
    let mut next = Places::new();
    for source in sources {
        let place = source.rows.front().map(|(place, _)| place.saturating_add(1)).or(source.next);
        if place.is_some() {
            let horizon = source.rows.front().map_or(source.horizon, |(_, row)| row.listed_at);
            explored.back_to = explored.back_to.max(Some(horizon).filter(|horizon| *horizon < i64::MAX));
        }
        next.insert(source.shard.name.to_owned(), place.map(|place| (place, 0)));
        explored.missing.extend(source.failed.map(|error| (source.shard.name.to_owned(), error)));
    }
    explored.next = Some(next).filter(|next| next.values().any(Option::is_some));
    explored
}

/// Whether a creation is in another database too, and counts there: while its owner moves both have it, and then it is the one that the
/// configuration says.
fn is_a_copy(row: &PageRow, shard: &str, configured: &Shards) -> bool {
    let home = || configured.iter().nth(configured.of(Bucket::of_user(&row.creation.user_id)));
    row.hold.is_some() && home().is_some_and(|home| home.binding != shard)
}

/// Asks those that may have a row which was made after `listed_at`. `false` if none of them may be asked again.
async fn ask<D: Database>(
    sources: &mut [Source<'_, D>],
    sought: &Sought<'_>,
    listed_at: i64,
    limit: u32,
) -> bool {
    // One more than is shown says whether there is a further page.
    let limit = limit.saturating_add(1);
    let asked: Vec<_> =
        sources.iter_mut().filter(|source| source.is_before(listed_at) && source.rounds < ROUNDS).collect();
    let shards: Vec<_> = asked.iter().map(|source| source.shard).collect();
    let befores: BTreeMap<_, _> =
        asked.iter().map(|source| (source.shard.name, source.next.unwrap_or(store::NEWEST))).collect();
    let answers = each(&shards, |shard| {
        let before = befores.get(shard.name).copied().unwrap_or(store::NEWEST);
        async move {
            let results = shard.database.run(&store::seek(sought, before, limit)).await?;
            Found::read(results, limit)
        }
    })
    .await;
    let any = !answers.is_empty();
    for (source, answer) in asked.into_iter().zip(answers) {
        source.rounds = source.rounds.saturating_add(1);
        match answer {
            Ok(Found { rows, next, back_to }) => {
                source.next = next;
                source.horizon = back_to.unwrap_or(i64::MIN);
                source.rows.extend(rows);
            }
            Err(error) => source.failed = Some(error),
        }
    }
    any
}

/// Active creations of this status and kind, if they are given, the longest silent first; `limit` at most.
pub async fn silent<D: Database>(
    shards: &[Shard<'_, D>],
    configured: &Shards,
    status: Option<&str>,
    kind: Option<&str>,
    from: &Places,
    limit: u32,
) -> Explored {
    // One more than is shown says whether there is a further page.
    let asked = limit.saturating_add(1);
    let answers = each(shards, |shard| {
        let after = match from.get(shard.name) {
            None => Some((i64::MIN >> 10, 0)),
            Some(place) => *place,
        };
        async move {
            let Some(after) = after else { return Ok((None, Vec::new())) };
            let results = shard.database.run(&[store::silent(after, status, kind, asked)]).await?;
            let rows = store::silent_of(results.into_iter().next().unwrap_or_default())?;
            Ok::<_, DatabaseError>((Some(after), rows))
        }
    })
    .await;
    let mut explored = Explored::default();
    let mut next = Places::new();
    let mut rows = Vec::new();
    for (shard, answer) in shards.iter().zip(answers) {
        match answer {
            Ok((after, found)) => {
                let more = found.len() > limit as usize;
                next.insert(shard.name.to_owned(), after.filter(|_| more || !found.is_empty()));
                let last = found.len().saturating_sub(1);
                rows.extend(
                    found
                        .into_iter()
                        .enumerate()
                        .map(|(at, (place, row))| (place, shard.name, row, at == last && !more)),
                );
            }
            Err(error) => {
                if let Some(place) = from.get(shard.name) {
                    next.insert(shard.name.to_owned(), *place);
                }
                explored.missing.push((shard.name.to_owned(), error));
            }
        }
    }
    rows.sort_by_key(|(place, name, ..)| (*place, *name));
    for (place, name, row, last) in rows {
        if explored.rows.len() == limit as usize {
            break;
        }
        next.insert(name.to_owned(), Some(place).filter(|_| !last));
        if !is_a_copy(&row, name, configured) {
            explored.rows.push(row);
        }
    }
    let goes_on = next.values().any(Option::is_some) || !explored.missing.is_empty();
    explored.next = Some(next).filter(|_| goes_on);
    explored
}
