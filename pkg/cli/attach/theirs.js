// The triggers on the app's table: what the app writes, followed.

import { list, name, prefix, word } from "./names.js";
import { NOW, toUrl } from "./values.js";
import { bringIn, column, mirrorId } from "./view.js";

const differs = (entry) => `NEW.${name(entry.column)} IS NOT OLD.${name(entry.column)}`;
const unique = (entries) => [...new Map(entries.filter(Boolean).map((entry) => [entry.column, entry])).values()];

export function theirTriggers(m) {
  const table = name(m.table);
  const view = name(prefix(m.table));
  const trigger = (what) => name(`${prefix(m.table)}_${what}`);
  const active = list([...(m.status.pending ?? []), ...(m.status.processing ?? [])]);
  const done = list([...(m.status.draft ?? []), ...(m.status.published ?? [])]);
  const mine = `app_id = ${column(m.id, "NEW")}`;
  const priced = m.refund && m.tokens?.column ? m.tokens : null;

  /** The creation of a row that is there, by the view. */
  const creationOf = (row) => `(SELECT id FROM ${view} WHERE app_id = ${column(m.id, row)})`;

  /** What the app deletes is over: nobody waits for it, and nothing is paid into the app's balance. */
  const forget = (condition = "") => `UPDATE stale_drafts_creations
  SET deleted_at = ${NOW}, prompt = '', result_url = NULL, late_result_url = NULL, late_at = NULL,
    status = iif(status IN ('pending', 'processing'), 'failed', status),
    finished_at = iif(status IN ('pending', 'processing'), ${NOW}, finished_at),
    error_code = iif(status IN ('pending', 'processing'), 'app_deleted', error_code)
  WHERE deleted_at IS NULL${condition} AND id = ${mirrorId(m, column(m.id, "OLD"))};`;

  /** Notes a result that came after the time-out, the first of them; one with an address replaces one without. */
  function keepLate(row) {
    const url = m.result_url && toUrl(column(m.result_url, "NEW"));
    const another = m.result_url && row === "OLD" ? ` OR ${differs(m.result_url)} AND ${url} IS NOT NULL` : "";
    return `  UPDATE stale_drafts_creations SET late_at = ifnull(late_at, ${NOW}),
    late_result_url = ${url ? `ifnull(${url}, 'app:late')` : "'app:late'"}
  WHERE id = ${creationOf(row)} AND deleted_at IS NULL AND (late_at IS NULL${url ? ` OR late_result_url = 'app:late' AND ${url} IS NOT NULL` : ""})
    AND (${column(m.status, "NEW")} IN ${done}${another});
  SELECT RAISE(IGNORE);`;
  }
  // A row that has the id of a deleted one is another: it has not the word and the text of the time-out. What its owner deleted here
  // still has. A whole row that was read before it was deleted may bring the text along, with another word.
  const same = m.error ? (row) => ` AND (deleted_at IS NULL OR error IS (SELECT error FROM ${view} WHERE app_id = ${column(m.id, row)}))` : () => "";
  const timedOut = (row) => `EXISTS (SELECT 1 FROM stale_drafts_creations WHERE id = ${creationOf(row)} AND status = 'failed' AND sweep_id IS NOT NULL${same(row)})`;

  const beat = m.heartbeat_at
    ? `
  -- A sign of life. The change of the status is one by itself.
  UPDATE stale_drafts_creations SET heartbeat_at = (SELECT heartbeat_at FROM ${view} WHERE ${mine})
  WHERE id = ${creationOf("NEW")} AND status IN ('pending', 'processing')
    AND ${differs(m.heartbeat_at)} AND ${column(m.heartbeat_at, "NEW")} IS NOT NULL AND NOT (${differs(m.status)});`
    : "";
  // A heartbeat may be written by INSERT OR REPLACE too. A new row's time is no heartbeat.
  const replaced = m.heartbeat_at
    ? `
  UPDATE stale_drafts_creations SET heartbeat_at = (SELECT heartbeat_at FROM ${view} WHERE ${mine})
  WHERE id = ${creationOf("NEW")} AND status IN ('pending', 'processing')
    AND (SELECT heartbeat_at FROM ${view} WHERE ${mine}) > max(ifnull(heartbeat_at, 0), ifnull(started_at, 0), ifnull(created_at, 0));`
    : "";
  const reprice = priced
    ? `
  -- Its price has changed. Nothing was noted of it yet, unless there was an attempt before, so it comes in anew.
  DELETE FROM stale_drafts_creations
  WHERE id = ${creationOf("NEW")} AND status IN ('pending', 'processing') AND attempt = 1 AND ${differs(priced)}
    AND (SELECT problem IS NULL AND status IN ('pending', 'processing') AND tokens <> stale_drafts_creations.tokens FROM ${view} WHERE ${mine})
    AND NOT EXISTS (SELECT 1 FROM stale_drafts_rejected WHERE creation_id = stale_drafts_creations.id);`
    : "";
  // Before it is followed to its new status: one that has only just started has not been put back.
  const pending = m.status.pending?.length > 1 ? list(m.status.pending) : null;
  const step = `  -- From one active word to another, or back to its queue: a sign of life.
  UPDATE stale_drafts_creations SET started_at = ${NOW}
  WHERE id = ${creationOf("NEW")} AND status = 'processing' AND ${column(m.status, "NEW")} IN ${active} AND ${differs(m.status)};${
    pending
      ? `
  UPDATE stale_drafts_creations SET queued_at = ${NOW}
  WHERE id = ${creationOf("NEW")} AND status = 'pending' AND ${column(m.status, "NEW")} IN ${pending} AND ${column(m.status, "OLD")} IN ${pending} AND ${differs(m.status)};`
      : ""
  }`;

  return [
    `-- A new row. INSERT OR REPLACE of a row that has a creation is followed like an update.
CREATE TRIGGER ${trigger("insert")} AFTER INSERT ON ${table}
WHEN ${column(m.status, "NEW")} IN ${active}
  OR EXISTS (SELECT 1 FROM stale_drafts_creations WHERE id = ${creationOf("NEW")} AND status IN ('pending', 'processing')) BEGIN
  ${bringIn(m, { condition: `${mine} AND `, live: true })}
  UPDATE ${view} SET status = status WHERE ${mine};${replaced}
END;`,
    `-- An update of what a creation has of the row.
CREATE TRIGGER ${trigger("update")} AFTER UPDATE ON ${table}
WHEN ${unique([m.status, m.heartbeat_at, m.id, m.user_id, priced]).map(differs).join(" OR ")} BEGIN
  -- A row with another id is another row.
  ${forget(` AND ${differs(m.id)}`)}${reprice}
  -- It comes in, if it could not before.
  ${bringIn(m, { condition: `${mine} AND `, live: true })}
${step}
  UPDATE ${view} SET status = status WHERE ${mine} AND ${differs(m.status)};${beat}
END;`,
    `-- The row is deleted: so is its creation.
CREATE TRIGGER ${trigger("delete")} AFTER DELETE ON ${table} BEGIN
  ${forget()}
END;`,
    `-- It has timed out and was refunded: a late write changes nothing, and its result is kept for an operator. What changes none of
-- these columns goes through.
CREATE TRIGGER ${trigger("late")} BEFORE UPDATE ON ${table}
WHEN (${unique([m.status, m.error, m.result_url, m.finished_at]).map(differs).join(" OR ")})
  AND ${column(m.status, "OLD")} = ${word(m.status.timed_out)} AND ${timedOut("OLD")} BEGIN
${keepLate("OLD")}
END;`,
    `-- The same for INSERT OR REPLACE and for ON CONFLICT DO UPDATE.
CREATE TRIGGER ${trigger("late_insert")} BEFORE INSERT ON ${table}
WHEN EXISTS (SELECT 1 FROM ${table} WHERE ${name(m.id.column)} = ${column(m.id, "NEW")} AND ${name(m.status.column)} = ${word(m.status.timed_out)})
  AND ${timedOut("NEW")} BEGIN
${keepLate("NEW")}
END;`,
  ];
}
