// An owner's money: the balance and where each token went, as JSON and as a page, and for operators.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, WORKER_TOKEN, WRITE, start } from "./harness.mjs";

let world;
before(async () => {
  world = await start({ config: { page_size: 3 } });
});
after(() => world.stop());
let users = 0;
let user;
beforeEach(async () => {
  await world.order({ now: NOW });
  user = `user-${users += 1}`;
  await world.grant(user, 1_000);
});

const json = async (path) => (await world.as(user, path)).json();
const operator = async (path, credential = CLEANUP_TOKEN) => {
  const response = await world.fetch(path, { headers: { Authorization: `Bearer ${credential}` } });
  return { http: response.status, ...(await response.json()) };
};

/** All entries, in pages of so many. */
async function entries(limit) {
  const found = [];
  let cursor = "";
  for (let pages = 0; cursor !== null; pages += 1) {
    assert.ok(pages < 50, "the list ends");
    const page = await json(`/api/ledger?limit=${limit}${cursor && `&cursor=${cursor}`}`);
    found.push(...page.entries);
    cursor = page.next_cursor;
  }
  return found;
}

test("each token is told of, with its reason in words, and the sum is the balance", async () => {
  await world.create({ id: `${user}-stuck`, user_id: user, kind: "video", tokens: 30, created_at: NOW - 2 * HOUR });
  await world.create({ id: `${user}-free`, user_id: user, tokens: 0, created_at: NOW });
  const { id } = await world.report("", { user_id: user, kind: "image", prompt: "<b>a fox</b>", tokens: 10 });
  assert.deepEqual(await json("/api/balance"), { now: NOW, user_id: user, balance: 990, swept: true });
  const view = await json("/api/ledger?limit=100");
  const { entries: told, ...rest } = view;
  assert.deepEqual(rest, { now: NOW, user_id: user, balance: 990, next_cursor: null, swept: true, archived: null });
  const words = told.map(({ type, tokens, kind, message, message_code, message_params }) => [type, tokens, kind, message, message_code, message_params]);
  const error = "Generation timeout: Task stuck in pending status for 2.0 hours";
  const expected = [
    ["charge", -10, "image", "Charged when it was asked for", "charged", {}],
    ["refund", 30, "video", `Refunded, since it failed: ${error}`, "refunded", { error, error_code: "generation_timeout", error_params: { status: "pending", count: 2, unit: "hour", attempts: 1 } }],
    ["charge", -30, "video", "Charged when it was asked for", "charged", {}],
    ["grant", 1_000, null, "Added to the balance", "granted", { key: user }],
  ];
  assert.deepEqual(words, expected);
  assert.deepEqual([told[0].creation_id, told[0].prompt, told[0].deleted, told[3].creation_id], [id, "<b>a fox</b>", false, null]);
  assert.equal(told[1].sweep_id, (await world.one("SELECT sweep_id FROM stale_drafts_creations WHERE id = ?", `${user}-stuck`)).sweep_id);
  for (const limit of [1, 2, 3]) assert.deepEqual(await entries(limit), told, `pages of ${limit}`);
  assert.equal(told.reduce((sum, { tokens }) => sum + tokens, 0), view.balance);
});

test("of one that was retried and cancelled each refund says what its own attempt came to, on the page too", async () => {
  const { id, attempt } = await world.report("", { user_id: user, kind: "video", prompt: "a fox", tokens: 10 });
  const start = async () => (await world.report(`/${id}/start`, { worker: "w" })).fence;
  const retry = (failed) => world.report(`/${id}/retry`, { attempt: failed }, { Authorization: `Bearer ${CLEANUP_TOKEN}` });
  await world.report(`/${id}/fail`, { fence: await start(), error_code: "broken", error: "the model broke", tokens_used: 4 });
  await retry(attempt);
  await world.report(`/${id}/cancel`, {});
  await retry(attempt + 1);
  await world.report(`/${id}/fail`, { error_code: "gone", error: "the queue is gone" });
  await retry(attempt + 2);
  await world.report(`/${id}/complete`, { fence: await start(), result_url: "https://r.example/1", tokens_used: 7 });
  const { entries: told, balance } = await json("/api/ledger?limit=1");
  const expected = [
    [`refund4:${id}`, 3, "not_used", {}],
    [`charge4:${id}`, -10, "retried", {}],
    [`refund3:${id}`, 10, "refunded", { error: "the queue is gone", error_code: "gone", error_params: null }],
    [`charge3:${id}`, -10, "retried", {}],
    [`refund2:${id}`, 10, "cancelled", {}],
    [`charge2:${id}`, -10, "retried", {}],
    [`refund:${id}`, 6, "refunded_in_part", { error: "the model broke", error_code: "broken", error_params: null }],
    [`charge:${id}`, -10, "charged", {}],
  ];
  assert.deepEqual(told.map(({ entry_key, tokens, message_code, message_params }) => [entry_key, tokens, message_code, message_params]), expected);
  assert.equal(1_000 + told.reduce((sum, { tokens }) => sum + tokens, 0), balance);
  const page = await (await world.as(user, "/drafts/tokens")).text();
  for (const words of ["What was not used came back", "Charged again, as it was retried after its failure", "Refunded, since it was cancelled", "It failed, and what was not used came back: the model broke"]) {
    assert.ok(page.includes(words), words);
  }
  // What each creation comes to, and once what it was.
  const [, list] = page.match(/<ul[^>]*id="entries"[^>]*>(.*)<\/ul>/s);
  const parts = list.split('<li class="of-one">').slice(1);
  const sums = Map.groupBy((await json("/api/ledger")).entries, ({ creation_id, entry_key }) => creation_id ?? entry_key);
  assert.deepEqual(
    parts.map((part) => [part.match(/In all (−?[\d,]+) tokens?</)?.[1] ?? null, part.match(/class="kind"/g)?.length ?? 0]),
    [...sums.values()].map((entries) => [entries.length > 1 ? `${entries.reduce((sum, { tokens }) => sum + tokens, 0)}`.replace("-", "−") : null, entries[0].creation_id ? 1 : 0]),
  );
});

test("an operator reads a user's by `user_id`, and sweeps nothing; nobody else does", async () => {
  await world.create({ id: `${user}-stuck`, user_id: user, created_at: NOW - 2 * HOUR });
  const asked = `user_id=${user}`;
  assert.deepEqual(await operator(`/api/balance?${asked}`), { http: 200, now: NOW, user_id: user, balance: 990, swept: null });
  const { http, swept, entries: told } = await operator(`/api/ledger?${asked}`);
  assert.deepEqual([http, swept, told.map(({ type }) => type)], [200, null, ["charge", "grant"]]);
  assert.equal(await world.status(`${user}-stuck`), "pending");
  // The reports' credential lacks the scope, and a user's token is none of an operator's.
  assert.equal((await operator(`/api/ledger?${asked}`, WORKER_TOKEN)).http, 403);
  assert.equal((await world.as(user, `/api/ledger?${asked}`)).status, 401);
  assert.equal((await world.as(user, `/api/balance?${asked}`)).status, 401);
  assert.deepEqual(await operator("/api/balance"), { http: 401, error: "Unauthorized" });
  assert.equal((await operator("/api/balance?user_id=")).http, 400);
  assert.deepEqual(await operator("/api/ledger?user_id=nobody"), { http: 200, now: NOW, user_id: "nobody", balance: 0, entries: [], next_cursor: null, swept: null, archived: null });
});

test("what can't be read is refused, with what would be right", async () => {
  const cases = [["limit=0", /`limit`.*`0`.*expected a whole number from 1 to 100/], ["limit=101", /from 1 to 100/], ["cursor=x", /expected the `next_cursor` of the page before/], ["page=2", /`page`.*expected/]];
  for (const [query, said] of cases) {
    const answer = await world.as(user, `/api/ledger?${query}`);
    const { error } = await answer.json();
    assert.equal(answer.status, 400, query);
    assert.match(error, said);
  }
});

test("the page says the same, escapes what people wrote, and goes on", async () => {
  await world.create({ id: `${user}-stuck`, user_id: user, prompt: "<script>alert(1)</script>", created_at: NOW - 2 * HOUR });
  for (let n = 0; n < 4; n += 1) await world.create({ id: `${user}-${n}`, user_id: user, created_at: NOW - n * MINUTE });
  const page = await world.as(user, "/drafts/tokens");
  const text = await page.text();
  assert.equal(page.status, 200);
  assert.match(text, /960 tokens/);
  assert.match(text, /−10 tokens/);
  const [, older] = text.match(/href="(\/drafts\/tokens\?cursor=[^"]+)"/);
  const next = await (await world.as(user, older)).text();
  assert.match(next, /\+10 tokens/);
  assert.match(next, /Refunded, since it failed: Generation timeout: Task stuck in pending status for 2\.0 hours/);
  assert.match(next, /&lt;script&gt;/);
  assert.doesNotMatch(next, /<script>/);
  assert.match(await (await world.as(user, "/drafts")).text(), /href="\/drafts\/tokens"/);
  const signedOut = await world.fetch("/drafts/tokens");
  assert.equal(signedOut.status, 401);
  assert.match(await signedOut.text(), /Sign in to see your tokens/);
});

test("a sweep that fails is said, and the list is shown all the same", async () => {
  await world.create({ id: `${user}-stuck`, user_id: user, created_at: NOW - 2 * HOUR });
  await world.order({ failBefore: WRITE });
  const { swept, balance, entries: told } = await json("/api/ledger");
  assert.deepEqual([swept, balance, told.length], [false, 990, 2]);
  await world.order({ failBefore: null });
});

test("what is archived is one sum at the end", async () => {
  await world.database.prepare("INSERT INTO stale_drafts_archived_users (user_id, creations, deleted, tokens, first_created_at, last_created_at) VALUES (?, 3, 1, -40, 1, 2)").bind(user).run();
  const { archived } = await json("/api/ledger");
  assert.deepEqual(archived, { creations: 3, tokens: -40, first_created_at: 1, last_created_at: 2, message: "3 older creations are archived: -40 tokens in all, with their refunds." });
});

test("a page reads some five rows for each of its creations, however many there are", async () => {
  await world.cron();
  const fill = (from, to) => world.create(...Array.from({ length: to - from }, (_, n) => ({ id: `${user}-${from + n}`, user_id: user, status: "draft", tokens: 1, created_at: NOW - (from + n) * MINUTE })));
  await fill(0, 40);
  const read = async () => {
    await world.cost();
    await operator(`/api/ledger?user_id=${user}&limit=20`);
    return world.cost();
  };
  const few = await read();
  await fill(40, 900);
  assert.deepEqual(await read(), few);
  assert.equal(few.rows_written, 0);
  assert.ok(few.rows_read <= 120, `${few.rows_read} rows read`);
});
