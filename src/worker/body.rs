//! The request's body, within bounds.

use super::message::Request;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use web_sys::UrlSearchParams;

/// The longest body that is read, in bytes: a plan of 5,000 creations, as a dry run answers it.
const MAX_BYTES: usize = 4_000_000;

/// The body as text; empty if there is none.
pub(super) async fn text(request: &Request) -> Result<String, String> {
    let too_long = |bytes: usize| format!("the body has {bytes} bytes: expected at most {MAX_BYTES}");
    let announced = request.header("Content-Length");
    match announced.and_then(|bytes| bytes.parse().ok()) {
        Some(bytes) if bytes > MAX_BYTES => return Err(too_long(bytes)),
        _ => {}
    }
    let text = request.text().await.unwrap_or_default();
    if text.len() > MAX_BYTES { Err(too_long(text.len())) } else { Ok(text) }
}

/// The fields of a form, as a page sends it.
pub(super) struct Form(Option<UrlSearchParams>);

impl Form {
    pub(super) async fn read(request: &Request) -> Self {
        let text = text(request).await.unwrap_or_default();
        Form(UrlSearchParams::new_with_str(&text).ok())
    }

    /// A field; empty if it is not there.
    pub(super) fn field(&self, name: &str) -> String {
        self.0.as_ref().and_then(|fields| fields.get(name)).unwrap_or_default()
    }
}

/// The keys of a JSON object; each is taken once, and what is left over at the end is an error.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body; an empty one is an empty object.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Fields(Map::new()));
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Fields(map)),
            Ok(_) => Err(String::from("the body is no JSON object: expected `{…}`")),
            Err(error) => Err(format!("the body is no JSON ({error}): expected an object")),
        }
    }

    /// Text of at most so many bytes, and not empty; `None` if it is left out.
    pub(super) fn optional(&mut self, key: &str, max: usize) -> Result<Option<String>, String> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if (1..=max).contains(&text.len()) => Ok(Some(text)),
            Some(Value::String(text)) => {
                Err(format!("`{key}` has {} bytes: expected 1 to {max}", text.len()))
            }
            Some(other) => Err(format!("`{key}` is `{}`: expected text", short(&other))),
        }
    }

    /// The same, that must be there.
    pub(super) fn text(&mut self, key: &str, max: usize) -> Result<String, String> {
        self.optional(key, max)?.ok_or_else(|| format!("`{key}` is missing: expected text"))
    }

    /// A whole number in a range; `None` if it is left out.
    pub(super) fn whole(&mut self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, String> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|number| range.contains(number)) {
                Some(number) => Ok(Some(number)),
                None => Err(format!(
                    "`{key}` is `{}`: expected a whole number from {} to {}",
                    short(&value),
                    range.start(),
                    range.end()
                )),
            },
        }
    }

    /// A list of texts; `None` if it is left out.
    pub(super) fn texts(&mut self, key: &str, max: usize) -> Result<Option<Vec<String>>, String> {
        let Some(value) = self.0.remove(key) else { return Ok(None) };
        let list = value.as_array().filter(|list| list.len() <= max);
        let texts = list.and_then(|list| list.iter().map(|text| text.as_str().map(str::to_owned)).collect());
        let wrong = || format!("`{key}` is `{}`: expected a list of at most {max} texts", short(&value));
        texts.map(Some).ok_or_else(wrong)
    }

    /// Nothing is left over: a misspelt key must not do something else.
    pub(super) fn end(self) -> Result<(), String> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("unknown key `{key}`")),
        }
    }
}

/// A value as it is quoted in an error.
fn short(value: &Value) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    if text.chars().count() > 40 { text.chars().take(40).chain(['…']).collect() } else { text }
}
