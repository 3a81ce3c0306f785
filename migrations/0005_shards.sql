-- Shards: several databases, each with the users of its buckets. Here is what keeps a user's rows in one of them while buckets move
-- to another: docs/scale.md. All of it is empty where there is one database, and costs no row then.
INSERT INTO stale_drafts_schema (version) VALUES (5);

-- The moves of buckets from or to this database, for ever: both sides have a row of each. The state is the fence: it is changed in the
-- database, so it holds for every Worker, whatever configuration that has. The source: paused, copied, verified, moved, trimmed. The
-- target: arriving, open, settled. Either, until it has moved: cancelling, cancelled.
CREATE TABLE stale_drafts_moves (
  id           TEXT    NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text' AND id <> ''),
  role         TEXT    NOT NULL CHECK (role = 'source' OR role = 'target'),
  first_bucket INTEGER NOT NULL CHECK (typeof(first_bucket) = 'integer' AND first_bucket BETWEEN 0 AND last_bucket),
  last_bucket  INTEGER NOT NULL CHECK (typeof(last_bucket) = 'integer' AND last_bucket <= 4095),
  other        TEXT    NOT NULL,              -- the binding of the other database
  state        TEXT    NOT NULL CHECK (state = 'cancelling' OR state = 'cancelled'
    OR role = 'source' AND state IN ('paused', 'copied', 'verified', 'moved', 'trimmed')
    OR role = 'target' AND state IN ('arriving', 'open', 'settled')),
  -- 1 only within a transaction of the mover: its writes of these users are taken as they are. Nobody else ever sees it.
  writing      INTEGER NOT NULL DEFAULT 0 CHECK (writing = 0 OR writing = 1),
  place        TEXT    NOT NULL DEFAULT '',   -- where the mover goes on, as JSON
  started_at   INTEGER NOT NULL CHECK (typeof(started_at) = 'integer'),
  changed_at   INTEGER NOT NULL CHECK (typeof(changed_at) = 'integer'),   -- when it came into its state
  stepped_at   INTEGER NOT NULL CHECK (typeof(stepped_at) = 'integer'),   -- when it last went on: to a state, or to a place
  -- What was verified; NULL before that.
  users        INTEGER,
  creations    INTEGER,
  entries      INTEGER,                       -- of the ledger
  -- A target that is open is left to the source, which says `moved` until it is trimmed.
  is_over      INTEGER GENERATED ALWAYS AS (state IN ('trimmed', 'settled', 'cancelled', 'open')) VIRTUAL
) WITHOUT ROWID;
-- By it the monitor finds those that are not over, and reads no row where there are none.
CREATE INDEX stale_drafts_moves_by_is_over ON stale_drafts_moves (is_over);
-- And those that cron settles.
CREATE INDEX stale_drafts_moves_open ON stale_drafts_moves (changed_at) WHERE state = 'open';

-- Whom a move is about, until it is done, and for a while after it was cancelled. Nothing of theirs is written meanwhile, but by the mover; and no sweep decides on them, so
-- that nothing fails for a silence that the move has caused.
CREATE TABLE stale_drafts_moving_users (
  user_id TEXT NOT NULL PRIMARY KEY,
  move_id TEXT NOT NULL REFERENCES stale_drafts_moves (id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX stale_drafts_moving_users_of_move ON stale_drafts_moving_users (move_id, user_id);

-- Whose writes are refused, and whose the mover is writing as they are. Of what has arrived and is open, and of
-- what has stayed since its move was cancelled, neither holds: only sweeps wait until workers have had time to report again.
CREATE VIEW stale_drafts_held (user_id) AS
  SELECT u.user_id FROM stale_drafts_moving_users AS u CROSS JOIN stale_drafts_moves AS m ON m.id = u.move_id
  WHERE m.state <> 'open' AND m.state <> 'cancelled' AND m.writing = 0;
CREATE VIEW stale_drafts_carried (user_id) AS
  SELECT u.user_id FROM stale_drafts_moving_users AS u CROSS JOIN stale_drafts_moves AS m ON m.id = u.move_id
  WHERE m.writing = 1;

-- Which buckets this database has, on record: from each `first_bucket` up to the next row's. `here`: it takes their users' writes;
-- `leaving`: they are on the way out, and nobody writes; `away`: it has none of their users. Without a row it is the only one, or nobody
-- has written down yet what it has. The first rows are written once, by the Worker: from then on only the states of moves change them.
CREATE TABLE stale_drafts_buckets (
  first_bucket INTEGER NOT NULL PRIMARY KEY CHECK (first_bucket BETWEEN 0 AND 4095),
  state        TEXT    NOT NULL CHECK (state IN ('here', 'leaving', 'away'))
) WITHOUT ROWID;
-- A writer inserts a user's bucket here before what it writes of that user, in the same transaction: whatever its configuration says. It
-- also holds back users whom no mover could find, since they are new. It inserts nothing. Only a writer that knows of several databases
-- asks, so where nothing is on record the answer is no: another one may have the user, with a balance and a first grant.
CREATE VIEW stale_drafts_accepts (bucket) AS SELECT first_bucket FROM stale_drafts_buckets WHERE false;
CREATE TRIGGER stale_drafts_accepts_insert INSTEAD OF INSERT ON stale_drafts_accepts
WHEN ifnull((SELECT state FROM stale_drafts_buckets WHERE first_bucket <= NEW.bucket ORDER BY first_bucket DESC LIMIT 1), '') <> 'here' BEGIN
  SELECT RAISE(ABORT, 'unrecorded: it is not on record yet which users this shard has: try again')
    WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_buckets);
  SELECT RAISE(ABORT, 'moving: the users of this bucket are in another shard, or on the way to it: try again');
END;

-- What the states of a move do to its buckets here, each once.
CREATE VIEW stale_drafts_turned_buckets (first_bucket, last_bucket, state) AS SELECT first_bucket, first_bucket, state FROM stale_drafts_buckets WHERE false;
CREATE TRIGGER stale_drafts_turned_buckets_insert INSTEAD OF INSERT ON stale_drafts_turned_buckets
WHEN NEW.state IS NOT NULL AND EXISTS (SELECT 1 FROM stale_drafts_buckets) BEGIN
  INSERT INTO stale_drafts_buckets (first_bucket, state)
    SELECT NEW.last_bucket + 1, state FROM stale_drafts_buckets
    WHERE NEW.last_bucket < 4095 AND first_bucket <= NEW.last_bucket + 1 ORDER BY first_bucket DESC LIMIT 1
    ON CONFLICT (first_bucket) DO NOTHING;
  DELETE FROM stale_drafts_buckets WHERE first_bucket BETWEEN NEW.first_bucket AND NEW.last_bucket;
  INSERT INTO stale_drafts_buckets (first_bucket, state) VALUES (NEW.first_bucket, NEW.state);
  -- A row that says the same as the one before it.
  DELETE FROM stale_drafts_buckets WHERE state = (SELECT b.state FROM stale_drafts_buckets AS b
    WHERE b.first_bucket < stale_drafts_buckets.first_bucket ORDER BY b.first_bucket DESC LIMIT 1);
END;
CREATE TRIGGER stale_drafts_moves_insert_buckets AFTER INSERT ON stale_drafts_moves WHEN NEW.state = 'paused' BEGIN
  INSERT INTO stale_drafts_turned_buckets (first_bucket, last_bucket, state) VALUES (NEW.first_bucket, NEW.last_bucket, 'leaving');
END;
CREATE TRIGGER stale_drafts_moves_update_buckets AFTER UPDATE OF state ON stale_drafts_moves WHEN NEW.state <> OLD.state BEGIN
  INSERT INTO stale_drafts_turned_buckets (first_bucket, last_bucket, state) VALUES (NEW.first_bucket, NEW.last_bucket,
    CASE NEW.role || ' ' || NEW.state WHEN 'source moved' THEN 'away' WHEN 'source cancelled' THEN 'here' WHEN 'target open' THEN 'here' END);
END;
-- What has moved away begins with its removal again only where none of it has come back since: that would be all there is of it.
CREATE TRIGGER stale_drafts_moves_update_again BEFORE UPDATE OF state ON stale_drafts_moves
WHEN OLD.state = 'trimmed' AND NEW.state = 'moved' AND EXISTS (SELECT 1 FROM stale_drafts_buckets
  WHERE state <> 'away' AND first_bucket <= OLD.last_bucket
    AND first_bucket >= ifnull((SELECT max(first_bucket) FROM stale_drafts_buckets WHERE first_bucket <= OLD.first_bucket), 0)) BEGIN
  SELECT RAISE(ABORT, 'here again: some of the buckets have come back since: finish those that are away');
END;

-- Nobody else writes what is a moving user's. The triggers of the money leave the mover's writes alone: 0002_money.sql. A balance follows
-- the ledger and sweeps, which are both held: a trigger of its own would be a row read for each owner of a sweep.
CREATE TRIGGER stale_drafts_creations_insert_moving BEFORE INSERT ON stale_drafts_creations
WHEN EXISTS (SELECT 1 FROM stale_drafts_held WHERE user_id = NEW.user_id) BEGIN
  SELECT RAISE(ABORT, 'moving: the user is on the way to another shard: try again');
END;
CREATE TRIGGER stale_drafts_creations_update_moving AFTER UPDATE ON stale_drafts_creations
WHEN EXISTS (SELECT 1 FROM stale_drafts_held WHERE user_id = OLD.user_id) BEGIN
  SELECT RAISE(ABORT, 'moving: the user is on the way to another shard: try again');
END;
CREATE TRIGGER stale_drafts_creations_delete_moving AFTER DELETE ON stale_drafts_creations
WHEN EXISTS (SELECT 1 FROM stale_drafts_held WHERE user_id = OLD.user_id) BEGIN
  SELECT RAISE(ABORT, 'moving: the user is on the way to another shard: try again');
END;
CREATE TRIGGER stale_drafts_ledger_insert_moving BEFORE INSERT ON stale_drafts_ledger
WHEN EXISTS (SELECT 1 FROM stale_drafts_held WHERE user_id = NEW.user_id) BEGIN
  SELECT RAISE(ABORT, 'moving: the user is on the way to another shard: try again');
END;
CREATE TRIGGER stale_drafts_balances_delete_moving AFTER DELETE ON stale_drafts_balances
WHEN EXISTS (SELECT 1 FROM stale_drafts_held WHERE user_id = OLD.user_id) BEGIN
  SELECT RAISE(ABORT, 'moving: the user is on the way to another shard: try again');
END;
