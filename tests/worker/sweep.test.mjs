// The sweep, through the Worker's cron trigger and endpoint, on a real D1 database.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, SELECT, WRITE, start } from "./harness.mjs";

let world;
beforeEach(async () => {
  world = await start({ config: { circuit_breaker: "off" } });
  await world.grant("ada", 1_000);
  await world.grant("bo", 1_000);
});
afterEach(() => world.stop());

test("marks what is stale failed, refunds it, and leaves everything else alone", async () => {
  await world.create(
    { id: "stale-pending", created_at: NOW - 65_520_000, tokens: 7 },
    { id: "stale-processing", status: "processing", created_at: NOW - 5 * HOUR, started_at: NOW - HOUR - 1 },
    { id: "at-the-limit", created_at: NOW - HOUR },
    { id: "one-ms-before", created_at: NOW - HOUR + 1 },
    { id: "one-ms-after", created_at: NOW - HOUR - 1, user_id: "bo" },
    { id: "alive", status: "processing", created_at: NOW - 50 * HOUR, started_at: NOW - 50 * HOUR, heartbeat_at: NOW - MINUTE },
    { id: "draft", status: "draft" },
    { id: "published", status: "published" },
    { id: "free", tokens: 0 },
  );
  assert.equal(await world.cron(), "ok");

  const rows = await world.all("SELECT * FROM stale_drafts_creations WHERE status = 'failed' ORDER BY id");
  assert.deepEqual(rows.map(({ id }) => id), ["free", "one-ms-after", "stale-pending", "stale-processing"]);
  const row = rows.find(({ id }) => id === "stale-pending");
  const { sweep_id } = row;
  // Every column: what is not named stays as it was.
  assert.deepEqual(row, {
    ...Object.fromEntries(Object.keys(row).map((column) => [column, null])),
    id: "stale-pending", user_id: "ada", kind: "image", prompt: "a fox", status: "failed", attempt: 1, tokens: 7,
    created_at: NOW - 65_520_000, listed_at: NOW - 65_520_000, finished_at: NOW,
    error: "Generation timeout: Task stuck in pending status for 18.2 hours", error_code: "generation_timeout",
    stuck_status: "pending", age_ms: 65_520_000, max_age_ms: HOUR, rule: "max_age_hours", sweep_id, event: "failed", event_destinations: 0, settled_elsewhere: 0, balance_elsewhere: 0, charge: 1,
  });
  const refunds = await world.all("SELECT entry_key, user_id, tokens, sweep_id, created_at FROM stale_drafts_ledger WHERE type = 'refund' ORDER BY entry_key");
  assert.deepEqual(refunds.map((row) => ({ ...row })), [
    { entry_key: "refund:one-ms-after", user_id: "bo", tokens: 10, sweep_id, created_at: NOW },
    { entry_key: "refund:stale-pending", user_id: "ada", tokens: 7, sweep_id, created_at: NOW },
    { entry_key: "refund:stale-processing", user_id: "ada", tokens: 10, sweep_id, created_at: NOW },
  ]);
  const sweep = await world.one("SELECT * FROM stale_drafts_sweeps");
  assert.equal(sweep.id, sweep_id);
  const { source, actor, examined, failed, raced, rejected, unreadable, refunded_tokens, more } = sweep;
  assert.deepEqual(
    { source, actor, started_at: sweep.started_at, examined, failed, raced, rejected, unreadable, refunded_tokens, more, error: sweep.error },
    { source: "cron", actor: null, started_at: NOW, examined: 4, failed: 4, raced: 0, rejected: 0, unreadable: 0, refunded_tokens: 27, more: 0, error: null },
  );
  assert.ok(sweep.finished_at >= sweep.started_at);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a second sweep changes nothing and records itself", async () => {
  await world.create({ id: "a" }, { id: "b", user_id: "bo" });
  assert.equal(await world.cron(), "ok");
  const dump = () => world.all("SELECT id, status, error, finished_at, sweep_id FROM stale_drafts_creations UNION ALL SELECT entry_key, user_id, tokens, created_at, sweep_id FROM stale_drafts_ledger UNION ALL SELECT user_id, tokens, 0, 0, 0 FROM stale_drafts_balances");
  const before = await dump();
  await world.order({ now: NOW + 1 });
  assert.equal(await world.cron(), "ok");
  assert.deepEqual(await dump(), before);
  const sweeps = await world.all("SELECT failed, finished_at IS NOT NULL AS finished FROM stale_drafts_sweeps ORDER BY id");
  assert.deepEqual(sweeps.map(({ failed, finished }) => [failed, finished]), [[2, 1], [0, 1]]);
});

test("eight sweeps at once refund each creation once", async () => {
  await world.create(...Array.from({ length: 60 }, (_, n) => ({ id: `c${n}`, user_id: n % 2 ? "ada" : "bo" })));
  const answers = await Promise.all(Array.from({ length: 8 }, async () => (await world.cleanup()).json()));
  assert.equal(answers.reduce((sum, { marked_as_failed }) => sum + marked_as_failed, 0), 60);
  const { n } = await world.one("SELECT count(*) AS n FROM stale_drafts_ledger WHERE type = 'refund'");
  assert.equal(n, 60);
  assert.deepEqual(await world.wrongBalances(), []);
  const { tokens } = await world.one("SELECT sum(refunded_tokens) AS tokens FROM stale_drafts_sweeps");
  assert.equal(tokens, 600);
});

test("a creation that moves on between decision and write is left alone, and the others go through", async () => {
  await world.create(
    { id: "completed", status: "processing", started_at: NOW - 2 * HOUR },
    { id: "started" },
    { id: "alive", status: "processing", started_at: NOW - 2 * HOUR },
    { id: "retried", status: "processing", started_at: NOW - 2 * HOUR },
    { id: "stale" },
  );
  await world.order({
    sqlBefore: WRITE,
    sql: [
      `UPDATE stale_drafts_creations SET status = 'draft', finished_at = ${NOW} WHERE id = 'completed' AND status = 'processing'`,
      `UPDATE stale_drafts_creations SET status = 'processing', started_at = ${NOW} WHERE id = 'started'`,
      `UPDATE stale_drafts_creations SET heartbeat_at = ${NOW} WHERE id = 'alive'`,
      `UPDATE stale_drafts_creations SET status = 'pending', attempt = 2 WHERE id = 'retried'`,
    ],
  });
  const answer = await (await world.cleanup()).json();
  assert.equal(answer.marked_as_failed, 1);
  assert.equal(answer.raced, 4);
  assert.equal(answer.refunded_tokens, 10);
  assert.deepEqual(answer.creations.map(({ id }) => id), ["stale"]);
  const statuses = await world.all("SELECT id, status FROM stale_drafts_creations ORDER BY id");
  assert.deepEqual(Object.fromEntries(statuses.map(({ id, status }) => [id, status])), {
    alive: "processing", completed: "draft", retried: "pending", stale: "failed", started: "processing",
  });
  const { failed, raced, refunded_tokens } = await world.one("SELECT * FROM stale_drafts_sweeps");
  assert.deepEqual([failed, raced, refunded_tokens], [1, 4, 10]);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a late completion that is not guarded can't overwrite a failure", async () => {
  await world.create({ id: "late", status: "processing", started_at: NOW - 2 * HOUR });
  await world.cron();
  await assert.rejects(world.all("UPDATE stale_drafts_creations SET status = 'draft' WHERE id = 'late'"), /illegal status transition/);
  assert.equal(await world.status("late"), "failed");
});

test("a transaction that fails half-way writes nothing, and the next sweep does the work", async () => {
  await world.create({ id: "a" }, { id: "b", user_id: "bo" });
  // The third statement of the batch, after the balances were credited.
  await world.all("CREATE TRIGGER broken BEFORE INSERT ON stale_drafts_sweeps WHEN NEW.failed > 0 BEGIN SELECT RAISE(ABORT, 'broken'); END");
  await world.cron();
  assert.equal(await world.status("a"), "pending");
  assert.deepEqual((await world.one("SELECT count(*) AS n FROM stale_drafts_ledger WHERE type = 'refund'")).n, 0);
  assert.deepEqual(await world.wrongBalances(), []);
  await world.all("DROP TRIGGER broken");
  // What the database rejected by itself is tried again after an hour.
  await world.order({ now: NOW + HOUR });
  assert.equal(await world.cron(), "ok");
  assert.equal(await world.status("a"), "failed");
  assert.deepEqual(await world.wrongBalances(), []);
});

for (const [call, sql] of Object.entries({ select: SELECT, write: WRITE })) {
  for (const when of ["failBefore", "failAfter"]) {
    test(`a database call that fails (${when}, the ${call}) is a failed invocation with its row, and harms nothing`, async () => {
      await world.create({ id: "a" }, { id: "b", user_id: "bo" });
      await world.order({ [when]: sql });
      assert.equal(await world.cron(), "exception");
      const committed = when === "failAfter" && call === "write";
      assert.equal(await world.status("a"), committed ? "failed" : "pending");
      const sweep = await world.one("SELECT * FROM stale_drafts_sweeps");
      assert.match(sweep.error, /Network connection lost/);
      assert.equal(sweep.failed, committed ? 2 : 0);
      assert.deepEqual(await world.wrongBalances(), []);

      await world.order({});
      assert.equal(await world.cron(), "ok");
      assert.equal(await world.status("a"), "failed");
      assert.deepEqual(await world.wrongBalances(), []);
      assert.equal((await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'ada'")).tokens, 1_000);
    });
  }
}

test("a row that the database refuses does not keep the others from being swept", async () => {
  await world.create(...Array.from({ length: 9 }, (_, n) => ({ id: `c${n}`, tokens: n })));
  await world.all("CREATE TRIGGER poison BEFORE UPDATE OF status ON stale_drafts_creations WHEN OLD.id = 'c4' BEGIN SELECT RAISE(ABORT, 'poison'); END");
  const answer = await (await world.cleanup()).json();
  assert.equal(answer.marked_as_failed, 8);
  assert.deepEqual(answer.rejected.map(({ id }) => id), ["c4"]);
  assert.match(answer.rejected[0].error, /poison/);
  assert.equal(await world.status("c4"), "pending");
  const { failed, rejected, refunded_tokens, finished_at } = await world.one("SELECT * FROM stale_drafts_sweeps");
  assert.deepEqual([failed, rejected, refunded_tokens], [8, 1, 32]);
  assert.ok(finished_at);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("garbage is counted, listed with its reason, and never failed", async () => {
  await world.create(
    { id: "none", created_at: null },
    { id: "text", created_at: "2023-11-14" },
    { id: "fraction", created_at: 1.5 },
    { id: "negative", created_at: -1 },
    { id: "seconds", created_at: Math.floor(NOW / 1_000) },
    { id: "heartbeat-in-seconds", status: "processing", created_at: NOW - 9 * HOUR, started_at: NOW - 9 * HOUR, heartbeat_at: Math.floor(NOW / 1_000) },
    { id: "epoch", created_at: 0 },
    { id: "date", created_at: 20261127 },
    { id: "future", created_at: NOW + MINUTE + 1 },
    { id: "a little ahead", created_at: NOW + MINUTE },
    { id: "bad-heartbeat", status: "processing", heartbeat_at: "x" },
    { id: "stale" },
  );
  await world.all("UPDATE stale_drafts_creations SET created_at = x'ff' WHERE id = 'text'");
  const answer = await (await world.cleanup()).json();
  assert.equal(answer.marked_as_failed, 1);
  const reasons = Object.fromEntries(answer.unreadable.map(({ id, reason }) => [id, reason]));
  assert.deepEqual(reasons, {
    "bad-heartbeat": "time_malformed", fraction: "time_malformed", future: "time_in_future",
    negative: "time_malformed", none: "time_missing", text: "time_malformed",
    seconds: "time_implausible", "heartbeat-in-seconds": "time_implausible", epoch: "time_implausible", date: "time_implausible",
  });
  assert.equal(answer.unreadable.find(({ id }) => id === "seconds").message, "its `created_at` looks like seconds: expected whole epoch milliseconds");
  assert.equal((await world.one("SELECT unreadable FROM stale_drafts_sweeps")).unreadable, 10);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'")).n, 1);
});

test("a sweep is bounded, says that more remain, and is not held up by rows that it passes over", async () => {
  await world.stop();
  world = await start({ config: { rows_per_sweep: 10 } });
  await world.grant("ada", 1_000);
  await world.create(...Array.from({ length: 25 }, (_, n) => ({ id: `c${String(n).padStart(2, "0")}`, created_at: NOW - 3 * HOUR + n })));
  await world.all("CREATE TRIGGER poison BEFORE UPDATE OF status ON stale_drafts_creations WHEN OLD.id < 'c06' BEGIN SELECT RAISE(ABORT, 'poison'); END");
  const first = await (await world.cleanup()).json();
  // The last of the six is not tried by itself: so many statements has a sweep. All six are shown, and set aside for a while.
  assert.deepEqual([first.examined, first.marked_as_failed, first.rejected.length, first.more], [10, 4, 6, true]);
  for (const [failed, more] of [[10, true], [5, false]]) {
    const next = await (await world.cleanup()).json();
    assert.deepEqual([next.marked_as_failed, next.rejected.length, next.more], [failed, 0, more]);
  }
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a dry run says what would be done and writes nothing", async () => {
  await world.create({ id: "a", kind: "video" }, { id: "garbage", created_at: null });
  const dump = () => world.all("SELECT id, status, sweep_id FROM stale_drafts_creations UNION ALL SELECT entry_key, tokens, sweep_id FROM stale_drafts_ledger UNION ALL SELECT id, failed, error FROM stale_drafts_sweeps");
  const before = await dump();
  const answer = await (await world.cleanup("?dry_run=true")).json();
  assert.deepEqual(await dump(), before);
  const { cost, plan_id, ...rest } = answer;
  assert.equal(cost.rows_written, 0);
  assert.match(plan_id, /^[0-9a-f]{12}$/);
  assert.deepEqual(rest, {
    success: true, marked_as_failed: 1, retried: 0, dry_run: true, sweep_id: null, now: NOW, examined: 2, raced: 0,
    refunded_tokens: 10, more: false, suspended: null, rejected: [], skipped: [],
    unreadable: [{ id: "garbage", reason: "time_missing", message: "it has no time" }],
    creations: [{
      id: "a", user_id: "ada", kind: "video", attempt: 1, stuck_status: "pending", last_sign_of_life: NOW - 2 * HOUR, deadline: NOW - HOUR,
      age_ms: 2 * HOUR, max_age_ms: HOUR, rule: "max_age_hours", tokens: 10, action: "fail",
      error: "Generation timeout: Task stuck in pending status for 2.0 hours", error_code: "generation_timeout",
    }],
  });
});

test("max_age_hours replaces the policy's limits", async () => {
  await world.create({ id: "two-hours" }, { id: "two-minutes", created_at: NOW - 2 * MINUTE });
  const count = async (query) => (await (await world.cleanup(`?dry_run=true&${query}`)).json()).marked_as_failed;
  assert.equal(await count("max_age_hours=24"), 0);
  assert.equal(await count("max_age_hours=0.01"), 2);
  assert.equal(await count("max_age_hours=2"), 0);
  assert.equal(await count("max_age_hours=1.9999"), 1);
});

test("whoever sends heartbeats is alive, whatever max_age_hours is asked for", async () => {
  // Nobody has set a limit between heartbeats: the limit by age stands for it, as `max_silence_ms` tells the worker.
  const working = { status: "processing", started_at: NOW - HOUR };
  await world.create({ id: "alive", ...working, heartbeat_at: NOW - 8_000 }, { id: "silent", ...working }, { id: "dead", ...working, heartbeat_at: NOW - HOUR - 1, created_at: NOW - 2 * HOUR, started_at: NOW - 2 * HOUR });
  const swept = await (await world.cleanup("?max_age_hours=0.001")).json();
  assert.deepEqual(swept.creations.map(({ id }) => id).sort(), ["dead", "silent"]);
  assert.equal(await world.status("alive"), "processing");
});

test("the endpoint refuses whoever has no valid credential, and does nothing for them", async () => {
  await world.create({ id: "a" });
  for (const credential of [null, "", "wrong", `${CLEANUP_TOKEN}x`, CLEANUP_TOKEN.slice(1), "Bearer"]) {
    const response = await world.cleanup("", credential);
    assert.equal(response.status, 401);
    assert.equal(await response.text(), '{"error":"Unauthorized"}');
  }
  const basic = await world.fetch("/api/generate/cleanup-stale", { method: "POST", headers: { Authorization: `Basic ${CLEANUP_TOKEN}` } });
  assert.equal(basic.status, 401);
  const bad = await world.cleanup("?max_age_hours=nonsense", "wrong");
  assert.equal(bad.status, 401);
  assert.equal(await world.status("a"), "pending");
  assert.deepEqual(await world.all("SELECT id FROM stale_drafts_sweeps"), []);
  const refusals = await world.logged(/"event":"unauthorized"/, 8);
  assert.equal(refusals.length, 8);
  assert.ok(!world.logs.join().includes(CLEANUP_TOKEN.slice(1)));
});

test("either of two secrets opens the endpoint; none, a weak one or a placeholder opens nothing", async () => {
  const next = "n0t-Used-Anywhere-Else-CleanupNext-9d";
  const attempts = [
    [{ CLEANUP_TOKEN_NEXT: next }, [CLEANUP_TOKEN, next], 200],
    [{ CLEANUP_TOKEN: "", CLEANUP_TOKEN_NEXT: next }, [next], 200],
    [{ CLEANUP_TOKEN: "" }, ["", CLEANUP_TOKEN], 401],
    [{ CLEANUP_TOKEN: "short" }, ["short"], 401],
    [{ CLEANUP_TOKEN: "change-me-to-32-random-bytes-or-more!" }, ["change-me-to-32-random-bytes-or-more!"], 401],
  ];
  for (const [bindings, credentials, expected] of attempts) {
    await world.stop();
    world = await start({ bindings });
    for (const credential of credentials) assert.equal((await world.cleanup("", credential)).status, expected, `${JSON.stringify(bindings)} ${credential}`);
  }
});

test("bad parameters get a message that helps, and nothing is swept", async () => {
  await world.create({ id: "a" });
  const expectations = {
    "?dryrun=true": "unknown parameter `dryrun`: did you mean `dry_run`?",
    "?status=failed": "`status` is `failed`: expected `pending` or `processing`",
    "?limit=0": "`limit` is `0`: expected a whole number from 1 to 1000",
    "?source=cron": "`source` is `cron`: expected `endpoint` or `tool`",
    "?dry_run=yes": "`dry_run` is `yes`: expected `true` or `false`",
    "?dry_run=true&dry_run=false": "`dry_run` is given twice: give it once",
    "?max_age_hours=-1": "`max_age_hours` is `-1`: expected a number of hours above 0, such as `1` or `0.5`",
    "?max_age_hours=": "`max_age_hours` is ``: expected a number of hours above 0, such as `1` or `0.5`",
    "?max_age_hours=NaN": "`max_age_hours` is `NaN`: expected a number of hours above 0, such as `1` or `0.5`",
  };
  for (const [query, error] of Object.entries(expectations)) {
    const response = await world.cleanup(query);
    assert.equal(response.status, 400);
    assert.deepEqual(await response.json(), { error, code: "invalid_request" });
  }
  assert.equal(await world.status("a"), "pending");
});

test("the log has a line for the sweep and one for each creation, without prompts", async () => {
  await world.create({ id: "abc123def", prompt: "a secret wish", created_at: NOW - 65_520_000 }, { id: "x", prompt: "another wish" }, { id: "y" });
  await world.cron();
  const lines = (await world.logged(/^\{/, 4)).map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ message }) => message).sort(), [
    "Auto-cleanup: Marked 3 stale creations as failed",
    "Marked stale creation abc123... as failed (age: 18.2h)",
    "Marked stale creation x as failed (age: 2.0h)",
    "Marked stale creation y as failed (age: 2.0h)",
  ]);
  assert.ok(!world.logs.join().includes("wish"));
  const sweep = lines.find(({ event }) => event === "sweep");
  assert.deepEqual([sweep.level, sweep.source, sweep.failed, sweep.refunded_tokens], ["info", "cron", 3, 30]);
});
