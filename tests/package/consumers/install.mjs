// A folder in which the packed package is installed beside the tools that use it, and a program for each.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { capture } from "../../../scripts/lib.mjs";
import { FIXTURES } from "./fixtures.mjs";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

// Vite's server runs in the tests' process and sets its NODE_ENV, which the others must not see.
export async function ok(command, args, cwd) {
  const env = { CI: "1", NODE_OPTIONS: "", NODE_TEST_CONTEXT: undefined, NODE_ENV: undefined, NEXT_TELEMETRY_DISABLED: "1", WRANGLER_SEND_METRICS: "false" };
  const { code, output } = await capture(command, args, { cwd, env });
  assert.equal(code, 0, `${command} ${args.join(" ")}\n${output.slice(-3_000)}`);
  return output.trim();
}

/** Installs the tools of a package.json and its lock in `folder`. */
export async function install(folder) {
  const home = mkdtempSync(join(tmpdir(), "stale-drafts-consumers-"));
  for (const name of ["package.json", "package-lock.json"]) cpSync(join(root, folder, name), join(home, name));
  await ok("npm", ["pack", "--pack-destination", home], join(root, "pkg"));
  const tarball = join(home, readdirSync(home).find((name) => name.endsWith(".tgz")));
  // Not `npm ci`: it takes Next's optional packages for other machines, which no lock file lists, for missing.
  await ok("npm", ["install", "--no-save", "--no-audit", "--no-fund", tarball], home);
  for (const [consumer, files] of Object.entries(FIXTURES)) {
    for (const [name, text] of Object.entries(files)) {
      const file = join(home, consumer, name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  }
  return {
    home,
    tarball,
    bin: (name) => join(home, "node_modules/.bin", name),
    remove: () => rmSync(home, { recursive: true, force: true }),
  };
}

/** Builds `main.js` of a consumer with its webpack; gives the bundle's file. */
export async function pack(webpack, folder) {
  const filename = "webpack.cjs";
  const stats = await new Promise((done, fail) =>
    webpack({ mode: "production", context: folder, entry: "./main.js", performance: false, output: { path: folder, filename } }, (error, stats) => (error ? fail(error) : done(stats))));
  assert.equal(stats.hasErrors() || stats.hasWarnings(), false, stats.toString());
  return filename;
}
