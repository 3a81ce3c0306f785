// The seed system's data: every form of it, against what must be made of it.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { importsAsExpected } from "./expected.mjs";
import { folder, root } from "./harness.mjs";

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

for (const [name, sources] of Object.entries(FORMS)) test(`the seed system by ${name}`, (t) => importsAsExpected(folder(t), sources, expected));
