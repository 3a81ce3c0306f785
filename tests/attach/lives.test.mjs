// What an app that is not changed does with its own table, and what becomes of it here.

import assert from "node:assert/strict";
import { test } from "node:test";
import { USERS, open, pick, queue, row } from "./database.mjs";

test("a life: queued, running, done; no balance changes", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  assert.deepEqual(pick(app.creation(gid), "user_id", "kind", "prompt", "status", "tokens"), { user_id: "7", kind: "image", prompt: "a fox", status: "pending", tokens: 10 });
  app.run("UPDATE generations SET state = 'running', started_at = CURRENT_TIMESTAMP WHERE gid = ?", gid);
  assert.equal(app.creation(gid).status, "processing");
  app.run("UPDATE generations SET updated_at = '2100-01-01 00:00:00' WHERE gid = ?", gid);
  assert.equal(app.creation(gid).heartbeat_at, Date.UTC(2100, 0, 1));
  app.run("UPDATE generations SET state = 'succeeded', result_url = 'https://cdn.example/1.png' WHERE gid = ?", gid);
  const done = app.creation(gid);
  assert.deepEqual(pick(done, "status", "result_url"), { status: "draft", result_url: "https://cdn.example/1.png" });
  assert.ok(done.finished_at >= done.started_at);
  assert.deepEqual(app.all("SELECT * FROM stale_drafts_ledger"), [], "it is charged in the app's balance, and nothing goes back");
  assert.deepEqual([app.balance(7), app.credits(7)], [0, 100]);
  app.check();
});

test("a time-out: the row, its error and its owner's credits, in one transaction, once", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  const other = queue(app, { uid: 8, credits_used: 5 });
  assert.deepEqual({ ...app.sweep() }, { failed: 2, retried: 0, raced: 0, refunded_tokens: 15 });
  assert.deepEqual(pick(row(app, gid), "state", "error_message"), { state: "error", error_message: "Generation timeout: Task stuck in pending status for 2.0 hours" });
  assert.match(row(app, gid).finished_at, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
  assert.equal(row(app, other).state, "error");
  assert.deepEqual([app.credits(7), app.credits(8)], [110, 55]);
  assert.deepEqual({ ...app.sweep() }, { failed: 0, retried: 0, raced: 0, refunded_tokens: 0 });
  assert.deepEqual([app.credits(7), app.credits(8)], [110, 55]);
  app.check();
});

test("a late result changes nothing, and is kept", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.sweep();
  const before = row(app, gid);
  assert.equal(Number(app.run("UPDATE generations SET state = 'running' WHERE gid = ?", gid).changes), 0);
  assert.equal(app.creation(gid).late_at, null);
  app.run("UPDATE generations SET state = 'succeeded' WHERE gid = ?", gid);
  assert.equal(app.creation(gid).late_result_url, "app:late");
  app.run("UPDATE generations SET result_url = 'https://cdn.example/1.png' WHERE gid = ?", gid);
  assert.equal(app.creation(gid).late_result_url, "https://cdn.example/1.png");
  app.run("UPDATE generations SET state = 'error', error_message = 'mine' WHERE gid = ?", gid);
  assert.deepEqual(row(app, gid), before);
  // What a time-out did not write can be written.
  app.run("UPDATE generations SET prompt = 'another', updated_at = '2026-01-01 00:00:00', state = state WHERE gid = ?", gid);
  assert.equal(row(app, gid).prompt, "another");
  assert.equal(app.credits(7), 110);
  app.check();
});

test("a further attempt puts the app's word back", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.run("UPDATE generations SET state = 'running', started_at = CURRENT_TIMESTAMP WHERE gid = ?", gid);
  assert.equal(app.sweep({ retry: true }).retried, 1);
  assert.deepEqual(pick(row(app, gid), "state", "started_at"), { state: "queued", started_at: null });
  assert.deepEqual(pick(app.creation(gid), "status", "attempt"), { status: "pending", attempt: 2 });
  assert.equal(app.credits(7), 100);
  app.run("UPDATE generations SET state = 'succeeded' WHERE gid = ?", gid);
  assert.equal(app.creation(gid).status, "draft");
  app.check();
});

test("a restore: done after all, and charged again", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.sweep();
  app.run("UPDATE generations SET state = 'succeeded', result_url = 'https://cdn.example/1.png' WHERE gid = ?", gid);
  app.restore(gid);
  assert.deepEqual(pick(row(app, gid), "state", "error_message", "result_url"), { state: "succeeded", error_message: null, result_url: "https://cdn.example/1.png" });
  assert.equal(app.credits(7), 100);
  app.check();
});

test("detach leaves the schema as it was", () => {
  const plain = open({ mapping: null, before: USERS });
  const app = open({ before: USERS });
  queue(app);
  const rows = app.all("SELECT * FROM generations");
  app.detach();
  assert.deepEqual(app.schema(), plain.schema());
  assert.deepEqual(app.all("SELECT * FROM generations"), rows);
  assert.equal(app.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status IN ('pending', 'processing')").n, 0);
  app.check();
});
