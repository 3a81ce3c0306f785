use serde_json::Value;

use super::{next_page, page_query, placed};
use crate::api::Api;
use crate::args::Page;
use crate::exit::{Code, Error};
use crate::output::{self, Line, list, minute, note, number, text};

/// Until when its deadline is put off, by an operator or by a move.
fn put_off(row: &Value) -> String {
    let extended = row.get("extended_until").filter(|until| until.is_u64());
    let counts = extended.is_some() && extended == row.get("deadline") && text(row, "verdict") == "fresh";
    if !counts {
        return String::new();
    }
    let held = row.get("held_until").is_some_and(Value::is_u64);
    let why = if held { ": on hold, because its owner moves to another database" } else { "" };
    format!("has time until {}{why}", minute(row, "extended_until"))
}

/// `list`: lists a user's creations, newest first.
pub fn run(api: &Api, user: &str, status: Option<&str>, page: &Page, json: bool) -> Result<Code, Error> {
    let limit = page.limit.to_string();
    let mut query = vec![("user_id", user)];
    query.extend(status.map(|status| ("status", status)));
    page_query(&mut query, &limit, page);
    let answer = api.get("/api/creations", &query)?;
    if json {
        output::json(&answer);
        return Ok(placed(api, user, list(&answer, "creations")));
    }
    let creations = list(&answer, "creations");
    let lines: Vec<_> = creations
        .iter()
        .map(|row| Line {
            cells: vec![
                text(row, "id"),
                text(row, "kind"),
                text(row, "stored_status"),
                text(row, "verdict"),
                minute(row, "created_at"),
                text(row, "tokens"),
                text(row, "refunded_tokens"),
            ],
            notes: vec![row.get("error").and_then(Value::as_str).map_or_else(|| put_off(row), str::to_owned)],
        })
        .collect();
    output::table(&["id", "kind", "status", "verdict", "created", "tokens", "refunded"], &[5, 6], &lines);
    note(format!(
        "{} of `{user}`, whose balance is {}.",
        output::count(creations.len() as u64, "creation"),
        output::count(number(&answer, "balance"), "token")
    ));
    if let Some(archived) = answer.get("archived").filter(|archived| archived.is_object()) {
        note(text(archived, "message"));
    }
    next_page(&answer);
    Ok(placed(api, user, creations))
}
