// What operators did, page by page over several databases.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CLEANUP_TOKEN, NOW, WORKER_TOKEN, start } from "./harness.mjs";

const headers = { Authorization: `Bearer ${CLEANUP_TOKEN}` };
const PER_PAGE = 50;
let world;

before(async () => {
  world = await start({ shards: 2, config: { circuit_breaker: "off" } });
  await world.order({ now: NOW });
});
after(() => world?.stop());

/** A UUIDv7 of the `at`th instant. */
const id = (at) => `${at.toString(16).padStart(12, "0").replace(/^(.{8})/, "$1-")}-7000-8000-000000000000`;

const did = (database, at, { action = "pause", detail = "sweeping", subject = null } = {}) =>
  world.databases[database].prepare("INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject) VALUES (?1, ?2, ?3, ?4, ?5, ?6)").bind(id(at), NOW - 86_400_000 + at * 60_000, `operator-${at}`, action, detail, subject);

/** The rows of a page, and where the next one is. */
async function page(path) {
  const response = await world.fetch(path, { headers });
  const text = await response.text();
  const [, body = ""] = text.match(/aria-label="What operators did".*?<tbody>(.*?)<\/tbody>/s) ?? [];
  const rows = [...body.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) => [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) => cell));
  return { status: response.status, text, rows, next: text.match(/href="([^"]*)" rel="next"/)?.[1] };
}

async function walk() {
  const [actors, sizes] = [[], []];
  for (let path = "/dashboard/audit"; path; ) {
    const { status, rows, next } = await page(path);
    assert.equal(status, 200);
    sizes.push(rows.length);
    actors.push(...rows.map(([, actor]) => actor));
    path = next;
  }
  return { actors, sizes };
}

test("every act is shown once, newest first, whichever database has it; one that every database has is one line", async () => {
  assert.match((await page("/dashboard/audit")).text, /Nothing yet\./);
  const rows = Array.from({ length: 130 }, (_, at) => at);
  // Some in the one, some in the other, some in both; long runs of one alone among them.
  const where = (at) => (at % 10 === 0 ? [0, 1] : [Math.floor(at / 25) % 2]);
  for (const database of [0, 1]) await world.databases[database].batch(rows.filter((at) => where(at).includes(database)).map((at) => did(database, at)));
  const { actors, sizes } = await walk();
  assert.deepEqual(actors, rows.toReversed().map((at) => `operator-${at}`));
  assert.ok(sizes.every((size) => size <= PER_PAGE) && sizes.length <= 5, sizes.join());
  // The dashboard has the newest, and the way to the others.
  const dashboard = await page("/dashboard");
  assert.deepEqual(dashboard.rows.map(([, actor]) => actor), rows.toReversed().slice(0, 15).map((at) => `operator-${at}`));
  assert.match(dashboard.text, /<a href="\/dashboard\/audit">All that operators did<\/a>/);
});

test("many that were retried at once are one line, however many they were, and hide nothing behind them", async () => {
  const one = world.databases[0];
  await one.prepare("DELETE FROM stale_drafts_audit").run();
  await world.databases[1].prepare("DELETE FROM stale_drafts_audit").run();
  await one.batch([did(0, 1), did(0, 2, { action: "retry_many", detail: "3500" })]);
  await one.prepare("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3500) INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject) SELECT printf('00000000-0002-7000-8000-%012d', n), 0, 'x', 'retry_in_bulk', '', 'creation:c' || n FROM n").run();
  await did(0, 3).run();
  const { actors } = await walk();
  assert.deepEqual(actors, ["operator-3", "operator-2", "operator-1"]);
});

test("an instant is said as people write it, and to which kind or creation it was done", async () => {
  await world.databases[0].prepare("DELETE FROM stale_drafts_audit").run();
  await world.databases[0].batch([
    did(0, 1, { action: "extend", detail: `until ${NOW}: the provider: down`, subject: "creation:c1" }),
    did(0, 2, { action: "extend_kind", detail: `slow video until ${NOW}: it waits` }),
    did(0, 3, { action: "end_extension", detail: "slow video" }),
    did(0, 4, { action: "note", detail: "<b>look</b>", subject: "sweep:s1" }),
    did(0, 5),
    did(0, 6, { action: "extend_kind", detail: "of an older version" }),
  ]);
  const { rows } = await page("/dashboard/audit");
  const kind = "the kind <code>slow video</code>";
  assert.deepEqual(rows.map(([, , ...rest]) => rest), [
    ["gave more time", "", "of an older version"],
    ["paused sweeping", "", ""],
    ["noted", "the sweep <code>s1</code>", "&lt;b&gt;look&lt;/b&gt;"],
    ["ended its more time", kind, ""],
    ["gave more time", kind, "until 2023-11-14 22:13 UTC: it waits"],
    ["gave it more time", '<a href="/dashboard/creations/c1">c1</a>', "until 2023-11-14 22:13 UTC: the provider: down"],
  ]);
});

test("a database that does not answer is named, and without the credential there is nothing", async () => {
  await world.order({ now: NOW, dead: ["DB_1"] });
  const { status, text, rows } = await page("/dashboard/audit");
  assert.deepEqual([status, rows.length], [200, 6]);
  assert.match(text, /The database <code>DB_1<\/code> does not answer, so what it has is missing here/);
  await world.order({ now: NOW });
  for (const credential of [{}, { Authorization: `Bearer ${WORKER_TOKEN}` }]) assert.ok([401, 403].includes((await world.fetch("/dashboard/audit", { headers: credential })).status));
  assert.equal((await page(`/dashboard/audit?cursor=${"x".repeat(300)}`)).status, 400);
});
