use serde_json::Value;

use super::{completeness, next_page, page_query};
use crate::api::Api;
use crate::args::Page;
use crate::exit::{Code, Error};
use crate::output::{self, Line, list, minute, text};

/// `sweeps`: lists sweeps, newest first.
pub fn run(api: &Api, page: &Page, json: bool) -> Result<Code, Error> {
    let limit = page.limit.to_string();
    let mut query = Vec::new();
    page_query(&mut query, &limit, page);
    let answer = api.get("/api/sweeps", &query)?;
    if json {
        output::json(&answer);
        return Ok(completeness(api, &answer));
    }
    table(list(&answer, "sweeps"));
    next_page(&answer);
    Ok(completeness(api, &answer))
}

const HEADS: [&str; 9] = ["started", "by", "seen", "failed", "retry", "raced", "reject", "tokens", "took"];
const NUMBERS: [usize; 7] = [2, 3, 4, 5, 6, 7, 8];

fn line(row: &Value) -> Line {
    let source = text(row, "source");
    let by = match row.get("actor").and_then(Value::as_str) {
        Some(actor) => format!("{source} {}", output::one_line(actor)),
        None => source,
    };
    let plan = row
        .get("plan_id")
        .and_then(Value::as_str)
        .map_or(String::new(), |plan| format!("applied plan {plan}"));
    let error = match (row.get("error").and_then(Value::as_str), row.get("finished_at")) {
        (Some(error), _) => format!("stopped early: {error}"),
        (None, None | Some(Value::Null)) => String::from("still running, or interrupted"),
        _ => String::new(),
    };
    let noted = list(row, "notes").iter();
    let noted: Vec<_> =
        noted.map(|note| format!("{}: {}", text(note, "actor"), text(note, "detail"))).collect();
    let more = if row.get("more") == Some(&Value::Bool(true)) { "stale creations remained" } else { "" };
    let took = row
        .get("duration_ms")
        .and_then(Value::as_u64)
        .map_or(String::from("-"), |millis| format!("{millis} ms"));
    let shard = row.get("shard").and_then(Value::as_str).map_or(String::new(), |shard| format!("on {shard}"));
    Line {
        cells: vec![
            minute(row, "started_at"),
            by,
            text(row, "examined"),
            text(row, "failed"),
            text(row, "retried"),
            text(row, "raced"),
            text(row, "rejected"),
            text(row, "refunded_tokens"),
            took,
        ],
        notes: vec![plan, error, more.to_owned(), shard, text(row, "id"), noted.join(" · ")],
    }
}

/// Prints a table of sweeps.
pub fn table(rows: &[Value]) {
    output::table(&HEADS, &NUMBERS, &rows.iter().map(line).collect::<Vec<_>>());
}
