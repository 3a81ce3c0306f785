// `attach TABLE --check`: what is attached, and which rows are not watched, with the reason.

import { say, wrap } from "../lib/terminal.js";
import { name, prefix } from "./names.js";

/** Rows of `what, rows, example`: each is something that a person may want to know. */
function statements(table) {
  const view = name(prefix(table));
  const living = "EXISTS (SELECT 1 FROM stale_drafts_creations AS c WHERE c.id = v.id AND c.status IN ('pending', 'processing'))";
  return [
    `SELECT 'the status ' || quote(app_status) || ' is not in the mapping: such rows are left alone' AS what, count(*) AS rows, min(app_id) AS example FROM ${view} AS v WHERE status IS NULL GROUP BY app_status`,
    `SELECT ifnull(problem, 'they are active again after an end, or have come in past the triggers') || ': not watched' AS what, count(*) AS rows, min(app_id) AS example
     FROM ${view} AS v WHERE status IN ('pending', 'processing') AND NOT ${living} GROUP BY 1`,
    `SELECT 'their price has changed since it was charged: ' || c.tokens || ' would be refunded, and the row says ' || v.tokens AS what, count(*) AS rows, min(app_id) AS example
     FROM ${view} AS v JOIN stale_drafts_creations AS c ON c.id = v.id WHERE c.status IN ('pending', 'processing') AND c.tokens IS NOT v.tokens GROUP BY 1`,
    `SELECT 'their owner has changed: who was charged would be refunded' AS what, count(*) AS rows, min(app_id) AS example
     FROM ${view} AS v JOIN stale_drafts_creations AS c ON c.id = v.id WHERE c.status IN ('pending', 'processing') AND c.user_id IS NOT v.user_id HAVING rows > 0`,
  ];
}

/** The triggers that a table must have, by its name in `objects`. */
const expected = ["mirror", "follow", "insert", "update", "delete", "late", "late_insert", "time_out", "retry", "restore"];

/** Says what is wrong; gives the exit code. */
export async function check(io, source, schema, table) {
  const names = new Set(schema.objects.map(({ name: object }) => object));
  const lost = expected.filter((what) => !names.has(`${prefix(table.name)}_${what}`));
  const findings = lost.length > 0 ? [{ what: `the triggers ${lost.join(", ")} are gone: a table that is made anew loses its triggers. Detach, and attach again` }] : [];
  const [[{ watched }], ...answers] = await source.query([`SELECT count(*) AS watched FROM ${name(prefix(table.name))} AS v JOIN stale_drafts_creations AS c ON c.id = v.id WHERE c.status IN ('pending', 'processing')`, ...statements(table.name)]);
  findings.push(...answers.flat());
  say(io, `${table.name} is attached: ${watched} ${watched === 1 ? "row is" : "rows are"} watched.`);
  for (const { what, rows, example } of findings) say(io, `✗ ${wrap(rows === undefined ? `${what}.` : `${rows} ${rows === 1 ? "row" : "rows"} (such as ${example}): ${what}.`, { indent: "  " }).trimStart()}`);
  return findings.length > 0 ? 1 : 0;
}
