use std::io::IsTerminal as _;

use serde_json::{Value, json};

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

/// Asks again and again until there is no more: the sum of all answers. Whoever stops it, the same command goes on.
fn all(api: &Api, Compact { before, .. }: &Compact, dry_run: bool) -> Result<Value, Error> {
    let (mut sums, mut failed) = ([0; 4], Vec::new());
    let mut cursor = Value::Null;
    loop {
        let body = match &cursor {
            Value::Null => json!({ "before": before, "dry_run": dry_run }),
            cursor => json!({ "before": before, "dry_run": dry_run, "cursor": cursor }),
        };
        let answer = api.post("/api/ledger/compact", &body)?;
        for (sum, key) in sums.iter_mut().zip(["entries", "carries", "objects", "bytes"]) {
            *sum = u64::saturating_add(*sum, number(&answer, key));
        }
        failed.extend(
            list(&answer, "shards")
                .iter()
                .filter(|shard| shard.get("error").is_some_and(Value::is_string))
                .cloned(),
        );
        cursor = answer.get("cursor").cloned().unwrap_or(Value::Null);
        if cursor.is_null() {
            let [entries, carries, objects, bytes] = sums;
            return Ok(json!({
                "before": before, "dry_run": dry_run, "entries": entries, "carries": carries, "objects": objects, "bytes": bytes,
                "failed": failed,
            }));
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
    let failed = list(sum, "failed");
    if json {
        output::json(sum);
    } else {
        say(format!("{}.", summary(sum)));
        if !dry_run {
            let objects = count(number(sum, "objects"), "object");
            note(format!(
                "One by one they are in the archive: {objects} with {} bytes.",
                number(sum, "bytes")
            ));
        }
    }
    for shard in failed {
        note(format!(
            "{} does not answer: {}. Run it again later.",
            text(shard, "shard"),
            text(shard, "error")
        ));
    }
    Ok(if failed.is_empty() { Code::Done } else { Code::PartlyDone })
}
