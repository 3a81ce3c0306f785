// The outbox: each failure, retry and restore is told at least once, to a queue and by a signed webhook.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { afterEach, beforeEach, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, start } from "./harness.mjs";
import { checkEvent } from "./openapi.mjs";

const SECRET = Buffer.from("n0t-Used-Anywhere-Else-Webhook-5d1e7").toString("base64");
let server;
let requests;
let told;
let answer;
let world;

/** A webhook on this machine, that answers as the test says. */
beforeEach(async () => {
  requests = [];
  told = [];
  answer = 204;
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      told.push(JSON.parse(body));
      // Alerts are told by the same way: they have tests of their own.
      if (!body.includes('"type":"alert.')) requests.push({ headers: request.headers, body });
      response.writeHead(answer, answer === 302 ? { Location: "/elsewhere" } : {}).end();
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
});
afterEach(async () => {
  await world.stop();
  await new Promise((done) => server.close(done));
  told.forEach(checkEvent);
});

const open = async (config = {}, options = {}) => {
  world = await start({
    config: { webhook_url: `http://127.0.0.1:${server.address().port}/hook`, ...config },
    bindings: { WEBHOOK_SECRET: `whsec_${SECRET}` },
    ...options,
  });
  await world.grant("ada", 1_000);
};
const events = () => world.all("SELECT id, state, destinations, deliveries, due_at, last_error FROM stale_drafts_events WHERE creation_id IS NOT NULL ORDER BY id");
const until = async (condition) => {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await condition()) return;
    await new Promise((done) => setTimeout(done, 20));
  }
  assert.fail("it did not happen");
};
const post = async (path, body) => (await world.fetch(path, { method: "POST", body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).json();

test("a failure is told as Standard Webhooks has it, and then is gone from the outbox", async () => {
  await open();
  await world.create({ id: "a", kind: "video", tokens: 30 });
  await world.cron();
  assert.equal(requests.length, 1);
  const [{ headers, body }] = requests;
  const { sweep_id } = await world.one("SELECT sweep_id FROM stale_drafts_creations");
  assert.deepEqual(JSON.parse(body), {
    id: "failed:a:1", type: "creation.failed", created_at: NOW,
    data: {
      creation_id: "a", user_id: "ada", kind: "video", status: "failed", attempt: 1, tokens: 30, refunded_tokens: 30, charged_tokens: 0,
      error: "Generation timeout: Task stuck in pending status for 2.0 hours", error_code: "generation_timeout", sweep_id, result_url: null,
    },
  });
  assert.equal(headers["webhook-id"], "failed:a:1");
  assert.equal(headers["webhook-timestamp"], String(NOW / 1_000));
  const signed = createHmac("sha256", Buffer.from(SECRET, "base64")).update(`failed:a:1.${NOW / 1_000}.${body}`).digest("base64");
  assert.equal(headers["webhook-signature"], `v1,${signed}`);
  assert.deepEqual(await events(), []);
  await world.cron();
  assert.equal(requests.length, 1);
});

test("a signature is right whatever letters an id has", async () => {
  await open();
  const ids = ["狐", "é b", "🦊%41", "a%41 b"];
  await world.create(...ids.map((id) => ({ id })));
  await world.cron();
  assert.deepEqual(requests.map(({ body }) => JSON.parse(body).data.creation_id).sort(), [...ids].sort());
  for (const { headers, body } of requests) {
    const signed = createHmac("sha256", Buffer.from(SECRET, "base64")).update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`).digest("base64");
    assert.equal(headers["webhook-signature"], `v1,${signed}`, headers["webhook-id"]);
    const { creation_id } = JSON.parse(body).data;
    assert.equal(headers["webhook-id"], /^[\x20-\x7e]*$/.test(creation_id) ? `failed:${creation_id}:1` : encodeURI(`failed:${creation_id}:1`));
  }
  assert.deepEqual(await events(), []);
});

test("a failure by a worker, a retry and a restore are told too, at once and without a sweep", async () => {
  await open({ policy: { attempts: 2 } });
  const { id } = await world.report("", { user_id: "ada", kind: "image", prompt: "a secret prompt", tokens: 5 });
  const first = await world.report(`/${id}/start`, { worker: "w" });
  await world.order({ now: NOW + 2 * HOUR });
  await post("/api/generate/cleanup-stale");
  await until(() => requests.length === 1);
  const { fence } = await world.report(`/${id}/start`, { worker: "w" });
  await world.report(`/${id}/complete`, { fence: first.fence, result_url: "https://cdn.example/1" });
  await world.report(`/${id}/fail`, { fence, error_code: "provider_error", error: "502" });
  await until(() => requests.length === 2);
  await post(`/api/creations/${id}/restore`);
  await until(() => requests.length === 3);
  const told = requests.map(({ body }) => JSON.parse(body)).map(({ id, type, data }) => [id, type, data.status, data.attempt, data.refunded_tokens, data.error_code]);
  assert.deepEqual(told, [
    [`retried:${id}:1`, "creation.retried", "pending", 2, 0, null],
    [`failed:${id}:2`, "creation.failed", "failed", 2, 5, "provider_error"],
    [`restored:${id}:2`, "creation.restored", "draft", 2, 0, null],
  ]);
  assert.ok(!requests.some(({ body }) => body.includes("secret prompt")));
  // It is noted once the webhook has answered.
  await until(async () => (await events()).length === 0);
});

test("what is not taken is tried again, ever later, with the same id, and in the end is a dead letter to be replayed", async () => {
  await open({ max_deliveries: 3 });
  answer = 500;
  await world.create({ id: "a" });
  await world.cron();
  const state = async () => (await events()).map(({ state, deliveries, due_at, last_error }) => [state, deliveries, due_at - NOW, last_error]);
  assert.deepEqual(await state(), [["due", 1, 30_000, "webhook: it answered 500"]]);
  // Not before it is due.
  await world.order({ now: NOW + 29_999 });
  await world.cron();
  assert.equal(requests.length, 1);
  await world.order({ now: NOW + 30_000 });
  await world.cron();
  assert.deepEqual(await state(), [["due", 2, 90_000, "webhook: it answered 500"]]);
  // A redirect is not followed: what is signed goes nowhere else.
  answer = 302;
  await world.order({ now: NOW + 90_000 });
  await world.cron();
  assert.deepEqual(await state(), [["dead", 3, 90_000, "webhook: it answered 302"]]);
  await world.order({ now: NOW + HOUR });
  await world.cron();
  assert.equal(requests.length, 3);
  assert.equal(new Set(requests.map(({ headers }) => headers["webhook-id"])).size, 1);

  const list = await world.ask("/api/events");
  assert.deepEqual(list.events, [{ id: "failed:a:1", state: "dead", due_at: NOW + 90_000, deliveries: 3, created_at: NOW, creation_id: "a", last_error: "webhook: it answered 302", destinations: ["webhook"] }]);
  assert.equal((await world.ask("/api/creations/a")).events[0].state, "dead");
  answer = 200;
  assert.deepEqual(await post("/api/events/replay", { ids: ["another"] }), { replayed: 0 });
  assert.deepEqual(await post("/api/events/replay", { ids: "all" }), { error: '`ids` is `"all"`: expected a list', code: "invalid_request" });
  // Nothing is everything by accident.
  const which = { error: "nothing says which dead letters: expected their `ids`, or `\"all\": true` for all of them", code: "invalid_request" };
  for (const nothing of [{}, { ids: null }, { all: false }]) assert.deepEqual(await post("/api/events/replay", nothing), which);
  assert.deepEqual(await post("/api/events/replay", { ids: [], all: true }), { error: "`all` is `true`, for all dead letters: leave out `ids`", code: "invalid_request" });
  assert.deepEqual(await post("/api/events/replay", { ids: ["failed:a:1"] }), { replayed: 1 });
  await until(() => requests.length === 4);
  await until(async () => (await events()).length === 0);
  assert.deepEqual((await world.ask("/api/events")).events, []);
  assert.equal((await world.ask("/api/events?state=all")).error, "`state` is `all`: expected `dead` or `due`");
});

test("a sender that dies between sending and noting it sends again", async () => {
  await open();
  await world.create({ id: "a" });
  await world.order({ failBefore: /settled AS MATERIALIZED/ });
  await world.cron();
  assert.deepEqual((await events()).map(({ state, deliveries }) => [state, deliveries]), [["due", 1]]);
  await world.order({ now: NOW + MINUTE });
  await world.cron();
  assert.deepEqual(requests.map(({ headers }) => headers["webhook-id"]), ["failed:a:1", "failed:a:1"]);
  assert.deepEqual(await events(), []);
});

test("a queue gets each event, and a webhook that fails does not keep it from it", async () => {
  await open({}, { queues: ["EVENTS"] });
  answer = 500;
  await world.create({ id: "a" }, { id: "b" });
  await world.cron();
  await until(async () => (await world.received()).length === 2);
  assert.deepEqual((await events()).map(({ id, destinations }) => [id, destinations]), [["failed:a:1", 2], ["failed:b:1", 2]]);
  answer = 200;
  await world.order({ now: NOW + MINUTE });
  await world.cron();
  assert.deepEqual(await events(), []);
  const received = await world.received();
  assert.deepEqual(received.map(([queue, { id, type }]) => [queue, id, type]).sort(), [["events", "failed:a:1", "creation.failed"], ["events", "failed:b:1", "creation.failed"]]);
});

test("nobody to tell, no event, and nothing more to pay for", async () => {
  world = await start();
  await world.grant("ada", 1_000);
  await world.create({ id: "a" });
  await world.cron();
  assert.deepEqual(await events(), []);
});

test("an event is written in the transaction of what it tells, or neither is", async () => {
  await open();
  await world.create({ id: "a" });
  await world.all("CREATE TRIGGER broken BEFORE INSERT ON stale_drafts_events BEGIN SELECT RAISE(ABORT, 'broken'); END");
  await world.cron();
  assert.equal(await world.status("a"), "pending");
  await world.all("DROP TRIGGER broken");
  // What the database rejected by itself is tried again after an hour.
  await world.order({ now: NOW + HOUR });
  await world.cron();
  assert.deepEqual([await world.status("a"), requests.length], ["failed", 1]);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a webhook without a fit secret sends nothing, and says why", async () => {
  await open({}, { bindings: { WEBHOOK_SECRET: "change-me" } });
  await world.create({ id: "a" });
  await world.cron();
  assert.equal(requests.length, 0);
  assert.match((await events())[0].last_error, /secret `WEBHOOK_SECRET` is a placeholder/);
});
