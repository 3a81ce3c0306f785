// What workers, owners and operators report: the whole status machine over HTTP.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, WORKER_TOKEN, WRITE, start, token } from "./harness.mjs";

let world;
beforeEach(async () => {
  world = await start();
  await world.grant("ada", 1_000);
  await world.grant("bo", 1_000);
});
afterEach(() => world.stop());

const NEW = { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 };
const URL = "https://cdn.example/fox.mp4";
const row = (id) => world.one("SELECT * FROM stale_drafts_creations WHERE id = ?", id);
const balance = async (user = "ada") => (await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = ?", user)).tokens;
const operator = async (path, body, credential = CLEANUP_TOKEN) => {
  const response = await world.fetch(path, { method: "POST", body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${credential}` } });
  return { http: response.status, ...(await response.json()) };
};
const restore = (id) => operator(`/api/creations/${id}/restore`);
const own = async (method, path, user = "ada") => {
  const response = await world.as(user, path, { method });
  return { http: response.status, ...(await response.json()) };
};
const begun = async (worker = "w1") => {
  const { id } = await world.report("", NEW);
  const { fence } = await world.report(`/${id}/start`, { worker });
  return { id, fence };
};
/** Everything that is true of money, after whatever happened. */
const sound = async () => {
  assert.deepEqual(await world.wrongBalances(), []);
  const odd = await world.all(`SELECT c.id, c.status, c.restored_at, group_concat(l.type) AS types FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_ledger AS l ON l.creation_id = c.id
    WHERE c.tokens > 0 GROUP BY c.id HAVING (c.status = 'failed') <> (coalesce(sum(l.tokens), 0) = 0)`);
  assert.deepEqual(odd, [], "what failed has cost nothing, and all else its price");
};

test("a creation's whole life, each step answered with what a worker needs", async () => {
  const made = await world.report("", NEW);
  const { id } = made;
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.deepEqual(made, { http: 201, id, user_id: "ada", kind: "video", status: "pending", attempt: 1, tokens: 30, created_at: NOW });
  assert.equal(await balance(), 970);

  const started = await world.report(`/${id}/start`, { worker: "w1" });
  assert.match(started.fence, /^1\.[0-9a-f]{16}$/);
  const { fence } = started;
  assert.deepEqual(started, { http: 200, id, status: "processing", attempt: 1, fence, user_id: "ada", kind: "video", prompt: "a fox", started_at: NOW, max_silence_ms: HOUR });

  await world.order({ now: NOW + 5_000 });
  assert.deepEqual(await world.report(`/${id}/heartbeat`, { fence, progress: 40 }), { http: 200, id, status: "processing", attempt: 1, heartbeat_at: NOW + 5_000 });
  const [draft] = (await (await world.as("ada", "/api/drafts")).json()).drafts;
  assert.deepEqual([draft.status, draft.progress, draft.heartbeat_at], ["processing", 40, NOW + 5_000]);

  assert.deepEqual(await world.report(`/${id}/complete`, { fence, result_url: URL }), { http: 200, id, status: "draft", attempt: 1, finished_at: NOW + 5_000, tokens_used: 30, refunded_tokens: 0 });
  assert.deepEqual(await own("POST", `/api/drafts/${id}/publish`), { http: 200, id, status: "published", attempt: 1 });
  assert.equal((await row(id)).result_url, URL);
  await sound();
});

test("repeating a request that took effect answers as the first time did, and does nothing", async () => {
  const key = { "Idempotency-Key": "order-17" };
  const twice = async (path, body, headers) => {
    const first = await world.report(path, body, headers);
    await world.order({ now: NOW + 60_000 });
    const all = async () => [await world.all("SELECT * FROM stale_drafts_creations ORDER BY id"), await world.all("SELECT * FROM stale_drafts_ledger ORDER BY entry_key")];
    const before = await all();
    assert.deepEqual(await world.report(path, body, headers), first, path);
    assert.deepEqual(await all(), before);
    await world.order({ now: NOW });
    return first;
  };
  const { id } = await twice("", NEW, key);
  const { fence } = await twice(`/${id}/start`, { worker: "w1" });
  await twice(`/${id}/complete`, { fence, result_url: URL });
  // Earlier requests too, now that much has happened since.
  assert.deepEqual(await world.report("", NEW, key), { http: 201, id, user_id: "ada", kind: "video", status: "pending", attempt: 1, tokens: 30, created_at: NOW });
  assert.equal((await world.report(`/${id}/start`, { worker: "w1" })).fence, fence);
  await own("POST", `/api/drafts/${id}/publish`);
  assert.equal((await own("POST", `/api/drafts/${id}/publish`)).http, 200);
  assert.equal((await world.report(`/${id}/complete`, { fence, result_url: URL })).status, "draft");

  const other = await begun();
  await twice(`/${other.id}/fail`, { fence: other.fence, error_code: "provider_error", error: "502" });
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_ledger WHERE type = 'refund'")).n, 1);
  await sound();
});

test("a key makes one creation per user, however often it is sent, and none with another body", async () => {
  const send = (body, key) => world.report("", body, key && { "Idempotency-Key": key });
  const answers = await Promise.all(Array.from({ length: 8 }, () => send(NEW, "k")));
  assert.equal(new Set(answers.map(({ id }) => id)).size, 1);
  assert.equal(await balance(), 970);
  const different = await send({ ...NEW, tokens: 31 }, "k");
  assert.deepEqual([different.http, different.error], [422, "this `Idempotency-Key` was used for something else: expected the same body"]);
  assert.notEqual((await send({ ...NEW, user_id: "bo" }, "k")).id, answers[0].id);
  assert.notEqual((await send(NEW)).id, (await send(NEW)).id);
  // What has been deleted since is still the same one.
  const { id } = answers[0];
  await world.report(`/${id}/fail`, { error_code: "canceled", error: "canceled" });
  await own("DELETE", `/api/drafts/${id}`);
  assert.equal((await send(NEW, "k")).id, id);
  await sound();
});

test("too few tokens: 402, and nothing is created", async () => {
  const answer = await world.report("", { ...NEW, tokens: 1_001 });
  assert.deepEqual(answer, { http: 402, code: "insufficient_tokens", error: "insufficient tokens: the balance does not cover the charge", balance: 1_000, tokens: 1_001 });
  const stranger = await world.report("", { ...NEW, user_id: "stranger" });
  assert.deepEqual([stranger.http, stranger.balance], [402, 0]);
  assert.deepEqual(await world.all("SELECT id FROM stale_drafts_creations"), []);
  await sound();
});

test("input that is not understood: 400 that quotes it, and nothing is done", async () => {
  const { id, fence } = await begun();
  const cases = [
    ["", { ...NEW, tokens: -1 }, "`tokens` is `-1`: expected a whole number from 0 to 9007199254740991"],
    ["", { ...NEW, tokens: "30" }, "`tokens` is `\"30\"`: expected a whole number from 0 to 9007199254740991"],
    ["", { user_id: "ada", kind: "video", prompt: "x" }, "`tokens` is missing: expected a whole number from 0 to 9007199254740991"],
    ["", { ...NEW, user_id: "" }, "`user_id` is `\"\"`: expected text of 1 to 200 bytes without control characters"],
    ["", { ...NEW, prompt: 5 }, "`prompt` is `5`: expected text of 1 to 20000 characters"],
    ["", { ...NEW, colour: "red" }, "unknown key `colour`: expected `user_id`, `kind`, `prompt` or `tokens`"],
    ["", [], "the body is `[]`: expected an object"],
    [`/${id}/start`, {}, "`worker` is missing: expected text of 1 to 200 characters"],
    [`/${id}/heartbeat`, { fence, progress: 101 }, "`progress` is `101`: expected a whole number from 0 to 100"],
    [`/${id}/complete`, { fence }, "`result_url` is missing: expected text of 1 to 2048 characters"],
    [`/${id}/complete`, { fence, result_url: "javascript:alert(1)" }, "`result_url` is `\"javascript:alert(1)\"`: expected an address such as `https://files.example/fox.png`, with a host, and without a user name or white space"],
    [`/${id}/fail`, { fence, error_code: "generation_timeout", error: "x" }, "`error_code` is `\"generation_timeout\"`: expected a code of your own, for this one is the sweep's"],
    [`/${id}/heartbeat?x=1`, { fence }, "unknown parameter `x`: expected `user_id`"],
  ];
  for (const [path, body, error] of cases) assert.deepEqual(await world.report(path, body), { http: 400, code: "invalid_request", error }, path);
  const raw = await world.fetch(`/api/creations/${id}/start`, { method: "POST", body: "{", headers: { Authorization: `Bearer ${WORKER_TOKEN}` } });
  assert.match((await raw.json()).error, /^the body is not valid JSON \(.*\): expected an object$/);
  assert.deepEqual(await world.report("/nothing/start", { worker: "w" }), { http: 404, code: "not_found", error: "there is no such creation" });
  assert.equal((await world.all("SELECT id FROM stale_drafts_creations")).length, 1);
  const wrong = await world.fetch(`/api/creations/${id}/start`, { headers: { Authorization: `Bearer ${WORKER_TOKEN}` } });
  assert.deepEqual([wrong.status, wrong.headers.get("Allow")], [405, "POST"]);
});

test("nobody reports without the scope", async () => {
  const { id, fence } = await begun();
  for (const verb of ["", `/${id}/start`, `/${id}/heartbeat`, `/${id}/complete`, `/${id}/fail`]) {
    for (const credential of ["wrong", token({ sub: "ada" })]) {
      assert.deepEqual(await operator(`/api/creations${verb}`, { fence, worker: "w" }, credential), { http: 401, error: "Unauthorized" }, verb);
    }
    // A sweeper's credential is no worker's.
    assert.deepEqual(await operator(`/api/creations${verb}`, { fence }), { http: 403, code: "forbidden", error: "`CLEANUP_TOKEN` lacks the scope `report`" });
  }
  assert.equal((await operator(`/api/creations/${id}/restore`, undefined, WORKER_TOKEN)).http, 403);
  assert.equal((await operator("/api/events/replay", undefined, WORKER_TOKEN)).http, 403);
  assert.equal((await row(id)).status, "processing");
});

test("an owner's own doings: by header, not by cookie, and for nobody else", async () => {
  const { id, fence } = await begun();
  assert.deepEqual(await own("POST", `/api/drafts/${id}/publish`), {
    http: 409, code: "illegal_transition", error: "a creation can't go from `processing` to `published`: only `draft` or `failed` can follow",
    status: "processing", attempt: 1, next: ["draft", "failed"], kept: false,
  });
  assert.equal((await own("DELETE", `/api/drafts/${id}`)).error, "it is still being generated: wait until it is finished or failed");
  await world.report(`/${id}/complete`, { fence, result_url: URL });
  for (const [method, path] of [["POST", `/api/drafts/${id}/publish`], ["DELETE", `/api/drafts/${id}`]]) {
    const cookie = await world.fetch(path, { method, headers: { Cookie: `session=${token({ sub: "ada" })}` } });
    assert.equal(cookie.status, 401);
    assert.deepEqual(await own(method, path, "bo"), { http: 404, code: "not_found", error: "there is no such creation" });
  }
  assert.equal((await row(id)).status, "draft");
  assert.deepEqual(await own("DELETE", `/api/drafts/${id}`), { http: 200, id, status: "draft", attempt: 1, deleted_at: NOW });
  assert.equal((await own("DELETE", `/api/drafts/${id}`)).http, 200);
  assert.equal((await own("POST", `/api/drafts/${id}/publish`)).error, "its owner has deleted it");
  const { prompt, result_url } = await row(id);
  assert.deepEqual([prompt, result_url], ["", null]);
  assert.deepEqual((await (await world.as("ada", "/api/drafts")).json()).drafts, []);
  // An operator still sees that it was, and what was paid.
  const listed = await world.ask("/api/creations?user_id=ada");
  assert.deepEqual(listed.creations.map(({ id, deleted_at }) => [id, deleted_at]), [[id, NOW]]);
  await sound();
});

test("a report whose fence is not the present one changes nothing", async () => {
  const { id, fence } = await begun();
  const before = await row(id);
  const second = await world.report(`/${id}/start`, { worker: "w2" });
  assert.deepEqual([second.http, second.code, second.status, second.attempt, second.next], [409, "taken", "processing", 1, ["draft", "failed"]]);
  assert.equal(second.error, "another worker has begun this attempt");
  for (const wrong of ["1.0000000000000000", "2.0000000000000000", "x", fence.slice(0, -1)]) {
    for (const [verb, body] of [["heartbeat", {}], ["complete", { result_url: URL }], ["fail", { error_code: "x", error: "x" }]]) {
      const answer = await world.report(`/${id}/${verb}`, { fence: wrong, ...body });
      assert.deepEqual([answer.http, answer.error, answer.kept], [409, "the fence does not belong to this creation: expected the one that its start gave", false], `${verb} ${wrong}`);
    }
  }
  assert.equal((await world.report(`/${id}/fail`, { error_code: "x", error: "x" })).error, "a worker has begun: expected the fence that its start gave");
  assert.deepEqual(await row(id), before);
});

test("the statements' conditions are the rules', on every status", async () => {
  await world.database.exec("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:more', 'ada', 'grant', 1000, 0)");
  const reach = {
    pending: async () => ({ id: (await world.report("", NEW)).id, fence: "1.none" }),
    processing: begun,
    draft: async () => {
      const one = await begun();
      await world.report(`/${one.id}/complete`, { fence: one.fence, result_url: URL });
      return one;
    },
    published: async () => {
      const one = await reach.draft();
      await own("POST", `/api/drafts/${one.id}/publish`);
      return one;
    },
    failed: async () => {
      const one = await begun();
      await world.report(`/${one.id}/fail`, { fence: one.fence, error_code: "first", error: "x" });
      return one;
    },
  };
  const reports = {
    start: ({ id }) => world.report(`/${id}/start`, { worker: "w9" }),
    heartbeat: ({ id, fence }) => world.report(`/${id}/heartbeat`, { fence }),
    complete: ({ id, fence }) => world.report(`/${id}/complete`, { fence, result_url: `${URL}?2` }),
    fail: ({ id, fence }) => world.report(`/${id}/fail`, { fence, error_code: "second", error: "x" }),
    cancel: ({ id }) => world.report(`/${id}/fail`, { error_code: "canceled", error: "x" }),
    publish: ({ id }) => own("POST", `/api/drafts/${id}/publish`),
    delete: ({ id }) => own("DELETE", `/api/drafts/${id}`),
    restore: ({ id }) => restore(id),
    retry: ({ id }) => operator(`/api/creations/${id}/retry`, { attempt: 1 }),
    end: ({ id }) => world.report(`/${id}/cancel`, {}),
  };
  const legal = {
    start: ["pending"], heartbeat: ["processing"], complete: ["processing"], fail: ["processing"], cancel: ["pending"],
    publish: ["draft", "published"], delete: ["draft", "published", "failed"], restore: [],
    retry: ["failed"], end: ["pending", "processing"],
  };
  for (const [name, report] of Object.entries(reports)) {
    for (const [status, there] of Object.entries(reach)) {
      const one = await there();
      const before = await row(one.id);
      const answer = await report(one);
      assert.equal(answer.http, legal[name].includes(status) ? 200 : 409, `${name} in ${status}: ${JSON.stringify(answer)}`);
      if (answer.http === 409) {
        // Nothing changes, but that a late result is kept.
        const after = await row(one.id);
        if (answer.kept) assert.deepEqual([name, status, after.late_result_url], ["complete", "failed", `${URL}?2`]);
        assert.deepEqual({ ...after, late_result_url: null, late_at: null }, { ...before, late_result_url: null, late_at: null }, `${name} in ${status}`);
        assert.deepEqual([answer.status, answer.attempt], [status, 1]);
      }
    }
  }
  await sound();
});

test("a result that comes too late is refused and kept, and an operator can restore it", async () => {
  const { id, fence } = await begun();
  await world.order({ now: NOW + 2 * HOUR });
  await world.cron();
  assert.deepEqual([(await row(id)).status, await balance()], ["failed", 1_000]);
  assert.deepEqual([(await restore(id)).http, (await restore(id)).error], [409, "no result has come in too late: there is nothing to restore"]);

  const beat = await world.report(`/${id}/heartbeat`, { fence });
  assert.deepEqual([beat.http, beat.error, beat.status, beat.next, beat.kept], [409, "the attempt of this fence is over", "failed", [], false]);
  const late = await world.report(`/${id}/complete`, { fence, result_url: URL });
  assert.deepEqual([late.http, late.error, late.kept], [409, "the attempt of this fence is over", true]);
  // The same once more is what is kept; another one is not, and its worker must not take it for kept.
  assert.equal((await world.report(`/${id}/complete`, { fence, result_url: URL })).kept, true);
  assert.equal((await world.report(`/${id}/complete`, { fence, result_url: `${URL}?again` })).kept, false);
  const stored = await row(id);
  assert.deepEqual([stored.status, stored.late_result_url, stored.late_at, stored.result_url, await balance()], ["failed", URL, NOW + 2 * HOUR, null, 1_000]);
  assert.match(await (await world.as("ada", "/drafts")).text(), /Its result came in after the refund\. It is kept/);

  const restored = await restore(id);
  assert.deepEqual(restored, { http: 200, id, status: "draft", attempt: 1, restored_at: NOW + 2 * HOUR, charged_tokens: 30, result_url: URL });
  assert.equal(await balance(), 970);
  assert.deepEqual(await restore(id), restored);
  assert.equal(await balance(), 970);
  const page = await (await world.as("ada", "/drafts")).text();
  assert.match(page, /It has been restored, and charged again/);
  assert.match(page, /30 tokens</);
  const { creation, ledger, attempts, sweeps } = await world.ask(`/api/creations/${id}`);
  assert.deepEqual([creation.status, creation.error, creation.refunded_tokens], ["draft", null, 0]);
  assert.deepEqual(ledger.map(({ type, tokens }) => [type, tokens]), [["charge", -30], ["refund", 30], ["restore", -30]]);
  assert.deepEqual(attempts.map(({ attempt, outcome, error }) => [attempt, outcome, error]), [[1, "restored", "Generation timeout: Task stuck in processing status for 2.0 hours"]]);
  assert.equal(sweeps.length, 1);
  assert.equal((await own("POST", `/api/drafts/${id}/publish`)).http, 200);
  assert.equal((await restore(id)).http, 200);
  await sound();
});

test("a restore that the balance does not cover, or whose owner deleted the draft, changes nothing", async () => {
  const [poor, gone] = [await begun(), await begun()];
  await world.order({ now: NOW + 2 * HOUR });
  await world.cron();
  for (const { id, fence } of [poor, gone]) await world.report(`/${id}/complete`, { fence, result_url: URL });
  await world.report("", { ...NEW, tokens: 980 });
  const before = await row(poor.id);
  const refused = await restore(poor.id);
  assert.deepEqual([refused.http, refused.error, refused.balance], [402, "insufficient tokens: the balance does not cover the charge", 20]);
  assert.deepEqual(await row(poor.id), before);
  assert.deepEqual(await world.all("SELECT * FROM stale_drafts_attempts"), []);
  await own("DELETE", `/api/drafts/${gone.id}`);
  assert.equal((await restore(gone.id)).error, "its owner has deleted it");
  await sound();
});

test("a policy value turns keeping off", async () => {
  await world.stop();
  world = await start({ config: { policy: { keep_late_results: false } } });
  await world.grant("ada", 1_000);
  const { id, fence } = await begun();
  await world.order({ now: NOW + 2 * HOUR });
  await world.cron();
  assert.equal((await world.report(`/${id}/complete`, { fence, result_url: URL })).kept, false);
  assert.equal((await row(id)).late_at, null);
});

test("attempts that are left are taken before a creation fails, and it is refunded once for all", async () => {
  await world.stop();
  world = await start({ config: { policy: { attempts: 3, kinds: { image: { attempts: 1 } } } }, queues: ["GENERATIONS"] });
  await world.grant("ada", 1_000);
  const first = await begun("w1");
  const { id } = first;
  await world.create({ id: "image" });
  await world.order({ now: NOW + 2 * HOUR });
  const answer = await (await world.cleanup()).json();
  assert.deepEqual([answer.marked_as_failed, answer.retried, answer.creations.map(({ id, action }) => [id, action])], [1, 1, [["image", "fail"], [id, "retry"]]]);
  const put = await row(id);
  assert.deepEqual([put.status, put.attempt, put.queued_at, put.started_at, put.heartbeat_at, put.fence, put.worker, put.error], ["pending", 2, NOW + 2 * HOUR, null, null, null, null, null]);
  assert.deepEqual([await balance(), (await world.one("SELECT retried FROM stale_drafts_sweeps")).retried], [970, 1]);
  await world.logged(new RegExp(`Put stale creation ${id.slice(0, 6)}\\.{3} back for attempt 2 \\(age: 2\\.0h\\)`));
  // It has a fresh deadline.
  await world.order({ now: NOW + 3 * HOUR });
  assert.equal((await (await world.cleanup()).json()).retried, 0);

  // The worker of the first attempt comes back: refused, and its result kept.
  const late = await world.report(`/${id}/complete`, { fence: first.fence, result_url: URL });
  assert.deepEqual([late.http, late.error, late.status, late.attempt, late.kept], [409, "the attempt of this fence is over", "pending", 2, true]);
  const second = await world.report(`/${id}/start`, { worker: "w2" });
  assert.match(second.fence, /^2\./);
  assert.equal((await world.report(`/${id}/heartbeat`, { fence: first.fence })).http, 409);

  await world.order({ now: NOW + 5 * HOUR });
  await world.cron();
  await world.order({ now: NOW + 7 * HOUR });
  const [shown] = (await (await world.as("ada", "/api/drafts")).json()).drafts;
  assert.deepEqual([shown.status, shown.error, shown.attempt], ["failed", "Generation timeout: Task stuck in pending status for 2.0 hours, after 3 attempts", 3]);
  assert.equal(await balance(), 1_000);
  const { attempts, ledger, sweeps, max_attempts } = await world.ask(`/api/creations/${id}`);
  assert.deepEqual(attempts.map(({ attempt, outcome, worker, stuck_status }) => [attempt, outcome, worker, stuck_status]), [[1, "retried", "w1", "processing"], [2, "retried", "w2", "processing"]]);
  assert.deepEqual([ledger.length, sweeps.length, max_attempts], [2, 3, 3]);
  // The queue offered it twice to the workers, and once as new.
  for (let tries = 0; (await world.received()).length < 3 && tries < 200; tries += 1) await new Promise((done) => setTimeout(done, 20));
  const offered = (await world.received()).map(([queue, { type, data }]) => [queue, type, data.creation_id, data.attempt]);
  assert.deepEqual(offered, [["generations", "creation.created", id, 1], ["generations", "creation.retried", id, 2], ["generations", "creation.retried", id, 3]]);
  // The first attempt's result can still be restored.
  assert.deepEqual([(await restore(id)).result_url, await balance()], [URL, 970]);
  await sound();
});

test("what the write could not carry out is shown as it will be", async () => {
  await world.stop();
  world = await start({ config: { policy: { attempts: 2 } } });
  await world.grant("ada", 1_000);
  await world.create({ id: "a" });
  await world.order({ failBefore: WRITE });
  const [draft] = (await (await world.as("ada", "/api/drafts")).json()).drafts;
  assert.deepEqual([draft.verdict, draft.status, draft.badge], ["stale", "pending", "🔁 Retrying"]);
});

test("a living worker is never failed, a silent one soon, and one that takes too long in the end", async () => {
  await world.stop();
  world = await start({ config: { policy: { heartbeat_minutes: 2, total_hours: 6, processing: 1 } } });
  await world.grant("ada", 1_000);
  const [alive, silent, mute] = [await begun(), await begun(), await begun()];
  assert.equal((await world.report(`/${silent.id}/heartbeat`, { fence: silent.fence })).http, 200);
  for (let at = 1; at <= 40; at += 1) {
    await world.order({ now: NOW + at * MINUTE });
    assert.equal((await world.report(`/${alive.id}/heartbeat`, { fence: alive.fence })).http, 200);
    if (at % 3 === 0) await world.cron();
  }
  const failed = async () => (await world.all("SELECT id, error, max_age_ms FROM stale_drafts_creations WHERE status = 'failed' ORDER BY finished_at")).map(({ id, error, max_age_ms }) => [id, error, max_age_ms]);
  assert.deepEqual(await failed(), [[silent.id, "Generation timeout: Task stuck in processing status for 3 minutes", 2 * MINUTE]]);
  const explained = await world.ask(`/api/creations/${alive.id}`);
  assert.deepEqual([explained.rule, explained.creation.max_age_ms, explained.creation.deadline], ["heartbeat_minutes", 2 * MINUTE, NOW + 42 * MINUTE]);
  assert.equal((await world.ask(`/api/creations/${mute.id}`)).rule, "processing");
  await world.order({ now: NOW + 6 * HOUR });
  await world.report(`/${alive.id}/heartbeat`, { fence: alive.fence });
  assert.equal((await world.ask(`/api/creations/${alive.id}`)).rule, "total_hours");
  await world.cron();
  await world.order({ now: NOW + 6 * HOUR + 1 });
  await world.report(`/${alive.id}/heartbeat`, { fence: alive.fence });
  await world.cron();
  const rest = (await failed()).slice(1);
  assert.deepEqual(rest.map(([id]) => id), [mute.id, alive.id]);
  assert.deepEqual(rest[1].slice(1), ["Generation timeout: Task stuck in processing status for 6.0 hours", 6 * HOUR]);
  await sound();
});

test("a page that is open learns of changes at little cost", async () => {
  const { id, fence } = await begun();
  const active = (tag) => world.fetch("/api/drafts/active", { headers: { Authorization: `Bearer ${token({ sub: "ada" })}`, ...(tag && { "If-None-Match": tag }) } });
  const first = await active();
  const tag = first.headers.get("ETag");
  assert.deepEqual(await first.json(), {
    now: NOW, user_id: "ada", balance: 970, policy: {},
    drafts: [{ id, kind: "video", status: "processing", attempt: 1, created_at: NOW, queued_at: null, started_at: NOW, heartbeat_at: null, extended_until: null, progress: null }],
  });
  await world.order({ now: NOW + 1_000 });
  const same = await active(tag);
  assert.deepEqual([same.status, await same.text(), same.headers.get("ETag")], [304, "", tag]);
  await world.report(`/${id}/heartbeat`, { fence, progress: 10 });
  const beat = await active(tag);
  assert.deepEqual([beat.status, (await beat.json()).drafts[0].progress], [200, 10]);
  await world.report(`/${id}/complete`, { fence, result_url: URL });
  assert.deepEqual((await (await active(tag)).json()).drafts, []);
  assert.equal((await world.fetch("/api/drafts/active")).status, 401);
});
