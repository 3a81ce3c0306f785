//! More time, by operators: the same over the API and on the dashboard.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use worker::console_log;

use super::app::{App, Context};
use super::exploring::{Instant, written};
use super::pages::minute;
use super::problem::Problem;
use super::reporting::problem;
use super::{log, shards};
use crate::read::{Text, Whole};
use crate::rules::{Timestamp, Verdict, classify};
use crate::service::creations::ReportError;
use crate::service::extensions::{self, Reached};
use crate::service::shards::each;
use crate::store::{self, DatabaseError, Extension, ExtensionRow};

pub(super) const MINUTE_MS: u64 = 60_000;
/// 30 days: an exception has an end.
pub(super) const MAX_MINUTES: u64 = 43_200;
/// The longest reason, in characters.
pub(super) const MAX_REASON: usize = 1_000;
/// The last instant of a JavaScript `Date`.
pub(super) const LAST_MS: u64 = 8_640_000_000_000_000;

/// Whether an exception may end then.
fn is_within(until: Timestamp, now: Timestamp) -> bool {
    now < until && until <= now.saturating_add(MAX_MINUTES.saturating_mul(MINUTE_MS))
}

/// The end that is asked for: in so many minutes, or at an instant.
pub(super) fn end(
    minutes: Option<Whole<1, MAX_MINUTES>>,
    until: Option<u64>,
    now: Timestamp,
) -> Result<Timestamp, Problem> {
    match (minutes.map(Whole::get), until) {
        (Some(minutes), None) => Ok(now.saturating_add(minutes.saturating_mul(MINUTE_MS))),
        (None, Some(millis)) => {
            let at = i64::try_from(millis).ok().and_then(Timestamp::from_millis);
            at.filter(|until| is_within(*until, now)).ok_or_else(|| {
                Problem::bad_request(format!(
                    "`until` is `{millis}`{}: expected epoch milliseconds after now, `{}` ({}), and within 30 days",
                    at.map_or(String::new(), |at| format!(" ({})", written(at))),
                    now.as_millis(),
                    written(now)
                ))
            })
        }
        _ => Err(Problem::bad_request("expected either `minutes` or `until`")),
    }
}

/// What a form of the dashboard says about more time.
#[derive(Deserialize)]
pub(super) struct ExtendForm {
    minutes: Option<Whole<1, MAX_MINUTES>>,
    until: Option<Instant>,
    reason: Text<MAX_REASON>,
}

impl ExtendForm {
    /// The end, and the reason.
    pub(super) fn wanted(&self, now: Timestamp) -> Result<(Timestamp, &str), Problem> {
        // Nobody writes milliseconds into a form.
        if let Some(Instant(until)) = self.until.filter(|Instant(until)| !is_within(*until, now)) {
            return Err(Problem::bad_request(format!(
                "the end is {} UTC: expected a time after now, {} UTC, and within 30 days",
                minute(until.as_millis()),
                minute(now.as_millis())
            )));
        }
        let until = self.until.map(|Instant(until)| until.as_millis());
        Ok((end(self.minutes, until, now)?, self.reason.as_str()))
    }
}

/// Gives one creation more time.
pub(super) async fn give(
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
            Err(error) => Err(problem(error, None)),
        };
    let row = shards::find(app, id, at, ask).await?;
    let row = row.ok_or_else(|| problem(ReportError::NotFound, None))?;
    console_log!("{}", log::operator_action(actor, "extend"));
    Ok(row)
}

/// The last instant at which it is not stale; `None` for `never`, and where its times can't be read.
pub(super) fn deadline(app: &App, row: &store::CreationRow) -> Option<Timestamp> {
    match classify(&row.creation.draft(), app.now, &app.config.policy) {
        Verdict::Fresh { deadline, .. } => deadline,
        _ => None,
    }
}

/// Gives a kind more time. Repeating it with the same end goes on.
pub(super) async fn give_kind(
    app: &App,
    kind: &str,
    actor: &str,
    (until, reason): (Timestamp, &str),
) -> Result<Reaching, Problem> {
    let audit_id = app.new_id()?;
    let extension = Extension { until, actor, reason, audit_id: &audit_id };
    let shards = app.shards();
    let reached =
        each(&shards, |shard| extensions::extend_kind(shard.database, kind, extension, app.now)).await;
    let answers = shards.iter().zip(&reached);
    let found = answers
        .filter_map(|(shard, reached)| Some((shard.name, reached.as_ref().ok()?.done.extension.as_ref()?)));
    let (taken, other): (Vec<_>, Vec<_>) = found.partition(|(_, found)| {
        found.ended_at.is_none() && u64::try_from(found.until) == Ok(until.as_millis())
    });
    // One that did not answer may have done it.
    if other.len() < reached.len() {
        console_log!("{}", log::operator_action(actor, "extend_kind"));
    }
    // What another one has said holds: it is not for this one to shorten.
    if let Some((_, ExtensionRow { until: held, ended_at, actor, .. })) = other.first() {
        let at = |millis: i64| Timestamp::from_millis(millis).map_or_else(|| millis.to_string(), written);
        let held = at(*held);
        let mut message = match ended_at {
            None => {
                format!("`{actor}` has given this kind more time until `{held}` already: end that first")
            }
            Some(ended_at) => {
                let ended_at = at(*ended_at);
                format!("what ends at `{held}` was ended at `{ended_at}`: expected another `until`")
            }
        };
        // They knew nothing of it: they were away as it was given.
        for (shard, _) in taken {
            message += &format!("; `{shard}` has taken `{}` all the same", written(until));
        }
        return Err(Problem::new(StatusCode::CONFLICT, message));
    }
    Reaching::read(app, reached)
}

/// Ends what a kind has. Repeating it goes on.
pub(super) async fn end_kind(app: &App, kind: &str, actor: &str) -> Result<Reaching, Problem> {
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

/// What came of it in all databases.
pub(super) struct Reaching {
    /// How many creations were changed.
    pub(super) creations: u64,
    /// Whether some are left: the same goes on.
    pub(super) more: bool,
    /// Of several databases, each by its name; empty of one.
    pub(super) shards: Vec<Value>,
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
            Some(error) if error.is_constraint() => Err(problem(ReportError::Rejected(error), None)),
            Some(error) => Err(error.into()),
        }
    }
}
