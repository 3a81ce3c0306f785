//! One file for each command.

pub mod completions;
pub mod count;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod extend;
pub mod import;
pub mod ledger;
pub mod list;
pub mod restore;
pub mod shards;
pub mod sweep;
pub mod sweeps;
pub mod token;

use serde_json::Value;

use crate::args::Page;
use crate::output::{self, note};

/// Adds a page's parameters to a query.
fn page_query<'a>(query: &mut Vec<(&'a str, &'a str)>, limit: &'a str, page: &'a Page) {
    query.push(("limit", limit));
    query.extend(page.cursor.as_deref().map(|cursor| ("cursor", cursor)));
}

/// Says how to get the next page, if there is one.
fn next_page(answer: &Value) {
    if let Some(cursor) = answer.get("next_cursor").and_then(Value::as_str) {
        note(format!("There are more: --cursor {}", output::one_line(cursor)));
    }
}
