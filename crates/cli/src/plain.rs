//! Text from outside as it may be printed. Pure; `fuzz/` holds it against any answer of a server.

use std::fmt::Write as _;

use serde_json::Value;
use stale_drafts::rules::{Age, MaxAge};

/// Text from outside, on one line and without control characters: nothing in it may move a terminal's cursor, or turn round
/// the order in which a line is read.
pub fn one_line(text: &str) -> String {
    text.chars().map(|character| if is_unsafe(character) { '\u{fffd}' } else { character }).collect()
}

/// Control characters (a terminal takes U+009B for `ESC [`), the ends of lines and paragraphs, and what embeds or overrides
/// a direction and so could show one id as another.
fn is_unsafe(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON for machines, indented for people. What a terminal would act on is escaped: JSON itself escapes only some of it.
pub fn indented(value: &Value) -> String {
    let mut text = String::new();
    for character in format!("{value:#}").chars() {
        if character != '\n' && is_unsafe(character) {
            // It stands inside a text, and is a single unit of UTF-16.
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// Text of a JSON value; `-` for what is not there.
pub fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => String::from("-"),
        Some(Value::String(text)) => one_line(text),
        Some(other) => one_line(&other.to_string()),
    }
}

pub fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// An age in milliseconds, in short: `18.2h`.
pub fn age(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_u64).map_or(String::from("-"), |millis| format!("{:#}", Age(millis)))
}

/// A limit in milliseconds: `never`, or as the shortest of its units.
pub fn limit(value: &Value, key: &str) -> String {
    let Some(limit) = value.get(key).and_then(Value::as_u64).and_then(MaxAge::from_millis) else {
        return String::from("never");
    };
    match limit.as_millis() {
        millis if millis % 3_600_000 == 0 => format!("{}h", millis / 3_600_000),
        millis => format!("{:#}", Age(millis)),
    }
}

/// An instant in UTC, to the second.
pub fn time(value: &Value, key: &str) -> String {
    let millis = value.get(key).and_then(Value::as_i64);
    let time = millis.and_then(chrono::DateTime::from_timestamp_millis);
    time.map_or(String::from("-"), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// An instant in UTC, to the minute.
pub fn minute(value: &Value, key: &str) -> String {
    let time = time(value, key);
    time.get(..16).map_or_else(|| time.clone(), str::to_owned)
}

/// `1 creation`, `2 creations`.
pub fn count(number: u64, noun: &str) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{} {noun}{}", groups.join(","), if number == 1 { "" } else { "s" })
}

/// The sum of a number of all rows.
pub fn sum<'a>(rows: impl IntoIterator<Item = &'a Value>, key: &str) -> u64 {
    rows.into_iter().fold(0, |sum, row| sum.saturating_add(number(row, key)))
}

/// `3 creations of 2 users would be marked failed, 30 tokens refunded; 1 creation would be tried again`
pub fn summary(creations: &[Value], will: &str) -> String {
    let (retried, failed): (Vec<_>, Vec<_>) = creations.iter().partition(|row| is_retry(row));
    let mut users: Vec<_> = failed.iter().map(|row| text(row, "user_id")).collect();
    users.sort_unstable();
    users.dedup();
    let tokens = sum(failed.iter().copied(), "tokens");
    let mut parts = Vec::new();
    if !failed.is_empty() || retried.is_empty() {
        parts.push(format!(
            "{} of {} {will}marked failed, {} refunded",
            count(failed.len() as u64, "creation"),
            count(users.len() as u64, "user"),
            count(tokens, "token")
        ));
    }
    if !retried.is_empty() {
        parts.push(format!("{} {will}put back for another attempt", count(retried.len() as u64, "creation")));
    }
    parts.join("; ")
}

/// Whether it is put back for another attempt, and not failed.
pub fn is_retry(row: &Value) -> bool {
    row.get("action").and_then(Value::as_str) == Some("retry")
}
