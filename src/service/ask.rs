//! Asks the provider about creations that a sweep would fail or retry while a worker has them: see `docs/asking.md`.
//!
//! It decides nothing: it completes what is done and notes a heartbeat of what is running, under the precondition of a sweep's own
//! writes. The sweep that follows decides on what there is then.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::shards::{Shard, each};
use super::sweep::{Run, SweepRequest};
use crate::read::Address;
use crate::rules::{Active, Decision, Decisions, Suspension, Timestamp, decide};
use crate::store::{self, CandidateRow, Database, Done, Filter, PlanRow};

/// The most bytes of an answer.
const MAX_ANSWER: usize = 1_000_000;
/// The most characters of an address of a result, as of a report.
const MAX_URL: usize = 2_048;

/// Whoever knows what became of a creation.
pub trait Provider {
    /// Sends the question and gives the answer's text. It must end in time.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    fn ask(&self, id: &str, question: &str) -> impl Future<Output = Result<String, String>>;
}

/// What became of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How many creations it was about; nobody is asked about none.
    pub creations: usize,
    /// How many were done, and are completed.
    pub done: usize,
    /// How many were running, and have a heartbeat.
    pub running: usize,
    /// Why there was no answer, or none that could be written down.
    pub error: Option<String>,
}

/// Asks about at most `most` creations that a sweep of `request` would fail or retry. Whatever goes wrong, the sweep goes on.
pub async fn ask<D: Database>(
    shards: &[Shard<'_, D>],
    provider: &impl Provider,
    request: SweepRequest<'_>,
    most: u32,
) -> Asked {
    if request.dry_run || request.planned.is_some() || request.filter.status == Some(Active::Pending) {
        return Asked::default();
    }
    let filter = Filter { status: Some(Active::Processing), ..request.filter };
    let look = SweepRequest { filter, breaker: None, limit: most, ..request };
    let found =
        each(shards, |Shard { database, .. }| async move { Run::new(database, look).look().await }).await;
    // One that does not answer is the sweep's to report.
    let rows: Vec<Vec<CandidateRow>> = found
        .into_iter()
        .map(|found| match found {
            Ok(found) if !matches!(found.suspended, Some(Suspension::Paused { .. })) => found.rows,
            _ => Vec::new(),
        })
        .collect();
    let mut left = most as usize;
    let mut questions = Vec::new();
    for rows in &rows {
        let Decisions { fail, retry, .. } =
            decide(rows.iter().map(CandidateRow::candidate), request.now, request.policy);
        let by_id: HashMap<_, _> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
        let stale =
            fail.into_iter().chain(retry).filter(|one| one.staleness.stuck_status == Active::Processing);
        let of: Vec<_> = stale.filter_map(|one| Some((one, *by_id.get(one.id)?))).take(left).collect();
        left = left.saturating_sub(of.len());
        questions.push(of);
    }
    let creations = questions.iter().map(Vec::len).fold(0, usize::saturating_add);
    if creations == 0 {
        return Asked::default();
    }
    let id = format!("ask:{}", request.sweep_id);
    let asked = Asked { creations, ..Asked::default() };
    let answer = match provider.ask(&id, &question(&id, request.now, &questions)).await {
        Ok(text) => read(&text),
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => write(shards, &questions, &states(&answer), request.now, asked).await,
        Err(error) => Asked { error: Some(error), ..asked },
    }
}

type Question<'a> = (Decision<'a>, &'a CandidateRow);

fn question(id: &str, now: Timestamp, questions: &[Vec<Question<'_>>]) -> String {
    let one = |(decision, row): &Question<'_>| {
        json!({
            "creation_id": row.id,
            "user_id": row.user_id,
            "kind": row.kind,
            "attempt": row.attempt,
            "started_at": row.started_at.instant().map(Timestamp::as_millis),
            "last_sign_of_life": decision.staleness.last_sign_of_life.as_millis(),
        })
    };
    let creations: Vec<_> = questions.iter().flatten().map(one).collect();
    let data = json!({ "creations": creations });
    json!({ "id": id, "type": "creations.ask", "created_at": now.as_millis(), "data": data }).to_string()
}

/// What is said of a creation.
#[derive(Clone, Copy)]
enum State<'a> {
    Done(&'a str),
    Running,
    /// Also what can't be understood.
    Unknown,
}

fn state(entry: &Value) -> State<'_> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let is_address = |url: &&str| Address::parse(url).is_some() && url.chars().count() <= MAX_URL;
    match (text("state"), text("result_url").filter(is_address)) {
        (Some("done"), Some(url)) => State::Done(url),
        (Some("running"), _) => State::Running,
        _ => State::Unknown,
    }
}

/// The entries of an answer.
fn read(text: &str) -> Result<Vec<Value>, String> {
    if text.len() > MAX_ANSWER {
        return Err(format!("the answer has {} bytes: expected at most {MAX_ANSWER}", text.len()));
    }
    match serde_json::from_str::<Value>(text).ok().as_mut().and_then(|answer| answer.get_mut("creations")) {
        Some(Value::Array(entries)) => Ok(std::mem::take(entries)),
        _ => Err(String::from("the answer can't be read: expected `{\"creations\": […]}`")),
    }
}

/// What is said of each creation, in the order of their ids. Of two answers about the same attempt, none counts.
fn states<'a>(entries: &'a [Value]) -> Vec<((&'a str, u64), State<'a>)> {
    let said = |entry: &'a Value| {
        let key = (entry.get("creation_id")?.as_str()?, entry.get("attempt")?.as_u64()?);
        Some((key, state(entry)))
    };
    let mut states: Vec<_> = entries.iter().filter_map(said).collect();
    states.sort_by_key(|(key, _)| *key);
    let only = |same: &[_]| if let [only] = same { Some(*only) } else { None };
    states.chunk_by(|(one, _), (next, _)| one == next).filter_map(only).collect()
}

async fn write<D: Database>(
    shards: &[Shard<'_, D>],
    questions: &[Vec<Question<'_>>],
    answer: &[((&str, u64), State<'_>)],
    now: Timestamp,
    mut asked: Asked,
) -> Asked {
    for (shard, questions) in shards.iter().zip(questions) {
        let (mut done, mut running) = (Vec::new(), Vec::new());
        for (decision, row) in questions {
            let plan = PlanRow::new(decision, row.tokens);
            let key = (row.id.as_str(), u64::from(row.attempt));
            let found = answer.binary_search_by_key(&key, |(key, _)| *key).ok().and_then(|at| answer.get(at));
            match found.map(|(_, state)| *state) {
                Some(State::Done(result_url)) => done.push(Done { plan, result_url }),
                Some(State::Running) => running.push(plan),
                Some(State::Unknown) | None => {}
            }
        }
        if done.is_empty() && running.is_empty() {
            continue;
        }
        match shard.database.run(&store::told(&done, &running, now)).await {
            Ok(results) => {
                let (done, running) = store::told_of(&results);
                asked.done = asked.done.saturating_add(done);
                asked.running = asked.running.saturating_add(running);
            }
            Err(error) => asked.error = Some(error.to_string()),
        }
    }
    asked
}
