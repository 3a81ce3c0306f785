// What operators find creations by, over the API and on the dashboard, and what they note: every answer against SQL.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, start } from "./harness.mjs";

let world;
before(async () => {
  world = await start({ config: { circuit_breaker: "off" } });
  await world.order({ now: NOW });
  for (const user of ["ada", "bo"]) await world.grant(user, 10_000);
  // An outage of two hours: most of what was asked for failed, and some of it for reasons of its own.
  await world.create(...Array.from({ length: 300 }, (_, i) => ({
    id: `c${i}`, user_id: i % 3 ? "ada" : "bo", kind: i % 2 ? "video" : "image", tokens: 1, created_at: NOW - (300 - i) * MINUTE / 3,
  })));
  await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 1000, error = 'it said 503',
    error_code = iif(rowid % 15 = 0, 'refused', 'provider_down') WHERE rowid % 5 > 0`.replaceAll("\n", " "));
});
after(() => world?.stop());

const headers = { Authorization: `Bearer ${CLEANUP_TOKEN}` };
const search = (query) => world.ask(`/api/search?${new URLSearchParams(query)}`);
const ask = async (path, init) => {
  const response = await world.fetch(path, { headers, ...init });
  return [response.status, await response.json()];
};
const post = (path, body) => ask(path, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) });
const dashboard = async (path) => {
  const response = await world.fetch(path, { headers, redirect: "manual" });
  return { status: response.status, location: response.headers.get("Location"), text: await response.text() };
};

test("each question is answered as SQL answers it, page by page", async () => {
  const questions = [
    [{}, "true"],
    [{ status: "failed" }, "status = 'failed'"],
    [{ status: "failed", error_code: "provider_down", kind: "video" }, "status = 'failed' AND error_code = 'provider_down' AND kind = 'video'"],
    [{ user_id: "bo", error_code: "refused" }, "user_id = 'bo' AND error_code = 'refused'"],
    [{ since: `${NOW - 50 * MINUTE}`, until: `${NOW - 20 * MINUTE}` }, `created_at >= ${NOW - 50 * MINUTE} AND created_at < ${NOW - 20 * MINUTE}`],
    [{ rule: "max_age_hours" }, "rule = 'max_age_hours'"],
  ];
  for (const [query, where] of questions) {
    const expected = await world.all(`SELECT id FROM stale_drafts_creations WHERE ${where} ORDER BY rowid DESC`);
    const found = [];
    for (let cursor; cursor !== null;) {
      const page = await search({ ...query, limit: 37, ...(cursor ? { cursor } : {}) });
      assert.ok(page.creations.length <= 37);
      assert.equal(page.now, NOW);
      found.push(...page.creations.map(({ id }) => id));
      cursor = page.next_cursor;
    }
    assert.deepEqual(found, expected.map(({ id }) => id), JSON.stringify(query));
  }
  const [one] = (await search({ status: "failed", limit: 1 })).creations;
  assert.deepEqual([one.user_id, one.status, one.error, one.refunded_tokens], ["ada", "failed", "it said 503", 1]);
});

test("the longest silent come first", async () => {
  const expected = await world.all("SELECT id FROM stale_drafts_creations WHERE status = 'pending' ORDER BY created_at LIMIT 20");
  const found = [];
  for (let cursor; found.length < 20;) {
    const page = await search({ order: "silent", limit: 7, ...(cursor ? { cursor } : {}) });
    found.push(...page.creations.map(({ id }) => id));
    cursor = page.next_cursor;
  }
  assert.deepEqual(found.slice(0, 20), expected.map(({ id }) => id));
});

test("a time may be written as people write it", async () => {
  const since = new Date(NOW - HOUR).toISOString();
  const count = async (since) => (await search({ since, limit: 100 })).creations.length;
  const expected = await count(`${NOW - HOUR}`);
  assert.deepEqual([await count(since), await count(since.slice(0, 19)), await count(since.replace("Z", "+00:00"))], [expected, expected, expected]);
  const minute = NOW - HOUR - (NOW % MINUTE);
  assert.equal(await count(`${new Date(minute).toISOString().slice(0, 16)}Z`), await count(`${minute}`));
});

test("what can't be read is refused in words that say what would be right", async () => {
  const refused = [
    ["since=yesterday", /^`since` is `yesterday`: expected epoch milliseconds, or a time in UTC such as `2026-01-05T03:00Z`$/],
    ["status=stuck", /^`status` is `stuck`: expected `pending`, `processing`, `draft`, `published` or `failed`$/],
    ["cursor=abc", /^invalid `cursor` `abc`: expected the `next_cursor` of the page before$/],
    ["order=silent&user_id=ada", /^`order` is `silent`: expected no more than `status` and `kind` beside it$/],
    ["code=x", /unknown.*`code`|`code` is not/],
    ["limit=0", /^`limit` is `0`: expected a whole number from 1 to 100$/],
  ];
  for (const [query, expected] of refused) {
    const [status, { error }] = await ask(`/api/search?${query}`);
    assert.equal(status, 400, query);
    assert.match(error, expected);
  }
  assert.equal((await world.fetch("/api/search")).status, 401);
  assert.equal((await world.fetch("/dashboard/creations")).status, 401);
});

test("the dashboard's explorer shows what the address asks for, and what there is most of", async () => {
  const { status, text } = await dashboard("/dashboard/creations?status=failed&kind=&error_code=provider_down&utm_source=mail");
  assert.equal(status, 200);
  const [{ creations, tokens }] = await world.all("SELECT count(*) AS creations, sum(tokens) AS tokens FROM stale_drafts_creations WHERE status = 'failed' AND kind = 'image' AND error_code = 'provider_down'");
  assert.match(text, new RegExp(`<a href="/dashboard/creations\\?[^"]*kind=image[^"]*">failed</a></th><td>image</td><td>provider_down</td><td>–</td><td>${creations}</td><td>${tokens}</td>`));
  assert.doesNotMatch(text, /utm_source|refused/);
  assert.match(text, /rel="next"/);
  const { status: wrong, text: why } = await dashboard("/dashboard/creations?since=soon");
  assert.equal(wrong, 400);
  assert.match(why, /`since` is `soon`/);
  const opened = await dashboard("/dashboard/creations?id=a%2Fb");
  assert.deepEqual([opened.status, opened.location], [303, "/dashboard/creations/a%2Fb"]);
});

test("what operators note stands with the creation, and in its timeline", async () => {
  assert.deepEqual(await post("/api/creations/nothing/notes", { text: "x" }), [404, { error: "there is no creation `nothing`", code: "not_found" }]);
  const [status, note] = await post("/api/creations/c1/notes", { text: "the provider says <b>sorry</b>" });
  assert.deepEqual([status, note.actor, note.action, note.detail, note.at], [201, "CLEANUP_TOKEN", "note", "the provider says <b>sorry</b>", NOW]);
  assert.deepEqual((await world.ask("/api/creations/c1")).acts, [note]);
  assert.equal((await post("/api/creations/c1/notes", { text: "" }))[0], 400);
  assert.equal((await post("/api/creations/c1/notes", { text: "x".repeat(2_001) }))[0], 400);
  const { text } = await dashboard("/dashboard/creations/c1");
  assert.match(text, /Noted by CLEANUP_TOKEN: the provider says &lt;b&gt;sorry&lt;\/b&gt;/);
  assert.match(text, /Failed: it said 503/);
  assert.match(text, /Charged: 1 token<.*Refunded: 1 token</s);
  await world.cron();
  const [{ id }] = (await world.ask("/api/sweeps")).sweeps;
  assert.equal((await post(`/api/sweeps/${id}/notes`, { text: "after the outage" }))[0], 201);
  assert.equal((await post("/api/sweeps/none/notes", { text: "x" }))[0], 404);
  assert.deepEqual(await world.all(`SELECT actor, detail FROM stale_drafts_audit WHERE subject = 'sweep:${id}'`), [{ actor: "CLEANUP_TOKEN", detail: "after the outage" }]);
});
