// A mapping as SQL: the migration that attaches a table, and what detaches it.

import { comment, name, prefix } from "./names.js";
import { ourTriggers } from "./ours.js";
import { theirTriggers } from "./theirs.js";
import { NOW } from "./values.js";
import { bringIn, isMirror, viewSql } from "./view.js";

/**
 * `up` attaches the table, `down` detaches it; both are for a person to read. The mapping must be one that `check` has made:
 * see docs/attach.md for its shape.
 */
export function attachSql(mapping) {
  const m = { ...mapping, id_prefix: mapping.id_prefix ?? `${mapping.table}:` };
  const triggers = [...theirTriggers(m), ...ourTriggers(m)];
  const up = `-- Attaches the table ${comment(m.table)} to Stale Drafts: its rows are creations too. Not one of your app's writes has to change.
--
${described(m).map((line) => `--   ${line}`).join("\n")}
--
-- Made by \`stale-drafts attach\`: docs/attach.md says what each part does. To change the mapping, detach, and attach again.

${viewSql(m)}

${triggers.join("\n\n")}

-- The rows that are active now. Running it again adds what is missing.
${bringIn(m)}
`;
  return { up, down: detachSql(m.table, m.id_prefix) };
}

/** Whatever may have been made for a table, by any mapping. */
const TRIGGERS = ["charge_again", "restore", "publish", "retry", "refund_failure", "refund", "time_out", "late_insert", "late", "delete", "update", "insert", "follow", "mirror"];

/** What detaches a table. */
export function detachSql(table, id_prefix = `${table}:`) {
  const mirrored = isMirror({ id_prefix }, "id");
  return `-- Detaches the table ${comment(table)} from Stale Drafts. Its own rows stay as they are.

${TRIGGERS.map((what) => `DROP TRIGGER IF EXISTS ${name(`${prefix(table)}_${what}`)};`).join("\n")}
DROP VIEW IF EXISTS ${name(prefix(table))};

-- Its creations are over, and no list shows them any more; the ledger keeps their entries. Nothing is paid into the app's balance.
UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${NOW}, error_code = 'app_detached'
WHERE ${mirrored} AND status IN ('pending', 'processing');
UPDATE stale_drafts_creations SET deleted_at = ${NOW}, prompt = '', result_url = NULL, late_result_url = NULL, late_at = NULL
WHERE ${mirrored} AND deleted_at IS NULL;
`;
}

/** The mapping as a person reads it: lines of a field and what it is. */
export function described(m) {
  const of = (entry) => ("value" in entry ? `always \`${entry.value}\`` : `${entry.column}${entry.unit ? ` (${UNIT[entry.unit]})` : ""}`);
  const lines = ["id", "user_id", "kind", "prompt", "tokens", "created_at", "started_at", "heartbeat_at", "finished_at", "error", "result_url"]
    .filter((field) => m[field])
    .map((field) => [field, of(m[field])]);
  const words = ["pending", "processing", "draft", "published", "failed"].filter((status) => m.status[status]?.length > 0);
  lines.splice(4, 0, ["status", `${m.status.column}: ${words.map((status) => `${m.status[status].join(", ")} = ${status}`).join("; ")}`]);
  lines.push(["timed out", `${m.status.column} becomes \`${m.status.timed_out}\``]);
  lines.push(["refund", refundLine(m)]);
  return lines.map(([field, value]) => `${field.padEnd(12)} ${comment(value)}`);
}

const UNIT = { ms: "milliseconds", s: "seconds", iso: "ISO text", sqlite: "YYYY-MM-DD HH:MM:SS in UTC" };

function refundLine({ refund, refund_failures }) {
  if (!refund) return "none: the app's balance is left alone";
  const what = refund.sql ? "by your statement" : `into ${refund.table}.${refund.column} by ${refund.table}.${refund.key}`;
  return `${what}, after ${refund_failures ? "a time-out or a failure of the app's own" : "a time-out"}`;
}
