// What must hold of several databases after a rehearsal: of each by itself, of all of them together, and between them.

import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { check, integrity, look, rows as read } from "../load/checks.mjs";

/** A sweep has a row in each database that it found something in: together they are one. */
function sweepsOf(lists) {
  const sums = new Map();
  for (const row of lists.flat()) {
    const sum = sums.get(row.id);
    if (!sum) sums.set(row.id, { ...row });
    else for (const key of ["failed", "retried", "rejected", "unreadable", "refunded_tokens"]) sum[key] += row[key];
  }
  return [...sums.values()];
}

/** The rows of all databases, as if they were one. */
function together(each) {
  const all = Object.fromEntries(Object.keys(each[0]).map((table) => [table, each.flatMap((rows) => rows[table])]));
  return { ...all, sweeps: sweepsOf(each.map(({ sweeps }) => sweeps)) };
}

/** Those that come twice. */
function twice(list, key) {
  const seen = new Set();
  return list.filter((row) => seen.has(key(row)) || !seen.add(key(row))).map(key);
}

// A sweep that was killed never ended, and one that met a database that was away says so.
const NOT_HERE = ["each sweep ended, and none was refused a row"];

/** The checks of `load`, and those between databases. `shardOf` says whose a bucket is; `fleet` is asked by number. */
export async function judged({ fleet, count, shardOf, journal, told, limits }) {
  const each = [];
  const checks = [];
  const add = (name, checked, found) => checks.push({ name, checked, found });
  const invariants = [];
  const whole = [];
  for (let at = 0; at < count; at += 1) {
    const all = (...statement) => fleet.all(at, ...statement);
    each.push(await read(all));
    for (const text of await look((statements) => fleet.batch(at, statements))) invariants.push(`DB_${at}: ${text}`);
    for (const text of await integrity(all)) whole.push(`DB_${at}: ${text}`);
  }
  const rows = together(each);
  add("every invariant holds in every database", count, invariants);
  add("every file is whole", count, whole);
  for (const [table, key] of [["creations", ({ id }) => id], ["ledger", ({ entry_key }) => entry_key], ["balances", ({ user_id }) => user_id], ["attempts", ({ creation_id, attempt }) => `${creation_id} ${attempt}`]]) {
    add(`nothing is in two databases: ${table}`, rows[table].length, twice(rows[table], key));
  }
  const misplaced = each.flatMap((one, at) => ["creations", "ledger", "balances"].flatMap((table) => one[table].filter(({ user_id }) => shardOf(bucketOf(user_id)) !== at).map(({ user_id }) => `${table} of ${user_id} in DB_${at}`)));
  add("everybody is where the configuration says", rows.creations.length + rows.ledger.length + rows.balances.length, [...new Set(misplaced)]);
  add("no sweep was refused a row", rows.sweeps.length, rows.sweeps.filter(({ rejected, unreadable }) => rejected > 0 || unreadable > 0).map((row) => JSON.stringify(row)));
  const world = { rows, journal: { lives: journal.lives }, told, limits, held: { endpoint: 0, cron: 0 }, cutPages: Infinity };
  checks.push(...check(world).filter(({ name }) => !NOT_HERE.includes(name)));
  return { checks, each, rows };
}
