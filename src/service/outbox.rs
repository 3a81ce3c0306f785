//! Delivers events at least once: to queues, to a webhook and, if they are alerts, to chats.

use std::cell::RefCell;

use futures_util::stream::{self, StreamExt as _};

use crate::rules::Timestamp;
use crate::store::{self, Database, DatabaseError, Destination, Event, Settlement};

/// How long a run by cron may take. With it the next one, a minute later, rarely finds this one at work.
pub const CRON_MS: u64 = 50_000;
/// How long a run beside a request may take: the platform ends it 30 s after the answer.
pub const REQUEST_MS: u64 = 20_000;
/// A send ends within this time: a [`Courier`] sees to it.
pub const TIMEOUT_MS: u64 = 10_000;

/// So many webhooks are sent side by side.
const SIDE_BY_SIDE: usize = 6;
/// A claim holds at most so many events for each that is sent side by side.
const ROUNDS: u64 = 4;
/// A claim's time: for its rounds, and one more for the queues.
const CLAIM_MS: u64 = TIMEOUT_MS.saturating_mul(ROUNDS.saturating_add(1));
/// What a lease has left for settling after the last send has ended.
const SETTLING_MS: u64 = 5_000;
/// The queries of a claim beside those that settle its events one by one: it itself, and what the queues have taken or not.
const QUERIES_OF_A_CLAIM: u64 = 3;
/// The wait after a first failure. It doubles with every further one,
const WAIT_MS: u64 = 30_000;
/// up to this.
const MAX_WAIT_MS: u64 = 3_600_000;
/// A receiver that asks for a longer pause than this gets this one.
const MAX_ASKED_MS: u64 = 86_400_000;
/// What a queue takes at once: bytes a batch, bytes a message. Of each message it counts some 100 bytes of its own. A claim never holds
/// the 100 messages that it takes.
const QUEUE_BATCH_BYTES: usize = 256_000;
const QUEUE_MESSAGE_BYTES: usize = 128_000;
const QUEUE_OVERHEAD_BYTES: usize = 100;
const _: () = assert!(SIDE_BY_SIDE as u64 * ROUNDS <= 100, "a queue takes 100 messages at once");

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The event's id, the same at every delivery.
    pub id: &'a str,
    /// The JSON.
    pub body: &'a str,
    /// Now: a receiver refuses what was signed minutes ago.
    pub sent_at: Timestamp,
}

/// What carries events to their destinations.
pub trait Courier {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// Whether a destination is configured.
    ///
    /// # Errors
    ///
    /// What is missing. An event that only has such destinations left becomes a dead letter with this reason.
    fn configured(&self, to: Destination) -> Result<(), String>;

    /// Sends messages: several to a queue, all of them or none; one to any of [`Destination::POSTED`]. It must end within [`TIMEOUT_MS`].
    ///
    /// # Errors
    ///
    /// Why they were not taken, or why that is not known. They are sent again later.
    fn send(&self, to: Destination, messages: &[Message<'_>]) -> impl Future<Output = Result<(), NotSent>>;
}

/// Why messages were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSent {
    /// In words.
    pub error: String,
    /// For how long the receiver asks to be left alone, in milliseconds.
    pub wait_ms: Option<u64>,
}

impl<E: Into<String>> From<E> for NotSent {
    fn from(error: E) -> Self {
        NotSent { error: error.into(), wait_ms: None }
    }
}

/// For how long, in milliseconds, a receiver asks to be left alone by a number in the header `Retry-After`: seconds, of which Discord
/// also sends parts. `None` if it is no number: it may be a date. <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>.
///
/// ```
/// use stale_drafts::service::outbox::retry_after_ms;
///
/// assert_eq!(retry_after_ms("30"), Some(30_000));
/// assert_eq!(retry_after_ms("0.25"), Some(1_000));
/// assert_eq!(retry_after_ms("99999999999999999999"), None);
/// assert_eq!(retry_after_ms("Tue, 14 Nov 2023 22:13:50 GMT"), None);
/// ```
pub fn retry_after_ms(text: &str) -> Option<u64> {
    let (seconds, part) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(part) {
        return None;
    }
    let begun = u64::from(part.bytes().any(|byte| byte != b'0'));
    Some(seconds.parse::<u64>().ok()?.saturating_add(begun).saturating_mul(1_000))
}

/// Until when each receiver asks to be left alone, as far as a run has learnt.
#[derive(Default)]
struct Asked(RefCell<Vec<(Destination, Timestamp)>>);

impl Asked {
    fn note(&self, to: Destination, until: Timestamp) {
        self.0.borrow_mut().push((to, until));
    }

    fn wait_ms(&self, to: Destination, now: Timestamp) -> Option<u64> {
        let until =
            self.0.borrow().iter().filter(|(other, _)| *other == to).map(|(_, until)| *until).max()?;
        Some(until.millis_since(now)).filter(|wait| *wait > 0)
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Events that every destination has.
    pub delivered: u32,
    /// Events that are tried again later.
    pub failed: u32,
    /// Events that became dead letters.
    pub dead: u32,
    /// Each error with its destination, and how many messages it was of.
    pub errors: Vec<(Destination, String, u32)>,
    /// Whether the run ended with events still due: the next one carries on.
    pub more: bool,
    /// Why it stopped early. What it had claimed is due again when the lease ends.
    pub stopped: Option<DatabaseError>,
}

/// How much a run may do.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// An event that failed so often becomes a dead letter.
    pub max_deliveries: u32,
    /// How long it may take: [`CRON_MS`] or [`REQUEST_MS`].
    pub time_ms: u64,
    /// How many queries the invocation may have made at its end.
    pub max_queries: u64,
}

/// Delivers what is due, until nothing is or a bound is reached.
///
/// No event is in two senders' hands: a claim leases no more than can be sent within it, and nothing is sent after it.
pub async fn deliver(database: &impl Database, courier: &impl Courier, bounds: Bounds) -> Deliveries {
    let Bounds { max_deliveries, time_ms, max_queries } = bounds;
    let end = courier.now().saturating_add(time_ms);
    let mut done = Deliveries::default();
    let asked = Asked::default();
    loop {
        let now = courier.now();
        let time_ms = end.millis_since(now).min(CLAIM_MS);
        let rounds = (time_ms / TIMEOUT_MS).min(ROUNDS);
        let in_time = rounds.saturating_mul(SIDE_BY_SIDE as u64);
        let queries = max_queries.saturating_sub(database.cost().queries);
        let limit = u32::try_from(in_time.min(queries.saturating_sub(QUERIES_OF_A_CLAIM))).unwrap_or(0);
        if limit == 0 {
            done.more = true;
            return done;
        }
        let leased_until = now.saturating_add(time_ms.saturating_add(SETTLING_MS));
        let claim = store::claim(now, leased_until, limit);
        match deliver_claim(database, courier, &asked, max_deliveries, claim, &mut done).await {
            // Less than was asked for: nothing else is due.
            Ok(count) if count < limit => return done,
            Ok(_) => {}
            Err(error) => {
                done.stopped = Some(error);
                return done;
            }
        }
    }
}

async fn deliver_claim(
    database: &impl Database,
    courier: &impl Courier,
    asked: &Asked,
    max_deliveries: u32,
    claim: store::Statement,
    done: &mut Deliveries,
) -> Result<u32, DatabaseError> {
    let rows = database.run(&[claim]).await?.into_iter().next().unwrap_or_default();
    let events = store::claimed(rows)?;
    let mut parcels: Vec<_> = events.iter().map(Parcel::new).collect();
    for parcel in &mut parcels {
        parcel.leave_out_unconfigured(courier);
    }
    for queue in [Destination::Queue, Destination::Workers] {
        send_to_queue(courier, queue, &mut parcels).await;
    }
    let (mixed, mut ended): (Vec<_>, Vec<_>) =
        parcels.into_iter().partition(|parcel| Destination::POSTED.iter().any(|to| parcel.waits_for(*to)));
    // What the queues have taken is noted before a webhook is asked, which may be slow.
    let partly = mixed.iter().filter(|parcel| parcel.left != parcel.event.destinations);
    let partly = partly.map(|parcel| (parcel.event, Settlement::Partly { left: parcel.left })).collect();
    settle(database, courier, max_deliveries, partly, &mut ended, done).await?;
    let mut sent = stream::iter(mixed)
        .map(|parcel| post(courier, asked, parcel))
        .buffer_unordered(SIDE_BY_SIDE)
        // Those that end together are settled together.
        .ready_chunks(SIDE_BY_SIDE);
    while let Some(mut ended) = sent.next().await {
        settle(database, courier, max_deliveries, Vec::new(), &mut ended, done).await?;
    }
    Ok(u32::try_from(events.len()).unwrap_or(u32::MAX))
}

async fn settle<'a>(
    database: &impl Database,
    courier: &impl Courier,
    max_deliveries: u32,
    mut settlements: Vec<(&'a Event, Settlement)>,
    ended: &mut Vec<Parcel<'a>>,
    done: &mut Deliveries,
) -> Result<(), DatabaseError> {
    let now = courier.now();
    for parcel in ended.drain(..) {
        let settlement = parcel.settlement(max_deliveries, now);
        match settlement {
            Settlement::Delivered => done.delivered = done.delivered.saturating_add(1),
            Settlement::Retry { .. } => done.failed = done.failed.saturating_add(1),
            Settlement::Dead { .. } => done.dead = done.dead.saturating_add(1),
            Settlement::Partly { .. } | Settlement::Unsent { .. } => done.more = true,
        }
        for (to, error) in parcel.errors {
            done.note(to, error);
        }
        settlements.push((parcel.event, settlement));
    }
    if settlements.is_empty() {
        return Ok(());
    }
    database.run(&store::settle(&settlements, now)).await.map(drop)
}

impl Deliveries {
    fn note(&mut self, to: Destination, error: String) {
        match self.errors.iter_mut().find(|(other, text, _)| *other == to && *text == error) {
            Some((_, _, count)) => *count = count.saturating_add(1),
            None => self.errors.push((to, error, 1)),
        }
    }
}

/// A claimed event while it is delivered.
struct Parcel<'a> {
    event: &'a Event,
    /// Where it still has to go,
    left: u32,
    /// and of these, where it never will.
    undeliverable: u32,
    errors: Vec<(Destination, String)>,
    /// For how long a receiver asks to be left alone, in milliseconds.
    wait_ms: u64,
}

impl<'a> Parcel<'a> {
    fn new(event: &'a Event) -> Self {
        Parcel { event, left: event.destinations, undeliverable: 0, errors: Vec::new(), wait_ms: 0 }
    }

    fn waits_for(&self, to: Destination) -> bool {
        self.left & !self.undeliverable & to.bit() != 0
    }

    fn leave_out_unconfigured(&mut self, courier: &impl Courier) {
        for to in Destination::ALL {
            if self.waits_for(to)
                && let Err(error) = courier.configured(to)
            {
                self.mark_undeliverable(to, error);
            }
        }
    }

    fn mark_undeliverable(&mut self, to: Destination, error: String) {
        self.undeliverable |= to.bit();
        self.errors.push((to, error));
    }

    fn note(&mut self, to: Destination, sent: Result<(), NotSent>) {
        match sent {
            Ok(()) => self.left &= !to.bit(),
            Err(NotSent { error, wait_ms }) => {
                self.errors.push((to, error));
                self.wait_ms = self.wait_ms.max(wait_ms.unwrap_or(0).min(MAX_ASKED_MS));
            }
        }
    }

    /// Whether a send that begins now ends within the lease.
    fn has_time(&self, now: Timestamp) -> bool {
        now.saturating_add(TIMEOUT_MS.saturating_add(SETTLING_MS)) <= self.event.leased_until
    }

    fn message(&self, sent_at: Timestamp) -> Message<'_> {
        Message { id: &self.event.id, body: &self.event.body, sent_at }
    }

    fn settlement(&self, max_deliveries: u32, now: Timestamp) -> Settlement {
        let left = self.left;
        let error = self.errors.last().map(|(to, error)| format!("{}: {error}", to.name()));
        match error {
            _ if left == 0 => Settlement::Delivered,
            Some(error) if left == self.undeliverable || self.event.delivery >= max_deliveries => {
                Settlement::Dead { left, error }
            }
            Some(error) => {
                let doublings = self.event.delivery.saturating_sub(1).min(20);
                let wait = WAIT_MS.saturating_mul(1 << doublings).min(MAX_WAIT_MS).max(self.wait_ms);
                Settlement::Retry { left, at: now.saturating_add(wait), error }
            }
            None => Settlement::Unsent { left },
        }
    }
}

async fn post<'a>(courier: &impl Courier, asked: &Asked, mut parcel: Parcel<'a>) -> Parcel<'a> {
    for to in Destination::POSTED {
        let now = courier.now();
        if !parcel.waits_for(to) || !parcel.has_time(now) {
            continue;
        }
        if let Some(wait_ms) = asked.wait_ms(to, now) {
            let error = String::from("it has just asked to be left alone for a while");
            parcel.note(to, Err(NotSent { error, wait_ms: Some(wait_ms) }));
            continue;
        }
        let sent = courier.send(to, &[parcel.message(now)]).await;
        if let Err(NotSent { wait_ms: Some(wait_ms), .. }) = sent {
            asked.note(to, courier.now().saturating_add(wait_ms));
        }
        parcel.note(to, sent);
    }
    parcel
}

async fn send_to_queue(courier: &impl Courier, queue: Destination, parcels: &mut [Parcel<'_>]) {
    for batch in batches(queue, parcels) {
        let now = courier.now();
        let those = || batch.iter().filter_map(|at| parcels.get(*at));
        if !those().all(|parcel| parcel.has_time(now)) {
            return;
        }
        let messages: Vec<_> = those().map(|parcel| parcel.message(now)).collect();
        let sent = courier.send(queue, &messages).await;
        for at in batch {
            if let Some(parcel) = parcels.get_mut(at) {
                parcel.note(queue, sent.clone());
            }
        }
    }
}

/// The places of the parcels for a queue, in batches that it takes. One that no queue takes is undeliverable.
fn batches(queue: Destination, parcels: &mut [Parcel<'_>]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0_usize;
    for (at, parcel) in parcels.iter_mut().enumerate().filter(|(_, parcel)| parcel.waits_for(queue)) {
        let size = parcel.event.body.len().saturating_add(QUEUE_OVERHEAD_BYTES);
        if size > QUEUE_MESSAGE_BYTES {
            parcel.mark_undeliverable(
                queue,
                format!("it has {size} bytes, and a queue takes {QUEUE_MESSAGE_BYTES}"),
            );
            continue;
        }
        bytes = bytes.saturating_add(size);
        match batches.last_mut() {
            Some(batch) if bytes <= QUEUE_BATCH_BYTES => batch.push(at),
            _ => {
                batches.push(vec![at]);
                bytes = size;
            }
        }
    }
    batches
}
