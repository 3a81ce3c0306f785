// What an attached table costs, in rows as D1 bills them, beside what the app's own statements cost. docs/attach.md states the numbers.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Miniflare } from "miniflare";
import { readFileSync, readdirSync } from "node:fs";
import { attachSql } from "../../pkg/cli/attach/sql.js";
import { statements } from "../worker/harness.mjs";
import { MAPPING, SCHEMA, USERS } from "./database.mjs";

const MIGRATIONS = new URL("../../migrations/", import.meta.url);
const LIFE = {
  insert: "INSERT INTO generations (gid, uid, type, prompt, state, credits_used) VALUES (1, 7, 'image', 'a fox', 'queued', 10)",
  "another column": "UPDATE generations SET prompt = 'a red fox' WHERE gid = 1",
  start: "UPDATE generations SET state = 'running', started_at = CURRENT_TIMESTAMP WHERE gid = 1",
  heartbeat: "UPDATE generations SET updated_at = '2100-01-01 00:00:00' WHERE gid = 1",
  completion: "UPDATE generations SET state = 'succeeded', finished_at = CURRENT_TIMESTAMP WHERE gid = 1",
  "a change afterwards": "UPDATE generations SET updated_at = '2100-01-01 00:00:01' WHERE gid = 1",
};

let miniflare;
before(() => {
  const databases = { plain: "plain", attached: "attached", running: "running", changes: "changes" };
  miniflare = new Miniflare({ modules: true, script: "export default {}", d1Databases: databases, cf: false, compatibilityDate: "2026-07-01" });
});
after(() => miniflare.dispose());

/** The rows that each statement of a life writes. */
async function life(binding, mapping) {
  const database = await miniflare.getD1Database(binding);
  const sql = [...readdirSync(MIGRATIONS).sort().map((name) => readFileSync(new URL(name, MIGRATIONS), "utf8")), SCHEMA, USERS, ...(mapping ? [attachSql(mapping).up] : [])];
  for (const statement of sql.flatMap(statements)) await database.prepare(statement).run();
  const written = {};
  for (const [step, statement] of Object.entries(LIFE)) written[step] = (await database.prepare(statement).run()).meta.rows_written;
  return written;
}

test("D1 counts what triggers write among the changes; SQL's changes() and RETURNING count the app's rows", async () => {
  const database = await miniflare.getD1Database("changes");
  for (const statement of [...readdirSync(MIGRATIONS).sort().map((name) => readFileSync(new URL(name, MIGRATIONS), "utf8")), SCHEMA, USERS, attachSql(MAPPING).up].flatMap(statements)) await database.prepare(statement).run();
  const run = async (sql) => {
    const [{ results, meta }, { results: [{ n }] }] = await database.batch([database.prepare(sql), database.prepare("SELECT changes() AS n")]);
    return [meta.changes, n, results.length];
  };
  assert.deepEqual(await run(`${LIFE.insert} RETURNING gid`), [2, 1, 1]);
  assert.deepEqual(await run(`${LIFE.start} RETURNING gid`), [3, 1, 1]);
  assert.deepEqual(await run("UPDATE generations SET state = 'running' WHERE gid = 99 RETURNING gid"), [0, 0, 0]);
  // As a sweep leaves it.
  await database.batch([
    database.prepare("INSERT INTO stale_drafts_balances (user_id, tokens) VALUES ('7', 10) ON CONFLICT (user_id) DO UPDATE SET tokens = tokens + 10"),
    database.prepare("UPDATE stale_drafts_creations SET status = 'failed', sweep_id = 's', error = 'e', error_code = 'generation_timeout', stuck_status = 'pending', rule = 'r', age_ms = 2, max_age_ms = 1 WHERE id = 'generations:1'"),
  ]);
  assert.deepEqual(await run(`${LIFE.completion} RETURNING gid`), [1, 0, 0], "the late result is noted");
  assert.deepEqual(await run(`${LIFE.completion} RETURNING gid`), [0, 0, 0]);
});

test("a life of an attached row writes 12 rows beside the app's own, and 2 more for each heartbeat", async () => {
  const plain = await life("plain", null);
  const beside = async (binding, mapping) => Object.fromEntries(Object.entries(await life(binding, mapping)).map(([step, written]) => [step, written - plain[step]]));
  assert.deepEqual(await beside("attached", MAPPING), {
    // The creation, its key and three indexes. The ledger notes the charge with the refund, if there is one.
    insert: 5,
    "another column": 0,
    // The creation, each index whose condition or columns hold the status, and a histogram.
    start: 5,
    // The creation, and the index that a sweep finds silent ones by.
    heartbeat: 2,
    // The creation, and a histogram.
    completion: 2,
    "a change afterwards": 0,
  });
  // Without a word for queued it comes in as started: one index more, and no start.
  const running = await beside("running", { ...MAPPING, status: { ...MAPPING.status, pending: [], processing: ["queued", "running"] } });
  assert.deepEqual([running.insert, running.completion], [6, 2]);
});
