//! Rows as the database gives them: prompts and names are strangers', and a row that another app wrote may hold anything.
//!
//! The input is JSON: what stands in one cell of a result, or a list of rows.

use serde_json::{Value, json};
use stale_drafts::rules::{
    Judgement, Policy, Report, Thresholds, Time, Unreadable, Verdict, alerts, classify, decide, diagnose,
};
use stale_drafts::service::monitor::Health;
use stale_drafts::store::{
    self, CandidateRow, CreationRow, Dashboard, Duration, PageRow, Rolled, Row, candidates, claimed,
    creation_of, done_ids, page_rows, suspended,
};
use stale_drafts::worker::draft::{Cursor, DraftView};
use stale_drafts::worker::explanation::{Explanation, SweepAudit};
use stale_drafts::worker::metrics;
use stale_drafts::worker::pages::{DashboardView, Done, dashboard_page};

use crate::{as_text, now};

/// Panics if a law is broken.
pub fn holds(data: &[u8]) {
    let text = as_text(data);
    let cell = |column: &str| vec![Row::from_iter([(column.to_owned(), Value::from(&*text))])];
    let policy = Policy::default();
    if let Ok(rows) = candidates(&cell("candidates"), "candidates") {
        swept(&rows, &policy);
    }
    if let Ok(rows) = page_rows(&cell("page")) {
        rows.into_iter().for_each(|row| shown(row, &policy));
    }
    if let Ok(Some(row)) = creation_of(&cell("creation")) {
        reported(&row);
    }
    if let Ok(Some(ids)) = done_ids(&cell("done_ids")) {
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(json!(ids)));
    }
    suspended(&cell("suspended")).into_iter().for_each(|by| assert!(!by.to_string().is_empty()));
    if let Ok(value) = serde_json::from_str::<Value>(&text) {
        results(&value, &policy);
    }
}

/// A sweep plans each row once, and fails none by guesswork.
fn swept(rows: &[CandidateRow], policy: &Policy) {
    let plan = decide(rows.iter().map(CandidateRow::candidate), now(), policy);
    let decided = plan.fail.len() + plan.retry.len() + plan.unreadable.len();
    assert!(decided <= rows.len());
    for row in rows {
        let draft = row.draft();
        let times = [row.created_at, row.queued_at, row.started_at, row.heartbeat_at];
        match classify(&draft, now(), policy) {
            Verdict::Stale(staleness) => {
                assert!(times.contains(&Time::At(staleness.last_sign_of_life)));
                assert!(staleness.age_ms > staleness.max_age_ms && staleness.deadline() < now());
            }
            Verdict::Unreadable(Unreadable::UnknownStatus) => assert!(draft.status.is_none()),
            Verdict::Unreadable(reason) => {
                assert!(!reason.to_string().is_empty() && !reason.code().is_empty())
            }
            Verdict::Fresh { .. } => assert!(times.iter().any(|time| time.instant().is_some())),
            Verdict::Settled(status) => assert_eq!(status.as_str(), row.status),
        }
    }
    for (id, _) in &plan.unreadable {
        assert!(rows.iter().any(|row| row.id == *id));
    }
}

/// What an owner and an operator see of a row is what stands in it, and its JSON is read back as the same.
fn shown(row: PageRow, policy: &Policy) {
    let page = store::Page { listed_at: row.listed_at, id: row.creation.id.clone() };
    if row.listed_at.unsigned_abs() <= 1 << 53 {
        let written = Value::from(Cursor(page.clone()).to_string());
        assert_eq!(serde_json::from_value::<Cursor>(written).expect("it is one"), Cursor(page));
    }
    let view = DraftView::new(row.clone(), now(), policy);
    let written = serde_json::to_string(&view).expect("it can be written");
    let read: Value = serde_json::from_str(&written).expect("it is JSON");
    let stored = [("id", &row.creation.id), ("kind", &row.creation.kind), ("prompt", &row.prompt)];
    assert!(stored.iter().all(|(key, text)| read[*key] == **text));
    assert_eq!(read["stored_status"], row.creation.status);
    assert_eq!(read["tokens"], row.creation.tokens);
    let failed = view.verdict == "stale" && view.status == "failed";
    assert!(!failed || row.creation.draft().status.and_then(|status| status.active()).is_some());
    assert!(!view.badge.is_empty());
    view.age().into_iter().for_each(|age| assert!(age.to_string().ends_with(" ago")));
}

/// A report is judged, whatever the creation is, and a refused one says why.
fn reported(row: &CreationRow) {
    let fence = row.fence.as_deref().unwrap_or("1.0");
    let reports = [
        Report::Start { worker: "task-1" },
        Report::Heartbeat { fence },
        Report::Complete { fence, result_url: "https://app.example/1", tokens_used: None },
        Report::Fail { fence: None, error_code: "out_of_memory", tokens_used: None },
        Report::Fail { fence: Some(fence), error_code: "out_of_memory", tokens_used: None },
        Report::Publish,
        Report::Delete,
        Report::Restore,
    ];
    let Some(snapshot) = row.snapshot() else { return };
    for report in reports {
        if let Judgement::Refuse(refusal) = report.judge(&snapshot) {
            assert!(!refusal.code().is_empty() && !refusal.to_string().is_empty());
        }
    }
}

/// Whole results: of the watch, the outbox, the dashboard, and what operators ask.
fn results(value: &Value, policy: &Policy) {
    let rows = |value: &Value| -> Vec<Row> {
        value.as_array().into_iter().flatten().filter_map(|row| row.as_object().cloned()).collect()
    };
    let list: Vec<Vec<Row>> = value.as_array().into_iter().flatten().map(rows).collect();
    let flat = rows(value);
    if let Ok(events) = claimed(flat.clone()) {
        assert_eq!(events.len(), flat.len());
    }
    let _ = SweepAudit::read(flat.clone());
    let _ = Explanation::read(list.clone(), now(), policy);
    let health = match store::observed(list.clone()) {
        Ok(observed) => {
            diagnose(&observed.evidence, &Thresholds::default(), now())
                .iter()
                .for_each(|finding| assert!(!finding.evidence.is_empty()));
            Health {
                findings: alerts(&observed.evidence, &Thresholds::default(), now()),
                suspended: observed.evidence.suspended,
                last_good_sweep: observed.evidence.last_good_sweep,
                firing: observed.firing,
            }
        }
        Err(_) => Health::default(),
    };
    let Ok(data) = Dashboard::read(list) else { return };
    let durations: Vec<_> = data.totals.iter().map(duration).collect();
    scraped(&metrics::text(&health, &data, Some(&durations), &[]));
    for hours in [24, 720] {
        let view = DashboardView {
            now: now(),
            hours,
            actor: "ada",
            csrf: "",
            notice: &Done::default(),
            policy,
            health: &health,
            data: &data,
            unreachable: &[],
        };
        assert!(dashboard_page(&view).ends_with("</html>"));
    }
}

/// A duration of the same kind.
fn duration(row: &Rolled) -> Duration {
    Duration {
        measure: String::from("wait"),
        kind: row.kind.clone(),
        outcome: String::from("started"),
        total_ms: row.tokens,
        bands: [row.creations; 12],
    }
}

/// Each line of the metrics is a comment or a sample, whatever the labels hold.
fn scraped(text: &str) {
    assert!(text.ends_with("# EOF\n"));
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (series, value) = line.rsplit_once(' ').expect("it has a value");
        assert!(
            series.starts_with("stale_drafts_") && value.parse::<f64>().is_ok_and(f64::is_finite),
            "{line}"
        );
        let Some((_, labels)) = series.split_once('{') else { continue };
        let mut rest = labels;
        while rest != "}" {
            let (name, value) = rest.split_once("=\"").expect("it is a label");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            let mut escaped = false;
            let end = value.find(|character| {
                let ends = character == '"' && !escaped;
                escaped = character == '\\' && !escaped;
                ends
            });
            rest = &value[end.expect("it ends") + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
    }
}
