-- Stale Drafts: creations, their money, and the sweeps that look after them.
--
-- Times are whole milliseconds since the Unix epoch, NULL where it has not happened. They carry no CHECK: a row
-- whose times are garbage is stored, shown and never failed by guesswork. Money carries every CHECK there is.

-- The schema's version; the Worker refuses to be ready with another than its own.
CREATE TABLE stale_drafts_schema (
  version INTEGER NOT NULL PRIMARY KEY
) WITHOUT ROWID;
INSERT INTO stale_drafts_schema (version) VALUES (1);

-- One row a sweep. The id is a UUIDv7, so the newest is the greatest, and no further index is needed.
CREATE TABLE sweeps (
  id              TEXT    NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text' AND id <> ''),
  source          TEXT    NOT NULL CHECK (source IN ('cron', 'page', 'endpoint', 'tool')),
  actor           TEXT,                       -- who asked: a user's id, a token's name
  started_at      INTEGER NOT NULL,
  finished_at     INTEGER,                    -- NULL: running, or cut off
  examined        INTEGER NOT NULL DEFAULT 0 CHECK (examined >= 0),
  marked          INTEGER NOT NULL DEFAULT 0 CHECK (marked >= 0),
  raced           INTEGER NOT NULL DEFAULT 0 CHECK (raced >= 0),
  refused         INTEGER NOT NULL DEFAULT 0 CHECK (refused >= 0),   -- the database refused the write
  unreadable      INTEGER NOT NULL DEFAULT 0 CHECK (unreadable >= 0),
  refunded_tokens INTEGER NOT NULL DEFAULT 0 CHECK (refunded_tokens >= 0),
  more            INTEGER NOT NULL DEFAULT 0 CHECK (more IN (0, 1)),
  error           TEXT
) WITHOUT ROWID;

CREATE TABLE creations (
  id           TEXT    NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text' AND id <> ''),
  user_id      TEXT    NOT NULL CHECK (typeof(user_id) = 'text' AND user_id <> ''),
  kind         TEXT    NOT NULL CHECK (typeof(kind) = 'text'),
  prompt       TEXT    NOT NULL CHECK (typeof(prompt) = 'text'),
  status       TEXT    NOT NULL CHECK (status IN ('pending', 'processing', 'draft', 'published', 'failed')),
  attempt      INTEGER NOT NULL DEFAULT 1 CHECK (typeof(attempt) = 'integer' AND attempt BETWEEN 1 AND 4294967295),
  tokens       INTEGER NOT NULL CHECK (typeof(tokens) = 'integer' AND tokens BETWEEN 0 AND 9007199254740991),
  created_at   INTEGER,
  started_at   INTEGER,
  heartbeat_at INTEGER,
  finished_at  INTEGER,
  error        TEXT,
  error_code   TEXT,

  -- What a time-out was decided on; all four are set by a sweep, and only by one.
  stuck_status TEXT    CHECK (stuck_status IN ('pending', 'processing')),
  age_ms       INTEGER,
  max_age_ms   INTEGER,
  sweep_id     TEXT    REFERENCES sweeps (id),

  -- The rule `Draft::last_sign_of_life` (src/rules/verdict.rs), for the index; NULL where that is an error or the
  -- creation is not active. tests/worker compares the two on the same cases.
  last_sign_of_life INTEGER GENERATED ALWAYS AS (
    CASE
      WHEN status NOT IN ('pending', 'processing') THEN NULL
      WHEN created_at IS NOT NULL
        AND (typeof(created_at) <> 'integer' OR created_at NOT BETWEEN 0 AND 8640000000000000) THEN NULL
      WHEN heartbeat_at IS NOT NULL
        AND (typeof(heartbeat_at) <> 'integer' OR heartbeat_at NOT BETWEEN 0 AND 8640000000000000) THEN NULL
      WHEN status = 'pending' THEN max(ifnull(created_at, heartbeat_at), ifnull(heartbeat_at, created_at))
      WHEN started_at IS NOT NULL
        AND (typeof(started_at) <> 'integer' OR started_at NOT BETWEEN 0 AND 8640000000000000) THEN NULL
      ELSE max(
        coalesce(created_at, started_at, heartbeat_at),
        coalesce(started_at, heartbeat_at, created_at),
        coalesce(heartbeat_at, created_at, started_at)
      )
    END
  ) VIRTUAL,

  -- The drafts list is ordered by this: `created_at`, with the unreadable ones last.
  listed_at INTEGER GENERATED ALWAYS AS (
    CASE WHEN typeof(created_at) = 'integer' THEN created_at ELSE 0 END
  ) VIRTUAL,

  CHECK ((error_code IS 'generation_timeout') = (sweep_id IS NOT NULL)),
  CHECK (sweep_id IS NULL OR (error IS NOT NULL AND stuck_status IS NOT NULL AND age_ms > max_age_ms))
);

-- What a sweep finds by: active creations with readable times, per status and kind, the longest without a sign of life
-- first. The condition is one that SQLite sees is met by `last_sign_of_life < ?`, bound or not, with statistics or without.
CREATE INDEX creations_active ON creations (status, kind, last_sign_of_life)
  WHERE last_sign_of_life IS NOT NULL;
-- What a page load finds by. It holds nothing that a heartbeat changes, so a heartbeat does not write it.
CREATE INDEX creations_active_of_user ON creations (user_id)
  WHERE status IN ('pending', 'processing');
-- Active creations whose times can't be read: normally empty.
CREATE INDEX creations_unreadable ON creations (id)
  WHERE status IN ('pending', 'processing') AND last_sign_of_life IS NULL;
-- The drafts list, newest first.
CREATE INDEX creations_of_user ON creations (user_id, listed_at, id);

-- One row a user: the sum of the user's ledger, kept by the triggers below and by the sweep.
CREATE TABLE balances (
  user_id TEXT    NOT NULL PRIMARY KEY CHECK (typeof(user_id) = 'text' AND user_id <> ''),
  tokens  INTEGER NOT NULL CHECK (typeof(tokens) = 'integer' AND tokens BETWEEN 0 AND 9007199254740991)
) WITHOUT ROWID;

-- Every movement of tokens, for ever: rows are added, never changed or removed. The key is unique per creation
-- and type, so a creation is charged once and refunded once, whoever writes.
CREATE TABLE ledger (
  entry_key   TEXT    NOT NULL PRIMARY KEY CHECK (typeof(entry_key) = 'text'),
  user_id     TEXT    NOT NULL CHECK (typeof(user_id) = 'text' AND user_id <> ''),
  type        TEXT    NOT NULL CHECK (type IN ('grant', 'charge', 'refund')),
  creation_id TEXT    REFERENCES creations (id),
  sweep_id    TEXT,                           -- as in `creations`, where it is a foreign key
  tokens      INTEGER NOT NULL CHECK (typeof(tokens) = 'integer' AND abs(tokens) BETWEEN 1 AND 9007199254740991),
  created_at  INTEGER NOT NULL,
  CHECK ((type = 'charge') = (tokens < 0)),
  CHECK ((type = 'grant') = (creation_id IS NULL)),
  CHECK (type = 'grant' OR entry_key = type || ':' || creation_id),
  CHECK (sweep_id IS NULL OR type = 'refund')
) WITHOUT ROWID;

CREATE TRIGGER ledger_is_append_only_update BEFORE UPDATE ON ledger BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only: add an entry instead of changing one');
END;
CREATE TRIGGER ledger_is_append_only_delete BEFORE DELETE ON ledger BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only: add an entry instead of removing one');
END;

-- The balance follows the ledger in the same statement, whoever writes. Refunds of a sweep are the one exception:
-- the sweep credits them itself, in the same transaction, once per user instead of once per creation.
CREATE TRIGGER ledger_credits_balance AFTER INSERT ON ledger WHEN NEW.tokens > 0 AND NEW.sweep_id IS NULL BEGIN
  INSERT INTO balances (user_id, tokens) VALUES (NEW.user_id, NEW.tokens)
  ON CONFLICT (user_id) DO UPDATE SET tokens = tokens + excluded.tokens;
END;
CREATE TRIGGER ledger_debits_balance AFTER INSERT ON ledger WHEN NEW.tokens < 0 BEGIN
  SELECT RAISE(ABORT, 'insufficient tokens: the balance does not cover the charge')
  WHERE NOT EXISTS (SELECT 1 FROM balances WHERE user_id = NEW.user_id AND tokens + NEW.tokens >= 0);
  UPDATE balances SET tokens = tokens + NEW.tokens WHERE user_id = NEW.user_id;
END;

-- A creation is charged when it is made; one that is brought in as failed already is refunded at once.
CREATE TRIGGER creations_are_charged AFTER INSERT ON creations WHEN NEW.tokens > 0 BEGIN
  INSERT INTO ledger (entry_key, user_id, type, creation_id, tokens, created_at)
  VALUES ('charge:' || NEW.id, NEW.user_id, 'charge', NEW.id, -NEW.tokens,
          iif(typeof(NEW.created_at) = 'integer', NEW.created_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)));
  INSERT INTO ledger (entry_key, user_id, type, creation_id, tokens, created_at)
  SELECT 'refund:' || NEW.id, NEW.user_id, 'refund', NEW.id, NEW.tokens, CAST(unixepoch('subsec') * 1000 AS INTEGER)
  WHERE NEW.status = 'failed';
END;
-- It is refunded when it fails, by whatever hand.
CREATE TRIGGER creations_are_refunded AFTER UPDATE OF status ON creations
WHEN NEW.status = 'failed' AND OLD.status <> 'failed' AND NEW.tokens > 0 BEGIN
  INSERT INTO ledger (entry_key, user_id, type, creation_id, sweep_id, tokens, created_at)
  VALUES ('refund:' || NEW.id, NEW.user_id, 'refund', NEW.id, NEW.sweep_id, NEW.tokens,
          iif(typeof(NEW.finished_at) = 'integer', NEW.finished_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)));
END;
-- Only what failed is refunded, and with what it was charged.
CREATE TRIGGER ledger_refunds_failures AFTER INSERT ON ledger WHEN NEW.type = 'refund' BEGIN
  SELECT RAISE(ABORT, 'only a failed creation is refunded, to its owner, with the tokens that it was charged')
  WHERE NOT EXISTS (
    SELECT 1 FROM creations
    WHERE id = NEW.creation_id AND status = 'failed' AND user_id = NEW.user_id AND tokens = NEW.tokens
  );
END;

-- A trigger that runs before an update makes SQLite look the row up twice, so these run after it: an abort undoes it.
-- The status machine of `Status::next` (src/rules/status.rs): a late result can't overwrite a failure, whoever writes.
CREATE TRIGGER creations_status_machine AFTER UPDATE OF status ON creations
WHEN NEW.status <> OLD.status AND NOT (
  (OLD.status = 'pending' AND NEW.status IN ('processing', 'failed'))
  OR (OLD.status = 'processing' AND NEW.status IN ('draft', 'failed'))
  OR (OLD.status = 'draft' AND NEW.status = 'published')
) BEGIN
  SELECT RAISE(ABORT, 'illegal status transition: expected pending to processing or failed, processing to draft or failed, draft to published');
END;
-- What was charged can't be changed afterwards: the refund is the same number.
CREATE TRIGGER creations_keep_their_price AFTER UPDATE OF id, user_id, tokens ON creations
WHEN NEW.id <> OLD.id OR NEW.user_id <> OLD.user_id OR NEW.tokens <> OLD.tokens BEGIN
  SELECT RAISE(ABORT, 'id, user_id and tokens of a creation can''t change: the ledger refers to them');
END;
