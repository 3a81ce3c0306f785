//! Typed values, as Firestore's REST API has them: `{"integerValue": "10"}`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::document::{Document, Item, Unreadable, Value};
use crate::time;

/// A document of the REST API.
pub fn document(name: &str, fields: Option<&Json>, create_time: Option<&Json>) -> Item {
    match read(name, fields, create_time) {
        Ok(document) => Item::Document(document),
        Err(reason) => Item::Unreadable(Unreadable { path: name.to_owned(), reason }),
    }
}

fn read(name: &str, fields: Option<&Json>, create_time: Option<&Json>) -> Result<Document, String> {
    let path = path(name).ok_or("its name is no path: expected `projects/P/databases/D/documents/…`")?;
    let fields = match fields {
        None | Some(Json::Null) => BTreeMap::new(),
        Some(Json::Object(fields)) => map(fields)?,
        Some(_) => return Err(String::from("its `fields` are no object")),
    };
    let create_time = create_time.and_then(Json::as_str).and_then(time::instant);
    Ok(Document { path: path.to_owned(), fields, create_time })
}

/// The path of a document in its database.
pub fn path(name: &str) -> Option<&str> {
    let (_, path) = name.split_once("/documents/")?;
    (!path.is_empty() && path.split('/').count().is_multiple_of(2)).then_some(path)
}

fn map(fields: &Map<String, Json>) -> Result<BTreeMap<String, Value>, String> {
    fields.iter().map(|(name, typed)| Ok((name.clone(), value(name, typed)?))).collect()
}

fn value(name: &str, typed: &Json) -> Result<Value, String> {
    let wrong = || format!("`{name}` is no typed value: expected such as `{{\"integerValue\": \"10\"}}`");
    let (kind, of) = typed.as_object().and_then(|object| object.iter().next()).ok_or_else(wrong)?;
    let text = of.as_str();
    let found = match kind.as_str() {
        "nullValue" => Some(Value::Null),
        "booleanValue" => of.as_bool().map(Value::Bool),
        "integerValue" => text.map_or_else(|| of.as_i64(), |text| text.parse().ok()).map(Value::Integer),
        // JSON has no NaN and no infinity, so they are text.
        "doubleValue" => text.map_or_else(|| of.as_f64(), |text| text.parse().ok()).map(Value::Double),
        "timestampValue" => text.and_then(time::instant).map(Value::Timestamp),
        "stringValue" => text.map(|text| Value::Text(text.to_owned())),
        "referenceValue" => text.map(|text| Value::Reference(path(text).unwrap_or(text).to_owned())),
        "mapValue" => match of.get("fields") {
            None => Some(Value::Map(BTreeMap::new())),
            Some(fields) => Some(Value::Map(map(fields.as_object().ok_or_else(wrong)?)?)),
        },
        "arrayValue" => Some(Value::Other("a list")),
        "bytesValue" => Some(Value::Other("bytes")),
        "geoPointValue" => Some(Value::Other("a place")),
        _ => None,
    };
    found.ok_or_else(wrong)
}
