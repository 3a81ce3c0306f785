use std::fmt;
use std::ops::RangeInclusive;

use super::bucket::{BUCKETS, Bucket};

const WORDS: usize = BUCKETS as usize / 64;

/// A set of [`Bucket`]s, written as its ranges.
///
/// ```
/// use stale_drafts::rules::{Bucket, BucketSet};
///
/// let bucket = |number| Bucket::new(number).unwrap();
/// let set = BucketSet::default().with(bucket(0)..=bucket(7)).with(bucket(9)..=bucket(9));
/// assert_eq!(set.to_string(), "0-7,9");
/// assert_eq!(BucketSet::ALL.without(&set).to_string(), "8,10-4095");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BucketSet([u64; WORDS]);

impl BucketSet {
    /// All of them.
    pub const ALL: BucketSet = BucketSet([u64::MAX; WORDS]);

    /// The same with a range.
    #[must_use]
    pub fn with(mut self, range: RangeInclusive<Bucket>) -> Self {
        for bucket in (range.start().number()..=range.end().number()).filter_map(Bucket::new) {
            let (word, bit) = place(bucket);
            if let Some(word) = self.0.get_mut(word) {
                *word |= bit;
            }
        }
        self
    }

    /// Whether the bucket is in it.
    pub fn has(&self, bucket: Bucket) -> bool {
        let (word, bit) = place(bucket);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// What is in either.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.each(other, |one, other| one | other)
    }

    /// What is in both.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        self.each(other, |one, other| one & other)
    }

    /// What is in this one only.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.each(other, |one, other| one & !other)
    }

    fn each(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        let mut set = *self;
        set.0.iter_mut().zip(other.0).for_each(|(one, other)| *one = of(*one, other));
        set
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How many it has.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Its ranges, in order.
    pub fn ranges(&self) -> Vec<RangeInclusive<Bucket>> {
        let mut ranges: Vec<RangeInclusive<Bucket>> = Vec::new();
        for bucket in (0..BUCKETS).filter_map(Bucket::new).filter(|bucket| self.has(*bucket)) {
            match ranges.last_mut() {
                Some(last) if last.end().number().saturating_add(1) == bucket.number() => {
                    *last = *last.start()..=bucket;
                }
                _ => ranges.push(bucket..=bucket),
            }
        }
        ranges
    }
}

/// Where a bucket is: in which word, and its bit.
fn place(bucket: Bucket) -> (usize, u64) {
    let number = bucket.number();
    (usize::from(number >> 6), 1 << (number & 63))
}

impl Default for BucketSet {
    /// None of them.
    fn default() -> Self {
        BucketSet([0; WORDS])
    }
}

impl FromIterator<RangeInclusive<Bucket>> for BucketSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<Bucket>>>(ranges: I) -> Self {
        ranges.into_iter().fold(BucketSet::default(), BucketSet::with)
    }
}

impl fmt::Display for BucketSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.ranges().into_iter().enumerate() {
            let (first, last) = (range.start().number(), range.end().number());
            let comma = if at == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for BucketSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketSet({self})")
    }
}
