//! What the app's code does in a schedule.

use super::write::{Insert, Pays, Theirs, Verb, What, When};
use super::{THEIRS, image};
use crate::generate::{KINDS, Maker, STEPS_MS};
use crate::script::{Op, Role};

/// At most so many rows have been thought of, and so many users: the last one may be missing.
const ROWS: u64 = 6;
const USERS: u64 = 4;

impl Maker {
    /// The users come, but for one who may be missing when a refund is due.
    pub fn their_users(&mut self) {
        for user in 1..=USERS {
            if user < USERS || self.random.percent(50) {
                self.their_user(user);
            }
        }
    }

    fn their_user(&mut self, user: u64) {
        let credits = self.random.pick([0, 15, 100, 1_000, 1_000]);
        self.their(What::Join(Pays { user: user.cast_signed(), credits, if_changed: false }));
    }

    /// Something that the app's own code does, or that is done to a row of it.
    pub fn their_code(&mut self) {
        let gid = self.their_row();
        match self.random.below(100) {
            0..18 => self.their_insert(),
            18..32 => self.their_life(),
            32..42 => self.their_late(gid),
            42..50 => self.their_end(gid),
            50..56 => self.their(What::Start(gid)),
            56..64 => {
                let when = self.when();
                self.their(What::Beat(gid, when));
            }
            64..68 => self.their(What::Requeue(gid)),
            68..73 => {
                let word = self.random.pick([Some("moderating"), Some("archived"), None, Some("queued")]);
                self.their(What::Word(gid, word));
            }
            73..75 => self.their(What::Title(gid)),
            75..77 => {
                let user = self.random.pick([None, Some(1), Some(2), Some(4)]);
                self.their(What::Own(gid, user));
            }
            77..79 => {
                let price = self.random.pick([0, 10, 40]);
                self.their(What::Price(gid, price));
            }
            79..82 => {
                let to = self.their_row();
                self.their(What::Move(gid, to));
            }
            82..86 => self.their(What::Delete(gid)),
            86..92 => {
                let state = self.random.pick([None, Some("succeeded"), Some("running"), Some("error")]);
                let actor = self.spawn(Role::Save { gid, state }, 3);
                let times = self.random.pick([0, 1, 2, 2]);
                self.burst(actor, times);
            }
            92..93 => self.their_user(USERS),
            93..97 => self.their_race(gid),
            _ => {
                let creation = THEIRS.saturating_add(gid as usize);
                let role = if self.random.percent(60) {
                    Role::Restore { creation, tries: self.random.pick([1, 2]) }
                } else if self.random.percent(30) {
                    // Refused: their money is the app's.
                    Role::Retry { creation, user: None, back: 0, tries: 1, twice: false }
                } else if self.random.percent(30) {
                    Role::Cancel { creation, user: None, named: false, tries: 1 }
                } else {
                    let user = THEIRS.saturating_add(self.random.below(USERS) as usize).saturating_add(1);
                    Role::Owner { creation, user, publishes: self.random.percent(50), tries: 1 }
                };
                let actor = self.spawn(role, 2);
                self.burst(actor, 1);
            }
        }
    }

    fn their_row(&mut self) -> i64 {
        self.random.below(ROWS).saturating_add(1).cast_signed()
    }

    fn when(&mut self) -> When {
        match self.random.below(20) {
            0 => When::Never,
            1 => When::Garbage,
            2..8 => When::Ago(self.random.pick(STEPS_MS).cast_signed()),
            _ => When::Ago(0),
        }
    }

    /// One transaction, which comes now or later.
    fn their(&mut self, what: What) {
        self.theirs(vec![Theirs::free(what)], 1);
    }

    fn theirs(&mut self, writes: Vec<Theirs>, times: u64) -> usize {
        let turns = (writes.len() as u64).saturating_mul(2);
        let tries = self.random.pick([1, 2, 3]);
        let actor = self.spawn(Role::Theirs { writes, tries }, turns);
        let now = self.random.percent(85);
        self.burst(actor, if now { times } else { 0 });
        actor
    }

    /// It charges by itself, in the same transaction.
    fn charged(&mut self, gid: Option<i64>) -> Theirs {
        let verb = self.random.pick([
            Verb::Plain,
            Verb::Plain,
            Verb::Plain,
            Verb::Ignore,
            Verb::Replace,
            Verb::Upsert,
        ]);
        let state =
            self.random.pick(["queued", "queued", "queued", "running", "succeeded", "error", "moderating"]);
        let user = self.random.below(USERS).saturating_add(1).cast_signed();
        let credits = self.random.pick([Some(10), Some(10), Some(10), Some(40), Some(0), None, Some(-1)]);
        let insert = Insert {
            gid,
            verb,
            user: if self.random.percent(95) { Some(user) } else { None },
            kind: self.random.pick(KINDS),
            state,
            credits,
            created: self.when(),
        };
        let if_changed = self.random.percent(50);
        let pays = credits.filter(|credits| *credits > 0);
        let pays = pays.map(|credits| Pays { user, credits: credits.saturating_neg(), if_changed });
        Theirs { what: What::Insert(insert), pays }
    }

    fn their_insert(&mut self) {
        let gid = if self.random.percent(80) { Some(self.their_row()) } else { None };
        let write = self.charged(gid);
        self.theirs(vec![write], 1);
    }

    /// A sweep has decided, and the app writes before it does.
    fn their_race(&mut self, gid: i64) {
        if self.random.percent(60) {
            let write = self.charged(Some(gid));
            self.theirs(vec![write], 1);
            let millis = self.random.pick([360_001, 3_600_001, 21_600_000]);
            self.ops.push(Op::Advance(millis));
        }
        let sweep = if self.random.percent(60) { Self::cron() } else { self.sweep() };
        let sweep = self.spawn(Role::Sweep(sweep), 4);
        self.burst(sweep, 1);
        let price = self.random.pick([10, 30, 40]);
        let what = self.random.pick([0, 0, 0, 0, 1, 2, 3, 4, 5]);
        let what = match what {
            0 => What::Price(gid, price),
            1 => What::Start(gid),
            2 => What::Beat(gid, When::Ago(0)),
            3 => What::Succeed(gid),
            4 => What::Word(gid, Some("moderating")),
            _ => What::Delete(gid),
        };
        self.theirs(vec![Theirs::free(what)], 1);
        self.burst(sweep, 2);
    }

    /// The end by a worker, which may give the credits back by itself.
    fn end(&mut self, gid: i64) -> Theirs {
        if self.random.percent(60) {
            return Theirs::free(What::Succeed(gid));
        }
        let user = self.random.below(USERS).saturating_add(1).cast_signed();
        let pays = Pays { user, credits: 10, if_changed: self.random.percent(50) };
        Theirs { what: What::Fail(gid), pays: self.random.percent(70).then_some(pays) }
    }

    fn their_end(&mut self, gid: i64) {
        let write = self.end(gid);
        self.theirs(vec![write], 1);
    }

    /// A row from its insert to its end: somebody may come between any two of its writes.
    fn their_life(&mut self) {
        let gid = self.their_row();
        let mut writes = vec![self.charged(Some(gid)), Theirs::free(What::Start(gid))];
        for _ in 0..self.random.pick([0, 0, 1, 2]) {
            writes.push(Theirs::free(What::Beat(gid, When::Ago(0))));
        }
        writes.push(self.end(gid));
        let times = self.random.pick([1, 1, 2, 3, 5]);
        self.theirs(writes, times);
    }

    /// A worker of the app that is slow, a sweep in between, its result too late, and an operator who restores it.
    fn their_late(&mut self, gid: i64) {
        let insert = self.charged(Some(gid));
        let end = if self.random.percent(80) { Theirs::free(What::Succeed(gid)) } else { self.end(gid) };
        let worker = self.theirs(vec![insert, Theirs::free(What::Start(gid)), end], 2);
        let millis = self.random.pick([360_001, 3_600_001, 21_600_000]);
        self.ops.push(Op::Advance(millis));
        self.sweeps();
        self.burst(worker, 1);
        if self.random.percent(50) {
            let creation = THEIRS.saturating_add(gid as usize);
            let operator = self.spawn(Role::Restore { creation, tries: 2 }, 2);
            self.burst(operator, 1);
        }
    }
}

/// A whole row as it is to be saved: as it was read, but for its status.
pub fn saved(gid: i64, row: &image::Row, state: Option<&'static str>, result: String) -> Theirs {
    use rusqlite::types::Value;
    let mut row = row.clone();
    if let Some(state) = state {
        row.0.insert("state", Value::Text(state.to_owned()));
        if state == "succeeded" {
            row.0.insert("result_url", Value::Text(result));
        }
    }
    Theirs::free(What::Save(gid, Box::new(row)))
}
