use serde_json::Value;

use super::{is_complete, next_page, page_query};
use crate::api::Api;
use crate::args::{Filter, Page, Search};
use crate::exit::{Code, Error};
use crate::output::{self, Line, count, list, minute, note, text};
use crate::until::{both_ways, last, last_after, now};

/// The query's parameters that a filter stands for.
pub fn filter_query(filter: &Filter) -> Result<Vec<(&'static str, String)>, Error> {
    let Filter { user, kind, error_code, rule, since, until, failed_since, failed_until } = filter;
    let mut query = Vec::new();
    let words = [("user_id", user), ("kind", kind), ("error_code", error_code), ("rule", rule)];
    query.extend(words.into_iter().filter_map(|(key, word)| Some((key, word.clone()?))));
    let now = now();
    for (begin, end, since, until) in
        [("since", "until", since, until), ("failed_since", "failed_until", failed_since, failed_until)]
    {
        let invalid = |error| Error::new(Code::InvalidInput, error);
        let since = since.as_ref().map(|time| last(time, &now)).transpose().map_err(invalid)?;
        let until = until.as_ref().map(|time| last_after(time, since, &now)).transpose().map_err(invalid)?;
        let times = [(begin, since), (end, until)];
        query.extend(
            times.into_iter().filter_map(|(key, at)| Some((key, at?.timestamp_millis().to_string()))),
        );
    }
    Ok(query)
}

/// Says within which instants creations are sought: a time of day was taken as one.
pub fn note_windows(query: &[(&str, String)]) {
    for (what, begin, end) in [("Made", "since", "until"), ("Failed", "failed_since", "failed_until")] {
        let at = |key: &str| {
            let (_, millis) = query.iter().find(|(name, _)| *name == key)?;
            Some(both_ways(millis.parse().ok()?))
        };
        match (at(begin), at(end)) {
            (Some(begin), Some(end)) => note(format!("{what} from {begin} until {end}.")),
            (Some(begin), None) => note(format!("{what} from {begin} on.")),
            (None, Some(end)) => note(format!("{what} before {end}.")),
            (None, None) => {}
        }
    }
}

/// `search`: lists creations by what they are, over all users.
pub fn run(api: &Api, search: &Search, page: &Page, json: bool) -> Result<Code, Error> {
    let Search { status, silent, filter } = search;
    let own = filter_query(filter)?;
    let limit = page.limit.to_string();
    let mut query: Vec<(&str, &str)> = own.iter().map(|(key, word)| (*key, word.as_str())).collect();
    query.extend(status.as_deref().map(|status| ("status", status)));
    query.extend(silent.then_some(("order", "silent")));
    page_query(&mut query, &limit, page);
    let answer = api.get("/api/search", &query)?;
    let creations = list(&answer, "creations");
    if json {
        output::json(&answer);
    } else {
        table(creations);
        note_windows(&own);
        note(format!("{}.", count(creations.len() as u64, "creation")));
        // Those that are silent are not looked for by age.
        if answer.get("looked_back_to").is_some_and(Value::is_i64)
            && answer.get("next_cursor").is_some_and(Value::is_string)
        {
            note(format!("It has looked back to {}.", minute(&answer, "looked_back_to")));
        }
        next_page(&answer);
    }
    Ok(if is_complete(api, &answer) { Code::Done } else { Code::Unhealthy })
}

/// What can't be retried, since its owner has deleted it.
fn deleted(row: &Value) -> String {
    let is_deleted = row.get("deleted_at").is_some_and(Value::is_number);
    String::from(if is_deleted { "deleted by its owner" } else { "" })
}

fn table(creations: &[Value]) {
    let lines: Vec<_> = creations
        .iter()
        .map(|row| Line {
            cells: vec![
                text(row, "id"),
                text(row, "user_id"),
                text(row, "kind"),
                text(row, "stored_status"),
                text(row, "verdict"),
                minute(row, "created_at"),
                text(row, "error_code"),
                text(row, "tokens"),
                minute(row, "finished_at"),
            ],
            notes: vec![
                row.get("error").and_then(Value::as_str).map_or_else(String::new, str::to_owned),
                deleted(row),
            ],
        })
        .collect();
    output::table(
        &["id", "user", "kind", "status", "verdict", "created", "code", "tokens", "ended"],
        &[7],
        &lines,
    );
}
