// The built Worker and its dashboard on workerd, with a real D1 in a folder, the real clock, and the brake at its default.

import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { CLEANUP_TOKEN, JWT_SECRET, WORKER_TOKEN, statements } from "../worker/harness.mjs";
import { WEBHOOK_SECRET } from "./webhook.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** A Worker that the build left in `folder`. */
const built = (folder) => ({
  modules: [
    { type: "ESModule", path: join(root, folder, "index.js") },
    { type: "CompiledWasm", path: join(root, folder, "index_bg.wasm") },
  ],
  modulesRoot: join(root, folder),
  compatibilityDate: "2026-04-20",
  d1Databases: { DB: "load" },
});

/** Starts them over the database in `folder`, which is made there if it is not. */
export async function stand({ folder, policy, webhook_url }) {
  const logs = [];
  const bindings = { STALE_DRAFTS: { auth: { cookie: "session" }, policy, webhook_url }, JWT_SECRET, CLEANUP_TOKEN, REPORT_TOKEN: WORKER_TOKEN, WEBHOOK_SECRET };
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    logRequests: false,
    unsafeTriggerHandlers: true,
    defaultPersistRoot: folder,
    workers: [
      { ...built("build"), name: "stale-drafts", bindings, serviceBindings: { DASHBOARD: "dashboard" }, assets: { directory: join(root, "www"), routerConfig: { has_user_worker: true } } },
      { ...built("build-dashboard"), name: "dashboard", bindings },
    ],
    handleRuntimeStdio(stdout, stderr) {
      for (const stream of [stdout, stderr]) {
        let rest = "";
        stream.setEncoding("utf8");
        stream.on("data", (text) => {
          const lines = (rest + text).split("\n");
          rest = lines.pop();
          // Only what may be wrong: a line for each creation that was marked would fill the memory that is measured.
          logs.push(...lines.filter((line) => line && !line.startsWith('{"level":"info"') && !line.includes('"level":"info"')));
        });
      }
    },
  });
  try {
    const url = (await miniflare.ready).origin;
    const database = await miniflare.getD1Database("DB");
    const all = async (sql, ...values) => (await database.prepare(sql).bind(...values).all()).results;
    if ((await all("SELECT name FROM sqlite_schema WHERE name = 'creations'")).length === 0) {
      for (const name of readdirSync(join(root, "migrations")).sort()) {
        for (const sql of statements(readFileSync(join(root, "migrations", name)).toString())) await database.prepare(sql).run();
      }
    }
    return { url, logs, database, all, stop: () => miniflare.dispose() };
  } catch (error) {
    await miniflare.dispose();
    throw new Error(`${error.message}\n${logs.join("\n")}`);
  }
}
