use maud::{Markup, html};
use serde_json::Value;

use super::charts::{actives, breakdown, lags, over_time};
use super::layout::{count, dashboard_layout, form, minute, table};
use crate::rules::{Age, Policy, Severity, Suspension, Timestamp, Verdict, badge, classify};
use crate::service::monitor::Health;
use crate::store::{Alert, Audited, CandidateRow, Dashboard, Rates, Rolled, Row};

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
    /// What has just been done; untrusted text.
    pub notice: &'a str,
    /// The policy in force.
    pub policy: &'a Policy,
    /// What the monitor sees.
    pub health: &'a Health,
    /// What has been read.
    pub data: &'a Dashboard,
}

/// The dashboard as a page. Complete without JavaScript.
pub fn dashboard_page(view: &DashboardView<'_>) -> String {
    let DashboardView { data, health, .. } = *view;
    let failed = failed(&data.hours);
    let refunded: u64 = data.hours.iter().map(|row| row.tokens).fold(0, u64::saturating_add);
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
            form .account method="post" action="/dashboard/sign-out" {
                span { "Signed in as " strong { (view.actor) } }
                button .link type="submit" { "Sign out" }
            }
        }
        main .dashboard data-now=(view.now.as_millis()) {
            @if !view.notice.is_empty() { p .notice role="status" { "Done: " (view.notice) "." } }
            (health_section(view))
            section .tiles aria-label="In short" {
                (tile("Timed out", &count(failed), &format!("in {} hours", view.hours), failed > 0))
                (tile("Refunded", &count(refunded), "tokens", false))
                (rate_tiles(&data.rates))
                @let oldest = oldest(view);
                (tile("Longest silent", &oldest.0, &oldest.1, oldest.2))
                (tile("Last sweep by cron", &health.last_good_sweep.map_or(String::from("never"), |at| ago(view.now, at)), "that went well", false))
            }
            (over_time(view))
            div .two {
                (breakdown("By reason", "rule", &data.hours, |row| &row.rule))
                (breakdown("By kind", "kind", &data.hours, |row| &row.kind))
                (lags(&data.hours))
                (actives(&data.active))
            }
            (silent(view))
            (sweeps(&data.sweeps))
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
        (false, true) => ("draft", "Generation is healthy"),
    };
    html! {
        section #health .health .(look) aria-label="Health" {
            h2 { (word) }
            @if findings.is_empty() { p { "Cron sweeps, creations are marked in time, ledger and balances agree, events go out." } }
            ul {
                @for finding in findings {
                    li {
                        strong { (finding.cause) } " " code { (finding.code) }
                        @if let Some(alert) = view.health.firing.iter().find(|alert| alert.code == finding.code) {
                            span .muted { " for " (Age(view.now.as_millis().saturating_sub(alert.since))) }
                        }
                        p { (finding.evidence) }
                        p .muted { "→ " (finding.remedy) }
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

fn rate_tiles(rates: &Rates) -> Markup {
    let ended = rates.completed.saturating_add(rates.failed);
    let share = |part: u64, whole: u64| match part.saturating_mul(1_000).checked_div(whole) {
        Some(tenths) => format!("{}.{} %", tenths / 10, tenths % 10),
        None => String::from("–"),
    };
    let of = format!("of the newest {}", count(rates.newest));
    html! {
        (tile("Success", &share(rates.completed, ended), &of, false))
        (tile("Failure", &share(rates.failed, ended), &format!("{} by time-out", share(rates.timed_out, ended)), false))
        (tile("Tried again", &share(rates.retried, rates.newest), &of, false))
    }
}

/// How long the longest silent creation is, against its limit, and whether it is beyond.
fn oldest(view: &DashboardView<'_>) -> (String, String, bool) {
    let age = |row: &CandidateRow| {
        let draft = row.draft();
        let status = draft.status?.active()?;
        let signs = draft.signs_of_life(status).ok()?;
        Some((view.now.millis_since(signs.last), classify(&draft, view.now, view.policy)))
    };
    match view.data.oldest.iter().filter_map(age).max_by_key(|(age, _)| *age) {
        None => (String::from("–"), String::from("nothing is being generated"), false),
        Some((age, verdict)) => {
            let stale = matches!(verdict, Verdict::Stale(_));
            (
                format!("{:#}", Age(age)),
                String::from(if stale { "beyond its limit" } else { "within its limit" }),
                stale,
            )
        }
    }
}

fn silent(view: &DashboardView<'_>) -> Markup {
    let rows = view.data.oldest.iter().filter_map(|row| {
        let draft = row.draft();
        let signs = draft.signs_of_life(draft.status?.active()?).ok()?;
        Some((row, view.now.millis_since(signs.last), badge(&classify(&draft, view.now, view.policy))))
    });
    html! {
        section .panel {
            h2 { "Silent for longest, by what they are at and their kind" }
            div .scroll tabindex="0" role="region" aria-label="Silent for longest" { table {
                thead { tr { th { "Creation" } th { "Owner" } th { "Kind" } th { "Silent for" } th { "Is" } } }
                tbody {
                    @for (row, age, badge) in rows {
                        tr {
                            th scope="row" { a href={ "/dashboard/creations/" (encode(&row.id)) } { (row.id) } }
                            td { (row.user_id) } td { (row.kind) } td { (Age(age)) } td { (badge) }
                        }
                    }
                }
            } }
        }
    }
}

fn sweeps(rows: &[Row]) -> Markup {
    let cells = |row: &Row| {
        let number = |key: &str| row.get(key).and_then(Value::as_u64);
        let shown = |key: &str| number(key).map_or(String::from("–"), count);
        let took = number("finished_at").zip(number("started_at")).map(|(to, from)| to.saturating_sub(from));
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        vec![
            minute(number("started_at").unwrap_or(0)),
            [text("source"), text("actor")].join(" "),
            shown("failed"),
            shown("retried"),
            shown("refunded_tokens"),
            shown("rows_read"),
            shown("rows_written"),
            took.map_or(String::from("–"), |ms| format!("{ms} ms")),
            text("error"),
        ]
    };
    let heads =
        ["Began (UTC)", "By", "Failed", "Again", "Refunded", "Rows read", "Rows written", "Took", "Error"];
    html! {
        section .panel { h2 { "The last sweeps" } (table(&heads, rows.iter().map(cells).collect())) }
    }
}

fn alerts(rows: &[Alert]) -> Markup {
    let cells = |alert: &Alert| {
        let resolved = alert.resolved_at.map_or_else(|| String::from("fires"), minute);
        vec![minute(alert.since), resolved, alert.code.clone(), alert.evidence.clone()]
    };
    html! {
        section .panel {
            h2 { "The last alerts" }
            @if rows.is_empty() { p .muted { "None." } }
            @else { (table(&["Fired (UTC)", "Resolved (UTC)", "Alert", "What said so"], rows.iter().map(cells).collect())) }
        }
    }
}

fn actions(view: &DashboardView<'_>) -> Markup {
    let paused = matches!(view.health.suspended, Some(Suspension::Paused { .. }));
    let cells = |row: &Audited| vec![minute(row.at), row.actor.clone(), row.action.clone()];
    let (action, word) = if paused { ("resume", "Resume sweeping") } else { ("pause", "Pause sweeping") };
    html! {
        section .panel {
            h2 { "Act" }
            div .actions {
                (form("preview", "Preview a sweep", view.csrf, None))
                (form(action, word, view.csrf, None))
            }
            @if !view.data.audit.is_empty() {
                details { summary { "What operators did here" } (table(&["When (UTC)", "Who", "What"], view.data.audit.iter().map(cells).collect())) }
            }
        }
    }
}

fn failed(rows: &[Rolled]) -> u64 {
    rows.iter()
        .filter(|row| row.outcome == "failed")
        .fold(0, |sum: u64, row| sum.saturating_add(row.creations))
}

fn ago(now: Timestamp, at: Timestamp) -> String {
    format!("{:#} ago", Age(now.millis_since(at)))
}

/// An id as a part of a path.
fn encode(id: &str) -> String {
    let part = |byte: u8| match byte {
        b'-' | b'_' | b'.' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    id.bytes().map(part).collect()
}
