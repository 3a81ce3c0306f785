//! What the actors share: the database, the clock, the policy, and who is watched.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use stale_drafts::config::Shards;
use stale_drafts::rules::{CircuitBreaker, Policy, Timestamp};
use stale_drafts::service::moves::GRACE_MS;
use stale_drafts::service::sweep::Notify;
use stale_drafts::store::{self, Cost, Database, DatabaseError, Retry, Row, Statement};

use crate::attached::THEIRS;
use crate::call::Call;
use crate::database::Sqlite;
use crate::image::Image;
use crate::invariants::{self, History, Run};
use crate::plant::Plant;
use crate::script::{Fault, Write};
use crate::sharded::{self, Known, Places};
use crate::sql;
use crate::trace;

/// The true time when a run begins, in epoch milliseconds.
pub const BEGINNING: i64 = 1_700_000_000_000;

/// The number of a call that is none of what its invocation does, and only looks.
pub const BESIDE: u32 = u32::MAX;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// What was found, in one sentence.
    pub found: String,
}

impl Violation {
    /// A new one.
    pub fn new(invariant: &'static str, found: impl Into<String>) -> Self {
        Violation { invariant, found: found.into() }
    }
}

/// One run of a schedule.
pub struct World {
    databases: Vec<Rc<Sqlite>>,
    /// Where everything is, where there are several databases.
    places: Option<Places>,
    plant: Option<Plant>,
    /// The true time.
    time: Cell<i64>,
    skews: RefCell<BTreeMap<usize, i64>>,
    skewed: Cell<bool>,
    policy: RefCell<Policy>,
    notify: Cell<Notify>,
    breaker: Cell<Option<CircuitBreaker>>,
    faults: RefCell<BTreeMap<usize, Fault>>,
    dead: RefCell<BTreeSet<usize>>,
    numbers: Cell<u64>,
    turns: Cell<u64>,
    /// The last turn in which a call of several databases was let through.
    taken: Cell<u64>,
    /// How many transactions have changed something.
    writes: Cell<u64>,
    /// What counts of each database: what of it is not on the way, or gone.
    images: RefCell<Vec<Rc<Image>>>,
    history: RefCell<History>,
    violation: RefCell<Option<Violation>>,
    trace: Option<RefCell<Vec<String>>>,
    reached: RefCell<BTreeMap<&'static str, u64>>,
}

impl World {
    /// The world at its beginning, over empty databases.
    ///
    /// # Errors
    ///
    /// Those of [`Places::new`].
    pub fn new(databases: &[Rc<Sqlite>], plant: Option<Plant>, traced: bool) -> Result<Self, String> {
        for database in databases {
            database.set_clock(BEGINNING);
        }
        let several = databases.len() > 1;
        let places = several.then(|| Places::new(databases.len())).transpose()?;
        for (database, buckets) in databases.iter().zip(places.iter().flat_map(Places::given)) {
            database.transaction(&[store::record(&buckets)]).map_err(|error| error.to_string())?;
        }
        let mut images = Vec::new();
        for (shard, database) in databases.iter().enumerate() {
            images.push(Rc::new(if several { database.image(Some(shard))? } else { Image::default() }));
        }
        if let Some(places) = &places {
            places.begin(&images);
        }
        Ok(World {
            databases: databases.to_vec(),
            places,
            plant,
            time: Cell::new(BEGINNING),
            skews: RefCell::default(),
            skewed: Cell::new(false),
            policy: RefCell::default(),
            notify: Cell::default(),
            breaker: Cell::new(Some(CircuitBreaker::default())),
            faults: RefCell::default(),
            dead: RefCell::default(),
            numbers: Cell::new(0),
            turns: Cell::new(0),
            taken: Cell::new(0),
            writes: Cell::new(0),
            images: RefCell::new(images),
            history: RefCell::default(),
            violation: RefCell::default(),
            trace: traced.then(RefCell::default),
            reached: RefCell::default(),
        })
    }

    /// Where everything is, where there are several databases.
    pub fn places(&self) -> Option<&Places> {
        self.places.as_ref()
    }

    /// How many databases there are.
    pub fn databases(&self) -> usize {
        self.databases.len()
    }

    /// Whether buckets of which this user is one are on the way.
    pub fn is_moving(&self, user_id: &str) -> bool {
        self.places.as_ref().is_some_and(|places| places.is_moving(user_id))
    }

    /// Time passes.
    pub fn advance(&self, millis: u64) {
        let time = self.time.get().saturating_add_unsigned(millis);
        self.time.set(time);
        for database in &self.databases {
            database.set_clock(time);
        }
    }

    /// Sets how far a host's clock is ahead.
    pub fn skew(&self, host: usize, millis: i64) {
        self.skewed.set(self.skewed.get() || millis != 0);
        self.skews.borrow_mut().insert(host, millis);
    }

    /// What a host's clock shows.
    pub fn now(&self, host: usize) -> Timestamp {
        let skew = self.skews.borrow().get(&host).copied().unwrap_or(0);
        Timestamp::from_millis(self.time.get().saturating_add(skew)).unwrap_or(Timestamp::MAX)
    }

    /// The true time.
    pub fn true_time(&self) -> Timestamp {
        Timestamp::from_millis(self.time.get()).unwrap_or(Timestamp::MAX)
    }

    /// Whether any clock is or was off.
    pub fn is_skewed(&self) -> bool {
        self.skewed.get()
    }

    /// What a sweep with the planted bug judges by.
    pub fn judged_by(&self, now: Timestamp) -> Timestamp {
        match self.plant {
            Some(plant) if plant.reads_another_clock() => {
                // The fastest clock there is, and never one that lies behind.
                let ahead = self.skews.borrow().values().copied().max().unwrap_or(0).max(0);
                let worker = Timestamp::from_millis(self.time.get().saturating_add(ahead));
                worker.unwrap_or(now).max(now)
            }
            _ => now,
        }
    }

    /// How long no sweep decides on users who have arrived.
    pub fn grace_ms(&self) -> u64 {
        if self.plant.is_some_and(Plant::settles_at_once) { 0 } else { GRACE_MS }
    }

    /// Whether what is active is counted before a creation is made, and not as it is.
    pub fn counts_beforehand(&self) -> bool {
        self.plant == Some(Plant::ActiveCountedBefore)
    }

    pub fn policy(&self) -> Policy {
        self.policy.borrow().clone()
    }

    pub fn set_policy(&self, policy: Policy) {
        *self.policy.borrow_mut() = policy;
    }

    pub fn notify(&self) -> Notify {
        self.notify.get()
    }

    pub fn breaker(&self) -> Option<CircuitBreaker> {
        self.breaker.get()
    }

    pub fn set_breaker(&self, breaker: Option<CircuitBreaker>) {
        self.breaker.set(breaker);
    }

    pub fn set_notify(&self, notify: Notify) {
        self.notify.set(notify);
    }

    /// Decides what happens to somebody's next call.
    pub fn fault(&self, actor: usize, fault: Fault) {
        self.faults.borrow_mut().insert(actor, fault);
    }

    /// From now on nothing goes wrong and every clock is right.
    pub fn calm(&self) {
        self.faults.borrow_mut().clear();
        self.skews.borrow_mut().clear();
        self.breaker.set(None);
        if let Some(places) = &self.places {
            places.calm();
        }
    }

    /// Whether an actor died in its last call.
    pub fn is_dead(&self, actor: usize) -> bool {
        self.dead.borrow().contains(&actor)
    }

    /// Somebody has a turn.
    pub fn take_turn(&self) {
        self.turns.set(self.turns.get().saturating_add(1));
    }

    /// A number that nothing else in this run has.
    pub fn number(&self) -> u64 {
        let number = self.numbers.get().saturating_add(1);
        self.numbers.set(number);
        number
    }

    /// What stands now in the first database, which mostly is the only one.
    pub fn image(&self) -> Rc<Image> {
        self.image_at(0)
    }

    /// What counts of what stands in one of them.
    pub fn image_at(&self, shard: usize) -> Rc<Image> {
        self.images.borrow().get(shard).map(Rc::clone).unwrap_or_default()
    }

    /// What stands where all of a user's is.
    pub fn image_of(&self, user_id: &str) -> Rc<Image> {
        self.image_at(self.places.as_ref().map_or(0, |places| places.home(user_id)))
    }

    /// What stands where a creation is.
    pub fn image_with(&self, creation_id: &str) -> Rc<Image> {
        let images = self.images.borrow();
        let with = images.iter().find(|image| image.creations.contains_key(creation_id));
        with.or(images.first()).map(Rc::clone).unwrap_or_default()
    }

    /// The id of a creation; of an app's row, that of its latest life.
    pub fn creation_id(&self, creation: usize) -> String {
        match creation.checked_sub(THEIRS) {
            None if self.places.is_some() => sharded::creation_id(creation),
            None => format!("c{creation}"),
            Some(gid) => self.image().creation_of(i64::try_from(gid).unwrap_or(i64::MAX)),
        }
    }

    /// What the run has shown so far.
    pub fn history(&self) -> std::cell::RefMut<'_, History> {
        self.history.borrow_mut()
    }

    /// The first invariant that did not hold.
    pub fn violation(&self) -> Option<Violation> {
        self.violation.borrow().clone()
    }

    /// Notes that an invariant does not hold.
    pub fn violate(&self, violation: Violation) {
        self.violation.borrow_mut().get_or_insert(violation);
    }

    /// The same for the outcome of a check.
    pub fn check(&self, outcome: Result<(), Violation>) {
        if let Err(violation) = outcome {
            self.violate(violation);
        }
    }

    /// How a trace names one of several databases.
    fn in_shard(&self, shard: usize) -> String {
        if self.places.is_some() { format!(" in {}", sharded::binding(shard)) } else { String::new() }
    }

    /// Adds a line to the trace, if there is one.
    pub fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let since = self.time.get().saturating_sub(BEGINNING);
            trace.borrow_mut().push(format!("{}  {}", trace::clock(since), line()));
        }
    }

    /// The trace.
    pub fn trace(&self) -> Vec<String> {
        self.trace.as_ref().map(RefCell::take).unwrap_or_default()
    }

    /// Counts that something was reached, so that one sees what runs are made of.
    pub fn reach(&self, what: &'static str, times: usize) {
        if times > 0 {
            let mut reached = self.reached.borrow_mut();
            let count = reached.entry(what).or_default();
            *count = count.saturating_add(times as u64);
        }
    }

    /// What was reached, and how often.
    pub fn reached(&self) -> BTreeMap<&'static str, u64> {
        self.reached.take()
    }

    /// A direct write.
    pub fn write(&self, write: &Write) {
        let statement = sql::write(write, self.time.get(), self.number(), |at| self.creation_id(at));
        let (shard, batch) = match &self.places {
            None => (0, vec![statement]),
            Some(places) => places.direct(write, statement),
        };
        if self.places.as_ref().is_some_and(|places| places.is_silent(shard)) {
            return;
        }
        let outcome = self.commit(shard, &Call::App, 0, &batch);
        self.note(|| match outcome {
            Ok((_, changes)) => format!("{write}{changes}"),
            Err(error) => format!("{write}: {error}"),
        });
    }

    /// Reads everything that stands in a database.
    fn look(&self, database: &Sqlite, shard: usize) -> Rc<Image> {
        database.image(self.places.as_ref().map(|_| shard)).map_or_else(
            |error| {
                self.violate(Violation::new("simulator", error));
                self.image_at(shard)
            },
            Rc::new,
        )
    }

    /// What counts of a database after a transaction there, and whether that was judged as a whole.
    fn settle(&self, shard: usize, call: &Call, all: Rc<Image>) -> Rc<Image> {
        let Some(places) = &self.places else { return all };
        let change = places.take(&self.images, shard, call, all, self.true_time());
        self.check(change.outcome);
        for what in change.reached {
            self.reach(what, 1);
        }
        self.image_at(shard)
    }

    /// Runs a transaction, and judges what it did. Also answers with what it changed, in words, if there is a trace.
    fn commit(
        &self,
        shard: usize,
        call: &Call,
        run: u32,
        batch: &[Statement],
    ) -> Result<(Vec<Vec<Row>>, String), DatabaseError> {
        let before = self.image_at(shard);
        let Some(database) = self.databases.get(shard) else {
            return Err(DatabaseError::new(format!("there is no database {shard}")));
        };
        let changes = database.changes();
        let result = database.transaction(batch);
        // A dry run is looked at in full, whatever SQLite says of it.
        let dry_run = matches!(call, Call::Sweep(sweep) if sweep.dry_run);
        let after = if database.changes() == changes && !dry_run {
            Rc::clone(&before)
        } else {
            self.settle(shard, call, self.look(database, shard))
        };
        let run = if result.is_ok() { Run::Committed(run) } else { Run::RolledBack };
        // A move was judged by what is in both databases.
        if !matches!(call, Call::Move(_)) {
            self.check(invariants::transaction(&before, &after, call, run, &mut self.history.borrow_mut()));
        }
        if before != after {
            match database.broken_of_theirs() {
                Ok(None) => {}
                Ok(Some((name, row))) => self.violate(Violation::new(name, format!("it is broken by {row}"))),
                Err(error) => self.violate(Violation::new("simulator", error)),
            }
            self.writes.set(self.writes.get().saturating_add(1));
        }
        if let Some(places) = &self.places {
            self.check(places.no_silence(&before, &after, call, &self.history.borrow(), self));
        }
        if let Some(image) = self.images.borrow_mut().get_mut(shard) {
            *image = Rc::clone(&after);
        }
        if !matches!(call, Call::Move(_)) {
            invariants::count(&before, &after, self);
        }
        if result.as_ref().is_err_and(DatabaseError::is_constraint) {
            self.reach("rejected by a constraint", 1);
        }
        if let Some(sql) = self.plant.and_then(Plant::afterwards) {
            // The bug's second transaction; what stood between the two has been judged.
            if let Err(error) = database.transaction(&[Statement { sql, params: Vec::new() }]) {
                self.violate(Violation::new("simulator", error.to_string()));
            }
        }
        let changes = if self.trace.is_some() { trace::changes(&before, &after) } else { String::new() };
        result.map(|rows| (rows, changes))
    }
}

/// One actor's way to the databases. Each call waits until the schedule lets it through.
pub struct Link {
    pub world: Rc<World>,
    actor: usize,
    host: usize,
    call: RefCell<Rc<Call>>,
    faulted: Cell<bool>,
    /// The count of writes of everybody when the invocation first looked, and how many of them since were its own.
    since: Cell<Option<u64>>,
    own: Cell<u64>,
    /// The configuration of the invocation, where there are several databases.
    known: RefCell<Option<Known>>,
    /// What stood in each of them then.
    began: RefCell<Vec<Rc<Image>>>,
    retries: Vec<Retry>,
}

/// One of the databases, as an invocation reaches it.
pub struct Side<'a> {
    link: &'a Link,
    shard: usize,
    runs: Cell<u32>,
}

impl Link {
    /// A new one, for `actor` on `host`.
    pub fn new(world: &Rc<World>, actor: usize, host: usize) -> Self {
        Link {
            world: Rc::clone(world),
            actor,
            host,
            call: RefCell::new(Rc::new(Call::App)),
            faulted: Cell::new(false),
            since: Cell::new(None),
            own: Cell::new(0),
            known: RefCell::default(),
            began: RefCell::default(),
            retries: world.databases.iter().map(|_| Retry::default()).collect(),
        }
    }

    /// One of the databases, for the present invocation.
    pub fn to(&self, shard: usize) -> Side<'_> {
        Side { link: self, shard, runs: Cell::new(0) }
    }

    /// The same for what only looks beside it.
    pub fn beside(&self, shard: usize) -> Side<'_> {
        Side { link: self, shard, runs: Cell::new(BESIDE) }
    }

    /// The host that it is on.
    pub fn host(&self) -> usize {
        self.host
    }

    /// The databases' configuration, as the invocation began with it.
    pub fn shards(&self) -> Option<Rc<Shards>> {
        self.known.borrow().as_ref().map(|known| Rc::clone(&known.shards))
    }

    /// Whether a creation was there when the invocation began: with several databases, it may look before it is made.
    pub fn was_there(&self, creation_id: &str) -> bool {
        let began = self.began.borrow();
        began.is_empty() || began.iter().any(|image| image.creations.contains_key(creation_id))
    }

    /// Whose a creation was when the invocation began.
    pub fn owner(&self, creation_id: &str) -> Option<String> {
        let began = self.began.borrow();
        began.iter().find_map(|image| Some(image.creations.get(creation_id)?.user_id.clone()))
    }

    /// Whether its configuration is older than what has moved, or something has moved since it began.
    pub fn is_behind(&self, user_id: &str) -> bool {
        let known = self.known.borrow();
        let (Some(places), Some(known)) = (self.world.places(), known.as_ref()) else { return false };
        places.is_behind(known, user_id)
    }

    fn name(&self) -> String {
        if self.actor == usize::MAX { String::from("cron") } else { format!("a{}", self.actor) }
    }

    /// Who it is.
    pub fn actor(&self) -> usize {
        self.actor
    }

    /// What its host's clock shows.
    pub fn now(&self) -> Timestamp {
        self.world.now(self.host)
    }

    /// Begins an invocation: what follows belongs to it.
    pub fn begin(&self, call: Call) {
        *self.call.borrow_mut() = Rc::new(call);
        *self.known.borrow_mut() = self.world.places().map(|places| places.known_to(self.host));
        if self.world.places.is_some() {
            *self.began.borrow_mut() = self.world.images.borrow().clone();
        }
        self.faulted.set(false);
        self.since.set(None);
        self.own.set(0);
    }

    /// The present invocation.
    pub fn call(&self) -> Rc<Call> {
        Rc::clone(&self.call.borrow())
    }

    /// Whether the invocation wrote anything.
    pub fn wrote(&self) -> bool {
        self.own.get() > 0
    }

    /// Whether nobody else has written since the invocation first looked.
    pub fn alone(&self) -> bool {
        self.since.get().map(|since| since.saturating_add(self.own.get())) == Some(self.world.writes.get())
    }

    /// Whether something went wrong with one of them that the schedule decided.
    pub fn faulted(&self) -> bool {
        self.faulted.get()
    }

    /// Waits for the next turn.
    pub async fn turn(&self) {
        let begun = self.world.turns.get();
        poll_fn(|context| {
            if self.world.turns.get() > begun {
                return Poll::Ready(());
            }
            // Several sends of one outbox wait at once: each is asked in every turn.
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Waits for a turn that no other call has: an invocation may ask several databases side by side.
    async fn turn_alone(&self) {
        loop {
            self.turn().await;
            let turn = self.world.turns.get();
            if self.world.taken.replace(turn) != turn {
                return;
            }
        }
    }

    /// `run` is how many calls of the invocation came before; one that is tried again is the same.
    fn pass(&self, shard: usize, batch: &[Statement], run: u32) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let world = &self.world;
        let call = self.call();
        // What it decides on is what it hears, and that may be a later try's.
        if let (Call::Sweep(sweep), 0) = (&*call, run) {
            sweep.first.borrow_mut().insert(shard, world.image_at(shard));
        }
        if let (Call::Bulk(bulk), 0) = (&*call, run) {
            bulk.first.borrow_mut().insert(shard, world.image_at(shard));
        }
        let fault = world.faults.borrow_mut().remove(&self.actor);
        let dies = matches!(fault, Some(Fault::DiesBefore | Fault::DiesAfter));
        if dies {
            world.dead.borrow_mut().insert(self.actor);
        }
        if let Some(fault) = fault {
            self.faulted.set(true);
            world.reach(if dies { "callers that died" } else { "calls that failed" }, 1);
            world.reach("movers that died", usize::from(dies && matches!(*call, Call::Move(_))));
            world.note(|| {
                format!("{}: {call}, {}{}, {fault}", self.name(), named(run), world.in_shard(shard))
            });
        }
        if matches!(fault, Some(Fault::Rejected | Fault::DiesBefore)) {
            return Err(DatabaseError::new("D1_ERROR: D1 DB reset because its code was updated."));
        }
        if world.places().is_some_and(|places| places.is_silent(shard)) {
            self.faulted.set(true);
            world.reach("calls of a database that answers nothing", 1);
            return Err(DatabaseError::new("D1_ERROR: D1 DB storage operation exceeded timeout."));
        }
        let writes = world.writes.get();
        self.since.set(self.since.get().or(Some(writes)));
        let result = world.commit(shard, &call, run, batch);
        self.own.set(self.own.get().saturating_add(world.writes.get().saturating_sub(writes)));
        world.note(|| {
            let outcome = match &result {
                Ok((_, changes)) => changes.clone(),
                Err(error) => format!(": {error}"),
            };
            format!("{}: {call}, {}{}{outcome}", self.name(), named(run), world.in_shard(shard))
        });
        match fault {
            Some(_) => Err(DatabaseError::new("D1_ERROR: Network connection lost.")),
            None => result.map(|(rows, _)| rows),
        }
    }
}

/// How a trace names a call of an invocation.
fn named(run: u32) -> String {
    if run == BESIDE { String::from("a look") } else { format!("call {}", run.saturating_add(1)) }
}

impl Database for Side<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let Side { link, shard, .. } = *self;
        let run = self.runs.get();
        self.runs.set(run.saturating_add(1));
        let call = async || {
            if link.world.places.is_some() {
                link.turn_alone().await;
            } else {
                link.turn().await;
            }
            let result = link.pass(shard, batch, run);
            if link.world.is_dead(link.actor) {
                // Nobody is there any more to hear the answer.
                pending::<()>().await;
            }
            result
        };
        // Half of them try again what the database could not do for the moment, as the Worker does.
        match link.retries.get(shard).filter(|_| link.actor.is_multiple_of(2)) {
            Some(retry) => retry.run(call, async |_| {}).await,
            None => call().await,
        }
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}
