// examples/celery as it stands: its Flask page, its Celery worker with a pool of processes, a Redis server of the test's
// own, and the Worker on workerd with a real D1 database. The Worker's clock stands where the test puts it; all else
// goes by the real one. What is waited for is a condition, never a time.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { HOUR, JWT_SECRET, NOW, WORKER_TOKEN, start } from "../worker/harness.mjs";
import { CELERY_FOLDER, PYTHON, end, freePort, kill, launch, processes, redis, startRedis, until } from "./harness.mjs";

// How long a rendering takes, and when Redis gives a task whose worker is gone to another one, in seconds. The second is
// well above the first, so that no task that is still running is given away.
const RENDER_SECONDS = 6;
const VISIBILITY_TIMEOUT = 12;

const home = mkdtempSync(join(tmpdir(), "stale-drafts-celery-"));
let world;
let redisPort;
let environment;
let page;
let celery;

before(async () => {
  world = await start();
  await world.grant("ada", 1_000);
  await world.grant("bashir", 15);
  await new Promise((done) => network.listen(0, "127.0.0.1", done));

  redisPort = await freePort();
  await startRedis(redisPort, home);

  // Nothing else of the machine's environment: a proxy, say, would be asked for addresses of this machine.
  environment = {
    PATH: process.env.PATH, HOME: home, PYTHONUNBUFFERED: "1", PYTHONDONTWRITEBYTECODE: "1",
    REDIS_URL: `redis://127.0.0.1:${redisPort}/0`, STALE_DRAFTS_URL: `http://127.0.0.1:${network.address().port}`, STALE_DRAFTS_TOKEN: WORKER_TOKEN, JWT_SECRET,
    RENDER_SECONDS: String(RENDER_SECONDS), VISIBILITY_TIMEOUT: String(VISIBILITY_TIMEOUT),
  };
  celery = startCelery();
  // Flask says which port it was given.
  const flask = run("flask", ["-m", "flask", "--app", "app", "run", "--port", "0"]);
  page = await until("Flask serves", () => flask.log.match(/Running on (http:\/\/127\.0\.0\.1:\d+)/)?.[1]);
  await until("the Celery worker is ready", () => / ready\.$/m.test(celery.log));
});
after(async () => {
  await end();
  network.close();
  network.closeAllConnections();
  await world?.stop();
  rmSync(home, { recursive: true, force: true });
});

beforeEach(async () => {
  [broken, lost] = [() => false, () => false];
  await world.order({ now: NOW });
});

/** Which requests don't reach the Worker, and of which the answer does not come back. */
let broken = () => false;
let lost = () => false;
/** Stands between the example and the Worker. */
const network = createHttpServer(async (request, response) => {
  const { method, url, headers: { authorization, "content-type": type, "idempotency-key": key } } = request;
  const body = [];
  for await (const part of request) body.push(part);
  if (broken(url)) return request.socket.destroy();
  const headers = Object.entries({ authorization, "content-type": type, "idempotency-key": key }).filter(([, value]) => value);
  const answer = await fetch(new URL(url, await world.url()), { method, headers, body: method === "POST" ? Buffer.concat(body) : undefined });
  const text = await answer.text();
  if (lost(url)) return request.socket.destroy();
  response.writeHead(answer.status, { "Content-Type": answer.headers.get("Content-Type") }).end(text);
});

const run = (name, args) => launch(name, PYTHON, args, { cwd: CELERY_FOLDER, env: environment });
const startCelery = () => run("celery", ["-m", "celery", "--app", "tasks", "worker", "--pool", "prefork", "--concurrency", "1", "--loglevel", "info"]);

/** How many tasks Redis has handed out that nobody has acknowledged. */
const unacknowledged = async () => Number((await redis(redisPort, "ZCARD unacked_index")).slice(1));

/** A browser of the page: it keeps the cookie, and sends the form with the key that the page gave it. */
async function browse(user) {
  let cookie = "";
  const ask = async (path, form) => {
    const response = await fetch(page + path, { method: form ? "POST" : "GET", redirect: "manual", headers: { Cookie: cookie }, body: form && new URLSearchParams(form) });
    cookie = response.headers.getSetCookie().map((set) => set.split(";")[0])[0] ?? cookie;
    const text = await response.text();
    return response.status === 302 ? ask("/") : text;
  };
  await ask("/sign-in", { user });
  const browser = {
    html: () => ask("/"),
    /** Sends the form; as often as that with one key. */
    async create(prompt, kind, times = 1) {
      const key = (await browser.html()).match(/name="key" value="([^"]+)"/)[1];
      const answers = await Promise.all(Array.from({ length: times }, () => ask("/drafts", { prompt, kind, key })));
      return answers[0];
    },
    /** The first card whose prompt this is, as the words that stand on it. */
    async card(prompt) {
      const html = await browser.html();
      const found = html.split("<li data-id=").find((part) => part.includes(`<p class="prompt">${prompt}</p>`));
      return text((found ?? assert.fail(`no draft says ${prompt}:\n${html}`)).split("</li>")[0].replace(/^[^>]*>/, ""));
    },
    balance: async () => Number((await browser.html()).match(/id="balance">(\d+) tokens/)?.[1]),
  };
  return browser;
}
const text = (html) => html.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim();

const created = (prompt) => world.one("SELECT * FROM stale_drafts_creations WHERE prompt = ?", prompt);
const inLedger = async (id) => (await world.all("SELECT type, tokens FROM stale_drafts_ledger WHERE creation_id = ? ORDER BY type", id)).map(({ type, tokens }) => [type, tokens]);
/** It is being generated, and its worker has said how far it is. */
const underWay = (prompt) => until(`"${prompt}" is under way`, async () => {
  const row = await created(prompt);
  return row?.status === "processing" && row.progress > 0 && row;
});
/** Nothing is left to be done, no task has crashed, and the money is right. */
async function sound() {
  await until("every task is acknowledged", async () => (await unacknowledged()) === 0);
  for (const { name, log } of processes) assert.ok(!log.includes("Traceback"), `${name} has crashed:\n${log}`);
  assert.deepEqual(await world.wrongBalances(), [], "each balance is the sum of its ledger");
}

test("a draft is asked for on the page, generated with signs of life, and charged once", async () => {
  const ada = await browse("ada");
  const prompt = "a fox <b>& friends</b>";
  const onPage = "a fox &lt;b&gt;&amp; friends&lt;/b&gt;";
  // Two clicks on the button: the form's key makes one draft of them. Of the two tasks, one may start.
  await ada.create(prompt, "video", 2);
  assert.match(await ada.card(onPage), /^(⏳ Pending|⚙️ Processing) video .* 80 tokens$/);
  assert.equal(await ada.balance(), 920);

  // The policy sets no end to a task, and Redis' patience is shorter than that.
  await until("it warns of a second delivery", () => celery.log.includes(`Redis delivers a task a second time after ${VISIBILITY_TIMEOUT} s without an acknowledgement`));

  const { id, worker, attempt, heartbeat_at } = await underWay(prompt);
  assert.match(worker, /^[0-9a-f-]{36}$/, "the worker's name is the id of the Celery task");
  assert.ok(celery.log.includes(`Task tasks.generate[${worker}] received`), "… of one that Celery has received");
  assert.deepEqual([attempt, heartbeat_at], [1, NOW]);
  assert.match(await ada.card(onPage), /^⚙️ Processing video .* \d+ % 80 tokens$/);
  // The clock goes on, and its heartbeats with it.
  await world.order({ now: NOW + 5_000 });
  await until("another heartbeat comes", async () => (await created(prompt)).heartbeat_at === NOW + 5_000);

  const done = await until("it is complete", async () => {
    const row = await created(prompt);
    return row.status !== "processing" && row;
  });
  assert.deepEqual([done.status, done.result_url, done.late_at], ["draft", `https://results.example/${id}`, null], done.error);
  assert.match(await ada.card(onPage), /^📝 Draft video .* Open the result 80 tokens$/);
  assert.ok((await ada.html()).includes(`href="https://results.example/${id}"`));
  assert.deepEqual([await ada.balance(), await inLedger(id)], [920, [["charge", -80]]]);

  // The second task is told so, and stops without a fuss.
  await until("the other task is told to stop", () => celery.log.includes(`creation ${id}: not begun: `));
  assert.equal((await world.all("SELECT id FROM stale_drafts_creations")).length, 1);
  await sound();
});

test("answers are lost and the network breaks: all is repeated, and nothing happens twice", async () => {
  const ada = await browse("ada");
  const before = await ada.balance();
  // Each report takes effect, and its first answer does not arrive.
  const asked = [];
  lost = (url) => url.startsWith("/api/creations") && asked.push(url) && asked.filter((other) => other === url).length === 1;
  await ada.create("a fox in a tunnel", "image");
  const { id, fence } = await underWay("a fox in a tunnel");
  // Then nothing arrives any more, until its result has been lost too.
  const inVain = [];
  broken = (url) => inVain.push(url);
  await until("a heartbeat and a result are lost", () => ["heartbeat", "complete"].every((verb) => inVain.includes(`/api/creations/${id}/${verb}`)));
  broken = () => false;

  await until("it is complete", async () => (await created("a fox in a tunnel")).status === "draft");
  await until("the task is done", () => new RegExp(`Task tasks\\.generate\\[.*\\] succeeded .*${id}`).test(celery.log));
  const times = (verb) => asked.filter((url) => url === `/api/creations${verb}`).length;
  assert.deepEqual([times(""), times(`/${id}/start`), times(`/${id}/complete`)], [2, 2, 2], "each is repeated until there is an answer");
  const made = await world.all("SELECT id, attempt, fence FROM stale_drafts_creations WHERE prompt = 'a fox in a tunnel'");
  assert.deepEqual(made, [{ id, attempt: 1, fence }]);
  assert.deepEqual([await ada.balance(), await inLedger(id)], [before - 10, [["charge", -10]]]);
  await sound();
});

test("the provider refuses: the draft fails with its words, and is refunded", async () => {
  const ada = await browse("ada");
  const before = await ada.balance();
  await ada.create("a forbidden fox", "image");
  const card = await until("it has failed", async () => {
    const found = await ada.card("a forbidden fox");
    return found.startsWith("❌ Failed") && found;
  });
  assert.equal(card, "❌ Failed image a forbidden fox The prompt was rejected by the content filter 10 tokens refunded");
  const { id, error_code } = await created("a forbidden fox");
  assert.equal(error_code, "provider_rejected");
  assert.deepEqual([await ada.balance(), await inLedger(id)], [before, [["charge", -10], ["refund", 10]]]);
  await until("Celery has it as failed", () => celery.log.includes("GenerationError: provider_rejected"));
  await until("every task is acknowledged", async () => (await unacknowledged()) === 0);
});

test("too few tokens: the page says so, and nothing is created", async () => {
  const bashir = await browse("bashir");
  assert.match(await bashir.create("too dear", "video"), /role="alert">insufficient tokens: the balance does not cover the charge/);
  assert.deepEqual([await bashir.balance(), await created("too dear")], [15, null]);
});

test("a process of the pool is killed: its task runs again at once, and goes on with the same attempt", async () => {
  const ada = await browse("ada");
  const before = await ada.balance();
  await ada.create("a fox that is in luck", "image");
  const { id, worker, fence } = await underWay("a fox that is in luck");
  const children = execFileSync("ps", ["-A", "-o", "pid=,ppid="]).toString().split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  const pool = children.filter(([, parent]) => parent === celery.child.pid).map(([pid]) => pid);
  assert.equal(pool.length, 1, "the pool is of one process");
  process.kill(pool[0], "SIGKILL");

  const done = await until("it is complete", async () => {
    const row = await created("a fox that is in luck");
    return row.status !== "processing" && row;
  });
  assert.deepEqual([done.status, done.attempt, done.worker, done.fence, done.result_url], ["draft", 1, worker, fence, `https://results.example/${id}`], done.error);
  assert.equal(celery.log.split(`Task tasks.generate[${worker}] received`).length - 1, 2, "the task was given out a second time");
  assert.deepEqual([await ada.balance(), await inLedger(id)], [before - 10, [["charge", -10]]]);
  await until("every task is acknowledged", async () => (await unacknowledged()) === 0);
});

test("a whole worker is killed: its draft fails and is refunded; its result comes too late, is refused, and kept", async () => {
  const ada = await browse("ada");
  const before = await ada.balance();
  await ada.create("a fox without luck", "video");
  const { id, worker } = await underWay("a fox without luck");
  assert.equal(await ada.balance(), before - 80);
  kill(celery);
  await celery.gone;
  assert.equal(await unacknowledged(), 1, "Redis has nobody's word that the task is done");

  // Within the limit it is still being generated, as far as anybody can tell.
  await world.order({ now: NOW + HOUR });
  assert.match(await ada.card("a fox without luck"), /^⚙️ Processing/);

  // Past the limit, opening the list fails it and gives the tokens back.
  await world.order({ now: NOW + 2 * HOUR });
  const ERROR = "Generation timeout: Task stuck in processing status for 2.0 hours";
  assert.equal(await ada.card("a fox without luck"), `❌ Failed video a fox without luck ${ERROR} 80 tokens refunded`);
  const own = text(await (await world.as("ada", "/drafts")).text());
  assert.ok(own.includes(`a fox without luck ${ERROR} 80 tokens refunded`), own);
  assert.deepEqual([await ada.balance(), await inLedger(id)], [before, [["charge", -80], ["refund", 80]]]);

  // The worker is started again. Redis gives it the task; it finds that its rendering went on without it, and hands in
  // the result, which is too late.
  celery = startCelery();
  const late = await until("the late result is handed in", async () => {
    const row = await created("a fox without luck");
    return row.late_at !== null && row;
  });
  assert.ok(celery.log.includes(`Task tasks.generate[${worker}] received`), "it was the same task");
  assert.deepEqual([late.status, late.error, late.result_url], ["failed", ERROR, null], "nothing has changed but what is kept");
  assert.deepEqual([late.late_at, late.late_result_url], [NOW + 2 * HOUR, `https://results.example/${id}`]);
  await until("the task was told so", () => celery.log.includes(`creation ${id}: the result was refused, it is kept: the attempt of this fence is over (409)`));

  const NOTE = "Its result came in after the refund. It is kept: ask support if you want it, for the tokens that went back.";
  assert.equal(await ada.card("a fox without luck"), `❌ Failed video a fox without luck ${ERROR} ${NOTE} 80 tokens refunded`);
  assert.ok(text(await (await world.as("ada", "/drafts")).text()).includes(`${ERROR} ${NOTE} 80 tokens refunded`));
  assert.deepEqual([await ada.balance(), await inLedger(id)], [before, [["charge", -80], ["refund", 80]]]);
  await until("every task is acknowledged", async () => (await unacknowledged()) === 0);
  assert.ok(!celery.log.includes("Traceback"), celery.log);
  assert.deepEqual(await world.wrongBalances(), [], "each balance is the sum of its ledger");
});
