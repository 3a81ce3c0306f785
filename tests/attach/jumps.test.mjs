// Jumps, deletes, replacements and values that no creation can have: none of them breaks a write of the app.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MAPPING, SCHEMA, USERS, open, pick, queue, row, transaction } from "./database.mjs";

const problem = (app, gid) => app.one("SELECT problem FROM stale_drafts_attach_generations WHERE app_id = ?", gid).problem;
const set = (app, gid, state) => app.run("UPDATE generations SET state = ? WHERE gid = ?", state, gid);

test("from queued straight to done: it starts and ends at once", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  set(app, gid, "succeeded");
  const { status, started_at, finished_at } = app.creation(gid);
  assert.equal(status, "draft");
  assert.ok(started_at > 0 && finished_at >= started_at);
  app.check();
});

test("what the app fails is over; its own refund stays its own", () => {
  const app = open({ before: USERS });
  const [queued, running] = [queue(app), queue(app)];
  set(app, running, "running");
  app.run("UPDATE generations SET state = 'error', error_message = 'out of memory' WHERE gid IN (?, ?)", queued, running);
  for (const gid of [queued, running]) assert.deepEqual(pick(app.creation(gid), "status", "error", "error_code"), { status: "failed", error: "out of memory", error_code: "app_failed" });
  assert.equal(app.credits(7), 100);
  // It is not timed out: the app may write what it likes.
  set(app, queued, "succeeded");
  assert.equal(row(app, queued).state, "succeeded");
  assert.equal(app.creation(queued).status, "failed");
  app.check();
});

test("with refund_failures what the app fails is paid back, once", () => {
  const app = open({ before: USERS, mapping: { ...MAPPING, refund_failures: true } });
  const gid = queue(app);
  set(app, gid, "error");
  set(app, gid, "running");
  set(app, gid, "error");
  assert.equal(app.credits(7), 110);
  app.check();
});

test("a deleted row is over: hidden, and nothing is paid", () => {
  const app = open({ before: USERS });
  const [active, done] = [queue(app), queue(app)];
  set(app, done, "succeeded");
  app.run("DELETE FROM generations");
  assert.deepEqual(pick(app.creation(active), "status", "error_code", "prompt"), { status: "failed", error_code: "app_deleted", prompt: "" });
  assert.ok(app.creation(active).deleted_at > 0);
  assert.deepEqual(pick(app.creation(done), "status", "prompt"), { status: "draft", prompt: "" });
  assert.equal(app.credits(7), 100);
  assert.equal(app.sweep().failed, 0);
  app.check();
});

test("SQLite gives a deleted id again: the new row is another creation", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.run("DELETE FROM generations WHERE gid = ?", gid);
  assert.equal(queue(app, { prompt: "an owl" }), gid);
  const [second] = app.all("SELECT * FROM stale_drafts_creations WHERE id GLOB 'generations:1~*'");
  assert.deepEqual(pick(second, "status", "prompt"), { status: "pending", prompt: "an owl" });
  set(app, gid, "running");
  assert.equal(app.creation(second.id).status, "processing");
  app.sweep();
  assert.equal(row(app, gid).state, "error");
  assert.equal(app.credits(7), 110);
  set(app, gid, "succeeded");
  assert.equal(app.creation(second.id).late_result_url, "app:late");
  assert.equal(row(app, gid).state, "error");
  app.check();
});

test("an id that is used again and again within a millisecond, or after the clock was put back, is another creation each time", () => {
  const app = open({ before: USERS });
  app.exec("BEGIN");
  for (let times = 0; times < 5; times += 1) {
    queue(app, { gid: 1 });
    app.run("DELETE FROM generations");
  }
  app.exec("COMMIT");
  assert.equal(app.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE error_code = 'app_deleted'").n, 5);
  app.exec("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, settled_elsewhere, deleted_at) VALUES ('generations:1~9000000000000', '7', '', '', 'draft', 0, 1, 0)");
  queue(app, { gid: 1 });
  set(app, 1, "running");
  assert.equal(app.creation("generations:1~9000000000001").status, "processing");
  app.check();
});

test("a row that was over when it came in, with the id of one that had timed out, is another row", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.sweep();
  app.run("DELETE FROM generations WHERE gid = ?", gid);
  assert.equal(queue(app, { state: "error", error_message: "out of memory" }), gid);
  set(app, gid, "succeeded");
  assert.equal(row(app, gid).state, "succeeded");
  assert.throws(() => queue(app, { gid }), /UNIQUE/);
  app.check();
});

test("a row with the id of one that had timed out, into which that one is saved with another word, has not timed out", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.sweep();
  const { error_message } = row(app, gid);
  app.run("DELETE FROM generations WHERE gid = ?", gid);
  // No creation can be made of it.
  assert.equal(queue(app, { gid, state: "running", credits_used: -1 }), gid);
  app.run("UPDATE generations SET state = 'succeeded', error_message = ?, result_url = 'https://cdn.example/1.png' WHERE gid = ?", error_message, gid);
  app.run("UPDATE generations SET result_url = 'https://cdn.example/2.png' WHERE gid = ?", gid);
  assert.equal(row(app, gid).result_url, "https://cdn.example/2.png");
  assert.throws(() => queue(app, { gid }), /UNIQUE/);
  queue(app, { gid, state: "succeeded", prompt: "an owl" }, "REPLACE");
  assert.deepEqual(pick(row(app, gid), "state", "prompt", "error_message"), { state: "succeeded", prompt: "an owl", error_message: null });
  assert.equal(app.credits(7), 110);
  app.check();
});

test("what its owner has deleted here has timed out all the same", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.sweep();
  app.exec("UPDATE stale_drafts_creations SET deleted_at = 1700000000000, prompt = ''");
  set(app, gid, "succeeded");
  queue(app, { gid, state: "succeeded" }, "REPLACE");
  assert.equal(row(app, gid).state, "error");
  app.check();
});

test("INSERT … SELECT, and several rows at once", () => {
  const app = open({ before: USERS });
  app.exec("CREATE TABLE queue (uid, n); INSERT INTO queue VALUES (7, 3), (8, 4)");
  app.exec("INSERT INTO generations (uid, type, state, credits_used) SELECT uid, 'image', 'queued', n FROM queue");
  assert.deepEqual(app.all("SELECT user_id, tokens FROM stale_drafts_creations ORDER BY id"), [{ user_id: "7", tokens: 3 }, { user_id: "8", tokens: 4 }]);
  app.exec("UPDATE generations SET state = 'running'");
  assert.equal(app.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'processing'").n, 2);
  app.check();
});

test("INSERT OR REPLACE is followed like an update, and changes nothing of what has timed out", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  queue(app, { gid, state: "running", updated_at: "2100-01-01 00:00:00" }, "INSERT OR REPLACE");
  assert.deepEqual(pick(app.creation(gid), "status", "heartbeat_at"), { status: "processing", heartbeat_at: Date.UTC(2100, 0, 1) });
  assert.equal(app.one("SELECT count(*) AS n FROM stale_drafts_creations").n, 1);
  queue(app, { gid, state: "succeeded" }, "REPLACE");
  assert.equal(app.creation(gid).status, "draft");

  const late = queue(app);
  app.sweep();
  const before = row(app, late);
  queue(app, { gid: late, state: "succeeded", result_url: "https://cdn.example/2.png" }, "REPLACE");
  app.run("INSERT INTO generations (gid, state) VALUES (?, 'running') ON CONFLICT (gid) DO UPDATE SET state = 'succeeded'", late);
  assert.deepEqual(row(app, late), before);
  assert.equal(app.creation(late).late_result_url, "https://cdn.example/2.png");
  app.check();
});

test("INSERT OR IGNORE and UPDATE OR IGNORE lose nothing of the mirror", () => {
  const app = open({ before: USERS });
  const gid = queue(app, {}, "INSERT OR IGNORE");
  app.run("UPDATE OR IGNORE generations SET state = 'running' WHERE gid = ?", gid);
  app.run("UPDATE OR REPLACE generations SET state = 'succeeded' WHERE gid = ?", gid);
  assert.equal(app.creation(gid).status, "draft");
  app.check();
});

test("ON CONFLICT DO UPDATE follows an active row", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.run("INSERT INTO generations (gid, uid, state) VALUES (?, 7, 'queued') ON CONFLICT (gid) DO UPDATE SET state = 'running'", gid);
  assert.equal(app.creation(gid).status, "processing");
  app.check();
});

test("a row with another id is another row", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.run("UPDATE generations SET gid = 99 WHERE gid = ?", gid);
  assert.deepEqual(pick(app.creation(gid), "status", "error_code"), { status: "failed", error_code: "app_deleted" });
  assert.equal(app.creation(99).status, "pending");
  app.sweep();
  assert.equal(row(app, 99).state, "error");
  assert.equal(app.credits(7), 110);
  app.check();
});

test("who has paid is paid back, whoever owns the row now", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.run("UPDATE generations SET uid = 8 WHERE gid = ?", gid);
  app.sweep();
  assert.deepEqual([app.credits(7), app.credits(8)], [110, 50]);
  app.check();
});

test("nobody to refund: the sweep's write is rejected with the reason, and the row stays", () => {
  const app = open({ before: USERS });
  queue(app, { uid: 9 });
  assert.throws(() => app.sweep(), /there is no row of users to refund, or there are several/);
  assert.equal(row(app, 1).state, "queued");
  assert.equal(app.creation(1).status, "pending");
  app.check();
});

test("a price that changes is followed in the first attempt, and kept in a later one", () => {
  const app = open({ before: USERS });
  const gid = queue(app, { credits_used: null });
  assert.equal(app.creation(gid).tokens, 0);
  for (const price of [10, 30, 0, 20]) {
    app.run("UPDATE generations SET credits_used = ? WHERE gid = ?", price, gid);
    assert.equal(app.creation(gid).tokens, price);
  }
  app.run("UPDATE generations SET credits_used = -1 WHERE gid = ?", gid);
  assert.equal(app.creation(gid).tokens, 20, "what is no price changes nothing");
  app.run("UPDATE generations SET state = 'running', credits_used = 20 WHERE gid = ?", gid);
  app.sweep({ retry: true });
  app.run("UPDATE generations SET credits_used = 50 WHERE gid = ?", gid);
  app.sweep();
  assert.equal(app.credits(7), 120);
  app.check();
  // Its price at the end is no price of what waits.
  const other = queue(app, { credits_used: null });
  app.run("UPDATE generations SET credits_used = 10, state = 'succeeded' WHERE gid = ?", other);
  assert.deepEqual(pick(app.creation(other), "status", "tokens"), { status: "draft", tokens: 0 });
  app.check();
});

test("no balance of ours ever changes", () => {
  const app = open({ before: USERS });
  const [out, failed, gone] = [queue(app), queue(app), queue(app)];
  set(app, failed, "error");
  app.run("DELETE FROM generations WHERE gid = ?", gone);
  app.sweep();
  set(app, out, "succeeded");
  app.restore(out);
  assert.deepEqual([app.balance(7), app.credits(7)], [0, 100]);
  app.check();
});

test("an unknown word leaves the creation as it is, and no sweep fails the row", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  set(app, gid, "moderating");
  assert.equal(app.creation(gid).status, "pending");
  assert.throws(() => app.sweep(), /the row of generations has a status that its mapping does not count as active: expected one of 'queued', 'running'/);
  assert.throws(() => app.sweep({ retry: true }), /does not count as active/);
  set(app, gid, null);
  assert.throws(() => app.sweep(), /does not count as active/);
  assert.equal(app.credits(7), 100);
  set(app, gid, "succeeded");
  assert.equal(app.creation(gid).status, "draft");
  assert.equal(queue(app, { state: "moderating" }), 2);
  assert.equal(app.creation(2), undefined);
  set(app, 2, "queued");
  assert.equal(app.creation(2).status, "pending");
  app.check();
});

test("what no creation can have is left out with its reason, and never breaks the app's write", () => {
  const strange = [
    [{ uid: null }, /owner/],
    [{ uid: "" }, /owner/],
    [{ uid: "a\nb" }, /owner/],
    [{ uid: "x".repeat(201) }, /owner/],
    [{ uid: Buffer.from("ab") }, /owner/],
    [{ uid: 1.5 }, /owner/],
    [{ credits_used: -1 }, /tokens/],
    [{ credits_used: 2.5 }, /tokens/],
    [{ credits_used: "many" }, /tokens/],
    [{ credits_used: 1e15 }, /tokens/],
    [{ state: "hm" }, /status/],
    [{ state: null }, /status/],
  ];
  for (const verb of ["INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE"]) {
    const app = open({ before: USERS });
    for (const [values, reason] of strange) {
      const gid = queue(app, values, verb);
      assert.equal(app.creation(gid), undefined, JSON.stringify(values));
      assert.match(problem(app, gid), reason);
      app.run("UPDATE generations SET state = 'running', updated_at = 'now' WHERE gid = ?", gid);
      app.run("UPDATE generations SET state = 'succeeded' WHERE gid = ?", gid);
    }
    app.run("DELETE FROM generations");
    app.check();
  }
});

test("ids that no creation can have", () => {
  const app = open({
    schema: "CREATE TABLE jobs (id TEXT PRIMARY KEY, owner TEXT, state TEXT)",
    mapping: { table: "jobs", id: { column: "id", type: "text" }, user_id: { column: "owner", type: "text" }, kind: { value: "image" }, status: { ...MAPPING.status, column: "state" } },
  });
  for (const id of [Buffer.from("ab"), null, "a~b", "a\nb", "x".repeat(200), "a\0b"]) {
    app.run("INSERT INTO jobs VALUES (?, 'ada', 'queued')", id);
    app.run("UPDATE jobs SET state = 'running' WHERE id IS ?", id);
    app.run("INSERT OR REPLACE INTO jobs VALUES (?, 'ada', 'succeeded')", id);
    app.run("DELETE FROM jobs WHERE id IS ?", id);
  }
  assert.equal(app.one("SELECT count(*) AS n FROM stale_drafts_creations").n, 0);
  // These can be: also an empty one, and one that looks like a number.
  for (const id of ["", "007", "1e3", "jobs:1", "Ä", "a/b?c"]) app.run("INSERT INTO jobs VALUES (?, 'ada', 'queued')", id);
  assert.equal(app.sweep().failed, 6);
  assert.equal(app.one("SELECT count(*) AS n FROM jobs WHERE state = 'error'").n, 6);
  app.check();
});

test("an owner who becomes known brings the row in", () => {
  const app = open({ before: USERS });
  const gid = queue(app, { uid: null });
  app.run("UPDATE generations SET uid = 7 WHERE gid = ?", gid);
  assert.equal(app.creation(gid).user_id, "7");
  app.check();
});

test("long and broken texts are cut; the kind of none is empty", () => {
  const app = open({ before: USERS });
  const long = queue(app, { prompt: "ä".repeat(30_000), type: "k".repeat(300) });
  assert.deepEqual([app.creation(long).prompt.length, app.creation(long).kind], [20_000, ""]);
  const nul = queue(app, { prompt: "a fox\0 and more", type: "a\0b" });
  assert.deepEqual(pick(app.creation(nul), "prompt", "kind"), { prompt: "a fox", kind: "" });
  const blob = queue(app, { prompt: Buffer.from([255, 0]), type: Buffer.from([255]) });
  assert.deepEqual(pick(app.creation(blob), "prompt", "kind"), { prompt: "", kind: "" });
  const none = queue(app, { prompt: null, type: null });
  assert.deepEqual(pick(app.creation(none), "prompt", "kind"), { prompt: "", kind: "" });
  app.run("UPDATE generations SET state = 'error', error_message = ?", "e".repeat(30_000));
  assert.equal(app.creation(long).error.length, 20_000);
  const url = queue(app);
  app.run("UPDATE generations SET state = 'succeeded', result_url = ? WHERE gid = ?", "u".repeat(3_000), url);
  assert.equal(app.creation(url).result_url, null);
  app.check();
});

test("whole rows written again, as an ORM does, change no status", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  const save = (values) => {
    const all = { ...row(app, gid), ...values };
    const columns = Object.keys(all).filter((column) => column !== "gid");
    return Number(app.run(`UPDATE generations SET ${columns.map((column) => `${column} = ?`).join(", ")} WHERE gid = ?`, ...columns.map((column) => all[column]), gid).changes);
  };
  const stale = row(app, gid);
  app.sweep();
  assert.equal(save({ prompt: "another" }), 1);
  assert.equal(row(app, gid).prompt, "another");
  // One that was read before the time-out would undo it: nothing of it is written.
  assert.equal(save({ ...stale, prompt: "a third" }), 0);
  assert.equal(row(app, gid).prompt, "another");
  assert.deepEqual(app.all("UPDATE generations SET state = 'running' WHERE gid = ? RETURNING gid", gid), []);
  app.check();
});

test("a late write among others leaves the others alone", () => {
  const app = open({ before: USERS });
  const [late, fine] = [queue(app), queue(app)];
  app.sweep({ where: "id = 'generations:1'" });
  assert.equal(Number(app.run("UPDATE generations SET state = 'succeeded'").changes), 1);
  assert.deepEqual([row(app, late).state, row(app, fine).state], ["error", "succeeded"]);
  app.check();
});

test("a transaction that is rolled back leaves nothing of the mirror", () => {
  const app = open({ before: USERS });
  assert.throws(() => transaction(app.db, () => {
    queue(app);
    throw new Error("no");
  }));
  assert.equal(app.one("SELECT count(*) AS n FROM stale_drafts_creations").n, 0);
  app.check();
});

test("a step between active words is a sign of life, also back to the queue", () => {
  const mapping = { ...MAPPING, status: { ...MAPPING.status, pending: ["queued", "waiting"], processing: ["running", "uploading"] } };
  const app = open({ before: USERS, mapping });
  const old = "2026-01-01 00:00:00";
  const gid = queue(app, { created_at: old });
  assert.equal(app.creation(gid).last_sign_of_life, Date.UTC(2026, 0, 1));
  set(app, gid, "waiting");
  assert.ok(app.creation(gid).last_sign_of_life > Date.UTC(2026, 0, 1));
  app.run("UPDATE generations SET state = 'running', started_at = ? WHERE gid = ?", old, gid);
  assert.equal(app.creation(gid).last_sign_of_life, Date.UTC(2026, 0, 1));
  for (const state of ["uploading", "queued", "running"]) {
    app.run("UPDATE stale_drafts_creations SET started_at = created_at");
    set(app, gid, state);
    assert.ok(app.creation(gid).last_sign_of_life > Date.UTC(2026, 0, 1), state);
    assert.equal(app.creation(gid).status, "processing");
  }
  app.check();
});

test("rows that were there before: the active ones come in, with their times, and it can be repeated", () => {
  const app = open({ before: USERS, mapping: null });
  queue(app, { created_at: "2026-01-01 00:00:00" });
  queue(app, { state: "running", created_at: "2026-01-01 00:00:00", updated_at: "2026-01-02 00:00:00" });
  queue(app, { state: "succeeded" });
  queue(app, { uid: null });
  const full = open({ schema: SCHEMA, mapping: MAPPING });
  app.exec(full.up);
  assert.deepEqual(app.all("SELECT id, status, last_sign_of_life FROM stale_drafts_creations ORDER BY id"), [
    { id: "generations:1", status: "pending", last_sign_of_life: Date.UTC(2026, 0, 1) },
    { id: "generations:2", status: "processing", last_sign_of_life: Date.UTC(2026, 0, 2) },
  ]);
  const backfill = full.up.slice(full.up.lastIndexOf("INSERT INTO"));
  app.exec(backfill);
  app.exec(backfill);
  assert.equal(app.one("SELECT count(*) AS n FROM stale_drafts_creations").n, 2);
  app.sweep();
  assert.equal(app.credits(7), 120);
  app.check();
});

test("detached and attached again, what is active is watched again", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.detach();
  set(app, gid, "running");
  app.attach();
  const [again] = app.all("SELECT id, status FROM stale_drafts_creations WHERE deleted_at IS NULL");
  assert.match(again.id, /^generations:1~\d+$/);
  assert.equal(again.status, "processing");
  app.sweep();
  assert.deepEqual([row(app, gid).state, app.credits(7)], ["error", 110]);
  app.check();
});

test("a restore that the app's balance does not cover is refused, whole", () => {
  const app = open({ before: USERS });
  const gid = queue(app);
  app.sweep();
  set(app, gid, "succeeded");
  app.run("UPDATE users SET credits = 5 WHERE id = 7");
  assert.throws(() => app.restore(gid), /insufficient tokens: the app's balance does not cover the charge/);
  assert.deepEqual([app.creation(gid).status, row(app, gid).state, app.credits(7)], ["failed", "error", 5]);
  app.check();
});

test("creations of our own beside them touch nothing of the app", () => {
  const app = open({ before: USERS });
  queue(app, { gid: 1 });
  app.exec("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:x', '7', 'grant', 100, 0)");
  app.exec("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES ('1', '7', 'image', '', 'pending', 30, 1700000000000)");
  app.sweep({ where: "id = '1'" });
  assert.deepEqual([row(app, 1).state, app.credits(7), app.balance(7)], ["queued", 100, 100]);
  app.check();
});
