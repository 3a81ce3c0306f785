-- Retention: what ended long ago moves to an archive, such as an R2 bucket, and its money stays in the ledger. All of it is empty, and
-- costs nothing, unless the configuration has `keep_days.creations`.
INSERT INTO stale_drafts_schema (version) VALUES (6);

-- One row an object of the archive, written in the transaction that removed its creations here.
CREATE TABLE stale_drafts_archives (
  object           TEXT    NOT NULL PRIMARY KEY,  -- `creations/<yyyy-mm-dd>/<hh>/<shard>/<hash of the content>.ndjson`
  first_id         TEXT    NOT NULL,              -- the smallest id, and the greatest
  last_id          TEXT    NOT NULL,
  creations        INTEGER NOT NULL CHECK (creations > 0),
  tokens           INTEGER NOT NULL,              -- the sum of what the ledger has of them
  failed           INTEGER NOT NULL CHECK (failed >= 0),   -- how often a sweep failed one of them
  retried          INTEGER NOT NULL CHECK (retried >= 0),  -- how often one put them back
  first_created_at INTEGER,                       -- NULL: no time of theirs can be read
  last_created_at  INTEGER,
  archived_at      INTEGER NOT NULL
) WITHOUT ROWID;

-- One row a user: what of theirs is archived. The check of the ledger finds entries by the creations that are here, and adds this.
CREATE TABLE stale_drafts_archived_users (
  user_id          TEXT    NOT NULL PRIMARY KEY,
  creations        INTEGER NOT NULL CHECK (creations > 0),
  deleted          INTEGER NOT NULL CHECK (deleted BETWEEN 0 AND creations),  -- by the user, before
  tokens           INTEGER NOT NULL,              -- the sum of what the ledger has of them
  first_created_at INTEGER,
  last_created_at  INTEGER
) WITHOUT ROWID;

-- What the transaction that is under way removes. It holds a row within one only.
CREATE TABLE stale_drafts_archiving (
  one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  object TEXT    NOT NULL,
  ids    TEXT    NOT NULL                         -- JSON
) WITHOUT ROWID;

-- How far the search for what ended long ago is: it goes by rowid, the order in which creations came. One row.
CREATE TABLE stale_drafts_archive_scan (
  one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  after_rowid  INTEGER NOT NULL,                  -- before the first that is too young
  behind_rowid INTEGER,                           -- behind that, for what younger ones are in front of; NULL: today it was at the end
  begun_at     INTEGER NOT NULL,                  -- when it began at the first row
  since        INTEGER NOT NULL,                  -- when archiving was switched on
  due_at       INTEGER NOT NULL,                  -- when it goes on; until then one that is under way has it to itself
  ended_at     INTEGER NOT NULL                   -- when a run last ended well
) WITHOUT ROWID;
INSERT INTO stale_drafts_archive_scan (one, after_rowid, behind_rowid, begun_at, since, due_at, ended_at) VALUES (1, 0, 0, 0, 0, 0, 0);

-- Only the archive removes a creation that the ledger refers to: a refund needs it.
CREATE TRIGGER stale_drafts_creations_stay_for_the_ledger AFTER DELETE ON stale_drafts_creations
WHEN NOT EXISTS (SELECT 1 FROM stale_drafts_archiving)
  AND EXISTS (SELECT 1 FROM stale_drafts_ledger
    WHERE entry_key = 'charge:' || OLD.id OR entry_key = 'refund:' || OLD.id OR entry_key = 'restore:' || OLD.id) BEGIN
  SELECT RAISE(ABORT, 'a creation that the ledger refers to can''t be removed: its owner deletes it, or the archive takes it');
END;
-- And nothing that may still fail, and be refunded.
CREATE TRIGGER stale_drafts_creations_are_archived_when_over AFTER DELETE ON stale_drafts_creations
WHEN OLD.status IN ('pending', 'processing') AND EXISTS (SELECT 1 FROM stale_drafts_archiving) BEGIN
  SELECT RAISE(ABORT, 'an active creation can''t be archived');
END;
