// The way of the system that this one takes over from, on D1: everything active is loaded, and what is too old is marked failed and
// refunded, one creation and one query after another.

const MAX_AGE = 3_600_000;

export async function sweep({ DB }, { now, most }) {
  const { results } = await DB.prepare("SELECT * FROM stale_drafts_creations WHERE status IN ('pending', 'processing')").all();
  let marked = 0;
  let stale = 0;
  for (const { id, user_id, status, tokens, created_at, started_at, heartbeat_at } of results) {
    const age = now - Math.max(created_at, started_at ?? 0, heartbeat_at ?? 0);
    if (age <= MAX_AGE) continue;
    stale += 1;
    if (marked >= most) continue;
    const error = `Generation timeout: Task stuck in ${status} status for ${(age / MAX_AGE).toFixed(1)} hours`;
    await DB.prepare("UPDATE stale_drafts_creations SET status = 'failed', error = ?, error_code = 'generation_timeout', finished_at = ? WHERE id = ?").bind(error, now, id).run();
    await DB.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at) VALUES (?, ?, 'refund', ?, ?, ?)").bind(`refund:${id}`, user_id, id, tokens, now).run();
    await DB.prepare("UPDATE stale_drafts_balances SET tokens = tokens + ? WHERE user_id = ?").bind(tokens, user_id).run();
    marked += 1;
  }
  return { marked, more: false, left: stale - marked };
}
