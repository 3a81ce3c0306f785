//! What moves buckets from one database to another: pages of a user's rows as they are, and the fences around them.
//!
//! A page is one text of JSON that the source makes and the target takes apart: what lies between needs to understand none of it, and
//! the same page of both sides is the same text if all that was moved is there. Columns without a CHECK on their type may hold
//! anything that SQLite stores, and JSON can't: see `any!`.

use serde::{Deserialize, Serialize};

use super::typed::{only, typed};
use super::{DatabaseError, Param, Row, Statement};
use crate::rules::Timestamp;

/// Any value of SQL as one of JSON: a real number, a text and a BLOB become a text that says which of them it is.
macro_rules! any {
    ($column:literal) => {
        concat!(
            "CASE typeof(",
            $column,
            ") WHEN 'text' THEN 't' || hex(CAST(",
            $column,
            " AS BLOB)) WHEN 'blob' THEN 'b' || hex(",
            $column,
            ") WHEN 'real' THEN 'r' || CASE ",
            $column,
            " WHEN 9e999 THEN '9e999' WHEN -9e999 THEN '-9e999' ELSE format('%!.16e', ",
            $column,
            ") END ELSE ",
            $column,
            " END"
        )
    };
}

/// The same back again.
macro_rules! back {
    ($value:literal) => {
        concat!(
            "CASE WHEN typeof(",
            $value,
            ") <> 'text' THEN ",
            $value,
            " WHEN ",
            $value,
            " GLOB 't*' THEN CAST(unhex(substr(",
            $value,
            ", 2)) AS TEXT) WHEN ",
            $value,
            " GLOB 'r*' THEN CAST(substr(",
            $value,
            ", 2) AS REAL) ELSE unhex(substr(",
            $value,
            ", 2)) END"
        )
    };
}

/// What a creation has that grows without a bound, each as a row that begins with what it is of: its attempts (0), what operators gave it (1),
/// and what they noted about it (2); the next ones after the place ?2, if that is within the creation. Any of them has less than
/// 200,000 bytes, so that what is looked at at once is bounded. `taken` are as many as begin within half of ?4 bytes.
#[rustfmt::skip]
macro_rules! parts {
    ($what:literal) => {
        concat!(
            "(SELECT ", $what, " FROM (
           SELECT part, sum(length(CAST(part AS BLOB))) OVER (ROWS UNBOUNDED PRECEDING) - length(CAST(part AS BLOB)) < ?4 / 2
             AND row_number() OVER (ROWS UNBOUNDED PRECEDING) < 50 AS taken FROM (
             SELECT * FROM (SELECT json_array(0, ", any!("attempt"), ", outcome, ", any!("worker"), ", ", any!("fence"), ",
                ", any!("started_at"), ", ", any!("heartbeat_at"), ", ", any!("finished_at"), ", ", any!("error"), ", ", any!("error_code"), ",
                ", any!("stuck_status"), ", ", any!("age_ms"), ", ", any!("max_age_ms"), ", ", any!("rule"), ", ", any!("sweep_id"), ", tokens_used) AS part
               FROM stale_drafts_attempts WHERE creation_id = c.id
                 AND (c.id <> ?2 ->> 2 OR ?2 ->> 3 = 0 AND attempt > ", back!("(?2 ->> 4)"), ") ORDER BY attempt LIMIT 50)
             UNION ALL SELECT * FROM (SELECT json_array(1, until, since, ", any!("actor"), ", ", any!("reason"), ", ended_at, ", any!("ended_by"), ")
               FROM stale_drafts_extensions WHERE scope = 'creation' AND name = c.id
                 AND (c.id <> ?2 ->> 2 OR ?2 ->> 3 = 0 OR ?2 ->> 3 = 1 AND until > ?2 ->> 4) ORDER BY until LIMIT 50)
             UNION ALL SELECT * FROM (SELECT json_array(2, ", any!("id"), ", ", any!("at"), ", ", any!("actor"), ", ", any!("action"), ", ", any!("detail"), ")
               FROM stale_drafts_audit INDEXED BY stale_drafts_audit_of_subject WHERE subject = 'creation:' || c.id
                 AND (c.id <> ?2 ->> 2 OR ?2 ->> 3 < 2 OR id > ", back!("(?2 ->> 4)"), ") ORDER BY id LIMIT 50))))"
        )
    };
}

/// Their bytes, and whether there are more than are taken: 0 or 1.
macro_rules! parts_measured {
    () => {
        parts!("json_array(ifnull(sum(length(CAST(part AS BLOB))) FILTER (WHERE taken), 0), count(*) > count(*) FILTER (WHERE taken))")
    };
}

/// A creation with its `$parts`, and with how it is set aside. What a time-out says is in an array of its own: D1 takes 32 arguments of a
/// function.
#[rustfmt::skip]
macro_rules! creation {
    ($parts:expr) => {
        concat!(
            "json_array(c.id, c.user_id, c.kind, c.prompt, c.status, c.attempt, c.tokens, ", any!("c.created_at"), ", ", any!("c.queued_at"), ",
         ", any!("c.started_at"), ", ", any!("c.heartbeat_at"), ", ", any!("c.finished_at"), ", c.error, c.error_code, c.worker, c.fence,
         ", any!("c.progress"), ", c.result_url, c.late_result_url, c.late_at, c.restored_at, c.settled_elsewhere, c.balance_elsewhere, c.deleted_at,
         c.event, ", any!("c.event_destinations"), ", json_array(c.stuck_status, ", any!("c.age_ms"), ", ", any!("c.max_age_ms"), ", c.rule, c.sweep_id, ", any!("c.extended_until"), "),
         json(", $parts, "),
         json((SELECT json_array(r.until, ", any!("r.reason"), ") FROM stale_drafts_rejected AS r WHERE r.creation_id = c.id)),
         json_array(c.charge, c.tokens_used))"
        )
    };
}

/// How many bytes there are up to each row of those that are listed, whose rows are of `$size` bytes; and whether it is in the page, which
/// has ?4 bytes at most, or one row.
macro_rules! through {
    ($size:literal) => {
        concat!("sum(", $size, ") OVER (ROWS UNBOUNDED PRECEDING) AS through, ", $size, " AS size")
    };
}
macro_rules! within {
    () => {
        "(through <= ?4 OR through = size)"
    };
}

/// What comes after the id of every compacted creation.
macro_rules! last_id {
    () => {
        "unhex('ffffffffffffffffffffffffffffffffff')"
    };
}

/// The rows of `page` as one text.
macro_rules! rows {
    () => {
        "'[' || ifnull(group_concat(row, ','), '') || ']' AS rows, count(*) AS n"
    };
}

/// A page of the creations of a move's users, after the place ?2: at most ?3, and ?4 bytes. A user who is not done comes first, by a part of
/// their own: their creations before that place are not read again. The texts are made of those alone that are in the page: 1,000 long
/// prompts would be more than the database may hold at once. One with more parts than a page takes ends the page, whose place is
/// then the last part: the next page begins with the same creation, and the parts after it.
#[rustfmt::skip]
const CREATIONS: &str = concat!(
    "WITH listed AS (
       SELECT id, place, size, parts FROM (
         SELECT * FROM (
           SELECT 0 AS part, c.user_id AS user_id, c.listed_at AS listed_at, c.id AS id, json_array(c.user_id, c.listed_at, c.id) AS place,
             length(CAST(", creation!("'[]'"), " AS BLOB)) AS size, ", parts_measured!(), " AS parts
           FROM stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user
           WHERE c.user_id = ?2 ->> 0 AND (c.listed_at, c.id) >= (?2 ->> 1, ?2 ->> 2) AND (c.id <> ?2 ->> 2 OR ?2 ->> 3 IS NOT NULL)
             AND EXISTS (SELECT 1 FROM stale_drafts_moving_users WHERE user_id = ?2 ->> 0 AND move_id = ?1)
           ORDER BY c.listed_at, c.id LIMIT ?3)
         UNION ALL
         SELECT * FROM (
           SELECT 1, u.user_id, c.listed_at, c.id, json_array(c.user_id, c.listed_at, c.id),
             length(CAST(", creation!("'[]'"), " AS BLOB)), ", parts_measured!(), "
           FROM stale_drafts_moving_users AS u INDEXED BY stale_drafts_moving_users_of_move
           CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user ON c.user_id = u.user_id
           WHERE u.move_id = ?1 AND u.user_id > ?2 ->> 0
           ORDER BY u.user_id, c.listed_at, c.id LIMIT ?3))
       ORDER BY part, user_id, listed_at, id LIMIT ?3),
     measured AS MATERIALIZED (SELECT id, place, parts ->> 1 AS more, sum(parts ->> 1) OVER (ROWS UNBOUNDED PRECEDING) - (parts ->> 1) AS cut,
       ", through!("(size + (parts ->> 0))"), " FROM listed),
     page AS MATERIALIZED (
       SELECT m.id, m.place, m.more, ", creation!(parts!("json_group_array(json(part)) FILTER (WHERE taken)")), " AS row
       FROM measured AS m CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1 ON c.id = m.id
       WHERE ", within!(), " AND m.cut = 0)
     SELECT '[' || ifnull(group_concat(row, ','), '') || ']' AS rows, count(*) FILTER (WHERE id <> ?2 ->> 2) AS n,
       (SELECT iif(more, json_array(place ->> 0, place ->> 1, place ->> 2, row -> '$[27][#-1][0]', row -> '$[27][#-1][1]'), place)
         FROM page LIMIT 1 OFFSET (SELECT count(*) - 1 FROM page)) AS place FROM page"
);

/// Of the next creations after the place ?2 the one that has most bytes in one of its rows.
const LARGEST: &str = "SELECT id, bytes FROM (
       SELECT c.id AS id, max(length(CAST(c.prompt AS BLOB)) + ifnull(length(CAST(c.error AS BLOB)), 0),
         ifnull((SELECT max(ifnull(length(CAST(error AS BLOB)), 0)) FROM stale_drafts_attempts WHERE creation_id = c.id), 0),
         ifnull((SELECT length(CAST(reason AS BLOB)) FROM stale_drafts_rejected WHERE creation_id = c.id), 0),
         ifnull((SELECT max(length(CAST(detail AS BLOB))) FROM stale_drafts_audit WHERE subject = 'creation:' || c.id), 0)) AS bytes
       FROM stale_drafts_moving_users AS u INDEXED BY stale_drafts_moving_users_of_move
       CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user ON c.user_id = u.user_id
       WHERE u.move_id = ?1 AND u.user_id >= ?2 ->> 0 AND (u.user_id, c.listed_at, c.id) >= (?2 ->> 0, ?2 ->> 1, ?2 ->> 2)
       ORDER BY u.user_id, c.listed_at, c.id LIMIT ?3)
     ORDER BY bytes DESC LIMIT 1";

/// A page of the ledger of a move's users, after the key ?2 and up to the key ?6, or to the end; among the next ?5 entries of anybody,
/// or all of them. No index finds an entry by its user. Where rows are left out, it goes on after the last one that is here; else
/// after all that was looked at.
#[rustfmt::skip]
const LEDGER: &str = concat!(
    "WITH slice AS MATERIALIZED (
       SELECT ifnull(CASE WHEN ?5 IS NOT NULL THEN (SELECT entry_key FROM stale_drafts_ledger
         WHERE entry_key > ?2 ->> 0 AND entry_key <= ifnull(?6, x'') ORDER BY entry_key LIMIT 1 OFFSET CAST(?5 AS INTEGER) - 1) END,
         ifnull(?6, x'')) AS until),
     listed AS MATERIALIZED (
       SELECT l.entry_key AS entry_key, json_array(l.entry_key, l.user_id, l.type, l.creation_id, ", any!("l.sweep_id"), ", l.tokens, l.created_at,
         iif(l.type = 'carry', (SELECT k.entries FROM stale_drafts_carries AS k WHERE k.user_id = l.user_id AND k.created_at = l.created_at), NULL)) AS row
       FROM stale_drafts_ledger AS l
       WHERE l.entry_key > ?2 ->> 0 AND l.entry_key <= (SELECT until FROM slice)
         AND EXISTS (SELECT 1 FROM stale_drafts_moving_users AS u WHERE u.user_id = l.user_id AND u.move_id = ?1)
       ORDER BY l.entry_key LIMIT ?3),
     measured AS MATERIALIZED (SELECT entry_key, row, ", through!("length(CAST(row AS BLOB))"), " FROM listed),
     page AS MATERIALIZED (SELECT entry_key, row FROM measured WHERE ", within!(), ")
     SELECT ", rows!(), ",
       CASE WHEN count(*) = ?3 OR count(*) < (SELECT count(*) FROM listed) THEN json_array(max(entry_key))
         ELSE (SELECT iif(typeof(until) = 'text', json_array(until), NULL) FROM slice) END AS place
     FROM page"
);

/// A page of what is compacted of a move's users, by the same rule: after the id ?2 and up to the id ?6, among the next ?5 of anybody. An
/// id is a text or its 16 bytes, which come after all texts.
#[rustfmt::skip]
const COMPACTED: &str = concat!(
    "WITH slice AS MATERIALIZED (
       SELECT ifnull(CASE WHEN ?5 IS NOT NULL THEN (SELECT id FROM stale_drafts_compacted_creations
         WHERE id > ", back!("(?2 ->> 0)"), " AND id <= ifnull(", back!("?6"), ", ", last_id!(), ") ORDER BY id LIMIT 1 OFFSET CAST(?5 AS INTEGER) - 1) END,
         ", back!("?6"), ") AS until),
     listed AS MATERIALIZED (
       SELECT k.id AS id, json_array(", any!("k.id"), ", o.user_id, k.hour) AS row
       FROM stale_drafts_compacted_creations AS k CROSS JOIN stale_drafts_compacted_users AS o ON o.number = k.owner
       WHERE k.id > ", back!("(?2 ->> 0)"), " AND k.id <= (SELECT ifnull(until, ", last_id!(), ") FROM slice)
         AND EXISTS (SELECT 1 FROM stale_drafts_moving_users AS u WHERE u.user_id = o.user_id AND u.move_id = ?1)
       ORDER BY k.id LIMIT ?3),
     measured AS MATERIALIZED (SELECT id, row, ", through!("length(CAST(row AS BLOB))"), " FROM listed),
     page AS MATERIALIZED (SELECT id, row FROM measured WHERE ", within!(), ")
     SELECT ", rows!(), ",
       CASE WHEN count(*) = ?3 OR count(*) < (SELECT count(*) FROM listed) THEN (SELECT json_array(", any!("id"), ") FROM (SELECT max(id) AS id FROM page))
         ELSE (SELECT iif(until IS NOT NULL, json_array(", any!("until"), "), NULL) FROM slice) END AS place
     FROM page"
);

/// A page of the balances of a move's users, after the user ?2, with what of theirs is archived. What is in the archive stays there.
#[rustfmt::skip]
const BALANCES: &str = concat!(
    "WITH page AS MATERIALIZED (
       SELECT u.user_id AS user_id, json_array(u.user_id, b.tokens,
         json((SELECT json_array(creations, deleted, tokens, first_created_at, last_created_at)
           FROM stale_drafts_archived_users AS a WHERE a.user_id = u.user_id))) AS row
       FROM stale_drafts_moving_users AS u INDEXED BY stale_drafts_moving_users_of_move
       LEFT JOIN stale_drafts_balances AS b ON b.user_id = u.user_id
       WHERE u.move_id = ?1 AND u.user_id > ?2 ->> 0 ORDER BY u.user_id LIMIT ?3)
     SELECT ", rows!(), ", iif(count(*) > 0, json_array(max(user_id)), NULL) AS place FROM page"
);

/// The next ?2 users who have a balance, or something archived, after the user ?1.
const USERS: &str = "SELECT json_group_array(user_id) AS users, iif(count(*) > 0, json_array(max(user_id)), NULL) AS place FROM (
       SELECT * FROM (SELECT user_id FROM stale_drafts_balances WHERE user_id > ?1 ->> 0 ORDER BY user_id LIMIT ?2)
       UNION SELECT * FROM (SELECT user_id FROM stale_drafts_archived_users WHERE user_id > ?1 ->> 0 ORDER BY user_id LIMIT ?2)
       ORDER BY user_id LIMIT ?2)";

/// The next ?2 users who have creations: it hops over the index from one to the next.
const OWNERS: &str = "WITH RECURSIVE owners (user_id) AS (
       SELECT * FROM (SELECT user_id FROM stale_drafts_creations INDEXED BY stale_drafts_creations_of_user
         WHERE user_id > ?1 ->> 0 ORDER BY user_id LIMIT 1)
       UNION ALL
       SELECT (SELECT user_id FROM stale_drafts_creations INDEXED BY stale_drafts_creations_of_user
         WHERE user_id > owners.user_id ORDER BY user_id LIMIT 1) AS next FROM owners WHERE next IS NOT NULL
       LIMIT ?2)
     SELECT json_group_array(user_id) AS users, iif(count(*) > 0, json_array(max(user_id)), NULL) AS place FROM owners";

/// What [`MoveRow`] is read of.
macro_rules! move_columns {
    () => {
        "id, role, first_bucket, last_bucket, other, state, place, started_at, changed_at, stepped_at, users, creations, entries"
    };
}

const MOVE: &str = concat!("SELECT ", move_columns!(), " FROM stale_drafts_moves WHERE id = ?1");
const MOVES: &str = concat!(
    "SELECT ",
    move_columns!(),
    " FROM stale_drafts_moves ORDER BY started_at DESC, id DESC LIMIT ?1"
);
const MOVES_OF: &str = concat!(
    "SELECT ",
    move_columns!(),
    " FROM stale_drafts_moves WHERE first_bucket = ?1 AND last_bucket = ?2 ORDER BY started_at DESC, id DESC LIMIT ?3"
);

/// The first row on record that says `$what` of any of the buckets `$first` to `$last`.
macro_rules! among {
    ($first:literal, $last:literal, $what:literal) => {
        concat!(
            "(SELECT first_bucket FROM stale_drafts_buckets WHERE ",
            $what,
            " AND first_bucket <= ",
            $last,
            " AND first_bucket >= (SELECT max(first_bucket) FROM stale_drafts_buckets WHERE first_bucket <= ",
            $first,
            ") ORDER BY first_bucket LIMIT 1)"
        )
    };
}

/// Why the buckets ?2 to ?3 can't begin to move as ?1: what stands in the way, or `NULL` for each.
#[rustfmt::skip]
const OBSTACLES: &str = concat!("SELECT
       (SELECT id FROM stale_drafts_moves WHERE id <> ?1 AND first_bucket <= ?3 AND last_bucket >= ?2
          AND state NOT IN ('trimmed', 'settled', 'cancelled') LIMIT 1) AS overlaps,
       EXISTS (SELECT 1 FROM stale_drafts_buckets) AS recorded,
       (SELECT max(first_bucket, ?2) FROM ", among!("?2", "?3", "state <> 'here'"), ") AS elsewhere,
       (SELECT max(first_bucket, ?2) FROM ", among!("?2", "?3", "state <> 'away'"), ") AS here,
       (SELECT name FROM sqlite_schema WHERE name GLOB 'stale_drafts_attach_*' LIMIT 1) AS attached,
       (SELECT max(version) FROM stale_drafts_schema) AS version");

/// Enters a move, unless it is there or another one is about one of its buckets. The source has all of them on record, and the target none.
#[rustfmt::skip]
const BEGIN: &str = concat!(
    "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?7 WHERE ?6 = 'cancelled' OR NOT EXISTS (
       SELECT 1 FROM stale_drafts_moves WHERE id <> ?1 AND first_bucket <= ?4 AND last_bucket >= ?3
         AND state NOT IN ('trimmed', 'settled', 'cancelled'))
       AND EXISTS (SELECT 1 FROM stale_drafts_buckets)
       AND NOT EXISTS ", among!("?3", "?4", "state <> iif(?2 = 'source', 'here', 'away')"), "
     ON CONFLICT (id) DO NOTHING"
);

/// From the state ?2 to the state ?3, where the mover goes on at the beginning; if ?5 is given, only from that place.
const TURN: &str = "UPDATE stale_drafts_moves SET state = ?3, place = '', changed_at = ?4, stepped_at = ?4
     WHERE id = ?1 AND state = ?2 AND (?5 IS NULL OR place = ?5) RETURNING state";

/// The same at the end of a verification, with what was verified.
const VERIFIED: &str = "UPDATE stale_drafts_moves SET state = 'verified', place = '', changed_at = ?3, stepped_at = ?3, creations = ?4, entries = ?5,
       users = (SELECT count(*) FROM stale_drafts_moving_users WHERE move_id = ?1)
     WHERE id = ?1 AND state = 'copied' AND place = ?2 RETURNING state";

/// Back from the verification, since there are users who have not been copied.
const AGAIN: &str =
    "UPDATE stale_drafts_moves SET state = 'paused', place = ?3, changed_at = ?4, stepped_at = ?4
     WHERE id = ?1 AND state = 'copied' AND place = ?2 RETURNING state";

/// The mover goes on at the place ?4, if no other one has gone on before it.
const ADVANCE: &str = "UPDATE stale_drafts_moves SET place = ?4, stepped_at = ?5 WHERE id = ?1 AND state = ?2 AND place = ?3 RETURNING state";

/// Begins what only the mover may write, within a transaction and in the state ?2; and ends it.
const UNLOCK: &str = "UPDATE stale_drafts_moves SET writing = 1 WHERE id = ?1 AND state = ?2";
const LOCK: &str = "UPDATE stale_drafts_moves SET writing = 0 WHERE id = ?1 AND writing = 1";

/// Enters users of a move in the state ?3, also those whom one that was cancelled has still. In the target only those who have nothing there: a cancellation removes what they have.
const ENTER_USERS: &str = "INSERT INTO stale_drafts_moving_users (user_id, move_id)
     SELECT j.value, ?1 FROM json_each(?2) AS j
     WHERE EXISTS (SELECT 1 FROM stale_drafts_moves WHERE id = ?1 AND state = ?3)
       AND (?3 <> 'arriving' OR NOT EXISTS (SELECT 1 FROM stale_drafts_balances WHERE user_id = j.value)
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_archived_users WHERE user_id = j.value)
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_of_user WHERE user_id = j.value))
     ON CONFLICT (user_id) DO UPDATE SET move_id = excluded.move_id
     WHERE EXISTS (SELECT 1 FROM stale_drafts_moves WHERE id = stale_drafts_moving_users.move_id AND state = 'cancelled')";

/// The first user of a list who is not of the move.
const NOT_ENTERED: &str = "SELECT j.value AS user_id FROM json_each(?2) AS j
     WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_moving_users WHERE user_id = j.value AND move_id = ?1) LIMIT 1";

/// The first user of a list who has nothing here.
const WITHOUT_ROWS: &str = "SELECT j.value AS user_id FROM json_each(?1) AS j
     WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_balances WHERE user_id = j.value)
       AND NOT EXISTS (SELECT 1 FROM stale_drafts_archived_users WHERE user_id = j.value)
       AND NOT EXISTS (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_of_user WHERE user_id = j.value) LIMIT 1";

/// A user of a move.
const USER_OF_MOVE: &str =
    "SELECT user_id FROM stale_drafts_moving_users INDEXED BY stale_drafts_moving_users_of_move
     WHERE move_id = ?1 ORDER BY user_id LIMIT 1";

#[rustfmt::skip]
const PUT_CREATIONS: &str = concat!(
    "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, attempt, tokens, created_at, queued_at, started_at, heartbeat_at,
       finished_at, error, error_code, worker, fence, progress, result_url, late_result_url, late_at, restored_at, settled_elsewhere,
       balance_elsewhere, deleted_at, event, event_destinations, stuck_status, age_ms, max_age_ms, rule, sweep_id, charge, tokens_used, extended_until)
     SELECT v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 5, v ->> 6, ", back!("v ->> 7"), ", ", back!("v ->> 8"), ", ", back!("v ->> 9"), ",
       ", back!("v ->> 10"), ", ", back!("v ->> 11"), ", v ->> 12, v ->> 13, v ->> 14, v ->> 15, ", back!("v ->> 16"), ", v ->> 17, v ->> 18, v ->> 19,
       v ->> 20, v ->> 21, v ->> 22, v ->> 23, v ->> 24, ", back!("v ->> 25"), ", v ->> '$[26][0]',
       ", back!("v ->> '$[26][1]'"), ", ", back!("v ->> '$[26][2]'"), ", v ->> '$[26][3]', v ->> '$[26][4]', v ->> '$[29][0]', v ->> '$[29][1]', ", back!("v ->> '$[26][5]'"), "
     FROM (SELECT value AS v FROM json_each(?1))
     WHERE EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = v ->> 1)
     ON CONFLICT (id) DO NOTHING"
);

/// The first creation of a page whose id another user has here.
const TAKEN_ID: &str = "SELECT v ->> 0 AS id, v ->> 1 AS user_id, c.user_id AS of_user
     FROM (SELECT value AS v FROM json_each(?1)) CROSS JOIN stale_drafts_creations AS c ON c.id = v ->> 0
     WHERE c.user_id <> v ->> 1 LIMIT 1";

/// The parts of each creation that are of `$what`, as `v`, with the creation's `id`: see `parts!`.
macro_rules! of_creations {
    ($what:literal) => {
        concat!(
            "(SELECT c.value ->> 0 AS id, c.value ->> 1 AS owner, a.value AS v
       FROM json_each(?1) AS c CROSS JOIN json_each(c.value, '$[27]') AS a WHERE a.value ->> 0 = ",
            $what,
            ")
     WHERE EXISTS (SELECT 1 FROM stale_drafts_carried WHERE stale_drafts_carried.user_id = owner)"
        )
    };
}

#[rustfmt::skip]
const PUT_ATTEMPTS: &str = concat!(
    "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, worker, fence, started_at, heartbeat_at, finished_at, error, error_code,
       stuck_status, age_ms, max_age_ms, rule, sweep_id, tokens_used)
     SELECT id, ", back!("v ->> 1"), ", v ->> 2, ", back!("v ->> 3"), ", ", back!("v ->> 4"), ", ", back!("v ->> 5"), ", ", back!("v ->> 6"), ",
       ", back!("v ->> 7"), ", ", back!("v ->> 8"), ", ", back!("v ->> 9"), ", ", back!("v ->> 10"), ", ", back!("v ->> 11"), ", ", back!("v ->> 12"), ",
       ", back!("v ->> 13"), ", ", back!("v ->> 14"), ", v ->> 15
     FROM ", of_creations!("0"), "
     ON CONFLICT (creation_id, attempt) DO NOTHING"
);

#[rustfmt::skip]
const PUT_REJECTED: &str = concat!(
    "INSERT INTO stale_drafts_rejected (creation_id, until, reason)
     SELECT v ->> 0, v ->> '$[28][0]', ", back!("v ->> '$[28][1]'"), "
     FROM (SELECT value AS v FROM json_each(?1))
     WHERE v ->> '$[28][0]' IS NOT NULL AND EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = v ->> 1)
     ON CONFLICT (creation_id) DO NOTHING"
);

#[rustfmt::skip]
const PUT_EXTENSIONS: &str = concat!(
    "INSERT INTO stale_drafts_extensions (scope, name, until, since, actor, reason, ended_at, ended_by)
     SELECT 'creation', id, v ->> 1, v ->> 2, ", back!("v ->> 3"), ", ", back!("v ->> 4"), ", v ->> 5, ", back!("v ->> 6"), "
     FROM ", of_creations!("1"), "
     ON CONFLICT (scope, name, until) DO NOTHING"
);

#[rustfmt::skip]
const PUT_ACTS: &str = concat!(
    "INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject)
     SELECT ", back!("v ->> 1"), ", ", back!("v ->> 2"), ", ", back!("v ->> 3"), ", ", back!("v ->> 4"), ", ", back!("v ->> 5"), ", 'creation:' || id
     FROM ", of_creations!("2"), "
     ON CONFLICT (id) DO NOTHING"
);

#[rustfmt::skip]
const PUT_LEDGER: &str = concat!(
    "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, sweep_id, tokens, created_at)
     SELECT v ->> 0, v ->> 1, v ->> 2, v ->> 3, ", back!("v ->> 4"), ", v ->> 5, v ->> 6
     FROM (SELECT value AS v FROM json_each(?1))
     WHERE EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = v ->> 1)
       AND NOT EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = v ->> 0)"
);

const PUT_CARRIES: &str = "INSERT INTO stale_drafts_carries (user_id, created_at, entries)
     SELECT v ->> 1, v ->> 6, v ->> 7 FROM (SELECT value AS v FROM json_each(?1))
     WHERE v ->> 2 = 'carry' AND EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = v ->> 1)
     ON CONFLICT (user_id, created_at) DO NOTHING";

const PUT_COMPACTED_USERS: &str = "INSERT INTO stale_drafts_compacted_users (user_id)
     SELECT DISTINCT v ->> 1 FROM (SELECT value AS v FROM json_each(?1))
     WHERE EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = v ->> 1)
     ON CONFLICT (user_id) DO NOTHING";

#[rustfmt::skip]
const PUT_COMPACTED: &str = concat!(
    "INSERT INTO stale_drafts_compacted_creations (id, owner, hour)
     SELECT ", back!("(v ->> 0)"), ", u.number, v ->> 2
     FROM (SELECT value AS v FROM json_each(?1)) CROSS JOIN stale_drafts_compacted_users AS u ON u.user_id = v ->> 1
     WHERE EXISTS (SELECT 1 FROM stale_drafts_carried AS c WHERE c.user_id = v ->> 1)
     ON CONFLICT (id) DO NOTHING"
);

const PUT_BALANCES: &str = "INSERT INTO stale_drafts_balances (user_id, tokens)
     SELECT v ->> 0, v ->> 1 FROM (SELECT value AS v FROM json_each(?1))
     WHERE v ->> 1 IS NOT NULL AND EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = v ->> 0)
     ON CONFLICT (user_id) DO NOTHING";

const PUT_ARCHIVED: &str =
    "INSERT INTO stale_drafts_archived_users (user_id, creations, deleted, tokens, first_created_at, last_created_at)
     SELECT v ->> 0, v ->> '$[2][0]', v ->> '$[2][1]', v ->> '$[2][2]', v ->> '$[2][3]', v ->> '$[2][4]'
     FROM (SELECT value AS v FROM json_each(?1))
     WHERE v ->> '$[2][0]' IS NOT NULL AND EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = v ->> 0)
     ON CONFLICT (user_id) DO NOTHING";

/// The end of the next ?2 entries of the ledger after the key ?1, `NULL` where there are none.
const NEXT_ENTRIES: &str =
    "SELECT iif(max(entry_key) IS NULL, NULL, json_array(max(entry_key))) AS place FROM (
       SELECT entry_key FROM stale_drafts_ledger WHERE entry_key > ?1 ->> 0 ORDER BY entry_key LIMIT ?2)";

/// Removes the entries after the key ?1 up to the key ?2 that are of a move's users. Not so many by number: others, who stay, may have
/// added some since that end was read.
const REMOVE_ENTRIES: &str = "DELETE FROM stale_drafts_ledger
     WHERE entry_key > ?1 ->> 0 AND entry_key <= ?2 ->> 0
       AND EXISTS (SELECT 1 FROM stale_drafts_carried AS c WHERE c.user_id = stale_drafts_ledger.user_id)";

/// The same of what is compacted.
#[rustfmt::skip]
const NEXT_COMPACTED: &str = concat!(
    "SELECT (SELECT iif(id IS NULL, NULL, json_array(", any!("id"), ")) FROM (SELECT max(id) AS id FROM (
       SELECT id FROM stale_drafts_compacted_creations WHERE id > ", back!("(?1 ->> 0)"), " ORDER BY id LIMIT ?2))) AS place"
);

#[rustfmt::skip]
const REMOVE_COMPACTED: &str = concat!(
    "DELETE FROM stale_drafts_compacted_creations
     WHERE id > ", back!("(?1 ->> 0)"), " AND id <= ", back!("(?2 ->> 0)"), "
       AND EXISTS (SELECT 1 FROM stale_drafts_compacted_users AS o CROSS JOIN stale_drafts_carried AS c ON c.user_id = o.user_id
         WHERE o.number = stale_drafts_compacted_creations.owner)"
);

/// The first ?2 creations of a move's users that the mover may remove.
macro_rules! removed {
    () => {
        "(SELECT c.id FROM stale_drafts_moves AS m
       CROSS JOIN stale_drafts_moving_users AS u INDEXED BY stale_drafts_moving_users_of_move ON u.move_id = m.id
       CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user ON c.user_id = u.user_id
       WHERE m.id = ?1 AND m.writing = 1 ORDER BY u.user_id, c.listed_at, c.id LIMIT ?2)"
    };
}

const REMOVE_ATTEMPTS: &str = concat!("DELETE FROM stale_drafts_attempts WHERE creation_id IN ", removed!());
const REMOVE_REJECTED: &str = concat!("DELETE FROM stale_drafts_rejected WHERE creation_id IN ", removed!());
const REMOVE_EXTENSIONS: &str =
    concat!("DELETE FROM stale_drafts_extensions WHERE scope = 'creation' AND name IN ", removed!());
const REMOVE_ACTS: &str = concat!(
    "DELETE FROM stale_drafts_audit WHERE subject IN (SELECT 'creation:' || id FROM ",
    removed!(),
    ")"
);
const REMOVE_CREATIONS: &str =
    concat!("DELETE FROM stale_drafts_creations WHERE id IN ", removed!(), " RETURNING id");

/// The first ?2 users of a move that the mover may write.
macro_rules! removed_users {
    () => {
        "(SELECT u.user_id FROM stale_drafts_moves AS m
       CROSS JOIN stale_drafts_moving_users AS u INDEXED BY stale_drafts_moving_users_of_move ON u.move_id = m.id
       WHERE m.id = ?1 AND m.writing = 1 ORDER BY u.user_id LIMIT ?2)"
    };
}

const REMOVE_BALANCES: &str =
    concat!("DELETE FROM stale_drafts_balances WHERE user_id IN ", removed_users!());
const REMOVE_ARCHIVED: &str =
    concat!("DELETE FROM stale_drafts_archived_users WHERE user_id IN ", removed_users!());
const REMOVE_CARRIES: &str = concat!("DELETE FROM stale_drafts_carries WHERE user_id IN ", removed_users!());
const REMOVE_COMPACTED_USERS: &str =
    concat!("DELETE FROM stale_drafts_compacted_users WHERE user_id IN ", removed_users!());
/// Lets users of a move go.
const REMOVE_USERS: &str = concat!(
    "DELETE FROM stale_drafts_moving_users WHERE user_id IN ",
    removed_users!(),
    " RETURNING user_id"
);

/// A move as one of its databases has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRow {
    /// Its id.
    pub id: String,
    /// `source` or `target`: what this database is of it.
    pub role: String,
    /// The first of its buckets.
    pub first_bucket: u32,
    /// The last of them.
    pub last_bucket: u32,
    /// The binding of the other database.
    pub other: String,
    /// Of the source `paused`, `copied`, `verified`, `moved`, `trimmed`; of the target `arriving`, `open`, `settled`; of either
    /// `cancelling`, `cancelled`.
    pub state: String,
    /// Where the mover goes on: a [`Place`] as JSON, or empty.
    #[serde(skip_serializing)]
    pub place: String,
    /// When it was entered, in epoch milliseconds.
    pub started_at: u64,
    /// When it came into its state.
    pub changed_at: u64,
    /// When it last went on: to a state, or to a place.
    pub stepped_at: u64,
    /// How many users were verified.
    pub users: Option<u64>,
    /// How many of their creations.
    pub creations: Option<u64>,
    /// How many entries of their ledger.
    pub entries: Option<u64>,
}

/// What a mover is at, in one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Looking for users among the balances and in what is archived,
    #[default]
    Users,
    /// and among the owners of creations.
    Owners,
    /// At their creations,
    Creations,
    /// their ledger,
    Ledger,
    /// what of it is compacted,
    Compacted,
    /// and their balances.
    Balances,
}

impl Stage {
    /// The one after it.
    pub const fn next(self) -> Option<Self> {
        match self {
            Stage::Users => Some(Stage::Owners),
            Stage::Owners => Some(Stage::Creations),
            Stage::Creations => Some(Stage::Ledger),
            Stage::Ledger => Some(Stage::Compacted),
            Stage::Compacted => Some(Stage::Balances),
            Stage::Balances => None,
        }
    }

    /// Whether no index finds its rows by their user: it is walked over slice by slice, whosever they are.
    pub const fn is_sliced(self) -> bool {
        matches!(self, Stage::Ledger | Stage::Compacted)
    }

    /// The place before its first row.
    pub const fn beginning(self) -> &'static str {
        match self {
            Stage::Creations => r#"["",-1,""]"#,
            // The text that comes before every other: ids that are bytes come after them.
            Stage::Compacted => r#"["t"]"#,
            _ => r#"[""]"#,
        }
    }
}

/// Where a mover goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// How often it has begun with the copy: once, and again where users were found that it did not know.
    pub pass: u32,
    /// What it is at.
    pub stage: Stage,
    /// After which row, as the statement of the page has it.
    pub after: String,
    /// How many creations came before,
    pub creations: u64,
    /// and how many entries of the ledger.
    pub entries: u64,
}

impl Place {
    /// The beginning of a stage.
    pub fn beginning(stage: Stage) -> Self {
        Place { pass: 0, stage, after: stage.beginning().to_owned(), creations: 0, entries: 0 }
    }

    /// The place that `text` says, or the beginning of `stage` where there is none.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if it says none.
    pub fn read(text: &str, stage: Stage) -> Result<Self, DatabaseError> {
        if text.is_empty() {
            return Ok(Place::beginning(stage));
        }
        serde_json::from_str(text)
            .map_err(|error| DatabaseError::new(format!("the place `{text}` of a move: {error}")))
    }

    /// The same as text.
    pub fn text(&self) -> String {
        super::json(self)
    }
}

/// A page of rows, as one text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Rows {
    /// The rows: an array of arrays.
    pub rows: String,
    /// How many; without a creation that the page before began with.
    pub n: u64,
    /// After which row the next page begins; `None` at the end.
    pub place: Option<String>,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct UserRows {
    /// An array of ids.
    #[serde(deserialize_with = "super::typed::json_text")]
    pub users: Vec<String>,
    /// After whom the next page begins; `None` at the end.
    pub place: Option<String>,
}

/// What stands in the way of a move.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Obstacles {
    /// The id of a move of one of these buckets that is not done.
    pub overlaps: Option<String>,
    /// 0, if it is not on record which buckets this database has.
    pub recorded: u8,
    /// The first of the buckets that this database does not have, or that is leaving it.
    pub elsewhere: Option<u32>,
    /// The first of them that it has.
    pub here: Option<u32>,
    /// What an attached table has made: see docs/attach.md.
    pub attached: Option<String>,
    /// The newest migration.
    pub version: Option<i64>,
}

/// A creation of a page whose id another user has in the target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TakenId {
    /// The id.
    pub id: String,
    /// Whose creation is to come.
    pub user_id: String,
    /// Whose is there.
    pub of_user: String,
}

/// A creation whose rows are large.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LargestCreation {
    /// The id.
    pub id: String,
    /// About how many bytes the largest of its rows has.
    pub bytes: u64,
}

/// How much a page may hold.
#[derive(Clone, Copy, Debug)]
pub struct PageSize {
    /// Rows.
    pub rows: u32,
    /// Bytes; a page of one row may have more.
    pub bytes: u32,
    /// Entries of the ledger, or of what is compacted, that are looked at, whosever they are.
    pub slice: u32,
}

/// The buckets of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

/// A move as this database has it: a row for [`move_of`].
pub fn move_by_id(id: &str) -> Statement {
    Statement::new(MOVE, [id.into()])
}

/// The newest `limit` moves: rows for [`MoveRow`].
pub fn moves(limit: u32) -> Statement {
    Statement::new(MOVES, [limit.into()])
}

/// The same of exactly these buckets.
pub fn moves_of(Buckets { first, last }: Buckets, limit: u32) -> Statement {
    Statement::new(MOVES_OF, [first.into(), last.into(), limit.into()])
}

/// The row of [`move_by_id`], if there is one.
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn move_of(rows: Vec<Row>) -> Result<Option<MoveRow>, DatabaseError> {
    rows.into_iter().next().map(typed).transpose()
}

/// What stands in the way of a move: a row for [`obstacles_of`].
pub fn obstacles(id: &str, Buckets { first, last }: Buckets) -> Statement {
    Statement::new(OBSTACLES, [id.into(), first.into(), last.into()])
}

/// The row of [`obstacles`].
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn obstacles_of(rows: Vec<Row>) -> Result<Obstacles, DatabaseError> {
    only(rows)
}

/// Enters a move, unless another move is about one of its buckets; with the state come the changes of what is on record, by the schema.
pub fn begin_move(
    id: &str,
    role: &str,
    buckets: Buckets,
    other: &str,
    state: &str,
    now: Timestamp,
) -> Statement {
    let Buckets { first, last } = buckets;
    Statement::new(
        BEGIN,
        [id.into(), role.into(), first.into(), last.into(), other.into(), state.into(), now.into()],
    )
}

/// From one state to another, and if one is given, from that place: a row if this did it.
pub fn turn_move(id: &str, from: &str, to: &str, place: Option<&str>, now: Timestamp) -> Statement {
    Statement::new(TURN, [id.into(), from.into(), to.into(), now.into(), place.into()])
}

/// Goes on from one place to another: a row, unless another mover has gone on meanwhile.
pub fn advance(id: &str, state: &str, from: &str, to: &str, now: Timestamp) -> Statement {
    Statement::new(ADVANCE, [id.into(), state.into(), from.into(), to.into(), now.into()])
}

/// Ends a verification: a row if this did it.
pub fn verified(id: &str, from: &str, place: &Place, now: Timestamp) -> Statement {
    let [creations, entries] = [place.creations, place.entries].map(whole);
    Statement::new(VERIFIED, [id.into(), from.into(), now.into(), creations, entries])
}

/// Goes back from the verification to the copy: a row if this did it.
pub fn copy_again(id: &str, from: &str, to: &str, now: Timestamp) -> Statement {
    Statement::new(AGAIN, [id.into(), from.into(), to.into(), now.into()])
}

/// The next users, bucket or not, that have a balance, or creations: a row for [`users_of`].
pub fn next_users(stage: Stage, after: &str, limit: u32) -> Statement {
    Statement::new(if stage == Stage::Users { USERS } else { OWNERS }, [after.into(), limit.into()])
}

/// The row of [`next_users`].
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn users_of(rows: Vec<Row>) -> Result<UserRows, DatabaseError> {
    only(rows)
}

/// The first user of a move, if there is one: a row with `user_id`.
pub fn user_of_move(id: &str) -> Statement {
    Statement::new(USER_OF_MOVE, [id.into()])
}

/// The first of these users, if any, who has nothing here: a row with `user_id`.
pub fn without_rows(users: &[&str]) -> Statement {
    Statement::new(WITHOUT_ROWS, [Param::Text(super::json(users))])
}

/// Enters users of a move in this state.
pub fn enter_users(id: &str, state: &str, users: &[&str]) -> Statement {
    Statement::new(ENTER_USERS, [id.into(), Param::Text(super::json(users)), state.into()])
}

/// The first of these users, if any, who is not of the move: a row with `user_id`.
pub fn not_entered(id: &str, users: &[&str]) -> Statement {
    Statement::new(NOT_ENTERED, [id.into(), Param::Text(super::json(users))])
}

/// A page of what the move's users have: a row for [`rows_of`]. Of the ledger, and of what is compacted, no more than a slice is looked
/// at, and nothing beyond `until`.
pub fn page_of_move(id: &str, stage: Stage, after: &str, until: Option<&str>, size: PageSize) -> Statement {
    page(id, stage, after, until, size, size.slice.into())
}

/// The same page as the other database has it: of what is sliced, all up to where that one ends, whosever the rows are.
pub fn same_page(id: &str, stage: Stage, after: &str, until: Option<&str>, size: PageSize) -> Statement {
    page(id, stage, after, until, size, Param::Null)
}

fn page(id: &str, stage: Stage, after: &str, until: Option<&str>, size: PageSize, slice: Param) -> Statement {
    let PageSize { rows, bytes, .. } = size;
    match stage {
        Stage::Ledger | Stage::Compacted => Statement::new(
            if stage == Stage::Ledger { LEDGER } else { COMPACTED },
            [id.into(), after.into(), rows.into(), bytes.into(), slice, until.into()],
        ),
        Stage::Balances => Statement::new(BALANCES, [id.into(), after.into(), rows.into()]),
        _ => Statement::new(CREATIONS, [id.into(), after.into(), rows.into(), bytes.into()]),
    }
}

/// The row of [`page_of_move`].
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn rows_of(rows: Vec<Row>) -> Result<Rows, DatabaseError> {
    only(rows)
}

/// Writes a page as it is, where the move is arriving and its user is of it. What is there already stays.
pub fn put(id: &str, stage: Stage, rows: &str) -> Vec<Statement> {
    let texts: &[&'static str] = match stage {
        Stage::Ledger => &[PUT_LEDGER, PUT_CARRIES],
        Stage::Compacted => &[PUT_COMPACTED_USERS, PUT_COMPACTED],
        Stage::Balances => &[PUT_BALANCES, PUT_ARCHIVED],
        _ => &[PUT_CREATIONS, PUT_ATTEMPTS, PUT_REJECTED, PUT_EXTENSIONS, PUT_ACTS],
    };
    unlocked(id, "arriving", texts.iter().map(|text| Statement::new(text, [rows.into()])))
}

/// Of the next `limit` creations after a place the one that has most bytes in one of its rows: a row for [`LargestCreation`].
pub fn largest_creation(id: &str, after: &str, limit: u32) -> Statement {
    Statement::new(LARGEST, [id.into(), after.into(), limit.into()])
}

/// The row of [`largest_creation`], if there is one.
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn largest_creation_of(rows: Vec<Row>) -> Result<Option<LargestCreation>, DatabaseError> {
    rows.into_iter().next().map(typed).transpose()
}

/// The first creation of a page whose id another user has here, if there is one: a row for [`taken_id_of`].
pub fn taken_id(rows: &str) -> Statement {
    Statement::new(TAKEN_ID, [rows.into()])
}

/// The row of [`taken_id`], if there is one.
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn taken_id_of(rows: Vec<Row>) -> Result<Option<TakenId>, DatabaseError> {
    rows.into_iter().next().map(typed).transpose()
}

/// Where the next rows of the ledger, or of what is compacted, end: a row with `place`.
pub fn next_entries(stage: Stage, after: &str, slice: u32) -> Statement {
    let text = if stage == Stage::Compacted { NEXT_COMPACTED } else { NEXT_ENTRIES };
    Statement::new(text, [after.into(), slice.into()])
}

/// Removes those from one place to another that are of the move's users, while it is in `state`.
pub fn remove_entries(id: &str, state: &str, stage: Stage, after: &str, until: &str) -> Vec<Statement> {
    let text = if stage == Stage::Compacted { REMOVE_COMPACTED } else { REMOVE_ENTRIES };
    unlocked(id, state, [Statement::new(text, [after.into(), until.into()])])
}

/// Removes the first creations of the move's users, while it is in `state`: [`REMOVED_IN`] is the result that has a row for each.
pub fn remove_creations(id: &str, state: &str, limit: u32) -> Vec<Statement> {
    let texts = [REMOVE_ATTEMPTS, REMOVE_REJECTED, REMOVE_EXTENSIONS, REMOVE_ACTS, REMOVE_CREATIONS];
    unlocked(id, state, texts.map(|text| Statement::new(text, [id.into(), limit.into()])))
}

/// The result of [`remove_creations`] that says which.
pub const REMOVED_IN: usize = 5;

/// Lets the first users of the move go, while it is in `state`: with their balances, if those are `removed`. The last result but one
/// has a row for each.
pub fn release_users(id: &str, state: &str, limit: u32, removed: bool) -> Vec<Statement> {
    let texts: &[&'static str] = if removed {
        &[REMOVE_BALANCES, REMOVE_ARCHIVED, REMOVE_CARRIES, REMOVE_COMPACTED_USERS, REMOVE_USERS]
    } else {
        &[REMOVE_USERS]
    };
    unlocked(id, state, texts.iter().map(|text| Statement::new(text, [id.into(), limit.into()])))
}

/// What only the mover may write, in one transaction.
fn unlocked(id: &str, state: &str, writes: impl IntoIterator<Item = Statement>) -> Vec<Statement> {
    let mut batch = vec![Statement::new(UNLOCK, [id.into(), state.into()])];
    batch.extend(writes);
    batch.push(Statement::new(LOCK, [id.into()]));
    batch
}

fn whole(number: u64) -> Param {
    Param::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
