//! The outbox: the trigger `stale_drafts_creations_emit` and the monitor write events; the outbox's service claims, delivers and settles
//! them.

use serde::{Deserialize, Serialize};

use super::typed::{instant, typed_rows};
use super::{DatabaseError, Param, Row, Statement, json};
use crate::rules::Timestamp;

/// Leases due events to one sender, until ?2. One that was claimed before and not delivered has failed by then, whatever its sender
/// says. By the whole key, it reads what it takes and not all that is due.
const CLAIM: &str = "UPDATE stale_drafts_events AS e
     SET deliveries = e.deliveries + 1, due_at = ?2,
       failing_since = iif(e.deliveries > 0, ifnull(e.failing_since, ?1), NULL)
     FROM (SELECT due_at, id FROM stale_drafts_events
       WHERE state = 'due' AND due_at <= ?1 ORDER BY due_at, id LIMIT ?3) AS d
     WHERE e.state = 'due' AND e.due_at = d.due_at AND e.id = d.id
     RETURNING id, destinations, deliveries, due_at AS leased_until, body";

/// By the whole key, and the number of the delivery.
const DELIVERED: &str = "WITH settled AS MATERIALIZED (
       SELECT value ->> 'id' AS id, value ->> 'leased_until' AS leased_until, value ->> 'delivery' AS delivery FROM json_each(?1))
     DELETE FROM stale_drafts_events WHERE (state, due_at, id) IN (
       SELECT e.state, e.due_at, e.id FROM settled AS s CROSS JOIN stale_drafts_events AS e
       ON e.state = 'due' AND e.due_at = s.leased_until AND e.id = s.id WHERE e.deliveries = s.delivery)";

/// Without `MATERIALIZED` SQLite may look through all that is due for each.
const NOT_DELIVERED: &str = "WITH settled AS MATERIALIZED (
       SELECT value ->> 'id' AS id, value ->> 'leased_until' AS leased_until, value ->> 'delivery' AS delivery,
         value ->> 'state' AS state, value ->> 'due_at' AS due_at, value ->> 'destinations' AS destinations,
         value ->> 'deliveries' AS deliveries, value ->> 'error' AS error
       FROM json_each(?1))
     UPDATE stale_drafts_events AS e
     SET state = s.state, due_at = s.due_at, destinations = s.destinations, deliveries = s.deliveries,
       last_error = ifnull(s.error, e.last_error),
       failing_since = iif(s.error IS NULL, e.failing_since, ifnull(e.failing_since, ?2))
     FROM settled AS s
     WHERE e.state = 'due' AND e.due_at = s.leased_until AND e.id = s.id AND e.deliveries = s.delivery";

const EVENTS: &str =
    "SELECT id, state, due_at, destinations, deliveries, created_at, creation_id, last_error FROM stale_drafts_events
     WHERE state = ?1 AND (due_at, id) > (?2, ?3) ORDER BY due_at, id LIMIT ?4";

/// What was made due at this very instant is made so again: where the answer was lost, the second one is the same.
const REPLAY: &str =
    "UPDATE stale_drafts_events SET state = 'due', deliveries = 0, due_at = ?1, failing_since = NULL
     WHERE (state = 'dead' OR (state = 'due' AND due_at = ?1 AND deliveries = 0 AND last_error IS NOT NULL)) AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))
     RETURNING id";

/// Where an event goes: a bit of `stale_drafts_events.destinations` for each that does not have it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The app, by a queue.
    Queue,
    /// The app, by a webhook.
    Webhook,
    /// The workers, by their queue.
    Workers,
    /// People, by an incoming webhook of Slack. Only alerts go there.
    Slack,
    /// People, by a webhook of Discord. Only alerts go there.
    Discord,
}

impl Destination {
    /// All of them.
    pub const ALL: [Destination; 5] = [
        Destination::Queue,
        Destination::Webhook,
        Destination::Workers,
        Destination::Slack,
        Destination::Discord,
    ];
    /// Those that take one message at once, as a request.
    pub const POSTED: [Destination; 3] = [Destination::Webhook, Destination::Slack, Destination::Discord];

    /// Its bit.
    pub const fn bit(self) -> u32 {
        match self {
            Destination::Queue => 1,
            Destination::Webhook => 2,
            Destination::Workers => 4,
            Destination::Slack => 8,
            Destination::Discord => 16,
        }
    }

    /// What operators see of it.
    pub const fn name(self) -> &'static str {
        match self {
            Destination::Queue => "queue",
            Destination::Webhook => "webhook",
            Destination::Workers => "generations",
            Destination::Slack => "slack",
            Destination::Discord => "discord",
        }
    }
}

/// The names of the destinations in `bits`.
pub fn destination_names(bits: u64) -> Vec<&'static str> {
    let all = Destination::ALL.into_iter();
    all.filter(|to| bits & u64::from(to.bit()) != 0).map(Destination::name).collect()
}

/// An event that one sender has claimed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// Its id, the same at every delivery.
    pub id: String,
    /// Where it still has to go: bits of [`Destination`].
    pub destinations: u32,
    /// Which delivery this is, from 1.
    #[serde(rename = "deliveries")]
    pub delivery: u32,
    /// Until when nobody else claims it.
    #[serde(deserialize_with = "instant")]
    pub leased_until: Timestamp,
    /// The JSON that is delivered.
    pub body: String,
}

/// Claims up to `limit` due events until `leased_until`: rows for [`claimed`].
pub fn claim(now: Timestamp, leased_until: Timestamp, limit: u32) -> Statement {
    Statement::new(CLAIM, [now.into(), leased_until.into(), limit.into()])
}

/// The events in the rows of [`claim`].
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn claimed(rows: Vec<Row>) -> Result<Vec<Event>, DatabaseError> {
    typed_rows(rows)
}

/// What became of a claimed event. `left` is where it still has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Every destination has it.
    Delivered,
    /// Some have it, and the same sender goes on with the rest.
    Partly {
        /// See [`Settlement`].
        left: u32,
    },
    /// There was no time for it: it is due at once, and the delivery does not count.
    Unsent {
        /// See [`Settlement`].
        left: u32,
    },
    /// It is tried again.
    Retry {
        /// See [`Settlement`].
        left: u32,
        /// When.
        at: Timestamp,
        /// Why.
        error: String,
    },
    /// It is kept as a dead letter.
    Dead {
        /// See [`Settlement`].
        left: u32,
        /// Why.
        error: String,
    },
}

/// The claim that is settled, and for what was not delivered, how the event goes on.
#[derive(Serialize)]
struct Settled<'a> {
    id: &'a str,
    leased_until: u64,
    delivery: u32,
    state: &'static str,
    due_at: u64,
    destinations: u32,
    deliveries: u32,
    error: Option<&'a str>,
}

impl<'a> Settled<'a> {
    fn new(event: &'a Event, settlement: &'a Settlement, now: Timestamp) -> Self {
        let leased_until = event.leased_until.as_millis();
        let on = Settled {
            id: &event.id,
            leased_until,
            delivery: event.delivery,
            state: "due",
            due_at: leased_until,
            destinations: 0,
            deliveries: event.delivery,
            error: None,
        };
        match settlement {
            Settlement::Delivered => on,
            Settlement::Partly { left } => Settled { destinations: *left, ..on },
            Settlement::Unsent { left } => {
                let deliveries = event.delivery.saturating_sub(1);
                Settled { destinations: *left, due_at: now.as_millis(), deliveries, ..on }
            }
            Settlement::Retry { left, at, error } => {
                Settled { destinations: *left, due_at: at.as_millis(), error: Some(error), ..on }
            }
            Settlement::Dead { left, error } => {
                let due_at = now.as_millis();
                Settled { destinations: *left, due_at, state: "dead", error: Some(error), ..on }
            }
        }
    }
}

/// Settles claims at the instant `now`. What another sender has claimed since is left alone.
pub fn settle(settlements: &[(&Event, Settlement)], now: Timestamp) -> Vec<Statement> {
    let list = |delivered: bool| -> Vec<_> {
        let those = settlements.iter().filter(|(_, what)| (*what == Settlement::Delivered) == delivered);
        those.map(|(event, what)| Settled::new(event, what, now)).collect()
    };
    let (delivered, not_delivered) = (list(true), list(false));
    let mut batch = Vec::new();
    if !delivered.is_empty() {
        batch.push(Statement::new(DELIVERED, [Param::Text(json(&delivered))]));
    }
    if !not_delivered.is_empty() {
        batch.push(Statement::new(NOT_DELIVERED, [Param::Text(json(&not_delivered)), now.into()]));
    }
    batch
}

/// `limit` events in `state` (`due` or `dead`) after the one with this place, the first due first.
pub fn events(state: &str, after: (i64, &str), limit: u32) -> Statement {
    Statement::new(EVENTS, [state.into(), Param::Integer(after.0), after.1.into(), limit.into()])
}

/// Makes dead events due again: those with these ids, or all of them. One row each.
pub fn replay(ids: Option<&[&str]>, now: Timestamp) -> Statement {
    Statement::new(REPLAY, [now.into(), ids.map_or(Param::Null, |ids| Param::Text(json(ids)))])
}
