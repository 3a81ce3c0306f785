// Who watches the sweeper: roll-ups, the circuit breaker, alerts, retention, and the dashboard's routes.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, WORKER_TOKEN, WRITE, start } from "./harness.mjs";

let world;
afterEach(() => world.stop());

const DAY = 24 * HOUR;
const BREAKER = { circuit_breaker: { creations: 100, percent: 50, at_least: 20 } };
const many = (count, fields = {}) => Array.from({ length: count }, (_, n) => ({ id: `s${fields.kind ?? ""}${n}`, ...fields }));
const failed = async () => (await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'")).n;
const firing = async () => (await world.all("SELECT code FROM stale_drafts_alerts WHERE resolved_at IS NULL ORDER BY code")).map(({ code }) => code);
const open = async (options = {}) => {
  world = await start(options);
  await world.grant("ada", 1_000_000);
};

test("what sweeps did is rolled up by the hour and over all, whether or not a creation moved on meanwhile", async () => {
  await open({ config: { policy: { kinds: { song: { attempts: 2 } } } } });
  await world.create({ id: "a", created_at: NOW - HOUR - 30_000 }, { id: "b", kind: "video", status: "processing", created_at: NOW - 9 * HOUR, started_at: NOW - 9 * HOUR, tokens: 7 }, { id: "c", kind: "song", created_at: NOW - 2 * HOUR });
  await world.cron();
  const rows = (hour) => world.all("SELECT outcome, kind, stuck_status, rule, creations, tokens, lag_0, lag_3, lag_5 FROM stale_drafts_rollups WHERE (hour = 0) = ? ORDER BY kind", hour === 0 ? 1 : 0);
  const expected = [
    { outcome: "failed", kind: "image", stuck_status: "pending", rule: "max_age_hours", creations: 1, tokens: 10, lag_0: 1, lag_3: 0, lag_5: 0 },
    { outcome: "retried", kind: "song", stuck_status: "pending", rule: "max_age_hours", creations: 1, tokens: 0, lag_0: 0, lag_3: 1, lag_5: 0 },
    { outcome: "failed", kind: "video", stuck_status: "processing", rule: "max_age_hours", creations: 1, tokens: 7, lag_0: 0, lag_3: 0, lag_5: 1 },
  ];
  assert.deepEqual(await rows(0), expected);
  assert.deepEqual(await rows(1), expected);
  // One of two completes between the decision and the write: only the other is counted.
  await world.create({ id: "d", status: "processing", started_at: NOW - 2 * HOUR }, { id: "e", status: "processing", started_at: NOW - 2 * HOUR });
  await world.order({ sqlBefore: WRITE, sql: ["UPDATE stale_drafts_creations SET status = 'draft' WHERE id = 'd'"] });
  await world.cron();
  assert.deepEqual(await world.all("SELECT creations, tokens, lag_3 FROM stale_drafts_rollups WHERE hour = 0 AND stuck_status = 'processing' AND kind = 'image'"), [{ creations: 1, tokens: 10, lag_3: 1 }]);
});

test("a sweep notes what it cost", async () => {
  await open();
  await world.create(...many(3));
  for (const failed of [3, 0]) {
    const { cost, sweep_id, marked_as_failed } = await (await world.cleanup()).json();
    assert.equal(marked_as_failed, failed);
    assert.deepEqual({ ...(await world.one("SELECT queries, rows_read, rows_written FROM stale_drafts_sweeps WHERE id = ?", sweep_id)) }, cost);
  }
});

test("each sweep but a page's is a data point, and so is one that is held", async () => {
  await open({ config: BREAKER });
  await world.create({ id: "a" }, { id: "b", tokens: 7 });
  await world.cron();
  await world.create(...many(30));
  await world.cron();
  await world.as("ada", "/api/drafts");
  const [swept, held, ...more] = await world.points();
  assert.deepEqual([swept.indexes, swept.blobs, swept.doubles.slice(0, 7)], [["cron"], ["cron", ""], [2, 0, 0, 0, 0, 17, 5]]);
  assert.deepEqual([held.doubles[0], held.blobs[1].slice(0, 27), more], [0, "the circuit breaker is open", []]);
});

test("the circuit breaker stops a sweep that would fail abnormally many, says so, and lets it go on once the plan is confirmed", async () => {
  // Half of what is being generated has just begun; a policy of a second fails it all.
  await open({ config: { ...BREAKER, policy: { max_age_hours: 0.000278 } } });
  await world.create(...many(30, { created_at: NOW - MINUTE }));
  assert.equal(await world.cron(), "exception");
  assert.equal(await failed(), 0);
  assert.deepEqual(await world.all("SELECT id FROM stale_drafts_ledger WHERE type = 'refund'".replace("id", "entry_key")), []);
  const sweep = await world.one("SELECT error, failed FROM stale_drafts_sweeps");
  assert.deepEqual([sweep.error, sweep.failed], ["the circuit breaker is open: 30 of 30 active creations are stale at once, and nothing was written; find the cause, or preview and apply a plan", 0]);
  assert.ok((await firing()).includes("circuit_breaker_open"));
  await world.logged(/(?=.*"event":"alert_fired").*circuit_breaker_open/);
  // A scheduler is told; a page neither sweeps nor hides what is stale.
  const refused = await world.cleanup();
  assert.deepEqual([refused.status, (await refused.json()).error.slice(0, 27)], [409, "the circuit breaker is open"]);
  const page = await (await world.as("ada", "/api/drafts")).json();
  assert.deepEqual([page.drafts[0].status, page.drafts[0].verdict, await failed()], ["failed", "stale", 0]);
  // A dry run shows the plan, and what would hold it; who carries it out has confirmed it.
  const plan = await (await world.cleanup("?dry_run=true")).json();
  assert.equal(plan.creations.length, 30);
  assert.match(plan.suspended, /^the circuit breaker is open/);
  const applied = await (await world.cleanup("", CLEANUP_TOKEN, JSON.stringify(plan))).json();
  assert.deepEqual([applied.marked_as_failed, await failed()], [30, 30]);
  await world.order({ now: NOW + 2 * MINUTE });
  assert.equal(await world.cron(), "ok");
  assert.ok(!(await firing()).includes("circuit_breaker_open"));
  assert.deepEqual(await world.wrongBalances(), []);
});

test("the circuit breaker lets go by itself once the cause is gone, and few or a small share never engage it", async () => {
  await open({ config: BREAKER });
  await world.create(...many(19));
  assert.equal(await world.cron(), "ok");
  assert.equal(await failed(), 19);
  await world.create(...many(30, { kind: "b" }), ...Array.from({ length: 31 }, (_, n) => ({ id: `f${n}`, created_at: NOW })));
  assert.equal(await world.cron(), "ok", "30 of 61 are no majority");
  await world.create(...many(101, { kind: "c" }));
  assert.equal(await world.cron(), "exception");
  await world.all("UPDATE stale_drafts_creations SET status = 'processing', started_at = ? WHERE kind = 'c'", NOW);
  await world.order({ now: NOW + MINUTE });
  assert.equal(await world.cron(), "ok");
  assert.deepEqual(await world.all("SELECT name FROM stale_drafts_controls"), []);
});

test("the share that engages the circuit breaker may be any whole number of percent", async () => {
  await open({ config: { circuit_breaker: { ...BREAKER.circuit_breaker, percent: 30 } } });
  await world.create(...many(20), ...Array.from({ length: 60 }, (_, n) => ({ id: `f${n}`, created_at: NOW })));
  assert.equal(await world.cron(), "ok", "20 of 80 are less than 30 percent");
  assert.equal(await failed(), 20);
  await world.create(...many(26, { kind: "b" }));
  assert.equal(await world.cron(), "exception");
  assert.match((await world.one("SELECT error FROM stale_drafts_sweeps WHERE error IS NOT NULL")).error, /^the circuit breaker is open: 26 of 86 active creations/);
});

test("when cron stops, whatever else comes in raises the alert, once; when it goes on, the alert is resolved", async () => {
  await open();
  await world.cron();
  assert.deepEqual(await firing(), []);
  // Nobody without a credential makes it look.
  await world.order({ now: NOW + 20 * MINUTE });
  assert.equal((await world.fetch("/api/drafts")).status, 401);
  await new Promise((done) => setTimeout(done, 50));
  assert.equal(await world.calls(), 0);
  for (const later of [20, 22, 24]) {
    await world.order({ now: NOW + later * MINUTE });
    assert.equal((await world.as("ada", "/api/drafts")).status, 200);
    // Two calls list the drafts; beside it, the monitor takes its turn, looks, and records.
    const calls = 5;
    for (let tries = 0; (await world.calls()) < calls && tries < 500; tries += 1) await new Promise((done) => setTimeout(done, 10));
    assert.equal(await world.calls(), calls);
    assert.deepEqual(await firing(), ["cron_not_running"]);
    assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_alerts")).n, 1);
  }
  await world.order({ now: NOW + 30 * MINUTE });
  await world.cron();
  assert.deepEqual(await firing(), []);
  const { since, resolved_at } = await world.one("SELECT since, resolved_at FROM stale_drafts_alerts");
  assert.deepEqual([since, resolved_at], [NOW + 20 * MINUTE, NOW + 30 * MINUTE]);
});

test("a balance that is not the sum of its ledger is found within as many minutes as there are users", async () => {
  await open();
  await world.grant("bo", 50);
  await world.create({ id: "a", created_at: NOW });
  await world.database.prepare("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'bo'").run();
  for (const minute of [0, 1, 2]) {
    await world.order({ now: NOW + minute * MINUTE });
    await world.cron();
  }
  assert.deepEqual(await firing(), ["ledger_differs"]);
  assert.equal((await world.one("SELECT evidence FROM stale_drafts_alerts")).evidence, "that of `bo`");
  await world.database.prepare("UPDATE stale_drafts_balances SET tokens = tokens - 1 WHERE user_id = 'bo'").run();
  for (const minute of [3, 4, 5, 6]) {
    await world.order({ now: NOW + minute * MINUTE });
    await world.cron();
  }
  assert.deepEqual(await firing(), []);
});

test("old sweeps, events, alerts and roll-ups are trimmed, at most 500 of each at once; the ledger never is", async () => {
  const onTheHour = NOW - (NOW % HOUR);
  await open({ config: { keep_days: { sweeps: 1, events: 2, rollups: 3 } } });
  await world.order({ now: onTheHour });
  const uuid = (at, n) => `${at.toString(16).padStart(12, "0").replace(/(.{8})/, "$1-")}-7000-8000-${String(n).padStart(12, "0")}`;
  const sweep = (at, n) => `('${uuid(at, n)}', 'cron', ${at}, ${at})`;
  const rows = Array.from({ length: 600 }, (_, n) => sweep(onTheHour - 2 * DAY, n));
  await world.all(`INSERT INTO stale_drafts_sweeps (id, source, started_at, finished_at) VALUES ${[...rows, sweep(onTheHour - HOUR, 1)].join(",")}`);
  await world.all("INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, body) VALUES ('old', 'dead', ?1, 1, 1, '{}'), ('new', 'dead', ?2, 1, 1, '{}')", onTheHour - 3 * DAY, onTheHour - DAY);
  await world.all("INSERT INTO stale_drafts_rollups VALUES (?1, 'failed', 'image', 'pending', 'preset', 1, 1, 1, 0, 0, 0, 0, 0, 0), (0, 'failed', 'image', 'pending', 'preset', 1, 1, 1, 0, 0, 0, 0, 0, 0)", onTheHour - 4 * DAY);
  await world.cron();
  const count = async (table) => (await world.one(`SELECT count(*) AS n FROM stale_drafts_${table}`)).n;
  assert.deepEqual([await count("sweeps"), await count("events WHERE creation_id IS NULL AND state = 'dead'"), await count("rollups")], [102, 1, 1]);
  await world.order({ now: onTheHour + HOUR });
  await world.cron();
  assert.equal(await count("sweeps"), 3);
  assert.equal(await count("ledger"), 1);
});

test("the dashboard and the metrics show what they should, to those who may", async () => {
  await open();
  await world.create({ id: "a", kind: "vi\"deo" }, { id: "b", status: "processing", started_at: NOW - 60_000, prompt: "<script>" });
  await world.cron();
  const as = (credential) => ({ headers: { Authorization: `Bearer ${credential}` } });
  for (const path of ["/dashboard", "/metrics", "/dashboard/creations/a"]) {
    assert.equal((await world.fetch(path)).status, 401);
    assert.equal((await world.fetch(path, as("wrong"))).status, 401);
    assert.equal((await world.fetch(path, as(WORKER_TOKEN))).status, 403);
  }
  const page = await (await world.fetch("/dashboard", as(CLEANUP_TOKEN))).text();
  assert.match(page, /No alert fires/);
  assert.match(page, /max_age_hours/);
  assert.doesNotMatch(page, /<script>/);
  const metrics = await world.fetch("/metrics", as(CLEANUP_TOKEN));
  assert.equal(metrics.headers.get("Content-Type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
  const text = await metrics.text();
  assert.match(text, /^stale_drafts_swept_creations_total\{outcome="failed",kind="vi\\"deo",stuck_status="pending",rule="max_age_hours"\} 1$/m);
  assert.match(text, /^stale_drafts_active_creations\{phase="processing",kind="image",quarter_of_limit="0"\} 1$/m);
  assert.match(text, /^stale_drafts_time_to_failure_seconds_bucket\{outcome="failed",le="\+Inf"\} 1$/m);
  assert.ok(text.endsWith("# EOF\n"));
});

test("a view of the dashboard reads as much beside a larger table, and counts no more than 5,000 active creations", async () => {
  await open();
  const some = (name, count, fields) => world.create(...Array.from({ length: count }, (_, n) => ({ id: `${name}${n}`, tokens: 0, created_at: NOW - MINUTE, ...fields })));
  const VIEWS = ["/dashboard", "/dashboard/creations/first0", "/metrics"];
  const read = async () => {
    const answers = [];
    for (const path of VIEWS) {
      const answer = await world.fetch(path, { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });
      assert.equal(answer.status, 200);
      answers.push(Number(answer.headers.get("X-Rows-Read")));
    }
    return answers;
  };
  await some("first", 100);
  await some("settled", 1_000, { status: "draft" });
  await world.cron();
  const small = await read();
  assert.ok(small.every((rows) => rows > 0), `${small}`);
  await some("more", 10_000, { status: "draft" });
  assert.deepEqual(await read(), small);
  await some("living", 6_000, { heartbeat_at: NOW - 1 });
  const most = await read();
  await some("beyond", 6_000, { heartbeat_at: NOW - 1 });
  assert.deepEqual(await read(), most);
});

test("what watches, answers and delivers reads as much beside a larger backlog of sweeps, events and alerts", async () => {
  const credential = { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } };
  const read = async (backlog) => {
    await open({ queues: ["EVENTS"] });
    await world.create({ id: "a", status: "draft" });
    const add = (sql) => world.all(`WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n + 1 < ?1) INSERT INTO stale_drafts_${sql} FROM n`, backlog);
    // None of these sweeps is a good one by cron.
    await add("sweeps (id, source, started_at, finished_at) SELECT printf('00-%06d', n), 'tool', n, n");
    // As one sweep leaves them, at one instant. Those that wait for another try are not due yet: what is due is delivered.
    for (const [state, due] of [["due", NOW + HOUR], ["dead", NOW - HOUR]]) {
      await add(`events (id, state, due_at, destinations, created_at, creation_id, body) SELECT 'failed:o' || n || ':1', '${state}', ${due}, 1, 0, 'o' || n, '{}'`);
    }
    await add(`alerts (code, since, resolved_at, severity, cause, evidence, remedy) SELECT 'code_' || n % 3, ${NOW - HOUR} + n, ${NOW}, 'warning', 'c', 'e', 'r'`);
    const rows = {};
    for (const path of ["/dashboard", "/dashboard/creations/a", "/metrics"]) {
      const answer = await world.fetch(path, credential);
      assert.equal(answer.status, 200);
      rows[path] = Number(answer.headers.get("X-Rows-Read"));
    }
    const asked = async (name, ask) => {
      await world.cost();
      await ask();
      rows[name] = (await world.cost()).rows_read;
    };
    for (const path of ["/readyz", "/api/doctor", "/api/creations/a"]) await asked(path, async () => (await world.fetch(path, credential)).arrayBuffer());
    await asked("cron", () => world.cron());
    assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_events WHERE state = 'due' AND creation_id IS NOT NULL")).n, backlog);
    await world.stop();
    return rows;
  };
  const small = await read(2_000);
  assert.deepEqual(await read(6_000), small);
  world = await start();
});

test("an act at the dashboard that fails says whether it was the request or the database", async () => {
  await open();
  await world.create({ id: "a" });
  const headers = { Authorization: `Bearer ${CLEANUP_TOKEN}`, "Content-Type": "application/x-www-form-urlencoded" };
  const csrf = (await (await world.fetch("/dashboard", { headers })).text()).match(/name="csrf" value="([0-9a-f]{32})"/)[1];
  const post = async (path, fields, more) => {
    const response = await world.fetch(`/dashboard/${path}`, { method: "POST", body: new URLSearchParams({ csrf, ...fields }).toString(), headers: { ...headers, ...more } });
    return [response.status, await response.text()];
  };
  const fails = async (status, text, ...request) => {
    const [found, page] = await post(...request);
    assert.equal(found, status);
    assert.ok(page.includes(text), page);
  };
  await fails(400, "there is no plan: preview first", "apply", {});
  await fails(400, "the body is not valid JSON", "apply", { plan: "{" });
  const plan = JSON.stringify(await (await world.cleanup("?dry_run=true")).json());
  await world.database.exec("ALTER TABLE stale_drafts_sweeps RENAME TO elsewhere; ALTER TABLE stale_drafts_controls RENAME TO others");
  await fails(503, "the sweep stopped early: what it did is kept, and the next one carries on", "apply", { plan });
  await fails(503, "The database did not answer", "pause", {});
  await world.database.exec("ALTER TABLE elsewhere RENAME TO stale_drafts_sweeps; ALTER TABLE others RENAME TO stale_drafts_controls");
  assert.deepEqual([(await post("apply", { plan }))[0], await world.status("a")], [303, "failed"]);
});

test("an operator's act needs the form's own token and the scope, and is in the audit; a pause holds every sweep but a plan", async () => {
  await open();
  await world.create({ id: "a" });
  const post = (path, fields, credential = CLEANUP_TOKEN) => world.fetch(`/dashboard/${path}`, { method: "POST", body: new URLSearchParams(fields).toString(), headers: { Authorization: `Bearer ${credential}`, "Content-Type": "application/x-www-form-urlencoded" } });
  const csrf = (await (await world.fetch("/dashboard", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).text()).match(/name="csrf" value="([0-9a-f]{32})"/)[1];
  for (const fields of [{}, { csrf: "0".repeat(32) }]) assert.equal((await post("pause", fields)).status, 403);
  assert.equal((await post("pause", { csrf }, WORKER_TOKEN)).status, 403);
  assert.deepEqual(await world.all("SELECT name FROM stale_drafts_controls"), []);
  assert.equal((await post("pause", { csrf })).status, 303);
  assert.equal(await world.cron(), "ok");
  assert.equal(await world.status("a"), "pending");
  assert.deepEqual(await firing(), ["sweeping_paused"]);
  const preview = await (await post("preview", { csrf })).text();
  const plan = preview.match(/name="plan" value="([^"]+)"/)[1].replaceAll("&quot;", '"');
  assert.equal((await post("apply", { csrf, plan })).status, 303);
  assert.equal(await world.status("a"), "failed");
  assert.equal((await post("resume", { csrf })).status, 303);
  await world.order({ now: NOW + MINUTE });
  await world.cron();
  assert.deepEqual(await firing(), []);
  assert.deepEqual((await world.all("SELECT actor, action FROM stale_drafts_audit ORDER BY action")).map(({ actor, action }) => [actor, action]), [["CLEANUP_TOKEN", "pause"], ["CLEANUP_TOKEN", "resume"]]);
  assert.equal((await world.one("SELECT actor FROM stale_drafts_sweeps WHERE failed = 1")).actor, "CLEANUP_TOKEN");
});
