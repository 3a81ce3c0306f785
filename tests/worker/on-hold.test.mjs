// Users whose buckets move, on workerd: no sweep decides on them meanwhile, and every output says so and shows nothing of theirs as failed,
// or twice.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, start } from "./harness.mjs";

const shard = (binding, buckets) => ({ binding, buckets });
const BEFORE = [shard("DB_0", "0-4095"), shard("DB_1", "")];
const AFTER = [shard("DB_0", "0-2047"), shard("DB_1", "2048-4095")];
const USERS = Array.from({ length: 12 }, (_, at) => `user-${at}`);
const LEAVING = USERS.find((user) => bucketOf(user) >= 2_048);
const STAYING = USERS.find((user) => bucketOf(user) < 2_048);

const step = async (world, goal) => {
  const body = JSON.stringify({ source: "DB_0", target: "DB_1", buckets: "2048-4095", goal });
  const response = await world.fetch("/api/shards/moves", { method: "POST", body, headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
};
/** Repeats a request until it is where it is to be, or waits. */
async function move(world, goal) {
  for (let tries = 0; tries < 100; tries += 1) {
    const answer = await step(world, goal);
    if (answer.done || answer.waits_until !== null) return answer;
  }
  return assert.fail(`never ${goal}`);
}

test("while users move, every output says until when no sweep decides on them, and shows nothing of theirs as failed or twice", { timeout: 170_000 }, async (t) => {
  const persist = mkdtempSync(join(tmpdir(), "stale-drafts-on-hold-"));
  let world;
  t.after(async () => {
    await world.stop();
    rmSync(persist, { recursive: true, force: true });
  });
  world = await start({ shards: 2, persist, config: { shards: BEFORE } });
  for (const user of USERS) await world.databases[0].prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 100, 0)").bind(user).run();
  await world.order({ now: NOW - 3 * HOUR });
  const ids = {};
  for (const user of [LEAVING, STAYING]) {
    const created = await world.report("", { user_id: user, kind: "image", prompt: "a fox", tokens: 10 }, { "Idempotency-Key": user });
    assert.equal(created.http, 201, JSON.stringify(created));
    await world.report(`/${created.id}/start`, { worker: "w" });
    ids[user] = created.id;
  }
  await world.order({ now: NOW });
  const dryRun = async (query = "") => (await world.cleanup(`?dry_run=true${query}`)).json();
  const listed = ({ creations }) => creations.map(({ id }) => id);
  const before = await dryRun();
  assert.deepEqual([listed(before).sort(), before.left_out], [Object.values(ids).sort(), undefined], "nobody moves");
  assert.equal((await world.ask("/api/doctor")).left_out, undefined);
  const [, idle] = [await dryRun(), (await dryRun()).cost];
  assert.equal(idle.queries, 4, "a look and a question of each database");

  const moved = await move(world, "moved");
  assert.deepEqual([moved.source.state, moved.target.state], ["moved", "arriving"]);
  const leftOut = (users, until) => [{ move_id: moved.id, users, until }];
  const held = USERS.filter((user) => bucketOf(user) >= 2_048).length;
  // Until when is not known yet.
  const during = await dryRun();
  assert.deepEqual([listed(during), during.left_out], [[ids[STAYING]], leftOut(held, null)]);
  assert.deepEqual((await dryRun(`&user_id=${LEAVING}`)).left_out, leftOut(1, null));
  assert.equal((await dryRun(`&user_id=${STAYING}`)).left_out, undefined);
  assert.deepEqual((await world.ask("/api/doctor")).left_out, leftOut(held, null));

  /** What the owner, a page that is open, and an operator see. */
  const seen = async () => {
    const list = await (await world.as(LEAVING, "/api/drafts")).json();
    const active = await (await world.as(LEAVING, "/api/drafts/active")).json();
    const explained = await world.ask(`/api/creations/${ids[LEAVING]}`);
    const operators = await world.ask(`/api/creations?user_id=${LEAVING}`);
    const page = await (await world.as(LEAVING, "/drafts")).text();
    return { draft: list.drafts[0], active: active.drafts[0], explained: explained.creation, listed: operators.creations[0], page };
  };
  const shows = async (until) => {
    const { page, active, ...views } = await seen();
    for (const [name, { status, badge_code, error, verdict, deadline, extended_until, held_until }] of Object.entries(views)) {
      assert.deepEqual([status, badge_code, error, verdict], ["processing", "processing", null, "fresh"], name);
      assert.ok(until(held_until), `${name}: ${held_until - NOW}`);
      assert.deepEqual([deadline, extended_until], [held_until, held_until], name);
    }
    assert.ok(until(active.extended_until), `active: ${active.extended_until - NOW}`);
    assert.doesNotMatch(page, /❌|class="error"/);
    assert.match(page, /it has time until /);
    assert.match(page, new RegExp(`extended-until="${views.draft.held_until}"`));
  };
  await shows((at) => at > NOW + 15 * MINUTE && at <= NOW + 16 * MINUTE);
  /** Both databases have the copies, and each is listed once. */
  const once = async () => {
    const copies = await Promise.all(world.databases.map((database) => database.prepare("SELECT count(*) AS n FROM stale_drafts_creations WHERE id = ?1").bind(ids[LEAVING]).first("n")));
    assert.deepEqual(copies, [1, 1]);
    for (const query of ["", "?order=silent", "?limit=1", "?order=silent&limit=1"]) {
      const found = [];
      for (let cursor = null, pages = 0; pages === 0 || (cursor !== null && pages < 9); pages += 1) {
        const next = cursor === null ? query : `${query}${query === "" ? "?" : "&"}cursor=${cursor}`;
        const answer = await world.ask(`/api/search${next}`);
        found.push(...answer.creations.map(({ id }) => id));
        cursor = answer.next_cursor;
      }
      assert.deepEqual(found.sort(), Object.values(ids).sort(), query);
    }
    const dashboard = await (await world.fetch("/dashboard", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}`, Cookie: `operator=${CLEANUP_TOKEN}` } })).text();
    const section = dashboard.slice(dashboard.indexOf("Longest without a sign of life")).split("</section>", 1)[0];
    assert.equal(section.split(`/dashboard/creations/${ids[LEAVING]}`).length - 1, 1, section);
  };
  await once();

  await world.stop();
  world = await start({ shards: 2, persist, migrate: false, config: { shards: AFTER } });
  await once();
  // It opens before it is trimmed: one step at a time.
  const opened = await move(world, "done");
  assert.equal(opened.target.state, "open", JSON.stringify(opened));
  const until = opened.waits_until;
  const open = await dryRun();
  assert.deepEqual([listed(open), open.left_out], [[ids[STAYING]], leftOut(held, until)]);
  await shows((at) => at === until);
  const answer = await world.cleanup("", CLEANUP_TOKEN, JSON.stringify({ ...open, creations: [] }));
  assert.deepEqual((await answer.json()).left_out, leftOut(held, until), "a plan says so too");

  await world.order({ now: NOW + 16 * MINUTE });
  assert.equal((await move(world, "done")).done, true);
  assert.equal((await dryRun()).left_out, undefined);
  const { draft } = await seen();
  assert.deepEqual([draft.status, draft.held_until], ["failed", undefined]);
});
