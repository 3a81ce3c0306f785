// Several databases: where a user's creations are, a sweep of all of them, and one that is gone or does not answer.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, WORKER_TOKEN, start } from "./harness.mjs";

const SHARDS = 4;
let world;
beforeEach(async () => {
  world = await start({ shards: SHARDS, config: { circuit_breaker: "off" } });
});
afterEach(() => world.stop());

const shardOf = (user) => Math.floor((bucketOf(user) * SHARDS) / 4_096);
/** A user of each shard, by number. */
const userOf = (shard, number = 0) => {
  for (let at = 0; ; at += 1) {
    const user = `user-${at}`;
    if (shardOf(user) === shard && (number -= 1) < 0) return user;
  }
};
const USERS = Array.from({ length: SHARDS }, (_, shard) => userOf(shard));
const grant = (at, user, tokens) =>
  world.databases[at].prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', ?2, 0)").bind(user, tokens).run();
const create = (user, kind = "image") => world.report("", { user_id: user, kind, prompt: "a fox", tokens: 10 });
const rows = async (at, sql) => (await world.databases[at].prepare(sql).all()).results;
const column = async (sql) => Promise.all(world.databases.map(async (database) => Object.values(await database.prepare(sql).first())[0]));
/** One creation of each shard's user, `age` old. */
async function oneEach(age = 2 * HOUR) {
  const ids = [];
  for (const [at, user] of USERS.entries()) {
    await grant(at, user, 100);
    await world.order({ now: NOW - age });
    const created = await create(user);
    assert.equal(created.http, 201, JSON.stringify(created));
    ids.push(created.id);
  }
  await world.order({ now: NOW });
  return ids;
}

test("all that is a user's is in one database, and an id of ours says in which", async () => {
  const ids = await oneEach(0);
  for (const [at, id] of ids.entries()) {
    assert.equal(Number.parseInt(id.slice(15, 18), 16), bucketOf(USERS[at]));
    assert.equal(id[14], "8");
    assert.deepEqual(await rows(at, "SELECT id, user_id FROM stale_drafts_creations"), [{ id, user_id: USERS[at] }]);
    // A report asks no other database.
    await world.order({});
    const started = await world.report(`/${id}/start`, { worker: "w" });
    assert.equal(started.http, 200);
    assert.deepEqual(Object.keys(await world.queriesOf()), [`DB_${at}`]);
    const completed = await world.report(`/${id}/complete`, { fence: started.fence, result_url: "https://files.example/fox.png" });
    assert.equal(completed.http, 200);
    const list = await (await world.as(USERS[at], "/api/drafts")).json();
    assert.deepEqual([list.balance, list.drafts.map((draft) => draft.id)], [90, [id]]);
  }
});

test("whose users they are is on record before anybody new is taken, and the first write has it written", async () => {
  const recorded = () => column("SELECT count(*) FROM stale_drafts_buckets");
  const post = (user) => world.fetch("/api/creations", { method: "POST", body: JSON.stringify({ user_id: user, kind: "image", prompt: "a fox", tokens: 0 }), headers: { Authorization: `Bearer ${WORKER_TOKEN}` } });
  // What does not answer may have anybody.
  await world.order({ now: NOW, dead: ["DB_3"] });
  const refused = await post(USERS[0]);
  assert.deepEqual([refused.status, refused.headers.get("Retry-After")], [503, "10"]);
  assert.equal((await refused.json()).error, "it is not on record yet which users the database `DB_0` has: repeat the request, it does no harm; /readyz says what is in the way");
  assert.deepEqual(await recorded(), [0, 0, 0, 0]);
  await world.order({ now: NOW + 11_000 });
  assert.equal((await post(USERS[0])).status, 201);
  assert.ok((await recorded()).every((rows) => rows > 0));
  // One that has lost its record, and has another one's user, with what they got there.
  await world.databases[1].prepare("DELETE FROM stale_drafts_buckets").run();
  await grant(1, USERS[2], 100);
  await world.order({ now: NOW + MINUTE });
  assert.deepEqual(await Promise.all(USERS.map(async (user) => (await post(user)).status)), [201, 503, 201, 201]);
  const { findings } = await world.ask("/api/doctor");
  const found = findings.find(({ code }) => code === "buckets_misplaced");
  assert.equal(found.evidence, `\`DB_1\` has users of bucket ${bucketOf(USERS[2])}, which \`DB_2\` has on record; it has nothing on record`);
  assert.equal((await world.ask("/readyz")).ready, false);
});

test("a creation that is asked for twice is made once", async () => {
  await grant(1, USERS[1], 100);
  const body = { user_id: USERS[1], kind: "image", prompt: "a fox", tokens: 10 };
  const [one, two] = [await world.report("", body, { "Idempotency-Key": "order-7" }), await world.report("", body, { "Idempotency-Key": "order-7" })];
  assert.deepEqual([one.http, one.id], [201, two.id]);
  assert.equal(Number.parseInt(one.id.slice(15, 18), 16), bucketOf(USERS[1]));
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations"), [0, 1, 0, 0]);
});

test("an id that an app chose is found, and one of two users needs its owner", async () => {
  const insert = (at, id, user) => world.databases[at].prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES (?, ?, 'image', 'a fox', 'pending', 0, ?)").bind(id, user, NOW).run();
  await insert(2, "fox", USERS[2]);
  assert.equal((await world.report("/fox/start", { worker: "w" })).http, 200);
  assert.equal((await world.ask("/api/creations/fox")).user_id, USERS[2]);
  // A UUID of version 8 that the app has made itself.
  await insert(3, "019acf1e-7a00-8000-9c3d-2f1e0a9b8c7d", USERS[3]);
  assert.equal((await world.report("/019acf1e-7a00-8000-9c3d-2f1e0a9b8c7d/start", { worker: "w" })).http, 200);
  // While its owner moves, two databases have it: the configuration says which.
  await insert(1, "moving", USERS[2]);
  await insert(2, "moving", USERS[2]);
  assert.equal((await world.report("/moving/start", { worker: "w" })).http, 200);
  assert.deepEqual((await rows(2, "SELECT status FROM stale_drafts_creations WHERE id = 'moving'")), [{ status: "processing" }]);
  await insert(0, "twin", USERS[0]);
  await insert(1, "twin", USERS[1]);
  const refused = await world.report("/twin/start", { worker: "w" });
  assert.deepEqual([refused.http, refused.error], [400, "`twin` is an id of several users: expected `user_id` in the query"]);
  assert.equal((await world.report(`/twin/start?user_id=${USERS[1]}`, { worker: "w" })).http, 200);
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'processing'"), [0, 1, 2, 1]);
  assert.equal((await world.report("/nobody/start", { worker: "w" })).http, 404);
  // What does not answer may have it.
  await world.order({ dead: ["DB_3"] });
  assert.equal((await world.report("/nobody/start", { worker: "w" })).http, 503);
});

test("cron sweeps all of them, as one sweep with a row in each", async () => {
  const ids = await oneEach();
  assert.equal(await world.cron(), "ok");
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 1, 1, 1]);
  assert.deepEqual(await column("SELECT sum(tokens) FROM stale_drafts_balances"), [100, 100, 100, 100]);
  const { sweeps } = await world.ask("/api/sweeps");
  assert.deepEqual(sweeps.map(({ shard, failed, refunded_tokens, source }) => ({ shard, failed, refunded_tokens, source })), USERS.map((_, at) => ({ shard: `DB_${at}`, failed: 1, refunded_tokens: 10, source: "cron" })));
  assert.equal(new Set(sweeps.map(({ id }) => id)).size, 1);
  const explained = await world.ask(`/api/creations/${ids[2]}`);
  assert.deepEqual([explained.creation.status, explained.sweeps.map(({ id }) => id)], ["failed", [sweeps[0].id]]);
  // Nothing is left to do.
  const again = await (await world.cleanup()).json();
  assert.deepEqual([again.marked_as_failed, again.shards.map(({ shard, marked_as_failed, error }) => [shard, marked_as_failed, error])], [0, USERS.map((_, at) => [`DB_${at}`, 0, null])]);
});

test("a page sweeps its owner's database only", async () => {
  await oneEach();
  await world.order({});
  const list = await (await world.as(USERS[2], "/api/drafts")).json();
  assert.deepEqual([list.marked_as_failed, list.balance], [1, 100]);
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [0, 0, 1, 0]);
});

test("the questions of operators are answered over all of them", async () => {
  await oneEach();
  const { counts } = await world.ask("/api/counts");
  assert.deepEqual(counts.map(({ status, kind, creations, tokens }) => ({ status, kind, creations, tokens })), [{ status: "pending", kind: "image", creations: 4, tokens: 40 }]);
  await world.cron();
  const metrics = await (await world.fetch("/metrics", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).text();
  assert.match(metrics, /stale_drafts_swept_creations_total\{outcome="failed",kind="image",stuck_status="pending",rule="[^"]*"\} 4\n/);
  assert.match(metrics, /stale_drafts_refunded_tokens_total\{[^}]*\} 40\n/);
  assert.equal((await world.ask("/readyz")).ready, true);
  assert.equal((await world.ask("/api/doctor")).healthy, true);
  // A page of sweeps ends with a whole one.
  await world.order({ now: NOW + MINUTE });
  await world.cron();
  const first = await world.ask("/api/sweeps?limit=2");
  assert.equal(first.sweeps.length, SHARDS);
  const second = await world.ask(`/api/sweeps?limit=2&cursor=${first.next_cursor}`);
  assert.deepEqual([second.sweeps.map(({ shard }) => shard), second.next_cursor === null || second.next_cursor === second.sweeps[0].id], [["DB_0", "DB_1", "DB_2", "DB_3"], true]);
  assert.notEqual(second.sweeps[0].id, first.sweeps[0].id);
});

for (const how of ["dead", "silent"]) {
  test(`a database that is ${how} keeps nothing from the others, and is named`, async () => {
    await oneEach();
    assert.equal((await world.ask("/readyz")).checks.schema, "ok");
    await world.order({ [how]: ["DB_1"] });
    assert.equal(await world.cron(), "exception");
    await world.logged(/`DB_1`.*"sweep_failed"/);
    await world.order({});
    assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 0, 1, 1]);
    const firing = await rows(0, "SELECT code, evidence FROM stale_drafts_alerts WHERE resolved_at IS NULL");
    assert.deepEqual(firing.map(({ code }) => code), ["database_unreachable"]);
    assert.match(firing[0].evidence, how === "dead" ? /^`DB_1` does not answer: .*DB_1 is gone$/ : /^`DB_1` does not answer: it did not answer within 10 s$/);
    await world.order({ [how]: ["DB_1"] });
    const { ready, checks } = await world.ask("/readyz");
    assert.deepEqual([ready, checks.schema], [false, "`DB_1`: the database does not answer right now: the log says why"]);
    const { healthy, findings } = await world.ask("/api/doctor");
    assert.deepEqual([healthy, findings[0].code], [false, "database_unreachable"]);
    // Its users wait, the others don't.
    assert.equal((await create(USERS[1])).http, 503);
    assert.equal((await create(USERS[0])).http, 201);
    await world.order({ now: NOW + MINUTE });
    assert.equal(await world.cron(), "ok");
    assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 1, 1, 1]);
    assert.deepEqual(await rows(0, "SELECT code FROM stale_drafts_alerts WHERE resolved_at IS NULL"), []);
  });
}

test("a plan is carried out database by database, and what was not reached is said", async () => {
  const ids = await oneEach();
  const plan = await (await world.cleanup("?dry_run=true")).json();
  assert.deepEqual(plan.creations.map(({ id }) => id).sort(), [...ids].sort());
  // One of them starts meanwhile, and one database goes away.
  assert.equal((await world.report(`/${ids[0]}/start`, { worker: "w" })).http, 200);
  await world.order({ dead: ["DB_1"] });
  const applied = await (await world.cleanup("", CLEANUP_TOKEN, JSON.stringify(plan))).json();
  assert.deepEqual([applied.marked_as_failed, applied.skipped.map(({ id, reason }) => [id, reason])], [2, [[ids[0], "started"]]]);
  const [failed] = applied.shards.filter(({ error }) => error !== null);
  assert.deepEqual([failed.shard, failed.marked_as_failed], ["DB_1", 0]);
  await world.order({});
  const again = await (await world.cleanup("", CLEANUP_TOKEN, JSON.stringify({ ...plan, creations: [...plan.creations, { ...plan.creations[0], id: "gone" }] }))).json();
  assert.equal(again.marked_as_failed, 1);
  assert.deepEqual(again.skipped.map(({ id, reason }) => [id, reason]).sort(), [[ids[0], "started"], [ids[2], "settled"], [ids[3], "settled"], ["gone", "gone"]].sort());
});

test("a limit counts over all of them", async () => {
  await oneEach();
  const preview = await (await world.cleanup("?dry_run=true&limit=3")).json();
  assert.deepEqual([preview.creations.length, preview.more], [3, true]);
  const swept = await (await world.cleanup("?limit=3")).json();
  assert.deepEqual([swept.marked_as_failed, swept.more], [3, true]);
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 1, 1, 0]);
});

/** The same with another configuration. */
const restart = async (options) => {
  await world.stop();
  world = await start({ shards: SHARDS, ...options, config: { circuit_breaker: "off", ...options.config } });
};

test("the circuit breaker judges them together, and each by itself", async () => {
  await restart({ config: { circuit_breaker: { creations: 1_000, percent: 50, at_least: 4 } } });
  await oneEach();
  // One of each is nothing by itself; together all that are active are stale.
  assert.equal(await world.cron(), "exception");
  await world.logged(/the circuit breaker is open: 4 of 4 active creations are stale at once/);
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [0, 0, 0, 0]);
  assert.deepEqual(await column("SELECT name FROM stale_drafts_controls"), Array(4).fill("circuit_breaker"));
  // Where others are generated too, it is less than half of them.
  for (let count = 0; count < 5; count += 1) assert.equal((await create(USERS[0])).http, 201);
  assert.equal(await world.cron(), "ok");
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 1, 1, 1]);
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_controls"), [0, 0, 0, 0]);
  // Many on one are abnormal there, and the others go on.
  await world.order({ now: NOW - 2 * HOUR });
  for (let count = 0; count < 5; count += 1) assert.equal((await create(USERS[1])).http, 201);
  assert.equal((await create(USERS[2])).http, 201);
  await world.order({ now: NOW + MINUTE });
  for (let count = 0; count < 7; count += 1) assert.equal((await create(USERS[3])).http, 201);
  assert.equal(await world.cron(), "exception");
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 1, 2, 1]);
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_controls"), [0, 1, 0, 0]);
});

const together = { circuit_breaker: { creations: 1_000, percent: 50, at_least: 4 } };
/** Waits until a query gives this of each database. */
async function until(sql, expected) {
  for (let tries = 0; tries < 500 && JSON.stringify(await column(sql)) !== JSON.stringify(expected); tries += 1) await new Promise((done) => setTimeout(done, 20));
  assert.deepEqual(await column(sql), expected);
}
const FAILED = "SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'";
const HELD = "SELECT count(*) FROM stale_drafts_controls";

test("one that is dead keeps the circuit breaker open on no other", async () => {
  await restart({ config: together });
  const ids = await oneEach();
  assert.equal(await world.cron(), "exception");
  assert.deepEqual([await column(FAILED), await column(HELD)], [[0, 0, 0, 0], [1, 1, 1, 1]]);
  // Where nothing is stale any more, a sweep does not even ask what suspends it.
  await world.databases[3].prepare("UPDATE stale_drafts_creations SET status = 'failed', finished_at = ?1 WHERE id = ?2").bind(NOW, ids[3]).run();
  await world.order({ dead: ["DB_1"] });
  assert.equal(await world.cron(), "exception");
  assert.deepEqual([await column(FAILED), await column(HELD)], [[1, 0, 1, 1], [0, 1, 0, 0]]);
  await world.order({ now: NOW + MINUTE });
  assert.equal(await world.cron(), "ok");
  assert.deepEqual([await column(FAILED), await column(HELD)], [[1, 1, 1, 1], [0, 0, 0, 0]]);
});

test("where each is a message, the circuit breaker judges them together", async () => {
  await restart({ queues: ["SWEEPS"], config: { ...together, queries_per_run: 55 } });
  await oneEach();
  assert.equal(await world.cron(), "ok");
  await until(HELD, [1, 1, 1, 1]);
  assert.deepEqual(await column(FAILED), [0, 0, 0, 0]);
  for (let count = 0; count < 5; count += 1) assert.equal((await create(USERS[0])).http, 201);
  await world.order({ now: NOW + MINUTE });
  assert.equal(await world.cron(), "ok");
  await until(FAILED, [1, 1, 1, 1]);
  await until(HELD, [0, 0, 0, 0]);
});

test("without a queue, those whose turn it is are judged with the others", async () => {
  await restart({ config: { ...together, queries_per_run: 55 } });
  await oneEach();
  assert.equal(await world.cron(), "exception");
  assert.deepEqual([await column(FAILED), (await column(HELD)).toSorted()], [[0, 0, 0, 0], [0, 1, 1, 1]]);
  for (let count = 0; count < 5; count += 1) assert.equal((await create(USERS[0])).http, 201);
  for (const minute of [1, 2]) {
    await world.order({ now: NOW + minute * MINUTE });
    assert.equal(await world.cron(), "ok");
  }
  assert.deepEqual([await column(FAILED), await column(HELD)], [[1, 1, 1, 1], [0, 0, 0, 0]]);
});

test("one that is handed over is judged with what the others had", async () => {
  await restart({ queues: ["SWEEPS"], config: together });
  await oneEach();
  await world.order({ dead: ["DB_2"] });
  // Three are not enough for a share, and are swept.
  assert.equal(await world.cron(), "ok");
  assert.deepEqual(await column(FAILED), [1, 1, 0, 1]);
  await world.order({});
  // With the fourth they would have been: all that were active.
  await until(HELD, [0, 0, 1, 0]);
  assert.deepEqual(await column(FAILED), [1, 1, 0, 1]);
  // The next cron finds it alone.
  await world.order({ now: NOW + MINUTE });
  assert.equal(await world.cron(), "ok");
  assert.deepEqual([await column(FAILED), await column(HELD)], [[1, 1, 1, 1], [0, 0, 0, 0]]);
});

test("an operator pauses all of them", async () => {
  await oneEach();
  const headers = { Authorization: `Bearer ${CLEANUP_TOKEN}` };
  const page = await (await world.fetch("/dashboard", { headers })).text();
  const [, csrf] = page.match(/name="csrf" value="([^"]+)"/);
  const body = new URLSearchParams({ csrf });
  const form = { method: "POST", body, headers: { ...headers, "Content-Type": "application/x-www-form-urlencoded" } };
  assert.equal((await world.fetch("/dashboard/pause", form)).status, 303);
  assert.deepEqual(await column("SELECT name FROM stale_drafts_controls"), Array(4).fill("paused"));
  assert.equal((await world.cleanup()).status, 409);
  assert.equal((await world.fetch("/dashboard/resume", form)).status, 303);
  assert.equal((await (await world.cleanup()).json()).marked_as_failed, 4);
});

test("a database that was not swept is handed over to the queue, which tries it until it is", async () => {
  await restart({ queues: ["SWEEPS"], config: {} });
  await oneEach();
  await world.order({ dead: ["DB_2"] });
  assert.equal(await world.cron(), "ok");
  await world.order({});
  // The first delivery may have come before that: then the second one is ten seconds later.
  for (let tries = 0; tries < 1_000 && (await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"))[2] === 0; tries += 1) await new Promise((done) => setTimeout(done, 20));
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 1, 1, 1]);
  assert.deepEqual(await column("SELECT sum(tokens) FROM stale_drafts_balances"), [100, 100, 100, 100]);
});

test("where one invocation can't sweep them all, each is a message", async () => {
  await restart({ queues: ["SWEEPS"], config: { queries_per_run: 55 } });
  await oneEach();
  await world.order({});
  assert.equal(await world.cron(), "ok");
  for (let tries = 0; tries < 500 && (await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'")).includes(0); tries += 1) await new Promise((done) => setTimeout(done, 20));
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 1, 1, 1]);
});

test("without a queue they take turns there", async () => {
  await restart({ config: { queries_per_run: 55 } });
  await oneEach();
  for (let minute = 0; minute < 2; minute += 1) {
    await world.order({ now: NOW + minute * MINUTE });
    assert.equal(await world.cron(), "ok");
  }
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 1, 1, 1]);
});

test("buckets that are missing or given twice are refused", async () => {
  const ready = async (shards) => {
    await world.stop();
    world = await start({ shards: 2, config: { shards } });
    const { checks } = await world.ask("/readyz");
    return checks.configuration === "ok" ? checks.schema : checks.configuration;
  };
  const shard = (at, buckets) => ({ binding: `DB_${at}`, buckets });
  assert.equal(await ready([shard(0, "0-2047,4000-4095"), shard(1, "2048-3999")]), "ok");
  assert.equal(await ready([shard(0, "0-4095"), shard(1, "")]), "ok");
  assert.equal(await ready([shard(0, "0-2047"), shard(1, "2049-4095")]), "`shards` give bucket 2048 to none: expected each bucket from 0 to 4095 in exactly one");
  assert.equal(await ready([shard(0, "0-2047"), shard(1, "2047-4095")]), "`shards` give bucket 2047 to `DB_0` and to `DB_1`: expected each bucket from 0 to 4095 in exactly one");
  assert.equal(await ready([shard(0, "0-4095"), shard(0, "")]), "`shards[1].binding` is `DB_0` once more: expected a database of its own");
  assert.match(await ready([shard(0, "0-4096")]), /^`shards\[0\]\.buckets` is `"0-4096"`: expected ranges of buckets from 0 to 4095, such as `0-2047`/);
  assert.match(await ready([shard(0, "0-4095"), shard(2, "")]), /the database binding `DB_2` is not there/);
});

test("where there are replicas, lists may be answered by one, and what decides is not", async () => {
  await restart({ config: { read_replicas: true } });
  const ids = await oneEach();
  // The page: its sweep's first question goes to the primary, and after it has written, everything does.
  await world.order({});
  await world.as(USERS[0], "/api/drafts");
  const [first, ...rest] = await world.sessions();
  assert.deepEqual(first, ["first-primary", 1]);
  // The monitor looks beside the request, in a session of its own kind.
  assert.ok(rest.every(([constraint]) => constraint === "first-primary"));
  // It finds nothing more: the list is no older than what the sweep has seen.
  await world.order({});
  const list = await (await world.as(USERS[0], "/api/drafts")).json();
  assert.deepEqual([list.balance, await world.sessions()], [100, [["first-primary", 1], ["first-primary", 3]]]);
  await world.order({});
  assert.equal((await world.ask("/api/counts")).counts.length, 1);
  assert.deepEqual(await world.sessions(), Array(SHARDS).fill(["first-unconstrained", 1]));
  // A report is a write.
  await world.order({});
  assert.equal((await world.report(`/${ids[1]}/start`, { worker: "w" })).http, 200);
  assert.deepEqual(await world.sessions(), []);
  await world.order({ now: NOW });
  assert.equal(await world.cron(), "ok");
  assert.deepEqual(await column("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'"), [1, 0, 1, 1]);
});

test("what ended long ago is archived on every one of sixteen", async () => {
  await restart({ shards: 16, r2Buckets: ["ARCHIVE"], config: { keep_days: { creations: 1, sweeps: 1 } } });
  const long = NOW - 3 * 24 * HOUR;
  for (const [at, database] of world.databases.entries()) {
    await database.prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, started_at, finished_at) SELECT 'c' || value, 'u' || ?1, 'image', 'a fox', 'draft', 0, ?2, ?2, ?2 + 1000 FROM json_each('[1,2,3]')").bind(at, long).run();
  }
  const left = () => column("SELECT count(*) FROM stale_drafts_creations");
  for (let minute = 0; minute < 6 && (await left()).some((count) => count > 0); minute += 1) {
    await world.order({ now: NOW + minute * MINUTE });
    assert.equal(await world.cron(), "ok");
  }
  assert.deepEqual(await left(), Array(16).fill(0));
  assert.deepEqual(await column("SELECT sum(creations) FROM stale_drafts_archives"), Array(16).fill(3));
});

test("more time of a kind reaches every database; one that does not answer is named, and reached by the same request later", async () => {
  await oneEach();
  const ask = async (path, method = "GET", body) => {
    const response = await world.fetch(path, { method, body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });
    return { http: response.status, ...(await response.json()) };
  };
  const given = { kind: "image", until: NOW + HOUR, reason: "the provider is down" };
  await world.order({ dead: ["DB_2"] });
  const first = await ask("/api/extensions", "POST", given);
  assert.deepEqual([first.http, first.extended, first.more], [200, 3, true], JSON.stringify(first));
  assert.deepEqual(first.shards.filter(({ error }) => error).map(({ shard }) => shard), ["DB_2"]);
  await world.order({});
  const { extensions: [row] } = await ask("/api/extensions");
  assert.deepEqual([row.kind, row.runs, row.missing], ["image", true, ["DB_2"]]);
  const again = await ask("/api/extensions", "POST", given);
  assert.deepEqual([again.extended, again.more], [1, false]);
  const swept = await (await world.cleanup()).json();
  assert.equal(swept.marked_as_failed, 0);
  const ended = await ask("/api/extensions?kind=image", "DELETE");
  assert.deepEqual([ended.released, ended.more], [4, false]);
});

test("more time that one database refuses is said to be refused there, and where it was given all the same", async () => {
  await oneEach();
  const give = async (until) => {
    const response = await world.fetch("/api/extensions", { method: "POST", body: JSON.stringify({ kind: "image", until, reason: "slow" }), headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });
    return { http: response.status, ...(await response.json()) };
  };
  await world.order({ dead: ["DB_2", "DB_3"] });
  assert.equal((await give(NOW + 2 * HOUR)).http, 200);
  await world.order({ dead: ["DB_3"] });
  const shorter = await give(NOW + HOUR);
  assert.equal(shorter.http, 409);
  assert.equal(shorter.error, `\`CLEANUP_TOKEN\` has given this kind more time until \`${new Date(NOW + 2 * HOUR).toISOString().replace(".000Z", "Z")}\` already: end that first; \`DB_2\` has taken \`${new Date(NOW + HOUR).toISOString().replace(".000Z", "Z")}\` all the same`);
  await world.logged(/"action":"extend_kind"/, 2);
  // Where all refuse it, nothing is said of others.
  await world.order({ dead: ["DB_2", "DB_3"] });
  assert.equal((await give(NOW + HOUR)).error, `\`CLEANUP_TOKEN\` has given this kind more time until \`${new Date(NOW + 2 * HOUR).toISOString().replace(".000Z", "Z")}\` already: end that first`);
  await world.order({});
});
