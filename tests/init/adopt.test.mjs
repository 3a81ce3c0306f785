// docs/adopt.md: its examples, run as it says.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CLI, folder, read, root, run, serve, until } from "./harness.mjs";

/** The files of the examples: a block's first line names its path. */
const blocks = [...read(root, "docs/adopt.md").matchAll(/^```(?:ts|jsonc)\n\/\/ (\S+)\n(.*?)^```$/gms)];
const files = (under) => Object.fromEntries(blocks.filter(([, path]) => path.startsWith(`${under}/`)).map(([, path, text]) => [path.slice(under.length + 1), text]));

/** A folder with the files, and packages installed in each of its `places`. */
function example(t, texts, places = ["."]) {
  const path = folder(t, texts);
  for (const place of places) {
    mkdirSync(join(path, place, "node_modules"), { recursive: true });
    symlinkSync(join(root, "pkg"), join(path, place, "node_modules/stale-drafts"), "dir");
    symlinkSync(join(root, "node_modules/wrangler"), join(path, place, "node_modules/wrangler"), "dir");
  }
  return path;
}

// Its own registry of running Workers: none of the machine's others is found.
const env = (path) => ({ ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_REGISTRY_PATH: join(path, "registry"), NO_COLOR: "1" });
const json = async (url, path) => {
  const answer = await fetch(url + path);
  return { status: answer.status, body: await answer.json() };
};

const CONFIG = `name = "app"
main = "src/index.ts"
compatibility_date = "2026-04-20"

[[d1_databases]]
binding = "DB"
database_name = "app"
database_id = "aaaaaaaa-0000-4000-8000-000000000000"
`;

test("in your Worker: init, the lines of code, dev", async (t) => {
  const texts = files("in-your-worker");
  const logged = texts["src/index.ts"].replace("async function app(request: Request, env: Env) {", "$&\n  console.log(`the app is asked: ${request.url}`);");
  const path = example(t, { "wrangler.toml": CONFIG, ...texts, "src/index.ts": logged });
  assert.equal((await run(path, ["init", "--yes"])).code, 0);
  const { url, output } = await serve(t, path, (port) => [process.execPath, CLI, "dev", "--port", String(port)], { env: env(path), ready: /^✓ Ready at/m });
  assert.doesNotMatch(output(), /the app is asked/);
  assert.equal(await (await fetch(url)).text(), "Your app");
  await until(output, (text) => text.includes("the app is asked"));
  assert.deepEqual(await json(url, "/generate"), { status: 402, body: { error: "insufficient tokens: the balance does not cover the charge", code: "insufficient_tokens" } });
  assert.equal((await json(url, "/buy")).body.balance, 100);
  const { body: created } = await json(url, "/generate");
  assert.equal(created.status, "pending");
  const { body: mine } = await json(url, "/mine");
  assert.equal(mine.balance, 70);
  assert.deepEqual(mine.drafts.map(({ id, status }) => [id, status]), [[created.id, "pending"]]);
  await until(() => fetch(`${url}/stale-drafts/readyz`), ({ status }) => status === 200);
  await until(output, (text) => /^✓ The cron trigger has run/m.test(text));
});

test("a Worker of its own, called by a service binding", async (t) => {
  const path = example(t, files("service"), ["app", "drafts"]);
  const [app, drafts] = [join(path, "app"), join(path, "drafts")];
  const { code, output } = await run(drafts, ["init", "--yes"]);
  assert.equal(code, 0, output);
  // There is no code to change, and nothing else was missing.
  assert.match(output, /✓ Written: \.dev\.vars, \.gitignore\n\n1\. Make the tables/);
  assert.equal(read(drafts, "wrangler.jsonc"), files("service")["drafts/wrangler.jsonc"]);

  const service = await serve(t, drafts, (port) => [process.execPath, CLI, "dev", "--port", String(port)], { env: env(path), ready: /^✓ Ready at/m });
  const wrangler = join(app, "node_modules/wrangler/bin/wrangler.js");
  // Between two processes an error keeps its message only.
  const { url } = await serve(t, app, (port) => [process.execPath, wrangler, "dev", "--port", String(port), "--ip", "localhost", "--show-interactive-dev-session=false"], { env: env(path), ready: /Ready on/ });
  const { status, body } = await json(url, "/generate");
  assert.equal(status, 500);
  assert.match(body.error, /insufficient tokens: the balance does not cover the charge$/);
  assert.equal((await json(url, "/buy")).body.balance, 100);
  assert.equal((await json(url, "/generate")).body.status, "pending");
  await until(() => fetch(`${service.url}/readyz`), ({ status }) => status === 200);
});

test("take it out again: nothing of it is left", (t) => {
  const [, sql] = read(root, "docs/adopt.md").match(/^```sql\n(.*?)^```$/ms);
  const path = example(t, { "wrangler.toml": CONFIG, "app.sql": "CREATE TABLE users (id TEXT PRIMARY KEY);", "remove.sql": sql });
  const wrangler = (...args) => execFileSync(process.execPath, [join(root, "node_modules/wrangler/bin/wrangler.js"), "d1", ...args, "--local"], { cwd: path, stdio: ["ignore", "pipe", "pipe"], env: { ...env(path), CI: "true" } }).toString();
  execFileSync(process.execPath, [CLI, "init", "--yes"], { cwd: path, stdio: "ignore" });
  const schema = () => JSON.parse(wrangler("execute", "DB", "--json", "--command", "SELECT name FROM sqlite_schema ORDER BY name"))[0].results.map(({ name }) => name).filter((name) => !name.startsWith("_cf_"));
  wrangler("execute", "DB", "--file", "app.sql");
  const before = schema();
  wrangler("migrations", "apply", "STALE_DRAFTS_MIGRATIONS");
  // With money moved and creations in every state.
  wrangler("execute", "DB", "--command", "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('g', 'ada', 'grant', 9, 1700000000000); INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES ('c', 'ada', 'image', 'a fox', 'pending', 5, 1700000000000)");
  wrangler("execute", "DB", "--file", "remove.sql");
  // SQLite's own table for AUTOINCREMENT stays in any database that ever had one.
  assert.deepEqual(schema().filter((name) => name !== "sqlite_sequence"), before);
});

test("the examples, and the template of a new project, are well typed", async (t) => {
  const template = (name) => read(root, "pkg/create/template", name);
  const path = example(t, {
    ...Object.fromEntries(["wrangler.jsonc", "tsconfig.json", "src/index.ts"].map((name) => [name, template(name)])),
    "src/in-your-worker.ts": files("in-your-worker")["src/index.ts"],
    "src/service.ts": files("service")["app/src/index.ts"],
  });
  const run = (script, ...args) => execFileSync(process.execPath, [join(root, "node_modules", script), ...args], { cwd: path, stdio: ["ignore", "pipe", "inherit"], env: env(path) });
  run("wrangler/bin/wrangler.js", "types");
  run("typescript/bin/tsc", "--project", ".");
});
