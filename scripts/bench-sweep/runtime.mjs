// Each contender as a Worker on workerd, behind the same meter.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { transformSync } from "esbuild";
import { Miniflare } from "miniflare";
import { statements } from "../../tests/worker/harness.mjs";
import { Help, root, sh } from "../lib.mjs";
import { NOW, PLAIN } from "./database.mjs";

const CLEANUP_TOKEN = "n0t-Used-Anywhere-Else-Cleanup-5e21d";
const here = (name) => readFileSync(join(import.meta.dirname, name), "utf8");
const built = (name, folder = "pkg/dist/worker") => readFileSync(join(root, folder, name));

export const CONTENDERS = {
  naive: { name: "one by one", minutes: 60 },
  "set-based": { name: "one UPDATE", minutes: 1 },
  "stale-drafts": { name: "Stale Drafts", minutes: 1, batches: true },
};

const worker = (key, config) => {
  const modules = [
    { type: "ESModule", path: join(root, "pkg/dist/worker/meter.js"), contents: here("meter.js") },
    { type: "ESModule", path: join(root, "pkg/dist/worker/contender.js"), contents: here(`${key}.js`) },
  ];
  if (key === "stale-drafts") {
    modules.push(
      { type: "ESModule", path: join(root, "pkg/dist/worker/index.js"), contents: built("index.js").toString() },
      { type: "CompiledWasm", path: join(root, "pkg/dist/worker/index_bg.wasm"), contents: built("index_bg.wasm") },
    );
  }
  const { batches = false } = CONTENDERS[key];
  return {
    modules,
    modulesRoot: join(root, "pkg/dist/worker"),
    compatibilityDate: "2026-07-01",
    d1Databases: { DB: "bench" },
    bindings: { BATCHES: batches, CLEANUP_TOKEN, JWT_SECRET: "n0t-Used-Anywhere-Else-JwtSecret-0c8fe", WEBHOOK_SECRET: `whsec_${"A".repeat(40)}`, STALE_DRAFTS: config },
  };
};

/** Starts a contender on the database below `folder`. */
export async function start(key, folder, config = { circuit_breaker: "off", rows_per_sweep: 1_000 }) {
  const errors = [];
  const miniflare = new Miniflare({
    ...worker(key, config),
    cf: false,
    d1Persist: folder,
    handleRuntimeStdio(stdout, stderr) {
      // It is read so that the pipe does not fill; a line per marked creation is not for this page.
      stdout.resume();
      stderr.on("data", (text) => errors.push(String(text)));
    },
  });
  await miniflare.ready;
  return {
    async sweep(orders) {
      const response = await miniflare.dispatchFetch("http://bench/", { method: "POST", body: JSON.stringify({ now: NOW, most: 1e9, limit: 1_000, ...orders }) });
      const text = await response.text();
      if (response.status !== 200) throw new Help(`${key}: ${text}\n${errors.slice(-5).join("")}`);
      return JSON.parse(text);
    },
    stop: () => miniflare.dispose(),
  };
}

/** Makes an empty database with a contender's schema: `plain`, or this project's migrations. */
export async function migrate(folder, plain) {
  const miniflare = new Miniflare({ modules: true, script: "export default {}", d1Databases: { DB: "bench" }, d1Persist: folder, cf: false });
  const database = await miniflare.getD1Database("DB");
  const list = plain ? PLAIN : readdirSync(join(root, "migrations")).sort().flatMap((name) => statements(readFileSync(join(root, "migrations", name), "utf8")));
  for (const sql of list) await database.prepare(sql).run();
  await miniflare.dispose();
}

/** What is deployed, in bytes, gzip. */
export function bytes(key) {
  if (key !== "stale-drafts") return gzipSync(transformSync(here(`${key}.js`), { minify: true, format: "esm" }).code, { level: 9 }).length;
  return ["index.js", "index_bg.wasm"].reduce((sum, name) => sum + gzipSync(built(name), { level: 9 }).length, 0);
}

/** Compiling the whole WebAssembly and making an instance of it, in ms, in a process that has not seen it before. */
export async function startup() {
  const script = "const { readFileSync } = require('node:fs'); const bytes = readFileSync(process.argv[1]); const begun = performance.now(); const module = new WebAssembly.Module(bytes); console.log(performance.now() - begun);";
  return Number(await sh(process.execPath, ["--no-wasm-lazy-compilation", "-e", script, join(root, "pkg/dist/worker/index_bg.wasm")], { quiet: true }));
}
