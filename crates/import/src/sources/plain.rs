//! Plain values, as two npm tools write them: timestamps and references are objects, all else is JSON.

use serde_json::{Map, Value as Json};

use crate::document::Value;
use crate::time;

/// A value of `firestore-export-import` or `node-firestore-import-export`.
pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => number.as_f64().map_or(Value::Other("a number"), Value::Double),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) => Value::Other("a list"),
        Json::Object(object) => special(object).unwrap_or_else(|| {
            Value::Map(object.iter().map(|(name, json)| (name.clone(), value(json))).collect())
        }),
    }
}

fn special(object: &Map<String, Json>) -> Option<Value> {
    if let Some(of) = object.get("__datatype__") {
        let inner = object.get("value")?;
        return match of.as_str()? {
            "timestamp" => inner.as_str().map_or_else(
                || timestamp(inner.as_object()?),
                |text| time::instant(text).map(Value::Timestamp),
            ),
            "documentReference" => Some(Value::Reference(inner.as_str()?.to_owned())),
            "geopoint" => Some(Value::Other("a place")),
            _ => None,
        };
    }
    if object.contains_key("_latitude") && object.contains_key("_longitude") {
        return Some(Value::Other("a place"));
    }
    // A DocumentReference of the Admin SDK, as JSON.stringify has it.
    if let Some(segments) = object.get("_path").and_then(|path| path.get("segments")).and_then(Json::as_array)
    {
        let parts: Option<Vec<_>> = segments.iter().map(Json::as_str).collect();
        return Some(Value::Reference(parts?.join("/")));
    }
    timestamp(object)
}

/// The Admin SDK has `_seconds`, the one for browsers `seconds`.
fn timestamp(object: &Map<String, Json>) -> Option<Value> {
    if object.len() != 2 {
        return None;
    }
    let part =
        |name: &str| object.get(name).or_else(|| object.get(name.strip_prefix('_')?)).and_then(Json::as_i64);
    time::seconds(part("_seconds")?, part("_nanoseconds")?).map(Value::Timestamp)
}
