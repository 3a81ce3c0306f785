/// An instant: whole milliseconds since the Unix epoch, from 0 to 8,640,000,000,000,000.
///
/// The upper end is the last instant that a JavaScript `Date` can hold, so every timestamp is also an exact
/// double. Nothing in the rules reads a clock: `now` is always a parameter.
///
/// ```
/// use stale_drafts::rules::Timestamp;
///
/// assert_eq!(Timestamp::from_millis(1_700_000_000_000).map(Timestamp::as_millis), Some(1_700_000_000_000));
/// assert_eq!(Timestamp::from_millis(-1), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last instant: `8.64e15` ms, as for a JavaScript `Date`.
    pub const MAX: Timestamp = Timestamp(8_640_000_000_000_000);
    /// The earliest one.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// The earliest one that a creation may have: `1e12` ms, in September 2001. What is before it was written in seconds.
    pub const EARLIEST_OF_CREATION: Timestamp = Timestamp(1_000_000_000_000);
    /// How far ahead of now a sign of life may be, in milliseconds: two clocks differ, and time passes between two looks at one.
    const AHEAD_MS: u64 = 60_000;

    /// The instant `millis` ms after the epoch, or `None` outside 0 ..= [`Timestamp::MAX`].
    pub const fn from_millis(millis: i64) -> Option<Self> {
        if millis >= 0 && millis.unsigned_abs() <= Self::MAX.0 {
            Some(Self(millis.unsigned_abs()))
        } else {
            None
        }
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to this instant; 0 if `earlier` is later.
    pub const fn millis_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant `millis` ms later, or [`Timestamp::MAX`] if that is beyond it.
    pub const fn saturating_add(self, millis: u64) -> Timestamp {
        let sum = self.0.saturating_add(millis);
        if sum > Self::MAX.0 { Self::MAX } else { Timestamp(sum) }
    }

    /// The latest sign of life that can be read at this instant: one minute ahead. It counts as now.
    pub const fn latest_sign_of_life(self) -> Timestamp {
        self.saturating_add(Self::AHEAD_MS)
    }

    /// The first instant at which a sign of life at this one can be read: see [`Timestamp::latest_sign_of_life`].
    pub const fn readable_from(self) -> Timestamp {
        self.saturating_sub(Self::AHEAD_MS)
    }

    /// The instant `millis` ms before, or the epoch if that is before it.
    pub const fn saturating_sub(self, millis: u64) -> Timestamp {
        Timestamp(self.0.saturating_sub(millis))
    }
}

/// What a row says about when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Time {
    /// It has not happened (`NULL`).
    #[default]
    Missing,
    /// A value is there, and it is not a [`Timestamp`].
    Malformed,
    /// It is before [`Timestamp::EARLIEST_OF_CREATION`], so it looks like seconds.
    Implausible,
    /// It happened then.
    At(Timestamp),
}

impl Time {
    /// A time from epoch milliseconds; [`Time::Malformed`] outside the range of [`Timestamp`].
    pub const fn from_millis(millis: i64) -> Self {
        match Timestamp::from_millis(millis) {
            Some(timestamp) if timestamp.0 < Timestamp::EARLIEST_OF_CREATION.0 => Time::Implausible,
            Some(timestamp) => Time::At(timestamp),
            None => Time::Malformed,
        }
    }

    /// The instant, if there is one.
    pub const fn instant(self) -> Option<Timestamp> {
        match self {
            Time::At(timestamp) => Some(timestamp),
            Time::Missing | Time::Malformed | Time::Implausible => None,
        }
    }
}
