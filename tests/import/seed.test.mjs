// The seed system's data: every form of it, against what must be made of it.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { firestore, folder, root, rows } from "./harness.mjs";

const at = (name) => join(root, "tests/import/fixtures", name);
const expected = JSON.parse(readFileSync(at("expected.json"), "utf8"));
const FORMS = {
  "rest pages": readdirSync(at("rest")).map((name) => at(`rest/${name}`)),
  "run-query": [at("run-query.json")],
  "documents": [at("documents.ndjson")],
  "firestore-export-import": [at("firestore-export-import.json")],
  "node-firestore-import-export": [at("node-firestore-import-export.json")],
  "managed export": [at("managed-export")],
};

for (const [name, sources] of Object.entries(FORMS)) {
  test(`the seed system by ${name}`, async (t) => {
    const path = folder(t);
    const { code, out, err } = await firestore(path, ...sources, "--mapping", "mapping.json", "--times", "milliseconds", "--json");
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
  });
}
