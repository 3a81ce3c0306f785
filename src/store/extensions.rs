//! More time: for one creation, or for all of a kind. The end stands in each creation, so that nothing else is read for a verdict; who gave
//! it, and why, stands beside.

use serde::{Deserialize, Serialize};

use super::notes::{Acting, acted};
use super::sweep::{active, stays};
use super::typed::{only, typed_rows};
use super::{DatabaseError, Param, Row, Statement};
use crate::rules::Timestamp;

/// At most so many extensions of kinds are listed.
const LISTED: u32 = 100;

/// A later end stays. What is no time is replaced.
const EXTEND: &str = concat!(
    "UPDATE stale_drafts_creations SET extended_until = ?2
     WHERE id = ?1 AND ",
    active!(),
    " AND (extended_until IS NULL OR typeof(extended_until) <> 'integer' OR extended_until < ?2 OR extended_until > 8640000000000000)"
);

/// Only if the statement before has changed something; so is the row of the audit. An attempt may be given the end that one before it had:
/// who gave it last stands here, and all of them in the audit.
const NOTE: &str = "INSERT INTO stale_drafts_extensions (scope, name, until, since, actor, reason)
     SELECT 'creation', ?1, ?2, ?3, ?4, ?5 WHERE changes() > 0
     ON CONFLICT (scope, name, until) DO UPDATE SET since = excluded.since, actor = excluded.actor, reason = excluded.reason";

const AUDIT: &str = "INSERT INTO stale_drafts_audit (id, at, actor, action, detail)
     SELECT ?1, ?2, ?3, ?4, ?5 WHERE changes() > 0 ON CONFLICT (id) DO NOTHING";

/// Unless one with a later end is there. One that is there with the same end goes on.
const BEGIN: &str =
    "INSERT INTO stale_drafts_extensions (scope, name, until, since, actor, reason)
     SELECT 'kind', ?1, ?2, ?3, ?4, ?5
     WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_extensions WHERE scope = 'kind' AND name = ?1 AND until > ?2 AND ended_at IS NULL)
     ON CONFLICT (scope, name, until) DO NOTHING";

/// The active creations of a kind by the index of sweeps, the longest silent of each phase first: they are in the greatest danger.
#[rustfmt::skip]
macro_rules! of_kind {
    ($condition:expr) => {
        concat!(
            "id IN (SELECT c.id FROM (SELECT 'pending' AS phase UNION ALL SELECT 'processing' UNION ALL SELECT 'heartbeating') AS p
       CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_active
       ON c.phase = p.phase AND c.kind = ?1 AND c.last_sign_of_life IS NOT NULL
       WHERE ", $condition, " AND ", stays!("c"), " LIMIT ?3)"
        )
    };
}

/// Gives the next creations of the kind what it has.
#[rustfmt::skip]
const SPREAD: &str = concat!(
    "UPDATE stale_drafts_creations SET extended_until = ?2
     WHERE EXISTS (SELECT 1 FROM stale_drafts_extensions WHERE scope = 'kind' AND name = ?1 AND until = ?2 AND ended_at IS NULL)
       AND ", of_kind!("(c.extended_until IS NULL OR c.extended_until < ?2)")
);

const END: &str = "UPDATE stale_drafts_extensions SET ended_at = ?2, ended_by = ?3
     WHERE scope = 'kind' AND name = ?1 AND until > ?2 AND ended_at IS NULL";

/// Takes from the next creations what their kind had. What one of them was given by itself stays.
#[rustfmt::skip]
const TAKE_BACK: &str = concat!(
    "UPDATE stale_drafts_creations SET extended_until = ?2
     WHERE ", of_kind!("c.extended_until > ?2 AND EXISTS (SELECT 1 FROM stale_drafts_extensions
         WHERE scope = 'kind' AND name = ?1 AND until = c.extended_until AND ended_at IS NOT NULL)")
);

/// How many creations the statement before has changed, and the extension of the kind with the latest end that is to come.
const OF_KIND: &str = "SELECT changes() AS creations, (SELECT json_object('kind', name, 'until', until, 'since', since, 'actor', actor,
         'reason', reason, 'ended_at', ended_at, 'ended_by', ended_by)
       FROM stale_drafts_extensions WHERE scope = 'kind' AND name = ?1 AND until >= ?2 ORDER BY ended_at IS NOT NULL, until DESC LIMIT 1) AS extension";

const LIST: &str = "SELECT name AS kind, until, since, actor, reason, ended_at, ended_by
     FROM stale_drafts_extensions INDEXED BY stale_drafts_extensions_of_kinds WHERE scope = 'kind' ORDER BY until DESC, name LIMIT ?1";

/// What a creation was given: by itself, and by its kind as far as that reaches it.
pub(super) const OF_CREATION: &str =
    "SELECT scope, name, until, since, actor, reason, ended_at, ended_by FROM (
       SELECT * FROM stale_drafts_extensions WHERE scope = 'creation' AND name = ?1
       UNION ALL SELECT e.* FROM stale_drafts_creations AS c CROSS JOIN stale_drafts_extensions AS e
         ON e.scope = 'kind' AND e.name = c.kind AND e.until = c.extended_until WHERE c.id = ?1)
     ORDER BY since DESC LIMIT 20";

/// Who gives more time, until when, and why.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'a> {
    /// The end: the last instant at which nothing is stale.
    pub until: Timestamp,
    /// Who: a token's name.
    pub actor: &'a str,
    /// Why, in the operator's words.
    pub reason: &'a str,
    /// The id of the row of the audit.
    pub audit_id: &'a str,
}

impl Extension<'_> {
    fn note(&self, name: &str, now: Timestamp) -> [Param; 5] {
        [name.into(), self.until.into(), now.into(), self.actor.into(), self.reason.into()]
    }

    const fn by(&self) -> Acting<'_> {
        Acting { audit_id: self.audit_id, actor: self.actor }
    }

    /// What the audit says: `video until 1700000000000: the provider is down`.
    fn audit(&self, action: &str, name: &str, now: Timestamp) -> Statement {
        let detail = format!("{name} until {}: {}", self.until.as_millis(), self.reason);
        Statement::new(
            AUDIT,
            [self.audit_id.into(), now.into(), self.actor.into(), action.into(), Param::Text(detail)],
        )
    }
}

/// Gives one creation more time, if it is active, and reads it.
pub fn extend(id: &str, extension: Extension<'_>, now: Timestamp) -> [Statement; 4] {
    [
        Statement::new(EXTEND, [id.into(), extension.until.into()]),
        Statement::new(NOTE, extension.note(id, now)),
        acted(
            id,
            extension.by(),
            "extend",
            format!("until {}: {}", extension.until.as_millis(), extension.reason),
            now,
        ),
        super::creation(id),
    ]
}

/// Gives a kind more time: notes it, and gives it to the next `limit` creations. The last statement answers for [`kind_extended`].
pub fn extend_kind(kind: &str, extension: Extension<'_>, now: Timestamp, limit: u32) -> [Statement; 4] {
    [
        Statement::new(BEGIN, extension.note(kind, now)),
        extension.audit("extend_kind", kind, now),
        Statement::new(SPREAD, [kind.into(), extension.until.into(), limit.into()]),
        Statement::new(OF_KIND, [kind.into(), extension.until.into()]),
    ]
}

/// Ends what a kind has, and takes it from the next `limit` creations. The last statement answers for [`kind_extended`].
pub fn end_extension(kind: &str, actor: &str, audit_id: &str, now: Timestamp, limit: u32) -> [Statement; 4] {
    let ended = [audit_id.into(), now.into(), actor.into(), "end_extension".into(), kind.into()];
    [
        Statement::new(END, [kind.into(), now.into(), actor.into()]),
        Statement::new(AUDIT, ended),
        Statement::new(TAKE_BACK, [kind.into(), now.into(), limit.into()]),
        Statement::new(OF_KIND, [kind.into(), now.into()]),
    ]
}

/// The newest ends of kinds: rows for [`extensions_of`].
pub fn extensions() -> Statement {
    Statement::new(LIST, [LISTED.into()])
}

/// What was given to a kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ExtensionRow {
    /// The kind.
    pub kind: String,
    /// Its end, in epoch milliseconds.
    pub until: i64,
    /// When it was given.
    pub since: i64,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When somebody ended it before its end.
    pub ended_at: Option<i64>,
    /// Who did.
    pub ended_by: Option<String>,
}

impl ExtensionRow {
    /// Whether it holds at `now`.
    pub fn runs(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && u64::try_from(self.until).is_ok_and(|until| until >= now.as_millis())
    }

    /// Whether it is the one that holds: `before` are those with a later end, one of which takes its place if it is of the same kind.
    pub fn holds<'a>(&self, mut before: impl Iterator<Item = &'a ExtensionRow>, now: Timestamp) -> bool {
        self.runs(now) && !before.any(|other| other.kind == self.kind && other.runs(now))
    }
}

/// The rows of [`extensions`].
///
/// # Errors
///
/// [`DatabaseError`] if they are not of the shape that was asked for.
pub fn extensions_of(rows: Vec<Row>) -> Result<Vec<ExtensionRow>, DatabaseError> {
    typed_rows(rows)
}

/// What [`extend_kind`] or [`end_extension`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindExtended {
    /// How many creations were changed.
    pub creations: u64,
    /// What the kind has then: what runs, if something does.
    pub extension: Option<ExtensionRow>,
}

#[derive(Deserialize)]
struct OfKind {
    creations: u64,
    #[serde(deserialize_with = "super::typed::json_text_if_any")]
    extension: Option<ExtensionRow>,
}

/// Reads the rows of the last statement.
///
/// # Errors
///
/// [`DatabaseError`] if they are not of the shape that was asked for.
pub fn kind_extended(rows: Vec<Row>) -> Result<KindExtended, DatabaseError> {
    let OfKind { creations, extension } = only(rows)?;
    Ok(KindExtended { creations, extension })
}

/// What a creation was given, as [`super::explain`] asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct GivenRow {
    /// `creation` or `kind`.
    pub scope: String,
    /// The creation's id, or its kind.
    pub name: String,
    /// Its end, in epoch milliseconds.
    pub until: i64,
    /// When it was given.
    pub since: i64,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When somebody ended it before its end.
    pub ended_at: Option<i64>,
    /// Who did.
    pub ended_by: Option<String>,
}
