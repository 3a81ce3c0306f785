// The command on documents, and a D1 database of its own by wrangler, as somebody who moves has them.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const COMMAND = join(root, "target/debug/mark-stale-drafts");
export const WRANGLER = join(root, "node_modules/.bin/wrangler");
export const fixture = (name) => join(root, "tests/import/fixtures/small", name);

/** The mapping of docs/import.md, which is that of the data here. */
export const MAPPING = readFileSync(join(root, "docs/import.md"), "utf8").match(/^```json mapping\n(.*?)^```$/ms)[1];

/** A folder with files, which goes with the test. The database's id is the one of tests/worker/harness.mjs. */
export function folder(t, files = {}) {
  const path = mkdtempSync(join(tmpdir(), "stale-drafts-import-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  const wrangler = `name = "moved"\ncompatibility_date = "2026-07-01"\n\n[[d1_databases]]\nbinding = "DB"\ndatabase_name = "test"\ndatabase_id = "test"\nmigrations_dir = "${join(root, "migrations")}"\n`;
  for (const [name, text] of Object.entries({ "wrangler.toml": wrangler, "mapping.json": MAPPING, ...files })) writeFileSync(join(path, name), text);
  return path;
}

/** Runs a command in a folder to its end. */
export function run(cwd, command, args, { input, env } = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd, env: { PATH: process.env.PATH, HOME: cwd, CI: "1", NO_COLOR: "1", WRANGLER_SEND_METRICS: "false", ...env } });
    const result = { out: "", err: "" };
    child.stdout.on("data", (text) => { result.out += text; });
    child.stderr.on("data", (text) => { result.err += text; });
    child.on("close", (code) => done({ ...result, code }));
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

export const firestore = (cwd, ...args) => run(cwd, COMMAND, ["import", "firestore", ...args]);
export const verify = (cwd, ...args) => run(cwd, COMMAND, ["import", "verify", "--database", "DB", "--wrangler", WRANGLER, "--mapping", "mapping.json", ...args]);

/** Runs wrangler on the folder's database. */
export async function d1(cwd, ...args) {
  const result = await run(cwd, WRANGLER, ["d1", ...args]);
  if (result.code !== 0) throw new Error(`wrangler d1 ${args.join(" ")}: ${result.out}${result.err}`);
  return result.out;
}

/** The rows of a file of SQL, in order. */
export const rows = (sql) => [...sql.matchAll(/^\((?:[^']|'(?:[^']|'')*')*?\)(?=[,;]$)/gm)].map(([row]) => row).sort();
