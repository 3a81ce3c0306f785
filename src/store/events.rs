//! The outbox: events are written by the trigger `stale_drafts_creations_emit`, claimed, delivered and removed.

use serde_json::Value;

use super::{Param, Row, Statement, json};
use crate::rules::Timestamp;

/// Takes what is due for one try. What comes of the try is written by [`settle`]; if nothing is, because the sender
/// died, it is due again later. The wait doubles with every try, up to a bound. By the whole key, it reads what it takes and not
/// all that is due.
const CLAIM: &str =
    "UPDATE stale_drafts_events AS e SET deliveries = e.deliveries + 1, due_at = ?1 + min(?3, ?2 << min(e.deliveries, 20))
     FROM (SELECT due_at, id FROM stale_drafts_events WHERE state = 'due' AND due_at <= ?1 ORDER BY due_at, id LIMIT ?4) AS d
     WHERE e.state = 'due' AND e.due_at = d.due_at AND e.id = d.id
     RETURNING id, destinations, due_at, body";

const DELIVERED: &str = "DELETE FROM stale_drafts_events WHERE (state, due_at, id) IN (
       SELECT 'due', value ->> 0, value ->> 1 FROM json_each(?1))";

/// Without `MATERIALIZED` SQLite may look through all that is due for each.
const NOT_DELIVERED: &str =
    "WITH j AS MATERIALIZED (SELECT value FROM json_each(?1))
     UPDATE stale_drafts_events AS e SET destinations = j.value ->> 2, last_error = j.value ->> 3, state = iif(deliveries >= ?2, 'dead', 'due')
     FROM j WHERE e.state = 'due' AND e.due_at = j.value ->> 0 AND e.id = j.value ->> 1";

const EVENTS: &str =
    "SELECT id, state, due_at, destinations, deliveries, created_at, creation_id, last_error FROM stale_drafts_events
     WHERE state = ?1 AND (due_at, id) > (?2, ?3) ORDER BY due_at, id LIMIT ?4";

const REPLAY: &str = "UPDATE stale_drafts_events SET state = 'due', deliveries = 0, due_at = ?1
     WHERE state = 'dead' AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))
     RETURNING id";

/// The first wait between two tries, in milliseconds.
const WAIT_MS: u32 = 30_000;
/// The longest.
const MAX_WAIT_MS: u32 = 3_600_000;

/// Takes up to `limit` events that are due: rows for [`claimed`].
pub fn claim(now: Timestamp, limit: u32) -> Statement {
    Statement::new(CLAIM, [now.into(), WAIT_MS.into(), MAX_WAIT_MS.into(), limit.into()])
}

/// An event that is to be delivered now.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its id, the same at every try.
    pub id: String,
    /// To whom it has not gone yet: see [`mod@destinations`].
    pub destinations: u32,
    /// When it is due again.
    pub due_at: i64,
    /// The JSON that is delivered.
    pub body: String,
}

/// The events in the rows of [`claim`].
pub fn claimed(rows: &[Row]) -> Vec<Claimed> {
    let read = |row: &Row| {
        Some(Claimed {
            id: row.get("id")?.as_str()?.to_owned(),
            destinations: u32::try_from(row.get("destinations")?.as_u64()?).ok()?,
            due_at: row.get("due_at")?.as_i64()?,
            body: row.get("body")?.as_str()?.to_owned(),
        })
    };
    rows.iter().filter_map(read).collect()
}

/// What came of a try.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// The event.
    pub event: &'a Claimed,
    /// To whom it still has to go; 0 if it has been delivered.
    pub left: u32,
    /// Why.
    pub error: String,
}

/// Removes what has been delivered, and notes why the rest was not. After `max_deliveries` tries an event is dead.
pub fn settle(outcomes: &[Outcome<'_>], max_deliveries: u32) -> [Statement; 2] {
    let (delivered, not): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome.left == 0);
    let delivered: Vec<_> =
        delivered.iter().map(|outcome| (outcome.event.due_at, &outcome.event.id)).collect();
    let not: Vec<_> = not
        .iter()
        .map(|outcome| (outcome.event.due_at, &outcome.event.id, outcome.left, &outcome.error))
        .collect();
    [
        Statement::new(DELIVERED, [Param::Text(json(&delivered))]),
        Statement::new(NOT_DELIVERED, [Param::Text(json(&not)), max_deliveries.into()]),
    ]
}

/// `limit` events in `state` (`due` or `dead`) after the one with this place, the first due first.
pub fn events(state: &str, after: (i64, &str), limit: u32) -> Statement {
    Statement::new(EVENTS, [state.into(), Param::Integer(after.0), after.1.into(), limit.into()])
}

/// Makes dead events due again: those with these ids, or all of them. One row each.
pub fn replay(ids: Option<&[&str]>, now: Timestamp) -> Statement {
    Statement::new(REPLAY, [now.into(), ids.map_or(Param::Null, |ids| Param::Text(json(ids)))])
}

/// The bits of `events.destinations`: to whom an event has not gone yet.
pub mod destinations {
    /// The app, by a queue.
    pub const QUEUE: u32 = 1;
    /// The app, by a webhook.
    pub const WEBHOOK: u32 = 2;
    /// The workers, by their queue.
    pub const WORKERS: u32 = 4;
    /// What operators see of each.
    pub(super) const NAMES: [(u32, &str); 3] =
        [(QUEUE, "queue"), (WEBHOOK, "webhook"), (WORKERS, "generations")];
}

/// Who is named by the bits of `events.destinations`.
pub fn events_of(bits: u64) -> Vec<Value> {
    destinations::NAMES
        .into_iter()
        .filter(|(bit, _)| bits & u64::from(*bit) != 0)
        .map(|(_, name)| Value::from(name))
        .collect()
}
