//! Reads what others wrote into types: the configuration, the bodies and the queries of requests.
//!
//! A type says by serde derive what it takes, with `#[serde(deny_unknown_fields)]`, [`Whole`] and [`Text`]. Every error
//! names the path, quotes the value and says what would be right:
//!
//! ```
//! use serde::Deserialize;
//! use stale_drafts::read::{self, Text, Whole};
//!
//! #[derive(Debug, Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Heartbeat {
//!     fence: Text<200>,
//!     progress: Option<Whole<0, 100>>,
//! }
//!
//! let error = |body: &str| read::json::<Heartbeat>(body.as_bytes()).unwrap_err().to_string();
//! assert_eq!(
//!     error(r#"{"fence": "a", "progress": 101}"#),
//!     "`progress` is `101`: expected a whole number from 0 to 100",
//! );
//! assert_eq!(error("{}"), "`fence` is missing: expected text of 1 to 200 characters");
//! assert_eq!(error(r#"{"fense": "a"}"#), "unknown key `fense`: did you mean `fence`?");
//! ```

mod address;
mod input;
mod language;
mod strict;
mod surrogates;
mod values;

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use address::{Address, encoded};
use input::{Fault, Form, Input, Step};
pub use language::{is_language_tag, preferred_language};
pub use values::{Name, Text, Whole, parsed, whole};

/// More characters than these are not quoted: a body may be long, and the answer need not be.
const LONGEST_QUOTE: usize = 40;

/// A key as similar as this is suggested for one that is not known; 1 is the same.
const SIMILAR: f64 = 0.8;

/// Input that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The place of the fault, such as `issuers[1].name`; empty for the whole.
    pub path: String,
    /// A sentence that names the path, quotes the value and says what would be right.
    pub message: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}

/// Reads a configuration table called `name`. Its `null` stands for nothing and is an error; a value that is `secret`, by its
/// path or by itself, is not quoted.
///
/// # Errors
///
/// [`Invalid`]
pub fn table<T: DeserializeOwned>(
    name: &str,
    value: &Value,
    secret: fn(&str, &Value) -> bool,
) -> Result<T, Invalid> {
    Reader { form: Form::Table, root: &format!("`{name}`"), value, secret }.read()
}

/// Reads a JSON object, such as the body of a request; an empty text is an empty object. A key that is given twice is an
/// error, at any depth. Half a surrogate pair becomes U+FFFD.
///
/// # Errors
///
/// [`Invalid`]
pub fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Invalid> {
    Reader { form: Form::Body, root: "the body", value: &body(text)?, secret: |_, _| false }.read()
}

fn body(text: &[u8]) -> Result<Value, Invalid> {
    let text = if text.trim_ascii().is_empty() { b"{}" } else { text };
    strict::parse(&surrogates::paired(text)).map_err(|error| Invalid {
        path: String::new(),
        message: format!("the body is not valid JSON ({error}): expected an object"),
    })
}

/// Reads any JSON. A key that is given twice is an error, at any depth; `None` stands for all errors.
pub fn any_json(text: &str) -> Option<Value> {
    strict::parse(text.as_bytes()).ok()
}

/// Reads the parameters of a query. A parameter that is given twice is an error.
///
/// # Errors
///
/// [`Invalid`]
pub fn query<T: DeserializeOwned>(pairs: impl IntoIterator<Item = (String, String)>) -> Result<T, Invalid> {
    let mut parameters = serde_json::Map::new();
    for (name, value) in pairs {
        if parameters.contains_key(&name) {
            let message = format!("`{}` is given twice: give it once", cut(&name));
            return Err(Invalid { path: name, message });
        }
        parameters.insert(name, Value::String(value));
    }
    let value = Value::Object(parameters);
    Reader { form: Form::Query, root: "the query", value: &value, secret: |_, _| false }.read()
}

/// Reads a row of the database, whose keys are its columns.
///
/// # Errors
///
/// [`Invalid`]
pub fn row<T: DeserializeOwned>(row: serde_json::Map<String, Value>) -> Result<T, Invalid> {
    Reader { form: Form::Body, root: "the row", value: &Value::Object(row), secret: |_, _| false }.read()
}

type Faulty = fn(Input<'_>) -> Option<input::Error>;

/// One text, and how its errors are worded.
struct Reader<'a> {
    form: Form,
    root: &'a str,
    value: &'a Value,
    secret: fn(&str, &Value) -> bool,
}

impl Reader<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Invalid> {
        T::deserialize(Input { value: self.value, form: self.form })
            .map_err(|error| self.invalid(&error.path(), &error.fault, |input| T::deserialize(input).err()))
    }

    /// `faulty` says what is wrong with another value in place of the whole. It is a function and not a type, so that this is
    /// compiled once and not for each type that is read.
    fn invalid(&self, at: &[Step], fault: &Fault, faulty: Faulty) -> Invalid {
        let mut path = text(at);
        let message = match fault {
            Fault::Expected(expected) => {
                let name = if path.is_empty() { self.root.to_owned() } else { format!("`{path}`") };
                match self.quoted(at) {
                    Some(value) => format!("{name} is `{value}`: expected {expected}"),
                    None => format!("{name} is not valid: expected {expected}"),
                }
            }
            Fault::Unknown(known) => self.unknown(at, known),
            Fault::Missing(key) => {
                path = join(&path, key);
                match self.wanted(at, key, faulty) {
                    Some(expected) => format!("`{path}` is missing: expected {expected}"),
                    None => format!("`{path}` is missing"),
                }
            }
            Fault::Custom(text) if path.is_empty() => text.clone(),
            Fault::Custom(text) => format!("`{path}`: {text}"),
        };
        Invalid { path, message }
    }

    fn unknown(&self, path: &[Step], known: &[&str]) -> String {
        let what = if self.form == Form::Query { "parameter" } else { "key" };
        let (table, key) = path.split_at(path.len().saturating_sub(1));
        let (table, key) = (text(table), text(key));
        let path = text(path);
        let similar = known.iter().map(|known| (strsim::jaro_winkler(known, &key), known));
        let nearest = similar.max_by(|(one, _), (other, _)| one.total_cmp(other));
        match nearest {
            Some((similarity, nearest)) if similarity >= SIMILAR => {
                format!("unknown {what} `{path}`: did you mean `{}`?", join(&table, nearest))
            }
            Some(_) => format!("unknown {what} `{path}`: expected {}", one_of(known, "")),
            None => format!("unknown {what} `{path}`: expected none"),
        }
    }

    /// The value at a path, unless it is secret.
    fn quoted(&self, path: &[Step]) -> Option<String> {
        let value = path.iter().try_fold(self.value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })?;
        if (self.secret)(&text(path), value) {
            return None;
        }
        Some(match (self.form, value) {
            (Form::Query, Value::String(text)) => cut(text),
            _ => cut(&value.to_string()),
        })
    }

    /// What belongs where a key is missing: what is said of `null` in its place.
    fn wanted(&self, path: &[Step], key: &str, faulty: Faulty) -> Option<String> {
        let mut value = self.value.clone();
        let table = path.iter().try_fold(&mut value, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(index),
        })?;
        table.as_object_mut()?.insert(key.to_owned(), Value::Null);
        match faulty(Input { value: &value, form: self.form })?.fault {
            Fault::Expected(expected) => Some(expected),
            Fault::Unknown(_) | Fault::Missing(_) | Fault::Custom(_) => None,
        }
    }
}

/// A path as it is shown: `issuers[1].name`.
fn text(path: &[Step]) -> String {
    path.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) => join(&path, &cut(key)),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// `a`, `b` or `c`, each between these quotation marks.
fn one_of(words: &[&str], mark: &str) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{mark}{word}{mark}`")).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::from("nothing"),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
