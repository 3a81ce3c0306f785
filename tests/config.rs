//! The configuration table: what it gives, and what is said of each fault in it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

use serde_json::{Value, json};
use stale_drafts::auth::{Algorithm, Callers, Scope};
use stale_drafts::config::{Config, Keep};
use stale_drafts::rules::CircuitBreaker;

/// Nobody may read it in an error.
const SECRET: &str = "n0t-Used-Anywhere-Else";

#[track_caller]
fn check(table: Value, expected: &str) {
    let error = Config::from_json(&table).expect_err("it is not valid").to_string();
    assert_eq!(error, expected);
    assert!(!error.contains(SECRET), "{error}");
}

fn read(table: Value) -> Config {
    Config::from_json(&table).unwrap()
}

fn token() -> Value {
    json!({ "name": "ops", "sha256": "0".repeat(64), "scopes": ["read"] })
}

fn with(mut table: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::String(text) if text == "left out" => table.as_object_mut().unwrap().remove(key),
            value => table.as_object_mut().unwrap().insert(key.clone(), value.clone()),
        };
    }
    table
}

#[test]
fn what_is_left_out_has_its_default() {
    assert_eq!(read(json!({})), Config::default());
    let empty = json!({
        "policy": {}, "auth": {}, "api_tokens": [], "issuers": [], "circuit_breaker": {}, "alerts": {}, "keep_days": {}
    });
    assert_eq!(read(empty), Config::default());
}

#[test]
fn numbers_are_whole_and_within_their_bounds() {
    for (path, least, most) in [
        ("rows_per_sweep", 1, 1_000),
        ("page_size", 1, 100),
        ("max_minutes_since_sweep", 0, 1_440),
        ("max_deliveries", 1, 100),
        ("circuit_breaker.creations", 1, 1_000),
        ("circuit_breaker.percent", 1, 100),
        ("circuit_breaker.at_least", 1, 1_000),
        ("alerts.overdue_minutes", 1, 1_440),
        ("alerts.stale_percent", 0, 100),
        ("alerts.error_percent", 1, 100),
        ("alerts.outbox_minutes", 1, 1_440),
        ("keep_days.sweeps", 1, 3_650),
        ("keep_days.events", 1, 3_650),
        ("keep_days.rollups", 1, 3_650),
    ] {
        let table = |value: Value| match path.split_once('.') {
            Some((table, key)) => json!({ table: { key: value } }),
            None => json!({ path: value }),
        };
        let text = format!("expected a whole number from {least} to {most}");
        assert_eq!(read(table(json!(f64::from(most)))), read(table(json!(most))), "5.0 is 5");
        read(table(json!(least)));
        for value in [json!(least - 1), json!(most + 1), json!(1.5), json!("5"), json!(null), json!([1])] {
            check(table(value.clone()), &format!("`{path}` is `{value}`: {text}"));
        }
    }
    let config = read(json!({
        "rows_per_sweep": 7, "page_size": 50, "circuit_breaker": { "percent": 5 }, "keep_days": { "events": 2 },
        "alerts": { "outbox_minutes": 2 },
    }));
    assert_eq!((config.rows_per_sweep, config.page_size), (7, 50));
    assert_eq!(config.breaker, Some(CircuitBreaker { percent: 5, ..CircuitBreaker::default() }));
    assert_eq!(config.keep, Keep { events: 2, ..Keep::default() });
    assert_eq!(config.alerts.outbox_ms, 120_000);
    assert_eq!(read(json!({ "circuit_breaker": "off" })).breaker, None);
}

#[test]
fn an_unknown_key_suggests_the_nearest_one() {
    check(json!({ "policies": {} }), "unknown key `policies`: did you mean `policy`?");
    check(
        json!({ "rows_per_transaction": 1 }),
        "unknown key `rows_per_transaction`: did you mean `rows_per_sweep`?",
    );
    check(json!({ "tokens": [] }), "unknown key `tokens`: did you mean `api_tokens`?");
    check(json!({ "keep_day": {} }), "unknown key `keep_day`: did you mean `keep_days`?");
    check(json!({ "auth": { "jwks": "" } }), "unknown key `auth.jwks`: did you mean `auth.jwks_url`?");
    check(
        json!({ "keep_days": { "event": 1 } }),
        "unknown key `keep_days.event`: did you mean `keep_days.events`?",
    );
    check(
        json!({ "circuit_breaker": { "percents": 1 } }),
        "unknown key `circuit_breaker.percents`: did you mean `circuit_breaker.percent`?",
    );
    check(
        json!({ "api_tokens": [with(token(), json!({ "scope": ["read"] }))] }),
        "unknown key `api_tokens[0].scope`: did you mean `api_tokens[0].scopes`?",
    );
    check(
        json!({ "brake": "off" }),
        "unknown key `brake`: expected `policy`, `rows_per_sweep`, `page_size`, `max_minutes_since_sweep`, `auth`, \
         `api_tokens`, `issuers`, `webhook_url`, `max_deliveries`, `circuit_breaker`, `alerts` or `keep_days`",
    );
}

#[test]
fn the_rules_say_what_is_wrong_with_a_policy() {
    check(json!({ "policy": 1 }), "`policy` is `1`: expected a table");
    for policy in [
        json!({ "max_age_hours": 0 }),
        json!({ "preset": "prod" }),
        json!({ "kinds": { "": { "pending": 1 } } }),
    ] {
        let error = Config::from_json(&json!({ "policy": policy })).unwrap_err().to_string();
        assert!(error.starts_with("policy: ") && error.contains('`'), "{error}");
    }
    let policy = json!({ "max_age_hours": 5.0, "kinds": { "video": { "attempts": 2 } } });
    let config = read(json!({ "policy": policy }));
    assert_eq!(config.policy_json, policy.to_string());
    assert_eq!(config.policy.attempts("video").get(), 2);
}

#[test]
fn users_are_verified_by_a_secret_or_by_published_keys() {
    let auth = |auth: Value, expected: &str| check(json!({ "auth": auth }), expected);
    auth(
        json!({ "algorithm": "none" }),
        "`auth.algorithm` is `\"none\"`: expected `\"HS256\"`, `\"RS256\"` or `\"ES256\"`",
    );
    auth(json!({ "cookie": "" }), "`auth.cookie` is `\"\"`: expected text of 1 to 1000 bytes");
    auth(json!({ "audience": null }), "`auth.audience` is `null`: expected text of 1 to 1000 bytes");
    auth(
        json!({ "algorithm": "RS256" }),
        "`auth.jwks_url` is missing: expected the `https://` URL of the issuer's keys",
    );
    let keys = json!({ "algorithm": "RS256", "jwks_url": "https://keys.test/" });
    auth(keys.clone(), "`auth.issuer` is missing: expected the `iss` of the tokens");
    auth(
        with(keys.clone(), json!({ "issuer": "app" })),
        "`auth.audience` is missing: expected the `aud` of the tokens",
    );
    auth(
        with(keys.clone(), json!({ "algorithm": "left out" })),
        "`auth.jwks_url` needs `auth.algorithm`: expected `\"RS256\"` or `\"ES256\"`",
    );
    auth(json!({ "preset": "okta" }), "`auth.preset` is `\"okta\"`: expected `\"firebase\"`");
    auth(json!({ "preset": "firebase" }), "`auth.project` is missing: expected the Firebase project's id");
    auth(
        json!({ "project": "app" }),
        "`auth.preset` is missing: expected `\"firebase\"`, beside `auth.project`",
    );
    auth(
        json!({ "preset": "firebase", "project": "app", "audience": "app" }),
        "`auth.preset` and `auth.audience` exclude each other: give one",
    );
    let config = read(json!({ "auth": with(keys, json!({ "issuer": "app", "audience": "drafts" })) }));
    assert_eq!((config.auth.algorithm, config.auth.audience.as_deref()), (Algorithm::Rs256, Some("drafts")));
    let firebase =
        read(json!({ "auth": { "preset": "firebase", "project": "app", "cookie": "session" } })).auth;
    assert_eq!(firebase.issuer.as_deref(), Some("https://securetoken.google.com/app"));
    assert_eq!((firebase.audience.as_deref(), firebase.cookie.as_deref()), (Some("app"), Some("session")));
}

#[test]
fn api_tokens_are_hashes_with_names_and_scopes() {
    let tokens = |tokens: Value, expected: &str| check(json!({ "api_tokens": tokens }), expected);
    let digits = "expected 64 hexadecimal digits, as `mark-stale-drafts token` prints";
    tokens(
        json!([with(token(), json!({ "sha256": "abc" }))]),
        &format!("`api_tokens[0].sha256` is not valid: {digits}"),
    );
    tokens(
        json!([with(token(), json!({ "sha256": "left out" }))]),
        &format!("`api_tokens[0].sha256` is missing: {digits}"),
    );
    tokens(
        json!([with(token(), json!({ "name": "" }))]),
        "`api_tokens[0].name` is not valid: expected text of 1 to 1000 bytes",
    );
    tokens(
        json!([with(token(), json!({ "scopes": ["read", "admin"] }))]),
        "`api_tokens[0].scopes[1]` is not valid: expected `\"read\"`, `\"sweep\"` or `\"report\"`",
    );
    tokens(
        json!([with(token(), json!({ "scopes": "left out" }))]),
        "`api_tokens[0].scopes` is missing: expected a list",
    );
    tokens(
        json!([with(token(), json!({ "scopes": [] }))]),
        "`api_tokens[0].scopes` is empty: expected a list of `\"read\"`, `\"sweep\"` and `\"report\"`",
    );
    tokens(json!([token(), token()]), "`api_tokens[1].name` is `ops` a second time: give each its own");
    tokens(
        json!([token(), with(token(), json!({ "name": "other" }))]),
        "`api_tokens[1].sha256` is also that of `ops`: give each token its own",
    );
    let config = read(json!({ "api_tokens": [with(token(), json!({ "sha256": "aB".repeat(32) }))] }));
    assert_eq!(
        (config.api_tokens[0].sha256, config.api_tokens[0].scopes.as_slice()),
        ([0xab; 32], &[Scope::Read][..])
    );
}

#[test]
fn an_issuer_says_whose_tokens_may_call() {
    let issuers = |issuers: Value, expected: &str| check(json!({ "issuers": issuers }), expected);
    let access = json!({ "name": "access", "preset": "cloudflare-access", "team": "acme", "audience": "tag", "scopes": ["read"] });
    let google =
        json!({ "name": "g", "preset": "google", "audience": "a", "emails": ["a@b"], "scopes": ["sweep"] });
    let own = json!({
        "name": "ci", "issuer": "https://ci.test", "jwks_url": "https://ci.test/keys", "algorithm": "ES256",
        "audience": "drafts", "subjects": ["repo:acme/drafts:*"], "scopes": ["sweep"],
    });
    issuers(json!([access, access]), "`issuers[1].name` is `access` a second time: give each its own");
    issuers(
        json!([with(google.clone(), json!({ "team": "acme" }))]),
        "`issuers[0].team` has no use here: expected `preset = \"cloudflare-access\"` beside it",
    );
    let team = "expected the team's name, as in `<team>.cloudflareaccess.com`";
    issuers(
        json!([with(access.clone(), json!({ "team": "left out" }))]),
        &format!("`issuers[0].team` is missing: {team}"),
    );
    issuers(
        json!([with(access.clone(), json!({ "team": "evil.example/#" }))]),
        &format!("`issuers[0].team` is `\"evil.example/#\"`: {team}"),
    );
    issuers(
        json!([with(google.clone(), json!({ "preset": "okta" }))]),
        "`issuers[0].preset` is `\"okta\"`: expected `\"google\"` or `\"cloudflare-access\"`",
    );
    issuers(
        json!([with(google.clone(), json!({ "algorithm": "RS256" }))]),
        "`issuers[0].preset` and `issuers[0].algorithm` exclude each other: give one",
    );
    let who = "expected the emails that may call, or `subjects`, or `anyone = true` if the issuer signs for your own people alone";
    issuers(
        json!([with(google.clone(), json!({ "emails": "left out" }))]),
        &format!("`issuers[0].emails` is missing: {who}"),
    );
    issuers(
        json!([with(own.clone(), json!({ "subjects": [] }))]),
        &format!("`issuers[0].emails` is missing: {who}"),
    );
    issuers(
        json!([with(own.clone(), json!({ "anyone": true }))]),
        "`issuers[0].anyone` and `issuers[0].emails` or `issuers[0].subjects` exclude each other: give one",
    );
    issuers(
        json!([with(google.clone(), json!({ "email_verified": "left out", "audience": "left out" }))]),
        "`issuers[0].audience` is missing: expected text of 1 to 1000 bytes",
    );
    issuers(
        json!([with(own.clone(), json!({ "algorithm": "HS256" }))]),
        "`issuers[0].algorithm` is `\"HS256\"`: expected `\"RS256\"` or `\"ES256\"`",
    );
    for (key, expected) in [
        ("issuer", "the `iss` of its tokens"),
        ("jwks_url", "the `https://` URL of the issuer's keys"),
        ("algorithm", "`\"RS256\"` or `\"ES256\"`"),
    ] {
        issuers(
            json!([with(own.clone(), json!({ key: "left out" }))]),
            &format!("`issuers[0].{key}` is missing: expected {expected}"),
        );
    }
    issuers(
        json!([with(own.clone(), json!({ "email_verified": 1 }))]),
        "`issuers[0].email_verified` is `1`: expected `true` or `false`",
    );
    issuers(
        json!([with(own.clone(), json!({ "scopes": ["all"] }))]),
        "`issuers[0].scopes[0]` is `\"all\"`: expected `\"read\"`, `\"sweep\"` or `\"report\"`",
    );
    let config = read(json!({ "issuers": [access, google, own] }));
    let [access, google, own] = config.issuers.as_slice() else { panic!("there are three") };
    assert!(access.access && access.callers == Callers::Anyone);
    assert_eq!(access.jwks_url, "https://acme.cloudflareaccess.com/cdn-cgi/access/certs");
    let only = |emails: &[&str], subjects: &[&str]| Callers::Only {
        emails: emails.iter().map(|email| (*email).to_owned()).collect(),
        email_verified: true,
        subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
    };
    assert_eq!(google.callers, only(&["a@b"], &[]));
    assert_eq!((own.algorithm, &own.callers), (Algorithm::Es256, &only(&[], &["repo:acme/drafts:*"])));
}

#[test]
fn what_may_hold_a_secret_is_not_quoted() {
    let https = "is not valid: expected an `https://` URL";
    let address = format!("http://app.test/hook?key={SECRET}");
    check(json!([SECRET]), "`STALE_DRAFTS` is not valid: expected a table");
    check(json!({ "api_tokens": { "a": SECRET } }), "`api_tokens` is not valid: expected a list");
    check(json!({ "api_tokens": [SECRET] }), "`api_tokens[0]` is not valid: expected a table");
    check(json!({ "issuers": [SECRET] }), "`issuers[0]` is not valid: expected a table");
    check(json!({ "auth": SECRET }), "`auth` is not valid: expected a table");
    check(json!({ "webhook_url": [address] }), &format!("`webhook_url` {https}"));
    for url in [address.as_str(), "", "https://", "ftp://app.test", "https://app.test/a b", "https:///x"] {
        check(json!({ "webhook_url": url }), &format!("`webhook_url` {https}"));
    }
    let keys = format!("http://ops:{SECRET}@keys.test/");
    check(json!({ "auth": { "algorithm": "RS256", "jwks_url": keys } }), &format!("`auth.jwks_url` {https}"));
    let local = "http://localhost:1@keys.test/";
    check(
        json!({ "auth": { "algorithm": "RS256", "jwks_url": local } }),
        &format!("`auth.jwks_url` {https}"),
    );
    for url in [
        "https://app.test",
        "https://app.test/hook?key=1",
        "http://localhost:8787/hook",
        "http://127.0.0.1:1/",
    ] {
        assert_eq!(read(json!({ "webhook_url": url })).webhook_url.as_deref(), Some(url));
    }
    let breaker = "expected `\"off\"` or a table such as `{ creations = 1000, percent = 50 }`";
    check(json!({ "circuit_breaker": "on" }), &format!("`circuit_breaker` is `\"on\"`: {breaker}"));
    check(json!({ "circuit_breaker": 1 }), &format!("`circuit_breaker` is `1`: {breaker}"));
}
