//! Where a creation is, of several databases.

use super::shards::{Shard, run_each};
use crate::config::Shards;
use crate::rules::Bucket;
use crate::store::{self, Database, DatabaseError, Row};

/// What came of looking for a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// What the database said that has it.
    Here(T),
    /// It is in none of them.
    Nowhere,
    /// These users have a creation with this id: somebody has to say whose.
    OfSeveral(Vec<String>),
}

/// Asks the database that has a creation: that of its owner, or of the bucket that its id carries; and if it is not there, or the id
/// carries none, the one that knows it. `ask` is given its place, and says `None` where it is not. With a `user_id`, a creation of another
/// user is not found: that is looked up first, unless `asks_whose` says that `ask` looks itself.
///
/// # Errors
///
/// Those of `ask`; and the database's, where one that may have it does not answer.
pub async fn find<D: Database, T, E: From<DatabaseError>>(
    shards: &[Shard<'_, D>],
    configured: &Shards,
    id: &str,
    user_id: Option<&str>,
    asks_whose: bool,
    ask: impl AsyncFn(usize, &D) -> Result<Option<T>, E>,
) -> Result<Found<T>, E> {
    let several = shards.len() > 1;
    let first = match user_id {
        _ if !several => Some(0),
        Some(user_id) => Some(configured.of(Bucket::of_user(user_id))),
        None => Bucket::of_id(id).map(|bucket| configured.of(bucket)),
    };
    if let Some((at, shard)) = first.and_then(|at| Some((at, shards.get(at)?))) {
        if let Some(user_id) = user_id.filter(|_| !asks_whose)
            && owner_of(shard.database.run(&[store::owner(id)]).await?).is_some_and(|owner| owner != user_id)
        {
            return Ok(Found::Nowhere);
        }
        match ask(at, shard.database).await? {
            Some(found) => return Ok(Found::Here(found)),
            None if user_id.is_some() || !several => return Ok(Found::Nowhere),
            None => {}
        }
    }
    let at = match place(shards, configured, id).await? {
        Found::Here(at) => at,
        Found::Nowhere => return Ok(Found::Nowhere),
        Found::OfSeveral(owners) => return Ok(Found::OfSeveral(owners)),
    };
    let Some(shard) = shards.get(at) else { return Ok(Found::Nowhere) };
    Ok(ask(at, shard.database).await?.map_or(Found::Nowhere, Found::Here))
}

fn owner_of(results: Vec<Vec<Row>>) -> Option<String> {
    let row = results.into_iter().flatten().next()?;
    Some(row.get("user_id")?.as_str()?.to_owned())
}

/// The place of the database that knows a creation. While its owner is on the way to another, both do: then it is the one that the
/// configuration says.
async fn place<D: Database>(
    shards: &[Shard<'_, D>],
    configured: &Shards,
    id: &str,
) -> Result<Found<usize>, DatabaseError> {
    let home = |owner: &str| configured.of(Bucket::of_user(owner));
    let owners = run_each(shards, &[store::owner(id)]).await;
    let mut known: Vec<(usize, String)> = Vec::new();
    let mut silent: Vec<(usize, DatabaseError)> = Vec::new();
    for (at, owner) in owners.into_iter().enumerate() {
        match owner {
            Ok(rows) => {
                known.extend(owner_of(rows).map(|owner| (at, owner)));
            }
            Err(error) => silent.push((at, error)),
        }
    }
    match known.as_slice() {
        // It may be where no answer came from.
        [] => silent.pop().map_or(Ok(Found::Nowhere), |(_, error)| Err(error)),
        [(at, owner)] => {
            // A copy that is on its way to here may be removed again, if the one that counts does not answer.
            let error = silent.into_iter().find(|(silent, _)| *silent == home(owner));
            error.map_or(Ok(Found::Here(*at)), |(_, error)| Err(error))
        }
        [(_, owner), others @ ..] if others.iter().all(|(_, other)| other == owner) => {
            Ok(Found::Here(home(owner)))
        }
        _ => {
            let mut owners = Vec::new();
            for (_, owner) in known {
                if !owners.contains(&owner) {
                    owners.push(owner);
                }
            }
            Ok(Found::OfSeveral(owners))
        }
    }
}
