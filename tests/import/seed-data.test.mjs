// The fixtures are what the generator writes; the forms of one data set hold the same documents.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { exportImport, fixtureFiles, ndjson, nodeImportExport, restPages, runQuery, seedData } from "./seed-data.mjs";

test("the fixtures are what the generator writes", async () => {
  for (const [name, wanted] of Object.entries(fixtureFiles())) {
    assert.equal(await readFile(new URL(`fixtures/${name}`, import.meta.url), "utf8"), wanted, `${name} differs: \`node tests/import/write-fixtures.mjs\` writes it anew`);
  }
});

test("the same seed gives the same 2,000 creations of 50 users, in every form", () => {
  const data = seedData();
  assert.deepEqual(data, seedData());
  const { documents, expected } = data;
  assert.equal(documents.length, 2_000 + 50 + 1);
  assert.equal(expected.creations + expected.unreadable.length, 2_000);
  assert.equal(Object.keys(expected.balances).length, 50);

  const byName = (found) => found.sort((one, other) => (one.name < other.name ? -1 : 1));
  const wanted = byName([...documents]);
  assert.deepEqual(byName(restPages(data).flatMap(({ pages }) => pages.flatMap((page) => JSON.parse(page).documents))), wanted);
  assert.deepEqual(byName(JSON.parse(runQuery(data)).map(({ document }) => document)), wanted);
  assert.deepEqual(byName(ndjson(data).trimEnd().split("\n").map((line) => JSON.parse(line))), wanted);

  const below = (collections) => Object.values(collections).reduce((sum, members) => sum + Object.values(members).reduce((inner, { subCollection, __collections__ }) => inner + 1 + below(subCollection ?? __collections__ ?? {}), 0), 0);
  assert.equal(below(JSON.parse(exportImport(data))), documents.length);
  assert.equal(below(JSON.parse(nodeImportExport(data)).__collections__), documents.length);
});

test("a set without oddities can be read whole", () => {
  const { expected } = seedData({ odd: false });
  assert.deepEqual([expected.creations, expected.unreadable, expected.withoutTime], [2_000, [], []]);
});
