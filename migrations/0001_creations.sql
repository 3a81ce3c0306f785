-- Stale Drafts: creations, their money, and the sweeps that look after them.
--
-- Times are whole milliseconds since the Unix epoch, NULL where it has not happened. Those that an app brings
-- in carry no CHECK: a row whose times are garbage is stored, shown and never failed by guesswork. Money carries every CHECK
-- there is.
--
-- Text is text: a BLOB in it is an error wherever JSON is made of the row, and one such row would stop every sweep. Text is
-- bounded, since D1 stores no string above 2,000,000 bytes, and a sweep makes one of up to 1,000 rows. It holds no U+0000, which
-- ends a text in an export. Names hold no control characters at all, since they stand in logs, links and headers.
--
-- A list of words is checked by OR: for IN, SQLite builds a table of three or more of them, and D1 bills a row read.

-- The migrations that have been applied. Each one adds its own number, so a set that is applied by half shows; the Worker is
-- ready only if the newest is the one that it was built for.
CREATE TABLE stale_drafts_schema (
  version INTEGER NOT NULL PRIMARY KEY
) WITHOUT ROWID;
INSERT INTO stale_drafts_schema (version) VALUES (1);

-- One row a sweep. The id is a UUIDv7, so the newest is the greatest, and no further index is needed.
CREATE TABLE stale_drafts_sweeps (
  id              TEXT    NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text' AND id <> ''),
  source          TEXT    NOT NULL CHECK (source = 'cron' OR source = 'page' OR source = 'endpoint' OR source = 'tool'),
  actor           TEXT,                       -- who asked: a user's id, a token's name
  plan_id         TEXT,                       -- the plan that it carried out
  started_at      INTEGER NOT NULL,
  finished_at     INTEGER,                    -- NULL: running, or cut off
  examined        INTEGER NOT NULL DEFAULT 0 CHECK (examined >= 0),
  failed          INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
  retried         INTEGER NOT NULL DEFAULT 0 CHECK (retried >= 0),
  raced           INTEGER NOT NULL DEFAULT 0
    CONSTRAINT trigger_skips_the_update CHECK (raced >= 0),   -- the error names it: a sweep counts -1 where a RAISE(IGNORE) kept a row as it was
  rejected         INTEGER NOT NULL DEFAULT 0 CHECK (rejected >= 0),   -- the database rejected the write
  unreadable      INTEGER NOT NULL DEFAULT 0 CHECK (unreadable >= 0),
  refunded_tokens INTEGER NOT NULL DEFAULT 0 CHECK (refunded_tokens >= 0),
  more            INTEGER NOT NULL DEFAULT 0 CHECK (more IN (0, 1)),
  error           TEXT,
  -- What it cost, as D1 reported it; NULL until it has noted that.
  queries         INTEGER,
  rows_read       INTEGER,
  rows_written    INTEGER,
  -- What its last transaction did, for the roll-ups: see 0004_monitor.sql.
  counted         TEXT
) WITHOUT ROWID;

CREATE TABLE stale_drafts_creations (
  -- Not `.` or `..`, which a URL can't have in its path, and not `active`, which /api/drafts has.
  id           TEXT    NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text' AND id <> '.' AND id <> '..' AND id <> 'active' AND length(CAST(id AS BLOB)) BETWEEN 1 AND 200
    AND instr(id, char(0)) = 0 AND id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'),
  user_id      TEXT    NOT NULL CHECK (typeof(user_id) = 'text' AND length(CAST(user_id AS BLOB)) BETWEEN 1 AND 200
    AND instr(user_id, char(0)) = 0 AND user_id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'),
  kind         TEXT    NOT NULL CHECK (typeof(kind) = 'text' AND length(CAST(kind AS BLOB)) BETWEEN 0 AND 200
    AND instr(kind, char(0)) = 0 AND kind NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'),
  prompt       TEXT    NOT NULL CHECK (typeof(prompt) = 'text' AND length(prompt) <= 20000 AND instr(prompt, char(0)) = 0),
  status       TEXT    NOT NULL CHECK (status = 'pending' OR status = 'processing' OR status = 'draft' OR status = 'published' OR status = 'failed'),
  attempt      INTEGER NOT NULL DEFAULT 1 CHECK (typeof(attempt) = 'integer' AND attempt BETWEEN 1 AND 4294967295),
  tokens       INTEGER NOT NULL CHECK (typeof(tokens) = 'integer' AND tokens BETWEEN 0 AND 9007199254740991),
  -- Which charge of its owner this is: a retry by hand is the next one. And what of it was used up; NULL: nothing if it failed, else
  -- all. What was not used went back: tokens = used + refunded, for each charge.
  charge       INTEGER NOT NULL DEFAULT 1 CHECK (typeof(charge) = 'integer' AND charge BETWEEN 1 AND attempt),
  tokens_used  INTEGER CHECK (typeof(tokens_used) IN ('integer', 'null') AND tokens_used BETWEEN 0 AND tokens),
  created_at   INTEGER,
  queued_at    INTEGER,                       -- when it was put back to pending for another attempt
  started_at   INTEGER,
  heartbeat_at INTEGER,
  extended_until INTEGER,                     -- an operator has given this attempt more time: it is not stale before, whatever its limit
  finished_at  INTEGER,
  error        TEXT CHECK (typeof(error) IN ('text', 'null') AND length(error) <= 20000 AND instr(error, char(0)) = 0),
  error_code   TEXT CHECK (typeof(error_code) IN ('text', 'null') AND length(error_code) <= 200 AND instr(error_code, char(0)) = 0),

  -- What a worker reports. The fence is given to the worker that starts an attempt; its later reports carry it.
  worker       TEXT CHECK (typeof(worker) IN ('text', 'null') AND length(worker) <= 200 AND instr(worker, char(0)) = 0),
  fence        TEXT CHECK (typeof(fence) IN ('text', 'null') AND length(fence) <= 220 AND instr(fence, char(0)) = 0),
  progress     INTEGER CHECK (progress BETWEEN 0 AND 100),
  result_url   TEXT CHECK (typeof(result_url) IN ('text', 'null') AND length(result_url) <= 2048 AND instr(result_url, char(0)) = 0),
  -- A result that came too late, and when an operator restored it.
  late_result_url TEXT CHECK (typeof(late_result_url) IN ('text', 'null') AND length(late_result_url) <= 2048 AND instr(late_result_url, char(0)) = 0),
  late_at      INTEGER CHECK (typeof(late_at) IN ('integer', 'null') AND (late_at IS NULL) = (late_result_url IS NULL)),
  restored_at  INTEGER CHECK (typeof(restored_at) IN ('integer', 'null')),
  -- 1: it was over before it came in, and another system has charged it, and refunded it if it failed. Its insert moves no tokens.
  settled_elsewhere INTEGER NOT NULL DEFAULT 0 CHECK (settled_elsewhere = 0 OR settled_elsewhere = 1 AND status NOT IN ('pending', 'processing')),
  -- 1: the app keeps its owner's balance itself, and has charged it there: see docs/attach.md. The ledger notes the charge only when
  -- it is refunded, both at once, so that the balance here stays as it is.
  balance_elsewhere INTEGER NOT NULL DEFAULT 0 CHECK (balance_elsewhere = 0 OR balance_elsewhere = 1),
  -- When its owner deleted it: prompt and results are gone then, the row stays for the ledger.
  deleted_at   INTEGER CHECK (typeof(deleted_at) IN ('integer', 'null')),
  -- The last event of it, and to whom it goes: see `events`.
  event        TEXT CHECK (event = 'failed' OR event = 'retried' OR event = 'restored'),
  event_destinations       INTEGER NOT NULL DEFAULT 0 CHECK (typeof(event_destinations) = 'integer'),

  -- What a time-out was decided on; all five are set by a sweep, and only by one. `rule` is the entry of the policy. Lists make JSON of
  -- them, of many rows at once.
  stuck_status TEXT    CHECK (stuck_status IN ('pending', 'processing')),
  age_ms       INTEGER CHECK (typeof(age_ms) IN ('integer', 'null') AND age_ms >= 0),
  max_age_ms   INTEGER CHECK (typeof(max_age_ms) IN ('integer', 'null') AND max_age_ms >= 0),
  rule         TEXT CHECK (typeof(rule) IN ('text', 'null')),
  sweep_id     TEXT CHECK (typeof(sweep_id) IN ('text', 'null')), -- no foreign key: old sweeps are trimmed

  -- The rule `Draft::signs_of_life` (src/rules/draft.rs), for the index; NULL where that is an error or the
  -- creation is not active. A time before 1e12 ms, in 2001, was written in seconds. tests/agreement compares the two.
  last_sign_of_life INTEGER GENERATED ALWAYS AS (
    CASE
      WHEN status NOT IN ('pending', 'processing') THEN NULL
      WHEN created_at IS NOT NULL
        AND (typeof(created_at) <> 'integer' OR created_at NOT BETWEEN 1000000000000 AND 8640000000000000) THEN NULL
      WHEN heartbeat_at IS NOT NULL
        AND (typeof(heartbeat_at) <> 'integer' OR heartbeat_at NOT BETWEEN 1000000000000 AND 8640000000000000) THEN NULL
      WHEN extended_until IS NOT NULL
        AND (typeof(extended_until) <> 'integer' OR extended_until NOT BETWEEN 1000000000000 AND 8640000000000000) THEN NULL
      WHEN status = 'pending' AND queued_at IS NOT NULL
        AND (typeof(queued_at) <> 'integer' OR queued_at NOT BETWEEN 1000000000000 AND 8640000000000000) THEN NULL
      WHEN status = 'pending' THEN max(
        coalesce(created_at, queued_at, heartbeat_at),
        coalesce(queued_at, heartbeat_at, created_at),
        coalesce(heartbeat_at, created_at, queued_at)
      )
      WHEN started_at IS NOT NULL
        AND (typeof(started_at) <> 'integer' OR started_at NOT BETWEEN 1000000000000 AND 8640000000000000) THEN NULL
      ELSE max(
        coalesce(created_at, started_at, heartbeat_at),
        coalesce(started_at, heartbeat_at, created_at),
        coalesce(heartbeat_at, created_at, started_at)
      )
    END
  ) VIRTUAL,

  -- The rule `Draft::phase`: what an active creation is at, as far as limits go.
  phase TEXT GENERATED ALWAYS AS (
    CASE status
      WHEN 'pending' THEN 'pending'
      WHEN 'processing' THEN iif(heartbeat_at >= ifnull(started_at, heartbeat_at), 'heartbeating', 'processing')
    END
  ) VIRTUAL,

  -- When a worker began by `Draft::signs_of_life`, for the limit on the total time. No heartbeat changes it.
  processing_since INTEGER GENERATED ALWAYS AS (
    CASE
      WHEN status <> 'processing' THEN NULL
      WHEN created_at IS NOT NULL
        AND (typeof(created_at) <> 'integer' OR created_at NOT BETWEEN 1000000000000 AND 8640000000000000) THEN NULL
      WHEN started_at IS NOT NULL
        AND (typeof(started_at) <> 'integer' OR started_at NOT BETWEEN 1000000000000 AND 8640000000000000) THEN NULL
      ELSE max(ifnull(created_at, started_at), ifnull(started_at, created_at))
    END
  ) VIRTUAL,

  -- The drafts list is ordered by this: `created_at`, with those that are no instant last, such as nanoseconds.
  listed_at INTEGER GENERATED ALWAYS AS (
    CASE WHEN typeof(created_at) = 'integer' AND created_at BETWEEN 0 AND 8640000000000000 THEN created_at ELSE 0 END
  ) VIRTUAL,

  -- Only a sweep says so, but for what another system has timed out.
  CHECK (settled_elsewhere = 1 OR (error_code IS 'generation_timeout') = (sweep_id IS NOT NULL)),
  CHECK (settled_elsewhere = 0 OR sweep_id IS NULL),
  -- Nothing is used up of what is not over, nor by halves of what is charged elsewhere; what was restored is wholly used.
  CHECK (tokens_used IS NULL OR status NOT IN ('pending', 'processing') AND restored_at IS NULL AND settled_elsewhere = 0 AND balance_elsewhere = 0),
  CHECK (sweep_id IS NULL OR (error IS NOT NULL AND stuck_status IS NOT NULL AND rule IS NOT NULL AND age_ms > max_age_ms))
);

-- What a sweep finds by: active creations with readable times, per phase and kind, the longest without a sign of life
-- first. The condition is one that SQLite sees is met by `last_sign_of_life < ?`, bound or not, with statistics or without.
CREATE INDEX stale_drafts_creations_active ON stale_drafts_creations (phase, kind, last_sign_of_life)
  WHERE last_sign_of_life IS NOT NULL;
-- What a sweep finds by where the total time is limited. A heartbeat does not write it.
CREATE INDEX stale_drafts_creations_processing ON stale_drafts_creations (kind, processing_since)
  WHERE processing_since IS NOT NULL;
-- What a page load finds by. It holds nothing that a heartbeat changes, so a heartbeat does not write it.
CREATE INDEX stale_drafts_creations_active_of_user ON stale_drafts_creations (user_id)
  WHERE status IN ('pending', 'processing');
-- Those with more time: none, as a rule, and then it is never written.
CREATE INDEX stale_drafts_creations_extended ON stale_drafts_creations (extended_until)
  WHERE status IN ('pending', 'processing') AND extended_until IS NOT NULL;
-- Active creations whose times can't be read: normally empty.
CREATE INDEX stale_drafts_creations_unreadable ON stale_drafts_creations (id)
  WHERE status IN ('pending', 'processing') AND last_sign_of_life IS NULL;
-- The drafts list, newest first.
CREATE INDEX stale_drafts_creations_of_user ON stale_drafts_creations (user_id, listed_at, id);

-- Active creations that sweeps leave aside for a while, since the database rejected what a sweep wrote of them, so that they
-- keep nothing from its turn. Normally empty, so it costs an idle sweep nothing. It is a table and not a column, because an app's
-- trigger that rejects every update of a creation would reject that one too.
CREATE TABLE stale_drafts_rejected (
  creation_id TEXT    NOT NULL PRIMARY KEY REFERENCES stale_drafts_creations (id),
  until       INTEGER NOT NULL CHECK (typeof(until) = 'integer'),   -- when a sweep tries again
  reason      TEXT    NOT NULL CHECK (typeof(reason) = 'text')      -- the database's error
) WITHOUT ROWID;
CREATE TRIGGER stale_drafts_creations_move_on AFTER UPDATE OF status, attempt ON stale_drafts_creations
WHEN NEW.status <> OLD.status OR NEW.attempt <> OLD.attempt BEGIN
  DELETE FROM stale_drafts_rejected WHERE creation_id = NEW.id;
END;

-- What became of attempts that are over and were not the last word: those that a sweep put back to pending, the failure that a
-- restore undid, and those that failed before somebody retried by hand. The present attempt stands in `creations`. What is a time there
-- comes as it was written, garbage too; the other columns are of one type, as they are there.
CREATE TABLE stale_drafts_attempts (
  creation_id  TEXT    NOT NULL REFERENCES stale_drafts_creations (id),
  attempt      INTEGER NOT NULL CHECK (typeof(attempt) = 'integer'),
  outcome      TEXT    NOT NULL CHECK (outcome IN ('retried', 'restored', 'failed')),
  worker       TEXT CHECK (typeof(worker) IN ('text', 'null')),
  fence        TEXT CHECK (typeof(fence) IN ('text', 'null')),
  started_at   INTEGER,
  heartbeat_at INTEGER,
  finished_at  INTEGER NOT NULL,
  error        TEXT CHECK (typeof(error) IN ('text', 'null')),
  error_code   TEXT CHECK (typeof(error_code) IN ('text', 'null')),
  stuck_status TEXT CHECK (typeof(stuck_status) IN ('text', 'null')),
  age_ms       INTEGER CHECK (typeof(age_ms) IN ('integer', 'null') AND age_ms >= 0),
  max_age_ms   INTEGER CHECK (typeof(max_age_ms) IN ('integer', 'null') AND max_age_ms >= 0),
  rule         TEXT CHECK (typeof(rule) IN ('text', 'null')),
  sweep_id     TEXT CHECK (typeof(sweep_id) IN ('text', 'null')),
  tokens_used  INTEGER CHECK (typeof(tokens_used) IN ('integer', 'null')),  -- as in `creations`
  PRIMARY KEY (creation_id, attempt)
) WITHOUT ROWID;

-- A trigger that runs before an update makes SQLite look the row up twice, so these run after it: an abort undoes it.
-- The status machine of `Status::next` (src/rules/status.rs): a late result can't overwrite a failure, whoever writes.
-- The three ways back are a sweep's: to pending with the next attempt; a retry by hand: the same of a failed creation, charged anew;
-- and an operator's: a failed creation whose late result is restored.
CREATE TRIGGER stale_drafts_creations_status_machine AFTER UPDATE OF status ON stale_drafts_creations
WHEN NEW.status <> OLD.status AND NOT (
  (OLD.status = 'pending' AND NEW.status IN ('processing', 'failed'))
  OR (OLD.status = 'processing' AND NEW.status IN ('draft', 'failed'))
  OR (OLD.status = 'draft' AND NEW.status = 'published')
  OR (OLD.status = 'processing' AND NEW.status = 'pending' AND NEW.attempt = OLD.attempt + 1)
  OR (OLD.status = 'failed' AND NEW.status = 'pending' AND NEW.attempt = OLD.attempt + 1 AND NEW.charge = OLD.charge + 1
      AND OLD.deleted_at IS NULL AND NEW.settled_elsewhere = 0 AND NEW.balance_elsewhere = 0)
  OR (OLD.status = 'failed' AND NEW.status = 'draft' AND OLD.restored_at IS NULL AND NEW.restored_at IS NOT NULL
      AND OLD.late_result_url IS NOT NULL AND NEW.result_url IS OLD.late_result_url)
) BEGIN
  SELECT RAISE(ABORT, 'illegal status transition: expected pending to processing or failed, processing to draft or failed, draft to published');
END;
-- Attempts go up by one, and each begins as pending: what was reported for the last one is no longer of it.
CREATE TRIGGER stale_drafts_creations_attempts_go_up AFTER UPDATE OF attempt ON stale_drafts_creations
WHEN NEW.attempt <> OLD.attempt
  AND NOT (NEW.attempt = OLD.attempt + 1 AND NEW.status = 'pending' AND NEW.fence IS NULL AND NEW.extended_until IS NULL) BEGIN
  SELECT RAISE(ABORT, 'illegal attempt: expected the next one, in status pending, without a fence and without extended_until');
END;
-- What was charged can't be changed afterwards: the refund is the same number.
CREATE TRIGGER stale_drafts_creations_keep_their_price AFTER UPDATE OF id, user_id, tokens, settled_elsewhere, balance_elsewhere ON stale_drafts_creations
WHEN NEW.id <> OLD.id OR NEW.user_id <> OLD.user_id OR NEW.tokens <> OLD.tokens OR NEW.settled_elsewhere <> OLD.settled_elsewhere
  OR NEW.balance_elsewhere <> OLD.balance_elsewhere BEGIN
  SELECT RAISE(ABORT, 'id, user_id, tokens, settled_elsewhere and balance_elsewhere of a creation can''t change: the ledger refers to them');
END;
-- Its owner is charged again only by a retry by hand.
CREATE TRIGGER stale_drafts_creations_are_charged_by_retries AFTER UPDATE OF charge ON stale_drafts_creations
WHEN NEW.charge <> OLD.charge
  AND NOT (NEW.charge = OLD.charge + 1 AND OLD.status = 'failed' AND NEW.status = 'pending' AND NEW.attempt = OLD.attempt + 1) BEGIN
  SELECT RAISE(ABORT, 'illegal charge: expected the next one, as a failed creation goes back to pending');
END;
-- What was used up is said as it ends, once, and by nobody later: the rest is refunded in that moment.
CREATE TRIGGER stale_drafts_creations_say_what_was_used AFTER UPDATE OF tokens_used ON stale_drafts_creations
WHEN NEW.tokens_used IS NOT OLD.tokens_used AND NOT (OLD.status <> NEW.status
  AND (OLD.status IN ('pending', 'processing') OR OLD.status = 'failed' AND NEW.tokens_used IS NULL)) BEGIN
  SELECT RAISE(ABORT, 'tokens_used of a creation is set as it ends: what was not used has been refunded');
END;
