-- The outbox: what the rest of the app is told. A row is written in the transaction of what it tells, and removed when it
-- has been delivered; what can't be delivered stays, as a dead letter.
CREATE TABLE stale_drafts_events (
  id          TEXT    NOT NULL,                -- `<type>:<creation>:<attempt>`, `<type>:<alert>:<since>`: each happens once
  state       TEXT    NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'dead')),
  due_at      INTEGER NOT NULL,                -- when it is next tried
  destinations     INTEGER NOT NULL CHECK (destinations BETWEEN 1 AND 7),   -- to whom it has not gone yet: 1 queue, 2 webhook, 4 workers
  deliveries  INTEGER NOT NULL DEFAULT 0,      -- how often it was tried
  created_at  INTEGER NOT NULL,
  creation_id TEXT,                            -- NULL: it is about an alert
  body        TEXT    NOT NULL,                -- the JSON that is delivered
  last_error  TEXT,
  PRIMARY KEY (state, due_at, id)
) WITHOUT ROWID;

-- A statement that sets `event` and `event_destinations` tells it. `retried` is about the attempt that was stale.
CREATE TRIGGER stale_drafts_creations_emit AFTER UPDATE OF event ON stale_drafts_creations WHEN NEW.event_destinations > 0 BEGIN
  INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, creation_id, body)
  SELECT NEW.event || ':' || NEW.id || ':' || OLD.attempt, at, NEW.event_destinations, at, NEW.id, json_object(
    'id', NEW.event || ':' || NEW.id || ':' || OLD.attempt,
    'type', 'creation.' || NEW.event,
    'created_at', at,
    'data', json_object('creation_id', NEW.id, 'user_id', NEW.user_id, 'kind', NEW.kind, 'status', NEW.status,
      'attempt', NEW.attempt, 'tokens', NEW.tokens,
      'refunded_tokens', iif(NEW.status = 'failed', NEW.tokens, 0),
      'error', NEW.error, 'error_code', NEW.error_code, 'sweep_id', NEW.sweep_id, 'result_url', NEW.result_url))
  FROM (SELECT CASE NEW.event WHEN 'failed' THEN NEW.finished_at WHEN 'retried' THEN NEW.queued_at
    ELSE NEW.restored_at END AS at);
END;

INSERT INTO stale_drafts_schema (version) VALUES (3);
