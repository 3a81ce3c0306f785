// The histograms: right in each bucket, sum and count, whoever writes, and never less than before.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import Ajv from "ajv";
import { unstable_readConfig } from "wrangler";
import { CLEANUP_TOKEN, HOUR, NOW, start } from "./harness.mjs";

let world;
afterEach(() => world.stop());

const as = { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } };
/** The samples of a scrape, by their series. */
const scrape = async () => {
  const text = await (await world.fetch("/metrics", as)).text();
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
};
const buckets = (samples, name, labels) => [...samples].filter(([series]) => series.startsWith(`${name}_bucket{${labels}${labels && ","}le=`)).map(([, value]) => value);
const at = (millis) => world.order({ now: NOW + millis });
/** Everything that only ever grows. */
const growing = (samples) => [...samples].filter(([series]) => /_(total|bucket|count|sum)(\{|$)/.test(series));
const isMonotone = (before, after) => {
  const [now, was] = [new Map(growing(after)), growing(before)];
  for (const [series, value] of was) assert.ok(now.get(series) >= value, `${series}: ${now.get(series)} after ${value}`);
};

/** A life of a creation: how long it waits and takes, and what its worker says in the end. */
async function life(kind, wait, takes, end = "complete") {
  const created = await world.report("", { user_id: "ada", kind, prompt: "p", tokens: 0 });
  const began = (await world.one("SELECT created_at FROM stale_drafts_creations WHERE id = ?", created.id)).created_at - NOW;
  await at(began + wait);
  const { fence } = await world.report(`/${created.id}/start`, { worker: "w" });
  await world.report(`/${created.id}/heartbeat`, { fence });
  await at(began + wait + takes);
  await world.report(`/${created.id}/${end}`, end === "complete" ? { fence, result_url: "https://r.example/1" } : { fence, error_code: "x", error: "y" });
}

test("waits, times in processing and delays are in their buckets, with their sum and count, and a scrape adds nothing", async () => {
  world = await start();
  await world.grant("ada", 1_000);
  await life("image", 1_000, 4_999);
  await life("image", 1_001, 60_001);
  await life("vi\"deo", 0, 30_000, "fail");
  await world.create({ id: "late", status: "processing", created_at: NOW - 2 * HOUR, started_at: NOW - HOUR - 90_500 });
  await at(0);
  await world.cron();
  const samples = await scrape();
  assert.deepEqual(buckets(samples, "stale_drafts_wait_seconds", 'kind="image"'), [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
  assert.deepEqual([samples.get('stale_drafts_wait_seconds_count{kind="image"}'), samples.get('stale_drafts_wait_seconds_sum{kind="image"}')], [2, 2.001]);
  assert.deepEqual(buckets(samples, "stale_drafts_processing_seconds", 'kind="image",outcome="completed"'), [0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]);
  assert.equal(samples.get('stale_drafts_processing_seconds_sum{kind="image",outcome="completed"}'), 65);
  assert.deepEqual(buckets(samples, "stale_drafts_processing_seconds", 'kind="vi\\"deo",outcome="failed"'), [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
  // Its limit is an hour: it was due 90.5 s ago.
  assert.deepEqual(buckets(samples, "stale_drafts_time_to_failure_seconds", 'outcome="failed"'), [0, 1, 1, 1, 1, 1]);
  assert.equal(samples.get('stale_drafts_time_to_failure_seconds_sum{outcome="failed"}'), 90.5);
  assert.equal(samples.get('stale_drafts_time_to_failure_seconds_count{outcome="retried"}'), 0);
  assert.deepEqual(await scrape(), samples);
});

test("a creation that moved on while a sweep was at it leaves the sum right", async () => {
  world = await start();
  await world.grant("ada", 1_000);
  await world.create({ id: "a", created_at: NOW - HOUR - 10_000 }, { id: "b", created_at: NOW - HOUR - 20_000 });
  await world.order({ sqlBefore: /sum\(c\.tokens\)/, sql: ["UPDATE stale_drafts_creations SET status = 'processing', started_at = 1700000000000 WHERE id = 'a'"] });
  await world.cron();
  const samples = await scrape();
  assert.deepEqual([samples.get('stale_drafts_time_to_failure_seconds_count{outcome="failed"}'), samples.get('stale_drafts_time_to_failure_seconds_sum{outcome="failed"}')], [1, 20]);
});

test("nothing goes down after a restart, after a year of retention, nor when it is archived", async () => {
  const persist = mkdtempSync(join(tmpdir(), "stale-drafts-metrics-"));
  const config = { keep_days: { rollups: 1, sweeps: 1, creations: 1 } };
  try {
    world = await start({ persist, config, r2Buckets: ["ARCHIVE"] });
    await world.grant("ada", 1_000);
    await life("image", 2_000, 3_000);
    await world.create({ id: "s", created_at: NOW - 2 * HOUR });
    await world.cron();
    const before = await scrape();
    assert.ok(growing(before).some(([series, value]) => series.startsWith("stale_drafts_wait_seconds_count") && value === 1));
    await world.stop();
    world = await start({ persist, config, r2Buckets: ["ARCHIVE"], migrate: false });
    isMonotone(before, await scrape());
    for (const day of [400, 401, 402]) {
      await at(day * 24 * HOUR);
      await world.cron();
    }
    assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations")).n, 0);
    assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_rollups WHERE hour > 0")).n, 0);
    isMonotone(before, await scrape());
  } finally {
    rmSync(persist, { recursive: true, force: true });
  }
});

test("shards add up, and while one does not answer there is no counter that would look like a restart", async () => {
  world = await start({ shards: 2 });
  for (const [at, database] of world.databases.entries()) {
    await database.prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES (?, 'u', 'image', '', 'pending', 0, ?)").bind(`c${at}`, NOW - 2_000 - at).run();
    await database.prepare("UPDATE stale_drafts_creations SET status = 'processing', started_at = ?").bind(NOW).run();
    await database.prepare("UPDATE stale_drafts_creations SET status = 'draft', finished_at = ?").bind(NOW + 7_000).run();
  }
  await world.cron();
  const samples = await scrape();
  assert.deepEqual([samples.get('stale_drafts_wait_seconds_count{kind="image"}'), samples.get('stale_drafts_wait_seconds_sum{kind="image"}')], [2, 4.001]);
  assert.equal(samples.get('stale_drafts_processing_seconds_sum{kind="image",outcome="completed"}'), 14);
  await world.order({ dead: ["DB_1"] });
  const alone = await scrape();
  assert.deepEqual(growing(alone), []);
  assert.equal(alone.get('stale_drafts_alert_firing{code="database_unreachable",severity="critical"}'), 1);
  await world.order({});
  isMonotone(samples, await scrape());
});

test("a start and an end write a row more each, and a heartbeat none", async () => {
  world = await start();
  await world.grant("ada", 1_000);
  await world.cron();
  const rows = async (act) => {
    await world.cost();
    await act();
    const { rows_read, rows_written } = await world.cost();
    return [rows_read, rows_written];
  };
  const { id } = await world.report("", { user_id: "ada", kind: "image", prompt: "p", tokens: 0 });
  const counting = (path, body) => rows(() => world.report(path, body));
  const { fence } = await world.report(`/${id}/start`, { worker: "w" });
  const before = await world.one("SELECT sum(creations) AS n FROM stale_drafts_durations");
  const [, beat] = await counting(`/${id}/heartbeat`, { fence });
  assert.equal(beat, 2);
  assert.deepEqual(await world.one("SELECT sum(creations) AS n FROM stale_drafts_durations"), before);
  assert.equal((await counting(`/${id}/complete`, { fence, result_url: "https://r.example/1" }))[1], 2);
  assert.equal((await world.one("SELECT sum(creations) AS n FROM stale_drafts_durations")).n, before.n + 1);
});

test("wrangler takes the configuration for OTLP that docs/metrics.md has", async () => {
  world = await start({ migrate: false });
  const folder = mkdtempSync(join(tmpdir(), "stale-drafts-otlp-"));
  try {
    const [, block] = /```toml\n(\[observability\.logs\][^]*?)```/.exec(readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8"));
    const given = readFileSync(new URL("../../wrangler.toml", import.meta.url), "utf8");
    writeFileSync(join(folder, "wrangler.toml"), `${given}\n${block}`);
    const { observability } = unstable_readConfig({ config: join(folder, "wrangler.toml") });
    assert.deepEqual([observability.enabled, observability.logs.destinations, observability.traces.destinations], [true, ["collector-logs"], ["collector-traces"]]);
    // Its schema knows no other keys.
    const ajv = new Ajv({ strict: false });
    ajv.addSchema(JSON.parse(readFileSync(new URL("../../node_modules/wrangler/config-schema.json", import.meta.url), "utf8")), "wrangler");
    const validate = ajv.getSchema("wrangler#/definitions/Observability");
    assert.ok(validate(observability), ajv.errorsText(validate.errors));
    assert.ok(!validate({ ...observability, logs: { destination: "x" } }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
