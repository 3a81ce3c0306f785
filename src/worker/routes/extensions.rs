//! More time, by operators: for one creation, or for all of a kind.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::read::{Name, Text, Whole};
use crate::rules::Timestamp;
use crate::service::shards::run_each;
use crate::store::{self, ExtensionRow};
use crate::worker::app::App;
use crate::worker::caller::{Operator, Read, Sweep};
use crate::worker::extending::{LAST_MS, MAX_MINUTES, MAX_REASON, deadline, end, end_kind, give, give_kind};
use crate::worker::extract::{Json, Nothing, Path, Query};
use crate::worker::listing::OwnerQuery;
use crate::worker::problem::{Answer, json};

/// The body of `POST /api/creations/{id}/extend`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtendBody {
    minutes: Option<Whole<1, MAX_MINUTES>>,
    until: Option<Whole<0, LAST_MS>>,
    reason: Text<MAX_REASON>,
}

/// The body of `POST /api/extensions`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtendKindBody {
    kind: Name,
    minutes: Option<Whole<1, MAX_MINUTES>>,
    until: Option<Whole<0, LAST_MS>>,
    reason: Text<MAX_REASON>,
}

/// `POST /api/creations/{id}/extend`: an operator gives one creation more time.
#[worker::send]
pub(in crate::worker) async fn extend(
    app: App,
    operator: Operator<Sweep>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(ExtendBody { minutes, until, reason }): Json<ExtendBody>,
) -> Answer {
    let until = end(minutes, until.map(Whole::get), app.now)?;
    let at = user_id.as_ref().map(Name::as_str);
    let row = give(&app, &id, at, &operator.name, (until, reason.as_str())).await?;
    let millis = |at: Timestamp| at.as_millis();
    let deadline = deadline(&app, &row);
    let answer = json!({
        "id": row.creation.id,
        "status": row.creation.status,
        "attempt": row.creation.attempt,
        "extended_until": row.creation.extended_until.instant().map(millis),
        "deadline": deadline.map(millis),
        // A later one stays, and of what is never stale nothing is put off.
        "is_put_off": deadline == Some(until),
    });
    Ok(json(StatusCode::OK, &answer))
}

/// `POST /api/extensions`: an operator gives a kind more time, until an instant. Repeating the same body goes on.
#[worker::send]
pub(in crate::worker) async fn extend_kind(
    app: App,
    operator: Operator<Sweep>,
    Query(Nothing {}): Query<Nothing>,
    Json(ExtendKindBody { kind, minutes, until, reason }): Json<ExtendKindBody>,
) -> Answer {
    let until = end(minutes, until.map(Whole::get), app.now)?;
    let sum = give_kind(&app, kind.as_str(), &operator.name, (until, reason.as_str())).await?;
    let answer = json!({
        "kind": kind.as_str(),
        "until": until.as_millis(),
        "extended": sum.creations,
        "more": sum.more,
        "shards": sum.shards,
    });
    Ok(json(StatusCode::OK, &answer))
}

/// Which kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct KindQuery {
    kind: Name,
}

/// `DELETE /api/extensions?kind=`: ends what a kind has. Repeating it goes on.
#[worker::send]
pub(in crate::worker) async fn end_extension(
    app: App,
    operator: Operator<Sweep>,
    Query(KindQuery { kind }): Query<KindQuery>,
    Json(Nothing {}): Json<Nothing>,
) -> Answer {
    let sum = end_kind(&app, kind.as_str(), &operator.name).await?;
    let answer = json!({
        "kind": kind.as_str(),
        "ended_at": app.now.as_millis(),
        "released": sum.creations,
        "more": sum.more,
        "shards": sum.shards,
    });
    Ok(json(StatusCode::OK, &answer))
}

/// `GET /api/extensions`: what kinds were given, the latest end first.
#[worker::send]
pub(in crate::worker) async fn list(
    app: App,
    _: Operator<Read>,
    Query(Nothing {}): Query<Nothing>,
) -> Answer {
    let shards = app.shards();
    let answers = run_each(&shards, &[store::extensions()]).await;
    let mut rows: Vec<(ExtensionRow, Vec<&str>)> = Vec::new();
    let mut silent = Vec::new();
    for (shard, answer) in shards.iter().zip(answers) {
        let read = answer.and_then(|results| store::extensions_of(results.into_iter().flatten().collect()));
        match read {
            Ok(found) => {
                for row in found {
                    match rows
                        .iter_mut()
                        .find(|(known, _)| (&known.kind, known.until) == (&row.kind, row.until))
                    {
                        Some((_, there)) => there.push(shard.name),
                        None => rows.push((row, vec![shard.name])),
                    }
                }
            }
            Err(error) if shards.len() == 1 => return Err(error.into()),
            Err(error) => silent.push(json!({ "shard": shard.name, "error": error.to_string() })),
        }
    }
    rows.sort_by(|(one, _), (other, _)| (other.until, &one.kind).cmp(&(one.until, &other.kind)));
    let list: Vec<Value> = rows
        .iter()
        .enumerate()
        .map(|(at, (row, there))| {
            let runs = row.holds(rows.iter().take(at).map(|(other, _)| other), app.now);
            let missing = |name: &&str| !there.contains(name) && runs;
            let missing: Vec<&str> = shards.iter().map(|shard| shard.name).filter(missing).collect();
            json!({
                "kind": row.kind, "until": row.until, "since": row.since, "actor": row.actor, "reason": row.reason,
                "ended_at": row.ended_at, "ended_by": row.ended_by, "runs": runs, "missing": missing,
            })
        })
        .collect();
    let answer = json!({ "now": app.now.as_millis(), "extensions": list, "silent": silent });
    Ok(json(StatusCode::OK, &answer))
}
