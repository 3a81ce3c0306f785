//! The outbox: its statements, and its service with a courier in virtual time that is slow, dies and lies.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use serde_json::{Value, json};
use stale_drafts::rules::Timestamp;
use stale_drafts::service::outbox::{
    Bounds, CRON_MS, Courier, Deliveries, Message, NotSent, REQUEST_MS, TIMEOUT_MS, deliver,
};
use stale_drafts::store::{
    self, Cost, Database, DatabaseError, Destination, Event, Row, Settlement, Statement,
};

use crate::sqlite::Sqlite;
use crate::{MINUTE, NOW, add, at, database};

const MAX_DELIVERIES: u32 = 12;
const SECOND: u64 = 1_000;

/// Virtual time: it advances to the next instant that somebody sleeps until.
#[derive(Default)]
struct Clock {
    now: Cell<u64>,
    sleepers: RefCell<Vec<(u64, Waker)>>,
}

impl Clock {
    async fn sleep(&self, millis: u64) {
        let until = self.now.get() + millis;
        poll_fn(|context: &mut Context<'_>| {
            if self.now.get() >= until {
                return Poll::Ready(());
            }
            self.sleepers.borrow_mut().push((until, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// What the receiver does.
#[derive(Clone, Copy, PartialEq)]
enum Receiver {
    Takes,
    Refuses,
    /// It takes the message, and says that it has not.
    Lies,
}

/// A message that was sent.
#[derive(Clone, Debug)]
struct Sent {
    to: Destination,
    id: String,
    /// When the send began, and the time that it was stamped with.
    began: u64,
    stamped: u64,
}

struct Fake {
    clock: Rc<Clock>,
    configured: Cell<u32>,
    takes_ms: Cell<u64>,
    receiver: Cell<Receiver>,
    sent: RefCell<Vec<Sent>>,
    /// The ids of all messages that a receiver has and has said so.
    acknowledged: RefCell<Vec<String>>,
    /// The bytes of each queue's batch.
    batches: RefCell<Vec<usize>>,
    /// Who is being sent right now, and the most of them.
    in_hand: RefCell<Vec<(Destination, String)>>,
    most: Cell<usize>,
}

/// A sender's messages while they are on their way. One that dies lets them go.
struct InHand<'a>(&'a Fake, Vec<(Destination, String)>);

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.in_hand.borrow_mut().retain(|held| !self.1.contains(held));
    }
}

impl Courier for Fake {
    fn now(&self) -> Timestamp {
        at(self.clock.now.get())
    }

    fn configured(&self, to: Destination) -> Result<(), String> {
        if self.configured.get() & to.bit() != 0 { Ok(()) } else { Err(String::from("it is not configured")) }
    }

    async fn send(&self, to: Destination, messages: &[Message<'_>]) -> Result<(), NotSent> {
        let began = self.clock.now.get();
        let held: Vec<_> = messages.iter().map(|message| (to, message.id.to_owned())).collect();
        for (to, id) in &held {
            assert!(!self.in_hand.borrow().contains(&(*to, id.clone())), "two senders hold {id}");
        }
        self.in_hand.borrow_mut().extend(held.iter().cloned());
        self.most.set(self.most.get().max(self.in_hand.borrow().len()));
        let _in_hand = InHand(self, held);
        if to != Destination::Webhook {
            self.batches.borrow_mut().push(messages.iter().map(|message| message.body.len() + 100).sum());
        }
        self.sent.borrow_mut().extend(messages.iter().map(|message| Sent {
            to,
            id: message.id.to_owned(),
            began,
            stamped: message.sent_at.as_millis(),
        }));
        self.clock.sleep(self.takes_ms.get().min(TIMEOUT_MS)).await;
        if self.takes_ms.get() > TIMEOUT_MS {
            return Err(NotSent::from("it took too long"));
        }
        match self.receiver.get() {
            Receiver::Takes => {
                let ids = messages.iter().map(|message| message.id.to_owned());
                self.acknowledged.borrow_mut().extend(ids);
                Ok(())
            }
            Receiver::Refuses | Receiver::Lies => Err(NotSent::from("it answered 503")),
        }
    }
}

/// The queries that an idle sweep and the monitor have made before.
const USED: u64 = 12;

/// One invocation's way to the database, which counts its queries.
struct Invocation<'a> {
    database: &'a Sqlite,
    queries: Cell<u64>,
}

impl Database for Invocation<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.queries.set(self.queries.get() + batch.len() as u64);
        self.database.transaction(batch)
    }

    fn cost(&self) -> Cost {
        Cost { queries: self.queries.get(), ..Cost::default() }
    }
}

/// A database, a courier, and the runs that are under way.
struct World {
    database: Rc<Sqlite>,
    courier: Rc<Fake>,
    max_queries: u64,
    runs: Vec<Pin<Box<dyn Future<Output = Deliveries>>>>,
    ended: Vec<(u64, Deliveries)>,
}

impl World {
    /// A webhook that answers within `takes_ms`, and `events` for it.
    fn new(takes_ms: u64, events: u32) -> Self {
        let clock = Rc::new(Clock::default());
        clock.now.set(NOW);
        let courier = Rc::new(Fake {
            clock,
            configured: Cell::new(7),
            takes_ms: Cell::new(takes_ms),
            receiver: Cell::new(Receiver::Takes),
            sent: RefCell::default(),
            acknowledged: RefCell::default(),
            batches: RefCell::default(),
            in_hand: RefCell::default(),
            most: Cell::new(0),
        });
        let world = World {
            database: Rc::new(database()),
            courier,
            max_queries: 1_000,
            runs: Vec::new(),
            ended: Vec::new(),
        };
        world.emit(events, Destination::Webhook.bit(), 10);
        world
    }

    fn emit(&self, events: u32, destinations: u32, bytes: u32) {
        self.database.write(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 WHERE {events} > 0 UNION ALL SELECT n + 1 FROM n WHERE n < {events})
             INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, body)
             SELECT printf('e%04d', n), {NOW}, {destinations}, {NOW}, printf('%.*c', {bytes}, 'x') FROM n"
        ));
    }

    fn start(&mut self, time_ms: u64) {
        let (database, courier) = (Rc::clone(&self.database), Rc::clone(&self.courier));
        let bounds = Bounds { max_deliveries: MAX_DELIVERIES, time_ms, max_queries: self.max_queries };
        self.runs.push(Box::pin(async move {
            let invocation = Invocation { database: &database, queries: Cell::new(USED) };
            let deliveries = deliver(&invocation, &*courier, bounds).await;
            assert!(invocation.queries.get() <= bounds.max_queries, "{} queries", invocation.queries.get());
            deliveries
        }));
        self.poll();
    }

    fn poll(&mut self) {
        let now = self.courier.clock.now.get();
        let ended = &mut self.ended;
        self.runs.retain_mut(|run| match run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(deliveries) => {
                ended.push((now, deliveries));
                false
            }
            Poll::Pending => true,
        });
    }

    /// Lets everybody act until an instant after [`NOW`].
    fn pass_until(&mut self, after: u64) {
        let until = NOW + after;
        loop {
            let next = self.courier.clock.sleepers.borrow().iter().map(|(at, _)| *at).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.courier.clock.now.set(next.max(self.courier.clock.now.get()));
            let mut sleepers = self.courier.clock.sleepers.borrow_mut();
            let (awake, asleep): (Vec<_>, Vec<_>) = sleepers.drain(..).partition(|(at, _)| *at <= next);
            *sleepers = asleep;
            drop(sleepers);
            awake.into_iter().for_each(|(_, waker)| waker.wake());
            self.poll();
        }
        self.courier.clock.now.set(until);
    }

    /// A cron trigger at each of the minutes, and a minute more.
    fn crons(&mut self, minutes: std::ops::Range<u64>) {
        for minute in minutes {
            self.pass_until(minute * MINUTE);
            self.start(CRON_MS);
            self.pass_until((minute + 1) * MINUTE - 1);
        }
    }

    /// One run without a bound, as far as it comes by itself.
    fn run(&mut self) -> Deliveries {
        self.start(CRON_MS);
        self.pass_until(self.courier.clock.now.get() - NOW + CRON_MS);
        self.ended.pop().unwrap().1
    }

    /// All senders die.
    fn die(&mut self) {
        self.runs.clear();
        self.courier.clock.sleepers.borrow_mut().clear();
    }

    /// How often each event was sent.
    fn times(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for sent in self.courier.sent.borrow().iter() {
            *times.entry(sent.id.clone()).or_default() += 1;
        }
        times
    }

    /// What is still in the outbox: id, state, where it has to go, and the error.
    fn left(&self) -> Vec<Value> {
        self.database.read("SELECT id, state, destinations, last_error FROM stale_drafts_events ORDER BY id")
    }

    /// What was acknowledged is not in the outbox.
    fn acknowledged_is_gone(&self) {
        let acknowledged = self.courier.acknowledged.borrow();
        let left = self.database.read("SELECT id FROM stale_drafts_events");
        assert!(left.iter().all(|row| !acknowledged.contains(&row[0].as_str().unwrap().to_owned())));
    }
}

#[test]
fn each_of_50_events_is_sent_once_however_slow_the_receiver_is() {
    for takes in [0, 200, 1_300, 1_500, 3_000, 5_000, 7_000, 9_999, 10_000] {
        let mut world = World::new(takes, 50);
        world.crons(0..6);
        assert_eq!((world.left(), world.runs.len()), (vec![], 0), "{takes} ms");
        assert_eq!(world.courier.sent.borrow().len(), 50, "{takes} ms");
        assert_eq!(world.times().len(), 50);
        println!(
            "50 events, a receiver of {takes} ms, a cron a minute: {} requests",
            world.courier.sent.borrow().len()
        );
        assert!(world.courier.most.get() <= 6);
        // A receiver's library refuses what was signed minutes ago.
        assert!(world.courier.sent.borrow().iter().all(|sent| sent.began == sent.stamped));
    }
}

#[test]
fn a_backlog_of_1000_is_delivered_within_two_crons() {
    let mut world = World::new(50, 1_000);
    world.crons(0..2);
    assert_eq!(world.left(), [] as [Value; 0]);
    assert_eq!(world.courier.sent.borrow().len(), 1_000);
    let delivered: Vec<_> = world.ended.iter().map(|(_, run)| run.delivered).collect();
    println!("1,000 events, a receiver of 50 ms: delivered by crons a minute apart: {delivered:?}");
    assert_eq!(world.run(), Deliveries::default());
}

#[test]
fn the_free_plans_queries_are_kept_and_a_backlog_goes_all_the_same() {
    for takes in [0, 50, 1_300] {
        let mut world = World::new(takes, 100);
        world.max_queries = 50;
        world.crons(0..5);
        assert_eq!((world.left(), world.courier.sent.borrow().len()), (vec![], 100), "{takes} ms");
    }
    // What is refused is settled one by one.
    let mut world = World::new(50, 100);
    world.max_queries = 50;
    world.courier.receiver.set(Receiver::Refuses);
    world.crons(0..5);
    assert_eq!(world.times().len(), 100);
}

#[test]
fn runs_at_the_same_time_share_what_is_due() {
    let mut world = World::new(700, 200);
    for _ in 0..4 {
        world.start(CRON_MS);
    }
    world.pass_until(MINUTE);
    assert_eq!((world.left(), world.courier.sent.borrow().len()), (vec![], 200));
    // Each has six on their way.
    assert_eq!(world.courier.most.get(), 24);
}

#[test]
fn a_run_beside_a_request_ends_in_time_and_leaves_the_rest() {
    for takes in [50, 700, 5_000, 10_000, 60_000] {
        let mut world = World::new(takes, 100);
        world.start(REQUEST_MS);
        world.pass_until(MINUTE);
        let (ended, run) = world.ended.remove(0);
        assert!(ended <= NOW + REQUEST_MS, "{takes} ms: it ended after {}", ended - NOW);
        assert_eq!(run.more, takes > 50, "{takes} ms");
        world.acknowledged_is_gone();
        // What it did not come to is due at once, and has lost no try.
        let untried = world.database.read("SELECT count(*) FROM stale_drafts_events WHERE deliveries = 0");
        assert_eq!(untried, [json!([100 - world.courier.sent.borrow().len()])]);
    }
}

#[test]
fn each_destinations_error_is_counted_by_itself() {
    let mut world = World::new(0, 0);
    world.emit(2, 7, 10);
    world.courier.configured.set(0);
    let errors = world.run().errors.into_iter().map(|(to, _, count)| (to, count));
    let expected = [Destination::Queue, Destination::Webhook, Destination::Workers].map(|to| (to, 2));
    assert_eq!(errors.collect::<Vec<_>>(), expected);
}

#[test]
fn a_queue_that_takes_all_the_time_leaves_the_webhook_for_the_next_run() {
    let mut world = World::new(10_000, 0);
    world.emit(12, 7, 10);
    world.start(REQUEST_MS);
    world.pass_until(MINUTE);
    let (ended, run) = world.ended.remove(0);
    assert_eq!((ended, run.delivered), (NOW + REQUEST_MS, 0));
    let webhooks = world.database.read("SELECT count(*) FROM stale_drafts_events WHERE destinations = 2");
    assert_eq!(webhooks, [json!([12])]);
}

#[test]
fn a_sender_claims_no_more_than_it_can_send_in_its_time() {
    for (time_ms, claimed) in [(REQUEST_MS, 12), (CRON_MS, 24)] {
        let mut world = World::new(10_000, 100);
        world.start(time_ms);
        let rows = world.database.read("SELECT count(*) FROM stale_drafts_events WHERE deliveries > 0");
        assert_eq!(rows, [json!([claimed])], "{time_ms} ms");
    }
}

#[test]
fn what_a_dead_sender_had_in_hand_is_sent_again_and_nothing_else() {
    let mut world = World::new(5_000, 20);
    world.start(CRON_MS);
    world.pass_until(7 * SECOND);
    world.die();
    assert_eq!(world.courier.acknowledged.borrow().len(), 6);
    world.acknowledged_is_gone();
    world.courier.takes_ms.set(100);
    // Not before its lease is over.
    world.pass_until(30 * SECOND);
    assert_eq!(world.run().delivered, 0);
    world.crons(2..4);
    assert_eq!(world.left(), [] as [Value; 0]);
    let mut times: Vec<_> = world.times().into_values().collect();
    times.sort_unstable();
    assert_eq!(times, [vec![1; 14], vec![2; 6]].concat());
}

#[test]
fn a_sender_that_dies_each_time_is_seen_by_the_monitor() {
    let mut world = World::new(5_000, 1);
    for minute in 0..3 {
        world.pass_until(minute * MINUTE);
        world.start(CRON_MS);
        world.die();
    }
    let failing = world.database.read("SELECT failing_since, deliveries FROM stale_drafts_events");
    assert_eq!(failing, [json!([NOW + MINUTE, 3])]);
}

#[test]
fn what_is_refused_is_tried_again_ever_later_and_becomes_a_dead_letter() {
    let mut world = World::new(0, 1);
    world.courier.receiver.set(Receiver::Refuses);
    let mut waits = Vec::new();
    for delivery in 1..=MAX_DELIVERIES {
        let run = world.run();
        let error = vec![(Destination::Webhook, String::from("it answered 503"), 1)];
        assert_eq!(run.errors, error);
        assert_eq!((run.failed, run.dead), if delivery < MAX_DELIVERIES { (1, 0) } else { (0, 1) });
        let due_at = world.database.read("SELECT due_at FROM stale_drafts_events")[0][0].as_u64().unwrap();
        let began = world.courier.sent.borrow().last().unwrap().began;
        waits.push((due_at - began) / SECOND);
        world.pass_until(due_at.max(world.courier.clock.now.get()) - NOW);
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600, 3_600, 0]);
    assert_eq!(world.left(), [json!(["e0001", "dead", 2, "webhook: it answered 503"])]);
    assert_eq!(world.times().values().copied().collect::<Vec<_>>(), [MAX_DELIVERIES as usize]);
}

#[test]
fn a_receiver_that_lies_gets_the_same_id_again() {
    let mut world = World::new(100, 3);
    world.courier.receiver.set(Receiver::Lies);
    world.crons(0..1);
    world.courier.receiver.set(Receiver::Takes);
    world.crons(1..2);
    assert_eq!(world.left(), [] as [Value; 0]);
    assert_eq!(world.times().into_values().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn a_queue_gets_no_more_bytes_than_it_takes() {
    let mut world = World::new(0, 0);
    let queue = Destination::Queue.bit();
    // Of two messages of 127,900 bytes, a batch is full: the queue counts 100 bytes of its own for each.
    world.emit(5, queue, 127_900);
    world.run();
    assert_eq!(*world.courier.batches.borrow(), [256_000, 256_000, 128_000]);
    assert_eq!(world.left(), [] as [Value; 0]);

    world.emit(3, queue, 127_901);
    let run = world.run();
    assert_eq!((run.dead, world.courier.batches.borrow().len()), (3, 3));
    let error = "queue: it has 128001 bytes, and a queue takes 128000";
    assert_eq!(world.left()[0], json!(["e0001", "dead", 1, error]));
}

#[test]
fn a_failure_with_a_long_error_emits_the_beginning_of_it() {
    let mut world = World::new(0, 0);
    for at in 0..33 {
        add(&world.database, &format!("c{at}"), json!({ "status": "processing" }));
    }
    world.database.write(&format!(
        "UPDATE stale_drafts_creations SET status = 'failed', error_code = 'provider_error', finished_at = {NOW},
           error = printf('%.*c', 8000, 'x') || 'é', event = 'failed', event_destinations = 1"
    ));
    let errors = world.database.read(
        "SELECT DISTINCT length(body ->> '$.data.error'), substr(body ->> '$.data.error', -2) FROM stale_drafts_events",
    );
    assert_eq!(errors, [json!([1_000, "x…"])]);
    world.run();
    assert_eq!((world.left(), world.courier.sent.borrow().len()), (vec![], 33));
    assert!(world.courier.batches.borrow().iter().all(|bytes| *bytes <= 64_000));
}

#[test]
fn each_destination_has_its_own_fate() {
    let mut world = World::new(0, 0);
    world.emit(1, 7, 10);
    // The queues take it, and it is noted before the webhook has answered.
    world.courier.takes_ms.set(0);
    world.courier.receiver.set(Receiver::Takes);
    world.courier.configured.set(5);
    assert_eq!(world.run().dead, 1);
    let to: Vec<_> = world.courier.sent.borrow().iter().map(|sent| sent.to).collect();
    assert_eq!(to, [Destination::Queue, Destination::Workers]);
    assert_eq!(world.left(), [json!(["e0001", "dead", 2, "webhook: it is not configured"])]);
    // With the webhook back, it is replayed, to the webhook alone.
    world.courier.configured.set(7);
    world.database.one(store::replay(None, at(world.courier.clock.now.get())));
    assert_eq!(world.run().delivered, 1);
    assert_eq!(world.courier.sent.borrow().last().unwrap().to, Destination::Webhook);
    assert_eq!(world.left(), [] as [Value; 0]);
}

#[test]
fn what_a_queue_has_taken_is_not_sent_to_it_again_when_the_sender_dies() {
    let mut world = World::new(1_000, 0);
    world.emit(1, 3, 10);
    world.start(CRON_MS);
    world.pass_until(1_500);
    world.die();
    assert_eq!(world.left(), [json!(["e0001", "due", 2, null])]);
    world.crons(1..2);
    let to: Vec<_> = world.courier.sent.borrow().iter().map(|sent| sent.to).collect();
    assert_eq!(to, [Destination::Queue, Destination::Webhook, Destination::Webhook]);
    assert_eq!(world.left(), [] as [Value; 0]);
}

#[test]
fn events_without_any_destination_become_dead_letters_with_the_reason() {
    let mut world = World::new(0, 3);
    world.courier.configured.set(0);
    let run = world.run();
    assert_eq!((run.dead, run.errors.len(), run.errors[0].2), (3, 1, 3));
    assert_eq!(world.left()[2], json!(["e0003", "dead", 2, "webhook: it is not configured"]));
    assert_eq!(world.courier.sent.borrow().len(), 0);
}

#[test]
fn a_database_that_fails_ends_the_run_and_the_lease_does_the_rest() {
    let mut world = World::new(0, 2);
    world.database.write(
        "CREATE TRIGGER broken BEFORE DELETE ON stale_drafts_events BEGIN SELECT RAISE(ABORT, 'broken'); END",
    );
    assert!(world.run().stopped.unwrap().to_string().contains("broken"));
    world.database.write("DROP TRIGGER broken");
    world.pass_until(MINUTE);
    assert_eq!(world.run().delivered, 2);
}

/// Events that are due at 1, 2 and 3.
fn outbox() -> Sqlite {
    let database = database();
    database.write(
        "INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, creation_id, body)
         VALUES ('a', 1, 3, 1, 'c', '{\"n\":1}'), ('b', 2, 1, 1, NULL, '{\"n\":2}'), ('c', 3, 7, 1, NULL, '{\"n\":3}')",
    );
    database
}

fn claim(database: &Sqlite, now: u64, until: u64, limit: u32) -> Vec<Event> {
    let mut claimed = store::claimed(database.one(store::claim(at(now), at(until), limit))).unwrap();
    claimed.sort_by(|a, b| a.id.cmp(&b.id));
    claimed
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

#[test]
fn what_is_due_is_leased_to_one_sender_the_first_due_first() {
    let database = outbox();
    assert_eq!(ids(&claim(&database, 2, 9, 9)), ["a", "b"]);
    let claimed = claim(&database, 3, 10, 9);
    let c = Event {
        id: String::from("c"),
        destinations: 7,
        delivery: 1,
        leased_until: at(10),
        body: String::from("{\"n\":3}"),
    };
    assert_eq!(claimed, [c]);
    assert_eq!(ids(&claim(&database, 8, 20, 9)), [""; 0]);
    assert_eq!(ids(&claim(&database, 9, 20, 1)), ["a"]);
    let stands =
        database.read("SELECT id, due_at, deliveries, failing_since FROM stale_drafts_events ORDER BY id");
    // That `a` is claimed again says that its first sender has failed.
    assert_eq!(stands, [json!(["a", 20, 2, 9]), json!(["b", 9, 1, null]), json!(["c", 10, 1, null])]);
}

#[test]
fn a_claim_that_is_not_what_was_asked_for_is_an_error() {
    let rows = vec![crate::row(json!({ "id": "a", "destinations": 1 }))];
    let error = store::claimed(rows).unwrap_err().to_string();
    assert_eq!(error, "a result of the database: `deliveries` is missing: expected u32");
}

#[test]
fn a_late_settlement_of_an_older_claim_changes_nothing() {
    let database = outbox();
    let old = claim(&database, 3, 9, 9);
    let new = claim(&database, 9, 20, 9);
    let stands = || database.read("SELECT * FROM stale_drafts_events");
    let before = stands();
    for settlement in [
        Settlement::Delivered,
        Settlement::Partly { left: 1 },
        Settlement::Unsent { left: 1 },
        Settlement::Retry { left: 1, at: at(99), error: String::from("late") },
        Settlement::Dead { left: 1, error: String::from("late") },
    ] {
        let late: Vec<_> = old.iter().map(|event| (event, settlement.clone())).collect();
        database.all(&store::settle(&late, at(12)));
        // Neither by the number of the delivery alone, with the newer claim's lease.
        let mixed: Vec<_> = new.iter().map(|event| Event { delivery: 1, ..event.clone() }).collect();
        let mixed: Vec<_> = mixed.iter().map(|event| (event, settlement.clone())).collect();
        database.all(&store::settle(&mixed, at(12)));
        assert_eq!(stands(), before, "{settlement:?}");
    }
}

#[test]
fn each_settlement_is_written_as_it_is_said() {
    let database = outbox();
    let events = claim(&database, 3, 50, 9);
    let error = || String::from("no answer");
    let settled = [
        (&events[0], Settlement::Delivered),
        (&events[1], Settlement::Retry { left: 1, at: at(99), error: error() }),
        (&events[2], Settlement::Partly { left: 4 }),
    ];
    database.all(&store::settle(&settled, at(12)));
    let stands = || {
        database.read("SELECT id, state, due_at, destinations, deliveries, last_error, failing_since FROM stale_drafts_events ORDER BY id")
    };
    let b = json!(["b", "due", 99, 1, 1, "no answer", 12]);
    assert_eq!(stands(), [b.clone(), json!(["c", "due", 50, 4, 1, null, null])]);
    database.all(&store::settle(&[(&events[2], Settlement::Unsent { left: 4 })], at(13)));
    assert_eq!(stands()[1], json!(["c", "due", 13, 4, 0, null, null]));
    let again = claim(&database, 13, 60, 9);
    database.all(&store::settle(&[(&again[0], Settlement::Dead { left: 4, error: error() })], at(14)));
    assert_eq!(
        stands(),
        [json!(["c", "dead", 14, 4, 1, "no answer", 14]), b].into_iter().rev().collect::<Vec<_>>()
    );
    assert_eq!(store::settle(&[], at(1)), []);
}

#[test]
fn dead_events_are_replayed_as_new_ones() {
    let database = outbox();
    database.write(
        "UPDATE stale_drafts_events SET state = 'dead', deliveries = 12, failing_since = 1 WHERE id < 'c'",
    );
    let replay = |ids: Option<&[&str]>| database.one(store::replay(ids, at(9))).len();
    assert_eq!([replay(Some(&["c", "other"])), replay(Some(&["b"])), replay(Some(&["b"]))], [0, 1, 0]);
    let b = database
        .read("SELECT state, due_at, deliveries, failing_since FROM stale_drafts_events WHERE id = 'b'");
    assert_eq!(b, [json!(["due", 9, 0, null])]);
    assert_eq!(replay(None), 1);
}

#[test]
fn events_are_listed_by_state_and_place() {
    let database = outbox();
    database.write("UPDATE stale_drafts_events SET state = 'dead', last_error = 'no answer' WHERE id = 'c'");
    let list = |state, after, limit| database.one(store::events(state, after, limit));
    let ids = |rows: &[Row]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&list("due", (0, ""), 9)), ["a", "b"]);
    assert_eq!(ids(&list("due", (0, ""), 1)), ["a"]);
    assert_eq!(ids(&list("due", (1, "a"), 9)), ["b"]);
    let expected = crate::row(json!({
        "id": "c", "state": "dead", "due_at": 3, "destinations": 7, "deliveries": 0, "created_at": 1, "creation_id": null,
        "last_error": "no answer",
    }));
    assert_eq!(list("dead", (0, ""), 9), [expected]);
}

#[test]
fn destinations_have_names() {
    let of = |destinations| store::destination_names(destinations).join(" ");
    let expected = [
        "",
        "queue",
        "webhook",
        "queue webhook",
        "generations",
        "queue generations",
        "webhook generations",
        "queue webhook generations",
    ];
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(of), expected);
}
