use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A whole number from `MIN` to `MAX`. JavaScript has one kind of number: 5 may arrive as 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same, where `MAX` fits.
    pub const fn get_u32(self) -> u32 {
        const { assert!(MAX <= 0xffff_ffff) };
        self.0 as u32
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeVisitor::<MIN, MAX>).map(Whole)
    }
}

/// The same in a field that is a `u32`: `#[serde(deserialize_with = "whole::<1, 100, _>")]`.
///
/// # Errors
///
/// As [`Whole`]'s.
pub fn whole<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u32, D::Error> {
    let visitor = WholeVisitor::<MIN, MAX>;
    let number = deserializer.deserialize_u64(visitor)?;
    u32::try_from(number).map_err(|_| D::Error::invalid_value(Unexpected::Unsigned(number), &visitor))
}

#[derive(Clone, Copy)]
struct WholeVisitor<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for WholeVisitor<MIN, MAX> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if (MIN..=MAX).contains(&number) {
            Ok(number)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(number), &self))
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        // Up to here every whole number is a float, so the cast is exact.
        const EXACT: f64 = 9_007_199_254_740_991.0;
        if number.fract() == 0.0 && (0.0..=EXACT).contains(&number) {
            self.visit_u64(number as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

/// Text of 1 to `MAX` characters, without U+0000, which ends a text in an export of the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor::<MAX>).map(Text)
    }
}

struct TextVisitor<const MAX: usize>;

impl<const MAX: usize> Visitor<'_> for TextVisitor<MAX> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text of 1 to {MAX} characters")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        if text.contains('\0') {
            Err(E::invalid_value(Unexpected::Str(text), &"text without the character U+0000"))
        } else if text.is_empty() || text.chars().nth(MAX).is_some() {
            Err(E::invalid_value(Unexpected::Str(text), &self))
        } else {
            Ok(text.to_owned())
        }
    }
}

/// The name of a user or a kind: 1 to 200 bytes, without control characters. It is measured in bytes, unlike other text, since
/// a sweep handles the names of 1,000 creations in one text, whose bytes D1 bounds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "text of 1 to 200 bytes without control characters", |text| {
            let valid = (1..=200).contains(&text.len()) && !text.contains(char::is_control);
            valid.then(|| Name(text.to_owned()))
        })
    }
}

/// Reads text of a form of its own: what `parse` makes of it. `expected` says which text would be right.
///
/// # Errors
///
/// Where it is not text, or `parse` makes nothing of it.
pub fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(ParsedVisitor { expected, parse })
}

struct ParsedVisitor<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for ParsedVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}
