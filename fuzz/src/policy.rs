//! The configuration: the table `STALE_DRAFTS`, the policy in it.
//!
//! The input is the table as JSON.

use serde_json::{Map, Value};
use stale_drafts::auth::{Algorithm, Callers};
use stale_drafts::config::Config;
use stale_drafts::rules::{
    Active, Draft, Limit, MaxAge, Phase, Policy, Rule, Status, Time, Verdict, classify,
};

use crate::{NOW_MS, as_text, now};

/// Panics if a law is broken.
pub fn holds(data: &[u8]) {
    let Ok(table) = serde_json::from_str::<Value>(&as_text(data)) else { return };
    match Config::from_json(&table) {
        Ok(config) => {
            let table = table.as_object().expect("it was read");
            taken(&config, table);
            credentials(&config);
            let empty = Map::new();
            policy(&config.policy, table.get("policy").and_then(Value::as_object).unwrap_or(&empty));
        }
        Err(error) => {
            let text = error.to_string();
            // A long key is not quoted in full.
            let places = table.as_object().into_iter().flat_map(Map::keys);
            let places = places.map(|key| key.chars().take(40).collect::<String>());
            let named = places.chain([String::from("STALE_DRAFTS")]).any(|key| text.contains(&key));
            let says =
                ["expected", "did you mean", "give one", "give each"].iter().any(|what| text.contains(what));
            assert!(named && says && text.contains('`'), "{text}");
        }
    }
}

fn taken(config: &Config, table: &Map<String, Value>) {
    assert_eq!(Config::from_json(&Value::Object(table.clone())).as_ref(), Ok(config));
    // One misspelt key stops everything.
    let mut more = table.clone();
    more.insert(String::from("polcy"), Value::Null);
    let error = Config::from_json(&Value::Object(more)).expect_err("there is no such key").to_string();
    assert!(error.contains("unknown key `polcy`"), "{error}");
    // Pages judge by the same policy, to the last bit. The texts are compared, for serde_json reads some numbers with another last
    // bit than a browser does.
    let given = table.get("policy").cloned().unwrap_or(Value::Object(Map::new()));
    assert_eq!(config.policy_json, given.to_string());
    assert!((1..=1_000).contains(&config.rows_per_sweep));
    assert!((1..=100).contains(&config.page_size) && (1..=100).contains(&config.max_deliveries));
    assert!((0..=1_440).contains(&config.max_minutes_since_sweep));
    let keep = config.keep;
    assert!([keep.sweeps, keep.events, keep.rollups].iter().all(|days| (1..=3_650).contains(days)));
    assert!(keep.creations.is_none_or(|days| (keep.sweeps..=3_650).contains(&days)));
    if let Some(breaker) = config.breaker {
        assert!((1..=1_000).contains(&breaker.creations) && (1..=100).contains(&breaker.percent));
        assert!((1..=1_000).contains(&breaker.at_least));
    }
    assert!(config.alerts.stale_percent <= 100 && (1..=100).contains(&config.alerts.error_percent));
    assert!((1..=100).contains(&config.alerts.failed_percent));
}

/// No credential is taken that opens more than it says.
fn credentials(config: &Config) {
    let over_tls = |url: &str| {
        let authority = url.split('/').nth(2).unwrap_or_default();
        let here = ["http://localhost:", "http://127.0.0.1:"].iter().any(|start| url.starts_with(start));
        // A scheme is written in letters of either case.
        url.to_ascii_lowercase().starts_with("https://") || (here && !authority.contains('@'))
    };
    let auth = &config.auth;
    if auth.algorithm != Algorithm::Hs256 {
        // A key set may serve many audiences.
        assert!(auth.issuer.is_some() && auth.audience.is_some() && auth.jwks_url.is_some());
    }
    let urls = [&auth.jwks_url, &config.webhook_url].into_iter().flatten();
    assert!(urls.chain(config.issuers.iter().map(|issuer| &issuer.jwks_url)).all(|url| over_tls(url)));
    assert!(config.api_tokens.iter().all(|token| !token.scopes.is_empty() && !token.name.is_empty()));
    for issuer in &config.issuers {
        if let Callers::Only { emails, subjects, .. } = &issuer.callers {
            assert!(!emails.is_empty() || !subjects.is_empty(), "it lets somebody in");
        }
        assert!(!issuer.scopes.is_empty() && !issuer.name.is_empty() && !issuer.audience.is_empty());
        assert!(!issuer.issuer.is_empty() && issuer.algorithm != Algorithm::Hs256);
    }
}

/// The limits are those that stand in the table: read a second time, in plain words.
fn policy(policy: &Policy, table: &Map<String, Value>) {
    let none = Map::new();
    let kinds = table.get("kinds").and_then(Value::as_object).unwrap_or(&none);
    let names = kinds.keys().map(String::as_str);
    for kind in names.chain(["no such kind"]) {
        let own = kinds.get(kind).and_then(Value::as_object).unwrap_or(&none);
        for phase in [Phase::Pending, Phase::Processing, Phase::Heartbeating] {
            let status = if matches!(phase, Phase::Pending) { "pending" } else { "processing" };
            let beats = |table: &Map<String, Value>| match phase {
                Phase::Heartbeating => limit(table, "heartbeat_minutes", MaxAge::minutes),
                _ => None,
            };
            let hours = |table: &Map<String, Value>, key: &str| limit(table, key, MaxAge::checked);
            let expected = beats(own)
                .or_else(|| beats(table))
                .or_else(|| hours(own, status))
                .or_else(|| hours(own, "max_age_hours"))
                .or_else(|| hours(table, status))
                .or_else(|| hours(table, "max_age_hours"))
                .unwrap_or(Limit::After(match table.get("preset").and_then(Value::as_str) {
                    Some("development") => MaxAge::DEVELOPMENT,
                    Some("budget") => MaxAge::BUDGET,
                    _ => MaxAge::PRODUCTION,
                }));
            let (found, rule) = policy.limit_in(phase, kind);
            assert_eq!(found, expected, "{kind}, {status}");
            named(rule, kind, status, table);
            replaced(policy, phase, kind, (found, rule));
        }
        let total = limit(own, "total_hours", MaxAge::checked);
        let total = total.or_else(|| limit(table, "total_hours", MaxAge::checked)).unwrap_or(Limit::Never);
        assert_eq!(policy.total(kind).0, total);
        let attempts = own.get("attempts").or(table.get("attempts")).and_then(Value::as_f64).unwrap_or(1.0);
        assert_eq!(f64::from(policy.attempts(kind).get()), attempts);
        let cancel = own.get("cancel").or(table.get("cancel")).and_then(Value::as_str).unwrap_or("refund");
        assert_eq!(policy.cancellation(kind).as_str(), cancel);
        judged(policy, kind);
    }
    assert_eq!(policy.keeps_late_results(), table.get("keep_late_results") != Some(&Value::Bool(false)));
}

fn limit(table: &Map<String, Value>, key: &str, read: fn(f64) -> Option<MaxAge>) -> Option<Limit> {
    match table.get(key)? {
        Value::String(never) => {
            assert_eq!(never, "never");
            Some(Limit::Never)
        }
        value => Some(Limit::After(value.as_f64().and_then(read).expect("it is a limit"))),
    }
}

/// The rule that is shown is an entry of the table, unless it is the default.
fn named(rule: Rule, kind: &str, status: &str, table: &Map<String, Value>) {
    let active = if status == "pending" { Active::Pending } else { Active::Processing };
    let path = rule.describe(active, kind);
    let entry = match path.strip_prefix(&format!("kinds.{kind}.")) {
        Some(key) => table.get("kinds").and_then(|kinds| kinds.get(kind)).and_then(|own| own.get(key)),
        None => table.get(&path),
    };
    assert!(entry.is_some() || path == "max_age_hours", "{path}");
}

/// A limit that somebody asks for replaces each by age, but not `never`; the limit between heartbeats stays, and none is shorter for
/// whoever sends them.
fn replaced(policy: &Policy, phase: Phase, kind: &str, found: (Limit, Rule)) {
    let asked = MaxAge::DEVELOPMENT;
    let expected = match found {
        (limit, Rule::Heartbeat | Rule::KindHeartbeat) => limit,
        (Limit::Never, _) => Limit::Never,
        (Limit::After(own), _) if phase == Phase::Heartbeating => Limit::After(own.max(asked)),
        (Limit::After(_), _) => Limit::After(asked),
    };
    assert_eq!(policy.with_max_age(asked).limit_in(phase, kind).0, expected);
}

/// At the deadline it is not stale, and a millisecond later it is.
fn judged(policy: &Policy, kind: &str) {
    for (status, started, beat) in [
        (Status::Pending, Time::Missing, Time::Missing),
        (Status::Processing, Time::from_millis(NOW_MS), Time::Missing),
        (Status::Processing, Time::from_millis(NOW_MS - 9), Time::from_millis(NOW_MS)),
    ] {
        let draft = Draft {
            status: Some(status),
            kind,
            created_at: Time::from_millis(NOW_MS - 60_000),
            started_at: started,
            heartbeat_at: beat,
            ..Draft::default()
        };
        if let Verdict::Fresh { deadline: Some(deadline), .. } = classify(&draft, now(), policy) {
            assert!(deadline >= now());
            assert!(matches!(classify(&draft, deadline, policy), Verdict::Fresh { .. }));
            let past = deadline.saturating_add(1);
            assert!(past == deadline || matches!(classify(&draft, past, policy), Verdict::Stale(_)));
        }
    }
}
