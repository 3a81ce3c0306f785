// What only asks writes nothing: no row of any table is another one afterwards, whatever there would be to sweep, to watch or to
// deliver.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, WORKER_TOKEN, start } from "./harness.mjs";

const ROUTES = [...readFileSync(new URL("../../src/worker/routes/mod.rs", import.meta.url), "utf8").matchAll(/\.route\("([^"]+)", get\(/g)].map(([, path]) => path);
/** The lists of users sweep what is stale of their owner, and the monitor runs beside them: docs/deployment.md. */
const OF_USERS = ["/drafts", "/drafts/tokens", "/api/drafts", "/api/drafts/active"];
/** What workers ask, with their own credential. */
const OF_WORKERS = ["/api/policy"];
const OPERATOR = { Authorization: `Bearer ${CLEANUP_TOKEN}` };

/** Every row of every table. */
async function everything(world) {
  const tables = await world.all("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'stale_drafts_*' ORDER BY name");
  const rows = {};
  for (const { name } of tables) rows[name] = await world.all(`SELECT * FROM ${name}`);
  return rows;
}

/** A Worker with something to do everywhere: cron has stopped, creations are stale, an event is due, one is set aside. */
async function busy() {
  const world = await start({ config: { policy: { max_age_hours: 1 } }, bindings: { DEMO_SIGN_IN: "local" } });
  await world.grant("ada", 1_000_000);
  await world.cron();
  await world.create({ id: "stale" }, { id: "aside" }, { id: "works", status: "processing", created_at: NOW, started_at: NOW }, { id: "none", created_at: null });
  await world.all("INSERT INTO stale_drafts_rejected (creation_id, until, reason) VALUES ('aside', ?, 'no')", NOW + HOUR);
  await world.all("INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, body) VALUES ('e', 1, 2, 1, '{}'), ('d', 1, 2, 1, '{}')");
  await world.all("UPDATE stale_drafts_events SET state = 'dead' WHERE id = 'd'");
  await world.all("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'ada'");
  await world.all("UPDATE stale_drafts_ledger_check SET user_id = ''");
  await world.order({ now: NOW + 30 * MINUTE });
  return world;
}

/** What is written beside an answer comes after it. */
const settle = () => new Promise((done) => setTimeout(done, 150));

test("no GET of an operator, and none that anybody may ask, writes a row", async () => {
  const world = await busy();
  try {
    const before = await everything(world);
    assert.ok(Object.keys(before).length >= 13 && ROUTES.length >= 14, `${ROUTES}`);
    for (const route of ROUTES.filter((path) => !OF_USERS.includes(path))) {
      for (const method of ["GET", "HEAD"]) {
        const path = route.replace("{id}", "stale") + (["/api/creations", "/api/balance", "/api/ledger"].includes(route) ? "?user_id=ada" : "");
        const headers = OF_WORKERS.includes(route) ? { Authorization: `Bearer ${WORKER_TOKEN}` } : OPERATOR;
        const { status } = await world.fetch(path, { method, headers });
        assert.ok([200, 303, 503].includes(status), `${method} ${path}: ${status}`);
        await settle();
        assert.deepEqual(await everything(world), before, `${method} ${path}`);
      }
    }
    // They all have something to say.
    const { findings } = await world.ask("/api/doctor");
    assert.deepEqual(findings.map(({ code }) => code).sort(), ["creations_rejected", "cron_not_running", "dead_letters", "ledger_differs", "unreadable_times"]);
  } finally {
    await world.stop();
  }
});

test("no dry run and no preview writes a row", async () => {
  const world = await busy();
  try {
    const before = await everything(world);
    for (const query of ["", "&user_id=ada", "&kind=image", "&status=pending", "&max_age_hours=0.001", "&limit=1"]) {
      const answer = await world.cleanup(`?dry_run=true${query}`);
      assert.equal(answer.status, 200, `${query}: ${await answer.text()}`);
      await settle();
      assert.deepEqual(await everything(world), before, query);
    }
    const csrf = (await (await world.fetch("/dashboard", { headers: OPERATOR })).text()).match(/name="csrf" value="([0-9a-f]{32})"/)[1];
    const headers = { ...OPERATOR, "Content-Type": "application/x-www-form-urlencoded" };
    const preview = await world.fetch("/dashboard/preview", { method: "POST", headers, body: new URLSearchParams({ csrf }).toString() });
    assert.equal(preview.status, 200);
    await settle();
    assert.deepEqual(await everything(world), before);
  } finally {
    await world.stop();
  }
});
