use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::one_of;

/// Where a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In the configuration: `null` is not the same as nothing.
    Table,
    /// In JSON text: `null` is nothing.
    Body,
    /// In a query: numbers and flags are text.
    Query,
}

/// A step from a value to one within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To the value of this key.
    Key(String),
    /// To the element at this place.
    Index(usize),
}

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Error {
    pub(super) fault: Fault,
    /// From the value outwards.
    steps: Vec<Step>,
}

impl Error {
    /// The path from the whole to the value.
    pub(super) fn path(&self) -> Vec<Step> {
        self.steps.iter().rev().cloned().collect()
    }

    fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error { fault, steps: Vec::new() }
    }
}

/// A value as serde reads it, with errors that can be worded afterwards.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) value: &'a Value,
    pub(super) form: Form,
}

/// What is wrong with a value.
#[derive(Debug)]
pub(super) enum Fault {
    /// Something else is expected.
    Expected(String),
    /// The key at the end of the path is not one of these.
    Unknown(&'static [&'static str]),
    /// This key is missing from the table at the path.
    Missing(&'static str),
    /// A type's own words.
    Custom(String),
}

impl Input<'_> {
    fn table(self) -> Fault {
        Fault::Expected(String::from(if self.form == Form::Table { "a table" } else { "an object" }))
    }

    /// The value of a parameter, if it can be read as one of these.
    fn parsed<T: std::str::FromStr>(self) -> Option<T> {
        self.value.as_str().filter(|_| self.form == Form::Query)?.parse().ok()
    }
}

/// The error where the value has none of the types that a visitor takes.
fn mismatch(visitor: &dyn Expected) -> Error {
    Fault::Expected(visitor.to_string()).into()
}

/// Each method calls the one method of the visitor that fits, so that the others are not compiled: 8 kB of the Worker.
impl<'de> Deserializer<'de> for Input<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(list) => visitor.visit_seq(Elements { rest: list.iter(), at: 0, form: self.form }),
            Value::Object(table) => {
                visitor.visit_map(Entries { rest: table.iter(), entry: None, form: self.form })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null if self.form != Form::Table => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.parsed().or(self.value.as_bool()) {
            Some(flag) => visitor.visit_bool(flag),
            None => Err(Fault::Expected(one_of(&["true", "false"], "")).into()),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.parsed().or(self.value.as_u64()) {
            Some(number) => visitor.visit_u64(number),
            None => match self.value.as_f64() {
                Some(number) => visitor.visit_f64(number),
                None => Err(mismatch(&visitor)),
            },
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.as_i64() {
            Some(number) => visitor.visit_i64(number),
            None => Err(mismatch(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.as_str() {
            Some(text) => visitor.visit_borrowed_str(text),
            None => Err(mismatch(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.parsed().or(self.value.as_f64()) {
            Some(number) => visitor.visit_f64(number),
            None => Err(Fault::Expected(String::from("a number")).into()),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Array(list) => visitor.visit_seq(Elements { rest: list.iter(), at: 0, form: self.form }),
            _ => Err(Fault::Expected(String::from("a list")).into()),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(table) => {
                visitor.visit_map(Entries { rest: table.iter(), entry: None, form: self.form })
            }
            _ => Err(self.table().into()),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mark = if self.form == Form::Query { "" } else { "\"" };
        match self.value.as_str().filter(|word| variants.contains(word)) {
            Some(word) => visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(word)),
            None => Err(Fault::Expected(one_of(variants, mark)).into()),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

/// The elements of a list, whose errors say at which place.
struct Elements<'a> {
    rest: std::slice::Iter<'a, Value>,
    at: usize,
    form: Form,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(value) = self.rest.next() else { return Ok(None) };
        let at = self.at;
        self.at = at.saturating_add(1);
        let read = seed.deserialize(Input { value, form: self.form });
        read.map(Some).map_err(|error| error.within(Step::Index(at)))
    }
}

/// The entries of a table, whose errors say at which key.
struct Entries<'a> {
    rest: serde_json::map::Iter<'a>,
    entry: Option<(&'a str, &'a Value)>,
    form: Form,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.entry = Some((key, value));
        let read = seed.deserialize(IntoDeserializer::<Error>::into_deserializer(key.as_str()));
        read.map(Some).map_err(|error| error.within(Step::Key(key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self.entry.take().unwrap_or(("", &Value::Null));
        let read = seed.deserialize(Input { value, form: self.form });
        read.map_err(|error| error.within(Step::Key(key.to_owned())))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Fault::Custom(text.to_string()).into()
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Fault::Expected(expected.to_string()).into()
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Fault::Expected(expected.to_string()).into()
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Fault::Expected(expected.to_string()).into()
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Fault::Unknown(known).into()
    }

    fn missing_field(key: &'static str) -> Self {
        Fault::Missing(key).into()
    }
}
