//! A move among everybody else: movers that die at each call, or are two; workers, owners and sweeps at both databases in between.
//!
//! Everything runs by one seed. After each call of a mover the promises of `tests/invariants.sql` hold in both databases, and each user's
//! rows in the one that has them: exactly what was answered with success, to the token. `MOVING_SEEDS=20` tries more of them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use serde_json::Value;
use stale_drafts::rules::{Bucket, BucketSet, Policy, Report};
use stale_drafts::service::archive::{Archive, Retention, archive};
use stale_drafts::service::compaction::{Compaction, compact};
use stale_drafts::service::moves::{Bounds, Goal, Move, MoveError, Progress, step};
use stale_drafts::service::sweep::{Notify, Source, SweepRequest, mark_stale_creations_as_failed};
use stale_drafts::store::{
    self, Buckets, Cost, Database, DatabaseError, Details, Extension, Filter, Grant, NewCreation, PageSize,
    Param, Row, Statement, Subject,
};

use crate::sqlite::Sqlite;
use crate::{HOUR, MINUTE, NOW, at, now, policy};

const INVARIANTS: &str = include_str!("../invariants.sql");
const USERS: u32 = 8;
/// Half of all buckets.
const BUCKETS: Buckets = Buckets { first: 0, last: 2_047 };
/// Pages so small that everything takes several.
const SMALL: Bounds = Bounds {
    queries: 40,
    users: 5,
    page: PageSize { rows: 10, bytes: 4_000, slice: 25 },
    grace_ms: 10 * MINUTE,
};

fn moves(user: &str) -> bool {
    u32::from(Bucket::of_user(user).number()) <= BUCKETS.last
}

/// Random numbers by a seed.
struct Dice(Cell<u64>);

impl Dice {
    fn below(&self, bound: u32) -> u32 {
        // Knuth's MMIX.
        let next =
            self.0.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.set(next);
        u32::try_from(next >> 33).unwrap() % bound
    }
}

/// Both databases, and what everybody was told.
struct World {
    source: Sqlite,
    target: Sqlite,
    dice: Dice,
    /// Whether a Worker may know of the target by now.
    known: Cell<bool>,
    /// Tokens granted and creations made, by user: what was answered with success.
    told: RefCell<BTreeMap<String, Told>>,
    broken: RefCell<Option<String>>,
    calls: Cell<u32>,
    /// Before which call of a mover it dies, and whether the call is still made.
    death: Cell<Option<(u32, bool)>>,
    /// What was written to the archive.
    archive: RefCell<String>,
    /// How many entries became part of a sum.
    compacted: Cell<u64>,
    /// How many creations with a note, or with more time of their own, have arrived.
    acted: Cell<usize>,
    /// How often a write was refused since its user moves.
    refused: Cell<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    granted: u64,
    creations: Vec<String>,
    notes: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let world = World {
            source: Sqlite::new(),
            target: Sqlite::new(),
            dice: Dice(Cell::new(seed)),
            known: Cell::new(false),
            told: RefCell::default(),
            broken: RefCell::default(),
            calls: Cell::new(0),
            death: Cell::new(None),
            archive: RefCell::default(),
            compacted: Cell::new(0),
            acted: Cell::new(0),
            refused: Cell::new(0),
        };
        world.source.all(&[store::record(&BucketSet::ALL)]);
        world.target.all(&[store::record(&BucketSet::default())]);
        for _ in 0..40 {
            world.write();
        }
        world
    }

    fn user(&self) -> String {
        format!("user-{}", self.dice.below(USERS))
    }

    /// A write of somebody, as a Worker does it: of those who move, to the one database or to the other, by what configuration it has.
    fn write(&self) {
        let user = self.user();
        let by_new = self.known.get() && moves(&user) && self.dice.below(2) == 0;
        let database = if by_new { &self.target } else { &self.source };
        let bucket = Param::Integer(Bucket::of_user(&user).number().into());
        let accepts = Statement { sql: "INSERT INTO stale_drafts_accepts VALUES (?1)", params: vec![bucket] };
        let name = format!("{}", self.dice.below(u32::MAX >> 1));
        let kind = ["image", "video"][self.dice.below(2) as usize];
        let mut told = self.told.borrow_mut();
        let (batch, told): (Vec<_>, Box<dyn FnOnce()>) = match self.dice.below(8) {
            0 | 1 => {
                let grant = Grant { key: &name, user_id: &user, tokens: 50 };
                (
                    store::grant(grant, now()).into(),
                    Box::new(|| told.entry(user.clone()).or_default().granted += 50),
                )
            }
            2..=4 => {
                let tokens = self.dice.below(9).into();
                let new =
                    NewCreation {
                        id: &name, user_id: &user, kind, prompt: "a fox \"in\" a\nbox 狐", tokens
                    };
                let age = u64::from(self.dice.below(3)) * HOUR;
                let creations = || told.entry(user.clone()).or_default().creations.push(name.clone());
                (store::create(new, at(NOW - age)).into(), Box::new(creations))
            }
            _ => {
                let ids = database.read_with(
                    "SELECT id, ifnull(fence, ''), attempt FROM stale_drafts_creations WHERE user_id = ?1 AND status IN ('pending', 'processing', 'failed')",
                    &[&user],
                );
                if ids.is_empty() {
                    return;
                }
                let row = &ids[self.dice.below(u32::try_from(ids.len()).unwrap()) as usize];
                let (id, fence) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
                let details = Details {
                    random: "r",
                    error: "broken",
                    user_id: &user,
                    keep: true,
                    notify: 2,
                    ..Details::default()
                };
                let policy = Policy::default();
                let report = match self.dice.below(9) {
                    0 | 1 => Report::Start { worker: "w" },
                    2 => Report::Heartbeat { fence },
                    3 => {
                        Report::Complete { fence, result_url: "https://cdn.example/1", tokens_used: Some(0) }
                    }
                    4 => Report::Fail { fence: Some(fence), error_code: "broken", tokens_used: None },
                    5 => Report::Cancel { attempt: None, policy: &policy },
                    6 | 7 => Report::Retry { attempt: u32::try_from(row[2].as_u64().unwrap()).unwrap() },
                    _ => Report::Restore,
                };
                if self.dice.below(6) == 0 {
                    self.act(database, id, &name, told.entry(user.clone()).or_default());
                    return;
                }
                // Reports of one creation don't name the user: no bucket is asked for.
                let when = at(NOW - u64::from(self.dice.below(3)) * HOUR);
                let done = database.transaction(&store::report(id, &report, &details, when));
                self.note(done.as_ref().err());
                return;
            }
        };
        let done = database.transaction(&[vec![accepts], batch].concat());
        if done.is_ok() {
            told();
        }
        self.note(done.as_ref().err());
    }

    /// An operator notes something about a creation, or gives it more time.
    fn act(&self, database: &Sqlite, id: &str, name: &str, told: &mut Told) {
        let done = if self.dice.below(2) == 0 {
            database.transaction(&store::note(name, "ops", "ask the provider", Subject::Creation(id), now()))
        } else {
            let until = at(NOW + MINUTE * u64::from(self.dice.below(60)));
            let extension = Extension { until, actor: "ops", reason: "it is slow", audit_id: name };
            database.transaction(&store::extend(id, extension, now()))
        };
        self.note(done.as_ref().err());
        if done.is_ok_and(|results| results.len() == 2) {
            told.notes.push(name.to_owned());
        }
    }

    fn note(&self, error: Option<&DatabaseError>) {
        match error {
            Some(error) if error.is_moving() => self.refused.set(self.refused.get() + 1),
            Some(error) if !error.is_insufficient() => self.break_promise(format!("a write failed: {error}")),
            _ => {}
        }
    }

    fn break_promise(&self, what: String) {
        self.broken.borrow_mut().get_or_insert(what);
    }

    /// Whether the target has the users of the buckets.
    fn has_moved(&self) -> bool {
        let states = self.source.read("SELECT state FROM stale_drafts_moves WHERE role = 'source'");
        states.iter().any(|state| state[0] == "moved" || state[0] == "trimmed")
    }

    /// What must hold after every call.
    fn check(&self) {
        for (name, database) in [("source", &self.source), ("target", &self.target)] {
            for part in INVARIANTS.split("-- name: ").skip(1) {
                let (promise, query) = part.split_once('\n').unwrap();
                if let Some(row) = database.read(query.trim().trim_end_matches(';')).first() {
                    self.break_promise(format!("{name}: {promise}: {row}"));
                }
            }
        }
        let moved = self.has_moved();
        for (user, told) in &*self.told.borrow() {
            let has = if moved && moves(user) { &self.target } else { &self.source };
            let stands = has.read_with(
                "SELECT (SELECT coalesce(sum(tokens), 0) FROM stale_drafts_ledger AS l WHERE l.user_id = u.user_id AND type = 'grant'),
                   (SELECT coalesce(sum(tokens), 0) FROM stale_drafts_ledger AS l WHERE l.user_id = u.user_id),
                   ifnull((SELECT tokens FROM stale_drafts_balances WHERE user_id = u.user_id), 0),
                   (SELECT -coalesce(sum(ifnull(tokens_used, iif(status = 'failed', 0, tokens))), 0) FROM stale_drafts_creations WHERE user_id = u.user_id),
                   (SELECT json_group_array(id) FROM stale_drafts_creations WHERE user_id = u.user_id),
                   ifnull((SELECT creations FROM stale_drafts_archived_users WHERE user_id = u.user_id), 0),
                   ifnull((SELECT tokens FROM stale_drafts_archived_users WHERE user_id = u.user_id), 0),
                   (SELECT json_group_array(id) FROM stale_drafts_audit)
                 FROM (SELECT ?1 AS user_id) AS u",
                &[user],
            );
            let [granted, sum, balance, cost, archived, archived_cost] =
                [0, 1, 2, 3, 5, 6].map(|at| stands[0][at].as_i64().unwrap());
            let here: BTreeSet<String> = serde_json::from_str(stands[0][4].as_str().unwrap()).unwrap();
            let gone: Vec<_> = told.creations.iter().filter(|id| !here.contains(*id)).collect();
            let archive = self.archive.borrow();
            if granted != i64::try_from(told.granted).unwrap()
                || here.len() + gone.len() != told.creations.len()
                || archived != i64::try_from(gone.len()).unwrap()
                || !gone.iter().all(|id| archive.contains(&format!("\"id\":\"{id}\"")))
            {
                self.break_promise(format!(
                    "{user} was told {told:?}, and has {granted}, {here:?}, and {archived} in the archive"
                ));
            }
            // Notes about what is archived stay where they are.
            let notes: BTreeSet<String> = serde_json::from_str(stands[0][7].as_str().unwrap()).unwrap();
            if let Some(lost) = told.notes.iter().find(|id| gone.is_empty() && !notes.contains(*id)) {
                self.break_promise(format!("the note {lost} about what {user} has is lost"));
            }
            let cost = cost + archived_cost;
            if sum != balance || balance != granted + cost {
                self.break_promise(format!(
                    "{user} has {balance}, by the ledger {sum}, by the creations {}",
                    granted + cost
                ));
            }
        }
        // What the other one still has, or has already, is a part of it.
        let ledgers = [&self.source, &self.target].map(|database| {
            let rows = database.read("SELECT user_id, entry_key, tokens FROM stale_drafts_ledger");
            rows.into_iter().map(|row| row.to_string()).collect::<BTreeSet<_>>()
        });
        for user in self.told.borrow().keys().filter(|user| moves(user)) {
            let (has, other) = if moved { (&ledgers[1], &ledgers[0]) } else { (&ledgers[0], &ledgers[1]) };
            let own = format!("[\"{user}\",");
            if let Some(entry) = other.difference(has).find(|entry| entry.starts_with(&own)) {
                self.break_promise(format!("{entry} is where its user is not any more, or not yet"));
            }
        }
        // Sweeps stay where they were: over both they count what they did.
        let sum = |sql: &str| {
            [&self.source, &self.target].map(|database| database.read(sql)[0][0].as_i64().unwrap())
        };
        let counted: i64 = sum("SELECT coalesce(sum(failed), 0) FROM stale_drafts_sweeps").iter().sum();
        let failed = |database: &Sqlite, has: &dyn Fn(&str) -> bool| {
            let swept = database.read(
                "SELECT user_id, id FROM stale_drafts_creations WHERE sweep_id IS NOT NULL UNION ALL
                 SELECT user_id, id FROM stale_drafts_creations JOIN stale_drafts_attempts AS a ON a.creation_id = id
                 WHERE a.outcome <> 'retried' AND a.sweep_id IS NOT NULL",
            );
            i64::try_from(swept.iter().filter(|row| has(row[0].as_str().unwrap())).count()).unwrap()
        };
        let really = failed(&self.source, &|user| !(moved && moves(user)))
            + failed(&self.target, &|user| moved && moves(user));
        let archived: i64 = sum("SELECT coalesce(sum(failed), 0) FROM stale_drafts_archives").iter().sum();
        let really = really + archived;
        if counted != really {
            self.break_promise(format!("sweeps counted {counted}, and {really} are failed"));
        }
    }
}

/// Lets others come first.
async fn pause() {
    let mut waited = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// One of the databases, as a mover or a sweep calls it: everybody else may come before each call.
struct Called<'a> {
    world: &'a World,
    database: &'a Sqlite,
    mover: bool,
}

impl Database for Called<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        pause().await;
        if !self.mover {
            return self.database.transaction(batch);
        }
        let call = self.world.calls.get();
        self.world.calls.set(call + 1);
        let dies = self.world.death.get().filter(|(at, _)| *at == call);
        let answer = match dies {
            Some((_, false)) => Ok(Vec::new()),
            _ => self.database.transaction(batch),
        };
        // Up to its death all is as without it.
        let since = call.saturating_sub(self.world.death.get().map_or(call, |(at, _)| at));
        if self.world.death.get().is_none_or(|(at, _)| at <= call) && (since < 5 || since.is_multiple_of(10))
        {
            self.world.check();
        }
        if dies.is_some() { Err(DatabaseError::new("the mover died")) } else { answer }
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

const MOVE: Move<'_> = Move { id: "m1", buckets: BUCKETS, source: "DB_1", target: "DB_2" };

/// Calls until the goal is reached. A mover that dies begins anew: nothing is in its memory.
async fn reach(world: &World, goal: Goal) -> Result<(), MoveError> {
    let side = |database| Called { world, database, mover: true };
    let mut now = now();
    for _ in 0..10_000 {
        match step(&side(&world.source), &side(&world.target), MOVE, goal, now, SMALL).await {
            Ok(Progress { done: true, .. }) => return Ok(()),
            Ok(Progress { waits_until, .. }) => now = waits_until.map_or(now, at),
            Err(MoveError::Database { error, .. }) if error.to_string() == "the mover died" => {}
            Err(error) => return Err(error),
        }
    }
    panic!("{goal:?} is never reached: {:?}", world.source.read("SELECT * FROM stale_drafts_moves"));
}

/// Everybody who writes. Nobody is sent to the target before the move.
async fn writes(world: &World) {
    loop {
        world.write();
        // One that was cancelled before it began has closed nothing: nobody gives the buckets away then.
        if world.source.read("SELECT 1 FROM stale_drafts_moves WHERE state <> 'cancelled'").len() == 1 {
            world.known.set(true);
        }
        pause().await;
    }
}

/// Sweeps, again and again: what it decides on may be on the way before it writes.
async fn sweeps(world: &World, database: &Sqlite, policy: &Policy) {
    let called = Called { world, database, mover: false };
    loop {
        let sweep_id = format!("{:012}", world.dice.below(u32::MAX >> 1));
        let request = SweepRequest {
            sweep_id: &sweep_id,
            source: Source::Cron,
            actor: None,
            user_id: None,
            filter: Filter::default(),
            planned: None,
            plan_id: None,
            now: now(),
            policy,
            dry_run: false,
            notify: Notify { app: 1, retry: 2 },
            breaker: None,
            limit: 3,
            max_queries: 900,
        };
        if let Err(error) = mark_stale_creations_as_failed(&called, request).await {
            world.break_promise(format!("a sweep failed: {}", error.error));
        }
    }
}

/// Archives what has ended, again and again.
async fn archives(world: &World, database: &Sqlite) {
    let called = Called { world, database, mover: false };
    let mut days = 2;
    loop {
        let retention = Retention { keep_days: 1, shard: "s", max_objects: 2, max_queries: 900 };
        if let Err(stopped) = archive(&called, world, retention, at(NOW + days * 24 * HOUR)).await {
            world.break_promise(format!("the archive stopped: {}", stopped.error));
        }
        days += 2;
    }
}

/// Sums up what is archived, again and again.
async fn compacts(world: &World, database: &Sqlite) {
    let called = Called { world, database, mover: false };
    loop {
        let compaction = Compaction {
            before: at(NOW + 60 * 24 * HOUR),
            dry_run: false,
            after: "",
            shard: "s",
            actor: "ops",
            max_objects: 2,
            max_queries: 900,
        };
        let new_id = || Ok::<_, String>(format!("{:012}", world.dice.below(u32::MAX >> 1)));
        match compact(&called, world, compaction, new_id, now()).await {
            Ok(compacted) => world.compacted.set(world.compacted.get() + compacted.entries),
            Err(stopped) => world.break_promise(format!("the compaction stopped: {}", stopped.error)),
        }
    }
}

/// It keeps all lines of all objects.
impl Archive for World {
    async fn put(&self, _: &str, content: String) -> Result<(), String> {
        self.archive.borrow_mut().push_str(&content);
        Ok(())
    }
}

/// Lets all of them run until the movers are done: whose turn it is, the dice say.
fn run<'a>(world: &'a World, policy: &'a Policy, movers: Vec<Mover<'a>>) -> Vec<Result<(), MoveError>> {
    let mut others: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>> = vec![
        Box::pin(writes(world)),
        Box::pin(sweeps(world, &world.source, policy)),
        Box::pin(sweeps(world, &world.target, policy)),
        Box::pin(archives(world, &world.source)),
        Box::pin(archives(world, &world.target)),
        Box::pin(compacts(world, &world.source)),
        Box::pin(compacts(world, &world.target)),
    ];
    let mut movers: Vec<_> = movers.into_iter().map(Some).collect();
    let mut results = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while results.len() < movers.len() && world.broken.borrow().is_none() {
        let turn = world.dice.below(u32::try_from(movers.len() + others.len()).unwrap()) as usize;
        if let Some(mover) = movers.get_mut(turn) {
            if let Some(Poll::Ready(result)) = mover.as_mut().map(|mover| mover.as_mut().poll(&mut context)) {
                results.push(result);
                *mover = None;
            }
        } else {
            let _ = others[turn - movers.len()].as_mut().poll(&mut context);
        }
    }
    world.check();
    results
}

/// Everything is where it belongs, and nothing else remains.
fn settled(world: &World) -> Result<(), String> {
    if let Some(broken) = &*world.broken.borrow() {
        return Err(broken.clone());
    }
    // What is about a creation is where that is, and in no other place.
    let about = "SELECT id FROM stale_drafts_creations AS c WHERE EXISTS (SELECT 1 FROM stale_drafts_audit WHERE subject = 'creation:' || c.id)
      OR EXISTS (SELECT 1 FROM stale_drafts_extensions WHERE scope = 'creation' AND name = c.id)";
    world.acted.set(world.acted.get() + world.target.read(about).len());
    for (one, other) in [(&world.source, &world.target), (&world.target, &world.source)] {
        for row in one.read("SELECT id FROM stale_drafts_creations") {
            let id = row[0].as_str().unwrap();
            let elsewhere = "SELECT 1 FROM stale_drafts_audit WHERE subject = 'creation:' || ?1 UNION ALL
              SELECT 1 FROM stale_drafts_extensions WHERE scope = 'creation' AND name = ?1";
            if !other.read_with(elsewhere, &[id]).is_empty() {
                return Err(format!("what is about {id} remains where it does not belong"));
            }
        }
    }
    for database in [&world.source, &world.target] {
        // Whom a cancelled move has kept from sweeps for a while, cron lets go.
        let stays = "SELECT user_id FROM stale_drafts_moving_users WHERE move_id NOT IN
          (SELECT id FROM stale_drafts_moves WHERE role = 'source' AND state = 'cancelled')";
        if let Some(row) = database.read(stays).first() {
            return Err(format!("a user of a move that was not cancelled remains: {row}"));
        }
        database.all(&store::settle_moves(at(NOW + 60 * 24 * HOUR), now()));
        for (what, sql) in [
            ("a moving user", "SELECT user_id FROM stale_drafts_moving_users"),
            ("a lock", "SELECT id FROM stale_drafts_moves WHERE writing <> 0"),
        ] {
            if let Some(row) = database.read(sql).first() {
                return Err(format!("{what} remains: {row}"));
            }
        }
    }
    let moved = world.has_moved();
    for table in ["creations", "ledger", "balances", "carries", "compacted_users"] {
        let sql = format!("SELECT DISTINCT user_id FROM stale_drafts_{table}");
        let wrong = |rows: Vec<Value>, here: bool| {
            rows.into_iter().find(|row| (moved && moves(row[0].as_str().unwrap())) != here)
        };
        if let Some(row) =
            wrong(world.source.read(&sql), false).or_else(|| wrong(world.target.read(&sql), true))
        {
            return Err(format!("{table}: {row} remains where it does not belong"));
        }
    }
    Ok(())
}

/// How many seeds are tried, if nobody says otherwise.
fn seeds(usual: u64) -> u64 {
    std::env::var("MOVING_SEEDS").map_or(usual, |seeds| seeds.parse().unwrap())
}

type Mover<'a> = Pin<Box<dyn Future<Output = Result<(), MoveError>> + 'a>>;

async fn all_the_way(world: &World) -> Result<(), MoveError> {
    reach(world, Goal::Moved).await?;
    reach(world, Goal::Done).await
}

/// One move, with these movers; what became of them, or the promise that was broken.
fn a_move(
    world: &World,
    movers: impl for<'a> FnOnce(&'a World) -> Vec<Mover<'a>>,
) -> Result<Vec<String>, String> {
    let policy = policy(&[(&["max_age_hours"], 1.5), (&["kinds", "video", "attempts"], 2.0)]);
    let results = run(world, &policy, movers(world));
    if let Some(broken) = &*world.broken.borrow() {
        return Err(broken.clone());
    }
    settled(world).map_err(|remains| format!("{remains}; {results:?}"))?;
    Ok(results
        .into_iter()
        .map(|result| result.map_or_else(|error| error.to_string(), |()| String::new()))
        .collect())
}

/// One mover, who has to arrive.
fn one(world: &World) -> Result<(), String> {
    let results = a_move(world, |world| vec![Box::pin(all_the_way(world))])?;
    results.into_iter().find(|result| !result.is_empty()).map_or(Ok(()), Err)
}

#[test]
fn a_mover_that_dies_at_any_call_is_gone_on_with_and_nobody_loses_a_token() {
    for seed in 0..seeds(1) {
        let world = World::new(seed);
        one(&world).unwrap_or_else(|broken| panic!("{seed}: {broken}"));
        let (calls, refused) = (world.calls.get(), world.refused.get());
        assert!(calls > 50 && refused > 5, "{calls} calls, {refused} refused");
        for call in 0..calls {
            let world = World::new(seed);
            // Whether the call is still made: each of the two, by turns.
            let made = (u64::from(call) + seed) % 2 == 0;
            world.death.set(Some((call, made)));
            one(&world).unwrap_or_else(|broken| panic!("{seed}, dead at {call}, {made}: {broken}"));
        }
    }
}

#[test]
fn a_mover_that_dies_at_any_call_is_cancelled_by_another_one() {
    let (mut cancelled, mut moved) = (0, 0);
    for call in (0..110).step_by(5) {
        let world = World::new(2);
        world.death.set(Some((call, call % 2 == 0)));
        let results = a_move(&world, |world| {
            vec![Box::pin(async {
                let until_death = reach_unless_dead(world, Goal::Moved).await?;
                if until_death {
                    return reach(world, Goal::Done).await;
                }
                match reach(world, Goal::Cancelled).await {
                    Err(error) if error.to_string().contains("can't be cancelled any more") => {
                        reach(world, Goal::Done).await
                    }
                    result => result,
                }
            })]
        });
        let results = results.unwrap_or_else(|broken| panic!("dead at {call}: {broken}"));
        assert_eq!(results, [""], "dead at {call}");
        if world.has_moved() { moved += 1 } else { cancelled += 1 }
    }
    assert!(cancelled > 5 && moved > 5, "{cancelled} cancelled, {moved} moved");
}

/// Calls until the goal is reached, or the mover dies: whether it is reached.
async fn reach_unless_dead(world: &World, goal: Goal) -> Result<bool, MoveError> {
    let side = |database| Called { world, database, mover: true };
    loop {
        match step(&side(&world.source), &side(&world.target), MOVE, goal, now(), SMALL).await {
            Ok(Progress { done: true, .. }) => return Ok(true),
            Ok(_) => {}
            Err(MoveError::Database { error, .. }) if error.to_string() == "the mover died" => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
}

#[test]
fn two_movers_at_once_do_no_harm() {
    let (mut archived, mut compacted, mut acted) = (0, 0, 0);
    for seed in 0..seeds(5) {
        let world = World::new(seed);
        let results =
            a_move(&world, |world| vec![Box::pin(all_the_way(world)), Box::pin(all_the_way(world))]);
        assert_eq!(results.as_deref(), Ok(&[String::new(), String::new()][..]), "{seed}");
        archived += world.archive.borrow().lines().count();
        compacted += world.compacted.get();
        acted += world.acted.get();
    }
    assert!(acted > 0, "nothing that operators did has moved");
    assert!(archived > 0, "nothing was archived");
    assert!(compacted > 0, "nothing was compacted");
}

#[test]
fn one_who_cancels_and_one_who_moves_do_no_harm() {
    let (mut cancelled, mut moved) = (0, 0);
    for seed in 0..seeds(8) {
        let world = World::new(seed);
        // The one who cancels comes later, by so many calls.
        let later = world.dice.below(90);
        let results = a_move(&world, |world| {
            vec![
                Box::pin(all_the_way(world)),
                Box::pin(async move {
                    while world.calls.get() < later {
                        pause().await;
                    }
                    reach(world, Goal::Cancelled).await
                }),
            ]
        });
        let results = results.unwrap_or_else(|broken| panic!("{seed}: {broken}"));
        assert_eq!(
            results.iter().filter(|result| !result.is_empty()).count(),
            1,
            "one of them was refused: {results:?}"
        );
        if world.has_moved() { moved += 1 } else { cancelled += 1 }
    }
    assert!(cancelled > 0 && moved > 0, "{cancelled} cancelled, {moved} moved");
}

#[test]
fn a_planted_bug_is_found() {
    let left_alone = "\n  AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id)";
    let held = "EXISTS (SELECT 1 FROM stale_drafts_held WHERE user_id = OLD.user_id)";
    let new_held = held.replace("OLD", "NEW");
    let closed = "<> 'here'";
    for (trigger, text, bug) in [
        ("accepts_insert", closed, "= 'nowhere'"),
        ("creations_update_moving", held, "false"),
        ("creations_insert_moving", new_held.as_str(), "false"),
        ("ledger_insert_moving", new_held.as_str(), "false"),
        ("audit_insert_moving", "NEW.subject GLOB 'creation:*'", "false"),
        ("creations_are_charged", left_alone, ""),
        ("ledger_credits_balance", left_alone, ""),
        ("ledger_debits_balance", left_alone, ""),
    ] {
        let found = (0..12).any(|seed| {
            let world = World::new(seed);
            for database in [&world.source, &world.target] {
                let name = format!("stale_drafts_{trigger}");
                let sql = database.read(&format!("SELECT sql FROM sqlite_schema WHERE name = '{name}'"));
                let planted = sql[0][0].as_str().unwrap().replace(text, bug);
                assert_ne!(sql[0][0], planted.as_str(), "{trigger}");
                // What the bucket holds back, the user's own fence does too, and the other way about.
                let other = match trigger {
                    "creations_insert_moving" | "ledger_insert_moving" => "DROP TRIGGER stale_drafts_accepts_insert; CREATE TRIGGER stale_drafts_accepts_insert INSTEAD OF INSERT ON stale_drafts_accepts BEGIN SELECT 1; END;",
                    _ => "",
                };
                database.write(&format!("DROP TRIGGER {name}; {planted}; {other}"));
            }
            one(&world).is_err()
        });
        assert!(found, "{trigger}");
    }
}
