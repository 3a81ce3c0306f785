// What operators ask and do: preview and apply, list, explain, count, sweeps, doctor.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { seen, DOCUMENT } from "./openapi.mjs";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, WRITE, start } from "./harness.mjs";

let world;
before(async () => {
  world = await start({ config: { circuit_breaker: "off" } });
});
after(() => world?.stop());
beforeEach(async () => {
  await world.order({ now: NOW });
  await world.database.exec("DROP TRIGGER stale_drafts_ledger_is_append_only_delete");
  for (const table of ["ledger", "balances", "creations", "sweeps"]) await world.database.exec(`DELETE FROM stale_drafts_${table}`);
  await world.database.exec("CREATE TRIGGER stale_drafts_ledger_is_append_only_delete BEFORE DELETE ON stale_drafts_ledger BEGIN SELECT RAISE(ABORT, 'append-only'); END");
  for (const user of ["ada", "bo"]) await world.grant(user, 10_000);
});

const preview = async (query = "") => (await world.cleanup(`?dry_run=true${query}`)).json();
const apply = async (plan, query = "") => (await world.cleanup(`?source=tool${query}`, CLEANUP_TOKEN, JSON.stringify(plan))).json();
const ids = (report) => report.creations.map(({ id }) => id).sort();
const text = (path, status) => world.fetch(path, { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } }).then(async (response) => {
  assert.equal(response.status, status);
  return (await response.json()).error;
});

test("a plan is carried out exactly, and what has changed since is left alone with its reason", async () => {
  await world.create(
    { id: "same" }, { id: "completed", status: "processing", started_at: NOW - 2 * HOUR }, { id: "started" }, { id: "alive" }, { id: "fresh" },
    { id: "again", attempt: 1 }, { id: "deleted", tokens: 0 }, { id: "garbled" },
  );
  const plan = await preview();
  assert.equal(plan.creations.length, 8);
  assert.equal((await preview()).plan_id, plan.plan_id, "the same creations are the same plan");
  await world.create({ id: "later" });
  assert.notEqual((await preview()).plan_id, plan.plan_id);
  for (const sql of [
    "UPDATE stale_drafts_creations SET status = 'draft', finished_at = 5 WHERE id = 'completed'",
    `UPDATE stale_drafts_creations SET status = 'processing', started_at = ${NOW - 90 * MINUTE} WHERE id = 'started'`,
    `UPDATE stale_drafts_creations SET heartbeat_at = ${NOW - 70 * MINUTE} WHERE id = 'alive'`,
    `UPDATE stale_drafts_creations SET heartbeat_at = ${NOW - 5} WHERE id = 'fresh'`,
    "UPDATE stale_drafts_creations SET attempt = 2 WHERE id = 'again'",
    "DELETE FROM stale_drafts_creations WHERE id = 'deleted'",
    "UPDATE stale_drafts_creations SET created_at = 'soon' WHERE id = 'garbled'",
  ]) await world.database.exec(sql);
  const report = await apply(plan);
  assert.deepEqual([ids(report), report.marked_as_failed, report.refunded_tokens, report.examined], [["same"], 1, 10, 8]);
  assert.deepEqual(Object.fromEntries(report.skipped.map(({ id, reason, message }) => [id, [reason, message]])), {
    completed: ["settled", "it is `draft` now"],
    started: ["started", "a worker has begun since"],
    alive: ["alive", "it showed a sign of life since"],
    fresh: ["fresh", "it is within its limit now"],
    again: ["restarted", "it is another attempt now"],
    deleted: ["gone", "there is no such creation"],
    garbled: ["time_malformed", "its `created_at` is not a time: expected whole epoch milliseconds"],
  });
  assert.equal(await world.status("later"), "pending", "what was not previewed is not touched");
  const [sweep] = (await world.ask("/api/sweeps")).sweeps;
  assert.deepEqual([sweep.source, sweep.actor, sweep.plan_id, sweep.failed, sweep.refunded_tokens], ["tool", "CLEANUP_TOKEN", plan.plan_id, 1, 10]);
  const again = await apply(plan);
  assert.deepEqual([again.marked_as_failed, again.skipped.find(({ id }) => id === "same").message], [0, "it is `failed` now"]);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a plan holds a transaction's worth, says that more remain, and may be previewed again", async () => {
  await world.create(...Array.from({ length: 1_200 }, (_, i) => ({ id: `c${i}`, user_id: i % 2 ? "ada" : "bo", tokens: 1 })));
  for (const [count, more] of [[1_000, true], [200, false]]) {
    const plan = await preview();
    assert.deepEqual([plan.creations.length, plan.more], [count, more]);
    const dry = await (await world.cleanup("?dry_run=true", CLEANUP_TOKEN, JSON.stringify(plan))).json();
    assert.deepEqual([dry.marked_as_failed, dry.plan_id, dry.cost.rows_written], [count, plan.plan_id, 0]);
    const outcome = await apply(plan);
    assert.deepEqual([outcome.marked_as_failed, outcome.refunded_tokens, outcome.skipped.length], [count, count, 0]);
  }
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a plan that is not understood changes nothing, and says what would be right", async () => {
  await world.create({ id: "a" });
  const plan = await preview();
  const expectations = [
    ["{", /^the body is not valid JSON \(.+\): expected an object$/],
    ["[]", /^the body is `\[\]`: expected an object$/],
    ['{"creations":[{"id":"a"}]}', /^`creations\[0\]\.stuck_status` is missing: expected a string$/],
    [JSON.stringify({ ...plan, plan_id: "a b" }), /^`plan_id` is `"a b"`: expected the `plan_id` of a dry run/],
    [JSON.stringify({ creations: Array(1_001).fill(plan.creations[0]) }), /^the plan has 1001 creations: expected at most 1000$/],
  ];
  for (const [body, expected] of expectations) {
    const response = await world.cleanup("", CLEANUP_TOKEN, body);
    assert.equal(response.status, 400);
    assert.match((await response.json()).error, expected);
  }
  const both = await world.cleanup("?kind=image", CLEANUP_TOKEN, JSON.stringify(plan));
  assert.match((await both.json()).error, /^a plan says itself which creations it is for/);
  const huge = await world.cleanup("", CLEANUP_TOKEN, " ".repeat(4_000_001));
  assert.deepEqual([huge.status, await huge.json()], [413, { error: "the body has more than 4000000 bytes: expected at most 4000000", code: "payload_too_large" }]);
  assert.equal(await world.status("a"), "pending");
});

test("a body that breaks off changes nothing, though an empty one would mean everything", async () => {
  await world.create({ id: "a" });
  await world.all("INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, creation_id, body) VALUES ('gone', 'dead', 0, 1, 0, 'a', '{}')");
  const post = async (path, body, headers) => {
    const response = await world.fetch(path, { method: "POST", body, duplex: "half", headers: { Authorization: `Bearer ${CLEANUP_TOKEN}`, ...headers } });
    return [response.status, (await response.json()).error];
  };
  for (const path of ["/api/generate/cleanup-stale", "/api/events/replay"]) {
    assert.deepEqual(await post(path, "{}", { "X-Cut": "1" }), [400, "the body can't be read to its end: send it again, whole"]);
    assert.deepEqual(await post(path, Buffer.from([0xff, 0xfe])), [400, "the body is not text: expected UTF-8"]);
    // One that says no length is measured as it comes.
    const blanks = Buffer.alloc(1_000_000, " ");
    const long = new ReadableStream({ pull: (controller) => controller.enqueue(blanks) });
    assert.deepEqual(await post(path, long), [413, "the body has more than 4000000 bytes: expected at most 4000000"]);
  }
  assert.deepEqual([await world.status("a"), (await world.one("SELECT state FROM stale_drafts_events")).state], ["pending", "dead"]);
  await world.all("DELETE FROM stale_drafts_events");
  // A mark of the order of bytes is no part of the text.
  assert.deepEqual(await post("/api/events/replay", '\ufeff{"all":true}'), [200, undefined]);
});

test("a sweep can be for one user, kind and status, and for no more than a number", async () => {
  await world.create(
    { id: "ada-image" }, { id: "ada-video", kind: "video" }, { id: "ada-busy", status: "processing", started_at: NOW - 2 * HOUR },
    { id: "bo-image", user_id: "bo" }, { id: "bo-song", user_id: "bo", kind: "song" }, { id: "ada-fresh", created_at: NOW },
  );
  const who = async (query) => ids(await preview(query));
  assert.deepEqual(await who("&user_id=ada"), ["ada-busy", "ada-image", "ada-video"]);
  assert.deepEqual(await who("&user_id=ada&kind=image&status=pending"), ["ada-image"]);
  assert.deepEqual(await who("&kind=image"), ["ada-busy", "ada-image", "bo-image"]);
  assert.deepEqual(await who("&kind=image&status=processing"), ["ada-busy"]);
  assert.deepEqual(await who("&kind=none"), []);
  assert.deepEqual(await who("&user_id=nobody"), []);
  const limited = await preview("&limit=2");
  assert.deepEqual([limited.marked_as_failed, limited.more], [2, true]);
  const report = await (await world.cleanup("?kind=song")).json();
  assert.deepEqual([ids(report), report.more], [["bo-song"], false]);
  assert.deepEqual((await world.all("SELECT id FROM stale_drafts_creations WHERE status = 'failed'")).map(({ id }) => id), ["bo-song"]);
});

test("a kind of its own in the policy is filtered by as well", async () => {
  const own = await start({ config: { policy: { kinds: { video: { processing: 6 } } } } });
  await own.grant("ada", 100);
  await own.create({ id: "v", kind: "video", status: "processing", created_at: NOW - 3 * HOUR, started_at: NOW - 3 * HOUR }, { id: "v2", kind: "video" }, { id: "i" });
  const ids = async (query) => (await (await own.cleanup(`?dry_run=true${query}`)).json()).creations.map(({ id }) => id);
  assert.deepEqual(await ids("&kind=video"), ["v2"]);
  assert.deepEqual(await ids("&kind=video&max_age_hours=2.5"), ["v"]);
  assert.deepEqual(await ids("&kind=image"), ["i"]);
  await own.stop();
});

test("a user's creations are listed by status, page by page, without sweeping", async () => {
  await world.create(...Array.from({ length: 5 }, (_, i) => ({ id: `c${i}`, created_at: NOW - 2 * HOUR - i })), { id: "other", user_id: "bo" });
  const first = await world.ask("/api/creations?user_id=ada&status=pending&limit=3");
  assert.deepEqual(first.creations.map(({ id, verdict, stored_status }) => [id, verdict, stored_status]), ["c0", "c1", "c2"].map((id) => [id, "stale", "pending"]));
  const second = await world.ask(`/api/creations?user_id=ada&limit=3&cursor=${first.next_cursor}`);
  assert.deepEqual([second.creations.map(({ id }) => id), second.next_cursor, second.balance], [["c3", "c4"], null, 9_950]);
  assert.equal(await world.status("c0"), "pending");
  assert.deepEqual((await world.ask("/api/creations?user_id=ada&status=failed")).creations, []);
  assert.equal(await text("/api/creations", 400), "`user_id` is missing: expected text of 1 to 200 bytes without control characters");
  assert.equal(await text("/api/creations?user_id=ada&status=stuck", 400), "`status` is `stuck`: expected `pending`, `processing`, `draft`, `published` or `failed`");
});

test("explain tells what a creation is, by which rule, and everything that touched it", async () => {
  await world.create({ id: "a/b c", tokens: 7 });
  const before = await world.ask("/api/creations/a%2Fb%20c");
  assert.deepEqual([before.user_id, before.creation.verdict, before.rule, before.sweeps], ["ada", "stale", "max_age_hours", []]);
  assert.deepEqual(before.ledger.map(({ type, tokens }) => [type, tokens]), [["charge", -7]]);
  await world.cron();
  const after = await world.ask("/api/creations/a%2Fb%20c");
  assert.deepEqual([after.creation.verdict, after.creation.error, after.rule], ["settled", "Generation timeout: Task stuck in pending status for 2.0 hours", "max_age_hours"]);
  assert.deepEqual(after.ledger.map(({ type, tokens }) => [type, tokens]), [["charge", -7], ["refund", 7]]);
  assert.deepEqual(after.sweeps.map(({ id, source, failed }) => [id, source, failed]), [[after.ledger[1].sweep_id, "cron", 1]]);
  assert.equal(await text("/api/creations/nothing", 404), "there is no creation `nothing`");
});

test("active creations are counted by age, status and kind, and none is left out", async () => {
  const at = (age) => NOW - age;
  await world.create(
    { id: "1", created_at: at(30 * MINUTE) }, { id: "2", created_at: at(30 * MINUTE + 1) }, { id: "3", kind: "video", created_at: at(25 * HOUR) },
    { id: "4", status: "processing", created_at: at(HOUR), started_at: at(5) }, { id: "5", created_at: null }, { id: "6", created_at: NOW + MINUTE + 1 }, { id: "done", status: "draft" },
  );
  const rows = (answer) => answer.counts.map(({ status, kind, readable, above_ms, up_to_ms, creations }) => [status, kind, readable, above_ms && above_ms / MINUTE, up_to_ms && up_to_ms / MINUTE, creations]);
  assert.deepEqual(rows(await world.ask("/api/counts")), [
    ["pending", "image", false, null, null, 2],
    ["pending", "image", true, 0, 30, 1],
    ["pending", "image", true, 30, 60, 1],
    ["pending", "video", true, 1_440, null, 1],
    ["processing", "image", true, 0, 30, 1],
  ]);
  assert.deepEqual(rows(await world.ask("/api/counts?bands=1")).filter(([status]) => status === "processing"), [["processing", "image", true, 0, 1, 1]]);
  for (const bands of ["", "0", "5,5", "9,3", "x", "1.5", Array.from({ length: 11 }, (_, i) => i + 1).join()]) {
    assert.equal(await text(`/api/counts?bands=${bands}`, 400), `\`bands\` is \`${bands}\`: expected up to 10 ascending numbers of minutes, such as \`30,60,1440\``);
  }
});

test("sweeps are listed, the newest first, page by page", async () => {
  for (let i = 0; i < 5; i += 1) {
    await world.order({ now: NOW + i * MINUTE });
    await world.cron();
  }
  const first = await world.ask("/api/sweeps?limit=2");
  const second = await world.ask(`/api/sweeps?limit=3&cursor=${first.next_cursor}`);
  assert.deepEqual([...first.sweeps, ...second.sweeps].map(({ started_at }) => (started_at - NOW) / MINUTE), [4, 3, 2, 1, 0]);
  assert.equal(second.next_cursor, null);
  assert.ok(first.sweeps.every(({ source, duration_ms, skipped }) => source === "cron" && duration_ms >= 0 && skipped === 0));
});

const codes = async () => (await world.ask("/api/doctor")).findings.map(({ code }) => code);

test("the doctor finds nothing where nothing is wrong", async () => {
  await world.cron();
  await world.create({ id: "waits", created_at: NOW - MINUTE }, { id: "busy", status: "processing", started_at: NOW - MINUTE, heartbeat_at: NOW });
  assert.deepEqual(await world.ask("/api/doctor"), { now: NOW, healthy: true, findings: [] });
});

test("the doctor finds that no worker is running", async () => {
  await world.cron();
  await world.create({ id: "a", created_at: NOW - 11 * MINUTE }, { id: "b", created_at: NOW - MINUTE });
  const { healthy, findings } = await world.ask("/api/doctor");
  assert.deepEqual([healthy, findings.length, findings[0].code, findings[0].evidence], [false, 1, "no_worker_running", "2 creations wait, the longest for 11 minutes; nothing has ever started"]);
  await world.create({ id: "c", status: "processing", started_at: NOW - MINUTE, heartbeat_at: NOW });
  assert.deepEqual(await codes(), []);
});

test("the doctor finds when a worker died", async () => {
  await world.cron();
  const busy = (id, heartbeat_at) => ({ id, status: "processing", created_at: NOW - 30 * MINUTE, started_at: NOW - 29 * MINUTE, heartbeat_at });
  await world.create(busy("a", NOW - 20 * MINUTE), busy("b", NOW - 20 * MINUTE - 30_000), busy("c", NOW - 20 * MINUTE - 60_000));
  const { findings: [finding] } = await world.ask("/api/doctor");
  assert.deepEqual([finding.code, finding.cause, finding.evidence], ["worker_died", "a worker died 20 minutes ago", "the last heartbeats of all 3 creations in progress that had any came within 1 minute of one another; none since"]);
  await world.create(busy("d", NOW));
  assert.deepEqual(await codes(), [], "another worker is alive");
});

test("the doctor finds a kind and an error that dominate", async () => {
  await world.cron();
  const done = (id, fields) => world.database.prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, finished_at, error_code, error) VALUES (?, 'ada', ?, '', ?, 0, ?, ?, ?, ?)").bind(id, fields.kind, fields.status, NOW - HOUR, NOW - MINUTE, fields.code ?? null, fields.code ?? null).run();
  for (let i = 0; i < 5; i += 1) await done(`f${i}`, { kind: "video", status: "failed", code: "provider_error" });
  for (let i = 0; i < 3; i += 1) await done(`g${i}`, { kind: "image", status: "draft" });
  const { healthy, findings } = await world.ask("/api/doctor");
  assert.equal(healthy, false, "that most fail is an emergency");
  assert.deepEqual(findings.map(({ code, error_code }) => [code, error_code]), [["many_failed", "provider_error"], ["one_error_dominates", "provider_error"]]);
  const many = ["many_failed", "many creations fail", "5 of 8 that ended within the last hour failed, among the newest creations, 5 of them with `provider_error`"];
  assert.deepEqual(findings.map(({ code, cause, evidence }) => [code, cause, evidence]), [
    many,
    ["one_error_dominates", "the provider or its key has a problem: `provider_error`", "5 of 5 failures of the last hour, among the newest creations, have this code"],
  ]);
  // A kind is named where no one error explains its failures.
  await world.database.exec("UPDATE stale_drafts_creations SET error_code = 'error_' || id WHERE status = 'failed'");
  const [extent, kind, ...others] = (await world.ask("/api/doctor")).findings.map(({ code, cause, evidence }) => [code, cause, evidence]);
  assert.deepEqual(kind, ["one_kind_dominates", "the generation of `video` has a problem", "5 of 5 of this kind failed in the last hour, and 0 of 3 others, among the newest creations"]);
  assert.deepEqual([extent[0], others], ["many_failed", []]);
});

test("the doctor finds that cron, a sweep, the schema or rows are not in order", async () => {
  assert.deepEqual(await codes(), ["cron_not_running"]);
  await world.cron();
  await world.create({ id: "stale", created_at: NOW - 5 }, { id: "garbage", created_at: "x" });
  await world.order({ now: NOW + 2 * HOUR });
  const { findings } = await world.ask("/api/doctor");
  assert.deepEqual(findings.map(({ code }) => code), ["cron_not_running", "no_worker_running", "unreadable_times"]);
  assert.match(findings[0].evidence, /^its last good sweep was \d+\.\d hours ago; 1 creation is stale$/);
  await world.order({ now: NOW + 3 * HOUR, failBefore: WRITE });
  assert.equal(await world.cron(), "exception");
  await world.order({ now: NOW + 3 * HOUR });
  assert.ok((await codes()).includes("sweep_failing"));
  await world.database.exec("INSERT INTO stale_drafts_schema (version) VALUES (99)");
  assert.equal((await codes())[0], "schema_not_current");
  await world.database.exec("DELETE FROM stale_drafts_schema WHERE version = 99");
});

test("an operator's question writes nothing", async () => {
  await world.create(...Array.from({ length: 3_000 }, (_, i) => ({ id: `c${i}`, tokens: 1 })));
  const before = await world.all("SELECT count(*) AS n, sum(tokens) AS t FROM stale_drafts_ledger");
  for (const path of ["/api/doctor", "/api/counts", "/api/sweeps", "/api/creations?user_id=ada", "/api/creations/c1"]) {
    assert.equal((await world.fetch(path, { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).status, 200, path);
  }
  assert.deepEqual(await world.all("SELECT count(*) AS n, sum(tokens) AS t FROM stale_drafts_ledger"), before);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_sweeps")).n, 0);
});

test("long URLs, other methods and unknown parameters are named", async () => {
  assert.equal(await text(`/api/sweeps?cursor=${"x".repeat(5_000)}`, 414), `the URL has ${"http://localhost/api/sweeps?cursor=".length + 5_000} bytes: expected at most 4096`);
  assert.equal(await text("/api/doctor?verbose=1", 400), "unknown parameter `verbose`: expected none");
  assert.equal(await text("/api/sweeps?cursor=7", 400), "`cursor` is `7`: expected the `next_cursor` of the page before");
  const post = await world.fetch("/api/sweeps", { method: "POST", body: "" });
  assert.deepEqual([post.status, post.headers.get("Allow")], [405, "GET,HEAD"]);
});

test("callers who ask too often are told so, where a limiter is bound", async () => {
  const own = await start({ ratelimits: { RATE_LIMITER: { namespace_id: "1", simple: { limit: 2, period: 60 } } } });
  const ask = (address) => own.fetch("/api/doctor", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}`, "CF-Connecting-IP": address } });
  const statuses = [await ask("1.1.1.1"), await ask("1.1.1.1"), await ask("1.1.1.1"), await ask("2.2.2.2")].map(({ status }) => status);
  assert.deepEqual(statuses, [200, 200, 429, 200]);
  const from = async (path) => (await own.fetch(path, { headers: { "CF-Connecting-IP": "1.1.1.1" } })).status;
  assert.deepEqual([await from("/healthz"), await from("/readyz")], [200, 429]);
  await own.stop();
});

test("every answer was held against the OpenAPI document, which is valid itself", async () => {
  const { Validator } = await import("@seriousme/openapi-schema-validator");
  const { valid, errors } = await new Validator().validate(structuredClone(DOCUMENT));
  assert.ok(valid, JSON.stringify(errors));
  for (const answer of ["sweep 200", "sweep 400", "sweep 413", "creations 200", "explain 200", "explain 404", "counts 200", "sweeps 200", "sweeps 414", "doctor 200", "doctor 429"]) assert.ok(seen.has(answer), answer);
});

test("a plan fails nothing that it would have given another attempt, and the other way round", async () => {
  await world.stop();
  world = await start({ config: { policy: { kinds: { song: { attempts: 2 } } } } });
  await world.grant("ada", 100);
  await world.create({ id: "song", kind: "song" }, { id: "image" });
  const plan = await preview();
  assert.deepEqual(plan.creations.map(({ id, action }) => [id, action]).sort(), [["image", "fail"], ["song", "retry"]]);
  await world.database.exec("UPDATE stale_drafts_creations SET kind = iif(kind = 'song', 'image', 'song')");
  assert.notEqual((await preview()).plan_id, plan.plan_id);
  const report = await apply(plan);
  assert.deepEqual([report.marked_as_failed, report.retried, report.refunded_tokens], [0, 0, 0]);
  assert.deepEqual(report.skipped.map(({ reason, message }) => [reason, message]), Array(2).fill(["action_changed", "the planned action no longer matches the policy"]));
});
