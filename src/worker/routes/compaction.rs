//! The ledger: what of it is summed up, by an operator who asks for that.

use axum::http::StatusCode;
use chrono::{NaiveDate, NaiveTime};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use worker::console_log;

use crate::read::parsed;
use crate::rules::Timestamp;
use crate::service::compaction::{Compacted, Compaction, MARGIN_DAYS, compact};
use crate::service::shards::{Shard, run_each};
use crate::store::{self, D1, Database as _, Row};
use crate::worker::app::App;
use crate::worker::archive;
use crate::worker::caller::{Operator, Sweep};
use crate::worker::extract::{Json, Nothing, Query};
use crate::worker::log;
use crate::worker::problem::{Answer, Problem, json};

const DAY_MS: u64 = 86_400_000;
/// One request writes at most so many objects,
const OBJECTS: u32 = 20;
/// and makes at most so many queries, of which it leaves these to what is beside it.
const QUERIES: u64 = 300;
const QUERIES_LEFT: u64 = 10;

/// The body of `POST /api/ledger/compact`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompactBody {
    before: Month,
    #[serde(default)]
    dry_run: bool,
    cursor: Option<Cursor>,
}

/// A month, such as `2026-01`, and when it begins.
#[derive(Clone, Debug)]
struct Month {
    text: String,
    begins: Timestamp,
}

impl<'de> Deserialize<'de> for Month {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "a month, such as `2026-01`", |text| {
            let (year, month) = text.split_once('-')?;
            let digits =
                |part: &str, count| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
            let written = digits(year, 4) && digits(month, 2);
            let first =
                NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1).filter(|_| written)?;
            let begins = Timestamp::from_millis(first.and_time(NaiveTime::MIN).and_utc().timestamp_millis())?;
            Some(Month { text: text.to_owned(), begins })
        })
    }
}

/// Where it goes on: the database, and the key after which.
#[derive(Clone, Debug)]
struct Cursor {
    shard: String,
    after: String,
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "the `cursor` of the answer before", |text| {
            let (shard, after) = text.split_once(':')?;
            Some(Cursor { shard: shard.to_owned(), after: after.to_owned() })
        })
    }
}

/// `POST /api/ledger/compact`: sums up what the ledger has of archived creations, one entry for each user and month. Repeating it is
/// harmless. What a shard that does not answer has is summed up another time.
#[worker::send]
pub(in crate::worker) async fn compact_ledger(
    app: App,
    operator: Operator<Sweep>,
    Query(Nothing {}): Query<Nothing>,
    Json(CompactBody { before, dry_run, cursor }): Json<CompactBody>,
) -> Answer {
    // It makes as many queries as there may be.
    app.monitors.set(false);
    let ended = app.now.saturating_sub(u64::from(MARGIN_DAYS).saturating_mul(DAY_MS));
    if before.begins > ended {
        return Err(Problem::bad_request(format!(
            "`before` is `{}`: expected a month that began at least {MARGIN_DAYS} days ago",
            before.text
        )));
    }
    let bucket = archive::bucket(&app.env);
    if bucket.is_none() && !dry_run {
        return Err(Problem::new(StatusCode::CONFLICT, archive::NO_BUCKET_FOR_THE_LEDGER));
    }
    let shards = app.shards();
    if dry_run {
        nobody_is_at_it(&app, &shards).await?;
    }
    let (first, mut after) = match cursor {
        None => (0, String::new()),
        Some(Cursor { shard, after }) => {
            let at = shards.iter().position(|candidate| candidate.name == shard);
            let unknown = || {
                Problem::bad_request(format!(
                    "the `cursor` names `{shard}`, which is no shard: begin anew, without one"
                ))
            };
            (at.ok_or_else(unknown)?, after)
        }
    };
    if !dry_run {
        console_log!("{}", log::operator_action(&operator.name, "compact_ledger"));
    }
    let several = shards.len() > 1;
    let mut left = u64::from(app.config.queries_per_run).saturating_sub(QUERIES_LEFT).min(QUERIES);
    let (mut all, mut parts, mut cursor) = (Compacted::default(), Vec::new(), None);
    for shard in shards.iter().skip(first) {
        let made = shard.database.cost().queries;
        let compaction = Compaction {
            before: before.begins,
            dry_run,
            after: &after,
            shard: shard.name,
            actor: &operator.name,
            max_objects: OBJECTS.saturating_sub(all.objects),
            max_queries: made.saturating_add(left),
        };
        let new_id = || app.new_id().map_err(|problem| problem.message().to_owned());
        let (compacted, error) = match compact(shard.database, &bucket, compaction, new_id, app.now).await {
            Ok(compacted) => (compacted, None),
            Err(stopped) if several => (stopped.compacted, Some(stopped.error)),
            Err(stopped) => {
                worker::console_error!("{}", log::failed_read(&stopped.error));
                let message = "the database or the bucket does not answer right now: repeat the request, it does no harm";
                return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message));
            }
        };
        left = left.saturating_sub(shard.database.cost().queries.saturating_sub(made));
        after.clear();
        parts.push(json!({
            "shard": shard.name,
            "entries": compacted.entries,
            "carries": compacted.carries,
            "objects": compacted.objects,
            "bytes": compacted.bytes,
            "error": error,
        }));
        all.entries = all.entries.saturating_add(compacted.entries);
        all.carries = all.carries.saturating_add(compacted.carries);
        all.objects = all.objects.saturating_add(compacted.objects);
        all.bytes = all.bytes.saturating_add(compacted.bytes);
        if let Some(next) = compacted.next {
            cursor = Some(format!("{}:{next}", shard.name));
            break;
        }
    }
    let answer = json!({
        "now": app.now.as_millis(),
        "before": before.text,
        "dry_run": dry_run,
        "entries": all.entries,
        "carries": all.carries,
        "objects": all.objects,
        "bytes": all.bytes,
        "more": cursor.is_some(),
        "cursor": cursor,
        "shards": parts,
    });
    Ok(json(StatusCode::OK, &answer))
}

/// A dry run beside a compaction would count what is gone before it has ended. One that does not answer is named by the dry run itself.
async fn nobody_is_at_it(app: &App, shards: &[Shard<'_, D1>]) -> Result<(), Problem> {
    let answers = run_each(shards, &[store::compaction_under_way(app.now)]).await;
    let actor = |answer: &Result<Vec<Vec<Row>>, _>| {
        answer.as_ref().ok()?.first()?.first()?.get("actor")?.as_str().map(str::to_owned)
    };
    match shards.iter().zip(&answers).find_map(|(shard, answer)| Some((shard.name, actor(answer)?))) {
        None => Ok(()),
        Some((shard, actor)) => Err(Problem::new(
            StatusCode::CONFLICT,
            format!(
                "`{actor}` is summing up the ledger of `{shard}` right now, so what a dry run counts would be wrong: \
                 wait until that has ended, or a minute after it was stopped, and ask again"
            ),
        )),
    }
}
