use maud::{Markup, html};

use super::done::Done;
use super::layout::{dashboard_layout, minute, more_time_fields, notice, prose, rfc3339, second, tokens};
use super::timeline::timeline;
use crate::rules::Age;
use crate::store::GivenRow;
use crate::worker::draft::DraftView;
use crate::worker::explanation::Explanation;

/// All about one creation, with what an operator may do there. `user_id` is the owner, where the page was asked for theirs; its forms carry
/// that and `csrf`. `done` is what has just been done.
pub fn creation_page(explanation: &Explanation, user_id: Option<&str>, csrf: &str, done: &Done) -> String {
    let draft = &explanation.creation;
    let all = serde_json::to_string_pretty(explanation).unwrap_or_default();
    let body = html! {
        a .skip href="#actions" { "Skip to what you may do" }
        header .bar { h1 { "Creation " (draft.id) } a href="/dashboard/creations" { "All creations" } a href="/dashboard" { "Back to the dashboard" } }
        main .dashboard {
            (notice(done))
            section .panel {
                @if let Some(row) = &explanation.set_aside {
                    p .error { "The database rejects its failure: " (prose(&row.reason)) ". A sweep tries again after " (minute(row.until)) " UTC." }
                }
                @for given in explanation.extensions.iter().filter(|given| holds(given, draft)) { p .note { (prose(&more_time(given))) } }
                p .prompt dir="auto" { (draft.prompt) }
                (facts(explanation))
            }
            (actions(explanation, user_id, csrf))
            (happened(explanation))
            section .panel {
                details { summary { "All of it: ledger, attempts, sweeps, events" } pre tabindex="0" { (all) } }
            }
        }
    };
    dashboard_layout("Creation", false, &body)
}

fn facts(explanation: &Explanation) -> Markup {
    let draft = &explanation.creation;
    let dash = || String::from("–");
    let time = |millis: Option<u64>| millis.map_or_else(dash, minute);
    let finished_at = draft.finished_at.and_then(|millis| u64::try_from(millis).ok());
    let (charged, refunded) = explanation.money();
    // That result may be of an attempt before the one which started last.
    let restored = draft.restored_at.is_some() && draft.stored_status != "failed";
    let active = matches!(draft.stored_status.as_str(), "pending" | "processing");
    let used = if active { dash() } else { tokens(charged.saturating_sub(refunded)) };
    let facts = [
        ("Owner", explanation.user_id.clone()),
        ("Kind", draft.kind.clone()),
        ("Status", draft.stored_status.clone()),
        ("Verdict", format!("{} {}", draft.verdict, draft.badge)),
        ("Error", draft.error.clone().unwrap_or_else(dash)),
        ("Attempt", attempt(draft.attempt, explanation.max_attempts)),
        ("Limit", draft.max_age_ms.map_or_else(dash, |millis| format!("{:#}", Age(millis)))),
        ("Rule", explanation.rule.clone().unwrap_or_else(dash)),
        ("Deadline (UTC)", time(draft.deadline)),
        // Of one that is over it says nothing any more: the timeline has it.
        ("More time (UTC)", time(draft.extended_until.filter(|_| active))),
        ("Created (UTC)", time(draft.created_at)),
        ("Started (UTC)", time(draft.started_at)),
        ("Worker", explanation.worker.clone().unwrap_or_else(dash)),
        ("Heartbeat (UTC)", time(draft.heartbeat_at)),
        (if restored { "Result came in (UTC)" } else { "Finished (UTC)" }, time(finished_at)),
        ("Charged", tokens(charged)),
        ("Refunded", tokens(refunded)),
        ("Used", used),
    ];
    html! { dl .facts { @for (name, value) in &facts { div { dt { (name) } dd { (value) } } } } }
}

/// Which attempt, of how many that sweeps begin: after more by hand that number says nothing.
fn attempt(attempt: u32, max: u32) -> String {
    if attempt > max { attempt.to_string() } else { format!("{attempt} of {max}") }
}

/// What happened to it, the first first.
fn happened(explanation: &Explanation) -> Markup {
    html! {
        section .panel {
            h2 { "Timeline" }
            ol .timeline {
                @for (at, what) in timeline(explanation) {
                    li { (moment(at)) " " span dir="auto" { (prose(&what)) } }
                }
            }
            p .muted { "Times are in UTC. An event that was delivered leaves no line." }
        }
    }
}

fn moment(millis: i64) -> Markup {
    let millis = u64::try_from(millis).unwrap_or_default();
    html! { time datetime=(rfc3339(millis)) { (second(millis)) } }
}

/// A form about this creation. `attempt` goes with it, so that it is about what the page shows.
fn about(action: &str, user_id: Option<&str>, csrf: &str, draft: &DraftView, fields: &Markup) -> Markup {
    html! {
        form .find method="post" action={ "/dashboard/" (action) } {
            input type="hidden" name="csrf" value=(csrf);
            input type="hidden" name="id" value=(draft.id);
            @if let Some(user_id) = user_id { input type="hidden" name="user_id" value=(user_id); }
            input type="hidden" name="attempt" value=(draft.attempt);
            (fields)
        }
    }
}

/// What an operator may do with it as it is.
fn actions(explanation: &Explanation, user_id: Option<&str>, csrf: &str) -> Markup {
    let draft = &explanation.creation;
    let active = ["pending", "processing"].contains(&draft.stored_status.as_str());
    let button = |word: &str| html! { button .button type="submit" { (word) } };
    let form = |action: &str, fields: &Markup| about(action, user_id, csrf, draft, fields);
    html! {
        section .panel aria-labelledby="actions" {
            h2 #actions { "What you may do" }
            @if draft.can_restore {
                h3 { "Restore the late result" }
                p .muted { "Its owner is charged " (tokens(draft.refunded_tokens)) " again, and has the result as a draft." }
                (form("restore", &button("Restore")))
            }
            @if draft.can_retry {
                h3 { "Retry" }
                p .muted { "Another attempt begins, and its owner is charged " (tokens(draft.tokens)) " again." }
                (form("retry", &button(&format!("Retry for {}", tokens(draft.tokens)))))
            }
            @if active {
                h3 { "Give it more time" }
                p .muted { "No sweep fails it before that. A later end that it has stays." }
                (form("extend", &more_time_fields()))
            }
            @if draft.can_cancel {
                h3 { "Cancel" }
                p .muted { "Its owner reads that it was cancelled, and gets " (tokens(draft.refund_if_cancelled)) " back." }
                (form("cancel", &button("Cancel it")))
            }
            @if draft.can_fail {
                h3 { "Fail it now" }
                p .muted { "Its owner reads what you say here, and gets " (tokens(draft.tokens)) " back." }
                (form("fail", &html! {
                    label .wide { span { "Words for its owner" } input type="text" name="error" required maxlength="1000" autocomplete="off"; }
                    (button("Fail it now"))
                }))
            }
            h3 { "Note" }
            (form("note", &html! {
                label .wide { span { "What others should know" } textarea name="text" required maxlength="2000" rows="2" {} }
                (button("Add the note"))
            }))
        }
    }
}

/// Whether that is the time which it has: not that of an attempt before, or one that was ended.
fn holds(given: &GivenRow, draft: &DraftView) -> bool {
    matches!(draft.stored_status.as_str(), "pending" | "processing")
        && u64::try_from(given.until).ok() == draft.extended_until
}

/// Who has given more time, until when, and why.
fn more_time(given: &GivenRow) -> String {
    let instant = |millis: i64| minute(u64::try_from(millis).unwrap_or(0));
    let whom = if given.scope == "kind" { format!("its kind `{}`", given.name) } else { String::from("it") };
    let ended = match (given.ended_at, &given.ended_by) {
        (Some(at), Some(by)) => format!("; {by} ended that at {} UTC", instant(at)),
        _ => String::new(),
    };
    let GivenRow { actor, reason, until, since, .. } = given;
    format!(
        "{actor} gave {whom} more time until {} UTC, at {} UTC: {reason}{ended}",
        instant(*until),
        instant(*since)
    )
}
