//! What every source is read into.

use std::collections::BTreeMap;

/// A document of Firestore, whatever it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Collections and ids in turn, such as `users/ada/creations/c1`.
    pub path: String,
    /// Its fields. Those of a map are found by [`Document::field`].
    pub fields: BTreeMap<String, Value>,
    /// When Firestore says that it was made, in epoch milliseconds; only some sources say so.
    pub create_time: Option<i64>,
}

impl Document {
    /// The last part of the path.
    pub fn id(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The path without the id.
    pub fn collection(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(collection, _)| collection)
    }

    /// A field; `error.message` is the field `message` of the map `error`. A null is a field that is missing.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let found = self.fields.get(name).or_else(|| {
            let (first, rest) = name.split_once('.')?;
            rest.split('.').try_fold(self.fields.get(first)?, |value, name| match value {
                Value::Map(fields) => fields.get(name),
                _ => None,
            })
        });
        found.filter(|value| **value != Value::Null)
    }
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// There, and empty.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Double(f64),
    /// An instant, in whole epoch milliseconds: what is below is cut.
    Timestamp(i64),
    /// Text, numbers and times in text too.
    Text(String),
    /// The path of another document.
    Reference(String),
    /// A map.
    Map(BTreeMap<String, Value>),
    /// What no column of ours holds, such as a list: it has this name.
    Other(&'static str),
}

impl Value {
    /// The value as an error quotes it.
    pub fn quoted(&self) -> String {
        match self {
            Value::Null => String::from("null"),
            Value::Bool(value) => format!("`{value}`"),
            Value::Integer(value) => format!("`{value}`"),
            Value::Double(value) => format!("`{value}`"),
            Value::Timestamp(value) => format!("a timestamp (`{value}` ms)"),
            Value::Text(text) if text.chars().count() > 60 => {
                format!("`{}…`", text.chars().take(60).collect::<String>())
            }
            Value::Text(text) => format!("`{text}`"),
            Value::Reference(path) => format!("a reference to `{path}`"),
            Value::Map(_) => String::from("a map"),
            Value::Other(name) => String::from(*name),
        }
    }
}

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The document's path, or the file and where in it.
    pub path: String,
    /// Why, and what would be right.
    pub reason: String,
}

/// What a source gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A document.
    Document(Document),
    /// What should have been one. The rest follows.
    Unreadable(Unreadable),
}
