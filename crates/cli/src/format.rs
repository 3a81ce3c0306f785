//! Values of an answer as safe text. Pure; `fuzz/src/terminal.rs` tests it with any answer of a server.

use std::fmt::Write as _;

use serde_json::Value;
use stale_drafts::rules::{Age, MaxAge};

/// Text on one line, without characters that move a terminal's cursor or change the direction of what follows.
pub fn one_line(text: &str) -> String {
    let shown = |character| match character {
        // The end of a line.
        '\n' | '\r' | '\t' => ' ',
        character if is_unsafe(character) => '\u{fffd}',
        character => character,
    };
    text.chars().map(shown).collect()
}

/// Control characters (a terminal takes U+009B for `ESC [`), separators of lines and paragraphs, and overrides of the direction:
/// they could show one id as another.
fn is_unsafe(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Indented JSON. Escapes what a terminal would act on: JSON itself escapes only some of it.
pub fn indented(value: &Value) -> String {
    let mut text = String::new();
    for character in format!("{value:#}").chars() {
        if character != '\n' && is_unsafe(character) {
            // It is part of a string, and a single unit of UTF-16.
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// A value as text; `-` if it is missing.
pub fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => String::from("-"),
        Some(Value::String(text)) => one_line(text),
        Some(other) => one_line(&other.to_string()),
    }
}

/// A whole number; 0 if it is missing.
pub fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

/// A list; empty if it is missing.
pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// An age in milliseconds, in its short form: `18.2h`.
pub fn age(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_u64).map_or(String::from("-"), |millis| format!("{:#}", Age(millis)))
}

/// A limit in milliseconds: `never`, whole hours, or the short form of an age.
pub fn limit(value: &Value, key: &str) -> String {
    let Some(limit) = value.get(key).and_then(Value::as_u64).and_then(MaxAge::from_millis) else {
        return String::from("never");
    };
    match limit.as_millis() {
        millis if millis % 3_600_000 == 0 => format!("{}h", millis / 3_600_000),
        millis => format!("{:#}", Age(millis)),
    }
}

/// An instant in UTC, to the second: `2023-11-14 22:13:20Z`.
pub fn time(value: &Value, key: &str) -> String {
    instant(value, key, "%Y-%m-%d %H:%M:%SZ")
}

/// An instant in UTC, to the minute: `2023-11-14 22:13Z`.
pub fn minute(value: &Value, key: &str) -> String {
    instant(value, key, "%Y-%m-%d %H:%MZ")
}

fn instant(value: &Value, key: &str, format: &str) -> String {
    let millis = value.get(key).and_then(Value::as_i64);
    let time = millis.and_then(chrono::DateTime::from_timestamp_millis);
    time.map_or(String::from("-"), |time| time.format(format).to_string())
}

/// `1 creation`, `2,000 creations`.
pub fn count(number: u64, noun: &str) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{} {noun}{}", groups.join(","), if number == 1 { "" } else { "s" })
}

/// The sum of one number over all rows.
pub fn sum<'a>(rows: impl IntoIterator<Item = &'a Value>, key: &str) -> u64 {
    rows.into_iter().fold(0, |sum, row| sum.saturating_add(number(row, key)))
}

/// `3 creations of 2 users would be marked failed, 30 tokens refunded; 1 creation would be retried`, with `verb` as `would be `.
pub fn summary(creations: &[Value], verb: &str) -> String {
    let (retried, failed): (Vec<_>, Vec<_>) = creations.iter().partition(|row| is_retry(row));
    let mut users: Vec<_> = failed.iter().map(|row| text(row, "user_id")).collect();
    users.sort_unstable();
    users.dedup();
    let tokens = sum(failed.iter().copied(), "tokens");
    let mut parts = Vec::new();
    if !failed.is_empty() || retried.is_empty() {
        parts.push(format!(
            "{} of {} {verb}marked failed, {} refunded",
            count(failed.len() as u64, "creation"),
            count(users.len() as u64, "user"),
            count(tokens, "token")
        ));
    }
    if !retried.is_empty() {
        parts.push(format!("{} {verb}retried", count(retried.len() as u64, "creation")));
    }
    parts.join("; ")
}

/// Whether the creation goes back to `pending` for another attempt instead of failing.
pub fn is_retry(row: &Value) -> bool {
    row.get("action").and_then(Value::as_str) == Some("retry")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{minute, summary, time};

    #[test]
    fn times_say_that_they_are_utc() {
        let row = json!({ "at": 1_700_000_000_000_i64 });
        assert_eq!(time(&row, "at"), "2023-11-14 22:13:20Z");
        assert_eq!(minute(&row, "at"), "2023-11-14 22:13Z");
        assert_eq!((time(&row, "none"), minute(&row, "none")), (String::from("-"), String::from("-")));
    }

    #[test]
    fn a_summary_separates_failures_from_retries() {
        let rows = [
            json!({ "user_id": "ada", "tokens": 1_500, "action": "fail" }),
            json!({ "user_id": "bo", "tokens": 10, "action": "fail" }),
            json!({ "user_id": "ada", "tokens": 50, "action": "retry" }),
        ];
        let expected = "2 creations of 2 users would be marked failed, 1,510 tokens refunded; 1 creation would be retried";
        assert_eq!(summary(&rows, "would be "), expected);
    }
}
