// Tokens that come in over HTTP.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";
import { CLEANUP_TOKEN, NOW, WORKER_TOKEN, start } from "./harness.mjs";

const GRANT_TOKEN = "n0t-Used-Anywhere-Else-Grant-5c20e";
const MOST = 9_007_199_254_740_991;

let world;
beforeEach(async () => {
  world = await start({ config: { api_tokens: [{ name: "shop", sha256: createHash("sha256").update(GRANT_TOKEN).digest("hex"), scopes: ["grant"] }] }, bindings: { REPORT_TOKEN: WORKER_TOKEN } });
});
afterEach(() => world.stop());

const grant = async (body, key, credential = GRANT_TOKEN) => {
  const headers = { Authorization: `Bearer ${credential}`, ...(key !== undefined && { "Idempotency-Key": key }) };
  const response = await world.fetch("/api/grants", { method: "POST", body: JSON.stringify(body), headers });
  return { http: response.status, ...(await response.json()) };
};

test("a user gets tokens, once for each key", async () => {
  const order = { user_id: "ada", tokens: 100 };
  const granted = { http: 201, ...order, created_at: NOW, balance: 100 };
  assert.deepEqual(await grant(order, "order-17"), granted);
  await world.order({ now: NOW + 60_000 });
  assert.deepEqual(await Promise.all(Array.from({ length: 8 }, () => grant(order, " order-17 "))), Array(8).fill(granted));
  assert.deepEqual(await grant({ ...order, tokens: 10.0 }, "order-18"), { http: 201, user_id: "ada", tokens: 10, created_at: NOW + 60_000, balance: 110 });
  const other = { http: 422, code: "idempotency_key_reused", error: "this `Idempotency-Key` was used for something else: expected the same body" };
  assert.deepEqual(await grant({ ...order, tokens: 101 }, "order-17"), other);
  assert.deepEqual(await grant({ ...order, user_id: "bo" }, "order-17"), other);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("what is no grant is refused: without a key, a whole number, or the scope", async () => {
  const order = { user_id: "ada", tokens: 100 };
  assert.deepEqual(await grant(order), { http: 400, code: "invalid_request", error: "`Idempotency-Key` is missing: expected what names this grant, such as an order's id" });
  for (const tokens of [0, -1, 1.5, "100", MOST + 1, null]) {
    const { http, error } = await grant({ ...order, tokens }, "k");
    assert.equal(http, 400);
    assert.match(error, /expected a whole number from 1 to 9007199254740991$/);
  }
  assert.equal((await grant({ ...order, user_id: "" }, "k")).http, 400);
  assert.deepEqual(await grant(order, "k", "wrong"), { http: 401, error: "Unauthorized" });
  for (const [credential, name] of [[WORKER_TOKEN, "REPORT_TOKEN"], [CLEANUP_TOKEN, "CLEANUP_TOKEN"]]) {
    assert.deepEqual(await grant(order, "k", credential), { http: 403, code: "forbidden", error: `\`${name}\` lacks the scope \`grant\`` });
  }
  assert.deepEqual(await world.report("", { ...order, kind: "image", prompt: "x" }, { Authorization: `Bearer ${GRANT_TOKEN}` }), { http: 403, code: "forbidden", error: "`shop` lacks the scope `report`" });
  assert.deepEqual(await world.all("SELECT * FROM stale_drafts_ledger"), []);
});

test("what a balance can't take is refused for good", async () => {
  await grant({ user_id: "ada", tokens: 10 }, "a");
  const { id } = await world.report("", { user_id: "ada", kind: "image", prompt: "x", tokens: 10 });
  assert.equal((await grant({ user_id: "ada", tokens: MOST }, "b")).balance, MOST);
  const refused = {
    http: 409, code: "balance_too_large",
    error: "the balance would exceed 9007199254740991 tokens, and nothing was changed: the same request will never go through",
  };
  assert.deepEqual(await grant({ user_id: "ada", tokens: 1 }, "c"), refused);
  assert.deepEqual(await world.report(`/${id}/fail`, { error_code: "broken", error: "x" }), refused);
  assert.equal(await world.status(id), "pending");
  // A sweep sets it aside, with the reason.
  await world.order({ now: NOW + 2 * 3_600_000 });
  const swept = await (await world.cleanup()).json();
  assert.deepEqual([swept.marked_as_failed, await world.status(id)], [0, "pending"]);
  assert.match((await world.one("SELECT reason FROM stale_drafts_rejected WHERE creation_id = ?", id)).reason, /balance_too_large/);
  assert.deepEqual(await world.wrongBalances(), []);
});
