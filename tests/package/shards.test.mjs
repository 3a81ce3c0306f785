// The bucket of a user, in JavaScript and in SQL, on the cases that Rust has.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";

const cases = JSON.parse(readFileSync(new URL("../cases/buckets.json", import.meta.url), "utf8"));
const required = createRequire(import.meta.url)("../../pkg/dist/cjs/shards.cjs");

test("the bucket of a user is the one that Rust gives", () => {
  for (const { user_id, bucket } of cases) {
    assert.equal(bucketOf(user_id), bucket, user_id);
    assert.equal(required.bucketOf(user_id), bucket, user_id);
  }
  assert.equal(bucketOf(""), 3289);
});

test("what is no text is refused", () => {
  for (const wrong of [undefined, null, 7, {}]) assert.throws(() => bucketOf(wrong), { name: "TypeError", message: /^`user_id` is `.*`: expected text$/ });
});

test("the SQL of docs/scale.md gives the same", () => {
  const [, sql] = readFileSync(new URL("../../docs/scale.md", import.meta.url), "utf8").match(/```sql\n(WITH RECURSIVE[^]*?)```/);
  const statement = new DatabaseSync(":memory:").prepare(sql.replace(/;\s*$/, ""));
  for (const { user_id, bucket } of cases) assert.equal(Object.values(statement.get(user_id))[0], bucket, user_id);
});
