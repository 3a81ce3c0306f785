// Faults on the real runtime: each database call of a sweep fails in turn, before and after it commits, once and as often as it is
// tried again; the process is killed
// in mid-sweep; two runtimes sweep one database. After each the checker asks everything that is promised, and the next sweep
// completes the work. `KILLS=200` and `ROUNDS=50` do more of it than is done by default, `SEED=2` something else.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ASKED, broken, check } from "./checker.mjs";
import { CLEANUP_TOKEN, HOUR, NOW, start, token } from "./harness.mjs";

/** Nobody listens there: events stay in the outbox, and can be counted. */
const NOBODY = "http://127.0.0.1:9/hook";
const BINDINGS = { WEBHOOK_SECRET: `whsec_${Buffer.from("n0t-Used-Anywhere-Else-Webhook-77ac1").toString("base64")}` };
const CONFIG = { circuit_breaker: "off", webhook_url: NOBODY, max_deliveries: 100, policy: { kinds: { video: { attempts: 2 } } } };
const told = { told: true };

const post = (world, path, body) => world.fetch(path, { method: "POST", body, headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });

/** Each way that a sweep comes about. */
const SWEEPS = {
  cron: () => (world) => world.cron(),
  endpoint: () => async (world) => (await world.cleanup()).status,
  page: () => async (world) => (await world.fetch("/api/drafts", { headers: { Authorization: `Bearer ${token({ sub: "ada", exp: NOW / 1_000 + 7 * 24 * 3_600 })}` } })).status,
  async plan(world) {
    const plan = await (await world.cleanup("?dry_run=true")).text();
    return async () => (await post(world, "/api/generate/cleanup-stale?source=tool", plan)).status;
  },
};

/** Nine that are failed, two that are put back for another attempt, one that the database refuses, and three to be left alone. */
let staged = 0;
async function stage(world) {
  staged += 1;
  const named = (rows) => rows.map((row, at) => ({ id: `s${staged}-${at}`, ...row }));
  const image = (fields) => ({ tokens: 10 + staged, created_at: NOW - 2 * HOUR, ...fields });
  const rows = named([
    ...Array.from({ length: 8 }, () => image()),
    image({ status: "processing", started_at: NOW - 90 * 60_000 }),
    ...Array.from({ length: 2 }, () => image({ kind: "video", status: "processing", started_at: NOW - 2 * HOUR })),
    image({ prompt: "refused" }),
    image({ created_at: NOW }), image({ status: "draft" }), image({ created_at: "soon" }),
  ]);
  await world.create(...rows);
  return rows.map(({ id }) => id);
}

const outcomes = async (world, ids) => {
  const rows = await world.all("SELECT status, attempt, typeof(created_at) AS type FROM stale_drafts_creations WHERE id IN (SELECT value FROM json_each(?))", JSON.stringify(ids));
  const counts = {};
  for (const { status, attempt, type } of rows) {
    const key = `${status}${attempt > 1 ? ` ${attempt}` : ""}${type === "text" ? " unreadable" : ""}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
};
/** Sweeps until nothing is left to be done. What a page had no queries left for is set aside until its turn, which comes here at once. */
async function complete(world) {
  for (let sweeps = 0; sweeps < 20; sweeps += 1) {
    await world.all("UPDATE stale_drafts_rejected SET until = 0 WHERE reason LIKE 'rejected together with others: %'");
    if (!(await (await world.cleanup()).json()).more) return;
  }
}
const DONE = { failed: 9, "pending 2": 2, pending: 2, draft: 1, "pending unreadable": 1 };

for (const [name, prepare] of Object.entries(SWEEPS)) {
  test(`${name}: each database call fails in turn, before and after it commits, and the next sweep completes the work`, { timeout: 600_000 }, async () => {
    const world = await start({ config: CONFIG, bindings: BINDINGS });
    try {
      await world.grant("ada", 1_000_000);
      await world.database.exec("CREATE TRIGGER refused BEFORE UPDATE OF status ON stale_drafts_creations WHEN NEW.status = 'failed' AND OLD.prompt = 'refused' BEGIN SELECT RAISE(ABORT, 'constraint: the prompt is refused'); END");
      let reached = 0;
      let stopped = 0;
      for (let call = 1; ; call += 1) {
        let calls = 0;
        for (const [when, times] of [["failBefore", 4], ["failAfter", 4], ["failBefore", 1], ["failAfter", 1], ["failAfter", 3]]) {
          const ids = await stage(world);
          await world.order({});
          const sweep = await prepare(world);
          const before = (await world.all("SELECT id FROM stale_drafts_sweeps")).map(({ id }) => id);
          await world.order({ [when]: call, times });
          const outcome = await sweep(world);
          calls = await world.calls();
          const label = `${name}, call ${call}, ${when}, ${times} times, of ${calls}`;
          assert.ok(["ok", "exception", 200, 503].includes(outcome), `${label}: ${outcome}`);
          if (times === 4) stopped += ["exception", 503].includes(outcome) ? 1 : 0;
          else assert.ok(["ok", 200].includes(outcome), `${label}: it is tried again`);
          const raced = await world.one("SELECT max(raced) AS n, max(error) AS error FROM stale_drafts_sweeps WHERE id NOT IN (SELECT value FROM json_each(?))", JSON.stringify(before));
          assert.equal(raced.n ?? 0, 0, `${label}: nothing has moved on`);
          if (times < 4) assert.equal(raced.error, null, label);
          await check(world, label, told);
          // The one to be refused is let through at the end of the round, so that the next one begins anew.
          await world.order({});
          await complete(world);
          assert.deepEqual(await outcomes(world, ids), DONE, label);
          await check(world, `${label}, swept again`, told);
          await world.all("UPDATE stale_drafts_creations SET prompt = 'a fox' WHERE prompt = 'refused'");
          await world.all("UPDATE stale_drafts_creations SET status = 'processing', started_at = ? WHERE kind = 'video' AND status = 'pending'", NOW);
          await world.all("UPDATE stale_drafts_creations SET status = 'draft' WHERE kind = 'video' AND status = 'processing'");
          await world.all("UPDATE stale_drafts_creations SET status = 'failed', error_code = 'cancelled' WHERE created_at = 'soon' AND status = 'pending'");
          await complete(world);
        }
        if (calls < call) break;
        reached = call;
      }
      // A select, and a transaction that is halved until the one that is refused is alone: at the least so many calls.
      assert.ok(reached >= 6, `${reached} calls were failed`);
      assert.ok(stopped > 0, "some of them stopped the sweep");
    } finally {
      await world.stop();
    }
  });
}

/** Runs `victim.mjs` in a process group of its own; gives what it printed, and whether it was killed. */
function victim(orders) {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, "victim.mjs"), JSON.stringify(orders)], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, TMPDIR: orders.folder },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
    child.on("error", fail);
    child.on("close", (code, signal) => done({ code, signal, output }));
  });
}

test("the process is killed in mid-sweep, again and again, and nothing is lost or done twice", { timeout: 3_600_000 }, async () => {
  const kills = Number(process.env.KILLS ?? 12);
  const seed = Number(process.env.SEED ?? 1);
  const folder = mkdtempSync(join(tmpdir(), "stale-drafts-kills-"));
  try {
    let state = seed;
    const random = (below) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return Math.floor((state / 0x8000_0000) * below);
    };
    // What the killed leave is looked at as a whole each time: with many kills, each has less to do.
    const create = kills > 20 ? 900 : 3_000;
    const seen = { partly: 0, before: 0, during: 0, after: 0 };
    let lost = 0;
    for (let at = 0; at < kills + lost; at += 1) {
      const how = ["during", "before", "after", "during"][at % 4];
      // Every kind of sweep meets every kind of death.
      const what = Object.keys(SWEEPS)[(at + Math.floor(at / 4)) % 4];
      const orders = { folder, create, at, what, how, dieAt: 1 + random(7), rows: create / 6, delay: how === "during" ? random(60) : 0 };
      const label = `seed ${seed}, kill ${at}: ${JSON.stringify(orders)}`;
      const { signal, output } = await victim(orders);
      // Under load the driver's own connection to the runtime may break (its requests, or the thread behind its proxies): a death too,
      // but not the one that was ordered. So another one is ordered in its place; a quarter more may be needed.
      const broke = signal === null && ["SocketError: other side closed", "at SynchronousFetcher.fetch"].some((text) => output.includes(text));
      if (broke) lost += 1;
      assert.ok(signal === "SIGKILL" || (broke && lost <= kills / 4), `${label}\n${output}`);
      // It may have broken before it had looked: then the next one looks.
      if (broke && !output.startsWith("{")) continue;
      // What it found before it went on: what the one before had left.
      const { broken: left, active } = JSON.parse(output.split("\n")[0]);
      assert.deepEqual(left, {}, label);
      if (active > 0 && active < orders.create) seen.partly += 1;
      if (!broke) seen[how] += 1;
    }
    const { code, output } = await victim({ folder, create: 0, at: kills + lost, what: "endpoint", rows: create / 6 });
    assert.equal(code, 0, output);
    const lines = output.trim().split("\n").map((line) => JSON.parse(line));
    // A victim whose connection broke may have made its creations before, or not.
    const { created } = lines[1];
    assert.ok(created >= kills * create && created <= (kills + lost) * create, `${created} of ${kills} times ${create}, and ${lost}`);
    assert.deepEqual(lines, [{ ...lines[0], broken: {} }, { active: 0, broken: {}, failed: created, created }], `seed ${seed}`);
    assert.ok(seen.partly > 0, `some died between two transactions: ${JSON.stringify(seen)}`);
    console.log(`${kills} kills (${JSON.stringify(seen)}), ${created} creations failed and refunded once each`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/**
 * A statement asked again until it is answered. Where two runtimes share a file, a write that SQLite refuses may leave the database's
 * object of the runtime broken until its next start, which a later question brings about.
 */
const patient = (world) => async (sql, ...values) => {
  for (let tries = 0; ; tries += 1) {
    try {
      return await world.all(sql, ...values);
    } catch (error) {
      if (tries === 40 || !/internal error|SQLITE_BUSY|reset/.test(error.message)) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
};

test("two runtimes sweep one database", { timeout: 600_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "stale-drafts-two-"));
  const worlds = [];
  try {
    const open = async (migrate) => worlds.push(await start({ config: { ...CONFIG, rows_per_sweep: 50 }, bindings: BINDINGS, persist: folder, migrate }));
    await open(true);
    await open(false);
    const [one, other] = worlds;
    await one.grant("ada", 10_000_000);
    const answers = { gaveUp: 0 };
    for (let round = 0; round < Number(process.env.ROUNDS ?? 6); round += 1) {
      for (const world of worlds) await patient(world)("SELECT 1");
      await one.create(...Array.from({ length: 600 }, (_, n) => ({ id: `r${round}-${n}`, kind: n % 3 === 0 ? "video" : "image", status: n % 2 === 0 ? "processing" : "pending", started_at: n % 2 === 0 ? NOW - 2 * HOUR : null })));
      // SQLite lets one write at a time and refuses the other at once, so here calls fail by themselves.
      const sweep = async (world) => {
        for (let tries = 0; tries < 40; tries += 1) {
          // The source tells in `sweeps` whose it was: one that is refused in the middle has a share too.
          const answer = await world.cleanup(world === one ? "" : "?source=tool");
          answers[answer.status] = (answers[answer.status] ?? 0) + 1;
          if (answer.status === 200 && !(await answer.json()).more) return;
        }
        // Another one carries on.
        answers.gaveUp += 1;
      };
      await Promise.all([one, other, one, other].map(sweep));
      await check({ all: patient(one) }, `round ${round}, as the first sees it`, told);
      await check({ all: patient(other) }, `round ${round}, as the second sees it`, told);
    }
    await complete(one);
    const [stale] = await patient(one)("SELECT count(*) AS n FROM stale_drafts_creations WHERE status IN ('pending', 'processing') AND last_sign_of_life < ?", NOW - HOUR);
    assert.equal(stale.n, 0);
    const shares = await patient(one)("SELECT source, sum(failed) AS failed FROM stale_drafts_sweeps WHERE failed > 0 GROUP BY source ORDER BY source");
    assert.deepEqual(shares.map(({ source }) => source), ["endpoint", "tool"], "both had a share");
    assert.ok(answers[200] > 0);
    for (const status of Object.keys(answers)) assert.ok(["200", "503", "gaveUp"].includes(status), JSON.stringify(answers));
    console.log(`${JSON.stringify(answers)} answers of sweeps by two runtimes, whose shares are ${JSON.stringify(shares)}`);
  } finally {
    for (const world of worlds) await world.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the checker finds what it is for", async () => {
  const world = await start({ config: CONFIG, bindings: BINDINGS });
  try {
    await world.grant("ada", 1_000_000);
    await world.create({ id: "a" }, { id: "b", created_at: NOW }, { id: "v", kind: "video", status: "processing", started_at: NOW - 2 * HOUR });
    await world.cleanup();
    await check(world, "before", told);
    await world.database.exec("DROP TRIGGER stale_drafts_ledger_is_append_only_delete");
    await world.database.exec("DROP TRIGGER stale_drafts_ledger_is_append_only_update");
    const faults = {
      "every balance is the sum of its ledger": ["UPDATE stale_drafts_balances SET tokens = tokens + 10", "UPDATE stale_drafts_balances SET tokens = tokens - 10"],
      "refunded once if it failed or was restored, and never else": ["UPDATE stale_drafts_ledger SET tokens = 9 WHERE entry_key = 'refund:a'", "UPDATE stale_drafts_ledger SET tokens = 10 WHERE entry_key = 'refund:a'"],
      "charged once": ["UPDATE stale_drafts_ledger SET tokens = -9 WHERE entry_key = 'charge:b'", "UPDATE stale_drafts_ledger SET tokens = -10 WHERE entry_key = 'charge:b'"],
      "each sweep counts what it failed and refunded": ["UPDATE stale_drafts_sweeps SET failed = failed + 1", "UPDATE stale_drafts_sweeps SET failed = failed - 1"],
      "each sweep counts what it put back": ["UPDATE stale_drafts_sweeps SET retried = retried + 1", "UPDATE stale_drafts_sweeps SET retried = retried - 1"],
      "the roll-ups count what the sweeps did": ["UPDATE stale_drafts_rollups SET creations = creations + 1 WHERE outcome = 'failed'", "UPDATE stale_drafts_rollups SET creations = creations - 1 WHERE outcome = 'failed'"],
      "each attempt before this one is recorded": ["UPDATE stale_drafts_attempts SET attempt = 7", "UPDATE stale_drafts_attempts SET attempt = 1"],
      "a time-out names a sweep that has a row": ["UPDATE stale_drafts_creations SET sweep_id = 'x' || sweep_id WHERE id = 'a'", "UPDATE stale_drafts_creations SET sweep_id = substr(sweep_id, 2) WHERE id = 'a'"],
      "each failure is told": ["UPDATE stale_drafts_events SET id = 'x' || id WHERE id LIKE 'failed:%'", "UPDATE stale_drafts_events SET id = substr(id, 2) WHERE id LIKE 'xfailed:%'"],
      "each further attempt is told": ["UPDATE stale_drafts_events SET id = 'x' || id WHERE id LIKE 'retried:%'", "UPDATE stale_drafts_events SET id = substr(id, 2) WHERE id LIKE 'xretried:%'"],
      "nothing else is told": ["INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, creation_id, body) VALUES ('failed:b:1', 0, 1, 0, 'b', '{}')", "DELETE FROM stale_drafts_events WHERE id = 'failed:b:1'"],
      "nothing is told twice": ["INSERT INTO stale_drafts_events SELECT id, 'dead', due_at, destinations, deliveries, created_at, creation_id, body, last_error, failing_since FROM stale_drafts_events WHERE id = 'failed:a:1'", "DELETE FROM stale_drafts_events WHERE id = 'failed:a:1' AND state = 'dead'"],
    };
    for (const [promise, [plant, mend]] of Object.entries(faults)) {
      await world.all(plant);
      assert.ok(promise in (await broken(world.all, told)), `${promise}: not found`);
      await world.all(mend);
      await check(world, `${promise}, mended`, told);
    }
    assert.deepEqual(Object.keys(faults).sort(), [...ASKED].sort(), "each of them is tried");
  } finally {
    await world.stop();
  }
});
