//! More time, by operators: for one creation, or for all of a kind.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use worker::console_log;

use crate::read::{Name, Text, Whole};
use crate::rules::{Timestamp, Verdict, classify};
use crate::service::creations::ReportError;
use crate::service::extensions::{self, Reached};
use crate::service::shards::{each, run_each};
use crate::store::{self, DatabaseError, Extension, ExtensionRow};
use crate::worker::app::{App, Context};
use crate::worker::caller::{Operator, Read, Sweep};
use crate::worker::extract::{Json, Nothing, Path, Query};
use crate::worker::problem::{Answer, Problem, json};
use crate::worker::reporting::problem;
use crate::worker::routes::explorer::Instant;
use crate::worker::{log, shards};

const MINUTE_MS: u64 = 60_000;
/// 30 days: an exception has an end.
const MAX_MINUTES: u64 = 43_200;
/// The longest reason, in characters.
const MAX_REASON: usize = 1_000;
/// The last instant of a JavaScript `Date`.
const LAST_MS: u64 = 8_640_000_000_000_000;

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

/// The end that is asked for: in so many minutes, or at an instant.
fn end(
    minutes: Option<Whole<1, MAX_MINUTES>>,
    until: Option<u64>,
    now: Timestamp,
) -> Result<Timestamp, Problem> {
    let latest = now.saturating_add(MAX_MINUTES.saturating_mul(MINUTE_MS));
    match (minutes.map(Whole::get), until) {
        (Some(minutes), None) => Ok(now.saturating_add(minutes.saturating_mul(MINUTE_MS))),
        (None, Some(millis)) => {
            let until = i64::try_from(millis).ok().and_then(Timestamp::from_millis);
            until.filter(|until| now < *until && *until <= latest).ok_or_else(|| {
                Problem::bad_request(format!(
                    "`until` is `{millis}`: expected epoch milliseconds after now, `{}`, and within 30 days",
                    now.as_millis()
                ))
            })
        }
        _ => Err(Problem::bad_request("expected either `minutes` or `until`")),
    }
}

/// What a form of the dashboard says about more time.
#[derive(Deserialize)]
pub(in crate::worker) struct ExtendForm {
    minutes: Option<Whole<1, MAX_MINUTES>>,
    until: Option<Instant>,
    reason: Text<MAX_REASON>,
}

impl ExtendForm {
    /// The end, and the reason.
    pub(in crate::worker) fn wanted(&self, now: Timestamp) -> Result<(Timestamp, &str), Problem> {
        let until = self.until.map(|Instant(until)| until.as_millis());
        Ok((end(self.minutes, until, now)?, self.reason.as_str()))
    }
}

/// Gives one creation more time.
pub(in crate::worker) async fn give(
    app: &App,
    id: &str,
    at: Option<&str>,
    actor: &str,
    (until, reason): (Timestamp, &str),
) -> Result<store::CreationRow, Problem> {
    let audit_id = app.new_id()?;
    let extension = Extension { until, actor, reason, audit_id: &audit_id };
    let ask =
        async |_: usize, database: &store::D1| match extensions::extend(database, id, extension, app.now)
            .await
        {
            Ok(row) => Ok(Some(row)),
            Err(ReportError::NotFound) => Ok(None),
            Err(error) => Err(problem(error, false)),
        };
    let row = shards::find(app, id, at, ask).await?;
    let row = row.ok_or_else(|| problem(ReportError::NotFound, false))?;
    console_log!("{}", log::operator_action(actor, "extend"));
    Ok(row)
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
    let deadline = match classify(&row.creation.draft(), app.now, &app.config.policy) {
        Verdict::Fresh { deadline, .. } => deadline.map(millis),
        _ => None,
    };
    let answer = json!({
        "id": row.creation.id,
        "status": row.creation.status,
        "attempt": row.creation.attempt,
        "extended_until": row.creation.extended_until.instant().map(millis),
        "deadline": deadline,
    });
    Ok(json(StatusCode::OK, &answer))
}

/// Whose creation it is: with several databases it says where one is whose id an app chose.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::worker) struct OwnerQuery {
    user_id: Option<Name>,
}

/// Gives a kind more time. Repeating it with the same end goes on.
pub(in crate::worker) async fn give_kind(
    app: &App,
    kind: &str,
    actor: &str,
    (until, reason): (Timestamp, &str),
) -> Result<Reaching, Problem> {
    let audit_id = app.new_id()?;
    let extension = Extension { until, actor, reason, audit_id: &audit_id };
    let reached =
        each(&app.shards(), |shard| extensions::extend_kind(shard.database, kind, extension, app.now)).await;
    // What another one has said holds: it is not for this one to shorten.
    let other = reached.iter().flatten().filter_map(|reached| reached.done.extension.as_ref());
    let mut other =
        other.filter(|found| u64::try_from(found.until) != Ok(until.as_millis()) || found.ended_at.is_some());
    if let Some(ExtensionRow { until, ended_at, actor, .. }) = other.next() {
        let message = match ended_at {
            None => {
                format!("`{actor}` has given this kind more time until `{until}` already: end that first")
            }
            Some(at) => format!("what ends at `{until}` was ended at `{at}`: expected another `until`"),
        };
        return Err(Problem::new(StatusCode::CONFLICT, message));
    }
    console_log!("{}", log::operator_action(actor, "extend_kind"));
    Reaching::read(app, reached)
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

/// Ends what a kind has. Repeating it goes on.
pub(in crate::worker) async fn end_kind(app: &App, kind: &str, actor: &str) -> Result<Reaching, Problem> {
    let audit_id = app.new_id()?;
    let reached = each(&app.shards(), |shard| {
        extensions::end_extension(shard.database, kind, actor, &audit_id, app.now)
    })
    .await;
    let known = reached.iter().flatten().any(|reached| reached.done.extension.is_some());
    let silent = reached.iter().any(Result::is_err);
    if !known && !silent {
        return Err(Problem::not_found(format!("`{kind}` has no more time than its policy gives")));
    }
    console_log!("{}", log::operator_action(actor, "end_extension"));
    Reaching::read(app, reached)
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

/// What came of it in all databases.
pub(in crate::worker) struct Reaching {
    /// How many creations were changed.
    pub(in crate::worker) creations: u64,
    /// Whether some are left: the same goes on.
    pub(in crate::worker) more: bool,
    /// Of several databases, each by its name; empty of one.
    shards: Vec<Value>,
}

impl Reaching {
    /// Fails if no database did it. One of several that did not is named, and left for a repetition.
    fn read(context: &Context, reached: Vec<Result<Reached, DatabaseError>>) -> Result<Self, Problem> {
        let names = context.shards();
        let several = names.len() > 1;
        let mut sum = Reaching { creations: 0, more: false, shards: Vec::new() };
        let (mut done, mut failed) = (false, None);
        for (shard, reached) in names.iter().zip(reached) {
            let (creations, more, error) = match reached {
                Ok(Reached { done, more }) => (done.creations, more, None),
                Err(error) => (0, true, Some(error)),
            };
            done |= error.is_none();
            sum.creations = sum.creations.saturating_add(creations);
            sum.more |= more;
            if several {
                let said = error.as_ref().map(ToString::to_string);
                sum.shards.push(
                    json!({ "shard": shard.name, "creations": creations, "more": more, "error": said }),
                );
            }
            failed = failed.or(error);
        }
        match failed.filter(|_| !done) {
            None => Ok(sum),
            Some(error) if error.is_constraint() => Err(problem(ReportError::Rejected(error), false)),
            Some(error) => Err(error.into()),
        }
    }
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
        .map(|(row, there)| {
            let missing = |name: &&str| !there.contains(name) && row.runs(app.now);
            let missing: Vec<&str> = shards.iter().map(|shard| shard.name).filter(missing).collect();
            json!({
                "kind": row.kind, "until": row.until, "since": row.since, "actor": row.actor, "reason": row.reason,
                "ended_at": row.ended_at, "ended_by": row.ended_by, "runs": row.runs(app.now), "missing": missing,
            })
        })
        .collect();
    let answer = json!({ "now": app.now.as_millis(), "extensions": list, "silent": silent });
    Ok(json(StatusCode::OK, &answer))
}
