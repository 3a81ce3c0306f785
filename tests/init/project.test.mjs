// `npm create stale-drafts` from the packed packages, in a folder with nothing of this repository and no Rust on the path: a project
// that installs, starts, and shows a creation that fails by itself.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { CREATE, folder, read, root, run, serve, tooLong, until } from "./harness.mjs";

const exec = promisify(execFile);
const SECRETS = ["JWT_SECRET", "REPORT_TOKEN", "CLEANUP_TOKEN"];
const json = (...path) => JSON.parse(read(...path));
const template = join(root, "pkg/create/template");

const place = mkdtempSync(join(tmpdir(), "stale-drafts-"));
const packages = join(place, "packages");
let env;

after(() => rmSync(place, { recursive: true, force: true }));

before(async () => {
  // What a newcomer's path has: Node, npm, and a shell.
  const bin = join(place, "bin");
  mkdirSync(bin);
  mkdirSync(packages);
  const found = (name) => realpathSync(execFileSync("sh", ["-c", `command -v ${name}`]).toString().trim());
  for (const [name, path] of [["node", process.execPath], ...["npm", "npx", "sh", "env"].map((name) => [name, found(name)])]) symlinkSync(path, join(bin, name));
  // A network may have a certificate authority of its own.
  const { NODE_EXTRA_CA_CERTS } = process.env;
  env = { PATH: bin, ...(NODE_EXTRA_CA_CERTS && { NODE_EXTRA_CA_CERTS }), HOME: process.env.HOME, npm_config_prefer_offline: "true", npm_config_audit: "false", npm_config_fund: "false", npm_config_update_notifier: "false", NO_COLOR: "1", WRANGLER_SEND_METRICS: "false" };
  for (const name of ["pkg", "pkg/create"]) await exec("npm", ["pack", "--pack-destination", packages], { cwd: join(root, name), env });
});

const packed = (name) => join(packages, readdirSync(packages).find((file) => new RegExp(`^${name}-\\d`).test(file)));

/** A new project, as `npm create stale-drafts NAME` makes it. */
async function create(t, name = "my-app") {
  const place = folder(t);
  const { stdout } = await exec("npm", ["exec", "--yes", "--package", packed("create-stale-drafts"), "--", "create-stale-drafts", name, "--from", packed("stale-drafts")], { cwd: place, env });
  return { path: join(place, name), stdout };
}

/** `npm start`, until it says that it is ready. */
const start = (t, path) => serve(t, path, (port) => ["npm", "start", "--", "--port", String(port)], { env, ready: /^✓ Ready at/m });

test("from an empty folder to a creation that fails and is refunded, with no Rust", async (t) => {
  const begun = performance.now();
  assert.ok(!existsSync(join(env.PATH, "cargo")));
  const { path, stdout } = await create(t);
  assert.deepEqual(tooLong(stdout), []);
  assert.match(stdout, /Next:\n {2}cd my-app\n {2}npm install\n {2}npm start\n$/);
  await exec("npm", ["install"], { cwd: path, env });
  // The limit of the demo's kind, in hours: nobody wants to wait for 36 seconds here.
  const file = join(path, "wrangler.jsonc");
  writeFileSync(file, readFileSync(file, "utf8").replace("0.01", "0.0005"));

  const first = await start(t, path);
  t.diagnostic(`empty folder → serving its own data: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  const { url } = first;
  assert.match(await (await fetch(url)).text(), /Make a creation whose worker dies/);
  const signedIn = await fetch(`${url}/stale-drafts/demo`, { method: "POST", redirect: "manual", headers: { Origin: url, "Content-Type": "application/x-www-form-urlencoded" }, body: "user_id=ada" });
  assert.equal(signedIn.status, 303);
  const headers = { Cookie: signedIn.headers.getSetCookie()[0].split(";")[0] };
  const list = async () => (await fetch(`${url}/stale-drafts/api/drafts?limit=100`, { headers })).json();
  const { balance, drafts } = await list();
  assert.ok(drafts.length > 50, "there is something to see");

  const pressed = await fetch(url, { method: "POST", redirect: "manual" });
  assert.equal(pressed.headers.get("Location"), `${url}/stale-drafts/drafts`);
  const mine = (page) => page.drafts.find(({ prompt }) => prompt === "a fox in the snow");
  const after = await until(list, (page) => mine(page)?.status === "failed");
  assert.match(mine(after).error, /^Generation timeout: Task stuck in pending status for \d+ seconds?$/);
  assert.equal(mine(after).refunded_tokens, 10);
  assert.equal(after.balance, balance);
  assert.match(await (await fetch(`${url}/stale-drafts/drafts`, { headers })).text(), /Failed/);
  await until(() => fetch(`${url}/stale-drafts/readyz`), ({ status }) => status === 200);
  await until(first.output, (output) => /^✓ The cron trigger has run\. It is fired every minute\.$/m.test(output));
  const said = first.output().length;
  assert.equal(await first.stop(), true);
  await assert.rejects(fetch(url), "nothing is left behind");
  assert.doesNotMatch(first.output().slice(said), /Error|✗/);

  // The second start keeps what is there.
  const second = await start(t, path);
  const later = await (await fetch(`${second.url}/stale-drafts/api/drafts`, { headers })).json();
  assert.equal(later.balance, balance);
  assert.ok(mine(later));
  await second.stop();
});

test("the Deploy button's rules: one Worker, everything in the repository described, no secret in it", async (t) => {
  const { path } = await create(t, "Größe & More");
  const described = json(path, "package.json");
  assert.equal(described.name, "gro-e-more");
  const { name, main, d1_databases: databases, vars } = JSON.parse(read(path, "wrangler.jsonc").replace(/^\s*\/\/.*$|(?<=[,}\]]) \/\/ .*$/gm, ""));
  assert.equal(name, described.name);
  assert.ok(existsSync(join(path, main)));
  assert.deepEqual(databases.map(({ binding, database_id: id }) => [binding, id]), [["DB", undefined]]);

  const example = read(path, ".dev.vars.example").split("\n").filter((line) => /^\w+=/.test(line));
  // A placeholder would be deployed by somebody; an empty one is refused.
  assert.deepEqual(example, SECRETS.map((secret) => `${secret}=`));
  const named = [...databases.map(({ binding }) => binding), ...Object.keys(vars), ...SECRETS];
  assert.deepEqual(Object.keys(described.cloudflare.bindings), named);
  for (const { description } of Object.values(described.cloudflare.bindings)) assert.match(description, /^[A-Z].*\.$/);
  assert.match(described.scripts.deploy, /wrangler deploy.*npm run migrate/);
  assert.match(described.scripts.migrate, /wrangler d1 migrations apply DB --remote/);

  execFileSync("git", ["init", "--quiet"], { cwd: path });
  const listed = execFileSync("git", ["ls-files", "--others", "--exclude-standard"], { cwd: path }).toString().trim().split("\n");
  assert.deepEqual(listed, [".dev.vars.example", ".gitignore", "README.md", "package.json", "src/index.ts", "tsconfig.json", "wrangler.jsonc"]);
  assert.equal(statSync(join(path, ".dev.vars")).mode & 0o777, 0o600);
  const values = read(path, ".dev.vars").match(/(?<=^\w+(TOKEN|SECRET)=).*$/gm);
  assert.equal(new Set(values).size, SECRETS.length);
  assert.ok(read(path, "src/index.ts").trimEnd().split("\n").length <= 30);
});

test("the template names the versions that it was tested with", () => {
  const { dependencies, devDependencies, engines } = json(template, "package.json");
  const { version } = json(root, "pkg/package.json");
  assert.equal(json(root, "pkg/create/package.json").version, version);
  assert.deepEqual(dependencies, { "stale-drafts": `^${version}` });
  const { wrangler } = json(root, "package.json").devDependencies;
  assert.deepEqual(devDependencies, { wrangler });
  assert.equal(`${engines.node}.0.0`, json(root, "node_modules/wrangler/package.json").engines.node);
});

test("npm create stale-drafts in other places", async (t) => {
  const create = (path, args, options) => run(path, args, { command: CREATE, ...options });
  const empty = folder(t);
  const here = await create(empty, []);
  assert.equal(here.code, 0, here.output);
  assert.ok(existsSync(join(empty, "wrangler.jsonc")));
  assert.doesNotMatch(here.output, /^ {2}cd /m);

  const again = await create(empty, []);
  assert.deepEqual(again, { code: 2, output: "✗ name a folder: npm create stale-drafts stale-drafts-app\n" });
  const project = await create(empty, ["."]);
  assert.deepEqual(project, { code: 1, output: "✗ `.` holds a project already. To add Stale Drafts to it, run there:\n  npm install stale-drafts\n  npx stale-drafts init\n" });

  const asked = await create(empty, [], { type: (seen) => (seen.includes("In which folder?") ? "\r" : undefined) });
  assert.equal(asked.code, 0, asked.output);
  assert.equal(json(empty, "stale-drafts-app/package.json").name, "stale-drafts-app");

  const full = folder(t, { "notes.txt": "mine", "more.txt": "mine" });
  assert.deepEqual(await create(full, ["."]), { code: 1, output: "✗ `.` is not empty: it has `more.txt` and 1 more. Name a new folder.\n" });
  assert.match((await create(full, ["notes.txt"])).output, /^✗ can't use `.*notes\.txt`: a part of its path is a file\n$/);
  assert.deepEqual(await create(full, ["new", "--from", "none.tgz"]), { code: 1, output: "✗ there is no file `none.tgz`\n" });
  assert.deepEqual(readdirSync(full).sort(), ["more.txt", "notes.txt"]);
  assert.match((await create(full, ["new", "--form", "x"])).output, /^✗ unknown flag `--form`, did you mean `--from`\?/);
  const help = await create(full, ["--help"]);
  assert.deepEqual(tooLong(help.output), []);
  assert.match(help.output, /^Usage: npm create stale-drafts/);
});
