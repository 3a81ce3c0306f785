// A SQLite database with the project's migrations, an app's table, and the statements of a sweep, read from where they stand: a copy
// would drift. Whether a creation is stale, these tests say themselves; tests/attach/worker.test.mjs lets the Worker decide.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { attachSql } from "../../pkg/cli/attach/sql.js";

const root = new URL("../../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");
const MIGRATIONS = readdirSync(new URL("migrations/", root)).sort().map((name) => read(`migrations/${name}`));

/** The app of most tests: credits of its own, times as SQLite writes them, an unguarded writer. */
export const SCHEMA = `
CREATE TABLE users (id INTEGER PRIMARY KEY, credits INTEGER NOT NULL);
CREATE TABLE generations (gid INTEGER PRIMARY KEY, uid INTEGER, type TEXT, prompt TEXT, state TEXT, credits_used INTEGER,
  created_at TEXT DEFAULT CURRENT_TIMESTAMP, started_at TEXT, updated_at TEXT, finished_at TEXT, result_url TEXT, error_message TEXT);
`;

export const MAPPING = {
  table: "generations",
  id: { column: "gid", type: "integer" },
  user_id: { column: "uid", type: "integer" },
  kind: { column: "type" },
  prompt: { column: "prompt" },
  status: { column: "state", pending: ["queued"], processing: ["running"], draft: ["succeeded"], published: [], failed: ["error"], timed_out: "error" },
  tokens: { column: "credits_used" },
  created_at: { column: "created_at", unit: "sqlite" },
  started_at: { column: "started_at", unit: "sqlite" },
  heartbeat_at: { column: "updated_at", unit: "sqlite" },
  finished_at: { column: "finished_at", unit: "sqlite" },
  error: { column: "error_message" },
  result_url: { column: "result_url" },
  refund: { table: "users", column: "credits", key: "id" },
  refund_failures: false,
};

/** Two users with credits. */
export const USERS = "INSERT INTO users VALUES (7, 100), (8, 50);";

/** Inserts a row as the app does; gives its id. */
export function queue(app, values = {}, verb = "INSERT") {
  const row = { uid: 7, type: "image", prompt: "a fox", state: "queued", credits_used: 10, ...values };
  const columns = Object.keys(row);
  return Number(app.run(`${verb} INTO generations (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`, ...Object.values(row)).lastInsertRowid);
}

export const row = (app, gid) => app.one("SELECT * FROM generations WHERE gid = ?", gid);

export const pick = (object, ...keys) => Object.fromEntries(keys.map((key) => [key, object[key]]));

/** A constant of the Rust source, as the database gets it: its texts and macros joined, and those within a macro. */
function constant(file, name) {
  const source = read(file);
  const text = (of) => JSON.parse(of.replaceAll("\n", "\\n"));
  const macros = Object.fromEntries([...source.matchAll(/macro_rules! (\w+) \{\s*\(\) => \{([\s\S]*?)\n    \};\n\}/g)].map(([, macro, body]) => [macro, body]));
  const expanded = (body) =>
    [...body.matchAll(/("(?:[^"\\]|\\.)*")|(\w+)!\(\)/g)].map(([, literal, macro]) => (literal ? text(literal) : expanded(macros[macro]))).join("");
  const [, body] = source.match(new RegExp(`const ${name}: &str =([^;]*(?:"(?:[^"\\\\]|\\\\.)*"[^;"]*)*);`));
  return expanded(body);
}
const sweepSql = (name) => constant("src/store/sweep.rs", name);
const reportSql = (name) => constant("src/store/creations.rs", name);

export const HOUR = 3_600_000;

/** Opens a database; `schema` is the app's, `mapping` is attached unless it is null. */
export function open({ schema = SCHEMA, mapping = MAPPING, before = "" } = {}) {
  const db = new DatabaseSync(":memory:");
  // As D1 has it.
  db.exec("PRAGMA foreign_keys = ON");
  for (const sql of MIGRATIONS) db.exec(sql);
  db.exec(schema);
  db.exec(before);
  const { up, down } = mapping ? attachSql(mapping) : {};
  const app = {
    db,
    up,
    down,
    exec: (sql) => db.exec(sql),
    run: (sql, ...values) => db.prepare(sql).run(...values),
    all: (sql, ...values) => db.prepare(sql).all(...values).map((row) => ({ ...row })),
    one: (sql, ...values) => ({ ...db.prepare(sql).get(...values) }),
    creation: (id) => {
      const row = db.prepare("SELECT * FROM stale_drafts_creations WHERE id = ?").get(String(id).includes(":") ? id : `generations:${id}`);
      return row && { ...row };
    },
    credits: (id) => db.prepare("SELECT credits FROM users WHERE id = ?").get(id)?.credits,
    /** The balances that our ledger adds up to, and has. */
    balance: (user) => db.prepare("SELECT tokens FROM stale_drafts_balances WHERE user_id = ?").get(String(user))?.tokens ?? 0,
    schema: () => db.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").all().map((row) => ({ ...row })),
    attach: () => db.exec(up),
    detach: () => db.exec(down),
    sweep: (options) => sweep(db, options),
    restore: (id, at = Date.now()) => transaction(db, () => ["RECORD_FAILURE", "RESTORE"].forEach((name) => db.prepare(reportSql(name)).all(...(name === "RESTORE" ? [`generations:${id}`, at, 0] : [`generations:${id}`, at])))),
    /** Every query of tests/invariants.sql; none may give a row. */
    check() {
      for (const query of read("tests/invariants.sql").split(/^-- name: /m).slice(1)) {
        const [promise] = query.split("\n", 1);
        assert.deepEqual(db.prepare(query.slice(promise.length)).all(), [], promise);
      }
    },
  };
  if (mapping) app.attach();
  return app;
}

/** One transaction: all of it or nothing, as D1's batch. */
export function transaction(db, work) {
  db.exec("BEGIN");
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    db.exec("ROLLBACK");
    throw error;
  }
}

let sweeps = 0;

/** What a sweep's transaction writes of the active creations that `where` names: they are taken to be stale. Gives how many it did. */
function sweep(db, { where = "true", retry = false, now = Date.now(), limit = 1_000 } = {}) {
  const sweep_id = `sweep-${String((sweeps += 1)).padStart(9, "0")}`;
  const plan = db
    .prepare(`SELECT id, status, attempt, last_sign_of_life, phase, processing_since, kind, tokens, rowid FROM stale_drafts_creations
      WHERE status IN ('pending', 'processing') AND last_sign_of_life IS NOT NULL AND (${where}) ORDER BY rowid LIMIT ?`)
    .all(limit)
    .map((row) => ({ ...row, error: `Generation timeout: Task stuck in ${row.status} status for 2.0 hours`, age_ms: 2 * HOUR, max_age_ms: HOUR, rule: "max_age_hours", lag: 0 }));
  const rows = JSON.stringify(plan);
  const [what, tokens] = retry ? ["retried", 0] : ["failed", plan.reduce((sum, row) => sum + row.tokens, 0)];
  const counted = JSON.stringify(plan.map((row) => [what, row.kind, row.status, row.rule, 1, retry ? 0 : row.tokens, 1, 0, 0, 0, 0, 0, row.age_ms - row.max_age_ms]));
  const start = [sweep_id, "cron", null, null, now, rows, plan.length];
  const end = [plan.length, 0, 0, 0, 1, counted, 0];
  return transaction(db, () => {
    const run = (name, ...values) => db.prepare(sweepSql(name)).all(...values);
    if (retry) {
      run("RECORD_ATTEMPTS", rows, now, sweep_id);
      run("RETRY", rows, now, 0);
      run("COUNT_RETRIED", ...start, ...end);
    } else {
      run("CREDIT_BALANCES", rows);
      run("MARK_FAILED", rows, now, sweep_id, 0);
      run("COUNT_FAILED", ...start, tokens, ...end);
    }
    return db.prepare("SELECT failed, retried, raced, refunded_tokens FROM stale_drafts_sweeps WHERE id = ?").get(sweep_id);
  });
}
