// `stale-drafts init` in projects as people have them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { unstable_readConfig as readConfig } from "wrangler";
import { writeAll } from "../../pkg/cli/lib/files.js";
import { CLI, MAIN, folder, project, read, root, run, tooLong } from "./harness.mjs";

const ID = "aaaaaaaa-0000-4000-8000-000000000000";
const JSONC = `{
  // the app
  "name": "app",
  "main": "src/index.ts",
  "compatibility_date": "2026-07-01",
  "d1_databases": [
    { "binding": "DB", "database_name": "app", "database_id": "${ID}" }
  ]
}
`;
const TOML = `name = "app" # the app
main = "src/index.ts"
compatibility_date = "2026-07-01"

[[d1_databases]]
binding = "DB"
database_name = "app"
database_id = "${ID}"
`;

const settings = (path, name, env) => readConfig({ config: join(path, name), env }, { hideWarnings: true });

/** Every file of a project but those that were there to begin with, with their texts. */
function snapshot(path) {
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const names = files.map((entry) => join(entry.parentPath, entry.name)).filter((name) => !name.includes("node_modules") && !name.includes("/.git/")).sort();
  return Object.fromEntries(names.map((name) => [name.slice(path.length + 1), read(name)]));
}

const SECRETS = ["JWT_SECRET", "CLEANUP_TOKEN", "REPORT_TOKEN"];
const secretsOf = (text) => Object.fromEntries(text.split("\n").filter((line) => /^\w+=/.test(line)).map((line) => line.split(/=(.*)/s)));

const MIGRATIONS = { binding: "STALE_DRAFTS_MIGRATIONS", database_name: "app", database_id: ID, migrations_dir: "node_modules/stale-drafts/migrations", migrations_table: "stale_drafts_migrations" };

for (const [name, text] of [["wrangler.jsonc", JSONC], ["wrangler.json", JSONC.replace("  // the app\n", "")], ["wrangler.toml", TOML]]) {
  test(`${name}: what is missing is shown, added once, and the second run changes nothing`, async (t) => {
    const path = project(t, { [name]: text });
    const before = snapshot(path);

    const asked = await run(path, ["init"]);
    assert.equal(asked.code, 2);
    assert.match(asked.output, /\+.*"\* \* \* \* \*"/);
    assert.match(asked.output, /✗ nothing was changed: repeat with --yes\n$/);
    const dry = await run(path, ["init", "--dry-run"]);
    assert.equal(dry.code, 0);
    assert.match(dry.output, /A dry run: nothing was changed\.\n$/);
    assert.deepEqual(snapshot(path), before);

    const done = await run(path, ["init", "--yes"]);
    assert.equal(done.code, 0, done.output);
    for (const { output } of [asked, dry, done]) assert.deepEqual(tooLong(output), []);
    const { triggers, vars, d1_databases: databases } = settings(path, name);
    assert.deepEqual(triggers.crons, ["* * * * *"]);
    assert.deepEqual(vars.STALE_DRAFTS, { policy: { preset: "production" } });
    assert.deepEqual(databases, [{ binding: "DB", database_name: "app", database_id: ID }, MIGRATIONS]);

    const secrets = secretsOf(read(path, ".dev.vars"));
    assert.deepEqual(Object.keys(secrets), SECRETS);
    assert.equal(new Set(Object.values(secrets)).size, SECRETS.length);
    for (const value of Object.values(secrets)) {
      assert.equal(Buffer.from(value, "base64url").length, 32);
      assert.ok(!done.output.includes(value), "no secret is printed");
    }
    assert.equal(statSync(join(path, ".dev.vars")).mode & 0o777, 0o600);
    assert.match(done.output, /npx wrangler d1 migrations apply STALE_DRAFTS_MIGRATIONS --remote/);

    const after = snapshot(path);
    const again = await run(path, ["init", "--yes"]);
    assert.equal(again.code, 0);
    assert.match(again.output, /^Everything is there already: nothing to change\./);
    assert.deepEqual(snapshot(path), after);
  });
}

test("the lines for the Worker's code: two, and a look at the cron if the app has others", async (t) => {
  const path = project(t, { "wrangler.toml": `${TOML.replace('binding = "DB"', 'binding = "APP"')}[triggers]\ncrons = ["0 3 * * *"]\n` });
  const { output } = await run(path, ["init", "--yes"]);
  assert.match(output, /const drafts = staleDrafts\(\{ binding: "APP", basePath: "\/stale-drafts" \}\);/);
  assert.match(output, /if \(event\.cron === "\* \* \* \* \*"\) \{\n +return drafts\.scheduled\(event, env, ctx\);/);
  assert.deepEqual(settings(path, "wrangler.toml").triggers.crons, ["0 3 * * *", "* * * * *"]);

  writeFileSync(join(path, "src/index.ts"), 'import { staleDrafts } from "stale-drafts/worker";\n');
  assert.doesNotMatch((await run(path, ["init"])).output, /const drafts/);
});

test("a configuration that the code gives is not given a second time", async (t) => {
  const path = project(t, { "wrangler.toml": TOML, "src/index.ts": 'import { staleDrafts } from "stale-drafts/worker";\nconst drafts = staleDrafts({\n  config: { page_size: 7 },\n});\n' });
  await run(path, ["init", "--yes"]);
  assert.equal(settings(path, "wrangler.toml").vars.STALE_DRAFTS, undefined);
});

test("a configuration that is there stays, and so do the secrets", async (t) => {
  const path = project(t, { "wrangler.toml": `${TOML}[vars.STALE_DRAFTS.policy]\nmax_age_hours = 2\n`, ".dev.vars": 'JWT_SECRET="mine"\nexport REPORT_TOKEN = theirs' });
  chmodSync(join(path, ".dev.vars"), 0o640);
  await run(path, ["init", "--yes"]);
  assert.deepEqual(settings(path, "wrangler.toml").vars.STALE_DRAFTS, { policy: { max_age_hours: 2 } });
  assert.match(read(path, ".dev.vars"), /^JWT_SECRET="mine"\nexport REPORT_TOKEN = theirs\n\n# Stale Drafts: .*\nCLEANUP_TOKEN=[\w-]{43}\n$/);
  assert.equal(statSync(join(path, ".dev.vars")).mode & 0o777, 0o640);
});

// wrangler reads .env only where there is no .dev.vars.
test("a project with .env gets its secrets beside it, not in a file that would hide it", async (t) => {
  const path = project(t, { "wrangler.toml": TOML, ".env": "A=1\n" });
  const { output } = await run(path, ["init", "--yes"]);
  assert.equal(read(path, ".env"), "A=1\n");
  assert.ok(!existsSync(join(path, ".dev.vars")));
  assert.deepEqual(Object.keys(secretsOf(read(path, ".env.local"))), SECRETS);
  assert.match(read(path, ".gitignore"), /^\/\.env\.local$/m);
  assert.match(output, /✓ Written: wrangler\.toml, \.env\.local, \.gitignore/);
});

test("the secrets' file is ignored by git, or nothing is written", async (t) => {
  const path = project(t, { "wrangler.toml": TOML, ".gitignore": "/node_modules/", ".dev.vars": "A=1\n" });
  execFileSync("git", ["init", "--quiet"], { cwd: path });
  execFileSync("git", ["add", ".dev.vars"], { cwd: path });
  const before = snapshot(path);
  const refused = await run(path, ["init", "--yes"]);
  assert.equal(refused.code, 1);
  assert.match(refused.output, /git keeps `\.dev\.vars`, so new secrets in it would become public.*\n {2}Take it out first: git rm --cached \.dev\.vars/);
  assert.deepEqual(snapshot(path), before);

  execFileSync("git", ["rm", "--cached", "--quiet", ".dev.vars"], { cwd: path });
  assert.equal((await run(path, ["init", "--yes"])).code, 0);
  assert.equal(read(path, ".gitignore"), "/node_modules/\n/.dev.vars*\n!/.dev.vars.example\n");
  assert.equal(execFileSync("git", ["status", "--porcelain", ".dev.vars"], { cwd: path }).toString(), "");
});

test("several databases: one is named, or chosen on a terminal", async (t) => {
  const more = `${TOML}\n[[d1_databases]]\nbinding = "OTHER"\ndatabase_name = "other"\ndatabase_id = "bbbbbbbb-0000-4000-8000-000000000000"\n`;
  const path = project(t, { "wrangler.toml": more });
  const open = await run(path, ["init", "--yes"]);
  assert.equal(open.code, 2);
  assert.match(open.output, /there are 2 D1 databases: name one, as in --binding DB\n {2}DB, OTHER\n$/);
  const wrong = await run(path, ["init", "--binding", "OHTER"]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.output, /no D1 database with the binding `OHTER`: it has `DB`, `OTHER`, did you mean `OTHER`\?/);

  const chosen = await run(path, ["init"], { type: (seen) => (seen.includes("Which?") ? "2\n" : seen.includes("[y/N]") ? "y\n" : undefined) });
  assert.equal(chosen.code, 0, chosen.output);
  const { d1_databases: databases } = settings(path, "wrangler.toml");
  assert.deepEqual([databases[2].binding, databases[2].database_id], ["STALE_DRAFTS_MIGRATIONS", "bbbbbbbb-0000-4000-8000-000000000000"]);
  // What was chosen is known from then on.
  assert.match((await run(path, ["init"])).output, /^Everything is there already/);
});

test("without a database there is one, which the first deployment creates", async (t) => {
  const path = project(t, { "wrangler.toml": 'name = "app"\nmain = "src/index.ts"\ncompatibility_date = "2026-07-01"\n' });
  const { output } = await run(path, ["init", "--yes"]);
  const { database_name: _, database_id: __, binding: ___, ...migrations } = MIGRATIONS;
  assert.deepEqual(settings(path, "wrangler.toml").d1_databases, [{ binding: "DB", ...migrations }]);
  assert.match(output, /There is no D1 database yet: the first `wrangler deploy` creates it\./);
  assert.ok(output.indexOf("npx wrangler deploy") < output.indexOf("apply DB --remote"), "there is no database to migrate before that");
});

const copiesIn = (path, name) => readdirSync(join(path, name)).sort();

test("--copy-migrations: with the app's next numbers, once", async (t) => {
  const path = project(t, { "wrangler.toml": `${TOML}migrations_dir = "db/sql"\n`, "db/sql/0009_users.sql": "SELECT 1;\n" });
  assert.equal((await run(path, ["init", "--yes", "--copy-migrations"])).code, 0);
  const copies = readdirSync(join(root, "migrations")).sort().map((name, index) => `${String(10 + index).padStart(4, "0")}_stale_drafts_${name.slice(5)}`);
  assert.deepEqual(copiesIn(path, "db/sql"), ["0009_users.sql", ...copies]);
  assert.equal(read(path, "db/sql", copies[0]), read(root, "migrations", readdirSync(join(root, "migrations")).sort()[0]));
  assert.equal(settings(path, "wrangler.toml").d1_databases.length, 1);
  for (const flags of [[], ["--copy-migrations"]]) assert.match((await run(path, ["init", ...flags])).output, /^Everything is there already/);

  writeFileSync(join(path, "db/sql", copies[1]), "-- mine\n");
  const { code, output } = await run(path, ["init", "--yes"]);
  assert.equal(code, 1);
  assert.match(output, new RegExp(`\`db/sql/${copies[1]}\` differs from this version's migration`));
});

test("a database without an id can't have a second binding, so the migrations are copied", async (t) => {
  const path = project(t, { "wrangler.jsonc": JSONC.replace(`, "database_id": "${ID}"`, "") });
  const { output } = await run(path, ["init", "--yes"]);
  assert.match(output.replaceAll("\n", " "), /The binding `DB` has no `database_id`, and a second binding without one would be another database\./);
  assert.equal(copiesIn(path, "migrations")[0], "0001_stale_drafts_creations.sql");
  assert.match(output, /wrangler d1 migrations apply DB --local/);
  assert.ok(output.lastIndexOf("npx wrangler deploy") < output.lastIndexOf("apply DB --remote"), "the first deployment creates it");
});

test("an environment: its own bindings and variables, and no cron of the top level lost", async (t) => {
  const text = `${TOML}\n[triggers]\ncrons = ["0 3 * * *"]\n\n[env.staging]\n[[env.staging.d1_databases]]\nbinding = "DB"\ndatabase_id = "cccccccc-0000-4000-8000-000000000000"\n`;
  const path = project(t, { "wrangler.toml": text, ".dev.vars.staging": "A=1\n" });
  const wrong = await run(path, ["init", "--env", "stagging"]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.output, /`wrangler\.toml` has no environment `stagging`: it has `staging`, did you mean `staging`\?/);

  const staging = await run(path, ["init", "--env", "staging", "--yes"]);
  assert.equal(staging.code, 0, staging.output);
  const { triggers, vars, d1_databases: databases } = settings(path, "wrangler.toml", "staging");
  assert.deepEqual(triggers.crons, ["0 3 * * *", "* * * * *"]);
  assert.deepEqual(vars.STALE_DRAFTS, { policy: { preset: "production" } });
  assert.equal(databases[1].database_id, "cccccccc-0000-4000-8000-000000000000");
  assert.deepEqual(settings(path, "wrangler.toml").triggers.crons, ["0 3 * * *"]);
  assert.deepEqual(Object.keys(secretsOf(read(path, ".dev.vars.staging"))), ["A", ...SECRETS]);
  assert.match(staging.output, /wrangler deploy --env staging/);

  const top = await run(path, ["init", "--yes"]);
  assert.match(top.output.replaceAll("\n", " "), /for each, run this again, as in --env staging/);
  assert.deepEqual(tooLong(staging.output + top.output), []);
});

test("static assets that answer every path let the Worker answer its own", async (t) => {
  for (const [assets, expected] of [
    ['not_found_handling = "single-page-application"', ["/stale-drafts/*"]],
    ['not_found_handling = "single-page-application"\nrun_worker_first = ["/api/*"]', ["/api/*", "/stale-drafts/*"]],
    ['not_found_handling = "404-page"\nrun_worker_first = true', true],
    ['html_handling = "none"', undefined],
  ]) {
    const path = project(t, { "wrangler.toml": `${TOML}[assets]\ndirectory = "public"\n${assets}\n` });
    assert.equal((await run(path, ["init", "--yes"])).code, 0);
    assert.deepEqual(settings(path, "wrangler.toml").assets.run_worker_first, expected, assets);
    assert.match((await run(path, ["init"])).output, /^Everything is there already/);
  }
});

test("in a workspace the package is further up", async (t) => {
  const path = folder(t, { "apps/web/wrangler.toml": TOML, "apps/web/src/index.ts": MAIN });
  mkdirSync(join(path, "node_modules"));
  symlinkSync(join(root, "pkg"), join(path, "node_modules/stale-drafts"), "dir");
  await run(join(path, "apps/web"), ["init", "--yes"]);
  assert.equal(settings(join(path, "apps/web"), "wrangler.toml").d1_databases[1].migrations_dir, "../../node_modules/stale-drafts/migrations");
});

test("a framework's own Worker is wrapped", async (t) => {
  const path = project(t, { "wrangler.toml": TOML.replace("src/index.ts", ".open-next/worker.js") });
  const { output } = await run(path, ["init", "--yes"]);
  assert.match(output, /Your framework builds `\.open-next\/worker\.js`\. Write worker\.js around it/);
  assert.match(output, /import app from "\.\/\.open-next\/worker\.js";/);
  assert.match(output, /export \* from "\.\/\.open-next\/worker\.js";/);
});

test("where Vite serves, its own server is named", async (t) => {
  const { output } = await run(project(t, { "wrangler.toml": TOML, "vite.config.ts": "export default {};\n" }), ["init", "--yes"]);
  assert.match(output, /Try it with your own `npm run dev`/);
  assert.match(output, /npx stale-drafts dev --url http:\/\/localhost:5173/);
});

const PLACES = [
  ["no configuration", {}, [], /^✗ there is no wrangler\.json, wrangler\.jsonc or wrangler\.toml in this folder\.\n {2}For a new project: npm create stale-drafts\n$/],
  ["two configurations", { "wrangler.toml": TOML, "wrangler.jsonc": JSONC }, [], /^✗ there are 2 configurations: `wrangler\.jsonc` and `wrangler\.toml`\. wrangler reads `wrangler\.jsonc`\.\n {2}Remove the other, or name one: --config wrangler\.jsonc\n$/],
  ["a configuration that isn't there", { "wrangler.toml": TOML }, ["--config", "other.toml"], /^✗ there is no file `other\.toml`\n$/],
  ["another kind of file", { "wrangler.toml": TOML }, ["--config", "package.json5"], /^✗ there is no file/],
  ["a broken configuration", { "wrangler.toml": "name = \n" }, [], /^✗ `wrangler\.toml` can't be read: line \d, column \d/],
  ["a Pages project", { "wrangler.toml": 'name = "app"\npages_build_output_dir = "dist"\n' }, [], /^✗ `wrangler\.toml` is of a Pages project, which has no cron trigger\./],
  ["no code", { "wrangler.toml": 'name = "app"\n[assets]\ndirectory = "public"\n' }, [], /^✗ `wrangler\.toml` has no `main`, so there is no code to add this to\./],
  ["databases that are no list", { "wrangler.toml": 'name = "app"\nmain = "src/index.ts"\nd1_databases = "x"\n' }, [], /^✗ `wrangler\.toml`: `d1_databases` must be a list of tables, each with a `binding`\n$/],
  ["crons that are no list", { "wrangler.toml": `${TOML}[triggers]\ncrons = "* * * * *"\n` }, [], /^✗ `wrangler\.toml`: `crons` must be a list of texts\n$/],
  ["migrations that are no folder", { "wrangler.toml": TOML, migrations: "x" }, ["--copy-migrations"], /^✗ `.*migrations` is to hold the migrations, but it is no folder\n$/],
];
for (const [what, files, flags, message] of PLACES) {
  test(`not here: ${what}`, async (t) => {
    const path = project(t, files);
    const before = snapshot(path);
    const { code, output } = await run(path, ["init", "--yes", ...flags]);
    assert.match(output, message);
    assert.equal(code, 1);
    assert.deepEqual(snapshot(path), before);
  });
}

test("not here: the package isn't installed", async (t) => {
  const path = project(t, { "wrangler.toml": TOML });
  renameSync(join(path, "node_modules"), join(path, "other"));
  const { code, output } = await run(path, ["init", "--yes"]);
  assert.equal(code, 1);
  assert.match(output, /^✗ the package isn't installed here: npm install stale-drafts\n/);
});

test("on a terminal: no, end of input and Ctrl-C change nothing, yes writes", async (t) => {
  const path = project(t, { "wrangler.toml": TOML });
  const before = snapshot(path);
  const answer = (text) => ({ type: (seen) => (seen.includes("Write this? [y/N]") ? text : undefined) });
  for (const [typed, code, last] of [["n\r", 1, "Nothing was changed."], ["\r", 1, "Nothing was changed."], ["\u0004", 1, "✗ nothing was changed"], ["\u0003", 130, "✗ nothing was changed"]]) {
    const result = await run(path, ["init"], answer(typed));
    assert.equal(result.code, code, result.output);
    assert.equal(result.output.trimEnd().split("\n").at(-1), last);
    assert.doesNotMatch(result.output, / at .*:\d+:\d+/);
    assert.deepEqual(snapshot(path), before);
  }
  assert.equal((await run(path, ["init"], answer("y\r"))).code, 0);
  assert.notDeepEqual(snapshot(path), before);
});

test("a reader who has enough ends nothing in the middle", async (t) => {
  for (const flags of ["init", "init --yes", "--help"]) {
    const path = project(t, { "wrangler.toml": TOML });
    const before = snapshot(path);
    const output = execFileSync("sh", ["-c", `'${process.execPath}' '${CLI}' ${flags} 2>&1 | head -n 1; true`], { cwd: path }).toString();
    assert.doesNotMatch(output, /Error|EPIPE/);
    const after = snapshot(path);
    assert.deepEqual(Object.keys(after).filter((name) => name.includes("tmp")), []);
    // Everything or nothing.
    assert.equal(".dev.vars" in after, after["wrangler.toml"] !== before["wrangler.toml"]);
  }
});

/** Runs with the rights of a user that may not write, even where the tests are root's. */
function powerless(what) {
  if (process.getuid() !== 0) return what();
  process.seteuid(65_534);
  try {
    return what();
  } finally {
    process.seteuid(0);
  }
}

test("files are written all or none", (t) => {
  const path = folder(t, { "open/a.txt": "a", "closed/b.txt": "b" });
  chmodSync(path, 0o755);
  chmodSync(join(path, "open"), 0o777);
  chmodSync(join(path, "open/a.txt"), 0o666);
  chmodSync(join(path, "closed"), 0o555);
  const changes = [
    { path: join(path, "open/a.txt"), before: "a", after: "A" },
    { path: join(path, "open/new/c.txt"), before: null, after: "C" },
    { path: join(path, "closed/b.txt"), before: "b", after: "B" },
  ];
  const before = snapshot(path);
  assert.throws(() => powerless(() => writeAll(changes)), { name: "Help", message: `can't write \`${join(path, "closed/b.txt")}\`: permission denied. Nothing was changed.` });
  assert.deepEqual(snapshot(path), before);
  assert.ok(!existsSync(join(path, "open/new")));

  assert.throws(() => writeAll([changes[0], { path: join(path, "closed/b.txt"), before: "else", after: "B" }]), { message: /was changed meanwhile: nothing was written, try again/ });
  assert.deepEqual(snapshot(path), before);
  chmodSync(join(path, "closed"), 0o755);

  symlinkSync(join(path, "open/a.txt"), join(path, "link.txt"));
  writeAll([{ path: join(path, "link.txt"), before: "a", after: "through the link" }]);
  assert.equal(read(path, "open/a.txt"), "through the link");
});

test("the app's own migrations and these go to one database", async (t) => {
  const path = project(t, { "wrangler.jsonc": JSONC, "migrations/0001_users.sql": "CREATE TABLE users (id TEXT PRIMARY KEY);\n" });
  await run(path, ["init", "--yes"]);
  const wrangler = (...args) => execFileSync(process.execPath, [join(root, "node_modules/wrangler/bin/wrangler.js"), "d1", ...args, "--local"], { cwd: path, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, CI: "true", WRANGLER_SEND_METRICS: "false" } }).toString();
  wrangler("migrations", "apply", "DB");
  wrangler("migrations", "apply", "STALE_DRAFTS_MIGRATIONS");
  const [{ results }] = JSON.parse(wrangler("execute", "DB", "--json", "--command", "SELECT name FROM sqlite_schema WHERE type = 'table'"));
  const names = results.map(({ name }) => name);
  for (const name of ["users", "d1_migrations", "stale_drafts_migrations", "stale_drafts_creations"]) assert.ok(names.includes(name), `${name} in ${names}`);
});
