use serde_json::{Value, json};

use super::{completeness, elsewhere, sweeps};
use crate::api::Api;
use crate::exit::{Code, Error};
use crate::output::{self, BOLD, Line, limit, list, number, say, styled, text, time};

/// `explain`: shows everything about one creation.
pub fn run(api: &Api, id: &str, user: Option<&str>, json: bool) -> Result<Code, Error> {
    let answer = api.creation(id, user).map_err(|error| elsewhere(api, error))?;
    if json {
        output::json(&answer);
        return Ok(completeness(api, &answer));
    }
    if answer.get("archived").is_some() {
        return archived(api, &answer);
    }
    let nothing = Value::Null;
    let creation = answer.get("creation").unwrap_or(&nothing);
    fact("Creation", &text(creation, "id"));
    fact("Owner", &text(&answer, "user_id"));
    fact("Kind", &text(creation, "kind"));
    fact("Prompt", &text(creation, "prompt"));
    let attempt = text(creation, "attempt");
    // After more by hand, how many sweeps begin says nothing.
    let of = match number(&answer, "max_attempts") {
        max if number(creation, "attempt") > max => String::new(),
        max => format!(" of {max}"),
    };
    fact("Status", &format!("{}, attempt {attempt}{of}", text(creation, "stored_status")));
    fact("Verdict", &format!("{}  {}", text(creation, "verdict"), text(creation, "badge")));
    if creation.get("error").is_some_and(Value::is_string) {
        fact("Error", &format!("{} ({})", text(creation, "error"), text(creation, "error_code")));
    }
    if answer.get("rule").is_some_and(Value::is_string) {
        let rule = text(&answer, "rule");
        if creation.get("max_age_ms").is_some_and(Value::is_u64) || text(creation, "verdict") != "settled" {
            fact("Limit", &format!("{}, by `{rule}` of the policy", limit(creation, "max_age_ms")));
            fact("Deadline", &time(creation, "deadline"));
        } else {
            fact("Limit", &format!("`{rule}` of the policy at that time"));
        }
    }
    if creation.get("held_until").is_some_and(Value::is_u64) {
        let until = time(creation, "held_until");
        fact(
            "On hold",
            &format!("until {until} at least: its owner moves to another database, so no sweep decides"),
        );
    }
    // Of an attempt before, or ended, it is among what operators did.
    let active = matches!(text(creation, "stored_status").as_str(), "pending" | "processing");
    let holds = |given: &&Value| active && given.get("until") == creation.get("extended_until");
    for given in list(&answer, "extensions").iter().filter(holds) {
        let by =
            format!("by {} at {}: {}", text(given, "actor"), time(given, "since"), text(given, "reason"));
        let ended = given.get("ended_by").and_then(Value::as_str).map_or(String::new(), |_| {
            format!("; ended at {} by {}", time(given, "ended_at"), text(given, "ended_by"))
        });
        let whom = if text(given, "scope") == "kind" { " to its kind" } else { "" };
        fact("More time", &format!("until {}{whom}, {by}{ended}", time(given, "until")));
    }
    // A restored result may be of an attempt before the one which started last.
    let restored = creation.get("restored_at").is_some_and(Value::is_number)
        && text(creation, "stored_status") != "failed";
    for (name, key) in [
        ("Created", "created_at"),
        ("Queued again", "queued_at"),
        ("Started", "started_at"),
        ("Heartbeat", "heartbeat_at"),
        (if restored { "Result" } else { "Finished" }, "finished_at"),
        ("Late result", "late_at"),
        ("Restored", "restored_at"),
        ("Deleted", "deleted_at"),
    ] {
        let always = matches!(key, "created_at" | "started_at" | "heartbeat_at" | "finished_at");
        if always || creation.get(key).is_some_and(Value::is_number) {
            fact(name, &time(creation, key));
        }
        if key == "started_at" && answer.get("worker").is_some_and(Value::is_string) {
            fact("Worker", &text(&answer, "worker"));
        }
    }
    if text(creation, "stored_status") == "failed" && creation.get("late_at").is_some_and(Value::is_number) {
        fact("", &format!("a late result is kept: mark-stale-drafts restore {}", text(creation, "id")));
    }
    if creation.get("can_retry").is_some_and(|can| can == true) {
        fact("", &format!("it can be tried again: mark-stale-drafts retry {}", text(creation, "id")));
    }
    if let Some(set_aside) = answer.get("set_aside").filter(|set_aside| set_aside.is_object()) {
        fact(
            "Set aside",
            &format!("until {}, since the database rejects its failure", time(set_aside, "until")),
        );
        fact("", &text(set_aside, "reason"));
    }
    fact("Tokens", &money(&answer, creation));
    ledger(&answer);
    attempt_table(list(&answer, "attempts"));
    act_table(list(&answer, "acts"));
    if !list(&answer, "sweeps").is_empty() {
        say("");
        sweeps::table(list(&answer, "sweeps"));
    }
    for event in list(&answer, "events") {
        say("");
        let error = text(event, "last_error");
        say(format!("event {} is not delivered ({}): {error}", text(event, "id"), text(event, "state")));
    }
    Ok(Code::Done)
}

/// One that is archived: what the ledger knows, and where the rest is.
fn archived(api: &Api, answer: &Value) -> Result<Code, Error> {
    fact("Creation", &text(answer, "id"));
    fact("Owner", &text(answer, "user_id"));
    fact("Archived", &text(answer, "message"));
    if let Some(place) = answer.get("archived") {
        for object in list(place, "objects").iter().filter_map(Value::as_str) {
            fact("", object);
        }
    }
    ledger(answer);
    Ok(completeness(api, answer))
}

/// All charges and refunds; of what is accounted elsewhere the ledger has none.
fn money(answer: &Value, creation: &Value) -> String {
    let ledger = list(answer, "ledger");
    let sum = |types: &[&str]| {
        let own = ledger.iter().filter(|entry| types.contains(&text(entry, "type").as_str()));
        own.filter_map(|entry| entry.get("tokens").and_then(Value::as_i64))
            .fold(0_i64, i64::saturating_add)
            .unsigned_abs()
    };
    if ledger.is_empty() {
        return format!(
            "{} charged, {} refunded",
            text(creation, "tokens"),
            text(creation, "refunded_tokens")
        );
    }
    format!("{} charged, {} refunded", sum(&["charge", "restore"]), sum(&["refund"]))
}

fn fact(name: &str, value: &str) {
    say(format!("{}  {value}", styled(BOLD, format!("{name:<12}"))));
}

fn ledger(answer: &Value) {
    say("");
    let entries: Vec<_> = list(answer, "ledger")
        .iter()
        .map(|entry| Line {
            cells: vec![
                time(entry, "created_at"),
                text(entry, "type"),
                text(entry, "tokens"),
                text(entry, "sweep_id"),
            ],
            notes: Vec::new(),
        })
        .collect();
    output::table(&["ledger", "type", "tokens", "sweep"], &[2], &entries);
}

/// The attempts that have ended, with their outcomes.
fn attempt_table(attempts: &[Value]) {
    if attempts.is_empty() {
        return;
    }
    say("");
    let lines: Vec<_> = attempts
        .iter()
        .map(|row| Line {
            cells: vec![
                text(row, "attempt"),
                text(row, "outcome"),
                time(row, "finished_at"),
                text(row, "worker"),
                text(row, "rule"),
            ],
            notes: vec![text(row, "error")],
        })
        .collect();
    output::table(&["attempt", "outcome", "ended", "worker", "rule"], &[0], &lines);
}

/// What was done, with the instant until which more time was given as people write it.
fn detail(act: &Value) -> String {
    let detail = text(act, "detail");
    let until = detail.strip_prefix("until ").and_then(|rest| rest.split_once(": "));
    match until.and_then(|(millis, reason)| Some((millis.parse::<u64>().ok()?, reason))) {
        Some((millis, reason)) if text(act, "action") == "extend" => {
            format!("until {}: {reason}", time(&json!({ "until": millis }), "until"))
        }
        _ => detail,
    }
}

/// What operators did to it, and noted about it.
fn act_table(acts: &[Value]) {
    if acts.is_empty() {
        return;
    }
    say("");
    let lines: Vec<_> = acts
        .iter()
        .map(|row| Line {
            cells: vec![time(row, "at"), text(row, "actor"), text(row, "action")],
            notes: vec![detail(row)],
        })
        .collect();
    output::table(&["at", "operator", "action"], &[], &lines);
}
