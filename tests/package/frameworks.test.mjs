// `stale-drafts/worker` from the packed package, unconfigured, in the tools that teams build their Workers with: checked, built, run
// in workerd, with a creation that goes stale, is swept by the cron trigger and shows failed on a page that the app renders.
// `FRAMEWORKS=all` has the frameworks of pages too.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { ok } from "./consumers/install.mjs";
import { apps } from "./frameworks/apps.mjs";
import { serve, tool, world } from "./frameworks/install.mjs";
import { startUp } from "./frameworks/start-up.mjs";

// The first run installs hundreds of megabytes.
const timeout = 900_000;

const worlds = {};
const folderOf = async ({ home, folder = "." }) => join((await (worlds[home] ??= world(home))).home, folder);
after(async () => {
  for (const made of Object.values(worlds)) (await made).remove();
});

const FAILED = /<li[^>]*>❌ Failed a fox: Generation timeout: Task stuck in pending status for 2\.0 hours<\/?(?:li|ul)>/;

/** Runs SQL in the app's local database, beside the server that has it open. */
function sql(folder, command, ...values) {
  const databases = join(folder, ".wrangler/state/v3/d1/miniflare-D1DatabaseObject");
  const [file] = readdirSync(databases).filter((name) => /^[0-9a-f]+\.sqlite$/.test(name));
  const database = new DatabaseSync(join(databases, file), { timeout: 5_000 });
  try {
    return database.prepare(command).get(...values);
  } finally {
    database.close();
  }
}

async function make(url, path = "/") {
  const response = await fetch(url + path, { method: "POST", headers: { Origin: url, "Content-Type": "application/json" } });
  const text = await response.text();
  assert.equal(response.status, 201, text);
  return JSON.parse(text).id;
}

async function life(folder, url, path) {
  const id = await make(url, path);
  sql(folder, "UPDATE stale_drafts_creations SET created_at = created_at - 7200000 WHERE id = ?", id);
  const cron = await fetch(`${url}/cdn-cgi/handler/scheduled`);
  assert.equal(await cron.text(), "ok");
  assert.equal(sql(folder, "SELECT status FROM stale_drafts_creations WHERE id = ?", id).status, "failed");
  const page = await (await fetch(url)).text();
  assert.match(page, FAILED);
  assert.match(page, />100 tokens/);
  const style = await fetch(`${url}/stale-drafts/drafts.css`);
  assert.deepEqual([style.status, style.headers.get("Content-Type")], [200, "text/css; charset=utf-8"]);
}

for (const app of apps) {
  test(app.name, { timeout }, async (t) => {
    const folder = await folderOf(app);
    await tool(folder, ["wrangler", "d1", "migrations", "apply", "STALE_DRAFTS_DB", "--local"]);
    await t.test("its types hold", async () => {
      for (const command of app.check) await tool(folder, command);
    });
    await t.test("built and run, a stale creation is failed by the cron trigger", async () => {
      for (const command of app.build ?? []) await tool(folder, command);
      await serve(folder, app.serve, (url) => life(folder, url, app.make));
    });
    if (app.develop === undefined) return;
    await t.test("its development server has the same functions and data", () => serve(folder, app.develop, async (url) => {
      await make(url, app.make);
      const page = await (await fetch(url)).text();
      assert.match(page, FAILED);
      assert.match(page, /⏳ Pending a fox/);
    }));
  });
}

test("Vitest, with Cloudflare's plugin", { timeout }, async () => {
  const folder = await folderOf({ home: "workers", folder: "vitest" });
  await tool(folder, ["wrangler", "types"]);
  await tool(folder, ["tsc", "-p", "."]);
  await tool(folder, ["vitest", "run"]);
});

test("Node, with the proxies of the bindings", { timeout }, async () => {
  const folder = await folderOf({ home: "workers", folder: "node" });
  await tool(folder, ["wrangler", "d1", "migrations", "apply", "STALE_DRAFTS_DB", "--local"]);
  const output = await ok(process.execPath, ["main.mjs"], folder);
  assert.deepEqual(JSON.parse(output.match(/^answer: (.*)$/m)[1]), [
    "failed", true, "not_found", 200,
    "`stale-drafts/worker` is bundled for Node and runs in a Worker: expected an import of it in the file that `main` names too",
  ]);
});

test("what it adds to a Worker: bytes, and time to start", { timeout }, async (t) => {
  const sizes = {};
  for (const name of ["empty", "typescript"]) {
    const folder = await folderOf({ home: "workers", folder: name });
    await tool(folder, ["wrangler", "deploy", "--dry-run", "--outdir", "out"]);
    const out = join(folder, "out");
    const files = readdirSync(out).filter((file) => /\.(js|wasm)$/.test(file)).map((file) => readFileSync(join(out, file)));
    sizes[name] = files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).length, 0);
  }
  const added = sizes.typescript - sizes.empty;
  t.diagnostic(`${added.toLocaleString("en")} bytes, gzip`);
  const { app, empty } = await startUp(join(await folderOf({ home: "workers", folder: "typescript" }), "out"));
  t.diagnostic(`to start: ${app.toFixed(1)} ms, an empty Worker ${empty.toFixed(1)} ms, the best of 15 each, one after the other`);
  assert.ok(added < 957_000, `${added} bytes`);
});
