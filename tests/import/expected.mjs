// What `import firestore` must make of the seed system's data, from whatever it was read.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { firestore, rows } from "./harness.mjs";

/** The options for the seed system's data, of which some times are numbers. */
export const SEED_MAPPING = ["--mapping", "mapping.json", "--times", "milliseconds"];

/** Imports the sources in a folder, and compares the report and both files with `expected` of seed-data.mjs. */
export async function importsAsExpected(path, sources, expected) {
  const { code, out, err } = await firestore(path, ...sources, ...SEED_MAPPING, "--json");
  assert.equal(code, 6, err);
  const { report } = JSON.parse(out);
  const by = (key, value) => {
    const sums = {};
    for (const row of report.creations) sums[row[key]] = (sums[row[key]] ?? 0) + row[value];
    return sums;
  };
  assert.deepEqual([report.users, report.balances], [expected.users, expected.balanceSum]);
  assert.deepEqual([by("status", "creations"), by("kind", "creations"), by("status", "tokens")], [expected.byStatus, expected.byKind, expected.tokensByStatus]);
  const owners = rows(readFileSync(join(path, "import.sql"), "utf8")).filter((row) => !row.startsWith("('user-")).map((row) => row.split(", ")[1]);
  assert.equal(owners.length, expected.creations);
  for (const owner of owners) assert.match(owner, /^'user-0\d\d'$/);
  const unreadable = readFileSync(join(path, "unreadable.ndjson"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(unreadable.map(({ path: document }) => document).sort(), expected.unreadable.map(({ path: document }) => document).sort());
  for (const { path: document, field } of expected.unreadable) {
    const { reason } = unreadable.find((found) => found.path === document);
    assert.ok(reason.startsWith(`\`${field}\` is `), `${document}: ${reason}`);
  }
}
