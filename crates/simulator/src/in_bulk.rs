//! Operators who retry many failed creations at once: what they look for is previewed, and later exactly that is retried, once or twice.

use std::collections::BTreeSet;
use std::rc::Rc;

use stale_drafts::service::explorer::Places;
use stale_drafts::service::retries::{self, Divided, PlannedRetry, RetryRequest};
use stale_drafts::service::shards::Shard;
use stale_drafts::store::{RetryAudit, Sought};

use crate::call::{BulkCall, Call, OPERATOR, REASON};
use crate::invariants;
use crate::script::InBulk;
use crate::sharded;
use crate::world::{Link, Side};

/// More than there are creations.
const LIMIT: u32 = 50;
/// As many as a Worker has.
const QUERIES: u64 = 900;

/// Looks, previews, and later carries it out.
pub async fn retry(link: &Link, asked: &InBulk) {
    begin(link, Vec::new());
    let sought = Sought { kind: asked.kind, ..Sought::default() };
    let found = over_all(link, async |shards| retries::find(shards, &sought, &Places::new(), LIMIT).await);
    let mut plan = found.await.plan;
    if asked.doubled {
        plan.extend(plan.clone());
    }
    let call = begin(link, plan);
    let Ok(divided) = divided(link, &call.plan) else { return };
    let preview = over_all(link, async |shards| retries::preview(shards, &divided).await).await;
    link.world.check(invariants::previewed(&call, &preview, link));
    // What its owner can't pay is left to the statement, too.
    let plan: Vec<_> = preview
        .creations
        .iter()
        .map(|one| PlannedRetry {
            id: one.id.clone(),
            attempt: one.attempt,
            user_id: Some(one.creation.user_id.clone()),
        })
        .collect();
    if plan.is_empty() {
        return;
    }
    for _ in 0..if asked.twice { 2 } else { 1 } {
        link.turn().await;
        carry_out(link, plan.clone()).await;
    }
}

async fn carry_out(link: &Link, plan: Vec<PlannedRetry>) {
    let call = begin(link, plan);
    let Ok(divided) = divided(link, &call.plan) else { return };
    let audit = RetryAudit { id: &call.audit_id, actor: OPERATOR, reason: REASON };
    let request = RetryRequest { audit, notify: call.notify, max_queries: QUERIES, now: call.now };
    let outcome = over_all(link, async |shards| retries::apply(shards, &divided, request).await).await;
    link.world.check(invariants::carried_out(&call, &outcome, link));
    let world = &link.world;
    world.reach("failures retried in bulk", outcome.retried.len());
    let left =
        outcome.skipped.iter().filter(|skipped| skipped.reason.code() != "insufficient_tokens").count();
    world.reach("failures of a plan that had moved on", left);
    world
        .reach("failures of a plan that a balance did not cover", outcome.skipped.len().saturating_sub(left));
}

fn begin(link: &Link, plan: Vec<PlannedRetry>) -> Rc<BulkCall> {
    let number = link.world.number();
    let call = Rc::new(BulkCall {
        plan,
        audit_id: format!("{number:08}-0000-7000-8000-000000000000"),
        notify: link.world.notify().retry,
        now: link.now(),
        first: Default::default(),
        done: Default::default(),
    });
    link.begin(Call::Bulk(Rc::clone(&call)));
    call
}

/// By the configuration of the host, as the Worker does.
fn divided<'a>(link: &Link, plan: &'a [PlannedRetry]) -> Result<Divided<'a>, ()> {
    let shard_of =
        |planned: &PlannedRetry| planned.user_id.as_deref().map(|user_id| sharded::place_of(link, user_id));
    Divided::new(plan, link.world.databases(), shard_of).map_err(drop)
}

async fn over_all<T>(link: &Link, ask: impl AsyncFnOnce(&[Shard<'_, Side<'_>>]) -> T) -> T {
    let (names, sides) = sharded::all(link, |shard| link.to(shard));
    ask(&sharded::named(&names, &sides)).await
}

/// What stands in a plan, each once, in its order.
pub fn listed(plan: &[PlannedRetry]) -> Vec<&PlannedRetry> {
    let mut seen = BTreeSet::new();
    plan.iter().filter(|planned| seen.insert((planned.id.as_str(), planned.attempt))).collect()
}
