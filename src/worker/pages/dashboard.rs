use maud::{Markup, html};
use serde_json::Value;

use super::audit::acts;
use super::charts::{actives, breakdown, lags, over_time, span_word};
use super::done::Done;
use super::layout::{
    count, creation_link, dashboard_layout, form, minute, more_time_fields, notice, prose, second,
};
use super::tables::{cell, figure, id, name, table, words};
use crate::rules::{Age, Policy, Severity, Suspension, Timestamp, Verdict, badge, classify, no_answer};
use crate::service::chat::capitalized;
use crate::service::explorer::failures_address;
use crate::service::monitor::Health;
use crate::service::shards::Unreachable;
use crate::store::{
    Act, Alert, CandidateRow, Dashboard, ExtensionRow, Rates, Rolled, Row, SetAsideRow, nearest,
};

/// What the dashboard is made from.
#[derive(Clone, Copy, Debug)]
pub struct DashboardView<'a> {
    /// The server's clock.
    pub now: Timestamp,
    /// How many hours back it looks.
    pub hours: u32,
    /// Who looks, as the audit names them.
    pub actor: &'a str,
    /// What its forms carry.
    pub csrf: &'a str,
    /// What has just been done.
    pub notice: &'a Done,
    /// The policy in force.
    pub policy: &'a Policy,
    /// What the monitor sees.
    pub health: &'a Health,
    /// What has been read.
    pub data: &'a Dashboard,
    /// Of several databases, those whose part of it is missing.
    pub unreachable: &'a [Unreachable],
}

/// The dashboard as a page. Complete without JavaScript.
pub fn dashboard_page(view: &DashboardView<'_>) -> String {
    let data = view.data;
    let body = html! {
        a .skip href="#health" { "Skip to what is wrong" }
        header .bar {
            h1 { "Dashboard" }
            nav aria-label="Range" {
                @for (hours, word) in [(24, "24 hours"), (168, "7 days"), (720, "30 days")] {
                    @if hours == view.hours { strong aria-current="page" { (word) } }
                    @else { a href={ "/dashboard?hours=" (hours) } { (word) } }
                    " "
                }
            }
            a href="/dashboard/creations" { "Creations" }
            form .account method="post" action="/dashboard/sign-out" {
                span { "Signed in as " strong { (view.actor) } }
                button .link type="submit" { "Sign out" }
            }
        }
        main .dashboard data-now=(view.now.as_millis()) {
            (notice(view.notice))
            (go_on(view))
            @for Unreachable { shard, error } in view.unreachable {
                p .incomplete role="alert" {
                    strong { code { (shard) } " " (no_answer(error).0) ": what is below is without it." } " " (prose(&capitalized(no_answer(error).1))) "."
                }
            }
            (health_section(view))
            (stale_tiles(view))
            (generation_tiles(view))
            (over_time(view))
            div .two {
                (breakdown("By the limit that applied", "limit", &data.hours, |row| &row.rule))
                (breakdown("By kind", "kind", &data.hours, |row| &row.kind))
                (lags(&data.hours))
                (actives(&data.active))
            }
            (more_time(view))
            (set_aside(&data.set_aside))
            (silent(view))
            (sweeps(view))
            (alerts(&data.alerts))
            (actions(view))
        }
    };
    dashboard_layout("Dashboard", true, &body)
}

fn health_section(view: &DashboardView<'_>) -> Markup {
    let findings = &view.health.findings;
    let critical = findings.iter().any(|finding| finding.severity == Severity::Critical);
    let (look, word) = match (critical, findings.is_empty()) {
        (true, _) => ("failed", "Something is wrong"),
        (false, false) => ("pending", "Worth a look"),
        (false, true) => ("draft", "No alert fires"),
    };
    html! {
        section #health .health .(look) aria-label="Health" {
            h2 { (word) }
            @if findings.is_empty() {
                p { "Cron sweeps, stale creations fail in time, balances equal the ledger, and events are delivered." }
                p .muted { "For causes that no alert is about: " code { "mark-stale-drafts doctor" } "." }
            }
            ul {
                @for finding in findings {
                    li data-code=(finding.code) {
                        strong { (prose(&capitalized(&finding.cause))) }
                        @if let Some(alert) = view.health.firing.iter().find(|alert| alert.code == finding.code) {
                            span .muted { ", first seen " (Age(view.now.as_millis().saturating_sub(alert.since))) " ago" }
                        }
                        p { (prose(&capitalized(&finding.evidence))) "." }
                        p .muted { "→ " (prose(&capitalized(&finding.remedy))) ". " code { (finding.code) } }
                        @if let Some(error_code) = &finding.error_code {
                            p { a href=(failures_address(error_code, view.now.as_millis())) { "What failed with " code { (error_code) } " within the last hour" } }
                        }
                    }
                }
            }
        }
    }
}

fn tile(name: &str, value: &str, unit: &str, bad: bool) -> Markup {
    html! {
        div .tile .bad[bad] { p .muted { (name) } p .value { (value) } p .muted { (unit) } }
    }
}

/// How many went stale, their share, and what was done about it.
fn stale_tiles(view: &DashboardView<'_>) -> Markup {
    let sum = |outcome: &str, of: fn(&Rolled) -> u64| {
        let rows = view.data.hours.iter().filter(|row| row.outcome == outcome);
        rows.map(of).fold(0, u64::saturating_add)
    };
    let creations: fn(&Rolled) -> u64 = |row| row.creations;
    let (failed, retried) = (sum("failed", creations), sum("retried", creations));
    let Rates { newest, stale, .. } = view.data.rates;
    let all = failed.saturating_add(retried);
    html! {
        section aria-labelledby="stale" {
            h2 #stale { "Stale creations in the last " (span_word(view.hours)) }
            div .tiles {
                (tile("Went stale", &count(all), "beyond their limit", all > 0))
                (tile("Share of all", &share(stale, newest), &format!("of the newest {} creations", count(newest)), false))
                (tile("Failed", &count(failed), "by a sweep", false))
                (tile("Retried", &count(retried), "with another attempt", false))
                (tile("Refunded", &count(sum("failed", |row| row.tokens)), "tokens", false))
            }
        }
    }
}

fn generation_tiles(view: &DashboardView<'_>) -> Markup {
    let DashboardView { data, health, .. } = *view;
    let Rates { completed, failed, timed_out, .. } = data.rates;
    let ended = completed.saturating_add(failed);
    let active = |pending: bool| {
        let bands = data.active.iter().filter(|band| (band.phase == "pending") == pending);
        bands.map(|band| band.creations).fold(0, u64::saturating_add)
    };
    let oldest = oldest(view);
    let swept = health.last_good_sweep.map_or(String::from("never"), |at| ago(view.now, at));
    html! {
        section aria-labelledby="generation" {
            h2 #generation { "Generation now" }
            div .tiles {
                (tile("Waiting", &count(active(true)), "for a worker", false))
                (tile("In progress", &count(active(false)), "with or without heartbeats", false))
                (tile("Longest silent", &oldest.0, &oldest.1, oldest.2))
                (tile("Success", &share(completed, ended), &format!("of the newest {} that ended", count(ended)), false))
                (tile("Failure", &share(failed, ended), &format!("{} by time-out", share(timed_out, ended)), false))
                (tile("Last cron sweep", &swept, "without an error", false))
            }
        }
    }
}

/// A part in percent, with a tenth, half up.
fn share(part: u64, whole: u64) -> String {
    match part.saturating_mul(1_000).saturating_add(whole / 2).checked_div(whole) {
        Some(tenths) => format!("{}.{} %", tenths / 10, tenths % 10),
        None => String::from("–"),
    }
}

/// How long the longest silent creation is, against its limit, and whether it is beyond. One that is beyond goes before one that was given
/// more time.
fn oldest(view: &DashboardView<'_>) -> (String, String, bool) {
    let age = |row: &CandidateRow| {
        let draft = row.draft();
        let status = draft.status?.active()?;
        let signs = draft.signs_of_life(status).ok()?;
        Some((view.now.millis_since(signs.last), classify(&draft, view.now, view.policy)))
    };
    let found = view.data.oldest.iter().filter_map(age);
    match found.max_by_key(|(age, verdict)| (matches!(verdict, Verdict::Stale(_)), *age)) {
        None => (String::from("–"), String::from("nothing is being generated"), false),
        Some((age, verdict)) => {
            let (said, stale) = match verdict {
                Verdict::Stale(_) => ("beyond its limit", true),
                Verdict::Fresh { extended_until: Some(_), .. } => ("it was given more time", false),
                _ => ("within its limit", false),
            };
            (format!("{:#}", Age(age)), String::from(said), stale)
        }
    }
}

fn silent(view: &DashboardView<'_>) -> Markup {
    let rows = view.data.oldest.iter().filter_map(|row| {
        let draft = row.draft();
        let signs = draft.signs_of_life(draft.status?.active()?).ok()?;
        Some(vec![
            creation_link(&row.id),
            cell(&row.user_id),
            cell(&row.kind),
            cell(Age(view.now.millis_since(signs.last)).to_string()),
            cell(badge(&classify(&draft, view.now, view.policy))),
        ])
    });
    let columns = [id("Creation"), id("Owner"), name("Kind"), figure("Silent for"), name("State")];
    html! {
        section #silent .panel {
            h2 { "Longest without a sign of life, by phase and kind" }
            (table("Longest without a sign of life", &columns, rows))
        }
    }
}

fn sweeps(view: &DashboardView<'_>) -> Markup {
    let rows = &view.data.sweeps;
    let number = |row: &Row, key: &str| row.get(key).and_then(nearest);
    let text = |row: &Row, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let began = |row: &Row| second(number(row, "started_at").unwrap_or(0));
    let by = |row: &Row| [text(row, "source"), text(row, "actor")].join(" ").trim_end().to_owned();
    let cells = |row: &Row| {
        let shown = |key: &str| number(row, key).map_or(String::from("–"), count);
        let took = number(row, "finished_at").zip(number(row, "started_at"));
        let took = took.map(|(to, from)| to.saturating_sub(from));
        vec![
            cell(began(row)),
            cell(by(row)),
            cell(shown("failed")),
            cell(shown("retried")),
            cell(shown("refunded_tokens")),
            cell(shown("rows_read")),
            cell(shown("rows_written")),
            cell(took.map_or(String::from("–"), |ms| format!("{} ms", count(ms)))),
            prose(&text(row, "error")),
            cell(notes(row)),
        ]
    };
    let columns = [
        name("Began (UTC)"),
        name("By"),
        figure("Failed"),
        figure("Retried"),
        figure("Refunded"),
        figure("Rows read"),
        figure("Rows written"),
        figure("Took"),
        words("Error"),
        words("Notes"),
    ];
    // Of several databases, each has a row of it.
    let mut known: Vec<(String, String)> = Vec::new();
    for row in rows {
        let id = text(row, "id");
        if known.iter().all(|(other, _)| *other != id) {
            let failed = number(row, "failed").unwrap_or(0);
            known.push((id, format!("{} {}, {} failed", began(row), by(row), count(failed))));
        }
    }
    html! {
        section #sweeps .panel {
            h2 { "The last sweeps" }
            (table("The last sweeps", &columns, rows.iter().map(cells)))
            @if !known.is_empty() {
                details {
                    summary { "Note something about a sweep" }
                    form .find method="post" action="/dashboard/note" {
                        input type="hidden" name="csrf" value=(view.csrf);
                        label .wide { span { "Sweep" } select name="sweep" { @for (id, words) in &known { option value=(id) { (words) } } } }
                        label .wide { span { "What others should know of it" } textarea name="text" required maxlength="2000" rows="2" {} }
                        button .button type="submit" { "Add the note" }
                    }
                }
            }
        }
    }
}

/// What operators noted about a sweep, each with who did.
fn notes(row: &Row) -> String {
    let notes = row.get("notes").and_then(Value::as_str);
    let notes: Vec<Act> = notes.and_then(|notes| serde_json::from_str(notes).ok()).unwrap_or_default();
    let notes: Vec<_> = notes.iter().map(|note| format!("{}: {}", note.actor, note.detail)).collect();
    notes.join(" · ")
}

/// The kinds that have more time than their limits give, and a form that gives it.
fn more_time(view: &DashboardView<'_>) -> Markup {
    let instant = |millis: i64| minute(u64::try_from(millis).unwrap_or(0));
    let given = &view.data.extensions;
    let holds = |(at, row): &(usize, &ExtensionRow)| row.holds(given.iter().take(*at), view.now);
    let running: Vec<_> = given.iter().enumerate().filter(holds).map(|(_, row)| row).collect();
    let active = view.data.active.iter().map(|band| band.kind.as_str());
    let mut kinds: Vec<_> = view.policy.kinds().chain(active).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let row = |row: &ExtensionRow| {
        vec![
            cell(&row.kind),
            cell(instant(row.until)),
            cell(&row.actor),
            cell(instant(row.since)),
            prose(&row.reason),
            html! { form method="post" action="/dashboard/end-extension" {
                input type="hidden" name="csrf" value=(view.csrf);
                input type="hidden" name="kind" value=(row.kind);
                button .link type="submit" { "End what " (row.kind) " has" }
            } },
        ]
    };
    let columns =
        [name("Kind"), name("Until (UTC)"), name("By"), name("Since (UTC)"), words("Why"), words("End")];
    html! {
        section .panel #more-time {
            h2 { "More time than the limits give" }
            @if running.is_empty() { p .muted { "No kind has any now." } }
            @else {
                (table("More time", &columns, running.iter().copied().map(row)))
            }
            details {
                summary { "Give a kind more time" }
                form .find method="post" action="/dashboard/extend-kind" {
                    input type="hidden" name="csrf" value=(view.csrf);
                    label { span { "Kind" } input type="text" name="kind" list="kinds" required maxlength="200" autocomplete="off"; }
                    datalist #kinds { @for kind in kinds { option value=(kind) {} } }
                    (more_time_fields())
                }
            }
        }
    }
}

/// The button that goes on where some of a kind are left: by what is on record of the kind, so with the same end.
fn go_on(view: &DashboardView<'_>) -> Markup {
    let Some((kind, until)) = view.notice.left() else { return html! {} };
    let of_kind = || view.data.extensions.iter().filter(|row| row.kind == kind);
    let mut running = of_kind().filter(|row| row.runs(view.now));
    let (action, found) = match until {
        Some(until) => ("extend-kind", running.find(|row| u64::try_from(row.until) == Ok(until))),
        // What was given since is not for this button to end.
        None => ("end-extension", of_kind().next().filter(|_| running.next().is_none())),
    };
    html! {
        @if let Some(row) = found {
            form #go-on method="post" action={ "/dashboard/" (action) } {
                input type="hidden" name="csrf" value=(view.csrf);
                input type="hidden" name="kind" value=(row.kind);
                @if until.is_some() {
                    input type="hidden" name="until" value=(row.until);
                    input type="hidden" name="reason" value=(row.reason);
                }
                button .button type="submit" { "Go on" }
            }
        }
    }
}

/// Creations that no sweep can fail, and why.
fn set_aside(rows: &[SetAsideRow]) -> Markup {
    let row = |row: &SetAsideRow| {
        vec![creation_link(&row.creation_id), cell(minute(row.until)), prose(&row.reason)]
    };
    let columns = [id("Creation"), name("Tried again (UTC)"), words("Reason")];
    html! {
        @if !rows.is_empty() {
            section #set-aside .panel {
                h2 { "Set aside, since the database rejects their failure" }
                (table("Set aside", &columns, rows.iter().map(row)))
            }
        }
    }
}

fn alerts(rows: &[Alert]) -> Markup {
    let cells = |alert: &Alert| {
        let resolved = alert.resolved_at.map_or_else(|| String::from("not yet"), minute);
        vec![
            cell(minute(alert.since)),
            cell(resolved),
            prose(&capitalized(&alert.cause)),
            prose(&alert.evidence),
        ]
    };
    let columns = [name("Since (UTC)"), name("Until (UTC)"), words("What was wrong"), words("Evidence")];
    html! {
        section #alerts .panel {
            h2 { "The last alerts" }
            @if rows.is_empty() { p .muted { "None." } }
            @else { (table("The last alerts", &columns, rows.iter().map(cells))) }
        }
    }
}

fn actions(view: &DashboardView<'_>) -> Markup {
    let paused = matches!(view.health.suspended, Some(Suspension::Paused { .. }));
    let (action, word) = if paused { ("resume", "Resume sweeping") } else { ("pause", "Pause sweeping") };
    html! {
        section #actions .panel {
            h2 { "Actions" }
            div .actions {
                (form("preview", "Preview a sweep", view.csrf, None))
                (form(action, word, view.csrf, None))
            }
            @if !view.data.audit.is_empty() {
                details { summary { "What operators did here" }
                    (acts(&view.data.audit))
                    p { a href="/dashboard/audit" { "All that operators did" } }
                }
            }
        }
    }
}

fn ago(now: Timestamp, at: Timestamp) -> String {
    format!("{:#} ago", Age(now.millis_since(at)))
}
