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
use stale_drafts::rules;

use crate::api::Api;
use crate::args::Page;
use crate::exit::{Code, Error};
use crate::output::{self, WARNING, note, styled, text, time};

/// Adds a page's parameters to a query.
fn page_query<'a>(query: &mut Vec<(&'a str, &'a str)>, limit: &'a str, page: &'a Page) {
    query.push(("limit", limit));
    query.extend(page.cursor.as_deref().map(|cursor| ("cursor", cursor)));
}

/// What is the matter with one of several databases that an answer has an error of, to be said behind its name.
fn no_answer(shard: &Value) -> String {
    let error = text(shard, "error");
    let (matter, more) = rules::no_answer(&error);
    format!("{matter}: {more}")
}

/// Says what an answer over all databases is without: of those that do not answer, and of users whom another one has than the
/// configuration says. Whether it is without nothing.
fn is_complete(api: &Api, answer: &Value) -> bool {
    let unreachable = output::list(answer, "unreachable");
    for shard in unreachable {
        let (label, name) = (styled(WARNING, "incomplete:"), text(shard, "shard"));
        let error = text(shard, "error");
        let (matter, more) = rules::no_answer(&error);
        note(format!("{label} {name} {matter}, and what it has is missing here: {more}"));
    }
    let complete = is_placed(api, DIFFERS);
    unreachable.is_empty() && complete
}

/// What comes of it where the configuration and the databases differ: users may be missing, or be there twice.
const DIFFERS: &str = "what is shown may not be what there is";

/// Whether each database has the users whom the configuration gives to it; if not, says what comes of that.
fn is_placed(api: &Api, so: &str) -> bool {
    let ready = api.probe("/readyz");
    let buckets = ready.as_ref().and_then(|ready| ready.pointer("/checks/buckets")?.as_str());
    let Some(misplaced) = buckets.filter(|check| *check != "ok") else { return true };
    let label = styled(WARNING, "incomplete:");
    note(format!("{label} {so}: {}. See: mark-stale-drafts doctor", output::one_line(misplaced)));
    false
}

/// Why a creation that is in none of the databases is not there: one that had it may be missing.
fn elsewhere(api: &Api, error: Error) -> Error {
    if error.is_absent && !is_placed(api, "it may be in another database") {
        return Error { code: Code::Unhealthy, ..error };
    }
    error
}

/// Says on whom no sweep decides because of a move; whether there is anybody.
fn note_left_out(answer: &Value) -> bool {
    let left_out = output::list(answer, "left_out");
    for left in left_out {
        let users = output::count(output::number(left, "users"), "user");
        let are = if output::number(left, "users") == 1 { "is" } else { "are" };
        note(match left.get("until").is_some_and(Value::is_number) {
            true => format!("{users} {are} left out until {} because of a move.", time(left, "until")),
            false => {
                format!(
                    "{users} {are} left out because of a move that is under way. See: mark-stale-drafts shards"
                )
            }
        });
    }
    !left_out.is_empty()
}

/// The same of a list whose cursor does not go back to what was missing, and how the command ends by that.
fn completeness(api: &Api, answer: &Value) -> Code {
    if is_complete(api, answer) {
        return Code::Done;
    }
    if !output::list(answer, "unreachable").is_empty() && answer.get("next_cursor").is_some() {
        note(
            "Once it answers, list from the beginning again: a cursor does not go back to what was missing.",
        );
    }
    Code::Unhealthy
}

/// How the command ends where it has shown a user's rows. That there are none may be since another database has them.
fn placed(api: &Api, user: &str, rows: &[Value]) -> Code {
    if !rows.is_empty() || is_placed(api, &format!("what `{user}` has may be in another database")) {
        return Code::Done;
    }
    Code::Unhealthy
}

/// Says how to get the next page, if there is one.
fn next_page(answer: &Value) {
    if let Some(cursor) = answer.get("next_cursor").and_then(Value::as_str) {
        note(format!("There are more: --cursor {}", output::one_line(cursor)));
    }
}
