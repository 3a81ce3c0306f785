//! What an error's text is made of, beside the text: for whoever says it in another language.

use serde::Serialize;

use crate::rules::{Age, ErrorText, GENERATION_TIMEOUT, Unit, Unreadable};
use crate::store::{Ended, PageRow};

/// The parameters of an error that is the rules' own. A worker's error has none: its text is its own.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ErrorParams {
    /// Of a time-out.
    TimedOut {
        /// The status that it was stuck in.
        status: String,
        /// How long, as it is written: hours have one decimal.
        count: Count,
        /// `hour`, `minute` or `second`.
        unit: &'static str,
        /// How many attempts there were.
        attempts: u32,
    },
    /// Of a time that can't be read.
    Time {
        /// Its name.
        field: &'static str,
    },
}

/// A number as it is written.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Count {
    /// With one decimal.
    Tenths(f64),
    /// Without.
    Whole(u64),
}

/// An age as it is written: how many, and of what.
pub fn written((count, unit): (u64, Unit)) -> (Count, &'static str) {
    let count = match unit {
        // The nearest number to it is the one that its digits are read as.
        Unit::TenthsOfHours => Count::Tenths(count as f64 / 10.0),
        Unit::Minutes | Unit::Seconds | Unit::Days => Count::Whole(count),
    };
    (count, unit.as_str())
}

impl ErrorParams {
    /// Of a time-out that is judged now.
    pub fn of(text: &ErrorText) -> Self {
        Self::timed_out(text.stuck_status.as_str().to_owned(), text.age_ms, text.attempt)
    }

    /// Of a row whose age can't be known.
    pub fn unreadable(reason: Unreadable) -> Option<Self> {
        reason.field().map(|field| ErrorParams::Time { field: field.as_str() })
    }

    /// Of a row that has failed: what a sweep noted.
    pub fn settled(row: &PageRow) -> Option<Self> {
        Self::noted(
            row.error_code.as_deref(),
            row.stuck_status.as_deref(),
            row.stuck_ms,
            row.creation.attempt,
        )
    }

    /// Of how a charge ended.
    pub fn ended(ended: &Ended) -> Option<Self> {
        Self::noted(ended.error_code.as_deref(), ended.stuck_status.as_deref(), ended.stuck_ms, ended.attempt)
    }

    fn noted(code: Option<&str>, status: Option<&str>, age_ms: Option<u64>, attempts: u32) -> Option<Self> {
        code.filter(|code| *code == GENERATION_TIMEOUT)?;
        Some(Self::timed_out(status?.to_owned(), age_ms?, attempts))
    }

    fn timed_out(status: String, age_ms: u64, attempts: u32) -> Self {
        let (count, unit) = written(Age(age_ms).parts());
        ErrorParams::TimedOut { status, count, unit, attempts }
    }
}
