//! Without a command: previews a sweep, asks, and applies it.

mod apply;
mod outcome;
mod preview;

use serde_json::Value;

use super::{DIFFERS, is_placed, note_left_out};
use crate::api::Api;
use crate::args::Sweep;
use crate::exit::{Code, Error};
use crate::format::{is_retry, summary};
use crate::output::{self, BOLD, Line, WARNING, age, count, limit, list, note, styled, text};
use crate::saved_plans;

pub fn run(api: &Api, sweep: &Sweep, json: bool) -> Result<Code, Error> {
    if let Some(plan_id) = &sweep.apply {
        let saved = saved_plans::load(plan_id)?;
        if saved.get("creations").is_none() {
            let message = format!(
                "plan `{plan_id}` is one of retries: apply it with `mark-stale-drafts retry --apply {plan_id}`"
            );
            return Err(Error::new(Code::InvalidInput, message));
        }
        return apply::run(api, saved, None, sweep, json);
    }
    let plan = preview::fetch(api, sweep, sweep.limit)?;
    if sweep.dry_run {
        return dry_run(api, &plan, json);
    }
    let refill = |left| preview::fetch(api, sweep, left);
    apply::run(api, plan, Some(&refill), sweep, json)
}

fn dry_run(api: &Api, plan: &Value, json: bool) -> Result<Code, Error> {
    let creations = list(plan, "creations");
    let plan_id = text(plan, "plan_id");
    if !creations.is_empty() {
        saved_plans::save(&plan_id, plan)?;
    }
    if json {
        output::json(plan);
    } else {
        table(creations);
    }
    note_unreadable(plan);
    note_suspended(plan);
    let left_out = note_left_out(plan);
    let unreached = note_unreached(plan);
    if creations.is_empty() {
        let placed = is_placed(api, DIFFERS);
        note(if unreached || left_out || !placed { "Nothing else is stale." } else { "Nothing is stale." });
        return Ok(match (unreached, placed) {
            (true, _) => Code::PartlyDone,
            (false, false) => Code::Unhealthy,
            (false, true) => Code::Done,
        });
    }
    note(format!("{}.", summary(creations, "would be ")));
    if more(plan) {
        let first = count(creations.len() as u64, "creation");
        note(format!("More are stale: this plan is for the first {first}."));
    }
    note("Nothing was changed.");
    note(format!("To apply exactly this plan: mark-stale-drafts --apply {}", styled(BOLD, plan_id)));
    Ok(Code::StaleFound)
}

/// The databases, of several, that a sweep did not reach.
fn unreached(answer: &Value) -> impl Iterator<Item = &Value> {
    list(answer, "shards").iter().filter(|shard| shard.get("error").is_some_and(Value::is_string))
}

/// Says which they are; whether there are any.
fn note_unreached(answer: &Value) -> bool {
    for shard in unreached(answer) {
        note(format!(
            "{} {}: {}",
            styled(WARNING, "not reached:"),
            text(shard, "shard"),
            text(shard, "error")
        ));
    }
    unreached(answer).next().is_some()
}

/// Whether more creations are stale than the answer holds.
fn more(answer: &Value) -> bool {
    answer.get("more") == Some(&Value::Bool(true))
}

fn table(creations: &[Value]) {
    let lines: Vec<_> = creations
        .iter()
        .map(|row| Line {
            cells: vec![
                text(row, "id"),
                text(row, "user_id"),
                text(row, "kind"),
                text(row, "stuck_status"),
                age(row, "age_ms"),
                limit(row, "max_age_ms"),
                text(row, "rule"),
                text(row, "tokens"),
            ],
            notes: vec![if is_retry(row) {
                String::from("retry: it goes back to pending for another attempt")
            } else {
                text(row, "error")
            }],
        })
        .collect();
    output::table(&["id", "user", "kind", "status", "age", "limit", "rule", "tokens"], &[4, 5, 7], &lines);
}

/// What holds a sweep that nobody has confirmed.
fn note_suspended(plan: &Value) {
    if plan.get("suspended").is_some_and(Value::is_string) {
        note(format!("{} {}", styled(WARNING, "suspended:"), text(plan, "suspended")));
    }
}

/// Rows whose times are unreadable are never failed, and always shown.
fn note_unreadable(plan: &Value) {
    for row in list(plan, "unreadable") {
        note(format!("{} {}: {}", styled(WARNING, "unreadable:"), text(row, "id"), text(row, "message")));
    }
}
