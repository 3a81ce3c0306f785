// What the package may weigh. Bytes are deterministic: a change that needs more says so here.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { IMPORTS, size } from "../../scripts/package-size.mjs";

const BUDGET = { check: 2_000, "check and policy": 4_490, "everything but policy": 2_430, everything: 4_930, element: 3_430 };

for (const [name, budget] of Object.entries(BUDGET)) {
  test(`${name}: at most ${budget.toLocaleString("en")} bytes, min + gzip`, async () => {
    const bytes = await size(IMPORTS[name]);
    assert.ok(bytes <= budget, `${bytes} bytes`);
    // A budget far above what is needed would hold nothing.
    assert.ok(bytes > budget - 100, `${bytes} bytes: lower the budget`);
  });
}

test("the rules' module has less than 1,024 bytes", () => {
  assert.ok(readFileSync(new URL("../../pkg/dist/draft.wasm", import.meta.url)).length < 1_024);
});
