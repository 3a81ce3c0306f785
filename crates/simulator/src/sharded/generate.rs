//! What a schedule has of moves.

use stale_drafts::rules::{BUCKETS, Bucket};
use stale_drafts::store::Buckets;

use super::{Moving, USERS, Way};
use crate::generate::{HOSTS, KINDS, Maker};
use crate::script::{End, Fault, Op, Role, Settings, Uses, Value, Write, user_id};

/// A move takes some hundred calls.
const TURNS: u64 = 200;

impl Maker {
    /// Somebody moves buckets, dies on the way or does not, and others go on with it, or against it.
    pub fn moving(&mut self) {
        let moving = self.buckets();
        let mut movers = vec![self.mover(moving, Way::There)];
        if self.random.percent(40) {
            let way = self.random.pick([Way::There, Way::ThereAtOnce, Way::Back]);
            movers.push(self.mover(moving, way));
        }
        for _ in 0..self.random.below(8).saturating_add(1) {
            for mover in &mut movers {
                let times = self.random.pick([1, 2, 5, 10, 30]);
                self.burst(*mover, times);
                if self.random.percent(20) {
                    let fault = self.random.pick([Fault::DiesBefore, Fault::DiesAfter]);
                    self.ops.push(Op::Fault { actor: *mover, fault });
                    self.burst(*mover, 1);
                    let way = self.random.pick([Way::There, Way::There, Way::ThereAtOnce, Way::Back]);
                    *mover = self.mover(moving, way);
                }
            }
            for _ in 0..self.random.below(4) {
                self.beside();
            }
        }
        if self.random.percent(50) {
            self.arrive(&movers);
        }
    }

    /// Somebody changes the configuration and moves nothing. Others create, grant and report meanwhile.
    pub fn unmoved(&mut self) {
        let moving = self.buckets();
        let mistaken = self.spawn(Role::Move { moving, way: Way::Unmoved, small: false }, TURNS);
        self.burst(mistaken, 1);
        for _ in 0..self.random.below(6).saturating_add(2) {
            self.beside();
            self.burst(mistaken, 1);
        }
        self.burst(mistaken, 10);
    }

    /// A worker's report is refused since its owner moves, and a sweep comes soon after that has ended: nobody may take that for silence.
    pub fn refused(&mut self) {
        let creation = self.random.below(self.creations) as usize;
        let user = super::owner(creation);
        let settings = vec![(&["max_age_hours"][..], Value::Number(self.random.pick([0.01, 0.1])))];
        self.ops.push(Op::Policy(Settings(settings)));
        let kind = self.random.pick(KINDS);
        let creator = self.spawn(Role::Create { creation, user, kind, tokens: 1, tries: 2 }, 2);
        self.asked.push((creation, user));
        self.burst(creator, 1);
        let (end, uses) = (End::Vanishes, Uses::Unsaid);
        let role = Role::Worker { creation, name: 0, beats: 1, end, uses, tries: 1, twice: false };
        let worker = self.spawn(role, 6);
        self.burst(worker, 1);
        let bucket = u32::from(Bucket::of_user(&user_id(user)).number());
        // Where it is from the beginning, and mostly still.
        let source = usize::from(bucket >= u32::from(BUCKETS) / 2);
        let target = source.saturating_add(1).checked_rem(self.databases).unwrap_or(0);
        let moving = Moving { buckets: Buckets { first: bucket, last: bucket }, source, target };
        let mover = self.spawn(Role::Move { moving, way: Way::There, small: false }, TURNS);
        let times = self.random.pick([10, 14, 18]);
        self.burst(mover, times);
        // It waits for its turn, and is refused.
        self.burst(worker, 3);
        self.burst(mover, 40);
        self.arrive(&[mover]);
    }

    /// Everybody learns of it, and a sweep comes soon: that is when a report that was refused would be missed.
    fn arrive(&mut self, movers: &[usize]) {
        for mover in movers {
            self.burst(*mover, 20);
        }
        self.ops.extend((0..HOSTS).map(|host| Op::Deploy { host }));
        for mover in movers {
            self.burst(*mover, 30);
        }
        let millis = self.random.pick([0, 36_001, 360_001, 1_800_000]);
        self.ops.push(Op::Advance(millis));
        self.sweeps();
    }

    /// What happens beside a move.
    fn beside(&mut self) {
        match self.random.below(10) {
            0..2 => self.deploy(),
            2 => self.silence(),
            // Often the first that there is of that user: no mover can know them.
            3 => {
                let user = self.random.place(USERS);
                self.ops.push(Op::App(Write::Grant { user, tokens: 10 }));
            }
            _ => self.anything(),
        }
    }

    fn mover(&mut self, moving: Moving, way: Way) -> usize {
        let small = self.random.percent(70);
        self.spawn(Role::Move { moving, way, small }, TURNS)
    }

    /// Of one user, of those about one, or of half of the buckets.
    fn buckets(&mut self) -> Moving {
        let source = self.random.place(self.databases);
        let target =
            source.saturating_add(1).saturating_add(self.random.place(self.databases.saturating_sub(1)));
        let target = target.checked_rem(self.databases).unwrap_or(0);
        let one = |user: usize| u32::from(Bucket::of_user(&user_id(user)).number());
        let half = |number: u32| if number < 2_048 { (0, 2_047) } else { (2_048, 4_095) };
        let user = one(self.random.place(USERS));
        let (first, last) = match self.random.below(4) {
            0 => (user, user),
            1 => (user.saturating_sub(300).max(half(user).0), user.saturating_add(300).min(half(user).1)),
            _ => half(user),
        };
        Moving { buckets: Buckets { first, last }, source, target }
    }

    /// A host gets the newest configuration, or all of them do.
    pub fn deploy(&mut self) {
        if self.random.percent(40) {
            self.ops.extend((0..HOSTS).map(|host| Op::Deploy { host }));
        } else {
            let host = self.random.place(HOSTS);
            self.ops.push(Op::Deploy { host });
        }
    }

    /// A database answers nothing for a while.
    pub fn silence(&mut self) {
        let shard = self.random.place(self.databases);
        self.ops.push(Op::Silence { shard, silent: true });
        for _ in 0..self.random.below(5) {
            self.anything();
        }
        self.ops.push(Op::Silence { shard, silent: false });
    }
}
