use ::worker::{Request, Response, console_error, console_log};

use super::context::Context;
use super::respond;
use crate::auth::bearer;
use crate::rules::{MaxAge, Policy};
use crate::sweep::{self, Report, Source, mark_stale_creations_as_failed};
use crate::view;

/// Sweeps and writes the log. Everything that sweeps goes through here.
pub(super) async fn run(
    context: &Context,
    source: Source,
    user_id: Option<&str>,
    policy: &Policy,
    dry_run: bool,
) -> Result<(String, Report), String> {
    let sweep_id = context.sweep_id()?;
    let request = sweep::Request {
        sweep_id: &sweep_id,
        source,
        user_id,
        now: context.now,
        policy,
        dry_run,
        rows_per_transaction: context.config.rows_per_transaction,
        rows_per_sweep: context.config.rows_per_sweep,
    };
    let (report, error) = match mark_stale_creations_as_failed(&context.database, request).await {
        Ok(report) => (report, None),
        Err(stopped) => (stopped.report, Some(stopped.error.to_string())),
    };
    // A dry run marks nothing, and a page load that finds nothing is no sweep: neither writes a line.
    let idle_page = source == Source::Page && report.marked.is_empty() && report.refused.is_empty();
    if !dry_run && !idle_page {
        for line in view::sweep_lines(&report, &sweep_id, source) {
            console_log!("{line}");
        }
    }
    match error {
        None => Ok((sweep_id, report)),
        Some(error) => {
            console_error!("{}", view::failed_sweep_line(&sweep_id, source, &error));
            Err(error)
        }
    }
}

/// The cron trigger: everybody's creations.
pub(super) async fn cron(context: &Context) -> Result<(), String> {
    run(context, Source::Cron, None, &context.config.policy, false).await.map(|_| ())
}

/// `POST /api/generate/cleanup-stale`: everybody's creations, for a scheduler outside.
pub(super) async fn endpoint(context: &Context, request: &Request) -> ::worker::Result<Response> {
    if let Err(reason) = authorize(context, request) {
        return respond::unauthorized(&request.path(), &reason);
    }
    let (dry_run, policy) = match options(context, request) {
        Ok(options) => options,
        Err(error) => return respond::bad_request(&error),
    };
    match run(context, Source::Endpoint, None, &policy, dry_run).await {
        Ok((sweep_id, report)) => {
            respond::json(200, &view::report_json(&report, &sweep_id, context.now, dry_run))
        }
        Err(_) => {
            respond::error(503, "the sweep stopped early; what it did stands, and the next one carries on")
        }
    }
}

/// Either of two secrets, so that a new one can be added before the old one is removed.
fn authorize(context: &Context, request: &Request) -> Result<(), String> {
    let header = request.headers().get("Authorization").ok().flatten();
    let secrets = [context.secret("CLEANUP_TOKEN"), context.secret("CLEANUP_TOKEN_NEXT")];
    if let [Err(first), Err(second)] = &secrets {
        return Err(if first.is_missing() && !second.is_missing() { second } else { first }.to_string());
    }
    let presented = header.as_deref().and_then(bearer).ok_or("no bearer token")?;
    // Every secret is compared, whichever matches.
    let matches = secrets
        .iter()
        .flatten()
        .map(|secret| secret.matches(presented))
        .fold(subtle::Choice::from(0), |any, one| any | one);
    if bool::from(matches) {
        Ok(())
    } else {
        Err(String::from("the bearer token is none of the configured ones"))
    }
}

/// `?dry_run=true` and `?max_age_hours=0.5`. An unknown one is an error: a misspelt `dry_run` must not sweep.
fn options(context: &Context, request: &Request) -> Result<(bool, Policy), String> {
    let mut dry_run = None;
    let mut policy = None;
    for (key, value) in respond::query(request) {
        let repeated = match key.as_str() {
            "dry_run" => {
                let value = match value.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(format!("`dry_run` is `{value}`: expected `true` or `false`")),
                };
                dry_run.replace(value).is_some()
            }
            "max_age_hours" => {
                let max_age: MaxAge = value.parse().map_err(|error| format!("`max_age_hours`: {error}"))?;
                policy.replace(context.config.policy.with_max_age(max_age)).is_some()
            }
            _ => return Err(format!("unknown parameter `{key}`: expected `dry_run` or `max_age_hours`")),
        };
        if repeated {
            return Err(format!("`{key}` is given twice: give it once"));
        }
    }
    Ok((dry_run.unwrap_or(false), policy.unwrap_or_else(|| context.config.policy.clone())))
}
