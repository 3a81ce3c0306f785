//! Retries by filter: previews, asks, and carries out exactly what was previewed.

use std::io::IsTerminal as _;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::Api;
use crate::args::Retry;
use crate::commands::is_complete;
use crate::commands::search::{filter_query, note_windows};
use crate::exit::{Code, Error};
use crate::output::{self, BOLD, Line, WARNING, count, list, minute, note, number, styled, text};
use crate::saved_plans;

/// The longest plan that the Worker takes.
const MAX_PLAN: u32 = 1_000;
const PREVIEW: &str = "/api/retries/preview";

pub fn run(api: &Api, retry: &Retry, json: bool) -> Result<Code, Error> {
    if let Some(plan_id) = &retry.apply {
        let saved = saved_plans::load(plan_id)?;
        if saved.get("plan").is_none() {
            let message =
                format!("plan `{plan_id}` is a sweep's: apply it with `mark-stale-drafts --apply {plan_id}`");
            return Err(Error::new(Code::InvalidInput, message));
        }
        return apply(api, &saved, retry, json);
    }
    let attended = std::io::stdin().is_terminal();
    if !retry.dry_run && !retry.yes && !attended {
        let message =
            "this charges owners, and there is nobody to ask: pass --yes to do it, or --dry-run to look";
        return Err(Error::new(Code::InvalidInput, message));
    }
    let preview = fetch(api, retry)?;
    let plan = list(&preview, "plan");
    if retry.dry_run {
        if json {
            output::json(&preview);
        } else {
            table(plan);
        }
    }
    let complete = is_complete(api, &preview);
    if plan.is_empty() {
        if json && !retry.dry_run {
            output::json(&nothing());
        }
        note("Nothing that has failed is like that: nothing to do.");
        return Ok(if complete { Code::Done } else { Code::Unhealthy });
    }
    note_short(&preview);
    note(format!("{}.", summary(&preview)));
    if is_cut(&preview, retry) {
        note(format!("More have failed: this plan is for {}.", count(plan.len() as u64, "creation")));
    }
    if retry.dry_run && number(&preview, "retries") == 0 {
        note("There is nothing to apply.");
        return Ok(if complete { Code::Done } else { Code::Unhealthy });
    }
    if retry.dry_run {
        let plan_id = plan_id(plan);
        saved_plans::save(&plan_id, &preview)?;
        note("Nothing was changed.");
        let without = if complete { "" } else { ", without what is missing" };
        note(format!(
            "To apply exactly this plan{without}: mark-stale-drafts retry --apply {}",
            styled(BOLD, plan_id)
        ));
        return Ok(if complete { Code::StaleFound } else { Code::Unhealthy });
    }
    if !retry.yes && !json {
        table(plan);
    }
    if !retry.yes && !confirmed()? {
        note("Nothing was changed.");
        return Ok(Code::Done);
    }
    apply(api, &preview, retry, json)
}

/// Asks for previews, page by page, and makes one of them: of at most as many creations as a plan has.
fn fetch(api: &Api, retry: &Retry) -> Result<Value, Error> {
    let query = filter_query(&retry.filter)?;
    note_windows(&query);
    let since =
        query.iter().find(|(key, _)| *key == "since").and_then(|(_, since)| since.parse::<i64>().ok());
    let filter: Map<_, _> =
        query.into_iter().map(|(key, word)| (key.to_owned(), Value::from(word))).collect();
    let limit = retry.limit.unwrap_or(MAX_PLAN);
    let (mut plan, mut cursor, mut pages) = (Vec::new(), Value::Null, 0_u32);
    let mut answer = loop {
        let left = limit.saturating_sub(u32::try_from(plan.len()).unwrap_or(u32::MAX));
        let mut body = match retry.all {
            true => json!({ "all": true, "limit": left }),
            false => json!({ "filter": filter, "limit": left }),
        };
        if let (Some(body), false) = (body.as_object_mut(), cursor.is_null()) {
            body.insert(String::from("cursor"), cursor);
        }
        let answer = api.post(PREVIEW, &body)?;
        plan.extend_from_slice(list(&answer, "plan"));
        pages = pages.saturating_add(1);
        cursor = answer.get("next_cursor").cloned().unwrap_or(Value::Null);
        // Creations come in as they are made, so nothing that was made since then stands further back.
        let looked_back_to = answer.get("looked_back_to").and_then(Value::as_i64);
        let far_enough = since.zip(looked_back_to).is_some_and(|(since, back_to)| back_to < since);
        let ends = cursor.is_null() || far_enough || plan.len() >= limit as usize;
        if ends || !list(&answer, "unreachable").is_empty() {
            break answer;
        }
        note(format!("Looking further back than {} …", minute(&answer, "looked_back_to")));
    };
    if pages > 1 {
        // What an owner's balance covers is a matter of all of theirs.
        let whole = api.post(PREVIEW, &json!({ "plan": targets(&plan) }))?;
        if let (Some(fields), Value::Object(whole)) = (answer.as_object_mut(), whole) {
            let kept =
                ["next_cursor", "looked_back_to", "unreachable"].map(|key| (key, fields.get(key).cloned()));
            fields.extend(whole);
            fields.extend(kept.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        }
    }
    Ok(answer)
}

/// What the Worker takes of a plan.
fn targets(plan: &[Value]) -> Vec<Value> {
    let target = |row: &Value| json!({ "id": row.get("id"), "attempt": row.get("attempt"), "user_id": row.get("user_id") });
    plan.iter().map(target).collect()
}

/// Whether a limit cut the plan.
fn is_cut(preview: &Value, retry: &Retry) -> bool {
    let limit = retry.limit.unwrap_or(MAX_PLAN) as usize;
    preview.get("next_cursor").is_some_and(Value::is_string) && list(preview, "plan").len() >= limit
}

fn apply(api: &Api, preview: &Value, retry: &Retry, json: bool) -> Result<Code, Error> {
    let mut body = json!({ "plan": targets(list(preview, "plan")) });
    if let (Some(body), Some(reason)) = (body.as_object_mut(), &retry.reason) {
        body.insert(String::from("reason"), reason.as_str().into());
    }
    let answer = api.post("/api/retries", &body)?;
    let (retried, skipped) = (list(&answer, "retried"), list(&answer, "skipped"));
    if json {
        output::json(&answer);
    } else {
        let lines: Vec<_> = retried
            .iter()
            .map(|row| line(row, &["id", "user_id", "kind", "attempt", "charged_tokens"]))
            .collect();
        output::table(&["id", "user", "kind", "attempt", "tokens"], &[3, 4], &lines);
    }
    for row in skipped {
        let owner = row.get("user_id").and_then(Value::as_str);
        let of = owner.map_or(String::new(), |owner| format!(" of `{owner}`"));
        note(format!("{} {}{of}: {}", styled(WARNING, "skipped:"), text(row, "id"), text(row, "message")));
    }
    let left = if skipped.is_empty() { String::new() } else { format!("; {} skipped", skipped.len()) };
    note(format!(
        "{} retried, {} charged{left}.",
        count(retried.len() as u64, "creation"),
        count(number(&answer, "charged_tokens"), "token")
    ));
    // What a limit leaves is not missing.
    let cut = is_cut(preview, retry) && retry.limit.is_none();
    if cut {
        note("More have failed: run it again.");
    }
    let complete = skipped.is_empty() && !cut && list(preview, "unreachable").is_empty();
    Ok(if complete { Code::Done } else { Code::PartlyDone })
}

/// As the Worker answers to a plan of nothing.
fn nothing() -> Value {
    json!({ "retried": [], "charged_tokens": 0, "skipped": [] })
}

/// Says who can't pay for all of theirs.
fn note_short(preview: &Value) {
    for owner in list(preview, "short") {
        note(format!(
            "{} `{}` has {}, and {} cost {}: {} of them would be retried",
            styled(WARNING, "insufficient tokens:"),
            text(owner, "user_id"),
            count(number(owner, "balance"), "token"),
            count(number(owner, "creations"), "creation"),
            number(owner, "tokens"),
            number(owner, "covered"),
        ));
    }
}

fn summary(preview: &Value) -> String {
    let of_all = list(preview, "plan").len() as u64;
    let retries = number(preview, "retries");
    let whole = if retries == of_all { String::new() } else { format!(" of {of_all}") };
    format!(
        "{}{whole}, of {}, would be retried, {} charged",
        count(retries, "creation"),
        count(number(preview, "owners"), "user"),
        count(number(preview, "charged_tokens"), "token")
    )
}

fn table(plan: &[Value]) {
    let keys = ["id", "user_id", "kind", "attempt", "error_code", "rule", "tokens"];
    let lines: Vec<_> = plan
        .iter()
        .map(|row| {
            let Line { mut cells, .. } = line(row, &keys);
            cells.insert(4, minute(row, "finished_at"));
            let late = row.get("late_at").is_some_and(Value::is_number);
            let not_covered = row.get("is_covered") == Some(&Value::Bool(false));
            let mut notes = Vec::new();
            if not_covered {
                notes.push("its owner's balance does not cover it");
            }
            if late {
                notes.push("a result came too late: `restore` gives it to its owner");
            }
            Line { cells, notes: vec![notes.join("; ")] }
        })
        .collect();
    output::table(&["id", "user", "kind", "attempt", "failed", "code", "rule", "tokens"], &[3, 7], &lines);
}

fn line(row: &Value, keys: &[&str]) -> Line {
    Line { cells: keys.iter().map(|key| text(row, key)).collect(), notes: Vec::new() }
}

/// A hash of what is to be retried: 12 hexadecimal digits.
fn plan_id(plan: &[Value]) -> String {
    let hash = Sha256::digest(Value::from(targets(plan)).to_string());
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn confirmed() -> Result<bool, Error> {
    dialoguer::Confirm::new().with_prompt("Continue?").default(false).interact().map_err(|error| {
        Error::new(
            Code::InvalidInput,
            format!("there is no answer ({error}): pass --yes to continue without asking"),
        )
    })
}
