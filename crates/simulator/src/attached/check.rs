//! What must hold of an attached table after every transaction.

use rusqlite::types::Value;
use stale_drafts::rules::Status;

use super::image::{App, Row};
use super::reference::{self, Left};
use super::write::{What, When};
use super::{gid, image};
use crate::call::{Call, TheirsCall};
use crate::image::{Creation, Image};
use crate::invariants::Run;
use crate::trace::{differences, state};
use crate::world::Violation;

/// Judges a transaction by what stood before and after it.
pub fn check(before: &Image, after: &Image, call: &Call, run: Run) -> Result<(), Violation> {
    match (call, run) {
        (Call::Theirs(theirs), Run::RolledBack) if reference::theirs(before, theirs).is_some() => {
            Err(Violation::new("their-writes-go-through", format!("{call}: it was rejected")))
        }
        (_, Run::RolledBack) => Ok(()),
        (Call::Theirs(theirs), Run::Committed(_)) => match reference::theirs(before, theirs) {
            None => Err(Violation::new("their-writes-go-through", format!("{call}: SQLite rejects that"))),
            Some(left) => written(before, after, theirs, &left),
        },
        (Call::Sweep(_) | Call::Report(_), Run::Committed(_)) => {
            let app = reference::ours(before, after, call)?;
            same(&after.app, &app, "a-time-out-is-written-back", "a-time-out-pays-once", call)
        }
        (_, Run::Committed(_)) => {
            same(&after.app, &before.app, "nothing-of-theirs-is-overwritten", "a-time-out-pays-once", call)
        }
    }
}

/// Compares rows and balances.
fn same(
    found: &App,
    expected: &App,
    rows: &'static str,
    credits: &'static str,
    call: &Call,
) -> Result<(), Violation> {
    for gid in found.rows.keys().chain(expected.rows.keys()) {
        let (found, expected) = (found.rows.get(gid), expected.rows.get(gid));
        if found != expected {
            let found = format!("{call} left of row {gid}: {}", differences(found, expected));
            return Err(Violation::new(rows, found));
        }
    }
    for user in found.credits.keys().chain(expected.credits.keys()) {
        let (found, expected) = (found.credits.get(user), expected.credits.get(user));
        if found != expected {
            let found = format!("{call} left user {user} credits of {found:?}: expected {expected:?}");
            return Err(Violation::new(credits, found));
        }
    }
    Ok(())
}

/// The app's write is what it would be without us, unless it comes after a time-out; and the mirror follows.
fn written(before: &Image, after: &Image, theirs: &TheirsCall, left: &Left) -> Result<(), Violation> {
    let name = if left.late.is_some() { "a-time-out-stays" } else { "their-writes-go-through" };
    same(&after.app, &left.app, name, "a-time-out-pays-once", &Call::Theirs(theirs.clone().into()))?;
    let write = &theirs.write;
    let touched = |id: &str| gid(id).is_some_and(|gid| left.touched.contains(&gid));
    for (id, now) in &after.creations {
        let then = before.creations.get(id);
        if then != Some(now) && !touched(id) {
            return Err(Violation::new(
                "only-what-was-asked",
                format!("{write} changed {id}: {}", state(now)),
            ));
        }
        if let Some(then) = then.filter(|then| then.sweep_id.is_some()) {
            timed_out(then, now, theirs, left)?;
        }
    }
    for gid in left.touched.iter().filter(|gid| left.late != Some(**gid)) {
        watched(before, after, *gid, theirs)?;
        mirrored(before, after, *gid, theirs)?;
    }
    Ok(())
}

/// What has timed out stays, but for a result that is kept, and for what the app deletes.
fn timed_out(then: &Creation, now: &Creation, theirs: &TheirsCall, left: &Left) -> Result<(), Violation> {
    let write = &theirs.write;
    let mut right = then.clone();
    (right.late_at, right.late_result_url) = (now.late_at, now.late_result_url.clone());
    if now.deleted_at != then.deleted_at {
        right.deleted_at = now.deleted_at;
        right.prompt.clear();
    }
    if *now != right {
        let found = format!("{write}: {} became {}", then.id, differences(Some(now), Some(&right)));
        return Err(Violation::new("a-time-out-stays", found));
    }
    let late = left.late.is_some() && left.late == gid(&then.id);
    let result = match &write.what {
        What::Succeed(_) => true,
        What::Save(_, row) => row.state() == "succeeded",
        What::Insert(insert) => insert.state == "succeeded",
        _ => false,
    };
    if late && result && then.deleted_at.is_none() && now.late_at.is_none() {
        let found = format!("{write}: {} is {}, and the result is not kept", then.id, state(now));
        return Err(Violation::new("late-results-are-kept", found));
    }
    Ok(())
}

/// A row that becomes active is watched from then on, unless it was over before.
fn watched(before: &Image, after: &Image, gid: i64, theirs: &TheirsCall) -> Result<(), Violation> {
    let Some(row) = after.app.rows.get(&gid) else { return Ok(()) };
    let then = before.app.rows.get(&gid).map(Row::state);
    let over = before.creations.get(&before.creation_of(gid)).is_some_and(|then| then.deleted_at.is_none());
    let can = matches!(row.get("uid"), Value::Integer(_))
        && !matches!(row.get("credits_used"), Value::Integer(credits) if *credits < 0)
        && matches!(row.state(), "queued" | "running");
    let now = after.creations.get(&after.creation_of(gid));
    if then == Some(row.state()) || over || !can || now.is_some_and(|now| now.status.active().is_some()) {
        return Ok(());
    }
    let found = format!("{}: row {gid} is {}, and no creation follows it", theirs.write, row.state());
    Err(Violation::new("the-mirror-agrees", found))
}

/// A creation that was active follows its row.
fn mirrored(before: &Image, after: &Image, gid: i64, theirs: &TheirsCall) -> Result<(), Violation> {
    let id = before.creation_of(gid);
    let (Some(then), Some(now)) = (before.creations.get(&id), after.creations.get(&id)) else {
        return Ok(());
    };
    let (Some(was), Some(row)) = (before.app.rows.get(&gid), after.app.rows.get(&gid)) else { return Ok(()) };
    if then.status.active().is_none() {
        return Ok(());
    }
    let fail = |invariant, why: &str| {
        let found = format!("{}: {why}, and {id} is {}", theirs.write, state(now));
        Err(Violation::new(invariant, found))
    };
    let url = row.get("result_url");
    let result = if let Value::Text(url) = url { Some(url.as_str()) } else { None };
    match (row.state(), now.status) {
        ("succeeded", Status::Draft) if now.result_url.as_deref() == result => {}
        ("succeeded", _) => return fail("the-mirror-agrees", "the row has a result"),
        ("error", Status::Failed)
            if now.error.as_deref().unwrap_or_default() == row.text("error_message") => {}
        ("error", _) => return fail("the-mirror-agrees", "the row has failed"),
        _ => {}
    }
    if let What::Beat(_, When::Ago(_)) = theirs.write.what
        && was.get("updated_at") != row.get("updated_at")
    {
        let beat = image::millis(row.text("updated_at"));
        if now.heartbeat_at != Value::Integer(beat) {
            return fail("a-sign-of-life-counts", "the row shows one");
        }
    }
    Ok(())
}
