use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::elsewhere;
use crate::api::Api;
use crate::args::{Extend, Extensions};
use crate::exit::{Code, Error};
use crate::output::{self, Line, WARNING, count, list, note, number, say, styled, text, time};
use crate::until::{both_ways, instant, now};

type Body = Map<String, Value>;

/// `extend`: gives one creation more time, or all of a kind.
pub fn run(api: &Api, arguments: &Extend, json: bool) -> Result<Code, Error> {
    let Extend { id, user, kind, minutes, until, reason } = arguments;
    let mut body = Body::from_iter([(String::from("reason"), Value::from(reason.as_str()))]);
    if let Some(minutes) = minutes {
        body.insert(String::from("minutes"), (*minutes).into());
    }
    if let Some(until) = until {
        let until = instant(until, &now()).map_err(|error| Error::new(Code::InvalidInput, error))?;
        body.insert(String::from("until"), until.timestamp_millis().into());
    }
    match (id, kind) {
        (Some(id), _) => one(api, id, user.as_deref(), &Value::Object(body), json),
        (None, kind) => of_kind(api, kind.as_deref().unwrap_or_default(), body, json),
    }
}

fn one(api: &Api, id: &str, user: Option<&str>, body: &Value, json: bool) -> Result<Code, Error> {
    let answer = api.act(id, user, "extend", body).map_err(|error| elsewhere(api, error))?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    say(time(&answer, "extended_until"));
    let (id, until) = (text(&answer, "id"), end(&answer, "extended_until"));
    note(if answer.get("is_put_off") != Some(&Value::Bool(false)) {
        format!("`{id}` is not stale before {until}.")
    } else if answer.get("deadline").is_some_and(Value::is_u64) {
        format!("`{id}`: its deadline, {}, is later already: nothing changes.", end(&answer, "deadline"))
    } else {
        format!("`{id}` has no deadline that could be put off: nothing changes.")
    });
    Ok(Code::Done)
}

/// Warns of a kind that no active creation has: it may be misspelt. A later creation may have it, so it is no error; and whoever may
/// not read is not warned.
fn warn_of_unknown(api: &Api, kind: &str) {
    let Ok(answer) = api.get("/api/counts", &[]) else { return };
    let kinds: BTreeSet<_> = list(&answer, "counts").iter().map(|row| text(row, "kind")).collect();
    if kinds.contains(kind) {
        return;
    }
    let named: Vec<_> = kinds.iter().take(10).map(|kind| format!("`{kind}`")).collect();
    let there = match named.as_slice() {
        [] => String::from("nothing is active"),
        _ => format!("what is active is {}{}", named.join(", "), if kinds.len() > 10 { ", …" } else { "" }),
    };
    note(format!("{} no active creation has the kind `{kind}`: {there}", styled(WARNING, "warning:")));
}

fn of_kind(api: &Api, kind: &str, mut body: Body, json: bool) -> Result<Code, Error> {
    body.insert(String::from("kind"), kind.into());
    let mut extended = 0_u64;
    let answer = loop {
        let answer = api.post("/api/extensions", &Value::Object(body.clone()))?;
        extended = extended.saturating_add(number(&answer, "extended"));
        if answer.get("more") != Some(&Value::Bool(true)) || silent(&answer).next().is_some() {
            break answer;
        }
        // So many minutes would be counted anew.
        body.remove("minutes");
        body.insert(String::from("until"), answer.get("until").cloned().unwrap_or_default());
    };
    if json {
        output::json(&answer);
    } else {
        say(time(&answer, "until"));
        note(format!(
            "No `{kind}` is stale before {}. {} {} more time now; what is made until then gets it too.",
            end(&answer, "until"),
            count(extended, "creation"),
            if extended == 1 { "has" } else { "have" }
        ));
        if extended == 0 {
            warn_of_unknown(api, kind);
        }
    }
    Ok(named(&answer))
}

/// `extensions`: what kinds have; and its end.
pub fn extensions(api: &Api, command: Option<&Extensions>, json: bool) -> Result<Code, Error> {
    match command {
        None => show(api, json),
        Some(Extensions::End { kind }) => take_back(api, kind, json),
    }
}

fn take_back(api: &Api, kind: &str, json: bool) -> Result<Code, Error> {
    let mut released = 0_u64;
    let answer = loop {
        let answer = api.delete("/api/extensions", &[("kind", kind)])?;
        released = released.saturating_add(number(&answer, "released"));
        if answer.get("more") != Some(&Value::Bool(true)) || silent(&answer).next().is_some() {
            break answer;
        }
    };
    if json {
        output::json(&answer);
    } else {
        say(time(&answer, "ended_at"));
        note(format!(
            "`{kind}` has the policy's limits again; {} had more time.",
            count(released, "active creation")
        ));
    }
    Ok(named(&answer))
}

fn show(api: &Api, json: bool) -> Result<Code, Error> {
    let answer = api.get("/api/extensions", &[])?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    let lines: Vec<_> = list(&answer, "extensions")
        .iter()
        .map(|row| {
            let runs = row.get("runs") == Some(&Value::Bool(true));
            let ended = row.get("ended_by").and_then(Value::as_str);
            let state = if runs {
                "runs"
            } else if ended.is_some() {
                "ended"
            } else if number(row, "until") > number(&answer, "now") {
                "replaced"
            } else {
                "over"
            };
            let by = ended.map_or(String::new(), |_| {
                format!("ended at {} by {}", time(row, "ended_at"), text(row, "ended_by"))
            });
            let missing: Vec<_> = list(row, "missing").iter().filter_map(Value::as_str).collect();
            let missing = if missing.is_empty() {
                String::new()
            } else {
                format!("not in {}: give it again", missing.join(", "))
            };
            Line {
                cells: vec![
                    text(row, "kind"),
                    state.to_owned(),
                    time(row, "until"),
                    time(row, "since"),
                    text(row, "actor"),
                    text(row, "reason"),
                ],
                notes: vec![by, missing],
            }
        })
        .collect();
    output::table(&["kind", "state", "until", "since", "by", "reason"], &[], &lines);
    for shard in list(&answer, "silent") {
        note(format!("{} {}", text(shard, "shard"), super::no_answer(shard)));
    }
    Ok(if list(&answer, "silent").is_empty() { Code::Done } else { Code::Unhealthy })
}

/// The databases that did not do it.
fn silent(answer: &Value) -> impl Iterator<Item = &Value> {
    list(answer, "shards").iter().filter(|shard| shard.get("error").is_some_and(Value::is_string))
}

/// Names them; the same command goes on where they answer again.
fn named(answer: &Value) -> Code {
    let mut code = Code::Done;
    for shard in silent(answer) {
        note(format!("{} {}. Repeat the command.", text(shard, "shard"), super::no_answer(shard)));
        code = Code::PartlyDone;
    }
    code
}

fn end(answer: &Value, key: &str) -> String {
    answer.get(key).and_then(Value::as_i64).map_or_else(|| String::from("-"), both_ways)
}
