use maud::{Markup, html};

use super::layout::{dashboard_layout, minute, rfc3339, tokens};
use crate::rules::Age;
use crate::store::{Act, AttemptRow, GivenRow, LedgerRow};
use crate::worker::explanation::Explanation;

/// All about one creation, with what an operator may do there. `csrf` is what its forms carry; `notice` is what has just been done.
pub fn creation_page(explanation: &Explanation, csrf: &str, notice: &str) -> String {
    let draft = &explanation.creation;
    let all = serde_json::to_string_pretty(explanation).unwrap_or_default();
    let body = html! {
        header .bar { h1 { "Creation " (draft.id) } a href="/dashboard/creations" { "All creations" } a href="/dashboard" { "Dashboard" } }
        main .dashboard {
            @if !notice.is_empty() { p .notice role="status" { "Done: " (notice) "." } }
            section .panel {
                @if let Some(row) = &explanation.set_aside {
                    p .error { "The database rejects its failure: " (row.reason) ". A sweep tries again after " (minute(row.until)) " UTC." }
                }
                @for given in &explanation.extensions { p .note { (more_time(given)) } }
                p .prompt dir="auto" { (draft.prompt) }
                (facts(explanation))
            }
            (timeline(explanation))
            (notes(explanation, csrf))
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
    let facts = [
        ("Owner", explanation.user_id.clone()),
        ("Kind", draft.kind.clone()),
        ("Status", draft.stored_status.clone()),
        ("Verdict", format!("{} {}", draft.verdict, draft.badge)),
        ("Error", draft.error.clone().unwrap_or_else(dash)),
        ("Attempt", format!("{} of {}", draft.attempt, explanation.max_attempts)),
        ("Limit", draft.max_age_ms.map_or_else(dash, |millis| format!("{:#}", Age(millis)))),
        ("Rule", explanation.rule.clone().unwrap_or_else(dash)),
        ("Deadline (UTC)", time(draft.deadline)),
        ("More time (UTC)", time(draft.extended_until)),
        ("Created (UTC)", time(draft.created_at)),
        ("Started (UTC)", time(draft.started_at)),
        ("Heartbeat (UTC)", time(draft.heartbeat_at)),
        ("Finished (UTC)", time(finished_at)),
        ("Charged", tokens(draft.tokens)),
        ("Refunded", tokens(draft.refunded_tokens)),
    ];
    html! { dl .facts { @for (name, value) in &facts { div { dt { (name) } dd { (value) } } } } }
}

/// What happened to it, the first first.
fn timeline(explanation: &Explanation) -> Markup {
    let mut events: Vec<(i64, String)> = Vec::new();
    let draft = &explanation.creation;
    let mut add = |at: Option<i64>, what: String| events.extend(at.map(|at| (at, what)));
    let signed = |millis: Option<u64>| millis.and_then(|millis| i64::try_from(millis).ok());
    add(signed(draft.created_at), String::from("Created"));
    for attempt in &explanation.attempts {
        let AttemptRow { attempt, outcome, worker, started_at, heartbeat_at, finished_at, error, .. } =
            attempt;
        let by = worker.as_ref().map(|worker| format!(" by {worker}")).unwrap_or_default();
        add(*started_at, format!("Attempt {attempt} started{by}"));
        add(*heartbeat_at, format!("Last heartbeat of attempt {attempt}"));
        let why = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        add(*finished_at, format!("Attempt {attempt} over, {outcome}{why}"));
    }
    add(signed(draft.queued_at), format!("Queued for attempt {}", draft.attempt));
    add(signed(draft.started_at), format!("Attempt {} started", draft.attempt));
    add(signed(draft.heartbeat_at), format!("Last heartbeat of attempt {}", draft.attempt));
    let ended = match draft.stored_status.as_str() {
        "failed" => match (&draft.error, &explanation.rule) {
            (Some(error), Some(rule)) => format!("Failed by {rule}: {error}"),
            (Some(error), None) => format!("Failed: {error}"),
            (None, _) => String::from("Failed"),
        },
        _ => String::from("Finished"),
    };
    add(draft.finished_at, ended);
    add(draft.late_at, String::from("A result came in too late and was kept"));
    add(draft.restored_at, String::from("The late result was restored"));
    add(draft.deleted_at, String::from("Deleted by its owner"));
    for LedgerRow { kind, tokens: sum, created_at, .. } in &explanation.ledger {
        let words = match kind.as_str() {
            "charge" => "Charged",
            "refund" => "Refunded",
            "restore" => "Charged again",
            other => other,
        };
        add(Some(*created_at), format!("{words}: {}", tokens(sum.unsigned_abs())));
    }
    for Act { at, actor, action, detail, .. } in &explanation.acts {
        let what = if action == "note" { "Noted" } else { action };
        add(i64::try_from(*at).ok(), format!("{what} by {actor}: {detail}"));
    }
    // Stable: what happened in one instant stays in the order of a creation's life.
    events.sort_by_key(|(at, _)| *at);
    html! {
        section .panel {
            h2 { "Timeline" }
            ol .timeline {
                @for (at, what) in &events {
                    li { (moment(*at)) " " span dir="auto" { (what) } }
                }
            }
        }
    }
}

fn moment(millis: i64) -> Markup {
    let text = u64::try_from(millis).map(rfc3339).unwrap_or_default();
    html! { time datetime=(text) { (text.get(..19).unwrap_or_default().replace('T', " ")) } }
}

fn notes(explanation: &Explanation, csrf: &str) -> Markup {
    html! {
        section .panel {
            h2 { "Note" }
            form .find method="post" action="/dashboard/note" {
                input type="hidden" name="csrf" value=(csrf);
                input type="hidden" name="id" value=(explanation.creation.id);
                label { span { "What others should know" } textarea name="text" required maxlength="2000" rows="2" {} }
                button .button type="submit" { "Add the note" }
            }
        }
    }
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
