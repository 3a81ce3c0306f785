-- What must be true at every moment of a table that is attached, whatever the app's own code wrote: tests/attach/generations.sql is
-- what attaches it. The form is that of ../invariants.sql.
--
-- `payments` is the app's own record of what it has given each user, and taken: what it started with, its charges, its refunds. It
-- is written in the same transactions.

-- name: an app's balance is what the app has paid, and what time-outs gave back, less what restores took again
SELECT u.id, u.credits, p.credits AS paid, o.tokens AS ours
FROM users AS u
LEFT JOIN (SELECT uid, sum(credits) AS credits FROM payments GROUP BY uid) AS p ON p.uid = u.id
LEFT JOIN (
  SELECT l.user_id, sum(l.tokens) AS tokens
  FROM stale_drafts_ledger AS l JOIN stale_drafts_creations AS c ON c.id = l.creation_id AND c.balance_elsewhere = 1
  WHERE l.type = 'restore' OR l.type = 'refund' AND l.sweep_id IS NOT NULL
  GROUP BY l.user_id) AS o ON o.user_id = CAST(u.id AS TEXT)
WHERE u.credits <> ifnull(p.credits, 0) + ifnull(o.tokens, 0);

-- name: what an app's balance keeps is in none of ours
SELECT b.user_id, b.tokens, coalesce(sum(l.tokens), 0) AS own
FROM stale_drafts_balances AS b LEFT JOIN (
  SELECT l.user_id, l.tokens
  FROM stale_drafts_ledger AS l LEFT JOIN stale_drafts_creations AS c ON c.id = l.creation_id
  WHERE l.entry_key NOT GLOB 'app:*' AND ifnull(c.balance_elsewhere, 0) = 0) AS l ON l.user_id = b.user_id
GROUP BY b.user_id HAVING b.tokens <> own;

-- name: a row that has timed out has the word and the text of its time-out
SELECT v.app_id, g.state, g.error_message, c.error
FROM stale_drafts_attach_generations AS v
JOIN stale_drafts_creations AS c ON c.id = v.id
JOIN generations AS g ON g.gid = v.app_id
WHERE c.status = 'failed' AND c.sweep_id IS NOT NULL AND c.deleted_at IS NULL
  AND (g.state IS NOT 'error' OR g.error_message IS NOT c.error);

-- name: a creation is active only while its row is, or has a word that the mapping does not know
SELECT c.id, c.status, v.app_status
FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_attach_generations AS v ON v.id = c.id
WHERE substr(c.id, 1, 12) = 'generations:' AND c.status IN ('pending', 'processing')
  AND (v.app_id IS NULL OR v.status IN ('draft', 'published', 'failed') OR c.status = 'pending' AND v.status = 'processing');

-- name: a row that is active, and that a creation can be made of, has one
SELECT app_id, app_status, new_id FROM stale_drafts_attach_generations AS v
WHERE status IN ('pending', 'processing') AND problem IS NULL AND NOT EXISTS (SELECT 1 FROM stale_drafts_creations WHERE id = v.id);
