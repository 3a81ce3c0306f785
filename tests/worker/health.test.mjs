// Whether the Worker says truthfully that it can work.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MINUTE, NOW, start } from "./harness.mjs";

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

test("a failed sweep is no good sweep", async () => {
  const failed = await checks({}, async (world) => {
    await world.order({ failBefore: 1 });
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
  const expectations = [
    [{ policy: { max_age_hours: 0 } }, "policy: `max_age_hours` is `0`: expected hours above 0, such as `1` or `0.5`, or `\"never\"`"],
    [{ policy: { preset: "prod" } }, "policy: `preset` is `\"prod\"`: expected `\"development\"` (10 minutes), `\"budget\"` (30 minutes) or `\"production\"` (1 hour)"],
    [{ policies: {} }, "unknown key `policies`: expected `policy`, `rows_per_transaction`, `rows_per_sweep`, `page_size`, `max_minutes_since_sweep`, `auth`, `api_tokens`, `issuers`, `webhook_url`, `max_deliveries`, `circuit_breaker`, `alerts` or `keep_days`"],
    [{ rows_per_sweep: 1.5 }, "`rows_per_sweep` is `1.5`: expected a whole number from 1 to 100000"],
    [{ auth: { algorithm: "none" } }, "`auth.algorithm` is `\"none\"`: expected `\"HS256\"`, `\"RS256\"` or `\"ES256\"`"],
    [{ auth: { cookie: "" } }, "`auth.cookie` is `\"\"`: expected text"],
    [{ policy: 1 }, "`policy` is `1`: expected a table"],
    [{ auth: { algorithm: "RS256" } }, "`auth.jwks_url` is missing: expected where the issuer publishes its keys"],
    [{ auth: { algorithm: "RS256", jwks_url: "https://keys.test/" } }, "`auth.issuer` is missing: expected the `iss` of the tokens"],
    [{ auth: { algorithm: "RS256", jwks_url: "http://keys.test/" } }, "`auth.jwks_url` is `\"http://keys.test/\"`: expected an `https://` URL"],
    [{ auth: { preset: "firebase" } }, "`auth.project` is missing: expected the Firebase project's id"],
    [{ api_tokens: {} }, "`api_tokens` is something else: expected a list of tables"],
    [{ api_tokens: ["n0t-Used-Anywhere-Else"] }, "`api_tokens[0]` is something else: expected a table"],
    [{ webhook_url: ["https://app.test/hook?key=n0t-Used-Anywhere-Else"] }, "`webhook_url` is something else: expected text"],
    [{ webhook_url: "http://app.test/hook?key=n0t-Used-Anywhere-Else" }, "`webhook_url` is something else: expected an `https://` URL"],
    [{ auth: { algorithm: "RS256", jwks_url: "http://localhost:1@keys.test/" } }, "`auth.jwks_url` is `\"http://localhost:1@keys.test/\"`: expected an `https://` URL"],
    [{ issuers: Array(2).fill({ name: "access", preset: "cloudflare-access", team: "acme", audience: "tag", scopes: ["read"] }) }, "`issuers[1].name` is `access` a second time: give each its own"],
    [{ issuers: [{ name: "g", preset: "google", team: "acme", audience: "a", emails: ["a@b"], scopes: ["sweep"] }] }, "`issuers[0].team` is of no use here: expected it beside `preset = \"cloudflare-access\"`"],
    [{ api_tokens: [{ name: "ops", sha256: "abc", scopes: ["read"] }] }, "`api_tokens[0].sha256` is no SHA-256 in hexadecimal: expected 64 digits, as `mark-stale-drafts token` prints"],
    [{ api_tokens: [{ name: "ops", sha256: "0".repeat(64), scopes: ["admin"] }] }, "`api_tokens[0].scopes` has something else: expected `\"read\"`, `\"sweep\"` or `\"report\"`"],
    [{ issuers: [{ preset: "google", name: "g", audience: "a", scopes: ["sweep"] }] }, "`issuers[0].emails` is missing: expected the service account that may call"],
    [{ issuers: [{ preset: "okta" }] }, "`issuers[0].preset` is `\"okta\"`: expected `\"google\"` or `\"cloudflare-access\"`"],
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
    assert.equal(found.configuration, expected);
  }
});

test("NOW is what the tests' clock says", async () => {
  const world = await start();
  await world.order({ now: NOW + 5 });
  assert.equal((await (await world.cleanup("?dry_run=true")).json()).now, NOW + 5);
  await world.stop();
});
