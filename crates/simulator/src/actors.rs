//! Who calls: workers, owners, operators, sweeps and the outbox, each as one future.

use std::rc::Rc;

use stale_drafts::rules::{ActiveLimits, MaxActive, MaxAge, Planned, Policy, Timestamp};
use stale_drafts::service::creations;
use stale_drafts::service::creations::ReportError;
use stale_drafts::service::sweep::{
    SweepError, SweepOutcome, SweepRequest, SweptCreation, mark_stale_creations_as_failed,
};
use stale_drafts::store::{self, CreationRow, Database, Details, Filter, NewCreation};

use crate::asking;
use crate::attached::{self, Theirs};
use crate::call::{Call, CreateCall, ERROR, PlannedRow, ReportCall, Reported, SweepCall, TheirsCall};
use crate::courier;
use crate::in_bulk;
use crate::invariants;
use crate::more_time;
use crate::script::{End, Role, Sweep, Uses, user_id};
use crate::sharded;
use crate::world::Link;

/// Does what a role does.
pub async fn act(link: Link, role: Role) {
    match role {
        Role::Sweep(asked) => {
            let _ = sweep(&link, &asked, None, None).await;
        }
        Role::Plan { sweep, twice, doubled } => {
            let Ok(mut list) = preview(&link, &sweep).await else { return };
            if doubled {
                list.extend(list.clone());
            }
            let sweep = Sweep { user: None, kind: None, status: None, dry_run: false, ..sweep };
            for _ in 0..if twice { 2 } else { 1 } {
                carry_out(&link, &sweep, &list).await;
            }
        }
        Role::Create { creation, user, kind, tokens, tries } => {
            let (id, user_id) = (link.world.creation_id(creation), user_id(user));
            for _ in 0..tries {
                if create(&link, &id, &user_id, kind, tokens).await {
                    return;
                }
                link.turn().await;
            }
        }
        Role::Worker { creation, name, beats, end, uses, tries, twice } => {
            let worker = Worker { link: &link, id: link.world.creation_id(creation), name, uses, tries };
            worker.work(beats, end, twice).await;
        }
        Role::GiveUp { creation } => {
            let id = link.world.creation_id(creation);
            let _ = report(&link, &id, Reported::Fail { fence: None, tokens_used: None }, "", 1).await;
        }
        Role::Owner { creation, user, publishes, tries } => {
            let what = if publishes { Reported::Publish } else { Reported::Delete };
            let _ = report(&link, &link.world.creation_id(creation), what, &user_id(user), tries).await;
        }
        Role::Restore { creation, tries } => {
            let _ = report(&link, &link.world.creation_id(creation), Reported::Restore, "", tries).await;
        }
        Role::Retry { creation, user, back, tries, twice } => {
            let (id, user_id) = (link.world.creation_id(creation), user.map(user_id).unwrap_or_default());
            let what = Reported::Retry { attempt: seen(&link, &id).saturating_sub(back).max(1) };
            for _ in 0..if twice { 2 } else { 1 } {
                let _ = report(&link, &id, what.clone(), &user_id, tries).await;
            }
        }
        Role::Cancel { creation, user, named, tries } => {
            let (id, user_id) = (link.world.creation_id(creation), user.map(user_id).unwrap_or_default());
            let what = Reported::Cancel { attempt: named.then(|| seen(&link, &id)) };
            let _ = report(&link, &id, what, &user_id, tries).await;
        }
        Role::FailNow { creation, back, tries } => {
            let id = link.world.creation_id(creation);
            let attempt = seen(&link, &id).saturating_sub(back).max(1);
            let _ = report(&link, &id, Reported::FailNow { attempt }, "", tries).await;
        }
        Role::InBulk(asked) => in_bulk::retry(&link, &asked).await,
        Role::Extend { creation, millis, tries } => {
            let id = link.world.creation_id(creation);
            for _ in 0..tries {
                if more_time::extend(&link, &id, millis).await {
                    return;
                }
                link.turn().await;
            }
        }
        Role::ExtendKind { kind, millis } => more_time::extend_kind(&link, kind, millis).await,
        Role::Ask { sweep, says, most } => asking::ask(&link, &sweep, says, most).await,
        Role::Courier(receiver) => courier::deliver(link, receiver).await,
        Role::Replay => {
            link.begin(Call::Courier);
            for shard in 0..link.world.databases() {
                let _ = link.to(shard).run(&[store::replay(None, link.now())]).await;
            }
        }
        Role::Move { moving, way, small } => sharded::carry(link, moving, way, small).await,
        Role::Theirs { writes, tries } => {
            for write in writes {
                theirs(&link, write, tries).await;
            }
        }
        Role::Save { gid, state } => {
            link.turn().await;
            let Some(row) = link.world.image().app.rows.get(&gid).cloned() else { return };
            let result = format!("https://cdn.example/{}", link.world.number());
            theirs(&link, attached::saved(gid, &row, state, result), 1).await;
        }
    }
}

/// The app's own code: until the outcome is known, at most so many times.
async fn theirs(link: &Link, write: Theirs, tries: u32) {
    for _ in 0..tries {
        let (now, number) = (i64::try_from(link.now().as_millis()).unwrap_or(i64::MAX), link.world.number());
        let call = Rc::new(TheirsCall { write: write.clone(), now, number });
        link.begin(Call::Theirs(Rc::clone(&call)));
        match link.to(0).run(&call.write.statements(now, number)).await {
            Err(error) if !error.is_constraint() => {}
            _ => return,
        }
    }
}

/// What somebody asks of a sweep, by the clock of their host and the present policy.
pub fn begun(link: &Link, asked: &Sweep, planned: Option<&[PlannedRow]>) -> SweepCall {
    let world = &link.world;
    SweepCall {
        sweep_id: format!("s{:04}", world.number()),
        source: asked.source,
        user: asked.user.map(user_id),
        kind: asked.kind,
        status: asked.status,
        planned: planned.map(<[_]>::to_vec),
        now: link.now(),
        policy: with_hours(world.policy(), asked.hours),
        notify: world.notify(),
        dry_run: asked.dry_run,
        first: Default::default(),
    }
}

/// The same, as the service takes it.
pub fn request<'a>(
    link: &Link,
    call: &'a SweepCall,
    planned: Option<&'a [Planned<'a>]>,
    limit: u32,
) -> SweepRequest<'a> {
    SweepRequest {
        sweep_id: &call.sweep_id,
        source: call.source,
        actor: call.user.as_deref(),
        user_id: call.user.as_deref(),
        filter: Filter { kind: call.kind, status: call.status },
        planned,
        plan_id: planned.map(|_| "plan"),
        now: link.world.judged_by(call.now),
        policy: &call.policy,
        dry_run: call.dry_run,
        notify: call.notify,
        breaker: link.world.breaker(),
        limit,
        max_queries: 980,
    }
}

/// One sweep, as the Worker makes it. `planned` are the creations of a plan, and `before` is what was asked about first.
///
/// # Errors
///
/// Those of the sweep.
pub async fn sweep(
    link: &Link,
    asked: &Sweep,
    planned: Option<&[PlannedRow]>,
    before: Option<SweepCall>,
) -> Result<SweepOutcome, Box<SweepError>> {
    let world = &link.world;
    let call = Rc::new(before.unwrap_or_else(|| begun(link, asked, planned)));
    link.begin(Call::Sweep(Rc::clone(&call)));
    let planned: Option<Vec<_>> = planned.map(|rows| rows.iter().map(PlannedRow::planned).collect());
    let request = request(link, &call, planned.as_deref(), asked.limit);
    let outcome = if world.places().is_none() {
        mark_stale_creations_as_failed(&link.to(0), request).await
    } else {
        sharded::sweep(link, request).await
    };
    let several = |outcome: &SweepOutcome| !outcome.shards.is_empty();
    if outcome.as_ref().map_or_else(|stopped| several(&stopped.outcome), several) {
        world.check(sharded::swept(&call, &outcome, link, &world.history()));
        world.reach("sweeps of several databases", 1);
    } else {
        let image =
            world.image_at(call.user.as_deref().map_or(0, |user_id| sharded::place_of(link, user_id)));
        world.check(invariants::sweep(&call, &outcome, link, &image, &world.history()));
    }
    if let Ok(report) = &outcome {
        world.reach(if call.dry_run { "dry runs" } else { "sweeps" }, 1);
        world.reach("creations that moved on meanwhile", report.raced as usize);
        world.reach("sweeps that were suspended", usize::from(report.suspended.is_some()));
        world.reach("creations that can't be read", report.unreadable.len());
        world.reach("creations that a sweep could not write", report.rejected.len());
        world.reach("creations of a plan left alone", report.skipped.len());
    }
    outcome
}

impl PlannedRow {
    fn planned(&self) -> Planned<'_> {
        let PlannedRow { id, status, attempt, last_sign_of_life, action } = self;
        Planned {
            id,
            stuck_status: Some(*status),
            attempt: *attempt,
            last_sign_of_life: *last_sign_of_life,
            action: *action,
        }
    }
}

fn with_hours(policy: Policy, hours: Option<f64>) -> Policy {
    match hours.and_then(MaxAge::checked) {
        Some(max_age) => policy.with_max_age(max_age),
        None => policy,
    }
}

/// A dry run, and the plan that it makes.
async fn preview(link: &Link, asked: &Sweep) -> Result<Vec<PlannedRow>, Box<SweepError>> {
    let report = sweep(link, &Sweep { dry_run: true, ..asked.clone() }, None, None).await?;
    let planned = |failed: &SweptCreation| PlannedRow {
        id: failed.id.clone(),
        status: failed.staleness.stuck_status.status(),
        attempt: failed.attempt,
        last_sign_of_life: failed.staleness.last_sign_of_life.as_millis(),
        action: failed.staleness.action(),
    };
    Ok(report.failed.iter().chain(&report.retried).map(planned).collect())
}

/// Later, exactly what a preview showed.
async fn carry_out(link: &Link, asked: &Sweep, list: &[PlannedRow]) {
    link.turn().await;
    if let Ok(report) = sweep(link, asked, Some(list), None).await {
        link.world.reach("plans carried out", 1);
        link.world.reach(
            "creations of a plan that it failed or put back",
            report.failed.len().saturating_add(report.retried.len()),
        );
    }
}

/// Asks once; whether the outcome is known.
async fn create(link: &Link, id: &str, user_id: &str, kind: &'static str, tokens: u64) -> bool {
    let now = link.now();
    let limits = link.world.policy().max_active(kind);
    let call =
        Rc::new(CreateCall { id: id.to_owned(), user_id: user_id.to_owned(), kind, tokens, limits, now });
    link.begin(Call::Create(Rc::clone(&call)));
    let new = NewCreation { id, user_id, kind, prompt: "a fox", tokens };
    let side = link.to(sharded::place_of(link, user_id));
    let database = sharded::database_of(&side, link, user_id);
    let outcome = if link.world.counts_beforehand() && counted_beforehand(&database, new, limits, now).await {
        creations::create(&database, new, now).await
    } else {
        creations::create_within(&database, new, limits, now).await
    };
    let full = matches!(outcome, Err(ReportError::TooManyActive { .. }));
    link.world.reach("creations refused by a limit per owner", usize::from(full));
    let unpaid = matches!(outcome, Err(ReportError::InsufficientTokens { .. }));
    link.world.reach("creations that a balance did not cover", usize::from(unpaid));
    link.world.check(invariants::create(&call, &outcome, link));
    link.world.reach("writes refused by a move", usize::from(matches!(outcome, Err(ReportError::Moving))));
    !matches!(outcome, Err(ReportError::Database(_) | ReportError::Moving))
}

/// A planted bug: what is active is counted in a transaction of its own, and there may be one more.
async fn counted_beforehand(
    database: &impl Database,
    new: NewCreation<'_>,
    limits: ActiveLimits,
    now: Timestamp,
) -> bool {
    let [_, count, _] = store::create_within(new, limits, now);
    let rows = database.run(&[count]).await.ok().and_then(|mut results| results.pop());
    let Some(Ok(active)) = rows.map(store::active_instead) else { return false };
    let below = |limit: Option<MaxActive>, count: usize| {
        limit.is_none_or(|limit| u32::try_from(count).is_ok_and(|count| count < limit.get()))
    };
    let of_kind = active.iter().filter(|row| row.kind == new.kind).count();
    below(limits.of_all, active.len()) && below(limits.of_kind, of_kind)
}

/// The attempt that somebody sees before they decide.
fn seen(link: &Link, id: &str) -> u32 {
    link.world.image_with(id).creations.get(id).map_or(1, |row| row.attempt)
}

/// Reports until the outcome is known, at most so many times.
async fn report(
    link: &Link,
    id: &str,
    what: Reported,
    user_id: &str,
    tries: u32,
) -> Result<CreationRow, Option<ReportError>> {
    for again in 0..tries {
        if again > 0 {
            link.turn().await;
        }
        match report_once(link, id, what.clone(), user_id).await {
            Err(ReportError::Database(_) | ReportError::Moving) => {}
            outcome => return outcome.map_err(Some),
        }
    }
    Err(None)
}

async fn report_once(
    link: &Link,
    id: &str,
    what: Reported,
    user_id: &str,
) -> Result<CreationRow, ReportError> {
    let world = &link.world;
    let number = world.number();
    let call = Rc::new(ReportCall {
        id: id.to_owned(),
        progress: (number.is_multiple_of(2)).then_some((number % 100) as u32),
        user_id: user_id.to_owned(),
        random: format!("r{number}"),
        keep: world.policy().keeps_late_results(),
        notify: match what {
            Reported::Fail { .. }
            | Reported::Restore
            | Reported::Cancel { .. }
            | Reported::FailNow { .. } => world.notify().app,
            Reported::Retry { .. } => world.notify().retry,
            _ => 0,
        },
        policy: world.policy(),
        what,
        now: link.now(),
    });
    link.begin(Call::Report(Rc::clone(&call)));
    let details = Details {
        random: &call.random,
        progress: call.progress,
        error: ERROR,
        user_id,
        keep: call.keep,
        notify: call.notify,
        // An owner's retry is held to it, an operator's is not.
        max_active: call.owner().map(|_| &call.policy),
        act: None,
    };
    let what = call.what.report(&call.policy);
    // An owner's report says whose it is.
    let outcome = sharded::find(link, id, call.owner(), async |side| {
        creations::report(&side, id, what, details, call.now).await
    })
    .await;
    world.check(invariants::report(&call, &outcome, link));
    match &outcome {
        Err(ReportError::Moving) => {
            world.reach("writes refused by a move", 1);
            world.history().silenced.insert(id.to_owned(), world.true_time());
        }
        Ok(_) => drop(world.history().silenced.remove(id)),
        Err(_) => {}
    }
    let unpaid = matches!(outcome, Err(ReportError::InsufficientTokens { .. }));
    let retries = matches!(call.what, Reported::Retry { .. });
    world.reach("retries that a balance did not cover", usize::from(unpaid && retries));
    if let Err(ReportError::Refused { refusal, .. }) = &outcome {
        world.reach("reports rejected", 1);
        world.reach("reports of what was cancelled", usize::from(refusal.code() == "cancelled"));
        world.reach("reports of more than was charged", usize::from(refusal.code() == "more_than_charged"));
        world
            .reach("cancellations that the policy refused", usize::from(refusal.code() == "not_cancellable"));
        world.reach("reports of an attempt that was over", usize::from(refusal.code() == "attempt_over"));
    }
    outcome
}

struct Worker<'a> {
    link: &'a Link,
    id: String,
    name: usize,
    uses: Uses,
    tries: u32,
}

impl Worker<'_> {
    async fn report(&self, what: Reported) -> Result<CreationRow, Option<ReportError>> {
        report(self.link, &self.id, what, "", self.tries).await
    }

    /// Starts, shows that it is alive, and ends. Between its reports it waits for a turn: that may take hours.
    async fn work(&self, beats: u32, end: End, twice: bool) {
        let start = Reported::Start { worker: format!("w{}", self.name) };
        let Ok(CreationRow { fence: Some(fence), creation, .. }) = self.report(start).await else { return };
        let tokens_used = self.uses.of(creation.tokens);
        for _ in 0..beats {
            self.link.turn().await;
            // A worker that is told that its attempt is over has its result all the same, and reports it.
            let _ = self.report(Reported::Heartbeat { fence: fence.clone() }).await;
        }
        let last = match end {
            End::Completes => {
                let result_url = format!("https://cdn.example/{}/{fence}", self.id);
                Reported::Complete { result_url, fence, tokens_used }
            }
            End::Fails => Reported::Fail { fence: Some(fence), tokens_used },
            End::Vanishes => return,
        };
        for _ in 0..if twice { 2 } else { 1 } {
            self.link.turn().await;
            let refused = self.report(last.clone()).await;
            // Whoever said too much corrects it.
            if let (
                Err(Some(ReportError::Refused { refusal, .. })),
                Reported::Complete { fence, result_url, .. },
            ) = (refused, &last)
                && refusal.code() == "more_than_charged"
            {
                let (fence, result_url) = (fence.clone(), result_url.clone());
                let _ = self.report(Reported::Complete { fence, result_url, tokens_used: None }).await;
            }
        }
    }
}
