// The built Worker and its dashboard on workerd, with a real D1 in a folder, the real clock, and the circuit breaker at its default.

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

/** Has the database beside them, at an address of its own. Miniflare's own way in would hold the driver up until it is answered. */
const PROBE = `
export default {
  async fetch(request, { DB }) {
    const statements = (await request.json()).map(([sql, ...values]) => DB.prepare(sql).bind(...values));
    return Response.json((await DB.batch(statements)).map(({ results }) => results));
  },
};
`;

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
      { name: "probe", modules: true, script: PROBE, compatibilityDate: "2026-04-20", d1Databases: { DB: "load" }, unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] },
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
    const probe = await miniflare.unsafeGetDirectURL("probe");
    /** Runs `[sql, …values]` in one transaction; gives the rows of each. */
    const batch = async (statements) => {
      const response = await fetch(probe, { method: "POST", body: JSON.stringify(statements) });
      if (!response.ok) throw new Error(`the database answered ${response.status}: ${await response.text()}`);
      return response.json();
    };
    const all = async (...statement) => (await batch([statement]))[0];
    if ((await all("SELECT name FROM sqlite_schema WHERE name = 'stale_drafts_creations'")).length === 0) {
      for (const name of readdirSync(join(root, "migrations")).sort()) {
        await batch(statements(readFileSync(join(root, "migrations", name)).toString()).map((sql) => [sql]));
      }
    }
    return { url, logs, batch, all, stop: () => miniflare.dispose() };
  } catch (error) {
    await miniflare.dispose();
    throw new Error(`${error.message}\n${logs.join("\n")}`);
  }
}
