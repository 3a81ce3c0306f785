use std::fmt;

use super::time::Timestamp;

/// When a sweep would fail so many creations that something else must be wrong: a clock, the policy, the provider.
///
/// It opens if more than `creations` are stale, or if at least `at_least` are and they are more than `percent` of the active
/// ones. A sweep that it suspends writes nothing; it goes on once an operator has carried out the plan, or the cause is
/// gone.
///
/// ```
/// use stale_drafts::rules::CircuitBreaker;
///
/// let breaker = CircuitBreaker::default();
/// assert!(breaker.check(1_001, 1_000_000).is_some());
/// assert!(breaker.check(60, 100).is_some());
/// // Few are no sign of anything, whatever their share.
/// assert!(breaker.check(49, 49).is_none());
/// assert!(breaker.check(50, 100).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// More than so many are abnormal.
    pub creations: u32,
    /// More than this share of the active ones is, in percent.
    pub percent: u32,
    /// A share counts from so many on.
    pub at_least: u32,
}

impl Default for CircuitBreaker {
    /// 1,000 creations; half of the active ones, from 50 on.
    fn default() -> Self {
        CircuitBreaker { creations: 1_000, percent: 50, at_least: 50 }
    }
}

impl CircuitBreaker {
    /// Why a sweep that would fail `stale` of `active` creations is suspended; `None` if it goes on.
    pub fn check(self, stale: u64, active: u64) -> Option<Suspension> {
        let CircuitBreaker { creations, percent, at_least } = self;
        let many = stale > u64::from(creations);
        let share = stale >= u64::from(at_least)
            && stale.saturating_mul(100) > active.saturating_mul(u64::from(percent));
        (many || share).then(|| Suspension::BreakerOpen {
            detail: if many {
                format!("more than {creations} creations are stale at once")
            } else {
                format!("{stale} of {active} active creations are stale at once")
            },
        })
    }
}

/// What suspends sweeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suspension {
    /// An operator paused sweeping.
    Paused {
        /// Who: a token's name.
        actor: String,
        /// Since when.
        since: Timestamp,
    },
    /// See [`CircuitBreaker`].
    BreakerOpen {
        /// How many are stale.
        detail: String,
    },
}

impl fmt::Display for Suspension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suspension::Paused { actor, .. } => write!(f, "sweeping is paused by `{actor}`"),
            Suspension::BreakerOpen { detail } => {
                write!(
                    f,
                    "the circuit breaker is open: {detail}, and nothing was written; find the cause, or preview and apply a plan"
                )
            }
        }
    }
}
