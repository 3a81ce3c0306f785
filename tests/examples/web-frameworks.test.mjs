// examples/fastapi and examples/django as they stand, by their own servers, beside the Worker on workerd with a real D1
// database. The Worker's clock stands where the test puts it. What is waited for is a condition, never a time.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { HOUR, JWT_SECRET, NOW, WORKER_TOKEN, start, token } from "../worker/harness.mjs";
import { freePort, kill, killAll, launch, until } from "./processes.mjs";

const PYTHON = process.env.CELERY_PYTHON ?? fileURLToPath(new URL("../../target/examples/celery-venv/bin/python", import.meta.url));
/** How long a rendering takes, in seconds. */
const RENDER_SECONDS = 4;
const TIMEOUT = "Generation timeout: Task stuck in processing status for 2.0 hours";

const home = mkdtempSync(join(tmpdir(), "stale-drafts-frameworks-"));
let world;

before(async () => {
  world = await start();
  for (const user of ["ada", "bashir"]) await world.grant(user, user === "ada" ? 1_000 : 15);
});
after(async () => {
  await killAll();
  await world?.stop();
  rmSync(home, { recursive: true, force: true });
});
beforeEach(() => world.order({ now: NOW }));

/** Starts an example's server, on a port of its own. */
async function serve(name, args) {
  const port = String(await freePort());
  const env = {
    PATH: process.env.PATH, HOME: home, PYTHONUNBUFFERED: "1", PYTHONDONTWRITEBYTECODE: "1",
    STALE_DRAFTS_URL: String(await world.url()), STALE_DRAFTS_TOKEN: WORKER_TOKEN, JWT_SECRET, RENDER_SECONDS: String(RENDER_SECONDS),
  };
  const server = launch(name, PYTHON, args(port), { cwd: fileURLToPath(new URL(`../../examples/${name}`, import.meta.url)), env });
  server.url = `http://127.0.0.1:${port}`;
  await until(`${name} serves`, () => fetch(server.url).then(() => true, () => false));
  return server;
}
const fastapi = () => serve("fastapi", (port) => ["-m", "uvicorn", "app:app", "--port", port]);
const django = () => serve("django", (port) => ["manage.py", "runserver", "--noreload", `127.0.0.1:${port}`]);

const created = (prompt) => world.one("SELECT * FROM stale_drafts_creations WHERE prompt = ?", prompt);
const inLedger = async (id) => (await world.all("SELECT type, tokens FROM stale_drafts_ledger WHERE creation_id = ? ORDER BY type", id)).map(({ type, tokens }) => [type, tokens]);
const balance = async (user) => (await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = ?", user)).tokens;
const underWay = (prompt) => until(`"${prompt}" is under way`, async () => {
  const row = await created(prompt);
  return row?.status === "processing" && row.progress > 0 && row;
});
const over = (prompt) => until(`"${prompt}" is over`, async () => {
  const row = await created(prompt);
  return !["pending", "processing"].includes(row.status) && row;
});
async function sound(server) {
  assert.ok(!server.log.includes("Traceback"), server.log);
  assert.deepEqual(await world.wrongBalances(), [], "each balance is the sum of its ledger");
}
/** Kills the server while it generates, and lets two hours pass. */
async function dies(server, prompt) {
  await underWay(prompt);
  kill(server);
  await server.gone;
  await world.order({ now: NOW + 2 * HOUR });
}

test("FastAPI: a draft is asked for, listed, generated in the background, and charged once", async () => {
  let server = await fastapi();
  const ada = { Authorization: `Bearer ${token({ sub: "ada", exp: Math.floor(Date.now() / 1_000) + 600 })}` };
  const ask = async (path, { key, body, headers = ada } = {}) => {
    const response = await fetch(server.url + path, {
      method: body ? "POST" : "GET", headers: { ...headers, ...(key && { "Idempotency-Key": key }), ...(body && { "Content-Type": "application/json" }) }, body: body && JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  };

  // Sent twice with one key, at once: one draft. Of the two runs in the background, one may start.
  const wish = { key: "form-1", body: { kind: "video", prompt: "a fox on a bench" } };
  const answers = await Promise.all([ask("/drafts", wish), ask("/drafts", wish)]);
  assert.deepEqual(answers.map(({ status }) => status), [201, 201]);
  assert.equal(answers[0].body.id, answers[1].body.id);
  const { id } = await underWay("a fox on a bench");
  const listed = await ask("/drafts");
  assert.deepEqual([listed.status, listed.body.balance, listed.body.drafts.map(({ id: one, status }) => [one, status])], [200, 920, [[id, "processing"]]]);
  const done = await over("a fox on a bench");
  assert.deepEqual([done.status, done.attempt, done.result_url], ["draft", 1, `https://results.example/${id}`]);
  assert.deepEqual(await inLedger(id), [["charge", -80]]);
  await until("the other run is refused", () => server.log.includes(`creation ${id}: `));

  // What the user can do something about is said.
  const headers = { Authorization: `Bearer ${token({ sub: "bashir", exp: Math.floor(Date.now() / 1_000) + 600 })}` };
  const dear = await ask("/drafts", { headers, body: { kind: "video", prompt: "too dear" } });
  assert.deepEqual([dear.status, dear.body.balance, dear.body.tokens], [402, 15, 80]);
  assert.equal((await ask("/drafts", { key: "form-1", body: { kind: "image", prompt: "another one" } })).status, 422);
  assert.equal((await ask("/drafts", { headers: { Authorization: "Bearer nobody" } })).status, 401);
  assert.equal((await ask("/drafts", { body: { kind: "opera", prompt: "too long" } })).status, 422);

  await ask("/drafts", { body: { kind: "image", prompt: "a forbidden fox" } });
  const refused = await over("a forbidden fox");
  assert.deepEqual([refused.status, refused.error_code, await inLedger(refused.id)], ["failed", "provider_rejected", [["charge", -10], ["refund", 10]]]);
  await sound(server);

  // The server dies; the next look at the list refunds.
  await ask("/drafts", { body: { kind: "video", prompt: "a fox without luck" } });
  await dies(server, "a fox without luck");
  server = await fastapi();
  const after = await ask("/drafts");
  const unlucky = after.body.drafts.find(({ prompt }) => prompt === "a fox without luck");
  assert.deepEqual([after.body.balance, unlucky.badge, unlucky.error, unlucky.refunded_tokens], [920, "❌ Failed", TIMEOUT, 80]);
  await sound(server);
  kill(server);
  await server.gone;
});

test("Django: a draft is asked for on the page, generated in the background, and charged once", async () => {
  let server = await django();
  const before = await balance("ada");
  const cookies = new Map();
  const ask = async (path, form) => {
    const response = await fetch(server.url + path, {
      method: form ? "POST" : "GET", redirect: "manual", headers: { Cookie: [...cookies].map((pair) => pair.join("=")).join("; "), Origin: server.url }, body: form && new URLSearchParams(form),
    });
    for (const set of response.headers.getSetCookie()) cookies.set(...set.split(";")[0].split(/=(.*)/s));
    const text = await response.text();
    return response.status === 302 ? ask("/") : { status: response.status, text };
  };
  /** A field of the page's forms, as a browser sends it. */
  const field = (html, name) => html.match(new RegExp(`name="${name}" value="([^"]+)"`))[1];
  const card = (html, prompt) => html.split("<li data-id=").find((part) => part.includes(`<p class="prompt">${prompt}</p>`)).replace(/^[^>]*>/, "").split("</li>")[0].replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim();
  const create = async (prompt, kind, times = 1) => {
    const { text } = await ask("/");
    const form = { csrfmiddlewaretoken: field(text, "csrfmiddlewaretoken"), key: field(text, "key"), prompt, kind };
    return (await Promise.all(Array.from({ length: times }, () => ask("/drafts", form))))[0];
  };
  await ask("/sign-in", { csrfmiddlewaretoken: field((await ask("/")).text, "csrfmiddlewaretoken"), user: "ada" });

  // Two clicks make one draft.
  await create("a fox <b>at sea</b>", "video", 2);
  const { id } = await underWay("a fox <b>at sea</b>");
  const page = (await ask("/")).text;
  assert.match(card(page, "a fox &lt;b&gt;at sea&lt;/b&gt;"), /^⚙️ Processing video .* % 80 tokens$/);
  assert.ok(page.includes(`<b id="balance">${before - 80} tokens</b>`), page);
  const done = await over("a fox <b>at sea</b>");
  assert.deepEqual([done.status, done.attempt, done.result_url], ["draft", 1, `https://results.example/${id}`]);
  assert.deepEqual(await inLedger(id), [["charge", -80]]);
  assert.ok((await ask("/")).text.includes(`href="https://results.example/${id}"`));

  // No other site's form is taken, and what is refused is said.
  assert.equal((await ask("/drafts", { prompt: "forged", kind: "image", key: "1" })).status, 403);
  assert.equal(await created("forged"), null);
  await create("a forbidden fox at sea", "image");
  await over("a forbidden fox at sea");
  assert.equal(card((await ask("/")).text, "a forbidden fox at sea"), "❌ Failed image a forbidden fox at sea The prompt was rejected by the content filter 10 tokens refunded");
  await sound(server);

  await create("a fox lost at sea", "video");
  await dies(server, "a fox lost at sea");
  server = await django();
  cookies.clear();
  const signedIn = await ask("/sign-in", { csrfmiddlewaretoken: field((await ask("/")).text, "csrfmiddlewaretoken"), user: "ada" });
  assert.equal(card(signedIn.text, "a fox lost at sea"), `❌ Failed video a fox lost at sea ${TIMEOUT} 80 tokens refunded`);
  assert.equal(await balance("ada"), before - 80);
  await sound(server);

  // Too few tokens: the page says so.
  cookies.clear();
  await ask("/sign-in", { csrfmiddlewaretoken: field((await ask("/")).text, "csrfmiddlewaretoken"), user: "bashir" });
  assert.match((await create("too dear", "video")).text, /role="alert">insufficient tokens: the balance does not cover the charge/);
  kill(server);
  await server.gone;
});
