-- The monitor: what sweeps did, hour by hour; what is wrong; and what suspends sweeping.
INSERT INTO stale_drafts_schema (version) VALUES (4);

-- What sweeps did, by hour and over all (hour 0), so that a dashboard reads as many rows as there are hours and reasons, whatever the
-- table's size. `lag_0` to `lag_5` count by the time from the deadline to the mark: up to 1 minute, 5, 15, 1 hour, 6, and more; `lag_ms` is its sum.
CREATE TABLE stale_drafts_rollups (
  hour         INTEGER NOT NULL,              -- when it begins, in epoch ms
  outcome      TEXT    NOT NULL CHECK (outcome = 'failed' OR outcome = 'retried'),
  kind         TEXT    NOT NULL,
  stuck_status TEXT    NOT NULL,
  rule         TEXT    NOT NULL,
  creations    INTEGER NOT NULL,
  tokens       INTEGER NOT NULL,              -- refunded
  lag_0        INTEGER NOT NULL,
  lag_1        INTEGER NOT NULL,
  lag_2        INTEGER NOT NULL,
  lag_3        INTEGER NOT NULL,
  lag_4        INTEGER NOT NULL,
  lag_5        INTEGER NOT NULL,
  lag_ms       INTEGER NOT NULL,
  PRIMARY KEY (hour, outcome, kind, stuck_status, rule)
) WITHOUT ROWID;

-- `stale_drafts_sweeps.counted` is `[[outcome, kind, stuck_status, rule, creations, tokens, lag_0, … lag_5, lag_ms], …]`: what the sweep's last
-- transaction did. The first one of a sweep inserts its row, each later one updates it. SQLite has no trigger for both, so the trigger
-- of the insert repeats it as an update.
CREATE TRIGGER stale_drafts_sweeps_are_counted_first AFTER INSERT ON stale_drafts_sweeps WHEN NEW.counted IS NOT NULL BEGIN
  UPDATE stale_drafts_sweeps SET counted = NEW.counted WHERE id = NEW.id;
END;
CREATE TRIGGER stale_drafts_sweeps_are_counted AFTER UPDATE OF counted ON stale_drafts_sweeps WHEN NEW.counted IS NOT NULL BEGIN
  INSERT INTO stale_drafts_rollups
  SELECT hour, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
    value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12
  FROM (SELECT 0 AS hour UNION ALL SELECT NEW.started_at / 3600000 * 3600000) CROSS JOIN json_each(NEW.counted) WHERE true
  ON CONFLICT DO UPDATE SET creations = creations + excluded.creations, tokens = tokens + excluded.tokens,
    lag_0 = lag_0 + excluded.lag_0, lag_1 = lag_1 + excluded.lag_1, lag_2 = lag_2 + excluded.lag_2,
    lag_3 = lag_3 + excluded.lag_3, lag_4 = lag_4 + excluded.lag_4, lag_5 = lag_5 + excluded.lag_5,
    lag_ms = lag_ms + excluded.lag_ms;
END;

-- What suspends sweeping: normally empty. An operator sets `paused`; a sweep that would fail abnormally many sets `circuit_breaker`.
CREATE TABLE stale_drafts_controls (
  name   TEXT    NOT NULL PRIMARY KEY CHECK (name = 'paused' OR name = 'circuit_breaker'),
  since  INTEGER NOT NULL CHECK (typeof(since) = 'integer'),
  actor  TEXT             CHECK (typeof(actor) IN ('text', 'null')),
  detail TEXT    NOT NULL CHECK (typeof(detail) = 'text')
) WITHOUT ROWID;

-- Each episode of each alert. One that is not resolved is firing.
CREATE TABLE stale_drafts_alerts (
  code        TEXT    NOT NULL,
  since       INTEGER NOT NULL,
  resolved_at INTEGER,
  severity    TEXT    NOT NULL,
  cause       TEXT    NOT NULL,
  evidence    TEXT    NOT NULL,                -- as it fired
  remedy      TEXT    NOT NULL,
  PRIMARY KEY (code, since)
) WITHOUT ROWID;
CREATE UNIQUE INDEX stale_drafts_alerts_firing ON stale_drafts_alerts (code) WHERE resolved_at IS NULL;

-- Attempts that their worker started once more while it was at it, for a day: what a broker does that delivers a task again before it
-- is acknowledged. Normally empty. There is no foreign key: the row of an app that is attached may come in anew.
CREATE TABLE stale_drafts_repeated_starts (
  at          INTEGER NOT NULL CHECK (typeof(at) = 'integer'),
  creation_id TEXT    NOT NULL,
  attempt     INTEGER NOT NULL,
  after_ms    INTEGER NOT NULL CHECK (typeof(after_ms) = 'integer' AND after_ms > 0),   -- since its start
  PRIMARY KEY (at, creation_id)
) WITHOUT ROWID;

-- What operators did, beside the sweeps that they asked for.
CREATE TABLE stale_drafts_audit (
  id     TEXT    NOT NULL PRIMARY KEY,         -- a UUIDv7
  at     INTEGER NOT NULL,
  actor  TEXT    NOT NULL,                     -- the token's name
  action TEXT    NOT NULL,
  detail TEXT    NOT NULL
) WITHOUT ROWID;

-- The incremental check of the ledger against the balances. One row.
CREATE TABLE stale_drafts_ledger_check (
  one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  user_id  TEXT    NOT NULL,                   -- the last user that was checked
  differs  TEXT    NOT NULL DEFAULT '[]',      -- users whose balance is not the sum of their ledger
  -- What tells this database from every other, so that two bindings of one are noticed. It stands where the monitor reads anyway.
  identity TEXT    NOT NULL DEFAULT ''
) WITHOUT ROWID;
INSERT INTO stale_drafts_ledger_check (one, user_id, identity) VALUES (1, '', hex(randomblob(16)));

-- When the monitor last looked and last removed old rows, whichever isolate did: one of them is enough. One row.
CREATE TABLE stale_drafts_monitor (
  one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  looked_at  INTEGER NOT NULL,
  trimmed_at INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO stale_drafts_monitor (one, looked_at, trimmed_at) VALUES (1, 0, 0);
