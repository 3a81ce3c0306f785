//! The endpoint that sweeps, and the audit of sweeps.

use axum::http::StatusCode;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::config;
use crate::read::whole;
use crate::rules::{Active, MaxAge, Policy};
use crate::service::shards::{part, run_each};
use crate::service::sweep::Source;
use crate::service::together::Numbers;
use crate::store::{self, Filter};
use crate::worker::app::App;
use crate::worker::caller::{Operator, Read, Sweep};
use crate::worker::explanation::SweepAudit;
use crate::worker::extract::{Body, Query};
use crate::worker::plan::Plan;
use crate::worker::problem::{Answer, Problem, json, partial};
use crate::worker::sweep_json::SweepJson;
use crate::worker::sweeping::{self, SweepOptions};

/// The parameters of `POST /api/generate/cleanup-stale`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanupQuery {
    dry_run: bool,
    max_age_hours: Option<Hours>,
    user_id: Option<String>,
    kind: Option<String>,
    status: Option<StatusWord>,
    limit: Option<Limit>,
    source: SourceWord,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Limit(#[serde(deserialize_with = "whole::<1, 1_000, _>")] u32);

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StatusWord {
    Pending,
    Processing,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SourceWord {
    #[default]
    Endpoint,
    Tool,
}

/// A max age in hours.
#[derive(Clone, Copy, Debug)]
struct Hours(MaxAge);

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "a number of hours above 0, such as `1` or `0.5`";
        let wrong = |_| D::Error::invalid_value(Unexpected::Str(&text), &expected);
        config::max_age(&text).map(Hours).map_err(wrong)
    }
}

impl CleanupQuery {
    /// Whether nothing is written.
    pub fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// The limits, for a sweep under `policy`.
    pub fn policy(&self, policy: &Policy) -> Policy {
        match self.max_age_hours {
            None => policy.clone(),
            Some(Hours(max_age)) => policy.with_max_age(max_age),
        }
    }

    /// Only this user's creations.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// Only creations of this kind and status.
    pub fn filter(&self) -> Filter<'_> {
        let status = self.status.map(|status| match status {
            StatusWord::Pending => Active::Pending,
            StatusWord::Processing => Active::Processing,
        });
        Filter { kind: self.kind.as_deref(), status }
    }

    /// No more creations than this.
    pub fn limit(&self) -> Option<u32> {
        self.limit.map(|limit| limit.0)
    }

    /// Who says that they ask.
    pub fn source(&self) -> Source {
        match self.source {
            SourceWord::Endpoint => Source::Endpoint,
            SourceWord::Tool => Source::Tool,
        }
    }

    /// Whether it chooses creations, as a plan does too.
    pub fn chooses(&self) -> bool {
        self.user_id.is_some() || self.kind.is_some() || self.status.is_some() || self.limit.is_some()
    }
}

/// `POST /api/generate/cleanup-stale`: for a scheduler outside, and for the command-line tool. With a body, it carries out that
/// plan.
#[worker::send]
pub(in crate::worker) async fn cleanup_stale(
    app: App,
    operator: Operator<Sweep>,
    Query(query): Query<CleanupQuery>,
    Body(body): Body,
) -> Answer {
    let plan = Plan::read(body.as_bytes())?;
    if plan.is_some() && query.chooses() {
        return Err(Problem::bad_request(
            "a plan says itself which creations it is for: leave out `user_id`, `kind`, `status` and `limit`",
        ));
    }
    let planned = plan.as_ref().map(Plan::planned);
    let policy = query.policy(&app.config.policy);
    let options = SweepOptions {
        source: query.source(),
        actor: Some(&operator.name),
        user_id: query.user_id(),
        filter: query.filter(),
        planned: planned.as_deref(),
        plan_id: plan.as_ref().and_then(Plan::id),
        policy: &policy,
        dry_run: query.dry_run(),
        limit: query.limit().unwrap_or(app.config.rows_per_sweep),
        only: None,
        others: Numbers::default(),
        // What a dry run shows is a plan, and carried out as one.
        limit_of_all: query.limit().or_else(|| query.dry_run().then_some(app.config.rows_per_sweep)),
    };
    let (sweep_id, outcome) = sweeping::run(&app, options).await?;
    match &outcome.suspended {
        // Of several databases, the others have been swept.
        Some(suspended)
            if !query.dry_run() && outcome.shards.iter().all(|shard| shard.suspended.is_some()) =>
        {
            Err(Problem::new(StatusCode::CONFLICT, suspended.to_string()))
        }
        _ => Ok(json(StatusCode::OK, &SweepJson::new(&outcome, &sweep_id, app.now, query.dry_run()))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct ListQuery {
    #[serde(default = "twenty", deserialize_with = "whole::<1, 100, _>")]
    limit: u32,
    cursor: Option<SweepId>,
}

const fn twenty() -> u32 {
    20
}

/// A UUID, as far as a query needs it to be.
struct SweepId(String);

impl<'de> Deserialize<'de> for SweepId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        if text.len() == 36 && text.bytes().all(hex) {
            Ok(SweepId(text))
        } else {
            Err(D::Error::invalid_value(Unexpected::Str(&text), &"the `next_cursor` of the page before"))
        }
    }
}

/// `GET /api/sweeps`: what ran, the newest first.
#[worker::send]
pub(in crate::worker) async fn list(
    app: App,
    _: Operator<Read>,
    Query(ListQuery { limit, cursor }): Query<ListQuery>,
) -> Answer {
    let before = cursor.as_ref().map(|id| id.0.as_str());
    let statement = [store::sweeps(before, limit.saturating_add(1))];
    let shards = app.replicas();
    let (there, unreachable) = part(&shards, run_each(&shards, &statement).await)?;
    let mut sweeps = Vec::new();
    for (shard, results) in there {
        let mut own = SweepAudit::read(results.into_iter().next().unwrap_or_default())?;
        if shards.len() > 1 {
            own.iter_mut().for_each(|sweep| sweep.shard = Some(shard.name.to_owned()));
        }
        sweeps.append(&mut own);
    }
    // Stable: what a sweep did on several databases stays in their order.
    sweeps.sort_by(|one, other| other.id().cmp(one.id()));
    let more = sweeps.len() > limit as usize;
    // A page ends with a whole sweep: the cursor is its id.
    let last = sweeps.get((limit as usize).saturating_sub(1)).map(|sweep| sweep.id().to_owned());
    if let Some(last) = &last {
        sweeps.retain(|sweep| sweep.id() >= last.as_str());
    }
    let next_cursor = last.filter(|_| more);
    let body = json!({ "now": app.now.as_millis(), "sweeps": sweeps, "next_cursor": next_cursor });
    Ok(partial(body, &unreachable))
}
