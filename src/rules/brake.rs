use std::fmt;

use super::time::Timestamp;

/// When a sweep would fail so many creations that something else must be wrong: a clock, the policy, the provider.
///
/// It holds if more than `creations` are stale, or if at least `at_least` are and they are more than `percent` of the active
/// ones. A sweep that it holds writes nothing; it goes on once an operator has carried out the plan, or the cause is
/// gone.
///
/// ```
/// use stale_drafts::rules::Brake;
///
/// let brake = Brake::default();
/// assert!(brake.check(1_001, 1_000_000).is_some());
/// assert!(brake.check(60, 100).is_some());
/// // Few are no sign of anything, whatever their share.
/// assert!(brake.check(49, 49).is_none());
/// assert!(brake.check(50, 100).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brake {
    /// More than so many are abnormal.
    pub creations: u32,
    /// More than this share of the active ones is, in percent.
    pub percent: u32,
    /// A share counts from so many on.
    pub at_least: u32,
}

impl Default for Brake {
    /// 1,000 creations; half of the active ones, from 50 on.
    fn default() -> Self {
        Brake { creations: 1_000, percent: 50, at_least: 50 }
    }
}

impl Brake {
    /// Why a sweep that would fail `stale` of `active` creations is held; `None` if it goes on.
    pub fn check(self, stale: u64, active: u64) -> Option<Held> {
        let Brake { creations, percent, at_least } = self;
        let many = stale > u64::from(creations);
        let share = stale >= u64::from(at_least)
            && stale.saturating_mul(100) > active.saturating_mul(u64::from(percent));
        (many || share).then(|| Held::Brake {
            detail: if many {
                format!("more than {creations} creations are stale at once")
            } else {
                format!("{stale} of {active} active creations are stale at once")
            },
        })
    }
}

/// What holds a sweep back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// An operator paused sweeping.
    Paused {
        /// Who: a token's name.
        actor: String,
        /// Since when.
        since: Timestamp,
    },
    /// See [`Brake`].
    Brake {
        /// How many are stale.
        detail: String,
    },
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Paused { actor, .. } => write!(f, "sweeping is paused by `{actor}`"),
            Held::Brake { detail } => {
                write!(
                    f,
                    "the brake holds: {detail}, and nothing was written; look for the cause, or carry out a plan"
                )
            }
        }
    }
}
