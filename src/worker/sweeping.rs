use serde_json::Value;

use super::console;
use super::context::Context;
use super::message::{Answered, Request};
use super::{analytics, body, caller, respond, url};
use crate::config::{self, Scope};
use crate::rules::{Active, Held, Planned, Policy, Status};
use crate::store::Filter;
use crate::sweep::{self, Report, Source, mark_stale_creations_as_failed};
use crate::view;

/// What is asked of a sweep.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) source: Source,
    pub(super) actor: Option<&'a str>,
    pub(super) user_id: Option<&'a str>,
    pub(super) filter: Filter<'a>,
    pub(super) planned: Option<&'a [Planned<'a>]>,
    pub(super) plan_id: Option<&'a str>,
    pub(super) policy: &'a Policy,
    pub(super) dry_run: bool,
    pub(super) rows_per_sweep: u32,
}

impl<'a> Ask<'a> {
    /// For everything that is stale by the configuration.
    pub(super) fn new(context: &'a Context, source: Source) -> Self {
        Ask {
            source,
            actor: None,
            user_id: None,
            filter: Filter::default(),
            planned: None,
            plan_id: None,
            policy: &context.config.policy,
            dry_run: false,
            rows_per_sweep: context.config.rows_per_sweep,
        }
    }
}

/// Sweeps and writes the log. Everything that sweeps goes through here.
pub(super) async fn run(context: &Context, ask: Ask<'_>) -> Result<(String, Report), String> {
    let sweep_id = context.new_id()?;
    let Ask { source, actor, user_id, filter, planned, plan_id, policy, dry_run, rows_per_sweep } = ask;
    let request = sweep::Request {
        sweep_id: &sweep_id,
        source,
        actor,
        user_id,
        filter,
        planned,
        plan_id,
        now: context.now,
        policy,
        dry_run,
        notify: context.notify(),
        brake: context.config.brake,
        rows_per_transaction: context.config.rows_per_transaction,
        rows_per_sweep,
    };
    let (report, error) = match mark_stale_creations_as_failed(&context.database, request).await {
        Ok(report) => (report, None),
        Err(stopped) => (stopped.report, Some(stopped.error.to_string())),
    };
    let changed = !report.marked.is_empty() || !report.retried.is_empty();
    if changed && !dry_run {
        context.tell.set(true);
    }
    // A dry run marks nothing, and a page load that finds nothing is no sweep: neither writes a line.
    let idle_page = source == Source::Page && !changed && report.refused.is_empty();
    if !dry_run && !idle_page {
        for line in view::sweep_lines(&report, &sweep_id, source) {
            console::log(&line);
        }
    }
    if !dry_run && source != Source::Page {
        analytics::note(context, &report, source);
    }
    match error {
        None => Ok((sweep_id, report)),
        Some(error) => {
            console::error(&view::failed_sweep_line(&sweep_id, source, &error));
            Err(error)
        }
    }
}

/// The cron trigger: everybody's creations. A sweep that is held by the brake is an error of the platform's events too.
pub(super) async fn cron(context: &Context) -> Result<(), String> {
    let (sweep_id, report) = run(context, Ask::new(context, Source::Cron)).await?;
    match report.held {
        Some(held @ Held::Brake { .. }) => {
            console::error(&view::failed_sweep_line(&sweep_id, Source::Cron, &held.to_string()));
            Err(held.to_string())
        }
        _ => Ok(()),
    }
}

/// `POST /api/generate/cleanup-stale`: for a scheduler outside, and for the command-line tool.
pub(super) async fn endpoint(context: &Context, request: &Request) -> Answered {
    let actor = match caller::operator(context, request, Scope::Sweep).await {
        Ok(actor) => actor,
        Err(refusal) => return respond::refused(request.path(), refusal),
    };
    let options = match Options::read(context, request) {
        Ok(options) => options,
        Err(error) => return respond::bad_request(&error),
    };
    let text = match body::text(request).await {
        Ok(text) => text,
        Err(error) => return respond::error(413, &error),
    };
    let plan = match Plan::read(&text, options.chosen) {
        Ok(plan) => plan,
        Err(error) => return respond::bad_request(&error),
    };
    let planned = plan.as_ref().map(Plan::planned);
    let ask = Ask {
        source: options.source,
        actor: Some(&actor),
        user_id: options.user_id.as_deref(),
        filter: Filter { kind: options.kind.as_deref(), status: options.status },
        planned: planned.as_deref(),
        plan_id: plan.as_ref().and_then(|plan| plan.plan_id.as_deref()),
        policy: &options.policy,
        dry_run: options.dry_run,
        rows_per_sweep: options.limit,
    };
    match run(context, ask).await {
        Ok((_, Report { held: Some(held), .. })) if !options.dry_run => {
            respond::error(409, &held.to_string())
        }
        Ok((sweep_id, report)) => {
            respond::json(200, &view::report_json(&report, &sweep_id, context.now, options.dry_run))
        }
        Err(_) => {
            respond::error(503, "the sweep stopped early; what it did stands, and the next one carries on")
        }
    }
}

/// The parameters of the query.
struct Options {
    dry_run: bool,
    policy: Policy,
    user_id: Option<String>,
    kind: Option<String>,
    status: Option<Active>,
    limit: u32,
    source: Source,
    /// Whether creations are chosen by one of them.
    chosen: bool,
}

impl Options {
    fn read(context: &Context, request: &Request) -> Result<Self, String> {
        let known = ["dry_run", "max_age_hours", "user_id", "kind", "status", "limit", "source"];
        let [dry_run, max_age, user_id, kind, status, limit, source] = url::parameters(request, known)?;
        let chosen = user_id.is_some() || kind.is_some() || status.is_some() || limit.is_some();
        let config = &context.config;
        Ok(Options {
            dry_run: match dry_run.as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(value) => return Err(format!("`dry_run` is `{value}`: expected `true` or `false`")),
            },
            policy: match max_age {
                None => config.policy.clone(),
                Some(value) => {
                    let max_age =
                        config::max_age(&value).map_err(|error| format!("`max_age_hours`: {error}"))?;
                    config.policy.with_max_age(max_age)
                }
            },
            user_id,
            kind,
            status: match status {
                None => None,
                Some(value) => {
                    let status = Active::ALL.into_iter().find(|status| status.as_str() == value);
                    Some(status.ok_or_else(|| {
                        format!("`status` is `{value}`: expected `pending` or `processing`")
                    })?)
                }
            },
            limit: match limit {
                None => config.rows_per_sweep,
                Some(value) => url::whole("limit", &value, 1..=100_000)?,
            },
            source: match source.as_deref() {
                None | Some("endpoint") => Source::Endpoint,
                Some("tool") => Source::Tool,
                Some(value) => return Err(format!("`source` is `{value}`: expected `endpoint` or `tool`")),
            },
            chosen,
        })
    }
}

/// The body of a request that carries out a plan: what a dry run answered, or as much of it.
pub(super) struct Plan {
    pub(super) plan_id: Option<String>,
    creations: Vec<PlannedCreation>,
}

struct PlannedCreation {
    id: String,
    stuck_status: Option<Status>,
    attempt: u32,
    last_sign_of_life: u64,
}

impl PlannedCreation {
    fn read(value: &Value) -> Option<Self> {
        Some(PlannedCreation {
            id: value.get("id")?.as_str()?.to_owned(),
            stuck_status: value.get("stuck_status")?.as_str()?.parse().ok(),
            attempt: u32::try_from(value.get("attempt")?.as_u64()?).ok()?,
            last_sign_of_life: value.get("last_sign_of_life")?.as_u64()?,
        })
    }
}

impl Plan {
    /// At most this many creations are carried out in one request.
    const MAX: usize = 5_000;

    pub(super) fn read(text: &str, chosen: bool) -> Result<Option<Self>, String> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let expected = "expected `{\"plan_id\": …, \"creations\": […]}` as a dry run answers it";
        let value: Value = serde_json::from_str(text)
            .map_err(|error| format!("the body is no JSON ({error}): {expected}"))?;
        let list = value.get("creations").and_then(Value::as_array);
        let list = list.ok_or_else(|| format!("the body has no list `creations`: {expected}"))?;
        if list.len() > Self::MAX {
            return Err(format!("the plan has {} creations: expected at most {}", list.len(), Self::MAX));
        }
        let one = |(creation, at)| {
            PlannedCreation::read(creation).ok_or_else(|| {
                format!("`creations[{at}]` is no creation of a plan: expected `id`, `stuck_status`, `attempt` and `last_sign_of_life`")
            })
        };
        let creations = list.iter().zip(0_usize..).map(one).collect::<Result<_, _>>()?;
        let plan_id = value.get("plan_id").filter(|id| !id.is_null());
        let good =
            |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let plan_id = match plan_id.map(|id| id.as_str().filter(good).map(str::to_owned)) {
            Some(None) => {
                return Err(String::from(
                    "`plan_id` is not the `plan_id` of a dry run: expected letters and digits",
                ));
            }
            Some(id) => id,
            None => None,
        };
        let plan = Plan { plan_id, creations };
        if chosen {
            return Err(String::from(
                "a plan says itself which creations it is for: leave out `user_id`, `kind`, `status` and `limit`",
            ));
        }
        Ok(Some(plan))
    }

    pub(super) fn planned(&self) -> Vec<Planned<'_>> {
        self.creations
            .iter()
            .map(|creation| Planned {
                id: &creation.id,
                stuck_status: creation.stuck_status,
                attempt: creation.attempt,
                last_sign_of_life: creation.last_sign_of_life,
            })
            .collect()
    }
}
