use super::console;
use super::context::Context;
use super::message::{Answered, Request};
use super::{analytics, body, caller, respond, url};
use crate::auth::Scope;
use crate::input::{Options, Plan};
use crate::rules::{Planned, Policy, Suspension};
use crate::store::Filter;
use crate::sweep::{self, Report, Source, mark_stale_creations_as_failed};
use crate::view;

/// What is said where the database did not answer in the middle.
pub(super) const STOPPED: &str = "the sweep stopped early; what it did stands, and the next one carries on";

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
        breaker: context.config.breaker,
        rows_per_transaction: context.config.rows_per_sweep,
        rows_per_sweep,
    };
    let (report, error) = match mark_stale_creations_as_failed(&context.database, request).await {
        Ok(report) => (report, None),
        Err(stopped) => (stopped.report, Some(stopped.error.to_string())),
    };
    let changed = !report.failed.is_empty() || !report.retried.is_empty();
    if changed && !dry_run {
        context.tell.set(true);
    }
    // A dry run marks nothing, and a page load that finds nothing is no sweep: neither writes a line.
    let idle_page = source == Source::Page && !changed && report.rejected.is_empty();
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

/// The cron trigger: everybody's creations. A sweep that is held by the breaker is an error of the platform's events too.
pub(super) async fn cron(context: &Context) -> Result<(), String> {
    let (sweep_id, report) = run(context, Ask::new(context, Source::Cron)).await?;
    match report.suspended {
        Some(suspended @ Suspension::BreakerOpen { .. }) => {
            console::error(&view::failed_sweep_line(&sweep_id, Source::Cron, &suspended.to_string()));
            Err(suspended.to_string())
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
    let options = match Options::read(url::query(request), &context.config) {
        Ok(options) => options,
        Err(error) => return respond::bad_request(&error),
    };
    let text = match body::text(request).await {
        Ok(text) => text,
        Err((status, error)) => return respond::error(status, &error),
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
        Ok((_, Report { suspended: Some(suspended), .. })) if !options.dry_run => {
            respond::error(409, &suspended.to_string())
        }
        Ok((sweep_id, report)) => {
            respond::json(200, &view::report_json(&report, &sweep_id, context.now, options.dry_run))
        }
        Err(_) => respond::error(503, STOPPED),
    }
}
