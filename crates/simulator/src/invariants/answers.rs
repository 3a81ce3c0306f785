//! What is answered is true.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use stale_drafts::rules::{
    ActiveLimits, CANCELLED, FAILED_BY_OPERATOR, MaxActive, Status, Unreadable, Verdict, classify,
};
use stale_drafts::service::ask::Asked;
use stale_drafts::service::creations::ReportError;
use stale_drafts::service::extensions::Reached;
use stale_drafts::service::sweep::{Source, SweepError, SweepOutcome};
use stale_drafts::store::{ActiveRow, CreationRow, DatabaseError};

use super::{History, reference};
use crate::call::{AskCall, CreateCall, ERROR_CODE, ReportCall, Reported, SweepCall};
use crate::generate::MAX_TOKENS;
use crate::image::{Creation, Image};
use crate::trace::state;
use crate::world::{Link, Violation};

fn untrue(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Violation {
    Violation::new("answers-are-true", format!("{what}: {why}"))
}

/// The answer to a report, against what stands at that moment: nobody comes between the last look and the answer.
pub fn report(
    call: &ReportCall,
    outcome: &Result<CreationRow, ReportError>,
    link: &Link,
) -> Result<(), Violation> {
    let image = link.world.image_with(&call.id);
    let row = image.creations.get(&call.id);
    if row.is_some_and(|row| link.is_behind(&row.user_id)) {
        return Ok(());
    }
    let what = link.call().to_string();
    let stands = || row.map_or(String::from("not there"), state);
    let wrong = |why: &str| Err(untrue(&what, format!("{why}, and {} is {}", call.id, stands())));
    match outcome {
        Ok(standing) => match row {
            Some(row) if took_effect(call, row, &image) && standing.fence == row.fence => Ok(()),
            _ => wrong("it was answered with success"),
        },
        Err(ReportError::Refused { refusal, .. })
            if wrote(link) && !matches!(call.what, Reported::Complete { .. }) =>
        {
            wrong(&format!("it was rejected ({}), and took effect", refusal.code()))
        }
        Err(ReportError::Refused { refusal, .. }) => match row {
            None => wrong("it was rejected, and there is no such creation"),
            Some(row)
                if matches!(
                    call.what,
                    Reported::Retry { .. } | Reported::Cancel { .. } | Reported::FailNow { .. }
                ) && reference::refusal(row, call, &image) != Some(refusal.code()) =>
            {
                wrong(&format!("it was rejected ({})", refusal.code()))
            }
            // A late result may have been kept; that is all.
            Some(row) if wrote(link) && row.late_at != Some(reference::millis(call.now)) => {
                wrong(&format!("it was rejected ({}), and took effect", refusal.code()))
            }
            Some(_) => Ok(()),
        },
        Err(ReportError::NotFound) => match row.filter(|row| link.was_there(&row.id)) {
            Some(row) if row.user_id == call.user_id => wrong("it was answered that it is not there"),
            Some(_) if call.owner().is_none() => wrong("it was answered that it is not there"),
            _ => Ok(()),
        },
        Err(ReportError::InsufficientTokens { balance, tokens }) => {
            let Some(row) = row else { return wrong("it was answered that the balance is too low") };
            // A restore takes what went back. Somebody may have come between the refusal and the look.
            let price = if matches!(call.what, Reported::Restore) { row.unused() } else { row.tokens };
            let price = if link.alone() { price.unsigned_abs() } else { *tokens };
            insufficient(&what, [*balance, *tokens], &row.user_id, price, link)
        }
        Err(ReportError::Database(error) | ReportError::Rejected(error)) => failed(&what, error, link),
        Err(ReportError::BalanceTooLarge) => match row {
            Some(row) if !link.alone() || exceeds(row, &image) => Ok(()),
            _ => wrong("it was answered that the balance is too large"),
        },
        Err(ReportError::Different) => wrong("it was answered that it is another one"),
        Err(ReportError::TooManyActive { limit, kind, active }) => match row {
            // What an owner has tried again is limited, as what is made is.
            Some(row) if call.owner().is_some() && !wrote(link) && row.status == Status::Failed => {
                let limits = call.policy.max_active(&row.kind);
                let said = TooMany { limits, user_id: &row.user_id, kind: &row.kind };
                said.check(*limit, kind.as_deref(), active, &image).map_err(|found| untrue(&what, found))
            }
            _ => wrong("it was answered that too many are active"),
        },
        Err(ReportError::Moving) => match row {
            Some(row) => moving(&what, &row.user_id, link),
            None => wrong("it was answered that its owner is moving"),
        },
    }
}

/// Nothing is refused because of a move unless there is one, and then it wrote nothing. Where a database does not answer, an old one may.
fn moving(what: &str, owner: &str, link: &Link) -> Result<(), Violation> {
    if (link.world.is_moving(owner) || link.faulted()) && !wrote(link) {
        return Ok(());
    }
    Err(untrue(what, format!("it was answered that {owner} is moving, which is not so")))
}

/// Whether a report's effect stands, by this report or by the same one before.
fn took_effect(call: &ReportCall, row: &Creation, image: &Image) -> bool {
    let said = |tokens_used: Option<u64>, unsaid: i64| {
        tokens_used.map_or(unsaid, |used| i64::try_from(used).unwrap_or(i64::MAX)) == row.used()
    };
    let done = matches!(row.status, Status::Draft | Status::Published);
    match &call.what {
        Reported::Start { worker } => row.worker.as_ref() == Some(worker) && row.fence.is_some(),
        Reported::Heartbeat { fence } => {
            row.status == Status::Processing
                && row.fence.as_ref() == Some(fence)
                && row.heartbeat_at == Value::Integer(reference::millis(call.now))
        }
        Reported::Complete { fence, result_url, tokens_used } => {
            done && row.fence.as_ref() == Some(fence)
                && row.result_url.as_ref() == Some(result_url)
                && row.restored_at.is_none()
                && said(*tokens_used, row.tokens)
        }
        Reported::Fail { fence, tokens_used } => {
            row.status == Status::Failed
                && row.fence == *fence
                && row.error_code.as_deref() == Some(ERROR_CODE)
                && said(*tokens_used, 0)
        }
        Reported::Publish => {
            row.status == Status::Published && row.user_id == call.user_id && row.deleted_at.is_none()
        }
        Reported::Delete => row.deleted_at.is_some() && row.user_id == call.user_id,
        Reported::Restore => done && row.restored_at.is_some() && row.deleted_at.is_none(),
        Reported::Retry { attempt } => {
            let before = image.attempts.get(&(row.id.clone(), *attempt));
            before.is_some_and(|before| before.outcome == "failed")
        }
        Reported::FailNow { attempt } => {
            row.status == Status::Failed
                && row.error_code.as_deref() == Some(FAILED_BY_OPERATOR)
                && *attempt == row.attempt
                && row.tokens_used.is_none()
        }
        Reported::Cancel { attempt } => {
            row.status == Status::Failed
                && row.error_code.as_deref() == Some(CANCELLED)
                && attempt.is_none_or(|attempt| attempt == row.attempt)
        }
    }
}

/// Whether a refund would raise the owner's balance above the greatest one there can be.
fn exceeds(row: &Creation, image: &Image) -> bool {
    let balance = image.balances.get(&row.user_id).copied().unwrap_or(0);
    balance.saturating_add(row.tokens) > MAX_TOKENS
}

/// `balance` and `tokens` are what was answered, `price` is what it costs.
fn insufficient(
    what: &str,
    [balance, tokens]: [u64; 2],
    owner: &str,
    price: u64,
    link: &Link,
) -> Result<(), Violation> {
    let right = link.world.image_of(owner).balances.get(owner).copied().unwrap_or(0).unsigned_abs();
    // The balance is looked at after the refusal; somebody may have been granted tokens between the two.
    if balance == right && tokens == price && (balance < price || !link.alone()) {
        return Ok(());
    }
    let found = format!(
        "it was answered that a balance of {balance} does not cover {tokens}, and {owner} has {right} and it costs {price}"
    );
    Err(untrue(what, found))
}

/// Whether it wrote, and nobody else can have undone that before its answer was heard: a try whose answer was lost is repeated.
fn wrote(link: &Link) -> bool {
    link.wrote() && (!link.faulted() || link.alone())
}

/// An error is only answered where the database gave one.
fn failed(what: &str, error: &DatabaseError, link: &Link) -> Result<(), Violation> {
    if link.faulted() {
        return Ok(());
    }
    Err(untrue(what, format!("nothing went wrong, and it was answered with the error `{error}`")))
}

/// The answer to somebody who asked for a creation.
pub fn create(
    call: &CreateCall,
    outcome: &Result<CreationRow, ReportError>,
    link: &Link,
) -> Result<(), Violation> {
    if link.is_behind(&call.user_id) {
        return Ok(());
    }
    let image = link.world.image_of(&call.user_id);
    let row = image.creations.get(&call.id);
    let what = link.call().to_string();
    let same = row.is_some_and(|row| {
        let prompt = row.prompt == "a fox" || row.deleted_at.is_some();
        row.user_id == call.user_id
            && row.kind == call.kind
            && row.tokens.unsigned_abs() == call.tokens
            && prompt
    });
    match outcome {
        Ok(_) if same => Ok(()),
        Err(ReportError::Different) if row.is_some() && !same => Ok(()),
        Err(ReportError::InsufficientTokens { balance, tokens }) => {
            insufficient(&what, [*balance, *tokens], &call.user_id, call.tokens, link)
        }
        Err(ReportError::Database(error) | ReportError::Rejected(error)) => failed(&what, error, link),
        Err(ReportError::Moving) => moving(&what, &call.user_id, link),
        Err(ReportError::TooManyActive { limit, kind, active }) if row.is_none() && !wrote(link) => {
            let said = TooMany { limits: call.limits, user_id: &call.user_id, kind: call.kind };
            said.check(*limit, kind.as_deref(), active, &image).map_err(|found| untrue(&what, found))
        }
        _ => Err(untrue(&what, format!("it was answered {outcome:?}, and there stands {row:?}"))),
    }
}

/// Another one was refused, since as many are active as may be.
struct TooMany<'a> {
    limits: ActiveLimits,
    user_id: &'a str,
    kind: &'a str,
}

impl TooMany<'_> {
    /// All that are active and make room are listed, and the limit that is named is reached: where it is a kind's, only that kind.
    fn check(
        &self,
        limit: u32,
        kind: Option<&str>,
        active: &[ActiveRow],
        image: &Image,
    ) -> Result<(), String> {
        let theirs = image.creations.values();
        let theirs = theirs.filter(|row| row.user_id == self.user_id && row.status.active().is_some());
        let theirs = theirs.filter(|row| kind.is_none_or(|kind| row.kind == kind));
        let right: BTreeSet<_> =
            theirs.map(|row| (row.id.as_str(), row.kind.as_str(), row.status.as_str())).collect();
        let said = active.iter().map(|row| (row.id.as_str(), row.kind.as_str(), row.status.as_str()));
        let said: BTreeSet<_> = said.collect();
        let (count, set) =
            (right.len(), if kind.is_none() { self.limits.of_all } else { self.limits.of_kind });
        let named = set.map(MaxActive::get) == Some(limit) && kind.is_none_or(|kind| kind == self.kind);
        if named && said == right && u32::try_from(count).is_ok_and(|count| count >= limit) {
            return Ok(());
        }
        Err(format!("it was answered that {limit} of {kind:?} are active, {said:?}, and it is {right:?}"))
    }
}

/// What a sweep says of itself, of the database of `image`.
pub fn sweep(
    call: &SweepCall,
    outcome: &Result<SweepOutcome, Box<SweepError>>,
    link: &Link,
    image: &Image,
    history: &History,
) -> Result<(), Violation> {
    let what = link.call().to_string();
    let report = match outcome {
        Ok(report) => report,
        Err(stopped) => {
            if !link.faulted() {
                return Err(untrue(&what, format!("nothing went wrong, and it stopped: {}", stopped.error)));
            }
            &stopped.outcome
        }
    };
    if !call.dry_run {
        recorded(call, report, outcome.is_ok(), &what, image, history)?;
    }
    if outcome.is_ok() && link.alone() {
        complete(call, report, &what, image)?;
    }
    Ok(())
}

/// What is answered is what the rows show, and what the sweep's own row says.
fn recorded(
    call: &SweepCall,
    report: &SweepOutcome,
    whole: bool,
    what: &str,
    image: &Image,
    history: &History,
) -> Result<(), Violation> {
    let done = history.done(image.shard, &call.sweep_id);
    let failed: BTreeSet<_> = report.failed.iter().map(|failed| failed.id.clone()).collect();
    let retried: BTreeSet<_> =
        report.retried.iter().map(|failed| (failed.id.clone(), failed.attempt)).collect();
    let (really_marked, really_retried) =
        done.map(|done| (done.failed.clone(), done.retried.clone())).unwrap_or_default();
    // An answer may have been lost: then less is known than was done, and never more. So it is of a whole sweep that asked again, where its
    // creations have moved to another database in between.
    let no_more = failed.is_subset(&really_marked) && retried.is_subset(&really_retried);
    let unsaid: Vec<_> = really_marked
        .difference(&failed)
        .chain(really_retried.difference(&retried).map(|(id, _)| id))
        .collect();
    let gone = unsaid.iter().all(|id| !image.creations.contains_key(*id));
    if !no_more || whole && !gone {
        return Err(untrue(
            what,
            format!(
                "it says {failed:?} and {retried:?}, and it was {really_marked:?} and {really_retried:?}"
            ),
        ));
    }
    if !whole || !unsaid.is_empty() {
        return Ok(());
    }
    let idle = report.failed.is_empty() && report.retried.is_empty() && report.rejected.is_empty();
    let Some(row) = image.sweeps.get(&call.sweep_id) else {
        // A page load that found nothing leaves no row; one that only raced has begun, and leaves one.
        let may = call.source == Source::Page && (idle || report.suspended.is_some());
        return if may { Ok(()) } else { Err(untrue(what, "it left no row")) };
    };
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let says = (
        report.raced,
        count(report.rejected.len()),
        count(report.unreadable.len()),
        report.examined,
        report.more,
    );
    let stands = (row.raced, row.rejected, row.unreadable, row.examined, row.more);
    if says != stands || row.refunded_tokens != report.refunded_tokens {
        return Err(untrue(
            what,
            format!(
                "it says {says:?} (raced, rejected, unreadable, examined, more), and its row says {stands:?}"
            ),
        ));
    }
    let suspended = report.suspended.as_ref().map(ToString::to_string);
    if row.finished_at.is_none() || row.error != suspended {
        return Err(untrue(what, format!("it ended well, and its row says {row:?}")));
    }
    Ok(())
}

/// Where nobody else wrote meanwhile, a sweep leaves nothing stale behind, and hides nothing that can't be read.
pub fn complete(call: &SweepCall, report: &SweepOutcome, what: &str, image: &Image) -> Result<(), Violation> {
    let first = call.first.borrow();
    let Some(first) = first.get(&image.shard) else { return Ok(()) };
    let done: BTreeSet<_> =
        report.failed.iter().chain(&report.retried).map(|failed| failed.id.as_str()).collect();
    let rejected: BTreeSet<_> = report.rejected.iter().map(|rejected| rejected.id.as_str()).collect();
    let aside = |row: &&Creation| {
        first.rejected.get(&row.id).is_some_and(|until| *until > reference::millis(call.now))
    };
    let suspended = report.suspended.is_some() && !call.dry_run;
    if call.planned.is_none() && !report.more && !suspended {
        let stale = first.creations.values().filter(|row| reference::stale(row, call).is_some());
        // No sweep decides on whoever moves.
        let stays = |row: &&Creation| !first.moves.users.contains_key(&row.user_id);
        for row in stale.filter(|row| !aside(row)).filter(stays) {
            if !done.contains(row.id.as_str()) && !rejected.contains(row.id.as_str()) {
                let found =
                    format!("{what} found nothing to do for {}, which was stale: {}", row.id, state(row));
                return Err(Violation::new("nobody-is-passed-over", found));
            }
        }
    }
    let mut once = BTreeSet::new();
    let listed = report.failed.iter().chain(&report.retried).map(|failed| failed.id.as_str());
    let listed = listed.chain(report.rejected.iter().map(|rejected| rejected.id.as_str()));
    if let Some(id) = listed.into_iter().find(|id| !once.insert(*id)) {
        return Err(untrue(what, format!("nobody else wrote, and it lists {id} twice")));
    }
    if call.dry_run {
        // What a preview shows is what a sweep would do: it is stale, and a sweep would not touch anything else.
        let not = done
            .iter()
            .find(|id| first.creations.get(**id).is_none_or(|row| reference::stale(row, call).is_none()));
        if let Some(id) = not {
            return Err(untrue(what, format!("it shows {id}, which is not stale")));
        }
    }
    if report.raced > 0 {
        return Err(untrue(what, format!("nobody else wrote, and it says that {} raced", report.raced)));
    }
    if call.user.is_none() && call.planned.is_none() {
        let listed: BTreeSet<_> = report.unreadable.iter().map(|skipped| skipped.id.as_str()).collect();
        let unreadable = |row: &&Creation| {
            matches!(classify(&row.draft(), call.now, &call.policy), Verdict::Unreadable(_))
                && !image.moves.users.contains_key(&row.user_id)
        };
        let hidden =
            image.creations.values().filter(unreadable).find(|row| !listed.contains(row.id.as_str()));
        if let Some(row) = hidden {
            let found = format!("{what} does not show {}, whose times can't be read: {}", row.id, state(row));
            return Err(Violation::new("nothing-is-hidden", found));
        }
    }
    Ok(())
}

/// Once nothing goes wrong any more, `sweeps` sweeps after the limits have passed leave nothing active but what the
/// policy never fails, what nobody can read, and what the database refuses.
pub fn ended(call: &SweepCall, report: &SweepOutcome, image: &Image, sweeps: u32) -> Result<(), Violation> {
    for row in image.creations.values() {
        let why = match classify(&row.draft(), call.now, &call.policy) {
            Verdict::Settled(_) | Verdict::Fresh { deadline: None, .. } => continue,
            Verdict::Unreadable(reason) if listed(report, &row.id, reason) => continue,
            Verdict::Stale(_) if image.rejected.contains_key(&row.id) => continue,
            Verdict::Unreadable(reason) => format!("hidden, though {reason}"),
            Verdict::Stale(_) => String::from("stale"),
            Verdict::Fresh { .. } => String::from("waiting for yet another attempt"),
        };
        let found = format!("after {sweeps} sweeps in peace {} is {why}: {}", row.id, state(row));
        return Err(Violation::new("everything-ends", found));
    }
    Ok(())
}

fn listed(report: &SweepOutcome, id: &str, reason: Unreadable) -> bool {
    report.unreadable.iter().any(|skipped| skipped.id == id && skipped.reason == reason)
}

/// What became of a question is what was written.
pub fn ask(call: &AskCall, asked: &Asked, link: &Link) -> Result<(), Violation> {
    let said = (asked.done, asked.running);
    let was = (call.done.get(), call.running.get());
    let less = said.0 <= was.0 && said.1 <= was.1.saturating_add(call.again.get());
    let right = match &asked.error {
        None => said.0 == was.0 && (was.1..=was.1.saturating_add(call.again.get())).contains(&said.1),
        // An answer may have been lost: then less is known than was done.
        Some(_) => less,
    };
    if right || link.faulted() && less {
        return Ok(());
    }
    Err(untrue(link.call(), format!("it says that {said:?} were done and running, and it was {was:?}")))
}

/// The answer to an operator who gave one creation more time.
pub fn extend(
    id: &str,
    until: i64,
    outcome: &Result<CreationRow, ReportError>,
    link: &Link,
) -> Result<(), Violation> {
    let image = link.world.image_with(id);
    let row = image.creations.get(id);
    if row.is_some_and(|row| link.is_behind(&row.user_id)) {
        return Ok(());
    }
    let what = link.call().to_string();
    let active = row.is_some_and(|row| row.status.active().is_some());
    let has = row.is_some_and(|row| matches!(row.extended_until, Value::Integer(has) if has >= until));
    match outcome {
        Ok(_) if active && has => Ok(()),
        Err(ReportError::Refused { .. }) if row.is_some() && !active && !wrote(link) => Ok(()),
        Err(ReportError::NotFound) if row.is_none() || !link.was_there(id) => Ok(()),
        Err(ReportError::Database(error) | ReportError::Rejected(error)) => failed(&what, error, link),
        Err(ReportError::Moving) => row.map_or(Ok(()), |row| moving(&what, &row.user_id, link)),
        _ => Err(untrue(&what, format!("it was answered {outcome:?}, and there stands {row:?}"))),
    }
}

/// The answer to an operator who gave a kind more time: nothing of it that is active and readable ends before, but who is on the way.
pub fn extend_kind(
    kind: &str,
    until: i64,
    reached: &Reached,
    image: &Image,
    link: &Link,
) -> Result<(), Violation> {
    let runs = image.extensions.iter().any(|((scope, name, end), row)| {
        scope == "kind" && name == kind && row.ended_at.is_none() && *end == until
    });
    let said =
        reached.done.extension.as_ref().is_some_and(|row| row.until == until && row.ended_at.is_none());
    let left = image.creations.values().find(|row| {
        let has = matches!(row.extended_until, Value::Integer(has) if has >= until);
        row.kind == kind
            && row.last_sign_of_life.is_some()
            && !has
            && !image.moves.users.contains_key(&row.user_id)
    });
    match left.filter(|_| said && link.alone() && !reached.more) {
        Some(row) => Err(untrue(link.call(), format!("{} has no more time: {}", row.id, state(row)))),
        None if said && !runs => Err(untrue(link.call(), "it says that it runs, and it does not")),
        None => Ok(()),
    }
}
