//! The queries and bodies of requests: plans, sweeps' options, creations, workers' reports.
//!
//! The input is the route with its query in the first line, such as `sweep?dry_run=true` or `fail`, and the body below it.

use serde_json::{Map, Value, json};
use stale_drafts::config::Config;
use stale_drafts::input::{Asked, Fields, Options, Plan, Reported};
use stale_drafts::rules::{
    Active, Candidate, Draft, IllegalTransition, Judgement, Limit, Policy, Refusal, Report, Standing, Status,
    Time, recheck,
};

use crate::{as_text, now};

/// Errors quote what was sent; this is more than any may have.
const LONGEST_ERROR: usize = 2_500;

/// Panics if a law is broken.
pub fn holds(data: &[u8]) {
    let text = as_text(data);
    let (first, body) = text.split_once('\n').unwrap_or((&text, ""));
    let (route, query) = first.split_once('?').unwrap_or((first, ""));
    match route {
        "create" => asked(body),
        "start" | "heartbeat" | "complete" | "fail" => reported(route, body),
        "replay" => replayed(body),
        _ => {
            options(query);
            plan(body);
        }
    }
}

fn options(query: &str) {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let get = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let owned = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let policy =
        json!({ "policy": { "max_age_hours": 2, "kinds": { "song": { "max_age_hours": "never" } } } });
    let config = Config::from_json(&policy).expect("it is valid");
    match Options::read(owned, &config) {
        Ok(options) => {
            let known = ["dry_run", "max_age_hours", "user_id", "kind", "status", "limit", "source"];
            for (at, (key, _)) in pairs.iter().enumerate() {
                assert!(known.contains(key) && !pairs[..at].iter().any(|(other, _)| other == key), "{key}");
            }
            assert_eq!(options.dry_run, get("dry_run") == Some("true"));
            assert_eq!(options.user_id.as_deref(), get("user_id"));
            assert_eq!(options.kind.as_deref(), get("kind"));
            assert_eq!(options.status.map(Active::as_str), get("status"));
            assert_eq!(options.source.as_str(), get("source").unwrap_or("endpoint"));
            assert!((1..=100_000).contains(&options.limit));
            assert!(get("limit").is_some() || options.limit == config.rows_per_sweep);
            let chosen = ["user_id", "kind", "status", "limit"].iter().any(|key| get(key).is_some());
            assert_eq!(options.chosen, chosen);
            // `never` is stronger than a limit that somebody asks for.
            assert_eq!(options.policy.limit(Active::Pending, "song").0, Limit::Never);
            assert!(get("max_age_hours").is_some() || options.policy == config.policy);
        }
        Err(error) => {
            let quoted = pairs.iter().any(|(key, value)| error.contains(*key) && error.contains(*value));
            assert!(
                quoted || error.contains("unknown parameter") || error.contains("given twice"),
                "{error}"
            );
        }
    }
}

fn plan(body: &str) {
    let read = Plan::read(body, false);
    if let Err(error) = &read {
        assert!(!error.is_empty() && error.len() < LONGEST_ERROR, "{error}");
    }
    assert!(matches!(Plan::read(body, true), Ok(None) | Err(_)), "a plan chooses itself");
    let Ok(Some(plan)) = read else { return };
    let value: Value = serde_json::from_str(body).expect("it was read");
    let list = value["creations"].as_array().expect("it was read");
    let planned = plan.planned();
    assert!(planned.len() == list.len() && list.len() <= Plan::MAX as usize);
    assert_eq!(plan.plan_id.as_deref(), value["plan_id"].as_str());
    assert!(plan.plan_id.as_deref().is_none_or(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    let creations = planned.iter().zip(list).map(|(planned, given)| {
        assert_eq!(Some(planned.id), given["id"].as_str());
        assert_eq!(Some(u64::from(planned.attempt)), given["attempt"].as_u64());
        assert_eq!(Some(planned.last_sign_of_life), given["last_sign_of_life"].as_u64());
        let word = planned.stuck_status.map_or("unknown", Status::as_str);
        assert!(planned.stuck_status.is_none() || given["stuck_status"] == word);
        let action = if planned.retries { "retry" } else { "fail" };
        assert_eq!(given["action"], action);
        json!({ "id": planned.id, "attempt": planned.attempt, "stuck_status": word,
            "last_sign_of_life": planned.last_sign_of_life, "action": action })
    });
    let written = json!({ "plan_id": plan.plan_id, "creations": creations.collect::<Vec<_>>() }).to_string();
    let again = Plan::read(&written, false).expect("it is a plan").expect("it is not empty");
    assert_eq!((again.planned(), &again.plan_id), (planned.clone(), &plan.plan_id));
    for planned in planned.iter().take(20) {
        let created_at = i64::try_from(planned.last_sign_of_life).map_or(Time::Malformed, Time::from_millis);
        for status in [planned.stuck_status, Some(Status::Pending), Some(Status::Failed), None] {
            let draft =
                Draft { status, kind: "image", attempt: planned.attempt, created_at, ..Draft::default() };
            let candidate = Candidate { id: planned.id, draft };
            // What is carried out is what was confirmed, and nothing else.
            if let Ok(failure) = recheck(planned, Some(&candidate), now(), &Policy::default()) {
                assert_eq!(failure.id, planned.id);
                assert_eq!(Some(failure.staleness.stuck_status.status()), planned.stuck_status);
                assert_eq!(failure.staleness.last_sign_of_life.as_millis(), planned.last_sign_of_life);
                assert_eq!(failure.staleness.attempt, planned.attempt);
                assert_eq!(failure.staleness.retries(), planned.retries);
            }
        }
        assert!(recheck(planned, None, now(), &Policy::default()).is_err());
    }
}

/// The keys of a body that was taken.
fn keys(body: &str) -> Map<String, Value> {
    if body.trim().is_empty() { Map::new() } else { serde_json::from_str(body).expect("it was read") }
}

fn refused(error: &str) {
    assert!(!error.is_empty() && error.len() < LONGEST_ERROR, "{} bytes: {error}", error.len());
}

fn asked(body: &str) {
    let read = |body: &str| Fields::read(body).and_then(Asked::read);
    match read(body) {
        Ok(asked) => {
            let Asked { user_id, kind, prompt, tokens } = &asked;
            assert!((1..=200).contains(&user_id.len()) && (1..=200).contains(&kind.len()));
            assert!((1..=20_000).contains(&prompt.len()) && *tokens < 1 << 53);
            let written = json!({ "user_id": user_id, "kind": kind, "prompt": prompt, "tokens": tokens });
            assert_eq!(Value::Object(keys(body)), written);
            assert_eq!(format!("{:?}", read(&written.to_string())), format!("{:?}", Ok::<_, String>(&asked)));
        }
        Err(error) => refused(&error),
    }
}

fn reported(verb: &str, body: &str) {
    let read = |body: &str| Fields::read(body).and_then(|fields| Reported::read(verb, fields));
    let reported = match read(body) {
        Ok(reported) => reported,
        Err(error) => return refused(&error),
    };
    let (word, written) = match &reported {
        Reported::Start { worker } => ("start", json!({ "worker": worker })),
        Reported::Heartbeat { fence, progress } => {
            assert!(progress.is_none_or(|percent| percent <= 100));
            ("heartbeat", json!({ "fence": fence, "progress": progress }))
        }
        Reported::Complete { fence, result_url } => {
            assert!(result_url.starts_with("http") && result_url.len() <= 2_048);
            ("complete", json!({ "fence": fence, "result_url": result_url }))
        }
        Reported::Fail { fence, error_code, error } => {
            // That one is the sweep's: whoever reads it can rely on who wrote it.
            assert_ne!(error_code, "generation_timeout");
            ("fail", json!({ "fence": fence, "error_code": error_code, "error": error }))
        }
    };
    assert_eq!(word, verb);
    for (key, value) in keys(body) {
        assert_eq!(written[&key], value, "{key}");
    }
    assert_eq!(format!("{:?}", read(&written.to_string())), format!("{:?}", Ok::<_, String>(&reported)));
    judged(&reported.report());
}

/// What becomes of a report, whatever stands.
fn judged(report: &Report<'_>) {
    for status in Status::ALL {
        for (worker, fence) in [(None, None), (Some("task-1"), Some("2.6c0f"))] {
            // A fence is void with its attempt: what waits has none.
            let fence = fence.filter(|_| status != Status::Pending);
            let standing = Standing {
                status,
                attempt: 2,
                worker,
                fence,
                error_code: None,
                result_url: None,
                late: false,
                restored: false,
                deleted: false,
            };
            let (to, carries) = match *report {
                Report::Start { .. } => (Status::Processing, None),
                Report::Heartbeat { fence } => (Status::Processing, Some(fence)),
                Report::Complete { fence, .. } => (Status::Draft, Some(fence)),
                Report::Fail { fence, .. } => (Status::Failed, fence),
                _ => unreachable!("no worker reports it"),
            };
            match report.judge(&standing) {
                Judgement::Accept => {
                    let stays = matches!(report, Report::Heartbeat { .. }) && status == to;
                    assert!(stays || status.transition(to).is_ok());
                    assert!(carries.is_none() || carries == fence);
                    assert!(status != Status::Processing || carries == Some("2.6c0f"));
                }
                Judgement::Repeat => assert!(status != Status::Pending),
                Judgement::Refuse(refusal) => {
                    assert!(!refusal.code().is_empty() && !refusal.to_string().is_empty());
                    if let Refusal::Illegal(IllegalTransition { from, to }) = refusal {
                        assert!(from == status && from.transition(to).is_err());
                    }
                }
            }
        }
    }
}

fn replayed(body: &str) {
    let read = Fields::read(body).and_then(|mut fields| {
        let ids = fields.texts("ids", 1_000)?;
        fields.end().map(|()| ids)
    });
    match read {
        Ok(ids) => {
            let given = keys(body);
            assert!(ids.as_ref().is_none_or(|ids| ids.len() <= 1_000));
            assert_eq!(ids.map(Value::from), given.get("ids").cloned());
            assert!(given.keys().all(|key| key == "ids"));
        }
        Err(error) => refused(&error),
    }
}
