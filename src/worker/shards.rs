//! Where a creation is, of several databases.

use std::cell::RefCell;

use super::app::Context;
use super::archive::{self, Absent, ArchivedExplanation};
use super::explanation::Explanation;
use super::problem::Problem;
use crate::rules::Bucket;
use crate::service::shards::{Shard, run_each};
use crate::store::{self, D1, Database as _, DatabaseError};

/// Asks the database that has a creation: that of its owner, or of the bucket that its id carries; and if it is not there, or the id
/// carries none, the one that knows it. `ask` gives `None` where it is not.
pub(super) async fn find<T>(
    context: &Context,
    id: &str,
    user_id: Option<&str>,
    ask: impl AsyncFn(usize, &D1) -> Result<Option<T>, Problem>,
) -> Result<Option<T>, Problem> {
    let shards = context.shards();
    let of = |bucket| Some(context.config.shards.of(bucket));
    let first = match user_id {
        _ if shards.len() == 1 => Some(0),
        Some(user_id) => of(Bucket::of_user(user_id)),
        None => Bucket::of_id(id).and_then(of),
    };
    if let Some((at, shard)) = first.and_then(|at| Some((at, shards.get(at)?))) {
        let found = ask(at, shard.database).await?;
        if found.is_some() || user_id.is_some() || shards.len() == 1 {
            return Ok(found);
        }
    }
    match place(context, &shards, id).await? {
        Some((at, shard)) => ask(at, shard.database).await,
        None => Ok(None),
    }
}

/// The database that knows a creation. While its owner is on the way to another, both do: then it is the one that the configuration says.
async fn place<'a>(
    context: &Context,
    shards: &[Shard<'a, D1>],
    id: &str,
) -> Result<Option<(usize, Shard<'a, D1>)>, Problem> {
    let owners = run_each(shards, &[store::owner(id)]).await;
    let mut known: Vec<(usize, String)> = Vec::new();
    let mut silent: Vec<(usize, DatabaseError)> = Vec::new();
    for (at, owner) in owners.into_iter().enumerate() {
        match owner {
            Ok(rows) => {
                let row = rows.into_iter().flatten().next();
                let owner = row.and_then(|row| Some(row.get("user_id")?.as_str()?.to_owned()));
                known.extend(owner.map(|owner| (at, owner)));
            }
            Err(error) => silent.push((at, error)),
        }
    }
    let at = match known.as_slice() {
        [] => match silent.pop() {
            // It may be where no answer came from.
            Some((_, error)) => return Err(error.into()),
            None => return Ok(None),
        },
        [(at, owner)] => {
            // A copy that is on its way to here may be removed again, if the one that counts does not answer.
            let home = context.shard_of(owner).0;
            match silent.into_iter().find(|(silent, _)| *silent == home) {
                Some((_, error)) => return Err(error.into()),
                None => *at,
            }
        }
        [(_, owner), others @ ..] if others.iter().all(|(_, other)| other == owner) => {
            context.shard_of(owner).0
        }
        _ => {
            return Err(Problem::bad_request(format!(
                "`{id}` is an id of several users: expected `user_id` in the query"
            )));
        }
    };
    Ok(shards.get(at).map(|shard| (at, *shard)))
}

/// What is known of a creation.
pub(super) enum Known {
    /// All about it.
    Here(Box<Explanation>),
    /// That it is archived.
    Archived(Box<ArchivedExplanation>),
}

/// All about one creation, wherever it is.
pub(super) async fn explanation(
    context: &Context,
    id: &str,
    user_id: Option<&str>,
) -> Result<Known, Problem> {
    let unknown = RefCell::new(format!("there is no creation `{id}`"));
    let ask = async |_: usize, database: &D1| -> Result<Option<Known>, Problem> {
        let results = database.run(&store::explain(id)).await?;
        let ledger = results.get(1).cloned().unwrap_or_default();
        if let Some(explanation) = Explanation::read(results, context.now, &context.config.policy)? {
            return Ok(Some(Known::Here(Box::new(explanation))));
        }
        Ok(match archive::find(database, context.now, id, ledger).await? {
            Absent::Archived(explanation) => Some(Known::Archived(explanation)),
            Absent::Unknown(message) => {
                unknown.replace(message);
                None
            }
        })
    };
    let known = match find(context, id, user_id, &ask).await? {
        // What is archived is not among the creations, by which an id that an app chose is found.
        None if user_id.is_none() => anywhere(context, &ask).await?,
        known => known,
    };
    match known {
        None => Err(Problem::not_found(unknown.take())),
        Some(Known::Archived(mut archived)) => {
            archive::complete(&mut archived, &context.shards()).await?;
            Ok(Known::Archived(archived))
        }
        Some(here) => Ok(here),
    }
}

/// Asks one after the other. It may be where no answer comes from.
async fn anywhere<T>(
    context: &Context,
    ask: impl AsyncFn(usize, &D1) -> Result<Option<T>, Problem>,
) -> Result<Option<T>, Problem> {
    let shards = context.shards();
    let mut silent = None;
    for (at, shard) in shards.iter().enumerate().filter(|_| shards.len() > 1) {
        match ask(at, shard.database).await {
            Ok(None) => {}
            Err(problem) => silent = Some(problem),
            found => return found,
        }
    }
    silent.map_or(Ok(None), Err)
}
