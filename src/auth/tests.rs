use super::*;
use crate::rules::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

const SECRET: &str = "k3Jv0sW9qYt6Zb2mXn8Lr5Hc1Fd4Gp7A";
const NOW_SECONDS: i64 = 1_700_000_000;

fn verify(token: &str, config: &AuthConfig, now: Timestamp) -> Result<String, TokenError> {
    let secret = Secret::new("JWT_SECRET", Some(SECRET)).unwrap();
    Unverified::read(token, config.algorithm)?.verify(&secret)?.user(config, now)
}

fn sign(header: &Value, body: &Value, secret: &str) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(body.to_string())
    );
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[track_caller]
fn check(header: Value, body: Value, config: &AuthConfig, expected: Result<&str, TokenError>) {
    let token = sign(&header, &body, SECRET);
    let now = Timestamp::from_millis(NOW_SECONDS * 1_000).unwrap();
    assert_eq!(verify(&token, config, now), expected.map(str::to_owned));
}

fn hs256() -> Value {
    json!({ "alg": "HS256", "typ": "JWT" })
}

#[test]
fn a_good_token_names_its_user() {
    check(hs256(), json!({ "sub": "ada", "exp": NOW_SECONDS + 1 }), &AuthConfig::default(), Ok("ada"));
}

#[test]
fn times_have_a_leeway_of_a_minute() {
    let config = AuthConfig::default();
    check(hs256(), json!({ "sub": "ada", "exp": NOW_SECONDS - 59 }), &config, Ok("ada"));
    check(hs256(), json!({ "sub": "ada", "exp": NOW_SECONDS - 60 }), &config, Err(TokenError::Expired));
    check(hs256(), json!({ "sub": "ada" }), &config, Err(TokenError::Expired));
    let exp = NOW_SECONDS + 600;
    check(hs256(), json!({ "sub": "ada", "exp": exp, "nbf": NOW_SECONDS + 60 }), &config, Ok("ada"));
    let early = json!({ "sub": "ada", "exp": exp, "nbf": NOW_SECONDS + 61 });
    check(hs256(), early, &config, Err(TokenError::NotYetValid));
}

#[test]
fn issuer_audience_and_subject_are_checked() {
    let exp = NOW_SECONDS + 600;
    let config = AuthConfig {
        issuer: Some("app".to_owned()),
        audience: Some("drafts".to_owned()),
        ..AuthConfig::default()
    };
    let ok = json!({ "sub": "ada", "exp": exp, "iss": "app", "aud": ["x", "drafts"] });
    check(hs256(), ok, &config, Ok("ada"));
    let other = json!({ "sub": "ada", "exp": exp, "iss": "other", "aud": "drafts" });
    check(hs256(), other, &config, Err(TokenError::Issuer));
    let other = json!({ "sub": "ada", "exp": exp, "iss": "app", "aud": "other" });
    check(hs256(), other, &config, Err(TokenError::Audience));
    let none = json!({ "sub": "ada", "exp": exp, "iss": "app" });
    check(hs256(), none, &config, Err(TokenError::Audience));
    check(hs256(), json!({ "exp": exp }), &AuthConfig::default(), Err(TokenError::Subject));
    check(hs256(), json!({ "exp": exp, "sub": "" }), &AuthConfig::default(), Err(TokenError::Subject));
}

#[test]
fn claims_are_of_the_types_that_the_standard_gives_them() {
    let config = AuthConfig { audience: Some("drafts".to_owned()), ..AuthConfig::default() };
    let with = |change: Value| {
        let mut body = json!({ "sub": "ada", "exp": NOW_SECONDS + 600, "aud": "drafts" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    for change in [json!({ "email_verified": "true" }), json!({ "common_name": 1 }), json!({ "iss": null })] {
        check(hs256(), with(change), &config, Ok("ada"));
    }
    for change in
        [json!({ "sub": 1 }), json!({ "exp": "1" }), json!({ "aud": 1 }), json!({ "aud": ["drafts", 1] })]
    {
        check(hs256(), with(change), &config, Err(TokenError::Malformed));
    }
}

#[test]
fn a_claim_that_stands_twice_is_refused() {
    let secret = Secret::new("JWT_SECRET", Some(SECRET)).unwrap();
    let token = |body: &str| {
        let parts = [hs256().to_string(), body.to_owned()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(parts.as_bytes());
        format!("{parts}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let now = Timestamp::from_millis(NOW_SECONDS * 1_000).unwrap();
    let body = format!("\"sub\": \"ada\", \"exp\": {}", NOW_SECONDS + 600);
    let config = AuthConfig::default();
    assert_eq!(verify(&token(&format!("{{{body}}}")), &config, now), Ok("ada".to_owned()));
    let twice = token(&format!("{{{body}, \"sub\": \"root\"}}"));
    assert_eq!(verify(&twice, &config, now), Err(TokenError::Malformed));
}

#[test]
fn the_algorithm_is_the_configured_one() {
    let body = json!({ "sub": "ada", "exp": NOW_SECONDS + 600 });
    for alg in ["none", "None", "RS256", "HS512", "hs256", ""] {
        check(json!({ "alg": alg }), body.clone(), &AuthConfig::default(), Err(TokenError::Algorithm));
    }
    for crit in [json!(["b64"]), json!(null)] {
        let header = json!({ "alg": "HS256", "crit": crit });
        check(header, body.clone(), &AuthConfig::default(), Err(TokenError::Malformed));
    }
}

#[test]
fn what_is_no_token_or_not_ours_is_refused() {
    let now = Timestamp::from_millis(NOW_SECONDS * 1_000).unwrap();
    let check = |token: &str| verify(token, &AuthConfig::default(), now);
    let body = json!({ "sub": "ada", "exp": NOW_SECONDS + 600 });
    let good = sign(&hs256(), &body, SECRET);
    assert_eq!(check(&sign(&hs256(), &body, "another secret of 32 bytes or so")), Err(TokenError::Signature));
    assert_eq!(check(good.rsplit_once('.').unwrap().0), Err(TokenError::Malformed));
    assert_eq!(check(&format!("{}.", good.rsplit_once('.').unwrap().0)), Err(TokenError::Signature));
    assert!(check(&good[..good.len() - 4]).is_err());
    for token in ["", ".", "..", "a.b.c", "ada", &"a".repeat(10_000)] {
        assert_eq!(check(token), Err(TokenError::Malformed), "{token}");
    }
    assert_eq!(check(&format!("{good}.{good}")), Err(TokenError::Signature));
    let parts: Vec<_> = good.split('.').collect();
    let root = URL_SAFE_NO_PAD.encode(json!({ "sub": "root", "exp": NOW_SECONDS + 600 }).to_string());
    assert_eq!(check(&[parts[0], &root, parts[2]].join(".")), Err(TokenError::Signature));
}

#[test]
fn weak_secrets_and_placeholders_are_refused() {
    let error = |text: Option<&str>| Secret::new("CLEANUP_TOKEN", text).unwrap_err().to_string();
    let expected = "expected 32 random bytes or more, as `openssl rand -base64 32` prints them";
    assert_eq!(error(None), format!("secret `CLEANUP_TOKEN` is not set: {expected}"));
    assert_eq!(error(Some("")), format!("secret `CLEANUP_TOKEN` is not set: {expected}"));
    assert_eq!(error(Some("short")), format!("secret `CLEANUP_TOKEN` is too weak: {expected}"));
    assert_eq!(error(Some(&"a".repeat(64))), format!("secret `CLEANUP_TOKEN` is too weak: {expected}"));
    for spaced in [format!("{SECRET}\n"), format!(" {SECRET}")] {
        let text = "secret `CLEANUP_TOKEN` is surrounded by white space";
        assert_eq!(error(Some(&spaced)), format!("{text}: {expected}"));
    }
    for control in ["\0", "\n", "\u{85}"] {
        let text = format!("{SECRET}{control}{SECRET}");
        assert_eq!(error(Some(&text)), format!("secret `CLEANUP_TOKEN` is not plain text: {expected}"));
    }
    assert!(error(Some(&format!("\u{feff}{SECRET}"))).contains("is surrounded by white space"));
    let placeholder = "replace-this-CHANGE-ME-with-32-random-bytes";
    assert_eq!(error(Some(placeholder)), format!("secret `CLEANUP_TOKEN` is a placeholder: {expected}"));
    assert_eq!(format!("{:?}", Secret::new("X", Some(SECRET)).unwrap()), "Secret(…)");
}

#[test]
fn each_secret_is_of_its_own() {
    for (one, other) in SECRETS.iter().flat_map(|one| SECRETS.iter().map(move |other| (*one, *other))) {
        let set = |name: &str| [one, other].contains(&name).then(|| SECRET.to_owned());
        let refused = Secret::own(one, set, &[]).map(drop).map_err(|error| error.to_string());
        let shared = format!("secret `{one}` is also in `{other}`: give each its own");
        assert_eq!(refused, if one == other { Ok(()) } else { Err(shared) });
    }
    let token = ApiToken {
        name: String::from("ops"),
        sha256: <sha2::Sha256 as sha2::Digest>::digest(SECRET).into(),
        scopes: vec![Scope::Read],
    };
    let set = |name: &str| (name == "REPORT_TOKEN").then(|| SECRET.to_owned());
    let error = Secret::own("REPORT_TOKEN", set, &[token]).unwrap_err().to_string();
    assert_eq!(error, "secret `REPORT_TOKEN` is also in `api_tokens`: give each its own");
}

#[test]
fn a_secret_matches_itself_only() {
    let secret = Secret::new("CLEANUP_TOKEN", Some(SECRET)).unwrap();
    assert!(bool::from(secret.matches(SECRET)));
    for other in ["", "x", &SECRET[1..], &format!("{SECRET} "), &SECRET.to_lowercase()] {
        assert!(!bool::from(secret.matches(other)), "{other}");
    }
}

#[test]
fn bearer_reads_the_scheme_in_any_case() {
    assert_eq!(bearer("Bearer abc"), Some("abc"));
    assert_eq!(bearer("bearer  abc "), Some("abc"));
    for header in ["", "Bearer", "Bearer ", "Basic abc", "abc", "Bearerabc"] {
        assert_eq!(bearer(header), None, "{header}");
    }
}

#[test]
fn an_issuers_token_names_its_caller() {
    let now = Timestamp::from_millis(NOW_SECONDS * 1_000).unwrap();
    let issuer = Issuer {
        name: "scheduler".to_owned(),
        issuer: "https://accounts.example".to_owned(),
        audience: "https://drafts.example".to_owned(),
        jwks_url: String::new(),
        algorithm: Algorithm::Rs256,
        callers: Callers::Only {
            emails: vec!["sweeper@project.example".to_owned()],
            email_verified: true,
            subjects: vec!["repo:acme/drafts:*".to_owned(), "42".to_owned()],
        },
        access: false,
        scopes: vec![Scope::Sweep],
    };
    let good = json!({
        "iss": issuer.issuer, "aud": issuer.audience, "exp": NOW_SECONDS + 600, "sub": "117",
        "email": "Sweeper@project.example", "email_verified": true,
    });
    let check = |issuer: &Issuer, change: Value| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let token = sign(&json!({ "alg": "RS256", "kid": "1" }), &body, SECRET);
        Unverified::read(&token, Algorithm::Rs256).and_then(|token| token.verified(true)?.caller(issuer, now))
    };
    let person = |name: &str| Ok(Caller { name: name.to_owned(), service: false });
    assert_eq!(check(&issuer, json!({})), person("scheduler:Sweeper@project.example"));
    assert_eq!(check(&issuer, json!({ "email_verified": false })), Err(TokenError::EmailUnverified));
    assert_eq!(check(&issuer, json!({ "email_verified": null })), Err(TokenError::EmailUnverified));
    assert_eq!(check(&issuer, json!({ "email": "eve@project.example" })), Err(TokenError::Caller));
    assert_eq!(check(&issuer, json!({ "email": null })), Err(TokenError::Caller));
    assert_eq!(check(&issuer, json!({ "aud": "https://other.example" })), Err(TokenError::Audience));
    assert_eq!(check(&issuer, json!({ "iss": "https://other.example" })), Err(TokenError::Issuer));
    assert_eq!(check(&issuer, json!({ "exp": NOW_SECONDS - 61 })), Err(TokenError::Expired));
    assert_eq!(check(&issuer, json!({ "email": ["sweeper@project.example"] })), Err(TokenError::Malformed));
    for sub in ["42", "repo:acme/drafts:ref:refs/heads/main"] {
        assert_eq!(check(&issuer, json!({ "email": null, "sub": sub })), person(&format!("scheduler:{sub}")));
    }
    for sub in ["423", "4", "", "repo:acme/drafts", "repo:eve/drafts:ref:refs/heads/main"] {
        assert_eq!(check(&issuer, json!({ "email": null, "sub": sub })), Err(TokenError::Caller), "{sub}");
    }
    let anyone = Issuer { callers: Callers::Anyone, ..issuer };
    assert_eq!(check(&anyone, json!({ "email": null })), person("scheduler:117"));
    // A service token of Access has a name of its own, in place of a `sub`.
    let machine = Ok(Caller { name: String::from("scheduler:e367.access"), service: true });
    let access = Issuer { access: true, ..anyone.clone() };
    for nameless in [json!({ "sub": "" }), json!({ "sub": null }), json!({ "sub": "", "email": "" })] {
        let mut service = json!({ "email": null, "common_name": "e367.access" });
        service.as_object_mut().unwrap().extend(nameless.as_object().unwrap().clone());
        assert_eq!(check(&anyone, service.clone()), Err(TokenError::Subject));
        assert_eq!(check(&access, service), machine);
    }
    for nobody in [json!(""), json!(null), json!(["e367.access"])] {
        let service = json!({ "email": null, "sub": "", "common_name": nobody });
        assert_eq!(check(&access, service), Err(TokenError::Subject));
    }
    // Beside a person's name it says nothing.
    let both = json!({ "email": null, "common_name": "e367.access" });
    assert_eq!(check(&access, both.clone()), person("scheduler:117"));
    let only =
        Callers::Only { emails: vec![], email_verified: false, subjects: vec!["e367.access".to_owned()] };
    let only = Issuer { callers: only, ..access };
    assert_eq!(check(&only, json!({ "email": null, "sub": "", "common_name": "e367.access" })), machine);
    assert_eq!(
        check(&only, json!({ "email": null, "sub": "", "common_name": "other" })),
        Err(TokenError::Caller)
    );
    assert_eq!(check(&only, both), Err(TokenError::Caller));
}

#[test]
fn keys_are_fetched_when_they_are_needed_and_no_oftener() {
    let at = |seconds: i64| Timestamp::from_millis((NOW_SECONDS + seconds) * 1_000).unwrap();
    let rsa = |kid: &str, n: usize| json!({ "kty": "RSA", "kid": kid, "n": "A".repeat(n), "e": "AQAB", "use": "sig", "alg": "RS256" });
    let set = |keys: &[Value]| json!({ "keys": keys }).to_string();
    let mut cache = KeyCache::default();
    let look = |cache: &KeyCache, kid: Option<&str>, seconds: i64| match cache.lookup(
        kid,
        Algorithm::Rs256,
        at(seconds),
    ) {
        Lookup::Use(_) => "use",
        Lookup::Fetch => "fetch",
        Lookup::Wait => "wait",
        Lookup::Refuse => "refuse",
    };
    assert_eq!(look(&cache, Some("1"), 0), "fetch");
    cache.fetching(at(0));
    // Others that come meanwhile wait, rather than being refused.
    assert_eq!(look(&cache, Some("1"), 0), "wait");
    cache.fetched(None, at(0));
    assert_eq!(look(&cache, Some("1"), 9), "refuse");
    assert_eq!(look(&cache, Some("1"), 10), "fetch");
    cache.fetching(at(10));
    cache.fetched(
        Some(&set(&[rsa("1", 342), json!({ "kty": "oct", "k": "x" }), json!("garbage"), rsa("weak", 171)])),
        at(10),
    );
    assert_eq!(look(&cache, Some("1"), 11), "use");
    assert_eq!(look(&cache, None, 11), "use", "the only one that fits");
    for unknown in ["2", "weak", ""] {
        assert_eq!(look(&cache, Some(unknown), 69), "refuse");
        assert_eq!(look(&cache, Some(unknown), 70), "fetch");
    }
    assert_eq!(cache.lookup(Some("1"), Algorithm::Es256, at(11)), Lookup::Refuse);
    // Old keys are renewed; if that fails they serve for a day.
    assert_eq!(look(&cache, Some("1"), 10 + 3_599), "use");
    assert_eq!(look(&cache, Some("1"), 10 + 3_600), "fetch");
    cache.fetching(at(3_610));
    cache.fetched(Some("<html>"), at(3_610));
    assert_eq!(look(&cache, Some("1"), 3_611), "use");
    // A fetch that failed is soon repeated: whoever has just got a new key is not locked out for a minute.
    assert_eq!(look(&cache, Some("new"), 3_619), "refuse");
    assert_eq!(look(&cache, Some("new"), 3_620), "fetch");
    // A new key: those who come while the set is fetched wait for it, and who has a known one does not.
    cache.fetching(at(3_620));
    assert_eq!((look(&cache, Some("new"), 3_621), look(&cache, Some("1"), 3_621)), ("wait", "use"));
    cache.fetched(Some(&set(&[rsa("1", 342), rsa("new", 342)])), at(3_620));
    assert_eq!((look(&cache, Some("new"), 3_621), look(&cache, Some("newer"), 3_621)), ("use", "refuse"));
    // Whoever fetches may go away in the middle: the next one fetches, and old keys don't serve for a day by that.
    cache.fetching(at(7_220));
    assert_eq!((look(&cache, Some("1"), 7_229), look(&cache, Some("1"), 7_280)), ("use", "fetch"));
    cache.fetching(at(90_020));
    assert_eq!(look(&cache, Some("1"), 90_020), "wait");
    cache.fetched(None, at(90_020));
    assert_eq!(look(&cache, Some("1"), 90_020), "refuse");
}

#[test]
fn a_token_is_found_by_its_hash() {
    use sha2::Digest as _;
    let token = |name: &str, text: &str| ApiToken {
        name: name.to_owned(),
        sha256: sha2::Sha256::digest(text).into(),
        scopes: vec![Scope::Read],
    };
    let tokens = [token("old", "one"), token("new", "two")];
    let name = |presented: &str| find(&tokens, presented).map(|token| token.name.as_str());
    assert_eq!((name("one"), name("two"), name("three"), name("")), (Some("old"), Some("new"), None, None));
    assert_eq!(find(&[], "one"), None);
}
