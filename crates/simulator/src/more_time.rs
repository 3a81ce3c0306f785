//! Operators who give more time.

use std::rc::Rc;

use stale_drafts::service::creations::ReportError;
use stale_drafts::service::extensions::{self, Reached};
use stale_drafts::store::{DatabaseError, Extension};

use crate::call::{Call, ExtendCall, Extended, OPERATOR, REASON};
use crate::invariants;
use crate::sharded;
use crate::world::{Link, Violation};

fn begin(link: &Link, what: Extended, millis: u64) -> Rc<ExtendCall> {
    let now = link.now();
    let audit_id = format!("x{:04}", link.world.number());
    let call = Rc::new(ExtendCall { what, until: now.saturating_add(millis), audit_id, now });
    link.begin(Call::Extend(Rc::clone(&call)));
    call
}

fn extension(call: &ExtendCall) -> Extension<'_> {
    Extension { until: call.until, actor: OPERATOR, reason: REASON, audit_id: &call.audit_id }
}

fn until(call: &ExtendCall) -> i64 {
    i64::try_from(call.until.as_millis()).unwrap_or(i64::MAX)
}

/// Gives one creation more time; whether the outcome is known.
pub async fn extend(link: &Link, id: &str, millis: u64) -> bool {
    let call = begin(link, Extended::Creation(id.to_owned()), millis);
    let outcome = sharded::find(link, id, None, async |side| {
        extensions::extend(&side, id, extension(&call), call.now).await
    })
    .await;
    link.world.check(invariants::extend(id, until(&call), &outcome, link));
    !matches!(outcome, Err(ReportError::Database(_) | ReportError::Moving))
}

/// Gives a kind more time in every database, or ends what it has.
pub async fn extend_kind(link: &Link, kind: &'static str, millis: Option<u64>) {
    let what = if millis.is_some() { Extended::Kind(kind) } else { Extended::End(kind) };
    let call = begin(link, what, millis.unwrap_or(0));
    for shard in 0..link.world.databases() {
        let side = link.to(shard);
        let reached = match millis {
            Some(_) => extensions::extend_kind(&side, kind, extension(&call), call.now).await,
            None => extensions::end_extension(&side, kind, OPERATOR, &call.audit_id, call.now).await,
        };
        heard(link, kind, &call, shard, reached);
    }
}

fn heard(link: &Link, kind: &str, call: &ExtendCall, shard: usize, reached: Result<Reached, DatabaseError>) {
    match reached {
        Ok(reached) if matches!(call.what, Extended::Kind(_)) => {
            let image = link.world.image_at(shard);
            link.world.check(invariants::extend_kind(kind, until(call), &reached, &image, link));
        }
        // A user who is on the way, or a row that the database rejects, is no fault of it.
        Err(error) if !link.faulted() && !error.is_constraint() => {
            let found = format!("{}: nothing went wrong, and it was answered with `{error}`", link.call());
            link.world.violate(Violation::new("answers-are-true", found));
        }
        Ok(_) | Err(_) => {}
    }
}
