-- Who owns creations and has no balance in the old system keeps what an earlier import has granted.
INSERT INTO stale_drafts_import_users (user_id, tokens)
SELECT DISTINCT user_id, (
  SELECT coalesce(sum(l.tokens), 0) FROM stale_drafts_ledger AS l
  WHERE l.type = 'grant' AND l.user_id = i.user_id AND l.entry_key GLOB 'import:*')
FROM stale_drafts_import_creations AS i
WHERE user_id NOT IN (SELECT user_id FROM stale_drafts_import_users);

-- What there is to do. A creation that an earlier import brought in follows the old system as long as nothing has touched it here:
-- no worker has started it, no sweep has retried or failed it. What failed and was refunded there may not be refunded twice.
UPDATE stale_drafts_import_creations AS i SET change = ifnull((
  SELECT CASE
    WHEN c.user_id <> i.user_id OR c.settled_elsewhere = 0 AND c.tokens > 0 AND a.entry_key IS NULL THEN 'not ours'
    WHEN i.status = 'failed' AND c.status IN ('pending', 'processing')
      AND c.attempt = 1 AND c.fence IS NULL AND c.worker IS NULL THEN 'fail'
    WHEN i.status = 'failed' AND i.refunded = 1 AND c.settled_elsewhere = 0 AND c.tokens > 0
      AND NOT EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = 'import-failed:' || i.id) THEN 'refunded there'
    WHEN i.status <> 'failed' AND c.status <> i.status AND c.status IN ('pending', 'processing', 'draft')
      AND c.attempt = 1 AND c.fence IS NULL AND c.worker IS NULL AND c.deleted_at IS NULL THEN 'advance'
    ELSE 'none'
  END
  FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_ledger AS a ON a.entry_key = 'import-active:' || c.id
  WHERE c.id = i.id), 'new');

-- Whether a user's balance can follow. It can't if what the old system took away has been spent here, or if it would be too large.
-- Then nothing is granted or taken until a later import finds that it can; the check names the user.
UPDATE stale_drafts_import_users AS u SET fits = (
  SELECT balance + change - taken >= 0 AND balance + max(change, 0) + given <= 9007199254740991
  FROM (
    SELECT
      ifnull((SELECT tokens FROM stale_drafts_balances WHERE user_id = u.user_id), 0) AS balance,
      u.tokens - (SELECT coalesce(sum(l.tokens), 0) FROM stale_drafts_ledger AS l
        WHERE l.type = 'grant' AND l.user_id = u.user_id AND l.entry_key GLOB 'import:*') AS change,
      (SELECT coalesce(sum(l.tokens), 0)
        FROM stale_drafts_import_creations AS i JOIN stale_drafts_ledger AS l ON l.entry_key = 'import-active:' || i.id
        WHERE i.user_id = u.user_id AND i.change = 'refunded there') AS taken,
      (SELECT total(i.tokens) FROM stale_drafts_import_creations AS i
        WHERE i.user_id = u.user_id AND (i.change = 'new' AND i.status IN ('pending', 'processing') OR i.change = 'fail')) AS given));

-- The old balance, or how far it has moved since the last import.
INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
SELECT 'import:' || (granted + 1) || ':' || user_id, user_id, 'grant', tokens - sum, CAST(unixepoch('subsec') * 1000 AS INTEGER)
FROM (
  SELECT u.user_id, u.tokens, count(l.entry_key) AS granted, coalesce(sum(l.tokens), 0) AS sum
  FROM stale_drafts_import_users AS u
  LEFT JOIN stale_drafts_ledger AS l ON l.type = 'grant' AND l.user_id = u.user_id AND l.entry_key GLOB 'import:*'
  WHERE u.fits = 1 GROUP BY u.user_id)
WHERE tokens <> sum;

-- What each active creation is about to be charged: the old system has charged it already.
INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
SELECT 'import-active:' || i.id, i.user_id, 'grant', i.tokens, CAST(unixepoch('subsec') * 1000 AS INTEGER)
FROM stale_drafts_import_creations AS i JOIN stale_drafts_import_users AS u USING (user_id)
WHERE i.change = 'new' AND i.status IN ('pending', 'processing') AND i.tokens > 0 AND u.fits = 1;

-- `substr` cuts a longer text, and ends one at a U+0000. Only a sweep says of what is charged here that it has timed out.
INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, started_at, heartbeat_at,
  finished_at, error, error_code, result_url, settled_elsewhere)
SELECT i.id, i.user_id, i.kind, substr(i.prompt, 1, 20000), i.status, i.tokens, i.created_at, i.started_at, i.heartbeat_at,
  i.finished_at, substr(i.error, 1, 20000),
  iif(i.status IN ('pending', 'processing'), nullif(substr(i.error_code, 1, 200), 'generation_timeout'), substr(i.error_code, 1, 200)),
  i.result_url, i.status NOT IN ('pending', 'processing')
FROM stale_drafts_import_creations AS i JOIN stale_drafts_import_users AS u USING (user_id)
WHERE i.change = 'new' AND (i.status NOT IN ('pending', 'processing') OR i.tokens = 0 OR u.fits = 1)
ORDER BY i.created_at;

-- What has gone on in the old system since an earlier import, one status after the other.
UPDATE stale_drafts_creations AS c SET status = 'processing', started_at = i.started_at, heartbeat_at = i.heartbeat_at
FROM stale_drafts_import_creations AS i
WHERE i.id = c.id AND i.change = 'advance' AND c.status = 'pending' AND i.status IN ('processing', 'draft', 'published');
UPDATE stale_drafts_creations AS c SET status = 'draft', finished_at = i.finished_at, result_url = i.result_url
FROM stale_drafts_import_creations AS i
WHERE i.id = c.id AND i.change = 'advance' AND c.status = 'processing' AND i.status IN ('draft', 'published');
UPDATE stale_drafts_creations AS c SET status = 'published'
FROM stale_drafts_import_creations AS i
WHERE i.id = c.id AND i.change = 'advance' AND c.status = 'draft' AND i.status = 'published';
-- A trigger refunds it.
UPDATE stale_drafts_creations AS c SET status = 'failed', started_at = i.started_at, finished_at = i.finished_at,
  error = substr(i.error, 1, 20000), error_code = nullif(substr(i.error_code, 1, 200), 'generation_timeout')
FROM stale_drafts_import_creations AS i JOIN stale_drafts_import_users AS u ON u.user_id = i.user_id
WHERE i.id = c.id AND i.change = 'fail' AND u.fits = 1;

-- What failed in the old system is refunded there or not at all: that is in the balance. So what was granted for it is taken back.
INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
SELECT 'import-failed:' || i.id, i.user_id, 'grant', -l.tokens, CAST(unixepoch('subsec') * 1000 AS INTEGER)
FROM stale_drafts_import_creations AS i
JOIN stale_drafts_import_users AS u USING (user_id)
JOIN stale_drafts_ledger AS l ON l.entry_key = 'import-active:' || i.id
WHERE i.change IN ('fail', 'refunded there') AND u.fits = 1;
