//! Several databases, and movers that take buckets from one to another while everybody else goes on. docs/scale.md says what they may
//! rely on. One run in eight has them.
//!
//! A user's home is the database that counts for them, by the moves' rows: the source until a move is `moved`, and then the target. All
//! other invariants are judged by what is at home.

mod answers;
mod generate;
mod mover;
mod part;
mod places;
mod route;

use std::collections::BTreeMap;
use std::fmt;

use rusqlite::Connection;
use stale_drafts::rules::Bucket;
use stale_drafts::store::Buckets;

pub use answers::swept;
pub use mover::{Way, carry, finish};
pub use places::{Known, Places};
pub use route::{all, ask, database_of, find, named, place_of, sweep};

use crate::image::each;
use crate::script::user_id;
use crate::sql;

/// At most so many databases are in a run.
pub const MAX: usize = 3;
/// So many users: each creation has one of them from the beginning, so that no id is of two.
pub const USERS: usize = 4;

/// How many databases the runs of `seed` have.
pub fn databases(seed: u64) -> usize {
    match (seed % 8, (seed / 8) % 4) {
        (5, 0) => 3,
        (5, _) => 2,
        _ => 1,
    }
}

/// The binding of a database.
pub fn binding(shard: usize) -> String {
    format!("DB_{}", shard.saturating_add(1))
}

/// Whose a creation is.
pub const fn owner(creation: usize) -> usize {
    creation % USERS
}

/// The id of a creation: of every second one it carries its owner's bucket, and the others are the app's own.
pub fn creation_id(creation: usize) -> String {
    if creation.is_multiple_of(2) {
        return format!("c{creation}");
    }
    let bucket = Bucket::of_user(&user_id(owner(creation))).number();
    format!("00000000-0000-8{bucket:03x}-8000-{creation:012}")
}

/// What an operator moves, and between which databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moving {
    /// The buckets.
    pub buckets: Buckets,
    /// The database that they leave.
    pub source: usize,
    /// The one that takes them.
    pub target: usize,
}

impl fmt::Display for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moving { buckets: Buckets { first, last }, source, target } = self;
        write!(f, "move of {first}-{last} from {} to {}", binding(*source), binding(*target))
    }
}

/// Whether a user is of these buckets.
pub fn is_of(buckets: Buckets, user_id: &str) -> bool {
    (buckets.first..=buckets.last).contains(&u32::from(Bucket::of_user(user_id).number()))
}

/// The moves of one database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moves {
    /// By id.
    pub rows: BTreeMap<String, MoveRow>,
    /// Whom they are about, until they are done: the move of each.
    pub users: BTreeMap<String, String>,
    /// What is on record: from which bucket on it is in which state.
    pub buckets: BTreeMap<u16, String>,
}

impl Moves {
    /// Whether the database takes writes of a user, by its record.
    pub fn takes(&self, user_id: &str) -> bool {
        let last = self.buckets.range(..=Bucket::of_user(user_id).number()).next_back();
        last.is_some_and(|(_, state)| state == "here")
    }
}

/// A row of `moves`, without the place where the mover goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct MoveRow {
    /// Whether this database is the source.
    pub leaves: bool,
    pub buckets: Buckets,
    /// The binding of the other one.
    pub other: String,
    pub state: String,
}

/// Reads them.
pub fn read(connection: &Connection) -> rusqlite::Result<Moves> {
    let mut moves = Moves::default();
    each(connection, sql::MOVES, |row| {
        let leaves = row.get::<_, String>(1)? == "source";
        let buckets = Buckets { first: row.get(2)?, last: row.get(3)? };
        let read = MoveRow { leaves, buckets, other: row.get(4)?, state: row.get(5)? };
        moves.rows.insert(row.get(0)?, read);
        Ok(())
    })?;
    each(connection, sql::MOVING, |row| {
        moves.users.insert(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    each(connection, sql::BUCKETS, |row| {
        moves.buckets.insert(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    Ok(moves)
}
