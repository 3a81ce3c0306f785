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
    [{ failed_since: `${NOW - 50 * MINUTE}`, failed_until: `${NOW - 20 * MINUTE}` }, `status = 'failed' AND finished_at >= ${NOW - 50 * MINUTE} AND finished_at < ${NOW - 20 * MINUTE}`],
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

test("whatever the table has, a page reads a bounded number of rows", async (t) => {
  const large = await start({});
  t.after(() => large.stop());
  await large.order({ now: NOW });
  await large.database.exec(`WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 29999) INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, finished_at, error_code) SELECT 'c' || n, 'u' || n % 700, 'image', '', iif(n % 3, 'draft', 'failed'), 0, ${NOW} - (30000 - n) * 1000, ${NOW} - (30000 - n) * 1000, iif(n % 3, NULL, 'e' || n % 17) FROM n`);
  const read = async (path) => {
    await large.cost();
    assert.equal((await large.fetch(path, { headers })).status, 200);
    return (await large.cost()).rows_read;
  };
  // Four questions of 5,000 rows; and three sums over 5,000, of which a database counts some twice as it groups them.
  assert.ok((await read("/api/search?kind=none")) <= 20_100);
  const page = await read("/dashboard/creations?kind=none");
  assert.ok(page <= 35_200, `${page}`);
  const newest = await read("/dashboard/creations");
  t.diagnostic(`${page} rows read for a page that finds nothing, ${newest} for the newest`);
  assert.ok(newest <= 45_000, `${newest}`);
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
  const written = new Date(minute).toISOString().slice(0, 16);
  assert.equal(await count(`${written}Z`), await count(`${minute}`));
  // As the command and the pages print it.
  assert.equal(await count(`${written.replace("T", " ")}Z`), await count(`${minute}`));
  assert.equal(await count(`${written.replace("T", " ")}:00Z`), await count(`${minute}`));
});

test("what can't be read is refused in words that say what would be right", async () => {
  const refused = [
    ["failed_since=yesterday", /^`failed_since` is `yesterday`: expected epoch milliseconds, or a time in UTC/],
    ["since=yesterday", /^`since` is `yesterday`: expected epoch milliseconds, or a time in UTC such as `2026-01-05T03:00Z`$/],
    // A window that ends before it begins would find nothing, and look like an answer.
    ["failed_since=2026-11-29T10:00Z&failed_until=2026-11-28T12:00Z", /^`failed_until` is `2026-11-28T12:00:00Z`, and `failed_since` is `2026-11-29T10:00:00Z`: expected an end after its beginning$/],
    ["since=2026-11-29T10:00Z&until=2026-11-29T10:00Z", /^`until` is `2026-11-29T10:00:00Z`, and `since` is `2026-11-29T10:00:00Z`: expected an end after its beginning$/],
    ["status=stuck", /^`status` is `stuck`: expected `pending`, `processing`, `draft`, `published` or `failed`$/],
    ["cursor=abc", /^invalid `cursor` `abc`: expected the `next_cursor` of the page before$/],
    ["order=silent&status=failed", /^`order` is `silent`: expected the `status` `pending` or `processing`, or none$/],
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

test("what can't be sought leaves the form as it was, and says why", async () => {
  for (const [query, said, kept] of [
    ["order=silent&user_id=ada&status=pending", "“Order” is <code>silent</code>: expected no more than “Status” and “Kind” beside it.", ['name="user_id" value="ada"', '<option value="silent" selected>', '<option value="pending" selected>']],
    ["failed_since=yesterday&kind=image", "“Failed since” is <code>yesterday</code>: expected epoch milliseconds, or a time in UTC", ['name="kind" value="image"']],
    ["since=2026-11-29T10:00&until=2026-11-29T09:00&rule=preset", "expected an end after its beginning.", ['name="until" value="2026-11-29T09:00"', 'name="rule" value="preset"']],
  ]) {
    const { status, text } = await dashboard(`/dashboard/creations?${query}`);
    assert.equal(status, 400, query);
    const [, why] = text.match(/<p class="error" role="alert">(.*?)<\/p>/s) ?? ["", text];
    assert.ok(why.includes(said), why);
    for (const field of kept) assert.ok(text.includes(field), `${query}: ${field}`);
    assert.doesNotMatch(text, /id="found"/);
  }
});

test("the dashboard's explorer shows what the address asks for, and what there is most of", async () => {
  const { status, text } = await dashboard("/dashboard/creations?status=failed&kind=&error_code=provider_down&utm_source=mail");
  assert.equal(status, 200);
  const [{ creations, tokens }] = await world.all("SELECT count(*) AS creations, sum(tokens) AS tokens FROM stale_drafts_creations WHERE status = 'failed' AND kind = 'image' AND error_code = 'provider_down'");
  assert.match(text, new RegExp(`<a href="/dashboard/creations\\?[^"]*kind=image[^"]*">failed</a></th><td class="name" data-head="Kind">image</td><td class="id" data-head="Error code">provider_down</td><td class="id" data-head="Rule">–</td><td class="figure" data-head="Creations">${creations}</td><td class="figure" data-head="Tokens">${tokens}</td>`));
  assert.doesNotMatch(text, /utm_source|refused/);
  assert.match(text, /rel="next"/);
  const { status: wrong, text: why } = await dashboard("/dashboard/creations?since=soon");
  assert.equal(wrong, 400);
  assert.match(why, /“Created since” is <code>soon<\/code>/);
  const reversed = await dashboard("/dashboard/creations?since=2026-11-29T10:00&until=2026-11-28T12:00");
  assert.equal(reversed.status, 400);
  assert.match(reversed.text, /“Created before” is <code>2026-11-28T12:00:00Z<\/code>/);
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

test("every figure on the explorer is what SQL says, whatever is sought", async () => {
  /** The cells of a table by its label, as text. */
  const cells = (text, label) => {
    const [, table] = text.match(new RegExp(`aria-label="${label}".*?<tbody>(.*?)</tbody>`, "s")) ?? ["", ""];
    return [...table.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) => [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) => cell.replaceAll(/<[^>]*>/g, "")));
  };
  // More groups than there are lines.
  await world.create(...Array.from({ length: 13 }, (_, at) => ({ id: `k${at}`, user_id: "ada", kind: `kind-${at}`, tokens: 0, created_at: NOW })));
  for (const [query, where] of [
    ["", "true"],
    ["status=failed", "status = 'failed'"],
    ["kind=video&user_id=bo", "kind = 'video' AND user_id = 'bo'"],
    ["error_code=provider_down&kind=image", "error_code = 'provider_down' AND kind = 'image'"],
    [`failed_since=${new Date(NOW - 50 * MINUTE).toISOString()}`, `status = 'failed' AND finished_at >= ${NOW - 50 * MINUTE}`],
    [`since=${NOW - 50 * MINUTE}&until=${NOW - 20 * MINUTE}`, `created_at >= ${NOW - 50 * MINUTE} AND created_at < ${NOW - 20 * MINUTE}`],
    ["rule=max_age_hours", "rule = 'max_age_hours'"],
  ]) {
    const { text } = await dashboard(`/dashboard/creations?${query}&limit=100`);
    const facets = await world.all(`SELECT status, kind, ifnull(error_code, '–') AS error_code, ifnull(rule, '–') AS rule, count(*) AS creations, sum(tokens) AS tokens
      FROM stale_drafts_creations WHERE ${where} GROUP BY 1, 2, 3, 4 ORDER BY creations DESC, status, kind, error_code, rule LIMIT 12`);
    const shown = cells(text, "What there is most of");
    // As many of a kind as of another may stand in either order.
    const sorted = (rows) => rows.map((row) => row.join("|")).sort();
    assert.ok(facets.length > 0, query);
    const [all] = await world.all(`SELECT count(DISTINCT json_array(status, kind, error_code, rule)) AS lines, count(*) AS creations, sum(tokens) AS tokens FROM stale_drafts_creations WHERE ${where}`);
    const few = all.lines > 12 ? `: the 12 largest of ${all.lines} groups` : "";
    assert.ok(text.includes(`Among the newest 5,000 of each database${few}. In all: ${all.creations} creations, ${all.tokens} token`), query);
    assert.deepEqual(sorted(shown), sorted(facets.map((row) => [row.status, row.kind, row.error_code, row.rule, `${row.creations}`, `${row.tokens}`])), query);
    const owners = await world.all(`SELECT user_id, count(*) AS creations, sum(status = 'failed') AS failed, sum(tokens) AS tokens FROM stale_drafts_creations WHERE ${where} GROUP BY user_id ORDER BY creations DESC, user_id LIMIT 12`);
    // Of one owner there is nothing to compare.
    const most = query.includes("user_id") ? [] : owners.map((row) => [row.user_id, `${row.creations}`, `${row.failed}`, `${row.tokens}`]);
    assert.deepEqual(cells(text, "Who has most"), most, query);
    // The table behind the chart has a line for each hour, and a column for each code.
    const [, heads, lines] = text.match(/aria-label="The numbers of the bars"><table><thead>(.*?)<\/thead><tbody>(.*?)<\/tbody>/s) ?? ["", "", ""];
    const codes = [...heads.matchAll(/<th[^>]*>(.*?)<\/th>/g)].slice(1).map(([, head]) => head);
    const charted = [...lines.matchAll(/<tr>(.*?)<\/tr>/gs)].flatMap(([, row]) => {
      const [from, ...numbers] = [...row.matchAll(/<t[dh][^>]*>(.*?)<\/t[dh]>/gs)].map(([, cell]) => cell);
      return numbers.flatMap((number, at) => (number === "0" ? [] : [`${from}|${codes[at]}|${number}`]));
    });
    const failures = await world.all(`SELECT strftime('%Y-%m-%d %H:00', finished_at / 1000, 'unixepoch') AS hour, error_code, count(*) AS n FROM stale_drafts_creations WHERE (${where}) AND status = 'failed' GROUP BY 1, 2`);
    assert.deepEqual(charted.sort(), failures.map((row) => `${row.hour}|${row.error_code}|${row.n}`).sort(), query);
    // What a sweep is about to fail has its error already, and no time of its failure.
    const rows = await world.all(`SELECT c.id, user_id, kind, tokens, ifnull(error_code, '–') AS code, ifnull(strftime('%Y-%m-%d %H:%M', iif(status = 'failed', finished_at, NULL) / 1000, 'unixepoch'), '–') AS failed_at, ifnull((SELECT tokens FROM stale_drafts_ledger WHERE entry_key = 'refund:' || c.id), 0) AS refunded
      FROM stale_drafts_creations AS c WHERE ${where} ORDER BY rowid DESC LIMIT 100`);
    // The error ends with its code.
    const found = cells(text, "Creations that were found").map((row) => row.slice(-10));
    assert.deepEqual(found.map(([id, , failedAt, tokens, user, kind, error, , , refunded]) => [id, failedAt === "–" ? "–" : error.split(" ").at(-1), failedAt, tokens, user, kind, refunded]), rows.map((row) => [row.id, row.code, row.failed_at, `${row.tokens}`, row.user_id, row.kind, `${row.refunded}`]), query);
  }
  // A plan says what SQL says: what failed, and is neither deleted nor settled elsewhere.
  const [{ csrf }] = [...(await dashboard("/dashboard/creations?status=failed")).text.matchAll(/name="csrf" value="(?<csrf>[^"]*)"/g)].map(({ groups }) => groups);
  const response = await world.fetch("/dashboard/retries/preview", { method: "POST", headers: { ...headers, "Content-Type": "application/x-www-form-urlencoded" }, body: new URLSearchParams({ csrf, which: "all", sought: "status=failed&error_code=provider_down" }) });
  const preview = await response.text();
  const [{ creations, tokens, owners }] = await world.all("SELECT count(*) AS creations, sum(tokens) AS tokens, count(DISTINCT user_id) AS owners FROM stale_drafts_creations WHERE status = 'failed' AND error_code = 'provider_down'");
  assert.match(preview, new RegExp(`<strong>${creations} would be retried</strong>, and <strong>${tokens} tokens</strong> charged to ${owners} owners\\.`));
});
