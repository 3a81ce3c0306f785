use super::breaker::Suspension;
use super::doctor::{Evidence, FEW, Finding, Severity, critical_first, cron, one_error, share};
use super::text::Age;
use super::time::Timestamp;

/// What somebody who watches the sweeper sees, beside the [`Evidence`]: each is read in a few rows, whatever the table's size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Of this, what is known in few rows: when cron last swept, and how the newest creations ended.
    pub evidence: Evidence,
    /// Of the finished ones in it, those that timed out.
    pub timed_out: u64,
    /// An active creation that is stale for longer than [`Thresholds::overdue_ms`]: its id, and for how long it has been stale.
    pub overdue: Option<(String, u64)>,
    /// Users whose balance is not the sum of their ledger.
    pub differs: Vec<String>,
    /// Since when the oldest undelivered event is due.
    pub due_since: Option<Timestamp>,
    /// Events that were given up.
    pub given_up: u64,
    /// What holds sweeps back.
    pub suspended: Option<Suspension>,
}

/// From where on something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// How long a creation may be stale before it is marked, in ms; one minute by default.
    pub overdue_ms: u64,
    /// The share of time-outs among the newest finished creations, in percent; 20 by default.
    pub stale_percent: u64,
    /// The share of one error among the failures, in percent; 80 by default.
    pub error_percent: u64,
    /// How long an event may be due, in ms; 15 minutes by default.
    pub outbox_ms: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { overdue_ms: 60_000, stale_percent: 20, error_percent: 80, outbox_ms: 900_000 }
    }
}

/// Says what is wrong at the instant `now`, the critical ones first. Each code is an alert: it fires once when it is first
/// found, and is resolved when it is not found any more.
///
/// | code | found if |
/// |---|---|
/// | `cron_not_running` | the last good sweep by cron is older than it may be, or there is none |
/// | `creations_overdue` | a creation is stale for longer than [`Thresholds::overdue_ms`], and not marked |
/// | `circuit_breaker_open` | the [`CircuitBreaker`](super::CircuitBreaker) holds sweeps back |
/// | `ledger_differs` | a user's balance is not the sum of their ledger |
/// | `many_stale` | at least [`FEW`] of the finished creations, and more than [`Thresholds::stale_percent`] of them, timed out |
/// | `one_error_dominates` | of at least [`FEW`] failures, [`Thresholds::error_percent`] have one code, time-outs aside |
/// | `outbox_stuck` | an event is due for longer than [`Thresholds::outbox_ms`] |
/// | `dead_letters` | an event was given up |
/// | `sweeping_paused` | an operator paused sweeping |
///
/// ```
/// use stale_drafts::rules::{Observed, Thresholds, Timestamp, watch};
///
/// let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
/// let mut observed = Observed::default();
/// observed.evidence.last_good_sweep = Some(now);
/// assert_eq!(watch(&observed, &Thresholds::default(), now), []);
///
/// observed.overdue = Some((String::from("c1"), 300_000));
/// let findings = watch(&observed, &Thresholds::default(), now);
/// assert_eq!(findings[0].code, "creations_overdue");
/// assert_eq!(findings[0].evidence, "`c1` has been stale for 5 minutes and is not marked");
/// ```
pub fn watch(observed: &Observed, thresholds: &Thresholds, now: Timestamp) -> Vec<Finding> {
    critical_first([
        cron(&observed.evidence, now),
        overdue(observed),
        suspended(observed),
        ledger(observed),
        many_stale(observed, thresholds),
        one_error(&observed.evidence, thresholds.error_percent),
        outbox(observed, thresholds, now),
        given_up(observed),
    ])
}

fn overdue(observed: &Observed) -> Option<Finding> {
    observed.overdue.as_ref().map(|(id, by_ms)| Finding {
        code: "creations_overdue",
        severity: Severity::Critical,
        cause: String::from("stale creations are not marked"),
        evidence: format!("`{id}` has been stale for {} and is not marked", Age(*by_ms)),
        remedy: "look at the newest sweeps and their errors; sweep by hand meanwhile",
    })
}

fn suspended(observed: &Observed) -> Option<Finding> {
    let suspended = observed.suspended.as_ref()?;
    Some(match suspended {
        Suspension::BreakerOpen { detail } => Finding {
            code: "circuit_breaker_open",
            severity: Severity::Critical,
            cause: String::from("a sweep would fail abnormally many creations, and was stopped"),
            evidence: detail.clone(),
            remedy: "look for the cause: a clock, the policy, the provider; if they are really stale, preview and apply the plan",
        },
        Suspension::Paused { actor, .. } => Finding {
            code: "sweeping_paused",
            severity: Severity::Warning,
            cause: String::from("sweeping is paused"),
            evidence: format!("`{actor}` paused it"),
            remedy: "resume it on the dashboard",
        },
    })
}

fn ledger(observed: &Observed) -> Option<Finding> {
    let first = observed.differs.first()?;
    let others = observed.differs.len().saturating_sub(1);
    Some(Finding {
        code: "ledger_differs",
        severity: Severity::Critical,
        cause: String::from("a balance is not the sum of its ledger"),
        evidence: if others == 0 {
            format!("that of `{first}`")
        } else {
            format!("that of `{first}` and {others} more")
        },
        remedy: "find what writes balances beside the ledger, and correct them by it",
    })
}

fn many_stale(observed: &Observed, thresholds: &Thresholds) -> Option<Finding> {
    let (timed_out, finished) = (observed.timed_out, observed.evidence.finished);
    let many = timed_out >= FEW && share(timed_out, finished) > thresholds.stale_percent;
    many.then(|| Finding {
        code: "many_stale",
        severity: Severity::Critical,
        cause: String::from("many creations time out"),
        evidence: format!("{timed_out} of the newest {finished} that ended within the last hour"),
        remedy: "look at the workers: `doctor` says what is likely the matter",
    })
}

fn outbox(observed: &Observed, thresholds: &Thresholds, now: Timestamp) -> Option<Finding> {
    let late = observed.due_since.map(|since| now.millis_since(since))?;
    (late > thresholds.outbox_ms).then(|| Finding {
        code: "outbox_stuck",
        severity: Severity::Critical,
        cause: String::from("events are not delivered"),
        evidence: format!("the oldest is due for {}", Age(late)),
        remedy: "look at the queue and the webhook: `events --due` names the error",
    })
}

fn given_up(observed: &Observed) -> Option<Finding> {
    (observed.given_up > 0).then(|| Finding {
        code: "dead_letters",
        severity: Severity::Warning,
        cause: String::from("the rest of the app was not told"),
        evidence: match observed.given_up {
            1 => String::from("1 event was given up"),
            count => format!("{count} events were given up"),
        },
        remedy: "see `events`, mend the cause, and `replay` them",
    })
}
