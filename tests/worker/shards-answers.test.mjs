// What operators see of several databases where one does not answer: what the others have, and who is missing. Whatever decides or writes
// still needs them all.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, WORKER_TOKEN, start, token } from "./harness.mjs";

const headers = { Authorization: `Bearer ${CLEANUP_TOKEN}` };
const GRANT_TOKEN = "n0t-Used-Anywhere-Else-Grant-5c07a";
const GONE = [{ shard: "DB_1", error: "D1_ERROR: DB_1 is gone" }];
let world;
/** One creation that waits on each, a sweep of each, and a dead letter on each. */
before(async () => {
  world = await start({ shards: 3, config: { circuit_breaker: "off", api_tokens: [{ name: "shop", sha256: createHash("sha256").update(GRANT_TOKEN).digest("hex"), scopes: ["grant"] }] }, bindings: { REPORT_TOKEN: WORKER_TOKEN } });
  for (const [at, database] of world.databases.entries()) {
    await database.prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES (?1, 'u', 'image', 'a fox', 'pending', 0, ?2)").bind(`c${at}`, NOW).run();
    await database.prepare("INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, body) VALUES (?1, 'dead', ?2, 4, ?2, '{}')").bind(`e${at}`, NOW - HOUR + at).run();
  }
  for (const minute of [0, 1]) {
    await world.order({ now: NOW + minute * MINUTE });
    await world.cron();
  }
});
after(() => world?.stop());
beforeEach(() => world.order({}));

const answered = async (path) => {
  const response = await world.fetch(path, { headers });
  return { http: response.status, ...(await response.json()) };
};
const creations = ({ counts }) => counts.map(({ creations }) => creations);

test("counts are those of the others, and say who is missing", async () => {
  const whole = await answered("/api/counts");
  assert.deepEqual([whole.http, creations(whole), whole.unreachable], [200, [3], undefined]);
  await world.order({ dead: ["DB_1"] });
  const partial = await answered("/api/counts");
  assert.deepEqual([partial.http, creations(partial), partial.unreachable], [200, [2], GONE]);
  await world.logged(/"error":"`DB_1`: D1_ERROR: DB_1 is gone","event":"read_failed"/);
});

test("lists are those of the others, and each page that lacks something says so", async () => {
  const list = async (path) => {
    const { http, next_cursor, unreachable, ...lists } = await answered(path);
    return [http, (lists.events ?? lists.sweeps).map(({ id, shard }) => shard ?? id), next_cursor !== null, unreachable];
  };
  assert.deepEqual(await list("/api/events"), [200, ["e0", "e1", "e2"], false, undefined]);
  assert.deepEqual(await list("/api/sweeps"), [200, ["DB_0", "DB_1", "DB_2", "DB_0", "DB_1", "DB_2"], false, undefined]);
  await world.order({ dead: ["DB_1"] });
  assert.deepEqual(await list("/api/events"), [200, ["e0", "e2"], false, GONE]);
  assert.deepEqual(await list("/api/sweeps"), [200, ["DB_0", "DB_2", "DB_0", "DB_2"], false, GONE]);
  // It is missing on the first page, and answers when the second is asked for: the first has said so.
  const first = await answered("/api/events?limit=1");
  assert.deepEqual([first.events.map(({ id }) => id), first.unreachable], [["e0"], GONE]);
  await world.order({});
  assert.deepEqual(await list(`/api/events?cursor=${first.next_cursor}`), [200, ["e1", "e2"], false, undefined]);
});

test("where no database answers, nothing is shown", async () => {
  await world.order({ dead: ["DB_0", "DB_1", "DB_2"] });
  for (const path of ["/api/counts", "/api/events", "/api/sweeps", "/api/doctor", "/metrics", "/dashboard"]) {
    assert.equal((await world.fetch(path, { headers })).status, 503, path);
  }
});

test("the dashboard says it above its numbers, and a preview what it is without", async () => {
  const page = async () => (await world.fetch("/dashboard", { headers })).text();
  assert.doesNotMatch(await page(), /class="incomplete"/);
  await world.order({ dead: ["DB_1"] });
  const text = await page();
  const banner = text.match(/<p class="incomplete" role="alert">(.*?)<\/p>/)?.[1].replaceAll(/<[^>]+>/g, "");
  assert.equal(banner, "DB_1 does not answer: what is below is without it. D1_ERROR: DB_1 is gone.");
  assert.ok(text.indexOf("incomplete") < text.indexOf("Generation now"));
  const [, csrf] = text.match(/name="csrf" value="([^"]+)"/);
  const form = { method: "POST", body: new URLSearchParams({ csrf }), headers: { ...headers, "Content-Type": "application/x-www-form-urlencoded" } };
  const preview = await (await world.fetch("/dashboard/preview", form)).text();
  assert.match(preview.replaceAll(/<[^>]+>/g, ""), /DB_1 was not reached, and the plan is without it: D1_ERROR: DB_1 is gone\./);
  // A pause has to reach them all.
  assert.equal((await world.fetch("/dashboard/pause", form)).status, 503);
  await world.order({});
  assert.equal((await world.fetch("/dashboard/resume", form)).status, 303);
});

test("counters that would shrink are left out of the metrics until all answer", async () => {
  const metrics = async () => (await world.fetch("/metrics", { headers })).text();
  const counters = (text) => text.split("\n").filter((line) => /_(total|bucket)\{/.test(line)).length;
  await world.databases[1].prepare("INSERT INTO stale_drafts_rollups (hour, outcome, kind, stuck_status, rule, creations, tokens, lag_0, lag_1, lag_2, lag_3, lag_4, lag_5, lag_ms) VALUES (0, 'failed', 'image', 'pending', 'max_age_hours', 5, 50, 5, 0, 0, 0, 0, 0, 1000)").run();
  const whole = await metrics();
  assert.ok(counters(whole) > 2, whole);
  assert.match(whole, /stale_drafts_active_creations\{[^}]*\} 3\n/);
  await world.order({ dead: ["DB_1"] });
  const partial = await metrics();
  assert.equal(counters(partial), 0, partial);
  assert.match(partial, /stale_drafts_database_unreachable\{shard="DB_1"\} 1\n/);
  assert.match(partial, /stale_drafts_alert_firing\{code="database_unreachable",severity="critical"\} 1\n/);
  assert.match(partial, /stale_drafts_active_creations\{[^}]*\} 2\n/);
});

test("what writes or decides names the one that does not answer, and says when to ask again", async () => {
  await world.order({ dead: ["DB_1"] });
  const user = Array.from({ length: 100 }, (_, at) => `user-${at}`).find((user) => Math.floor((bucketOf(user) * 3) / 4_096) === 1);
  const worker = { Authorization: `Bearer ${WORKER_TOKEN}` };
  const own = { Authorization: `Bearer ${token({ sub: user })}` };
  const post = (path, body, given = headers) => [path, { method: "POST", body: body && JSON.stringify(body), headers: given }];
  const of = `?user_id=${user}`;
  const wrong = [];
  for (const [path, request] of [
    post("/api/events/replay", { ids: ["e1"] }),
    post(`/api/generate/cleanup-stale${of}`),
    post("/api/grants", { user_id: user, tokens: 1 }, { Authorization: `Bearer ${GRANT_TOKEN}`, "Idempotency-Key": "order-1" }),
    post("/api/creations", { user_id: user, kind: "image", prompt: "a fox", tokens: 0 }, worker),
    ...[["start", { worker: "w" }], ["heartbeat", { fence: "1.f" }], ["complete", { fence: "1.f", result_url: "https://cdn.example/1" }], ["fail", { error_code: "x" }]]
      .flatMap(([what, body]) => [post(`/api/creations/c1/${what}${of}`, body, worker), post(`/api/creations/c1/${what}`, body, worker)]),
    ...[["retry", { attempt: 1 }], ["cancel", {}], ["restore", undefined], ["fail-now", { attempt: 1, error: "a storm" }], ["notes", { text: "a note" }], ["extend", { minutes: 5, reason: "a storm" }]]
      .map(([what, body]) => post(`/api/creations/c1/${what}${of}`, body)),
    ...[["retry", { attempt: 1 }], ["cancel", {}], ["publish", undefined]].map(([what, body]) => post(`/api/drafts/c1/${what}`, body, own)),
    ["/api/drafts/c1", { method: "DELETE", headers: own }],
    ["/api/drafts", { headers: own }],
    ["/api/drafts/active", { headers: own }],
    ["/api/balance", { headers: own }],
    [`/api/creations/c1${of}`, { headers }],
    ["/api/creations/c1", { headers }],
    [`/api/creations${of}`, { headers }],
    [`/api/ledger${of}`, { headers }],
  ]) {
    const response = await world.fetch(path, request);
    const { error, code } = await response.json();
    const said = [response.status, code, response.headers.get("Retry-After"), error?.includes("database `DB_1`")];
    if (`${said}` !== "503,unavailable,10,true") wrong.push([request.method ?? "GET", path, error, ...said]);
  }
  assert.deepEqual(wrong, []);
});

test("a database without the schema, or with another one, is named with the command that mends it", async (t) => {
  const own = await start({ shards: 3, config: { circuit_breaker: "off" } });
  t.after(() => own.stop());
  await own.cron();
  const version = Object.values(await own.databases[0].prepare("SELECT max(version) FROM stale_drafts_schema").first())[0];
  await own.databases[1].prepare("DELETE FROM stale_drafts_schema WHERE version = ?").bind(version).run();
  for (const { name } of (await own.databases[2].prepare("SELECT name FROM sqlite_schema WHERE type IN ('view', 'trigger') AND name GLOB 'stale_drafts_*'").all()).results) {
    await own.databases[2].prepare(`DROP ${name.endsWith("accepts") ? "VIEW" : "TRIGGER"} IF EXISTS ${name}`).run();
  }
  for (const table of ["monitor", "ledger_check", "schema"]) await own.databases[2].prepare(`DROP TABLE stale_drafts_${table}`).run();
  const { findings } = await own.ask("/api/doctor");
  const instead = "if another database was bound there before, bind that one again; if not, apply the migrations";
  const apply = (name) => `\`npx wrangler d1 migrations apply ${name} --remote\` (or \`--local\`)`;
  assert.deepEqual(findings.filter(({ code }) => ["schema_not_current", "database_unreachable"].includes(code)).map(({ code, evidence, remedy }) => ({ code, evidence, remedy })), [{
    code: "schema_not_current",
    evidence: `that of \`DB_1\` is version ${version - 1}; that of \`DB_2\` is not there, or too old to say its version: expected ${version}`,
    remedy: `apply the migrations: ${apply("DB_1")}; \`DB_2\`: ${instead}: ${apply("DB_2")}`,
  }]);
  const { checks } = await own.ask("/readyz");
  assert.equal(checks.schema, `\`DB_1\`: the schema is version ${version - 1}: expected ${version}, apply the migrations: ${apply("DB_1")}; \`DB_2\`: the schema is not there: ${instead}: ${apply("DB_2")}`);
});

for (const sums of [false, true]) test(`after a move, explain still says in which object of the old database a creation is${sums ? ", though its entries are in a sum" : ""}`, async (t) => {
  const persist = mkdtempSync(join(tmpdir(), "stale-drafts-explain-"));
  t.after(() => rmSync(persist, { recursive: true, force: true }));
  const shards = (first, second) => [{ binding: "DB_0", buckets: first }, { binding: "DB_1", buckets: second }];
  const options = { shards: 2, persist, r2Buckets: ["ARCHIVE"] };
  const config = { keep_days: { creations: 30, sweeps: 30 } };
  const move = async (world, goal) => {
    for (;;) {
      const body = JSON.stringify({ source: "DB_0", target: "DB_1", buckets: "0-4095", goal });
      const answer = await (await world.fetch("/api/shards/moves", { method: "POST", body, headers })).json();
      assert.equal(answer.error, undefined);
      if (answer.done || answer.waits_until !== null) return;
    }
  };
  const long = NOW - 60 * 24 * HOUR;
  // One of ours, which says the bucket of `ada`.
  const uuid = "018ab0f5-9880-8582-8000-000000000001";
  let own = await start({ ...options, config: { ...config, shards: shards("0-4095", "") } });
  try {
    await own.grant("ada", 1_000);
    // That of the second one is not what the first cron would write down: it has users whom the configuration gives to the first.
    await own.databases[0].prepare("INSERT INTO stale_drafts_buckets VALUES (0, 'here')").run();
    await own.databases[1].prepare("INSERT INTO stale_drafts_buckets VALUES (0, 'away')").run();
    // Others of the same hour, whose ids are about it in the new database too.
    for (const [at, ids] of [[0, ["chosen", uuid]], [1, ["a", "z"]]]) {
      for (const id of ids) {
        await own.databases[at].prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, started_at, finished_at) VALUES (?1, ?2, 'image', '', 'draft', ?3, ?4, ?4, ?4 + 60000)").bind(id, at === 0 ? "ada" : "eve", at === 0 ? 10 : 0, long).run();
      }
    }
    assert.equal(await own.cron(), "ok");
    if (sums) {
      const summed = await own.fetch("/api/ledger/compact", { method: "POST", body: JSON.stringify({ before: "2023-10" }), headers });
      assert.equal((await summed.json()).entries, 2);
    }
    const objects = async (id) => {
      const { archived, message, ledger, unreachable } = await own.ask(`/api/creations/${id}`);
      return [archived.objects.map((key) => key.split("/")[3]), message.replace(/[0-9a-f]{32}/, "…"), ledger.length, unreachable];
    };
    const before = await objects("chosen");
    const ours = await objects(uuid);
    assert.deepEqual([before.slice(2), ours[0]], [[sums ? 0 : 1, undefined], ["DB_0"]]);
    assert.ok(before[0].includes("DB_0"), JSON.stringify(before));
    await move(own, "moved");
    assert.deepEqual(await objects("chosen"), before);
    await own.stop();
    own = await start({ ...options, migrate: false, config: { ...config, shards: shards("", "0-4095") } });
    await move(own, "done");
    assert.deepEqual([await objects("chosen"), await objects(uuid)], [before, ours]);
    // What the old one has is missing while it does not answer, and that is said.
    await own.order({ dead: ["DB_0"] });
    const [without, , , unreachable] = await objects(uuid);
    assert.deepEqual([without, unreachable], [[], [{ shard: "DB_0", error: "D1_ERROR: DB_0 is gone" }]]);
    // An id that an app chose may be there.
    assert.equal((await own.fetch("/api/creations/chosen", { headers })).status, 503);
    await own.order({});
  } finally {
    await own.stop();
  }
});
