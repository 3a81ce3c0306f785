//! What the rules answer natively to the cases of `agreement.mjs`, one line of JSON for each line of standard input.
//!
//! A line is `{"settings": [[path, "number" | "text" | "other", text]], "earliest", "latest", "drafts": [{…}]}`, and the answer
//! `{"error"}` about the settings, or `{"verdicts": [[verdict, status, badge, error, error_code, deadline, age_ms, max_age_ms,
//! rule, badge_code, error_params]]}` by the names that the npm package has for them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead as _, Write as _};

use serde_json::{Value, json};
use stale_drafts::rules::{
    Action, Age, Badge, Draft, GENERATION_TIMEOUT, Limit, MaxAge, Policy, PolicyError, Setting, Status, Time,
    Timestamp, Unit, Verdict, badge, classify,
};

fn main() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let case: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = match policy(&case["settings"]) {
            Err(error) => json!({ "error": error.to_string() }),
            Ok(policy) => {
                let [earliest, latest] = ["earliest", "latest"].map(|key| instant(&case[key]));
                let drafts = case["drafts"].as_array().unwrap();
                let verdicts: Vec<_> =
                    drafts.iter().map(|draft| answer(draft, earliest, latest, &policy)).collect();
                json!({ "verdicts": verdicts })
            }
        };
        writeln!(out, "{answer}").unwrap();
    }
}

fn policy(settings: &Value) -> Result<Policy, PolicyError> {
    let settings = settings.as_array().unwrap().iter().map(|setting| {
        let path: Vec<_> = setting[0].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        let text = setting[2].as_str().unwrap();
        let setting = match setting[1].as_str().unwrap() {
            "number" => Setting::Number(text.parse().unwrap(), text),
            "text" => Setting::Text(text),
            _ => Setting::Other(text),
        };
        (path, setting)
    });
    Policy::from_settings(settings)
}

fn instant(value: &Value) -> Timestamp {
    Timestamp::from_millis(value.as_i64().unwrap()).unwrap()
}

fn time(value: &Value) -> Time {
    match value {
        Value::Null => Time::Missing,
        value => value.as_i64().map_or(Time::Malformed, Time::from_millis),
    }
}

/// For a `now` between two instants: what is not stale at the earlier one is not yet stale.
fn answer(draft: &Value, earliest: Timestamp, latest: Timestamp, policy: &Policy) -> Value {
    let status = draft["status"].as_str();
    let draft = Draft {
        status: status.and_then(|status| status.parse().ok()),
        kind: draft["kind"].as_str().unwrap_or_default(),
        // Counted from 1, as the package reads it too.
        attempt: draft["attempt"].as_u64().map_or(1, |attempt| u32::try_from(attempt).unwrap().max(1)),
        created_at: time(&draft["created_at"]),
        queued_at: time(&draft["queued_at"]),
        started_at: time(&draft["started_at"]),
        heartbeat_at: time(&draft["heartbeat_at"]),
        extended_until: time(&draft["extended_until"]),
    };
    let verdict = match classify(&draft, latest, policy) {
        Verdict::Stale(stale) if earliest <= stale.deadline() => Verdict::Fresh {
            status: stale.stuck_status,
            deadline: Some(stale.deadline()),
            limit: MaxAge::from_millis(stale.max_age_ms).map_or(Limit::Never, Limit::After),
            rule: stale.rule,
            extended_until: stale.put_off(),
        },
        Verdict::Stale(stale) => Verdict::Stale(stale_drafts::rules::Staleness {
            age_ms: earliest.millis_since(stale.since),
            ..stale
        }),
        verdict => verdict,
    };
    let mut answer = row(verdict, status, draft.kind);
    let params = match verdict {
        Verdict::Stale(stale) => {
            let (count, unit) = Age(stale.age_ms).parts();
            let count = if unit == Unit::TenthsOfHours { count as f64 / 10.0 } else { count as f64 };
            let status = stale.stuck_status.as_str();
            json!({ "status": status, "count": count, "unit": unit.as_str(), "attempts": stale.attempt })
        }
        Verdict::Unreadable(reason) => {
            reason.field().map_or(Value::Null, |field| json!({ "field": field.as_str() }))
        }
        Verdict::Settled(_) | Verdict::Fresh { .. } => Value::Null,
    };
    answer.as_array_mut().unwrap().extend([Badge::of(&verdict).code().into(), params]);
    answer
}

fn row(verdict: Verdict, status: Option<&str>, kind: &str) -> Value {
    let badge = badge(&verdict);
    match verdict {
        Verdict::Settled(status) => {
            json!(["settled", status.as_str(), badge, null, null, null, null, null, null, null])
        }
        Verdict::Unreadable(reason) => {
            json!([
                "unreadable",
                status,
                badge,
                reason.to_string(),
                reason.code(),
                null,
                null,
                null,
                null,
                null
            ])
        }
        Verdict::Fresh { status, deadline, limit, rule, extended_until } => {
            let rule = rule.describe(status, kind);
            let deadline = deadline.map(Timestamp::as_millis);
            let extended = extended_until.map(Timestamp::as_millis);
            json!([
                "fresh",
                status.as_str(),
                badge,
                null,
                null,
                deadline,
                null,
                millis(limit),
                rule,
                extended
            ])
        }
        Verdict::Stale(stale) => {
            let status = if stale.action() == Action::Retry { Status::Pending } else { Status::Failed };
            json!([
                "stale",
                status.as_str(),
                badge,
                stale.error_text().to_string(),
                GENERATION_TIMEOUT,
                stale.deadline().as_millis(),
                stale.age_ms,
                stale.max_age_ms,
                stale.rule.describe(stale.stuck_status, kind),
                null
            ])
        }
    }
}

fn millis(limit: Limit) -> Value {
    match limit {
        Limit::After(max_age) => max_age.as_millis().into(),
        Limit::Never => "Infinity".into(),
    }
}
