use super::text::Age;
use super::time::Timestamp;

/// A heartbeat is expected at least this often; a creation in progress that is silent for longer may be lost.
pub const SILENT_AFTER_MS: u64 = 5 * 60_000;
/// While creations wait, something is expected to start at least this often.
pub const START_EXPECTED_WITHIN_MS: u64 = 10 * 60_000;
/// Signs of life that end within this time of one another ended for one reason.
pub const ONE_WINDOW_MS: u64 = 2 * 60_000;
/// Fewer failures than this say nothing about their cause.
pub const FEW: u64 = 5;
/// From this share on, in percent, one kind dominates.
pub const DOMINANT_PERCENT: u64 = 80;

/// What the database says about how generation goes, gathered by whoever asks for a diagnosis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Creations that wait for a worker.
    pub waiting: u64,
    /// The longest-waiting one's last sign of life.
    pub waiting_since: Option<Timestamp>,
    /// When a worker last began one of the newest 1,000 creations.
    pub last_start: Option<Timestamp>,
    /// Creations in progress that showed a sign of life within [`SILENT_AFTER_MS`].
    pub alive: u64,
    /// Creations in progress that did not.
    pub silent: u64,
    /// The earliest and the latest last sign of life of those in progress, where none is alive.
    pub silent_between: Option<(Timestamp, Timestamp)>,
    /// Active creations beyond their limit that no sweep has marked yet; `None` if nobody has counted them.
    pub stale: Option<u64>,
    /// Active creations whose age can't be known.
    pub unreadable: u64,
    /// Those of the newest 1,000 creations that were finished within the last hour.
    pub finished: u64,
    /// Of these, the failed ones.
    pub failed: u64,
    /// The most frequent error code among the failed ones.
    pub top_error: Option<(String, u64)>,
    /// The most frequent kind among the failed ones, how many failed, and how many of that kind were finished.
    pub top_kind: Option<(String, u64, u64)>,
    /// When the last good sweep of the cron trigger began.
    pub last_good_sweep: Option<Timestamp>,
    /// How old that may be.
    pub max_ms_since_sweep: u64,
    /// The error of the newest sweep, if it stopped early.
    pub last_sweep_error: Option<String>,
    /// The schema that the database has.
    pub schema_version: i64,
    /// The schema that is expected.
    pub expected_schema_version: i64,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a look; nothing is lost by waiting.
    Warning,
    /// Somebody has to act.
    Critical,
}

impl Severity {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// A likely root cause, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A stable code for JSON and monitors.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is likely the matter.
    pub cause: String,
    /// What says so.
    pub evidence: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Names likely root causes at the instant `now`, beside what [`watch`](super::watch()) says, the critical ones first. Nothing
/// found by either means healthy.
///
/// | code | found if |
/// |---|---|
/// | `schema_not_current` | the schema is not the expected one |
/// | `sweep_failing` | the newest sweep stopped early |
/// | `no_worker_running` | a creation waits, and nothing has started, for [`START_EXPECTED_WITHIN_MS`] |
/// | `worker_died` | everything in progress is silent, and fell silent within [`ONE_WINDOW_MS`] |
/// | `one_kind_dominates` | of at least [`FEW`] failures, so many are of one kind, most of that kind failed, and others finished too |
/// | `unreadable_times` | there are active creations whose age can't be known |
///
/// ```
/// use stale_drafts::rules::{Evidence, Timestamp, diagnose};
///
/// let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
/// let evidence = Evidence {
///     waiting: 12,
///     waiting_since: Timestamp::from_millis(1_700_000_000_000 - 1_500_000),
///     last_good_sweep: Some(now),
///     max_ms_since_sweep: 600_000,
///     ..Evidence::default()
/// };
/// let findings = diagnose(&evidence, now);
/// assert_eq!(findings[0].code, "no_worker_running");
/// assert_eq!(findings[0].evidence, "12 creations wait, the longest for 25 minutes; nothing has ever started");
/// ```
pub fn diagnose(evidence: &Evidence, now: Timestamp) -> Vec<Finding> {
    critical_first([
        schema(evidence),
        failing_sweep(evidence),
        no_worker(evidence, now),
        dead_worker(evidence, now),
        one_kind(evidence),
        unreadable(evidence),
    ])
}

/// What was found, the critical ones first.
pub(super) fn critical_first<const N: usize>(found: [Option<Finding>; N]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut warnings = Vec::new();
    for finding in found.into_iter().flatten() {
        if finding.severity == Severity::Critical { &mut findings } else { &mut warnings }.push(finding);
    }
    findings.append(&mut warnings);
    findings
}

fn schema(evidence: &Evidence) -> Option<Finding> {
    let Evidence { schema_version, expected_schema_version, .. } = evidence;
    (schema_version != expected_schema_version).then(|| Finding {
        code: "schema_not_current",
        severity: Severity::Critical,
        cause: String::from("the database's schema is not the Worker's"),
        evidence: format!("the schema is version {schema_version}: expected {expected_schema_version}"),
        remedy: "apply the migrations",
    })
}

pub(super) fn cron(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let age = evidence.last_good_sweep.map(|at| now.millis_since(at));
    (age.is_none_or(|age| age > evidence.max_ms_since_sweep)).then(|| Finding {
        code: "cron_not_running",
        severity: Severity::Critical,
        cause: String::from("the cron trigger does not sweep"),
        evidence: match age {
            Some(age) => format!("its last good sweep was {} ago{}", Age(age), waiting_stale(evidence)),
            None => format!("it has never swept{}", waiting_stale(evidence)),
        },
        remedy: "look for the cron trigger in the configuration and in the platform's events; sweep by hand meanwhile",
    })
}

fn waiting_stale(evidence: &Evidence) -> String {
    match evidence.stale {
        None => String::new(),
        Some(0) => String::from("; no creation is stale"),
        Some(stale) => format!("; {} stale", are(stale)),
    }
}

fn failing_sweep(evidence: &Evidence) -> Option<Finding> {
    evidence.last_sweep_error.as_ref().map(|error| Finding {
        code: "sweep_failing",
        severity: Severity::Critical,
        cause: String::from("the newest sweep stopped early"),
        evidence: format!("its error: {error}"),
        remedy: "nothing is lost, the next sweep carries on; if it fails too, act on the error",
    })
}

fn no_worker(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let waited = now.millis_since(evidence.waiting_since?);
    let idle = evidence.last_start.map(|at| now.millis_since(at));
    let idle_long = idle.is_none_or(|idle| idle > START_EXPECTED_WITHIN_MS);
    (evidence.waiting > 0 && waited > START_EXPECTED_WITHIN_MS && idle_long).then(|| Finding {
        code: "no_worker_running",
        severity: Severity::Critical,
        cause: String::from("no worker is running"),
        evidence: {
            let wait = if evidence.waiting == 1 { "creation waits" } else { "creations wait" };
            let started = idle.map_or(String::from("nothing has ever started"), |idle| {
                format!("nothing has started for {}", Age(idle))
            });
            format!("{} {wait}, the longest for {}; {started}", evidence.waiting, Age(waited))
        },
        remedy: "start the workers, and look whether they reach the queue",
    })
}

fn dead_worker(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let (earliest, latest) = evidence.silent_between?;
    let one_window = latest.millis_since(earliest) <= ONE_WINDOW_MS;
    (evidence.silent >= 2 && evidence.alive == 0 && one_window).then(|| Finding {
        code: "worker_died",
        severity: Severity::Critical,
        cause: format!("a worker died {} ago", Age(now.millis_since(latest))),
        evidence: format!(
            "all {} creations in progress showed their last sign of life within {} of one another; none since",
            evidence.silent,
            Age(latest.millis_since(earliest))
        ),
        remedy: "restart the worker and look at its last log lines; the creations are failed and refunded at their limit",
    })
}

pub(super) fn one_error(evidence: &Evidence, percent: u64) -> Option<Finding> {
    let (code, count) = evidence.top_error.as_ref()?;
    let dominates = evidence.failed >= FEW && share(*count, evidence.failed) >= percent;
    // That time-outs dominate is not a cause: the findings about workers say why.
    (dominates && code != super::GENERATION_TIMEOUT).then(|| Finding {
        code: "one_error_dominates",
        severity: Severity::Warning,
        cause: format!("the provider or its key is in trouble: `{code}`"),
        evidence: format!("{count} of {} failures in the last hour have this code", evidence.failed),
        remedy: "look at the provider's status, the key and its quota",
    })
}

fn one_kind(evidence: &Evidence) -> Option<Finding> {
    let (kind, failed, finished) = evidence.top_kind.as_ref()?;
    let dominates = evidence.failed >= FEW && share(*failed, evidence.failed) >= DOMINANT_PERCENT;
    let others = evidence.finished.saturating_sub(*finished);
    (dominates && share(*failed, *finished) >= 50 && others > 0).then(|| Finding {
        code: "one_kind_dominates",
        severity: Severity::Warning,
        cause: format!("whatever generates `{kind}` is in trouble"),
        evidence: format!(
            "{failed} of {finished} of this kind failed in the last hour, and {} of {others} others",
            evidence.failed.saturating_sub(*failed)
        ),
        remedy: "look at the worker and the provider of this kind",
    })
}

fn unreadable(evidence: &Evidence) -> Option<Finding> {
    (evidence.unreadable > 0).then(|| Finding {
        code: "unreadable_times",
        severity: Severity::Warning,
        cause: String::from("rows have times that can't be read"),
        evidence: format!(
            "{} active with times that are missing, malformed or in the future",
            are(evidence.unreadable)
        ),
        remedy: "list them with a dry run and correct what writes them; they are never failed by guesswork",
    })
}

fn are(count: u64) -> String {
    if count == 1 { String::from("1 creation is") } else { format!("{count} creations are") }
}

pub(super) fn share(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}
