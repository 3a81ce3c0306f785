// The Worker as a part of an app's own Worker, from the files of the npm package: below a base path, beside the app's routes, with
// the app's names, and by functions instead of requests.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Miniflare } from "miniflare";
import { CLEANUP_TOKEN, HOUR, JWT_SECRET, statements, token } from "./harness.mjs";

const root = join(import.meta.dirname, "../..");
const read = (path) => readFileSync(join(root, path));

/** The app's own Worker: five lines of it are ours. Its environment has a queue `EVENTS` and a database that are the app's. */
const APP = `
import { staleDrafts } from "./index.js";
const drafts = staleDrafts({ binding: "APP_DB", basePath: "/stale-drafts", config: { auth: { cookie: "session" } } });
const twice = staleDrafts({ binding: "APP_DB", basePath: "/twice", config: { page_size: 7 } });
const missing = staleDrafts({ binding: "NOT_THERE", basePath: "/missing" });
const wrong = staleDrafts({ binding: "APP_DB", basePath: "/wrong", config: { page_sise: 7 } });
export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (url.pathname === "/call") {
      const [name, ...args] = await request.json();
      try {
        return Response.json({ value: await drafts[name](env, ...args) });
      } catch (error) {
        return Response.json({ name: error.name, status: error.status, code: error.code, message: error.message, details: error.details });
      }
    }
    for (const mount of [drafts, missing, wrong]) {
      const answer = await mount.fetch(request, env, ctx);
      if (answer !== null) return answer;
    }
    if (url.pathname.startsWith("/twice")) return (await twice.fetch(request, { ...env, STALE_DRAFTS: {} }, ctx).catch((error) => new Response(error.message, { status: 500 })));
    return new Response("the app's own " + url.pathname);
  },
  async scheduled(event, env, ctx) {
    await drafts.scheduled(event, env, ctx);
  },
};
`;

/** A Worker that has the functions of a standalone one by a service binding. */
const CALLER = `
export default {
  async fetch(request, env) {
    const [name, ...args] = await request.json();
    try {
      return Response.json({ value: await env.STALE_DRAFTS[name](...args) });
    } catch (error) {
      return Response.json({ name: error.name, status: error.status, code: error.code, message: error.message });
    }
  },
};
`;

const compatibilityDate = "2026-07-01";
const modules = (name, contents) => [
  { type: "ESModule", path: join(root, `pkg/dist/worker/${name}`), contents },
  { type: "ESModule", path: join(root, "pkg/dist/worker/index.js"), contents: read("pkg/dist/worker/index.js").toString() },
  { type: "CompiledWasm", path: join(root, "pkg/dist/worker/index_bg.wasm"), contents: read("pkg/dist/worker/index_bg.wasm") },
];
const modulesRoot = join(root, "pkg/dist/worker");

let miniflare;
let database;

before(async () => {
  miniflare = new Miniflare({
    cf: false,
    workers: [
      {
        name: "app", modules: modules("app.js", APP), modulesRoot, compatibilityDate,
        d1Databases: { APP_DB: "test" }, queueProducers: { EVENTS: { queueName: "theirs" } }, queueConsumers: { theirs: { maxBatchTimeout: 0 } },
        bindings: { JWT_SECRET, CLEANUP_TOKEN }, serviceBindings: { CALLER: "caller" },
      },
      { name: "alone", modules: modules("index.js", read("pkg/dist/worker/index.js").toString()).slice(1), modulesRoot, compatibilityDate, d1Databases: { DB: "test" }, bindings: { JWT_SECRET } },
      { name: "caller", modules: true, script: CALLER, compatibilityDate, serviceBindings: { STALE_DRAFTS: "alone" } },
    ],
  });
  database = await miniflare.getD1Database("APP_DB");
  for (const name of readdirSync(join(root, "migrations")).sort()) {
    for (const sql of statements(read(`migrations/${name}`).toString())) await database.prepare(sql).run();
  }
});
after(() => miniflare.dispose());

const fetch = (path, init) => miniflare.dispatchFetch(`http://localhost${path}`, { redirect: "manual", ...init });
const call = async (...args) => (await fetch("/call", { method: "POST", body: JSON.stringify(args) })).json();
const done = async (...args) => {
  const { value, ...error } = await call(...args);
  assert.ok(value !== undefined, JSON.stringify(error));
  return value;
};
const cookie = (user) => ({ Cookie: `session=${token({ sub: user, exp: Math.floor(Date.now() / 1000) + 600 })}` });

/** A creation that went stale two hours ago. */
async function stuck(user_id, tokens = 30) {
  const { id } = await done("create", { user_id, kind: "video", prompt: "a fox", tokens });
  await database.prepare("UPDATE stale_drafts_creations SET created_at = ? WHERE id = ?").bind(Date.now() - 2 * HOUR, id).run();
  return id;
}

test("what is not below the base path is the app's", async () => {
  for (const path of ["/", "/drafts", "/stale-draftsman", "/api/drafts"]) assert.equal(await (await fetch(path)).text(), `the app's own ${path}`);
  assert.deepEqual(await (await fetch("/stale-drafts/nothing")).json(), { error: "there is nothing at `/nothing`", code: "not_found" });
});

test("a page below the base path links and loads below it, and so do its cookies and redirects", async () => {
  await done("grant", { user_id: "ada", tokens: 100, idempotency_key: "ada" });
  await stuck("ada");
  const page = await (await fetch("/stale-drafts/drafts", { headers: cookie("ada") })).text();
  assert.match(page, /Failed/);
  const found = [...page.matchAll(/(href|src|action)="([^"]*)"/g)].filter(([, , link]) => link.startsWith("/"));
  assert.ok(found.length >= 2 && found.every(([, , link]) => link.startsWith("/stale-drafts/")), found.join(" "));
  // As its owner follows them: one is a page of the owner's own. Where a button leads, a link does not.
  for (const [, name, link] of found) assert.equal((await fetch(link, { headers: cookie("ada") })).status, name === "action" ? 405 : 200, link);
  const style = await fetch("/stale-drafts/drafts.css");
  assert.equal(style.headers.get("Content-Type"), "text/css; charset=utf-8");
  assert.equal((await fetch("/stale-drafts/drafts.css", { headers: { "If-None-Match": style.headers.get("ETag") } })).status, 304);
  assert.equal((await fetch("/stale-drafts")).headers.get("Location"), "/stale-drafts/drafts");
  const signedIn = await fetch("/stale-drafts/dashboard/sign-in", { method: "POST", headers: { Origin: "http://localhost" }, body: new URLSearchParams({ token: CLEANUP_TOKEN }) });
  assert.equal(signedIn.headers.get("Location"), "/stale-drafts/dashboard");
  assert.match(signedIn.headers.get("Set-Cookie"), /Path=\/stale-drafts\/dashboard;/);
  const dashboard = await fetch("/stale-drafts/dashboard", { headers: { Cookie: signedIn.headers.get("Set-Cookie").split(";")[0] } });
  assert.equal(dashboard.status, 200);
  assert.match(await dashboard.text(), /action="\/stale-drafts\/dashboard\/preview"/);
});

test("an owner's balance and ledger are functions too, and agree", async () => {
  await done("grant", { user_id: "cleo", tokens: 100, idempotency_key: "cleo" });
  await done("create", { user_id: "cleo", kind: "image", prompt: "a fox", tokens: 30 });
  const { balance } = await done("balance", "cleo");
  const { entries, swept } = await done("ledger", "cleo", { limit: 10 });
  assert.deepEqual([balance, swept, entries.map(({ type, tokens }) => [type, tokens])], [70, true, [["charge", -30], ["grant", 100]]]);
});

test("a prompt that looks like a link stays as it is", async () => {
  const prompt = ` href="/evil" src="/evil`;
  await done("create", { user_id: "eve", kind: "image", prompt, tokens: 0 });
  const page = await (await fetch("/stale-drafts/drafts", { headers: cookie("eve") })).text();
  assert.ok(page.includes(" href=&quot;/evil&quot; src=&quot;/evil"), page.slice(page.indexOf("evil") - 30, page.indexOf("evil") + 30));
});

test("functions do what the routes do, with the app as the caller", async () => {
  await done("grant", { user_id: "bo", tokens: 100, idempotency_key: "bo" });
  const { id, status } = await done("create", { user_id: "bo", kind: "image", prompt: "an owl", tokens: 10, idempotency_key: "k1" });
  assert.equal(status, "pending");
  assert.equal((await done("create", { user_id: "bo", kind: "image", prompt: "an owl", tokens: 10, idempotency_key: "k1" })).id, id);
  const { fence } = await done("start", id, { worker: "w1" });
  await done("heartbeat", id, { fence, progress: 40 });
  await done("complete", id, { fence, result_url: "https://files.example/owl.png" });
  await done("publish", "bo", id);
  const { drafts, balance } = await done("list", "bo", { limit: 5 });
  assert.deepEqual([drafts.map(({ status, badge }) => [status, typeof badge]), balance], [[["published", "string"]], 90]);
  await done("remove", "bo", id);
  assert.equal((await done("explain", id)).creation.status, "published");
  const other = await done("create", { user_id: "bo", kind: "image", prompt: "a cat", tokens: 10 });
  const failed = await done("fail", other.id, { error_code: "nsfw", error: "no" });
  assert.equal(failed.refunded_tokens, 10);
  // As the app itself, and on behalf of a user.
  const again = { id: other.id, status: "pending", attempt: 2, charged_tokens: 10 };
  assert.deepEqual(await done("retry", other.id, { attempt: 1 }), again);
  assert.deepEqual(await done("retry", other.id, { attempt: 1, user_id: "bo" }), again);
  assert.equal((await call("cancel", other.id, { user_id: "cy" })).status, 404);
  assert.equal((await done("cancel", other.id, { user_id: "bo" })).refunded_tokens, 10);
  assert.equal((await done("cancel", other.id)).attempt, 2);
  await done("retry", other.id, { attempt: 2 });
  const third = await done("start", other.id, { worker: "w2" });
  const part = await done("complete", other.id, { fence: third.fence, result_url: "https://files.example/cat.png", tokens_used: 4 });
  assert.deepEqual([part.tokens_used, part.refunded_tokens], [4, 6]);
  assert.equal(typeof (await done("doctor")).now, "number");
});

test("what is stale is failed and refunded, and only that", async () => {
  await done("grant", { user_id: "cy", tokens: 50, idempotency_key: "cy" });
  const id = await stuck("cy");
  const preview = await done("markStaleCreationsAsFailed", { user_id: "cy", dry_run: true });
  assert.equal(preview.dry_run, true);
  const swept = await done("markStaleCreationsAsFailed", { user_id: "cy", max_age_hours: 1 });
  assert.deepEqual([swept.success, swept.marked_as_failed], [true, 1]);
  const { drafts, balance } = await done("list", "cy");
  assert.deepEqual([drafts[0].id, drafts[0].status, drafts[0].badge, balance], [id, "failed", "❌ Failed", 50]);
  const { actor } = await database.prepare("SELECT actor FROM stale_drafts_sweeps WHERE failed = 1 AND source = 'endpoint'").first();
  assert.equal(actor, "app");
});

test("the cron trigger sweeps, and a failed sweep rejects", async () => {
  await done("grant", { user_id: "di", tokens: 50, idempotency_key: "di" });
  const id = await stuck("di");
  const app = await miniflare.getWorker("app");
  assert.equal((await app.scheduled({ cron: "* * * * *" })).outcome, "ok");
  assert.equal((await done("explain", id)).creation.status, "failed");
  const health = await done("health");
  assert.equal(health.ready, true, JSON.stringify(health));
  await database.prepare("ALTER TABLE stale_drafts_sweeps RENAME TO hidden").run();
  assert.equal((await app.scheduled({ cron: "* * * * *" })).outcome, "exception");
  assert.equal((await done("health")).ready, false);
  await database.prepare("ALTER TABLE hidden RENAME TO stale_drafts_sweeps").run();
});

test("errors have the API's code, status and message", async () => {
  assert.deepEqual(await call("create", { user_id: "poor", kind: "image", prompt: "x", tokens: 5 }), {
    name: "StaleDraftsError", status: 402, code: "insufficient_tokens", message: "insufficient tokens: the balance does not cover the charge", details: { balance: 0, tokens: 5 },
  });
  const errors = [
    [["list", "bo", { limit: 0 }], 400, "invalid_request", /^`limit` is `0`/],
    [["explain", "not/there ?#%"], 404, "not_found", /`not\/there \?#%`/],
    [["publish", "somebody-else", "none"], 404, "not_found", /no such creation/],
    [["retry", "none", {}], 400, "invalid_request", /^`attempt` is missing/],
    [["markStaleCreationsAsFailed", { max_age_hours: -1 }], 400, "invalid_request", /^`max_age_hours` is `-1`/],
  ];
  for (const [args, status, code, message] of errors) {
    const error = await call(...args);
    assert.deepEqual([error.status, error.code], [status, code], JSON.stringify([args, error]));
    assert.match(error.message, message);
  }
  // A user who is none is not asked about.
  for (const [args, given] of [[["create", { user_id: "", kind: "image", prompt: "x", tokens: 5 }], '""'], [["list", ""], '""'], [["list", 7], "7"], [["list", null], "null"], [["list"], "undefined"]]) {
    const { name, status, message } = await call(...args);
    assert.deepEqual([name, status], ["TypeError", undefined], JSON.stringify(args));
    assert.ok(message.startsWith(`\`user_id\` is \`${given}\`: expected a text that is not empty`), message);
  }
});

test("the app's queue `EVENTS` gets none of ours, and no credential of a request counts as the app's", async () => {
  const sent = await database.prepare("SELECT count(*) AS n FROM stale_drafts_events").first("n");
  assert.equal(sent, 0);
  for (const path of ["/api/creations/x", "/api/doctor", "/api/drafts", "/dashboard"]) assert.equal((await fetch(`/stale-drafts${path}`)).status, 401, path);
});

test("what is wrong with the set-up is said where it is looked for", async () => {
  const missing = await (await fetch("/missing/readyz")).json();
  assert.match(missing.checks.schema, /`NOT_THERE` is not there/);
  const wrong = await (await fetch("/wrong/readyz")).json();
  assert.match(wrong.checks.configuration, /`page_sise` is not a key.*`page_size`|page_sise/);
  assert.match(await (await fetch("/twice/readyz")).text(), /given twice/);
});

test("another Worker calls the same functions by a service binding", async () => {
  const caller = await miniflare.getWorker("caller");
  const ask = async (...args) => (await caller.fetch("http://caller", { method: "POST", body: JSON.stringify(args) })).json();
  const { value } = await ask("create", { user_id: "free", kind: "image", prompt: "x", tokens: 0 });
  assert.equal(value.status, "pending");
  assert.equal((await ask("list", "free")).value.drafts.length, 1);
  const error = await ask("explain", "none");
  assert.deepEqual(error, { name: "StaleDraftsError", status: 404, code: "not_found", message: "there is no creation `none`" });
});
