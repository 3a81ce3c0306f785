SELECT user_id AS differs, old, new
FROM (
  SELECT u.user_id, u.tokens AS old, (SELECT coalesce(sum(l.tokens), 0) FROM stale_drafts_ledger AS l
    WHERE l.type = 'grant' AND l.user_id = u.user_id AND l.entry_key GLOB 'import:*') AS new
  FROM stale_drafts_import_users AS u)
WHERE old <> new
UNION ALL
SELECT i.id, i.status, c.status FROM stale_drafts_import_creations AS i LEFT JOIN stale_drafts_creations AS c USING (id)
WHERE c.status IS NOT i.status;
