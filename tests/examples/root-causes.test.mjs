// The root causes of stuck drafts, each provoked for real: the processes of examples/celery, a Redis server of the test's own, and the
// Worker on workerd. What `mark-stale-drafts doctor` says of each, and that it is healthy once the cause is gone. The Worker's clock
// stands where the test puts it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { CLEANUP_TOKEN, HOUR, JWT_SECRET, MINUTE, NOW, WORKER_TOKEN, start } from "../worker/harness.mjs";
import { CELERY_FOLDER, PYTHON, end, freePort, kill, launch, redis, startRedis, until } from "./harness.mjs";

const COMMAND = fileURLToPath(new URL("../../target/debug/mark-stale-drafts", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));
const home = mkdtempSync(join(tmpdir(), "stale-drafts-causes-"));
let world;
let redisPort;
let environment;

beforeEach(async () => {
  world = await start();
  await world.grant("ada", 1_000);
  redisPort = await freePort();
  // Nothing else of the machine's environment: a proxy, say, would be asked for addresses of this machine.
  environment = {
    PATH: process.env.PATH, HOME: home, PYTHONUNBUFFERED: "1", PYTHONDONTWRITEBYTECODE: "1", PYTHONPATH: HERE,
    REDIS_URL: `redis://127.0.0.1:${redisPort}/0`, STALE_DRAFTS_URL: String(await world.url()), STALE_DRAFTS_TOKEN: WORKER_TOKEN, JWT_SECRET,
    RENDER_SECONDS: "1", VISIBILITY_TIMEOUT: "12",
  };
});
afterEach(async () => {
  await end();
  assert.deepEqual(await world.wrongBalances(), [], "each balance is the sum of its ledger");
  await world.stop();
});
after(() => rmSync(home, { recursive: true, force: true }));

const python = (name, args, env = {}) => launch(name, PYTHON, args, { cwd: CELERY_FOLDER, env: { ...environment, ...env } });

/** A worker of the fleet, once it is ready: so many processes, and what else its environment has. */
async function startCelery(processes, { app = "tasks", ...env } = {}) {
  const celery = python("celery", ["-m", "celery", "--app", app, "worker", "--pool", "prefork", "--concurrency", String(processes), "--loglevel", "info"], env);
  await until("the Celery worker is ready", () => / ready\.$/m.test(celery.log));
  return celery;
}

/** The page, where ada asks for drafts: gives what it says then. */
async function openPage() {
  const flask = python("flask", ["-m", "flask", "--app", "app", "run", "--port", "0"]);
  const page = await until("Flask serves", () => flask.log.match(/Running on (http:\/\/127\.0\.0\.1:\d+)/)?.[1]);
  let Cookie = "";
  const send = async (path, form) => {
    const response = await fetch(page + path, { method: form ? "POST" : "GET", redirect: "manual", headers: { Cookie }, body: form && new URLSearchParams(form) });
    Cookie = response.headers.getSetCookie().map((set) => set.split(";")[0])[0] ?? Cookie;
    const text = await response.text();
    return response.status === 302 ? send("/") : text;
  };
  await send("/sign-in", { user: "ada" });
  return async (prompt, kind = "image") => send("/drafts", { prompt, kind, key: (await send("/")).match(/name="key" value="([^"]+)"/)[1] });
}

/** What `mark-stale-drafts doctor` says so long after the beginning, once the cron trigger has run. */
async function doctor(millis) {
  await world.order({ now: NOW + millis });
  assert.equal(await world.cron(), "ok");
  const env = { PATH: process.env.PATH, HOME: home, MARK_STALE_DRAFTS_URL: `http://localhost:${(await world.url()).port}`, MARK_STALE_DRAFTS_TOKEN: CLEANUP_TOKEN };
  return new Promise((done) => {
    execFile(COMMAND, ["doctor"], { env }, (error, out) => done({ code: error?.code ?? 0, said: out.trimEnd().split("\n").map((line) => line.trim()) }));
  });
}
const HEALTHY = { code: 0, said: ["● healthy: workers start, creations show signs of life, cron sweeps"] };

/** The creations by their status, as in `{ draft: 3 }`. */
async function statuses() {
  const rows = await world.all("SELECT status, count(*) AS n FROM stale_drafts_creations GROUP BY status ORDER BY status");
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
}
const reached = (count, status) => until(`${count} are ${status}`, async () => (await statuses())[status] === count);
const balance = async () => (await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'ada'")).tokens;

test("Celery is not running: what waits is counted, and once a worker is started it is generated", async () => {
  await startRedis(redisPort, home);
  const create = await openPage();
  for (const prompt of ["a fox", "a hare", "a stork"]) await create(prompt);
  assert.equal(await redis(redisPort, "LLEN celery"), ":3", "the tasks are in the queue");
  assert.deepEqual(await doctor(10 * MINUTE), HEALTHY, "a worker may be busy so long");
  const { code, said } = await doctor(11 * MINUTE);
  assert.deepEqual([code, said], [7, [
    "● no worker is running, or none reaches the queue (no_worker_running)",
    "3 creations wait, the longest for 11 minutes; nothing has ever started",
    "→ start the workers; if they run, check that the queue's broker does, and that they reach it",
  ]]);

  await startCelery(2);
  await reached(3, "draft");
  assert.deepEqual(await doctor(12 * MINUTE), HEALTHY);
});

test("Redis is not running: the app can queue nothing, says so to its owner, and refunds it at once", async () => {
  const create = await openPage();
  for (let n = 1; n <= 5; n += 1) assert.match(await create(`fox ${n}`), /The queue can(&#39;|')t be reached/);
  assert.deepEqual([await statuses(), await balance()], [{ failed: 5 }, 1_000]);
  assert.deepEqual(await doctor(MINUTE), { code: 7, said: [
    "● many creations fail (many_failed)",
    "5 of 5 that ended within the last hour failed, among the newest creations, 5 of them with `not_queued`",
    "→ see by which errors, and check the workers and the provider; once that is mended, preview a retry of them",
    "● the app can't reach its queue: `not_queued` (one_error_dominates)",
    "5 of 5 failures of the last hour, among the newest creations, have this code",
    "→ start the queue's broker, such as Redis, and check that the app reaches it",
  ] });

  await startRedis(redisPort, home);
  await startCelery(1);
  await create("a fox at last");
  await reached(1, "draft");
  // The failures of an hour ago are no news.
  assert.deepEqual(await doctor(HOUR + MINUTE), HEALTHY);
});

test("Redis stops while tasks wait: the worker finishes what it has, and nothing starts any more", async () => {
  const server = await startRedis(redisPort, home);
  const create = await openPage();
  await startCelery(1, { RENDER_SECONDS: "3" });
  await create("a fox");
  await reached(1, "processing");
  for (const prompt of ["a hare", "a stork"]) await create(prompt);
  kill(server);
  await reached(1, "draft");
  const { code, said } = await doctor(11 * MINUTE);
  assert.deepEqual([code, said.slice(0, 2)], [7, [
    "● no worker is running, or none reaches the queue (no_worker_running)",
    "2 creations wait, the longest for 11 minutes; nothing has started for 11 minutes",
  ]]);
  // Redis kept nothing, so their tasks are gone: they fail at their limit.
  assert.equal(await balance(), 970);
  await doctor(HOUR + MINUTE);
  assert.deepEqual([await statuses(), await balance()], [{ draft: 1, failed: 2 }, 990]);
});

test("a worker dies without a word in the middle of two drafts: its last sign of life is known, and both are refunded at their limit", async () => {
  await startRedis(redisPort, home);
  const create = await openPage();
  const celery = await startCelery(2, { RENDER_SECONDS: "60" });
  for (const prompt of ["a fox", "a hare"]) await create(prompt, "video");
  await until("both show signs of life", async () => (await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE progress > 0")).n === 2);
  kill(celery);
  await celery.gone;
  assert.deepEqual(await doctor(5 * MINUTE), HEALTHY, "it may be busy so long");
  const { code, said } = await doctor(6 * MINUTE);
  assert.deepEqual([code, said], [7, [
    "● a worker died 6 minutes ago (worker_died)",
    "the last heartbeats of all 2 creations in progress that had any came within 0 seconds of one another; none since",
    "→ restart the worker and look at its last log lines; the creations are failed and refunded at their limit",
  ]]);
  assert.equal(await balance(), 840);
  await doctor(HOUR);
  assert.deepEqual(await statuses(), { processing: 2 }, "exactly at the limit it is not stale");
  assert.deepEqual(await doctor(HOUR + 1), HEALTHY, "nothing waits");
  assert.deepEqual([await statuses(), await balance()], [{ failed: 2 }, 1_000]);
});

test("Redis gives tasks away that are still in progress: both runs go on with one attempt, and its timeout is named", async () => {
  await startRedis(redisPort, home);
  const create = await openPage();
  // Celery looks every ten seconds for tasks to give away.
  const celery = await startCelery(4, { RENDER_SECONDS: "24", VISIBILITY_TIMEOUT: "3" });
  for (const prompt of ["a fox", "a hare"]) await create(prompt, "video");
  await reached(2, "processing");
  // An hour goes by, as far as the Worker can tell, and the workers live.
  await world.order({ now: NOW + HOUR });
  const starts = async () => (await world.one("SELECT count(*) AS n FROM stale_drafts_repeated_starts")).n;
  await until("both show signs of life", async () => (await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE heartbeat_at = ?", NOW + HOUR)).n === 2);
  await until("both are started once more", async () => (await starts()) === 2);
  const { code, said } = await doctor(HOUR);
  assert.equal(code, 0);
  assert.match(said[1], /^2 attempts were started twice within a day, 1\.0 hours apart; the last was that of `[\w-]{36}`$/);
  assert.deepEqual([said[0], said[2]], [
    "● the broker delivers tasks again that are still in progress (tasks_redelivered)",
    "→ set the broker's `visibility_timeout` above the longest that a task takes, with its retries",
  ]);

  await reached(2, "draft");
  const succeeded = () => celery.log.match(/Task tasks\.generate\[[\w-]+\] succeeded/g)?.length;
  await until("each has run twice", () => succeeded() >= 4);
  assert.equal(await balance(), 840);
});

test("the provider refuses the key: each draft fails with its code, and the key is named", async () => {
  const provider = createServer(({ headers }, response) => {
    const valid = headers.authorization === "Bearer the-new-key";
    response.writeHead(valid ? 200 : 401, { "Content-Type": "application/json" }).end(JSON.stringify(valid ? {} : { error: "API key invalid" }));
  });
  await new Promise((done) => provider.listen(0, "127.0.0.1", done));
  try {
    await startRedis(redisPort, home);
    const create = await openPage();
    const keyed = (key) => startCelery(2, { app: "keyed_fleet", PROVIDER_URL: `http://127.0.0.1:${provider.address().port}`, PROVIDER_API_KEY: key });
    const celery = await keyed("the-old-key");
    for (let n = 1; n <= 5; n += 1) await create(`fox ${n}`);
    await reached(5, "failed");
    assert.equal(await balance(), 1_000);
    assert.deepEqual(await doctor(MINUTE), { code: 7, said: [
      "● many creations fail (many_failed)",
      "5 of 5 that ended within the last hour failed, among the newest creations, 5 of them with `api_key_invalid`",
      "→ see by which errors, and check the workers and the provider; once that is mended, preview a retry of them",
      "● the provider or its key has a problem: `api_key_invalid` (one_error_dominates)",
      "5 of 5 failures of the last hour, among the newest creations, have this code",
      "→ check the provider's status, the key and its quota",
    ] });
    const firing = await world.all("SELECT code FROM stale_drafts_alerts WHERE resolved_at IS NULL ORDER BY code");
    assert.deepEqual(firing.map(({ code }) => code), ["many_failed", "one_error_dominates"], "alerts fire too");

    kill(celery);
    await keyed("the-new-key");
    await create("a fox at last");
    await reached(1, "draft");
    assert.deepEqual(await doctor(HOUR + MINUTE), HEALTHY);
  } finally {
    provider.close();
  }
});
