// What workers' reports cost, in rows as D1 bills them. The counts are exact and repeat: docs/workers.md states them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { HOUR, MINUTE, NOW, start, token } from "./harness.mjs";

let world;
before(async () => {
  world = await start({ config: { policy: { heartbeat_minutes: 2, total_hours: 6 } } });
  await world.grant("ada", 1_000_000);
  // The watch looks once a minute beside what comes in; it has looked.
  await world.cron();
  await world.ask("/api/sweeps");
  // Others are there: what a report costs does not depend on them.
  await world.create(...Array.from({ length: 1_000 }, (_, n) => ({ id: `other-${n}`, created_at: NOW })));
});
after(() => world.stop());

/** The rows that a request reads and writes. */
async function rows(request) {
  await world.cost();
  const answer = await request();
  assert.ok([200, 201, 304].includes(answer.http ?? answer.status), JSON.stringify(answer));
  const { rows_read, rows_written } = await world.cost();
  return { ...answer, rows: [rows_read, rows_written] };
}

test("a normal life writes 14 rows, and a heartbeat 2", async () => {
  const made = await rows(() => world.report("", { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 }));
  const { id } = made;
  const started = await rows(() => world.report(`/${id}/start`, { worker: "w1" }));
  const { fence } = started;
  const first = await rows(() => world.report(`/${id}/heartbeat`, { fence, progress: 10 }));
  const second = await rows(() => world.report(`/${id}/heartbeat`, { fence, progress: 20 }));
  const done = await rows(() => world.report(`/${id}/complete`, { fence, result_url: "https://cdn.example/1" }));
  const written = ({ rows: [, written] }) => written;
  // The row, its key and three indexes, the ledger, the balance.
  assert.equal(written(made), 7);
  // The row, each index whose condition or columns hold the status: by phase, by total time, by user; and the histogram of waits.
  assert.equal(written(started), 5);
  // The row, for it leaves the indexes of active creations, which D1 does not bill; and the histogram of the time in processing.
  assert.equal(written(done), 2);
  // The row, and the index that a sweep finds silent ones by.
  assert.deepEqual([written(first), written(second)], [2, 2]);
  for (const report of [made, started, first, second, done]) assert.ok(report.rows[0] <= 8, `${report.rows[0]} rows read`);
  // One that is repeated writes nothing.
  assert.equal(written(await rows(() => world.report(`/${id}/start`, { worker: "w1" }))), 0);
  assert.equal(written(await rows(() => world.report(`/${id}/complete`, { fence, result_url: "https://cdn.example/1" }))), 0);
});

test("an idle sweep reads as much beside 100 living, heartbeating creations older than the limit as beside 10,000", async () => {
  const living = (from, to) => Array.from({ length: to - from }, (_, n) => ({ id: `living-${from + n}`, kind: "video", status: "processing", created_at: NOW - 5 * HOUR, started_at: NOW - 5 * HOUR, heartbeat_at: NOW - (n % 100) * 1_000 }));
  const idle = async () => {
    const { marked_as_failed, cost } = await (await world.cleanup()).json();
    assert.equal(marked_as_failed, 0);
    return cost;
  };
  await world.create(...living(0, 100));
  const few = await idle();
  await world.create(...living(100, 10_000));
  const many = await idle();
  assert.deepEqual(many, few);
  assert.ok(many.rows_read <= 30, `${many.rows_read} rows read`);
  assert.equal(many.rows_written, 1);
});

test("a question of an open page reads a row for each creation that is being generated and one more", async () => {
  await world.grant("bo", 1_000);
  await world.create(...Array.from({ length: 3 }, (_, n) => ({ id: `bo-${n}`, user_id: "bo", created_at: NOW - MINUTE })));
  const asked = await rows(async () => {
    const { status } = await world.fetch("/api/drafts/active", { headers: { Authorization: `Bearer ${token({ sub: "bo" })}` } });
    return { status };
  });
  assert.deepEqual(asked.rows, [1 + 3, 0]);
});
