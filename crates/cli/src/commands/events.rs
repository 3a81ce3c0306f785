use serde_json::{Value, json};

use super::list::more;
use crate::api::Api;
use crate::exit::{Code, Failure};
use crate::output::{self, Line, count, minute, number, text};

/// `events`: what has not been delivered to the rest of the app.
pub fn list(api: &Api, due: bool, rows: u32, cursor: Option<&str>, json: bool) -> Result<Code, Failure> {
    let rows = rows.to_string();
    let mut query = vec![("state", if due { "due" } else { "dead" }), ("limit", rows.as_str())];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    let answer = api.get("/api/events", &query)?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    let events = output::list(&answer, "events");
    let destinations = |row: &Value| {
        let names: Vec<_> = output::list(row, "destinations").iter().filter_map(Value::as_str).collect();
        names.join(", ")
    };
    let lines: Vec<_> = events
        .iter()
        .map(|row| Line {
            cells: vec![
                text(row, "id"),
                destinations(row),
                minute(row, "created_at"),
                text(row, "deliveries"),
                minute(row, "due_at"),
            ],
            notes: vec![row.get("last_error").and_then(Value::as_str).unwrap_or_default().to_owned()],
        })
        .collect();
    output::table(&["event", "for", "created (UTC)", "tries", "next (UTC)"], &[3], &lines);
    if events.is_empty() {
        anstream::eprintln!("{}", if due { "Nothing waits." } else { "Nothing was given up." });
    }
    more(&answer);
    Ok(Code::Done)
}

/// `replay`: tries events again that were given up; all of them if no ids are given.
pub fn replay(api: &Api, ids: &[String], json: bool) -> Result<Code, Failure> {
    let body = if ids.is_empty() { json!({}) } else { json!({ "ids": ids }) };
    let answer = api.post("/api/events/replay", &body)?;
    if json {
        output::json(&answer);
    }
    let replayed = number(&answer, "replayed");
    anstream::eprintln!("{} will be tried again.", count(replayed, "event"));
    let asked = ids.len() as u64;
    if replayed < asked {
        anstream::eprintln!("{} of those named had not been given up.", asked.saturating_sub(replayed));
        return Ok(Code::PartlyDone);
    }
    Ok(Code::Done)
}
