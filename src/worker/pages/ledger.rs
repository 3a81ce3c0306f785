use maud::{Markup, html};

use super::language::Language;
use super::layout::{layout, minute, rfc3339, signed_tokens, tokens};
use crate::worker::ledger::{EntryView, LedgerView};

/// Where the user's tokens went. Complete without JavaScript.
pub fn ledger_page(view: &LedgerView, first_page: bool) -> String {
    let body = html! {
        a .skip href="#entries" { "Skip to the entries" }
        header .bar {
            h1 { "Tokens" }
            dl .account {
                div { dt { "Signed in as" } dd #user { (view.user_id) } }
                div { dt { "Balance" } dd #balance { (tokens(view.balance)) } }
            }
            a .quiet href="/drafts" { "Drafts" }
        }
        main {
            @if view.swept == Some(false) {
                p .notice role="alert" {
                    "Refunds are delayed: your balance will be corrected within minutes. You need not do anything."
                }
            }
            @if view.entries.is_empty() && view.next_cursor.is_none() {
                p .empty { @if first_page { "No tokens have come or gone yet." } @else { "No more entries." } }
            } @else {
                ul #entries .drafts .entries { @for entry in &view.entries { (line(entry)) } }
            }
            @if let Some(archived) = &view.archived { p .notice #archived { (archived.message) } }
            nav .pages aria-label="Pages" {
                @if !first_page { a href="/drafts/tokens" { "← Newest" } }
                @if let Some(cursor) = &view.next_cursor {
                    a rel="next" href={ "/drafts/tokens?cursor=" (cursor) } { "Older →" }
                }
            }
        }
    };
    layout(&Language::english(), "Tokens", false, &body)
}

fn line(entry: &EntryView) -> Markup {
    let at = u64::try_from(entry.created_at).unwrap_or(0);
    html! {
        li .entry data-type=(entry.kind_of_entry) {
            p .amount { strong { (signed_tokens(entry.tokens)) } }
            div {
                p .why { (entry.message) }
                @if let Some(kind) = &entry.kind {
                    p .what dir="auto" {
                        span .kind { (kind) } " "
                        @if entry.deleted { "deleted" } @else { (entry.prompt.as_deref().unwrap_or_default()) }
                    }
                }
            }
            time .age datetime=(rfc3339(at)) { (minute(at)) " UTC" }
        }
    }
}
