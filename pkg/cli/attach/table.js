// The app's tables as the database describes them, and what can't be attached.

import { Help } from "../lib/help.js";
import { suggestion } from "../lib/args.js";
import { wrap } from "../lib/terminal.js";
import { name, prefix, text } from "./names.js";

const own = (table) => /^(sqlite_|_cf_|stale_drafts_|d1_migrations$)/i.test(table);

/** What SQLite makes of a declared type. */
export function affinity(type) {
  const declared = type.toUpperCase();
  if (/INT/.test(declared)) return "integer";
  if (/CHAR|CLOB|TEXT/.test(declared)) return "text";
  if (declared === "" || declared === "ANY" || /BLOB/.test(declared)) return "blob";
  return /REAL|FLOA|DOUB/.test(declared) ? "real" : "numeric";
}

const TABLES_AT_ONCE = 80;

/** Reads what there is: `{ objects, tables }`, each table with its columns, unique keys and references. */
export async function read(source) {
  const [objects] = await source.query(["SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'"]);
  const names = objects.filter(({ type, name: table }) => type === "table" && !own(table)).map(({ name: table }) => table);
  const rows = [];
  // A command line has an end.
  for (let at = 0; at < names.length; at += TABLES_AT_ONCE) rows.push(...(await source.query(names.slice(at, at + TABLES_AT_ONCE).flatMap(describe))));
  const tables = names.map((table, index) => {
    const [columns, indexes, references] = rows.slice(index * 3, index * 3 + 3);
    const unique = [...groups(indexes).values()].filter((parts) => parts.length === 1).map(([part]) => part.column);
    const key = columns.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
    if (key.length === 1) unique.push(key[0].name);
    return { name: table, sql: objects.find((object) => object.type === "table" && object.name === table).sql, columns: columns.filter(({ hidden }) => hidden !== 1), key, unique, references };
  });
  return { objects, tables };
}

const describe = (table) => [
  `SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(${text(table)})`,
  `SELECT l.name AS name, i.name AS column FROM pragma_index_list(${text(table)}) AS l JOIN pragma_index_info(l.name) AS i WHERE l."unique" AND NOT l.partial`,
  `SELECT "table", "from", "to" FROM pragma_foreign_key_list(${text(table)})`,
];

/** Rows by the index that they are of. */
function groups(rows) {
  const found = new Map();
  for (const row of rows) found.set(row.name, [...(found.get(row.name) ?? []), row]);
  return found;
}

/** The table to attach; what can't be attached is refused with the reason. */
export function pick({ objects, tables }, wanted, where) {
  const of = (type) => objects.find((object) => object.type === type && object.name.toLowerCase() === wanted.toLowerCase());
  if (/^stale_drafts_/i.test(wanted)) throw new Help(`\`${wanted}\` is a table of Stale Drafts: expected one of your own`);
  if (/^(sqlite_|_cf_)/i.test(wanted)) throw new Help(`\`${wanted}\` is a table of the database itself: expected one of your own`);
  if (of("view")) throw new Help(`\`${wanted}\` is a view: triggers can't follow it. Attach the table that it shows.`);
  const table = tables.find(({ name: table }) => table.toLowerCase() === wanted.toLowerCase());
  if (!table) {
    const names = tables.map(({ name: table }) => table);
    throw new Help(`there is no table \`${wanted}\` in ${where}${suggestion(wanted, names)}\n${wrap(names.length > 0 ? `It has ${names.map((table) => `\`${table}\``).join(", ")}.` : "It has none. A local database is made by your migrations; --remote reads the deployed one.", { indent: "  " })}`);
  }
  if (/^\s*CREATE\s+VIRTUAL/i.test(table.sql)) throw new Help(`\`${table.name}\` is a virtual table: it can't have triggers`);
  if (table.key.length === 0) throw new Help(`\`${table.name}\` has no primary key: a row could not be found again.\n  Give it one, as in id INTEGER PRIMARY KEY.`);
  if (table.key.length > 1) throw new Help(`\`${table.name}\` has a primary key of ${table.key.length} columns (${table.key.map(({ name: column }) => `\`${column}\``).join(", ")}): expected one column`);
  const [{ name: column, type }] = table.key;
  if (["blob", "real"].includes(affinity(type))) throw new Help(`the primary key \`${column}\` of \`${table.name}\` is declared \`${type}\`: expected an integer or a text`);
  return table;
}

/** Whether the table is attached already. */
export const isAttached = ({ objects }, table) => objects.some(({ type, name: object }) => type === "view" && object === prefix(table));

/** A table whose creations' ids begin so that they could be taken for those of this one, or the other way round. */
export function rival({ objects }, prefix) {
  for (const { type, tbl_name, sql } of objects) {
    const [, quoted] = (type === "trigger" && tbl_name === "stale_drafts_creations" && sql.match(/^CREATE TRIGGER "stale_drafts_attach_.*substr\(NEW\.id, 1, \d+\) = '((?:[^']|'')*)'/s)) || [];
    const other = quoted?.replaceAll("''", "'");
    if (other && (other.startsWith(prefix) || prefix.startsWith(other))) return other;
  }
  return undefined;
}

/** Rows to guess from: the words of a column with how many rows have each, and the newest values of others. */
export async function sample(source, table, { status, times }) {
  const from = `(SELECT * FROM ${name(table.name)} ORDER BY ${name(table.key[0].name)} DESC LIMIT 10000)`;
  const statements = [
    `SELECT word, count(*) AS rows FROM (SELECT ${name(status)} AS word FROM ${from}) GROUP BY word ORDER BY rows DESC LIMIT 50`,
    ...times.map((column) => `SELECT ${name(column)} AS value FROM (SELECT ${name(column)} FROM ${from}) WHERE ${name(column)} IS NOT NULL LIMIT 20`),
  ];
  const [words, ...values] = await source.query(statements);
  return { words, values: new Map(times.map((column, index) => [column, values[index].map(({ value }) => value)])) };
}
