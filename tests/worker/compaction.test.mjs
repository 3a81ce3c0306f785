// Compaction of the ledger, in workerd with real D1 databases and a real R2 bucket: sums that an operator asks for, and nobody else.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, NOW, WORKER_TOKEN, start } from "./harness.mjs";

const DAY = 24 * HOUR;
const INVARIANTS = readFileSync(new URL("../invariants.sql", import.meta.url), "utf8").split("-- name: ").slice(1).map((query) => query.split(/\n([^]*)/));
/** The 15th of August 2023; the clock stands in the middle of November. */
const AUGUST = Date.UTC(2023, 7, 15);
const UUID = "0189f6a0-5c00-8000-8000-000000000001";
const config = { keep_days: { creations: 30 } };

/** Two users with what ended well and what failed in August, archived; and one of today. */
async function fill(world, databases = world.databases) {
  for (const database of databases) {
    const all = async (sql, ...values) => (await database.prepare(sql).bind(...values).all()).results;
    for (const user of ["ada", "bo"]) await all("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 1000, ?2)", user, AUGUST);
    const insert = "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, started_at) VALUES (?1, ?2, 'image', 'a fox', 'processing', ?3, ?4, ?4)";
    for (const [id, user, tokens] of [["a1", "ada", 10], ["a2", "ada", 5], [UUID, "ada", 7], ["b1", "bo", 3]]) await all(insert, id, user, tokens, AUGUST);
    await all(insert, "today", "ada", 2, NOW);
    await all("UPDATE stale_drafts_creations SET status = 'draft', finished_at = created_at + 60000, result_url = 'https://cdn.example/' || id WHERE id IN ('a1', ?1, 'b1')", UUID);
    await all("UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 60000, error = 'it broke', error_code = 'broken' WHERE id = 'a2'");
  }
  assert.equal(await world.cron(), "ok");
}

async function hold(world) {
  for (const database of world.databases) for (const [name, query] of INVARIANTS) assert.deepEqual((await database.prepare(query).all()).results, [], name);
}

const compact = async (world, body, token = CLEANUP_TOKEN) => {
  const response = await world.fetch("/api/ledger/compact", { method: "POST", body: JSON.stringify(body), headers: { Authorization: `Bearer ${token}` } });
  return { http: response.status, ...(await response.json()) };
};
const ledger = (world) => world.all("SELECT entry_key, tokens, entries FROM stale_drafts_ledger AS l LEFT JOIN stale_drafts_carries AS k ON l.type = 'carry' AND k.user_id = l.user_id AND k.created_at = l.created_at ORDER BY entry_key");
const everything = async (world) => {
  const tables = await world.all("SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'stale_drafts_*' ORDER BY name");
  return Promise.all(tables.map(async ({ name }) => [name, await world.all(`SELECT * FROM ${name}`)]));
};
async function objects(world) {
  const bucket = await world.bucket("ARCHIVE");
  const { objects: list } = await bucket.list({ prefix: "ledger/" });
  return Promise.all(list.map(async ({ key }) => ({ key, lines: (await (await bucket.get(key)).text()).trim().split("\n").map((line) => JSON.parse(line)) })));
}

let world;
before(async () => {
  world = await start({ config, r2Buckets: ["ARCHIVE"] });
  await fill(world);
});
after(() => world.stop());

test("who may ask, and for which month", async () => {
  assert.equal((await compact(world, { before: "2023-10" }, "nobody")).http, 401);
  assert.equal((await compact(world, { before: "2023-10" }, WORKER_TOKEN)).http, 403);
  for (const [body, error] of [
    [{}, "`before` is missing: expected a month, such as `2026-01`"],
    [{ before: "2023-1" }, "`before` is `\"2023-1\"`: expected a month, such as `2026-01`"],
    [{ before: "2023-13" }, "`before` is `\"2023-13\"`: expected a month, such as `2026-01`"],
    [{ before: "2023-10-01" }, "`before` is `\"2023-10-01\"`: expected a month, such as `2026-01`"],
    // The clock stands on the 14th of November.
    [{ before: "2023-11" }, "`before` is `2023-11`: expected a month that began at least 31 days ago"],
    [{ before: "2023-10", cursor: "DB_9:x" }, "the `cursor` names `DB_9`, which is no shard: begin anew, without one"],
    [{ before: "2023-10", dryrun: true }, "unknown key `dryrun`: did you mean `dry_run`?"],
  ]) {
    const answer = await compact(world, body);
    assert.deepEqual([answer.http, answer.error], [400, error]);
  }
});

test("a dry run counts and writes nothing", async () => {
  const before = await everything(world);
  const { entries, carries, objects: written, more, cursor, dry_run } = await compact(world, { before: "2023-10", dry_run: true });
  assert.deepEqual({ entries, carries, written, more, cursor, dry_run }, { entries: 5, carries: 2, written: 0, more: false, cursor: null, dry_run: true });
  assert.deepEqual(await everything(world), before);
  assert.deepEqual(await objects(world), []);
});

test("a month of a user becomes one entry, its lines are in the bucket, and the audit says who did it", async () => {
  const balances = await world.all("SELECT * FROM stale_drafts_balances");
  const answer = await compact(world, { before: "2023-10" });
  const { http, entries, carries, more, shards } = answer;
  assert.deepEqual({ http, entries, carries, more }, { http: 200, entries: 5, carries: 2, more: false });
  assert.deepEqual(shards.map(({ shard, error }) => [shard, error]), [["DB", null]]);
  await hold(world);
  assert.deepEqual(await world.all("SELECT * FROM stale_drafts_balances"), balances);
  assert.deepEqual((await ledger(world)).map(Object.values), [
    ["carry:ada:2023-08", -17, 4], ["carry:bo:2023-08", -3, 1], ["charge:today", -2, null], ["grant:ada", 1_000, null], ["grant:bo", 1_000, null],
  ]);
  const [{ key, lines }] = await objects(world);
  assert.match(key, /^ledger\/2023-08\/DB\/[0-9a-f]{32}\.ndjson$/);
  assert.deepEqual(lines.find(({ entry_key }) => entry_key === "refund:a2"), {
    entry_key: "refund:a2", user_id: "ada", type: "refund", creation_id: "a2", tokens: 5, created_at: AUGUST + 60_000, carry: "carry:ada:2023-08",
  });
  assert.deepEqual(await world.all("SELECT actor, action, detail FROM stale_drafts_audit"), [{ actor: "CLEANUP_TOKEN", action: "compact_ledger", detail: key }]);
  const [line] = await world.logged(/"action":"compact_ledger"/);
  assert.ok(!line.includes(CLEANUP_TOKEN) && !line.includes("fox"), line);
  // Once more, there is nothing to do.
  const before = await everything(world);
  assert.equal((await compact(world, { before: "2023-10" })).entries, 0);
  assert.deepEqual(await everything(world), before);
});

test("a dry run beside a compaction is refused, until that has ended or was stopped", async () => {
  await world.all("INSERT INTO stale_drafts_compaction (one, actor, until) VALUES (1, 'ops', ?)", NOW + 60_000);
  const refused = await compact(world, { before: "2023-10", dry_run: true });
  assert.deepEqual([refused.http, refused.code, refused.error], [409, "conflict", "`ops` is summing up the ledger of `DB` right now, so what a dry run counts would be wrong: wait until that has ended, or a minute after it was stopped, and ask again"]);
  await world.order({ now: NOW + 60_001 });
  assert.equal((await compact(world, { before: "2023-10", dry_run: true })).http, 200);
  // Another one does no harm, and its end is not that of the first. Whoever goes on ends their own.
  await world.order({ now: NOW });
  assert.equal((await compact(world, { before: "2023-10" })).http, 200);
  assert.equal((await compact(world, { before: "2023-10", dry_run: true })).http, 409);
  await world.all("UPDATE stale_drafts_compaction SET actor = 'CLEANUP_TOKEN'");
  assert.equal((await compact(world, { before: "2023-10" })).http, 200);
  assert.equal((await compact(world, { before: "2023-10", dry_run: true })).http, 200);
});

test("explain says that a month is a sum, and where the entries are", async () => {
  const explained = await world.ask("/api/creations/a2");
  assert.deepEqual([explained.id, explained.user_id, explained.ledger], ["a2", "ada", []]);
  assert.equal(explained.archived.ledger_prefix, "ledger/2023-08/");
  assert.equal(explained.message, `It is archived, in \`${explained.archived.objects[0]}\`. The ledger has its entries in the sum of a month; one by one they are in an object under \`ledger/2023-08/\`.`);
  assert.equal((await world.ask(`/api/creations/${UUID}`)).user_id, "ada");
  const page = await (await world.fetch("/dashboard/creations/a2", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).text();
  assert.match(page, /The ledger has its entries in the sum of a month/);
});

test("what is in a sum can't be made, charged or refunded again, and a grant is granted once", async () => {
  for (const id of ["a1", "a2", UUID]) {
    await assert.rejects(world.all("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens) VALUES (?1, 'ada', 'image', '', 'pending', 5)", id), /was charged and is archived/);
    for (const [type, tokens] of [["charge", -10], ["refund", 10], ["restore", -10]]) {
      await assert.rejects(world.all("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at) VALUES (?1 || ':' || ?2, 'ada', ?1, ?2, ?3, 1)", type, id, tokens), /only a/);
    }
  }
  await assert.rejects(world.all("DELETE FROM stale_drafts_ledger WHERE entry_key = 'charge:today'"), /append-only/);
  await assert.rejects(world.all("UPDATE stale_drafts_ledger SET tokens = 0 WHERE type = 'carry'"), /append-only/);
  await assert.rejects(world.all("INSERT INTO stale_drafts_compacting VALUES ('carry:ada:2023-08', 'ada', ?1, '[\"grant:ada\"]')", Date.UTC(2023, 7)), /a carry takes up/);
  await hold(world);
});

test("an Idempotency-Key whose creation is in a sum is refused when it comes again", async () => {
  const other = await start({ config, r2Buckets: ["ARCHIVE"] });
  try {
    await other.grant("ada", 1_000);
    await other.order({ now: AUGUST });
    const make = () => other.report("", { user_id: "ada", kind: "image", prompt: "a fox", tokens: 10 }, { "Idempotency-Key": "order-1" });
    const { id } = await make();
    const { fence } = await other.report(`/${id}/start`, { worker: "w" });
    await other.report(`/${id}/complete`, { fence, result_url: "https://files.example/fox.png" });
    await other.order({ now: NOW });
    await other.cron();
    const before = await make();
    assert.equal((await compact(other, { before: "2023-10" })).entries, 1);
    const after = await make();
    assert.equal(before.code, "rejected");
    assert.deepEqual([after.http, after.code], [before.http, before.code]);
    // A report that comes late finds what it found before.
    assert.equal((await other.report(`/${id}/complete`, { fence, result_url: "https://files.example/fox.png" })).code, "not_found");
    assert.deepEqual(await other.one("SELECT tokens FROM stale_drafts_balances"), { tokens: 990 });
    await hold(other);
  } finally {
    await other.stop();
  }
});

test("where the database fails, nothing is lost, and repeating it goes on", async () => {
  for (const orders of [{ failBefore: /INTO stale_drafts_compacting/ }, { failAfter: /INTO stale_drafts_compacting/ }]) {
    const other = await start({ config, r2Buckets: ["ARCHIVE"] });
    try {
      await fill(other);
      await other.order(orders);
      const stopped = await compact(other, { before: "2023-10" });
      assert.deepEqual([stopped.http, stopped.error], [503, "the database or the bucket does not answer right now: repeat the request, it does no harm"]);
      await hold(other);
      await other.order({});
      assert.equal((await compact(other, { before: "2023-10" })).http, 200);
      await hold(other);
      assert.equal((await other.all("SELECT 1 FROM stale_drafts_ledger WHERE type = 'carry'")).length, 2);
      assert.equal((await other.all("SELECT 1 FROM stale_drafts_audit")).length, 1);
    } finally {
      await other.stop();
    }
  }
});

test("without the bucket nothing is summed up, and a dry run still counts", async () => {
  const other = await start({ config: {} });
  try {
    const { http, error } = await compact(other, { before: "2023-10" });
    assert.deepEqual([http, error], [409, "the entries that are summed up go to the archive first, so this needs the binding `ARCHIVE`: expected one in `[[r2_buckets]]`"]);
    assert.equal((await compact(other, { before: "2023-10", dry_run: true })).http, 200);
  } finally {
    await other.stop();
  }
});

test("of several databases one that does not answer is named, and the others are summed up", async () => {
  const other = await start({ config, r2Buckets: ["ARCHIVE"], shards: 3 });
  try {
    await fill(other);
    await other.order({ dead: ["DB_1"] });
    const { http, entries, more, shards } = await compact(other, { before: "2023-10" });
    assert.deepEqual({ http, entries, more }, { http: 200, entries: 10, more: false });
    assert.deepEqual(shards.map(({ shard, entries: of, error }) => [shard, of, typeof error]), [["DB_0", 5, "object"], ["DB_1", 0, "string"], ["DB_2", 5, "object"]]);
    await other.order({});
    assert.equal((await compact(other, { before: "2023-10" })).entries, 5);
    await hold(other);
    // Where it goes on is said by the database and the key.
    assert.equal((await compact(other, { before: "2023-10", cursor: "DB_1:" })).shards.length, 2);
  } finally {
    await other.stop();
  }
});

test("what becomes a sum costs few rows, and leaves a small part of the ledger's bytes", async () => {
  const other = await start({ config, r2Buckets: ["ARCHIVE"] });
  try {
    await other.grant("ada", 1_000_000);
    await other.all("WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 999) INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, started_at, finished_at) SELECT printf('%08x-5c00-8000-8000-%012x', n * 7919, n), 'ada', 'image', '', 'draft', 1, ?1, ?1, ?1 FROM n", AUGUST);
    await other.cron();
    await other.cost();
    const { entries, carries, objects: written } = await compact(other, { before: "2023-10" });
    assert.deepEqual([entries, carries, written], [1_000, 1, 2]);
    const cost = await other.cost();
    // Of each entry the one that goes, and what its key did.
    assert.ok(cost.rows_written >= 2_000 && cost.rows_written <= 2_030, JSON.stringify(cost));
    assert.ok(cost.rows_read <= 1_000 * 60, JSON.stringify(cost));
    assert.ok(cost.queries <= 15, JSON.stringify(cost));
    await hold(other);
  } finally {
    await other.stop();
  }
});
