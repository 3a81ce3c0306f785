use std::fmt;
use std::str::FromStr;

const MILLIS_PER_HOUR: f64 = 3_600_000.0;
const MILLIS_PER_MINUTE: f64 = 60_000.0;

/// A limit on age, in whole milliseconds; never zero.
///
/// It is given in hours as a decimal number, and rounded to the nearest millisecond:
///
/// ```
/// use stale_drafts::rules::MaxAge;
///
/// assert_eq!(MaxAge::from_hours(0.167).unwrap().as_millis(), 601_200);
/// assert_eq!("0.01".parse::<MaxAge>().unwrap().as_millis(), 36_000);
/// assert_eq!(
///     "-1".parse::<MaxAge>().unwrap_err().to_string(),
///     "`-1` is no maximum age: expected hours above 0, such as `1` or `0.5`",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MaxAge(u64);

impl MaxAge {
    /// 10 minutes: catches a broken set-up quickly.
    pub const DEVELOPMENT: MaxAge = MaxAge(600_000);
    /// 30 minutes: little compute is wasted on what nobody will see.
    pub const BUDGET: MaxAge = MaxAge(1_800_000);
    /// 1 hour, the default: leaves room for retries and high load.
    pub const PRODUCTION: MaxAge = MaxAge(3_600_000);

    /// The limit of `hours` hours, a decimal number.
    ///
    /// # Errors
    ///
    /// [`InvalidMaxAge`] if `hours` is zero, negative, NaN or infinite, rounds to 0 ms, or is beyond
    /// 2,400,000,000 hours (the range of a JavaScript `Date`).
    pub fn from_hours(hours: f64) -> Result<Self, InvalidMaxAge> {
        Self::checked(hours).ok_or_else(|| InvalidMaxAge(number_text(hours)))
    }

    /// [`MaxAge::from_hours`], with nothing to say where it is an error.
    pub fn checked(hours: f64) -> Option<Self> {
        Self::rounded(hours * MILLIS_PER_HOUR)
    }

    /// The limit of `minutes` minutes, a decimal number; `None` as for [`MaxAge::checked`].
    pub fn minutes(minutes: f64) -> Option<Self> {
        Self::rounded(minutes * MILLIS_PER_MINUTE)
    }

    fn rounded(millis: f64) -> Option<Self> {
        // Rounds half up. Not with `round`, for which WebAssembly has no instruction: it would be an eighth of the
        // browser package.
        let millis = (millis + 0.5_f64.next_down()).trunc();
        // In range, the cast is exact.
        (1.0..=8.64e15).contains(&millis).then_some(MaxAge(millis as u64))
    }

    /// The limit of `millis` milliseconds, or `None` outside 1 ..= 8,640,000,000,000,000.
    pub const fn from_millis(millis: u64) -> Option<Self> {
        if millis >= 1 && millis <= 8_640_000_000_000_000 { Some(MaxAge(millis)) } else { None }
    }

    /// Whole milliseconds, from 1 to 8,640,000,000,000,000.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl FromStr for MaxAge {
    type Err = InvalidMaxAge;

    fn from_str(text: &str) -> Result<Self, InvalidMaxAge> {
        let hours: f64 = text.trim().parse().map_err(|_| InvalidMaxAge::new(text))?;
        Self::checked(hours).ok_or_else(|| InvalidMaxAge::new(text))
    }
}

/// How long an active creation may show no sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Stale after this age.
    After(MaxAge),
    /// Never stale.
    Never,
}

impl Default for Limit {
    /// One hour.
    fn default() -> Self {
        Limit::After(MaxAge::PRODUCTION)
    }
}

/// A number of hours that is no [`MaxAge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidMaxAge(String);

impl InvalidMaxAge {
    /// The error about hours that were written so.
    pub fn new(text: impl Into<String>) -> Self {
        InvalidMaxAge(text.into())
    }
}

impl fmt::Display for InvalidMaxAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no maximum age: expected hours above 0, such as `1` or `0.5`", self.0)
    }
}

impl std::error::Error for InvalidMaxAge {}

/// A number as JSON writes it: with an exponent from 10^21 on and below 10^-6, and `Infinity` in full.
fn number_text(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude.is_infinite() {
        String::from(if number.is_sign_positive() { "Infinity" } else { "-Infinity" })
    } else if magnitude >= 1e21 {
        format!("{number:e}").replace('e', "e+")
    } else if magnitude > 0.0 && magnitude < 1e-6 {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}
