//! Where a creation is, of several databases.

use std::cell::RefCell;

use super::app::Context;
use super::archive::{self, Absent, ArchivedExplanation};
use super::explanation::Explanation;
use super::of_user::may_lack_users;
use super::problem::Problem;
use crate::rules::Bucket;
use crate::service;
use crate::service::find::Found;
use crate::service::shards::run_each;
use crate::store::{self, D1, Database as _};

/// Whose it may be, where somebody has to say it.
pub(super) const OWNERS: &str = "user_ids";

/// Asks the database that has a creation: see [`service::find::find`]. `ask` gives `None` where it is not.
pub(super) async fn find<T>(
    context: &Context,
    id: &str,
    user_id: Option<&str>,
    ask: impl AsyncFn(usize, &D1) -> Result<Option<T>, Problem>,
) -> Result<Option<T>, Problem> {
    find_whose(context, id, user_id, false, ask).await
}

/// The same where `ask` sees by itself whose it is.
pub(super) async fn find_whose<T>(
    context: &Context,
    id: &str,
    user_id: Option<&str>,
    asks_whose: bool,
    ask: impl AsyncFn(usize, &D1) -> Result<Option<T>, Problem>,
) -> Result<Option<T>, Problem> {
    let shards = context.shards();
    match service::find::find(&shards, &context.config.shards, id, user_id, asks_whose, ask).await? {
        Found::Here(found) => Ok(Some(found)),
        Found::Nowhere => Ok(None),
        Found::OfSeveral(owners) => Err(Problem::bad_request(format!(
            "`{id}` is an id of several users: expected `user_id` in the query"
        ))
        .with(OWNERS, owners)),
    }
}

/// Whether a creation that is in none of the databases may be in one that is not there: the database that is to have its bucket has it
/// not on record. Where nothing says its bucket, any of them.
pub(super) async fn may_be_elsewhere(
    context: &Context,
    id: &str,
    user_id: Option<&str>,
) -> Result<bool, Problem> {
    if !may_lack_users(context).await? {
        return Ok(false);
    }
    let bucket = user_id.map(Bucket::of_user).or_else(|| Bucket::of_id(id));
    let (shards, configured) = (context.shards(), &context.config.shards);
    let home = bucket.map(|bucket| configured.of(bucket));
    let asked = |at: usize| home.is_none_or(|home| home == at);
    let concerned: Vec<_> =
        shards.iter().enumerate().filter(|(at, _)| asked(*at)).map(|(_, shard)| *shard).collect();
    let given = configured.iter().enumerate().filter(|(at, _)| asked(*at)).map(|(_, shard)| shard.buckets);
    let answers = run_each(&concerned, &[store::open_moves()]).await;
    for ((shard, answer), given) in concerned.iter().zip(answers).zip(given) {
        let rows = answer?.into_iter().next().unwrap_or_default();
        let (_, recorded) = store::open_moves_of(rows, shard.name)?;
        let has = recorded.unwrap_or_default().all();
        if bucket.map_or_else(|| !given.without(&has).is_empty(), |bucket| !has.has(bucket)) {
            return Ok(true);
        }
    }
    Ok(false)
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
    let elsewhere = RefCell::new(None);
    let ask = async |_: usize, database: &D1| -> Result<Option<Known>, Problem> {
        let results = database.run(&store::explain(id)).await?;
        let ledger = results.get(1).cloned().unwrap_or_default();
        if let Some(explanation) = Explanation::read(results, context.now, &context.config.policy)? {
            return Ok(Some(Known::Here(Box::new(explanation))));
        }
        Ok(match archive::find(database, context.now, id, ledger).await? {
            Absent::Archived(explanation) => Some(Known::Archived(explanation)),
            Absent::Unknown(perhaps) => {
                if perhaps.is_some() {
                    elsewhere.replace(perhaps);
                }
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
        None => {
            let perhaps = elsewhere.take().map_or(String::new(), |perhaps| format!(": {perhaps}"));
            Err(Problem::not_found(format!("there is no creation `{id}`{perhaps}")))
        }
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
