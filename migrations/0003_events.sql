-- The outbox: events for the rest of the app. An event is written in the transaction of what it is about. It is removed when it
-- has been delivered; one that can't be delivered stays, as a dead letter.
INSERT INTO stale_drafts_schema (version) VALUES (3);

-- A sender claims due events by moving `due_at` to the end of its lease and counting `deliveries`. Until then no other sender takes
-- them. It settles a claim by both: after the lease is over and the event claimed again, an old settlement matches nothing.
CREATE TABLE stale_drafts_events (
  id            TEXT    NOT NULL,                -- `<type>:<creation>:<attempt>` or `<type>:<alert>:<since>`: each is emitted once
  state         TEXT    NOT NULL DEFAULT 'due' CHECK (state = 'due' OR state = 'dead'),
  due_at        INTEGER NOT NULL,                -- when it may be claimed
  destinations  INTEGER NOT NULL CHECK (destinations BETWEEN 1 AND 31),  -- where it still has to go: 1 queue, 2 webhook, 4 workers' queue, 8 Slack, 16 Discord
  deliveries    INTEGER NOT NULL DEFAULT 0,      -- how often it was claimed
  created_at    INTEGER NOT NULL,
  creation_id   TEXT,                            -- NULL: it is about an alert
  body          TEXT    NOT NULL,                -- the JSON that is delivered
  last_error    TEXT,
  failing_since INTEGER,                         -- when a delivery first failed; NULL: none has
  PRIMARY KEY (state, due_at, id)
) WITHOUT ROWID;
-- The oldest one that fails, for the monitor. An event that is delivered at the first try never writes it.
CREATE INDEX stale_drafts_events_failing ON stale_drafts_events (failing_since) WHERE state = 'due' AND failing_since IS NOT NULL;

-- A statement that sets `event` and `event_destinations` emits it. `retried` is about the attempt that was stale, or had failed. The error is cut
-- here: a traceback of 20,000 bytes in each event would be more than a queue takes at once, and the creation has the whole.
CREATE TRIGGER stale_drafts_creations_emit AFTER UPDATE OF event ON stale_drafts_creations WHEN NEW.event_destinations > 0 BEGIN
  INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, creation_id, body)
  SELECT NEW.event || ':' || NEW.id || ':' || OLD.attempt, at, NEW.event_destinations, at, NEW.id, json_object(
    'id', NEW.event || ':' || NEW.id || ':' || OLD.attempt,
    'type', 'creation.' || NEW.event,
    'created_at', at,
    'data', json_object('creation_id', NEW.id, 'user_id', NEW.user_id, 'kind', NEW.kind, 'status', NEW.status,
      'attempt', NEW.attempt, 'tokens', NEW.tokens,
      'refunded_tokens', iif(NEW.status = 'failed', NEW.tokens - ifnull(NEW.tokens_used, 0), 0),
      'charged_tokens', CASE WHEN NEW.event = 'restored' THEN OLD.tokens - ifnull(OLD.tokens_used, 0) WHEN NEW.charge > OLD.charge THEN NEW.tokens ELSE 0 END,
      'error', iif(length(NEW.error) > 1000, substr(NEW.error, 1, 999) || '…', NEW.error),
      'error_code', NEW.error_code, 'sweep_id', NEW.sweep_id, 'result_url', NEW.result_url))
  FROM (SELECT CASE NEW.event WHEN 'failed' THEN NEW.finished_at WHEN 'retried' THEN NEW.queued_at
    ELSE NEW.restored_at END AS at);
END;
