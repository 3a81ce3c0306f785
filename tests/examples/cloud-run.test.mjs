// examples/cloud-run as its container runs it: the Dockerfile's command with gunicorn, beside the Worker on workerd with a
// real D1 database. The test is what pushes: it delivers again what is not answered with 200 to 299, as Pub/Sub and Cloud
// Tasks do. The Worker's clock stands where the test puts it. What is waited for is a condition, never a time.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { HOUR, NOW, WORKER_TOKEN, start } from "../worker/harness.mjs";
import { freePort, kill, killAll, launch, until } from "./processes.mjs";

const FOLDER = fileURLToPath(new URL("../../examples/cloud-run", import.meta.url));
const PYTHON = process.env.CELERY_PYTHON ?? fileURLToPath(new URL("../../target/examples/celery-venv/bin/python", import.meta.url));
const BIN = dirname(PYTHON);
const DOCKERFILE = readFileSync(join(FOLDER, "Dockerfile"), "utf8");
/** How long a rendering takes, in seconds. */
const RENDER_SECONDS = 4;
/** Cloud Run kills 10 seconds after SIGTERM. The machine of a test may be busy with others. */
const GRACE_MS = 30_000;
const MAX_DELIVERIES = 3;

let world;
let server;

before(async () => {
  world = await start();
  await world.grant("ada", 1_000);
  server = await container();
});
after(async () => {
  await killAll();
  await world?.stop();
});

/** Starts the command of the Dockerfile as Cloud Run would: with a port, as one process that gets the signals, of a user without a home. */
async function container(environment = {}) {
  const [command, ...args] = JSON.parse(DOCKERFILE.match(/^CMD (\[.*\])$/m)[1]);
  const port = await freePort();
  const env = {
    PATH: `${BIN}:${process.env.PATH}`, HOME: "/nonexistent", PORT: String(port), PYTHONUNBUFFERED: "1", PYTHONDONTWRITEBYTECODE: "1",
    STALE_DRAFTS_URL: String(await world.url()), STALE_DRAFTS_TOKEN: WORKER_TOKEN,
    RENDER_SECONDS: String(RENDER_SECONDS), MAX_DELIVERIES: String(MAX_DELIVERIES), ...environment,
  };
  const started = launch("gunicorn", join(BIN, command), args, { cwd: FOLDER, env });
  started.url = `http://127.0.0.1:${port}`;
  await until("it is healthy", async () => (await fetch(`${started.url}/healthz`).catch(() => null))?.status === 200);
  return started;
}

const create = async (prompt, kind = "image", tokens = 10) => (await world.report("", { user_id: "ada", kind, prompt, tokens }, { "Idempotency-Key": prompt })).id;
const row = (id) => world.one("SELECT * FROM stale_drafts_creations WHERE id = ?", id);
const inLedger = async (id) => (await world.all("SELECT type, tokens FROM stale_drafts_ledger WHERE creation_id = ? ORDER BY type", id)).map(({ type, tokens }) => [type, tokens]);
const underWay = (id) => until(`${id} is under way`, async () => {
  const found = await row(id);
  return found.status === "processing" && found.heartbeat_at !== null && found;
});

let messages = 0;
/** A message of Pub/Sub, as its push subscription sends it to `to`. */
const message = (id) => {
  const messageId = String(11_000_000_000 + (messages += 1));
  return (to, deliveryAttempt) => send(to, {}, {
    message: { data: Buffer.from(JSON.stringify({ creation_id: id })).toString("base64"), messageId, message_id: messageId, publishTime: "2026-11-27T12:00:00.123Z", attributes: {} },
    subscription: "projects/seed-app/subscriptions/generations-push", deliveryAttempt,
  });
};
/** A task of Cloud Tasks. */
const task = (id) => {
  const name = String(5_000_000_000 + (messages += 1));
  return (to, delivery) => send(to, { "X-CloudTasks-TaskName": name, "X-CloudTasks-QueueName": "generations", "X-CloudTasks-TaskRetryCount": String(delivery - 1) }, { creation_id: id });
};
/** Gives the status of the answer, and its text; nothing if the connection broke. */
async function send({ url }, headers, body) {
  try {
    const response = await fetch(`${url}/generate`, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: typeof body === "string" ? body : JSON.stringify(body) });
    return { status: response.status, text: await response.text() };
  } catch {
    return null;
  }
}

/** Stops a container as Cloud Run does, and gives its exit code: it is `SIGKILL` if it did not leave in time. */
async function stop(started) {
  kill(started, "SIGTERM", true);
  const late = setTimeout(() => kill(started), GRACE_MS);
  const ended = await started.gone;
  clearTimeout(late);
  return ended;
}

async function sound() {
  assert.doesNotMatch(server.log, /Traceback|\[ERROR\]/);
  assert.deepEqual(await world.wrongBalances(), [], "each balance is the sum of its ledger");
}

test("the Dockerfile is in order, and copies what is there", () => {
  const hadolint = join(BIN, "hadolint");
  assert.equal(execFileSync(hadolint, ["--failure-threshold", "info", join(FOLDER, "Dockerfile")], { encoding: "utf8" }), "");
  for (const [, source] of DOCKERFILE.matchAll(/^COPY (\S+) /gm)) {
    // The wheel is built for each container.
    if (source !== "wheels" && source !== "*.py") assert.ok(existsSync(join(FOLDER, source)), `${source} is not there`);
  }
});

test("a push of Pub/Sub generates, with signs of life; the same one again, or another, generates nothing more", async () => {
  const id = await create("a fox in the snow");
  const push = message(id);
  const answer = push(server, 1);
  const begun = await underWay(id);
  assert.match(begun.worker, /^pubsub:\d+$/, "the worker's name is the message's");
  // Meanwhile a second message asks for the same.
  assert.equal((await message(id)(server, 1)).status, 204);
  assert.deepEqual(await answer, { status: 204, text: "" });
  assert.equal((await push(server, 2)).status, 204);

  const done = await row(id);
  assert.deepEqual([done.status, done.result_url, done.attempt, done.fence], ["draft", `https://results.example/${id}`, 1, begun.fence]);
  assert.deepEqual(await inLedger(id), [["charge", -10]]);
  for (const what of ["renders", "completed"]) assert.equal(server.log.split(`creation ${id}: ${what}, attempt 1`).length - 1, 1, `it ${what} once`);
  await sound();
});

test("a task of Cloud Tasks generates", async () => {
  const id = await create("a fox by the sea", "video", 80);
  assert.equal((await task(id)(server, 1)).status, 204);
  const done = await row(id);
  assert.deepEqual([done.status, done.result_url], ["draft", `https://results.example/${id}`]);
  assert.match(done.worker, /^cloud-tasks:\d+$/);
  assert.deepEqual(await inLedger(id), [["charge", -80]]);
});

test("the provider refuses: the draft fails with its words, and is refunded", async () => {
  const id = await create("a forbidden fox");
  assert.equal((await message(id)(server, 1)).status, 204);
  const failed = await row(id);
  assert.deepEqual([failed.status, failed.error_code, failed.error], ["failed", "provider_rejected", "The prompt was rejected by the content filter"]);
  assert.deepEqual(await inLedger(id), [["charge", -10], ["refund", 10]]);
});

test("what can't be read is refused in words that say what would be right", async () => {
  const unreadable = async (body, headers = {}) => {
    const { status, text } = await send(server, headers, body);
    assert.equal(status, 400, text);
    return JSON.parse(text).error;
  };
  assert.equal(await unreadable("no JSON"), "`no JSON` is no JSON object: expected a push of Pub/Sub or of Cloud Tasks");
  assert.equal(await unreadable({ creation_id: "c1" }), "no `message` with a `messageId`: expected a push of Pub/Sub, or the headers of Cloud Tasks");
  assert.equal(await unreadable({ message: { messageId: "1", data: "%" } }), "`message.data` is not base64");
  assert.equal(await unreadable({ message: { messageId: "1", data: Buffer.from("{}").toString("base64") } }), 'no `creation_id` in `{}`: expected `{"creation_id": "…"}`');
  assert.equal(await unreadable({ creation_id: 7 }, { "X-CloudTasks-TaskName": "7" }), 'no `creation_id` in `{"creation_id":7}`: expected `{"creation_id": "…"}`');
  // What is not there can be read, and there is nothing to do about it.
  assert.equal((await message("nobody-has-this")(server, 1)).status, 204);
  assert.ok(server.log.includes("creation nobody-has-this: "), server.log);
});

test("a wrong token: nothing is generated, and the push waits until it is right", async () => {
  const wrong = await container({ STALE_DRAFTS_TOKEN: "n0t-The-Token" });
  const id = await create("a fox that waits");
  const push = message(id);
  const { status, text } = await push(wrong, 1);
  assert.deepEqual([status, JSON.parse(text)], [503, { error: "Unauthorized (401)" }]);
  assert.equal(await stop(wrong), 0);
  assert.equal((await row(id)).status, "pending");
  assert.equal((await push(server, 2)).status, 204);
  assert.equal((await row(id)).status, "draft");
});

for (const [name, make] of [["Pub/Sub", message], ["Cloud Tasks", task]]) {
  test(`SIGTERM in the middle: the push is handed back to ${name} at once, and its next delivery continues the attempt`, async () => {
    // Its provider answers after 20 seconds: the server does not wait for it.
    const slow = await container({ RENDER_SECONDS: "2000" });
    const id = await create(`a fox that moves house, ${name}`);
    const push = make(id);
    const answer = push(slow, 1);
    const { fence } = await underWay(id);

    const ended = stop(slow);
    assert.deepEqual(await answer, { status: 503, text: '{"error":"the server stops"}\n' });
    assert.equal(await ended, 0, `it left by itself, in time:\n${slow.log}`);
    assert.ok(slow.log.includes(`creation ${id}: handed back, attempt 1`), slow.log);
    assert.doesNotMatch(slow.log, /Traceback|\[ERROR\]/);
    const between = await row(id);
    assert.deepEqual([between.status, between.attempt, between.fence], ["processing", 1, fence], "nothing is lost, and nobody has waited");
    await sound();

    assert.equal((await push(server, 2)).status, 204);
    const done = await row(id);
    assert.deepEqual([done.status, done.attempt, done.fence, done.result_url], ["draft", 1, fence, `https://results.example/${id}`]);
    assert.deepEqual(await inLedger(id), [["charge", -10]], "it was charged once");
    await sound();
  });
}

test("SIGTERM in the middle of the last delivery: the tokens are handed back at once", async () => {
  const id = await create("a fox without another chance");
  const answer = message(id)(server, MAX_DELIVERIES);
  await underWay(id);
  const ended = stop(server);
  assert.equal((await answer).status, 204);
  assert.equal(await ended, 0, server.log);
  const failed = await row(id);
  assert.deepEqual([failed.status, failed.error_code, failed.error], ["failed", "worker_stopped", "The server was stopped before this was ready."]);
  assert.deepEqual(await inLedger(id), [["charge", -10], ["refund", 10]]);
  await sound();
  server = await container();
});

test("SIGKILL in the middle: it times out and is refunded, once; the next delivery learns so before it renders", async () => {
  const id = await create("a fox without luck", "video", 80);
  const push = message(id);
  const answer = push(server, 1);
  await underWay(id);
  kill(server);
  assert.equal(await server.gone, "SIGKILL");
  assert.equal(await answer, null, "nobody answers the push");
  assert.equal((await row(id)).status, "processing");

  await world.order({ now: NOW + 2 * HOUR });
  assert.equal(await world.cron(), "ok");
  const failed = await row(id);
  assert.deepEqual([failed.status, failed.error], ["failed", "Generation timeout: Task stuck in processing status for 2.0 hours"]);
  assert.deepEqual(await inLedger(id), [["charge", -80], ["refund", 80]]);

  server = await container();
  assert.equal((await push(server, 2)).status, 204);
  await world.cron();
  assert.deepEqual(await row(id), failed, "nothing has changed");
  assert.deepEqual(await inLedger(id), [["charge", -80], ["refund", 80]], "it was refunded once");
  assert.ok(server.log.includes(`creation ${id}: stopped: the attempt has ended`), server.log);
  assert.ok(!server.log.includes(`creation ${id}: renders`), "it has paid for nothing");
  await sound();
});
