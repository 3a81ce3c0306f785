// Folders in which the packed package is installed beside the tools of a framework, and an app.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { constants, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { start } from "../../../scripts/lib.mjs";
import { ok, root } from "../consumers/install.mjs";

const FIXTURES = join(root, "tests/package/frameworks");
const LOCKED = ["package.json", "package-lock.json"];
// Not `npm ci`: see tests/package/consumers/install.mjs.
const INSTALL = ["install", "--no-save", "--no-audit", "--no-fund"];
process.env.ASTRO_TELEMETRY_DISABLED = "1";

/** The tools of a lock, installed once for each on this machine: hundreds of megabytes. */
async function tools(fixture) {
  const lock = createHash("sha256").update(readFileSync(join(fixture, "package-lock.json"))).digest("hex").slice(0, 16);
  const cache = join(tmpdir(), "stale-drafts-frameworks", lock);
  if (existsSync(cache)) return cache;
  mkdirSync(dirname(cache), { recursive: true });
  const made = mkdtempSync(`${cache}-`);
  for (const name of LOCKED) cpSync(join(fixture, name), join(made, name));
  await ok("npm", INSTALL, made);
  try {
    renameSync(made, cache);
  } catch (error) {
    if (!existsSync(cache)) throw error;
    // Another run was faster.
    rmSync(made, { recursive: true, force: true });
  }
  return cache;
}

/** A fixture, with the package in it: its folder, and how to remove that. */
export async function world(name) {
  const fixture = join(FIXTURES, name);
  const cache = await tools(fixture);
  const home = mkdtempSync(join(tmpdir(), `stale-drafts-${name}-`));
  const copy = (from, to) => cpSync(from, to, { recursive: true, verbatimSymlinks: true, mode: constants.COPYFILE_FICLONE });
  copy(join(cache, "node_modules"), join(home, "node_modules"));
  copy(fixture, home);
  await ok("npm", ["pack", "--pack-destination", home], join(root, "pkg"));
  await ok("npm", [...INSTALL, join(home, readdirSync(home).find((file) => file.endsWith(".tgz")))], home);
  // An app of several that are installed together has its packages beside its configuration, as any app has.
  if (!existsSync(join(home, "wrangler.toml"))) {
    for (const { name: folder } of readdirSync(fixture, { withFileTypes: true }).filter((entry) => entry.isDirectory())) symlinkSync(join(home, "node_modules"), join(home, folder, "node_modules"), "junction");
  }
  return { home, remove: () => rmSync(home, { recursive: true, force: true }) };
}

/** Runs a command of an app's packages. */
export const tool = (folder, [command, ...args]) => ok(join(folder, "node_modules/.bin", command), args, folder);

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, () => {
      const { port } = server.address();
      server.close(() => done(String(port)));
    });
  });
}

/** Serves an app by a command of its packages while `use` runs with its address; what it printed explains a failure. */
export async function serve(folder, command, use) {
  const port = await freePort();
  const [name, ...args] = command(port);
  const env = { ...process.env, CI: "1", NODE_OPTIONS: "", NODE_TEST_CONTEXT: undefined, NODE_ENV: undefined, NEXT_TELEMETRY_DISABLED: "1", WRANGLER_SEND_METRICS: "false" };
  const child = start(join(folder, "node_modules/.bin", name), args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => { output += text; });
  const closed = new Promise((done) => child.on("close", done));
  const url = `http://localhost:${port}`;
  try {
    while (!(await fetch(url).then(() => true, () => false))) {
      assert.equal(child.exitCode, null, "it ended");
      await wait(200);
    }
    return await use(url);
  } catch (error) {
    throw new Error(`${name} ${args.join(" ")}: ${error.message}\n${output.slice(-4_000)}`, { cause: error });
  } finally {
    // The whole group: its tools start servers of their own.
    process.kill(-child.pid, "SIGTERM");
    await Promise.race([closed, wait(5_000).then(() => process.kill(-child.pid, "SIGKILL"))]).catch(() => {});
  }
}
