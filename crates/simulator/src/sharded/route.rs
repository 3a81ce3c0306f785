//! How an invocation finds the database, by its own configuration: what `src/worker` does with D1.

use stale_drafts::rules::Bucket;
use stale_drafts::service;
use stale_drafts::service::ask::{self, Asked, Provider};
use stale_drafts::service::creations::ReportError;
use stale_drafts::service::find::Found;
use stale_drafts::service::shards::{Shard, mark_stale_creations_as_failed};
use stale_drafts::service::sweep::{Source, SweepError, SweepOutcome, SweepRequest};
use stale_drafts::store::OfUser;

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

/// Asks the database that has a creation, by the service that the Worker asks too.
pub async fn find<T>(
    link: &Link,
    id: &str,
    user_id: Option<&str>,
    ask: impl AsyncFn(Side<'_>) -> Result<T, ReportError>,
) -> Result<T, ReportError> {
    let Some(configured) = link.shards() else { return ask(link.to(0)).await };
    // What only looks for it is no part of the report.
    let (names, sides) = all(link, |shard| link.beside(shard));
    let there = async |at: usize, _: &Side<'_>| match ask(link.to(at)).await {
        Ok(found) => Ok(Some(found)),
        Err(ReportError::NotFound) => Ok(None),
        Err(error) => Err(error),
    };
    match service::find::find(&named(&names, &sides), &configured, id, user_id, false, there).await? {
        Found::Here(found) => Ok(found),
        // No id is of two users here.
        Found::Nowhere | Found::OfSeveral(_) => Err(ReportError::NotFound),
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

/// All of the databases, as an invocation reaches them, and their names.
pub fn all<'a>(link: &'a Link, side: impl Fn(usize) -> Side<'a>) -> (Vec<String>, Vec<Side<'a>>) {
    (0..link.world.databases()).map(|shard| (binding(shard), side(shard))).unzip()
}

/// The same as a service takes them.
pub fn named<'a>(names: &'a [String], sides: &'a [Side<'a>]) -> Vec<Shard<'a, Side<'a>>> {
    names.iter().zip(sides).map(|(name, database)| Shard { name, database }).collect()
}
