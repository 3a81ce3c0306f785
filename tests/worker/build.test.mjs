// What is deployed: the Worker and nothing else, within its budget.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const read = (name) => readFileSync(new URL(`../../pkg/dist/worker/${name}`, import.meta.url));

test("the Worker exports its handlers, and nothing of the browser package", () => {
  const names = WebAssembly.Module.exports(new WebAssembly.Module(read("index_bg.wasm"))).map(({ name }) => name);
  for (const handler of ["fetch", "scheduled"]) assert.ok(names.includes(handler), handler);
  for (const other of ["classify", "age", "base", "rule", "setting"]) assert.ok(!names.includes(other), other);
});

const gzipped = (file) => gzipSync(read(file), { level: 9 }).length;

// The plan was 450,000 for both. The pages' styles and scripts are 29 kB of the second, so that an app has nothing to copy. The finding
// of tasks that a broker delivers again, and the route by which a fleet asks for the policy, took 1 kB each of the first;
// retention, with R2, takes 18 kB; several databases, with what moves buckets between them, 90 kB; an owner's ledger with its page, more
// time for creations and kinds, and a limit per owner, 45 kB; retries, of many too, cancellations and partial results 50; the explorer
// with what an operator may do there 75; alerts in chats, histograms and asking 50; answers without a database, and sums of old entries, 20; which buckets each database has
// on record, and what the explorer draws and counts, 40; what is said of a move that the configuration or a database has led astray, 5; what
// finds another database in place of one, users of what was given away and a move that is in the way, and removes what a restore brought
// back, 8; whom a move holds, and until when, 4; parts of what is long on the move, the end that a kind had, and others, 4; the audit by pages, and tables
// whose rows are cards on a phone, 11; whose an id is that several users have, and what was written into a form that is refused, 2; what is asked before a move removes anything, and that a failure used all of its charge, 4. Of the second,
// German, Japanese and what speaks them are 7 kB, half of it the tokens, the buttons and what is refused; a function for each operation,
// half a kB; of the first, the page's texts by keys and the choice of a language 8 kB.
test("the Worker has at most 907,000 bytes of WebAssembly and 48,000 of JavaScript, gzip", () => {
  assert.ok(gzipped("index_bg.wasm") <= 907_000, `${gzipped("index_bg.wasm")} bytes`);
  assert.ok(gzipped("index.js") <= 48_000, `${gzipped("index.js")} bytes`);
});
