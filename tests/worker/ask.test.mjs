// Ask before failing: a provider is asked about what a sweep would fail, by an address and by a service binding.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { afterEach, beforeEach, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, NOW, start } from "./harness.mjs";
import { checkQuestion } from "./openapi.mjs";

const SECRET = Buffer.from("n0t-Used-Anywhere-Else-Webhook-77b0e").toString("base64");
const BINDINGS = { WEBHOOK_SECRET: `whsec_${SECRET}` };
let server;
let asked;
let answer;
let world;

beforeEach(async () => {
  asked = [];
  answer = () => ({ creations: [] });
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      asked.push({ headers: request.headers, body });
      checkQuestion(JSON.parse(body));
      const said = answer(JSON.parse(body));
      if (said === "silence") return;
      const [status, text] = Array.isArray(said) ? said : [200, JSON.stringify(said)];
      response.writeHead(status).end(text);
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
});
afterEach(async () => {
  await world.stop();
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

const url = () => `http://127.0.0.1:${server.address().port}/ask`;
const open = async ({ config = {}, ...options } = {}) => {
  world = await start({ config: { ask: { url: url(), seconds: 1 }, ...config }, bindings: BINDINGS, ...options });
  await world.grant("ada", 1_000);
};
const stale = (id, fields = {}) => ({ id, status: "processing", created_at: NOW - 3 * HOUR, started_at: NOW - 2 * HOUR, ...fields });
const statuses = async () => Object.fromEntries((await world.all("SELECT id, status FROM stale_drafts_creations ORDER BY id")).map(({ id, status }) => [id, status]));
const say = (states) => ({ data }) => ({ creations: data.creations.map(({ creation_id, attempt }) => ({ creation_id, attempt, state: states[creation_id] ?? "unknown", result_url: "https://cdn.example/1" })) });

test("a sweep asks, signed as the webhook is; what is done is a draft, what runs lives on, and the rest fails", async () => {
  await open();
  await world.create(stale("done"), stale("running"), stale("lost"), { id: "pending" });
  answer = say({ done: "done", running: "running" });
  await world.cron();
  assert.deepEqual(await statuses(), { done: "draft", lost: "failed", pending: "failed", running: "processing" });
  assert.equal(asked.length, 1);
  const [{ headers, body }] = asked;
  const { sweep_id } = await world.one("SELECT sweep_id FROM stale_drafts_creations WHERE id = 'lost'");
  assert.equal(headers["webhook-id"], `ask:${sweep_id}`);
  const signed = createHmac("sha256", Buffer.from(SECRET, "base64")).update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`).digest("base64");
  assert.equal(headers["webhook-signature"], `v1,${signed}`);
  assert.deepEqual(JSON.parse(body).data.creations.map(({ creation_id }) => creation_id).sort(), ["done", "lost", "running"]);
  const [line] = await world.logged(/"event":"asked"/);
  assert.match(line, /"creations":3/);
  assert.deepEqual(await world.wrongBalances(), []);
  // Its owner sees the result.
  const { drafts } = await (await world.as("ada", "/api/drafts")).json();
  assert.equal(drafts.find(({ id }) => id === "done").result_url, "https://cdn.example/1");
});

test("silence, another status and nonsense change nothing: the sweep fails them as without", async () => {
  await open();
  for (const [n, said] of ["silence", [500, ""], [200, "{"], [204, undefined], [302, ""], { creations: "x" }].entries()) {
    await world.create(stale(`c${n}`));
    answer = () => said;
    assert.equal(await world.cron(), "ok");
    assert.equal((await statuses())[`c${n}`], "failed", JSON.stringify(said));
  }
  assert.equal(asked.length, 6);
  await world.logged(/did not answer within 1000 ms","event":"ask_failed"/);
  await world.logged(/it answered 500: expected 200","event":"ask_failed"/);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a page, the endpoint and the tool ask too; a dry run and a confirmed plan do not", async () => {
  await open();
  answer = say({ a: "running", b: "running" });
  await world.create(stale("a"));
  assert.equal((await (await world.as("ada", "/api/drafts")).json()).drafts[0].status, "processing");
  await world.create(stale("b"));
  assert.equal((await (await world.cleanup()).json()).marked_as_failed, 0);
  assert.equal(asked.length, 2);
  await world.create(stale("c"));
  const plan = await (await world.cleanup("?dry_run=true")).json();
  assert.deepEqual([plan.creations.length, asked.length, await world.status("c")], [1, 2, "processing"]);
  await world.cleanup("", CLEANUP_TOKEN, JSON.stringify(plan));
  assert.deepEqual([asked.length, await world.status("c")], [2, "failed"]);
});

test("a bound Worker answers instead of an address", async () => {
  const script = `export default { async fetch(request) {
    const { data } = await request.json();
    return Response.json({ creations: data.creations.map(({ creation_id, attempt }) => ({ creation_id, attempt, state: "done", result_url: "https://cdn.example/" + request.headers.get("webhook-id").split(":")[0] })) });
  } };`;
  const others = [{ name: "provider", modules: true, script, compatibilityDate: "2026-07-01" }];
  await open({ config: { ask: {} }, others, serviceBindings: { ASK: "provider" } });
  await world.create(stale("a"));
  await world.cron();
  assert.deepEqual(await world.one("SELECT status, result_url FROM stale_drafts_creations"), { status: "draft", result_url: "https://cdn.example/ask" });
});

test("without an address, a binding or the secret it is not ready, and sweeps as without", async () => {
  await open({ config: { ask: {} } });
  await world.create(stale("a"));
  await world.cron();
  assert.equal(await world.status("a"), "failed");
  assert.match((await (await world.fetch("/readyz")).json()).checks.configuration, /`ask` has no `url`, and there is no binding `ASK`: expected one of the two/);
  await world.stop();
  world = await start({ config: { ask: { url: url() } } });
  assert.match((await (await world.fetch("/readyz")).json()).checks.secrets, /^secret `WEBHOOK_SECRET` is not set/);
});

test("where nothing is stale, nobody is asked, and it costs a query", async () => {
  await open();
  await world.create({ id: "a", created_at: NOW });
  await world.cleanup();
  const { cost } = await (await world.cleanup()).json();
  await world.stop();
  world = await start();
  await world.grant("ada", 1_000);
  await world.create({ id: "a", created_at: NOW });
  await world.cleanup();
  const without = (await (await world.cleanup()).json()).cost;
  assert.deepEqual([cost.queries - without.queries, cost.rows_written - without.rows_written, asked.length], [1, 0, 0]);
});
