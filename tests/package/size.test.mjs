// What the package may weigh, min + gzip: upper bounds only. A change that needs more says so here.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IMPORTS, size } from "../../scripts/package-size.mjs";

// The plan was 3,000 for `check` and 7,500 for everything. The rest is the price of the words, of a record with named fields and
// of one module for each half, each with a buffer of its own; about 350 bytes of each module are texts of Rust's allocator,
// which nothing calls and no tool removes.
const BUDGET = { check: 4_250, "check and policy": 7_700, "everything but policy": 4_700, everything: 8_200, element: 5_750 };

for (const [name, budget] of Object.entries(BUDGET)) {
  test(`${name}: at most ${budget.toLocaleString("en")} bytes, min + gzip`, async () => {
    const bytes = await size(IMPORTS[name]);
    assert.ok(bytes <= budget, `${bytes} bytes`);
  });
}
