// What stands in the database: looked at while it runs, and read whole in the end.

/** Rows at once. */
const PAGE = 2_000;

const TABLES = {
  creations: "SELECT id, user_id, kind, prompt, status, attempt, tokens, created_at, queued_at, started_at, heartbeat_at, finished_at, error, error_code, worker, fence, result_url, late_result_url, late_at, restored_at, deleted_at, stuck_status, age_ms, max_age_ms, sweep_id FROM stale_drafts_creations ORDER BY id",
  attempts: "SELECT creation_id, attempt, outcome, worker, fence, started_at, heartbeat_at, finished_at, error_code, stuck_status, age_ms, max_age_ms, sweep_id FROM stale_drafts_attempts ORDER BY creation_id, attempt",
  ledger: "SELECT entry_key, user_id, type, creation_id, sweep_id, tokens FROM stale_drafts_ledger ORDER BY entry_key",
  balances: "SELECT user_id, tokens FROM stale_drafts_balances ORDER BY user_id",
  sweeps: "SELECT id, source, started_at, finished_at, failed, retried, rejected, unreadable, refunded_tokens, error FROM stale_drafts_sweeps ORDER BY id",
  events: "SELECT id, state, due_at, deliveries, body FROM stale_drafts_events ORDER BY id",
  rollups: "SELECT outcome, creations, tokens FROM stale_drafts_rollups WHERE hour = 0 ORDER BY outcome, kind, stuck_status, rule",
  alerts: "SELECT code, since, resolved_at FROM stale_drafts_alerts ORDER BY code, since",
};

/** All of it, table by table; nobody else may write meanwhile. */
export async function rows(all) {
  const found = {};
  for (const [table, sql] of Object.entries(TABLES)) {
    found[table] = [];
    for (let page; !page || page.length === PAGE; found[table].push(...page)) {
      page = await all(`${sql} LIMIT ${PAGE} OFFSET ${found[table].length}`);
    }
  }
  return found;
}

/** What must hold at every instant. Each finds what breaks it. */
const ALWAYS = {
  "each balance is the sum of its ledger":
    "SELECT user_id AS broken FROM (SELECT user_id, sum(tokens) AS sum FROM stale_drafts_ledger GROUP BY user_id) FULL JOIN stale_drafts_balances USING (user_id) WHERE sum IS NOT tokens",
  "what failed is refunded, and nothing else, unless it was restored":
    "SELECT c.id AS broken FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_ledger AS r ON r.entry_key = 'refund:' || c.id WHERE c.tokens > 0 AND (c.status = 'failed' OR c.restored_at IS NOT NULL) <> (r.entry_key IS NOT NULL)",
  "a refund is its charge, once":
    "SELECT r.creation_id AS broken FROM stale_drafts_ledger AS r LEFT JOIN stale_drafts_ledger AS c ON c.type = 'charge' AND c.creation_id = r.creation_id WHERE r.type = 'refund' GROUP BY r.creation_id HAVING count(*) <> 1 OR max(r.tokens) IS NOT -max(c.tokens) OR max(r.user_id) IS NOT max(c.user_id)",
};

/** Looks at one instant: `batch` runs `[[sql], …]` in one transaction. Gives what is broken. */
export async function look(batch) {
  const results = await batch(Object.values(ALWAYS).map((sql) => [`${sql} LIMIT 20`]));
  return Object.keys(ALWAYS).flatMap((name, at) => results[at].map(({ broken }) => `not so while it ran: ${name}: ${broken}`));
}

/** What SQLite itself finds wrong with the file. */
export async function integrity(all) {
  const quick = (await all("PRAGMA quick_check")).map((row) => Object.values(row)[0]).filter((text) => text !== "ok");
  const foreign = await all("PRAGMA foreign_key_check");
  return [...quick, ...foreign.map((row) => JSON.stringify(row))];
}
