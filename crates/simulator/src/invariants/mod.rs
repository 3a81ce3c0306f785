//! What must hold after every transaction and every answer. docs/simulator.md says it in words.

mod answers;
mod in_bulk;
mod reference;
mod state;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use stale_drafts::rules::{CANCELLED, FAILED_BY_OPERATOR, Status, Timestamp};

use crate::attached;
use crate::call::Call;
use crate::courier::Sending;
use crate::image::Image;
use crate::world::{Violation, World};

pub use answers::{ask, complete, create, ended, extend, extend_kind, report, sweep};
pub use in_bulk::{carried_out, previewed};

/// How a transaction went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// It was committed; how many of the same invocation came before it.
    Committed(u32),
    /// A statement failed.
    RolledBack,
}

/// What a run has shown so far, beside what stands.
#[derive(Debug, Default)]
pub struct History {
    /// What each sweep did in each database, as it was seen in the rows.
    sweeps: BTreeMap<(usize, String), Done>,
    /// The events that were written.
    told: BTreeSet<String>,
    /// The events that the other side has taken.
    pub delivered: BTreeSet<String>,
    /// The messages that are on their way.
    pub sending: Vec<Sending>,
    /// When a report about a creation was last refused since its owner moves.
    pub silenced: BTreeMap<String, Timestamp>,
    /// How each attempt ended.
    ends: BTreeMap<(String, u32), &'static str>,
}

/// What a sweep did in one database.
#[derive(Debug, Default)]
pub struct Done {
    pub failed: BTreeSet<String>,
    pub retried: BTreeSet<(String, u32)>,
    pub refunded: u64,
}

impl History {
    /// What a sweep did in one of the databases, if it did anything.
    pub fn done(&self, shard: usize, sweep_id: &str) -> Option<&Done> {
        self.sweeps.get(&(shard, sweep_id.to_owned()))
    }
}

/// Judges a transaction by what stood before and after it.
pub fn transaction(
    before: &Rc<Image>,
    after: &Rc<Image>,
    call: &Call,
    run: Run,
    history: &mut History,
) -> Result<(), Violation> {
    let same = Rc::ptr_eq(before, after) || before == after;
    if run == Run::RolledBack && !same {
        return Err(Violation::new(
            "all-or-nothing",
            format!("{call}: its transaction failed, and something of it stands"),
        ));
    }
    if matches!(call, Call::Sweep(sweep) if sweep.dry_run) && !same {
        return Err(Violation::new("dry-run-writes-nothing", format!("{call} wrote something")));
    }
    if !same {
        state::check(after)?;
    }
    attached::check(before, after, call, run)?;
    if let Run::Committed(run) = run {
        steps::check(before, after, call, run, history)?;
    }
    Ok(())
}

/// Counts what a transaction reached.
pub fn count(before: &Image, after: &Image, world: &World) {
    let changed = after.creations.iter().filter_map(|(id, now)| Some((before.creations.get(id)?, now)));
    let (mut swept, mut retried, mut failed, mut completed, mut restored, mut kept, mut deleted) =
        (0_usize, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize);
    let add = |count: &mut usize, yes: bool| *count = count.saturating_add(usize::from(yes));
    let mut new = [0_usize; 7];
    let mut theirs = [0_usize; 5];
    for (then, now) in changed {
        let turned = now.status != then.status;
        add(&mut swept, turned && now.status == Status::Failed && now.sweep_id.is_some());
        add(&mut failed, turned && now.status == Status::Failed && now.sweep_id.is_none());
        add(&mut retried, now.attempt != then.attempt && now.charge == then.charge);
        let over = turned && now.status.active().is_none() && then.status.active().is_some();
        let cancelled = over && now.error_code.as_deref() == Some(CANCELLED);
        let in_part = over && now.tokens_used.is_some_and(|used| 0 < used && used < now.tokens);
        for (count, yes) in new.iter_mut().zip([
            now.charge != then.charge,
            cancelled && now.unused() > 0,
            cancelled && now.tokens > 0 && now.unused() == 0,
            in_part && now.status == Status::Draft,
            in_part && now.status == Status::Failed,
            now.attempt == then.attempt && now.extended_until != then.extended_until,
            over && now.error_code.as_deref() == Some(FAILED_BY_OPERATOR),
        ]) {
            add(count, yes);
        }
        add(&mut completed, turned && now.status == Status::Draft && now.restored_at.is_none());
        add(&mut restored, now.restored_at != then.restored_at);
        add(&mut kept, now.late_at.is_some() && then.late_at.is_none());
        add(&mut deleted, now.deleted_at != then.deleted_at);
        if now.balance_elsewhere {
            for (count, yes) in theirs.iter_mut().zip([
                turned && now.sweep_id.is_some(),
                now.attempt != then.attempt,
                now.late_at.is_some() && then.late_at.is_none(),
                now.restored_at != then.restored_at,
                turned && now.status == Status::Draft && now.restored_at.is_none(),
            ]) {
                add(count, yes);
            }
        }
    }
    for (name, count) in [
        "failures retried by hand",
        "creations cancelled and refunded",
        "creations cancelled and kept",
        "results that used a part",
        "failures that used a part",
        "creations that got more time",
        "creations that an operator failed",
    ]
    .into_iter()
    .zip(new)
    {
        world.reach(name, count);
    }
    for (name, count) in [
        "rows of an app that timed out",
        "rows of an app that were queued again",
        "late results of an app",
        "late results of an app restored",
        "results of an app",
    ]
    .into_iter()
    .zip(theirs)
    {
        world.reach(name, count);
    }
    for (name, count) in [
        ("creations that a sweep failed", swept),
        ("creations that a sweep put back", retried),
        ("creations that somebody else failed", failed),
        ("results", completed),
        ("results restored", restored),
        ("late results kept", kept),
        ("creations deleted", deleted),
        ("creations set aside", after.rejected.len().saturating_sub(before.rejected.len())),
        ("creations made", after.creations.len().saturating_sub(before.creations.len())),
        ("transactions that changed something", usize::from(before != after)),
    ] {
        world.reach(name, count);
    }
}
