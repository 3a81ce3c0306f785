//! The queries and bodies of requests: plans, sweeps' options, creations, workers' reports.
//!
//! The input is the route with its query in the first line, such as `sweep?dry_run=true` or `fail`, and the body below it.

use serde_json::{Value, json};
use stale_drafts::config::Config;
use stale_drafts::read::{self, Invalid};
use stale_drafts::rules::{
    Active, Candidate, Draft, IllegalTransition, Judgement, Limit, Policy, Refusal, Report, Snapshot, Status,
    Time, recheck,
};

use stale_drafts::worker::plan::Plan;
use stale_drafts::worker::retries::{ApplyBody, MAX_ROWS};
use stale_drafts::worker::routes::creations::{CompleteBody, CreateBody, FailBody, HeartbeatBody, StartBody};
use stale_drafts::worker::routes::events::ReplayBody;
use stale_drafts::worker::routes::sweeps::CleanupQuery;

use crate::{as_text, now};

/// Errors quote what was sent; this is more than any may have.
const LONGEST_ERROR: usize = 2_500;

/// Panics if a law is broken.
pub fn holds(data: &[u8]) {
    let text = as_text(data);
    let (first, body) = text.split_once('\n').unwrap_or((&text, ""));
    let (route, query) = first.split_once('?').unwrap_or((first, ""));
    match route {
        "create" => created(body),
        "start" | "heartbeat" | "complete" | "fail" => reported(route, body),
        "replay" => replayed(body),
        "retries" => retried(body),
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
    let owned: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let policy =
        json!({ "policy": { "max_age_hours": 2, "kinds": { "song": { "max_age_hours": "never" } } } });
    let config = Config::from_json(&policy).expect("it is valid");
    match read::query::<CleanupQuery>(owned) {
        Ok(options) => {
            let known = ["dry_run", "max_age_hours", "user_id", "kind", "status", "limit", "source"];
            for (at, (key, _)) in pairs.iter().enumerate() {
                assert!(known.contains(key) && !pairs[..at].iter().any(|(other, _)| other == key), "{key}");
            }
            assert_eq!(options.dry_run(), get("dry_run") == Some("true"));
            assert_eq!(options.user_id(), get("user_id"));
            assert_eq!(options.filter().kind, get("kind"));
            assert_eq!(options.filter().status.map(Active::as_str), get("status"));
            assert_eq!(options.source().as_str(), get("source").unwrap_or("endpoint"));
            assert!(options.limit().is_none_or(|limit| limit > 0));
            assert_eq!(options.limit().is_some(), get("limit").is_some());
            let chosen = ["user_id", "kind", "status", "limit"].iter().any(|key| get(key).is_some());
            assert_eq!(options.chooses(), chosen);
            let policy = options.policy(&config.policy);
            // `never` is stronger than a limit that somebody asks for.
            assert_eq!(policy.limit(Active::Pending, "song").0, Limit::Never);
            assert!(get("max_age_hours").is_some() || policy == config.policy);
        }
        Err(error) => refused(&error),
    }
}

fn plan(body: &str) {
    let plan = match Plan::read(body.as_bytes()) {
        Ok(Some(plan)) => plan,
        Ok(None) => return,
        Err(error) => return refused(&error),
    };
    // Half a surrogate pair is read as U+FFFD; this reader knows none.
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return assert!(body.to_ascii_lowercase().contains("\\ud"), "it was read");
    };
    let list = value["creations"].as_array().expect("it was read");
    let planned = plan.planned();
    assert!(planned.len() == list.len() && list.len() <= Plan::MAX as usize);
    assert_eq!(plan.id(), value["plan_id"].as_str());
    assert!(plan.id().is_none_or(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    let creations = planned.iter().zip(list).map(|(planned, given)| {
        assert_eq!(Some(planned.id), given["id"].as_str());
        // A whole number may be written as 5.0, or 0 as -0.
        assert_eq!(Some(f64::from(planned.attempt)), given["attempt"].as_f64());
        assert_eq!(Some(planned.last_sign_of_life as f64), given["last_sign_of_life"].as_f64());
        let word = planned.stuck_status.map_or("unknown", Status::as_str);
        assert!(planned.stuck_status.is_none() || given["stuck_status"] == word);
        let action = planned.action.as_str();
        assert_eq!(given["action"], action);
        json!({ "id": planned.id, "attempt": planned.attempt, "stuck_status": word,
            "last_sign_of_life": planned.last_sign_of_life, "action": action })
    });
    let written = json!({ "plan_id": plan.id(), "creations": creations.collect::<Vec<_>>() }).to_string();
    let again = Plan::read(written.as_bytes()).expect("it is a plan").expect("it is not empty");
    assert_eq!((again.planned(), again.id()), (planned.clone(), plan.id()));
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
                assert_eq!(failure.staleness.action(), planned.action);
            }
        }
        assert!(recheck(planned, None, now(), &Policy::default()).is_err());
    }
}

fn refused(error: &Invalid) {
    let text = &error.message;
    assert!(!text.is_empty() && text.len() < LONGEST_ERROR, "{} bytes: {text}", text.len());
}

fn created(body: &str) {
    match read::json::<CreateBody>(body.as_bytes()) {
        Ok(read) => {
            let new = read.creation("id");
            assert!((1..=200).contains(&new.user_id.len()) && (1..=200).contains(&new.kind.len()));
            assert!(
                (1..=20_000).contains(&new.prompt.chars().count())
                    && !new.prompt.contains('\0')
                    && new.tokens < 1 << 53
            );
            let written = json!({ "user_id": new.user_id, "kind": new.kind, "prompt": new.prompt, "tokens": new.tokens });
            let again = read::json::<CreateBody>(written.to_string().as_bytes()).expect("it was read");
            assert_eq!(format!("{again:?}"), format!("{read:?}"));
        }
        Err(error) => refused(&error),
    }
}

fn reported(verb: &str, body: &str) {
    let body = body.as_bytes();
    match verb {
        "start" => match read::json::<StartBody>(body) {
            Ok(body) => judged(&body.report()),
            Err(error) => refused(&error),
        },
        "heartbeat" => match read::json::<HeartbeatBody>(body) {
            Ok(body) => {
                assert!(body.progress().is_none_or(|percent| percent <= 100));
                judged(&body.report());
            }
            Err(error) => refused(&error),
        },
        "complete" => match read::json::<CompleteBody>(body) {
            Ok(body) => {
                let report = body.report();
                let Report::Complete { result_url, .. } = report else { unreachable!("it is one") };
                assert!(result_url.chars().count() <= 2_048);
                let (scheme, rest) = result_url.split_once("://").expect("it is an address");
                assert!(
                    ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) && !rest.is_empty()
                );
                assert!(!result_url.contains(|char: char| char.is_control() || char.is_whitespace()));
                judged(&report);
            }
            Err(error) => refused(&error),
        },
        _ => match read::json::<FailBody>(body) {
            Ok(body) => {
                let report = body.report();
                let Report::Fail { error_code, .. } = report else { unreachable!("it is one") };
                // These are a sweep's and a cancellation's: whoever reads them can rely on who wrote them.
                assert!(!["generation_timeout", "cancelled"].contains(&error_code));
                assert!(
                    !error_code.trim().is_empty()
                        && error_code.chars().count() <= 200
                        && !error_code.contains('\0')
                );
                // Whatever a worker says of it, it can be stored.
                let error = body.error();
                assert!(!error.trim().is_empty() && error.chars().count() <= 20_000 && !error.contains('\0'));
                judged(&report);
            }
            Err(error) => refused(&error),
        },
    }
}

/// What becomes of a report, whatever stands.
fn judged(report: &Report<'_>) {
    for status in Status::ALL {
        for (worker, fence) in [(None, None), (Some("task-1"), Some("2.6c0f"))] {
            // A fence is void with its attempt: what waits has none.
            let fence = fence.filter(|_| status != Status::Pending);
            let standing = Snapshot {
                status,
                attempt: 2,
                worker,
                fence,
                kind: "video",
                tokens: 10,
                tokens_used: None,
                retried: &[],
                error_code: None,
                result_url: None,
                late: false,
                restored: false,
                deleted: false,
                elsewhere: None,
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

fn retried(body: &str) {
    match read::json::<ApplyBody>(body.as_bytes()).and_then(|read| read.plan.planned()) {
        Ok(plan) => {
            assert!(plan.len() <= MAX_ROWS as usize);
            for planned in plan {
                assert!(planned.attempt > 0 && !planned.id.is_empty() && planned.id.chars().count() <= 200);
                assert!(planned.user_id.is_none_or(|user_id| (1..=200).contains(&user_id.len())));
            }
        }
        Err(error) => refused(&error),
    }
}

fn replayed(body: &str) {
    match read::json::<ReplayBody>(body.as_bytes()) {
        Ok(read) => {
            let Ok(ids) = read.ids() else { return };
            let given: Value = if body.trim().is_empty() {
                json!({})
            } else {
                // Half a surrogate pair is replaced, and so is no longer what was given.
                let Ok(given) = serde_json::from_str(body) else { return };
                given
            };
            assert!(ids.as_ref().is_none_or(|ids| ids.len() <= ReplayBody::MAX));
            assert_eq!(json!(ids), given.get("ids").cloned().unwrap_or_default());
        }
        Err(error) => refused(&error),
    }
}
