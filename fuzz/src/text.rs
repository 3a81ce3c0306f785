//! Short texts: statuses, limits, numbers, cursors, secrets, times.
//!
//! The input is one of them.

use serde::Deserialize;
use stale_drafts::auth::Secret;
use stale_drafts::config;
use stale_drafts::read::{self, Whole};
use stale_drafts::rules::{
    Active, Age, Attempts, ErrorText, MarkedMessage, MaxAge, RetriedMessage, Status, Time, Timestamp,
};
use stale_drafts::store::Page;
use stale_drafts::worker::draft::Cursor;

use crate::as_text;

/// Panics if a law is broken.
pub fn holds(data: &[u8]) {
    let text = as_text(data);
    status(&text);
    limit(&text);
    place(&text);
    key(&text);
    if let Ok(number) = text.parse::<i64>() {
        time(number);
    }
    match read::query::<Limit>([(String::from("limit"), text.to_string())]) {
        Ok(Limit { limit }) => {
            assert!((1..=100).contains(&limit.get()));
            assert_eq!(text.trim_start_matches('+').parse(), Ok(limit.get()));
        }
        Err(error) => assert!(error.message.ends_with(": expected a whole number from 1 to 100")),
    }
}

#[derive(Deserialize)]
struct Limit {
    limit: Whole<1, 100>,
}

#[derive(Debug, Deserialize)]
struct Place {
    cursor: Cursor,
}

fn status(text: &str) {
    match text.parse::<Status>() {
        Ok(status) => assert_eq!(status.to_string(), text),
        Err(error) => {
            assert!(error.to_string().contains(&format!("`{text}`")));
            assert!(!Active::ALL.iter().any(|active| active.as_str() == text));
        }
    }
}

fn limit(text: &str) {
    let (by_rules, by_url) = (text.parse::<MaxAge>(), config::max_age(text));
    for error in [by_rules.as_ref().err(), by_url.as_ref().err()].into_iter().flatten() {
        assert!(
            error
                .to_string()
                .starts_with(&format!("invalid max age `{text}`: expected a number of hours above 0"))
        );
    }
    match (&by_rules, &by_url) {
        // The Worker's reader of JSON takes a number of many digits to the nearest double but one: std's would be 15 kB.
        (Ok(one), Ok(other)) => {
            let (one, other) = (one.as_millis(), other.as_millis());
            assert!(one.abs_diff(other) <= 1 + (one >> 51), "the command and the Worker read `{text}` alike");
        }
        // So it is at the two ends.
        (Err(_), Ok(limit)) => {
            let end = limit.as_millis() == 1 || limit.as_millis() > 8_640_000_000_000_000 - 8;
            assert!(end, "what the Worker takes, the command takes: `{text}`");
        }
        _ => {}
    }
    if let Ok(limit) = by_rules {
        let millis = limit.as_millis();
        assert!((1..=8_640_000_000_000_000).contains(&millis));
        assert_eq!(MaxAge::from_millis(millis), Some(limit));
    }
    if let Ok(number) = text.parse::<f64>() {
        assert!(Attempts::checked(number).is_none_or(|attempts| f64::from(attempts.get()) == number));
    }
}

fn place(text: &str) {
    let read = |text: &str| read::query::<Place>([(String::from("cursor"), text.to_owned())]);
    match read(text) {
        Ok(Place { cursor }) => {
            assert!(cursor.0.listed_at.unsigned_abs() <= 1 << 53, "D1 binds it as a double");
            assert_eq!(read(&cursor.to_string()).expect("it is one").cursor, cursor);
        }
        Err(error) => {
            assert!(error.message.ends_with(": expected the `next_cursor` of the page before"));
        }
    }
    let cursor = Cursor(Page { listed_at: 1_700_000_000_000, id: text.to_owned() });
    let written = cursor.to_string();
    assert!(written.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    assert_eq!(read(&written).expect("it is one").cursor, cursor);
}

fn key(text: &str) {
    match Secret::new("CLEANUP_TOKEN", Some(text)) {
        Ok(secret) => {
            assert!(text.len() >= 32 && bool::from(secret.matches(text)));
            assert!(!format!("{secret:?}").contains(text));
            assert_eq!(secret.sign(&["a", "b"]), secret.sign(&["ab"]));
            assert_eq!(secret.sign(&[text]).len(), 32);
        }
        // Its text names the secret, and not its value.
        Err(error) => {
            assert!(error.to_string().starts_with("secret `CLEANUP_TOKEN` is ") || error.is_missing())
        }
    }
    // An id in a line of the log is cut at a character, and not within one.
    let messages = [
        MarkedMessage { id: text, age_ms: 65_520_000 }.to_string(),
        RetriedMessage { id: text, age_ms: 65_520_000, attempt: u32::MAX }.to_string(),
    ];
    let begin: String = text.chars().take(6).collect();
    assert!(messages.iter().all(|message| message.contains(&format!("stale creation {begin}"))));
}

fn time(number: i64) {
    let instant = Timestamp::from_millis(number);
    let plausible = instant.filter(|instant| *instant >= Timestamp::EARLIEST_OF_CREATION);
    assert_eq!(Time::from_millis(number).instant(), plausible);
    assert_eq!(instant.is_some(), (0..=8_640_000_000_000_000).contains(&number));
    let age = Age(number.unsigned_abs());
    for text in [age.to_string(), format!("{age:#}")] {
        assert!(text.starts_with(|digit: char| digit.is_ascii_digit()), "{text}");
    }
    let text = ErrorText { stuck_status: Active::Pending, age_ms: age.0, attempt: 1 }.to_string();
    assert_eq!(text, format!("Generation timeout: Task stuck in pending status for {age}"));
    if let Some(instant) = instant {
        let later = instant.saturating_add(age.0);
        assert!(later >= instant && later <= Timestamp::MAX);
        assert!(later.millis_since(instant) <= age.0 && instant.millis_since(later) == 0);
    }
}
