// How many bytes the ledger of archived creations has, and how many are left when it is compacted: the figures of docs/retention.md.
//
// 100,000 creations of 1,000 users over 12 months, three in a hundred of which failed, in SQLite with the real migrations. The ids are
// those of the Worker: UUIDs that begin with their time, or are random where they come of an `Idempotency-Key`.
//
//   node scripts/bench-compaction.mjs [creations] [users] [months]

import { readFileSync, readdirSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

const [creations = 100_000, users = 1_000, months = 12] = process.argv.slice(2).map(Number);
const MIGRATIONS = new URL("../migrations/", import.meta.url);
const BEGIN = Date.UTC(2025, 0);
const SPAN = Date.UTC(2025, months) - BEGIN;
const TABLES = ["stale_drafts_ledger", "stale_drafts_carries", "stale_drafts_compacted_creations", "stale_drafts_compacted_users"];

/** A random hexadecimal text, the same in each run. */
let seed = 1n;
const random = (digits) => {
  let text = "";
  while (text.length < digits) {
    seed = (seed * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) & 0xffff_ffff_ffff_ffffn;
    text += (seed >> 32n).toString(16).padStart(8, "0");
  }
  return text.slice(0, digits);
};
const uuid = (head) => {
  const hex = `${head}8${random(3)}a${random(15)}`;
  return [0, 8, 12, 16, 20, 32].slice(1).map((end, at) => hex.slice([0, 8, 12, 16, 20][at], end)).join("-");
};

function measure(name, id) {
  const database = new DatabaseSync(":memory:");
  for (const file of readdirSync(MIGRATIONS).sort()) database.exec(readFileSync(new URL(file, MIGRATIONS), "utf8"));
  const bytes = () => {
    const list = TABLES.map((table) => `'${table}', 'sqlite_autoindex_${table}_1'`).join(", ");
    return database.prepare(`SELECT sum(pgsize) AS bytes FROM dbstat WHERE name IN (${list}) AND aggregate = 1`).get().bytes;
  };
  const rows = () => database.prepare("SELECT count(*) AS rows FROM stale_drafts_ledger").get().rows;
  database.exec("BEGIN");
  const grant = database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 1000000, 0)");
  for (let at = 0; at < users; at += 1) grant.run(`user-${at}`);
  const [grants, without] = [rows(), bytes()];
  const insert = database.prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES (?, ?, 'image', '', 'processing', 10, ?)");
  const fail = database.prepare("UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 60000, error = 'broken' WHERE id = ?");
  for (let at = 0; at < creations; at += 1) {
    const created = BEGIN + Math.floor((at * SPAN) / creations);
    const key = id(created);
    insert.run(key, `user-${(at * 7_919) % users}`, created);
    if (at % 100 < 3) fail.run(key);
  }
  database.exec(`INSERT INTO stale_drafts_archiving VALUES (1, '', '');
    UPDATE stale_drafts_creations SET status = 'draft' WHERE status = 'processing';
    DELETE FROM stale_drafts_creations; DELETE FROM stale_drafts_archiving; COMMIT`);
  const [entries, before] = [rows() - grants, bytes() - without];
  database.exec(`INSERT INTO stale_drafts_compacting
    SELECT 'carry:' || user_id || ':' || strftime('%Y-%m', created_at / 1000, 'unixepoch') AS carry, user_id,
      CAST(strftime('%s', created_at / 1000, 'unixepoch', 'start of month') AS INTEGER) * 1000, json_group_array(entry_key)
    FROM stale_drafts_ledger WHERE creation_id IS NOT NULL GROUP BY carry`);
  const carries = rows() - grants;
  // D1 fills pages that became empty again, but a file that was just compacted has them half full: this packs them.
  const loose = bytes() - without;
  database.exec("VACUUM");
  const after = bytes() - without;
  const each = (total) => (total / creations).toFixed(0);
  console.log(`| ${[name, entries, carries, each(before), each(loose), each(after), `${Math.round(100 - (after * 100) / before)} %`].join(" | ")} |`);
}

console.log("| ids | entries | sums | bytes a creation, before | after | packed | less by |\n|---|---|---|---|---|---|---|");
measure("with their time", (at) => uuid(at.toString(16).padStart(12, "0")));
measure("of an `Idempotency-Key`", () => uuid(random(12)));
measure("an app's own, 12 characters", () => random(12));
