use maud::{Markup, html};

use super::language::{Language, Parameter};
use super::layout::{layout, rfc3339};
use crate::texts;
use crate::worker::ledger::{EntryView, LedgerView};

/// Where the user's tokens went. Complete without JavaScript.
pub fn ledger_page(view: &LedgerView, language: &Language, first_page: bool) -> String {
    let say = |text| language.say(text);
    let body = html! {
        a .skip href="#entries" { (say(&texts::SKIP_TO_ENTRIES)) }
        header .bar {
            h1 { (say(&texts::LEDGER)) }
            dl .account {
                div { dt { (say(&texts::SIGNED_IN_AS)) } dd #user dir="auto" { (view.user_id) } }
                div { dt { (say(&texts::BALANCE)) } dd #balance { (language.count(&texts::TOKENS, view.balance)) } }
            }
            a .quiet href="/drafts" { (say(&texts::DRAFTS)) }
        }
        main {
            @if view.swept == Some(false) {
                p .notice role="alert" { (say(&texts::REFUNDS_DELAYED)) }
            }
            @if view.entries.is_empty() && view.next_cursor.is_none() {
                p .empty { (say(if first_page { &texts::NO_ENTRIES } else { &texts::NO_MORE_ENTRIES })) }
            } @else {
                ul #entries .drafts .entries { @for part in view.entries.chunk_by(is_of_one) { (of_one(part, language)) } }
            }
            @if let Some(archived) = &view.archived { p .notice #archived { (archived.said(language)) } }
            nav .pages aria-label=(say(&texts::PAGES)) {
                @if !first_page { a href="/drafts/tokens" { (say(&texts::NEWEST)) } }
                @if let Some(cursor) = &view.next_cursor {
                    a rel="next" href={ "/drafts/tokens?cursor=" (cursor) } { (say(&texts::OLDER)) }
                }
            }
        }
    };
    layout(language, &say(&texts::LEDGER), false, &body)
}

/// Whether both are of one creation.
fn is_of_one(entry: &EntryView, next: &EntryView) -> bool {
    entry.creation_id.is_some() && entry.creation_id == next.creation_id
}

/// The entries of a creation, with what it was and what they come to; or one that is of none.
fn of_one(entries: &[EntryView], language: &Language) -> Markup {
    let sum = entries.iter().fold(0_i64, |sum, entry| sum.saturating_add(entry.tokens));
    let in_all = if sum < 0 { &texts::IN_ALL_PAID } else { &texts::IN_ALL };
    html! {
        li .of-one {
            @if let Some((entry, kind)) = entries.first().and_then(|entry| Some((entry, entry.kind.as_ref()?))) {
                p .what dir="auto" {
                    span .kind { (kind) } " "
                    @if entry.deleted { (language.say(&texts::DELETED)) } @else { (entry.prompt.as_deref().unwrap_or_default()) }
                }
            }
            ul { @for entry in entries { (line(entry, language)) } }
            @if entries.len() > 1 {
                p .in-all { (language.count(in_all, sum.unsigned_abs())) }
            }
        }
    }
}

fn line(entry: &EntryView, language: &Language) -> Markup {
    let amount = if entry.tokens < 0 { &texts::PAID } else { &texts::GAINED };
    let at = u64::try_from(entry.created_at).unwrap_or(0);
    html! {
        li .entry data-type=(entry.kind_of_entry) {
            p .amount { strong { (language.count(amount, entry.tokens.unsigned_abs())) } }
            div {
                p .why dir="auto" { (language.movement(entry)) }
                // By what the app calls the purchase, for whoever asks about it.
                @if let Some(key) = entry.purchase() { p .purchase dir="auto" { small { (key) } } }
            }
            time .age datetime=(rfc3339(at)) { (language.say_with(&texts::AT, &[("time", Parameter::Instant(at))])) }
        }
    }
}
