// What operators do by the forms of the dashboard: about one creation, for a kind, about a sweep, and for many at once.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, start } from "./harness.mjs";

let world;
before(async () => {
  world = await start({
    config: { circuit_breaker: "off", policy: { kinds: { video: { cancel: "never" } } } },
  });
});
after(() => world?.stop());
beforeEach(() => world.order({ now: NOW }));

const headers = { Authorization: `Bearer ${CLEANUP_TOKEN}` };
const csrf = createHmac("sha256", CLEANUP_TOKEN).update("stale-drafts csrf").digest("hex").slice(0, 32);
/** What a button of the dashboard sends. */
async function press(action, fields, own = csrf) {
  const body = new URLSearchParams(fields);
  body.append("csrf", own);
  const response = await world.fetch(`/dashboard/${action}`, { method: "POST", headers: { ...headers, "Content-Type": "application/x-www-form-urlencoded" }, body: `${body}` });
  return { status: response.status, location: response.headers.get("Location"), text: await response.text() };
}
const page = async (path) => (await world.fetch(path, { headers })).text();
const post = async (path, body, token = CLEANUP_TOKEN) => {
  const response = await world.fetch(path, { method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, body: JSON.stringify(body) });
  return [response.status, await response.json()];
};
const balance = async (user) => (await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = ?", user)).tokens;
const acts = (id) => world.all("SELECT actor, action, detail FROM stale_drafts_audit WHERE subject = 'creation:' || ? ORDER BY id", id);
/** The lines of a creation's timeline, without their times. */
const timeline = async (id) => [...(await page(`/dashboard/creations/${id}`)).matchAll(/<li><time[^>]*>[^<]*<\/time> <span dir="auto">(.*?)<\/span><\/li>/gs)].map(([, line]) => line.replaceAll(/<\/?code>/g, "`"));
/** The address that a button led to, and what the page says there. */
const done = async (pressed) => {
  const { status, location, text } = await pressed;
  assert.equal(status, 303, text);
  return [location.split("?")[0], notice(await page(location))];
};
const notice = (text) => text.match(/<p class="notice"[^>]*>Done: (.*?)\.<\/p>/)?.[1];

test("a creation is failed by an operator in their own words, retried, cancelled and restored, and its timeline says who did what", async () => {
  await world.grant("ada", 100);
  await world.create({ id: "c1", user_id: "ada", kind: "image", tokens: 10, created_at: NOW });
  const before = await page("/dashboard/creations/c1");
  assert.match(before, /Fail it now/);
  assert.doesNotMatch(before, /action="\/dashboard\/(retry|restore)"/);

  const words = "the model <i>was</i> wrong";
  assert.deepEqual(await done(press("fail", { id: "c1", attempt: 1, error: words })), ["/dashboard/creations/c1", "it is failed, refunded: 10 tokens"]);
  assert.deepEqual(await world.one("SELECT status, error, error_code FROM stale_drafts_creations WHERE id = 'c1'"), { status: "failed", error: words, error_code: "failed_by_operator" });
  // Pressed once more it is answered as before, and nothing comes of it.
  await world.order({ now: NOW + MINUTE });
  assert.equal((await done(press("fail", { id: "c1", attempt: 1, error: words })))[1], "it is failed, refunded: 10 tokens");
  assert.equal(await balance("ada"), 100);
  const failed = await page("/dashboard/creations/c1");
  assert.match(failed, /Retry for 10 tokens/);
  assert.match(failed, /<dt>Attempt<\/dt><dd>1 of 1<\/dd>/);
  assert.doesNotMatch(failed, /<i>was/);

  assert.deepEqual(await done(press("retry", { id: "c1", attempt: 1 })), ["/dashboard/creations/c1", "another attempt begins, for 10 tokens"]);
  assert.equal(await balance("ada"), 90);
  // Of an attempt by hand, the policy's number says nothing.
  assert.match(await page("/dashboard/creations/c1"), /<dt>Attempt<\/dt><dd>2<\/dd>/);
  await world.order({ now: NOW + 2 * MINUTE });
  const { fence } = await world.report("/c1/start", { worker: "w1" });
  await world.order({ now: NOW + 3 * MINUTE });
  assert.equal((await done(press("cancel", { id: "c1", attempt: 2 })))[1], "it is cancelled, refunded: 10 tokens");
  await world.order({ now: NOW + 4 * MINUTE });
  assert.equal((await world.report("/c1/complete", { fence, result_url: "https://files.example/late.png" })).http, 409);
  await world.order({ now: NOW + 5 * MINUTE });
  assert.equal((await done(press("restore", { id: "c1" })))[1], "the late result is restored, for 10 tokens");
  assert.equal(await balance("ada"), 90);
  assert.deepEqual(await timeline("c1"), [
    "Created",
    "Charged: 10 tokens",
    "Attempt 1: Failed by CLEANUP_TOKEN: the model &lt;i&gt;was&lt;/i&gt; wrong",
    "Refunded: 10 tokens",
    "Retried by CLEANUP_TOKEN. Charged again for attempt 2: 10 tokens",
    "Queued for attempt 2",
    "Attempt 2 started by w1",
    "Attempt 2: Cancelled by CLEANUP_TOKEN",
    "Refunded: 10 tokens",
    "A result came in too late and was kept",
    "The late result was restored by CLEANUP_TOKEN",
    "Charged again for the late result: 10 tokens",
  ]);
  assert.deepEqual((await acts("c1")).map(({ actor, action, detail }) => [actor, action, detail]), [["CLEANUP_TOKEN", "fail", words], ["CLEANUP_TOKEN", "retry", "attempt 1"], ["CLEANUP_TOKEN", "cancel", ""], ["CLEANUP_TOKEN", "restore", ""]]);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("over the API it is the same, and what an owner does needs no line of the audit", async () => {
  await world.create({ id: "c2", user_id: "ada", kind: "video", tokens: 10, status: "processing", created_at: NOW, started_at: NOW });
  const failed = [200, { id: "c2", status: "failed", attempt: 1, finished_at: NOW, tokens_used: 0, refunded_tokens: 10 }];
  // Its policy lets nobody cancel it: an operator may fail it all the same.
  assert.equal((await world.report("/c2/cancel", {})).code, "not_cancellable");
  assert.deepEqual(await post("/api/creations/c2/fail-now", { attempt: 1, error: "a wrong model" }), failed);
  assert.deepEqual(await post("/api/creations/c2/fail-now", { attempt: 1, error: "again" }), failed);
  assert.deepEqual((await post("/api/creations/c2/fail-now", { attempt: 2, error: "x" }))[1].code, "other_attempt");
  assert.equal((await post("/api/creations/c2/fail-now", { attempt: 1, error: "" }))[0], 400);
  assert.equal((await post("/api/creations/none/fail-now", { attempt: 1, error: "x" }))[0], 404);
  assert.equal((await world.report("/c2/fail-now", { attempt: 1, error: "x" })).http, 403);
  assert.equal((await world.report("/c2/fail", { error_code: "failed_by_operator" })).http, 400);
  const retried = await world.as("ada", "/api/drafts/c2/retry", { method: "POST", body: JSON.stringify({ attempt: 1 }) });
  assert.equal(retried.status, 200, await retried.text());
  await world.order({ now: NOW + MINUTE });
  const cancelled = await world.as("ada", "/api/drafts/c2/cancel", { method: "POST", body: "{}" });
  assert.equal(cancelled.status, 200, await cancelled.text());
  assert.deepEqual((await acts("c2")).map(({ action }) => action), ["fail"]);
  const lines = await timeline("c2");
  assert.ok(lines.includes("Retried by its owner. Charged again for attempt 2: 10 tokens"), lines.join("\n"));
  assert.ok(lines.includes("Cancelled by its owner"), lines.join("\n"));
});

test("of two databases the one that has it fails it and refunds its owner, whatever the id says", async (t) => {
  const two = await start({ shards: 2, config: { circuit_breaker: "off" } });
  t.after(() => two.stop());
  await two.order({ now: NOW });
  // One owner on each, with an id of the app's and one of ours.
  const owners = ["u0", "u1", "u2", "u3", "u4", "u5"];
  const at = (user) => bucketOf(user) >> 11;
  const [here, there] = [0, 1].map((shard) => owners.find((user) => at(user) === shard));
  const failNow = async (path, body) => {
    const response = await two.fetch(`/api/creations/${path}`, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) });
    return [response.status, await response.json()];
  };
  const words = { attempt: 1, error: "This model is withdrawn." };
  const ours = {};
  for (const user of [here, there]) {
    await two.databases[at(user)].prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 100, 0)").bind(user).run();
    for (const name of ["found", "named"]) await two.databases[at(user)].prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES (?1 || '-of-' || ?2, ?2, 'image', '', 'pending', 10, ?3)").bind(name, user, NOW).run();
    ours[user] = (await two.report("", { user_id: user, kind: "image", prompt: "a fox", tokens: 10 })).id;
  }
  const done = (id) => [200, { id, status: "failed", attempt: 1, finished_at: NOW, tokens_used: 0, refunded_tokens: 10 }];
  for (const user of [here, there]) {
    const path = `named-of-${user}/fail-now?user_id=`;
    assert.deepEqual(await failNow(`found-of-${user}/fail-now`, words), done(`found-of-${user}`), "it is looked for");
    assert.equal((await failNow(`${path}${user === here ? there : here}`, words))[0], 404, "it is nobody else's");
    assert.deepEqual(await failNow(`${path}${user}`, words), done(`named-of-${user}`));
    assert.deepEqual(await failNow(`${ours[user]}/fail-now`, words), done(ours[user]));
    // Again, and nothing twice.
    assert.deepEqual(await failNow(`${ours[user]}/fail-now`, words), done(ours[user]));
    const { results } = await two.databases[at(user)].prepare("SELECT (SELECT group_concat(user_id || tokens) FROM stale_drafts_balances) AS balance, (SELECT count(*) FROM stale_drafts_audit WHERE action = 'fail') AS acts").all();
    assert.deepEqual(results, [{ balance: `${user}100`, acts: 3 }]);
  }
  // What an app calls alike on both is nobody's before its owner is named.
  for (const user of [here, there]) await two.databases[at(user)].prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES ('alike', ?1, 'image', '', 'pending', 10, ?2)").bind(user, NOW).run();
  const [status, { error, user_ids }] = await failNow("alike/fail-now", words);
  assert.deepEqual([status, error, user_ids], [400, "`alike` is an id of several users: expected `user_id` in the query", [here, there]]);
  // The page asks whose, and its forms are about that one.
  const Cookie = { Cookie: `operator=${CLEANUP_TOKEN}` };
  const page = async (query) => (await two.fetch(`/dashboard/creations/alike${query}`, { headers: Cookie })).text();
  const whose = await page("");
  assert.match(whose, /Several users have a creation with the id <code>alike<\/code>/);
  for (const user of [here, there]) {
    assert.ok(whose.includes(`href="/dashboard/creations/alike?user_id=${user}"`));
    const its = await page(`?user_id=${user}`);
    assert.match(its, new RegExp(`<dt>Owner</dt><dd>${user}</dd>`));
    assert.equal(its.match(/name="id"/g).length, its.match(new RegExp(`name="user_id" value="${user}"`, "g")).length);
  }
  const csrf = (await page(`?user_id=${here}`)).match(/name="csrf" value="(\w+)"/)[1];
  const noted = await two.fetch("/dashboard/note", { method: "POST", redirect: "manual", headers: Cookie, body: new URLSearchParams({ csrf, id: "alike", user_id: here, text: "look" }) });
  assert.deepEqual([noted.status, noted.headers.get("Location")], [303, `/dashboard/creations/alike?user_id=${here}&done=noted`]);
  assert.match(await page(`?user_id=${here}`), /Noted by [^<]*: look/);
  assert.doesNotMatch(await page(`?user_id=${there}`), /: look/);
  assert.deepEqual(await failNow(`alike/fail-now?user_id=${there}`, words), done("alike"));
  assert.equal(await two.databases[0].prepare("SELECT status FROM stale_drafts_creations WHERE id = 'alike'").first("status"), "pending");
  // Of one database that does not answer nothing is known; the other goes on.
  await two.databases[0].prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES ('late', ?1, 'image', '', 'pending', 10, ?2)").bind(here, NOW).run();
  await two.order({ now: NOW, dead: ["DB_1"] });
  assert.equal((await failNow(`${ours[there]}/fail-now`, words))[0], 503);
  assert.deepEqual(await failNow(`late/fail-now?user_id=${here}`, words), done("late"));
});

test("a note has as many characters as the form counts, whatever ends its lines", async () => {
  await world.create({ id: "lines", user_id: "ada", kind: "image", tokens: 1, created_at: NOW });
  const text = Array(10).fill("a".repeat(199)).join("\r\n");
  assert.equal((await done(press("note", { id: "lines", text })))[1], "the note is added");
  assert.equal((await acts("lines"))[0].detail.length, 1_999);
  // What was given to one that is over does not hold any more.
  assert.match((await done(press("extend", { id: "lines", minutes: 90, reason: "x" })))[1], /it has time until/);
  assert.match(await page("/dashboard/creations/lines"), /<dt>More time \(UTC\)<\/dt><dd>2023-11-14 23:43<\/dd>/);
  await press("fail", { id: "lines", attempt: 1, error: "no" });
  assert.match(await page("/dashboard/creations/lines"), /<dt>More time \(UTC\)<\/dt><dd>–<\/dd>/);
  // Of many, too.
  const many = await press("retries", { plan: "[]", sought: "status=failed", reason: "y".repeat(1_001) });
  assert.deepEqual([many.status, many.text.includes(`>${"y".repeat(1_001)}<`), many.text.includes('href="/dashboard/creations?status=failed#found"')], [400, true, true]);
});

test("what is in the way is said in words, with the way back", async () => {
  await world.grant("poor", 10);
  await world.create({ id: "c3", user_id: "poor", kind: "image", tokens: 10, created_at: NOW }, { id: "a/b", user_id: "ada", tokens: 1, created_at: NOW });
  await press("fail", { id: "c3", attempt: 1, error: "no" });
  await world.create({ id: "c4", user_id: "poor", kind: "image", tokens: 7, created_at: NOW });
  const poor = await press("retry", { id: "c3", attempt: 1 });
  assert.equal(poor.status, 402);
  assert.match(poor.text, /The balance of its owner, 3, does not cover the charge of 10 tokens\. Nothing was changed\..*href="\/dashboard\/creations\/c3"/s);
  for (const [action, fields, status, words] of [
    ["retry", { id: "c4", attempt: 1 }, 409, /still being generated/],
    ["retry", { id: "c4", attempt: "two" }, 400, /`attempt` is `two`/],
    ["restore", { id: "c3" }, 409, /no result/],
    ["fail", { id: "c3", attempt: 1, error: "" }, 400, /`error`/],
    ["extend", { id: "c4", minutes: "", until: "", reason: "x" }, 400, /either `minutes` or `until`/],
    ["extend", { id: "c4", minutes: "5", until: "2023-11-15T00:00", reason: "x" }, 400, /either `minutes` or `until`/],
    ["extend", { id: "c4", minutes: "5", reason: "" }, 400, /`reason`/],
    ["extend", { id: "c4", minutes: "", until: "2023-11-14T22:00", reason: "too late" }, 400, /the end is 2023-11-14 22:00 UTC: expected a time after now, 2023-11-14 22:13 UTC, and within 30 days/],
    ["note", { id: "c4", text: "a\0b" }, 400, /U\+0000/],
    ["extend", { id: "c3", minutes: "5", reason: "x" }, 409, /not generated any more/],
    ["cancel", { id: "nobody", attempt: 1 }, 404, /no such creation/],
    ["note", { id: "c4", text: "  " }, 400, /the note has 0 characters/],
    ["note", { sweep: "nothing", text: "x" }, 404, /there is no sweep `nothing`/],
    ["extend-kind", { kind: "", minutes: "5", reason: "x" }, 400, /`kind`/],
    ["end-extension", { kind: "music" }, 404, /`music` has no more time/],
    ["retries/preview", { which: "chosen", sought: "" }, 400, /nothing is chosen/],
    ["retries/preview", { which: "all", sought: "since=soon" }, 400, /`since` is `soon`/],
    ["retries", { plan: "[]x" }, 400, /./],
  ]) {
    const answer = await press(action, fields);
    assert.equal(answer.status, status, `${action} ${JSON.stringify(fields)}: ${answer.text}`);
    assert.match(answer.text.replaceAll(/<\/?code>/g, "`"), words);
    // Nobody has to write it again.
    const wrote = [fields.text?.trim(), fields.error, fields.reason].find(Boolean);
    assert.equal(answer.text.match(/<p class="typed" dir="auto">([^<]*)</)?.[1].trim(), wrote, action);
    // No other site's page, and no page of another operator, can press it; what was written on a page that is too old is not lost.
    const old = await press(action, fields, "0".repeat(32));
    assert.equal(old.status, 403, action);
    assert.equal(old.text.match(/<p class="typed" dir="auto">([^<]*)</)?.[1].trim(), wrote, action);
  }
  assert.deepEqual(await done(press("note", { id: "a/b", text: "odd" })), ["/dashboard/creations/a%2Fb", "the note is added"]);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("an address makes the page say nothing that is not on its list", async () => {
  await world.create({ id: "said", user_id: "ada", kind: "image", tokens: 1, created_at: NOW });
  for (const path of ["/dashboard/creations/said", "/dashboard"]) {
    for (const query of ["done=everything+was+deleted", "done=", "done=failed", "done=failed&tokens=all", "done=failed&tokens=-1", "done=paused&done=resumed", "done=kind_extended&until=1&creations=2&more=call+us"]) {
      const text = await page(`${path}?${query}`);
      assert.equal(notice(text), undefined, query);
      assert.doesNotMatch(text, /class="notice"|everything|call us/, query);
    }
    assert.equal(notice(await page(`${path}?done=failed&tokens=30&utm_source=chat`)), "it is failed, refunded: 30 tokens");
  }
  assert.equal(notice(await page("/dashboard?done=swept&failed=2&retried=1000&unreached=1")), "2 failed, 1,000 retried; 1 database was not reached");
});

test("more time is given by minutes or until an instant, to one and to a kind, and the kind's is ended", async () => {
  await world.create({ id: "c5", kind: "music", tokens: 0, created_at: NOW - HOUR });
  assert.deepEqual(await done(press("extend", { id: "c5", attempt: 1, minutes: "30", until: "", reason: "the <b>provider</b>" })), ["/dashboard/creations/c5", "it has time until 2023-11-14 22:43 UTC"]);
  assert.equal((await done(press("extend", { id: "c5", minutes: "", until: "2023-11-15T01:00", reason: "still" })))[1], "it has time until 2023-11-15 01:00 UTC");
  assert.equal((await done(press("extend-kind", { kind: "music", minutes: "600", reason: "slow" })))[1], "the kind has time until 2023-11-15 08:13 UTC, given now to 1 of what is active");
  const lines = await timeline("c5");
  for (const line of ["CLEANUP_TOKEN gave it more time until 2023-11-14 22:43 UTC: the &lt;b&gt;provider&lt;/b&gt;", "CLEANUP_TOKEN gave it more time until 2023-11-15 01:00 UTC: still", "CLEANUP_TOKEN gave its kind `music` more time until 2023-11-15 08:13 UTC: slow"]) assert.equal(lines.filter((other) => other === line).length, 1, `${line}\n${lines.join("\n")}`);
  assert.ok(!lines.some((line) => line.startsWith("Given more time")), "an extension is told once");
  assert.match(await page("/dashboard"), /<th class="name" scope="row" data-head="Kind">music<\/th><td class="name" data-head="Until \(UTC\)">2023-11-15 08:13<\/td><td class="name" data-head="By">CLEANUP_TOKEN<\/td>.*End what music has/s);
  assert.equal((await done(press("end-extension", { kind: "music" })))[1], "the kind has no more time than its limits give");
  assert.doesNotMatch(await page("/dashboard"), /End what music has/);
});

test("a kind of which more are active than one press reaches is given its time, and loses it, by a button that goes on", async () => {
  const kind = "song & dance";
  await world.create(...Array.from({ length: 4_001 }, (_, n) => ({ id: `song-${n}`, kind, tokens: 0, created_at: NOW })));
  const given = async () => (await world.all("SELECT extended_until AS until, count(*) AS n FROM stale_drafts_creations WHERE kind = ? GROUP BY 1 ORDER BY 1", kind)).map(({ until, n }) => [until, n]);
  /** The button of the page that a press led to: what it sends where. */
  const goOn = async ({ location }) => {
    const [, action, fields] = (await page(location)).match(/<form id="go-on" method="post" action="\/dashboard\/([\w-]+)">(.*?)<button[^>]*>Go on<\/button>/s) ?? [];
    const inputs = [...(fields ?? "").matchAll(/name="(\w+)" value="([^"]*)"/g)].map(([, name, value]) => [name, value.replaceAll("&quot;", '"').replaceAll("&amp;", "&")]);
    return action && [action, Object.fromEntries(inputs.filter(([name]) => name !== "csrf"))];
  };
  const until = NOW + 600 * MINUTE;
  const first = await press("extend-kind", { kind, minutes: "600", reason: 'it is "slow"' });
  assert.equal((await done(first))[1], "the kind has time until 2023-11-15 08:13 UTC, given now to 4,000 of what is active; some are left");
  assert.deepEqual(await goOn(first), ["extend-kind", { kind, until: `${until}`, reason: 'it is "slow"' }]);
  // It is pressed later, and the end is the same.
  await world.order({ now: NOW + MINUTE });
  const second = await press(...(await goOn(first)));
  assert.equal((await done(second))[1], "the kind has time until 2023-11-15 08:13 UTC, given now to 1 of what is active");
  assert.equal(await goOn(second), undefined);
  assert.deepEqual(await given(), [[until, 4_001]]);
  assert.deepEqual((await world.all("SELECT until, reason FROM stale_drafts_extensions WHERE name = ?", kind)).map((row) => ({ ...row })), [{ until, reason: 'it is "slow"' }]);
  // An address that somebody else has made has no button for what the kind was not given.
  for (const query of [`until=${until + 1}&creations=1&more=true&kind=song+%26+dance`, `until=${until}&creations=1&more=true&kind=opera`, `until=${until}&creations=1&more=true`]) assert.equal(await goOn({ location: `/dashboard?done=kind_extended&${query}` }), undefined, query);
  assert.equal(await goOn({ location: "/dashboard?done=kind_ended&more=true&kind=song+%26+dance" }), undefined);

  const ended = await press("end-extension", { kind });
  assert.equal((await done(ended))[1], "the kind has no more time than its limits give; some are left");
  assert.deepEqual(await goOn(ended), ["end-extension", { kind }]);
  const last = await press(...(await goOn(ended)));
  assert.equal((await done(last))[1], "the kind has no more time than its limits give");
  assert.equal(await goOn(last), undefined);
  assert.deepEqual(await given(), [[NOW + MINUTE, 4_001]]);
});

test("a sweep's notes are in its list, on the dashboard and in the timeline of what it failed", async () => {
  await world.create({ id: "c6", user_id: "ada", kind: "image", tokens: 5, created_at: NOW - 2 * HOUR });
  await world.cron();
  const [{ id, notes }] = (await world.ask("/api/sweeps?limit=1")).sweeps;
  assert.deepEqual(notes, []);
  assert.deepEqual(await done(press("note", { id: "", sweep: id, text: "after the <b>outage</b>" })), ["/dashboard", "the note is added"]);
  const [noted] = (await world.ask("/api/sweeps?limit=1")).sweeps;
  assert.deepEqual(noted.notes.map(({ actor, action, detail, at }) => [actor, action, detail, at]), [["CLEANUP_TOKEN", "note", "after the <b>outage</b>", NOW]]);
  assert.match(await page("/dashboard"), /CLEANUP_TOKEN: after the &lt;b&gt;outage&lt;\/b&gt;/);
  const lines = await timeline("c6");
  assert.ok(lines.some((line) => /^Failed by max_age_hours in a sweep \(cron\): Generation timeout: /.test(line)), lines.join("\n"));
  assert.ok(lines.includes("CLEANUP_TOKEN noted about the sweep (cron): after the &lt;b&gt;outage&lt;/b&gt;"), lines.join("\n"));
});

test("many are chosen on the explorer, previewed, and exactly those are retried; who moved on or can't pay is named", async () => {
  await world.grant("rich", 1_000);
  await world.grant("broke", 20);
  await world.create(...Array.from({ length: 30 }, (_, at) => ({ id: `m${at}`, user_id: at < 24 ? "rich" : "broke", kind: "bulk", tokens: at < 24 ? 10 : 3, created_at: NOW - MINUTE + at })));
  await world.database.exec("UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 1000, error = 'it said 503', error_code = 'provider_down' WHERE kind = 'bulk'");
  // What broke has left pays for two of their six.
  await world.create({ id: "spent", user_id: "broke", kind: "image", tokens: 14, created_at: NOW });
  const explorer = await page("/dashboard/creations?kind=bulk&select=page&limit=5");
  const values = [...explorer.matchAll(/name="creation" value="([^"]*)" checked/g)].map(([, value]) => value.replaceAll("&quot;", '"'));
  assert.deepEqual(values.map((value) => JSON.parse(value).id), ["m29", "m28", "m27", "m26", "m25"]);
  assert.equal([...(await page("/dashboard/creations?kind=bulk&limit=5")).matchAll(/type="checkbox"[^>]* checked/g)].length, 0);

  const chosen = await press("retries/preview", [["which", "chosen"], ["sought", "kind=bulk"], ["creation", values[0]], ["creation", values[1]], ["creation", '{"id":"m0","attempt":1,"user_id":"rich"}']]);
  assert.equal(chosen.status, 200, chosen.text);
  assert.match(chosen.text, /<strong>3 would be retried<\/strong>, and <strong>16 tokens<\/strong> charged to 2 owners/);
  const all = await press("retries/preview", { which: "all", sought: "status=failed&kind=bulk&error_code=provider_down" });
  assert.match(all.text, /<strong>26 would be retried<\/strong>, and <strong>246 tokens<\/strong> charged to 2 owners\. <strong>4<\/strong> can't be paid/);
  assert.match(all.text, /<th class="id" scope="row">broke<\/th><td [^>]*"Balance">6<\/td><td [^>]*"All would cost">18<\/td><td [^>]*"Creations">6<\/td><td [^>]*"Would be retried">2<\/td>/);
  assert.match(all.text, /href="\/dashboard\/creations\?status=failed&amp;kind=bulk&amp;error_code=provider_down#found"/);
  // Where nobody can pay there is nothing to press.
  await world.grant("ruined", 3);
  await world.create({ id: "ruin", user_id: "ruined", kind: "ruin", tokens: 3, created_at: NOW });
  await world.database.exec("UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at, error = 'x', error_code = 'y' WHERE id = 'ruin'");
  await world.create({ id: "last", user_id: "ruined", kind: "image", tokens: 3, created_at: NOW });
  const none = await press("retries/preview", { which: "all", sought: "kind=ruin" });
  assert.match(none.text, /<strong>0 would be retried<\/strong>.*<strong>1<\/strong> can't be paid.*No balance covers any of these/s);
  assert.doesNotMatch(none.text, /Retry exactly these|name="plan"/);
  // Nothing was changed by looking.
  assert.equal((await world.one("SELECT count(*) AS failed FROM stale_drafts_creations WHERE kind = 'bulk' AND status = 'failed'")).failed, 30);
  const plan = all.text.match(/name="plan" value="([^"]*)"/)[1].replaceAll("&quot;", '"');
  // One moves on meanwhile.
  await press("retry", { id: "m3", attempt: 1 });
  const outcome = await press("retries", { plan, sought: "kind=bulk", reason: "the provider is back" });
  assert.equal(outcome.status, 200, outcome.text);
  assert.match(outcome.text, /Done: 25 creations were retried, for 236 tokens\. 5 were left as they are, and are named below/);
  assert.match(outcome.text, />m3<\/a><\/th><td [^>]*"Why">it has been retried since: it is <code>pending<\/code> now, attempt 2 <code>already_retried<\/code><\/td><td [^>]*"Owner">rich<\/td><td [^>]*"Attempt">1<\/td>/);
  assert.equal([...outcome.text.matchAll(/<code>insufficient_tokens<\/code>/g)].length, 4);
  const rows = await world.all("SELECT status, count(*) AS creations FROM stale_drafts_creations WHERE kind = 'bulk' GROUP BY status ORDER BY status");
  assert.deepEqual(rows.map(({ status, creations }) => [status, creations]), [["failed", 4], ["pending", 26]]);
  const lines = await timeline("m1");
  assert.ok(lines.includes("Retried by CLEANUP_TOKEN, with others (the provider is back). Charged again for attempt 2: 10 tokens"), lines.join("\n"));
  assert.deepEqual(await world.wrongBalances(), []);
});

/** What a page leads back to from a message. */
const back = (text) => text.match(/<a class="button" href="([^"]*)">([^<]*)<\/a>/).slice(1).map((part) => part.replaceAll("&amp;", "&"));

test("without a filter all that failed is not previewed, and what was sought stands on the preview", async () => {
  await world.create({ id: "sought", user_id: "seeker", kind: "sought", tokens: 0, created_at: NOW });
  await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${NOW}, error = 'x', error_code = 'y' WHERE id = 'sought'`);
  const button = /value="all"/;
  for (const [query, offered] of [["", false], ["?status=failed", false], ["?status=failed&limit=50", false], ["?kind=sought", true], [`?failed_since=${NOW}`, true], ["?status=pending&kind=sought", false]]) {
    const text = await page(`/dashboard/creations${query}`);
    assert.equal(button.test(text), offered, query);
    assert.equal(text.includes("choose a filter first"), !offered && !query.includes("pending"), query);
  }
  // Nor if the form is sent all the same, or its filter was lost on the way.
  for (const sought of ["", "status=failed", "kind=", "limit=5&order=&unknown=x", "%"]) {
    const refused = await press("retries/preview", { which: "all", sought });
    assert.equal(refused.status, 400, sought);
    assert.match(refused.text, /choose a filter first, such as an error code, a kind, an owner or a time/);
    assert.equal(back(refused.text)[1], "Back to the creations");
  }
  const said = async (sought) => (await press("retries/preview", { which: "all", sought })).text.match(/<p>(Of what failed: .*?)<\/p>/)[1].replaceAll(/<\/?code>/g, "`");
  assert.equal(await said("status=failed&kind=sought"), "Of what failed: all with kind `sought`.");
  assert.equal(
    await said("user_id=seeker&rule=a%3Cb&since=2023-11-14T10:00&until=2024-01-01T00:00:30Z&failed_since=1700000000000&failed_until=2024-01-01T00:00:00%2B02:00&error_code=y&kind=sought"),
    "Of what failed: all with error code `y`, kind `sought`, owner `seeker`, rule `a&lt;b`, failed since `2023-11-14T22:13:20Z`, failed before `2023-12-31T22:00:00Z`, created since `2023-11-14T10:00:00Z`, created before `2024-01-01T00:00:30Z`.",
  );
  const chosen = await press("retries/preview", { which: "chosen", sought: "kind=sought", creation: '{"id":"sought","attempt":1,"user_id":"seeker"}' });
  assert.match(chosen.text, /Of what failed: those that were chosen\./);
  // Who chose nothing is led back to what they had found, and so is who chooses all of a page.
  const nothing = await press("retries/preview", { which: "chosen", sought: "kind=sought&error_code=y" });
  assert.deepEqual([nothing.status, ...back(nothing.text)], [400, "/dashboard/creations?kind=sought&error_code=y#found", "Back to the creations"]);
  assert.match(await page("/dashboard/creations?kind=sought"), /href="\/dashboard\/creations\?kind=sought&amp;select=page#found">Choose all of this page/);
});

test("where more match than one plan holds, the result says so and leads to the next preview", async () => {
  await world.create(...Array.from({ length: 1_003 }, (_, at) => ({ id: `many-${at}`, user_id: "seeker", kind: "many", tokens: 0, created_at: NOW })));
  await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${NOW}, error = 'x', error_code = 'y' WHERE kind = 'many'`);
  const fields = (text, action) => {
    const [, form] = text.match(new RegExp(`<form[^>]*action="/dashboard/${action}">(.*?)</form>`, "s"));
    return Object.fromEntries([...form.matchAll(/name="([^"]*)" value="([^"]*)"/g)].filter(([, name]) => name !== "csrf").map(([, name, value]) => [name, value.replaceAll("&quot;", '"').replaceAll("&amp;", "&")]));
  };
  const first = await press("retries/preview", { which: "all", sought: "kind=many" });
  const outcome = await press("retries", fields(first.text, "retries"));
  assert.match(outcome.text, /Done: 1,000 creations were retried, for 0 tokens\. None of this plan was left\./);
  assert.match(outcome.text, /More may match than these.*Preview the next ones/s);
  const next = await press("retries/preview", fields(outcome.text, "retries/preview"));
  assert.match(next.text, /all with kind <code>many<\/code>\..*<strong>3 would be retried<\/strong>/s);
  const last = await press("retries", fields(next.text, "retries"));
  assert.match(last.text, /Done: 3 creations were retried/);
  assert.doesNotMatch(last.text, /More may match|Preview the next/);
});

test("what its owner has deleted is marked on the explorer and can't be chosen, and a preview of all says that it leaves it out", async () => {
  await world.create({ id: "gone", user_id: "rich", kind: "gone", tokens: 0, created_at: NOW }, { id: "there", user_id: "rich", kind: "gone", tokens: 0, created_at: NOW });
  await world.database.exec("UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at, error = 'x', error_code = 'y' WHERE kind = 'gone'");
  assert.equal((await world.as("rich", "/api/drafts/gone", { method: "DELETE" })).status, 200);
  const explorer = await page("/dashboard/creations?kind=gone");
  const [gone, there] = ["gone", "there"].map((id) => explorer.match(new RegExp(`<tr>(?:(?!</tr>).)*/dashboard/creations/${id}".*?</tr>`, "s"))[0]);
  assert.match(gone, /deleted by its owner/);
  assert.doesNotMatch(gone, /checkbox/);
  assert.match(there, /checkbox/);
  assert.doesNotMatch(there, /deleted/);
  const all = await press("retries/preview", { which: "all", sought: "kind=gone" });
  assert.match(all.text, /<strong>1 would be retried<\/strong>.*What its owner has deleted is left out\./s);
  const chosen = await press("retries/preview", { which: "chosen", sought: "", creation: '{"id":"gone","attempt":1,"user_id":"rich"}' });
  assert.match(chosen.text, /its owner has deleted it/);
  assert.doesNotMatch(chosen.text, /is left out/);
});

test("a note whose answer is lost is written once, and answered as noted", async () => {
  await world.create({ id: "heard", tokens: 0, created_at: NOW });
  await world.cron();
  const [{ id: sweep }] = (await world.ask("/api/sweeps?limit=1")).sweeps;
  for (const [path, subject] of [["creations/heard", "creation:heard"], [`sweeps/${sweep}`, `sweep:${sweep}`]]) {
    await world.order({ now: NOW, failAfter: /INSERT INTO stale_drafts_audit/, times: 1 });
    const [status, note] = await post(`/api/${path}/notes`, { text: "it is known" });
    assert.equal(status, 201, JSON.stringify(note));
    assert.deepEqual((await world.all("SELECT id FROM stale_drafts_audit WHERE subject = ? AND detail = 'it is known'", subject)).map(({ id }) => id), [note.id]);
  }
  await world.order({ now: NOW });
});
