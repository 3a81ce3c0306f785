// Retention, in workerd with a real D1 database and a real R2 bucket: what ended long ago moves, and whoever asks is told where it is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, start } from "./harness.mjs";

const DAY = 24 * HOUR;
const INVARIANTS = readFileSync(new URL("../invariants.sql", import.meta.url), "utf8").split("-- name: ").slice(1).map((query) => query.split(/\n([^]*)/));
const UUID = "018ab0f5-9880-7000-8000-000000000001";

/** Two creations of long ago that ended well, one that is deleted, one that failed, one that cost nothing, and others that stay. */
async function fill(world) {
  await world.grant("ada", 1_000);
  const long = NOW - 60 * DAY;
  await world.create(
    ...["a", "b", "deleted", "fails"].map((id) => ({ id, status: "processing", created_at: long, started_at: long })),
    { id: UUID, status: "processing", tokens: 0, created_at: Number.parseInt(UUID.slice(0, 13).replace("-", ""), 16) },
    { id: "waits", created_at: NOW },
    { id: "recent", status: "processing", created_at: NOW - 2 * DAY },
  );
  await world.all("UPDATE stale_drafts_creations SET status = 'draft', finished_at = created_at + 60000, result_url = 'https://cdn.example/' || id WHERE id NOT IN ('waits', 'fails')");
  await world.all("UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 60000, error = 'it broke', error_code = 'broken' WHERE id = 'fails'");
  await world.all("UPDATE stale_drafts_creations SET deleted_at = created_at + 70000, prompt = '', result_url = NULL WHERE id = 'deleted'");
}

const config = { keep_days: { creations: 30 } };

async function hold(world) {
  for (const [name, query] of INVARIANTS) assert.deepEqual(await world.all(query), [], name);
}

async function contents(world) {
  const bucket = await world.bucket("ARCHIVE");
  const { objects } = await bucket.list();
  return Promise.all(objects.map(async ({ key }) => {
    const object = await bucket.get(key);
    assert.equal(object.httpMetadata.contentType, "application/x-ndjson");
    return { key, lines: (await object.text()).trim().split("\n").map((line) => JSON.parse(line)) };
  }));
}

let world;
before(async () => {
  world = await start({ config, r2Buckets: ["ARCHIVE"] });
  await fill(world);
});
after(() => world.stop());

test("cron moves what ended long ago to the bucket, once, and the money stays", async () => {
  const balance = await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'ada'");
  const ledger = await world.all("SELECT * FROM stale_drafts_ledger");
  assert.equal(await world.cron(), "ok");
  await hold(world);
  assert.deepEqual((await world.all("SELECT id FROM stale_drafts_creations ORDER BY id")).map(({ id }) => id), ["recent", "waits"]);
  assert.deepEqual(await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'ada'"), balance);
  assert.deepEqual(await world.all("SELECT * FROM stale_drafts_ledger"), ledger);
  const objects = await contents(world);
  const found = objects.map(({ key, lines }) => [key.replace(/[0-9a-f]{32}/, "…"), lines.map(({ id }) => id)]);
  assert.deepEqual(found, [["creations/2023-09-15/22/DB/….ndjson", ["a", "b", "deleted", "fails"]], ["creations/2023-09-20/05/DB/….ndjson", [UUID]]].sort());
  const [a] = objects.flatMap(({ lines }) => lines);
  assert.deepEqual(a, { id: "a", user_id: "ada", kind: "image", prompt: "a fox", status: "draft", attempt: 1, tokens: 10, created_at: NOW - 60 * DAY, started_at: NOW - 60 * DAY, finished_at: NOW - 60 * DAY + 60_000, result_url: "https://cdn.example/a", ledger: [{ entry_key: "charge:a", tokens: -10, created_at: NOW - 60 * DAY }] });
  const [line] = await world.logged(/"event":"archived"/);
  const { creations, objects: written, left, more } = JSON.parse(line);
  assert.deepEqual({ creations, written, left, more }, { creations: 5, written: 2, left: 0, more: false });
});

test("an idle minute costs one query and three rows more than without, and an idle hour three and nine", async () => {
  const costs = [];
  for (const given of [{ config }, {}]) {
    const other = await start({ ...given, r2Buckets: ["ARCHIVE"] });
    try {
      await other.grant("ada", 1_000);
      await other.create({ id: "waits", created_at: NOW }, { id: "works", status: "processing", created_at: NOW - DAY, started_at: NOW - DAY, heartbeat_at: NOW + 2 * HOUR });
      await other.cron();
      for (const now of [NOW + MINUTE, NOW + HOUR]) {
        await other.order({ now });
        await other.cost();
        await other.cron();
        costs.push(await other.cost());
      }
    } finally {
      await other.stop();
    }
  }
  const more = (at) => Object.keys(costs[at]).map((name) => costs[at][name] - costs[at + 2][name]);
  assert.deepEqual([more(0), more(1)], [[1, 3, 0], [3, 9, 2]], JSON.stringify(costs));
});

test("explain says where an archived creation is, and what the ledger knows", async () => {
  const explained = await world.ask("/api/creations/fails");
  const [{ key }] = await contents(world);
  assert.deepEqual(explained.archived, { prefix: "creations/2023-09-15/22/", objects: [key] });
  assert.equal(explained.message, `It is archived, in \`${key}\`.`);
  assert.deepEqual(explained.ledger.map(({ type, tokens }) => [type, tokens]), [["charge", -10], ["refund", 10]]);
  assert.deepEqual([explained.id, explained.user_id], ["fails", "ada"]);
  // One that cost nothing has left its id, which has the time.
  const free = await world.ask(`/api/creations/${UUID}`);
  assert.equal(free.error, `there is no creation \`${UUID}\`: if there was, it is archived under \`creations/2023-09-20/05/\``);
  const { error } = await world.ask("/api/creations/never");
  const perhaps = "if it cost nothing it may be archived, and nothing here says when it was made: look in the objects of `stale_drafts_archives` with a `first_id` and a `last_id` that it is between";
  assert.equal(error, `there is no creation \`never\`: ${perhaps}`);
  // Nor does a random time in an id say it.
  const random = await world.ask("/api/creations/00000000-9880-8000-8000-000000000001");
  assert.equal(random.error, `there is no creation \`00000000-9880-8000-8000-000000000001\`: ${perhaps}`);
  const headers = { Authorization: `Bearer ${CLEANUP_TOKEN}` };
  const page = await (await world.fetch("/dashboard/creations/fails", { headers })).text();
  assert.match(page, /It is archived, in/);
});

test("a list says at its end that older ones are archived", async () => {
  const list = await (await world.as("ada", "/api/drafts")).json();
  const { archived } = list;
  assert.equal(list.next_cursor, null);
  assert.deepEqual([archived.creations, archived.first_created_at], [4, NOW - 60 * DAY]);
  assert.equal(archived.message, "4 older drafts are archived, the newest from 2023-09-20.");
  const first = await (await world.as("ada", "/api/drafts?limit=1")).json();
  assert.deepEqual([first.archived, typeof first.next_cursor], [null, "string"]);
  assert.match(await (await world.as("ada", "/drafts")).text(), /4 older drafts are archived, the newest from 2023-09-20\./);
  assert.equal((await world.ask("/api/creations?user_id=ada")).archived.creations, 4);
  assert.equal((await (await world.as("ben", "/api/drafts")).json()).archived, null);
});

test("an archived creation can neither be charged nor refunded again, nor made anew", async () => {
  for (const [type, tokens] of [["charge", -10], ["refund", 10], ["restore", -10]]) {
    for (const id of ["a", "fails"]) {
      await assert.rejects(world.all("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at) VALUES (?1 || ':' || ?2, 'ada', ?1, ?2, ?3, 1)", type, id, tokens), /append-only|only a/);
    }
  }
  await assert.rejects(world.create({ id: "a" }), /append-only/);
  await hold(world);
});

test("where the bucket or the database fails, nothing is lost, and the next run goes on", async () => {
  for (const orders of [{ failBefore: /INTO stale_drafts_archiving/ }, { failAfter: /INTO stale_drafts_archiving/ }]) {
    const other = await start({ config, r2Buckets: ["ARCHIVE"] });
    try {
      await fill(other);
      const everything = (await other.all("SELECT id FROM stale_drafts_creations ORDER BY id")).map(({ id }) => id);
      await other.order(orders);
      assert.equal(await other.cron(), "ok");
      await other.logged(/"event":"archive_failed"/);
      await hold(other);
      const ids = async () => [...(await other.all("SELECT id FROM stale_drafts_creations")), ...(await contents(other)).flatMap(({ lines }) => lines)].map(({ id }) => id);
      assert.deepEqual([...new Set(await ids())].sort(), everything);
      // It had the search to itself for ten minutes.
      await other.order({ now: NOW + 9 * MINUTE });
      await other.cron();
      await other.order({ now: NOW + 10 * MINUTE });
      await other.cron();
      await hold(other);
      assert.deepEqual((await ids()).sort(), everything);
    } finally {
      await other.stop();
    }
  }
});

test("without the bucket the Worker is not ready, and doctor, the dashboard, an alert and the log say why", async () => {
  const other = await start({ config });
  try {
    await fill(other);
    await other.cron();
    await other.logged(/`ARCHIVE`.*"event":"archive_failed"/);
    const { checks } = await (await other.fetch("/readyz")).json();
    assert.equal(checks.configuration, "`keep_days.creations` needs the binding `ARCHIVE`: expected one in `[[r2_buckets]]`");
    const found = async () => (await other.ask("/api/doctor")).findings.filter(({ code }) => code.startsWith("archive_")).map(({ code, evidence }) => `${code}: ${evidence}`);
    const missing = ["archive_not_bound: `keep_days.creations` is set, and no R2 bucket is bound as `ARCHIVE`"];
    assert.deepEqual(await found(), missing);
    assert.match(await (await other.fetch("/dashboard", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).text(), /data-code="archive_not_bound"/);
    assert.deepEqual(await other.all("SELECT code FROM stale_drafts_alerts WHERE resolved_at IS NULL"), [{ code: "archive_not_bound" }]);
    // That is why nothing runs, so it is not said beside it that nothing does.
    await other.order({ now: NOW + 2 * HOUR + MINUTE });
    await other.cron();
    assert.deepEqual(await found(), missing);
    // Nor does it write anything: once a bucket is bound, the first run need not wait.
    assert.equal((await other.one("SELECT due_at FROM stale_drafts_archive_scan")).due_at, 0);
    assert.equal((await other.all("SELECT 1 FROM stale_drafts_creations")).length, 7);
  } finally {
    await other.stop();
  }
  const good = await world.ask("/api/doctor");
  assert.ok(!good.findings.some(({ code }) => code === "archive_stuck"), JSON.stringify(good));
});

test("what moves costs few rows, whatever there is beside it", async () => {
  const other = await start({ config, r2Buckets: ["ARCHIVE"] });
  try {
    await other.grant("ada", 1_000_000);
    const long = NOW - 60 * DAY;
    await other.create(...Array.from({ length: 1_000 }, (_, n) => ({ id: `c${n}`, status: "processing", created_at: long, started_at: long })));
    await other.all("UPDATE stale_drafts_creations SET status = 'draft', finished_at = created_at + 60000");
    await other.create(...Array.from({ length: 3_000 }, (_, n) => ({ id: `r${n}`, status: "processing", created_at: NOW - DAY, started_at: NOW - DAY, heartbeat_at: NOW })));
    await other.cost();
    await other.cron();
    const cost = await other.cost();
    assert.deepEqual(await other.one("SELECT count(*) AS n FROM stale_drafts_creations"), { n: 3_000 });
    // Of the reads, two of each look for charges of retries. Each creation's row, and a dozen beside them: its indexes, as far as they are left, are not billed.
    assert.ok(cost.rows_written >= 1_000 && cost.rows_written <= 1_020, JSON.stringify(cost));
    // Once a day it looks at the younger ones, too, for what is behind them.
    assert.ok(cost.rows_read <= 1_000 * 50 + 3_000, JSON.stringify(cost));
    assert.deepEqual(await other.one("SELECT count(*) AS objects, sum(creations) AS creations FROM stale_drafts_archives"), { objects: 1, creations: 1_000 });
    await hold(other);
  } finally {
    await other.stop();
  }
});
