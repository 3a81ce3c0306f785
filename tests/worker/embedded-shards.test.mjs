// An app that embeds the Worker, with two databases of its own names and a queue that sweeps one of them.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Miniflare } from "miniflare";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { HOUR, JWT_SECRET, statements } from "./harness.mjs";

const root = join(import.meta.dirname, "../..");
const read = (path) => readFileSync(join(root, path));
const APP = `
import { staleDrafts } from "./index.js";
const drafts = staleDrafts({
  bindings: { SWEEPS: "DRAFT_SWEEPS" },
  config: { circuit_breaker: "off", shards: [{ binding: "SOUTH", buckets: "0-2047" }, { binding: "NORTH", buckets: "2048-4095" }] },
});
export default {
  async fetch(request, env, ctx) {
    const [name, ...args] = await request.json();
    if (name === "lost") {
      // As if the binding of one of them were not there.
      const { NORTH, ...rest } = env;
      const delays = await Promise.all([1, 2, 3, 4].map((attempts) => new Promise((told) => {
        const message = { body: { type: "sweep", shard: "NORTH" }, attempts, ack: () => told(null), retry: (options) => told(options.delaySeconds) };
        void drafts.queue({ messages: [message] }, rest, ctx);
      })));
      const ready = await drafts.fetch(new Request("http://localhost/stale-drafts/readyz"), rest, ctx);
      const asked = await drafts.fetch(new Request("http://localhost/stale-drafts/api/drafts"), rest, ctx);
      return Response.json({ value: { delays, ready: [ready.status, await ready.json()], asked: [asked.status, await asked.json()] } });
    }
    if (name === "send") return Response.json({ value: await env.DRAFT_SWEEPS.send(...args) ?? null });
    return Response.json({ value: await drafts[name](env, ...args) });
  },
  scheduled: (event, env, ctx) => drafts.scheduled(event, env, ctx),
  queue: (batch, env, ctx) => drafts.queue(batch, env, ctx),
};
`;

test("both databases of an app are swept, by cron and by a message", async (t) => {
  const miniflare = new Miniflare({
    cf: false,
    modules: [
      { type: "ESModule", path: join(root, "pkg/dist/worker/app.js"), contents: APP },
      { type: "ESModule", path: join(root, "pkg/dist/worker/index.js"), contents: read("pkg/dist/worker/index.js").toString() },
      { type: "CompiledWasm", path: join(root, "pkg/dist/worker/index_bg.wasm"), contents: read("pkg/dist/worker/index_bg.wasm") },
    ],
    modulesRoot: join(root, "pkg/dist/worker"),
    compatibilityDate: "2026-07-01",
    d1Databases: { SOUTH: "south", NORTH: "north" },
    queueProducers: { DRAFT_SWEEPS: { queueName: "sweeps" } },
    queueConsumers: { sweeps: { maxBatchTimeout: 0 } },
    bindings: { JWT_SECRET },
  });
  t.after(() => miniflare.dispose());
  const databases = [await miniflare.getD1Database("SOUTH"), await miniflare.getD1Database("NORTH")];
  for (const name of readdirSync(join(root, "migrations")).sort()) {
    for (const sql of statements(read(`migrations/${name}`).toString())) for (const database of databases) await database.prepare(sql).run();
  }
  const call = async (...args) => (await (await miniflare.dispatchFetch("http://localhost/", { method: "POST", body: JSON.stringify(args) })).json()).value;
  const failed = () => Promise.all(databases.map((database) => database.prepare("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'").first("n")));
  const users = ["ada", "foobar", "user-002", "图片"];
  const expected = [0, 0];
  const stuck = async () => {
    for (const user_id of users) {
      const { id } = await call("create", { user_id, kind: "image", prompt: "a fox", tokens: 10 });
      const database = databases[bucketOf(user_id) >> 11];
      await database.prepare("UPDATE stale_drafts_creations SET created_at = ? WHERE id = ?").bind(Date.now() - 2 * HOUR, id).run();
    }
  };
  for (const user_id of users) {
    await call("grant", { user_id, tokens: 100, idempotency_key: `grant-${bucketOf(user_id)}` });
    expected[bucketOf(user_id) >> 11] += 1;
  }
  assert.ok(expected.every((count) => count > 0));
  await stuck();
  const worker = await miniflare.getWorker();
  assert.equal((await worker.scheduled({ cron: "* * * * *" })).outcome, "ok");
  assert.deepEqual(await failed(), expected);

  // Without the binding of one of them: it is named, and its message is delivered again later and later.
  const { delays, ready, asked } = await call("lost");
  assert.deepEqual(delays, [10, 30, 90, 90]);
  assert.deepEqual([ready[0], ready[1].checks.schema], [503, "the database binding `NORTH` is not there: expected one in `d1_databases`"]);
  assert.deepEqual([asked[0], asked[1].code], [503, "misconfigured"]);

  // A message sweeps the one that it names; one that nobody knows is not delivered for ever.
  await stuck();
  await call("send", { type: "sweep", shard: "EAST" });
  await call("send", { type: "sweep", shard: "NORTH" });
  for (let tries = 0; tries < 500 && (await failed())[1] === expected[1]; tries += 1) await new Promise((done) => setTimeout(done, 20));
  assert.deepEqual(await failed(), [expected[0], 2 * expected[1]]);
  const { shards, marked_as_failed } = await call("markStaleCreationsAsFailed");
  assert.deepEqual([marked_as_failed, shards.map(({ shard }) => shard)], [expected[0], ["SOUTH", "NORTH"]]);
});
