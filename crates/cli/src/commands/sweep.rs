use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::list::age_and_limit;
use crate::api::Api;
use crate::args::Sweep;
use crate::exit::{Code, Failure};
use crate::output::{self, BOLD, Line, WARNING, count, list, number, styled, text};
use crate::plain::{is_retry, sum, summary};
use crate::plans;

/// So many go in one request, and so in one transaction: Ctrl-C waits for no more.
const ROWS_PER_REQUEST: usize = 500;
/// A live run over more than this asks first, on a terminal.
const HANDFUL: usize = 5;

/// Without a command: previews, confirms, and carries out.
pub fn run(api: &Api, sweep: &Sweep, json: bool) -> Result<Code, Failure> {
    if let Some(plan_id) = &sweep.apply {
        let plan = plans::load(plan_id)?;
        return carry_out(api, plan, sweep, json, false);
    }
    let preview = preview(api, sweep, sweep.limit)?;
    if sweep.dry_run {
        return dry_run(&preview, json);
    }
    carry_out(api, preview, sweep, json, true)
}

/// A dry run by the Worker, of no more than `limit` creations. The answer also keeps by which limits it was made.
fn preview(api: &Api, sweep: &Sweep, limit: Option<u32>) -> Result<Value, Failure> {
    let mut query = vec![("dry_run", "true"), ("source", "tool")];
    if !sweep.policy {
        query.push(("max_age_hours", &sweep.max_age_hours));
    }
    let chosen = [("user_id", &sweep.user), ("kind", &sweep.kind), ("status", &sweep.status)];
    query.extend(chosen.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))));
    let mut answer = api.sweep(&query, "")?;
    if let Some(fields) = answer.as_object_mut() {
        let limits = if sweep.policy { Value::Null } else { Value::from(sweep.max_age_hours.as_str()) };
        fields.insert(String::from("max_age_hours"), limits);
        if let Some(limit) = limit {
            cut(fields, limit as usize);
        }
    }
    Ok(answer)
}

/// Leaves the first `limit` creations of a dry run. That is another plan, so it has an id of its own, made as the Worker does.
fn cut(answer: &mut Map<String, Value>, limit: usize) {
    let Some(Value::Array(creations)) = answer.get_mut("creations") else { return };
    if creations.len() <= limit {
        return;
    }
    creations.truncate(limit);
    let (retried, failed): (Vec<_>, Vec<_>) = creations.iter().partition(|row| is_retry(row));
    let mut hash = Sha256::new();
    for row in creations.iter() {
        let decided =
            ["id", "attempt", "stuck_status", "last_sign_of_life", "action"].map(|key| row.get(key));
        hash.update(json!(decided).to_string());
    }
    let plan_id: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let changed = [
        ("plan_id", Value::from(plan_id)),
        ("marked_as_failed", failed.len().into()),
        ("retried", retried.len().into()),
        ("refunded_tokens", sum(failed, "tokens").into()),
        ("more", true.into()),
    ];
    answer.extend(changed.map(|(key, value)| (key.to_owned(), value)));
}

fn dry_run(preview: &Value, json: bool) -> Result<Code, Failure> {
    let creations = list(preview, "creations");
    let plan_id = text(preview, "plan_id");
    if !creations.is_empty() {
        plans::save(&plan_id, preview)?;
    }
    if json {
        output::json(preview);
    } else {
        show(creations);
    }
    unreadable(preview);
    if creations.is_empty() {
        anstream::eprintln!("Nothing is stale.");
        return Ok(Code::Done);
    }
    anstream::eprintln!("{}.\nNothing was changed.", summary(creations, "would be "));
    if preview.get("more") == Some(&Value::Bool(true)) {
        anstream::eprintln!("These are the first; more are stale.");
    }
    anstream::eprintln!("Carry out exactly this: mark-stale-drafts --apply {}", styled(BOLD, plan_id));
    Ok(Code::StaleFound)
}

fn show(creations: &[Value]) {
    let lines: Vec<_> = creations
        .iter()
        .map(|row| {
            let [age, limit] = age_and_limit(row);
            Line {
                cells: vec![
                    text(row, "id"),
                    text(row, "user_id"),
                    text(row, "kind"),
                    text(row, "stuck_status"),
                    age,
                    limit,
                    text(row, "rule"),
                    text(row, "tokens"),
                ],
                notes: vec![if is_retry(row) {
                    String::from("another attempt is left: it is put back to pending")
                } else {
                    text(row, "error")
                }],
            }
        })
        .collect();
    output::table(&["id", "user", "kind", "status", "age", "limit", "rule", "tokens"], &[4, 5, 7], &lines);
}

/// Those that nobody can judge are always shown: they are never failed by guesswork and never hidden.
fn unreadable(report: &Value) {
    for row in list(report, "unreadable") {
        anstream::eprintln!(
            "{} {}: {}",
            styled(WARNING, "left alone:"),
            text(row, "id"),
            text(row, "message")
        );
    }
}

/// What has been done so far.
#[derive(Default)]
struct Done {
    /// Creations marked failed or put back.
    done: Vec<Value>,
    raced: u64,
    rejected: Vec<Value>,
    skipped: Vec<Value>,
    sweep_ids: Vec<Value>,
    plan_ids: Vec<Value>,
    interrupted: bool,
    more: bool,
}

impl Done {
    fn add(&mut self, report: &Value) {
        self.done.extend_from_slice(list(report, "creations"));
        self.raced = self.raced.saturating_add(number(report, "raced"));
        self.rejected.extend_from_slice(list(report, "rejected"));
        self.skipped.extend_from_slice(list(report, "skipped"));
        self.sweep_ids.extend(report.get("sweep_id").cloned());
    }

    fn complete(&self) -> bool {
        !self.interrupted
            && !self.more
            && self.raced == 0
            && self.rejected.is_empty()
            && self.skipped.is_empty()
    }
}

/// Marks a plan's creations, a transaction at a time. `all`: and then whatever else is stale, plan by plan.
fn carry_out(api: &Api, mut plan: Value, sweep: &Sweep, json: bool, all: bool) -> Result<Code, Failure> {
    unreadable(&plan);
    let creations = list(&plan, "creations");
    if creations.is_empty() {
        if json {
            output::json(&result(&Done::default()));
        }
        anstream::eprintln!("Nothing is stale: nothing to do.");
        return Ok(Code::Done);
    }
    let mut left = sweep.limit.map(|limit| after(limit, creations));
    let more = plan.get("more") == Some(&Value::Bool(true));
    let rest = match left {
        None if all && more => String::from(" These are the first; whatever else is stale follows."),
        Some(left @ 1..) if more => format!(" These are the first; up to {left} more follow."),
        _ => String::new(),
    };
    if creations.len() > HANDFUL
        && !sweep.yes
        && std::io::stdin().is_terminal()
        && !confirmed(creations, &rest)?
    {
        anstream::eprintln!("Nothing was changed.");
        return Ok(Code::Done);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    // Without it Ctrl-C ends the command at once, which harms nothing: a transaction is whole or not there.
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst));

    let mut done = Done::default();
    loop {
        let before = done.done.len();
        if let Err(failure) = apply(api, &plan, &stop, &mut done) {
            return Err(cut_short(&mut done, failure, json));
        }
        // What a limit or a plan leaves is as it was asked for, and not something that failed.
        let asked = (all && left != Some(0)) || done.interrupted;
        let more = asked && plan.get("more") == Some(&Value::Bool(true));
        done.more = more && (done.interrupted || done.done.len() == before);
        if !more || done.more {
            break;
        }
        plan = preview(api, sweep, left).map_err(|failure| cut_short(&mut done, failure, json))?;
        left = left.map(|limit| after(limit, list(&plan, "creations")));
    }
    report(&done, json);
    Ok(if done.complete() { Code::Done } else { Code::PartlyDone })
}

/// What is left of a limit after these creations.
fn after(limit: u32, creations: &[Value]) -> u32 {
    limit.saturating_sub(u32::try_from(creations.len()).unwrap_or(u32::MAX))
}

/// Shows what was done before something failed, and what the command ends with.
fn cut_short(done: &mut Done, failure: Failure, json: bool) -> Failure {
    done.more = true;
    report(done, json);
    if done.done.is_empty() { failure } else { Failure::new(Code::PartlyDone, failure.message) }
}

fn confirmed(creations: &[Value], rest: &str) -> Result<bool, Failure> {
    anstream::eprintln!("{}.{rest}", summary(creations, "will be "));
    dialoguer::Confirm::new().with_prompt("Go on?").default(false).interact().map_err(|error| {
        Failure::new(Code::BadInput, format!("nobody answered ({error}): give --yes to go on without asking"))
    })
}

fn apply(api: &Api, plan: &Value, stop: &AtomicBool, done: &mut Done) -> Result<(), Failure> {
    let creations = list(plan, "creations");
    let hours = plan.get("max_age_hours").and_then(Value::as_str);
    let query: Vec<_> =
        [("source", "tool")].into_iter().chain(hours.map(|hours| ("max_age_hours", hours))).collect();
    done.plan_ids.extend(plan.get("plan_id").cloned());
    let bar = ProgressBar::new(creations.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} creations, {elapsed}") {
        bar.set_style(style);
    }
    for part in creations.chunks(ROWS_PER_REQUEST) {
        if stop.load(Ordering::SeqCst) {
            done.interrupted = true;
            break;
        }
        bar.tick();
        let body = json!({ "plan_id": plan.get("plan_id"), "creations": part });
        let answer = api.sweep(&query, &body.to_string());
        match answer {
            Ok(answer) => done.add(&answer),
            Err(failure) => {
                bar.finish_and_clear();
                return Err(failure);
            }
        }
        bar.inc(part.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

fn result(done: &Done) -> Value {
    let (retried, marked): (Vec<_>, Vec<_>) = done.done.iter().partition(|row| is_retry(row));
    let tokens = sum(marked.iter().copied(), "tokens");
    json!({
        "success": done.complete(),
        "marked_as_failed": marked.len(),
        "retried": retried.len(),
        "refunded_tokens": tokens,
        "raced": done.raced,
        "rejected": done.rejected,
        "skipped": done.skipped,
        "creations": done.done,
        "sweep_ids": done.sweep_ids,
        "plan_ids": done.plan_ids,
        "interrupted": done.interrupted,
        "more": done.more,
    })
}

fn report(done: &Done, json: bool) {
    if json {
        output::json(&result(done));
    } else {
        show(&done.done);
    }
    for (rows, what, key) in
        [(&done.skipped, "left alone:", "message"), (&done.rejected, "rejected by the database:", "error")]
    {
        for row in rows {
            anstream::eprintln!("{} {}: {}", styled(WARNING, what), text(row, "id"), text(row, key));
        }
    }
    if done.raced > 0 {
        anstream::eprintln!(
            "{} {} moved on in that very moment",
            styled(WARNING, "left alone:"),
            count(done.raced, "creation")
        );
    }
    anstream::eprintln!("{}.", summary(&done.done, ""));
    if done.interrupted {
        anstream::eprintln!("Stopped between two transactions: run it again for the rest.");
    } else if done.more {
        anstream::eprintln!("More are stale: run it again.");
    }
}
