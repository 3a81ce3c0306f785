use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer};

use super::ConfigError;
use crate::read::{Text, parsed};
use crate::rules::{BUCKETS, Bucket, BucketSet};

/// The databases, and which buckets of users each has. There is at least one, and each bucket belongs to exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards(Vec<Shard>);

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The name of its binding, which is the shard's name too.
    pub binding: String,
    /// Its buckets; none, where it is still to be filled.
    pub buckets: BucketSet,
}

/// The queries of the monitor for one of several databases, and of a sweep there that finds nothing.
pub const QUERIES_OF_A_SHARD: usize = 8;
/// The most that an invocation asks each of several databases without having anything to write there: the dashboard.
const QUERIES_OF_A_LOOK: usize = 13;

impl Shards {
    /// The most that there may be: one invocation looks at them all.
    pub const MAX: usize = 76;

    /// One database for all.
    pub fn one(binding: impl Into<String>) -> Self {
        Shards(vec![Shard { binding: binding.into(), buckets: BucketSet::ALL }])
    }

    /// Those that the table lists.
    pub(super) fn new(tables: Vec<ShardTable>) -> Result<Self, ConfigError> {
        let shards: Vec<_> = tables.into_iter().map(ShardTable::shard).collect();
        if shards.len() > Self::MAX {
            let (len, max) = (shards.len(), Self::MAX);
            return Err(ConfigError::new(format!("`shards` lists {len}: expected at most {max}")));
        }
        for (at, Shard { binding, .. }) in shards.iter().enumerate() {
            if shards.iter().take(at).any(|before| before.binding == *binding) {
                let message = format!(
                    "`shards[{at}].binding` is `{binding}` once more: expected a database of its own"
                );
                return Err(ConfigError::new(message));
            }
        }
        for bucket in (0..BUCKETS).filter_map(Bucket::new) {
            let number = bucket.number();
            let owners =
                shards.iter().filter(|shard| shard.buckets.has(bucket)).map(|shard| shard.binding.as_str());
            let message = match *owners.collect::<Vec<_>>() {
                [_] => continue,
                [] => format!("`shards` give bucket {number} to none"),
                [one, other, ..] => format!("`shards` give bucket {number} to `{one}` and to `{other}`"),
            };
            return Err(ConfigError::new(format!(
                "{message}: expected each bucket from 0 to 4095 in exactly one"
            )));
        }
        Ok(Shards(shards))
    }

    /// Whether one invocation may watch them all.
    pub(super) fn fit(&self, queries_per_run: u32) -> Result<(), ConfigError> {
        let needed = self.0.len().saturating_mul(QUERIES_OF_A_LOOK);
        if self.are_several() && needed > queries_per_run as usize {
            let (len, queries) = (self.0.len(), queries_per_run);
            let message =
                format!("`queries_per_run` is `{queries}`: expected at least {needed}, for {len} `shards`");
            return Err(ConfigError::new(message));
        }
        Ok(())
    }

    /// Whether there are several.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// All of them, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Shard> {
        self.0.iter()
    }

    /// The number of the one that has the bucket.
    pub fn of(&self, bucket: Bucket) -> usize {
        self.0.iter().position(|shard| shard.buckets.has(bucket)).unwrap_or(0)
    }
}

/// A shard as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardTable {
    binding: Text<100>,
    buckets: Buckets,
}

impl ShardTable {
    fn shard(self) -> Shard {
        Shard { binding: self.binding.into_string(), buckets: self.buckets.0 }
    }
}

struct Buckets(BucketSet);

impl<'de> Deserialize<'de> for Buckets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected =
            "ranges of buckets from 0 to 4095, such as `0-2047` or `0-1023,3072-4095`, or `` for none yet";
        parsed(deserializer, expected, |text| {
            if text.trim().is_empty() {
                return Some(Buckets(BucketSet::default()));
            }
            text.split(',').map(range).collect::<Option<_>>().map(Buckets)
        })
    }
}

/// `0-2047`, or one bucket: `7`.
pub fn range(text: &str) -> Option<RangeInclusive<Bucket>> {
    let number = |text: &str| {
        let digits = text.trim();
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain).and_then(Bucket::new)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}
