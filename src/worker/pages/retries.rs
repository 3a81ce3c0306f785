use maud::{Markup, html};

use super::layout::{
    count, creation_link, dashboard_layout, found_address, minute, missing, prose, rfc3339, tokens,
};
use super::tables::{Column, cell, figure, id, name, table, words};
use crate::rules::Timestamp;
use crate::store::Sought;
use crate::worker::retries::{PlannedView, RetryOutcome, RetryPreview, SkippedView};

/// What the pages of many retries carry from one to the next.
#[derive(Clone, Copy, Debug)]
pub struct RetriesView<'a> {
    /// What the forms carry.
    pub csrf: &'a str,
    /// What was sought on the explorer, as its address says it: untrusted text.
    pub sought: &'a str,
    /// Which failed creations are meant, if all that match are, and not only those that were chosen.
    pub filter: Option<Sought<'a>>,
}

impl RetriesView<'_> {
    fn hidden(&self) -> Markup {
        html! {
            input type="hidden" name="csrf" value=(self.csrf);
            input type="hidden" name="sought" value=(self.sought);
        }
    }
}

/// What would be retried, with the plan to apply. Nothing has been changed.
pub fn retries_preview_page(preview: &RetryPreview, view: RetriesView<'_>) -> String {
    let RetryPreview {
        retries,
        charged_tokens,
        owners,
        plan,
        short,
        skipped,
        next_cursor,
        looked_back_to,
        ..
    } = preview;
    let uncovered = plan.len().saturating_sub(*retries);
    let body = html! {
        header .bar { h1 { "What would be retried" } a href=(found_address(view.sought)) { "Back to the creations" } }
        main .dashboard {
            @for one in &preview.unreachable { (missing(&one.shard, &one.error)) }
            section .panel {
                (filter(view.filter.as_ref()))
                p {
                    strong { (number(*retries)) " would be retried" } ", and " strong { (tokens(*charged_tokens)) } " charged to "
                    (of(*owners, "owner", "owners")) ". "
                    @if uncovered > 0 { strong { (number(uncovered)) } " can't be paid. " }
                    @if !skipped.is_empty() { strong { (number(skipped.len())) } " can't be retried. " }
                    "Nothing has been changed."
                }
                @if view.filter.is_some() { p .muted { "What its owner has deleted is left out." } }
                @if plan.is_empty() { p .muted { "There is nothing to retry." } }
                @else if *retries == 0 { p .muted { "No balance covers any of these, so there is nothing to confirm." } }
                @else { (apply(plan, next_cursor.as_deref(), view)) }
                @if let Some(cursor) = next_cursor { (further(cursor, *looked_back_to, view)) }
            }
            @if !short.is_empty() {
                section .panel {
                    h2 { "Whose balance does not cover all of theirs" }
                    (table("Owners who can't pay all", &SHORT, short.iter().map(|owner| vec![
                        cell(&owner.user_id),
                        cell(count(owner.balance)),
                        cell(count(owner.tokens)),
                        cell(number(owner.creations)),
                        cell(number(owner.covered)),
                    ])))
                }
            }
            (left("What can't be retried", skipped))
            @if !plan.is_empty() { (planned(plan)) }
        }
    };
    dashboard_layout("What would be retried", false, &body)
}

const SHORT: [Column<'_>; 5] = [
    id("Owner"),
    figure("Balance"),
    figure("All would cost"),
    figure("Creations"),
    figure("Would be retried"),
];

/// What was sought, so that who has lost a filter on the way sees it.
fn filter(filter: Option<&Sought<'_>>) -> Markup {
    let Some(Sought { user_id, kind, error_code, rule, since, until, failed_since, failed_until, .. }) =
        filter
    else {
        return html! { p { "Of what failed: those that were chosen." } };
    };
    let words = [("error code", error_code), ("kind", kind), ("owner", user_id), ("rule", rule)];
    let times = [
        ("failed since", failed_since),
        ("failed before", failed_until),
        ("created since", since),
        ("created before", until),
    ];
    let words = words.into_iter().filter_map(|(name, value)| value.map(|value| (name, value.to_owned())));
    let times =
        times.into_iter().filter_map(|(name, at)| at.map(|at| (name, rfc3339(Timestamp::as_millis(at)))));
    html! {
        p { "Of what failed: all with " @for (at, (name, value)) in words.chain(times).enumerate() {
            @if at > 0 { ", " } (name) " " code { (value) }
        } "." }
    }
}

/// Applies exactly what the page shows; `beyond` is where a preview of the next ones begins.
fn apply(plan: &[PlannedView], beyond: Option<&str>, view: RetriesView<'_>) -> Markup {
    let plan: Vec<_> = plan
        .iter()
        .map(|one| serde_json::json!({ "id": one.id, "attempt": one.attempt, "user_id": one.user_id }))
        .collect();
    html! {
        form .find method="post" action="/dashboard/retries" {
            (view.hidden())
            input type="hidden" name="plan" value=(serde_json::Value::from(plan));
            @if let Some(cursor) = beyond { input type="hidden" name="cursor" value=(cursor); }
            label .wide { span { "Why (optional; the audit keeps it)" } input type="text" name="reason" maxlength="1000" autocomplete="off"; }
            button .button type="submit" { "Retry exactly these" }
        }
    }
}

/// The way to what is there beyond.
fn further(cursor: &str, looked_back_to: Option<i64>, view: RetriesView<'_>) -> Markup {
    let back_to = looked_back_to.and_then(|millis| u64::try_from(millis).ok());
    html! {
        form method="post" action="/dashboard/retries/preview" {
            (view.hidden())
            input type="hidden" name="cursor" value=(cursor);
            p .muted {
                "More may match than these"
                @if let Some(back_to) = back_to { ", made before " (minute(back_to)) " UTC" }
                ". "
            }
            button .button type="submit" name="which" value="all" { "Preview the next ones" }
        }
    }
}

fn planned(plan: &[PlannedView]) -> Markup {
    let late = plan.iter().any(|one| one.late_at.is_some());
    let mut columns = vec![
        id("Creation"),
        figure("Tokens"),
        name("Can be paid"),
        id("Error code"),
        name("Failed (UTC)"),
        id("Owner"),
        name("Kind"),
        figure("Attempt"),
    ];
    columns.extend(late.then_some(name("Late result")));
    let row = |one: &PlannedView| {
        vec![
            creation_link(&one.id),
            cell(count(one.tokens)),
            html! { @if one.is_covered { "yes" } @else { strong { "no" } } },
            cell(one.error_code.as_deref().unwrap_or("–")),
            cell(one.finished_at.map_or_else(|| String::from("–"), minute)),
            cell(&one.user_id),
            cell(&one.kind),
            cell(one.attempt.to_string()),
            cell(if one.late_at.is_some() { "could be restored instead" } else { "–" }),
        ]
    };
    html! {
        section .panel {
            h2 { "The plan, in the order in which they failed" }
            (table("The plan", &columns, plan.iter().map(row)))
        }
    }
}

/// What was left as it is, each with the reason.
fn left(title: &str, skipped: &[SkippedView]) -> Markup {
    let row = |one: &SkippedView| {
        vec![
            creation_link(&one.id),
            html! { (prose(&one.message)) " " code { (one.reason) } },
            cell(one.user_id.as_deref().unwrap_or("–")),
            cell(one.attempt.to_string()),
        ]
    };
    html! {
        @if !skipped.is_empty() {
            section .panel {
                h2 { (title) }
                (table(title, &[id("Creation"), words("Why"), id("Owner"), figure("Attempt")], skipped.iter().map(row)))
            }
        }
    }
}

/// What came of a plan; `beyond` is where a preview of the next ones begins, if the plan had not all that match.
pub fn retries_page(outcome: &RetryOutcome, beyond: Option<&str>, view: RetriesView<'_>) -> String {
    let RetryOutcome { retried, charged_tokens, skipped, .. } = outcome;
    let body = html! {
        header .bar { h1 { "Retried" } a href=(found_address(view.sought)) { "Back to the creations" } a href="/dashboard" { "Dashboard" } }
        main .dashboard {
            p .notice role="status" tabindex="-1" autofocus {
                "Done: " (of(retried.len(), "creation was retried", "creations were retried")) ", for " (tokens(*charged_tokens)) ". "
                @if skipped.is_empty() { "None of this plan was left." }
                @else { (of(skipped.len(), "was left as it is, and is", "were left as they are, and are")) " named below." }
            }
            @if let Some(cursor) = beyond { section .panel { (further(cursor, None, view)) } }
            (left("Left as they are", skipped))
            @if !retried.is_empty() {
                section .panel {
                    h2 { "Retried" }
                    (table("Retried", &RETRIED, retried.iter().map(|one| vec![
                        creation_link(&one.id),
                        cell(&one.user_id),
                        cell(&one.kind),
                        cell(one.attempt.to_string()),
                        cell(count(one.charged_tokens)),
                    ])))
                }
            }
        }
    };
    dashboard_layout("Retried", false, &body)
}

const RETRIED: [Column<'_>; 5] =
    [id("Creation"), id("Owner"), name("Kind"), figure("New attempt"), figure("Charged")];

fn number(number: usize) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}

/// `1 owner`, `1,000 owners`
fn of(times: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(times), if times == 1 { one } else { many })
}
