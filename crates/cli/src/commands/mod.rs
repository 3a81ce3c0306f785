//! One file for each command.

pub mod cancel;
pub mod compact;
pub mod completions;
pub mod count;
pub mod doctor;
mod each;
pub mod events;
pub mod explain;
pub mod extend;
pub mod fail;
pub mod import;
pub mod ledger;
pub mod list;
pub mod note;
pub mod restore;
pub mod retry;
pub mod search;
pub mod shards;
pub mod sweep;
pub mod sweeps;
pub mod token;

use serde_json::Value;

use crate::args::Page;
use crate::exit::Code;
use crate::output::{self, WARNING, note, styled, text};

/// Adds a page's parameters to a query.
fn page_query<'a>(query: &mut Vec<(&'a str, &'a str)>, limit: &'a str, page: &'a Page) {
    query.push(("limit", limit));
    query.extend(page.cursor.as_deref().map(|cursor| ("cursor", cursor)));
}

/// Says which of several databases an answer is without; whether it is without none.
fn is_complete(answer: &Value) -> bool {
    let unreachable = output::list(answer, "unreachable");
    for shard in unreachable {
        let (label, name) = (styled(WARNING, "incomplete:"), text(shard, "shard"));
        note(format!(
            "{label} {name} does not answer, and what it has is missing here: {}",
            text(shard, "error")
        ));
    }
    unreachable.is_empty()
}

/// The same of a list whose cursor does not go back to what was missing, and how the command ends by that.
fn completeness(answer: &Value) -> Code {
    if is_complete(answer) {
        return Code::Done;
    }
    if answer.get("next_cursor").is_some() {
        note(
            "Once it answers, list from the beginning again: a cursor does not go back to what was missing.",
        );
    }
    Code::Unhealthy
}

/// Says how to get the next page, if there is one.
fn next_page(answer: &Value) {
    if let Some(cursor) = answer.get("next_cursor").and_then(Value::as_str) {
        note(format!("There are more: --cursor {}", output::one_line(cursor)));
    }
}
