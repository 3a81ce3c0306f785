// Many failed creations retried at once: the preview says what would be charged and who can't pay, and the plan that it gives is carried out
// as far as it still holds. Whoever is left is named.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, WORKER_TOKEN, start } from "./harness.mjs";

const headers = { Authorization: `Bearer ${CLEANUP_TOKEN}`, "Content-Type": "application/json" };
const poster = (world) => async (path, body) => {
  const response = await world.fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  return [response.status, await response.json()];
};
const by = (list, key) => Object.groupBy(list, (item) => item[key]);
const counted = (groups) => Object.fromEntries(Object.entries(groups).map(([key, list]) => [key, list.length]));

/** With no more queries than the free plan has. */
async function free() {
  const world = await start({ queries: 50, config: { circuit_breaker: "off", queries_per_run: 50 } });
  await world.order({ now: NOW });
  return world;
}

test("an outage of two hours: 300 have failed, 280 are retried by filter, and each of the 20 that are left is named", async () => {
  const world = await free();
  try {
    const post = poster(world);
    await world.grant("ada", 1_000_000);
    await world.grant("bo", 1_000_000);
    await world.grant("cleo", 40);
    // From three to five in the night. Every fifth has failed for a reason of its own, which the filter leaves alone.
    const outage = { since: NOW - 4 * HOUR, until: NOW - 2 * HOUR };
    await world.create(...Array.from({ length: 375 }, (_, i) => ({
      id: `c${i}`, user_id: i % 25 === 1 ? "cleo" : i % 2 ? "ada" : "bo", kind: i % 3 ? "image" : "video", tokens: i % 25 === 1 ? 1 : 7,
      created_at: outage.since + i * 19_000,
    })), { id: "before", created_at: outage.since - 1 }, { id: "later", created_at: outage.until });
    await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 60000, error = 'it said 503',
      error_code = iif(rowid % 5 = 0, 'refused', 'provider_down')`.replaceAll("\n", " "));
    // Cleo has spent what came back, all but 8 of it.
    await world.create({ id: "spent", user_id: "cleo", tokens: 32 });

    const filter = { error_code: "provider_down", ...outage };
    const [status, plan] = await post("/api/retries/preview", { filter });
    assert.equal(status, 200);
    const sum = "SELECT count(*) AS creations, sum(tokens) AS tokens, min(finished_at) AS first FROM stale_drafts_creations WHERE status = 'failed' AND error_code = 'provider_down' AND created_at >= ?1 AND created_at < ?2";
    const expected = await world.one(sum, outage.since, outage.until);
    assert.equal(expected.creations, 300);
    assert.deepEqual([plan.plan.length, plan.next_cursor, plan.skipped, plan.unreachable], [300, null, [], []]);
    assert.equal(plan.plan[0].finished_at, expected.first);
    assert.deepEqual(plan.short, [{ user_id: "cleo", balance: 8, tokens: 15, creations: 15, covered: 8 }]);
    assert.deepEqual([plan.retries, plan.owners, plan.charged_tokens], [293, 3, expected.tokens - 7]);
    assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'pending'")).n, 1, "nothing was written");

    // Meanwhile others act on some of them.
    const [ada, bo] = ["ada", "bo"].map((user) => plan.plan.filter(({ user_id }) => user_id === user).map(({ id }) => id));
    const own = (user, path, init) => world.as(user, `/api/drafts/${path}`, init);
    for (const id of ada.slice(0, 4)) assert.equal((await own("ada", `${id}/retry`, { method: "POST", body: '{"attempt":1}' })).status, 200);
    for (const id of bo.slice(0, 5)) assert.equal((await own("bo", id, { method: "DELETE" })).status, 200);
    // One of those has failed once more; another is done, for its late result came and was restored.
    await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${NOW}, error = 'x', error_code = 'provider_down' WHERE id = '${ada[0]}'`);
    await world.database.exec(`UPDATE stale_drafts_creations SET late_result_url = 'https://x/', late_at = ${NOW} WHERE id IN ('${ada[10]}', '${ada[11]}', '${ada[12]}', '${ada[13]}')`);
    for (const id of ada.slice(10, 14)) assert.equal((await post(`/api/creations/${id}/restore`))[0], 200);

    await world.cost();
    const [http, done] = await post("/api/retries", { plan: plan.plan, reason: "the provider is back" });
    const cost = await world.cost();
    assert.equal(http, 200);
    assert.deepEqual([done.retried.length, done.skipped.length], [280, 20]);
    assert.deepEqual(counted(by(done.skipped, "reason")), { insufficient_tokens: 7, already_retried: 4, deleted: 5, changed: 4 });
    const of = (id) => done.skipped.find((skipped) => skipped.id === id);
    assert.deepEqual([of(ada[0]).message, of(ada[0]).status, of(ada[0]).present_attempt], ["it has been retried since: it is `failed` now, attempt 2", "failed", 2]);
    assert.deepEqual([of(ada[10]).message, of(ada[10]).status, of(ada[10]).present_attempt], ["it has moved on: it is `draft` now, attempt 1", "draft", 1]);
    assert.equal(of(bo[0]).message, "its owner has deleted it");
    assert.deepEqual(done.skipped.filter(({ reason }) => reason === "insufficient_tokens").map(({ user_id, balance, tokens }) => [user_id, balance, tokens]), Array(7).fill(["cleo", 0, 1]));

    // What the answer says is what stands.
    const pending = await world.all("SELECT id, tokens FROM stale_drafts_creations WHERE status = 'pending' AND attempt = 2 AND queued_at = ?1 AND id IN (SELECT value FROM json_each(?2))", NOW, JSON.stringify(done.retried.map(({ id }) => id)));
    assert.equal(pending.length, 280);
    assert.equal(done.charged_tokens, pending.reduce((all, { tokens }) => all + tokens, 0));
    assert.deepEqual(await world.wrongBalances(), []);
    const [{ id }] = done.retried;
    assert.deepEqual((await world.ask(`/api/creations/${id}`)).acts.map(({ actor, action, detail, at }) => [actor, action, detail, at]), [["CLEANUP_TOKEN", "retry_in_bulk", "the provider is back", NOW]]);
    assert.deepEqual(await world.all("SELECT actor, detail FROM stale_drafts_audit WHERE subject IS NULL"), [{ actor: "CLEANUP_TOKEN", detail: "280 of 300 failed creations: the provider is back" }]);
    // The dashboard has the whole once.
    const text = await (await world.fetch("/dashboard", { headers })).text();
    assert.equal(text.split("the provider is back").length, 2);
    console.log(`# 280 of 300 retried by ${cost.queries} queries, ${(cost.rows_read / 280).toFixed(1)} rows read and ${(cost.rows_written / 280).toFixed(1)} written for each`);
    assert.ok(cost.queries <= 10, `${cost.queries} queries`);

    // Once more: nobody is charged twice, and each says so.
    const [, again] = await post("/api/retries", { plan: plan.plan });
    assert.deepEqual([again.retried, again.skipped.length, again.charged_tokens], [[], 300, 0]);
    assert.deepEqual(counted(by(again.skipped, "reason")), { insufficient_tokens: 7, already_retried: 284, deleted: 5, changed: 4 });
    assert.deepEqual(await world.wrongBalances(), []);
    // Cleo is granted something, and the filter finds what is left: hers, and the one that has failed again.
    await world.database.exec("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:more', 'cleo', 'grant', 3, 0)");
    const [, rest] = await post("/api/retries/preview", { filter });
    assert.deepEqual([rest.plan.length, rest.retries, rest.short.map(({ covered }) => covered)], [8, 4, [3]]);
  } finally {
    await world.stop();
  }
});

test("a body that can't be read is refused in words that say what would be right, and scopes hold", async () => {
  const world = await free();
  try {
    const post = poster(world);
    const refused = [
      ["/preview", {}, "expected one of `filter`, `plan` and `\"all\": true`"],
      ["/preview", { all: false }, "expected one of `filter`, `plan` and `\"all\": true`"],
      ["/preview", { all: true, plan: [] }, "expected one of `filter`, `plan` and `\"all\": true`"],
      ["/preview", { filter: { kind: "x" }, plan: [] }, "expected one of `filter`, `plan` and `\"all\": true`"],
      ["/preview", { filter: { kind: "x" }, all: true }, "`all` is `true`, for everything that has failed: leave out `filter`"],
      ...[{}, { kind: null }].map((filter) => ["/preview", { filter }, "`filter` is empty: expected at least one of `user_id`, `kind`, `error_code`, `rule`, `since`, `until`, `failed_since` and `failed_until`; or, for everything that has failed, `\"all\": true` in its place"]),
      ["/preview", { plan: [], limit: 1 }, "a plan says itself which creations it is for: leave out `limit` and `cursor`"],
      ["/preview", { filter: { since: "soon" } }, "`filter.since` is `\"soon\"`: expected epoch milliseconds, or a time in UTC such as `2026-01-05T03:00Z`"],
      ["/preview", { filter: { failed_since: 3_600_000, failed_until: 0 } }, "`failed_until` is `1970-01-01T00:00:00Z`, and `failed_since` is `1970-01-01T01:00:00Z`: expected an end after its beginning"],
      ["/preview", { filter: { statuses: "failed" } }, "unknown key `filter.statuses`: expected `user_id`, `kind`, `error_code`, `rule`, `since`, `until`, `failed_since` or `failed_until`"],
      ["/preview", { all: true, limit: 1_001 }, "`limit` is `1001`: expected a whole number from 1 to 1000"],
      ["/preview", { all: true, cursor: "abc" }, "invalid `cursor` `abc`: expected the `next_cursor` of the page before"],
      ["", {}, "`plan` is missing: expected a list"],
      ["", { filter: {} }, "unknown key `filter`: expected `plan` or `reason`"],
      ["", { plan: [{ id: "a" }] }, "`plan[0].attempt` is missing: expected a whole number from 1 to 4294967295"],
      ["", { plan: [{ id: "a", attempt: 0 }] }, "`plan[0].attempt` is `0`: expected a whole number from 1 to 4294967295"],
      ["", { plan: Array.from({ length: 1_001 }, (_, i) => ({ id: `c${i}`, attempt: 1 })) }, "the plan has 1001 creations: expected at most 1000"],
    ];
    const said = [];
    for (const [path, body, error] of refused) {
      const [status, answer] = await post(`/api/retries${path}`, body);
      said.push([status, answer.error, error]);
    }
    assert.deepEqual(said.map(([status, error]) => [status, error]), said.map(([, , error]) => [400, error]));
    const as = async (path, token) => (await world.fetch(path, { method: "POST", body: '{"plan":[]}', headers: token ? { Authorization: `Bearer ${token}` } : {} })).status;
    assert.deepEqual([await as("/api/retries", CLEANUP_TOKEN), await as("/api/retries/preview", CLEANUP_TOKEN)], [200, 200]);
    assert.deepEqual([await as("/api/retries", WORKER_TOKEN), await as("/api/retries")], [403, 401]);
    assert.deepEqual([await as("/api/retries/preview", WORKER_TOKEN), await as("/api/retries/preview")], [403, 401]);
    assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_audit")).n, 0);
  } finally {
    await world.stop();
  }
});

test("1,000 are one plan, and each failure is found once, page by page", async () => {
  const world = await free();
  try {
    const post = poster(world);
    await world.grant("ada", 1_000_000);
    await world.create(...Array.from({ length: 1_100 }, (_, i) => ({ id: `${i}-${"x".repeat(190)}`, tokens: 1 })));
    await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${NOW}, error = 'x', error_code = 'y'`);
    const [, first] = await post("/api/retries/preview", { all: true });
    assert.equal(first.plan.length, 1_000);
    const [, second] = await post("/api/retries/preview", { all: true, cursor: first.next_cursor });
    assert.deepEqual([second.plan.length, second.next_cursor], [100, null]);
    assert.equal(new Set([...first.plan, ...second.plan].map(({ id }) => id)).size, 1_100);
    const [, done] = await post("/api/retries", { plan: first.plan });
    assert.deepEqual([done.retried.length, done.skipped], [1_000, []]);
    assert.deepEqual(await world.wrongBalances(), []);
  } finally {
    await world.stop();
  }
});

test("whoever else retries, cancels or sweeps at the same time: each attempt is charged once, and each has one outcome", async () => {
  const world = await start({ config: { circuit_breaker: "off" } });
  try {
    const post = poster(world);
    await world.order({ now: NOW });
    for (const user of ["ada", "bo"]) await world.grant(user, 150);
    await world.create(...Array.from({ length: 40 }, (_, i) => ({ id: `c${i}`, user_id: i % 2 ? "ada" : "bo", tokens: 5 })));
    await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${NOW} + rowid, error = 'x', error_code = 'y'`);
    const [, { plan }] = await post("/api/retries/preview", { all: true });
    assert.equal(plan.length, 40);
    const own = (id, user) => world.as(user, `/api/drafts/${id}/retry`, { method: "POST", body: '{"attempt":1}' }).then(async (response) => [response.status, id]);
    const [one, two, back, ...single] = await Promise.all([
      post("/api/retries", { plan }),
      post("/api/retries", { plan: plan.slice(10) }),
      post("/api/retries", { plan: plan.toReversed() }),
      ...plan.slice(5, 25).map(({ id, user_id }) => own(id, user_id)),
      ...plan.slice(0, 5).map(({ id }) => post(`/api/creations/${id}/cancel`, {})),
      world.cron(),
    ]);
    const done = [one, two, back].flatMap(([, { retried }]) => retried.map(({ id }) => id));
    assert.equal(new Set(done).size, done.length, "no two of them claim the same one");
    for (const [, answer] of [one, two, back]) {
      const named = [...answer.retried, ...answer.skipped].map(({ id }) => id);
      assert.equal(new Set(named).size, named.length);
      for (const { reason } of answer.skipped) assert.match(reason, /^(already_retried|insufficient_tokens|changed)$/);
    }
    const byHand = single.slice(0, 20).filter(([status]) => status === 200).map(([, id]) => id);
    const charged = await world.all("SELECT creation_id AS id, count(*) AS n FROM stale_drafts_ledger WHERE entry_key LIKE 'charge2:%' GROUP BY creation_id");
    assert.ok(charged.every(({ n }) => n === 1));
    assert.deepEqual(new Set(charged.map(({ id }) => id)), new Set([...done, ...byHand]));
    assert.deepEqual(await world.wrongBalances(), []);
    const audited = await world.all("SELECT count(*) AS n FROM stale_drafts_audit WHERE action = 'retry_in_bulk'");
    assert.deepEqual(audited, [{ n: done.length }]);
  } finally {
    await world.stop();
  }
});

test("of several databases one that does not answer keeps nothing from the others", async () => {
  const world = await start({ shards: 2, config: { circuit_breaker: "off" } });
  try {
    const post = poster(world);
    await world.order({ now: NOW });
    const users = Array.from({ length: 8 }, (_, i) => `u${i}`);
    const at = (user) => bucketOf(user) >> 11;
    assert.equal(new Set(users.map(at)).size, 2);
    for (const user of users) {
      const database = world.databases[at(user)];
      await database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 100, 0)").bind(user).run();
      await database.prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, finished_at, error, error_code) VALUES ('of-' || ?1, ?1, 'image', '', 'failed', 10, ?2, ?2, 'x', 'y')").bind(user, NOW - MINUTE).run();
    }
    const [, whole] = await post("/api/retries/preview", { filter: { error_code: "y" } });
    assert.deepEqual([whole.retries, whole.owners, whole.charged_tokens, whole.unreachable], [8, 8, 80, []]);
    // Each page has at most so many of them all, and none twice.
    const found = [];
    for (let cursor; cursor !== null;) {
      const [, page] = await post("/api/retries/preview", { all: true, limit: 3, ...(cursor && { cursor }) });
      assert.ok(page.plan.length <= 3);
      found.push(...page.plan.map(({ id }) => id));
      cursor = page.next_cursor;
    }
    assert.deepEqual(found.sort(), users.map((user) => `of-${user}`));

    const here = users.filter((user) => at(user) === 0).length;
    await world.order({ now: NOW, dead: ["DB_1"] });
    const [status, part] = await post("/api/retries/preview", { all: true });
    assert.deepEqual([status, part.plan.length, part.unreachable], [200, here, [{ shard: "DB_1", error: "D1_ERROR: DB_1 is gone" }]]);
    const [, done] = await post("/api/retries", { plan: whole.plan });
    assert.deepEqual([done.retried.length, counted(by(done.skipped, "reason"))], [here, { unreachable: 8 - here }]);
    assert.match(done.skipped[0].message, /^its database does not answer, so look before you repeat it: `D1_ERROR: DB_1 is gone`$/);
    await world.order({ now: NOW });
    const [, rest] = await post("/api/retries", { plan: whole.plan });
    assert.deepEqual([rest.retried.length, counted(by(rest.skipped, "reason"))], [8 - here, { already_retried: here }]);
    for (const database of world.databases) {
      const { results } = await database.prepare("SELECT DISTINCT tokens FROM stale_drafts_balances").all();
      assert.deepEqual(results, [{ tokens: 90 }]);
    }
    // Only a preview knows where an id is that an app chose.
    const [wrong, { error }] = await post("/api/retries", { plan: [{ id: "of-u0", attempt: 1 }] });
    assert.deepEqual([wrong, error], [400, "`plan[0]` is `of-u0`, an id that does not say which database has it: expected its `user_id` too, as a preview has it"]);
    await world.order({ now: NOW, dead: ["DB_0", "DB_1"] });
    assert.equal((await post("/api/retries/preview", { all: true }))[0], 503);
    assert.equal((await post("/api/retries/preview", { plan: whole.plan }))[0], 503);
    assert.equal((await post("/api/retries", { plan: whole.plan }))[0], 503);
  } finally {
    await world.stop();
  }
});
