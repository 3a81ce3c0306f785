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
use stale_drafts::config::{Config, Keep, Shards, can_be_deployed};
use stale_drafts::rules::{Bucket, CircuitBreaker};

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
        ("queries_per_run", 50, 1_000),
        ("page_size", 1, 100),
        ("max_minutes_since_sweep", 0, 1_440),
        ("max_deliveries", 1, 100),
        ("circuit_breaker.creations", 1, 1_000),
        ("circuit_breaker.percent", 1, 100),
        ("circuit_breaker.at_least", 1, 1_000),
        ("alerts.overdue_minutes", 1, 1_440),
        ("alerts.stale_percent", 0, 100),
        ("alerts.failed_percent", 1, 100),
        ("alerts.error_percent", 1, 100),
        ("alerts.outbox_minutes", 1, 1_440),
        ("keep_days.sweeps", 1, 3_650),
        ("keep_days.events", 1, 3_650),
        ("keep_days.rollups", 1, 3_650),
        ("keep_days.creations", 1, 3_650),
        ("ask.creations", 1, 1_000),
        ("ask.seconds", 1, 20),
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
    assert_eq!(
        read(json!({ "keep_days": { "creations": 90 } })).keep,
        Keep { creations: Some(90), ..Keep::default() }
    );
    assert_eq!(
        read(json!({ "keep_days": { "creations": 7 } })).keep,
        Keep { sweeps: 7, creations: Some(7), ..Keep::default() }
    );
    check(
        json!({ "keep_days": { "creations": 29, "sweeps": 30 } }),
        "`keep_days.creations` is `29`: expected at least `keep_days.sweeps`, which is `30`",
    );
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
        "unknown key `brake`: expected `binding`, `shards`, `policy`, `rows_per_sweep`, `queries_per_run`, `page_size`, \
         `max_minutes_since_sweep`, `auth`, `api_tokens`, `issuers`, `allowed_origins`, `public_url`, `webhook_url`, `max_deliveries`, `circuit_breaker`, `alerts`, `keep_days`, `read_replicas`, `ask` or `languages`",
    );
}

#[test]
fn each_bucket_belongs_to_exactly_one_shard() {
    let shards = |list: &[(&str, &str)]| {
        let list: Vec<_> =
            list.iter().map(|(binding, buckets)| json!({ "binding": binding, "buckets": buckets })).collect();
        json!({ "shards": list })
    };
    let one = Config::default().shards;
    assert!(!one.are_several());
    assert!((0..4_096).all(|bucket| one.of(Bucket::new(bucket).unwrap()) == 0));
    assert_eq!(read(json!({ "shards": [] })).shards, one);
    assert_eq!(read(json!({ "binding": "MINE" })).shards, Shards::one("MINE"));

    let several = read(shards(&[("A", "0-9, 100 - 4095"), ("B", ""), ("C", "10,11-99")])).shards;
    let of = |bucket| several.of(Bucket::new(bucket).unwrap());
    assert_eq!([0, 9, 10, 11, 99, 100, 4_095].map(of), [0, 0, 2, 2, 2, 0, 0]);
    let names: Vec<_> = several.iter().map(|shard| shard.binding.as_str()).collect();
    assert_eq!((several.are_several(), names), (true, vec!["A", "B", "C"]));

    let expected = "expected each bucket from 0 to 4095 in exactly one";
    check(
        shards(&[("A", "0-2047"), ("B", "2049-4095")]),
        &format!("`shards` give bucket 2048 to none: {expected}"),
    );
    check(shards(&[("A", "")]), &format!("`shards` give bucket 0 to none: {expected}"));
    check(
        shards(&[("A", "0-4095"), ("B", "7")]),
        &format!("`shards` give bucket 7 to `A` and to `B`: {expected}"),
    );
    check(
        shards(&[("A", "0-4095"), ("A", "")]),
        "`shards[1].binding` is `A` once more: expected a database of its own",
    );
    let ranges = "expected ranges of buckets from 0 to 4095, such as `0-2047` or `0-1023,3072-4095`, or `` for none yet";
    for wrong in ["0-4096", "9-1", "-1", "1-", "a", "0,,1", "0-1-2", "+1"] {
        check(shards(&[("A", wrong)]), &format!("`shards[0].buckets` is `\"{wrong}\"`: {ranges}"));
    }
    check(
        json!({ "binding": "A", "shards": [{ "binding": "B", "buckets": "0-4095" }] }),
        "`binding` is of one database, and `shards` lists several: leave out `binding`",
    );
    check(json!({ "shards": [{ "binding": "B" }] }), &format!("`shards[0].buckets` is missing: {ranges}"));
    let many: Vec<_> = (0..77).map(|at| (format!("D{at}"), if at == 0 { "0-4095" } else { "" })).collect();
    let many: Vec<_> = many.iter().map(|(binding, buckets)| (binding.as_str(), *buckets)).collect();
    check(shards(&many), "`shards` lists 77: expected at most 76");
    let mut free = shards(&many[..4]);
    free["queries_per_run"] = json!(50);
    check(free, "`queries_per_run` is `50`: expected at least 52, for 4 `shards`");
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
    auth(json!({ "cookie": "" }), "`auth.cookie` is `\"\"`: expected text of 1 to 1000 characters");
    auth(json!({ "audience": null }), "`auth.audience` is `null`: expected text of 1 to 1000 characters");
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
    auth(
        with(keys.clone(), json!({ "issuer": " app\n", "audience": "drafts" })),
        "`auth.issuer` is `\" app\\n\"`: expected text without white space around it",
    );
    for cookie in ["session=", "a b", "a;b", "\"a\"", "sesión"] {
        auth(json!({ "cookie": cookie }), "`auth.cookie` is not valid: expected a cookie's name");
    }
    for project in ["app/#", "a.b", "-app", &"a".repeat(64)] {
        auth(
            json!({ "preset": "firebase", "project": project }),
            "`auth.project` is not valid: expected the Firebase project's id",
        );
    }
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
        "`api_tokens[0].name` is not valid: expected text of 1 to 1000 characters",
    );
    tokens(
        json!([with(token(), json!({ "scopes": ["read", "admin"] }))]),
        "`api_tokens[0].scopes[1]` is not valid: expected `\"read\"`, `\"sweep\"`, `\"report\"` or `\"grant\"`",
    );
    tokens(
        json!([with(token(), json!({ "scopes": "left out" }))]),
        "`api_tokens[0].scopes` is missing: expected a list",
    );
    tokens(
        json!([with(token(), json!({ "scopes": [] }))]),
        "`api_tokens[0].scopes` is empty: expected a list of `\"read\"`, `\"sweep\"`, `\"report\"` and `\"grant\"`",
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
        "`issuers[0].audience` is missing: expected text of 1 to 1000 characters",
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
        "`issuers[0].scopes[0]` is `\"all\"`: expected `\"read\"`, `\"sweep\"`, `\"report\"` or `\"grant\"`",
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
fn nobody_is_let_in_by_a_list_that_stands_for_everybody() {
    let issuer = |changes: Value| {
        let own = json!({
            "name": "ci", "issuer": "https://ci.test", "jwks_url": "https://ci.test/keys", "algorithm": "ES256",
            "audience": "drafts", "scopes": ["sweep"],
        });
        json!({ "issuers": [with(own, changes)] })
    };
    let subject = "expected a subject, or the beginning of one and a single `*` behind it";
    for wrong in ["*", "**", ":*", "/*", "repo:acme/*:main", "*:main", "repo:acme/**"] {
        let list = json!({ "subjects": ["repo:acme/drafts:*", wrong] });
        check(issuer(list), &format!("`issuers[0].subjects[1]` is not valid: {subject}"));
    }
    for wrong in ["*", "*@acme.test", "ops@*", "ops"] {
        let text = "`issuers[0].emails[0]` is not valid: expected a whole email, without `*`";
        check(issuer(json!({ "emails": [wrong] })), text);
    }
    for spaced in [" repo:acme/drafts", "repo:acme/drafts\n", " "] {
        let error = Config::from_json(&issuer(json!({ "subjects": [spaced] }))).unwrap_err().to_string();
        assert!(error.ends_with("expected text without white space around it"), "{error}");
    }
    let who = "`issuers[0].emails` is missing: expected the emails that may call, or `subjects`, or `anyone = true` \
               if the issuer signs for your own people alone";
    for nobody in [json!({}), json!({ "emails": [], "subjects": [] }), json!({ "anyone": false })] {
        check(issuer(nobody), who);
    }
    let anybody = "`issuers[0].anyone` would let in everybody, for this issuer signs for anybody: give `emails` or `subjects`";
    for public in
        ["https://token.actions.githubusercontent.com", "https://accounts.google.com", "https://gitlab.com"]
    {
        check(issuer(json!({ "issuer": public, "anyone": true })), anybody);
    }
    let google =
        json!({ "name": "g", "preset": "google", "audience": "a", "anyone": true, "scopes": ["sweep"] });
    check(json!({ "issuers": [google.clone()] }), anybody);
    // Where anybody gets a token, what its subject begins with must be an owner's own.
    let github = |subject: &str| {
        issuer(json!({ "issuer": "https://token.actions.githubusercontent.com", "subjects": [subject] }))
    };
    let owner = "`issuers[0].subjects[0]` is not valid: expected a subject that names its owner before the `*`, such as \
                 `repo:my-org/*`, for this issuer signs for anybody";
    for everybodys in ["repo:*", "r*", "repo:acme*", "project_path:*"] {
        check(github(everybodys), owner);
    }
    for own in [
        "repo:acme/*",
        "repo:acme/drafts:*",
        "repository_owner:acme:*",
        "repo:acme/drafts:ref:refs/heads/main",
    ] {
        read(github(own));
    }
    check(json!({ "issuers": [with(google, json!({ "anyone": "left out", "subjects": ["10*"] }))] }), owner);
    assert_eq!(read(issuer(json!({ "anyone": true }))).issuers[0].callers, Callers::Anyone);
}

#[test]
fn a_team_is_a_part_of_a_hosts_name() {
    let access = |team: &str| json!({ "issuers": [{ "name": "access", "preset": "cloudflare-access", "team": team, "audience": "tag", "scopes": ["read"] }] });
    for team in
        ["", "evil.example/#", "acme.cloudflareaccess.com", "a/b", "a@b", "-acme", "acme-", "ac me", "äcme"]
    {
        let error = Config::from_json(&access(team)).unwrap_err().to_string();
        assert!(error.ends_with("expected the team's name, as in `<team>.cloudflareaccess.com`"), "{error}");
    }
    assert_eq!(read(access("Acme-2")).issuers[0].issuer, "https://acme-2.cloudflareaccess.com");
}

#[test]
fn an_origin_is_one_that_a_browser_sends() {
    let expected = "expected an origin such as `https://app.example`: small letters, no path, no port 443";
    for wrong in [
        "*",
        "null",
        "app.example",
        "https://",
        "https://app.example/",
        "https://App.example",
        "https://app.example:443",
        "http://app.example",
        "https://ada@app.example",
        "https://*.app.example",
        "https://app.example?a",
        "https://a:b",
    ] {
        let table = json!({ "allowed_origins": ["https://app.example", wrong] });
        check(table, &format!("`allowed_origins[1]` is not valid: {expected}"));
    }
    let origins =
        ["https://app.example", "https://app.example:8443", "http://localhost:3000", "https://[::1]:8443"];
    assert_eq!(read(json!({ "allowed_origins": origins })).allowed_origins, origins);
    assert!(read(json!({})).allowed_origins.is_empty());
}

#[test]
fn a_list_of_tokens_goes_on_in_a_variable_of_its_own() {
    let mut config = read(json!({ "api_tokens": [token()] }));
    let other =
        |name: &str, digit: &str| json!({ "name": name, "sha256": digit.repeat(64), "scopes": ["sweep"] });
    config.add_api_tokens("STALE_DRAFTS_API_TOKENS", &json!([other("ci", "1"), other("cron", "2")])).unwrap();
    config.add_api_tokens("STALE_DRAFTS_API_TOKENS_2", &json!([other("beat", "3")])).unwrap();
    let names: Vec<_> = config.api_tokens.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["ops", "ci", "cron", "beat"]);
    for (list, expected) in [
        (json!([other("ci", "4")]), "`MORE[0].name` is `ci` a second time: give each its own"),
        (json!([other("new", "1")]), "`MORE[0].sha256` is also that of `ci`: give each token its own"),
        (json!({ "a": SECRET }), "`MORE` is not valid: expected a list"),
        (json!(SECRET), "`MORE` is not valid: expected a list"),
        (
            json!([other("new", "4"), { "name": "newer", "sha256": SECRET, "scopes": ["read"] }]),
            "`MORE[1].sha256` is not valid: expected 64 hexadecimal digits, as `mark-stale-drafts token` prints",
        ),
        (
            json!([with(other("new", "4"), json!({ "scope": [] }))]),
            "unknown key `MORE[0].scope`: did you mean `MORE[0].scopes`?",
        ),
    ] {
        assert_eq!(config.clone().add_api_tokens("MORE", &list).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_variable_is_no_longer_than_can_be_deployed() {
    let tokens = |count: usize| {
        let token = |n: usize| json!({ "name": format!("token-{n}"), "sha256": format!("{n:064x}"), "scopes": ["read"] });
        json!({ "api_tokens": (0..count).map(token).collect::<Vec<_>>() })
    };
    assert_eq!(can_be_deployed("STALE_DRAFTS", &tokens(40)), Ok(()));
    let error = can_be_deployed("STALE_DRAFTS", &tokens(50)).unwrap_err().to_string();
    assert_eq!(
        error,
        "`STALE_DRAFTS` has 5706 bytes as JSON, and Cloudflare takes 5120 of one variable: put `api_tokens` into \
         `STALE_DRAFTS_API_TOKENS`, and further ones into `STALE_DRAFTS_API_TOKENS_2`"
    );
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
    // Nothing can be sent to an address with a user's name or a password, and what follows `@` is another host.
    for url in [
        format!("https://ops:{SECRET}@keys.test/"),
        String::from("https://ops@keys.test/"),
        String::from("http://localhost:1@keys.test/"),
        format!("https://keys.test:{SECRET}/"),
        String::from("https://keys.test\\@evil.test/"),
        String::from("http://localhost/"),
        String::from("HTTP://keys.test/"),
    ] {
        check(
            json!({ "auth": { "algorithm": "RS256", "jwks_url": url } }),
            &format!("`auth.jwks_url` {https}"),
        );
        check(json!({ "webhook_url": url }), &format!("`webhook_url` {https}"));
    }
    // It may have been put into any other place.
    let long = format!("{SECRET}-{SECRET}");
    for (key, expected) in
        [("algorithm", "`\"HS256\"`, `\"RS256\"` or `\"ES256\"`"), ("preset", "`\"firebase\"`")]
    {
        check(json!({ "auth": { key: long } }), &format!("`auth.{key}` is not valid: expected {expected}"));
    }
    check(json!({ "page_size": long }), "`page_size` is not valid: expected a whole number from 1 to 100");
    check(json!({ "policy": [long] }), "`policy` is not valid: expected a table");
    let hours = "expected hours above 0, such as `1` or `0.5`, or `\"never\"`";
    for value in [json!(long), json!([long])] {
        check(
            json!({ "policy": { "max_age_hours": value } }),
            &format!("policy: `max_age_hours` is `…`: {hours}"),
        );
    }
    let attempts = "policy: `kinds.video.attempts` is `…`: expected a whole number from 1 to 100";
    check(json!({ "policy": { "kinds": { "video": { "attempts": long } } } }), attempts);
    for url in [
        "https://app.test",
        "https://app.test/hook?key=1",
        "http://localhost:8787/hook",
        "http://127.0.0.1:1/",
    ] {
        assert_eq!(read(json!({ "webhook_url": url })).webhook_url.as_deref(), Some(url));
    }
    for url in ["https://drafts.example", "https://app.example/admin/", "http://localhost:8787"] {
        assert_eq!(read(json!({ "public_url": url })).public_url.as_deref(), Some(url));
    }
    let public =
        "is not valid: expected an `https://` URL without `?` and `#`, such as `https://drafts.example`";
    for url in [
        "drafts.example",
        "http://drafts.example",
        "https://a.example?b",
        "https://a.example/#b",
        "https://a.example/>",
        "https://a.example/a|b",
    ] {
        check(json!({ "public_url": url }), &format!("`public_url` {public}"));
    }
    let breaker = "expected `\"off\"` or a table such as `{ creations = 1000, percent = 50 }`";
    check(json!({ "circuit_breaker": "on" }), &format!("`circuit_breaker` is `\"on\"`: {breaker}"));
    check(json!({ "circuit_breaker": 1 }), &format!("`circuit_breaker` is `1`: {breaker}"));
}

#[test]
fn the_languages_of_the_page() {
    assert_eq!(read(json!({})).languages, ["en"]);
    assert_eq!(read(json!({ "languages": ["de", "pt-BR"] })).languages, ["de", "pt-BR"]);
    check(json!({ "languages": [] }), "`languages` is empty: expected at least one, such as `en`");
    check(json!({ "languages": ["de", "DE"] }), "`languages` names `DE` twice: expected it once");
    check(
        json!({ "languages": ["en", "Deutsch"] }),
        "`languages[1]` is `\"Deutsch\"`: expected the tag of a language, such as `de` or `pt-BR`",
    );
}
