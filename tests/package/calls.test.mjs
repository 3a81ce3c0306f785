// What an app that embeds the Worker may call: a function for each operation of openapi.json, and each of them against the real Worker.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Miniflare } from "miniflare";
import { NAMES, call } from "../../pkg/src/worker/calls.js";
import { JWT_SECRET, statements } from "../worker/harness.mjs";
import { DOCUMENT, check } from "../worker/openapi.mjs";

const root = join(import.meta.dirname, "../..");
const read = (path) => readFileSync(join(root, path)).toString();

/** The functions that have names of their own: an owner's retry is the app's with a `user_id`. */
const NAMED = { sweep: "markStaleCreationsAsFailed", drafts: "list", ready: "health", retryDraft: "retry", cancelDraft: "cancel", deleteDraft: "remove" };
/** That it is alive whoever calls it knows. */
const LEFT_OUT = ["alive"];

const operations = Object.entries(DOCUMENT.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, { operationId, responses }]) => ({
  id: operationId, method: method.toUpperCase(), path: new RegExp(`^${path.replace(/\{\w+\}/g, "[^/]+")}$`), placeholders: path.split("{").length,
  success: Number(Object.keys(responses).find((status) => status.startsWith("2"))),
})));

/** The operation that a function's request is for. */
async function operationOf(name, args) {
  let asked;
  await call(async (request) => Response.json(asked = { method: request.method, path: new URL(request.url).pathname }), name, args);
  const found = operations.filter(({ method, path }) => method === asked.method && path.test(asked.path)).sort((one, other) => one.placeholders - other.placeholders);
  assert.ok(found.length > 0, `${name}: ${asked.method} ${asked.path} is no operation`);
  return { ...found[0], pathname: asked.path };
}

test("each operation has a function of its name, and each function is an operation", async () => {
  const names = operations.filter(({ id }) => !LEFT_OUT.includes(id)).map(({ id }) => NAMED[id] ?? id);
  assert.deepEqual([...new Set(names)].sort(), NAMES.toSorted());
});

test("each function has its type", () => {
  const [, types] = read("pkg/types/worker.d.ts").match(/interface StaleDraftsService \{(.*?)\n\}/s);
  assert.deepEqual([...types.matchAll(/^ {2}(\w+)\(/gm)].map(([, name]) => name).sort(), NAMES.toSorted());
});

test("a user who is nobody is not everybody: nothing is asked, and the error says what was given", async () => {
  const asked = [];
  const ask = async (request, caller) => (asked.push([request.method, new URL(request.url).pathname, caller]), Response.json({}));
  const wrong = [[undefined, "undefined"], [null, "null"], ["", '""'], [7, "7"], [{ sub: "ada" }, '{"sub":"ada"}'], [Symbol.iterator, "Symbol(Symbol.iterator)"]];
  /** Each function that takes a user: its arguments with this one. */
  const first = { list: [], activeDrafts: [], balance: [], ledger: [], publish: ["a"], remove: ["a"], creations: [] };
  const within = {
    markStaleCreationsAsFailed: (user) => [user], retry: (user) => ["a", { ...user, attempt: 1 }], cancel: (user) => ["a", user], create: (user) => [{ ...user, kind: "image" }],
    grant: (user) => [{ ...user, tokens: 1 }], search: (user) => [user], explain: (user) => ["a", user], restore: (user) => ["a", user], failNow: (user) => ["a", { ...user, attempt: 1 }],
    note: (user) => ["a", user], extend: (user) => ["a", user], previewRetries: (user) => [{ filter: { ...user, error_code: "down" } }],
  };
  const refused = (name, args, message) => assert.rejects(call(ask, name, args), { name: "TypeError", message }, name);
  for (const [user_id, quoted] of wrong) {
    for (const [name, rest] of Object.entries(first)) await refused(name, [user_id, ...rest], `\`user_id\` is \`${quoted}\`: expected a text that is not empty`);
    for (const [name, args] of Object.entries(within)) await refused(name, args({ user_id }), `\`user_id\` is \`${quoted}\`: expected a text that is not empty, or no \`user_id\` where no user is meant`);
  }
  // One who is signed in reads nobody else's by what a page has.
  for (const name of ["list", "ledger", "creations"]) await refused(name, ["ada", { user_id: "bo" }], '`user_id` is `"bo"` in the page: expected the user as the parameter before it');
  assert.deepEqual(asked, []);
  for (const user of [{}, { user_id: "ada" }]) for (const action of ["retry", "cancel"]) await call(ask, action, ["a", { ...user, attempt: 1 }]);
  await call(ask, "cancel", ["a"]);
  const [app, ada] = [["POST", "/api/creations/a", undefined], ["POST", "/api/drafts/a", '{"user_id":"ada"}']];
  assert.deepEqual(asked, [[app, "retry"], [app, "cancel"], [ada, "retry"], [ada, "cancel"], [app, "cancel"]].map(([[method, path, caller], action]) => [method, `${path}/${action}`, caller]));
  // Whatever the types say takes a user is above.
  const types = read("pkg/types/worker.d.ts").match(/interface StaleDraftsService \{(.*?)\n\}/s)[1].split("\n");
  const takes = types.filter((line) => /user_id|Whose|NewCreation|NewGrant|Search\b|NewRetryPreview/.test(line)).flatMap((line) => line.match(/^ {2}(\w+)\(/)?.[1] ?? []);
  assert.deepEqual(takes.sort(), [...Object.keys(first), ...Object.keys(within)].sort());
});

const APP = `
import { staleDrafts } from "./index.js";
const drafts = staleDrafts({ config: { circuit_breaker: "off", shards: [{ binding: "SOUTH", buckets: "0-2047" }, { binding: "NORTH", buckets: "2048-4095" }] } });
export default {
  async fetch(request, env) {
    const [name, ...args] = await request.json();
    try {
      return Response.json({ value: await drafts[name](env, ...args) });
    } catch ({ message, code, status }) {
      return Response.json({ error: { message, code, status } });
    }
  },
};
`;

let miniflare;
before(async () => {
  const file = (name, type) => ({ type, path: join(root, `pkg/dist/worker/${name}`), contents: readFileSync(join(root, `pkg/dist/worker/${name}`)) });
  miniflare = new Miniflare({
    cf: false,
    modules: [{ type: "ESModule", path: join(root, "pkg/dist/worker/app.js"), contents: APP }, file("index.js", "ESModule"), file("index_bg.wasm", "CompiledWasm")],
    modulesRoot: join(root, "pkg/dist/worker"),
    compatibilityDate: "2026-07-01",
    d1Databases: { SOUTH: "south", NORTH: "north" },
    bindings: { JWT_SECRET },
  });
  for (const binding of ["SOUTH", "NORTH"]) {
    const database = await miniflare.getD1Database(binding);
    for (const name of readdirSync(join(root, "migrations")).sort()) for (const sql of statements(read(`migrations/${name}`))) await database.prepare(sql).run();
  }
});
after(() => miniflare.dispose());

test("each does on the real Worker what its operation says, and the audit has the app", async () => {
  const answered = new Set();
  const ask = async (name, ...args) => (await miniflare.dispatchFetch("http://localhost/", { method: "POST", body: JSON.stringify([name, ...args]) })).json();
  /** Calls it, and holds what it gives against the document. */
  const done = async (name, ...args) => {
    const { id, method, pathname, success } = await operationOf(name, args);
    const { value, error } = await ask(name, ...args);
    assert.ok(value !== undefined, `${name}: ${JSON.stringify(error)}`);
    const status = name === "health" && !value.ready ? 503 : success;
    await check(method, pathname, Response.json(value, { status }));
    answered.add(id);
    return value;
  };
  const user_id = "ada";
  assert.equal((await done("grant", { user_id, tokens: 1_000, idempotency_key: "order-1" })).balance, 1_000);
  const make = async (kind) => (await done("create", { user_id, kind, prompt: "a fox", tokens: 10 })).id;

  const fine = await make("image");
  const { fence } = await done("start", fine, { worker: "w1" });
  await done("heartbeat", fine, { fence, progress: 40 });
  assert.deepEqual((await done("activeDrafts", user_id)).drafts.map(({ id, progress }) => [id, progress]), [[fine, 40]]);
  await done("complete", fine, { fence, result_url: "https://files.example/fox.png" });
  assert.equal((await done("publish", user_id, fine)).status, "published");

  // What an operator does, with words for others and for the owner.
  const slow = await make("video");
  assert.equal((await done("note", slow, { text: "the provider is slow", user_id })).actor, "app");
  assert.equal((await done("extend", slow, { minutes: 30, reason: "slow" })).id, slow);
  assert.deepEqual((await done("extendKind", { kind: "video", minutes: 60, reason: "slow" })).kind, "video");
  assert.deepEqual((await done("extensions")).extensions.map(({ kind, actor }) => [kind, actor]), [["video", "app"]]);
  await done("endExtension", { kind: "video" });
  assert.deepEqual((await done("extensions")).extensions.map(({ runs, ended_by }) => [runs, ended_by]), [[false, "app"]]);
  assert.equal((await done("failNow", slow, { attempt: 1, error: "This model is withdrawn." })).refunded_tokens, 10);
  assert.equal((await done("retry", slow, { attempt: 1 })).attempt, 2);
  assert.equal((await done("retry", slow, { attempt: 1, user_id })).attempt, 2);
  assert.equal((await done("cancel", slow)).refunded_tokens, 10);
  assert.equal((await done("cancel", slow, { user_id })).refunded_tokens, 10);

  // A result that came too late.
  const late = await make("video");
  const { fence: first } = await done("start", late, { worker: "w1" });
  await done("failNow", late, { attempt: 1, error: "Sorry.", user_id });
  assert.equal((await ask("complete", late, { fence: first, result_url: "https://files.example/late.mp4" })).error.status, 409);
  assert.equal((await done("restore", late, { user_id })).status, "draft");

  // An outage, and what comes after it.
  const hit = [await make("song"), await make("song")];
  for (const id of hit) await done("fail", id, { error_code: "provider_down", error: "It said 503." });
  assert.deepEqual(new Set((await done("search", { status: "failed", kind: "song", failed_since: "2026-01-05T03:00Z" })).creations.map(({ id }) => id)), new Set(hit));
  const nothing = await ask("previewRetries", { filter: {} });
  assert.deepEqual([nothing.error.status, nothing.error.code], [400, "invalid_request"]);
  const { plan, charged_tokens } = await done("previewRetries", { filter: { error_code: "provider_down" } });
  assert.deepEqual([plan.length, charged_tokens], [2, 20]);
  const outcome = await done("retryMany", { plan, reason: "it is back" });
  assert.deepEqual([outcome.retried.length, outcome.skipped], [2, []]);

  assert.equal((await done("creations", user_id, { limit: 2 })).creations.length, 2);
  assert.equal((await done("list", user_id, { limit: 2 })).drafts.length, 2);
  assert.equal((await done("balance", user_id)).balance, 1_000 - 10 - 10 - 20);
  assert.ok((await done("ledger", user_id)).entries.length > 5);
  const { acts } = await done("explain", slow, { user_id });
  assert.deepEqual([...new Set(acts.map(({ actor }) => actor))], ["app"]);
  assert.equal((await done("remove", user_id, late)).id, late);
  assert.ok((await done("counts", { bands: [30, 60] })).counts);

  assert.equal((await done("markStaleCreationsAsFailed", { user_id })).marked_as_failed, 0);
  const [{ id: sweep }] = (await done("sweeps", { limit: 1 })).sweeps;
  assert.equal((await done("noteSweep", sweep, { text: "after the outage" })).detail, "after the outage");
  assert.deepEqual((await done("events", { state: "dead" })).events, []);
  assert.equal((await done("replay", { all: true })).replayed, 0);
  assert.ok(await done("policy"));
  assert.deepEqual((await done("shards")).shards.map(({ shard }) => shard), ["SOUTH", "NORTH"]);
  await done("doctor");
  await done("health");
  await done("compactLedger", { before: "2026-01", dry_run: true });
  await done("moveBuckets", { source: "SOUTH", target: "NORTH", buckets: "0-0" });
  assert.deepEqual([...answered].sort(), operations.map(({ id }) => id).filter((id) => !LEFT_OUT.includes(id)).sort());
});
