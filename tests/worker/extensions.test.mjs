// More time, by operators: what is given holds for the sweep, the list, the page and the dashboard alike, and has an end.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, WORKER_TOKEN, start } from "./harness.mjs";

let world;
before(async () => {
  world = await start({ config: { circuit_breaker: "off" } });
  await world.grant("ada", 1_000_000);
});
after(() => world.stop());
beforeEach(async () => {
  await world.order({ now: NOW });
  await world.database.exec("UPDATE stale_drafts_creations SET extended_until = NULL");
  await world.database.exec("UPDATE stale_drafts_creations SET status = 'failed' WHERE status IN ('pending', 'processing')");
  await world.database.exec("DELETE FROM stale_drafts_extensions");
  await world.database.exec("DELETE FROM stale_drafts_audit");
});

const ask = async (path, { method = "GET", body, credential = CLEANUP_TOKEN } = {}) => {
  const response = await world.fetch(path, { method, body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${credential}` } });
  return { http: response.status, ...(await response.json()) };
};
const extend = (id, body) => ask(`/api/creations/${id}/extend`, { method: "POST", body });
const extendKind = (body, credential) => ask("/api/extensions", { method: "POST", body, credential });
const end = (kind) => ask(`/api/extensions?kind=${kind}`, { method: "DELETE" });
const reason = "the provider is down";
const marked = async () => (await (await world.cleanup()).json()).creations.map(({ id }) => id).sort();

test("one creation is not stale before its end: for the sweep, the list, its page and what is followed", async () => {
  await world.create({ id: "put-off" }, { id: "not" });
  const until = NOW + 30 * MINUTE;
  assert.deepEqual(await extend("put-off", { minutes: 30, reason }), { http: 200, id: "put-off", status: "pending", attempt: 1, extended_until: until, deadline: until, is_put_off: true });
  // Its deadline is later already.
  assert.deepEqual(await extend("put-off", { minutes: 10, reason }), { http: 200, id: "put-off", status: "pending", attempt: 1, extended_until: until, deadline: until, is_put_off: false });
  assert.deepEqual(await marked(), ["not"]);
  const { drafts } = await (await world.as("ada", "/api/drafts?limit=100")).json();
  const shown = drafts.find(({ id }) => id === "put-off");
  assert.deepEqual([shown.verdict, shown.extended_until, shown.deadline, shown.max_age_ms], ["fresh", until, until, HOUR]);
  const page = await (await world.as("ada", "/drafts")).text();
  assert.match(page, /It takes longer than usual: it has time until 2023-11-14 22:43 UTC\./);
  assert.match(page, new RegExp(`extended-until="${until}"`));
  const active = await (await world.as("ada", "/api/drafts/active")).json();
  assert.deepEqual(active.drafts.map(({ id, extended_until }) => [id, extended_until]), [["put-off", until]]);
  const explained = await ask("/api/creations/put-off");
  assert.deepEqual(explained.extensions, [{ scope: "creation", name: "put-off", until, since: NOW, actor: "CLEANUP_TOKEN", reason, ended_at: null, ended_by: null }]);
  assert.deepEqual([explained.rule, explained.creation.deadline], ["max_age_hours", until]);
  const [audit] = await world.all("SELECT actor, action, detail, subject FROM stale_drafts_audit");
  assert.deepEqual({ ...audit }, { actor: "CLEANUP_TOKEN", action: "extend", detail: `until ${until}: ${reason}`, subject: "creation:put-off" });

  await world.order({ now: until });
  assert.deepEqual(await marked(), []);
  await world.order({ now: until + 1 });
  assert.deepEqual(await marked(), ["put-off"]);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a kind has an end: it reaches what is active and what is made, and is shown, and ended", async () => {
  await world.create({ id: "old", kind: "video" }, { id: "other" });
  const until = NOW + 6 * HOUR;
  const given = await extendKind({ kind: "video", until, reason });
  assert.deepEqual(given, { http: 200, kind: "video", until, extended: 1, more: false, shards: [] });
  const { id } = await world.report("", { user_id: "ada", kind: "video", prompt: "x", tokens: 1 });
  assert.equal((await world.one("SELECT extended_until FROM stale_drafts_creations WHERE id = ?", id)).extended_until, until);
  assert.deepEqual(await marked(), ["other"]);
  const row = { kind: "video", until, since: NOW, actor: "CLEANUP_TOKEN", reason, ended_at: null, ended_by: null, runs: true, missing: [] };
  assert.deepEqual(await ask("/api/extensions"), { http: 200, now: NOW, extensions: [row], silent: [] });
  // The same again changes nothing; a shorter one is refused; one that is longer takes its place.
  assert.equal((await extendKind({ kind: "video", until, reason })).extended, 0);
  const shorter = await extendKind({ kind: "video", minutes: 5, reason });
  assert.deepEqual([shorter.http, shorter.code, shorter.error], [409, "conflict", `\`CLEANUP_TOKEN\` has given this kind more time until \`${new Date(until).toISOString().replace(".000Z", "Z")}\` already: end that first`]);
  assert.equal((await extendKind({ kind: "video", until: until + 1, reason })).extended, 2);
  assert.deepEqual((await ask("/api/extensions")).extensions.map(({ until: at, runs }) => [at, runs]), [[until + 1, true], [until, false]]);
  const dashboard = await (await world.fetch("/dashboard", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).text();
  assert.equal(dashboard.match(/End what video has/g).length, 1);

  await world.order({ now: NOW + HOUR });
  assert.deepEqual(await end("video"), { http: 200, kind: "video", ended_at: NOW + HOUR, released: 2, more: false, shards: [] });
  const { extensions } = await ask("/api/extensions");
  assert.deepEqual(extensions.map(({ until: at, runs, ended_by }) => [at, runs, ended_by]), [[until + 1, false, "CLEANUP_TOKEN"], [until, false, "CLEANUP_TOKEN"]]);
  const again = await extendKind({ kind: "video", until: until + 1, reason });
  assert.deepEqual([again.http, again.error], [409, `what ends at \`${new Date(until + 1).toISOString().replace(".000Z", "Z")}\` was ended at \`${new Date(NOW + HOUR).toISOString().replace(".000Z", "Z")}\`: expected another \`until\``]);
  await world.order({ now: NOW + HOUR + 1 });
  assert.deepEqual(await marked(), [id, "old"].sort());
  assert.equal((await end("image")).http, 404);
});

test("what is asked wrongly is refused, with what would be right, and by whom it may be asked", async () => {
  await world.create({ id: "c" }, { id: "done", status: "draft" });
  const refused = async (answer, http, said) => {
    const { http: found, error } = await answer;
    assert.equal(found, http, error);
    assert.match(error, said);
  };
  await refused(extend("c", { minutes: 30 }), 400, /`reason` is missing/);
  await refused(extend("c", { reason }), 400, /^expected either `minutes` or `until`$/);
  await refused(extend("c", { minutes: 1, until: NOW + 1, reason }), 400, /^expected either/);
  await refused(extend("c", { minutes: 43_201, reason }), 400, /from 1 to 43200/);
  await refused(extend("c", { until: NOW, reason }), 400, /`until` is `1700000000000` \(2023-11-14T22:13:20Z\): expected epoch milliseconds after now, `1700000000000` \(2023-11-14T22:13:20Z\), and within 30 days/);
  await refused(extend("c", { until: NOW + 31 * 24 * HOUR, reason }), 400, /within 30 days/);
  await refused(extend("c", { minutes: 5, reason: "" }), 400, /`reason`/);
  await refused(extend("nobody", { minutes: 5, reason }), 404, /there is no such creation/);
  const over = await extend("done", { minutes: 5, reason });
  assert.deepEqual([over.http, over.code, over.status], [409, "not_active", "draft"]);
  await refused(extendKind({ kind: "", minutes: 5, reason }), 400, /`kind`/);
  await refused(extendKind({ kind: "video", minutes: 5, reason }, WORKER_TOKEN), 403, /lacks the scope `sweep`/);
  await refused(ask("/api/extensions", { credential: WORKER_TOKEN }), 403, /lacks the scope `read`/);
  assert.deepEqual(await world.all("SELECT * FROM stale_drafts_extensions"), []);
});

test("the dashboard shows what kinds have, and who gave it", async () => {
  await extendKind({ kind: "video", minutes: 90, reason: "<b>a provider</b>" });
  const page = await (await world.fetch("/dashboard", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).text();
  const section = page.match(/id="more-time"[^]*?<\/section>/)?.[0] ?? page.slice(0, 2_000);
  assert.match(section, /video[^]*2023-11-14 23:43[^]*CLEANUP_TOKEN[^]*&lt;b&gt;a provider/);
});

test("a sweep reads a row for each creation that is put off, and where none is, what it read before", async () => {
  await world.cron();
  const idle = async () => {
    const { marked_as_failed, cost } = await (await world.cleanup()).json();
    assert.equal(marked_as_failed, 0);
    return cost;
  };
  await world.create({ id: "fresh", kind: "video", created_at: NOW });
  const before = await idle();
  const count = 10_000;
  await world.create(...Array.from({ length: count }, (_, n) => ({ id: `many-${n}`, kind: "video", tokens: 0, extended_until: NOW + HOUR })));
  const beside = await idle();
  console.log(`10,000 put off: ${beside.rows_read - before.rows_read} rows more read`);
  assert.ok(beside.rows_read - before.rows_read <= count, `${beside.rows_read - before.rows_read} rows read more`);
  assert.equal(beside.rows_written, before.rows_written);
  await world.database.exec("UPDATE stale_drafts_creations SET extended_until = NULL, status = 'failed' WHERE id LIKE 'many-%'");
  assert.deepEqual(await idle(), before);
});
