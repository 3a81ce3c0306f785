//! Compaction of the ledger: the charges, refunds and restores of archived creations become one entry for each user and month.
//!
//! Nobody does it unless asked. First an object with the entries is written, then they are summed up in one transaction, which compares
//! them with what was written. Whoever dies between the two leaves an object more, and the next run writes it again: its key is a hash
//! of its content. What no database forgets is that a creation was charged: see `migrations/0007_compaction.sql`.

use std::collections::HashSet;

use super::archive::{Archive, hash};
use crate::rules::Timestamp;
use crate::store::{self, Carried, Database, DatabaseError, EntryDocument, Row};

/// A month can be summed up when this has passed since its end: by then nobody asks for it line by line.
pub const MARGIN_DAYS: u32 = 31;
/// A transaction takes up the entries of so many creations,
const CREATIONS: usize = 500;
/// and so many bytes of them: the database takes 2,000,000 as one parameter.
const BYTES: usize = 1_900_000;
/// The queries of an object: its entries, what there is of their carries, and the transaction.
const QUERIES_OF_AN_OBJECT: u64 = 5;
/// The entries that may be summed up, by their keys, and what comes after them: a creation is found by its charge, or by its restore.
const KEYS: [(&str, &str); 2] = [("charge:", "charge;"), ("restore:", "restore;")];

/// What is to be summed up, and how much of it at once.
#[derive(Clone, Copy, Debug)]
pub struct Compaction<'a> {
    /// Entries of months before this instant, with which a month begins.
    pub before: Timestamp,
    /// Only says what would be done.
    pub dry_run: bool,
    /// After which key it goes on; empty at the beginning.
    pub after: &'a str,
    /// The name of the database: a part of the keys of objects.
    pub shard: &'a str,
    /// Who asked, for the audit.
    pub actor: &'a str,
    /// At most so many objects.
    pub max_objects: u32,
    /// How many queries the invocation may have made at the end.
    pub max_queries: u64,
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Entries that left the ledger.
    pub entries: u64,
    /// Entries that came in for them.
    pub carries: u64,
    /// Objects that were written.
    pub objects: u32,
    /// Their bytes.
    pub bytes: u64,
    /// After which key it goes on; `None` if there is no more.
    pub next: Option<String>,
}

/// One that stopped early: what it did before stays done, and the next one carries on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Why.
    pub error: String,
    /// What it did.
    pub compacted: Compacted,
}

/// Sums up the entries of months before `before`, of creations that are archived, as far as the bounds allow. Repeating it is harmless,
/// and so is another one beside it.
///
/// # Errors
///
/// [`Stopped`] if the database or the archive does not answer.
pub async fn compact<E: std::fmt::Display>(
    database: &impl Database,
    archive: &impl Archive,
    compaction: Compaction<'_>,
    new_id: impl Fn() -> Result<String, E>,
    now: Timestamp,
) -> Result<Compacted, Stopped> {
    let mut compacted = Compacted::default();
    let mut run = Run { database, archive, compaction, new_id, now, carries: HashSet::new() };
    match run.run(&mut compacted).await {
        Ok(next) => Ok(Compacted { next, ..compacted }),
        Err(error) => Err(Stopped { error, compacted }),
    }
}

struct Run<'a, D, A, N> {
    database: &'a D,
    archive: &'a A,
    compaction: Compaction<'a>,
    new_id: N,
    now: Timestamp,
    /// Those that a dry run has counted.
    carries: HashSet<String>,
}

impl<D: Database, A: Archive, E: std::fmt::Display, N: Fn() -> Result<String, E>> Run<'_, D, A, N> {
    /// After which key it goes on.
    async fn run(&mut self, compacted: &mut Compacted) -> Result<Option<String>, String> {
        let mut after = self.compaction.after.to_owned();
        for (first, end) in KEYS {
            if after.as_str() >= end {
                continue;
            }
            if after.as_str() < first {
                first.clone_into(&mut after);
            }
            loop {
                if !self.may_ask(1) {
                    return Ok(Some(after));
                }
                let scan = store::scan_entries(self.compaction.before, &after, end);
                let scanned = store::entries_scanned(&self.ask(scan).await?).map_err(text)?;
                if !self.window(&scanned.candidates, compacted).await? {
                    // What is done of it is no longer found.
                    return Ok(Some(after));
                }
                let is_last = scanned.is_last();
                match scanned.last {
                    Some(last) if !is_last => after = last,
                    _ => break,
                }
            }
        }
        if !self.compaction.dry_run {
            self.ask(store::end_compaction(self.compaction.actor, self.now)).await?;
        }
        Ok(None)
    }

    /// Sums up the candidates of a window; `false` if it may not do all of them.
    async fn window(
        &mut self,
        candidates: &[(String, String)],
        compacted: &mut Compacted,
    ) -> Result<bool, String> {
        for month in candidates.chunk_by(|(_, month), (_, next)| month == next) {
            let mut parts: Vec<_> = month.chunks(CREATIONS).rev().collect();
            while let Some(part) = parts.pop() {
                let full = compacted.objects >= self.compaction.max_objects;
                // A dry run changes nothing, so it would meet the same again: it does a window as a whole.
                if !self.compaction.dry_run && (full || !self.may_ask(QUERIES_OF_AN_OBJECT)) {
                    return Ok(false);
                }
                let ids: Vec<_> = part.iter().map(|(id, _)| id.as_str()).collect();
                let rows = self.ask(store::entry_documents(&ids, self.compaction.before)).await?;
                let entries = store::entries_of(&rows).map_err(text)?;
                let bytes =
                    entries.iter().fold(0, |sum: usize, entry| sum.saturating_add(entry.document.len()));
                if bytes > BYTES && part.len() > 1 {
                    let (first, rest) = part.split_at(part.len() / 2);
                    parts.extend([rest, first]);
                    continue;
                }
                let Some((_, month)) = part.first() else { continue };
                self.part(month, &entries, compacted).await?;
            }
        }
        Ok(true)
    }

    /// Sums up these entries, the first of which is of `month`.
    async fn part(
        &mut self,
        month: &str,
        entries: &[EntryDocument<'_>],
        compacted: &mut Compacted,
    ) -> Result<(), String> {
        if entries.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = entries.chunk_by(|entry, next| entry.carry == next.carry).collect();
        let keys: Vec<_> = keys.iter().filter_map(|group| Some(group.first()?.carry)).collect();
        let there = self.ask(store::carries(&keys)).await?;
        let there: HashSet<_> =
            store::carried(&there).map_err(text)?.into_iter().map(|carry| carry.carry).collect();
        if self.compaction.dry_run {
            compacted.entries = compacted.entries.saturating_add(entries.len() as u64);
            self.carries.extend(keys.into_iter().filter(|key| !there.contains(*key)).map(str::to_owned));
            compacted.carries = self.carries.len() as u64;
            return Ok(());
        }
        let documents: Vec<_> = entries.iter().map(|entry| entry.document).collect();
        let lines: String = documents.iter().map(|document| format!("{document}\n")).collect();
        let Compaction { shard, actor, before, .. } = self.compaction;
        let key = format!("ledger/{month}/{shard}/{}.ndjson", hash(&lines));
        let bytes = lines.len() as u64;
        self.archive.put(&key, lines).await?;
        compacted.objects = compacted.objects.saturating_add(1);
        compacted.bytes = compacted.bytes.saturating_add(bytes);
        let id = (self.new_id)().map_err(|error| error.to_string())?;
        let list = format!("[{}]", documents.join(","));
        let batch = store::compact(list, before, &id, actor, &key, self.now);
        let rows = self.database.run(&batch).await.map_err(text)?.into_iter().next().unwrap_or_default();
        for Carried { carry, entries } in store::carried(&rows).map_err(text)? {
            compacted.entries = compacted.entries.saturating_add(entries);
            compacted.carries = compacted.carries.saturating_add(u64::from(!there.contains(carry)));
        }
        Ok(())
    }

    async fn ask(&self, statement: store::Statement) -> Result<Vec<Row>, String> {
        let results = self.database.run(&[statement]).await.map_err(text)?;
        Ok(results.into_iter().next().unwrap_or_default())
    }

    fn may_ask(&self, queries: u64) -> bool {
        // The end is to be noted, too.
        self.database.cost().queries.saturating_add(queries).saturating_add(1) <= self.compaction.max_queries
    }
}

fn text(error: DatabaseError) -> String {
    error.to_string()
}
