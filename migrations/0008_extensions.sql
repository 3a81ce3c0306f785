-- More time: what operators have put off, for one creation or for a kind, with an end. Normally empty, and costs no row then.
INSERT INTO stale_drafts_schema (version) VALUES (8);

-- Who gave how much, and why, for ever; of one end that several gave to a creation, the last of them. The end itself stands in each creation, as `extended_until`: so a verdict needs nothing but the
-- row. That of a kind reaches the creations that are active when it begins, and each that is made before it ends.
CREATE TABLE stale_drafts_extensions (
  scope    TEXT    NOT NULL CHECK (scope = 'creation' OR scope = 'kind'),
  name     TEXT    NOT NULL,                      -- the creation's id, or the kind
  until    INTEGER NOT NULL CHECK (typeof(until) = 'integer' AND until BETWEEN 1000000000000 AND 8640000000000000),
  since    INTEGER NOT NULL CHECK (typeof(since) = 'integer'),
  actor    TEXT    NOT NULL,                      -- the token's name
  reason   TEXT    NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
  ended_at INTEGER CHECK (typeof(ended_at) IN ('integer', 'null')),   -- when somebody ended it before its end
  ended_by TEXT    CHECK ((ended_by IS NULL) = (ended_at IS NULL)),
  PRIMARY KEY (scope, name, until)
) WITHOUT ROWID;
CREATE INDEX stale_drafts_extensions_of_kinds ON stale_drafts_extensions (until, name) WHERE scope = 'kind';

-- What one creation was given goes with its owner to another shard, so nothing comes in on the way.
CREATE TRIGGER stale_drafts_extensions_insert_moving BEFORE INSERT ON stale_drafts_extensions
WHEN NEW.scope = 'creation' AND EXISTS (SELECT 1 FROM stale_drafts_creations AS c CROSS JOIN stale_drafts_held AS h ON h.user_id = c.user_id
  WHERE c.id = NEW.name) BEGIN
  SELECT RAISE(ABORT, 'moving: the user is on the way to another shard: try again');
END;

-- What is made while its kind has more time gets it too, whoever writes. What a mover brings from another shard comes as it is. The first
-- condition is for the bill: to find no row of a kind costs none, and to find none above an instant costs one.
CREATE TRIGGER stale_drafts_creations_insert_extended AFTER INSERT ON stale_drafts_creations
WHEN NEW.status IN ('pending', 'processing')
  AND EXISTS (SELECT 1 FROM stale_drafts_extensions WHERE scope = 'kind' AND name = NEW.kind)
  AND EXISTS (SELECT 1 FROM stale_drafts_extensions WHERE scope = 'kind' AND name = NEW.kind AND ended_at IS NULL
    AND until > max(CAST(ifnull(NEW.created_at, 0) AS INTEGER), CAST(ifnull(NEW.extended_until, 0) AS INTEGER)))
  AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id) BEGIN
  UPDATE stale_drafts_creations SET extended_until = (SELECT max(until) FROM stale_drafts_extensions
    WHERE scope = 'kind' AND name = NEW.kind AND ended_at IS NULL) WHERE id = NEW.id;
END;
-- So does each attempt: a retry, by hand or by a sweep, begins without what the attempt before was given by itself.
CREATE TRIGGER stale_drafts_creations_attempt_extended AFTER UPDATE OF attempt ON stale_drafts_creations
WHEN NEW.attempt <> OLD.attempt
  AND EXISTS (SELECT 1 FROM stale_drafts_extensions WHERE scope = 'kind' AND name = NEW.kind)
  AND EXISTS (SELECT 1 FROM stale_drafts_extensions WHERE scope = 'kind' AND name = NEW.kind AND ended_at IS NULL
    AND until > CAST(ifnull(NEW.queued_at, 0) AS INTEGER)) BEGIN
  UPDATE stale_drafts_creations SET extended_until = (SELECT max(until) FROM stale_drafts_extensions
    WHERE scope = 'kind' AND name = NEW.kind AND ended_at IS NULL) WHERE id = NEW.id;
END;
