// What is deployed: the Worker and nothing else, within its budget.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const read = (name) => readFileSync(new URL(`../../build/${name}`, import.meta.url));

test("the Worker exports its handlers, and nothing of the browser package", () => {
  const names = WebAssembly.Module.exports(new WebAssembly.Module(read("index_bg.wasm"))).map(({ name }) => name);
  for (const handler of ["fetch", "scheduled"]) assert.ok(names.includes(handler), handler);
  for (const other of ["classify", "age", "base", "rule", "setting"]) assert.ok(!names.includes(other), other);
});

// The plan was 450,000. What keeps foreign pages, slow key sets, queries and lost answers in bounds takes 7 kB more.
test("the Worker has at most 460,000 bytes, gzip", () => {
  const bytes = ["index.js", "index_bg.wasm"].reduce((sum, file) => sum + gzipSync(read(file), { level: 9 }).length, 0);
  assert.ok(bytes <= 460_000, `${bytes} bytes`);
});
