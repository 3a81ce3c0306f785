// Whether the Worker says truthfully that it can work.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MINUTE, NOW, SELECT, start } from "./harness.mjs";

async function checks(options, prepare = async () => {}) {
  const world = await start(options);
  try {
    await prepare(world);
    const response = await world.fetch("/readyz");
    assert.equal((await world.fetch("/healthz")).status, 200);
    const { ready, checks } = await response.json();
    assert.equal(response.status, ready ? 200 : 503);
    assert.equal(ready, Object.values(checks).every((check) => check === "ok"));
    return checks;
  } finally {
    await world.stop();
  }
}

test("ready after a good sweep", async () => {
  const ok = { configuration: "ok", schema: "ok", secrets: "ok", sweep: "ok" };
  assert.deepEqual(await checks({}, (world) => world.cron()), ok);
});

test("not ready before the first sweep, nor when the last good one is too old", async () => {
  assert.match((await checks({})).sweep, /^no good sweep yet/);
  const old = await checks({}, async (world) => {
    await world.cron();
    // The row's end is by the database's clock.
    const { finished_at } = await world.one("SELECT finished_at FROM stale_drafts_sweeps");
    await world.order({ now: finished_at + 10 * MINUTE });
  });
  assert.equal(old.sweep, "the last good sweep was 10 minutes ago: expected less than 10");
});

test("a failed sweep does not count as a good one", async () => {
  const failed = await checks({}, async (world) => {
    await world.order({ failBefore: SELECT });
    assert.equal(await world.cron(), "exception");
  });
  assert.match(failed.sweep, /^no good sweep yet/);
});

test("a schema that is missing or another one", async () => {
  assert.match((await checks({ migrate: false })).schema, /apply the migrations/);
  const newer = await checks({}, (world) => world.all("INSERT INTO stale_drafts_schema (version) VALUES (99)"));
  assert.match(newer.schema, /^the schema is version 99: expected \d+, apply the migrations$/);
});

test("secrets that are missing or weak", async () => {
  assert.match((await checks({ bindings: { JWT_SECRET: "" } })).secrets, /^secret `JWT_SECRET` is not set/);
  assert.match((await checks({ bindings: { JWT_SECRET: "secret" } })).secrets, /^secret `JWT_SECRET` is too weak/);
  assert.match((await checks({ bindings: { CLEANUP_TOKEN_NEXT: "secret" } })).secrets, /^secret `CLEANUP_TOKEN_NEXT` is too weak/);
  assert.match((await checks({ bindings: { REPORT_TOKEN: "change-me" } })).secrets, /^secret `REPORT_TOKEN` is a placeholder/);
  assert.match((await checks({ config: { webhook_url: "https://app.test/hook" } })).secrets, /^secret `WEBHOOK_SECRET` is not set/);
});

test("with a configuration that is not understood nothing is swept, and it says which key", async () => {
  // Every message has its row in tests/config.rs: here it is seen that it stops everything.
  const expectations = [
    [{ policy: { max_age_hours: 0 } }, /^policy: `max_age_hours` is `0`: expected hours above 0/],
    [{ policies: {} }, /^unknown key `policies`: did you mean `policy`\?$/],
    [{ webhook_url: "http://app.test/hook?key=n0t-Used-Anywhere-Else" }, /^`webhook_url` is not valid: expected an `https:\/\/` URL/],
  ];
  for (const [config, expected] of expectations) {
    const found = await checks({ config }, async (world) => {
      await world.grant("ada", 100);
      await world.create({ id: "stale" });
      assert.equal(await world.cron(), "exception");
      assert.equal((await world.cleanup()).status, 503);
      assert.equal((await world.as("ada", "/drafts")).status, 503);
      assert.equal(await world.status("stale"), "pending");
    });
    assert.match(found.configuration, expected);
  }
});

test("NOW is what the tests' clock says", async () => {
  const world = await start();
  await world.order({ now: NOW + 5 });
  assert.equal((await (await world.cleanup("?dry_run=true")).json()).now, NOW + 5);
  await world.stop();
});
