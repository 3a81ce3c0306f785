use maud::{Markup, html};

use super::charts::failures;
use super::layout::{count, creation_link, dashboard_layout, minute, missing, prose, tokens};
use super::tables::{cell, choice, figure, id, name, table, words};
use crate::rules::{Age, Timestamp};
use crate::store::{Facet, Facets, LOOKED_AT, Outline, OwnerOf};
use crate::worker::exploring::{FoundPage, FoundView};

/// What the explorer is made from.
#[derive(Debug)]
pub struct ExplorerView<'a> {
    /// What is sought, as the address says it: those that are given, in order. Untrusted text.
    pub sought: &'a [(String, String)],
    /// Why it can't be sought, if that is so: then nothing was found.
    pub invalid: Option<&'a str>,
    /// What was found.
    pub page: &'a FoundPage,
    /// What the newest amount to.
    pub outline: &'a Outline,
    /// Within which instants its failures are.
    pub failed_within: (Timestamp, Timestamp),
    /// What its forms carry.
    pub csrf: &'a str,
    /// Whether more than a status is sought.
    pub has_filter: bool,
    /// Whether all of the page is chosen.
    pub is_chosen: bool,
}

impl ExplorerView<'_> {
    fn value(&self, key: &str) -> &str {
        self.sought.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    /// Whether those that have failed are sought, or are among what is.
    fn may_match_failed(&self) -> bool {
        ["", "failed"].contains(&self.value("status")) && self.value("order").is_empty()
    }

    /// The address of the explorer with these in place of what is sought now; an empty one leaves it out.
    fn address(&self, changed: &[(&str, &str)]) -> String {
        let kept = self.sought.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let kept = kept.filter(|(key, _)| *key != "cursor" && changed.iter().all(|(other, _)| other != key));
        let pairs: Vec<_> =
            kept.chain(changed.iter().copied()).filter(|(_, value)| !value.is_empty()).collect();
        match serde_urlencoded::to_string(pairs) {
            Ok(query) if !query.is_empty() => format!("/dashboard/creations?{query}"),
            _ => String::from("/dashboard/creations"),
        }
    }
}

const STATUSES: [(&str, &str); 6] = [
    ("", "Any"),
    ("pending", "Pending"),
    ("processing", "Processing"),
    ("draft", "Draft"),
    ("published", "Published"),
    ("failed", "Failed"),
];
const ORDERS: [(&str, &str); 2] = [("", "Newest first"), ("silent", "Longest silent first")];
const TEXTS: [(&str, &str); 4] =
    [("kind", "Kind"), ("user_id", "Owner"), ("error_code", "Error code"), ("rule", "Rule")];
const TIMES: [(&str, &str); 4] = [
    ("since", "Created since (UTC)"),
    ("until", "Created before (UTC)"),
    ("failed_since", "Failed since (UTC)"),
    ("failed_until", "Failed before (UTC)"),
];

/// The chart of failures is of a day at least: its first bar begins 23 hours before its last.
const A_DAY_MS: u64 = 23 * 3_600_000;

/// Creations found by what they are. All that is sought stands in the address.
pub fn explorer_page(view: &ExplorerView<'_>) -> String {
    let page = view.page;
    let body = html! {
        a .skip href="#found" { "Skip to what was found" }
        header .bar { h1 { "Creations" } a href="/dashboard" { "Back to the dashboard" } }
        main .dashboard {
            section .panel {
                @if let Some(why) = view.invalid { p .error role="alert" { (prose(&by_label(why))) "." } }
                (find_form(view))
            }
            @for one in &page.unreachable { (missing(&one.shard, &one.error)) }
            (failures_over_time(view))
            (facets(view))
            (owners(view))
            @if view.invalid.is_none() {
                section #found .panel {
                    h2 { "Found" }
                    @if page.creations.is_empty() { p .muted { "Nothing here." } }
                    @else { (found(view)) }
                    (further(view))
                }
            }
        }
    };
    dashboard_layout("Creations", false, &body)
}

/// What is wrong with the form, with its fields as the form calls them.
fn by_label(why: &str) -> String {
    let fields = [("status", "Status"), ("order", "Order")].into_iter().chain(TEXTS).chain(TIMES);
    fields.fold(why.to_owned(), |said, (name, label)| {
        said.replace(&format!("`{name}`"), &format!("“{}”", label.trim_end_matches(" (UTC)")))
    })
}

fn select(view: &ExplorerView<'_>, name: &str, word: &str, options: &[(&str, &str)]) -> Markup {
    html! {
        label { span { (word) }
            select name=(name) {
                @for (value, word) in options {
                    option value=(value) selected[*value == view.value(name)] { (word) }
                }
            }
        }
    }
}

fn find_form(view: &ExplorerView<'_>) -> Markup {
    // A form gives minutes; what an address says in another way stays as it is.
    let time = |name: &str| match view.value(name).parse::<u64>() {
        Ok(millis) => minute(millis).replace(' ', "T"),
        Err(_) => view.value(name).trim_end_matches('Z').to_owned(),
    };
    html! {
        form .find method="get" action="/dashboard/creations" {
            (select(view, "status", "Status", &STATUSES))
            @for (name, word) in TEXTS {
                label { span { (word) } input type="text" name=(name) value=(view.value(name)) autocomplete="off"; }
            }
            @for (name, word) in TIMES {
                label { span { (word) } input type="datetime-local" name=(name) value=(time(name)); }
            }
            (select(view, "order", "Order", &ORDERS))
            div .actions .wide {
                button .button type="submit" { "Find" }
                a href="/dashboard/creations" { "Clear" }
            }
        }
        form .find method="get" action="/dashboard/creations" {
            label { span { "Id of a creation" } input type="text" name="id" required autocomplete="off"; }
            button .button type="submit" { "Open" }
        }
    }
}

/// What there is most of, each a way to see only that.
fn facets(view: &ExplorerView<'_>) -> Markup {
    let row = |facet: &Facet| {
        let (error_code, rule) = (facet.error_code.as_deref(), facet.rule.as_deref());
        let only = [
            ("status", facet.status.as_str()),
            ("kind", facet.kind.as_str()),
            ("error_code", error_code.unwrap_or_default()),
            ("rule", rule.unwrap_or_default()),
        ];
        vec![
            html! { a href=(view.address(&only)) { (facet.status) } },
            cell(&facet.kind),
            cell(error_code.unwrap_or("–")),
            cell(rule.unwrap_or("–")),
            cell(count(facet.creations)),
            cell(count(facet.tokens)),
        ]
    };
    let columns =
        [name("Status"), name("Kind"), id("Error code"), id("Rule"), figure("Creations"), figure("Tokens")];
    let Facets { largest, lines, more, creations, tokens: charged } = &view.outline.facets;
    let shown = u64::try_from(largest.len()).unwrap_or(u64::MAX);
    html! {
        @if !largest.is_empty() {
            section .panel {
                h2 { "What there is most of" }
                p .muted {
                    "Among the newest " (count(LOOKED_AT.into())) " of each database"
                    @if *lines > shown { ": the " (count(shown)) " largest of " @if *more { "at least " } (count(*lines)) " groups" }
                    ". In all: " (count(*creations)) (if *creations == 1 { " creation, " } else { " creations, " }) (tokens(*charged)) "."
                }
                (table("What there is most of", &columns, largest.iter().map(row)))
            }
        }
    }
}

/// When they failed, if any has: from the oldest of these failures on, or from what is sought, and a day at least.
fn failures_over_time(view: &ExplorerView<'_>) -> Markup {
    let Outline { failures: failed, .. } = view.outline;
    let (first, last) = view.failed_within;
    // What is dated a little ahead has failed now.
    let last = last.as_millis().min(view.page.now);
    let oldest = failed.iter().map(|one| one.hour).min();
    let begins = if view.value("failed_since").is_empty() { oldest } else { Some(first.as_millis()) };
    let begins = begins.unwrap_or(last).min(last.saturating_sub(A_DAY_MS));
    html! { @if oldest.is_some() { (failures(failed, (begins, last))) } }
}

/// Who has most of them, each a way to see only theirs.
fn owners(view: &ExplorerView<'_>) -> Markup {
    let Outline { owners, all_owners, .. } = view.outline;
    let row = |OwnerOf { user_id, creations, failed, tokens }: &OwnerOf| {
        let theirs = html! { a href=(view.address(&[("user_id", user_id)])) { (user_id) } };
        vec![theirs, cell(count(*creations)), cell(count(*failed)), cell(count(*tokens))]
    };
    let columns = [id("Owner"), figure("Creations"), figure("Failed"), figure("Tokens")];
    let shown = u64::try_from(owners.len()).unwrap_or(u64::MAX);
    html! {
        @if !owners.is_empty() && view.value("user_id").is_empty() {
            section .panel {
                h2 { "Who has most" }
                p .muted {
                    "Among the same"
                    @if *all_owners > shown { ": the " (count(shown)) " with most of " (count(*all_owners)) " owners" }
                    "."
                }
                (table("Who has most", &columns, owners.iter().map(row)))
            }
        }
    }
}

/// A form around the table: what is chosen there, or all that match, is previewed for a retry.
fn found(view: &ExplorerView<'_>) -> Markup {
    let sought: Vec<_> = view.sought.iter().filter(|(key, _)| key != "cursor").collect();
    let sought = serde_urlencoded::to_string(sought).unwrap_or_default();
    let any = view.page.creations.iter().any(|found| found.creation.can_retry);
    let choice =
        |select| format!("{}#found", view.address(&[("cursor", view.value("cursor")), ("select", select)]));
    // The first one is what Enter in a box means; one more stands where a keyboard leaves the table.
    let chosen = html! { button .button type="submit" name="which" value="chosen" { "Preview a retry of those chosen" } };
    html! {
        form #choose method="post" action="/dashboard/retries/preview" {
            input type="hidden" name="csrf" value=(view.csrf);
            input type="hidden" name="sought" value=(sought);
            @if any {
                div .actions {
                    (chosen)
                    @if view.may_match_failed() && view.has_filter {
                        button .button type="submit" name="which" value="all" { "Preview a retry of all that match and failed" }
                    }
                    @if view.is_chosen { a href=(choice("")) { "Choose none" } }
                    @else { a href=(choice("page")) { "Choose all of this page" } }
                }
                @if view.may_match_failed() && !view.has_filter {
                    p .muted { "To retry all that match, choose a filter first, such as an error code, a kind, an owner or a time." }
                }
            }
            (rows(view, any))
            @if any { div .actions { (chosen) } }
        }
    }
}

fn rows(view: &ExplorerView<'_>, any: bool) -> Markup {
    let dash = || String::from("–");
    let mut columns = vec![
        id("Creation"),
        name("State"),
        name("Failed (UTC)"),
        figure("Tokens"),
        id("Owner"),
        name("Kind"),
        words("Error"),
        name("Created (UTC)"),
        figure("Age"),
        figure("Refunded"),
    ];
    if any {
        columns.insert(0, choice("Chosen"));
    }
    let row = |found: &FoundView| {
        let draft = &found.creation;
        let age = draft.age_ms.map_or_else(dash, |age| format!("{:#}", Age(age)));
        let failed_at = draft.finished_at.filter(|_| draft.stored_status == "failed");
        let failed_at = failed_at.and_then(|at| u64::try_from(at).ok()).map_or_else(dash, minute);
        let theirs = view.address(&[("user_id", &found.user_id), ("order", "")]);
        let mut cells = vec![
            creation_link(&draft.id),
            html! { (draft.badge) @if draft.deleted_at.is_some() { ", deleted by its owner" } },
            cell(failed_at),
            cell(count(draft.tokens)),
            html! { a href=(theirs) { (found.user_id) } },
            cell(&draft.kind),
            html! {
                @match &draft.error { Some(error) => { (prose(error)) }, None => "–" }
                @if let Some(code) = &draft.error_code { " " code { (code) } }
            },
            cell(draft.created_at.map_or_else(dash, minute)),
            cell(age),
            cell(count(draft.refunded_tokens)),
        ];
        if any {
            cells.insert(0, html! { @if draft.can_retry { (choose(view, found)) } });
        }
        cells
    };
    table("Creations that were found", &columns, view.page.creations.iter().map(row))
}

/// The box that chooses a creation that can be retried: its value is what a plan says of it.
fn choose(view: &ExplorerView<'_>, FoundView { user_id, creation }: &FoundView) -> Markup {
    let planned = serde_json::json!({ "id": creation.id, "attempt": creation.attempt, "user_id": user_id });
    html! {
        label .box {
            input type="checkbox" name="creation" value=(planned) checked[view.is_chosen];
            span .unseen { "Choose " (creation.id) }
        }
    }
}

/// How far back was looked, and the way further.
fn further(view: &ExplorerView<'_>) -> Markup {
    let page = view.page;
    let back_to = page.looked_back_to.and_then(|millis| u64::try_from(millis).ok());
    html! {
        @if let Some(cursor) = &page.next_cursor {
            p {
                @if let Some(back_to) = back_to { "Looked back to " (minute(back_to)) " UTC. " }
                a href=(view.address(&[("cursor", cursor)])) rel="next" { "Further" }
            }
        } @else { p .muted { "That is all." } }
    }
}
