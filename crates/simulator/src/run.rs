//! Runs a schedule: a small executor that is told whose turn it is.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use stale_drafts::service::sweep::{Notify, Source};

use crate::actors;
use crate::call::Call;
use crate::database::Sqlite;
use crate::invariants;
use crate::plant::Plant;
use crate::script::{Op, Sweep};
use crate::sharded;
use crate::world::{Link, Violation, World};

/// In peace, everything ends within as many sweeps as there are attempts, each after the limits have passed.
const SWEEPS: u32 = 3;
/// At most so many creations each, so that what the database rejects could keep the others from their turn.
const LIMIT: u32 = 2;
/// Called again as often as there are more: no more calls than there are creations are needed, and one row of an app may have had several.
const CALLS: u64 = crate::generate::CREATIONS + 40;
/// Longer than every limit and the farthest clock.
const LONG_MS: u64 = 48 * 3_600_000;
/// Nobody needs more turns than this to end.
const TURNS: u32 = 1_000;
/// The host whose clock is right.
const TRUE_HOST: usize = usize::MAX;

/// What came of a run.
pub struct Ran {
    /// The invariant that did not hold.
    pub violation: Option<Violation>,
    /// How many decisions had been carried out by then.
    pub decisions: usize,
    /// What was reached, and how often.
    pub reached: BTreeMap<&'static str, u64>,
    /// Every call and what it did, if asked for.
    pub trace: Vec<String>,
}

type Actor = Pin<Box<dyn Future<Output = ()>>>;

/// Runs the decisions of `ops` that `kept` names, from an empty database, and then to the end in peace.
///
/// # Errors
///
/// The database's words, if the simulator itself is at fault.
pub fn run<'a>(
    databases: &[Rc<Sqlite>],
    plant: Option<Plant>,
    ops: impl IntoIterator<Item = &'a Op>,
    traced: bool,
) -> Result<Ran, String> {
    for database in databases {
        database.begin_seed()?;
    }
    let world = Rc::new(World::new(databases, plant, traced)?);
    let mut run = Run { world, actors: BTreeMap::new() };
    let mut decisions = 0_usize;
    for op in ops {
        run.decide(op);
        decisions = decisions.saturating_add(1);
        if run.world.violation().is_some() {
            break;
        }
    }
    if run.world.violation().is_none() {
        run.end_in_peace();
    }
    for database in databases {
        if let (None, Some((name, row))) = (run.world.violation(), database.broken()?) {
            run.world.violate(Violation::new(name, format!("it is broken by {row}")));
        }
    }
    run.actors.clear();
    for database in databases {
        database.end_seed()?;
    }
    let world = run.world;
    if let Some(violation) = world.violation().filter(|violation| violation.invariant == "simulator") {
        return Err(violation.found);
    }
    Ok(Ran { violation: world.violation(), decisions, reached: world.reached(), trace: world.trace() })
}

struct Run {
    world: Rc<World>,
    actors: BTreeMap<usize, Actor>,
}

impl Run {
    fn decide(&mut self, op: &Op) {
        let world = &self.world;
        // What actors and writes do is noted where they do it.
        if !matches!(op, Op::Step { .. } | Op::App(_) | Op::Fault { .. } | Op::Advance(_)) {
            world.note(|| op.to_string());
        }
        match op {
            Op::Advance(millis) => world.advance(*millis),
            Op::Skew { host, millis } => world.skew(*host, *millis),
            Op::Policy(settings) => match settings.policy() {
                Ok(policy) => world.set_policy(policy),
                Err(error) => world.violate(Violation::new("simulator", error.to_string())),
            },
            Op::Breaker(breaker) => world.set_breaker(*breaker),
            Op::Notify { app, retry } => world.set_notify(Notify { app: *app, retry: *retry }),
            Op::App(write) => world.write(write),
            Op::Fault { actor, fault } => world.fault(*actor, *fault),
            Op::Deploy { host } => {
                if let Some(places) = world.places() {
                    places.deploy(*host);
                }
            }
            Op::Silence { shard, silent } => {
                if let Some(places) = world.places() {
                    places.silence(*shard, *silent);
                }
            }
            Op::Spawn { actor, host, role } => {
                let link = Link::new(world, *actor, *host);
                self.actors.insert(*actor, Box::pin(actors::act(link, role.clone())));
                self.step(*actor);
            }
            Op::Step { actor } => self.step(*actor),
        }
    }

    /// Lets an actor go on to its next wait. One that has ended, died or never begun does nothing.
    fn step(&mut self, actor: usize) {
        let Some(future) = self.actors.get_mut(&actor) else { return };
        self.world.take_turn();
        let ended = future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if ended || self.world.is_dead(actor) {
            self.actors.remove(&actor);
        }
    }

    /// Nothing goes wrong any more: everybody comes to an end, time passes, and sweeps clear up.
    fn end_in_peace(&mut self) {
        let world = Rc::clone(&self.world);
        world.note(|| String::from("from here on nothing goes wrong"));
        world.calm();
        for _ in 0..TURNS {
            for actor in self.actors.keys().copied().collect::<Vec<_>>() {
                self.step(actor);
            }
            if self.actors.is_empty() || world.violation().is_some() {
                break;
            }
        }
        if let Some(actor) = self.actors.keys().next() {
            world.violate(Violation::new("everything-ends", format!("a{actor} does not come to an end")));
        }
        if world.places().is_some() && world.violation().is_none() {
            let link = Link::new(&world, TRUE_HOST, TRUE_HOST);
            self.alone(Box::pin(sharded::finish(link)), "what ends the moves");
        }
        for sweep in 1..=SWEEPS {
            if world.violation().is_some() {
                return;
            }
            world.advance(LONG_MS);
            self.sweep_in_peace(sweep);
        }
    }

    fn sweep_in_peace(&mut self, number: u32) {
        let world = Rc::clone(&self.world);
        let asked = Sweep {
            source: Source::Cron,
            user: None,
            kind: None,
            status: None,
            hours: None,
            dry_run: false,
            limit: LIMIT,
        };
        let future = async move {
            let link = Link::new(&world, TRUE_HOST, TRUE_HOST);
            for _ in 0..CALLS {
                match actors::sweep(&link, &asked, None, None).await {
                    Ok(outcome) if outcome.more => {}
                    Ok(outcome) => {
                        if let (Call::Sweep(call), true) = (&*link.call(), number == SWEEPS) {
                            for shard in 0..world.databases() {
                                world.check(invariants::ended(
                                    call,
                                    &outcome,
                                    &world.image_at(shard),
                                    SWEEPS,
                                ));
                            }
                        }
                        return;
                    }
                    Err(stopped) => {
                        let found = format!("a sweep in peace stopped: {}", stopped.error);
                        world.violate(Violation::new("everything-ends", found));
                        return;
                    }
                }
            }
            let found = format!("{CALLS} sweeps in peace, and there are more");
            world.violate(Violation::new("everything-ends", found));
        };
        self.alone(Box::pin(future), "a sweep in peace");
    }

    /// Lets somebody come to an end while everybody else is gone.
    fn alone(&mut self, future: Actor, what: &str) {
        self.actors.insert(TRUE_HOST, future);
        for _ in 0..TURNS {
            if self.actors.contains_key(&TRUE_HOST) {
                self.step(TRUE_HOST);
            }
        }
        if self.actors.remove(&TRUE_HOST).is_some() {
            self.world.violate(Violation::new("everything-ends", format!("{what} does not come to an end")));
        }
    }
}
