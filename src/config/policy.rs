use serde_json::{Map, Value};

use super::ConfigError;
use crate::rules::{Policy, Setting};

/// The policy of its table. What its keys and values may be, the rules say.
pub(super) fn read(table: &Map<String, Value>) -> Result<Policy, ConfigError> {
    let mut settings = Vec::new();
    flatten(&mut Vec::new(), table, &mut settings);
    let settings = settings.iter().map(|(path, value, text)| {
        let setting = match value {
            // Errors quote it, and `/readyz` shows them to everybody.
            value if super::is_long(value) => Setting::Other("…"),
            Value::Number(number) => Setting::Number(number.as_f64().unwrap_or(f64::NAN), text),
            Value::String(text) => Setting::Text(text),
            _ => Setting::Other(text),
        };
        (path, setting)
    });
    Policy::from_settings(settings).map_err(|error| ConfigError(format!("policy: {error}")))
}

/// Every value that is not a table, with its path and its text.
fn flatten<'a>(
    path: &mut Vec<&'a str>,
    table: &'a Map<String, Value>,
    into: &mut Vec<(Vec<&'a str>, &'a Value, String)>,
) {
    for (key, value) in table {
        path.push(key);
        match value {
            // No policy is deeper than `kinds.video.processing`; a deeper table is a value that the rules refuse. So is an
            // empty table, unless it is one of kinds or of a kind's limits.
            Value::Object(inner)
                if path.len() < 3 && (!inner.is_empty() || path.first() == Some(&"kinds")) =>
            {
                flatten(path, inner, into);
            }
            _ => into.push((path.clone(), value, value.to_string())),
        }
        path.pop();
    }
}
