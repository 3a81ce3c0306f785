// How many creations of one owner may be active: more are refused as they are made, whoever comes at the same time.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { CLEANUP_TOKEN, NOW, start, token } from "./harness.mjs";

let world;
afterEach(() => world.stop());
const begin = async (policy) => {
  world = await start({ config: { policy, auth: { cookie: "session" } } });
  for (const user of ["ada", "bo"]) await world.grant(user, 1_000);
};
const make = (kind = "image", user_id = "ada", headers = {}) => world.report("", { user_id, kind, prompt: "a fox", tokens: 10 }, headers);
const balance = async (user) => (await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = ?", user)).tokens;

test("beyond the limit nothing is made or charged, and it is said what is active", async () => {
  await begin({ max_active: 2 });
  const [one, two] = [await make(), await make("video")];
  assert.equal((await world.report(`/${one.id}/start`, { worker: "w" })).http, 200);
  const refused = await make();
  assert.deepEqual(refused, {
    http: 429, code: "too_many_active", limit: 2, kind: null,
    error: "as many of the owner's creations are active as may be, 2: wait until one of them has ended",
    active: [{ id: one.id, kind: "image", status: "processing" }, { id: two.id, kind: "video", status: "pending" }],
  });
  assert.deepEqual([await balance("ada"), (await make("image", "bo")).http], [980, 201]);
  assert.equal((await world.report(`/${two.id}/fail`, { error_code: "broken", error: "x" })).http, 200);
  assert.equal((await make()).http, 201);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a kind has a limit of its own, beside that of all", async () => {
  await begin({ max_active: 3, kinds: { video: { max_active: 1 } } });
  const video = await make("video");
  const refused = await make("video");
  assert.deepEqual([refused.http, refused.limit, refused.kind, refused.active.map(({ id }) => id)], [429, 1, "video", [video.id]]);
  assert.match(refused.error, /of the owner's creations of the kind `video` are active as may be, 1: wait/);
  assert.deepEqual([(await make()).http, (await make()).http], [201, 201]);
  const third = await make();
  assert.deepEqual([third.http, third.limit, third.kind, third.active.length], [429, 3, null, 3]);
});

test("of many at once no more than the limit are made, and a repeated request is answered as before", async () => {
  await begin({ kinds: { image: { max_active: 3 } } });
  const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => make("image", "ada", { "Idempotency-Key": `k${n}` })));
  const made = answers.filter(({ http }) => http === 201);
  assert.deepEqual([made.length, answers.filter(({ http }) => http === 429).length], [3, 9]);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations")).n, 3);
  const at = answers.findIndex(({ http }) => http === 201);
  assert.deepEqual(await make("image", "ada", { "Idempotency-Key": `k${at}` }), answers[at]);
  assert.deepEqual([await balance("ada"), await world.wrongBalances()], [970, []]);
});

test("an owner's own retry counts, an operator's does not", async () => {
  await begin({ max_active: 1 });
  const failed = async () => {
    const { id } = await make();
    assert.equal((await world.report(`/${id}/fail`, { error_code: "broken", error: "x" })).http, 200);
    return id;
  };
  const [one, two, three] = [await failed(), await failed(), await failed()];
  const post = (path, body, headers) => world.fetch(path, { method: "POST", body, headers });
  const retry = async (id) => {
    const response = await post(`/api/drafts/${id}/retry`, JSON.stringify({ attempt: 1 }), { Authorization: `Bearer ${token({ sub: "ada" })}` });
    return { http: response.status, ...(await response.json()) };
  };
  const answers = await Promise.all([retry(one), retry(two)]);
  const [passed, refused] = [answers.find(({ http }) => http === 200), answers.find(({ http }) => http !== 200)];
  assert.deepEqual(refused, {
    http: 429, code: "too_many_active", limit: 1, kind: null,
    error: "as many of the owner's creations are active as may be, 1: wait until one of them has ended",
    active: [{ id: passed.id, kind: "image", status: "pending" }],
  });
  assert.deepEqual(await retry(passed.id), passed, "a repeated one is answered as before");
  assert.equal(await balance("ada"), 990);
  const pressed = await post("/drafts/retry", new URLSearchParams({ id: three, attempt: "1" }).toString(), { Cookie: `session=${token({ sub: "ada" })}`, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded" });
  assert.equal(pressed.status, 429);
  assert.match(await pressed.text(), /As many of your drafts are in the making as may be/);
  assert.equal((await post(`/api/creations/${three}/retry`, JSON.stringify({ attempt: 1 }), { Authorization: `Bearer ${CLEANUP_TOKEN}` })).status, 200);
  assert.deepEqual([await balance("ada"), await world.wrongBalances()], [980, []]);
});

test("without a limit a creation costs what it did", async () => {
  await begin({ kinds: { video: { max_active: 5 } } });
  await world.cron();
  await world.ask("/api/sweeps");
  // Who writes looks once a minute whether the only database has all users.
  assert.equal((await world.report("", { user_id: "nobody", kind: "image", prompt: "a fox", tokens: 1 })).http, 402);
  const cost = async (kind) => {
    await world.cost();
    assert.equal((await make(kind)).http, 201);
    return world.cost();
  };
  assert.deepEqual(await cost("image"), { queries: 2, rows_read: 5, rows_written: 7 });
  await world.create({ id: "other", kind: "image", created_at: NOW });
  const limited = await cost("video");
  assert.deepEqual([limited.queries, limited.rows_written], [3, 7]);
  // One of them is for the order, in which the kind that was asked for comes first.
  assert.ok(limited.rows_read <= 13, `${limited.rows_read} rows read`);
});
