// The mapping as a view: each row of the app's table as a creation. And how the view brings a row in and follows it.

import { list, name, prefix, text } from "./names.js";
import { MOST_TOKENS, NOW, isName, toId, toMillis, toStatus, toText, toTokens, toUrl } from "./values.js";

/** The id that a row's first creation has. */
const firstId = (m, value) => `${text(m.id_prefix)} || ${value}`;

/**
 * The id of the creation that a row has now. An id that was deleted may come again, and a table may be attached again: then the creation
 * has the instant behind its id.
 */
export const mirrorId = (m, value) => `ifnull(
    (SELECT max(id) FROM stale_drafts_creations WHERE id > ${firstId(m, value)} || '~' AND id < ${firstId(m, value)} || '~~'),
    ${firstId(m, value)})`;

/** The app's id in the id of a creation. */
export function appId(m, value) {
  const rest = `substr(${value}, ${[...m.id_prefix].length + 1})`;
  return m.id.type === "integer" ? `CAST(${rest} AS INTEGER)` : `substr(${rest}, 1, instr(${rest} || '~', '~') - 1)`;
}

/** Whether a creation is one of the table's. */
export const isMirror = (m, value) => `substr(${value}, 1, ${[...m.id_prefix].length}) = ${text(m.id_prefix)}`;

/** The app's column of a row: of NEW, of OLD, or of `app`, as the view calls the table. Its name may be one of ours too. */
export const column = (entry, row = "app") => `${row}.${name(entry.column)}`;

/** What a row costs. Where nothing is refunded, nothing is said about tokens. */
function tokens(m) {
  if (!m.refund || !m.tokens) return "0";
  return "value" in m.tokens ? String(m.tokens.value) : toTokens(column(m.tokens));
}

function kind(m) {
  if ("value" in m.kind) return text(m.kind.value);
  const value = column(m.kind);
  return `CASE WHEN typeof(${value}) <> 'blob' AND ${isName(value, 0)} THEN CAST(${value} AS TEXT) ELSE '' END`;
}

export function viewSql(m) {
  const view = name(prefix(m.table));
  const time = (entry) => (entry ? toMillis(column(entry), entry.unit) : "NULL");
  const fields = [
    ["app_id", column(m.id)],
    ["app_status", column(m.status)],
    ["user_id", toId(column(m.user_id))],
    ["kind", kind(m)],
    ["prompt", m.prompt ? `ifnull(${toText(column(m.prompt))}, '')` : "''"],
    ["status", toStatus(column(m.status), m.status, list)],
    ["tokens", tokens(m)],
    ["created_at", time(m.created_at)],
    ["started_at", time(m.started_at)],
    ["heartbeat_at", time(m.heartbeat_at)],
    ["finished_at", time(m.finished_at)],
    ["error", m.error ? toText(column(m.error)) : "NULL"],
    ["result_url", m.result_url ? toUrl(column(m.result_url)) : "NULL"],
    ["id", mirrorId(m, column(m.id))],
  ];
  const stem = `${firstId(m, "app_id")} || '~'`;
  // Later than the one before it, also within one millisecond and if the clock was put back.
  const again = `${stem} || max(${NOW}, 1 + CAST(substr(id, 1 + length(${stem})) AS INTEGER))`;
  return `-- Each row as a creation. \`id\` is that of the creation that it has, \`new_id\` of the one that it would get; NULL: it has one.
-- \`problem\` says why it can't have one.
CREATE VIEW ${view} AS
SELECT *,
  CASE (SELECT deleted_at IS NOT NULL FROM stale_drafts_creations WHERE id = r.id)
    WHEN 0 THEN NULL WHEN 1 THEN ${again} ELSE id
  END AS new_id,
  CASE
    WHEN status IS NULL THEN 'its status is not in the mapping'
    WHEN typeof(app_id) NOT IN ('integer', 'text') OR instr(app_id, '~') > 0
      OR NOT (${isName("id")})
    THEN 'its id can''t be the id of a creation'
    WHEN user_id IS NULL
      OR NOT (${isName("user_id")})
    THEN 'its owner is missing, or can''t be one of a creation'
    WHEN tokens IS NULL THEN 'its tokens are not a whole number from 0 to ${MOST_TOKENS}'
  END AS problem
FROM (
  SELECT
${fields.map(([field, sql]) => `  ${sql} AS ${field}`).join(",\n")}
  FROM ${name(m.table)} AS app
) AS r;

-- A row comes in. The app keeps the balance: it has charged, and what goes back is paid into it. A heartbeat is one that is later
-- than the creation.
CREATE TRIGGER ${name(`${prefix(m.table)}_mirror`)} INSTEAD OF INSERT ON ${view} BEGIN
  INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, balance_elsewhere, created_at, started_at, heartbeat_at)
  VALUES (NEW.new_id, NEW.user_id, NEW.kind, NEW.prompt, NEW.status, NEW.tokens, 1, NEW.created_at, NEW.started_at,
    iif(NEW.heartbeat_at > ifnull(NEW.created_at, 0), NEW.heartbeat_at, NULL));
END;

-- A row is followed to its status. From queued straight to done, it starts and ends at once.
CREATE TRIGGER ${name(`${prefix(m.table)}_follow`)} INSTEAD OF UPDATE ON ${view} BEGIN
  UPDATE stale_drafts_creations SET status = 'processing', started_at = ifnull(NEW.started_at, ${NOW}), heartbeat_at = NULL
  WHERE id = NEW.id AND status = 'pending' AND NEW.status IN ('processing', 'draft', 'published');
  UPDATE stale_drafts_creations SET status = 'draft', finished_at = ifnull(NEW.finished_at, ${NOW}), result_url = NEW.result_url
  WHERE id = NEW.id AND status = 'processing' AND NEW.status IN ('draft', 'published');
  UPDATE stale_drafts_creations SET status = 'published'
  WHERE id = NEW.id AND status = 'draft' AND NEW.status = 'published';
  UPDATE stale_drafts_creations SET status = 'failed', finished_at = ifnull(NEW.finished_at, ${NOW}), error_code = 'app_failed', error = NEW.error
  WHERE id = NEW.id AND status IN ('pending', 'processing') AND NEW.status = 'failed';
END;`;
}

/** Brings in the rows that are active and have no creation; of them, those that the condition names. */
export function bringIn(m, { condition = "", live = false } = {}) {
  const view = name(prefix(m.table));
  // What comes in while the app works shows a sign of life by that; how long a row has been there already, its times say.
  const created = live ? `ifnull(created_at, ${NOW})` : m.created_at ? "created_at" : NOW;
  const started = live ? `iif(status = 'processing', ifnull(started_at, ${NOW}), NULL)` : "iif(status = 'processing', started_at, NULL)";
  return `INSERT INTO ${view} (new_id, user_id, kind, prompt, status, tokens, created_at, started_at, heartbeat_at)
  SELECT new_id, user_id, kind, prompt, status, tokens,
    ${created},
    ${started}, heartbeat_at
  FROM ${view} WHERE ${condition}status IN ('pending', 'processing') AND new_id IS NOT NULL AND problem IS NULL;`;
}
