// What the platform allows, and what the product does at the edge of it: docs/limits.md. The harness holds every test to the paid
// plan's limits, and these to the free plan's 50 queries an invocation too. What exceeds them fails as the world stops.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { afterEach, test } from "node:test";
import { HOUR, MINUTE, NOW, start } from "./harness.mjs";

const BINDINGS = { WEBHOOK_SECRET: `whsec_${Buffer.from("n0t-Used-Anywhere-Else-Webhook-3c90b").toString("base64")}` };
const FREE = { config: { circuit_breaker: "off", queries_per_run: 50 }, queries: 50 };

let world;
afterEach(() => world.stop());

const count = async (status) => (await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = ?", status)).n;
const stale = (n, row = () => ({})) => Array.from({ length: n }, (_, at) => ({ id: `c${at}`, tokens: 1, ...row(at) }));

test("1,000 stale creations with the longest ids, kinds and owners, each of which JSON writes twice as long, are one sweep's work", async () => {
  world = await start({ config: { circuit_breaker: "off" } });
  const longest = (prefix, n) => prefix + String(n).padStart(4, "0") + '"'.repeat(195);
  const rows = stale(1_000, (n) => ({ id: longest("c", n), kind: longest("k", n), user_id: longest("u", n % 100), status: "processing", started_at: NOW - 2 * HOUR }));
  for (const { user_id } of rows.slice(0, 100)) await world.grant(user_id, 1_000);
  await world.create(...rows);
  assert.equal(await world.cron(), "ok");
  assert.equal(await count("failed"), 1_000);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("on the free plan a cron with all there can be to do makes no more than 50 queries", async () => {
  const requests = [];
  const server = createServer((request, response) => {
    request.resume().on("end", () => (requests.push(request.headers["webhook-id"]), response.writeHead(204).end()));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    world = await start({ ...FREE, config: { ...FREE.config, webhook_url: `http://127.0.0.1:${server.address().port}/hook` }, bindings: BINDINGS });
    await world.grant("ada", 10_000);
    await world.create(...stale(60), { id: "bad", tokens: 1 });
    await world.all("CREATE TRIGGER broken BEFORE UPDATE OF status ON stale_drafts_creations WHEN OLD.id = 'bad' BEGIN SELECT RAISE(ABORT, 'broken'); END");
    for (let minute = 0; minute < 30; minute += 1) {
      await world.order({ now: NOW + minute * MINUTE });
      assert.equal(await world.cron(), "ok");
    }
    assert.deepEqual([await count("failed"), await count("pending")], [60, 1]);
    const told = requests.filter((id) => id.startsWith("failed:"));
    assert.equal(told.length, 60, "each is told once");
    assert.equal(new Set(told).size, 60);
    assert.deepEqual(await world.wrongBalances(), []);
  } finally {
    await new Promise((done) => server.close(done));
  }
});

test("whatever is rejected, an invocation keeps its queries", async () => {
  for (const queries of [50, 1_000]) {
    world = await start({ config: { circuit_breaker: "off", queries_per_run: queries }, queries });
    await world.grant("ada", 10_000);
    await world.create(...stale(300));
    await world.all("CREATE TRIGGER broken BEFORE UPDATE OF status ON stale_drafts_creations BEGIN SELECT RAISE(ABORT, 'broken'); END");
    for (const ask of [() => world.cron(), () => world.cleanup(), () => world.as("ada", "/api/drafts")]) {
      await world.order({ now: NOW });
      await world.all("DELETE FROM stale_drafts_rejected");
      const outcome = await ask();
      assert.ok(outcome === "ok" || outcome.status === 200, `${outcome}`);
    }
    if (queries === 50) await world.stop();
  }
});

test("a dry run of 100,000 stale creations reads and lists what a plan may hold, and says that there are more", async () => {
  world = await start();
  await world.grant("ada", 1_000_000);
  await world.create(...stale(100_000));
  await world.cost();
  const answer = await world.cleanup("?dry_run=true");
  const text = await answer.text();
  const { marked_as_failed, more } = JSON.parse(text);
  assert.deepEqual([answer.status, marked_as_failed, more], [200, 1_000, true]);
  const { rows_read } = await world.cost();
  assert.ok(rows_read < 10_000, `${rows_read} rows read`);
  assert.ok(text.length < 1_000_000, `${text.length} bytes`);
});
