// The benchmark of a sweep, small: the figures of docs/proof.md that repeat exactly, printed by its own command.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const bench = (...args) => promisify(execFile)(process.execPath, [join(import.meta.dirname, "../../scripts/bench-sweep.mjs"), "--counts", ...args]);

/** The cells of the row that begins with these. */
const cells = (output, ...first) => {
  const rows = output.split("\n").filter((line) => line.startsWith("|")).map((line) => line.slice(1, -1).split("|").map((cell) => cell.trim()));
  const row = rows.find((cells) => first.every((cell, at) => cells[at] === cell));
  assert.ok(row, `${first} is not in\n${output}`);
  return row.slice(first.length);
};

test("each contender does the work, and the rows and queries are those that are documented", { timeout: 300_000 }, async () => {
  const { stdout } = await bench("--sizes", "10000", "--stale", "1,10", "--most", "200");
  // Queries for 1,000, rows read and written for each; then those of an idle sweep.
  assert.deepEqual(cells(stdout, "10,000, 1 %", "one by one").slice(0, 6), ["3,010", "23.02", "4.000", "1", "2,002", "0"]);
  assert.deepEqual(cells(stdout, "10,000, 10 %", "one by one").slice(0, 3), ["≈3,001", "≈5.00", "≈4.000"]);
  assert.deepEqual(cells(stdout, "10,000, 10 %", "one UPDATE").slice(0, 6), ["1", "4.00", "3.000", "1", "2", "0"]);
  assert.deepEqual(cells(stdout, "10,000, 1 %", "Stale Drafts").slice(0, 6), ["50", "10.28", "3.070", "2", "21", "1"]);
  assert.deepEqual(cells(stdout, "10,000, 10 %", "Stale Drafts").slice(0, 6), ["5", "10.03", "3.007", "2", "21", "1"]);
  assert.deepEqual(cells(stdout, "one owner", "no events"), ["5", "11.03", "2.008"]);
  assert.deepEqual(cells(stdout, "all different", "an event for each"), ["5", "11.03", "4.007"]);
  for (const target of ["rows written, one owner", "rows written for an event", "rows read, the circuit breaker's share included", "queries for 1,000", "the Worker, gzip"]) {
    assert.equal(cells(stdout, target).at(-1), "yes", target);
  }
});

test("wrong input is explained", async () => {
  await assert.rejects(bench("--sizes", "many"), /--sizes takes numbers from 1000, such as `10000`; it was `many`\.\nUsage/);
  await assert.rejects(bench("--size", "10"), /Unknown option '--size'[^]*Usage/);
});
