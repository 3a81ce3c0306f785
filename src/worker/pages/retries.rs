use maud::{Markup, html};

use super::layout::{count, creation_link, dashboard_layout, minute, prose, tokens};
use crate::worker::retries::{PlannedView, RetryOutcome, RetryPreview, SkippedView};

/// What the pages of many retries carry from one to the next.
#[derive(Clone, Copy, Debug)]
pub struct RetriesView<'a> {
    /// What the forms carry.
    pub csrf: &'a str,
    /// What was sought on the explorer, as its address says it: untrusted text.
    pub sought: &'a str,
    /// Whether all that match are meant, and not only those that were chosen.
    pub is_all: bool,
}

impl RetriesView<'_> {
    fn back(&self) -> String {
        match self.sought {
            "" => String::from("/dashboard/creations"),
            sought => format!("/dashboard/creations?{sought}"),
        }
    }

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
        header .bar { h1 { "What would be retried" } a href=(view.back()) { "Back to the creations" } }
        main .dashboard {
            @for missing in &preview.unreachable {
                p .incomplete role="alert" { "The database " code { (missing.shard) } " does not answer, so what it has is missing here: " (prose(&missing.error)) "." }
            }
            section .panel {
                p {
                    strong { (number(*retries)) " would be retried" } ", and " strong { (tokens(*charged_tokens)) } " charged to "
                    (of(*owners, "owner", "owners")) ". "
                    @if uncovered > 0 { strong { (number(uncovered)) } " can't be paid. " }
                    @if !skipped.is_empty() { strong { (number(skipped.len())) } " can't be retried. " }
                    "Nothing has been changed."
                }
                @if view.is_all { p .muted { "What its owner has deleted is left out." } }
                @if plan.is_empty() { p .muted { "There is nothing to retry." } }
                @else if *retries == 0 { p .muted { "No balance covers any of these, so there is nothing to confirm." } }
                @else { (apply(plan, view)) }
                @if let Some(cursor) = next_cursor { (further(cursor, *looked_back_to, view)) }
            }
            @if !short.is_empty() {
                section .panel {
                    h2 { "Whose balance does not cover all of theirs" }
                    div .scroll tabindex="0" role="region" aria-label="Owners who can't pay all" { table {
                        thead { tr { @for head in ["Owner", "Balance", "All would cost", "Creations", "Would be retried"] { th scope="col" { (head) } } } }
                        tbody { @for owner in short { tr {
                            th scope="row" { (owner.user_id) } td { (count(owner.balance)) } td { (count(owner.tokens)) }
                            td { (number(owner.creations)) } td { (number(owner.covered)) }
                        } } }
                    } }
                }
            }
            (left("What can't be retried", skipped))
            @if !plan.is_empty() { (planned(plan)) }
        }
    };
    dashboard_layout("What would be retried", false, &body)
}

/// Applies exactly what the page shows.
fn apply(plan: &[PlannedView], view: RetriesView<'_>) -> Markup {
    let plan: Vec<_> = plan
        .iter()
        .map(|one| serde_json::json!({ "id": one.id, "attempt": one.attempt, "user_id": one.user_id }))
        .collect();
    html! {
        form .find method="post" action="/dashboard/retries" {
            (view.hidden())
            input type="hidden" name="plan" value=(serde_json::Value::from(plan));
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
                "There may be more than these"
                @if let Some(back_to) = back_to { ", made before " (minute(back_to)) " UTC" }
                ". "
            }
            button .button type="submit" name="which" value="all" { "Preview the next ones" }
        }
    }
}

fn planned(plan: &[PlannedView]) -> Markup {
    let late = plan.iter().any(|one| one.late_at.is_some());
    let row = |one: &PlannedView| {
        html! { tr {
            th scope="row" { (creation_link(&one.id)) } td { (one.user_id) } td { (one.kind) } td { (one.attempt) }
            td { (one.error_code.as_deref().unwrap_or("–")) } td { (one.finished_at.map_or_else(|| String::from("–"), minute)) }
            td { (count(one.tokens)) } td { @if one.is_covered { "yes" } @else { strong { "no" } } }
            @if late { td { @if one.late_at.is_some() { "could be restored instead" } @else { "–" } } }
        } }
    };
    let heads =
        ["Creation", "Owner", "Kind", "Attempt", "Error code", "Failed (UTC)", "Tokens", "Can be paid"];
    html! {
        section .panel {
            h2 { "The plan, in the order in which they failed" }
            div .scroll tabindex="0" role="region" aria-label="The plan" { table {
                thead { tr { @for head in heads { th scope="col" { (head) } } @if late { th scope="col" { "Late result" } } } }
                tbody { @for one in plan { (row(one)) } }
            } }
        }
    }
}

/// What was left as it is, each with the reason.
fn left(title: &str, skipped: &[SkippedView]) -> Markup {
    html! {
        @if !skipped.is_empty() {
            section .panel {
                h2 { (title) }
                div .scroll tabindex="0" role="region" aria-label=(title) { table {
                    thead { tr { @for head in ["Creation", "Owner", "Attempt", "Why"] { th scope="col" { (head) } } } }
                    tbody { @for one in skipped { tr {
                        th scope="row" { (creation_link(&one.id)) } td { (one.user_id.as_deref().unwrap_or("–")) } td { (one.attempt) }
                        td .words { (prose(&one.message)) " " code { (one.reason) } }
                    } } }
                } }
            }
        }
    }
}

/// What came of a plan.
pub fn retries_page(outcome: &RetryOutcome, view: RetriesView<'_>) -> String {
    let RetryOutcome { retried, charged_tokens, skipped, .. } = outcome;
    let body = html! {
        header .bar { h1 { "Retried" } a href=(view.back()) { "Back to the creations" } a href="/dashboard" { "Dashboard" } }
        main .dashboard {
            p .notice role="status" tabindex="-1" autofocus {
                "Done: " (of(retried.len(), "creation was retried", "creations were retried")) ", for " (tokens(*charged_tokens)) ". "
                @if skipped.is_empty() { "None was left." }
                @else { (of(skipped.len(), "was left as it is, and is", "were left as they are, and are")) " named below." }
            }
            (left("Left as they are", skipped))
            @if !retried.is_empty() {
                section .panel {
                    h2 { "Retried" }
                    div .scroll tabindex="0" role="region" aria-label="Retried" { table {
                        thead { tr { @for head in ["Creation", "Owner", "Kind", "New attempt", "Charged"] { th scope="col" { (head) } } } }
                        tbody { @for one in retried { tr {
                            th scope="row" { (creation_link(&one.id)) } td { (one.user_id) } td { (one.kind) } td { (one.attempt) }
                            td { (count(one.charged_tokens)) }
                        } } }
                    } }
                }
            }
        }
    };
    dashboard_layout("Retried", false, &body)
}

fn number(number: usize) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}

/// `1 owner`, `1,000 owners`
fn of(times: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(times), if times == 1 { one } else { many })
}
