-- Compaction of the ledger: the charges, refunds and restores of archived creations, a user's month each, become one entry, a `carry`
-- with their sum. Only an operator does that: docs/retention.md. All of it is empty, and costs no row, where nobody has.
INSERT INTO stale_drafts_schema (version) VALUES (7);

-- The users of whom something was compacted.
CREATE TABLE stale_drafts_compacted_users (
  number  INTEGER NOT NULL PRIMARY KEY,
  user_id TEXT    NOT NULL UNIQUE
);

-- How many entries each carry stands for. A column of the ledger would be a byte of each entry, for whoever never has a carry, too.
CREATE TABLE stale_drafts_carries (
  user_id    TEXT    NOT NULL,
  created_at INTEGER NOT NULL,                    -- that of the carry: when its month begins
  entries    INTEGER NOT NULL CHECK (entries > 0),
  PRIMARY KEY (user_id, created_at)
) WITHOUT ROWID;

-- The creations whose entries are in a carry. They are archived, and their keys are no longer in the ledger, so these rows keep them from
-- being charged or refunded once more: no creation comes in with such an id. A UUID is its 16 bytes, any other id its text.
CREATE TABLE stale_drafts_compacted_creations (
  id     NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text' OR typeof(id) = 'blob'),
  owner  INTEGER NOT NULL,                        -- `stale_drafts_compacted_users.number`
  hour   INTEGER NOT NULL                         -- of its charge, since the epoch: by it the archive is ordered
) WITHOUT ROWID;

-- Who is summing up entries, by one request after the other; no row if nobody is.
CREATE TABLE stale_drafts_compaction (
  one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  actor TEXT    NOT NULL,
  until INTEGER NOT NULL                          -- if nothing more comes of it, it was stopped
) WITHOUT ROWID;

-- The one way in: a row here has these entries summed up, and is gone when the statement that inserts it goes on. So no other statement
-- ever sees one, and whatever is inserted, what leaves the ledger is what its carry gains.
CREATE TABLE stale_drafts_compacting (
  carry      TEXT    NOT NULL PRIMARY KEY,        -- the key of the entry: `carry:<user>:<yyyy-mm>`
  user_id    TEXT    NOT NULL,
  created_at INTEGER NOT NULL,                    -- the time of the entry: when the month begins
  entries    TEXT    NOT NULL,                    -- the keys of what it takes up, as JSON
  CHECK (carry = 'carry:' || user_id || ':' || strftime('%Y-%m', created_at / 1000, 'unixepoch')),
  CHECK (strftime('%d %H:%M:%S', created_at / 1000, 'unixepoch') = '01 00:00:00' AND created_at % 1000 = 0)
) WITHOUT ROWID;
CREATE TRIGGER stale_drafts_compacting_insert AFTER INSERT ON stale_drafts_compacting BEGIN
  SELECT RAISE(ABORT, 'moving: the user is on the way to another shard: try again')
  WHERE EXISTS (SELECT 1 FROM stale_drafts_moving_users WHERE user_id = NEW.user_id);
  SELECT RAISE(ABORT, 'a carry takes up a month''s charges, refunds and restores of its user, of creations that are archived')
  FROM json_each(NEW.entries) AS j LEFT JOIN stale_drafts_ledger AS l ON l.entry_key = j.value
  WHERE l.creation_id IS NULL OR l.user_id <> NEW.user_id
    OR strftime('%Y-%m', l.created_at / 1000, 'unixepoch') IS NOT strftime('%Y-%m', NEW.created_at / 1000, 'unixepoch')
    OR EXISTS (SELECT 1 FROM stale_drafts_creations AS c WHERE c.id = l.creation_id);
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
  SELECT NEW.carry, NEW.user_id, 'carry', 0, NEW.created_at
  WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = NEW.carry);
  -- The key is in the ledger once, however often it is named.
  UPDATE stale_drafts_ledger SET
    tokens = tokens + (SELECT ifnull(sum(l.tokens), 0) FROM stale_drafts_ledger AS l WHERE l.entry_key IN (SELECT value FROM json_each(NEW.entries)))
  WHERE entry_key = NEW.carry;
  INSERT INTO stale_drafts_carries (user_id, created_at, entries)
  VALUES (NEW.user_id, NEW.created_at, (SELECT count(DISTINCT value) FROM json_each(NEW.entries)))
  ON CONFLICT (user_id, created_at) DO UPDATE SET entries = entries + excluded.entries;
  INSERT INTO stale_drafts_compacted_users (user_id)
  SELECT NEW.user_id WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_compacted_users WHERE user_id = NEW.user_id);
  INSERT INTO stale_drafts_compacted_creations (id, owner, hour)
  SELECT key, (SELECT number FROM stale_drafts_compacted_users WHERE user_id = NEW.user_id), at / 3600000
  FROM (SELECT DISTINCT iif(length(l.creation_id) = 36 AND length(replace(l.creation_id, '-', '')) = 32 AND l.creation_id = lower(l.creation_id)
      AND substr(l.creation_id, 9, 1) || substr(l.creation_id, 14, 1) || substr(l.creation_id, 19, 1) || substr(l.creation_id, 24, 1) = '----',
      ifnull(unhex(replace(l.creation_id, '-', '')), l.creation_id), l.creation_id) AS key,
      ifnull((SELECT created_at FROM stale_drafts_ledger WHERE entry_key = 'charge:' || l.creation_id), l.created_at) AS at
    FROM json_each(NEW.entries) AS j CROSS JOIN stale_drafts_ledger AS l ON l.entry_key = j.value) AS taken
  WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_compacted_creations AS known WHERE known.id = taken.key) GROUP BY key;
  DELETE FROM stale_drafts_ledger WHERE entry_key IN (SELECT value FROM json_each(NEW.entries));
  DELETE FROM stale_drafts_compacting WHERE carry = NEW.carry;
END;

-- A carry comes in empty, and gains what leaves the ledger; but a user who moves brings theirs.
CREATE TRIGGER stale_drafts_ledger_carries_begin_empty BEFORE INSERT ON stale_drafts_ledger
WHEN NEW.type = 'carry' AND NEW.tokens <> 0
  AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id) BEGIN
  SELECT RAISE(ABORT, 'a carry is the sum of what leaves the ledger for it: insert the entries'' keys into stale_drafts_compacting');
END;

-- What the keys of the ledger did for these creations: none comes again, whether by a repeated request, by an app or by an import.
CREATE TRIGGER stale_drafts_creations_are_not_compacted AFTER INSERT ON stale_drafts_creations
WHEN EXISTS (SELECT 1 FROM stale_drafts_compacted_creations WHERE id = iif(length(NEW.id) = 36 AND length(replace(NEW.id, '-', '')) = 32 AND NEW.id = lower(NEW.id)
      AND substr(NEW.id, 9, 1) || substr(NEW.id, 14, 1) || substr(NEW.id, 19, 1) || substr(NEW.id, 24, 1) = '----',
      ifnull(unhex(replace(NEW.id, '-', '')), NEW.id), NEW.id)) BEGIN
  SELECT RAISE(ABORT, 'a creation with this id was charged and is archived: its entry is in the sum of a month');
END;
