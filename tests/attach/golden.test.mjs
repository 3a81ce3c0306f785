// The SQL for one table, as a file: others run it, and a change of it is read in a diff. UPDATE=1 writes it anew.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { attachSql } from "../../pkg/cli/attach/sql.js";
import { MAPPING } from "./database.mjs";

const GOLDEN = new URL("generations.sql", import.meta.url);

test("generations.sql is what the generator writes for that table", () => {
  const { up } = attachSql(MAPPING);
  if (process.env.UPDATE) writeFileSync(GOLDEN, up);
  assert.equal(readFileSync(GOLDEN, "utf8"), up, "UPDATE=1 writes it anew");
});
