use maud::html;

use super::layout::{count, creation_link, dashboard_layout, form, prose, rfc3339};
use super::tables::{cell, figure, id, name, table};
use crate::rules::Age;
use crate::service::holds::LeftOut;
use crate::worker::sweep_json::{CreationJson, SweepJson};

/// What a sweep would do, with the plan to apply.
pub fn preview_page(plan: &SweepJson<'_>, csrf: &str) -> String {
    let columns = [
        id("Creation"),
        id("Owner"),
        name("Kind"),
        name("Status"),
        figure("Age"),
        name("Limit"),
        figure("Tokens"),
        name("Action"),
    ];
    let row = |row: &CreationJson<'_>| {
        vec![
            creation_link(row.id),
            cell(row.user_id),
            cell(row.kind),
            cell(row.stuck_status),
            cell(format!("{:#}", Age(row.age_ms))),
            cell(&row.rule),
            cell(count(row.tokens)),
            cell(row.action),
        ]
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
                    p .error { code { (shard) } " was not reached, and the plan is without it: " (prose(error)) "." }
                }
                @for left in &plan.left_out { p .error { (left_out(left)) "." } }
                @if let Some(suspended) = &plan.suspended { p .error { (prose(suspended)) "." } }
                @if plan.creations.is_empty() { p .muted { @if plan.left_out.is_empty() { "Nothing is stale." } @else { "Nothing else is stale." } } }
                @else {
                    (form("apply", "Apply exactly this", csrf, Some(&sent)))
                    (table("What would be done", &columns, plan.creations.iter().map(row)))
                }
            }
        }
    };
    dashboard_layout("Preview", false, &body)
}

/// On whom the sweep does not decide.
fn left_out(LeftOut { users, until, .. }: &LeftOut) -> String {
    let users = if *users == 1 { "1 user is" } else { &format!("{users} users are") };
    match until {
        Some(until) => format!("{users} left out until {} because of a move", rfc3339(*until)),
        None => format!("{users} left out because of a move that is under way"),
    }
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
