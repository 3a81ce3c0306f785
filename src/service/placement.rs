//! Which database has which buckets: the configuration beside what the databases have on record, and the first record of all.

use super::shards::{Shard, each, run_each, side_by_side};
use crate::config::Shards;
use crate::rules::{self, Bucket, BucketSet, Placed, first_records, shared_by};
use crate::store::{self, Database, DatabaseError, Recorded};

/// Where users are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Where nothing is on record.
    Unrecorded,
    /// Everywhere: also for users of buckets that a database has given away.
    All,
}

/// What the configuration gives each of those that answer, beside what it has on record, and beside some of the users who are there. One
/// that answers no longer is left out.
pub async fn placed<D: Database>(
    shards: &[Shard<'_, D>],
    configured: &Shards,
    recorded: impl IntoIterator<Item = Option<Option<Recorded>>>,
    look: Look,
) -> Vec<Placed> {
    let several = shards.len() > 1;
    let of = |name: &str| configured.iter().find(|shard| shard.binding == name).map(|shard| shard.buckets);
    let answers = shards.iter().zip(recorded).filter_map(|(shard, recorded)| Some((*shard, recorded?)));
    let known = answers.filter(|(_, recorded)| several || recorded.is_some());
    let known: Vec<_> =
        known.filter_map(|(shard, recorded)| Some((shard, recorded, of(shard.name)?))).collect();
    let placed = known.iter().map(|(shard, recorded, configured)| async {
        let users = match recorded {
            Some(_) if look == Look::Unrecorded => BucketSet::default(),
            _ => users(shard.database).await.ok()?,
        };
        let recorded = recorded.map(|recorded| recorded.all());
        Some(Placed { shard: shard.name.to_owned(), configured: *configured, recorded, users })
    });
    side_by_side(placed).await.into_iter().flatten().collect()
}

/// The buckets of users who are there. Some are looked at: buckets are spread so evenly that strangers would be among them.
async fn users(database: &impl Database) -> Result<BucketSet, DatabaseError> {
    let results = database.run(&[store::some_users()]).await?;
    let users = store::some_users_of(results.into_iter().next().unwrap_or_default())?;
    let buckets = users.iter().map(|user| Bucket::of_user(user));
    Ok(buckets.map(|bucket| bucket..=bucket).collect())
}

/// Why no buckets can move, where two bindings are one database: what leaves the one would be gone from the other.
///
/// # Errors
///
/// [`DatabaseError`] if one of them does not answer.
pub async fn shared<D: Database>(shards: &[Shard<'_, D>]) -> Result<Option<String>, DatabaseError> {
    let answers = run_each(shards, &[store::identity()]).await.into_iter().zip(shards);
    let named = answers.map(|(answer, shard)| {
        let identity = store::identity_of(answer?.into_iter().next().unwrap_or_default())?;
        Ok((shard.name.to_owned(), identity))
    });
    let databases = named.collect::<Result<Vec<_>, DatabaseError>>()?;
    Ok(shared_by(&databases).map(|(one, other)| {
        format!("`{one}` and `{other}` are one and the same database, or one is a copy of the other: give each shard a database of its own in `d1_databases`, filled by migrations only, and then move")
    }))
}

/// Where a move is on record that was begun between other bindings, and what to do: no step of a move goes on then. What does not answer
/// says nothing.
pub async fn swapped<D: Database>(shards: &[Shard<'_, D>]) -> Option<(String, &'static str)> {
    let answers = run_each(shards, &[store::open_moves()]).await.into_iter().zip(shards);
    let read = |(answer, shard): (Result<Vec<Vec<store::Row>>, DatabaseError>, &Shard<'_, D>)| {
        store::open_moves_of(answer.ok()?.into_iter().next()?, shard.name).ok()
    };
    let moves: Vec<_> = answers.filter_map(read).flat_map(|(moves, _)| moves).collect();
    rules::swapped(&moves)
}

/// Writes down which buckets each database has where that is not on record yet, if all of them answer: see [`first_records`].
///
/// # Errors
///
/// [`DatabaseError`] if one of them does not take it.
pub async fn record<D: Database>(shards: &[Shard<'_, D>], configured: &Shards) -> Result<(), DatabaseError> {
    let answers = run_each(shards, &[store::open_moves()]).await;
    let read = |(shard, answer): (&Shard<'_, D>, Result<Vec<Vec<store::Row>>, DatabaseError>)| {
        store::open_moves_of(answer?.into_iter().next().unwrap_or_default(), shard.name)
    };
    let answers = shards.iter().zip(answers).map(read).collect::<Result<Vec<_>, _>>()?;
    let moves: Vec<_> = answers.iter().flat_map(|(moves, _)| moves.iter().cloned()).collect();
    let placed =
        placed(shards, configured, answers.iter().map(|(_, recorded)| Some(*recorded)), Look::Unrecorded)
            .await;
    if placed.len() < shards.len() {
        return Ok(());
    }
    let records = first_records(&placed, &moves);
    let written = each(shards, |Shard { name, database }| {
        let records = &records;
        async move {
            match records.iter().find(|(shard, _)| *shard == name) {
                Some((_, buckets)) => database.run(&[store::record(buckets)]).await.map(|_| ()),
                None => Ok(()),
            }
        }
    });
    written.await.into_iter().collect()
}
