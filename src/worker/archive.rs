//! The archive: an R2 bucket, and where in it creations are that are no longer here.

use serde::Serialize;
use serde_json::Value;
use worker::{HttpMetadata, console_error, console_log};

use super::app::Context;
use super::log;
use super::pages::{Language, Parameter};
use super::problem::named;
use crate::rules::Timestamp;
use crate::service::archive::{self, Archive, Retention};
use crate::service::shards::{Shard, part, run_each};
use crate::store::{self, ArchivePlace, ArchivedOfUser, D1, Database as _, DatabaseError, LedgerRow, Row};
use crate::texts;

const MINUTE_MS: u64 = 60_000;

/// The binding of the bucket.
pub(super) const ARCHIVE: &str = "ARCHIVE";
/// A run by cron writes at most so many objects: the next one is a minute later.
const OBJECTS: u32 = 20;
/// And makes at most so many queries, of which it leaves these to the outbox.
const QUERIES: u64 = 150;
const QUERIES_LEFT: u64 = 10;

/// The bucket.
pub(super) struct Bucket(worker::Bucket);

/// The bucket, if it is bound.
pub(super) fn bucket(env: &worker::Env) -> Option<Bucket> {
    env.bucket(ARCHIVE).ok().map(Bucket)
}

/// What is asked for without the bucket writes nothing.
impl Archive for Option<Bucket> {
    async fn put(&self, key: &str, content: String) -> Result<(), String> {
        match self {
            Some(bucket) => bucket.put(key, content).await,
            None => Err(String::from(NO_BUCKET_FOR_THE_LEDGER)),
        }
    }
}

impl Archive for Bucket {
    async fn put(&self, key: &str, content: String) -> Result<(), String> {
        let metadata = HttpMetadata {
            content_type: Some(String::from("application/x-ndjson")),
            ..HttpMetadata::default()
        };
        let stored = self.0.put(key, content).http_metadata(metadata).execute().await;
        match stored {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!("the bucket did not store `{key}`")),
            Err(error) => Err(format!("the bucket did not store `{key}`: {error}")),
        }
    }
}

/// Archives what ended long ago, if the configuration says so, and writes the log.
pub(super) async fn run(context: &Context) {
    let Some(keep_days) = context.config.keep.creations else { return };
    // `/readyz` and the monitor say so, too. No turn is taken, so that the first run with a bucket need not wait for the next hour.
    let Some(bucket) = bucket(&context.env) else {
        return console_error!("{}", log::failed_archive(NO_BUCKET));
    };
    let mut shards = context.shards();
    // Another one is the first each minute: what the first ones need may be all that there is.
    let minute = usize::try_from(context.now.as_millis() / MINUTE_MS).unwrap_or(0);
    let first = minute.checked_rem(shards.len()).unwrap_or(0);
    shards.rotate_left(first);
    let made: u64 = shards.iter().map(|shard| shard.database.cost().queries).sum();
    let left = u64::from(context.config.queries_per_run).saturating_sub(QUERIES_LEFT).saturating_sub(made);
    let retention = Retention { keep_days, shard: "", max_objects: OBJECTS, max_queries: QUERIES.min(left) };
    for there in archive::archive_each(&shards, &bucket, retention, context.now).await {
        if there.archived.objects > 0 {
            console_log!("{}", log::archived(&there.archived));
        }
        if let Some(error) = there.error {
            console_error!("{}", log::failed_archive(&error));
        }
    }
}

/// So many objects are named that may hold a creation.
const OBJECTS_NAMED: usize = 20;

/// What is wrong where `keep_days.creations` has nowhere to put them.
pub(super) const NO_BUCKET: &str =
    "`keep_days.creations` needs the binding `ARCHIVE`: expected one in `[[r2_buckets]]`";

/// The same of a compaction of the ledger.
pub(super) const NO_BUCKET_FOR_THE_LEDGER: &str = "the entries that are summed up go to the archive first, so this needs the binding `ARCHIVE`: expected one in `[[r2_buckets]]`";

/// What is known here of a creation that is archived: the answer of `GET /api/creations/{id}`.
#[derive(Clone, Debug, Serialize)]
pub struct ArchivedExplanation {
    now: u64,
    id: String,
    user_id: String,
    /// Where the rest is, in words.
    pub message: String,
    archived: ArchivePlace,
    ledger: Vec<LedgerRow>,
    /// Of several databases, those that do not answer: what they have archived is not among the objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreachable: Vec<Value>,
}

/// What became of a creation that is not here.
pub(super) enum Absent {
    /// It is archived.
    Archived(Box<ArchivedExplanation>),
    /// There is none, as far as the ledger knows; where it may be nevertheless.
    Unknown(Option<String>),
}

/// What became of a creation that is not here. `ledger` is what the ledger has of it.
pub(super) async fn find(
    database: &D1,
    now: Timestamp,
    id: &str,
    ledger: Vec<Row>,
) -> Result<Absent, DatabaseError> {
    let results = database.run(&[store::archived(id, time_of(id)), store::has_archives()]).await?;
    let [place, there] =
        <[_; 2]>::try_from(results).map_err(|_| DatabaseError::new("expected two results"))?;
    // One that cost nothing has left no trace but the time in its id, if that has one.
    let nowhere = Absent::Unknown((!there.is_empty()).then(|| {
        String::from(
            "if it cost nothing it may be archived, and nothing here says when it was made: \
             look in the objects of `stale_drafts_archives` with a `first_id` and a `last_id` that it is between",
        )
    }));
    let Some(place) = store::place_of(place)? else { return Ok(nowhere) };
    Ok(match place.user_id.clone() {
        Some(user_id) => Absent::Archived(Box::new(ArchivedExplanation {
            now: now.as_millis(),
            id: id.to_owned(),
            user_id,
            message: message(&place),
            archived: place,
            ledger: store::typed_rows(ledger)?,
            unreachable: Vec::new(),
        })),
        None if place.objects.is_empty() => nowhere,
        None => Absent::Unknown(Some(format!("if there was, it is archived under `{}`", place.prefix))),
    })
}

/// Adds what the other databases have archived: who has moved left it there, and only the ledger came along.
pub(super) async fn complete(
    explanation: &mut ArchivedExplanation,
    shards: &[Shard<'_, D1>],
) -> Result<(), DatabaseError> {
    if shards.len() == 1 {
        return Ok(());
    }
    let ArchivedExplanation { id, archived, .. } = explanation;
    // Who left it there took its entry along, or the hour of that, which is what is left of one that is summed up.
    let answers =
        run_each(shards, &[store::archived(id, Timestamp::from_millis(archived.at))]).await.into_iter();
    let places = answers.map(|answer| store::place_of(answer?.into_iter().next().unwrap_or_default()));
    let (there, unreachable) = part(shards, places)?;
    archived.objects =
        there.into_iter().filter_map(|(_, place)| place).flat_map(|place| place.objects).collect();
    archived.objects.truncate(OBJECTS_NAMED);
    explanation.message = message(archived);
    explanation.unreachable = named(&unreachable);
    Ok(())
}

fn message(place: &ArchivePlace) -> String {
    let archived = match place.objects.as_slice() {
        [] => format!("It is archived, under `{}`.", place.prefix),
        [object] => format!("It is archived, in `{object}`."),
        objects => format!("It is archived, in one of {} objects under `{}`.", objects.len(), place.prefix),
    };
    match &place.ledger_prefix {
        None => archived,
        Some(prefix) => format!(
            "{archived} The ledger has its entries in the sum of a month; one by one they are in an object under `{prefix}`."
        ),
    }
}

/// The time in an id of ours: a UUID of version 7 or 8 begins with it.
fn time_of(id: &str) -> Option<Timestamp> {
    let id = uuid::Uuid::try_parse(id).ok()?;
    let dated = matches!(id.get_version_num(), 7 | 8);
    let millis = i64::try_from(id.as_u128() >> 80).ok().filter(|_| dated)?;
    Timestamp::from_millis(millis)
}

fn in_words(archived: &ArchivedOfUser, language: &Language) -> String {
    let count = ("count", Parameter::Number(archived.creations));
    match archived.last_created_at {
        Some(last) => language.say_with(&texts::ARCHIVED_UNTIL, &[count, ("date", Parameter::Day(last))]),
        None => language.say_with(&texts::ARCHIVED, &[count]),
    }
}

/// What of a user's is archived, at the end of a list.
#[derive(Clone, Debug, Serialize)]
pub struct ArchivedView {
    #[serde(flatten)]
    archived: ArchivedOfUser,
    /// The same in words.
    pub message: String,
}

impl ArchivedView {
    pub(super) fn new(archived: ArchivedOfUser) -> Self {
        let message = in_words(&archived, &Language::english());
        ArchivedView { archived, message }
    }

    /// The message in the language of a page.
    pub(super) fn said(&self, language: &Language) -> String {
        in_words(&self.archived, language)
    }
}
