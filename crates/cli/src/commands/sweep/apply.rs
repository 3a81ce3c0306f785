//! Applies plans: one request each, which is one transaction of at most 1,000 creations.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::outcome::Outcome;
use super::{more, note_suspended, note_unreached, note_unreadable};
use crate::api::Api;
use crate::args::Sweep;
use crate::commands::note_left_out;
use crate::exit::{Code, Error};
use crate::format::summary;
use crate::output::{self, list, note};

/// On a terminal, a run over more creations than this asks first, and one that is held always.
const UNASKED: usize = 5;

/// Fetches the next plan, of at most so many creations.
type Refill<'a> = &'a dyn Fn(Option<u32>) -> Result<Value, Error>;

/// Applies a plan, and then the next one that `refill` fetches, until nothing is stale or the limit is reached.
pub fn run(
    api: &Api,
    mut plan: Value,
    refill: Option<Refill<'_>>,
    sweep: &Sweep,
    json: bool,
) -> Result<Code, Error> {
    note_unreadable(&plan);
    if list(&plan, "creations").is_empty() {
        if json {
            output::json(&Outcome::default().json());
        }
        let left_out = note_left_out(&plan);
        if note_unreached(&plan) {
            return Ok(Code::PartlyDone);
        }
        note(if left_out {
            "Nothing else is stale: nothing to do."
        } else {
            "Nothing is stale: nothing to do."
        });
        return Ok(Code::Done);
    }
    let mut left = sweep.limit.map(|limit| rest(limit, &plan));
    let follows = refill.is_some() && more(&plan) && left != Some(0);
    // What somebody has seen in a dry run is confirmed, and carried out all the same. A scheduler has seen nothing.
    let held = plan.get("suspended").and_then(Value::as_str).filter(|_| refill.is_some());
    let attended = std::io::stdin().is_terminal() && !sweep.yes;
    if let Some(reason) = held.filter(|_| !attended) {
        let message =
            format!("nothing was changed: {reason}; `--dry-run` shows the plan, and `--apply` applies it");
        return Err(Error::new(Code::Failed, message));
    }
    if held.is_some() {
        note_suspended(&plan);
    }
    let asks = attended && (held.is_some() || list(&plan, "creations").len() > UNASKED);
    if asks && !confirmed(list(&plan, "creations"), follows.then_some(left))? {
        note("Nothing was changed.");
        return Ok(Code::Done);
    }
    let stop = stop_on_ctrl_c();
    let progress = progress_bar();
    let mut outcome = Outcome::default();
    let ended = loop {
        let before = outcome.creations.len();
        if let Err(error) = apply(api, &plan, &mut outcome) {
            break Err(error);
        }
        let applied = outcome.creations.len();
        progress.set_position(applied as u64);
        // What a limit leaves is not missing.
        let wanted = refill.filter(|_| more(&plan) && left != Some(0));
        let Some(refill) = wanted else { break Ok(()) };
        outcome.interrupted = stop.load(Ordering::SeqCst);
        // A plan of which nothing could be applied would come again for ever.
        if outcome.interrupted || applied == before {
            outcome.more = true;
            break Ok(());
        }
        match refill(left) {
            Ok(next) => plan = next,
            Err(error) => break Err(error),
        }
        if list(&plan, "creations").is_empty() {
            break Ok(());
        }
        left = left.map(|limit| rest(limit, &plan));
    };
    progress.finish_and_clear();
    outcome.more |= ended.is_err();
    outcome.show(json);
    match ended {
        Ok(()) if outcome.is_complete() => Ok(Code::Done),
        Ok(()) => Ok(Code::PartlyDone),
        Err(error) if outcome.creations.is_empty() => Err(error),
        Err(error) => Err(Error::new(Code::PartlyDone, error.message)),
    }
}

/// What a plan leaves of a limit.
fn rest(limit: u32, plan: &Value) -> u32 {
    limit.saturating_sub(u32::try_from(list(plan, "creations").len()).unwrap_or(u32::MAX))
}

fn apply(api: &Api, plan: &Value, outcome: &mut Outcome) -> Result<(), Error> {
    let mut query = vec![("source", "tool")];
    query.extend(plan.get("max_age_hours").and_then(Value::as_str).map(|hours| ("max_age_hours", hours)));
    outcome.plan_ids.extend(plan.get("plan_id").cloned());
    let body = json!({ "plan_id": plan.get("plan_id"), "creations": plan.get("creations") });
    outcome.add(&api.sweep(&query, &body.to_string())?);
    Ok(())
}

/// Asks on the terminal. `following` is what is left of the limit for further plans.
fn confirmed(creations: &[Value], following: Option<Option<u32>>) -> Result<bool, Error> {
    let rest = match following {
        None => String::new(),
        Some(None) => String::from(" More are stale, and follow."),
        Some(Some(left)) => format!(" More are stale; up to {left} follow."),
    };
    note(format!("{}.{rest}", summary(creations, "will be ")));
    dialoguer::Confirm::new().with_prompt("Continue?").default(false).interact().map_err(|error| {
        Error::new(
            Code::InvalidInput,
            format!("there is no answer ({error}): pass --yes to continue without asking"),
        )
    })
}

/// Ctrl-C is noticed between two plans. If there can be no handler, it ends the command at once, which does no harm: a transaction
/// is done as a whole or not at all.
fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst));
    stop
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} creations, {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
