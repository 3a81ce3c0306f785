use maud::html;

use super::layout::{creation_link, dashboard_layout, form, minute, prose, tokens};
use crate::rules::Age;
use crate::store::GivenRow;
use crate::worker::explanation::Explanation;
use crate::worker::sweep_json::{CreationJson, SweepJson};

/// What a sweep would do, with the plan to apply.
pub fn preview_page(plan: &SweepJson<'_>, csrf: &str) -> String {
    let heads = ["Creation", "Owner", "Kind", "Status", "Age", "Limit", "Tokens", "Action"];
    let row = |row: &CreationJson<'_>| {
        html! { tr {
            th scope="row" { (creation_link(row.id)) } td { (row.user_id) } td { (row.kind) } td { (row.stuck_status) }
            td { (format!("{:#}", Age(row.age_ms))) } td { (row.rule) } td { (row.tokens) } td { (row.action) }
        } }
    };
    let sent = serde_json::to_string(plan).unwrap_or_default();
    let body = html! {
        header .bar { h1 { "What a sweep would do" } a href="/dashboard" { "Back to the dashboard" } }
        main .dashboard {
            section .panel {
                p {
                    strong { (plan.marked_as_failed) } " would be failed and refunded, "
                    strong { (plan.retried) } " would be retried. Nothing has been changed."
                }
                @for (shard, error) in plan.unreached() {
                    p .error { code { (shard) } " was not reached, and the plan is without it: " (error) "." }
                }
                @if let Some(suspended) = &plan.suspended { p .error { (prose(suspended)) "." } }
                @if plan.creations.is_empty() { p .muted { "Nothing is stale." } }
                @else {
                    (form("apply", "Apply exactly this", csrf, Some(&sent)))
                    div .scroll tabindex="0" role="region" aria-label="What would be done" { table {
                        thead { tr { @for head in heads { th scope="col" { (head) } } } }
                        tbody { @for creation in &plan.creations { (row(creation)) } }
                    } }
                }
            }
        }
    };
    dashboard_layout("Preview", false, &body)
}

/// All about one creation.
pub fn explanation_page(explanation: &Explanation) -> String {
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
    let set_aside = explanation.set_aside.iter();
    let all = serde_json::to_string_pretty(explanation).unwrap_or_default();
    let body = html! {
        header .bar { h1 { "Creation " (draft.id) } a href="/dashboard" { "Back to the dashboard" } }
        main .dashboard {
            section .panel {
                @for row in set_aside {
                    p .error { "The database rejects its failure: " (row.reason) ". A sweep tries again after " (minute(row.until)) " UTC." }
                }
                @for given in &explanation.extensions { p .note { (more_time(given)) } }
                p .prompt dir="auto" { (draft.prompt) }
                dl .facts { @for (name, value) in &facts { div { dt { (name) } dd { (value) } } } }
                details { summary { "All of it: ledger, attempts, sweeps, events" } pre tabindex="0" { (all) } }
            }
        }
    };
    dashboard_layout("Creation", false, &body)
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

/// Where an operator signs in, after a wrong token if `wrong`.
pub fn operator_sign_in(demo: bool, wrong: bool) -> String {
    let body = html! {
        main .message {
            h1 { "Operators" }
            @if wrong { p .error role="alert" { "That token is not valid here. The log names the reason." } }
            form method="post" action="/dashboard/sign-in" {
                label { span { "A token with the scope " code { "read" } } input type="password" name="token" autocomplete="off" required; }
                button .button type="submit" { "Sign in" }
            }
            @if demo {
                form method="post" action="/dashboard/sign-in" {
                    button .button type="submit" name="demo" value="1" { "Sign in as this machine's operator" }
                }
            }
        }
    };
    dashboard_layout("Operators", false, &body)
}
