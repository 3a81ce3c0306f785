use maud::{Markup, html};

use super::layout::{layout, minute, prose, rfc3339, tokens};
use crate::rules::Unreadable;
use crate::worker::draft::{DraftView, DraftsView};

/// The drafts list as a page. Complete without JavaScript.
pub fn drafts_page(view: &DraftsView, policy: &str, first_page: bool, demo: bool) -> String {
    let body = html! {
        a .skip href="#drafts" { "Skip to the drafts" }
        header .bar {
            h1 { "Drafts" }
            dl .account {
                div { dt { "Signed in as" } dd #user { (view.user_id) } }
                div { dt { "Balance" } dd #balance { (tokens(view.balance)) } }
            }
            a .quiet href="/drafts/tokens" { "Where your tokens went" }
            @if demo { a .quiet href="/demo" { "Switch user" } }
        }
        p #news .unseen role="status" {}
        main data-now=(view.now) data-policy=(policy) {
            @if !view.swept {
                p .notice role="alert" {
                    "Refunds are delayed: your balance will be corrected within minutes. You need not do anything."
                }
            } @else if view.marked_as_failed > 0 {
                p .notice role="status" {
                    @if view.marked_as_failed == 1 { "1 draft has timed out. Its tokens are back in your balance." }
                    @else { (view.marked_as_failed) " drafts have timed out. Their tokens are back in your balance." }
                }
            }
            @if view.drafts.is_empty() {
                p .empty {
                    @if first_page { "No drafts yet. What you create appears here." } @else { "No more drafts." }
                }
            } @else {
                ul #drafts .drafts { @for draft in &view.drafts { (card(draft)) } }
            }
            @if let Some(archived) = &view.archived { p .notice #archived { (archived.message) } }
            nav .pages aria-label="Pages" {
                @if !first_page { a href="/drafts" { "← Newest" } }
                @if let Some(cursor) = &view.next_cursor {
                    a rel="next" href={ "/drafts?cursor=" (cursor) } { "Older →" }
                }
            }
        }
    };
    layout("Drafts", true, &body)
}

fn card(draft: &DraftView) -> Markup {
    let look = match draft.verdict {
        "unreadable" => "unreadable",
        _ => draft.status.as_str(),
    };
    html! {
        li .card data-id=(draft.id) data-status=(look) data-attempt=(draft.attempt) data-tokens=(draft.tokens) {
            div .top {
                (badge(draft, look))
                span .kind { (draft.kind) }
                @if let (Some(created_at), Some(age)) = (draft.created_at, draft.age()) {
                    time .age datetime=(rfc3339(created_at)) { (age) }
                }
            }
            p .prompt dir="auto" { (draft.prompt) }
            @if let Some(error) = draft.error.as_ref().filter(|_| look != "pending") {
                p .error { @if look == "unreadable" { (prose(error)) } @else { (error) } }
            }
            @if let Some(note) = note(draft) { p .note { (note) } }
            @if let Some(percent) = draft.progress.filter(|_| draft.status == "processing") {
                progress .progress max="100" value=(percent) aria-label="Progress" { (percent) " %" }
            }
            @if let Some(url) = draft.link() {
                p .result { a href=(url) rel="noopener noreferrer" { "Open the result" } }
            }
            p .tokens {
                @if draft.refunded_tokens > 0 { (tokens(draft.refunded_tokens)) " refunded" }
                @else if draft.verdict == "stale" && draft.status == "failed" && draft.tokens > 0 { "Refund of " (tokens(draft.tokens)) " on its way" }
                @else if draft.tokens > 0 { (tokens(draft.tokens)) }
                @else { "Free" }
            }
            @if draft.can_retry || draft.can_cancel { (buttons(draft)) }
        }
    }
}

/// What its owner may do. Each form names the attempt that it is about: sent twice, it does nothing twice.
fn buttons(draft: &DraftView) -> Markup {
    let about = html! {
        input type="hidden" name="id" value=(draft.id);
        input type="hidden" name="attempt" value=(draft.attempt);
    };
    html! {
        div .actions {
            @if draft.can_retry {
                form method="post" action="/drafts/retry" {
                    (about)
                    button .button .quiet {
                        @if draft.tokens > 0 { "Try again for " (tokens(draft.tokens)) } @else { "Try again" }
                    }
                }
            }
            @if draft.can_cancel {
                form method="post" action="/drafts/cancel" {
                    (about)
                    button .button .quiet {
                        @if draft.refund_if_cancelled < draft.tokens { "Cancel without a refund" } @else { "Cancel" }
                    }
                }
            }
        }
    }
}

/// What its owner has to know of an attempt before, or of a result that came too late.
fn note(draft: &DraftView) -> Option<String> {
    if draft.restored_at.is_some() {
        return Some(String::from(
            "Its result came after the refund. It has been restored, and charged again.",
        ));
    }
    match (draft.status.as_str(), draft.attempt) {
        ("failed", _) if draft.late_at.is_some() => Some(String::from(
            "Its result came in after the refund. It is kept: ask support if you want it, for the same price.",
        )),
        ("pending", _) if draft.verdict == "stale" => {
            Some(String::from("Its worker shows no sign of life: it is tried again."))
        }
        ("pending" | "processing", _) if draft.is_put_off() => {
            let until = draft.extended_until.map(minute).unwrap_or_default();
            Some(format!("It takes longer than usual: it has time until {until} UTC."))
        }
        ("pending" | "processing", attempt) if attempt > 1 => Some(format!("Attempt {attempt}")),
        _ => None,
    }
}

/// The badge; one that may change while the page is open is the package's element, which does it.
fn badge(draft: &DraftView, look: &str) -> Markup {
    let (sign, word) = draft.badge.split_once(' ').unwrap_or(("", draft.badge));
    let words = html! { span aria-hidden="true" { (sign) } " " (word) };
    // A draft whose times are ahead becomes readable by itself.
    let ahead = draft.error_code.as_deref() == Some(Unreadable::IN_FUTURE);
    if draft.verdict != "fresh" && !ahead {
        return html! { span .badge .(look) { (words) } };
    }
    html! {
        stale-badge .badge .(look) status=(draft.status) kind=(draft.kind) attempt=(draft.attempt)
            created-at=[draft.created_at] queued-at=[draft.queued_at] started-at=[draft.started_at]
            heartbeat-at=[draft.heartbeat_at] extended-until=[draft.extended_until] { (words) }
    }
}

/// A user whom the local demo can sign in.
#[derive(Clone, Debug)]
pub struct DemoUser {
    /// The user's id.
    pub user_id: String,
    /// The user's balance, in tokens.
    pub balance: u64,
}

/// The local demo's sign-in.
pub fn demo_page(users: &[DemoUser]) -> String {
    let body = html! {
        main .message {
            h1 { "Sign in as a demo user" }
            p { "This page exists on your machine only." }
            form method="post" action="/demo" {
                @for user in users {
                    button .button type="submit" name="user_id" value=(user.user_id) {
                        (user.user_id) " " small { (tokens(user.balance)) }
                    }
                }
            }
        }
    };
    layout("Demo", false, &body)
}
