use serde_json::{Value, json};

use super::{completeness, next_page, page_query};
use crate::api::Api;
use crate::args::Page;
use crate::exit::{Code, Error};
use crate::output::{self, Line, count, minute, note, number, text};

/// `events`: lists dead letters, or the events that are still being tried.
pub fn list(api: &Api, due: bool, page: &Page, json: bool) -> Result<Code, Error> {
    let limit = page.limit.to_string();
    let mut query = vec![("state", if due { "due" } else { "dead" })];
    page_query(&mut query, &limit, page);
    let answer = api.get("/api/events", &query)?;
    if json {
        output::json(&answer);
        return Ok(completeness(api, &answer));
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
    output::table(&["event", "destinations", "created", "tries", "due"], &[3], &lines);
    let whole = completeness(api, &answer);
    if events.is_empty() && whole == Code::Done {
        note(if due { "No events are due." } else { "There are no dead letters." });
    }
    next_page(&answer);
    Ok(whole)
}

/// `replay`: makes dead letters due again; all of them if there are no ids.
pub fn replay(api: &Api, ids: &[String], json: bool) -> Result<Code, Error> {
    let body = if ids.is_empty() { json!({ "all": true }) } else { json!({ "ids": ids }) };
    let answer = api.post("/api/events/replay", &body)?;
    if json {
        output::json(&answer);
    }
    let replayed = number(&answer, "replayed");
    note(format!("{} will be delivered again.", count(replayed, "event")));
    let missing = (ids.len() as u64).saturating_sub(replayed);
    if missing > 0 {
        note(format!("Not among the dead letters: {}.", count(missing, "id")));
        return Ok(if replayed == 0 { Code::InvalidInput } else { Code::PartlyDone });
    }
    Ok(Code::Done)
}
