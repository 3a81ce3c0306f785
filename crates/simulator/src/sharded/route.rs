//! How an invocation finds the database, by its own configuration: what `src/worker` does with D1.

use stale_drafts::rules::Bucket;
use stale_drafts::service::ask::{self, Asked, Provider};
use stale_drafts::service::creations::ReportError;
use stale_drafts::service::shards::{Shard, mark_stale_creations_as_failed, run_each};
use stale_drafts::service::sweep::{Source, SweepError, SweepOutcome, SweepRequest};
use stale_drafts::store::{self, OfUser};

use super::binding;
use crate::world::{Link, Side};

/// The place of the database of a user.
pub fn place_of(link: &Link, user_id: &str) -> usize {
    link.shards().map_or(0, |shards| shards.of(Bucket::of_user(user_id)))
}

/// The database of a user, for what concerns that user.
pub fn database_of<'a>(side: &'a Side<'a>, link: &Link, user_id: &str) -> OfUser<'a, Side<'a>> {
    OfUser::new(side, link.shards().map(|_| Bucket::of_user(user_id)))
}

/// Asks the database that has a creation.
pub async fn find<T>(
    link: &Link,
    id: &str,
    user_id: Option<&str>,
    ask: impl AsyncFn(Side<'_>) -> Result<T, ReportError>,
) -> Result<T, ReportError> {
    let Some(shards) = link.shards() else { return ask(link.to(0)).await };
    let bucket = user_id.map_or_else(|| Bucket::of_id(id), |user_id| Some(Bucket::of_user(user_id)));
    if let Some(bucket) = bucket {
        match ask(link.to(shards.of(bucket))).await {
            Err(ReportError::NotFound) if user_id.is_none() => {}
            known => return known,
        }
    }
    match place(link, id).await? {
        Some(at) => ask(link.to(at)).await,
        None => Err(ReportError::NotFound),
    }
}

/// The database that knows a creation. While its owner is on the way to another, both do: then it is the one that the configuration says.
async fn place(link: &Link, id: &str) -> Result<Option<usize>, ReportError> {
    let (names, sides) = all(link, |shard| link.beside(shard));
    let owners = run_each(&named(&names, &sides), &[store::owner(id)]).await;
    let (mut known, mut silent) = (Vec::new(), Vec::new());
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
    match known.as_slice() {
        [] => silent.pop().map_or(Ok(None), |(_, error)| Err(error.into())),
        [(at, owner)] => {
            let home = place_of(link, owner);
            let error = silent.into_iter().find(|(silent, _)| *silent == home);
            error.map_or(Ok(Some(*at)), |(_, error)| Err(error.into()))
        }
        [(_, owner), ..] => Ok(Some(place_of(link, owner))),
    }
}

/// One sweep of a user's database, or of all of them.
pub async fn sweep(link: &Link, request: SweepRequest<'_>) -> Result<SweepOutcome, Box<SweepError>> {
    let (names, sides) = all(link, |shard| link.to(shard));
    let shards = named(&names, &sides);
    let of_user = request.user_id.and_then(|user_id| shards.get(place_of(link, user_id)));
    let shards = of_user.map_or(shards.as_slice(), std::slice::from_ref);
    let counts_over_all = matches!(request.source, Source::Endpoint | Source::Tool);
    mark_stale_creations_as_failed(shards, request, counts_over_all.then_some(request.limit)).await
}

/// Asks a provider about what a sweep would decide on, in all of the databases that it is about.
pub async fn ask(link: &Link, request: SweepRequest<'_>, provider: &impl Provider, most: u32) -> Asked {
    let (names, sides) = all(link, |shard| link.to(shard));
    let shards = named(&names, &sides);
    let of_user = request.user_id.and_then(|user_id| shards.get(place_of(link, user_id)));
    ask::ask(of_user.map_or(shards.as_slice(), std::slice::from_ref), provider, request, most).await
}

fn all<'a>(link: &'a Link, side: impl Fn(usize) -> Side<'a>) -> (Vec<String>, Vec<Side<'a>>) {
    (0..link.world.databases()).map(|shard| (binding(shard), side(shard))).unzip()
}

fn named<'a>(names: &'a [String], sides: &'a [Side<'a>]) -> Vec<Shard<'a, Side<'a>>> {
    names.iter().zip(sides).map(|(name, database)| Shard { name, database }).collect()
}
