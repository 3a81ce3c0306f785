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
/// assert_eq!(MaxAge::checked(0.167).unwrap().as_millis(), 601_200);
/// assert_eq!("0.01".parse::<MaxAge>().unwrap().as_millis(), 36_000);
/// assert_eq!(
///     "-1".parse::<MaxAge>().unwrap_err().to_string(),
///     "invalid max age `-1`: expected a number of hours above 0, such as `1` or `0.5`",
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

    /// The limit of `hours` hours, a decimal number; `None` if that is zero, negative, NaN or infinite, rounds to 0 ms,
    /// or is beyond 2,400,000,000 hours (the range of a JavaScript `Date`).
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

/// A named limit for a whole policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// [`MaxAge::DEVELOPMENT`]
    Development,
    /// [`MaxAge::BUDGET`]
    Budget,
    /// [`MaxAge::PRODUCTION`]
    Production,
}

impl Preset {
    /// The limit that it stands for.
    pub const fn max_age(self) -> MaxAge {
        match self {
            Preset::Development => MaxAge::DEVELOPMENT,
            Preset::Budget => MaxAge::BUDGET,
            Preset::Production => MaxAge::PRODUCTION,
        }
    }

    /// The preset whose name `is` this.
    pub(crate) fn of(is: impl Fn(&str) -> bool) -> Option<Self> {
        let named = [
            ("development", Preset::Development),
            ("budget", Preset::Budget),
            ("production", Preset::Production),
        ];
        named.into_iter().find(|(name, _)| is(name)).map(|(_, preset)| preset)
    }
}

/// How often a creation is tried: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempts(u32);

impl Attempts {
    /// One attempt, the default: what is stale is failed.
    pub const ONE: Attempts = Attempts(1);

    /// So many attempts; `None` if that is no whole number from 1 to 100.
    pub fn checked(number: f64) -> Option<Self> {
        // In range and whole, the cast is exact.
        ((1.0..=100.0).contains(&number) && number == number.trunc()).then_some(Attempts(number as u32))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether there is another one after this; what is before the first counts as the first.
    pub const fn left(self, attempt: u32) -> bool {
        attempt < self.0 && self.0 > 1
    }
}

/// How many creations of one owner may be active at the same time: 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxActive(u32);

impl MaxActive {
    /// So many; `None` if that is no whole number from 1 to 10,000.
    pub fn checked(number: f64) -> Option<Self> {
        // In range and whole, the cast is exact.
        ((1.0..=10_000.0).contains(&number) && number == number.trunc()).then_some(MaxActive(number as u32))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Text that is no [`MaxAge`].
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
        write!(f, "invalid max age `{}`: expected a number of hours above 0, such as `1` or `0.5`", self.0)
    }
}

impl std::error::Error for InvalidMaxAge {}
