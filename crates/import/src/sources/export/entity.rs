//! The records of a managed export: `EntityProto`, which Datastore has had since before Firestore. Only what a document needs is
//! read; the tags are those of `entity_v3.proto`.

use std::collections::BTreeMap;

use prost::Message as _;

use crate::document::{Document, Value};

#[derive(Clone, PartialEq, prost::Message)]
struct Entity {
    #[prost(message, optional, tag = "13")]
    key: Option<Reference>,
    #[prost(message, repeated, tag = "14")]
    properties: Vec<Property>,
    /// Properties that no index has.
    #[prost(message, repeated, tag = "15")]
    raw_properties: Vec<Property>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Reference {
    #[prost(message, optional, tag = "14")]
    path: Option<KeyPath>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyPath {
    #[prost(group, repeated, tag = "1")]
    elements: Vec<Element>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Element {
    #[prost(bytes = "vec", tag = "2")]
    collection: Vec<u8>,
    #[prost(int64, optional, tag = "3")]
    id: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    name: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Property {
    #[prost(int32, optional, tag = "1")]
    meaning: Option<i32>,
    #[prost(bytes = "vec", tag = "3")]
    name: Vec<u8>,
    /// It is one element of a list.
    #[prost(bool, optional, tag = "4")]
    multiple: Option<bool>,
    #[prost(message, optional, tag = "5")]
    value: Option<PropertyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PropertyValue {
    #[prost(int64, optional, tag = "1")]
    integer: Option<i64>,
    #[prost(bool, optional, tag = "2")]
    boolean: Option<bool>,
    #[prost(bytes = "vec", optional, tag = "3")]
    text: Option<Vec<u8>>,
    #[prost(double, optional, tag = "4")]
    double: Option<f64>,
    #[prost(group, optional, tag = "5")]
    point: Option<Point>,
    #[prost(group, optional, tag = "12")]
    reference: Option<ReferenceValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Point {}

#[derive(Clone, PartialEq, prost::Message)]
struct ReferenceValue {
    #[prost(group, repeated, tag = "14")]
    elements: Vec<ReferenceElement>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReferenceElement {
    #[prost(bytes = "vec", tag = "15")]
    collection: Vec<u8>,
    #[prost(int64, optional, tag = "16")]
    id: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "17")]
    name: Option<Vec<u8>>,
}

/// What an integer or a text stands for.
mod meaning {
    pub const TIMESTAMP: i32 = 7;
    pub const BLOB: i32 = 14;
    pub const BYTES: i32 = 16;
    pub const ENTITY: i32 = 19;
    pub const EMPTY_LIST: i32 = 24;
}

/// How deep maps are read: Firestore allows 20.
const DEPTH: u8 = 24;

/// Reads a record.
///
/// # Errors
///
/// In words, if it is no document.
pub fn document(record: &[u8]) -> Result<Document, String> {
    let entity = Entity::decode(record).map_err(|error| format!("the record is no document: {error}"))?;
    let elements = entity.key.as_ref().and_then(|key| key.path.as_ref()).map(|path| path.elements.as_slice());
    let parts =
        elements.unwrap_or_default().iter().map(|element| (&element.collection, element.id, &element.name));
    let path = path(parts)?;
    Ok(Document { path, fields: fields(entity, 0)?, create_time: None })
}

fn path<'a>(
    parts: impl Iterator<Item = (&'a Vec<u8>, Option<i64>, &'a Option<Vec<u8>>)>,
) -> Result<String, String> {
    let mut path = Vec::new();
    for (collection, id, name) in parts {
        path.push(text(collection)?);
        path.push(match (name, id) {
            (Some(name), _) => text(name)?,
            // An id that is a number, of a database that began in Datastore.
            (None, Some(id)) => id.to_string(),
            (None, None) => return Err(String::from("its key has no id")),
        });
    }
    if path.is_empty() { Err(String::from("it has no key")) } else { Ok(path.join("/")) }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| String::from("its key is not UTF-8"))
}

fn fields(entity: Entity, depth: u8) -> Result<BTreeMap<String, Value>, String> {
    let mut fields = BTreeMap::new();
    for property in entity.properties.into_iter().chain(entity.raw_properties) {
        let name = String::from_utf8(property.name).map_err(|_| "the name of a field is not UTF-8")?;
        let listed = property.multiple == Some(true) || property.meaning == Some(meaning::EMPTY_LIST);
        let value =
            if listed { Value::Other("a list") } else { value(property.meaning, property.value, depth)? };
        fields.insert(name, value);
    }
    Ok(fields)
}

fn value(meant: Option<i32>, value: Option<PropertyValue>, depth: u8) -> Result<Value, String> {
    let Some(value) = value else { return Ok(Value::Null) };
    if let Some(integer) = value.integer {
        // A timestamp is in microseconds.
        let is_time = meant == Some(meaning::TIMESTAMP);
        return Ok(if is_time {
            Value::Timestamp(integer.div_euclid(1_000))
        } else {
            Value::Integer(integer)
        });
    }
    if let Some(bytes) = value.text {
        return match meant {
            Some(meaning::BLOB | meaning::BYTES) => Ok(Value::Other("bytes")),
            Some(meaning::ENTITY) if depth < DEPTH => {
                let entity = Entity::decode(bytes.as_slice())
                    .map_err(|error| format!("a map in it is none: {error}"))?;
                fields(entity, depth.saturating_add(1)).map(Value::Map)
            }
            Some(meaning::ENTITY) => Ok(Value::Other("a map")),
            _ => Ok(String::from_utf8(bytes).map_or(Value::Other("bytes"), Value::Text)),
        };
    }
    if let Some(reference) = value.reference {
        let parts = reference.elements.iter().map(|element| (&element.collection, element.id, &element.name));
        return path(parts).map(Value::Reference);
    }
    Ok(match (value.boolean, value.double, value.point) {
        (Some(boolean), ..) => Value::Bool(boolean),
        (_, Some(double), _) => Value::Double(double),
        (_, _, Some(_)) => Value::Other("a place"),
        _ => Value::Null,
    })
}
