// `stale-drafts attach`: what it guesses, asks, refuses and writes. The last test runs it in a project, with its wrangler.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { attach } from "../../pkg/cli/attach/index.js";
import { binding } from "../../pkg/cli/attach/database.js";
import { migrationsFolder } from "../../pkg/cli/attach/files.js";
import { SCHEMA } from "./database.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

function folder(t, files = {}) {
  const path = mkdtempSync(join(tmpdir(), "attach-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

/** Runs the command; with `answers` on a terminal. Gives what it printed and its exit code. */
async function run(cwd, argv, answers) {
  let output = "";
  const stdout = new PassThrough().setMaxListeners(0);
  const stdin = new PassThrough().setMaxListeners(0);
  const rest = [...(answers ?? [])];
  stdout.on("data", (text) => {
    output += text;
    // A question ends without a line break.
    if (answers && /(: |change: |\[y\/N\] )$/.test(String(text))) {
      // Whoever answers ends the line.
      output += "\n";
      stdin.write(`${rest.length > 0 ? rest.shift() : ""}\n`);
    }
  });
  const io = { stdin, stdout, stderr: stdout, env: { ...process.env, NO_COLOR: "1" }, cwd, isTTY: answers !== undefined };
  try {
    const code = await attach(argv, io);
    return { code, output };
  } catch (error) {
    if (error.name !== "Help") throw error;
    return { code: error.code, output: `${output}✗ ${error.message}\n` };
  }
}

const wide = (text) => text.split("\n").filter((line) => line.length > 80 && line.includes(" "));
const refused = async (t, schema, argv, pattern) => {
  const { code, output } = await run(folder(t, { "schema.sql": schema }), [...argv, "--schema", "schema.sql"]);
  assert.match(output.replace(/\s+/g, " "), pattern);
  assert.deepEqual(wide(output), []);
  assert.ok(code > 0);
};

test("without a terminal it lists what is missing, with the guesses as a command", async (t) => {
  const { code, output } = await run(folder(t, { "schema.sql": `${SCHEMA.replace("state TEXT", "state TEXT CHECK (state IN ('queued', 'running', 'succeeded', 'error', 'archived'))")}` }), ["generations", "--schema", "schema.sql", "--kind", "=image"]);
  assert.equal(code, 2);
  assert.match(output, /--user-id uid \\\n {4}--prompt prompt \\\n {4}--status state \\\n {4}--pending queued \\\n/);
  assert.match(output, /--created-at created_at:sqlite \\\n/);
  assert.match(output, /--refund users.credits \\\n {4}--refund-key id \\\n {4}--tokens credits_used\n/);
  assert.doesNotMatch(output, /--kind /);
  assert.deepEqual(wide(output), []);
});

test("what can't be guessed must be given, also with --yes", async (t) => {
  const path = folder(t, { "schema.sql": "CREATE TABLE jobs (id TEXT PRIMARY KEY, customer TEXT, state TEXT, created INTEGER)" });
  const { code, output } = await run(path, ["jobs", "--schema", "schema.sql", "--yes"]);
  assert.equal(code, 2);
  for (const flag of ["--user-id", "--draft", "--failed", "--created-at: `created`: it has no values yet", "--refund: TABLE.COLUMN, or none"]) assert.ok(output.includes(flag), `${flag}\n${output}`);
  assert.deepEqual(readdirSync(path), ["schema.sql"]);
  const full = ["jobs", "--schema", "schema.sql", "--user-id", "customer", "--kind", "=video", "--processing", "busy", "--pending", "none", "--draft", "done", "--failed", "dead,lost", "--created-at", "created:ms", "--refund", "none"];
  const written = await run(path, [...full, "--yes"]);
  assert.equal(written.code, 0, written.output);
  assert.deepEqual(wide(written.output), []);
  const mapping = JSON.parse(readFileSync(join(path, "stale-drafts/attach_jobs.json"), "utf8"));
  assert.deepEqual([mapping.status.timed_out, mapping.kind, mapping.refund, mapping.created_at], ["dead", { value: "video" }, null, { column: "created", unit: "ms" }]);
  // The file has all answers.
  const again = await run(path, ["jobs", "--schema", "schema.sql", "--mapping", "stale-drafts/attach_jobs.json", "--print"]);
  assert.equal(again.output, readFileSync(join(path, "migrations/0001_attach_jobs.sql"), "utf8"));
});

test("units are seen in the rows, and words with how many rows have them", async (t) => {
  const path = folder(t);
  const db = new DatabaseSync(join(path, "app.sqlite"));
  db.exec(`CREATE TABLE accounts (id TEXT PRIMARY KEY, balance INTEGER);
    CREATE TABLE videos (id INTEGER PRIMARY KEY, account_id TEXT REFERENCES accounts (id), status INTEGER, cost INTEGER, created INTEGER, started_at REAL, updatedAt TEXT, completed_at TEXT, url TEXT);
    INSERT INTO accounts VALUES ('a', 0); INSERT INTO videos VALUES (1, 'a', 0, 3, 1795853902, 1795853902123, '2026-11-28T04:05:06.000Z', '2026-11-28 04:05:06', NULL), (2, 'a', 1, 3, 1795853902, NULL, NULL, NULL, NULL), (3, 'a', 5, 3, NULL, NULL, NULL, NULL, NULL)`);
  db.close();
  const flags = ["videos", "--database", "app.sqlite", "--pending", "0", "--processing", "1", "--draft", "2", "--failed", "9", "--yes"];
  const { output } = await run(path, [...flags, "--json"]);
  const { created_at, started_at, heartbeat_at, finished_at, refund, status, kind, tokens } = JSON.parse(output);
  assert.deepEqual([created_at, started_at, heartbeat_at, finished_at].map(({ unit }) => unit), ["s", "ms", "iso", "sqlite"]);
  assert.deepEqual(refund, { table: "accounts", column: "balance", key: "id" });
  assert.deepEqual([status.pending, status.processing, kind, tokens], [[0], [1], { value: "video" }, { column: "cost" }]);
  const shown = await run(path, [...flags, "--dry-run"]);
  assert.match(shown.output, /Not in the mapping: `5`\. Rows with that word are left alone\./);
  assert.match(shown.output, /A dry run: nothing was written/);
  assert.deepEqual(readdirSync(path), ["app.sqlite"]);
});

test("on a terminal it asks, shows the guesses, and says what is wrong with an answer", async (t) => {
  const path = folder(t, { "schema.sql": SCHEMA.replace("state TEXT", "state TEXT CHECK (state IN ('queued', 'running', 'succeeded', 'error'))") });
  const { code, output } = await run(path, ["generations", "--schema", "schema.sql"], ["user-id", "uidd", "uid", "kidn", "kind", "=image", "created-at", "created_at:hours", "created_at:iso", "", "y"]);
  assert.equal(code, 0, output);
  assert.match(output, /✗ --user-id: `generations` has no column `uidd`, did you mean `uid`\?/);
  assert.match(output.replace(/\s+/g, " "), /✗ --created-at: `created_at:hours` lacks its unit: expected created_at:UNIT, of ms, s, iso, sqlite/);
  assert.match(output, /user-id \[uid\]: /);
  assert.match(output, /✗ there is no `kidn`, did you mean `kind`\?/);
  assert.deepEqual(wide(output), []);
  const mapping = JSON.parse(readFileSync(join(path, "stale-drafts/attach_generations.json"), "utf8"));
  assert.deepEqual([mapping.kind, mapping.created_at.unit, mapping.refund.column], [{ value: "image" }, "iso", "credits"]);
  // From no refund to one.
  const later = folder(t, { "schema.sql": SCHEMA });
  const words = ["--draft", "succeeded", "--failed", "error", "--pending", "queued", "--processing", "running"];
  const changed = await run(later, ["generations", "--schema", "schema.sql", ...words, "--refund", "none"], ["refund", "users.credits", "", "y"]);
  assert.match(changed.output, /  refund {8}users\.credits\n  refund-key {4}id\n  tokens {8}credits_used\n/);
  assert.deepEqual(JSON.parse(readFileSync(join(later, "stale-drafts/attach_generations.json"), "utf8")).refund, { table: "users", column: "credits", key: "id" });
  // No is an answer.
  const no = folder(t, { "schema.sql": SCHEMA });
  const { code: stopped, output: said } = await run(no, ["generations", "--schema", "schema.sql", ...words], ["", "n"]);
  assert.equal(stopped, 1, said);
  assert.deepEqual(readdirSync(no), ["schema.sql"]);
});

test("what can't be attached is refused with the reason", async (t) => {
  await refused(t, "CREATE TABLE a (x TEXT, y TEXT)", ["a"], /`a` has no primary key: a row could not be found again/);
  await refused(t, "CREATE TABLE a (x TEXT, y TEXT, PRIMARY KEY (x, y))", ["a"], /`a` has a primary key of 2 columns \(`x`, `y`\): expected one column/);
  await refused(t, "CREATE TABLE a (x BLOB PRIMARY KEY)", ["a"], /the primary key `x` of `a` is declared `BLOB`: expected an integer or a text/);
  await refused(t, "CREATE TABLE a (x INTEGER PRIMARY KEY); CREATE VIEW b AS SELECT * FROM a", ["b"], /`b` is a view: triggers can't follow it/);
  await refused(t, "CREATE VIRTUAL TABLE a USING fts5 (x)", ["a"], /`a` is a virtual table: it can't have triggers/);
  await refused(t, SCHEMA, ["generation"], /there is no table `generation` in schema\.sql, did you mean `generations`\?/);
  await refused(t, SCHEMA, ["stale_drafts_creations"], /is a table of Stale Drafts: expected one of your own/);
  await refused(t, SCHEMA, [], /name the table/);
  await refused(t, "CREATE TABEL a", ["a"], /`schema\.sql` can't be read as SQL of a schema: near "TABEL"/);
  const words = ["--pending", "queued", "--processing", "running", "--draft", "succeeded", "--failed", "error", "--yes"];
  await refused(t, SCHEMA, ["generations", ...words, "--status", "stat"], /--status: `generations` has no column `stat`, did you mean `state`\?/);
  await refused(t, SCHEMA, ["generations", ...words, "--draft", "queued"], /`queued` can't mean pending and draft/);
  await refused(t, SCHEMA, ["generations", ...words, "--draft", "none"], /no word means draft or published/);
  await refused(t, SCHEMA, ["generations", ...words, "--pending", "none", "--processing", "none"], /no word means pending or processing: nothing could be stuck/);
  await refused(t, SCHEMA, ["generations", ...words, "--timed-out", "running"], /timed_out: `running` means processing: expected a word for failed/);
  await refused(t, SCHEMA.replace("state TEXT", "state TEXT CHECK (state IN ('queued', 'running', 'succeeded', 'error'))"), ["generations", ...words, "--timed-out", "lost"], /the CHECK of `state` does not allow `lost`: expected one of `queued`/);
  await refused(t, SCHEMA.replace("state TEXT", "raw TEXT, state TEXT AS (lower(raw))"), ["generations", ...words], /status: `state` is a generated column: a time-out could not be written into it/);
  await refused(t, SCHEMA.replace("id INTEGER PRIMARY KEY, credits", "n INTEGER PRIMARY KEY, id INTEGER, credits"), ["generations", ...words, "--refund-key", "id"], /refund-key: `users\.id` is not unique: several rows could be paid/);
  await refused(t, SCHEMA, ["generations", ...words, "--refund", "users.coins"], /refund: `users` has no column `coins`/);
  await refused(t, SCHEMA, ["generations", ...words, "--refund", "credits"], /--refund: `credits`: expected TABLE\.COLUMN, or none/);
  await refused(t, SCHEMA, ["generations", ...words, "--refund-sql", "UPDATE users SET credits = credits + 1"], /--refund-sql can't stand in a trigger: it has no :tokens/);
  await refused(t, SCHEMA, ["generations", ...words, "--refund-sql", "UPDATE users SET coins = coins + :tokens WHERE id = :user_id"], /the migration does not fit this database: .*coins/);
  await refused(t, SCHEMA, ["generations", ...words, "--refund-sql", "x", "--refund", "users.credits"], /--refund and --refund-sql can't both be given/);
  await refused(t, SCHEMA, ["generations", ...words, "--refund", "none", "--refund-failures"], /--refund-failures goes with a refund/);
  await refused(t, SCHEMA, ["generations", ...words, "--tokens", "=-3"], /tokens: `-3`: expected a whole number from 0 to/);
  await refused(t, SCHEMA, ["generations", ...words, "--id-prefix", "a~"], /id_prefix: `a~` can't begin the ids of creations/);
  await refused(t, SCHEMA, ["generations", "--tokns", "x"], /unknown flag `--tokns`, did you mean `--tokens`\?/);
});

test("a mapping's file is read strictly", async (t) => {
  const fine = JSON.parse(readFileSync(join(root, "docs/attach.md"), "utf8").match(/^```json mapping\n(.*?)^```/ms)[1]);
  const path = folder(t, { "schema.sql": SCHEMA });
  const read = async (mapping) => {
    writeFileSync(join(path, "m.json"), typeof mapping === "string" ? mapping : JSON.stringify(mapping));
    const { output } = await run(path, ["generations", "--schema", "schema.sql", "--mapping", "m.json", "--json"]);
    return output.replace(/\s+/g, " ");
  };
  assert.deepEqual(JSON.parse(await read(fine)), fine);
  assert.match(await read("{"), /`m\.json` is no JSON/);
  assert.match(await read("[]"), /`m\.json` holds no mapping: expected a JSON object/);
  assert.match(await read({ ...fine, refundd: null }), /unknown key `refundd`, did you mean `refund`\?/);
  assert.match(await read({ ...fine, created_at: { column: "created_at", unit: "hours" } }), /created_at: unknown unit `hours`: expected ms, s, iso, sqlite/);
  assert.match(await read({ ...fine, prompt: "prompt" }), /prompt: expected \{ "column": … \}, or null/);
  assert.match(await read({ ...fine, status: { ...fine.status, done: ["x"] } }), /status: unknown key `done`/);
  assert.match(await read({ ...fine, status: { ...fine.status, draft: [1.5] } }), /draft: invalid status word `1\.5`/);
  assert.match(await read({ ...fine, status: { ...fine.status, draft: "done" } }), /draft: expected a list of words/);
  assert.match(await read({ ...fine, tokens: null }), /tokens: expected what a row costs/);
  assert.match(await read({ ...fine, refund: { table: "nobody", column: "x", key: "y" } }), /refund: there is no table `nobody`/);
  assert.match((await run(path, ["generations", "--schema", "schema.sql", "--mapping", "no.json"])).output, /there is no file `no\.json`/);
  assert.match((await run(path, ["generations", "--schema", "schema.sql", "--mapping", "m.json", "--kind", "type"])).output, /--mapping has all answers/);
});

test("two tables whose creations could be taken for each other's are refused", async (t) => {
  const path = folder(t, { "schema.sql": SCHEMA });
  const words = ["--draft", "succeeded", "--failed", "error", "--pending", "queued", "--processing", "running", "--refund", "none", "--yes"];
  const { output: sql } = await run(path, ["generations", "--schema", "schema.sql", "--print", ...words]);
  const triggers = sql.match(/^CREATE (?:VIEW|TRIGGER)[^]*?(?:^END;|^\) AS r;)/gm).filter((statement) => !/ ON stale_drafts_/.test(statement) || /time_out/.test(statement));
  const migrations = readdirSync(join(root, "migrations")).sort().map((name) => readFileSync(join(root, "migrations", name), "utf8"));
  writeFileSync(join(path, "both.sql"), [...migrations, SCHEMA, SCHEMA.replace(/CREATE TABLE users[^;]*;/, "").replace("generations", '"generations:x"'), ...triggers].join("\n"));
  const { code, output } = await run(path, ["generations:x", "--schema", "both.sql", ...words]);
  assert.equal(code, 1, output);
  assert.match(output.replace(/\s+/g, " "), /would begin with `generations:x:`, and those of another table begin with `generations:`: give another beginning with --id-prefix/);
  assert.equal((await run(path, ["generations:x", "--schema", "both.sql", ...words, "--id-prefix", "x:", "--dry-run"])).code, 0);
});

test("values that differ in unit are refused", async (t) => {
  const path = folder(t);
  const db = new DatabaseSync(join(path, "app.sqlite"));
  db.exec(`${SCHEMA.replace("created_at TEXT DEFAULT CURRENT_TIMESTAMP", "created_at INTEGER")} INSERT INTO generations (created_at, state) VALUES (1795853902, 'done'), (1795853902123, 'failed'), (0, 'queued')`);
  db.close();
  const { code, output } = await run(path, ["generations", "--database", "app.sqlite", "--yes"]);
  assert.equal(code, 2);
  assert.match(output.replace(/\s+/g, " "), /--created-at: `created_at`: its values differ in unit: /);
});

test("a unit in which the values can't be read is refused", async (t) => {
  const path = folder(t);
  const db = new DatabaseSync(join(path, "app.sqlite"));
  db.exec(`${SCHEMA.replace("created_at TEXT DEFAULT CURRENT_TIMESTAMP", "created_at INTEGER")} INSERT INTO generations (created_at, finished_at, state) VALUES (1795853902123, '2026-11-28T04:05:06Z', 'done')`);
  db.close();
  const flags = ["generations", "--database", "app.sqlite", "--yes", "--json", "--failed", "error", "--pending", "queued", "--processing", "running", "--draft", "done", "--started-at", "none", "--heartbeat-at", "none"];
  const { code, output } = await run(path, [...flags, "--created-at", "created_at:s"]);
  assert.equal(code, 1);
  assert.match(output.replace(/\s+/g, " "), /--created-at: the values of `created_at`, such as `1795853902123`, are in ms, not s: expected created_at:ms/);
  assert.match((await run(path, [...flags, "--finished-at", "finished_at:ms"])).output.replace(/\s+/g, " "), /are in iso, not ms: expected finished_at:iso/);
  // Each of the two for texts reads both.
  const { output: mapping } = await run(path, [...flags, "--finished-at", "finished_at:sqlite"]);
  assert.equal(JSON.parse(mapping).finished_at.unit, "sqlite");
});

test("a new project has one binding, for the package's migrations: another folder is asked for", (t) => {
  const path = folder(t, { "wrangler.toml": '[[d1_databases]]\nbinding = "DB"\nmigrations_dir = "node_modules/stale-drafts/migrations"\nmigrations_table = "stale_drafts_migrations"\n' });
  const project = binding(path, {});
  assert.equal(project.found.binding, "DB");
  assert.throws(() => migrationsFolder(path, project), /--out FOLDER/);
  assert.equal(migrationsFolder(path, project, "sql"), join(path, "sql"));
});

test("--detach writes what undoes it, whether or not there is a mapping", async (t) => {
  const path = folder(t);
  const { code, output } = await run(path, ["generations", "--detach"]);
  assert.equal(code, 0);
  assert.deepEqual(wide(output), []);
  assert.match(readFileSync(join(path, "stale-drafts/detach_generations.sql"), "utf8"), /DROP VIEW IF EXISTS "stale_drafts_attach_generations";/);
  assert.match((await run(path, ["generations", "--detach", "--print", "--id-prefix", "gen/"])).output, /WHERE substr\(id, 1, 4\) = 'gen\/'/);
});

test("--help fits a terminal", async (t) => {
  const { code, output } = await run(folder(t), ["--help"]);
  assert.equal(code, 0);
  assert.deepEqual(output.split("\n").filter((line) => line.length > 80), []);
});

// It runs wrangler more than twenty times.
test("in a project: its own wrangler, migrations, --check, and detached again", { timeout: 900_000 }, async (t) => {
  const path = folder(t, {
    "wrangler.jsonc": JSON.stringify({
      name: "app",
      main: "index.js",
      compatibility_date: "2026-07-01",
      d1_databases: [
        { binding: "DB", database_name: "app", database_id: "aaaaaaaa-0000-4000-8000-000000000000" },
        { binding: "STALE_DRAFTS_MIGRATIONS", database_name: "app", database_id: "aaaaaaaa-0000-4000-8000-000000000000", migrations_table: "stale_drafts_migrations", migrations_dir: "theirs" },
      ],
    }),
    "index.js": "export default {};",
  });
  mkdirSync(join(path, "node_modules"));
  symlinkSync(join(root, "node_modules/wrangler"), join(path, "node_modules/wrangler"), "dir");
  mkdirSync(join(path, "migrations"));
  writeFileSync(join(path, "migrations/0001_app.sql"), `${SCHEMA} INSERT INTO users VALUES (7, 100); INSERT INTO generations (uid, state, credits_used) VALUES (7, 'queued', 10), (7, 'succeeded', 10), (7, 'error', 1), (7, 'running', 1);`);
  symlinkSync(join(root, "migrations"), join(path, "theirs"), "dir");
  const wrangler = (...args) => execFileSync(process.execPath, [join(root, "node_modules/wrangler/bin/wrangler.js"), "d1", ...args, "--local"], { cwd: path, env: { ...process.env, CI: "true", WRANGLER_SEND_METRICS: "false" }, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  // The file of the local database: wrangler takes seconds for a question.
  const file = () => join(path, readdirSync(path, { recursive: true }).find((name) => /d1.*[0-9a-f]{64}\.sqlite$/.test(name)));
  const query = (sql) => {
    const db = new DatabaseSync(file());
    db.exec("PRAGMA foreign_keys = ON");
    const found = db.prepare(sql).all().map((row) => ({ ...row }));
    db.close();
    return found;
  };
  const dump = () => query("SELECT type, name, sql FROM sqlite_schema WHERE name NOT GLOB '_cf_*' ORDER BY type, name");
  wrangler("migrations", "apply", "DB");
  wrangler("migrations", "apply", "STALE_DRAFTS_MIGRATIONS");
  const before = dump();
  const rows = query("SELECT * FROM generations");

  const written = await run(path, ["generations", "--kind", "=image", "--yes"]);
  assert.equal(written.code, 0, written.output);
  assert.deepEqual(wide(written.output), []);
  assert.ok(existsSync(join(path, "migrations/0002_attach_generations.sql")), written.output);
  wrangler("migrations", "apply", "DB");
  assert.deepEqual(query("SELECT id, status, tokens FROM stale_drafts_creations ORDER BY id"), [{ id: "generations:1", status: "pending", tokens: 10 }, { id: "generations:4", status: "processing", tokens: 1 }]);

  const good = await run(path, ["generations", "--check", "--database", file()]);
  assert.deepEqual([good.code, good.output], [0, "generations is attached: 2 rows are watched.\n"]);
  assert.match((await run(path, ["generations", "--yes", "--database", file()])).output, /`generations` is attached already in\s/);
  query("INSERT INTO generations (uid, state, credits_used) VALUES (NULL, 'queued', 10), (7, 'moderating', 10)");
  // In a later attempt a price is kept.
  query("UPDATE stale_drafts_creations SET attempt = 2 WHERE id = 'generations:1'");
  query("UPDATE generations SET credits_used = 30 WHERE gid = 1");
  const { code, output } = await run(path, ["generations", "--check"]);
  assert.equal(code, 1);
  const found = output.replace(/\s+/g, " ");
  assert.match(found, /1 row \(such as 5\): its owner is missing, or can't be one of a creation: not watched\./);
  assert.match(found, /1 row \(such as 6\): the status 'moderating' is not in the mapping: such rows are left alone\./);
  assert.match(found, /1 row \(such as 1\): their price has changed since it was charged: 10 would be refunded, and the row says 30\./);
  assert.deepEqual(wide(output), []);

  query("DELETE FROM generations WHERE gid > 4");
  query("UPDATE generations SET credits_used = 10 WHERE gid = 1");
  wrangler("execute", "DB", "--file", "stale-drafts/detach_generations.sql");
  assert.deepEqual(dump(), before);
  assert.deepEqual(query("SELECT * FROM generations"), rows);
});
