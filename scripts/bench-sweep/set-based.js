// One statement for all of them; a trigger writes the ledger and the balance. It uses the best index that there is for it.

export async function sweep({ DB }, { now }) {
  const { meta } = await DB.prepare(
    `UPDATE stale_drafts_creations SET status = 'failed', error_code = 'generation_timeout', finished_at = ?1,
       error = 'Generation timeout: Task stuck in ' || status || ' status for ' || printf('%.1f', (?1 - last_sign_of_life) / 3600000.0) || ' hours'
     WHERE status IN ('pending', 'processing') AND last_sign_of_life < ?1 - 3600000`,
  ).bind(now).run();
  // The trigger's rows are counted among the changes: three for each creation.
  return { marked: meta.changes / 3, more: false, left: 0 };
}
