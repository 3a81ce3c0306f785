//! Retention: moves creations that ended long ago to an archive, and removes them here. Their money stays in the ledger.
//!
//! First an object is written, then its creations are removed in one transaction, which compares them with what was written. Whoever
//! dies between the two leaves an object more, and the next run writes it again: its key is a hash of its content. So no object is ever
//! overwritten by another, and nothing is lost.

use sha2::{Digest as _, Sha256};

use super::shards::Shard;
use crate::rules::Timestamp;
use crate::store::{self, ArchiveTurn, Behind, Database, DatabaseError, Row};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// An object holds at most so many creations,
const CREATIONS: usize = 1_000;
/// and so many bytes, if it holds several.
const BYTES: usize = 1_500_000;
/// The transaction that removes them takes it as one parameter, and the database at most 2,000,000 bytes.
const MAX_PARAMETER: usize = 1_900_000;
/// About so many bytes of a document are read together.
const READ_BYTES: u64 = 1_000_000;
/// What a document has beside its texts, about.
const BYTES_BESIDE: u64 = 500;
/// The queries of an object: its documents, and the transaction.
const QUERIES_OF_AN_OBJECT: u64 = 7;
/// Those beside them: the turn and its end, and the first rows.
const QUERIES_BESIDE: u64 = 3;
/// With fewer than these a run would do nothing: those of one object, those beside it, and a look behind younger rows.
const QUERIES_AT_LEAST: u64 = 16;

/// Where creations go that ended long ago.
pub trait Archive {
    /// Stores `content` as `key`. What is there already has the same content.
    ///
    /// # Errors
    ///
    /// Why it was not stored, or why that is not known. It is tried again later.
    fn put(&self, key: &str, content: String) -> impl Future<Output = Result<(), String>>;
}

/// What is archived, and how much of it at once.
#[derive(Clone, Copy, Debug)]
pub struct Retention<'a> {
    /// What ended so many days ago stays here.
    pub keep_days: u32,
    /// The name of the database: a part of the keys.
    pub shard: &'a str,
    /// At most so many objects in a run.
    pub max_objects: u32,
    /// How many queries the invocation may have made at the end.
    pub max_queries: u64,
}

/// What a run has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Creations that are in the archive now, and no longer here.
    pub creations: u64,
    /// Objects that were written.
    pub objects: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Creations of this run that moved on after they were read: they stay.
    pub raced: u64,
    /// Creations that seem to be over and stay: see docs/retention.md.
    pub left: u64,
    /// Whether there may be more to archive now.
    pub more: bool,
}

impl Archived {
    /// Both runs, of which `next` is the later one.
    fn and(self, next: Archived) -> Archived {
        Archived {
            creations: self.creations.saturating_add(next.creations),
            objects: self.objects.saturating_add(next.objects),
            bytes: self.bytes.saturating_add(next.bytes),
            raced: self.raced.saturating_add(next.raced),
            left: self.left.saturating_add(next.left),
            more: next.more,
        }
    }
}

/// A run that stopped early: what it did before stays done, and the next one carries on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Why.
    pub error: String,
    /// What it did.
    pub archived: Archived,
}

/// Archives what ended more than `keep_days` ago, hour by hour, the oldest rows first. `None` if it is not due: it is once an hour,
/// and at once where there is more.
///
/// # Errors
///
/// [`Stopped`] if the database or the archive does not answer. It is tried again after ten minutes.
pub async fn archive(
    database: &impl Database,
    archive: &impl Archive,
    retention: Retention<'_>,
    now: Timestamp,
) -> Result<Option<Archived>, Stopped> {
    let mut archived = Archived::default();
    let run = Run { database, archive, retention, now };
    match run.run(&mut archived).await {
        Ok(true) => Ok(Some(archived)),
        Ok(false) => Ok(None),
        Err(error) => Err(Stopped { error, archived }),
    }
}

/// What a run has done on one of several databases, and why it stopped early, if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedThere {
    /// The database's binding.
    pub shard: String,
    /// What it has done.
    pub archived: Archived,
    /// Why it stopped early.
    pub error: Option<String>,
}

/// The same on several databases, `max_objects` in each, and `max_queries` in all of them. Each has a fair share of the queries; what one
/// does not need, others have that have more to do. Those where it was not due are left out.
///
/// Who comes first may make the most of it: the caller lets another one come first each time.
pub async fn archive_each<D: Database>(
    shards: &[Shard<'_, D>],
    archive: &impl Archive,
    retention: Retention<'_>,
    now: Timestamp,
) -> Vec<ArchivedThere> {
    let mut done: Vec<ArchivedThere> = Vec::new();
    let mut left = retention.max_queries;
    let mut waiting = shards.to_vec();
    while !waiting.is_empty() {
        let mut more = Vec::new();
        let share = left.checked_div(waiting.len() as u64).unwrap_or(left).max(QUERIES_AT_LEAST);
        for shard in &waiting {
            let before = shard.database.cost().queries;
            let place = done.iter().position(|there| there.shard == shard.name);
            let written = place.and_then(|place| done.get(place)).map_or(0, |there| there.archived.objects);
            let own = Retention {
                shard: shard.name,
                max_objects: retention.max_objects.saturating_sub(written),
                max_queries: before.saturating_add(share.min(left)),
                ..retention
            };
            let (archived, error) = match self::archive(shard.database, archive, own, now).await {
                Ok(None) => (None, None),
                Ok(Some(archived)) => (Some(archived), None),
                Err(stopped) => (Some(stopped.archived), Some(stopped.error)),
            };
            left = left.saturating_sub(shard.database.cost().queries.saturating_sub(before));
            let Some(archived) = archived else { continue };
            if archived.more && archived.objects > 0 && archived.objects < own.max_objects {
                more.push(*shard);
            }
            match place.and_then(|place| done.get_mut(place)) {
                Some(there) => {
                    there.archived = std::mem::take(&mut there.archived).and(archived);
                    there.error = error;
                }
                None => done.push(ArchivedThere { shard: shard.name.to_owned(), archived, error }),
            }
        }
        waiting = more;
    }
    done
}

struct Run<'a, D, A> {
    database: &'a D,
    archive: &'a A,
    retention: Retention<'a>,
    now: Timestamp,
}

impl<D: Database, A: Archive> Run<'_, D, A> {
    /// `false` if it is not due.
    async fn run(&self, archived: &mut Archived) -> Result<bool, String> {
        if !self.may_ask(QUERIES_BESIDE) {
            return Ok(false);
        }
        let turn = self.ask(store::take_archive_turn(self.now)).await?;
        let Some(mut turn) = store::archive_turn(turn).map_err(text)? else { return Ok(false) };
        archived.more = !self.in_front(&mut turn, archived).await?;
        if !archived.more {
            archived.more = !self.behind(&mut turn, archived).await?;
        }
        let next = self.now.saturating_add(HOUR_MS.saturating_sub(self.now.as_millis() % HOUR_MS));
        let due_at = if archived.more { self.now } else { next };
        self.ask(store::end_archive_turn(turn, due_at, self.now)).await?;
        Ok(true)
    }

    /// Goes through the rows as far as the first that is too young; `false` if it may not go on before that.
    async fn in_front(&self, turn: &mut ArchiveTurn, archived: &mut Archived) -> Result<bool, String> {
        loop {
            let scan = store::scan(self.before(), turn.after_rowid);
            let scanned = store::scanned(self.ask(scan).await?).map_err(text)?;
            if !self.window(&scanned.candidates, archived).await? {
                return Ok(false);
            }
            archived.left = archived.left.saturating_add(scanned.left);
            turn.after_rowid = scanned.next();
            if scanned.is_last() {
                return Ok(true);
            }
            // The end of the turn is to be noted, too.
            if !self.may_ask(1) {
                return Ok(false);
            }
        }
    }

    /// Goes on behind that one as long as it finds something, and looks at so many rows in vain; `false` if it may not go on before that.
    async fn behind(&self, turn: &mut ArchiveTurn, archived: &mut Archived) -> Result<bool, String> {
        while let Some(rowid) = turn.behind_rowid {
            if !self.may_ask(2) {
                return Ok(false);
            }
            let behind = store::behind(self.before(), rowid.max(turn.after_rowid));
            match store::behind_of(self.ask(behind).await?).map_err(text)? {
                Behind::Found(rowid) => {
                    let scanned = self.ask(store::scan(self.before(), rowid)).await?;
                    let scanned = store::scanned(scanned).map_err(text)?;
                    turn.behind_rowid = Some(rowid);
                    if !self.window(&scanned.candidates, archived).await? {
                        return Ok(false);
                    }
                    archived.left = archived.left.saturating_add(scanned.left);
                    turn.behind_rowid = Some(scanned.last);
                }
                Behind::Nothing(rowid) => {
                    turn.behind_rowid = Some(rowid);
                    break;
                }
                Behind::End => turn.behind_rowid = None,
            }
        }
        Ok(true)
    }

    /// What ended before this instant goes: by whole hours, so that an hour's creations come together.
    fn before(&self) -> Timestamp {
        let kept = u64::from(self.retention.keep_days).saturating_mul(DAY_MS);
        let before = self.now.saturating_sub(kept);
        before.saturating_sub(before.as_millis() % HOUR_MS)
    }

    /// Archives the candidates of a window; `false` if it may not do all of them.
    async fn window(
        &self,
        candidates: &[(String, String, u64)],
        archived: &mut Archived,
    ) -> Result<bool, String> {
        for (hour, ids) in parts(candidates) {
            if !self.may_ask(QUERIES_OF_AN_OBJECT) {
                return Ok(false);
            }
            let rows = self.ask(store::documents(&ids, self.before())).await?;
            for documents in objects(&store::documents_of(&rows).map_err(text)?) {
                if archived.objects >= self.retention.max_objects || !self.may_ask(QUERIES_OF_AN_OBJECT) {
                    return Ok(false);
                }
                self.object(hour, documents, archived).await?;
            }
        }
        Ok(true)
    }

    /// Writes one object, and removes what it holds.
    async fn object(&self, hour: &str, documents: &[&str], archived: &mut Archived) -> Result<(), String> {
        let list = format!("[{}]", documents.join(","));
        if list.len() > MAX_PARAMETER {
            // The texts of one creation are that long.
            archived.left = archived.left.saturating_add(1);
            return Ok(());
        }
        let lines: String = documents.iter().map(|document| format!("{document}\n")).collect();
        let key = key(hour, self.retention.shard, &lines);
        let bytes = lines.len() as u64;
        self.archive.put(&key, lines).await?;
        archived.objects = archived.objects.saturating_add(1);
        archived.bytes = archived.bytes.saturating_add(bytes);
        let batch = store::remove(&key, list, self.before(), self.now);
        let removed = store::removed(&self.database.run(&batch).await.map_err(text)?).map_err(text)?;
        archived.creations = archived.creations.saturating_add(removed);
        archived.raced = archived.raced.saturating_add((documents.len() as u64).saturating_sub(removed));
        Ok(())
    }

    async fn ask(&self, statement: store::Statement) -> Result<Vec<Row>, String> {
        let results = self.database.run(&[statement]).await.map_err(text)?;
        Ok(results.into_iter().next().unwrap_or_default())
    }

    /// Whether so many queries more, and the one that ends the turn, are within bounds.
    fn may_ask(&self, queries: u64) -> bool {
        self.database.cost().queries.saturating_add(queries).saturating_add(1) <= self.retention.max_queries
    }
}

/// The candidates hour by hour, in parts that one object may hold.
fn parts(candidates: &[(String, String, u64)]) -> Vec<(&str, Vec<&str>)> {
    let mut parts: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut size = 0_u64;
    for (id, hour, bytes) in candidates {
        let bytes = bytes.saturating_add(BYTES_BESIDE);
        match parts.last_mut() {
            Some((last, ids))
                if last == hour && ids.len() < CREATIONS && size.saturating_add(bytes) <= READ_BYTES =>
            {
                ids.push(id);
                size = size.saturating_add(bytes);
            }
            _ => {
                parts.push((hour, vec![id]));
                size = bytes;
            }
        }
    }
    parts
}

/// The documents as objects hold them.
fn objects<'a>(documents: &'a [&'a str]) -> impl Iterator<Item = &'a [&'a str]> {
    let line = |document: &str| document.len().saturating_add(1);
    // Of the object that the one before is in; 0 if that begins it.
    let mut bytes = 0_usize;
    documents.chunk_by(move |before, document| {
        let so_far = if bytes == 0 { line(before) } else { bytes };
        let with = so_far.saturating_add(line(document));
        bytes = if with <= BYTES { with } else { 0 };
        bytes > 0
    })
}

/// The key of an object: the same content has the same, and other content another.
fn key(hour: &str, shard: &str, content: &str) -> String {
    format!("creations/{hour}/{shard}/{}.ndjson", hash(content))
}

/// The first half of the SHA-256 of the content.
pub(super) fn hash(content: &str) -> String {
    Sha256::digest(content).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn text(error: DatabaseError) -> String {
    error.to_string()
}
