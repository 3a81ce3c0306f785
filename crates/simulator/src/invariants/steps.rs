//! What a transaction may do, by who made it.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use stale_drafts::rules::{Action, Status, Verdict, classify};

use super::{Done, History, in_bulk, reference};
use crate::attached;
use crate::call::{Call, Reported, SweepCall};
use crate::image::{Attempt, Creation, Event, Image};
use crate::trace::{differences, state};
use crate::world::{BESIDE, Violation};

/// What a transaction is expected to leave beside the rows of creations.
#[derive(Default)]
struct Expected {
    attempts: BTreeMap<(String, u32), Attempt>,
    /// By id: to whom it goes.
    events: BTreeMap<String, u32>,
}

/// Checks the way from one image to the next, which a transaction of `call` made after `run` others.
pub fn check(
    before: &Image,
    after: &Image,
    call: &Call,
    run: u32,
    history: &mut History,
) -> Result<(), Violation> {
    let mut expected = Expected::default();
    for (key, entry) in &before.ledger {
        if after.ledger.get(key) != Some(entry) {
            let found = format!("{call} changed or removed {key} of the ledger");
            return Err(Violation::new("the-ledger-is-append-only", found));
        }
    }
    let gone = |row: &&Creation| !after.creations.contains_key(&row.id) && !renamed(row, before, after, call);
    if let Some(Creation { id, .. }) = before.creations.values().find(gone) {
        return Err(Violation::new("nothing-vanishes", format!("{call} removed {id}")));
    }
    for row in after.creations.values() {
        match before.creations.get(&row.id) {
            None => made(row, before, call)?,
            Some(then) if anew(then, call) && then.tokens != row.tokens => made(row, before, call)?,
            Some(then) => {
                legal(then, row, call, history)?;
                changed(then, row, before, call, run, history, &mut expected)?;
            }
        }
    }
    more_time(before, after, call, run)?;
    attempts(before, after, call, expected.attempts)?;
    events(before, after, call, expected.events, history)?;
    counted(before, after, call, history)
}

/// A new row is the app's, or exactly what was asked for.
fn made(row: &Creation, before: &Image, call: &Call) -> Result<(), Violation> {
    match call {
        Call::App | Call::Theirs(_) => Ok(()),
        Call::Create(create) if reference::is_full(create.limits, &create.user_id, create.kind, before) => {
            let found = format!("{call} made one more, and as many were active as may be");
            Err(Violation::new("no-more-than-max-active", found))
        }
        Call::Create(create) if *row == reference::created(create, before) => Ok(()),
        _ => Err(Violation::new("only-what-was-asked", format!("{call} made {}: {}", row.id, state(row)))),
    }
}

/// Whether it may come in anew, with another price: nothing was noted of it yet.
fn anew(then: &Creation, call: &Call) -> bool {
    matches!(call, Call::Theirs(_)) && then.status.active().is_some() && then.attempt == 1
}

/// Whether it came in anew under another id, since its row has the key of one that was deleted.
fn renamed(then: &Creation, before: &Image, after: &Image, call: &Call) -> bool {
    let now = attached::gid(&then.id).map(|gid| after.creation_of(gid));
    anew(then, call) && now.is_some_and(|id| !before.creations.contains_key(&id))
}

/// Statuses change along the machine only, and an attempt ends once.
fn legal(then: &Creation, row: &Creation, call: &Call, history: &mut History) -> Result<(), Violation> {
    let id = &row.id;
    let retried = row.attempt != then.attempt;
    // The app may correct a kind, and nobody else.
    let kind = then.kind != row.kind && !matches!(call, Call::App);
    if then.user_id != row.user_id || then.tokens != row.tokens || kind {
        return Err(Violation::new(
            "the-price-stays",
            format!("{call} changed owner, kind or price of {id}"),
        ));
    }
    if !retried && then.status == row.status {
        return Ok(());
    }
    // A sweep puts back what is active, for nothing; by hand it is what has failed, for another charge.
    let by_hand = matches!(call, Call::Bulk(_))
        || matches!(call, Call::Report(report) if matches!(report.what, Reported::Retry { .. }));
    let back = if by_hand {
        then.status == Status::Failed && row.charge == then.charge.saturating_add(1)
    } else {
        then.status.active().is_some() && row.charge == then.charge && matches!(call, Call::Sweep(_))
    };
    let legal = if retried {
        back && row.status == Status::Pending && row.attempt == then.attempt.saturating_add(1)
    } else {
        let restored = then.restored_at.is_none() && row.restored_at.is_some();
        // The app may write its first and its last word in one.
        let at_once = matches!(call, Call::Theirs(_)) && then.status == Status::Pending;
        then.status.next().contains(&row.status)
            || (at_once && row.status == Status::Draft)
            || (then.status == Status::Failed && row.status == Status::Draft && restored)
    };
    if !legal {
        let found = format!(
            "{call} took {id} from {} (attempt {}) to {} (attempt {})",
            then.status, then.attempt, row.status, row.attempt
        );
        return Err(Violation::new("the-status-machine", found));
    }
    let end = match (then.status.active(), row.status) {
        (Some(_), _) if retried => "was retried",
        (Some(_), Status::Draft) => "was completed",
        (Some(_), Status::Failed) => "failed",
        _ => return Ok(()),
    };
    match history.ends.insert((id.clone(), then.attempt), end) {
        None => Ok(()),
        Some(other) => {
            let found = format!("attempt {} of {id} {other}, and then {end}", then.attempt);
            Err(Violation::new("each-attempt-ends-once", found))
        }
    }
}

/// A row is as it was, or as its call is to leave it.
fn changed(
    then: &Creation,
    row: &Creation,
    before: &Image,
    call: &Call,
    run: u32,
    history: &mut History,
    expected: &mut Expected,
) -> Result<(), Violation> {
    match call {
        Call::Sweep(sweep) => swept(then, row, before, sweep, history, expected),
        Call::Report(report) => {
            // A report writes in its first transaction; what follows only looks, but for a start that is noted as repeated: that is
            // carried out with the note.
            let repeats = matches!(report.what, Reported::Start { .. }) && run != BESIDE;
            let writes = run == 0 || repeats;
            let right = if writes { reference::reported(then, report, before) } else { then.clone() };
            same(row, then, &right, call, "a-report-does-what-it-says")?;
            if then.status != Status::Failed && row.status == Status::Failed && report.notify > 0 {
                expected.events.insert(format!("failed:{}:{}", row.id, row.attempt), report.notify);
            }
            if then.attempt != row.attempt {
                let failed = reference::undone(then, "failed", report.now);
                expected.attempts.insert((row.id.clone(), then.attempt), failed);
                if report.notify > 0 {
                    expected.events.insert(format!("retried:{}:{}", row.id, then.attempt), report.notify);
                }
            }
            if then.restored_at != row.restored_at {
                let undone = reference::undone(then, "restored", report.now);
                expected.attempts.insert((row.id.clone(), row.attempt), undone);
                if report.notify > 0 {
                    expected.events.insert(format!("restored:{}:{}", row.id, row.attempt), report.notify);
                }
            }
            Ok(())
        }
        Call::Bulk(bulk) => {
            same(row, then, &in_bulk::retried(then, row, bulk, before), call, "only-what-was-previewed")?;
            if then.attempt != row.attempt {
                bulk.done.borrow_mut().insert((row.id.clone(), then.attempt));
                let failed = reference::undone(then, "failed", bulk.now);
                expected.attempts.insert((row.id.clone(), then.attempt), failed);
                if bulk.notify > 0 {
                    expected.events.insert(format!("retried:{}:{}", row.id, then.attempt), bulk.notify);
                }
            }
            Ok(())
        }
        Call::Extend(extend) => {
            let right = if run == BESIDE { then.clone() } else { reference::extended(then, extend, before) };
            same(row, then, &right, call, "more-time-is-what-was-given")
        }
        Call::Ask(ask) => {
            let count = |counter: &std::cell::Cell<usize>, yes: bool| {
                counter.set(counter.get().saturating_add(usize::from(yes)));
            };
            if then == row {
                count(&ask.again, reference::runs(then, ask) && reference::told(then, ask) == *row);
                return Ok(());
            }
            count(&ask.done, then.status != row.status);
            count(&ask.running, then.status == row.status && then.heartbeat_at != row.heartbeat_at);
            same(row, then, &reference::told(then, ask), call, "an-answer-is-about-what-was-asked")
        }
        Call::App | Call::Theirs(_) => Ok(()),
        Call::Create(_) | Call::Courier | Call::Move(_) if then == row => Ok(()),
        Call::Create(_) | Call::Courier | Call::Move(_) => {
            Err(Violation::new("only-what-was-asked", format!("{call} changed {}", row.id)))
        }
    }
}

/// A row is as it is to be.
fn same(
    row: &Creation,
    then: &Creation,
    right: &Creation,
    call: &Call,
    invariant: &'static str,
) -> Result<(), Violation> {
    if row == right {
        return Ok(());
    }
    let found =
        format!("{call}: {} was {}, and became {}", row.id, state(then), differences(Some(row), Some(right)));
    Err(Violation::new(invariant, found))
}

/// Who gave more time is noted, and nobody else writes there.
fn more_time(before: &Image, after: &Image, call: &Call, run: u32) -> Result<(), Violation> {
    let right = match call {
        Call::Extend(extend) if run != BESIDE => reference::noted(before, extend),
        _ => Image { extensions: before.extensions.clone(), audit: before.audit.clone(), ..Image::default() },
    };
    if (&after.extensions, &after.audit) == (&right.extensions, &right.audit) {
        return Ok(());
    }
    let found = format!(
        "{call} left {:?} and {:?}: expected {:?} and {:?}",
        after.extensions, after.audit, right.extensions, right.audit
    );
    Err(Violation::new("more-time-is-what-was-given", found))
}

/// A sweep touches what is stale by its own clock and policy, in the row as it was right before the commit.
fn swept(
    then: &Creation,
    row: &Creation,
    before: &Image,
    sweep: &SweepCall,
    history: &mut History,
    expected: &mut Expected,
) -> Result<(), Violation> {
    if then == row {
        return Ok(());
    }
    let SweepCall { sweep_id, now, policy, .. } = sweep;
    if matches!(then.extended_until, Value::Integer(until) if reference::millis(*now) <= until) {
        let found = format!("sweep {sweep_id} made {} {}, which has more time", row.id, row.status);
        return Err(Violation::new("nothing-before-its-end", found));
    }
    let Some(staleness) = reference::stale(then, sweep) else {
        let verdict = match classify(&then.draft(), *now, policy) {
            Verdict::Settled(status) => format!("it was {status}"),
            Verdict::Fresh { deadline: None, .. } => String::from("the policy says never"),
            Verdict::Fresh { deadline: Some(deadline), .. } => {
                format!("{} ms of its time were left", deadline.millis_since(*now))
            }
            Verdict::Unreadable(reason) => reason.to_string(),
            Verdict::Stale(_) => String::from("it was not asked to"),
        };
        let found = format!(
            "sweep {sweep_id} made {} {}, and by its own clock and policy {verdict}",
            row.id, row.status
        );
        return Err(Violation::new("only-the-stale-are-swept", found));
    };
    let right = reference::swept(then, sweep, &staleness, before);
    if *row != right {
        let found = format!(
            "sweep {sweep_id}: {} was {}, and became {}",
            row.id,
            state(then),
            differences(Some(row), Some(&right))
        );
        return Err(Violation::new("a-sweep-does-what-it-says", found));
    }
    let done = history.sweeps.entry((before.shard, sweep_id.clone())).or_default();
    let (event, destinations) = if staleness.action() == Action::Retry {
        done.retried.insert((row.id.clone(), then.attempt));
        let attempt = reference::retried(then, sweep, &staleness);
        expected.attempts.insert((row.id.clone(), then.attempt), attempt);
        ("retried", sweep.notify.retry)
    } else {
        done.failed.insert(row.id.clone());
        done.refunded = done.refunded.saturating_add(row.tokens.unsigned_abs());
        ("failed", sweep.notify.app)
    };
    if destinations > 0 {
        expected.events.insert(format!("{event}:{}:{}", row.id, then.attempt), destinations);
    }
    Ok(())
}

/// The attempts that were recorded are those that ended, and what was recorded stays.
fn attempts(
    before: &Image,
    after: &Image,
    call: &Call,
    expected: BTreeMap<(String, u32), Attempt>,
) -> Result<(), Violation> {
    let mut right = before.attempts.clone();
    right.extend(expected);
    for key in right.keys().chain(after.attempts.keys()) {
        let (found, expected) = (after.attempts.get(key), right.get(key));
        if found != expected {
            let found =
                format!("{call} left of attempt {} of {}: {}", key.1, key.0, differences(found, expected));
            return Err(Violation::new("each-attempt-is-recorded", found));
        }
    }
    Ok(())
}

/// What happened is told once, and stays in the outbox until it has been delivered.
fn events(
    before: &Image,
    after: &Image,
    call: &Call,
    expected: BTreeMap<String, u32>,
    history: &mut History,
) -> Result<(), Violation> {
    let fail = |found: String| Err(Violation::new("told-once", found));
    let by_id = |image: &Image| -> BTreeMap<String, Event> {
        image.events.iter().map(|event| (event.id.clone(), event.clone())).collect()
    };
    let (then, now) = (by_id(before), by_id(after));
    if now.len() != after.events.len() {
        return fail(format!("{call} left an event twice in the outbox"));
    }
    let new: BTreeMap<_, _> = now
        .iter()
        .filter(|(id, _)| !then.contains_key(*id))
        .map(|(id, event)| (id.clone(), event.destinations))
        .collect();
    if new != expected {
        return fail(format!("{call} told {new:?}: expected {expected:?}"));
    }
    for id in new.keys() {
        if !history.told.insert(id.clone()) {
            return fail(format!("{call} told {id} a second time"));
        }
        if let (Some(event), Some(row)) =
            (now.get(id), now.get(id).and_then(|event| after.creations.get(&event.creation_id)))
        {
            body(event, row, after)?;
        }
    }
    let left_alone = !matches!(call, Call::Courier);
    for (id, event) in &then {
        match now.get(id) {
            None if !history.delivered.contains(id) => {
                return fail(format!("{call} removed the event {id}, which has not been delivered"));
            }
            Some(other) if left_alone && other != event => {
                return fail(format!("{call} changed the event {id}"));
            }
            None if left_alone => return fail(format!("{call} removed the event {id}")),
            _ => {}
        }
    }
    Ok(())
}

/// What an event says is what stands.
fn body(event: &Event, row: &Creation, image: &Image) -> Result<(), Violation> {
    let value: serde_json::Value = serde_json::from_str(&event.body).unwrap_or_default();
    let refunded = if row.status == Status::Failed { row.unused() } else { 0 };
    let of = |attempt, outcome| {
        image.attempts.get(&(row.id.clone(), attempt)).filter(|before| before.outcome == outcome)
    };
    let charged = match row.event.as_deref() {
        Some("restored") => {
            let used = of(row.attempt, "restored").and_then(|before| before.tokens_used).unwrap_or(0);
            row.tokens.saturating_sub(used)
        }
        Some("retried") if of(row.attempt.saturating_sub(1), "failed").is_some() => row.tokens,
        _ => 0,
    };
    let right = value.pointer("/id").and_then(|id| id.as_str()) == Some(&event.id)
        && value.pointer("/data/creation_id").and_then(|id| id.as_str()) == Some(&row.id)
        && value.pointer("/data/status").and_then(|status| status.as_str()) == Some(row.status.as_str())
        && value.pointer("/data/attempt").and_then(serde_json::Value::as_u64) == Some(u64::from(row.attempt))
        && value.pointer("/data/refunded_tokens").and_then(serde_json::Value::as_i64) == Some(refunded)
        && value.pointer("/data/charged_tokens").and_then(serde_json::Value::as_i64) == Some(charged)
        && value.pointer("/data/error_code").and_then(|code| code.as_str()) == row.error_code.as_deref();
    if right {
        return Ok(());
    }
    Err(Violation::new(
        "told-truly",
        format!("the event {} says {}, and {} is {}", event.id, event.body, row.id, state(row)),
    ))
}

/// A sweep's row counts exactly what its transactions did.
fn counted(before: &Image, after: &Image, call: &Call, history: &History) -> Result<(), Violation> {
    let nothing = Done::default();
    for (id, row) in &after.sweeps {
        let own = matches!(call, Call::Sweep(sweep) if sweep.sweep_id == *id);
        let same = before.sweeps.get(id) == Some(row);
        if same && !own {
            continue;
        }
        if !own {
            return Err(Violation::new(
                "only-what-was-asked",
                format!("{call} changed the row of sweep {id}"),
            ));
        }
        let done = history.done(after.shard, id).unwrap_or(&nothing);
        let right = (done.failed.len(), done.retried.len(), done.refunded);
        let found = (row.failed as usize, row.retried as usize, row.refunded_tokens);
        if found != right {
            let found = format!(
                "sweep {id} counts {} failed, {} retried and {} tokens refunded, and it was {}, {} and {}",
                found.0, found.1, found.2, right.0, right.1, right.2
            );
            return Err(Violation::new("a-sweep-counts-what-it-did", found));
        }
    }
    // The row is there if the sweep did anything.
    let mut here = history.sweeps.keys().filter(|(shard, _)| *shard == after.shard);
    match here.find(|(_, id)| !after.sweeps.contains_key(id)) {
        None => Ok(()),
        Some((_, id)) => Err(Violation::new("a-sweep-counts-what-it-did", format!("sweep {id} left no row"))),
    }
}
