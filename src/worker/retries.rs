//! Retries of many failed creations: the same over the API and on the dashboard. A preview gives a plan, and a plan is carried out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use worker::console_log;

use super::app::App;
use super::exploring::{Instant, MAX_CURSOR, MAX_WORD, PlacesCursor, UnreachableShard, reversed};
use super::problem::Problem;
use super::{courier, log};
use crate::read::{Invalid, Name, Text, Whole};
use crate::rules::Bucket;
use crate::service::retries::{
    self, Divided, FoundRetries, PlannedRetry, PreviewedRetry, RetriedCreation, RetryRequest, RetrySkip,
    SkippedRetry,
};
use crate::service::sweep::{Source, max_queries};
use crate::store::{Cost, DatabaseError, RetryAudit, Sought};

pub use crate::service::retries::MAX_ROWS;

const MAX_REASON: usize = 1_000;

/// The body of `POST /api/retries/preview`: a filter, everything, or a plan.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviewBody {
    filter: Option<Filter>,
    #[serde(default)]
    all: bool,
    plan: Option<Plan>,
    limit: Option<Whole<1, { MAX_ROWS as u64 }>>,
    cursor: Option<Text<MAX_CURSOR>>,
}

/// The body of `POST /api/retries`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyBody {
    /// What is to be retried.
    pub plan: Plan,
    pub(super) reason: Option<Text<MAX_REASON>>,
}

/// Which failed creations are sought, in the words of `GET /api/search`. Whatever is given holds for each.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    user_id: Option<Name>,
    kind: Option<Name>,
    error_code: Option<Text<MAX_WORD>>,
    rule: Option<Text<MAX_WORD>>,
    since: Option<Instant>,
    until: Option<Instant>,
    failed_since: Option<Instant>,
    failed_until: Option<Instant>,
}

impl PreviewBody {
    /// What to look for, unless a plan is previewed.
    fn sought(filter: Option<Filter>, all: bool) -> Result<Option<Filter>, Problem> {
        match filter {
            None => Ok(all.then(Filter::default)),
            Some(_) if all => Err(Problem::bad_request(
                "`all` is `true`, for everything that has failed: leave out `filter`",
            )),
            Some(filter) if filter.sought()?.has_no_filter() => Err(Problem::bad_request(
                "`filter` is empty: expected at least one of `user_id`, `kind`, `error_code`, `rule`, `since`, `until`, `failed_since` and \
                 `failed_until`; or, for everything that has failed, `\"all\": true` in its place",
            )),
            filter => Ok(filter),
        }
    }

    /// What a plan would do, or a plan of what is sought.
    ///
    /// # Errors
    ///
    /// [`Problem`] if it says neither or both, and if no database answers.
    pub(super) async fn preview(self, app: &App) -> Result<RetryPreview, Problem> {
        let PreviewBody { filter, all, plan, limit, cursor } = self;
        match (PreviewBody::sought(filter, all)?, plan) {
            (None, Some(_)) if limit.is_some() || cursor.is_some() => Err(Problem::bad_request(
                "a plan says itself which creations it is for: leave out `limit` and `cursor`",
            )),
            (None, Some(plan)) => preview(app, &plan.planned()?).await,
            (Some(filter), None) => {
                let limit = limit.map_or(MAX_ROWS, |limit| limit.get_u32());
                find(app, &filter.sought()?, cursor.as_ref().map(Text::as_str), limit).await
            }
            _ => Err(Problem::bad_request("expected one of `filter`, `plan` and `\"all\": true`")),
        }
    }
}

impl Filter {
    /// As the statements take it.
    pub(super) fn sought(&self) -> Result<Sought<'_>, Invalid> {
        let sought = Sought {
            user_id: self.user_id.as_ref().map(Name::as_str),
            status: None,
            kind: self.kind.as_ref().map(Name::as_str),
            error_code: self.error_code.as_ref().map(Text::as_str),
            rule: self.rule.as_ref().map(Text::as_str),
            since: self.since.map(|Instant(since)| since),
            until: self.until.map(|Instant(until)| until),
            failed_since: self.failed_since.map(|Instant(since)| since),
            failed_until: self.failed_until.map(|Instant(until)| until),
        };
        sought.in_order().map_err(reversed)
    }
}

/// The `plan` of a preview, or as much of it.
#[derive(Debug, Deserialize)]
pub struct Plan(Vec<PlannedCreation>);

/// A creation of a plan. What a preview says of it beside is left aside.
#[derive(Debug, Deserialize)]
struct PlannedCreation {
    id: Text<200>,
    attempt: Whole<1, 0xffff_ffff>,
    user_id: Option<Name>,
}

impl Plan {
    /// As the service takes it.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if it is longer than [`MAX_ROWS`].
    pub fn planned(self) -> Result<Vec<PlannedRetry>, Invalid> {
        let Plan(creations) = self;
        if creations.len() > MAX_ROWS as usize {
            let message = format!("the plan has {} creations: expected at most {MAX_ROWS}", creations.len());
            return Err(Invalid { path: String::from("plan"), message });
        }
        let planned = |PlannedCreation { id, attempt, user_id }| PlannedRetry {
            id: id.into_string(),
            attempt: attempt.get_u32(),
            user_id: user_id.map(Name::into_string),
        };
        Ok(creations.into_iter().map(planned).collect())
    }
}

/// What a plan would do. Its `plan` is what `POST /api/retries` takes.
#[derive(Debug, Serialize)]
pub struct RetryPreview {
    /// The server's clock, in epoch milliseconds.
    pub now: u64,
    /// How many would be retried.
    pub retries: usize,
    /// What their owners would be charged.
    pub charged_tokens: u64,
    /// How many owners that are.
    pub owners: usize,
    /// What is to be retried, in the order in which they failed.
    pub plan: Vec<PlannedView>,
    /// The owners whose balance does not cover all of theirs.
    pub short: Vec<ShortOwner>,
    /// Those of a plan that would be left as they are for another reason.
    pub skipped: Vec<SkippedView>,
    /// What to give as `cursor` for what is there beyond; `null` at the end.
    pub next_cursor: Option<String>,
    /// When the oldest creation was made that was looked at, in epoch milliseconds; `null` at the end.
    pub looked_back_to: Option<i64>,
    /// The databases that did not answer, if any: what they have is missing.
    pub unreachable: Vec<UnreachableShard>,
}

/// A creation that would be retried.
#[derive(Debug, Serialize)]
pub struct PlannedView {
    /// Its id.
    pub id: String,
    /// Its owner.
    pub user_id: String,
    /// Its kind.
    pub kind: String,
    /// The attempt that has failed.
    pub attempt: u32,
    /// What a retry charges.
    pub tokens: u64,
    /// Why it failed.
    pub error_code: Option<String>,
    /// The entry of the policy by which a sweep failed it.
    pub rule: Option<String>,
    /// When it failed, in epoch milliseconds.
    pub finished_at: Option<u64>,
    /// When a result came too late, which could be restored instead.
    pub late_at: Option<u64>,
    /// Whether its owner's balance covers it, after those before it.
    pub is_covered: bool,
}

/// An owner whose balance does not cover all of theirs.
#[derive(Debug, Serialize)]
pub struct ShortOwner {
    /// Who.
    pub user_id: String,
    /// What they have.
    pub balance: u64,
    /// What all of theirs would cost.
    pub tokens: u64,
    /// How many those are.
    pub creations: usize,
    /// How many of them would be retried.
    pub covered: usize,
}

/// A creation of a plan that is left as it is.
#[derive(Debug, Serialize)]
pub struct SkippedView {
    /// Its id.
    pub id: String,
    /// Its owner, if the plan names one.
    pub user_id: Option<String>,
    /// The attempt that was to be retried.
    pub attempt: u32,
    /// Why, as a stable code.
    pub reason: &'static str,
    /// Why, in words.
    pub message: String,
    /// What it is now, where it has moved on.
    pub status: Option<String>,
    /// The attempt that it is at now, where it has moved on.
    pub present_attempt: Option<u32>,
    /// What its owner has left, where that does not cover it.
    pub balance: Option<u64>,
    /// What it would cost then.
    pub tokens: Option<u64>,
}

impl From<SkippedRetry> for SkippedView {
    fn from(skipped: SkippedRetry) -> Self {
        let SkippedRetry { id, user_id, attempt, reason, .. } = skipped;
        let (status, present_attempt) = match &reason {
            RetrySkip::AlreadyRetried { status, attempt } | RetrySkip::Changed { status, attempt } => {
                (Some(status.clone()), Some(*attempt))
            }
            _ => (None, None),
        };
        let (balance, tokens) = match reason {
            RetrySkip::InsufficientTokens { balance, tokens } => (Some(balance), Some(tokens)),
            _ => (None, None),
        };
        let (code, message) = (reason.code(), reason.to_string());
        SkippedView { id, user_id, attempt, reason: code, message, status, present_attempt, balance, tokens }
    }
}

/// What came of a plan.
#[derive(Debug, Serialize)]
pub struct RetryOutcome {
    /// The server's clock, in epoch milliseconds.
    pub now: u64,
    /// What was retried.
    pub retried: Vec<RetriedView>,
    /// What their owners were charged.
    pub charged_tokens: u64,
    /// What was left as it is, each with the reason.
    pub skipped: Vec<SkippedView>,
    /// What it cost.
    pub cost: Cost,
}

/// A creation that was retried.
#[derive(Debug, Serialize)]
pub struct RetriedView {
    /// Its id.
    pub id: String,
    /// Its owner.
    pub user_id: String,
    /// Its kind.
    pub kind: String,
    /// The new attempt.
    pub attempt: u32,
    /// What its owner was charged.
    pub charged_tokens: u64,
}

/// A plan of the failed creations that are sought, `limit` at most, after the page that ended at `cursor`; `sought` says nothing of the
/// status.
pub(super) async fn find(
    app: &App,
    sought: &Sought<'_>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<RetryPreview, Problem> {
    let from = PlacesCursor::read(cursor)?;
    let all = app.shards();
    let shards = match sought.user_id {
        Some(user_id) => all.get(app.shard_of(user_id).0).copied().into_iter().collect(),
        None => all,
    };
    let FoundRetries { plan, next, back_to, missing } =
        retries::find(&shards, sought, &from, limit.min(MAX_ROWS)).await;
    if let Some((_, error)) = missing.first().filter(|_| missing.len() == shards.len()) {
        return Err(error.clone().into());
    }
    let missing = missing.into_iter();
    Ok(RetryPreview {
        next_cursor: next.map(|next| PlacesCursor(next).to_string()),
        looked_back_to: back_to,
        unreachable: missing
            .map(|(shard, error)| UnreachableShard { shard, error: error.to_string() })
            .collect(),
        ..preview(app, &plan).await?
    })
}

/// What a plan would do.
pub(super) async fn preview(app: &App, plan: &[PlannedRetry]) -> Result<RetryPreview, Problem> {
    let retries::RetryPreview { creations, skipped } =
        retries::preview(&app.shards(), &divided(app, plan)?).await;
    somebody_answers(creations.is_empty(), &skipped)?;
    let covered = || creations.iter().filter(|one| one.is_covered);
    Ok(RetryPreview {
        now: app.now.as_millis(),
        retries: covered().count(),
        charged_tokens: covered().fold(0, |sum, one| one.creation.tokens.saturating_add(sum)),
        owners: covered().map(|one| &one.creation.user_id).collect::<BTreeSet<_>>().len(),
        short: short(&creations),
        plan: creations.into_iter().map(PlannedView::from).collect(),
        skipped: skipped.into_iter().map(SkippedView::from).collect(),
        next_cursor: None,
        looked_back_to: None,
        unreachable: Vec::new(),
    })
}

/// Carries out a plan; `reason` says why, or is empty.
pub(super) async fn apply(
    app: &App,
    actor: &str,
    plan: &[PlannedRetry],
    reason: &str,
) -> Result<RetryOutcome, Problem> {
    let id = app.new_id()?;
    let notify = courier::destinations(app).retry;
    let request = RetryRequest {
        audit: RetryAudit { id: &id, actor, reason },
        notify,
        max_queries: max_queries(Source::Tool, app.share_of_queries()),
        now: app.now,
    };
    let outcome = retries::apply(&app.shards(), &divided(app, plan)?, request).await;
    let retries::RetryOutcome { retried, skipped, written, cost } = outcome;
    somebody_answers(retried.is_empty(), &skipped)?;
    if notify != 0 {
        written.into_iter().for_each(|at| app.emitted(at));
    }
    console_log!("{}", log::operator_action(actor, "retry_many"));
    let view = |RetriedCreation { id, user_id, kind, attempt, tokens, .. }| RetriedView {
        id,
        user_id,
        kind,
        attempt,
        charged_tokens: tokens,
    };
    Ok(RetryOutcome {
        now: app.now.as_millis(),
        charged_tokens: retried.iter().fold(0, |sum, one| one.tokens.saturating_add(sum)),
        retried: retried.into_iter().map(view).collect(),
        skipped: skipped.into_iter().map(SkippedView::from).collect(),
        cost,
    })
}

/// Fails where no database answers: there is nothing to show then.
fn somebody_answers(nothing_else: bool, skipped: &[SkippedRetry]) -> Result<(), Problem> {
    let error = |skipped: &SkippedRetry| match &skipped.reason {
        RetrySkip::Unreachable(error) => Some(DatabaseError::new(error.as_str())),
        _ => None,
    };
    match skipped.first().and_then(error) {
        Some(first) if nothing_else && skipped.iter().all(|one| error(one).is_some()) => Err(first.into()),
        _ => Ok(()),
    }
}

fn divided<'a>(app: &App, plan: &'a [PlannedRetry]) -> Result<Divided<'a>, Problem> {
    let shards = app.config.shards.iter().len();
    let shard_of = |planned: &PlannedRetry| match &planned.user_id {
        _ if shards == 1 => Some(0),
        Some(user_id) => Some(app.shard_of(user_id).0),
        None => Bucket::of_id(&planned.id).map(|bucket| app.config.shards.of(bucket)),
    };
    Divided::new(plan, shards, shard_of).map_err(|(place, planned)| {
        Problem::bad_request(format!(
            "`plan[{place}]` is `{}`, an id that does not say which database has it: expected its `user_id` too, as a preview has it",
            planned.id
        ))
    })
}

/// The owners whose balance does not cover all of theirs, by name.
fn short(creations: &[PreviewedRetry]) -> Vec<ShortOwner> {
    let mut owners: BTreeMap<&str, ShortOwner> = BTreeMap::new();
    for PreviewedRetry { creation, is_covered, .. } in creations {
        let user_id = creation.user_id.as_str();
        let owner = owners.entry(user_id).or_insert_with(|| ShortOwner {
            user_id: user_id.to_owned(),
            balance: creation.balance,
            tokens: 0,
            creations: 0,
            covered: 0,
        });
        owner.tokens = owner.tokens.saturating_add(creation.tokens);
        owner.creations = owner.creations.saturating_add(1);
        owner.covered = owner.covered.saturating_add(usize::from(*is_covered));
    }
    owners.into_values().filter(|owner| owner.covered < owner.creations).collect()
}

impl From<PreviewedRetry> for PlannedView {
    fn from(previewed: PreviewedRetry) -> Self {
        let PreviewedRetry { id, attempt, creation, is_covered } = previewed;
        PlannedView {
            id,
            user_id: creation.user_id,
            kind: creation.kind,
            attempt,
            tokens: creation.tokens,
            error_code: creation.error_code,
            rule: creation.rule,
            finished_at: creation.finished_at,
            late_at: creation.late_at,
            is_covered,
        }
    }
}
