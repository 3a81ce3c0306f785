use std::io::IsTerminal as _;

use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::args::Compact;
use crate::exit::{Code, Error};
use crate::output::{self, count, list, note, number, say, text};

/// `ledger compact`: sums up old entries of the ledger.
pub fn run(api: &Api, compact: &Compact, json: bool) -> Result<Code, Error> {
    if compact.dry_run {
        return finish(&all(api, compact, true)?, true, json);
    }
    if !compact.yes {
        if !std::io::stdin().is_terminal() {
            let message =
                "this can't be undone, and there is nobody to ask: pass --yes to do it, or --dry-run to look";
            return Err(Error::new(Code::InvalidInput, message));
        }
        let would = all(api, compact, true)?;
        if number(&would, "entries") == 0 || !confirmed(&would)? {
            return finish(&would, true, json);
        }
    }
    finish(&all(api, compact, false)?, false, json)
}

/// Adds what one answer, or its part of a database, has counted.
fn add(sums: &mut Map<String, Value>, answer: &Map<String, Value>) {
    let counted = |of: &Map<String, Value>, key| of.get(key).and_then(Value::as_u64).unwrap_or(0);
    for key in ["entries", "carries", "objects", "bytes"] {
        let sum = counted(sums, key).saturating_add(counted(answer, key));
        sums.insert(key.to_owned(), sum.into());
    }
}

/// Repeats the request until nothing is left. Returns the last answer, with the sums of all. If it is stopped, the same command goes on.
fn all(api: &Api, Compact { before, .. }: &Compact, dry_run: bool) -> Result<Value, Error> {
    let (mut sums, mut shards) = (Map::new(), Vec::<Map<String, Value>>::new());
    let mut cursor = Value::Null;
    loop {
        let body = match &cursor {
            Value::Null => json!({ "before": before, "dry_run": dry_run }),
            cursor => json!({ "before": before, "dry_run": dry_run, "cursor": cursor }),
        };
        let answer = api.post("/api/ledger/compact", &body)?;
        for shard in list(&answer, "shards").iter().filter_map(Value::as_object) {
            match shards.iter_mut().find(|known| known.get("shard") == shard.get("shard")) {
                Some(known) => {
                    add(known, shard);
                    known.insert(String::from("error"), shard.get("error").cloned().unwrap_or_default());
                }
                None => shards.push(shard.clone()),
            }
        }
        let mut answer = answer.as_object().cloned().unwrap_or_default();
        add(&mut sums, &answer);
        cursor = answer.get("cursor").cloned().unwrap_or_default();
        if cursor.is_null() {
            answer.extend(sums);
            answer.insert(String::from("shards"), shards.into());
            return Ok(answer.into());
        }
    }
}

/// Asks on the terminal.
fn confirmed(would: &Value) -> Result<bool, Error> {
    note(format!("{}. This can't be undone.", summary(would)));
    dialoguer::Confirm::new().with_prompt("Continue?").default(false).interact().map_err(|error| {
        Error::new(
            Code::InvalidInput,
            format!("there is no answer ({error}): pass --yes to continue without asking"),
        )
    })
}

fn summary(sum: &Value) -> String {
    if number(sum, "entries") == 0 {
        let verb = if sum.get("dry_run") == Some(&Value::Bool(true)) { "would be" } else { "was" };
        return format!("No entry of months before {} {verb} summed up", text(sum, "before"));
    }
    let would = if sum.get("dry_run") == Some(&Value::Bool(true)) { "would become" } else { "became" };
    let carries = number(sum, "carries");
    let new = if carries == 1 { String::from("1 new sum") } else { format!("{carries} new sums") };
    format!(
        "{} of months before {} {would} a part of the sums of their months, with {new}",
        match number(sum, "entries") {
            1 => String::from("1 entry"),
            entries => format!("{entries} entries"),
        },
        text(sum, "before")
    )
}

/// Shows what was done, or would be.
fn finish(sum: &Value, dry_run: bool, json: bool) -> Result<Code, Error> {
    let failed: Vec<_> =
        list(sum, "shards").iter().filter(|shard| shard.get("error").is_some_and(Value::is_string)).collect();
    if json {
        output::json(sum);
    } else {
        say(format!("{}.", summary(sum)));
        if !dry_run && number(sum, "objects") > 0 {
            let objects = count(number(sum, "objects"), "object");
            note(format!(
                "One by one they are in the archive: {objects} with {}.",
                count(number(sum, "bytes"), "byte")
            ));
        }
    }
    for shard in &failed {
        note(format!("{} {}. Run it again later.", text(shard, "shard"), super::no_answer(shard)));
    }
    Ok(if failed.is_empty() { Code::Done } else { Code::PartlyDone })
}
