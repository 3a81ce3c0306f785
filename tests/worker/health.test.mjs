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

test("a database that does not answer is another cause than migrations that were not applied, and its words are for the log", async () => {
  for (const [orders, words] of [
    [{ failBefore: /stale_drafts_schema/ }, /Network connection lost/],
    // As a database that is locked: its error has a stack trace.
    [{ sqlBefore: /stale_drafts_schema/, sql: ["SELECT json('n0t-Used-Anywhere-Else')"] }, /malformed JSON/],
  ]) {
    let lines;
    const found = await checks({}, async (world) => {
      await world.cron();
      await world.order(orders);
      lines = (pattern) => world.logged(pattern);
    });
    const text = "the database does not answer right now: the log says why";
    assert.deepEqual([found.schema, found.sweep, found.configuration, found.secrets], [text, text, "ok", "ok"]);
    await lines(words);
  }
  const missing = await checks({ migrate: false });
  assert.deepEqual([missing.schema, missing.sweep], Array(2).fill("the schema is not there: apply the migrations"));
});

test("a binding of another kind", async () => {
  for (const [name, wrong, expected] of [["RATE_LIMITER", "text", "ratelimits"], ["EVENTS", { a: 1 }, "queues.producers"], ["GENERATIONS", "", "queues.producers"], ["ARCHIVE", "text", "r2_buckets"]]) {
    const { configuration } = await checks({ bindings: { [name]: wrong } });
    assert.equal(configuration, `the binding \`${name}\` is of another kind: expected one of \`[[${expected}]]\``);
  }
  const right = await checks({ queues: ["EVENTS", "GENERATIONS"], ratelimits: { RATE_LIMITER: { namespace_id: "1", simple: { limit: 100, period: 60 } } } });
  assert.equal(right.configuration, "ok");
});

test("nothing that may be a secret is shown to anybody", async () => {
  const secret = "n0t-Used-Anywhere-Else";
  const url = `https://ops:${secret}@keys.test/`;
  // Each place has its row in tests/config.rs.
  for (const config of [
    { auth: { algorithm: "RS256", jwks_url: url, issuer: "a", audience: "b" } },
    { issuers: [{ name: "ci", jwks_url: url, issuer: "a", audience: "b", algorithm: "RS256", subjects: ["a"], scopes: ["read"] }] },
    { auth: { algorithm: `${secret}-${secret}` } },
    { policy: url },
  ]) {
    const found = await checks({ config });
    assert.ok(!JSON.stringify(found).includes(secret), JSON.stringify(found));
    assert.match(found.configuration, /^`[\w.[\]]+` /, "it names the key");
  }
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
