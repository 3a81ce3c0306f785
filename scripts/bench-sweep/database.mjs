// The databases: as many creations as asked for, of 5,000 owners, each with its charge in the ledger, 2,000 of them being generated
// right now. Filled in bulk, with the indexes and triggers made afterwards, and then copied, so that each contender begins with the same.

import { copyFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

export const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;
export const LIVING = 2_000;
const OWNERS = 5_000;

/** What a team would write for itself: the same columns, no more indexes than its own sweep needs. */
export const PLAIN = [
  "CREATE TABLE stale_drafts_creations (id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL, kind TEXT NOT NULL, prompt TEXT NOT NULL, status TEXT NOT NULL, tokens INTEGER NOT NULL, created_at INTEGER, started_at INTEGER, heartbeat_at INTEGER, finished_at INTEGER, error TEXT, error_code TEXT, last_sign_of_life INTEGER GENERATED ALWAYS AS (max(created_at, ifnull(started_at, 0), ifnull(heartbeat_at, 0))) VIRTUAL)",
  "CREATE TABLE stale_drafts_balances (user_id TEXT NOT NULL PRIMARY KEY, tokens INTEGER NOT NULL) WITHOUT ROWID",
  "CREATE TABLE stale_drafts_ledger (entry_key TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL, type TEXT NOT NULL, creation_id TEXT, tokens INTEGER NOT NULL, created_at INTEGER NOT NULL) WITHOUT ROWID",
  "CREATE INDEX stale_drafts_creations_of_user ON stale_drafts_creations (user_id, created_at)",
];
export const NAIVE = ["CREATE INDEX creations_by_status ON stale_drafts_creations (status)"];
export const SET_BASED = [
  "CREATE INDEX stale_drafts_creations_active ON stale_drafts_creations (last_sign_of_life) WHERE status IN ('pending', 'processing')",
  `CREATE TRIGGER stale_drafts_creations_are_refunded AFTER UPDATE OF status ON stale_drafts_creations WHEN NEW.status = 'failed' AND OLD.status <> 'failed' BEGIN
     INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at) VALUES ('refund:' || NEW.id, NEW.user_id, 'refund', NEW.id, NEW.tokens, NEW.finished_at);
     UPDATE stale_drafts_balances SET tokens = tokens + NEW.tokens WHERE user_id = NEW.user_id;
   END`,
];

/** Where a runtime keeps its database below a folder. */
function file(folder) {
  const inner = join(folder, "miniflare-D1DatabaseObject");
  return join(inner, readdirSync(inner).find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)));
}

const open = (folder) => {
  const database = new DatabaseSync(file(folder));
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF");
  return database;
};

/** Runs `fill` without triggers and, if `sorted`, without indexes; they are made anew afterwards. */
function bulk(database, sorted, fill) {
  const list = database.prepare("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('trigger', 'index')").all();
  const away = list.filter(({ type }) => type === "trigger" || sorted);
  for (const { type, name } of away) database.exec(`DROP ${type} ${name}`);
  database.exec("BEGIN");
  fill();
  database.exec("COMMIT");
  for (const { sql } of away) database.exec(sql);
}

function insert(database, { prefix, count, owners, age, status, tokens = 10 }) {
  database.prepare(
    `INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
     WITH RECURSIVE n (at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM n WHERE at + 1 < ?1)
     SELECT ?2 || printf('%010d', at), 'user-' || CAST(at * 7919 % ?3 AS INTEGER), iif(at % 3 = 0, 'video', 'image'), 'a lighthouse in a storm, as a watercolour', ?4, ?5, CAST(?6 - at % ?7 AS INTEGER) FROM n`,
  ).run(count, prefix, owners, status, tokens, NOW - age.from, Math.max(1, age.from === age.to ? 1 : age.to - age.from));
  database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at) SELECT 'charge:' || id, user_id, 'charge', id, -tokens, created_at FROM stale_drafts_creations WHERE id >= ?1 AND id < ?1 || 'z' ORDER BY id").run(prefix);
}

/** Settled creations and the living ones, in the migrated database below `folder`. */
export function fillBase(folder, count) {
  const database = open(folder);
  bulk(database, true, () => {
    database.prepare("INSERT INTO stale_drafts_balances (user_id, tokens) WITH RECURSIVE n (at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM n WHERE at + 1 < ?1) SELECT 'user-' || at, 0 FROM n ORDER BY 1").run(OWNERS);
    insert(database, { prefix: "a", count, owners: OWNERS, age: { from: 2 * HOUR, to: 200 * HOUR }, status: "draft" });
    // Asked for within the last half hour.
    insert(database, { prefix: "b", count: LIVING, owners: OWNERS, age: { from: 0, to: HOUR / 2 }, status: "pending" });
    // What everybody was granted: the cost of all that they asked for.
    database.exec(`INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) SELECT 'grant:' || user_id, user_id, 'grant', -sum(tokens), 0 FROM stale_drafts_ledger GROUP BY user_id`);
  });
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
}

/** A copy of the base with stale creations added, each an instant older than the one before it, and with `further` statements. */
export function fillStale(base, folder, { count, owners = OWNERS, further = [], living = 0 }) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "miniflare-D1DatabaseObject"), { recursive: true });
  for (const name of readdirSync(join(base, "miniflare-D1DatabaseObject"))) {
    copyFileSync(join(base, "miniflare-D1DatabaseObject", name), join(folder, "miniflare-D1DatabaseObject", name));
  }
  const database = open(folder);
  bulk(database, false, () => {
    if (living > 0) insert(database, { prefix: "l", count: living, owners: OWNERS, age: { from: 0, to: HOUR / 2 }, status: "pending" });
    if (count > 0) insert(database, { prefix: "s", count, owners, age: { from: HOUR + 1, to: 3 * HOUR }, status: "pending" });
    // What they cost was granted beforehand.
    database.exec("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) SELECT 'grant:later:' || user_id, user_id, 'grant', -sum(tokens), 0 FROM stale_drafts_ledger WHERE type = 'charge' AND creation_id >= 'l' GROUP BY user_id");
  });
  for (const sql of further) database.exec(sql);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
}

/** What stands afterwards: how many are failed, how many refunded, and whether every balance is the sum of its ledger. */
export function audit(folder) {
  const database = open(folder);
  const value = (sql) => Object.values(database.prepare(sql).get())[0];
  const found = {
    failed: value("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"),
    refunded: value("SELECT count(*) FROM stale_drafts_ledger WHERE type = 'refund'"),
    wrong: value("SELECT count(*) FROM (SELECT user_id, sum(tokens) AS sum FROM stale_drafts_ledger GROUP BY user_id) FULL JOIN stale_drafts_balances USING (user_id) WHERE ifnull(sum, 0) <> ifnull(tokens, 0)"),
  };
  database.close();
  return found;
}
