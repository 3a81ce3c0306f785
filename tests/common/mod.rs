//! The shared cases of `tests/cases/`, read for the rules.

use serde_json::Value;
use stale_drafts::rules::{Policy, PolicyError, Setting, Time};

/// The instant that the cases are measured from.
pub const NOW: i64 = 1_700_000_000_000;

/// A policy object, as the configuration gives it.
pub fn policy(value: &Value) -> Result<Policy, PolicyError> {
    fn flatten<'a>(path: Vec<&'a str>, value: &'a Value, into: &mut Vec<(Vec<&'a str>, &'a Value, String)>) {
        match value {
            // An empty table is no value that a policy knows, but for that of the kinds and of one of them.
            Value::Object(table)
                if path.len() < 3 && (!table.is_empty() || matches!(path.first(), None | Some(&"kinds"))) =>
            {
                for (key, value) in table {
                    let mut path = path.clone();
                    path.push(key);
                    flatten(path, value, into);
                }
            }
            _ => into.push((path, value, value.to_string())),
        }
    }
    let mut settings = Vec::new();
    flatten(Vec::new(), value, &mut settings);
    Policy::from_settings(settings.iter().map(|(path, value, text)| {
        let setting = match value {
            Value::Number(number) => Setting::Number(number.as_f64().unwrap(), text),
            Value::String(text) => Setting::Text(text),
            _ => Setting::Other(text),
        };
        (path, setting)
    }))
}

/// A time of a case: milliseconds before [`NOW`], nothing, or something malformed.
pub fn time(value: &Value) -> Time {
    match value {
        Value::Null => Time::Missing,
        Value::Number(before) => Time::from_millis(NOW - before.as_i64().unwrap()),
        _ => Time::Malformed,
    }
}
