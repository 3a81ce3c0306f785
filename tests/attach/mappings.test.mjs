// Every unit, every way to refund, and the names that tables and columns can have.

import assert from "node:assert/strict";
import { test } from "node:test";
import { faultOf } from "../../pkg/cli/attach/statement.js";
import { MAPPING, SCHEMA, USERS, open, pick, queue, row, transaction } from "./database.mjs";

const AT = Date.UTC(2026, 10, 28, 4, 5, 6);
const UNITS = {
  ms: { declared: "INTEGER", values: [[AT + 123, AT + 123], [null, null], ["yesterday", "yesterday"], [AT / 1_000, AT / 1_000]], written: (ms) => ms },
  s: { declared: "INTEGER", values: [[AT / 1_000, AT], [AT / 1_000 + 0.5, AT + 500], [null, null], ["yesterday", "yesterday"]], written: (ms) => Math.floor(ms / 1_000) },
  iso: {
    declared: "TEXT",
    values: [["2026-11-28T04:05:06.123Z", AT + 123], ["2026-11-28T06:05:06+02:00", AT], ["2026-11-28T04:05:06.001", AT + 1], ["2026-11-28 04:05:06", AT], [null, null], ["28.11.2026", "28.11.2026"], ["", ""]],
    written: (ms) => new Date(ms).toISOString(),
  },
  sqlite: { declared: "TEXT", values: [["2026-11-28 04:05:06", AT], ["2026-11-28", Date.UTC(2026, 10, 28)], [null, null], ["soon", "soon"]], written: (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ") },
};
for (const [unit, { declared, values, written }] of Object.entries(UNITS)) {
  test(`times in ${unit}: read to the millisecond, written back, and shown where they can't be read`, () => {
    const schema = SCHEMA.replaceAll(/(created|started|updated|finished)_at TEXT( DEFAULT CURRENT_TIMESTAMP)?/g, `$1_at ${declared}`);
    const timed = Object.fromEntries(["created_at", "started_at", "heartbeat_at", "finished_at"].map((field) => [field, { ...MAPPING[field], unit }]));
    const app = open({ schema, mapping: { ...MAPPING, ...timed }, before: USERS });
    for (const [value, expected] of values) {
      const gid = queue(app, { state: "running", created_at: value, started_at: value });
      const { created_at, started_at, last_sign_of_life } = app.creation(gid);
      if (expected === null) assert.ok(created_at > AT && started_at > AT, "a new row without a time is of now");
      else assert.deepEqual([created_at, started_at], [expected, expected], String(value));
      if (typeof expected !== "number" || expected < 1e12) assert.equal(last_sign_of_life, expected === null ? Math.max(created_at, started_at) : null, String(value));
    }
    const gid = queue(app);
    app.sweep({ where: `id = 'generations:${gid}'`, now: AT + 987 });
    assert.equal(row(app, gid).finished_at, written(AT + 987));
    app.check();
  });
}

test("a table without times, prompt, error, tokens or result: what there is is enough", () => {
  const app = open({
    schema: "CREATE TABLE jobs (id TEXT PRIMARY KEY, owner TEXT, state TEXT)",
    mapping: {
      table: "jobs",
      id: { column: "id", type: "text" },
      user_id: { column: "owner", type: "text" },
      kind: { value: "it's a video" },
      prompt: null,
      status: { column: "state", pending: [], processing: ["busy"], draft: ["done"], published: [], failed: ["dead"], timed_out: "dead" },
      tokens: null,
      refund: null,
    },
  });
  app.run("INSERT INTO jobs VALUES ('j1', 'ada', 'busy')");
  assert.deepEqual(pick(app.creation("jobs:j1"), "user_id", "kind", "prompt", "status", "tokens"), { user_id: "ada", kind: "it's a video", prompt: "", status: "processing", tokens: 0 });
  assert.throws(() => app.sweep({ retry: true }), /the table jobs has no status for a further attempt/);
  app.sweep();
  assert.equal(app.one("SELECT state FROM jobs").state, "dead");
  app.run("UPDATE jobs SET state = 'done'");
  assert.equal(app.one("SELECT state FROM jobs").state, "dead");
  assert.equal(app.all("SELECT * FROM stale_drafts_ledger").length, 0);
  app.check();
});

test("several words, a published one, and numbers as words", () => {
  const app = open({
    schema: "CREATE TABLE jobs (id INTEGER PRIMARY KEY, owner INTEGER, state INTEGER NOT NULL)",
    mapping: {
      table: "jobs",
      id: { column: "id", type: "integer" },
      user_id: { column: "owner", type: "integer" },
      kind: { value: "image" },
      status: { column: "state", pending: [0, 1], processing: [2], draft: [3], published: [4], failed: [8, 9], timed_out: 9 },
    },
  });
  app.exec("INSERT INTO jobs VALUES (1, 7, 0), (2, 7, 1), (3, 7, 4)");
  assert.equal(app.creation("jobs:3"), undefined);
  app.exec("UPDATE jobs SET state = 4 WHERE id = 1");
  assert.equal(app.creation("jobs:1").status, "published");
  app.exec("UPDATE jobs SET state = 3 WHERE id = 2");
  assert.equal(app.creation("jobs:2").status, "draft");
  // Published on our page.
  app.exec("UPDATE stale_drafts_creations SET status = 'published' WHERE id = 'jobs:2'");
  assert.equal(app.one("SELECT state FROM jobs WHERE id = 2").state, 4);
  app.exec("INSERT INTO jobs VALUES (4, 7, 1)");
  app.sweep();
  assert.deepEqual(app.one("SELECT state, typeof(state) AS type FROM jobs WHERE id = 4"), { state: 9, type: "integer" });
  app.check();
});

test("refunds by a statement of the team's own", () => {
  const schema = `${SCHEMA} CREATE TABLE credit_log (user_id INTEGER NOT NULL, delta INTEGER NOT NULL, reason TEXT UNIQUE);`;
  const sql = "INSERT INTO credit_log (user_id, delta, reason) VALUES (:user_id, :tokens, 'refund:' || :id || ' :tokens') -- :nothing";
  const app = open({ schema, mapping: { ...MAPPING, refund: { sql } }, before: USERS });
  const gid = queue(app);
  app.sweep();
  assert.deepEqual(app.all("SELECT * FROM credit_log"), [{ user_id: 7, delta: 10, reason: "refund:1 :tokens" }]);
  app.run("UPDATE generations SET state = 'succeeded' WHERE gid = ?", gid);
  assert.throws(() => app.restore(gid), /nothing says how generations charges again for a restored result: expected attach with --charge-sql/);
  app.check();

  const both = open({ schema, mapping: { ...MAPPING, refund: { sql, charge_sql: "INSERT INTO credit_log VALUES (:user_id, -:tokens, 'charge:' || :id)" } }, before: USERS });
  queue(both);
  both.sweep();
  both.run("UPDATE generations SET state = 'succeeded'");
  both.restore(1);
  assert.equal(both.one("SELECT sum(delta) AS sum FROM credit_log").sum, 0);
  both.check();

  const nobody = open({ mapping: { ...MAPPING, refund: { sql: "UPDATE users SET credits = credits + :tokens WHERE id = :user_id" } }, before: USERS });
  queue(nobody, { uid: 9 });
  assert.throws(() => nobody.sweep(), /the refund statement of generations has changed no row/);
  nobody.check();
});

test("what can't stand in a trigger is no statement for a refund", () => {
  const fault = (sql) => faultOf(sql);
  assert.equal(fault("UPDATE users SET credits = credits + :tokens WHERE id = :user_id;"), undefined);
  assert.equal(fault("update users set x = ';' || :tokens /* ; :y */"), undefined);
  assert.match(fault(" ; "), /it is empty/);
  assert.match(fault("UPDATE a SET b = :tokens; DELETE FROM c"), /more than one statement/);
  assert.match(fault("SELECT :tokens"), /begins with `SELECT`: expected UPDATE or INSERT/);
  assert.match(fault("WITH x AS (SELECT 1) UPDATE a SET b = :tokens"), /begins with `WITH`/);
  assert.match(fault("UPDATE a SET b = b + :token"), /placeholder `:token`: expected :user_id, :tokens or :id/);
  assert.match(fault("UPDATE a SET b = ?1 + :tokens"), /placeholder `\?1`/);
  assert.match(fault("UPDATE a SET b = b + 10 WHERE id = :user_id"), /it has no :tokens/);
  assert.match(fault("UPDATE a SET b = :tokens RETURNING b"), /RETURNING/);
});

test("an error column and a start that can't be NULL", () => {
  const schema = SCHEMA.replace("error_message TEXT", "error_message TEXT NOT NULL DEFAULT ''").replace("started_at TEXT", "started_at TEXT NOT NULL DEFAULT ''");
  const app = open({ schema, mapping: { ...MAPPING, error: { ...MAPPING.error, required: true }, started_at: { ...MAPPING.started_at, required: true } }, before: USERS });
  queue(app, { state: "running", started_at: "2026-01-01 00:00:00" });
  app.sweep({ retry: true });
  assert.deepEqual(pick(row(app, 1), "state", "started_at"), { state: "queued", started_at: "2026-01-01 00:00:00" });
  app.sweep();
  app.run("UPDATE generations SET state = 'succeeded'");
  app.restore(1);
  assert.deepEqual(pick(row(app, 1), "state", "error_message"), { state: "succeeded", error_message: "" });
  app.check();
});

const HOSTILE = ["order", "select", "a b", "it's", 'say "hi"', "tab\tle", "[x]", "`y`", "Ünïcode 🦊", "a;b", "--c", "/*d", "%e_", "x:y", "z~z", "1st", "id", "status"];
for (const table of HOSTILE) {
  test(`a table and columns called ${JSON.stringify(table)}`, () => {
    const q = (text) => `"${text.replaceAll('"', '""')}"`;
    const at = (what) => `${table} ${what}`;
    // Names of ours, too: the id's column is called `id`, the status's is the hostile one.
    const schema = `CREATE TABLE ${q(table)} (id TEXT PRIMARY KEY, ${q(at("owner"))} TEXT, ${q(table === "id" ? "status" : table)} TEXT, ${q(at("tokens"))} INTEGER, ${q(at("error"))} TEXT, created_at INTEGER) WITHOUT ROWID;
      CREATE TABLE ${q(at("users"))} (${q(at("key"))} TEXT PRIMARY KEY, ${q(at("credits"))} INTEGER);`;
    const status = table === "id" ? "status" : table;
    const id_prefix = "\t" === table[3] ? "table:" : undefined;
    const app = open({
      schema,
      mapping: {
        table,
        id_prefix,
        id: { column: "id", type: "text" },
        user_id: { column: at("owner"), type: "text" },
        kind: { value: "image" },
        status: { column: status, pending: ["que'ued"], processing: ["running"], draft: ["done"], failed: ['"error"'], timed_out: '"error"' },
        tokens: { column: at("tokens") },
        error: { column: at("error") },
        created_at: { column: "created_at", unit: "ms" },
        refund: { table: at("users"), column: at("credits"), key: at("key") },
      },
    });
    const before = app.schema().filter(({ name }) => !name.startsWith("stale_drafts_attach_"));
    app.exec(`INSERT INTO ${q(at("users"))} VALUES ('ada', 0)`);
    app.run(`INSERT INTO ${q(table)} VALUES ('a1', 'ada', 'que''ued', 10, NULL, 1700000000000), ('a2', 'ada', 'que''ued', 10, NULL, 1700000000000)`);
    app.run(`UPDATE ${q(table)} SET ${q(status)} = 'done' WHERE id = 'a2'`);
    assert.deepEqual({ ...app.sweep() }, { failed: 1, retried: 0, raced: 0, refunded_tokens: 10 });
    app.run(`UPDATE ${q(table)} SET ${q(status)} = 'done' WHERE id = 'a1'`);
    assert.deepEqual(app.all(`SELECT id, ${q(status)} AS status FROM ${q(table)}`), [{ id: "a1", status: '"error"' }, { id: "a2", status: "done" }]);
    assert.equal(app.one(`SELECT ${q(at("credits"))} AS credits FROM ${q(at("users"))}`).credits, 10);
    app.check();
    app.detach();
    assert.deepEqual(app.schema(), before);
  });
}

test("STRICT tables, generated columns, and triggers of the app's own", () => {
  const schema = `CREATE TABLE users (id INTEGER PRIMARY KEY, credits INTEGER NOT NULL) STRICT;
    CREATE TABLE log (what TEXT);
    CREATE TABLE generations (gid INTEGER PRIMARY KEY AUTOINCREMENT, uid INTEGER NOT NULL, type TEXT, prompt TEXT, state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'error')), credits_used INTEGER NOT NULL,
      created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, started_at TEXT, updated_at TEXT, finished_at TEXT, result_url TEXT, error_message TEXT,
      shown TEXT GENERATED ALWAYS AS (upper(state)) STORED) STRICT;
    CREATE TRIGGER touch AFTER UPDATE ON generations WHEN NEW.updated_at IS OLD.updated_at BEGIN UPDATE generations SET updated_at = '2100-01-01 00:00:00' WHERE gid = NEW.gid; END;
    CREATE TRIGGER note AFTER UPDATE OF credits ON users BEGIN INSERT INTO log VALUES ('credits ' || NEW.credits); END;`;
  const app = open({ schema, before: USERS });
  const gid = queue(app);
  app.run("UPDATE generations SET state = 'running' WHERE gid = ?", gid);
  app.sweep();
  assert.deepEqual(pick(row(app, gid), "state", "shown"), { state: "error", shown: "ERROR" });
  assert.deepEqual(app.all("SELECT * FROM log"), [{ what: "credits 110" }]);
  app.run("UPDATE generations SET state = 'succeeded' WHERE gid = ?", gid);
  assert.equal(row(app, gid).state, "error");
  app.check();
});

test("two tables with the same ids", () => {
  const app = open({ before: USERS });
  const { attach: _, ...other } = open({ schema: SCHEMA.replaceAll("generations", "videos"), mapping: { ...MAPPING, table: "videos" } });
  app.exec(SCHEMA.replace(/CREATE TABLE users[^;]*;/, "").replaceAll("generations", "videos"));
  app.exec(other.up);
  queue(app);
  app.exec("INSERT INTO videos (uid, type, state, credits_used) VALUES (8, 'video', 'queued', 7)");
  app.sweep();
  assert.deepEqual([app.credits(7), app.credits(8)], [110, 57]);
  app.exec(other.down);
  queue(app);
  app.sweep();
  assert.equal(app.credits(7), 120);
  app.check();
});

test("with recursive triggers on, nothing loops either", () => {
  const app = open({ before: `PRAGMA recursive_triggers = ON; ${USERS}` });
  const gid = queue(app);
  queue(app, { gid, state: "running" }, "REPLACE");
  app.sweep();
  app.run("UPDATE generations SET state = 'succeeded' WHERE gid = ?", gid);
  assert.equal(row(app, gid).state, "error");
  app.check();
});

test("the app's own migrations: columns and the table are renamed on, and what the mapping needs can't go unseen", () => {
  const rename = open({ before: USERS });
  const gid = queue(rename);
  rename.exec("ALTER TABLE generations ADD COLUMN title TEXT; ALTER TABLE generations RENAME COLUMN state TO status; ALTER TABLE generations RENAME TO works; ALTER TABLE works DROP COLUMN title");
  rename.sweep();
  assert.equal(rename.one("SELECT status FROM works WHERE gid = ?", gid).status, "error");
  rename.check();
  const app = open({ before: USERS });
  queue(app);
  assert.throws(() => app.exec("ALTER TABLE generations DROP COLUMN prompt"), /error in view stale_drafts_attach_generations/);
  // Made anew, as ORMs do it: the last step is refused, and with it the whole migration.
  const anew = "CREATE TABLE anew AS SELECT * FROM generations; DROP TABLE generations; ALTER TABLE anew RENAME TO generations;";
  assert.throws(() => transaction(app.db, () => app.exec(anew)), /no such table: main\.generations/);
  assert.equal(app.sweep().failed, 1);
  app.detach();
  transaction(app.db, () => app.exec(anew));
  app.check();
});
