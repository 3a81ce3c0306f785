use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// The keys of a JSON object; each is taken once, and what is left over at the end is an error.
#[derive(Debug)]
pub struct Fields {
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// Reads a body; an empty one is an empty object.
    ///
    /// # Errors
    ///
    /// A text that says what would be right.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Fields::of(Map::new()));
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Fields::of(map)),
            Ok(_) => Err(String::from("the body is no JSON object: expected `{…}`")),
            Err(error) => Err(format!("the body is no JSON ({error}): expected an object")),
        }
    }

    const fn of(left: Map<String, Value>) -> Self {
        Fields { left, known: Vec::new() }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.left.remove(key)
    }

    /// Text of at most so many bytes, and not empty; `None` if it is left out.
    ///
    /// # Errors
    ///
    /// A text that quotes the value, in short, and says what would be right; so do the others here.
    pub fn optional(&mut self, key: &'static str, max: usize) -> Result<Option<String>, String> {
        match self.take(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if (1..=max).contains(&text.len()) => Ok(Some(text)),
            Some(Value::String(text)) => {
                Err(format!("`{key}` has {} bytes: expected 1 to {max}", text.len()))
            }
            Some(other) => Err(format!("`{key}` is `{}`: expected text", short(&other))),
        }
    }

    /// The same, that must be there.
    ///
    /// # Errors
    ///
    /// As [`Fields::optional`], or that it is missing.
    pub fn text(&mut self, key: &'static str, max: usize) -> Result<String, String> {
        self.optional(key, max)?.ok_or_else(|| format!("`{key}` is missing: expected text"))
    }

    /// A whole number in a range; `None` if it is left out.
    ///
    /// # Errors
    ///
    /// As [`Fields::optional`].
    pub fn whole(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Result<Option<u64>, String> {
        match self.take(key) {
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
    ///
    /// # Errors
    ///
    /// As [`Fields::optional`].
    pub fn texts(&mut self, key: &'static str, max: usize) -> Result<Option<Vec<String>>, String> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let list = value.as_array().filter(|list| list.len() <= max);
        let texts = list.and_then(|list| list.iter().map(|text| text.as_str().map(str::to_owned)).collect());
        let wrong = || format!("`{key}` is `{}`: expected a list of at most {max} texts", short(&value));
        texts.map(Some).ok_or_else(wrong)
    }

    /// Nothing is left over: a misspelt key must not do something else.
    ///
    /// # Errors
    ///
    /// A text that quotes the first of the keys that are left, and names those that were taken.
    pub fn end(self) -> Result<(), String> {
        let Some(key) = self.left.keys().next() else { return Ok(()) };
        let known: Vec<_> = self.known.iter().map(|known| format!("`{known}`")).collect();
        let expected = if known.is_empty() { String::from("none") } else { known.join(", ") };
        Err(format!("unknown key `{}`: expected {expected}", cut(key)))
    }
}

/// A value as it is quoted in an error.
fn short(value: &Value) -> String {
    cut(&serde_json::to_string(value).unwrap_or_default())
}

/// At most 40 characters of a text: a body may be long, and the answer need not be.
fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => text.get(..at).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}
