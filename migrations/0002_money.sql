-- The money: balances, the ledger, and the triggers that hold them together, whoever writes.

INSERT INTO stale_drafts_schema (version) VALUES (2);

-- One row a user: the sum of the user's ledger, kept by the triggers below and by the sweep.
CREATE TABLE stale_drafts_balances (
  user_id TEXT    NOT NULL PRIMARY KEY CHECK (typeof(user_id) = 'text' AND length(CAST(user_id AS BLOB)) BETWEEN 1 AND 200
    AND instr(user_id, char(0)) = 0 AND user_id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'),
  tokens  INTEGER NOT NULL CHECK (typeof(tokens) = 'integer' AND tokens >= 0)
    CONSTRAINT balance_too_large CHECK (tokens <= 9007199254740991)   -- the error names it: it is permanent
) WITHOUT ROWID;

-- Every movement of tokens, for ever: rows are added, never changed or removed. There are two exceptions. A move of a user to another
-- shard takes all that is theirs as it is, and the triggers below leave that alone: 0005_shards.sql. And an operator may have old
-- entries of archived creations summed up, one `carry` for a user's month: 0007_compaction.sql. The key is unique per creation
-- and type, so a creation is charged once, refunded once and, if it is restored, charged once more, whoever writes. So is each charge
-- by a retry: the second one has `charge2:<creation>` and so on. The number stands before the first colon, where no id reaches.
CREATE TABLE stale_drafts_ledger (
  entry_key   TEXT    NOT NULL PRIMARY KEY CHECK (typeof(entry_key) = 'text' AND length(entry_key) <= 300 AND instr(entry_key, char(0)) = 0),
  user_id     TEXT    NOT NULL CHECK (typeof(user_id) = 'text' AND length(CAST(user_id AS BLOB)) BETWEEN 1 AND 200
    AND instr(user_id, char(0)) = 0 AND user_id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'),
  type        TEXT    NOT NULL CHECK (type = 'grant' OR type = 'charge' OR type = 'refund' OR type = 'restore' OR type = 'carry'),
  creation_id TEXT,                           -- no foreign key: what is archived is no longer here, see 0006_archive.sql
  sweep_id    TEXT CHECK (typeof(sweep_id) IN ('text', 'null')),
  tokens      INTEGER NOT NULL CHECK (typeof(tokens) = 'integer' AND abs(tokens) BETWEEN (type <> 'carry') AND 9007199254740991),
  created_at  INTEGER NOT NULL CHECK (typeof(created_at) = 'integer'),
  -- An import follows the old system's balance, up and down: see docs/import.md.
  CHECK ((type IN ('charge', 'restore')) = (tokens < 0) OR type = 'grant' AND entry_key GLOB 'import*' OR type = 'carry'),
  CHECK ((type = 'grant' OR type = 'carry') = (creation_id IS NULL)),
  CHECK (type = 'grant' OR type = 'carry' OR entry_key = type || ':' || creation_id
    OR CAST(substr(entry_key, length(type) + 1) AS INTEGER) > 1
      AND entry_key = type || CAST(substr(entry_key, length(type) + 1) AS INTEGER) || ':' || creation_id),
  CHECK ((type = 'carry') = (entry_key GLOB 'carry:*')),
  CHECK (sweep_id IS NULL OR type = 'refund')
) WITHOUT ROWID;

-- What a user was granted, in order: with the user's creations, by which their entries are found, it makes the user's whole ledger. An
-- index of all entries by user would make the ledger, which stays for ever, larger by two thirds, and each entry a row written more.
CREATE INDEX stale_drafts_ledger_grants ON stale_drafts_ledger (user_id, created_at) WHERE type = 'grant';
-- The entries of second and later charges. Those of the first are found by their keys.
CREATE INDEX stale_drafts_ledger_retries ON stale_drafts_ledger (creation_id) WHERE entry_key <> type || ':' || creation_id;

CREATE TRIGGER stale_drafts_ledger_is_append_only_update BEFORE UPDATE ON stale_drafts_ledger
WHEN OLD.type <> 'carry' OR NOT EXISTS (SELECT 1 FROM stale_drafts_compacting WHERE carry = OLD.entry_key) BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only: add an entry instead of changing one');
END;
CREATE TRIGGER stale_drafts_ledger_is_append_only_delete BEFORE DELETE ON stale_drafts_ledger
WHEN NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = OLD.user_id)
  AND (OLD.creation_id IS NULL OR NOT EXISTS (SELECT 1 FROM stale_drafts_compacting WHERE user_id = OLD.user_id)) BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only: add an entry instead of removing one');
END;
-- A REPLACE removes rows without the trigger above, and the conflict policy of a statement holds inside the triggers that it
-- fires too. So the key alone doesn't keep an entry: the balance would follow it twice.
CREATE TRIGGER stale_drafts_ledger_is_append_only_replace BEFORE INSERT ON stale_drafts_ledger
WHEN EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = NEW.entry_key) BEGIN
  SELECT RAISE(ABORT, 'the ledger is append-only: there is an entry with this key already');
END;

-- The balance follows the ledger in the same statement, whoever writes. Refunds of a sweep are the one exception:
-- the sweep credits them itself, in the same transaction, once per user instead of once per creation. So only a sweep sets `sweep_id`.
CREATE TRIGGER stale_drafts_ledger_credits_balance AFTER INSERT ON stale_drafts_ledger
WHEN NEW.tokens > 0 AND NEW.sweep_id IS NULL
  AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id) BEGIN
  INSERT INTO stale_drafts_balances (user_id, tokens) VALUES (NEW.user_id, NEW.tokens)
  ON CONFLICT (user_id) DO UPDATE SET tokens = tokens + excluded.tokens;
END;
CREATE TRIGGER stale_drafts_ledger_debits_balance AFTER INSERT ON stale_drafts_ledger
WHEN NEW.tokens < 0
  AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id) BEGIN
  SELECT RAISE(ABORT, 'insufficient tokens: the balance does not cover the charge')
  WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_balances WHERE user_id = NEW.user_id AND tokens + NEW.tokens >= 0);
  UPDATE stale_drafts_balances SET tokens = tokens + NEW.tokens WHERE user_id = NEW.user_id;
END;

-- A creation is charged when it is made; of one that is brought in as over already, what was not used is refunded at once. What was
-- settled elsewhere is neither: see docs/import.md. An entry has the row's time where that can be one: seconds would date it to 1970.
CREATE TRIGGER stale_drafts_creations_are_charged AFTER INSERT ON stale_drafts_creations
WHEN NEW.tokens > 0 AND NEW.settled_elsewhere = 0 AND NEW.balance_elsewhere = 0
  AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id) BEGIN
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
  VALUES ('charge:' || NEW.id, NEW.user_id, 'charge', NEW.id, -NEW.tokens,
          iif(typeof(NEW.created_at) = 'integer' AND NEW.created_at BETWEEN 1000000000000 AND 8640000000000000,
            NEW.created_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)));
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
  SELECT 'refund:' || NEW.id, NEW.user_id, 'refund', NEW.id, NEW.tokens - ifnull(NEW.tokens_used, 0), CAST(unixepoch('subsec') * 1000 AS INTEGER)
  WHERE NEW.tokens > ifnull(NEW.tokens_used, iif(NEW.status = 'failed', 0, NEW.tokens));
END;
CREATE TRIGGER stale_drafts_creations_begin_with_one_charge AFTER INSERT ON stale_drafts_creations
WHEN NEW.charge <> 1 AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id) BEGIN
  SELECT RAISE(ABORT, 'a creation comes in with charge = 1: a retry is the next one');
END;
CREATE TRIGGER stale_drafts_creations_elsewhere_begin_active AFTER INSERT ON stale_drafts_creations
WHEN NEW.balance_elsewhere = 1 AND NEW.settled_elsewhere = 0 AND NEW.status NOT IN ('pending', 'processing')
  AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id) BEGIN
  SELECT RAISE(ABORT, 'a creation with balance_elsewhere = 1 comes in as pending or processing, or with settled_elsewhere = 1');
END;
-- A REPLACE by one that is not charged would keep the charge and lose what is refunded; any other is rejected by its charge's key.
-- What was settled elsewhere has an entry only if it was restored.
CREATE TRIGGER stale_drafts_creations_are_not_replaced AFTER INSERT ON stale_drafts_creations
WHEN (NEW.tokens = 0 OR NEW.settled_elsewhere = 1 OR NEW.balance_elsewhere = 1)
  AND EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = 'charge:' || NEW.id)
  OR EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = 'restore:' || NEW.id) BEGIN
  SELECT RAISE(ABORT, 'a creation that was charged can''t be replaced: the ledger refers to it');
END;
-- What was not used is refunded when it fails, by whatever hand, or when it is done. Those whose balance is elsewhere have triggers of their own: a condition within
-- the body would be a row read for all the others.
CREATE TRIGGER stale_drafts_creations_are_refunded AFTER UPDATE OF status ON stale_drafts_creations
WHEN NEW.status = 'failed' AND OLD.status <> 'failed' AND NEW.tokens > ifnull(NEW.tokens_used, 0) AND NEW.balance_elsewhere = 0 BEGIN
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, sweep_id, tokens, created_at)
  VALUES (iif(NEW.charge = 1, 'refund:', 'refund' || NEW.charge || ':') || NEW.id, NEW.user_id, 'refund', NEW.id, NEW.sweep_id,
          NEW.tokens - ifnull(NEW.tokens_used, 0),
          iif(typeof(NEW.finished_at) = 'integer' AND NEW.finished_at BETWEEN 1000000000000 AND 8640000000000000,
            NEW.finished_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)));
END;
CREATE TRIGGER stale_drafts_creations_are_refunded_in_part AFTER UPDATE OF status ON stale_drafts_creations
WHEN NEW.status = 'draft' AND OLD.status = 'processing' AND NEW.tokens > NEW.tokens_used BEGIN
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
  VALUES (iif(NEW.charge = 1, 'refund:', 'refund' || NEW.charge || ':') || NEW.id, NEW.user_id, 'refund', NEW.id,
          NEW.tokens - NEW.tokens_used,
          iif(typeof(NEW.finished_at) = 'integer' AND NEW.finished_at BETWEEN 1000000000000 AND 8640000000000000,
            NEW.finished_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)));
END;
CREATE TRIGGER stale_drafts_creations_are_refunded_elsewhere AFTER UPDATE OF status ON stale_drafts_creations
WHEN NEW.status = 'failed' AND OLD.status <> 'failed' AND NEW.tokens > 0 AND NEW.balance_elsewhere = 1 BEGIN
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, sweep_id, tokens, created_at)
  VALUES ('refund:' || NEW.id, NEW.user_id, 'refund', NEW.id, NEW.sweep_id, NEW.tokens,
          iif(typeof(NEW.finished_at) = 'integer' AND NEW.finished_at BETWEEN 1000000000000 AND 8640000000000000,
            NEW.finished_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)));
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
  VALUES ('charge:' || NEW.id, NEW.user_id, 'charge', NEW.id, -NEW.tokens,
          iif(typeof(NEW.created_at) = 'integer' AND NEW.created_at BETWEEN 1000000000000 AND 8640000000000000,
            NEW.created_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)));
END;
-- A failed creation that somebody retries is charged anew; a balance that does not cover it refuses.
CREATE TRIGGER stale_drafts_creations_are_charged_for_a_retry AFTER UPDATE OF status ON stale_drafts_creations
WHEN OLD.status = 'failed' AND NEW.status = 'pending' AND NEW.charge <> OLD.charge AND NEW.tokens > 0 BEGIN
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
  VALUES ('charge' || NEW.charge || ':' || NEW.id, NEW.user_id, 'charge', NEW.id, -NEW.tokens,
          iif(typeof(NEW.queued_at) = 'integer' AND NEW.queued_at BETWEEN 1000000000000 AND 8640000000000000,
            NEW.queued_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)));
END;
-- A failed creation that is restored is charged again, with what went back; a balance that does not cover it refuses.
CREATE TRIGGER stale_drafts_creations_are_charged_again AFTER UPDATE OF status ON stale_drafts_creations
WHEN OLD.status = 'failed' AND NEW.status = 'draft' AND NEW.restored_at IS NOT NULL AND NEW.tokens > ifnull(OLD.tokens_used, 0)
  AND NEW.balance_elsewhere = 0 BEGIN
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
  VALUES (iif(NEW.charge = 1, 'restore:', 'restore' || NEW.charge || ':') || NEW.id, NEW.user_id, 'restore', NEW.id,
          ifnull(OLD.tokens_used, 0) - NEW.tokens, NEW.restored_at);
END;
CREATE TRIGGER stale_drafts_creations_are_charged_again_elsewhere AFTER UPDATE OF status ON stale_drafts_creations
WHEN OLD.status = 'failed' AND NEW.status = 'draft' AND NEW.restored_at IS NOT NULL AND NEW.tokens > 0
  AND NEW.balance_elsewhere = 1 BEGIN
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
  VALUES ('app:restore:' || NEW.id, NEW.user_id, 'grant', NEW.tokens, NEW.restored_at);
  INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
  VALUES ('restore:' || NEW.id, NEW.user_id, 'restore', NEW.id, -NEW.tokens, NEW.restored_at);
END;
-- Only what is over is refunded, and with what was charged and not used.
CREATE TRIGGER stale_drafts_ledger_refunds_failures AFTER INSERT ON stale_drafts_ledger
WHEN NEW.type = 'refund'
  AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id) BEGIN
  SELECT RAISE(ABORT, 'only a creation that is over is refunded, to its owner, with the tokens that it was charged and has not used')
  WHERE NOT EXISTS (
    SELECT 1 FROM stale_drafts_creations
    WHERE id = NEW.creation_id AND status NOT IN ('pending', 'processing') AND user_id = NEW.user_id
      AND tokens - ifnull(tokens_used, iif(status = 'failed', 0, tokens)) = NEW.tokens
      AND NEW.entry_key = iif(charge = 1, 'refund:', 'refund' || charge || ':') || id
      AND settled_elsewhere = 0
  );
END;
-- Only a creation that is there is charged, with what it costs. What is archived is not there: none of its entries can come again.
CREATE TRIGGER stale_drafts_ledger_charges_creations AFTER INSERT ON stale_drafts_ledger
WHEN (NEW.type = 'charge' OR NEW.type = 'restore')
  AND NOT EXISTS (SELECT 1 FROM stale_drafts_carried WHERE user_id = NEW.user_id) BEGIN
  SELECT RAISE(ABORT, 'only a creation that is here is charged, to its owner, with the tokens that it costs')
  WHERE NOT EXISTS (
    SELECT 1 FROM stale_drafts_creations AS c WHERE id = NEW.creation_id AND user_id = NEW.user_id
      AND NEW.entry_key = iif(charge = 1, NEW.type || ':', NEW.type || charge || ':') || id
      AND -NEW.tokens = CASE WHEN NEW.type = 'charge' OR settled_elsewhere = 1 THEN tokens ELSE
        (SELECT tokens FROM stale_drafts_ledger WHERE entry_key = iif(c.charge = 1, 'refund:', 'refund' || c.charge || ':') || c.id) END
  );
END;
