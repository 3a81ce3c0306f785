// What the database itself refuses, and that what it computes agrees with the rules.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";
import { HOUR, NOW, WRITE, start } from "./harness.mjs";

let world;
beforeEach(async () => {
  world = await start();
  await world.grant("ada", 1_000);
});
afterEach(() => world.stop());

const refuses = (sql, expected) => assert.rejects(world.all(sql), expected, sql);
const balance = async () => (await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'ada'")).tokens;

test("its status machine is the rules' status machine", async () => {
  // The legal ones, as tests/rules.rs has them.
  const legal = ["pending processing", "pending failed", "processing draft", "processing failed", "draft published"];
  const statuses = ["pending", "processing", "draft", "published", "failed"];
  for (const from of statuses) {
    for (const to of statuses) {
      const id = `${from}-${to}`;
      await world.create({ id, status: from });
      const change = world.all(`UPDATE stale_drafts_creations SET status = '${to}', finished_at = ${NOW} WHERE id = '${id}'`);
      if (from === to || legal.includes(`${from} ${to}`)) await change;
      else await assert.rejects(change, /illegal status transition/, id);
    }
  }
  assert.deepEqual(await world.wrongBalances(), []);
});

test("whoever makes a creation is charged, and whoever fails one refunds it, once", async () => {
  await world.create({ id: "a", tokens: 30 });
  assert.equal(await balance(), 970);
  await world.all("UPDATE stale_drafts_creations SET status = 'failed', error = 'provider', error_code = 'provider_error' WHERE id = 'a'");
  assert.equal(await balance(), 1_000);
  await world.all("UPDATE stale_drafts_creations SET status = 'failed' WHERE id = 'a'");
  await refuses("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at) VALUES ('refund:a', 'ada', 'refund', 'a', 30, 0)", /append-only: there is an entry with this key already/);
  await refuses("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at) VALUES ('refund:again', 'ada', 'refund', 'a', 30, 0)", /CHECK/);
  assert.equal(await balance(), 1_000);
  await world.create({ id: "imported", status: "failed", tokens: 5 });
  assert.equal(await balance(), 1_000);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("nobody spends more than there is", async () => {
  await assert.rejects(world.create({ id: "a", tokens: 1_001 }), /insufficient tokens/);
  await assert.rejects(world.create({ id: "a", tokens: 1, user_id: "stranger" }), /insufficient tokens/);
  assert.equal(await world.status("a"), undefined);
  assert.equal(await balance(), 1_000);
});

test("only what failed is refunded, to its owner, with its price", async () => {
  await world.create({ id: "a", tokens: 30 });
  const refund = (user, tokens) => `INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at) VALUES ('refund:a', '${user}', 'refund', 'a', ${tokens}, 0)`;
  await refuses(refund("ada", 30), /only a creation that is over is refunded/);
  await refuses(refund("bo", 30), /only a creation that is over is refunded/);
  await refuses(refund("ada", 31), /only a creation that is over is refunded/);
  await world.all("DROP TRIGGER stale_drafts_creations_are_refunded");
  await world.all("UPDATE stale_drafts_creations SET status = 'failed', error = 'e', error_code = 'c', finished_at = 1 WHERE id = 'a'");
  for (const [user, tokens] of [["bo", 30], ["ada", 31], ["ada", 29]]) await refuses(refund(user, tokens), /only a creation that is over is refunded/);
  assert.equal(await balance(), 970);
  await world.all(refund("ada", 30));
  assert.equal(await balance(), 1_000);
});

test("the ledger is append-only, and prices stay", async () => {
  await world.create({ id: "a" });
  await refuses("UPDATE stale_drafts_ledger SET tokens = 1", /append-only/);
  await refuses("DELETE FROM stale_drafts_ledger", /append-only/);
  await refuses("UPDATE stale_drafts_creations SET tokens = 1 WHERE id = 'a'", /can't change/);
  await refuses("UPDATE stale_drafts_creations SET user_id = 'bo' WHERE id = 'a'", /can't change/);
  await refuses("DELETE FROM stale_drafts_creations WHERE id = 'a'", /the ledger refers to/);
});

test("a REPLACE, which fires no trigger that guards a removal, changes no money", async () => {
  const money = async () => [await balance(), await world.all("SELECT entry_key, tokens FROM stale_drafts_ledger ORDER BY entry_key"), await world.all("SELECT id, status, tokens FROM stale_drafts_creations ORDER BY id")];
  const grant = (key, tokens) => `INSERT OR REPLACE INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:${key}', 'ada', 'grant', ${tokens}, 0)`;
  const create = (id, tokens, status = "pending") => `INSERT OR REPLACE INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens) VALUES ('${id}', 'ada', 'image', 'a fox', '${status}', ${tokens})`;
  // The first of each is like any other insert.
  await world.all(grant("order-17", 100));
  await world.all(create("a", 30));
  await world.all(create("failed", 30, "failed"));
  await world.all(create("free", 0));
  await world.all(create("free", 0));
  assert.equal(await balance(), 1_070);
  const before = await money();
  await refuses(grant("order-17", 100), /append-only: there is an entry with this key already/);
  await refuses(create("a", 30), /append-only: there is an entry with this key already/);
  for (const id of ["a", "failed"]) {
    for (const status of ["pending", "failed"]) await refuses(create(id, 0, status), /a creation that was charged can't be replaced/);
  }
  for (const policy of ["ABORT", "FAIL", "IGNORE", "ROLLBACK"]) await refuses(grant("order-17", 1).replace("REPLACE", policy), /append-only/);
  assert.deepEqual(await money(), before);
  await world.all("UPDATE stale_drafts_creations SET status = 'failed' WHERE id = 'a'");
  assert.equal(await balance(), 1_100);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("no row holds what JSON can't, which would stop every sweep and its owner's list", async () => {
  await world.create({ id: "a", status: "processing" }, { id: "b", status: "processing" });
  for (const column of ["kind", "prompt", "error", "error_code", "worker", "fence", "result_url", "rule", "sweep_id", "stuck_status", "event"]) {
    await refuses(`UPDATE stale_drafts_creations SET ${column} = x'ff' WHERE id = 'a'`, /CHECK/);
  }
  await refuses("UPDATE stale_drafts_creations SET late_result_url = x'ff', late_at = 0 WHERE id = 'a'", /CHECK/);
  for (const value of ["x'ff'", "9e999"]) {
    for (const column of ["progress", "restored_at", "deleted_at"]) await refuses(`UPDATE stale_drafts_creations SET ${column} = ${value} WHERE id = 'a'`, /CHECK/);
    await refuses(`UPDATE stale_drafts_creations SET late_result_url = 'x', late_at = ${value} WHERE id = 'a'`, /CHECK/);
  }
  await world.all("UPDATE stale_drafts_creations SET worker = 7, result_url = 'https://cdn.example/a' WHERE id = 'a'");
  assert.equal((await (await world.cleanup()).json()).marked_as_failed, 2);
  assert.equal((await (await world.as("ada", "/api/drafts")).json()).drafts.length, 2);
});

test("a time-out carries all that it was decided on, and only a sweep makes one", async () => {
  await world.create({ id: "a" });
  await refuses("UPDATE stale_drafts_creations SET status = 'failed', error_code = 'generation_timeout' WHERE id = 'a'", /CHECK/);
  await world.all("INSERT INTO stale_drafts_sweeps (id, source, started_at) VALUES ('s', 'cron', 0)");
  await refuses("UPDATE stale_drafts_creations SET status = 'failed', sweep_id = 's' WHERE id = 'a'", /CHECK/);
  const without = "UPDATE stale_drafts_creations SET status = 'failed', sweep_id = 's', error = 'x', error_code = 'generation_timeout', stuck_status = 'pending'";
  await refuses(`${without}, age_ms = 2, max_age_ms = 1 WHERE id = 'a'`, /CHECK/);
  await refuses(`${without}, rule = 'preset', age_ms = 1, max_age_ms = 1 WHERE id = 'a'`, /CHECK/);
});

test("its last sign of life and its list of stale creations are the rules' own, on the shared cases", async () => {
  const cases = JSON.parse(readFileSync(new URL("../cases/verdicts.json", import.meta.url), "utf8"));
  await world.stop();
  const groups = new Map();
  for (const [at, entry] of cases.entries()) {
    const key = JSON.stringify(entry.policy ?? {});
    groups.set(key, [...(groups.get(key) ?? []), { ...entry, id: `case-${at}` }]);
  }
  const time = (value) => (typeof value === "number" ? NOW - value : (value ?? null));
  for (const [policy, group] of groups) {
    world = await start({ config: { policy: JSON.parse(policy) } });
    await world.grant("ada", 100_000);
    await world.create(...group.map(({ id, status, kind, attempt, created, queued, started, heartbeat, extended }) => ({
      id, status, kind: kind ?? "image", attempt: attempt ?? 1, created_at: time(created), queued_at: time(queued), started_at: time(started), heartbeat_at: time(heartbeat), extended_until: time(extended),
    })));

    // Everybody's creations: the SQL finds exactly what the rules call stale or unreadable.
    const answer = await (await world.cleanup("?dry_run=true")).json();
    const named = (verdict) => group.filter((entry) => entry.verdict === verdict);
    const byId = (list) => new Map(list.map((entry) => [entry.id, entry]));
    const [stale, unreadable] = [byId(answer.creations), byId(answer.unreadable)];
    assert.deepEqual([...stale.keys()].sort(), named("stale").map(({ id }) => id).sort(), policy);
    assert.deepEqual([...unreadable.keys()].sort(), named("unreadable").map(({ id }) => id).sort(), policy);
    assert.equal(answer.examined, stale.size + unreadable.size, "the SQL found nothing that the rules passed over");
    for (const entry of group) {
      const found = stale.get(entry.id);
      for (const key of ["error", "age_ms", "max_age_ms", "rule"]) {
        if (found && key in entry) assert.equal(found[key], entry[key], entry.name);
      }
      if (entry.reason) assert.equal(unreadable.get(entry.id).reason, entry.reason, entry.name);
    }

    // One user's list: every creation with its verdict.
    // With a write that fails, so that it stays as it is.
    await world.order(stale.size > 0 ? { failBefore: WRITE } : {});
    const list = byId((await (await world.as("ada", "/api/drafts?limit=100")).json()).drafts);
    for (const entry of group) {
      const shown = list.get(entry.id);
      assert.deepEqual([shown.verdict, shown.badge], [entry.verdict, entry.badge], entry.name);
      if (entry.error) assert.equal(shown.error, entry.error, entry.name);
      if ("deadline" in entry) assert.equal(shown.deadline, entry.deadline === null ? null : NOW - entry.deadline, entry.name);
    }
    await world.stop();
  }
  world = await start();
});

test("the cost of a sweep does not grow with the table, with and without statistics", async () => {
  const spend = async (settled, fresh, analyse) => {
    const one = await start({ config: { circuit_breaker: "off" } });
    await one.grant("ada", 10_000_000);
    await one.create(
      ...Array.from({ length: settled }, (_, n) => ({ id: `s${n}`, status: "draft", tokens: 0 })),
      ...Array.from({ length: fresh }, (_, n) => ({ id: `f${n}`, created_at: NOW - n, tokens: 0 })),
    );
    if (analyse) {
      await one.all("ANALYZE");
      await one.cleanup();
    }
    const idle = (await (await one.cleanup()).json()).cost;
    await one.create(...Array.from({ length: 200 }, (_, n) => ({ id: `x${n}`, created_at: NOW - 2 * HOUR })));
    const busy = (await (await one.cleanup()).json()).cost;
    await one.stop();
    return { idle, busy };
  };
  for (const analyse of [false, true]) {
    const [small, large] = [await spend(10, 10, analyse), await spend(3_000, 3_000, analyse)];
    assert.deepEqual(large, small);
    assert.deepEqual([small.idle.queries, small.idle.rows_written], [2, 1]);
    // The phases, kinds and statuses in use, and whether a row that was rejected is due again.
    assert.ok(small.idle.rows_read <= 14, `idle: ${small.idle.rows_read} rows read`);
    assert.equal(small.busy.queries, 5);
    assert.ok(small.busy.rows_read <= 200 * 10 + 20, `200 swept: ${small.busy.rows_read} rows read`);
    // Beside two for each creation: the balance, the sweep and its cost, the roll-up of the hour and over all, and the touch that has it rolled up.
    assert.ok(small.busy.rows_written <= 200 * 2 + 6, `200 swept: ${small.busy.rows_written} rows written`);
  }
});
