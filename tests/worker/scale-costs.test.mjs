// The arithmetic of docs/scale.md: its tables are what the script prints, and what the script counts with is what the Worker and the
// database do.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { promisify } from "node:util";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { assumptions, requests } from "../../scripts/scale-costs/arithmetic.mjs";
import { ASSUMED, BYTES, MEASURED } from "../../scripts/scale-costs/figures.mjs";
import { HOUR, MINUTE, NOW, start } from "./harness.mjs";

const root = join(import.meta.dirname, "../..");
const document = readFileSync(join(root, "docs/scale.md"), "utf8");
const script = (...args) => promisify(execFile)(process.execPath, [join(root, "scripts/scale-costs.mjs"), ...args]);

test("docs/scale.md has what the script prints", async () => {
  const { stdout } = await script();
  for (const part of stdout.trim().split("\n\n")) assert.ok(document.includes(part), `docs/scale.md has not what \`node scripts/scale-costs.mjs\` prints:\n${part}`);
});

test("other figures can be asked for, and wrong input is explained", async () => {
  const { stdout } = await script("--rates", "50", "--keep-days", "30", "--assume", "heartbeats=0,polls=2");
  assert.match(stdout, /^\| heartbeats of a creation \(`heartbeats`\) \| 0 \|$/m);
  assert.match(stdout, /^\| creations a second \| 50 \|$/m);
  await assert.rejects(script("--rates", "many"), /--rates takes numbers above 0, such as `10`; it was `many`\.\nUsage/);
  await assert.rejects(script("--keep-days", "0"), /--keep-days takes numbers above 0, such as `10`; it was `0`/);
  await assert.rejects(script("--assume", "heartbeat=1"), /--assume takes `NAME=NUMBER` with one of heartbeats, .*; it was `heartbeat=1`/);
  await assert.rejects(script("--assume", "heartbeats=few"), /it was `heartbeats=few`/);
  await assert.rejects(script("--rate", "10"), /Unknown option '--rate'[^]*Usage/);
});

test("requests and cron runs cost what the script counts with", async () => {
  const world = await start({ config: { policy: { heartbeat_minutes: 2 } }, queues: ["EVENTS"] });
  try {
    const found = {};
    const measure = async (name, request) => {
      await world.cost();
      const answer = await request();
      // What goes on after the answer belongs to it: the delivery of its event.
      for (let tries = 0; tries < 200 && (await world.one("SELECT count(*) AS n FROM stale_drafts_events")).n > 0; tries += 1) await new Promise((done) => setTimeout(done, 10));
      found[name] = await world.cost();
      return answer;
    };
    const owners = 100;
    await world.database.prepare(`INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
      SELECT 'grant:' || value, 'u' || value, 'grant', 1000000, 0 FROM json_each(?)`).bind(JSON.stringify([...Array(owners).keys()])).run();
    // The watch looks once a minute beside what comes in; it has looked. So has who writes: whether the only database has all users.
    await world.cron();
    await world.ask("/api/sweeps");
    assert.equal((await world.report("", { user_id: "nobody", kind: "image", prompt: "a fox", tokens: 1 })).http, 402);
    const { id } = await measure("create", () => world.report("", { user_id: "u1", kind: "image", prompt: "a fox", tokens: 30 }));
    const { fence } = await measure("start", () => world.report(`/${id}/start`, { worker: "w1" }));
    await measure("heartbeat", () => world.report(`/${id}/heartbeat`, { fence, progress: 10 }));
    await measure("complete", () => world.report(`/${id}/complete`, { fence, result_url: "https://files.example/1" }));
    await measure("publish", () => world.as("u1", `/api/drafts/${id}/publish`, { method: "POST" }));
    const other = await world.report("", { user_id: "u1", kind: "image", prompt: "a fox", tokens: 30 });
    const begun = await world.report(`/${other.id}/start`, { worker: "w1" });
    await measure("fail", () => world.report(`/${other.id}/fail`, { fence: begun.fence, error: "no answer", error_code: "provider_error" }));

    // Each owner has 25 that have ended, and one or two that are being generated.
    const all = 2_650;
    await world.create(...Array.from({ length: all }, (_, n) => ({ id: `c-${n}`, user_id: `u${n % owners}`, kind: n % 2 ? "image" : "video", created_at: NOW - 2 * MINUTE })));
    const update = (set, at, where) => world.database.prepare(`UPDATE stale_drafts_creations SET ${set} WHERE ${where}`).bind(at).run();
    await update("status = 'processing', started_at = ?", NOW - MINUTE, "status = 'pending'");
    await update("status = 'draft', finished_at = ?", NOW - 1_000, "status = 'processing' AND CAST(substr(id, 3) AS INTEGER) < 2500");
    await measure("list", () => world.as("u77", "/api/drafts"));
    await measure("poll", () => world.as("u77", "/api/drafts/active"));

    const minute = async (minutes) => {
      await update("heartbeat_at = ?", NOW + minutes * MINUTE - 1_000, "status = 'processing'");
      await world.order({ now: NOW + minutes * MINUTE });
    };
    await minute(1);
    await world.cron();
    await minute(2);
    await measure("cron", () => world.cron());
    await minute(3);
    await world.create(...Array.from({ length: 100 }, (_, n) => ({ id: `stale-${n}`, user_id: `u${n}`, created_at: NOW - 3 * HOUR })));
    await measure("cron_with_100_stale", () => world.cron());
    assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE sweep_id IS NOT NULL")).n, 100);
    assert.deepEqual(found, MEASURED, "scripts/scale-costs/figures.mjs has other figures; with the new ones, docs/scale.md needs what `node scripts/scale-costs.mjs` prints then");
  } finally {
    await world.stop();
  }
});

test("with shards a request costs what the script counts with", async () => {
  const world = await start({ shards: 2 });
  try {
    const home = world.databases[bucketOf("u1") < 2_048 ? 0 : 1];
    await home.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:u1', 'u1', 'grant', 1000000, 0)").run();
    // The watch looks once a minute beside what comes in; it has looked.
    await world.cron();
    await world.ask("/api/sweeps");
    const found = {};
    const measure = async (name, request) => {
      await world.cost();
      const answer = await request();
      found[name] = await world.cost();
      return answer;
    };
    const { id } = await measure("create", () => world.report("", { user_id: "u1", kind: "image", prompt: "a fox", tokens: 30 }));
    const { fence } = await measure("start", () => world.report(`/${id}/start`, { worker: "w1" }));
    await measure("heartbeat", () => world.report(`/${id}/heartbeat`, { fence, progress: 10 }));
    await measure("complete", () => world.report(`/${id}/complete`, { fence, result_url: "https://files.example/1" }));
    await measure("publish", () => world.as("u1", `/api/drafts/${id}/publish`, { method: "POST" }));
    const counted = Object.fromEntries(requests(assumptions(), true).map(({ what, cost }) => [what, cost]));
    assert.deepEqual(found, Object.fromEntries(Object.keys(found).map((name) => [name, counted[name]])));
  } finally {
    await world.stop();
  }
});

test("a creation that is archived costs what the script counts with, and docs/retention.md says", async () => {
  const count = 1_000;
  const world = await start({ config: { keep_days: { creations: 30 } }, r2Buckets: ["ARCHIVE"] });
  const { archive_rows_read: read, archive_rows_written: written } = ASSUMED;
  try {
    // Each of an owner of its own: archive.test.mjs has them all of one.
    await world.database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) SELECT 'grant:u' || value, 'u' || value, 'grant', 1000000, 0 FROM json_each(?)").bind(JSON.stringify([...Array(count).keys()])).run();
    const long = NOW - 60 * 24 * HOUR;
    await world.create(...Array.from({ length: count }, (_, n) => ({ id: `c${n}`, user_id: `u${n}`, status: "processing", created_at: long, started_at: long })));
    await world.all("UPDATE stale_drafts_creations SET status = 'draft', finished_at = created_at + 60000");
    await world.cost();
    await world.cron();
    const cost = await world.cost();
    assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations")).n, 0);
    // What else a cron reads and writes here is a few hundred rows.
    assert.deepEqual([cost.rows_read, cost.rows_written].map((rows) => Math.round(rows / count)), [read.value, written.value]);
  } finally {
    await world.stop();
  }
  assert.ok(readFileSync(join(root, "docs/retention.md"), "utf8").includes(`| about ${read.value} each | 1 each, 1 for each of their owners, and about 10 |`));
});

test("a creation has as many bytes as the script counts with", () => {
  const database = new DatabaseSync(":memory:");
  for (const name of readdirSync(join(root, "migrations")).sort()) database.exec(readFileSync(join(root, "migrations", name), "utf8"));
  const count = 10_000;
  const uuid = (text) => createHash("md5").update(text).digest("hex").replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
  const words = (text, length) => Array.from({ length: 7 }, (_, n) => uuid(text + n)).join(" ").slice(0, length);
  const at = 1_700_000_000_000;
  const id = (n) => {
    const [time, rest] = [(at + n * 1_000).toString(16).padStart(12, "0"), uuid(`id ${n}`)];
    return `${time.slice(0, 8)}-${time.slice(8)}-8${rest.slice(15)}`;
  };
  const statement = (sql) => database.prepare(sql);
  const grant = statement("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 1000000, 0)");
  const create = statement("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES (?, ?, 'image', ?, 'pending', 30, ?)");
  const begin = statement("UPDATE stale_drafts_creations SET status = 'processing', started_at = ?, heartbeat_at = ?, worker = 'worker-17', fence = ?, progress = 50 WHERE id = ?");
  const complete = statement("UPDATE stale_drafts_creations SET status = 'draft', finished_at = ?, progress = 100, result_url = 'https://files.example/' || id WHERE id = ?");
  const fail = statement("UPDATE stale_drafts_creations SET status = 'failed', finished_at = ?, error = 'Generation timeout: Task stuck in processing status for 1.0 hours', error_code = 'provider_error' WHERE id = ?");
  database.exec("BEGIN");
  for (let n = 0; n < count; n += 1) {
    const owner = uuid(`owner ${n % 1_000}`);
    if (n < 1_000) grant.run(owner);
    create.run(id(n), owner, words(`prompt ${n}`, 200), at + n * 1_000);
    begin.run(at + n * 1_000, at + n * 1_000, uuid(`fence ${n}`), id(n));
    (n % 100 < 3 ? fail : complete).run(at + n * 1_000, id(n));
  }
  database.exec("COMMIT");
  const bytes = (pattern) => statement("SELECT sum(pgsize) AS bytes FROM dbstat WHERE name LIKE ? AND name NOT LIKE '%grants'").get(pattern).bytes / count;
  const near = (found, said, what) => assert.ok(Math.abs(found - said) <= 0.05 * said, `${what}: ${found.toFixed(1)} bytes, and the script counts with ${said}`);
  near(bytes("%stale_drafts_creations%"), BYTES.creation, "a creation");
  near(bytes("stale_drafts_ledger%"), BYTES.ledger, "its entries in the ledger");
  database.close();
});

/** The code of docs/scale.md that begins so. */
const code = (language, begin) => {
  const block = document.split(`\`\`\`${language}\n`).slice(1).map((rest) => rest.split("```")[0]).find((text) => text.startsWith(begin));
  assert.ok(block, `docs/scale.md has no ${language} that begins with \`${begin}\``);
  return block;
};

test("docs/scale.md lists the users of buckets that are away", async () => {
  const database = new DatabaseSync(":memory:");
  for (const name of readdirSync(join(root, "migrations")).sort()) database.exec(readFileSync(join(root, "migrations", name), "utf8"));
  const users = ["ada", "bo", "Zoë", "🦊", ...Array.from({ length: 200 }, (_, n) => `user-${n}`)];
  for (const user of users) database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 1, 0)").run(user);
  database.exec("INSERT INTO stale_drafts_buckets (first_bucket, state) VALUES (0, 'here'), (1000, 'away'), (3000, 'here'), (4000, 'away')");
  const away = users.map((user) => ({ user_id: user, bucket: bucketOf(user) })).filter(({ bucket }) => bucket >= 1_000 && bucket < 3_000 || bucket >= 4_000);
  const found = database.prepare(code("sql", "WITH RECURSIVE\n  owners")).all().map((row) => ({ ...row }));
  assert.deepEqual(found, away.sort((one, other) => one.bucket - other.bucket || (one.user_id < other.user_id ? -1 : 1)));
  assert.ok(found.length > 50);
  database.close();
});

test("the hash of docs/scale.md is the same in its JavaScript, its SQL and its table", async () => {
  const { bucketOf } = await import(`data:text/javascript,${encodeURIComponent(code("js", "export function bucketOf"))}`);
  const database = new DatabaseSync(":memory:");
  const sql = database.prepare(code("sql", "WITH RECURSIVE"));
  const rows = [...document.matchAll(/^\| `(.*)` \| (\d+) \|$/gm)].map(([, user, bucket]) => [user, Number(bucket)]);
  assert.ok(rows.length >= 7);
  for (const [user, bucket] of rows) assert.deepEqual([bucketOf(user), sql.get(user).bucket], [bucket, bucket], user);
  for (let n = 0; n < 1_000; n += 1) {
    const user = `${["ü", "€", "🦊", ""][n % 4]}${createHash("md5").update(`${n}`).digest("base64")}`.repeat(1 + n % 4);
    assert.equal(sql.get(user).bucket, bucketOf(user), user);
  }
  database.close();

  // How evenly it spreads them.
  const [buckets, shards] = [new Array(4_096).fill(0), new Array(16).fill(0)];
  for (let n = 0; n < 1_000_000; n += 1) {
    const bucket = bucketOf(`user-${n}`);
    buckets[bucket] += 1;
    shards[bucket >> 8] += 1;
  }
  const spread = [buckets, shards].map((counts) => [Math.min(...counts), Math.max(...counts)].map((value) => value.toLocaleString("en-US")).join(" to "));
  assert.ok(document.includes(`a bucket has ${spread[0]}, and each of 16 equal shards ${spread[1]}.`), spread.join(" and "));
});
