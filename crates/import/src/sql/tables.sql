CREATE TABLE stale_drafts_import_users (
  user_id TEXT    NOT NULL PRIMARY KEY,
  tokens  INTEGER NOT NULL CHECK (tokens >= 0),  -- the present balance in the old system
  fits    INTEGER                                -- set by the import: whether the balance here can follow
) WITHOUT ROWID;
CREATE TABLE stale_drafts_import_creations (
  id           TEXT    NOT NULL PRIMARY KEY,
  user_id      TEXT    NOT NULL,
  kind         TEXT    NOT NULL,
  prompt       TEXT    NOT NULL,
  status       TEXT    NOT NULL,        -- pending, processing, draft, published or failed
  tokens       INTEGER NOT NULL,        -- what it cost
  created_at   INTEGER,                 -- this and the other times: milliseconds since the Unix epoch
  started_at   INTEGER,
  heartbeat_at INTEGER,
  finished_at  INTEGER,
  error        TEXT,
  error_code   TEXT,                    -- any, 'generation_timeout' too
  result_url   TEXT,
  refunded     INTEGER NOT NULL DEFAULT 1,  -- if it failed: whether the old system has given its tokens back
  change       TEXT                     -- set by the import: what there is to do
) WITHOUT ROWID;
CREATE INDEX stale_drafts_import_creations_of_user ON stale_drafts_import_creations (user_id, change);
