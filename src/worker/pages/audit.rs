use maud::{Markup, html};

use super::layout::{creation_link, dashboard_layout, minute, missing, second};
use super::tables::{cell, id, name, table, words};
use crate::service::audit::AuditPage;
use crate::store::Audited;

/// All that operators did, the newest first.
pub fn audit_page(page: &AuditPage, first_page: bool) -> String {
    let body = html! {
        header .bar { h1 { "What operators did" } a href="/dashboard" { "Back to the dashboard" } }
        main .dashboard {
            @for one in &page.unreachable { (missing(&one.shard, &one.error)) }
            section .panel {
                @if page.rows.is_empty() { p .muted { (if first_page { "Nothing yet." } else { "No more." }) } }
                @else { (acts(&page.rows)) }
                p {
                    @if !first_page { a href="/dashboard/audit" { "Newest" } " " }
                    @if let Some(cursor) = &page.next { a href={ "/dashboard/audit?cursor=" (cursor) } rel="next" { "Further" } }
                    @else { span .muted { "That is all. What was done to many at once is one line." } }
                }
            }
        }
    };
    dashboard_layout("What operators did", false, &body)
}

/// What operators did, as a table.
pub(super) fn acts(rows: &[Audited]) -> Markup {
    let row = |row: &Audited| {
        let Audited { at, actor, action, subject, .. } = row;
        let (kind, said) = said(row);
        let subject = subject.as_deref().unwrap_or_default();
        let to = html! {
            @if let Some(id) = subject.strip_prefix("creation:") { (creation_link(id)) }
            @else if let Some(id) = subject.strip_prefix("sweep:") { "the sweep " code { (id) } }
            @else if let Some(kind) = kind { "the kind " code { (kind) } }
        };
        vec![cell(second(*at)), cell(actor), cell(done(action)), to, cell(said)]
    };
    let columns = [name("When (UTC)"), name("Who"), name("What"), id("To which"), words("In words")];
    table("What operators did", &columns, rows.iter().map(row))
}

/// An action in words; one that a later version adds, as it is.
fn done(action: &str) -> &str {
    match action {
        "pause" => "paused sweeping",
        "resume" => "resumed sweeping",
        "note" => "noted",
        "retry" => "retried it",
        "retry_many" => "retried many",
        "cancel" => "cancelled it",
        "fail" => "failed it",
        "restore" => "restored its late result",
        "extend" => "gave it more time",
        "extend_kind" => "gave more time",
        "end_extension" => "ended its more time",
        "compact_ledger" => "summed up old entries",
        other => other,
    }
}

/// To which kind it was done, if to one, and in which words: with an instant as people write it.
fn said(Audited { action, detail, .. }: &Audited) -> (Option<&str>, String) {
    match action.as_str() {
        // A pause is of everything.
        "pause" | "resume" => (None, String::new()),
        "end_extension" => (Some(detail), String::new()),
        "extend" => (None, until(detail).map_or_else(|| detail.clone(), |(_, said)| said)),
        "extend_kind" => match until(detail) {
            Some((kind, said)) => (Some(kind), said),
            None => (None, detail.clone()),
        },
        _ => (None, detail.clone()),
    }
}

/// What stands before `until 1700000000000: a reason`, and that in words.
fn until(detail: &str) -> Option<(&str, String)> {
    detail.match_indices("until ").find_map(|(at, word)| {
        let (millis, reason) = detail.get(at.saturating_add(word.len())..)?.split_once(": ")?;
        let end = minute(millis.parse().ok()?);
        Some((detail.get(..at)?.trim_end(), format!("until {end} UTC: {reason}")))
    })
}
