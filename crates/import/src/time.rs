//! Times in text.

use chrono::{DateTime, NaiveDateTime};

/// An instant in text with an offset, as RFC 3339 has it, in epoch milliseconds. What is below a millisecond is cut.
pub fn instant(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

/// A date and time in text that names no offset, as if it were in UTC.
pub fn without_offset(text: &str) -> Option<i64> {
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|time| time.and_utc().timestamp_millis())
}

/// Seconds and nanoseconds, in epoch milliseconds.
pub fn seconds(seconds: i64, nanos: i64) -> Option<i64> {
    seconds.checked_mul(1_000)?.checked_add(nanos.div_euclid(1_000_000))
}
