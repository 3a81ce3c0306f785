// examples/workers-queue as it stands, on workerd: its own wrangler.toml, the real queue, the real Worker with a real D1
// database. Only the provider is played, by a server on this machine, so that it can be slow, refuse, break and hang.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from "wrangler";
import { HOUR, NOW, WORKER_TOKEN, start } from "../worker/harness.mjs";

const URL_OF_FOX = "https://cdn.example/fox.mp4";
const NEW = { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 };

/** What the provider was asked, and what it answers: `[status, body]`, or a promise of it. */
let asked;
let answer;
let hungUp;
const provider = createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", async () => {
    const question = JSON.parse(body);
    asked.push({ key: request.headers["idempotency-key"], ...question });
    response.on("close", () => { if (!response.writableFinished) hungUp.push(question.prompt); });
    const [status, json] = await answer(question);
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(json));
  });
});

let world;
let consumers;
let registry;
/** What the consumers that are processes of their own say. */
let logs;

before(() => new Promise((done) => provider.listen(0, "127.0.0.1", done)));
beforeEach(() => {
  [asked, hungUp, consumers, logs] = [[], [], new Set(), []];
  answer = () => [200, { url: URL_OF_FOX }];
  registry = mkdtempSync(join(tmpdir(), "workers-queue-"));
});
afterEach(async () => {
  await Promise.all([world?.stop(), ...Array.from(consumers, kill)]);
  world = undefined;
  rmSync(registry, { recursive: true, force: true });
});
after(() => {
  provider.closeAllConnections();
  return new Promise((done) => provider.close(done));
});

/** The example's Worker, as its wrangler.toml has it. Its secrets are given here: a `.dev.vars` beside it is nobody's business. */
function consumer(bindings = {}) {
  const config = unstable_readConfig({ config: fileURLToPath(new URL("../../examples/workers-queue/wrangler.toml", import.meta.url)) });
  const { workerOptions, main } = unstable_getMiniflareWorkerOptions(config);
  const PROVIDER_URL = `http://127.0.0.1:${provider.address().port}/`;
  return {
    ...workerOptions,
    name: config.name,
    modules: true,
    modulesRules: [{ type: "ESModule", include: ["**/*.js"] }],
    scriptPath: main,
    bindings: { ...config.vars, STALE_DRAFTS_TOKEN: WORKER_TOKEN, PROVIDER_URL, ...bindings },
  };
}

/** The two Workers in one process, bound to each other. */
async function together(policy = {}, bindings) {
  world = await start({ config: { policy }, producers: ["GENERATIONS"], others: [consumer(bindings)] });
  await world.grant("ada", 1_000);
}

/** The Worker alone. Consumers are processes of their own, and find it by the registry, as two `wrangler dev` do. */
async function apart(policy = {}) {
  world = await start({ config: { policy }, producers: ["GENERATIONS"], registry });
  await world.grant("ada", 1_000);
  await world.grant("bo", 1_000);
}
async function consume(bindings) {
  const one = new Miniflare({
    workers: [consumer(bindings)],
    cf: false,
    unsafeDevRegistryPath: registry,
    handleRuntimeStdio: (...streams) => streams.forEach((stream) => stream.setEncoding("utf8").on("data", (text) => logs.push(text))),
  });
  consumers.add(one);
  await one.ready;
  return one;
}
/** Miniflare ends its process with SIGKILL, whatever it is doing. */
function kill(one) {
  consumers.delete(one);
  return one.dispose();
}

async function until(condition, what) {
  const end = performance.now() + 20_000;
  while (performance.now() < end) {
    const found = await condition();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 20));
  }
  assert.fail(`it did not happen: ${what}\n${[...(world?.logs ?? []), ...logs].join("\n")}`);
}

/** Lets the provider think until it is told what to answer. */
function hold() {
  let release;
  const told = new Promise((done) => (release = (...it) => done(it)));
  answer = () => told;
  return release;
}

const row = (id) => world.one("SELECT * FROM stale_drafts_creations WHERE id = ?", id);
const becomes = (id, status) => until(async () => (await world.status(id)) === status, `${id} becomes ${status}`);
const balance = async (user = "ada") => (await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = ?", user)).tokens;
const ledger = async (id) => (await world.all("SELECT type, tokens FROM stale_drafts_ledger WHERE creation_id = ? ORDER BY created_at, entry_key", id)).map(({ type, tokens }) => [type, tokens]);
const shown = async (id) => (await (await world.as("ada", "/api/drafts")).json()).drafts.find((draft) => draft.id === id);
const logged = (pattern) => until(() => world.logs.some((line) => pattern.test(line)), `${pattern} in the log`);
const sound = async () => assert.deepEqual(await world.wrongBalances(), []);

test("what is created is offered, started, kept alive and completed", async () => {
  // 3 seconds of silence are allowed, so that heartbeats come every second of the test's time.
  await together({ heartbeat_minutes: 0.05 });
  const release = hold();
  const { id } = await world.report("", NEW);
  await until(() => asked.length === 1, "the provider is asked");
  const { status, heartbeat_at, fence, worker } = await row(id);
  assert.deepEqual([status, heartbeat_at], ["processing", NOW], "it showed that it is alive before it asked");
  assert.match(worker, /^[0-9a-f]{32}$/, "the message's id");
  assert.deepEqual(asked, [{ key: fence, kind: "video", prompt: "a fox" }], "nobody outside learns whose it is");

  for (const now of [NOW + 2_000, NOW + 4_000]) {
    await world.order({ now });
    await until(async () => (await row(id)).heartbeat_at === now, "a heartbeat");
  }
  release(200, { url: URL_OF_FOX });
  await becomes(id, "draft");
  const draft = await shown(id);
  assert.deepEqual([draft.status, draft.result_url, draft.attempt, draft.error], ["draft", URL_OF_FOX, 1, null]);
  assert.deepEqual([await ledger(id), await balance()], [[["charge", -30]], 970]);
  await logged(new RegExp(`creation ${id}: completed, attempt 1`));
  assert.equal(asked.length, 1);
  await sound();
});

test("what the provider refuses is failed with its words, and refunded once", async () => {
  await together();
  // A text that is too long and cut in the middle of a character keeps no refund back.
  const words = "The prompt was rejected: foxes are protected here";
  answer = ({ prompt }) => [422, { error: prompt === "a fox" ? words : "🦊".repeat(10_000).slice(1) }];
  const { id } = await world.report("", NEW);
  await becomes(id, "failed");
  const { error, refunded_tokens, result_url } = await shown(id);
  assert.deepEqual([error, (await row(id)).error_code, refunded_tokens, result_url], [words, "provider_rejected", 30, null]);
  assert.deepEqual([await ledger(id), await balance()], [[["charge", -30], ["refund", 30]], 1_000]);

  const long = await world.report("", { ...NEW, prompt: "foxes" });
  await becomes(long.id, "failed");
  assert.equal((await row(long.id)).error.length, 5_000);
  assert.equal(await balance(), 1_000);
  await sound();
});

test("a result that can't be taken is failed, and not rendered again", async () => {
  await together();
  answer = () => [200, { url: "file:///fox.mp4" }];
  const { id } = await world.report("", NEW);
  await becomes(id, "failed");
  assert.deepEqual([(await row(id)).error_code, asked.length, await balance()], ["bad_result", 1, 1_000]);
  await sound();
});

test("what takes too long for an invocation is failed before the invocation is ended", async () => {
  await together({}, { MAX_RENDER_SECONDS: 1 });
  hold();
  const { id } = await world.report("", NEW);
  await becomes(id, "failed");
  const { error, error_code } = await row(id);
  assert.deepEqual([error_code, error, await balance()], ["render_timeout", "The rendering took more than 1 seconds", 1_000]);
  await until(() => hungUp.length === 1, "the request to the provider is given up");
  await sound();
});

test("a provider that is down is asked again, by the same attempt and with the same key", async () => {
  await together({ heartbeat_minutes: 0.05 });
  answer = () => (asked.length === 1 ? [503, { error: "busy" }] : [200, { url: URL_OF_FOX }]);
  const { id } = await world.report("", NEW);
  await becomes(id, "draft");
  assert.equal(asked.length, 2);
  assert.deepEqual(asked[0], asked[1]);
  assert.deepEqual([(await row(id)).attempt, await ledger(id), await balance()], [1, [["charge", -30]], 970]);
  // It was away for less than the silence that is allowed.
  await logged(/tried again in 1 s, Error: busy/);
  await sound();
});

test("an answer that got lost is asked for again, and nothing is done twice", async () => {
  await together();
  const release = hold();
  const { id } = await world.report("", NEW);
  await until(() => asked.length === 1, "the provider is asked");
  // The next call of the database is the completion: it is carried out, and the Worker does not learn it.
  await world.order({ failAfter: 1 });
  release(200, { url: URL_OF_FOX });
  await becomes(id, "draft");
  await logged(new RegExp(`creation ${id}: completed`));
  assert.deepEqual([asked.length, await ledger(id)], [1, [["charge", -30]]]);
  await sound();
});

test("the pretended rendering shows its progress, and refuses one word", async () => {
  await together({ heartbeat_minutes: 0.05 }, { PROVIDER_URL: "", PRETEND_SECONDS: 3 });
  const { id } = await world.report("", NEW);
  const progress = await until(async () => (await shown(id)).progress, "progress");
  assert.ok(progress > 0 && progress < 100, `${progress}`);
  await becomes(id, "draft");
  assert.equal((await row(id)).result_url, `https://example.com/${id}.png`);
  const refused = await world.report("", { ...NEW, prompt: "a forbidden fox" });
  await becomes(refused.id, "failed");
  assert.deepEqual([asked.length, await balance()], [0, 970]);
  await sound();
});

/** Until a creation of bo's has gone through: processes find each other a moment after they start, and what is sent before is lost. */
async function connected() {
  const before = answer;
  answer = (question) => (question.prompt === "are you there?" ? [200, { url: "https://cdn.example/yes" }] : before(question));
  await until(async () => {
    const { id } = await world.report("", { user_id: "bo", kind: "image", prompt: "are you there?", tokens: 1 });
    for (let tries = 0; tries < 25 && (await world.status(id)) !== "draft"; tries += 1) await new Promise((done) => setTimeout(done, 40));
    if ((await world.status(id)) === "draft") return true;
    await world.report(`/${id}/fail`, { error_code: "canceled", error: "canceled" });
  }, "the processes find each other");
  asked = asked.filter(({ prompt }) => prompt !== "are you there?");
  answer = before;
}

test("a consumer that is killed in the middle: the sweep puts it back, and another one takes the second attempt", async () => {
  await apart({ attempts: 2 });
  const first = await consume();
  await connected();
  // It never answers.
  hold();
  const { id } = await world.report("", NEW);
  await until(() => asked.length === 1, "the provider is asked");
  assert.equal(await world.status(id), "processing");
  const { worker } = await row(id);

  // In the middle of its invocation. Locally the queue's memory is in the same process: nobody will deliver again.
  await kill(first);
  await until(() => hungUp.length === 1, "its connection is gone");
  assert.equal(await world.status(id), "processing");

  await consume();
  answer = () => [200, { url: URL_OF_FOX }];
  await connected();
  await world.order({ now: NOW + 2 * HOUR });
  assert.equal(await world.cron(), "ok");
  await becomes(id, "draft");
  const draft = await shown(id);
  assert.deepEqual([draft.status, draft.attempt, draft.result_url], ["draft", 2, URL_OF_FOX]);
  assert.deepEqual(asked.map(({ key }) => key.split(".")[0]), ["1", "2"]);
  assert.notEqual((await row(id)).worker, worker);
  assert.deepEqual([await ledger(id), await balance()], [[["charge", -30]], 970]);
  assert.deepEqual((await world.ask(`/api/creations/${id}`)).attempts.map((one) => [one.attempt, one.outcome, one.worker]), [[1, "retried", worker]]);
  assert.deepEqual(await world.all("SELECT * FROM stale_drafts_events"), []);
  await sound();
});

test("with no attempts left it fails and is refunded once; the result that comes late is refused, and kept", async () => {
  await together();
  const release = hold();
  const { id } = await world.report("", NEW);
  await until(() => asked.length === 1, "the provider is asked");
  // The consumer is alive, but for two hours nothing of it got through.
  await world.order({ now: NOW + 2 * HOUR });
  assert.equal(await world.cron(), "ok");
  const failed = await shown(id);
  assert.deepEqual([failed.status, failed.error, failed.refunded_tokens], ["failed", "Generation timeout: Task stuck in processing status for 2.0 hours", 30]);
  assert.equal(await balance(), 1_000);
  await sound();

  release(200, { url: URL_OF_FOX });
  await logged(new RegExp(`creation ${id}: stopped, the attempt of this fence is over \\(attempt_over\\); the result is kept`));
  const { status, result_url, late_result_url } = await row(id);
  assert.deepEqual([status, result_url, late_result_url], ["failed", null, URL_OF_FOX]);
  assert.deepEqual([asked.length, await ledger(id), await balance()], [1, [["charge", -30], ["refund", 30]], 1_000]);
  await sound();
});

test("work that nobody waits for any more is stopped in its middle, and its neighbour goes on", async () => {
  await apart({ kinds: { image: { heartbeat_minutes: 0.05 } } });
  const queue = await (await consume()).getWorker();
  await connected();
  await world.create({ id: "short", kind: "image", prompt: "short", created_at: NOW }, { id: "long", kind: "video", prompt: "long", created_at: NOW });
  const release = hold();
  // In one batch, so in one invocation: it can't be the invocation's end that hangs up.
  const told = queue.queue("generations", ["short", "long"].map((id) => ({ id, body: { type: "creation.created", data: { creation_id: id } }, attempts: 1, timestamp: new Date(NOW) })));
  await until(() => asked.length === 2, "the provider is asked for both");
  // The limit passes between two heartbeats, and the next one is refused. Should one slip in before the sweep, it passes again.
  let now = NOW;
  await until(async () => {
    await world.order({ now: (now += 4_000) });
    await world.cron();
    return (await world.status("short")) === "failed";
  }, "its time is over");
  await until(() => hungUp.length > 0, "the request to the provider is given up");
  assert.deepEqual([hungUp, await world.status("long")], [["short"], "processing"]);
  release(200, { url: URL_OF_FOX });
  assert.deepEqual((await told).explicitAcks.sort(), ["long", "short"]);
  assert.deepEqual([await world.status("long"), await ledger("short"), await balance()], ["draft", [["charge", -10], ["refund", 10]], 990]);
  await sound();
});

test("what the queue is told: whatever is delivered once more is done with, and what can't be reached comes back", async () => {
  await apart();
  const one = await consume();
  await connected();
  const queue = await one.getWorker();
  const deliver = (id, body, attempts = 1) => queue.queue("generations", [{ id, body, attempts, timestamp: new Date(NOW) }]);
  const offer = (creation_id) => ({ type: "creation.created", data: { creation_id } });
  // Not by way of the queue: this one is nobody's yet.
  await world.create({ id: "a", created_at: NOW });

  assert.deepEqual((await deliver("m1", offer("a"))).explicitAcks, ["m1"]);
  assert.equal(await world.status("a"), "draft");
  // The queue delivers at least once: its work is not done twice, whether the message is the same or another one.
  assert.deepEqual((await deliver("m1", offer("a"), 2)).explicitAcks, ["m1"]);
  assert.deepEqual((await deliver("m2", offer("a"))).explicitAcks, ["m2"]);
  assert.deepEqual((await deliver("m3", { type: "nonsense" })).explicitAcks, ["m3"]);
  assert.equal(asked.length, 1);

  const other = await consume({ STALE_DRAFTS_TOKEN: "n0t-The-Token" });
  await world.create({ id: "b", created_at: NOW });
  const refused = await (await other.getWorker()).queue("generations", [{ id: "m4", body: offer("b"), attempts: 1, timestamp: new Date(NOW) }]);
  assert.deepEqual([refused.explicitAcks, refused.retryMessages], [[], [{ msgId: "m4", delaySeconds: 30 }]]);

  await sound();
  await world.stop();
  world = undefined;
  const lost = await deliver("m5", offer("b"));
  assert.deepEqual([lost.explicitAcks, lost.retryMessages], [[], [{ msgId: "m5", delaySeconds: 30 }]]);
});
