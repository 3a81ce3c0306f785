// How long a Worker takes to load, compile, start and answer, beside an empty one, in one workerd: the difference is what it adds.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Miniflare } from "miniflare";

const ROUNDS = 15;

/** Loads a Worker for each request. No module is the same twice: workerd keeps what it has compiled. */
const LOADER = (wasm) => `
import main from "./main.txt";
import bytes from "./main.bin";
let loads = 0;
function unlike(number) {
  const section = [0, 6, 1, 120, ...new Uint8Array(new Uint32Array([number]).buffer)];
  const module = new Uint8Array(bytes.byteLength + section.length);
  module.set(new Uint8Array(bytes));
  module.set(section, bytes.byteLength);
  return module.buffer;
}
export default {
  async fetch(request, env) {
    const load = loads++;
    const modules = request.url.endsWith("/empty")
      ? { "index.js": 'export default { fetch: () => new Response("") };' }
      : { "index.js": main, ${JSON.stringify(wasm)}: { wasm: unlike(load) } };
    const worker = env.LOADER.get(String(load), () => ({ compatibilityDate: "2026-07-01", mainModule: "index.js", modules }));
    return worker.getEntrypoint().fetch("http://app.example/stale-drafts/drafts.css", { method: "HEAD" });
  },
};
`;

/** The shortest times in ms of what `wrangler deploy --outdir` wrote, and of an empty Worker. */
export async function startUp(folder) {
  const read = (name) => readFileSync(join(folder, name));
  const wasm = readdirSync(folder).find((name) => name.endsWith(".wasm"));
  const path = (name) => join(folder, name);
  const miniflare = new Miniflare({
    cf: false,
    compatibilityDate: "2026-07-01",
    workerLoaders: { LOADER: {} },
    modulesRoot: folder,
    modules: [
      { type: "ESModule", path: path("loader.js"), contents: LOADER(wasm) },
      { type: "Text", path: path("main.txt"), contents: read("index.js").toString() },
      { type: "Data", path: path("main.bin"), contents: read(wasm) },
    ],
  });
  const best = { app: Infinity, empty: Infinity };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of Object.keys(best)) {
        const begun = performance.now();
        const response = await miniflare.dispatchFetch(`http://loader.example/${name}`);
        await response.arrayBuffer();
        best[name] = Math.min(best[name], performance.now() - begun);
        if (response.status !== 200) throw new Error(`${name}: status ${response.status}`);
      }
    }
  } finally {
    await miniflare.dispose();
  }
  return best;
}
