// What must be true of the database at any instant, whoever died on the way. Each question answers with the rows that break
// a promise; there must be none. The statements read whole tables: they are for tests, and for an operator with a copy.

import assert from "node:assert/strict";

const PROMISES = {
  "every balance is the sum of its ledger":
    "SELECT user_id, sum, tokens FROM (SELECT user_id, sum(tokens) AS sum FROM stale_drafts_ledger GROUP BY user_id) FULL JOIN stale_drafts_balances USING (user_id) WHERE sum IS NOT tokens",
  "charged once":
    "SELECT c.id FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_ledger AS l ON l.entry_key = 'charge:' || c.id WHERE c.tokens > 0 AND l.tokens IS NOT -c.tokens",
  "refunded once if it failed or was restored, and never else":
    "SELECT c.id, c.status, l.tokens FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_ledger AS l ON l.entry_key = 'refund:' || c.id WHERE c.tokens > 0 AND l.tokens IS NOT iif(c.status = 'failed' OR c.restored_at IS NOT NULL, c.tokens, NULL)",
  "a time-out names a sweep that has a row":
    "SELECT c.id FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_sweeps AS s ON s.id = c.sweep_id WHERE (c.error_code IS 'generation_timeout') <> (s.id IS NOT NULL)",
  "each sweep counts what it failed and refunded":
    "SELECT s.id, s.failed, count(c.id) AS found FROM stale_drafts_sweeps AS s LEFT JOIN stale_drafts_creations AS c ON c.sweep_id = s.id GROUP BY s.id HAVING s.failed <> found OR s.refunded_tokens <> coalesce(sum(c.tokens), 0)",
  "each sweep counts what it put back":
    "SELECT s.id, s.retried, count(a.attempt) AS found FROM stale_drafts_sweeps AS s LEFT JOIN stale_drafts_attempts AS a ON a.sweep_id = s.id AND a.outcome = 'retried' GROUP BY s.id HAVING s.retried <> found",
  "the roll-ups count what the sweeps did":
    "SELECT * FROM (SELECT (SELECT coalesce(sum(creations), 0) FROM stale_drafts_rollups WHERE hour = 0 AND outcome = 'failed') AS failed, (SELECT coalesce(sum(creations), 0) FROM stale_drafts_rollups WHERE hour = 0 AND outcome = 'retried') AS retried, (SELECT coalesce(sum(tokens), 0) FROM stale_drafts_rollups WHERE hour = 0) AS tokens, (SELECT coalesce(sum(failed), 0) FROM stale_drafts_sweeps) AS m, (SELECT coalesce(sum(retried), 0) FROM stale_drafts_sweeps) AS r, (SELECT coalesce(sum(refunded_tokens), 0) FROM stale_drafts_sweeps) AS t) WHERE (failed, retried, tokens) <> (m, r, t)",
  "each attempt before this one is recorded":
    "SELECT c.id, c.attempt, count(a.attempt) AS recorded FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_attempts AS a ON a.creation_id = c.id AND a.outcome = 'retried' GROUP BY c.id HAVING recorded <> c.attempt - 1 OR (recorded > 0 AND max(a.attempt) <> c.attempt - 1)",
};

/** Where a webhook is bound and never answers, each failure and each further attempt is in the outbox, once. */
const TOLD = {
  "each failure is told":
    "SELECT 'failed:' || id || ':' || attempt AS event FROM stale_drafts_creations WHERE error_code = 'generation_timeout' EXCEPT SELECT id FROM stale_drafts_events",
  "each further attempt is told":
    "SELECT 'retried:' || creation_id || ':' || attempt AS event FROM stale_drafts_attempts WHERE outcome = 'retried' EXCEPT SELECT id FROM stale_drafts_events",
  "nothing else is told":
    "SELECT id FROM stale_drafts_events WHERE creation_id IS NOT NULL EXCEPT SELECT * FROM (SELECT 'failed:' || id || ':' || attempt FROM stale_drafts_creations WHERE error_code = 'generation_timeout' UNION ALL SELECT 'retried:' || creation_id || ':' || attempt FROM stale_drafts_attempts WHERE outcome = 'retried')",
  "nothing is told twice":
    // An alert is named by its instant, and the tests' clock stands still: it may fire, resolve and fire again within one.
    "SELECT id FROM stale_drafts_events WHERE creation_id IS NOT NULL GROUP BY id HAVING count(*) > 1",
};

/** All that can be asked. */
export const ASKED = [...Object.keys(PROMISES), ...Object.keys(TOLD)];

/** Asks everything; gives the promises that are broken, each with the first rows that break it. `all` runs a statement. */
export async function broken(all, { told = false } = {}) {
  const found = {};
  for (const [promise, sql] of Object.entries({ ...PROMISES, ...(told ? TOLD : {}) })) {
    const rows = await all(`${sql} LIMIT 5`);
    if (rows.length > 0) found[promise] = rows;
  }
  return found;
}

export const check = async (world, label, options) => assert.deepEqual(await broken(world.all, options), {}, label);
