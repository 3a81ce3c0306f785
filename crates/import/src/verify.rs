//! Compares the database with the source, after an import. Reads only.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher as _;
use std::ops::ControlFlow;

use serde_json::{Map, Value as Json, json};
use stale_drafts::rules::Status;

use crate::Row;
use crate::creation::Creation;
use crate::mapping::Mapping;
use crate::sources::{SourceError, Sources};
use crate::sql::literal;

/// Runs a query on the database, and gives its rows.
pub type Query<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<Map<String, Json>>, String>;

/// Rows of one query.
const PAGE: usize = 10_000;
/// How many creations are compared in every field.
const SAMPLE: usize = 200;
/// How many differences are named.
const NAMED: usize = 100;

/// What was compared, and what differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Creations of the source.
    pub creations: u64,
    /// Balances of the source.
    pub users: u64,
    /// Creations whose every field was compared.
    pub sampled: u64,
    /// Documents that could not be read, so nothing is known of them.
    pub unreadable: u64,
    /// How much is not as it was in the source.
    pub differences: u64,
    /// The first of the differences.
    pub named: Vec<String>,
    /// Creations that have gone on here since they came in. That is as it should be.
    pub moved_on: u64,
    /// The first of those.
    pub named_moved_on: Vec<String>,
}

impl Verdict {
    fn differs(&mut self, what: String) {
        self.differences = self.differences.saturating_add(1);
        if self.named.len() < NAMED {
            self.named.push(what);
        }
    }

    fn moved(&mut self, what: String) {
        self.moved_on = self.moved_on.saturating_add(1);
        if self.named_moved_on.len() < NAMED {
            self.named_moved_on.push(what);
        }
    }

    /// As JSON.
    pub fn json(&self) -> Json {
        json!({
            "creations": self.creations, "users": self.users, "sampled": self.sampled, "unreadable": self.unreadable,
            "differences": self.differences, "named": self.named,
            "moved_on": self.moved_on, "named_moved_on": self.named_moved_on,
        })
    }
}

/// Why nothing could be compared.
#[derive(Debug)]
pub enum VerifyError {
    /// A source can't be read to its end.
    Source(SourceError),
    /// The database does not answer.
    Database(String),
}

/// What the source says of a creation, in little room.
struct Expected {
    status: Status,
    tokens: u64,
    /// Its owner and kind.
    names: u64,
}

/// Compares: each creation's status, owner, kind and tokens; each user's balance; and each field of a sample.
///
/// # Errors
///
/// [`VerifyError`] if there is no verdict.
pub fn verify(
    sources: &Sources,
    mapping: &Mapping,
    query: Query<'_>,
    progress: &mut dyn FnMut(),
) -> Result<Verdict, VerifyError> {
    let mut verdict = Verdict::default();
    let by = (RandomState::new(), RandomState::new());
    let hash = |id: &str| (by.0.hash_one(id), by.1.hash_one(id));
    let mut creations = HashMap::<(u64, u64), Expected>::new();
    let mut users = BTreeMap::<String, u64>::new();
    let mut sample = Vec::<(u64, Box<Creation>)>::new();
    crate::each_row(sources, mapping, &mut |row| {
        match row {
            Row::Creation(creation) => {
                let key = hash(&creation.id);
                let names = by.0.hash_one((&creation.user_id, &creation.kind));
                creations.insert(key, Expected { status: creation.status, tokens: creation.tokens, names });
                // Those with the least hashes: any of them may be.
                if sample.len() < SAMPLE || sample.last().is_some_and(|(most, _)| key.0 < *most) {
                    let at = sample.partition_point(|(least, _)| *least < key.0);
                    sample.insert(at, (key.0, creation));
                    sample.truncate(SAMPLE);
                }
            }
            Row::User(user) => drop(users.insert(user.user_id, user.tokens)),
            Row::Unreadable(_) => verdict.unreadable = verdict.unreadable.saturating_add(1),
            Row::Other(_) => {}
        }
        progress();
        ControlFlow::Continue(())
    })
    .map_err(VerifyError::Source)?;
    verdict.creations = creations.len() as u64;
    verdict.users = users.len() as u64;
    let sample: Vec<_> = sample.into_iter().map(|(_, creation)| *creation).collect();

    compare_creations(&mut creations, &|id| hash(id), &|names| by.0.hash_one(names), query, &mut verdict)?;
    // What is left of the source is not in the database: its ids are read again, for only hashes were kept.
    if !creations.is_empty() {
        crate::each_row(sources, mapping, &mut |row| {
            if let Row::Creation(creation) = row
                && creations.remove(&hash(&creation.id)).is_some()
            {
                verdict.differs(format!("`{}` ({}) is not here", creation.id, creation.status.as_str()));
            }
            ControlFlow::Continue(())
        })
        .map_err(VerifyError::Source)?;
    }
    compare_users(&mut users, query, &mut verdict)?;
    compare_fields(&sample, query, &mut verdict)?;
    Ok(verdict)
}

fn compare_creations(
    creations: &mut HashMap<(u64, u64), Expected>,
    hash: &dyn Fn(&str) -> (u64, u64),
    names: &dyn Fn((&str, &str)) -> u64,
    query: Query<'_>,
    verdict: &mut Verdict,
) -> Result<(), VerifyError> {
    let mut after = String::new();
    loop {
        let sql = format!(
            "SELECT c.id, c.user_id, c.kind, c.status, c.tokens, c.settled_elsewhere = 1 OR c.tokens = 0 OR a.entry_key IS NOT NULL AS imported, \
             c.attempt > 1 OR c.fence IS NOT NULL OR c.worker IS NOT NULL OR c.sweep_id IS NOT NULL OR c.restored_at IS NOT NULL \
             OR c.deleted_at IS NOT NULL OR c.status = 'failed' AND c.settled_elsewhere = 0 AND f.entry_key IS NULL AS touched \
             FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_ledger AS a ON a.entry_key = 'import-active:' || c.id \
             LEFT JOIN stale_drafts_ledger AS f ON f.entry_key = 'import-failed:' || c.id \
             WHERE c.id > {} ORDER BY c.id LIMIT {PAGE}",
            literal(&after)
        );
        let rows = query(&sql).map_err(VerifyError::Database)?;
        for row in &rows {
            let text = |key: &str| row.get(key).and_then(Json::as_str).unwrap_or_default();
            let is = |key: &str| row.get(key).and_then(Json::as_i64) == Some(1);
            let id = text("id");
            let Some(expected) = creations.remove(&hash(id)) else {
                // Made here, or deleted in the old system since it came in.
                if is("imported")
                    && !is("touched")
                    && matches!(text("status"), "pending" | "processing")
                    && row_tokens(row) > 0
                {
                    verdict.differs(format!(
                        "`{id}` came in as {}, and is not in the source any more",
                        text("status")
                    ));
                }
                continue;
            };
            let mut differs = Vec::new();
            if row_tokens(row) != expected.tokens {
                differs.push(format!("tokens {} instead of {}", row_tokens(row), expected.tokens));
            }
            if names((text("user_id"), text("kind"))) != expected.names {
                differs.push(String::from("another owner or kind"));
            }
            if !is("imported") {
                differs.push(String::from("made here: the import left it alone"));
            }
            let status = expected.status.as_str();
            if text("status") != status {
                let what = format!("`{id}` is {} here and {status} in the source", text("status"));
                // A published draft, and what workers, sweeps and operators have done here.
                if is("touched") || (text("status"), status) == ("published", "draft") {
                    verdict.moved(what);
                } else {
                    differs.push(format!("{} instead of {status}", text("status")));
                }
            }
            if !differs.is_empty() {
                verdict.differs(format!("`{id}`: {}", differs.join(", ")));
            }
        }
        match rows.last().and_then(|row| row.get("id")).and_then(Json::as_str) {
            Some(last) if rows.len() == PAGE => after = last.to_owned(),
            _ => return Ok(()),
        }
    }
}

fn row_tokens(row: &Map<String, Json>) -> u64 {
    row.get("tokens").and_then(Json::as_u64).unwrap_or_default()
}

fn compare_users(
    users: &mut BTreeMap<String, u64>,
    query: Query<'_>,
    verdict: &mut Verdict,
) -> Result<(), VerifyError> {
    let mut after = String::new();
    loop {
        let sql = format!(
            "SELECT b.user_id, (SELECT coalesce(sum(l.tokens), 0) FROM stale_drafts_ledger AS l \
             WHERE l.type = 'grant' AND l.user_id = b.user_id AND l.entry_key GLOB 'import:*') AS tokens \
             FROM stale_drafts_balances AS b WHERE b.user_id > {} ORDER BY b.user_id LIMIT {PAGE}",
            literal(&after)
        );
        let rows = query(&sql).map_err(VerifyError::Database)?;
        for row in &rows {
            let user_id = row.get("user_id").and_then(Json::as_str).unwrap_or_default();
            let Some(expected) = users.remove(user_id) else { continue };
            let tokens = row.get("tokens").and_then(Json::as_i64).unwrap_or_default();
            if i64::try_from(expected) != Ok(tokens) {
                verdict
                    .differs(format!("the user `{user_id}` has brought {tokens} tokens, and had {expected}"));
            }
        }
        match rows.last().and_then(|row| row.get("user_id")).and_then(Json::as_str) {
            Some(last) if rows.len() == PAGE => after = last.to_owned(),
            _ => break,
        }
    }
    // Whoever has no balance here had none.
    for (user_id, expected) in users.iter().filter(|(_, tokens)| **tokens > 0) {
        verdict.differs(format!("the user `{user_id}` has brought 0 tokens, and had {expected}"));
    }
    Ok(())
}

/// The texts and times of a sample. What has moved on here has others.
fn compare_fields(sample: &[Creation], query: Query<'_>, verdict: &mut Verdict) -> Result<(), VerifyError> {
    for some in sample.chunks(100) {
        let ids: Vec<_> = some.iter().map(|creation| literal(&creation.id)).collect();
        let sql = format!(
            "SELECT id, status, prompt, created_at, started_at, heartbeat_at, finished_at, error, error_code, result_url, \
             settled_elsewhere FROM stale_drafts_creations WHERE id IN ({}) AND attempt = 1 AND fence IS NULL AND worker IS NULL \
             AND sweep_id IS NULL AND restored_at IS NULL AND deleted_at IS NULL",
            ids.join(", ")
        );
        let rows = query(&sql).map_err(VerifyError::Database)?;
        for row in &rows {
            let of_row =
                some.iter().find(|creation| row.get("id").and_then(Json::as_str) == Some(&creation.id));
            let Some(creation) = of_row.filter(|creation| {
                row.get("status").and_then(Json::as_str) == Some(creation.status.as_str())
            }) else {
                continue;
            };
            verdict.sampled = verdict.sampled.saturating_add(1);
            // What came in active and has ended since has only the fields of its end.
            let settled = row.get("settled_elsewhere").and_then(Json::as_i64) == Some(1);
            let active = creation.status.active().is_some();
            let error_code =
                creation.error_code.clone().filter(|code| settled || code != "generation_timeout");
            let expected = [
                ("prompt", json!(creation.prompt), true),
                ("created_at", json!(creation.created_at), true),
                ("started_at", json!(creation.started_at), settled || creation.status != Status::Pending),
                ("heartbeat_at", json!(creation.heartbeat_at), settled || active),
                ("finished_at", json!(creation.finished_at), settled || !active),
                ("error", json!(creation.error), settled || active || creation.status == Status::Failed),
                ("error_code", json!(error_code), settled || active || creation.status == Status::Failed),
                ("result_url", json!(creation.result_url), settled || creation.status != Status::Failed),
            ];
            for (name, value, compared) in expected {
                let here = row.get(name).unwrap_or(&Json::Null);
                if compared && *here != value {
                    verdict.differs(format!("`{}`: its {name} is {here}, and was {value}", creation.id));
                }
            }
        }
    }
    Ok(())
}
