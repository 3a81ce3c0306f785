use serde_json::{Value, json};

use crate::api::Api;
use crate::args::{Buckets, Shards};
use crate::exit::{Code, Error};
use crate::output::{self, Line, age, count, list, note, number, text, time};

/// `shards`, and what moves buckets between them.
pub fn run(api: &Api, command: Option<&Shards>, json: bool) -> Result<Code, Error> {
    match command {
        None => show(api, json),
        Some(Shards::Move(buckets)) => advance(api, buckets, "moved", json),
        Some(Shards::Finish(buckets)) => advance(api, buckets, "done", json),
        Some(Shards::Cancel(buckets)) => advance(api, buckets, "cancelled", json),
    }
}

/// After so many steps in a row that change nothing on either side, the command gives up. A few are normal, while users are looked for.
const UNCHANGED: u32 = 100;

/// Takes a move on until it is where it is to be. Whoever stops it, the same command goes on.
fn advance(api: &Api, buckets: &Buckets, goal: &str, json: bool) -> Result<Code, Error> {
    say_at_ctrl_c(buckets, goal);
    let Buckets { from, to, buckets } = buckets;
    let body = json!({ "source": from, "target": to, "buckets": buckets, "goal": goal });
    let mut state = String::new();
    let (mut before, mut same) = (Value::Null, 0_u32);
    loop {
        let answer = api.post_again("/api/shards/moves", &body)?;
        let sides = json!([answer.get("source"), answer.get("target")]);
        same = if sides == before { same.saturating_add(1) } else { 0 };
        before = sides;
        let source = answer.get("source").unwrap_or(&Value::Null);
        let target = answer.get("target").unwrap_or(&Value::Null);
        let now = format!("{from}: {}; {to}: {}", text(source, "state"), text(target, "state"));
        if now != state {
            note(&now);
            state = now;
        }
        let waits = answer.get("waits_until").is_some_and(Value::is_number);
        if answer.get("done") != Some(&Value::Bool(true)) && !waits {
            if same == UNCHANGED {
                let message = format!("the move does not go on: {state}. See: mark-stale-drafts doctor");
                return Err(Error::new(Code::Failed, message));
            }
            continue;
        }
        if json {
            output::json(&answer);
        }
        if waits {
            // The reports that were refused meanwhile come first.
            let until = time(&answer, "waits_until");
            note(format!("{to} has them. No sweep decides on these users until {until}; cron ends that."));
        } else if goal == "moved" {
            let users = count(number(source, "users"), "user");
            let creations = count(number(source, "creations"), "creation");
            let are = if number(source, "users") == 1 { "is" } else { "are" };
            note(format!(
                "{users} with {creations} {are} in {to}, on hold. Now give the buckets {buckets} to {to} in the configuration, deploy it, and: mark-stale-drafts shards finish --from {from} --to {to} --buckets {buckets}"
            ));
        }
        if answer.get("next").is_some_and(Value::is_string) {
            note(text(&answer, "next"));
        }
        return Ok(Code::Done);
    }
}

/// Whoever stops the command stops no step that the Worker is at. So Ctrl-C says what comes next, at once.
fn say_at_ctrl_c(Buckets { from, to, buckets }: &Buckets, goal: &str) {
    let command =
        |verb: &str| format!("mark-stale-drafts shards {verb} --from {from} --to {to} --buckets {buckets}");
    let next = match goal {
        "moved" => format!("Go on with: {}\nOr undo it: {}", command("move"), command("cancel")),
        "done" => format!("Go on with: {}", command("finish")),
        _ => format!("Go on with: {}", command("cancel")),
    };
    let text = format!(
        "Stopped. The Worker still ends the step that it is at; the users of a move that is not finished can't write.\n{next}"
    );
    // If there can be no handler, it ends without a word, which does no harm.
    let _ = ctrlc::set_handler(move || {
        note(&text);
        std::process::exit(Code::Interrupted as i32);
    });
}

fn show(api: &Api, json: bool) -> Result<Code, Error> {
    let answer = api.get("/api/shards", &[])?;
    let shards = list(&answer, "shards");
    let silent = shards.iter().any(|shard| shard.get("error").is_some_and(Value::is_string));
    if json {
        output::json(&answer);
    } else {
        show_table(shards);
    }
    let placed = super::is_placed(api, super::DIFFERS);
    Ok(if silent || !placed { Code::Unhealthy } else { Code::Done })
}

fn show_table(shards: &[Value]) {
    let lines: Vec<_> = shards.iter().map(line).collect();
    let head = ["shard", "buckets", "size", "of 10 GB", "creations", "active", "last sweep", "took"];
    output::table(&head, &[2, 3, 4, 5, 7], &lines);
    let full: Vec<_> =
        shards.iter().filter(|shard| shard.get("nearly_full") == Some(&Value::Bool(true))).collect();
    if !full.is_empty() {
        let names: Vec<_> = full.iter().map(|shard| text(shard, "shard")).collect();
        note(format!("Nearly full: {}. Split it: docs/scale.md says how.", names.join(", ")));
    }
}

fn line(shard: &Value) -> Line {
    let megabytes = |key: &str| {
        shard
            .get(key)
            .and_then(Value::as_u64)
            .map_or(String::from("-"), |bytes| format!("{} MB", bytes / 1_000_000))
    };
    let percent = text(shard, "used_percent");
    let sweep = shard.get("last_sweep").unwrap_or(&Value::Null);
    let recorded = shard.get("recorded").and_then(Value::as_str);
    let recorded = recorded.filter(|recorded| shard.get("buckets").and_then(Value::as_str) != Some(recorded));
    let mut notes: Vec<_> = recorded.map(on_record).into_iter().collect();
    // Of those that are over, the newest: `--json` has the others.
    let moves = list(shard, "moves").iter().enumerate();
    notes.extend(moves.filter(|(at, row)| *at == 0 || !is_over(row)).map(|(_, row)| moving(row)));
    notes.extend(shard.get("error").and_then(Value::as_str).map(|_| super::no_answer(shard)));
    Line {
        cells: vec![
            text(shard, "shard"),
            text(shard, "buckets"),
            megabytes("bytes"),
            if percent == "-" { percent } else { format!("{percent} %") },
            at_most(shard, "creations"),
            text(shard, "active"),
            time(sweep, "started_at"),
            age(sweep, "duration_ms"),
        ],
        notes,
    }
}

/// A number that is an upper bound.
fn at_most(shard: &Value, key: &str) -> String {
    let number = text(shard, key);
    if matches!(number.as_str(), "-" | "0") { number } else { format!("≤ {number}") }
}

/// What a database has, where the configuration says something else.
fn on_record(buckets: &str) -> String {
    if buckets.is_empty() {
        return String::from("has none of them on record");
    }
    format!("has on record: {buckets}")
}

/// Whether nothing of a move is left to do here.
fn is_over(row: &Value) -> bool {
    matches!(text(row, "state").as_str(), "trimmed" | "settled" | "cancelled")
}

/// A move of buckets, in a line.
fn moving(row: &Value) -> String {
    let direction = if text(row, "role") == "source" { "to" } else { "from" };
    format!(
        "buckets {}-{} {direction} {}: {}, since {}",
        text(row, "first_bucket"),
        text(row, "last_bucket"),
        text(row, "other"),
        text(row, "state"),
        time(row, "changed_at")
    )
}
