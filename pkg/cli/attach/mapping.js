// A mapping, checked against the tables that it is about. What can't be mapped exactly is refused with the reason.

import { Help } from "../lib/help.js";
import { suggestion } from "../lib/args.js";
import { wrap } from "../lib/terminal.js";
import { checked } from "./guess.js";
import { faultOf } from "./statement.js";
import { affinity } from "./table.js";
import { MOST_TOKENS, STATUSES, UNITS } from "./values.js";

const FIELDS = ["table", "id_prefix", "id", "user_id", "kind", "prompt", "status", "tokens", "created_at", "started_at", "heartbeat_at", "finished_at", "error", "result_url", "refund", "refund_failures"];
const TIMES = ["created_at", "started_at", "heartbeat_at", "finished_at"];
const PARTS = {
  status: ["column", ...STATUSES, "timed_out"],
  refund: ["table", "column", "key", "sql", "charge_sql"],
};

const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const columnsOf = (table) => table.columns.map(({ name }) => name);

/** The column that a text names, as the table spells it. */
export function columnOf(table, field, text) {
  const found = table.columns.find(({ name }) => name === text) ?? table.columns.find(({ name }) => name.toLowerCase() === String(text).toLowerCase());
  if (!found) throw new Help(`${field}: \`${table.name}\` has no column \`${text}\`${suggestion(String(text), columnsOf(table))}\n${wrap(`It has ${columnsOf(table).map((name) => `\`${name}\``).join(", ")}.`, { indent: "  " })}`);
  return found;
}

function written(table, field, column) {
  if (column.hidden > 1) throw new Help(`${field}: \`${column.name}\` is a generated column: a time-out could not be written into it`);
}

function entry(table, field, value) {
  if (value === null || value === undefined) return null;
  if (!isTable(value) || ("column" in value) === ("value" in value)) throw new Help(`${field}: expected { "column": … }${["kind", "tokens"].includes(field) ? ' or { "value": … }' : ""}, or null`);
  const unknown = Object.keys(value).find((key) => !["column", "value", "unit", "type", "required"].includes(key));
  if (unknown) throw new Help(`${field}: unknown key \`${unknown}\``);
  if ("value" in value) return { value: value.value };
  const column = columnOf(table, field, value.column);
  if (["error", "result_url", "finished_at", "started_at"].includes(field)) written(table, field, column);
  const made = { column: column.name };
  if (TIMES.includes(field)) {
    if (!UNITS.includes(value.unit)) throw new Help(`${field}: unknown unit \`${value.unit}\`: expected ${UNITS.join(", ")}`);
    made.unit = value.unit;
  }
  if (["error", "started_at"].includes(field) && column.notnull) made.required = true;
  return made;
}

/** `integer` or `text`, as ids and owners are stored. */
const typeOf = (column) => (affinity(column.type) === "integer" ? "integer" : "text");

function statusOf(table, value) {
  if (!isTable(value)) throw new Help('status: expected { "column": …, "pending": […], …, "timed_out": … }');
  const unknown = Object.keys(value).find((key) => !PARTS.status.includes(key));
  if (unknown) throw new Help(`status: unknown key \`${unknown}\`${suggestion(unknown, PARTS.status)}`);
  const column = columnOf(table, "status", value.column);
  written(table, "status", column);
  const made = { column: column.name };
  const of = new Map();
  for (const status of STATUSES) {
    made[status] = value[status] ?? [];
    if (!Array.isArray(made[status])) throw new Help(`${status}: expected a list of words`);
    for (const word of made[status]) {
      if (typeof word !== "string" && !Number.isSafeInteger(word)) throw new Help(`${status}: invalid status word \`${word}\`: expected a text or a whole number`);
      if (of.has(word)) throw new Help(`\`${word}\` can't mean ${of.get(word)} and ${status}`);
      of.set(word, status);
    }
  }
  if (made.pending.length + made.processing.length === 0) throw new Help("no word means pending or processing: nothing could be stuck");
  if (made.draft.length + made.published.length === 0) throw new Help("no word means draft or published: nothing could be done");
  const timedOut = value.timed_out ?? made.failed[0];
  if (timedOut === undefined) throw new Help("no word means failed: a time-out could not be written");
  if (of.has(timedOut) && of.get(timedOut) !== "failed") throw new Help(`timed_out: \`${timedOut}\` means ${of.get(timedOut)}: expected a word for failed`);
  if (!of.has(timedOut)) made.failed.push(timedOut);
  const allowed = checked(table, column.name);
  if (allowed.length > 0 && !allowed.includes(timedOut)) throw new Help(`timed_out: the CHECK of \`${column.name}\` does not allow \`${timedOut}\`: expected one of ${allowed.map((word) => `\`${word}\``).join(", ")}`);
  return { ...made, timed_out: timedOut };
}

function refundOf(tables, value) {
  if (value === null || value === undefined) return null;
  if (!isTable(value)) throw new Help('refund: expected { "table", "column", "key" }, { "sql" } or null');
  const unknown = Object.keys(value).find((key) => !PARTS.refund.includes(key));
  if (unknown) throw new Help(`refund: unknown key \`${unknown}\``);
  if (value.sql !== undefined) {
    for (const [field, sql] of [["refund-sql", value.sql], ["charge-sql", value.charge_sql]]) {
      const fault = sql !== undefined && faultOf(String(sql));
      if (fault) throw new Help(`--${field} can't stand in a trigger: ${fault}`);
    }
    return { sql: value.sql, ...(value.charge_sql === undefined ? {} : { charge_sql: value.charge_sql }) };
  }
  const table = tables.find(({ name }) => name === value.table) ?? tables.find(({ name }) => name.toLowerCase() === String(value.table).toLowerCase());
  if (!table) throw new Help(`refund: there is no table \`${value.table}\`${suggestion(String(value.table), tables.map(({ name }) => name))}`);
  const column = columnOf(table, "refund", value.column);
  written(table, "refund", column);
  if (["text", "blob"].includes(affinity(column.type))) throw new Help(`refund: \`${table.name}.${column.name}\` is declared \`${column.type}\`: expected a number`);
  const key = columnOf(table, "refund-key", value.key).name;
  if (!table.unique.includes(key)) throw new Help(`refund-key: \`${table.name}.${key}\` is not unique: several rows could be paid.\n  Expected a primary key or a column with a UNIQUE index.`);
  return { table: table.name, column: column.name, key };
}

/** The mapping as `attachSql` takes it. */
export function check(raw, schema, table) {
  const unknown = Object.keys(raw).find((key) => !FIELDS.includes(key));
  if (unknown) throw new Help(`the mapping has an unknown key \`${unknown}\`${suggestion(unknown, FIELDS)}`);
  const of = (field) => entry(table, field, raw[field]);
  const [key] = table.key;
  const user_id = of("user_id");
  if (!user_id?.column) throw new Help("user_id: expected the column of the owner");
  const kind = of("kind");
  if (!kind) throw new Help('kind: expected a column or a value');
  if ("value" in kind && (typeof kind.value !== "string" || Buffer.byteLength(kind.value) > 200)) throw new Help("kind: expected a text of at most 200 bytes");
  const refund = refundOf(schema.tables, raw.refund);
  const tokens = of("tokens");
  if (refund && !tokens) throw new Help("tokens: expected what a row costs, a column or a value, since it is refunded");
  if (tokens && "value" in tokens && !(Number.isInteger(tokens.value) && tokens.value >= 0 && tokens.value <= MOST_TOKENS)) throw new Help(`tokens: \`${tokens.value}\`: expected a whole number from 0 to ${MOST_TOKENS}`);
  const id_prefix = raw.id_prefix ?? `${table.name}:`;
  if (typeof id_prefix !== "string" || !/^[^\u0000-\u001f\u007f-\u009f~]{1,60}$/u.test(id_prefix)) throw new Help(`id_prefix: \`${id_prefix}\` can't begin the ids of creations: expected 1 to 60 characters, none of them \`~\` or a control character\n  Give another with --id-prefix.`);
  return {
    table: table.name,
    id_prefix,
    id: { column: key.name, type: typeOf(key) },
    user_id: { ...user_id, type: typeOf(columnOf(table, "user_id", user_id.column)) },
    kind,
    prompt: of("prompt"),
    status: statusOf(table, raw.status),
    tokens: refund ? tokens : null,
    ...Object.fromEntries([...TIMES, "error", "result_url"].map((field) => [field, of(field)])),
    refund,
    refund_failures: Boolean(refund && raw.refund_failures),
  };
}
