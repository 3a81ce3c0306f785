-- What must be true of the database at every moment, whoever wrote and whoever died on the way. Each query gives the rows that
-- break its promise, and there must be none. They read whole tables: they are for tests, and for an operator with a copy.
-- A user who is on the way to another shard is left out: the rows come and go by pages, and the move compares them. So are sweeps of a
-- database from or to which something was moved: the creations that they failed are elsewhere.
--
-- A line `-- name:` begins a query and says its promise; a query holds no further comment and ends with a semicolon. The simulator, the tests that kill,
-- the load and the benchmark read this file.

-- name: every balance is the sum of its ledger
SELECT user_id, sum, tokens
FROM (SELECT user_id, sum(tokens) AS sum FROM stale_drafts_ledger GROUP BY user_id)
FULL JOIN stale_drafts_balances USING (user_id)
WHERE sum IS NOT tokens AND user_id NOT IN (SELECT user_id FROM stale_drafts_held);

-- name: every creation that costs something was charged, once and by each retry, here or elsewhere: there, it is noted with the refund
SELECT c.id, c.tokens, c.charges, coalesce(sum(-l.tokens), 0) AS charged, count(l.entry_key) AS entries
FROM (SELECT *, iif(settled_elsewhere = 0 AND (balance_elsewhere = 0 OR status = 'failed' OR restored_at IS NOT NULL), charge, 0) AS charges
  FROM stale_drafts_creations WHERE user_id NOT IN (SELECT user_id FROM stale_drafts_held)) AS c
LEFT JOIN stale_drafts_ledger AS l ON l.creation_id = c.id AND l.type = 'charge'
GROUP BY c.id HAVING (charged, entries) <> (c.tokens * c.charges, iif(c.tokens > 0, c.charges, 0));

-- name: of each charge, what was not used was refunded, once, and nothing else
WITH charges AS (
  SELECT id, tokens, charge, CASE
      WHEN settled_elsewhere = 1 OR status IN ('pending', 'processing') THEN 0
      WHEN restored_at IS NOT NULL THEN tokens - ifnull((SELECT tokens_used FROM stale_drafts_attempts AS a
        WHERE a.creation_id = c.id AND a.outcome = 'restored'), 0)
      ELSE tokens - ifnull(tokens_used, iif(status = 'failed', 0, tokens)) END AS unused
  FROM stale_drafts_creations AS c WHERE user_id NOT IN (SELECT user_id FROM stale_drafts_held)
  UNION ALL
  SELECT c.id, c.tokens, row_number() OVER (PARTITION BY c.id ORDER BY a.attempt), c.tokens - ifnull(a.tokens_used, 0)
  FROM stale_drafts_creations AS c JOIN stale_drafts_attempts AS a ON a.creation_id = c.id
  WHERE a.outcome = 'failed' AND c.user_id NOT IN (SELECT user_id FROM stale_drafts_held))
SELECT id, charge, charges.tokens, unused, l.tokens AS refunded
FROM charges LEFT JOIN stale_drafts_ledger AS l ON l.creation_id = id AND l.type = 'refund' AND max(1, CAST(substr(l.entry_key, 7) AS INTEGER)) = charge
WHERE l.tokens IS NOT nullif(unused, 0);

-- name: what was restored was charged again, once, with what had gone back
SELECT c.id, c.restored_at, r.tokens AS refunded, l.tokens AS charged
FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_ledger AS l ON l.creation_id = c.id AND l.type = 'restore'
LEFT JOIN stale_drafts_ledger AS r ON r.creation_id = c.id AND r.type = 'refund' AND max(1, CAST(substr(r.entry_key, 7) AS INTEGER)) = c.charge
WHERE l.tokens IS NOT iif(c.restored_at IS NOT NULL, iif(c.settled_elsewhere = 1, nullif(-c.tokens, 0), -r.tokens), NULL) AND c.user_id NOT IN (SELECT user_id FROM stale_drafts_held);

-- name: no type of entry is twice in the ledger for one charge of a creation
SELECT l.creation_id, l.type, count(*) AS entries, max(c.charge) AS charges
FROM stale_drafts_ledger AS l LEFT JOIN stale_drafts_creations AS c ON c.id = l.creation_id WHERE l.creation_id IS NOT NULL
GROUP BY l.creation_id, l.type HAVING entries > charges OR entries > count(DISTINCT CAST(substr(l.entry_key, length(l.type) + 1) AS INTEGER));

-- name: a time-out names a sweep that has a row, unless that is trimmed
SELECT c.id, c.sweep_id
FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_sweeps AS s ON s.id = c.sweep_id
WHERE s.id IS NULL AND c.sweep_id >= (SELECT min(id) FROM stale_drafts_sweeps) AND NOT EXISTS (SELECT 1 FROM stale_drafts_moves);

-- name: each sweep counts what it failed and refunded
SELECT s.id, s.failed, s.refunded_tokens, count(f.tokens) AS really_failed, coalesce(sum(f.tokens), 0) AS really_refunded
FROM stale_drafts_sweeps AS s LEFT JOIN (
  SELECT sweep_id, tokens FROM stale_drafts_creations WHERE sweep_id IS NOT NULL
  UNION ALL
  SELECT a.sweep_id, c.tokens FROM stale_drafts_attempts AS a JOIN stale_drafts_creations AS c ON c.id = a.creation_id
  WHERE a.outcome <> 'retried' AND a.sweep_id IS NOT NULL) AS f ON f.sweep_id = s.id
GROUP BY s.id HAVING (s.failed <> really_failed OR s.refunded_tokens <> really_refunded) AND NOT EXISTS (SELECT 1 FROM stale_drafts_moves);

-- name: each sweep counts what it put back
SELECT s.id, s.retried, count(a.attempt) AS really_retried
FROM stale_drafts_sweeps AS s LEFT JOIN stale_drafts_attempts AS a ON a.sweep_id = s.id AND a.outcome = 'retried'
GROUP BY s.id HAVING s.retried <> really_retried AND NOT EXISTS (SELECT 1 FROM stale_drafts_moves);

-- name: the roll-ups count what sweeps did
SELECT * FROM (
  SELECT
    (SELECT coalesce(sum(creations), 0) FROM stale_drafts_rollups WHERE hour = 0 AND outcome = 'failed') AS failed,
    (SELECT coalesce(sum(creations), 0) FROM stale_drafts_rollups WHERE hour = 0 AND outcome = 'retried') AS retried,
    (SELECT coalesce(sum(lag_0 + lag_1 + lag_2 + lag_3 + lag_4 + lag_5), 0) FROM stale_drafts_rollups WHERE hour = 0) AS lags,
    (SELECT count(*) FROM stale_drafts_creations WHERE sweep_id IS NOT NULL)
      + (SELECT count(*) FROM stale_drafts_attempts WHERE outcome <> 'retried' AND sweep_id IS NOT NULL)
      + (SELECT coalesce(sum(failed), 0) FROM stale_drafts_archives) AS really_failed,
    (SELECT count(*) FROM stale_drafts_attempts WHERE outcome = 'retried')
      + (SELECT coalesce(sum(retried), 0) FROM stale_drafts_archives) AS really_retried)
WHERE (failed, retried, lags) <> (really_failed, really_retried, really_failed + really_retried) AND NOT EXISTS (SELECT 1 FROM stale_drafts_moves);

-- name: what waits and takes is in one band each
SELECT * FROM stale_drafts_durations
WHERE creations <> band_0 + band_1 + band_2 + band_3 + band_4 + band_5 + band_6 + band_7 + band_8 + band_9 + band_10 + band_11
  OR total_ms < 0 OR creations < 1;

-- name: each attempt before the present one is recorded, once
SELECT c.id, c.attempt, count(a.attempt) AS recorded
FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_attempts AS a ON a.creation_id = c.id AND a.outcome <> 'restored'
WHERE (c.attempt > 1 OR a.attempt IS NOT NULL) AND c.user_id NOT IN (SELECT user_id FROM stale_drafts_held)
GROUP BY c.id HAVING recorded <> c.attempt - 1 OR max(a.attempt) <> c.attempt - 1;

-- name: only active creations are set aside
SELECT r.creation_id, c.status
FROM stale_drafts_rejected AS r LEFT JOIN stale_drafts_creations AS c ON c.id = r.creation_id
WHERE (c.status IS NULL OR c.status NOT IN ('pending', 'processing')) AND ifnull(c.user_id, '') NOT IN (SELECT user_id FROM stale_drafts_held);

-- name: each retry by hand is the next charge, and each charge but the first is by one
SELECT c.id, c.charge, count(a.attempt) AS failed
FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_attempts AS a ON a.creation_id = c.id AND a.outcome = 'failed'
WHERE c.user_id NOT IN (SELECT user_id FROM stale_drafts_held)
GROUP BY c.id HAVING failed <> c.charge - 1;

-- name: what was deleted is gone
SELECT id FROM stale_drafts_creations
WHERE deleted_at IS NOT NULL AND (prompt <> '' OR result_url IS NOT NULL OR late_result_url IS NOT NULL);

-- name: what is archived of a user is what the ledger has of creations that are not here
SELECT user_id, sum, tokens
FROM (SELECT l.user_id, sum(l.tokens) AS sum FROM stale_drafts_ledger AS l LEFT JOIN stale_drafts_creations AS c ON c.id = l.creation_id
  WHERE l.type <> 'grant' AND c.id IS NULL GROUP BY l.user_id)
FULL JOIN stale_drafts_archived_users USING (user_id)
WHERE coalesce(sum, 0) <> coalesce(tokens, 0) AND user_id NOT IN (SELECT user_id FROM stale_drafts_held);

-- name: objects and users count the same creations as archived
SELECT * FROM (SELECT
  (SELECT coalesce(sum(creations), 0) FROM stale_drafts_archives) AS creations,
  (SELECT coalesce(sum(tokens), 0) FROM stale_drafts_archives) AS tokens,
  (SELECT coalesce(sum(creations), 0) FROM stale_drafts_archived_users) AS of_users,
  (SELECT coalesce(sum(tokens), 0) FROM stale_drafts_archived_users) AS tokens_of_users)
WHERE (creations, tokens) <> (of_users, tokens_of_users) AND NOT EXISTS (SELECT 1 FROM stale_drafts_moves);

-- name: nothing is being removed outside a transaction
SELECT object FROM stale_drafts_archiving UNION ALL SELECT carry FROM stale_drafts_compacting;

-- name: an entry is in the ledger or in a carry, and not in both
SELECT l.entry_key
FROM stale_drafts_ledger AS l JOIN stale_drafts_compacted_creations AS k ON k.id = iif(length(l.creation_id) = 36 AND length(replace(l.creation_id, '-', '')) = 32 AND l.creation_id = lower(l.creation_id)
      AND substr(l.creation_id, 9, 1) || substr(l.creation_id, 14, 1) || substr(l.creation_id, 19, 1) || substr(l.creation_id, 24, 1) = '----',
      ifnull(unhex(replace(l.creation_id, '-', '')), l.creation_id), l.creation_id);

-- name: what is in a carry is archived
SELECT c.id
FROM stale_drafts_creations AS c JOIN stale_drafts_compacted_creations AS k ON k.id = iif(length(c.id) = 36 AND length(replace(c.id, '-', '')) = 32 AND c.id = lower(c.id)
      AND substr(c.id, 9, 1) || substr(c.id, 14, 1) || substr(c.id, 19, 1) || substr(c.id, 24, 1) = '----',
      ifnull(unhex(replace(c.id, '-', '')), c.id), c.id);

-- name: the carries of a user stand for the entries of each creation that is in them, one at least
SELECT user_id, creations, entries
FROM (SELECT u.user_id, count(*) AS creations FROM stale_drafts_compacted_creations AS k JOIN stale_drafts_compacted_users AS u ON u.number = k.owner GROUP BY u.user_id)
FULL JOIN (SELECT user_id, sum(entries) AS entries FROM stale_drafts_carries GROUP BY user_id) USING (user_id)
WHERE (entries >= creations) IS NOT 1 AND user_id NOT IN (SELECT user_id FROM stale_drafts_held);

-- name: each carry says how many entries it stands for
SELECT user_id, created_at, entry_key, entries
FROM (SELECT * FROM stale_drafts_ledger WHERE type = 'carry') FULL JOIN stale_drafts_carries USING (user_id, created_at)
WHERE (entry_key IS NULL OR entries IS NULL) AND user_id NOT IN (SELECT user_id FROM stale_drafts_held);

-- name: the migrations are all applied
SELECT count(*) AS applied, max(version) AS newest FROM stale_drafts_schema
HAVING applied <> newest;
