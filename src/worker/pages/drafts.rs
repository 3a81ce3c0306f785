use maud::{Markup, html};

use super::language::{Language, Parameter};
use super::layout::{layout, prose, rfc3339, tokens};
use crate::rules::Unreadable;
use crate::texts;
use crate::worker::draft::{DraftView, DraftsView};

/// The drafts list as a page. Complete without JavaScript.
pub fn drafts_page(
    view: &DraftsView,
    language: &Language,
    policy: &str,
    first_page: bool,
    demo: bool,
) -> String {
    let say = |text| language.say(text);
    let body = html! {
        a .skip href="#drafts" { (say(&texts::SKIP)) }
        header .bar {
            h1 { (say(&texts::DRAFTS)) }
            dl .account {
                div { dt { (say(&texts::SIGNED_IN_AS)) } dd #user dir="auto" { (view.user_id) } }
                div { dt { (say(&texts::BALANCE)) } dd #balance { (language.count(&texts::TOKENS, view.balance)) } }
            }
            a .quiet href="/drafts/tokens" { (say(&texts::TOKENS_LINK)) }
            @if demo { a .quiet href="/demo" { "Switch user" } }
        }
        p #news .unseen role="status" {}
        main data-now=(view.now) data-policy=(policy) data-texts=[language.script()] {
            @if !view.swept {
                p .notice role="alert" { (say(&texts::REFUNDS_DELAYED)) }
            } @else if view.marked_as_failed > 0 {
                p .notice role="status" { (language.count(&texts::TIMED_OUT, view.marked_as_failed as u64)) }
            }
            @if view.drafts.is_empty() {
                p .empty { (say(if first_page { &texts::NO_DRAFTS } else { &texts::NO_MORE_DRAFTS })) }
            } @else {
                ul #drafts .drafts { @for draft in &view.drafts { (card(draft, language)) } }
            }
            @if let Some(archived) = &view.archived { p .notice #archived { (archived.said(language)) } }
            nav .pages aria-label=(say(&texts::PAGES)) {
                @if !first_page { a href="/drafts" { (say(&texts::NEWEST)) } }
                @if let Some(cursor) = &view.next_cursor {
                    a rel="next" href={ "/drafts?cursor=" (cursor) } { (say(&texts::OLDER)) }
                }
            }
        }
    };
    layout(language, &say(&texts::DRAFTS), true, &body)
}

fn card(draft: &DraftView, language: &Language) -> Markup {
    let look = match draft.verdict {
        "unreadable" => "unreadable",
        _ => draft.status.as_str(),
    };
    let refund_on_its_way = || language.count(&texts::REFUND_ON_ITS_WAY, draft.tokens);
    // What the card says once its draft has turned while the page is open.
    let refund = (may_turn(draft) && draft.tokens > 0).then(refund_on_its_way);
    html! {
        li .card data-id=(draft.id) data-status=(look) data-attempt=(draft.attempt) data-refund=[refund] {
            div .top {
                (badge(draft, look, language))
                span .kind { (draft.kind) }
                @if let (Some(created_at), Some(age)) = (draft.created_at, draft.age()) {
                    time .age datetime=(rfc3339(created_at)) { (language.ago(age)) }
                }
            }
            p .prompt dir="auto" { (draft.prompt) }
            @if let Some(error) = language.error(draft).filter(|_| look != "pending") {
                p .error dir="auto" { @if look == "unreadable" { (prose(&error)) } @else { (error) } }
            }
            @if let Some(note) = note(draft, language) { p .note { (note) } }
            @if let Some(used) = draft.used_in_part() {
                @let parameters = [("count", Parameter::Number(used)), ("tokens", Parameter::Number(draft.tokens))];
                p .note { (language.say_with(&texts::USED_IN_PART, &parameters)) }
            }
            @if let Some(percent) = draft.progress.filter(|_| draft.status == "processing") {
                progress .progress max="100" value=(percent) aria-label=(language.say(&texts::PROGRESS)) { (percent) " %" }
            }
            @if let Some(url) = draft.link() {
                p .result { a href=(url) rel="noopener noreferrer" { (language.say(&texts::OPEN_RESULT)) } }
            }
            p .tokens {
                @if draft.refunded_tokens > 0 { (language.count(&texts::REFUNDED, draft.refunded_tokens)) }
                @else if draft.verdict == "stale" && draft.status == "failed" && draft.tokens > 0 { (refund_on_its_way()) }
                @else if draft.tokens > 0 { (language.count(&texts::TOKENS, draft.tokens)) }
                @else { (language.say(&texts::FREE)) }
            }
            @if draft.can_retry || draft.can_cancel { (buttons(draft, language)) }
        }
    }
}

/// What its owner may do. Each form names the attempt that it is about: sent twice, it does nothing twice.
fn buttons(draft: &DraftView, language: &Language) -> Markup {
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
                        @if draft.tokens > 0 { (language.count(&texts::RETRY, draft.tokens)) }
                        @else { (language.say(&texts::TRY_AGAIN)) }
                    }
                }
            }
            @if draft.can_cancel {
                form method="post" action="/drafts/cancel" {
                    (about)
                    button .button .quiet {
                        @if draft.refund_if_cancelled < draft.tokens { (language.say(&texts::CANCEL_WITHOUT_REFUND)) }
                        @else { (language.say(&texts::CANCEL)) }
                    }
                }
            }
        }
    }
}

/// What its owner has to know of an attempt before, or of a result that came too late.
fn note(draft: &DraftView, language: &Language) -> Option<String> {
    if draft.restored_at.is_some() {
        return Some(language.say(&texts::RESTORED));
    }
    match (draft.status.as_str(), draft.attempt) {
        ("failed", _) if draft.late_at.is_some() => Some(language.say(&texts::KEPT)),
        ("pending", _) if draft.verdict == "stale" => Some(language.say(&texts::TRIED_AGAIN)),
        ("pending" | "processing", attempt) if attempt > 1 => {
            let attempt = Parameter::Number(attempt.into());
            Some(language.say_with(&texts::ATTEMPT, &[("attempt", attempt)]))
        }
        ("pending" | "processing", _) if draft.is_put_off() => {
            let time = Parameter::Instant(draft.extended_until?);
            Some(language.say_with(&texts::PUT_OFF, &[("time", time)]))
        }
        _ => None,
    }
}

/// Whether its badge may change while the page is open. A draft whose times are ahead becomes readable by itself.
fn may_turn(draft: &DraftView) -> bool {
    draft.verdict == "fresh" || draft.error_code.as_deref() == Some(Unreadable::IN_FUTURE)
}

/// The badge; one that may change while the page is open is the package's element, which does it.
fn badge(draft: &DraftView, look: &str, language: &Language) -> Markup {
    let (sign, _) = draft.badge.split_once(' ').unwrap_or(("", draft.badge));
    let words = html! { span aria-hidden="true" { (sign) } " " (language.badge(draft)) };
    if !may_turn(draft) {
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
    layout(&Language::english(), "Demo", false, &body)
}
