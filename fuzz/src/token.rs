//! Credentials: `Authorization` and `Cookie` headers, and the JSON Web Tokens in them.
//!
//! The input is a header as it comes, and also the two parts of a token as JSON, a line each, which are then signed: what
//! stands behind a good signature is a stranger's too, and no fuzzer finds that signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use stale_drafts::auth::{
    Algorithm, ApiToken, AuthConfig, Callers, Issuer, Scope, Secret, Unverified, bearer, claimed_issuer,
    cookie, csrf, csrf_matches, find,
};
use stale_drafts::read;

use crate::{NOW_MS, as_text, now};

/// What the tokens of the corpus are signed with; it signs nothing else.
pub const SECRET: &str = "k3Jv0sW9qYt6Zb2mXn8Lr5Hc1Fd4Gp7A";
const OTHER: &str = "Qm4Tz7Rp1Vb9Kx3Nd6Wf0Jc8Hs2Lg5Ya";

/// Panics if a law is broken.
pub fn holds(data: &[u8]) {
    let text = as_text(data);
    headers(&text);
    raw(bearer(&text).unwrap_or(&text));
    if let Some((header, body)) = text.split_once('\n') {
        signed(header, body);
    }
}

fn secret(text: &str) -> Secret {
    Secret::new("JWT_SECRET", Some(text)).expect("it is fit")
}

fn headers(text: &str) {
    if let Some(credential) = bearer(text) {
        assert!(text.ends_with(credential) || text.trim_end().ends_with(credential));
        assert!(!credential.is_empty() && credential.trim() == credential);
        assert!(text[..6].eq_ignore_ascii_case("bearer"));
    }
    if let Some(value) = cookie(text, "session") {
        assert!(!value.is_empty() && !value.contains(';') && text.contains(&format!("session={value}")));
    } else {
        // Whatever stands before it, a cookie is found.
        assert_eq!(cookie(&format!("{text}; session=abc"), "session"), Some("abc"));
    }
    let tokens = [SECRET, OTHER].map(|token| ApiToken {
        name: token.to_owned(),
        sha256: Sha256::digest(token).into(),
        scopes: vec![Scope::Read],
    });
    let known = [SECRET, OTHER].into_iter().find(|token| *token == text);
    assert_eq!(find(&tokens, text).map(|token| token.name.as_str()), known);
    assert_eq!(bool::from(secret(SECRET).matches(text)), text == SECRET);
    assert!(csrf_matches(text, &csrf(text)) && !csrf_matches(OTHER, &format!("{text} ")));
}

/// A token as it comes. It is accepted if, and only if, its signature is the one that its secret makes.
fn raw(token: &str) {
    if let Some(issuer) = claimed_issuer(token) {
        assert!(token.len() <= 8_192);
        let claims = part(token.split('.').nth(1)).expect("it was read");
        assert_eq!(claims.get("iss"), Some(&Value::from(issuer)));
    }
    for algorithm in [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256] {
        let Ok(read) = Unverified::read(token, algorithm) else { continue };
        let (start, end) = token.rsplit_once('.').expect("it has parts");
        assert!(token.len() <= 8_192);
        assert_eq!(read.signed(), start.as_bytes());
        // One signature has one text: nobody else's can be passed off as another token.
        assert_eq!(URL_SAFE_NO_PAD.encode(read.signature()), end);
        let header = part(start.split('.').next()).expect("it was read");
        assert_eq!(header.get("alg"), Some(&Value::from(algorithm.as_str())));
        assert!(!header.contains_key("crit"));
        assert_eq!(read.kid(), header.get("kid").and_then(Value::as_str));
        let valid = read.signature() == hmac(SECRET, start);
        assert_eq!(read.verify(&secret(SECRET)).is_ok(), valid);
        let again = || Unverified::read(token, algorithm).expect("it was read");
        assert!(!valid || again().verify(&secret(OTHER)).is_err());
        assert!(again().verified(false).is_err());
    }
}

/// Two parts, signed. Who they name is what a second reading of them says.
fn signed(header: &str, body: &str) {
    let parts = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
    let token = format!("{parts}.{}", URL_SAFE_NO_PAD.encode(hmac(SECRET, &parts)));
    raw(&token);
    let read = || Unverified::read(&token, Algorithm::Hs256).and_then(|token| token.verify(&secret(SECRET)));
    let told = |text: &str| Some(text.to_owned());
    let configs = [
        AuthConfig::default(),
        AuthConfig { issuer: told("app"), audience: told("drafts"), ..AuthConfig::default() },
    ];
    for config in configs {
        let user = read().and_then(|token| token.user(&config, now())).ok();
        let fits = token.len() <= 8_192 && header_is_good(header);
        let expected = claims(body, config.issuer.as_deref(), config.audience.as_deref());
        let expected = expected.filter(|_| fits).and_then(|claims| told(claims.get("sub")?.as_str()?));
        assert_eq!(user, expected.filter(|user| !user.is_empty()));
    }
    let only = Callers::Only {
        emails: vec![String::from("ops@app.example")],
        email_verified: true,
        subjects: vec![String::from("repo:app:*")],
    };
    for callers in [Callers::Anyone, only] {
        let issuer = Issuer {
            name: String::from("app"),
            issuer: String::from("app"),
            audience: String::from("drafts"),
            jwks_url: String::new(),
            algorithm: Algorithm::Hs256,
            callers,
            access: false,
            scopes: vec![Scope::Read],
        };
        let Ok(caller) = read().and_then(|token| token.caller(&issuer, now())) else { continue };
        let claims = claims(body, Some("app"), Some("drafts")).expect("somebody was named");
        assert!(!caller.service, "only Access has such tokens");
        let who = caller.name.strip_prefix("app:").expect("it begins with the issuer");
        assert!(!who.is_empty() && ["email", "sub"].iter().any(|key| claims.get(*key) == Some(&who.into())));
        let email = claims.get("email").and_then(Value::as_str).unwrap_or_default();
        let by_email = email.eq_ignore_ascii_case("ops@app.example")
            && claims.get("email_verified") == Some(&Value::Bool(true));
        let by_subject =
            claims.get("sub").and_then(Value::as_str).is_some_and(|sub| sub.starts_with("repo:app:"));
        assert!(issuer.callers == Callers::Anyone || by_email || by_subject);
    }
    // No other text is accepted in its place.
    let places = hmac(OTHER, &token);
    for place in places.iter().take(4).map(|byte| usize::from(*byte) * token.len() / 256) {
        let mut other = token.clone().into_bytes();
        other[place] = if other[place] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).expect("it is ASCII");
        let read = Unverified::read(&other, Algorithm::Hs256).and_then(|token| token.verify(&secret(SECRET)));
        assert!(read.is_err(), "{other}");
    }
}

fn header_is_good(header: &str) -> bool {
    let Some(header) = object(header.as_bytes()) else { return false };
    header.get("alg") == Some(&Value::from("HS256"))
        && !header.contains_key("crit")
        && header.get("kid").is_none_or(|kid| kid.is_null() || kid.is_string())
}

/// The claims, if they are in order now.
fn claims(body: &str, issuer: Option<&str>, audience: Option<&str>) -> Option<Map<String, Value>> {
    let claims = object(body.as_bytes())?;
    let get = |key: &str| claims.get(key).filter(|value| !value.is_null());
    let seconds = NOW_MS as f64 / 1_000.0;
    let texts = ["sub", "iss", "email"].into_iter().all(|key| get(key).is_none_or(Value::is_string));
    let times = ["exp", "nbf"].into_iter().all(|key| get(key).is_none_or(Value::is_number));
    let names = |list: &Value, name: &str| match list {
        Value::String(one) => one == name,
        Value::Array(many) => many.iter().any(|one| one == name),
        _ => false,
    };
    let good = texts
        && times
        && get("aud").is_none_or(|aud| {
            aud.is_string() || aud.as_array().is_some_and(|list| list.iter().all(Value::is_string))
        })
        && get("exp")?.as_f64()? + 60.0 > seconds
        && get("nbf").and_then(Value::as_f64).is_none_or(|nbf| nbf - 60.0 <= seconds)
        && issuer.is_none_or(|issuer| get("iss") == Some(&Value::from(issuer)))
        && audience.is_none_or(|audience| get("aud").is_some_and(|aud| names(aud, audience)));
    good.then_some(claims)
}

fn part(encoded: Option<&str>) -> Option<Map<String, Value>> {
    object(&URL_SAFE_NO_PAD.decode(encoded?).ok()?)
}

/// A JSON object in which no key stands twice.
fn object(json: &[u8]) -> Option<Map<String, Value>> {
    read::json(json).ok()
}

/// HMAC with SHA-256 as RFC 2104 has it: a second one, to compare with.
fn hmac(secret: &str, signed: &str) -> Vec<u8> {
    let padded =
        |with: u8| (0..64).map(|at| secret.as_bytes().get(at).unwrap_or(&0) ^ with).collect::<Vec<_>>();
    let inner = Sha256::digest([padded(0x36).as_slice(), signed.as_bytes()].concat());
    Sha256::digest([padded(0x5c).as_slice(), inner.as_slice()].concat()).to_vec()
}
