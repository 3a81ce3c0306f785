use serde_json::Value;

use super::{next_page, page_query, placed};
use crate::api::Api;
use crate::args::Page;
use crate::exit::{Code, Error};
use crate::output::{self, Line, list, minute, note, number, text};

/// The sentence, and by what the app calls a purchase.
fn why(row: &Value) -> String {
    let key = row.pointer("/message_params/key").and_then(Value::as_str);
    key.map_or_else(|| text(row, "message"), |key| format!("{}: {key}", text(row, "message")))
}

/// `ledger`: shows where a user's tokens went, by creation, the newest first.
pub fn run(api: &Api, user: &str, page: &Page, json: bool) -> Result<Code, Error> {
    let limit = page.limit.to_string();
    let mut query = vec![("user_id", user)];
    page_query(&mut query, &limit, page);
    let answer = api.get("/api/ledger", &query)?;
    if json {
        output::json(&answer);
        return Ok(placed(api, user, list(&answer, "entries")));
    }
    let entries = list(&answer, "entries");
    let lines: Vec<_> = entries
        .iter()
        .map(|row| Line {
            cells: vec![
                minute(row, "created_at"),
                text(row, "tokens"),
                text(row, "kind"),
                text(row, "creation_id"),
                why(row),
            ],
            notes: Vec::new(),
        })
        .collect();
    output::table(&["at", "tokens", "kind", "creation", "why"], &[1], &lines);
    let balance = output::count(number(&answer, "balance"), "token");
    note(format!("The balance of `{user}` is {balance}."));
    if let Some(archived) = answer.get("archived").filter(|archived: &&Value| archived.is_object()) {
        note(text(archived, "message"));
    }
    next_page(&answer);
    Ok(placed(api, user, entries))
}
