use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
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

impl<'de> Deserializer<'de> for Input<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let input = |value| Input { value, form: self.form };
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(list) => visitor.visit_seq(SeqDeserializer::new(list.iter().map(input))),
            Value::Object(table) => {
                let entries = table.iter().map(|(key, value)| (key.as_str(), input(value)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null if self.form != Form::Table => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.parsed().or(self.value.as_bool()) {
            Some(flag) => visitor.visit_bool(flag),
            None => Err(Fault::Expected(one_of(&["true", "false"], ""))),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.parsed() {
            Some(number) => visitor.visit_u64(number),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.parsed().or(self.value.as_f64()) {
            Some(number) => visitor.visit_f64(number),
            None => Err(Fault::Expected(String::from("a number"))),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Array(_) => self.deserialize_any(visitor),
            _ => Err(Fault::Expected(String::from("a list"))),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Object(_) => self.deserialize_any(visitor),
            _ => Err(self.table()),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let mark = if self.form == Form::Query { "" } else { "\"" };
        match self.value.as_str().filter(|word| variants.contains(word)) {
            Some(word) => visitor.visit_enum(IntoDeserializer::<Fault>::into_deserializer(word)),
            None => Err(Fault::Expected(one_of(variants, mark))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Fault> for Input<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Fault::Custom(text.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Fault::Expected(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Fault::Expected(expected.to_string())
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Fault::Expected(expected.to_string())
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Fault::Unknown(known)
    }

    fn missing_field(key: &'static str) -> Self {
        Fault::Missing(key)
    }
}
