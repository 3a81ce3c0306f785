//! Where everybody's rows are, who knows of it, and which database answers nothing.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::json;
use stale_drafts::config::{Config, Shards};
use stale_drafts::rules::{BUCKETS, Bucket, BucketSet, Timestamp};
use stale_drafts::service::moves::GRACE_MS;
use stale_drafts::store::{Buckets, Param, Statement};

use super::{MoveRow, Moving, binding, is_of, owner, part};
use crate::call::Call;
use crate::generate::HOSTS;
use crate::image::Image;
use crate::invariants::History;
use crate::script::{Write, user_id};
use crate::sql;
use crate::world::{Violation, World};

/// The host whose configuration the app's own code has.
const APP: usize = 0;

/// A configuration, and how many moves had been decided when an invocation began with it.
#[derive(Clone)]
pub struct Known {
    pub shards: Rc<Shards>,
    moved: usize,
}

/// See the module.
pub struct Places {
    /// The home of each bucket.
    homes: RefCell<Vec<usize>>,
    /// The buckets of each move that was decided.
    moved: RefCell<Vec<Buckets>>,
    /// When a target took writes, or a source did again, and of which buckets.
    opened: RefCell<Vec<(Buckets, Timestamp)>>,
    /// Everything that stands in each database, whether it counts or not.
    all: RefCell<Vec<Rc<Image>>>,
    /// The configuration, of which hosts learn later.
    newest: RefCell<Rc<Shards>>,
    deployed: RefCell<Vec<Rc<Shards>>>,
    silent: RefCell<BTreeSet<usize>>,
    calm: Cell<bool>,
}

/// What came of a transaction.
pub struct Change {
    pub outcome: Result<(), Violation>,
    pub reached: Vec<&'static str>,
}

impl Places {
    /// Two databases have half of the buckets each, and a third one none.
    ///
    /// # Errors
    ///
    /// Those of the configuration.
    pub fn new(databases: usize) -> Result<Self, String> {
        let homes: Vec<_> = (0..BUCKETS).map(|bucket| usize::from(bucket >= BUCKETS / 2)).collect();
        let newest = Rc::new(shards(&homes, databases)?);
        let image = |shard| Rc::new(Image { shard, ..Image::default() });
        Ok(Places {
            homes: RefCell::new(homes),
            moved: RefCell::default(),
            opened: RefCell::default(),
            all: RefCell::new((0..databases).map(image).collect()),
            deployed: RefCell::new((0..HOSTS).map(|_| Rc::clone(&newest)).collect()),
            newest: RefCell::new(newest),
            silent: RefCell::default(),
            calm: Cell::new(false),
        })
    }

    /// What stands in each database at the beginning.
    pub fn begin(&self, images: &[Rc<Image>]) {
        *self.all.borrow_mut() = images.to_vec();
    }

    /// The buckets that the newest configuration gives each database.
    pub fn given(&self) -> Vec<BucketSet> {
        self.newest.borrow().iter().map(|shard| shard.buckets).collect()
    }

    /// The database that counts for a user.
    pub fn home(&self, user_id: &str) -> usize {
        self.homes.borrow().get(usize::from(Bucket::of_user(user_id).number())).copied().unwrap_or(0)
    }

    /// The configuration that a host has by now. Whoever is on none of them has the newest.
    pub fn known_to(&self, host: usize) -> Known {
        let deployed = self.deployed.borrow();
        let shards =
            deployed.get(host).filter(|_| !self.calm.get()).unwrap_or(&*self.newest.borrow()).clone();
        Known { shards, moved: self.moved.borrow().len() }
    }

    /// Whether an invocation goes by an older configuration, or something has moved since it began.
    pub fn is_behind(&self, known: &Known, user_id: &str) -> bool {
        let moved = self.moved.borrow();
        known.shards.of(Bucket::of_user(user_id)) != self.home(user_id)
            || moved.iter().skip(known.moved).any(|buckets| is_of(*buckets, user_id))
    }

    /// An operator writes into the configuration where the buckets are. Hosts learn of it later.
    pub fn configure(&self) -> Result<(), String> {
        let databases = self.all.borrow().len();
        let newest = shards(&self.homes.borrow(), databases)?;
        if **self.newest.borrow() != newest {
            *self.newest.borrow_mut() = Rc::new(newest);
        }
        Ok(())
    }

    /// An operator gives buckets to another database, and has moved nothing.
    pub fn give_away(&self, moving: Moving) -> Result<(), String> {
        let mut homes = self.homes.borrow().clone();
        let Buckets { first, last } = moving.buckets;
        if let Some(homes) = homes.get_mut(first as usize..=last as usize) {
            homes.fill(moving.target);
        }
        *self.newest.borrow_mut() = Rc::new(shards(&homes, self.all.borrow().len())?);
        Ok(())
    }

    /// A host gets the newest configuration.
    pub fn deploy(&self, host: usize) {
        if let Some(deployed) = self.deployed.borrow_mut().get_mut(host) {
            *deployed = Rc::clone(&self.newest.borrow());
        }
    }

    /// Whether all of them have it.
    pub fn is_deployed(&self) -> bool {
        let newest = self.newest.borrow();
        self.calm.get() || self.deployed.borrow().iter().all(|deployed| Rc::ptr_eq(deployed, &newest))
    }

    /// From now on a database answers nothing, or it does again.
    pub fn silence(&self, shard: usize, silent: bool) {
        if silent {
            self.silent.borrow_mut().insert(shard);
        } else {
            self.silent.borrow_mut().remove(&shard);
        }
    }

    /// Whether it answers nothing.
    pub fn is_silent(&self, shard: usize) -> bool {
        self.silent.borrow().contains(&shard)
    }

    /// From now on every database answers, and every host has the newest configuration.
    pub fn calm(&self) {
        self.silent.borrow_mut().clear();
        self.calm.set(true);
    }

    /// Whether the database that counts for a user refuses what is written of theirs.
    pub fn is_moving(&self, user_id: &str) -> bool {
        let all = self.all.borrow();
        let refuses = |row: &MoveRow| {
            let state = row.state.as_str();
            let closed = if row.leaves { ["paused", "copied", "verified"] } else { ["arriving"; 3] };
            is_of(row.buckets, user_id) && (closed.contains(&state) || state == "cancelling")
        };
        all.get(self.home(user_id)).is_some_and(|image| image.moves.rows.values().any(refuses))
    }

    /// Where the app's own code writes, and its batch. A hand at the console does not ask whether the database has the bucket.
    pub fn direct(&self, write: &Write, statement: Statement) -> (usize, Vec<Statement>) {
        let (user, asks) = match write {
            Write::Grant { user, .. } | Write::Import { user, .. } => (*user, true),
            Write::Start(at)
            | Write::Heartbeat(at)
            | Write::Complete(at)
            | Write::Fail(at)
            | Write::Rekind(at, _) => (owner(*at), true),
            Write::CompleteUnguarded(at)
            | Write::Garble(at, _)
            | Write::RefundByHand(at)
            | Write::Forget(at)
            | Write::Reprice(at) => (owner(*at), false),
        };
        let bucket = Bucket::of_user(&user_id(user));
        let params = vec![Param::Integer(bucket.number().into())];
        let accept = Statement { sql: sql::ACCEPT, params };
        let shard = self.known_to(APP).shards.of(bucket);
        (shard, asks.then_some(accept).into_iter().chain([statement]).collect())
    }

    /// Takes what stands in a database after a transaction, puts into `images` what counts, and judges what belongs to moves.
    pub fn take(
        &self,
        images: &RefCell<Vec<Rc<Image>>>,
        shard: usize,
        call: &Call,
        all: Rc<Image>,
        now: Timestamp,
    ) -> Change {
        let mut change = Change { outcome: Ok(()), reached: Vec::new() };
        let Some(then) =
            self.all.borrow_mut().get_mut(shard).map(|then| std::mem::replace(then, Rc::clone(&all)))
        else {
            return change;
        };
        let counted = images.borrow().get(shard).map(Rc::clone).unwrap_or_default();
        if let Call::Move(moving) = call {
            let turned = all
                .moves
                .rows
                .iter()
                .filter(|(id, row)| then.moves.rows.get(*id).is_none_or(|then| then.state != row.state));
            let mut decided = None;
            for (_, row) in turned {
                match (row.leaves, row.state.as_str()) {
                    (true, "moved") => decided = Some(row.buckets),
                    (false, "open") | (true, "cancelled") => {
                        self.opened.borrow_mut().push((row.buckets, now))
                    }
                    _ => {}
                }
                change.reached.extend(reached(row));
            }
            change.outcome = match decided {
                Some(buckets) => self.decide(images, moving, buckets, &counted, &all),
                None => self.moved_nothing(call, &counted, &all),
            };
        } else if then.moves != all.moves {
            let found = format!("{call} changed a move");
            change.outcome = Err(Violation::new("only-what-was-asked", found));
        } else {
            let elsewhere = |user: &str| self.home(user) != shard;
            let (before, after) = (part::of_users(&then, elsewhere), part::of_users(&all, elsewhere));
            if before != after {
                let what = part::difference(&before, &after);
                let found = format!("{call} wrote {what} in {}, which does not count for it", binding(shard));
                change.outcome = Err(Violation::new("written-where-it-counts", found));
            }
        }
        if let Some(image) = images.borrow_mut().get_mut(shard) {
            *image = part::that_counts(&all, |user| self.home(user) == shard);
        }
        if matches!(call, Call::Move(_)) {
            change.outcome = change.outcome.and_then(|()| self.left_behind(images, shard, &all));
            change.outcome = change.outcome.and_then(|()| self.one_takes_writes());
        }
        change
    }

    /// From here on the target counts: it has what the source has, to the letter.
    fn decide(
        &self,
        images: &RefCell<Vec<Rc<Image>>>,
        moving: &Moving,
        buckets: Buckets,
        counted: &Image,
        all: &Rc<Image>,
    ) -> Result<(), Violation> {
        let goes = |user: &str| is_of(buckets, user);
        let target = self.all.borrow().get(moving.target).map(Rc::clone).unwrap_or_default();
        let (leaves, arrives) = (part::of_users(counted, goes), part::of_users(&target, goes));
        let stays = part::of_users(counted, |user| !goes(user))
            == part::of_users(all, |user| !goes(user) && self.home(user) == moving.source);
        if let Some(homes) = self.homes.borrow_mut().get_mut(buckets.first as usize..=buckets.last as usize) {
            homes.fill(moving.target);
        }
        self.moved.borrow_mut().push(buckets);
        if let Some(image) = images.borrow_mut().get_mut(moving.target) {
            *image = part::that_counts(&target, |user| self.home(user) == moving.target);
        }
        if leaves == arrives && stays {
            return Ok(());
        }
        let what = part::difference(&leaves, &arrives);
        Err(Violation::new("a-move-changes-nothing", format!("{moving}: {what} is not the same in both")))
    }

    /// Any other transaction of a mover leaves what counts as it is.
    fn moved_nothing(&self, call: &Call, counted: &Image, all: &Rc<Image>) -> Result<(), Violation> {
        let after = part::that_counts(all, |user| self.home(user) == all.shard);
        let after = Image { moves: counted.moves.clone(), ..Image::clone(&after) };
        if after == *counted {
            return Ok(());
        }
        let what = part::difference(counted, &after);
        Err(Violation::new(
            "a-move-changes-nothing",
            format!("{call} changed {what} in {}", binding(all.shard)),
        ))
    }

    /// No user's rows are ever in two databases that both take writes.
    fn one_takes_writes(&self) -> Result<(), Violation> {
        let all = self.all.borrow();
        for user in (0..super::USERS).map(user_id) {
            let take: Vec<_> = all
                .iter()
                .filter(|image| image.moves.takes(&user))
                .map(|image| binding(image.shard))
                .collect();
            if take.len() > 1 {
                let found = format!("{} take what is written of {user}", take.join(" and "));
                return Err(Violation::new("one-takes-writes", found));
            }
        }
        Ok(())
    }

    /// What is where it does not count, not any more or not yet, is a part of what does.
    fn left_behind(
        &self,
        images: &RefCell<Vec<Rc<Image>>>,
        shard: usize,
        all: &Image,
    ) -> Result<(), Violation> {
        let images = images.borrow();
        for entry in all.ledger.values() {
            let home = self.home(&entry.user_id);
            let there = images.get(home).and_then(|image| image.ledger.get(&entry.key));
            if home != shard && there != Some(entry) {
                let found = format!("{} is in {}, and not in {}", entry.key, binding(shard), binding(home));
                return Err(Violation::new("money-is-in-one-place", found));
            }
        }
        Ok(())
    }

    /// No sweep decides on a silence that a move has caused: on a creation of which a report was refused since its owner moves, before
    /// its workers have had time to report again.
    pub fn no_silence(
        &self,
        before: &Image,
        after: &Image,
        call: &Call,
        history: &History,
        world: &World,
    ) -> Result<(), Violation> {
        // The time is measured by movers' clocks.
        if !matches!(call, Call::Sweep(_)) || world.is_skewed() {
            return Ok(());
        }
        let now = world.true_time();
        for (id, row) in &after.creations {
            let Some(since) = history.silenced.get(id).filter(|_| before.creations.get(id) != Some(row))
            else {
                continue;
            };
            let opened = self.opened.borrow();
            let mut opened =
                opened.iter().rev().filter(|(buckets, at)| at >= since && is_of(*buckets, &row.user_id));
            let why = match opened.next() {
                Some((_, at)) if now.millis_since(*at) < GRACE_MS => "too early",
                Some(_) => continue,
                None if self.is_moving(&row.user_id) => "while it moves",
                None => continue,
            };
            let found = format!("{call} decided on {id} {why}: a report of it was refused by a move");
            return Err(Violation::new("a-move-is-no-silence", found));
        }
        Ok(())
    }

    /// One of the moves that still have users, though they are over.
    pub fn with_users(&self) -> Option<Moving> {
        let all = self.all.borrow();
        let image = all.iter().find(|image| !image.moves.users.is_empty())?;
        let row = image.moves.users.values().find_map(|id| image.moves.rows.get(id))?;
        Some(Moving { buckets: row.buckets, source: image.shard, target: image.shard })
    }

    /// The moves that are not over, with their states in the source and in the target.
    pub fn unfinished(&self) -> Vec<(String, Moving, [Option<String>; 2])> {
        let mut list: BTreeMap<String, (Moving, [Option<String>; 2])> = BTreeMap::new();
        let all = self.all.borrow();
        for image in &*all {
            for (id, row) in &image.moves.rows {
                let other = (0..all.len()).find(|shard| binding(*shard) == row.other).unwrap_or(0);
                let (source, target) = if row.leaves { (image.shard, other) } else { (other, image.shard) };
                let moving = Moving { buckets: row.buckets, source, target };
                let (_, states) = list.entry(id.clone()).or_insert((moving, [None, None]));
                let [source, target] = states;
                *if row.leaves { source } else { target } = Some(row.state.clone());
            }
        }
        let over = |states: &[Option<String>; 2]| {
            let states = states.each_ref().map(Option::as_deref);
            matches!(states, [Some("trimmed"), Some("settled")] | [Some("cancelled"), Some("cancelled")])
        };
        list.into_iter()
            .filter(|(_, (_, states))| !over(states))
            .map(|(id, (moving, states))| (id, moving, states))
            .collect()
    }

    /// Once all moves are over nothing is where it does not count, nobody is on the way, and every home takes writes.
    pub fn at_rest(&self) -> Result<(), Violation> {
        let fail = |found: String| Err(Violation::new("a-move-ends", found));
        for image in &*self.all.borrow() {
            let database = binding(image.shard);
            if let Some((user, id)) = image.moves.users.first_key_value() {
                return fail(format!("{user} is still of move {id} in {database}"));
            }
            let elsewhere = part::of_users(image, |user| self.home(user) != image.shard);
            if elsewhere != Image::default() {
                let what = part::difference(&elsewhere, &Image::default());
                return fail(format!("{what} remains in {database}"));
            }
        }
        for user in (0..super::USERS).map(user_id) {
            let home = self.home(&user);
            if self.all.borrow().get(home).is_some_and(|image| !image.moves.takes(&user)) {
                return fail(format!("the bucket of {user} is closed in {}", binding(home)));
            }
        }
        Ok(())
    }
}

/// What a move has come to.
fn reached(row: &MoveRow) -> Option<&'static str> {
    match (row.leaves, row.state.as_str()) {
        (true, "paused") => Some("moves begun"),
        (true, "moved") => Some("moves decided"),
        (true, "cancelled") => Some("moves cancelled"),
        (false, "settled") => Some("moves done"),
        _ => None,
    }
}

/// The configuration that says where the buckets are, as the Worker reads it.
fn shards(homes: &[usize], databases: usize) -> Result<Shards, String> {
    let ranges = |shard: usize| {
        let mut list: Vec<(usize, usize)> = Vec::new();
        for (bucket, _) in homes.iter().enumerate().filter(|(_, home)| **home == shard) {
            match list.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(bucket) => *last = bucket,
                _ => list.push((bucket, bucket)),
            }
        }
        list.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(",")
    };
    let table = |shard| json!({ "binding": binding(shard), "buckets": ranges(shard) });
    let table = json!({ "shards": (0..databases).map(table).collect::<Vec<_>>() });
    Config::from_json(&table).map(|config| config.shards).map_err(|error| error.to_string())
}
