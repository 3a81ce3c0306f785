// Every build of the rules gives one answer: native, WebAssembly, JavaScript by wasm2js, and WebAssembly on workerd, on drafts
// and policies that are made by a seed. AGREEMENT_CASES=200000 asks for more drafts, AGREEMENT_SEED for others.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { answer, batch } from "./agreement.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const dist = join(root, "pkg/dist");
const require = createRequire(import.meta.url);
const seed = Number(process.env.AGREEMENT_SEED ?? 1);
const batches = Math.ceil(Number(process.env.AGREEMENT_CASES ?? 20_000) / 20);
const numbers = (from, to) => Array.from({ length: to - from }, (_, at) => from + at);

let native;
before(async () => {
  native = await ask(numbers(0, batches).map((number) => batch(seed, number).native));
});

/** What the native rules answer. */
function ask(cases) {
  return new Promise((done, fail) => {
    const child = spawn(join(root, "target/debug/examples/verdicts"), { stdio: ["pipe", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", fail);
    child.on("close", (code) => (code === 0 ? done(output.trimEnd().split("\n").map((line) => JSON.parse(line))) : fail(new Error(`the native rules ended with code ${code}`))));
    child.stdin.end(cases.map((one) => JSON.stringify(one) + "\n").join(""));
  });
}

/** Holds what a build answers against the native answers. */
function compare(number, found) {
  const made = batch(seed, number);
  const where = () => `AGREEMENT_SEED=${seed}, batch ${number}, policy ${JSON.stringify(made.native.settings)}, from ${made.native.earliest} to ${made.native.latest}`;
  let expected = native[number];
  if (made.plain && expected.error) {
    // The words for a single limit are the package's own.
    assert.match(found.error ?? "", /^`policy` is `.*`: expected hours above 0, "never", a preset or a policy\(\)$/s, where());
    return;
  }
  assert.deepEqual(found.error, expected.error, where());
  for (const [at, verdict] of (expected.verdicts ?? []).entries()) {
    if (made.plain) verdict[8] = null;
    assert.deepEqual(found.verdicts[at], verdict, `${where()}, draft ${JSON.stringify(made.native.drafts[at])}`);
  }
}

const builds = {
  wasm: () => import(join(dist, "esm/index.js")),
  wasm2js: () => import(join(dist, "js/index.js")),
  "wasm, CommonJS": () => require(join(dist, "cjs/index.cjs")),
  "wasm2js, CommonJS": () => require(join(dist, "js-cjs/index.cjs")),
};
for (const [name, load] of Object.entries(builds)) {
  test(`native and ${name} agree`, async () => {
    const api = await load();
    for (const number of numbers(0, batches)) compare(number, answer(api, batch(seed, number)));
  });
}

test("native and wasm on workerd agree", async () => {
  const worker = `import * as api from "./dist/index.js";
    import { answer, batch } from "./tests/package/agreement.mjs";
    export default { async fetch(request) {
      const { seed, numbers } = await request.json();
      return Response.json(numbers.map((number) => answer(api, batch(seed, number))));
    } };`;
  const file = (path, from) => ({ path: `/${path}`, contents: readFileSync(from, path.endsWith(".wasm") ? undefined : "utf8") });
  const modules = [
    { type: "ESModule", path: "/worker.js", contents: worker },
    ...["tests/package/agreement.mjs", "scripts/random.mjs"].map((name) => ({ type: "ESModule", ...file(name, join(root, name)) })),
    ...readdirSync(join(dist, "workerd")).filter((name) => /\.(js|wasm)$/.test(name) && !/^(client|element|react)\./.test(name)).map((name) => ({ type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule", ...file(`dist/${name}`, join(dist, "workerd", name)) })),
  ];
  const miniflare = new Miniflare({ modules, modulesRoot: "/", compatibilityDate: "2026-07-01", cf: false });
  try {
    for (let from = 0; from < batches; from += 500) {
      const some = numbers(from, Math.min(from + 500, batches));
      const response = await miniflare.dispatchFetch("http://localhost/", { method: "POST", body: JSON.stringify({ seed, numbers: some }) });
      const found = await response.json();
      for (const [at, number] of some.entries()) compare(number, found[at]);
    }
  } finally {
    await miniflare.dispose();
  }
});

test("what is made reaches everything", () => {
  const seen = new Map();
  const count = (what) => seen.set(what, (seen.get(what) ?? 0) + 1);
  for (const number of numbers(0, batches)) {
    const { error, verdicts = [] } = native[number];
    if (error) count(error.replace(/^.*(?=: expected )/s, (key) => (key.startsWith("unknown") ? "unknown key" : "")));
    for (const [verdict, , badge, , code, deadline, age, limit] of verdicts) {
      count(`${verdict} ${badge} ${code}`);
      if (verdict === "stale" && age === limit + 1) count("1 ms beyond its limit");
      if (verdict === "fresh" && deadline === batch(seed, number).native.latest) count("at its limit");
    }
  }
  // 12 verdicts, both sides of a limit, and the 9 messages about a policy.
  assert.equal(seen.size, 23, JSON.stringify([...seen], null, 1));
});
