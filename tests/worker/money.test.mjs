// What is used up and what goes back, over HTTP: partial results, retries by hand and cancellations, by each who may.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, NOW, WORKER_TOKEN, start, token } from "./harness.mjs";

let world;
const begin = async (options = {}) => {
  world = await start({ config: { auth: { cookie: "session" }, policy: { kinds: { video: { cancel: "keep" }, film: { cancel: "never" } } } }, ...options });
  await world.grant("ada", 1_000);
};
beforeEach(() => begin());
afterEach(async () => {
  assert.deepEqual(await world.wrongBalances(), []);
  await world.stop();
});

const URL = "https://cdn.example/fox.mp4";
const balance = async () => (await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'ada'")).tokens;
const ledger = async (id) => (await world.all("SELECT entry_key, tokens FROM stale_drafts_ledger WHERE creation_id = ? ORDER BY type, created_at, length(entry_key)", id)).map(({ entry_key, tokens }) => [entry_key.split(":")[0], tokens]);
const post = async (path, body, headers) => {
  const response = await world.fetch(path, { method: "POST", body: JSON.stringify(body), headers });
  return { http: response.status, ...(await response.json()) };
};
const operator = (id, what, body = {}, credential = CLEANUP_TOKEN) => post(`/api/creations/${id}/${what}`, body, { Authorization: `Bearer ${credential}` });
const owner = (id, what, body = {}, user = "ada") => post(`/api/drafts/${id}/${what}`, body, { Authorization: `Bearer ${token({ sub: user, exp: NOW / 1_000 + 24 * 3_600 })}` });
const waiting = async (kind = "image") => (await world.report("", { user_id: "ada", kind, prompt: "a fox", tokens: 30 })).id;
const begun = async (kind) => {
  const id = await waiting(kind);
  return { id, fence: (await world.report(`/${id}/start`, { worker: "w1" })).fence };
};
const failed = async (kind) => {
  const { id, fence } = await begun(kind);
  await world.report(`/${id}/fail`, { fence, error_code: "provider", error: "502" });
  return { id, fence };
};

test("a result that used less gives the rest back, once", async () => {
  const { id, fence } = await begun();
  const more = await world.report(`/${id}/complete`, { fence, result_url: URL, tokens_used: 31 });
  assert.deepEqual([more.http, more.code, more.error, more.status], [409, "more_than_charged", "`tokens_used` is `31`: expected at most 30, which were charged", "processing"]);
  for (const wrong of [-1, 1.5, "7", 9_007_199_254_740_992]) assert.equal((await world.report(`/${id}/complete`, { fence, result_url: URL, tokens_used: wrong })).http, 400, `${wrong}`);
  for (let at = 0; at < 2; at += 1) {
    const done = await world.report(`/${id}/complete`, { fence, result_url: URL, tokens_used: 22 });
    assert.deepEqual(done, { http: 200, id, status: "draft", attempt: 1, finished_at: NOW, tokens_used: 22, refunded_tokens: 8 });
    assert.equal(await balance(), 978);
  }
  assert.equal((await world.report(`/${id}/complete`, { fence, result_url: URL })).code, "illegal_transition");
  const [draft] = (await (await world.as("ada", "/api/drafts")).json()).drafts;
  assert.deepEqual([draft.status, draft.tokens, draft.refunded_tokens, draft.can_retry, draft.can_cancel], ["draft", 30, 8, false, false]);
  assert.deepEqual(await ledger(id), [["charge", -30], ["refund", 8]]);
});

test("a failure that used something gives the rest back, once, and a restore takes that again", async () => {
  const { id, fence } = await begun();
  for (let at = 0; at < 2; at += 1) {
    const done = await world.report(`/${id}/fail`, { fence, error_code: "provider", error: "502", tokens_used: 12 });
    assert.deepEqual(done, { http: 200, id, status: "failed", attempt: 1, finished_at: NOW, tokens_used: 12, refunded_tokens: 18 });
  }
  assert.equal(await balance(), 988);
  assert.equal((await world.report(`/${id}/complete`, { fence, result_url: URL })).kept, true);
  const restored = await operator(id, "restore");
  assert.deepEqual([restored.http, restored.charged_tokens, await balance()], [200, 18, 970]);
});

test("whoever has failed is tried again, once for each attempt, for its price", async () => {
  const { id } = await failed();
  assert.equal(await balance(), 1_000);
  // Who asks, and what for, is checked before anything else.
  assert.equal((await operator(id, "retry", {})).http, 400);
  assert.equal((await operator(id, "retry", { attempt: 0 })).http, 400);
  assert.equal((await operator(id, "retry", { attempt: 1 }, WORKER_TOKEN)).http, 403);
  assert.equal((await owner(id, "retry", { attempt: 1 }, "bo")).http, 404);
  assert.equal((await operator("nobody", "retry", { attempt: 1 })).http, 404);
  const answers = await Promise.all([operator(id, "retry", { attempt: 1 }), operator(id, "retry", { attempt: 1 }), owner(id, "retry", { attempt: 1 }), owner(id, "retry", { attempt: 1 })]);
  for (const answer of answers) assert.deepEqual(answer, { http: 200, id, status: "pending", attempt: 2, charged_tokens: 30 });
  assert.deepEqual(await ledger(id), [["charge", -30], ["charge2", -30], ["refund", 30]]);
  assert.equal(await balance(), 970);
  // A worker takes it up as ever; the fence of the attempt before is void.
  const { attempt, fence } = await world.report(`/${id}/start`, { worker: "w2" });
  assert.deepEqual([attempt, fence.split(".")[0]], [2, "2"]);
  assert.equal((await world.report(`/${id}/complete`, { fence, result_url: URL })).http, 200);
  assert.equal((await operator(id, "retry", { attempt: 1 })).attempt, 2);
  const done = await operator(id, "retry", { attempt: 2 });
  assert.deepEqual([done.http, done.code, done.error], [409, "illegal_transition", "a creation can't go from `draft` to `pending`: only `published` can follow"]);
  // All of it is told.
  const explained = await (await world.fetch(`/api/creations/${id}`, { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).json();
  assert.deepEqual(explained.attempts.map(({ attempt, outcome, tokens_used, worker, error_code }) => [attempt, outcome, tokens_used, worker, error_code]), [[1, "failed", null, "w1", "provider"]]);
  assert.deepEqual(explained.ledger.map(({ type, tokens }) => [type, tokens]).sort(), [["charge", -30], ["charge", -30], ["refund", 30]]);
});

test("a retry that the balance does not cover changes nothing, and says by how much", async () => {
  const { id } = await failed();
  await world.report("", { user_id: "ada", kind: "image", prompt: "a hen", tokens: 980 });
  for (const ask of [operator, owner]) {
    const poor = await ask(id, "retry", { attempt: 1 });
    assert.deepEqual([poor.http, poor.code, poor.balance, poor.tokens], [402, "insufficient_tokens", 20, 30]);
  }
  assert.equal(await world.status(id), "failed");
});

test("a swept one is tried again, with its whole limit, and the worker's late result is kept", async () => {
  const { id, fence } = await begun();
  await world.order({ now: NOW + 2 * HOUR });
  await world.cron();
  const [draft] = (await (await world.as("ada", "/api/drafts")).json()).drafts;
  assert.deepEqual([draft.status, draft.attempt, draft.can_retry], ["failed", 1, true]);
  await owner(id, "retry", { attempt: draft.attempt });
  assert.deepEqual([(await world.report(`/${id}/complete`, { fence, result_url: URL })).kept, await world.status(id)], [true, "pending"]);
  await world.order({ now: NOW + 3 * HOUR });
  await world.cron();
  assert.equal(await world.status(id), "pending");
  await world.order({ now: NOW + 3 * HOUR + 1 });
  await world.cron();
  assert.deepEqual([await world.status(id), await balance()], ["failed", 1_000]);
  assert.deepEqual((await ledger(id)).map(([key]) => key), ["charge", "charge2", "refund", "refund2"]);
  assert.deepEqual((await operator(id, "restore")).charged_tokens, 30);
});

test("what is cancelled goes back by the policy, and its worker is told", async () => {
  for (const [kind, left] of [["image", 1_000], ["video", 970]]) {
    await world.stop();
    await begin();
    const id = await waiting(kind);
    const cancelled = { http: 200, id, status: "failed", attempt: 1, finished_at: NOW, tokens_used: 0, refunded_tokens: 30 };
    for (let at = 0; at < 2; at += 1) assert.deepEqual(await owner(id, "cancel"), cancelled);
    assert.equal(await balance(), 1_000);
    const one = await begun(kind);
    assert.equal((await owner(one.id, "cancel", {}, "bo")).http, 404);
    assert.equal((await operator(one.id, "cancel", { attempt: 2 }, WORKER_TOKEN)).code, "other_attempt");
    const ended = await operator(one.id, "cancel", { attempt: 1 }, WORKER_TOKEN);
    assert.deepEqual([ended.http, ended.refunded_tokens, await balance()], [200, left - 970, left]);
    // Where nothing came back, the ledger says why.
    const told = (await (await world.fetch("/api/ledger?user_id=ada", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).json()).entries.filter(({ creation_id }) => creation_id === one.id);
    assert.deepEqual(told.map(({ message_code }) => message_code), kind === "video" ? ["kept"] : ["cancelled", "charged"]);
    const beat = await world.report(`/${one.id}/heartbeat`, { fence: one.fence });
    assert.deepEqual([beat.http, beat.code, beat.error, beat.status], [409, "cancelled", "it was cancelled: the attempt of this fence is over", "failed"]);
    const late = await world.report(`/${one.id}/complete`, { fence: one.fence, result_url: URL });
    assert.deepEqual([late.http, late.code, late.kept], [409, "cancelled", true]);
    assert.deepEqual([(await operator(one.id, "restore")).charged_tokens, await balance()], [left - 970, 970]);
    // Its owner has it now: the charge was for that.
    const after = (await (await world.fetch("/api/ledger?user_id=ada", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).json()).entries.filter(({ creation_id }) => creation_id === one.id);
    assert.deepEqual(after.map(({ message_code }) => message_code), kind === "video" ? ["charged"] : ["restored", "cancelled", "charged"]);
  }
  // An operator does it with what operators have.
  assert.equal((await operator(await waiting(), "cancel", {})).refunded_tokens, 30);
  const one = await begun("film");
  const never = await owner(one.id, "cancel");
  assert.deepEqual([never.http, never.code, await world.status(one.id)], [409, "not_cancellable", "processing"]);
  assert.equal((await world.report(`/${one.id}/fail`, { fence: one.fence, error_code: "cancelled" })).http, 400);
});

test("the page's buttons do the same, without a script, for the page's own user alone", async () => {
  const session = `session=${token({ sub: "ada" })}`;
  const press = (path, fields, headers = {}) => world.fetch(path, { method: "POST", redirect: "manual", body: new URLSearchParams(fields).toString(), headers: { Cookie: session, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded", ...headers } });
  const page = async () => (await world.fetch("/drafts", { headers: { Cookie: session } })).text();
  const id = await waiting();
  assert.match(await page(), new RegExp(`<form method="post" action="/drafts/cancel"><input type="hidden" name="id" value="${id}"><input type="hidden" name="attempt" value="1">`));
  for (const headers of [{ "Sec-Fetch-Site": "cross-site" }, { Cookie: "" }]) assert.equal((await press("/drafts/cancel", { id, attempt: 1 }, headers)).status, 401);
  assert.equal(await world.status(id), "pending");
  const pressed = await press("/drafts/cancel", { id, attempt: 1 });
  assert.deepEqual([pressed.status, pressed.headers.get("Location"), await world.status(id)], [303, "/drafts", "failed"]);
  const html = await page();
  assert.match(html, /Cancelled before it was finished/);
  assert.match(html, new RegExp(`action="/drafts/retry"><input type="hidden" name="id" value="${id}"><input type="hidden" name="attempt" value="1"><button [^>]*>Try again for 30 tokens<`));
  for (let at = 0; at < 2; at += 1) assert.equal((await press("/drafts/retry", { id, attempt: 1 })).status, 303);
  assert.deepEqual([await world.status(id), await balance()], ["pending", 970]);
  const late = await press("/drafts/cancel", { id, attempt: 1 });
  assert.deepEqual([late.status, /It has moved on meanwhile/.test(await late.text())], [409, true]);
  const { id: one } = await begun("video");
  assert.match(await page(), /Cancel without a refund/);
  assert.equal((await press("/drafts/cancel", { id: one, attempt: 1 })).status, 303);
  assert.equal(await balance(), 940);
});

test("the app hears of a cancellation and of a retry, and the workers of the new attempt", async () => {
  await world.stop();
  await begin({ queues: ["GENERATIONS", "EVENTS"] });
  const id = await waiting();
  await owner(id, "cancel");
  await owner(id, "retry", { attempt: 1 });
  let heard = [];
  for (let tries = 0; tries < 200 && heard.length < 3; tries += 1) {
    const told = (await world.received()).filter(([, { type }]) => type === "creation.failed" || type === "creation.retried");
    heard = told.map(([queue, { type, data }]) => [queue, type, data.attempt, data.error_code, data.refunded_tokens, data.charged_tokens]);
    await new Promise((next) => setTimeout(next, 50));
  }
  assert.deepEqual(heard.sort(), [
    ["events", "creation.failed", 1, "cancelled", 30, 0],
    ["events", "creation.retried", 2, null, 0, 30],
    ["generations", "creation.retried", 2, null, 0, 30],
  ]);
});
