use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{DatabaseError, Row};
use crate::read;
use crate::rules::Timestamp;

/// A row as a type whose fields are its columns. The error names the column: one that is renamed fails at once, and shows no blanks.
pub(super) fn typed<T: DeserializeOwned>(row: Row) -> Result<T, DatabaseError> {
    read::row(row).map_err(|invalid| DatabaseError::new(format!("a result of the database: {invalid}")))
}

/// All rows of a result, as a type whose fields are its columns.
///
/// # Errors
///
/// [`DatabaseError`] that names the column which is missing or of another type.
pub fn typed_rows<T: DeserializeOwned>(rows: Vec<Row>) -> Result<Vec<T>, DatabaseError> {
    rows.into_iter().map(typed).collect()
}

/// The only row of a result.
pub(super) fn only<T: DeserializeOwned>(rows: Vec<Row>) -> Result<T, DatabaseError> {
    rows.into_iter().next().map_or_else(|| Err(DatabaseError::new("a result has no row")), typed)
}

/// A column of epoch milliseconds.
pub(super) fn instant<'de, D: Deserializer<'de>>(column: D) -> Result<Timestamp, D::Error> {
    let millis = i64::deserialize(column)?;
    Timestamp::from_millis(millis).ok_or_else(|| D::Error::custom(format!("invalid time {millis}")))
}

/// The same where it may be `NULL`, or a time that an app has written and that can't be read.
pub(super) fn instant_if_any<'de, D: Deserializer<'de>>(column: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<i64>::deserialize(column)?.and_then(Timestamp::from_millis))
}

/// A sum over many rows. Above 2^53 D1 answers with a double: it is read as the nearest whole number, so no page fails because of it.
pub(super) fn sum<'de, D: Deserializer<'de>>(column: D) -> Result<u64, D::Error> {
    let sum = Value::deserialize(column)?;
    nearest(&sum).ok_or_else(|| D::Error::custom(format!("invalid sum {sum}: expected 0 or more")))
}

/// The same for a JSON value; `None` if it is not a sum.
pub fn nearest(sum: &Value) -> Option<u64> {
    let double = || sum.as_f64().filter(|sum| *sum >= 0.0).map(|sum| sum as u64);
    sum.as_u64().or_else(double)
}

/// The sum of a column in SQL: beyond what an integer holds, the greatest one, where `sum` is an error.
macro_rules! sum_of {
    ($column:literal) => {
        concat!("CAST(total(", $column, ") AS INTEGER)")
    };
}

pub(super) use sum_of;

/// A column that holds JSON as text.
pub(super) fn json_text<'de, T: DeserializeOwned, D: Deserializer<'de>>(column: D) -> Result<T, D::Error> {
    serde_json::from_str(&String::deserialize(column)?).map_err(D::Error::custom)
}

/// The same where it may be `NULL`.
pub(super) fn json_text_if_any<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    column: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(D::Error::custom)).transpose()
}
