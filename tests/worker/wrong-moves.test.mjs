// Moves of buckets that went wrong by the configuration or by a database, on workerd: what is the matter, and the one way on.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { CLEANUP_TOKEN, WORKER_TOKEN, start } from "./harness.mjs";

const shard = (binding, buckets) => ({ binding, buckets });
const BEFORE = [shard("DB_0", "0-4095"), shard("DB_1", "")];
const AFTER = [shard("DB_0", "0-2047"), shard("DB_1", "2048-4095")];
// So a move takes many steps.
const CONFIG = { circuit_breaker: "off", queries_per_run: 100 };
const USERS = Array.from({ length: 12 }, (_, at) => `user-${at}`);
const LEAVING = USERS.find((user) => bucketOf(user) >= 2_048);

/** A folder with two databases whose users have tokens; `under` starts the Worker there with some configuration, and stops the one before. */
async function databases(t, config = CONFIG) {
  const persist = mkdtempSync(join(tmpdir(), "stale-drafts-wrong-moves-"));
  let world;
  t.after(async () => {
    await world?.stop();
    rmSync(persist, { recursive: true, force: true });
  });
  const under = async (shards) => {
    const migrate = !world;
    await world?.stop();
    world = await start({ shards: 2, persist, migrate, config: { ...config, shards } });
    return world;
  };
  const first = await under(BEFORE);
  for (const user of USERS) await first.databases[0].prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 100, 0)").bind(user).run();
  return under;
}

const move = async (world, goal) => {
  const body = JSON.stringify({ source: "DB_0", target: "DB_1", buckets: "2048-4095", goal });
  const response = await world.fetch("/api/shards/moves", { method: "POST", body, headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });
  return { http: response.status, ...(await response.json()) };
};
/** Repeats a request until it is where it is to be. */
async function all(world, goal) {
  for (let tries = 0; tries < 100; tries += 1) {
    const answer = await move(world, goal);
    assert.equal(answer.http, 200, JSON.stringify(answer));
    if (answer.done) return answer;
  }
  return assert.fail(`never ${goal}`);
}
const create = (world, key) => world.report("", { user_id: LEAVING, kind: "image", prompt: "a fox", tokens: 10 }, { "Idempotency-Key": key });

test("a configuration that comes too early is to be put back: move and finish say the same, and cancel says so once it is through", async (t) => {
  const under = await databases(t);
  const begun = await move(await under(BEFORE), "moved");
  assert.deepEqual([begun.http, begun.source.state], [200, "paused"], JSON.stringify(begun));
  let world = await under(AFTER);
  for (const goal of ["moved", "done"]) {
    const { http, error } = await move(world, goal);
    assert.equal(http, 409);
    assert.match(error, /: the configuration gives the buckets 2048-4095 to `DB_1` before they have moved; give them to `DB_0` again, deploy that, and go on with `mark-stale-drafts shards move .*`, or undo it with `mark-stale-drafts shards cancel /);
  }
  const { next } = await all(world, "cancelled");
  assert.match(next, /^the configuration gives the buckets 2048-4095 to `DB_1`: give them to `DB_0` again and deploy that/);
  assert.equal((await create(world, "early")).http, 503, "neither has them for somebody new");
  world = await under(BEFORE);
  assert.equal((await all(world, "cancelled")).next, null);
  assert.equal((await create(world, "back")).http, 201);
});

test("a target that has lost the move is told from one that waits for it, and takes nobody", async (t) => {
  const under = await databases(t);
  await all(await under(BEFORE), "moved");
  const world = await under(AFTER);
  // As after a restore to the time before the move.
  for (const table of ["moving_users", "moves"]) await world.databases[1].prepare(`DELETE FROM stale_drafts_${table}`).run();
  for (const goal of ["moved", "done", "cancelled"]) {
    const { http, error } = await move(world, goal);
    assert.equal(http, 409, goal);
    assert.match(error, /^move `[-0-9a-f]{36}` is `moved` in `DB_0` and `none` in `DB_1`: `DB_1` does not know that it was given the buckets; it was restored to an earlier time, or another database is bound as `DB_1`/);
  }
  assert.equal((await create(world, "lost")).http, 503);
  assert.equal((await world.report("", { user_id: LEAVING, kind: "image", prompt: "a fox", tokens: 0 }, { "Idempotency-Key": "free" })).http, 503, "not even for free");
});

test("between two bindings of one database, or with a copy, nothing moves", async (t) => {
  const under = await databases(t);
  const world = await under(BEFORE);
  const [{ identity }] = (await world.databases[0].prepare("SELECT identity FROM stale_drafts_ledger_check").all()).results;
  await world.databases[1].prepare("UPDATE stale_drafts_ledger_check SET identity = ?1").bind(identity).run();
  const { http, error } = await move(world, "moved");
  assert.equal(http, 409);
  assert.match(error, /^`DB_0` and `DB_1` are one and the same database, or one is a copy of the other: give each shard a database of its own/);
  assert.equal((await create(world, "stays")).http, 201, "what is there goes on");
});

test("a database that gave buckets away, and is the only one by the configuration, takes none of their users and says so", async (t) => {
  const api_tokens = [{ name: "app", sha256: createHash("sha256").update(WORKER_TOKEN).digest("hex"), scopes: ["report", "grant"] }];
  const under = await databases(t, { ...CONFIG, api_tokens });
  let world = await under(BEFORE);
  const staying = USERS.find((user) => bucketOf(user) < 2_048);
  const grant = (user) => world.fetch("/api/grants", { method: "POST", body: JSON.stringify({ user_id: user, tokens: 100 }), headers: { Authorization: `Bearer ${WORKER_TOKEN}`, "Idempotency-Key": `grant-${user}-${Math.random()}` } });
  for (const user of [LEAVING, staying]) assert.equal((await grant(user)).status, 201);
  const { id } = await create(world, "before");
  await all(world, "moved");
  world = await under(AFTER);
  for (let tries = 0; tries < 100 && (await move(world, "done")).waits_until === null; tries += 1);
  const balances = () => Promise.all(world.databases.map(async (database) => (await database.prepare("SELECT count(*) AS n FROM stale_drafts_balances WHERE user_id = ?").bind(LEAVING).first()).n));
  assert.deepEqual(await balances(), [0, 1]);
  // The shards are gone from the configuration: `DB_0` is all there is.
  world = await under([shard("DB_0", "0-4095")]);
  const refused = await grant(LEAVING);
  assert.deepEqual([refused.status, (await refused.json()).code], [503, "moving"]);
  const created = await create(world, "after");
  assert.deepEqual([created.http, created.code], [503, "moving"]);
  const started = await world.report(`/${id}/start`, { worker: "w" });
  assert.deepEqual([started.http, started.code], [503, "moving"], "no worker is told that its creation is gone");
  assert.equal((await grant(staying)).status, 201);
  assert.deepEqual(await balances(), [0, 1]);
  const { ready, checks } = await world.ask("/readyz");
  assert.equal(ready, false);
  assert.match(checks.buckets, /the configuration gives the buckets 2048-4095 to `DB_0`, and no database has them/);
  assert.equal(checks.moves, "ok");
  // One that has the other again goes on.
  world = await under(AFTER);
  assert.equal((await world.report(`/${id}/start`, { worker: "w" })).http, 200);
  assert.equal((await grant(LEAVING)).status, 201);
});

test("one database that is bound twice is named, and no worker is told that a creation of the one that is missing is gone", async () => {
  const world = await start({ shards: 2, config: { ...CONFIG, shards: AFTER } });
  try {
    await world.cron();
    const [{ identity }] = (await world.databases[0].prepare("SELECT identity FROM stale_drafts_ledger_check").all()).results;
    // As if `DB_1` were `DB_0`.
    await world.databases[1].prepare("UPDATE stale_drafts_ledger_check SET identity = ?1").bind(identity).run();
    await world.databases[1].prepare("DELETE FROM stale_drafts_buckets").run();
    await world.databases[1].prepare("INSERT INTO stale_drafts_buckets (first_bucket, state) VALUES (0, 'here'), (2048, 'away')").run();
    const { checks } = await world.ask("/readyz");
    assert.equal(checks.buckets, "two shards are one database: it is swept and counted twice: `DB_0` and `DB_1` are one and the same, or one is a copy of the other");
    const of = (user) => `019acf1e-7a00-8${bucketOf(user).toString(16).padStart(3, "0")}-9c3d-2f1e0a9b8c7d`;
    const report = async (id) => (await world.report(`/${id}/start`, { worker: "w" })).http;
    assert.deepEqual([await report(of(LEAVING)), await report(of(USERS.find((user) => bucketOf(user) < 2_048))), await report("of-nobody")], [503, 404, 503]);
  } finally {
    await world.stop();
  }
});

test("an empty database in place of a shard takes nobody, and its workers wait", async () => {
  const world = await start({ shards: 2, config: { ...CONFIG, shards: AFTER } });
  try {
    await world.cron();
    assert.equal((await world.ask("/readyz")).checks.buckets, "ok");
    await world.databases[1].prepare("DELETE FROM stale_drafts_buckets").run();
    await world.cron();
    const answer = await world.report("", { user_id: LEAVING, kind: "image", prompt: "a fox", tokens: 0 });
    assert.equal(answer.http, 503);
    assert.match(answer.error, /^it is not on record yet which users the database `DB_1` has: /);
    const { ready, checks } = await world.ask("/readyz");
    assert.equal(ready, false);
    assert.match(checks.buckets, /^another database is bound in place of one that has users: .*`DB_1` has nothing on record, and no database has the buckets 2048-4095/);
    const id = `019acf1e-7a00-8${bucketOf(LEAVING).toString(16).padStart(3, "0")}-9c3d-2f1e0a9b8c7d`;
    assert.equal((await world.report(`/${id}/start`, { worker: "w" })).http, 503);
  } finally {
    await world.stop();
  }
});
