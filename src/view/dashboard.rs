use maud::{Markup, html};
use serde_json::Value;

use super::page::{dashboard_layout, rfc3339, tokens};
use crate::rules::{Age, LAGS, Policy, Severity, Suspension, Timestamp, Verdict, badge, classify};
use crate::service::monitor::Health;
use crate::store::{ActiveBand, Alert, Audited, CandidateRow, Dashboard, Rates, Rolled, Row};

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
    /// How it goes.
    pub health: &'a Health,
    /// What has been read.
    pub data: &'a Dashboard,
}

const HOUR_MS: u64 = 3_600_000;
/// The bands of the time from the deadline to the mark, as people read them.
const LAG_WORDS: [&str; 6] =
    ["up to 1 min", "up to 5 min", "up to 15 min", "up to 1 h", "up to 6 h", "longer"];
const BAND_WORDS: [&str; 5] = ["first quarter", "second", "third", "last quarter", "beyond its limit"];

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

/// A bar chart of what timed out, by hours, and the table behind it.
fn over_time(view: &DashboardView<'_>) -> Markup {
    let step = match view.hours {
        ..49 => 1,
        49..169 => 6,
        _ => 24,
    };
    let step_ms = HOUR_MS.saturating_mul(step);
    let place = |millis: u64| millis.checked_div(step_ms).unwrap_or(0);
    let last = place(view.now.as_millis());
    let bars = u64::from(view.hours).div_ceil(step).max(1);
    let first = last.saturating_sub(bars.saturating_sub(1));
    let mut sums: Vec<(u64, [u64; 3])> = (first..=last).map(|at| (at, [0; 3])).collect();
    for row in &view.data.hours {
        let series = match (row.outcome.as_str(), row.stuck_status.as_str()) {
            ("retried", _) => 2,
            (_, "processing") => 1,
            _ => 0,
        };
        let at = place(row.hour).checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(number) = at.and_then(|at| sums.get_mut(at)).and_then(|(_, sums)| sums.get_mut(series)) {
            *number = number.saturating_add(row.creations);
        }
    }
    let names = ["Failed while pending", "Failed while processing", "Tried again"];
    let add = |numbers: &[u64]| numbers.iter().fold(0, |sum: u64, number| sum.saturating_add(*number));
    let highest = sums.iter().map(|(_, three)| add(three)).max().unwrap_or(0);
    let row = |(at, three): &(u64, [u64; 3])| {
        let [one, two, other] = three.map(count);
        (*three != [0; 3]).then(|| vec![minute(at.saturating_mul(step_ms)), one, two, other])
    };
    let rows: Vec<_> = sums.iter().rev().filter_map(row).collect();
    let width = 960_u64.checked_div(bars).unwrap_or(1).max(2);
    html! {
        section .panel aria-labelledby="over-time" {
            h2 #over-time { "Stale creations over time" }
            @if highest == 0 { p .muted { "None in the last " (view.hours) " hours." } }
            @else {
                p .legend aria-hidden="true" { @for (name, at) in names.iter().zip(0..) { span .{ "key series-" (at) } {} (name) " " } }
                svg .chart viewBox="0 0 960 210" role="img" aria-label={ "Bars by time; the highest is " (highest) } preserveAspectRatio="none" {
                    @for ((_, three), at) in sums.iter().zip(0_u64..) {
                        @let heights = three.map(|number| number.saturating_mul(190).checked_div(highest).unwrap_or(0));
                        @for (series, height) in heights.iter().enumerate().filter(|(_, height)| **height > 0) {
                            @let below = add(heights.get(..series).unwrap_or_default());
                            rect .{ "series-" (series) } x=(at.saturating_mul(width).saturating_add(1)) width=(width.saturating_sub(2).max(1))
                                y=(200_u64.saturating_sub(below.saturating_add(*height))) height=(height.max(&1)) {}
                        }
                    }
                    line .axis x1="0" x2="960" y1="201" y2="201" {}
                }
                p .ends .muted { span { (minute(first.saturating_mul(step_ms))) } span { "highest: " (count(highest)) } span { (minute(last.saturating_mul(step_ms))) " UTC" } }
                details {
                    summary { "As a table" }
                    (table(&["From (UTC)", names[0], names[1], names[2]], rows))
                }
            }
        }
    }
}

fn breakdown(title: &str, head: &str, rows: &[Rolled], key: fn(&Rolled) -> &str) -> Markup {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for row in rows {
        match sums.iter_mut().find(|(name, _)| name == key(row)) {
            Some((_, sum)) => *sum = sum.saturating_add(row.creations),
            None => sums.push((key(row).to_owned(), row.creations)),
        }
    }
    // The eight greatest, the greatest first.
    let mut list = Vec::new();
    while list.len() < 8
        && let Some(at) = (0..sums.len()).max_by_key(|at| sums.get(*at).map(|(_, sum)| *sum))
    {
        list.push(sums.swap_remove(at));
    }
    bars(title, head, &list, "None.")
}

fn lags(rows: &[Rolled]) -> Markup {
    let of = |at: usize| {
        rows.iter().filter_map(|row| row.lags.get(at)).fold(0, |sum: u64, lag| sum.saturating_add(*lag))
    };
    let list: Vec<_> =
        LAG_WORDS.iter().zip(0..=LAGS.len()).map(|(word, at)| ((*word).to_owned(), of(at))).collect();
    bars("From the deadline to the mark", "time", &list, "Nothing was marked.")
}

fn actives(bands: &[ActiveBand]) -> Markup {
    let of = |at: u64| {
        let here = bands.iter().filter(|band| band.band == Some(at));
        here.fold(0, |sum: u64, band| sum.saturating_add(band.creations))
    };
    let mut list: Vec<_> =
        BAND_WORDS.iter().zip(0..).map(|(word, at)| ((*word).to_owned(), of(at))).collect();
    let never = bands
        .iter()
        .filter(|band| band.band.is_none())
        .fold(0, |sum: u64, band| sum.saturating_add(band.creations));
    if never > 0 {
        list.push((String::from("without a limit"), never));
    }
    bars(
        "Active creations, by how much of their limit has passed",
        "of the limit",
        &list,
        "Nothing is being generated.",
    )
}

/// Horizontal bars with their numbers: a table that is drawn, so that everybody reads the same.
fn bars(title: &str, head: &str, list: &[(String, u64)], none: &str) -> Markup {
    let highest = list.iter().map(|(_, number)| *number).max().unwrap_or(0);
    html! {
        section .panel {
            h2 { (title) }
            @if highest == 0 { p .muted { (none) } }
            @else {
                table .bars {
                    thead .unseen { tr { th { (head) } th { "creations" } th { "share" } } }
                    tbody {
                        @for (name, number) in list {
                            tr {
                                th scope="row" { (name) }
                                td { (count(*number)) }
                                td aria-hidden="true" { svg viewBox="0 0 100 10" preserveAspectRatio="none" {
                                    rect .series-1 width=(number.saturating_mul(100).checked_div(highest).unwrap_or(0)) height="10" {}
                                } }
                            }
                        }
                    }
                }
            }
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

fn form(action: &str, word: &str, csrf: &str, plan: Option<&str>) -> Markup {
    html! {
        form method="post" action={ "/dashboard/" (action) } {
            input type="hidden" name="csrf" value=(csrf);
            @if let Some(plan) = plan { input type="hidden" name="plan" value=(plan); }
            button .button type="submit" { (word) }
        }
    }
}

/// What a sweep would do, with the plan to apply: `plan` is the answer of a dry run.
pub fn preview_page(plan: &Value, csrf: &str) -> String {
    let list = |key: &str| plan.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let creations = list("creations");
    let text = |row: &Value, key: &str| match row.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let cells = |row: &Value| {
        let age = row.get("age_ms").and_then(Value::as_u64).map(|age| format!("{:#}", Age(age)));
        let mut cells: Vec<_> = ["id", "user_id", "kind", "stuck_status"].map(|key| text(row, key)).into();
        cells.push(age.unwrap_or_default());
        cells.extend(["rule", "tokens", "action"].map(|key| text(row, key)));
        cells
    };
    let heads = ["Creation", "Owner", "Kind", "Status", "Age", "Rule", "Tokens", "Would"];
    let sent = serde_json::to_string(plan).unwrap_or_default();
    let body = html! {
        header .bar { h1 { "What a sweep would do" } a href="/dashboard" { "Back to the dashboard" } }
        main .dashboard {
            section .panel {
                p {
                    strong { (text(plan, "marked_as_failed")) } " would be marked failed and refunded, "
                    strong { (text(plan, "retried")) } " tried again. Nothing has been changed."
                }
                @if let Some(suspended) = plan.get("suspended").and_then(Value::as_str) { p .error { (suspended) } }
                @if creations.is_empty() { p .muted { "Nothing is stale." } }
                @else {
                    (form("apply", "Apply exactly this", csrf, Some(&sent)))
                    (table(&heads, creations.iter().map(cells).collect()))
                }
            }
        }
    };
    dashboard_layout("Preview", false, &body)
}

/// All about one creation: `explanation` is the answer of `GET /api/creations/{id}`, and `pretty` the same as indented text.
pub fn explanation_page(explanation: &Value, pretty: &str) -> String {
    let get = |path: &str| explanation.pointer(path);
    let text = |path: &str| match get(path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::from("–"),
    };
    let time = |path: &str| get(path).and_then(Value::as_u64).map_or(String::from("–"), minute);
    let limit = get("/creation/max_age_ms").and_then(Value::as_u64).map(|ms| format!("{:#}", Age(ms)));
    let facts = [
        ("Owner", text("/user_id")),
        ("Kind", text("/creation/kind")),
        ("Status", text("/creation/stored_status")),
        ("Verdict", format!("{} {}", text("/creation/verdict"), text("/creation/badge"))),
        ("Error", text("/creation/error")),
        ("Attempt", format!("{} of {}", text("/creation/attempt"), text("/max_attempts"))),
        ("Limit", limit.unwrap_or_else(|| String::from("–"))),
        ("Rule", text("/rule")),
        ("Deadline (UTC)", time("/creation/deadline")),
        ("Created (UTC)", time("/creation/created_at")),
        ("Started (UTC)", time("/creation/started_at")),
        ("Heartbeat (UTC)", time("/creation/heartbeat_at")),
        ("Finished (UTC)", time("/creation/finished_at")),
        ("Charged", text("/creation/tokens")),
        ("Refunded", text("/creation/refunded_tokens")),
    ];
    let body = html! {
        header .bar { h1 { "Creation " (text("/creation/id")) } a href="/dashboard" { "Back to the dashboard" } }
        main .dashboard {
            section .panel {
                dl .facts { @for (name, value) in &facts { div { dt { (name) } dd { (value) } } } }
                details { summary { "All of it: ledger, attempts, sweeps, events" } pre tabindex="0" { (pretty) } }
            }
        }
    };
    dashboard_layout("Creation", false, &body)
}

/// Where an operator signs in, after a wrong token if `wrong`.
pub fn operator_sign_in(demo: bool, wrong: bool) -> String {
    let body = html! {
        main .message {
            h1 { "Operators" }
            @if wrong { p .error role="alert" { "That token opens nothing here. The log names the reason." } }
            form method="post" action="/dashboard/sign-in" {
                label { "A token with the scope `read`" input type="password" name="token" autocomplete="off" required; }
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

fn table(heads: &[&str], rows: Vec<Vec<String>>) -> Markup {
    html! {
        div .scroll tabindex="0" role="region" aria-label={ (heads.first().copied().unwrap_or_default()) " and so on" } { table {
            thead { tr { @for head in heads { th scope="col" { (head) } } } }
            tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
        } }
    }
}

fn failed(rows: &[Rolled]) -> u64 {
    rows.iter()
        .filter(|row| row.outcome == "failed")
        .fold(0, |sum: u64, row| sum.saturating_add(row.creations))
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    tokens(number).split(' ').next().unwrap_or_default().to_owned()
}

fn ago(now: Timestamp, at: Timestamp) -> String {
    format!("{:#} ago", Age(now.millis_since(at)))
}

/// An instant to the minute, in UTC.
fn minute(millis: u64) -> String {
    rfc3339(millis).get(..16).unwrap_or_default().replace('T', " ")
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
