-- Attaches the table generations to Stale Drafts: its rows are creations too. Not one of your app's writes has to change.
--
--   id           gid
--   user_id      uid
--   kind         type
--   prompt       prompt
--   status       state: queued = pending; running = processing; succeeded = draft; error = failed
--   tokens       credits_used
--   created_at   created_at (YYYY-MM-DD HH:MM:SS in UTC)
--   started_at   started_at (YYYY-MM-DD HH:MM:SS in UTC)
--   heartbeat_at updated_at (YYYY-MM-DD HH:MM:SS in UTC)
--   finished_at  finished_at (YYYY-MM-DD HH:MM:SS in UTC)
--   error        error_message
--   result_url   result_url
--   timed out    state becomes `error`
--   refund       into users.credits by users.id, after a time-out
--
-- Made by `stale-drafts attach`: docs/attach.md says what each part does. To change the mapping, detach, and attach again.

-- Each row as a creation. `id` is that of the creation that it has, `new_id` of the one that it would get; NULL: it has one.
-- `problem` says why it can't have one.
CREATE VIEW "stale_drafts_attach_generations" AS
SELECT *,
  CASE (SELECT deleted_at IS NOT NULL FROM stale_drafts_creations WHERE id = r.id)
    WHEN 0 THEN NULL WHEN 1 THEN 'generations:' || app_id || '~' || max(CAST(unixepoch('subsec') * 1000 AS INTEGER), 1 + CAST(substr(id, 1 + length('generations:' || app_id || '~')) AS INTEGER)) ELSE id
  END AS new_id,
  CASE
    WHEN status IS NULL THEN 'its status is not in the mapping'
    WHEN typeof(app_id) NOT IN ('integer', 'text') OR instr(app_id, '~') > 0
      OR NOT (length(CAST(id AS BLOB)) BETWEEN 1 AND 200 AND instr(id, char(0)) = 0
      AND id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*')
    THEN 'its id can''t be the id of a creation'
    WHEN user_id IS NULL
      OR NOT (length(CAST(user_id AS BLOB)) BETWEEN 1 AND 200 AND instr(user_id, char(0)) = 0
      AND user_id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*')
    THEN 'its owner is missing, or can''t be one of a creation'
    WHEN tokens IS NULL THEN 'its tokens are not a whole number from 0 to 1000000000000'
  END AS problem
FROM (
  SELECT
  app."gid" AS app_id,
  app."state" AS app_status,
  CASE typeof(app."uid") WHEN 'integer' THEN CAST(app."uid" AS TEXT) WHEN 'text' THEN app."uid" END AS user_id,
  CASE WHEN typeof(app."type") <> 'blob' AND length(CAST(app."type" AS BLOB)) BETWEEN 0 AND 200 AND instr(app."type", char(0)) = 0
      AND app."type" NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*' THEN CAST(app."type" AS TEXT) ELSE '' END AS kind,
  ifnull(CASE WHEN typeof(app."prompt") <> 'blob' THEN substr(CAST(app."prompt" AS TEXT), 1, 20000) END, '') AS prompt,
  CASE WHEN app."state" IN ('queued') THEN 'pending' WHEN app."state" IN ('running') THEN 'processing' WHEN app."state" IN ('succeeded') THEN 'draft' WHEN app."state" IN ('error') THEN 'failed' END AS status,
  CASE WHEN app."credits_used" IS NULL THEN 0 WHEN typeof(app."credits_used") IN ('integer', 'real') AND app."credits_used" BETWEEN 0 AND 1000000000000 AND app."credits_used" = CAST(app."credits_used" AS INTEGER) THEN CAST(app."credits_used" AS INTEGER) END AS tokens,
  CASE WHEN typeof(app."created_at") = 'text' THEN ifnull(CAST(round(unixepoch(app."created_at", 'subsec') * 1000) AS INTEGER), app."created_at") ELSE app."created_at" END AS created_at,
  CASE WHEN typeof(app."started_at") = 'text' THEN ifnull(CAST(round(unixepoch(app."started_at", 'subsec') * 1000) AS INTEGER), app."started_at") ELSE app."started_at" END AS started_at,
  CASE WHEN typeof(app."updated_at") = 'text' THEN ifnull(CAST(round(unixepoch(app."updated_at", 'subsec') * 1000) AS INTEGER), app."updated_at") ELSE app."updated_at" END AS heartbeat_at,
  CASE WHEN typeof(app."finished_at") = 'text' THEN ifnull(CAST(round(unixepoch(app."finished_at", 'subsec') * 1000) AS INTEGER), app."finished_at") ELSE app."finished_at" END AS finished_at,
  CASE WHEN typeof(app."error_message") <> 'blob' THEN substr(CAST(app."error_message" AS TEXT), 1, 20000) END AS error,
  CASE WHEN typeof(app."result_url") = 'text' AND length(app."result_url") BETWEEN 1 AND 2048 AND instr(app."result_url", char(0)) = 0 THEN app."result_url" END AS result_url,
  ifnull(
    (SELECT max(id) FROM stale_drafts_creations WHERE id > 'generations:' || app."gid" || '~' AND id < 'generations:' || app."gid" || '~~'),
    'generations:' || app."gid") AS id
  FROM "generations" AS app
) AS r;

-- A row comes in. The app keeps the balance: it has charged, and what goes back is paid into it. A heartbeat is one that is later
-- than the creation.
CREATE TRIGGER "stale_drafts_attach_generations_mirror" INSTEAD OF INSERT ON "stale_drafts_attach_generations" BEGIN
  INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, balance_elsewhere, created_at, started_at, heartbeat_at)
  VALUES (NEW.new_id, NEW.user_id, NEW.kind, NEW.prompt, NEW.status, NEW.tokens, 1, NEW.created_at, NEW.started_at,
    iif(NEW.heartbeat_at > ifnull(NEW.created_at, 0), NEW.heartbeat_at, NULL));
END;

-- A row is followed to its status. From queued straight to done, it starts and ends at once.
CREATE TRIGGER "stale_drafts_attach_generations_follow" INSTEAD OF UPDATE ON "stale_drafts_attach_generations" BEGIN
  UPDATE stale_drafts_creations SET status = 'processing', started_at = ifnull(NEW.started_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)), heartbeat_at = NULL
  WHERE id = NEW.id AND status = 'pending' AND NEW.status IN ('processing', 'draft', 'published');
  UPDATE stale_drafts_creations SET status = 'draft', finished_at = ifnull(NEW.finished_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)), result_url = NEW.result_url
  WHERE id = NEW.id AND status = 'processing' AND NEW.status IN ('draft', 'published');
  UPDATE stale_drafts_creations SET status = 'published'
  WHERE id = NEW.id AND status = 'draft' AND NEW.status = 'published';
  UPDATE stale_drafts_creations SET status = 'failed', finished_at = ifnull(NEW.finished_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)), error_code = 'app_failed', error = NEW.error
  WHERE id = NEW.id AND status IN ('pending', 'processing') AND NEW.status = 'failed';
END;

-- A new row. INSERT OR REPLACE of a row that has a creation is followed like an update.
CREATE TRIGGER "stale_drafts_attach_generations_insert" AFTER INSERT ON "generations"
WHEN NEW."state" IN ('queued', 'running')
  OR EXISTS (SELECT 1 FROM stale_drafts_creations WHERE id = (SELECT id FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid") AND status IN ('pending', 'processing')) BEGIN
  INSERT INTO "stale_drafts_attach_generations" (new_id, user_id, kind, prompt, status, tokens, created_at, started_at, heartbeat_at)
  SELECT new_id, user_id, kind, prompt, status, tokens,
    ifnull(created_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    iif(status = 'processing', ifnull(started_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)), NULL), heartbeat_at
  FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid" AND status IN ('pending', 'processing') AND new_id IS NOT NULL AND problem IS NULL;
  UPDATE "stale_drafts_attach_generations" SET status = status WHERE app_id = NEW."gid";
  UPDATE stale_drafts_creations SET heartbeat_at = (SELECT heartbeat_at FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid")
  WHERE id = (SELECT id FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid") AND status IN ('pending', 'processing')
    AND (SELECT heartbeat_at FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid") > max(ifnull(heartbeat_at, 0), ifnull(started_at, 0), ifnull(created_at, 0));
END;

-- An update of what a creation has of the row.
CREATE TRIGGER "stale_drafts_attach_generations_update" AFTER UPDATE ON "generations"
WHEN NEW."state" IS NOT OLD."state" OR NEW."updated_at" IS NOT OLD."updated_at" OR NEW."gid" IS NOT OLD."gid" OR NEW."uid" IS NOT OLD."uid" OR NEW."credits_used" IS NOT OLD."credits_used" BEGIN
  -- A row with another id is another row.
  UPDATE stale_drafts_creations
  SET deleted_at = CAST(unixepoch('subsec') * 1000 AS INTEGER), prompt = '', result_url = NULL, late_result_url = NULL, late_at = NULL,
    status = iif(status IN ('pending', 'processing'), 'failed', status),
    finished_at = iif(status IN ('pending', 'processing'), CAST(unixepoch('subsec') * 1000 AS INTEGER), finished_at),
    error_code = iif(status IN ('pending', 'processing'), 'app_deleted', error_code)
  WHERE deleted_at IS NULL AND NEW."gid" IS NOT OLD."gid" AND id = ifnull(
    (SELECT max(id) FROM stale_drafts_creations WHERE id > 'generations:' || OLD."gid" || '~' AND id < 'generations:' || OLD."gid" || '~~'),
    'generations:' || OLD."gid");
  -- Its price has changed. Nothing was noted of it yet, unless there was an attempt before, so it comes in anew.
  DELETE FROM stale_drafts_creations
  WHERE id = (SELECT id FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid") AND status IN ('pending', 'processing') AND attempt = 1 AND NEW."credits_used" IS NOT OLD."credits_used"
    AND (SELECT problem IS NULL AND status IN ('pending', 'processing') AND tokens <> stale_drafts_creations.tokens FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid")
    AND NOT EXISTS (SELECT 1 FROM stale_drafts_rejected WHERE creation_id = stale_drafts_creations.id);
  -- It comes in, if it could not before.
  INSERT INTO "stale_drafts_attach_generations" (new_id, user_id, kind, prompt, status, tokens, created_at, started_at, heartbeat_at)
  SELECT new_id, user_id, kind, prompt, status, tokens,
    ifnull(created_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    iif(status = 'processing', ifnull(started_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)), NULL), heartbeat_at
  FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid" AND status IN ('pending', 'processing') AND new_id IS NOT NULL AND problem IS NULL;
  -- From one active word to another, or back to its queue: a sign of life.
  UPDATE stale_drafts_creations SET started_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
  WHERE id = (SELECT id FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid") AND status = 'processing' AND NEW."state" IN ('queued', 'running') AND NEW."state" IS NOT OLD."state";
  UPDATE "stale_drafts_attach_generations" SET status = status WHERE app_id = NEW."gid" AND NEW."state" IS NOT OLD."state";
  -- A sign of life. The change of the status is one by itself.
  UPDATE stale_drafts_creations SET heartbeat_at = (SELECT heartbeat_at FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid")
  WHERE id = (SELECT id FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid") AND status IN ('pending', 'processing')
    AND NEW."updated_at" IS NOT OLD."updated_at" AND NEW."updated_at" IS NOT NULL AND NOT (NEW."state" IS NOT OLD."state");
END;

-- The row is deleted: so is its creation.
CREATE TRIGGER "stale_drafts_attach_generations_delete" AFTER DELETE ON "generations" BEGIN
  UPDATE stale_drafts_creations
  SET deleted_at = CAST(unixepoch('subsec') * 1000 AS INTEGER), prompt = '', result_url = NULL, late_result_url = NULL, late_at = NULL,
    status = iif(status IN ('pending', 'processing'), 'failed', status),
    finished_at = iif(status IN ('pending', 'processing'), CAST(unixepoch('subsec') * 1000 AS INTEGER), finished_at),
    error_code = iif(status IN ('pending', 'processing'), 'app_deleted', error_code)
  WHERE deleted_at IS NULL AND id = ifnull(
    (SELECT max(id) FROM stale_drafts_creations WHERE id > 'generations:' || OLD."gid" || '~' AND id < 'generations:' || OLD."gid" || '~~'),
    'generations:' || OLD."gid");
END;

-- It has timed out and was refunded: a late write changes nothing, and its result is kept for an operator. What changes none of
-- these columns goes through.
CREATE TRIGGER "stale_drafts_attach_generations_late" BEFORE UPDATE ON "generations"
WHEN (NEW."state" IS NOT OLD."state" OR NEW."error_message" IS NOT OLD."error_message" OR NEW."result_url" IS NOT OLD."result_url" OR NEW."finished_at" IS NOT OLD."finished_at")
  AND OLD."state" = 'error' AND EXISTS (SELECT 1 FROM stale_drafts_creations WHERE id = (SELECT id FROM "stale_drafts_attach_generations" WHERE app_id = OLD."gid") AND status = 'failed' AND sweep_id IS NOT NULL AND (deleted_at IS NULL OR error IS (SELECT error FROM "stale_drafts_attach_generations" WHERE app_id = OLD."gid"))) BEGIN
  UPDATE stale_drafts_creations SET late_at = ifnull(late_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    late_result_url = ifnull(CASE WHEN typeof(NEW."result_url") = 'text' AND length(NEW."result_url") BETWEEN 1 AND 2048 AND instr(NEW."result_url", char(0)) = 0 THEN NEW."result_url" END, 'app:late')
  WHERE id = (SELECT id FROM "stale_drafts_attach_generations" WHERE app_id = OLD."gid") AND deleted_at IS NULL AND (late_at IS NULL OR late_result_url = 'app:late' AND CASE WHEN typeof(NEW."result_url") = 'text' AND length(NEW."result_url") BETWEEN 1 AND 2048 AND instr(NEW."result_url", char(0)) = 0 THEN NEW."result_url" END IS NOT NULL)
    AND (NEW."state" IN ('succeeded') OR NEW."result_url" IS NOT OLD."result_url" AND CASE WHEN typeof(NEW."result_url") = 'text' AND length(NEW."result_url") BETWEEN 1 AND 2048 AND instr(NEW."result_url", char(0)) = 0 THEN NEW."result_url" END IS NOT NULL);
  SELECT RAISE(IGNORE);
END;

-- The same for INSERT OR REPLACE and for ON CONFLICT DO UPDATE.
CREATE TRIGGER "stale_drafts_attach_generations_late_insert" BEFORE INSERT ON "generations"
WHEN EXISTS (SELECT 1 FROM "generations" WHERE "gid" = NEW."gid" AND "state" = 'error')
  AND EXISTS (SELECT 1 FROM stale_drafts_creations WHERE id = (SELECT id FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid") AND status = 'failed' AND sweep_id IS NOT NULL AND (deleted_at IS NULL OR error IS (SELECT error FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid"))) BEGIN
  UPDATE stale_drafts_creations SET late_at = ifnull(late_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    late_result_url = ifnull(CASE WHEN typeof(NEW."result_url") = 'text' AND length(NEW."result_url") BETWEEN 1 AND 2048 AND instr(NEW."result_url", char(0)) = 0 THEN NEW."result_url" END, 'app:late')
  WHERE id = (SELECT id FROM "stale_drafts_attach_generations" WHERE app_id = NEW."gid") AND deleted_at IS NULL AND (late_at IS NULL OR late_result_url = 'app:late' AND CASE WHEN typeof(NEW."result_url") = 'text' AND length(NEW."result_url") BETWEEN 1 AND 2048 AND instr(NEW."result_url", char(0)) = 0 THEN NEW."result_url" END IS NOT NULL)
    AND (NEW."state" IN ('succeeded'));
  SELECT RAISE(IGNORE);
END;

-- A sweep has failed it: so does the app's row, in the same transaction. A row with a word that the mapping does not know is left
-- alone: the sweep sets it aside and shows it with this text.
CREATE TRIGGER "stale_drafts_attach_generations_time_out" AFTER UPDATE OF status ON stale_drafts_creations
WHEN NEW.status = 'failed' AND OLD.status IN ('pending', 'processing') AND NEW.sweep_id IS NOT NULL
  AND substr(NEW.id, 1, 12) = 'generations:' BEGIN
  SELECT RAISE(ABORT, 'the row of generations has a status that its mapping does not count as active: expected one of ''queued'', ''running''')
  FROM "generations" WHERE "gid" = CAST(substr(NEW.id, 13) AS INTEGER) AND ifnull("state" NOT IN ('queued', 'running'), 1);
  UPDATE "generations" SET "state" = 'error', "error_message" = NEW.error, "finished_at" = datetime(NEW.finished_at / 1000, 'unixepoch') WHERE "gid" = CAST(substr(NEW.id, 13) AS INTEGER);
END;

-- And what it cost goes back into the app's balance. It is there once: a creation fails once, and its row in the ledger is unique.
CREATE TRIGGER "stale_drafts_attach_generations_refund" AFTER UPDATE OF status ON stale_drafts_creations
WHEN NEW.status = 'failed' AND OLD.status IN ('pending', 'processing') AND NEW.sweep_id IS NOT NULL
  AND substr(NEW.id, 1, 12) = 'generations:'
  AND NEW.tokens > 0 AND EXISTS (SELECT 1 FROM "generations" WHERE "gid" = CAST(substr(NEW.id, 13) AS INTEGER)) BEGIN
  UPDATE "users" SET "credits" = "credits" + NEW.tokens WHERE "id" = CAST(NEW.user_id AS INTEGER);
  SELECT RAISE(ABORT, 'there is no row of users to refund, or there are several')
  WHERE changes() <> 1;
END;

-- A sweep gives it another attempt: the app's row is queued again.
CREATE TRIGGER "stale_drafts_attach_generations_retry" AFTER UPDATE OF attempt ON stale_drafts_creations
WHEN NEW.attempt <> OLD.attempt AND substr(NEW.id, 1, 12) = 'generations:' BEGIN
  SELECT RAISE(ABORT, 'the row of generations has a status that its mapping does not count as active: expected one of ''queued'', ''running''')
  FROM "generations" WHERE "gid" = CAST(substr(NEW.id, 13) AS INTEGER) AND ifnull("state" NOT IN ('queued', 'running'), 1);
  UPDATE "generations" SET "state" = 'queued', "started_at" = NULL WHERE "gid" = CAST(substr(NEW.id, 13) AS INTEGER);
END;

-- An operator has restored a late result: the app's row is done after all.
CREATE TRIGGER "stale_drafts_attach_generations_restore" AFTER UPDATE OF status ON stale_drafts_creations
WHEN OLD.status = 'failed' AND NEW.status = 'draft' AND NEW.restored_at IS NOT NULL
  AND substr(NEW.id, 1, 12) = 'generations:' BEGIN
  UPDATE "generations" SET "state" = 'succeeded', "error_message" = NULL, "finished_at" = datetime(NEW.finished_at / 1000, 'unixepoch'), "result_url" = iif(NEW.result_url = 'app:late', "result_url", NEW.result_url)
  WHERE "gid" = CAST(substr(NEW.id, 13) AS INTEGER) AND "state" = 'error';
END;

-- And it is charged again, if the app's balance covers it; else nothing is restored.
CREATE TRIGGER "stale_drafts_attach_generations_charge_again" AFTER UPDATE OF status ON stale_drafts_creations
WHEN OLD.status = 'failed' AND NEW.status = 'draft' AND NEW.restored_at IS NOT NULL
  AND substr(NEW.id, 1, 12) = 'generations:'
  AND NEW.tokens > 0 BEGIN
  UPDATE "users" SET "credits" = "credits" - NEW.tokens WHERE "id" = CAST(NEW.user_id AS INTEGER) AND "credits" >= NEW.tokens;
  SELECT RAISE(ABORT, 'insufficient tokens: the app''s balance does not cover the charge') WHERE changes() <> 1;
END;

-- The rows that are active now. Running it again adds what is missing.
INSERT INTO "stale_drafts_attach_generations" (new_id, user_id, kind, prompt, status, tokens, created_at, started_at, heartbeat_at)
  SELECT new_id, user_id, kind, prompt, status, tokens,
    created_at,
    iif(status = 'processing', started_at, NULL), heartbeat_at
  FROM "stale_drafts_attach_generations" WHERE status IN ('pending', 'processing') AND new_id IS NOT NULL AND problem IS NULL;
