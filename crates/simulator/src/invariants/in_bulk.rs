//! Retries of many at once: what was previewed and nothing else is retried, as far as balances go, and whoever is left is named.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value;
use stale_drafts::rules::Status;
use stale_drafts::service::retries::{PlannedRetry, RetryOutcome, RetryPreview, RetrySkip};

use super::reference;
use crate::call::BulkCall;
use crate::image::{Creation, Image};
use crate::in_bulk::listed;
use crate::world::{Link, Violation};

/// The creations of a plan that can be retried by the rows of an image, each with whether its owner's balance covers it after those
/// before it. None is covered after the first of its owner that is not.
pub fn chosen<'a>(plan: &[&PlannedRetry], image: &'a Image) -> Vec<(&'a Creation, bool)> {
    let mut left: BTreeMap<&str, i64> = BTreeMap::new();
    let mut list = Vec::new();
    for planned in plan {
        let Some(row) = image.creations.get(&planned.id).filter(|row| can_be_retried(planned, row)) else {
            continue;
        };
        let left = left
            .entry(&row.user_id)
            .or_insert_with(|| image.balances.get(&row.user_id).copied().unwrap_or(0));
        *left = left.saturating_sub(row.tokens);
        list.push((row, *left >= 0));
    }
    list
}

fn can_be_retried(planned: &PlannedRetry, row: &Creation) -> bool {
    row.status == Status::Failed
        && row.attempt == planned.attempt
        && row.deleted_at.is_none()
        && !row.balance_elsewhere
        && planned.user_id.as_ref().is_none_or(|user_id| *user_id == row.user_id)
}

/// A row after a transaction of a plan: it may be about a part of it, so one that is to be retried may stay. By `image`, what stood before.
pub fn retried(then: &Creation, row: &Creation, call: &BulkCall, image: &Image) -> Creation {
    let in_order = listed(&call.plan);
    // Whoever is before it in the plan and was left since the balance did not cover it keeps it from its turn.
    let may = chosen(&in_order, image).iter().any(|(chosen, covered)| chosen.id == then.id && *covered);
    if may && then != row {
        reference::retried_by_hand(then, call.now, call.notify, image)
    } else {
        then.clone()
    }
}

fn untrue(link: &Link, why: impl std::fmt::Display) -> Violation {
    Violation::new("answers-are-true", format!("{}: {why}", link.call()))
}

/// Whether the answer can be compared with the rows: nothing failed, nobody else wrote, and no user was moving.
fn is_certain(link: &Link) -> bool {
    link.alone() && !link.faulted() && link.world.databases() == 1
}

/// What a preview says.
pub fn previewed(call: &BulkCall, preview: &RetryPreview, link: &Link) -> Result<(), Violation> {
    let plan = listed(&call.plan);
    let named: BTreeSet<_> = preview.creations.iter().map(|one| (one.id.as_str(), one.attempt)).collect();
    all_are_named(&plan, named, preview.skipped.iter().map(|left| (left.id.as_str(), left.attempt)), link)?;
    if !is_certain(link) {
        return Ok(());
    }
    let image = link.world.image();
    let mut in_order = plan.clone();
    let failed_at =
        |planned: &PlannedRetry| match image.creations.get(&planned.id).map(|row| &row.finished_at) {
            Some(Value::Integer(at)) => Some(*at),
            _ => None,
        };
    in_order.sort_by(|one, other| (failed_at(one), &one.id).cmp(&(failed_at(other), &other.id)));
    let chosen = chosen(&in_order, &image);
    let right: Vec<_> =
        chosen.iter().map(|(row, covered)| (row.id.as_str(), row.attempt, *covered)).collect();
    let says: Vec<_> =
        preview.creations.iter().map(|one| (one.id.as_str(), one.attempt, one.is_covered)).collect();
    if says == right {
        return Ok(());
    }
    Err(untrue(link, format!("it previews {says:?}, and it is {right:?}")))
}

/// What came of a plan.
pub fn carried_out(call: &BulkCall, outcome: &RetryOutcome, link: &Link) -> Result<(), Violation> {
    let plan = listed(&call.plan);
    let says: BTreeSet<_> =
        outcome.retried.iter().map(|one| (one.id.as_str(), one.attempt.saturating_sub(1))).collect();
    all_are_named(
        &plan,
        says.clone(),
        outcome.skipped.iter().map(|left| (left.id.as_str(), left.attempt)),
        link,
    )?;
    let done = call.done.borrow();
    let done: BTreeSet<_> = done.iter().map(|(id, attempt)| (id.as_str(), *attempt)).collect();
    // An answer may have been lost: then less is known than was done, and never more.
    if says != done && !(link.faulted() && says.is_subset(&done)) {
        return Err(untrue(link, format!("it says that it retried {says:?}, and it was {done:?}")));
    }
    if !is_certain(link) {
        return Ok(());
    }
    let first = call.first.borrow();
    let Some(before) = first.get(&0) else { return Ok(()) };
    let chosen = chosen(&plan, before);
    let covered: BTreeSet<_> = chosen
        .iter()
        .filter(|(_, covered)| *covered)
        .map(|(row, _)| (row.id.as_str(), row.attempt))
        .collect();
    if says != covered {
        return Err(untrue(link, format!("it retried {says:?}, and what was covered is {covered:?}")));
    }
    for left in &outcome.skipped {
        let row = before.creations.get(&left.id);
        let retried = before.attempts.get(&(left.id.clone(), left.attempt));
        let unpaid =
            chosen.iter().any(|(row, covered)| row.id == left.id && row.attempt == left.attempt && !covered);
        let true_ = match (&left.reason, row) {
            (RetrySkip::NotFound, row) => row.is_none(),
            (RetrySkip::AlreadyRetried { .. }, Some(_)) => retried.is_some_and(|one| one.outcome == "failed"),
            (RetrySkip::Changed { status, attempt }, Some(row)) => {
                row.status.as_str() == status
                    && row.attempt == *attempt
                    && (row.status != Status::Failed || row.attempt != left.attempt)
            }
            (RetrySkip::Refused(refusal), Some(row)) => match refusal.code() {
                "deleted" => row.deleted_at.is_some(),
                "balance_elsewhere" => row.balance_elsewhere,
                _ => false,
            },
            (RetrySkip::InsufficientTokens { balance, tokens }, Some(row)) => {
                let has = link.world.image().balances.get(&row.user_id).copied().unwrap_or(0);
                unpaid && has.unsigned_abs() == *balance && row.tokens.unsigned_abs() == *tokens
            }
            _ => false,
        };
        if !true_ {
            return Err(untrue(link, format!("it left {} ({}), and that is not why", left.id, left.reason)));
        }
    }
    Ok(())
}

/// Each creation of a plan is in one of the two lists, and once.
fn all_are_named<'a>(
    plan: &[&PlannedRetry],
    mut named: BTreeSet<(&'a str, u32)>,
    left: impl Iterator<Item = (&'a str, u32)>,
    link: &Link,
) -> Result<(), Violation> {
    let found = |what: &str, (id, attempt): (&str, u32)| {
        Violation::new(
            "whoever-is-left-is-named",
            format!("{}: {what}: {id}, attempt {attempt}", link.call()),
        )
    };
    for one in left {
        if !named.insert(one) {
            return Err(found("it names one twice", one));
        }
    }
    match plan.iter().map(|planned| (planned.id.as_str(), planned.attempt)).find(|one| !named.contains(one)) {
        None => Ok(()),
        Some(one) => Err(found("it does not name one", one)),
    }
}
