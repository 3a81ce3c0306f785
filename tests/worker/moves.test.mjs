// Buckets move from one database to another on workerd, while apps and workers go on reporting: stopped and started again at every step,
// with the configuration changed in between, as an operator does it.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, start } from "./harness.mjs";

const INVARIANTS = readFileSync(new URL("../invariants.sql", import.meta.url), "utf8")
  .split(/^-- name: /m).slice(1).map((text) => [text.split("\n", 1)[0], text.slice(text.indexOf("\n") + 1)]);
const shard = (binding, buckets) => ({ binding, buckets });
const BEFORE = [shard("DB_0", "0-4095"), shard("DB_1", "")];
const AFTER = [shard("DB_0", "0-2047"), shard("DB_1", "2048-4095")];
// So a move takes many steps.
const CONFIG = { circuit_breaker: "off", queries_per_run: 100 };
const USERS = Array.from({ length: 24 }, (_, at) => `user-${at}`);
const moves = (user) => bucketOf(user) >= 2_048;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const move = async (world, goal, more = {}) => {
  const body = JSON.stringify({ source: "DB_0", target: "DB_1", buckets: "2048-4095", goal, ...more });
  const response = await world.fetch("/api/shards/moves", { method: "POST", body, headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });
  return { http: response.status, retry: response.headers.get("Retry-After"), ...(await response.json()) };
};
const create = (world, user, key) => world.report("", { user_id: user, kind: "image", prompt: "a fox", tokens: 10 }, { "Idempotency-Key": key });
const all = async (world, sql) => (await Promise.all(world.databases.map((database) => database.prepare(sql).all()))).map(({ results }) => results);

async function hold(world) {
  for (const [name, sql] of INVARIANTS) for (const rows of await all(world, sql)) assert.deepEqual(rows, [], name);
}

test("half of the buckets move, under load, and no token is lost or doubled", { timeout: 280_000 }, async (t) => {
  const persist = mkdtempSync(join(tmpdir(), "stale-drafts-moves-"));
  t.after(() => rmSync(persist, { recursive: true, force: true }));
  let world = await start({ shards: 2, persist, config: { ...CONFIG, shards: BEFORE } });
  const running = () => world;
  t.after(() => running().stop());
  const database = world.databases[0];
  for (const user of USERS) await database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 1000000, 0)").bind(user).run();
  // 40 creations of each user: finished, failed, in progress, waiting, and long stale.
  await world.order({ now: NOW - 2 * HOUR });
  for (const user of USERS) {
    for (let at = 0; at < 4; at += 1) {
      const { id } = await create(world, user, `${user}-${at}`);
      if (at === 0) continue;
      const { fence } = await world.report(`/${id}/start`, { worker: "w" });
      if (at === 1) await world.report(`/${id}/complete`, { fence, result_url: "https://files.example/fox.png" });
      if (at === 2) await world.report(`/${id}/fail`, { fence, error_code: "nsfw" });
    }
  }
  await world.order({ now: NOW });
  const counts = async () => (await all(world, "SELECT user_id, status, count(*) AS n FROM stale_drafts_creations GROUP BY 1, 2 ORDER BY 1, 2")).flat().sort((a, b) => (a.user_id + a.status < b.user_id + b.status ? -1 : 1));

  // The load: every user goes on, and repeats what was refused.
  let stopped = false;
  const made = new Map();
  const refused = { moving: 0 };
  async function load(user, number) {
    for (let at = 0; !stopped; at += 1) {
      const key = `load-${user}-${number}-${at}`;
      for (;;) {
        const answer = await create(world, user, key);
        if (answer.http === 201) {
          made.set(answer.id, user);
          break;
        }
        assert.equal(answer.http, 503, JSON.stringify(answer));
        assert.equal(answer.code, "moving");
        refused.moving += 1;
        if (stopped) return;
        await sleep(30);
      }
      await sleep(100);
    }
  }
  const loads = USERS.slice(0, 8).map((user) => load(user, 1));
  await sleep(500);
  // What is not under way can't be ended, and a foreign bucket does not move.
  assert.equal((await move(world, "done")).http, 404);
  assert.equal((await move(world, "cancelled")).http, 404);
  assert.equal((await move(world, "moved", { source: "DB_1", target: "DB_0" })).http, 409);
  assert.match((await move(world, "moved", { target: "DB_2" })).error, /^there is no shard `DB_2`: expected `DB_0`, `DB_1`$/);

  // Begun, given up, and begun again; two movers at once; a database that goes away.
  const [begun, ended] = [await move(world, "moved"), []];
  assert.deepEqual([begun.http, begun.done, begun.source.state], [200, false, "paused"], JSON.stringify(begun));
  assert.equal((await create(world, USERS.find(moves), "begun")).http, 503);
  while (!ended.at(-1)?.done) {
    ended.push(await move(world, "cancelled"));
    assert.equal(ended.at(-1).http, 200, JSON.stringify(ended.at(-1)));
  }
  assert.deepEqual((await all(world, "SELECT count(*) AS n FROM stale_drafts_creations"))[1], [{ n: 0 }]);
  const again = await move(world, "cancelled");
  assert.deepEqual([again.done, again.next], [true, null], "again");
  await world.order({ dead: ["DB_1"] });
  assert.equal((await move(world, "moved")).http, 503);
  await world.order({});
  let progress;
  for (let tries = 0; !progress?.done && tries < 200; tries += 1) {
    const [one, other] = await Promise.all([move(world, "moved"), move(world, "moved")]);
    for (const { http } of [one, other]) assert.ok([200, 409, 503].includes(http), JSON.stringify([one, other]));
    progress = one.done ? one : other;
  }
  assert.equal(progress.done, true, JSON.stringify(progress));
  assert.deepEqual([progress.source.state, progress.target.state], ["moved", "arriving"]);
  assert.ok(refused.moving > 0, "nobody was refused");

  // Both refuse whoever moves, and go on with the others; a sweep leaves alone who moves.
  const leaving = USERS.filter(moves);
  const staying = USERS.filter((user) => !moves(user));
  assert.ok(leaving.length > 3 && staying.length > 3);
  assert.equal((await create(world, leaving[0], "late")).http, 503);
  assert.equal((await create(world, staying[0], "late")).http, 201);
  assert.equal(await world.cron(), "ok");
  assert.match((await move(world, "cancelled")).error, /^move `[-0-9a-f]{36}` is `moved` in `DB_0` and `arriving` in `DB_1`: it can't be cancelled any more; finish it with /);
  const failed = async () => (await all(world, "SELECT DISTINCT user_id FROM stale_drafts_creations WHERE sweep_id IS NOT NULL")).flat().map(({ user_id }) => user_id).sort();
  assert.deepEqual(await failed(), [...staying].sort());
  assert.match((await move(world, "done")).error, /the configuration gives the buckets 2048-4095 to `DB_0`; give them to `DB_1`, deploy that, and go on with `mark-stale-drafts shards finish /);
  stopped = true;
  await Promise.all(loads);
  const before = await counts();
  await world.stop();

  // The new configuration is deployed. The target refuses until it is opened.
  world = await start({ shards: 2, persist, migrate: false, config: { ...CONFIG, shards: AFTER } });
  assert.equal((await create(world, leaving[0], "late")).http, 503);
  assert.match((await move(world, "moved")).error, /`moved` in `DB_0` and `arriving` in `DB_1`: the buckets have moved, and the configuration gives them to `DB_1`; go on with `mark-stale-drafts shards finish /);
  for (let tries = 0; tries < 200; tries += 1) {
    progress = await move(world, "done");
    assert.equal(progress.http, 200, JSON.stringify(progress));
    if (progress.done || progress.waits_until !== null) break;
  }
  assert.deepEqual([progress.source.state, progress.target.state], ["trimmed", "open"]);
  const [left, right] = await all(world, "SELECT DISTINCT user_id FROM stale_drafts_creations");
  assert.deepEqual(left.map(({ user_id }) => user_id).sort(), [...staying].sort());
  assert.deepEqual(right.map(({ user_id }) => user_id).sort(), [...leaving].sort());
  await hold(world);
  // Everything is there once: what was, and what the load has made.
  const halved = (rows) => rows.reduce((sums, { user_id, status, n }) => ({ ...sums, [`${user_id} ${status}`]: n }), {});
  const now = halved(await counts());
  for (const user of leaving) for (const { user_id, status, n } of before.filter((row) => row.user_id === user)) assert.ok([n, n / 2].includes(now[`${user_id} ${status}`]), `${user_id} ${status}: ${n}, ${now[`${user_id} ${status}`]}`);
  const ids = new Set((await all(world, "SELECT id FROM stale_drafts_creations")).flat().map(({ id }) => id));
  for (const [id, user] of made) assert.ok(ids.has(id), `${id} of ${user} is lost`);
  // The users who have moved go on: reports find them, and after a while sweeps do.
  const created = await create(world, leaving[0], "late");
  assert.equal(created.http, 201);
  assert.equal((await world.report(`/${created.id}/start`, { worker: "w" })).http, 200);
  await world.order({ now: NOW + 16 * MINUTE });
  for (progress = {}; !progress.done; ) {
    progress = await move(world, "done");
    assert.equal(progress.http, 200, JSON.stringify(progress));
  }
  assert.deepEqual([progress.source.state, progress.target.state], ["trimmed", "settled"]);
  assert.equal((await move(world, "done")).done, true, "again");
  assert.equal(await world.cron(), "ok");
  assert.deepEqual(await failed(), [...USERS].sort());
  await hold(world);
  const tokens = await all(world, "SELECT sum(b.tokens) AS balance, (SELECT sum(tokens) FROM stale_drafts_ledger) AS ledger FROM stale_drafts_balances AS b");
  const paid = await all(world, "SELECT coalesce(sum(tokens), 0) AS n FROM stale_drafts_creations WHERE status <> 'failed'");
  const sum = (list, key) => list.flat().reduce((total, row) => total + row[key], 0);
  assert.equal(sum(tokens, "balance"), USERS.length * 1_000_000 - sum(paid, "n"));
  assert.equal(sum(tokens, "balance"), sum(tokens, "ledger"));
});
