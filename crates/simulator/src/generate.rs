//! The schedule of a seed. It depends on the seed only, never on what happens: so it can be written down beforehand, and
//! made shorter afterwards.

use stale_drafts::rules::{Active, CircuitBreaker, Status};
use stale_drafts::service::sweep::Source;

use crate::attached::{self, THEIRS};
use crate::random::Random;
use crate::script::{
    End, Fault, InBulk, Op, Receiver, Role, Says, Settings, Stamp, Sweep, Uses, Value, Write,
};
use crate::sharded;

/// At most so many creations, users and hosts are in a run.
pub const CREATIONS: u64 = 12;
const USERS: u64 = 4;
pub const HOSTS: usize = 4;
/// The greatest balance that there can be; a refund to one who has nearly that much is rejected.
pub const MAX_TOKENS: i64 = 9_007_199_254_740_991;
pub const KINDS: [&str; 3] = ["image", "video", "song"];

/// Hours and minutes of limits. Few and coarse, and the steps of time are made of the same: so things often happen at
/// exactly the same millisecond, exactly at a limit, and one millisecond past it.
const HOURS: [f64; 6] = [0.01, 0.01, 0.1, 0.5, 1.0, 24.0];
const MINUTES: [f64; 4] = [0.5, 2.0, 10.0, 120.0];
pub const STEPS_MS: [u64; 16] = [
    0, 1, 1_000, 5_000, 30_000, 30_001, 36_000, 36_001, 60_000, 120_000, 360_000, 360_001, 1_800_000,
    3_600_000, 3_600_001, 21_600_000,
];

/// The schedule of `seed`.
pub fn schedule(seed: u64) -> Vec<Op> {
    let mut maker = Maker {
        random: Random::new(seed),
        ops: Vec::new(),
        actors: 0,
        live: Vec::new(),
        asked: Vec::new(),
        full: Vec::new(),
        users: 1,
        creations: 1,
        faulty: 0,
        skewed: 0,
        attached: attached::is_attached(seed),
        databases: sharded::databases(seed),
    };
    maker.make();
    maker.ops
}

pub struct Maker {
    pub random: Random,
    pub ops: Vec<Op>,
    actors: usize,
    /// Who has not been let through as often as they may want.
    live: Vec<(usize, u64)>,
    /// Creations that somebody asked for or brought in, and their owners.
    pub asked: Vec<(usize, usize)>,
    /// Users who have as many tokens as there can be.
    full: Vec<usize>,
    users: u64,
    pub creations: u64,
    /// In how many of a hundred cases a call goes wrong.
    faulty: u64,
    /// The same for a clock.
    skewed: u64,
    /// Whether an app's table is attached.
    attached: bool,
    /// How many databases there are.
    pub databases: usize,
}

impl Maker {
    fn make(&mut self) {
        self.users = self.random.below(USERS).saturating_add(1);
        self.creations = self.random.pick([1, 2, 3, 4, 6, 8, CREATIONS]);
        if self.databases > 1 {
            self.users = sharded::USERS as u64;
            // Several of one user, so that a page of a move ends between two of the same moment.
            self.creations = self.random.pick([4, 8, CREATIONS, CREATIONS]);
        }
        self.faulty = self.random.pick([0, 0, 5, 20]);
        self.skewed = self.random.pick([0, 0, 30, 100]);
        self.breaker();
        if self.random.percent(75) {
            self.policy();
        }
        if self.random.percent(70) {
            self.notify();
        }
        for host in 0..HOSTS as u64 {
            self.skew(host);
        }
        for user in 0..self.users {
            let tokens = self.random.pick([0, 15, 15, 40, 100, 1_000, 1_000, 1_000_000, MAX_TOKENS]);
            // Whoever has nothing yet is known to no mover.
            let tokens = if self.databases > 1 && self.random.percent(40) { 0 } else { tokens };
            if tokens > 0 {
                self.ops.push(Op::App(Write::Grant { user: user as usize, tokens }));
            }
            if tokens == MAX_TOKENS {
                self.full.push(user as usize);
            }
        }
        let several = if self.databases > 1 { 4 } else { 1 };
        for _ in 0..self.random.below(4).saturating_add(several) {
            self.create();
        }
        if self.attached {
            self.their_users();
        }
        let length = self.random.pick([20, 40, 80, 120]);
        if self.databases > 1 {
            if self.random.percent(30) {
                self.refused();
            } else {
                self.moving();
            }
        }
        for _ in 0..length {
            if self.attached && self.random.percent(45) {
                self.their_code();
                continue;
            }
            if self.databases > 1 && self.random.percent(8) {
                match self.random.below(8) {
                    0 => self.deploy(),
                    1 => self.silence(),
                    2 => self.refused(),
                    3 => self.unmoved(),
                    _ => self.moving(),
                }
                continue;
            }
            self.anything();
        }
    }

    /// One of the things that happen in every run.
    pub fn anything(&mut self) {
        match self.random.below(116) {
            0..22 => self.advance(),
            22..32 => self.create(),
            32..44 => self.worker(),
            44..54 => self.sweeps(),
            54..56 => self.plan(),
            56..59 => self.owner(),
            59..63 => self.restore(),
            63..66 => self.courier(),
            66..72 => self.app(),
            72..74 => self.policy(),
            74..75 => self.notify(),
            75..78 => self.late(),
            78..80 => {
                let host = self.random.below(HOSTS as u64);
                self.skew(host);
            }
            80..83 => self.retry(),
            83..86 => self.cancel(),
            86..88 => self.more_time(),
            88..90 => self.ask(),
            90..91 => self.again(),
            91..92 => self.rush(),
            92..94 => self.put_off(),
            94..96 => self.fail_now(),
            96..98 => self.in_bulk(),
            98..99 => self.plan_of_failures(),
            _ => self.step(),
        }
    }

    fn advance(&mut self) {
        let millis = self.random.pick(STEPS_MS);
        self.ops.push(Op::Advance(millis));
    }

    fn skew(&mut self, host: u64) {
        if !self.random.percent(self.skewed) {
            return;
        }
        let millis = match self.random.below(10) {
            0 => self.random.pick([-3_600_000, 3_600_000, 10_800_000]),
            _ => self.random.pick([-90_000, -30_000, -5_000, -1, 0, 1, 1_000, 30_000, 90_000]),
        };
        self.ops.push(Op::Skew { host: host as usize, millis });
    }

    fn policy(&mut self) {
        let mut list = Vec::new();
        let mut maybe = |random: &mut Random, percent, path: &'static [&'static str], minutes: bool| {
            if random.percent(percent) {
                let number = if minutes { random.pick(MINUTES) } else { random.pick(HOURS) };
                list.push((path, if random.percent(8) { Value::Never } else { Value::Number(number) }));
            }
        };
        let random = &mut self.random;
        maybe(random, 80, &["max_age_hours"], false);
        maybe(random, 20, &["pending"], false);
        maybe(random, 30, &["processing"], false);
        maybe(random, 40, &["heartbeat_minutes"], true);
        maybe(random, 30, &["total_hours"], false);
        maybe(random, 15, &["kinds", "video", "max_age_hours"], false);
        maybe(random, 15, &["kinds", "video", "processing"], false);
        maybe(random, 15, &["kinds", "video", "heartbeat_minutes"], true);
        maybe(random, 10, &["kinds", "song", "total_hours"], false);
        if random.percent(5) {
            list.push((&["kinds", "song", "max_age_hours"], Value::Never));
        }
        if random.percent(50) {
            list.push((&["attempts"], Value::Number(random.pick([1.0, 2.0, 2.0, 3.0]))));
        }
        if random.percent(25) {
            list.push((&["kinds", "video", "attempts"], Value::Number(random.pick([1.0, 2.0, 3.0]))));
        }
        for path in [&["cancel"][..], &["kinds", "video", "cancel"]] {
            if random.percent(35) {
                list.push((path, Value::Word(random.pick(["refund", "keep", "keep", "never"]))));
            }
        }
        for path in [&["max_active"][..], &["kinds", "image", "max_active"]] {
            if random.percent(15) {
                list.push((path, Value::Number(random.pick([1.0, 2.0, 3.0]))));
            }
        }
        if random.percent(15) {
            list.push((&["keep_late_results"], Value::False));
        }
        self.ops.push(Op::Policy(Settings(list)));
    }

    /// Most runs have the default circuit breaker; one that opens here has to know of very few.
    fn breaker(&mut self) {
        let few = CircuitBreaker { creations: 4, percent: 80, at_least: 3 };
        let default = Some(CircuitBreaker::default());
        self.ops.push(Op::Breaker(self.random.pick([default, default, default, default, None, Some(few)])));
    }

    fn notify(&mut self) {
        let (app, retry) = (self.random.pick([0, 1, 2, 3, 7]), self.random.pick([0, 4, 5]));
        self.ops.push(Op::Notify { app, retry });
    }

    /// Somebody begins, and may need so many turns.
    pub fn spawn(&mut self, role: Role, turns: u64) -> usize {
        let actor = self.actors;
        self.actors = self.actors.saturating_add(1);
        let host = self.random.place(HOSTS);
        self.ops.push(Op::Spawn { actor, host, role });
        self.live.push((actor, turns));
        actor
    }

    /// Lets somebody through a few times.
    pub fn burst(&mut self, actor: usize, times: u64) {
        for _ in 0..times {
            self.fault(actor);
            self.ops.push(Op::Step { actor });
            if let Some((_, left)) = self.live.iter_mut().find(|(live, _)| *live == actor) {
                *left = left.saturating_sub(1);
            }
        }
        self.live.retain(|(_, left)| *left > 0);
    }

    fn fault(&mut self, actor: usize) {
        if self.random.percent(self.faulty) {
            let fault = self.random.pick([
                Fault::Rejected,
                Fault::AnswerLost,
                Fault::AnswerLost,
                Fault::DiesBefore,
                Fault::DiesAfter,
            ]);
            self.ops.push(Op::Fault { actor, fault });
        }
    }

    /// Mostly somebody who began a short while ago.
    fn step(&mut self) {
        let length = self.live.len();
        let reach = if self.random.percent(70) { length.min(4) } else { length };
        let at = length.saturating_sub(1).saturating_sub(self.random.place(reach));
        if let Some((actor, _)) = self.live.get(at).copied() {
            self.burst(actor, 1);
        }
    }

    fn create(&mut self) {
        let creation = self.random.below(self.creations) as usize;
        let user = self.random.below(self.users) as usize;
        let user = self.owner_of(creation, user);
        let kind = self.random.pick(KINDS);
        let tokens: u32 = self.random.pick([0, 1, 10, 10, 10, 40]);
        let tries = self.random.pick([1, 2, 3]);
        self.asked.push((creation, user));
        let actor = self.spawn(Role::Create { creation, user, kind, tokens: u64::from(tokens), tries }, 1);
        let times = self.random.pick([0, 1, 1, 1, 1, 2]);
        self.burst(actor, times);
        if tokens > 0 && self.full.contains(&user) && self.random.percent(60) {
            // Now a refund would be more than a balance holds.
            self.ops.push(Op::App(Write::Grant { user, tokens: i64::from(tokens) }));
        }
    }

    /// With several databases, an id is of one owner.
    fn owner_of(&self, creation: usize, user: usize) -> usize {
        if self.databases > 1 { sharded::owner(creation) } else { user }
    }

    /// A creation that there may be, and its owner.
    fn one(&mut self) -> (usize, usize) {
        let at = self.random.place(self.asked.len());
        self.asked.get(at).copied().unwrap_or((0, 0))
    }

    fn worker(&mut self) {
        let (creation, _) = self.one();
        let name = self.random.below(3) as usize;
        let beats = self.random.pick([0, 0, 1, 2, 3]);
        let end =
            self.random.pick([End::Completes, End::Completes, End::Completes, End::Fails, End::Vanishes]);
        let (tries, twice) = (self.random.pick([1, 2, 3]), self.random.percent(30));
        let uses = self.uses();
        let role = Role::Worker { creation, name, beats, end, uses, tries, twice };
        let actor = self.spawn(role, u64::from(beats).saturating_mul(2).saturating_add(4));
        let times = self.random.pick([0, 1, 1, 2, 4, 8]);
        self.burst(actor, times);
    }

    /// A sweep of everything.
    pub fn cron() -> Sweep {
        let (user, kind, status, hours, dry_run) = (None, None, None, None, false);
        Sweep { source: Source::Cron, user, kind, status, hours, dry_run, limit: 1_000 }
    }

    pub fn sweep(&mut self) -> Sweep {
        let source =
            self.random.pick([Source::Cron, Source::Cron, Source::Page, Source::Endpoint, Source::Tool]);
        let random = &mut self.random;
        let chosen = matches!(source, Source::Endpoint | Source::Tool);
        let mut sweep = Sweep {
            source,
            user: match source {
                Source::Page => Some(random.below(self.users) as usize),
                _ if chosen && random.percent(20) => Some(random.below(self.users) as usize),
                _ => None,
            },
            kind: (chosen && random.percent(20)).then(|| random.pick(KINDS)),
            status: (chosen && random.percent(20))
                .then(|| random.pick([Active::Pending, Active::Processing])),
            hours: (chosen && random.percent(30)).then(|| random.pick(HOURS)),
            dry_run: chosen && random.percent(30),
            limit: random.pick([1, 2, 3, 5, 1_000, 1_000]),
        };
        if sweep.user.is_some() && self.attached && self.random.percent(60) {
            sweep.user = Some(self.random.pick([1_usize, 2, 3]).saturating_add(THEIRS));
        }
        sweep
    }

    pub fn sweeps(&mut self) {
        let both = self.random.percent(30);
        let mut began = Vec::new();
        for _ in 0..if both { 2 } else { 1 } {
            let sweep = self.sweep();
            began.push(self.spawn(Role::Sweep(sweep), 4));
        }
        // Two at a time take turns.
        for _ in 0..self.random.pick([0, 1, 2, 3]) {
            for actor in &began {
                self.burst(*actor, 1);
            }
        }
    }

    fn plan(&mut self) {
        let sweep = Sweep { source: Source::Tool, dry_run: true, ..self.sweep() };
        let twice = self.random.percent(30);
        let doubled = self.random.percent(15);
        let actor = self.spawn(Role::Plan { sweep, twice, doubled }, 6);
        let times = self.random.pick([1, 2, 2, 3]);
        self.burst(actor, times);
    }

    fn owner(&mut self) {
        let (creation, owner) = self.one();
        let user = if self.random.percent(85) { owner } else { self.random.below(self.users) as usize };
        let (publishes, tries) = (self.random.percent(50), self.random.pick([1, 2]));
        let actor = self.spawn(Role::Owner { creation, user, publishes, tries }, 2);
        let times = self.random.pick([0, 1, 1]);
        self.burst(actor, times);
    }

    fn restore(&mut self) {
        let (creation, _) = self.one();
        let role = if self.random.percent(20) {
            Role::GiveUp { creation }
        } else {
            Role::Restore { creation, tries: self.random.pick([1, 2]) }
        };
        let actor = self.spawn(role, 2);
        let times = self.random.pick([0, 1, 1]);
        self.burst(actor, times);
    }

    /// A worker that is slow, a sweep or another worker's failure in between, the result too late, and an operator who restores it: seldom
    /// by chance.
    fn late(&mut self) {
        let (creation, _) = self.one();
        let end = End::Completes;
        let name = self.random.below(3) as usize;
        let uses = self.uses();
        let role = Role::Worker { creation, name, beats: 0, end, uses, tries: 2, twice: false };
        let worker = self.spawn(role, 4);
        self.burst(worker, 1);
        if self.random.percent(25) {
            // It was sent twice, and the other one gives up: only what that had not used has gone back.
            let (end, uses) = (End::Fails, Uses::Half);
            let role = Role::Worker { creation, name, beats: 0, end, uses, tries: 2, twice: false };
            let other = self.spawn(role, 4);
            self.burst(other, 3);
        } else {
            let millis = self.random.pick([360_001, 3_600_001, 21_600_000]);
            self.ops.push(Op::Advance(millis));
            self.sweeps();
            if self.random.percent(25) {
                self.retry_of(creation);
            }
        }
        self.burst(worker, 2);
        if self.random.percent(60) {
            let tries = self.random.pick([1, 2]);
            let operator = self.spawn(Role::Restore { creation, tries }, 1);
            let times = self.random.pick([0, 1, 1]);
            self.burst(operator, times);
        }
    }

    fn uses(&mut self) -> Uses {
        let unsaid = Uses::Unsaid;
        self.random.pick([
            unsaid,
            unsaid,
            unsaid,
            Uses::Nothing,
            Uses::Half,
            Uses::Half,
            Uses::All,
            Uses::More,
        ])
    }

    /// Its owner, somebody else, or an operator.
    fn somebody(&mut self, owner: usize) -> Option<usize> {
        match self.random.below(10) {
            0..4 => None,
            4 => Some(self.random.below(self.users) as usize),
            _ => Some(owner),
        }
    }

    fn retry(&mut self) {
        let (creation, _) = self.one();
        self.retry_of(creation);
    }

    fn retry_of(&mut self, creation: usize) {
        let owner =
            self.asked.iter().rev().find(|(asked, _)| *asked == creation).map_or(0, |(_, owner)| *owner);
        let user = self.somebody(owner);
        let (back, tries) = (self.random.pick([0, 0, 0, 0, 1]), self.random.pick([1, 2]));
        let twice = self.random.percent(30);
        let actor = self.spawn(Role::Retry { creation, user, back, tries, twice }, 3);
        let times = self.random.pick([0, 1, 1, 1, 2]);
        self.burst(actor, times);
    }

    fn cancel(&mut self) {
        let (creation, owner) = self.one();
        let user = self.somebody(owner);
        let (named, tries) = (self.random.percent(40), self.random.pick([1, 2]));
        let actor = self.spawn(Role::Cancel { creation, user, named, tries }, 2);
        let times = self.random.pick([0, 1, 1]);
        self.burst(actor, times);
    }

    fn fail_now(&mut self) {
        let (creation, _) = self.one();
        let (back, tries) = (self.random.pick([0, 0, 0, 1]), self.random.pick([1, 2]));
        let actor = self.spawn(Role::FailNow { creation, back, tries }, 2);
        let times = self.random.pick([0, 1, 1]);
        self.burst(actor, times);
    }

    fn in_bulk(&mut self) {
        let kind = self.random.percent(30).then(|| self.random.pick(KINDS));
        let (twice, doubled) = (self.random.percent(30), self.random.percent(15));
        let actor = self.spawn(Role::InBulk(InBulk { kind, twice, doubled }), 8);
        let times = self.random.pick([1, 2, 3, 4]);
        self.burst(actor, times);
    }

    /// A plan of failures that was previewed, and one of them goes on before it is carried out.
    fn plan_of_failures(&mut self) {
        let (creation, _) = self.one();
        self.fails(creation);
        let (twice, doubled) = (self.random.percent(30), self.random.percent(15));
        let operator = self.spawn(Role::InBulk(InBulk { kind: None, twice, doubled }), 8);
        self.burst(operator, 2);
        if self.random.percent(60) {
            self.retry_of(creation);
            self.fails(creation);
        }
        self.burst(operator, 4);
    }

    /// A worker that fails at once.
    fn fails(&mut self, creation: usize) {
        let name = self.random.below(3) as usize;
        let (end, uses) = (End::Fails, Uses::Unsaid);
        let role = Role::Worker { creation, name, beats: 0, end, uses, tries: 2, twice: false };
        let worker = self.spawn(role, 4);
        self.burst(worker, 3);
    }

    /// For one creation or for a kind, or the end of it.
    fn more_time(&mut self) {
        let millis = self.random.pick([1, 36_000, 360_000, 1_800_000, 21_600_000]);
        let tries = self.random.pick([1, 2]);
        let kind = self.random.pick(KINDS);
        let role = match self.random.below(6) {
            0..3 => Role::Extend { creation: self.one().0, millis, tries },
            3..5 => Role::ExtendKind { kind, millis: Some(millis) },
            _ => Role::ExtendKind { kind, millis: None },
        };
        let actor = self.spawn(role, 2);
        let times = self.random.pick([0, 1, 1, 2]);
        self.burst(actor, times);
    }

    fn ask(&mut self) {
        let sweep = self.sweep();
        let says = self.random.pick([
            Says::Done,
            Says::Done,
            Says::Running,
            Says::Mixed,
            Says::Mixed,
            Says::Other,
            Says::Garbage,
            Says::Silent,
        ]);
        let most = self.random.pick([1, 2, 100]);
        let actor = self.spawn(Role::Ask { sweep, says, most }, 6);
        let times = self.random.pick([1, 2, 3, 4]);
        self.burst(actor, times);
    }

    /// A worker fails it, somebody has it tried again, and another worker goes on: money of a second charge.
    fn again(&mut self) {
        let (creation, _) = self.one();
        for end in
            [self.random.pick([End::Fails, End::Completes]), self.random.pick([End::Fails, End::Completes])]
        {
            let (name, uses) = (self.random.below(3) as usize, self.uses());
            let role = Role::Worker { creation, name, beats: 0, end, uses, tries: 2, twice: false };
            let worker = self.spawn(role, 4);
            self.burst(worker, 3);
            self.retry_of(creation);
        }
    }

    /// Two requests of one owner at once, of whom a limit may let through only one.
    fn rush(&mut self) {
        let (_, owner) = self.one();
        let kind = self.random.pick(KINDS);
        let mut began = Vec::new();
        for _ in 0..2 {
            let creation = self.random.below(self.creations) as usize;
            let user = self.owner_of(creation, owner);
            self.asked.push((creation, user));
            began.push(self.spawn(Role::Create { creation, user, kind, tokens: 1, tries: 2 }, 2));
        }
        for actor in [&began, &began].into_iter().flatten() {
            self.burst(*actor, 1);
        }
    }

    /// A sweep has decided, and an operator gives more time before it writes, or the app corrects a kind.
    fn put_off(&mut self) {
        let millis = self.random.pick([360_001, 3_600_001, 21_600_000]);
        self.ops.push(Op::Advance(millis));
        let sweep = self.sweep();
        let sweep = self.spawn(Role::Sweep(sweep), 4);
        let looks = self.random.pick([0, 1, 1]);
        self.burst(sweep, looks);
        let millis = self.random.pick([36_000, 360_000, 21_600_000]);
        let (creation, kind) = (self.one().0, self.random.pick(KINDS));
        let role = match self.random.below(5) {
            0..2 => Role::Extend { creation, millis, tries: 1 },
            2..4 => Role::ExtendKind { kind, millis: Some(millis) },
            _ => {
                // Another kind has other limits.
                self.ops.push(Op::App(Write::Rekind(creation, kind)));
                self.burst(sweep, 2);
                return;
            }
        };
        let operator = self.spawn(role, 2);
        self.burst(operator, 1);
        self.burst(sweep, 2);
    }

    fn courier(&mut self) {
        let role = if self.random.percent(15) {
            Role::Replay
        } else {
            Role::Courier(self.random.pick([
                Receiver::Takes,
                Receiver::Takes,
                Receiver::Refuses,
                Receiver::Lies,
            ]))
        };
        let both = self.random.percent(30);
        let mut began = Vec::new();
        for _ in 0..if both { 2 } else { 1 } {
            began.push(self.spawn(role.clone(), 8));
        }
        for _ in 0..self.random.pick([0, 1, 3, 6]) {
            for actor in &began {
                self.burst(*actor, 1);
            }
        }
    }

    fn app(&mut self) {
        let (creation, _) = self.one();
        let write = match self.random.below(16) {
            0 => Write::Grant {
                user: self.random.below(self.users) as usize,
                tokens: self.random.pick([1, 10, 100]),
            },
            1..4 => self.import(),
            4 => Write::Start(creation),
            5 => Write::Heartbeat(creation),
            6 => Write::Complete(creation),
            7 => Write::Fail(creation),
            8 => Write::CompleteUnguarded(creation),
            9 => Write::Garble(creation, self.stamp()),
            10 => Write::RefundByHand(creation),
            11 => Write::Forget(creation),
            12 => Write::Reprice(creation),
            _ => Write::Rekind(creation, self.random.pick(KINDS)),
        };
        self.ops.push(Op::App(write));
    }

    fn import(&mut self) -> Write {
        let (creation, user) =
            (self.random.below(self.creations) as usize, self.random.below(self.users) as usize);
        let user = self.owner_of(creation, user);
        self.asked.push((creation, user));
        Write::Import {
            creation,
            user,
            kind: self.random.pick(KINDS),
            status: self.random.pick([
                Status::Pending,
                Status::Pending,
                Status::Processing,
                Status::Processing,
                Status::Draft,
                Status::Failed,
            ]),
            tokens: self.random.pick([0, 10, 10]),
            created: self.stamp(),
            started: self.stamp(),
            heartbeat: self.stamp(),
        }
    }

    fn stamp(&mut self) -> Stamp {
        match self.random.below(12) {
            0..3 => Stamp::Null,
            3..8 => Stamp::Ago(self.random.pick(STEPS_MS)),
            8 => Stamp::Ahead(self.random.pick([1, 700, 60_000, 60_001, 3_600_000, 3_000_000_000_000])),
            9 => {
                let seconds = Stamp::Seconds(self.random.pick(STEPS_MS));
                self.random.pick([
                    Stamp::Text,
                    seconds,
                    seconds,
                    Stamp::Fraction,
                    Stamp::Negative,
                    Stamp::Huge,
                ])
            }
            _ => Stamp::Ago(0),
        }
    }
}
