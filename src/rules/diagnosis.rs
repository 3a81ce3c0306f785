use std::borrow::Cow;

use super::breaker::Suspension;
use super::evidence::{Ended, Evidence, SetAside, Thresholds};
use super::open_move;
use super::placement;
use super::text::Age;
use super::time::Timestamp;

/// A worker that sends heartbeats sends one at least this often; one that is silent for longer may be dead.
pub const SILENT_AFTER_MS: u64 = 5 * 60_000;
/// While creations wait, something is expected to start at least this often.
pub const START_EXPECTED_WITHIN_MS: u64 = 10 * 60_000;
/// Heartbeats that end within this time of one another ended for one reason.
pub const ONE_WINDOW_MS: u64 = 2 * 60_000;
/// Tasks that come back within this time of one another, counted from their starts, do so by one timeout: Celery looks for them every
/// 100 seconds.
pub const ONE_TIMEOUT_MS: u64 = 2 * 60_000;
/// The archive is due each hour: a run of it is expected to end well at least this often.
pub const ARCHIVE_EXPECTED_WITHIN_MS: u64 = 2 * 3_600_000;
/// Fewer failures than this say nothing about their cause.
pub const FEW: u64 = 5;
/// The code with which an app fails a creation that it could not give to its queue.
pub const NOT_QUEUED: &str = "not_queued";
/// From this share on, in percent, one kind dominates.
pub const DOMINANT_PERCENT: u64 = 80;

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
    /// The code of the failures that it is about, if they are so: what they are found by.
    pub error_code: Option<String>,
    /// The likely cause.
    pub cause: String,
    /// What shows it.
    pub evidence: String,
    /// What to do about it.
    pub remedy: Cow<'static, str>,
}

/// What is wrong at the instant `now`, the critical ones first. Each code is an alert: it fires when it is first found, and is
/// resolved when it is not found any more.
///
/// | code | found if |
/// |---|---|
/// | `schema_not_current` | the schema is not the expected one; as an alert, only where so much of it is missing that one of several databases can't be read |
/// | `cron_not_running` | cron has neither swept well nor been held for longer than it may, and sweeping is not suspended |
/// | `database_unreachable` | one of several databases does not answer |
/// | `database_shared` | two of several databases are one and the same, or one is a copy of the other |
/// | `buckets_misplaced` | the configuration gives buckets to a database, and another one has them; or one that has nothing on record has users of another |
/// | `move_unfinished` | a move of users to another database has not gone on for [`MOVE_EXPECTED_WITHIN_MS`](super::MOVE_EXPECTED_WITHIN_MS) |
/// | `sweep_failing` | the same, but sweeps run, and the newest one stopped early |
/// | `creations_overdue` | a creation is stale for longer than [`Thresholds::overdue_ms`], and cron has swept since and left it |
/// | `creations_rejected` | sweeps have set creations aside, since the database rejected what they wrote |
/// | `circuit_breaker_open` | the [`CircuitBreaker`](super::CircuitBreaker) is open |
/// | `ledger_differs` | a user's balance is not the sum of their ledger |
/// | `many_stale` | at least [`FEW`] of the creations that ended, and more than [`Thresholds::stale_percent`] of them, timed out |
/// | `many_failed` | at least [`FEW`] of the creations that ended failed, time-outs aside, and at least [`Thresholds::failed_percent`] of them |
/// | `one_error_dominates` | of at least [`FEW`] failures, [`Thresholds::error_percent`] have one code, time-outs aside |
/// | `outbox_stuck` | the deliveries of an event fail for longer than [`Thresholds::outbox_ms`] |
/// | `dead_letters` | an event could not be delivered |
/// | `sweeping_paused` | an operator paused sweeping |
/// | `archive_not_bound` | creations are to be archived, and no bucket is bound |
/// | `unreadable_times` | there are active creations whose age can't be known |
///
/// ```
/// use stale_drafts::rules::{Evidence, Thresholds, Timestamp, alerts};
///
/// let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
/// let mut evidence = Evidence { last_good_sweep: Some(now), last_run: Some(now), ..Evidence::default() };
/// assert_eq!(alerts(&evidence, &Thresholds::default(), now), []);
///
/// evidence.overdue = Some((String::from("c1"), 300_000));
/// let findings = alerts(&evidence, &Thresholds::default(), now);
/// assert_eq!(findings[0].code, "creations_overdue");
/// assert_eq!(findings[0].evidence, "`c1` has been stale for 5 minutes, and no sweep has failed it");
/// ```
pub fn alerts(evidence: &Evidence, thresholds: &Thresholds, now: Timestamp) -> Vec<Finding> {
    in_order(alerting(evidence, &Ended::default(), thresholds, now))
}

/// All that is wrong at the instant `now`: the alerts, and likely root causes. The critical ones come first; a wrong schema before
/// all others, because it may explain them. What another finding explains is not said beside it. Nothing found means healthy.
///
/// | code | found if |
/// |---|---|
/// | those of [`alerts`] | but `many_stale` only where no other finding explains it |
/// | `sweep_failing` | the newest sweep stopped early, and sweeping is not suspended |
/// | `no_worker_running` | a creation waits, and nothing has started, for [`START_EXPECTED_WITHIN_MS`], and nothing is in progress |
/// | `worker_died` | all workers that have sent heartbeats are silent, and fell silent within [`ONE_WINDOW_MS`] |
/// | `one_kind_dominates` | of at least [`FEW`] failures, so many are of one kind, most of that kind failed, others ended too, and no one error explains it |
/// | `tasks_redelivered` | within a day, at least two attempts were [started once more](super::Draft::started_again), and by one timeout: [`ONE_TIMEOUT_MS`] |
/// | `archive_stuck` | creations are to be archived, and no run of that has ended well for [`ARCHIVE_EXPECTED_WITHIN_MS`], nor was it switched on since, though a bucket is bound |
///
/// ```
/// use stale_drafts::rules::{Evidence, Thresholds, Timestamp, diagnose};
///
/// let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
/// let evidence = Evidence {
///     waiting: 12,
///     waiting_since: Timestamp::from_millis(1_700_000_000_000 - 1_500_000),
///     last_good_sweep: Some(now),
///     last_run: Some(now),
///     max_ms_since_sweep: 600_000,
///     ..Evidence::default()
/// };
/// let findings = diagnose(&evidence, &Thresholds::default(), now);
/// assert_eq!(findings[0].code, "no_worker_running");
/// assert_eq!(findings[0].evidence, "12 creations wait, the longest for 25 minutes; nothing has ever started");
/// ```
pub fn diagnose(evidence: &Evidence, thresholds: &Thresholds, now: Timestamp) -> Vec<Finding> {
    // What the newest ones don't show may be seen in more of them.
    let mut found = alerting(evidence, &evidence.more, thresholds, now);
    let died = dead_worker(evidence, now);
    let none_runs = no_worker(evidence, now).filter(|_| died.is_none());
    let one_kind = one_kind(evidence).filter(|_| !has(&found, "one_error_dominates"));
    let failing = failing_sweep(evidence, now).filter(|_| !has(&found, "sweep_failing"));
    // That creations time out is what these lead to.
    if died.is_some() || none_runs.is_some() || one_kind.is_some() {
        found.retain(|finding| finding.code != "many_stale");
    }
    let causes = [failing, none_runs, died, one_kind, redelivered(evidence), archive(evidence, now)];
    found.extend(causes.into_iter().flatten());
    in_order(found)
}

/// Whether a database that failed with these words lacks what a statement names: its schema is not there, or an old one.
pub fn lacks_schema(error: &str) -> bool {
    ["no such table", "no such column"].iter().any(|missing| error.contains(missing))
}

/// What is to be done where one of several databases lacks the schema: it may stand in the place of one that has users.
pub const WITHOUT_SCHEMA: &str =
    "if another database was bound there before, bind that one again; if not, apply the migrations";

/// What is to be said behind the name of a database that failed with these words: what is the matter, and more of it.
///
/// ```
/// use stale_drafts::rules::no_answer;
///
/// let (matter, more) = no_answer("D1_ERROR: no such table: x");
/// assert_eq!(matter, "lacks the schema");
/// assert_eq!(more, "if another database was bound there before, bind that one again; if not, apply the migrations");
/// assert_eq!(no_answer("Network connection lost"), ("does not answer", "Network connection lost"));
/// ```
pub fn no_answer(error: &str) -> (&'static str, &str) {
    if lacks_schema(error) { ("lacks the schema", WITHOUT_SCHEMA) } else { ("does not answer", error) }
}

fn has(findings: &[Finding], code: &str) -> bool {
    findings.iter().any(|finding| finding.code == code)
}

fn alerting(evidence: &Evidence, more: &Ended, thresholds: &Thresholds, now: Timestamp) -> Vec<Finding> {
    let newest = newest(evidence);
    let found = [
        schema(evidence),
        unreachable(evidence),
        shared(evidence),
        placement::misplaced(evidence),
        open_move::unfinished(evidence, now),
        cron(evidence, now),
        overdue(evidence, now),
        rejected(evidence, now),
        suspended(evidence),
        ledger(evidence),
        many_stale(&newest, thresholds).or_else(|| many_stale(more, thresholds)),
        many_failed(&newest, thresholds).or_else(|| many_failed(more, thresholds)),
        one_error(&newest, thresholds.error_percent).or_else(|| one_error(more, thresholds.error_percent)),
        outbox(evidence, thresholds, now),
        dead_letters(evidence),
        archive_not_bound(evidence),
        unreadable(evidence),
    ];
    found.into_iter().flatten().collect()
}

/// What was found, the critical ones first.
fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn schema(evidence: &Evidence) -> Option<Finding> {
    let Evidence { schema_version, expected_schema_version: expected, other_schemas, .. } = evidence;
    if schema_version == expected && other_schemas.is_empty() {
        return None;
    }
    let of = |(shard, version): &(String, Option<i64>)| match version {
        Some(version) => format!("that of `{shard}` is version {version}"),
        None => format!("that of `{shard}` is not there, or too old to say its version"),
    };
    let others: Vec<_> = other_schemas.iter().map(of).collect();
    let (missing, old): (Vec<_>, Vec<_>) = other_schemas.iter().partition(|(_, version)| version.is_none());
    let commands: Vec<_> = old.iter().map(|(shard, _)| apply_migrations(shard)).collect();
    let old = (!old.is_empty()).then(|| format!("apply the migrations: {}", commands.join(", ")));
    let missing =
        missing.iter().map(|(shard, _)| format!("`{shard}`: {WITHOUT_SCHEMA}: {}", apply_migrations(shard)));
    let remedies: Vec<_> = old.into_iter().chain(missing).collect();
    let (found, remedy) = if other_schemas.is_empty() {
        (format!("the schema is version {schema_version}"), Cow::from("apply the migrations"))
    } else {
        (others.join("; "), remedies.join("; ").into())
    };
    Some(Finding {
        code: "schema_not_current",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("the Worker expects another schema of the database"),
        evidence: format!("{found}: expected {expected}"),
        remedy,
    })
}

/// The command that applies the migrations to the database behind a binding: where it is deployed, or on a developer's machine.
pub fn apply_migrations(binding: &str) -> String {
    format!("`npx wrangler d1 migrations apply {binding} --remote` (or `--local`)")
}

/// Since when cron has not run as it should, in ms, if that is too long; `u64::MAX` if it never has.
fn cron_is_late(evidence: &Evidence, now: Timestamp) -> Option<u64> {
    let max = evidence.max_ms_since_sweep;
    let last = evidence.last_run.max(evidence.last_good_sweep);
    let age = last.map_or(u64::MAX, |at| now.millis_since(at));
    (evidence.suspended.is_none() && age > max).then_some(age)
}

fn unreachable(evidence: &Evidence) -> Option<Finding> {
    let [(first, error), others @ ..] = evidence.unreachable.as_slice() else { return None };
    let others: String = others.iter().map(|(shard, _)| format!("; nor does `{shard}`")).collect();
    Some(Finding {
        code: "database_unreachable",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("a database does not answer: its users wait, and the other shards go on"),
        evidence: format!("`{first}` does not answer: {error}{others}"),
        remedy: "look at the platform's status and at the binding; its creations are swept once it answers"
            .into(),
    })
}

/// The first two databases that are one and the same, or of which one is a copy of the other; of each its name, and what tells it from all
/// others.
pub fn shared_by(databases: &[(String, String)]) -> Option<(&str, &str)> {
    databases.iter().enumerate().find_map(|(at, (name, identity))| {
        let before = databases.iter().take(at).find(|(_, other)| other == identity)?;
        Some((before.0.as_str(), name.as_str()))
    })
}

fn shared(evidence: &Evidence) -> Option<Finding> {
    let (one, other) = shared_by(&evidence.databases)?;
    Some(Finding {
        code: "database_shared",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("two shards are one database: it is swept and counted twice"),
        evidence: format!("`{one}` and `{other}` are one and the same, or one is a copy of the other"),
        remedy: "give each shard a database of its own in `d1_databases`, filled by migrations only".into(),
    })
}

fn cron(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let age = cron_is_late(evidence, now)?;
    let not_running = || {
        Finding {
        code: "cron_not_running",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("the cron trigger is not sweeping"),
        evidence: match (
            age,
            evidence.behind.as_ref().map_or(String::new(), |shard| format!(" of `{shard}`")),
        ) {
            (u64::MAX, of) if of.is_empty() => format!("it has never swept{}", waiting_stale(evidence)),
            (u64::MAX, of) => format!("there was never a good sweep{of}{}", waiting_stale(evidence)),
            (age, of) => format!("its last good sweep{of} was {} ago{}", Age(age), waiting_stale(evidence)),
        },
        remedy: "check the cron trigger in the configuration and in the platform's events; sweep by hand meanwhile".into(),
    }
    };
    Some(failing_sweep(evidence, now).unwrap_or_else(not_running))
}

fn waiting_stale(evidence: &Evidence) -> String {
    match evidence.stale {
        None => String::new(),
        Some(0) => String::from("; no creation is stale"),
        Some(stale) => format!("; {} stale", are(stale)),
    }
}

fn failing_sweep(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    // One that is older says nothing of now: nothing sweeps any more.
    let age = now.millis_since(evidence.newest_sweep?);
    let runs = evidence.suspended.is_none() && age <= evidence.max_ms_since_sweep;
    let error = evidence.newest_sweep_error.as_ref().filter(|_| runs);
    error.map(|error| Finding {
        code: "sweep_failing",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("the newest sweep stopped early"),
        evidence: format!("its error: {error}"),
        remedy: "nothing is lost: the next sweep carries on; if it fails too, act on the error".into(),
    })
}

fn no_worker(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let waited = now.millis_since(evidence.waiting_since?);
    let idle = evidence.last_start.map(|at| now.millis_since(at));
    let idle_long = idle.is_none_or(|idle| idle > START_EXPECTED_WITHIN_MS);
    // A worker that is busy with something long starts nothing.
    let idle_all = evidence.alive == 0 && evidence.busy == 0;
    (evidence.waiting > 0 && idle_all && waited > START_EXPECTED_WITHIN_MS && idle_long).then(|| Finding {
        code: "no_worker_running",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("no worker is running, or none reaches the queue"),
        evidence: {
            let wait = if evidence.waiting == 1 { "creation waits" } else { "creations wait" };
            let started = idle.map_or(String::from("nothing has ever started"), |idle| {
                format!("nothing has started for {}", Age(idle))
            });
            format!("{} {wait}, the longest for {}; {started}", evidence.waiting, Age(waited))
        },
        remedy: "start the workers; if they run, check that the queue's broker does, and that they reach it"
            .into(),
    })
}

fn dead_worker(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let (earliest, latest) = evidence.silent_between?;
    let one_window = latest.millis_since(earliest) <= ONE_WINDOW_MS;
    (evidence.silent >= 2 && evidence.alive == 0 && one_window).then(|| Finding {
        code: "worker_died",
        severity: Severity::Critical,
        error_code: None,
        cause: format!("a worker died {} ago", Age(now.millis_since(latest))),
        evidence: format!(
            "the last heartbeats of all {} creations in progress that had any came within {} of one another; none since",
            evidence.silent,
            Age(latest.millis_since(earliest))
        ),
        remedy: "restart the worker and look at its last log lines; the creations are failed and refunded at their limit".into(),
    })
}

/// How those ended that alerts are about.
fn newest(evidence: &Evidence) -> Ended {
    let Evidence { finished, failed, timed_out, ref top_error, .. } = *evidence;
    Ended { finished, failed, timed_out, top_error: top_error.clone() }
}

fn one_error(ended: &Ended, percent: u64) -> Option<Finding> {
    let (code, count) = ended.top_error.as_ref()?;
    let dominates = ended.failed >= FEW && share(*count, ended.failed) >= percent;
    let (cause, remedy) = if code == NOT_QUEUED {
        (
            "the app can't reach its queue",
            "start the queue's broker, such as Redis, and check that the app reaches it",
        )
    } else {
        ("the provider or its key has a problem", "check the provider's status, the key and its quota")
    };
    // That time-outs dominate is not a cause: the findings about workers say why.
    (dominates && code != super::GENERATION_TIMEOUT).then(|| Finding {
        code: "one_error_dominates",
        severity: Severity::Warning,
        error_code: Some(code.clone()),
        cause: format!("{cause}: `{code}`"),
        evidence: format!(
            "{count} of {} failures of the last hour, among the newest creations, have this code",
            ended.failed
        ),
        remedy: remedy.into(),
    })
}

fn one_kind(evidence: &Evidence) -> Option<Finding> {
    let (kind, failed, finished) = evidence.top_kind.as_ref()?;
    let ended = if evidence.more.finished > 0 { &evidence.more } else { &newest(evidence) };
    let dominates = ended.failed >= FEW && share(*failed, ended.failed) >= DOMINANT_PERCENT;
    let others = ended.finished.saturating_sub(*finished);
    (dominates && share(*failed, *finished) >= 50 && others > 0).then(|| Finding {
        code: "one_kind_dominates",
        severity: Severity::Warning,
        error_code: None,
        cause: format!("the generation of `{kind}` has a problem"),
        evidence: format!(
            "{failed} of {finished} of this kind failed in the last hour, and {} of {others} others, among the newest creations",
            ended.failed.saturating_sub(*failed)
        ),
        remedy: "check the worker and the provider of this kind".into(),
    })
}

/// A worker whose process is killed starts its task again too, after any time. By a timeout it takes equally long each time.
fn redelivered(evidence: &Evidence) -> Option<Finding> {
    let by = |least: u64| {
        let one_timeout = least..=least.saturating_add(ONE_TIMEOUT_MS);
        evidence.started_again.iter().filter(move |(_, after)| one_timeout.contains(after))
    };
    let of = |(_, least): &(String, u64)| (by(*least).count(), *least);
    let (count, least) = evidence.started_again.iter().map(of).max().filter(|(count, _)| *count >= 2)?;
    let (newest, _) = by(least).next()?;
    Some(Finding {
        code: "tasks_redelivered",
        severity: Severity::Warning,
        error_code: None,
        cause: String::from("the broker delivers tasks again that are still in progress"),
        evidence: format!(
            "{count} attempts were started twice within a day, {} apart; the last was that of `{newest}`",
            Age(least)
        ),
        remedy: "set the broker's `visibility_timeout` above the longest that a task takes, with its retries"
            .into(),
    })
}

fn unreadable(evidence: &Evidence) -> Option<Finding> {
    (evidence.unreadable > 0).then(|| Finding {
        code: "unreadable_times",
        severity: Severity::Warning,
        error_code: None,
        cause: String::from("rows have times that can't be read"),
        evidence: format!(
            "{} active with times that are missing, malformed, in seconds or in the future",
            are(evidence.unreadable)
        ),
        remedy: "list them with a dry run, and correct what writes them; they are never failed by guesswork"
            .into(),
    })
}

fn are(count: u64) -> String {
    if count == 1 { String::from("1 creation is") } else { format!("{count} creations are") }
}

fn share(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

fn overdue(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let (id, by_ms) = evidence.overdue.as_ref()?;
    // While nothing has swept since it became stale, what keeps it from sweeping is the cause, or its turn is still to come.
    let good = evidence.last_good_sweep.filter(|at| evidence.last_run.is_none_or(|run| run <= *at));
    let swept = good.is_some_and(|at| now.millis_since(at) < *by_ms);
    let explained = evidence.suspended.is_some() || cron_is_late(evidence, now).is_some();
    (swept && !explained).then(|| Finding {
        code: "creations_overdue",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("stale creations are not failed in time"),
        evidence: format!("`{id}` has been stale for {}, and no sweep has failed it", Age(*by_ms)),
        remedy: "check the newest sweeps and their errors; sweep by hand meanwhile".into(),
    })
}

fn rejected(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let SetAside { count, id, reason, until } = evidence.set_aside.as_ref()?;
    let again = match until.millis_since(now) {
        0 => String::from("at its next run"),
        millis => format!("in {}", Age(millis)),
    };
    let others = match count.saturating_sub(1) {
        0 => String::new(),
        1 => String::from("; 1 more is set aside"),
        others => format!("; {others} more are set aside"),
    };
    Some(Finding {
        code: "creations_rejected",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("the database rejects that some stale creations are failed"),
        evidence: format!("`{id}`: {reason}; a sweep tries it again {again}{others}"),
        remedy: "remove what rejects it, such as a trigger or a constraint of yours".into(),
    })
}

fn suspended(evidence: &Evidence) -> Option<Finding> {
    Some(match evidence.suspended.as_ref()? {
        Suspension::BreakerOpen { detail } => Finding {
            code: "circuit_breaker_open",
            severity: Severity::Critical,
            error_code: None,
            cause: String::from(
                "a sweep would have failed abnormally many creations, and the circuit breaker stopped it",
            ),
            evidence: detail.clone(),
            remedy: "find the cause: a clock, the policy, the provider; if they are really stale, preview and apply a plan".into(),
        },
        Suspension::Paused { actor, .. } => Finding {
            code: "sweeping_paused",
            severity: Severity::Warning,
            error_code: None,
            cause: String::from("sweeping is paused"),
            evidence: format!("`{actor}` paused it"),
            remedy: "resume it on the dashboard".into(),
        },
    })
}

fn ledger(evidence: &Evidence) -> Option<Finding> {
    let first = evidence.differs.first()?;
    let others = evidence.differs.len().saturating_sub(1);
    Some(Finding {
        code: "ledger_differs",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("a balance is not the sum of its ledger"),
        evidence: if others == 0 {
            format!("that of `{first}`")
        } else {
            format!("that of `{first}` and {others} more")
        },
        remedy: "find what writes balances without the ledger, and correct them by the ledger".into(),
    })
}

fn many_stale(ended: &Ended, thresholds: &Thresholds) -> Option<Finding> {
    let (timed_out, finished) = (ended.timed_out, ended.finished);
    let many = timed_out >= FEW && share(timed_out, finished) > thresholds.stale_percent;
    many.then(|| Finding {
        code: "many_stale",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("many creations time out"),
        evidence: format!(
            "{timed_out} of {finished} that ended within the last hour, among the newest creations"
        ),
        remedy: "check the workers and the provider: the dashboard shows which kinds, and by which limits"
            .into(),
    })
}

/// What timed out is [`many_stale`]'s.
fn many_failed(ended: &Ended, thresholds: &Thresholds) -> Option<Finding> {
    let failed = ended.failed.saturating_sub(ended.timed_out);
    let many = failed >= FEW && share(failed, ended.finished) >= thresholds.failed_percent;
    let most = ended.top_error.as_ref().filter(|(code, _)| code != super::GENERATION_TIMEOUT);
    many.then(|| Finding {
        code: "many_failed",
        severity: Severity::Critical,
        error_code: most.map(|(code, _)| code.clone()),
        cause: String::from("many creations fail"),
        evidence: {
            let by = most.map_or(String::new(), |(code, count)| format!(", {count} of them with `{code}`"));
            format!("{failed} of {} that ended within the last hour failed, among the newest creations{by}", ended.finished)
        },
        remedy: "see by which errors, and check the workers and the provider; once that is mended, preview a retry of them"
            .into(),
    })
}

fn outbox(evidence: &Evidence, thresholds: &Thresholds, now: Timestamp) -> Option<Finding> {
    let failing = evidence.events_failing_since.map(|since| now.millis_since(since))?;
    (failing > thresholds.outbox_ms).then(|| Finding {
        code: "outbox_stuck",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("events are not delivered"),
        evidence: format!("the deliveries of one have failed for {}", Age(failing)),
        remedy: "check the queue and the webhook: `events --due` names the error".into(),
    })
}

fn dead_letters(evidence: &Evidence) -> Option<Finding> {
    (evidence.dead_letters > 0).then(|| Finding {
        code: "dead_letters",
        severity: Severity::Warning,
        error_code: None,
        cause: String::from("the rest of the app does not know of everything that happened"),
        evidence: match evidence.dead_letters {
            1 => String::from("1 event could not be delivered"),
            count => format!("{count} events could not be delivered"),
        },
        remedy: "see `events`, remove the cause, and `replay` them".into(),
    })
}

fn archive_not_bound(evidence: &Evidence) -> Option<Finding> {
    evidence.archive_not_bound.then(|| Finding {
        code: "archive_not_bound",
        severity: Severity::Warning,
        error_code: None,
        cause: String::from("nothing is archived"),
        evidence: String::from("`keep_days.creations` is set, and no R2 bucket is bound as `ARCHIVE`"),
        remedy: "bind one in `[[r2_buckets]]`, which an app that embeds the Worker passes on with `bindings`, or remove \
                 `keep_days.creations`"
            .into(),
    })
}

fn archive(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let waits = now.millis_since(evidence.archive_since.max(evidence.archive_ended_at)?);
    let expected = evidence.archives && !evidence.archive_not_bound;
    let of = evidence.archive_of.as_ref().map_or(String::new(), |shard| format!(" of `{shard}`"));
    (expected && waits > ARCHIVE_EXPECTED_WITHIN_MS).then(|| Finding {
        code: "archive_stuck",
        severity: Severity::Warning,
        error_code: None,
        cause: String::from("creations that ended long ago are not archived"),
        evidence: if evidence.archive_ended_at < evidence.archive_since {
            format!("no run{of} has ended well since it was switched on {} ago", Age(waits))
        } else {
            format!("the last run{of} that ended well was {} ago", Age(waits))
        },
        remedy: "check the R2 bucket with the binding `ARCHIVE`: `archive_failed` in the log names the error"
            .into(),
    })
}
