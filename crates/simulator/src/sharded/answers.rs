//! What a sweep of several databases says of each of them.

use std::collections::BTreeSet;

use stale_drafts::service::shards::ShardOutcome;
use stale_drafts::service::sweep::{SweepError, SweepOutcome, SweptCreation};

use super::binding;
use crate::call::SweepCall;
use crate::image::Image;
use crate::invariants::{self, History};
use crate::world::{Link, Violation};

/// Checks it: what is answered of each is what its rows show, and the row of the sweep there.
pub fn swept(
    call: &SweepCall,
    outcome: &Result<SweepOutcome, Box<SweepError>>,
    link: &Link,
    history: &History,
) -> Result<(), Violation> {
    let report = match outcome {
        Ok(report) => report,
        Err(stopped) => &stopped.outcome,
    };
    let (mut failed, mut retried) = (report.failed.iter(), report.retried.iter());
    for (shard, of) in report.shards.iter().enumerate() {
        let image = link.world.image_at(shard);
        let what = format!("{} in {}", link.call(), binding(shard));
        let part = SweepOutcome {
            failed: failed.by_ref().take(of.failed as usize).cloned().collect(),
            retried: retried.by_ref().take(of.retried as usize).cloned().collect(),
            more: of.more,
            suspended: of.suspended.clone(),
            refunded_tokens: of.refunded_tokens,
            ..SweepOutcome::default()
        };
        match &of.error {
            Some(error) if !link.faulted() => {
                return untrue(&what, format!("nothing went wrong, and it stopped: {error}"));
            }
            _ => recorded(call, of, &part, &what, &image, link, history)?,
        }
        if of.error.is_none() && link.alone() {
            alone(call, report, part, &what, &image)?;
        }
    }
    Ok(())
}

fn untrue(what: &str, why: impl std::fmt::Display) -> Result<(), Violation> {
    Err(Violation::new("answers-are-true", format!("{what}: {why}")))
}

fn recorded(
    call: &SweepCall,
    of: &ShardOutcome,
    part: &SweepOutcome,
    what: &str,
    image: &Image,
    link: &Link,
    history: &History,
) -> Result<(), Violation> {
    if call.dry_run {
        return Ok(());
    }
    let ids = |list: &[SweptCreation]| list.iter().map(|swept| swept.id.clone()).collect::<BTreeSet<_>>();
    let (failed, retried) = (ids(&part.failed), ids(&part.retried));
    let (really_failed, really_retried) = history
        .done(image.shard, &call.sweep_id)
        .map(|done| {
            (done.failed.clone(), done.retried.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>())
        })
        .unwrap_or_default();
    let whole = of.error.is_none();
    // Its answer was lost, and before it was repeated they moved away from here.
    let moved = |id: &String| link.faulted() && link.owner(id).is_some_and(|user| link.is_behind(&user));
    let mut missing = really_failed.difference(&failed).chain(really_retried.difference(&retried)).peekable();
    let moved = missing.peek().is_some() && missing.all(moved);
    let right = if whole && !moved {
        failed == really_failed && retried == really_retried
    } else {
        // An answer may have been lost: then less is known than was done, and never more.
        failed.is_subset(&really_failed) && retried.is_subset(&really_retried)
    };
    if !right {
        let why = format!(
            "it says {failed:?} and {retried:?}, and it was {really_failed:?} and {really_retried:?}"
        );
        return untrue(what, why);
    }
    if !whole {
        return Ok(());
    }
    let Some(row) = image.sweeps.get(&call.sweep_id) else { return untrue(what, "it left no row") };
    let suspended = of.suspended.as_ref().map(ToString::to_string);
    let right = (row.refunded_tokens == of.refunded_tokens
        || moved && row.refunded_tokens > of.refunded_tokens)
        && row.more == of.more
        && row.finished_at.is_some()
        && row.error == suspended;
    if right { Ok(()) } else { untrue(what, format!("it says {of:?}, and its row says {row:?}")) }
}

/// Where nobody else wrote meanwhile: see there. Whose those are that were rejected, or can't be read, is not said: an id is only of one.
fn alone(
    call: &SweepCall,
    report: &SweepOutcome,
    part: SweepOutcome,
    what: &str,
    image: &Image,
) -> Result<(), Violation> {
    let here = |id: &str| image.creations.contains_key(id);
    let rejected = report.rejected.iter().filter(|rejected| here(&rejected.id)).cloned().collect();
    let unreadable = report.unreadable.iter().filter(|listed| here(&listed.id)).cloned().collect();
    // A plan may list creations of those who move, which are left alone.
    let raced = if call.planned.is_some() { 0 } else { report.raced };
    let part = SweepOutcome { rejected, unreadable, raced, ..part };
    invariants::complete(call, &part, what, image)
}
