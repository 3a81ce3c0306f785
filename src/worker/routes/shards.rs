//! The databases: how full each is, and which buckets move.

use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use worker::console_log;

use crate::config;
use crate::read::{Text, parsed};
use crate::rules::Bucket;
use crate::service::moves::{self, Bounds, Goal, Move, MoveError, Plan, Route, Wrong};
use crate::service::placement;
use crate::service::shards::run_each;
use crate::store::{self, Buckets, Fullness};
use crate::worker::app::App;
use crate::worker::caller::{Operator, Read, Sweep};
use crate::worker::extract::{Json, Nothing, Query};
use crate::worker::log;
use crate::worker::problem::{Answer, Problem, json};

/// What a D1 database holds, in bytes: <https://developers.cloudflare.com/d1/platform/limits/>.
const MAX_BYTES: u64 = 10_000_000_000;
/// From this share on, in percent, it is time to split it.
const WARN_PERCENT: u64 = 70;

/// `GET /api/shards`: how full each database is.
#[worker::send]
pub(in crate::worker) async fn list(
    app: App,
    _: Operator<Read>,
    Query(Nothing {}): Query<Nothing>,
) -> Answer {
    let shards = app.shards();
    let answers = run_each(&shards, &store::fullness()).await;
    let answers = answers.into_iter().map(|answer| answer.and_then(Fullness::read));
    let list = app.config.shards.iter().zip(&shards).zip(answers).map(|((configured, shard), answer)| {
        let bytes = shard.database.bytes();
        let percent = bytes.map(|bytes| bytes.saturating_mul(100) / MAX_BYTES);
        let (fullness, error) = match answer {
            Ok(fullness) => (Some(fullness), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let recorded = fullness.as_ref().and_then(|fullness| fullness.recorded);
        let last_sweep = fullness.as_ref().and_then(|fullness| fullness.last_sweep.as_ref());
        let last_sweep = last_sweep.map(|(started_at, finished_at, error)| {
            let duration = finished_at.map(|finished| finished.saturating_sub(*started_at).max(0));
            json!({ "started_at": started_at, "duration_ms": duration, "error": error })
        });
        json!({
            "shard": configured.binding,
            "buckets": configured.buckets.to_string(),
            "recorded": recorded.map(|recorded| recorded.all().to_string()),
            "bytes": bytes,
            "max_bytes": MAX_BYTES,
            "used_percent": percent,
            "nearly_full": percent.is_some_and(|percent| percent >= WARN_PERCENT),
            "creations": fullness.as_ref().map(|fullness| fullness.creations),
            "active": fullness.as_ref().map(|fullness| fullness.active),
            "last_sweep": last_sweep,
            "moves": fullness.map(|fullness| fullness.moves).unwrap_or_default(),
            "error": error,
        })
    });
    let list: Vec<Value> = list.collect();
    Ok(json(StatusCode::OK, &json!({ "now": app.now.as_millis(), "shards": list })))
}

/// The body of `POST /api/shards/moves`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveBody {
    source: Text<100>,
    target: Text<100>,
    buckets: BucketRange,
    #[serde(default)]
    goal: GoalWord,
}

/// A range of buckets, such as `2048-4095`.
#[derive(Clone, Copy, Debug)]
struct BucketRange {
    first: Bucket,
    last: Bucket,
}

impl<'de> Deserialize<'de> for BucketRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a range of buckets from 0 to 4095, such as `2048-4095`";
        parsed(deserializer, expected, |text| {
            config::range(text).map(|range| BucketRange { first: *range.start(), last: *range.end() })
        })
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum GoalWord {
    #[default]
    Moved,
    Done,
    Cancelled,
}

/// `POST /api/shards/moves`: takes a move of buckets on, as far as one invocation may. Repeating the same body goes on where it is, whoever
/// died on the way.
#[worker::send]
pub(in crate::worker) async fn advance(
    app: App,
    operator: Operator<Sweep>,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<MoveBody>,
) -> Answer {
    // It makes as many queries as there may be.
    app.monitors.set(false);
    let shards = app.shards();
    let named = |name: &Text<100>| {
        let names = || shards.iter().map(|shard| format!("`{}`", shard.name)).collect::<Vec<_>>().join(", ");
        let unknown =
            || Problem::bad_request(format!("there is no shard `{}`: expected {}", name.as_str(), names()));
        shards.iter().find(|shard| shard.name == name.as_str()).copied().ok_or_else(unknown)
    };
    let (source, target) = (named(&body.source)?, named(&body.target)?);
    if source.name == target.name {
        return Err(Problem::bad_request(format!(
            "`source` and `target` are both `{}`: expected two shards",
            source.name
        )));
    }
    let BucketRange { first, last } = body.buckets;
    let goal = match body.goal {
        GoalWord::Moved => Goal::Moved,
        GoalWord::Done => Goal::Done,
        GoalWord::Cancelled => Goal::Cancelled,
    };
    let buckets = Buckets { first: first.number().into(), last: last.number().into() };
    let configured = &app.config.shards;
    if let Some((why, remedy)) = placement::swapped(&shards).await {
        return Err(Problem::new(StatusCode::CONFLICT, format!("{why}: {remedy}")));
    }
    let planned =
        moves::planned(&source, &target, buckets, goal, configured).await?.map_err(|wrong| match wrong {
            Wrong::Unknown(why) => Problem::not_found(why),
            Wrong::NotNow(why) => Problem::new(StatusCode::CONFLICT, why),
        })?;
    let id = match planned {
        Plan::GoesOn(id) => id,
        Plan::Begins => {
            console_log!("{}", log::operator_action(&operator.name, "move_buckets"));
            if let Some(why) = placement::shared(&shards).await? {
                return Err(Problem::new(StatusCode::CONFLICT, why));
            }
            // Nothing has been written down yet where cron has not come by since the shards were there.
            placement::record(&shards, configured).await?;
            app.new_id()?
        }
    };
    let step = Move { id: &id, buckets, source: source.name, target: target.name };
    let queries = u64::from(app.config.queries_per_run).saturating_sub(100).max(40);
    let bounds = Bounds { queries, ..Bounds::default() };
    match moves::step(source.database, target.database, step, goal, app.now, bounds).await {
        Ok(progress) => {
            let route = Route { buckets, source: source.name, target: target.name };
            let next = route.after_cancelling(configured).filter(|_| goal == Goal::Cancelled);
            let answer = json!({
                "now": app.now.as_millis(),
                "id": id,
                "done": progress.done,
                "waits_until": progress.waits_until,
                "next": next,
                "source": progress.source,
                "target": progress.target,
            });
            Ok(json(StatusCode::OK, &answer))
        }
        Err(MoveError::Database { binding, error }) => {
            let message =
                format!("`{binding}` does not answer right now: repeat the request, it does no harm");
            Err(Problem::database(&error, &message))
        }
        Err(MoveError::Refused(why)) => Err(Problem::new(StatusCode::CONFLICT, why)),
    }
}
