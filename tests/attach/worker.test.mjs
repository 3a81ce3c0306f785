// The built Worker, its real sweep and a real D1 database, with a table of an app that is not changed.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { attachSql } from "../../pkg/cli/attach/sql.js";
import { HOUR, NOW, start, statements } from "../worker/harness.mjs";
import { MAPPING, SCHEMA } from "./database.mjs";

const { up, down } = attachSql(MAPPING);
const when = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
const run = async (world, sql) => {
  for (const statement of statements(sql)) await world.database.prepare(statement).run();
};
const broken = async (world) => {
  const found = {};
  for (const query of readFileSync(new URL("../invariants.sql", import.meta.url), "utf8").split(/^-- name: /m).slice(1)) {
    const [promise] = query.split("\n", 1);
    const rows = await world.all(query.slice(promise.length).trim().replace(/;$/, ""));
    if (rows.length > 0) found[promise] = rows;
  }
  return found;
};

let world;
let gid = 0;
before(async () => {
  world = await start({ config: { policy: { kinds: { video: { attempts: 2 } } }, circuit_breaker: "off" } });
  await run(world, SCHEMA);
  await run(world, up);
  await run(world, "INSERT INTO users VALUES (7, 100000)");
});
after(() => world.stop());

const credits = async () => (await world.one("SELECT credits FROM users WHERE id = 7")).credits;
const row = (id) => world.one("SELECT * FROM generations WHERE gid = ?", id);
const creation = (id) => world.one("SELECT * FROM stale_drafts_creations WHERE id = ?", `generations:${id}`);

/** A row that has been there for two hours. */
async function queue({ state = "queued", type = "image" } = {}) {
  gid += 1;
  await world.database.batch([
    world.database.prepare("UPDATE users SET credits = credits - 10 WHERE id = 7"),
    world.database
      .prepare("INSERT INTO generations (gid, uid, type, prompt, state, credits_used, created_at, started_at) VALUES (?, 7, ?, 'a fox', ?, 10, ?, ?)")
      .bind(gid, type, state, when(NOW - 2 * HOUR), state === "running" ? when(NOW - 2 * HOUR) : null),
  ]);
  return gid;
}

test("cron fails a stuck row of the app, says why, and gives the credits back once", async () => {
  const [queued, running] = [await queue(), await queue({ state: "running" })];
  const had = await credits();
  assert.equal(await world.cron(), "ok");
  for (const [id, word] of [[queued, "pending"], [running, "processing"]]) {
    const { state, error_message, finished_at } = await row(id);
    assert.deepEqual([state, error_message, finished_at], ["error", `Generation timeout: Task stuck in ${word} status for 2.0 hours`, when(NOW)]);
  }
  assert.equal(await credits(), had + 20);
  assert.equal(await world.cron(), "ok");
  assert.equal(await credits(), had + 20);
  // A worker of the app that knows nothing of this.
  const { meta } = await world.database.prepare("UPDATE generations SET state = 'succeeded', result_url = 'https://cdn.example/1.png' WHERE gid = ?").bind(queued).run();
  assert.equal((await row(queued)).state, "error");
  assert.equal(meta.changed_db, true);
  assert.equal((await creation(queued)).late_result_url, "https://cdn.example/1.png");
  // Its owner sees it on our page.
  const { drafts } = await (await world.as("7", "/api/drafts")).json();
  const shown = drafts.find(({ id }) => id === `generations:${queued}`);
  assert.equal(shown.refunded_tokens, 10);
  // An operator restores it, and it is charged again.
  const restored = await world.fetch(`/api/creations/generations:${queued}/restore`, { method: "POST", headers: { Authorization: "Bearer n0t-Used-Anywhere-Else-Cleanup-2b81c" } });
  assert.equal(restored.status, 200, await restored.clone().text());
  assert.deepEqual(await row(queued).then(({ state, result_url }) => [state, result_url]), ["succeeded", "https://cdn.example/1.png"]);
  assert.equal(await credits(), had + 10);
  assert.deepEqual(await broken(world), {});
});

test("a restore that the app's balance does not cover is refused in words", async () => {
  const id = await queue();
  await world.cron();
  await run(world, `UPDATE generations SET state = 'succeeded' WHERE gid = ${id}`);
  const had = await credits();
  await run(world, "UPDATE users SET credits = 3 WHERE id = 7");
  const answer = await world.fetch(`/api/creations/generations:${id}/restore`, { method: "POST", headers: { Authorization: "Bearer n0t-Used-Anywhere-Else-Cleanup-2b81c" } });
  assert.equal(answer.status, 402, await answer.clone().text());
  assert.match((await answer.json()).error, /insufficient tokens/);
  assert.equal((await row(id)).state, "error");
  await run(world, `UPDATE users SET credits = ${had} WHERE id = 7`);
  assert.deepEqual(await broken(world), {});
});

test("a stuck row with an attempt left is queued again, and fails the next time", async () => {
  const id = await queue({ type: "video", state: "running" });
  const had = await credits();
  await world.cron();
  assert.deepEqual(await row(id).then(({ state, started_at }) => [state, started_at]), ["queued", null]);
  assert.equal(await credits(), had);
  await world.order({ now: NOW + 2 * HOUR });
  await world.cron();
  assert.equal((await row(id)).state, "error");
  assert.equal(await credits(), had + 10);
  await world.order({ now: NOW });
  assert.deepEqual(await broken(world), {});
});

test("a row with a word that the mapping does not know is set aside with the reason, and keeps nobody from being refunded", async () => {
  const [strange, fine] = [await queue(), await queue()];
  await run(world, `UPDATE generations SET state = 'moderating' WHERE gid = ${strange}`);
  const had = await credits();
  const answer = await (await world.cleanup()).json();
  assert.equal(answer.marked_as_failed, 1);
  assert.deepEqual(answer.rejected.map(({ id }) => id), [`generations:${strange}`]);
  assert.match(answer.rejected[0].error, /the row of generations has a status that its mapping does not count as active: expected one of 'queued', 'running'/);
  assert.deepEqual([(await row(strange)).state, (await row(fine)).state], ["moderating", "error"]);
  assert.equal(await credits(), had + 10);
  await run(world, `UPDATE generations SET state = 'succeeded' WHERE gid = ${strange}`);
  assert.equal((await creation(strange)).status, "draft");
  assert.deepEqual(await broken(world), {});
});

test("a time-out of an attached row writes four rows more: the app's row and balance, the charge, and what it leaves here", async () => {
  const written = async (work) => {
    await work();
    await world.cost();
    const { marked_as_failed } = await (await world.cleanup()).json();
    assert.equal(marked_as_failed, 1);
    return (await world.cost()).rows_written;
  };
  await world.grant("ada", 100);
  // The first of an hour writes more, and so does what watches.
  await world.create({ id: "warm" });
  await world.cleanup();
  const attached = await written(() => queue());
  const own = await written(() => world.create({ id: "own" }));
  assert.equal(attached - own, 4);
  assert.deepEqual(await broken(world), {});
});

test("what a sweep of attached rows costs grows with what it fails, and not with the table", async () => {
  const sweep = async (rows) => {
    await world.database
      .prepare("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO generations (gid, uid, type, state, credits_used, created_at) SELECT ?2 + i, 7, 'image', 'queued', 1, ?3 FROM n")
      .bind(rows, gid, when(NOW - 2 * HOUR))
      .run();
    gid += rows;
    await world.cost();
    assert.equal((await (await world.cleanup()).json()).marked_as_failed, rows);
    const { rows_read, rows_written } = await world.cost();
    return [rows_read / rows, rows_written / rows];
  };
  await sweep(500);
  // Beside 5,000 more.
  await world.database.prepare("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO generations (gid, uid, type, state, credits_used, created_at) SELECT ?1 + i, 7, 'image', 'queued', 1, ?2 FROM n").bind(gid, when(NOW)).run();
  gid += 5_000;
  const [read, written] = await sweep(500);
  assert.ok(read <= 33 && written <= 7, `${read} rows read and ${written} written for each`);
  assert.deepEqual(await broken(world), {});
});

test("detach leaves the schema and the app's rows as they were", async () => {
  const schema = () => world.all("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT GLOB '_cf_*' ORDER BY type, name");
  const id = await queue();
  const attached = await schema();
  const rows = await world.all("SELECT * FROM generations");
  await run(world, down);
  const plain = await schema();
  assert.deepEqual(plain, attached.filter(({ name }) => !name.startsWith("stale_drafts_attach_")));
  assert.deepEqual(await world.all("SELECT * FROM generations"), rows);
  await world.cron();
  assert.equal((await row(id)).state, "queued");
  await run(world, up);
  assert.deepEqual(await schema(), attached);
  await world.cron();
  assert.equal((await row(id)).state, "error");
  assert.deepEqual(await broken(world), {});
});
