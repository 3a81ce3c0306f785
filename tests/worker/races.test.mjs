// Two writers at a time, in every order that their database calls can come in. A call is one transaction, so these are
// all the interleavings there are. After each the invariants are checked, whatever the two were answered.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, NOW, WORKER_TOKEN, start } from "./harness.mjs";

const HOURS_LATER = NOW + 2 * HOUR;
let world;
before(async () => {
  world = await start({ config: { policy: { kinds: { video: { attempts: 2 } } } } });
  await world.grant("ada", 1_000_000);
});
after(() => world.stop());

const post = (path, credential, body) => async (actor) =>
  (await world.fetch(path, { method: "POST", body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${credential}`, "X-Actor": actor } })).status;

/** What a writer does to a creation, by its id and its first fence. */
const WRITERS = {
  sweep: () => post("/api/generate/cleanup-stale", CLEANUP_TOKEN),
  complete: ({ id, fence }) => post(`/api/creations/${id}/complete`, WORKER_TOKEN, { fence, result_url: "https://cdn.example/1" }),
  heartbeat: ({ id, fence }) => post(`/api/creations/${id}/heartbeat`, WORKER_TOKEN, { fence }),
  fail: ({ id, fence }) => post(`/api/creations/${id}/fail`, WORKER_TOKEN, { fence, error_code: "provider_error", error: "502" }),
  start: ({ id }) => post(`/api/creations/${id}/start`, WORKER_TOKEN, { worker: "another" }),
  restore: ({ id }) => post(`/api/creations/${id}/restore`, CLEANUP_TOKEN),
  retry: ({ id }) => post(`/api/creations/${id}/retry`, CLEANUP_TOKEN, { attempt: 1 }),
  cancel: ({ id }) => post(`/api/creations/${id}/cancel`, WORKER_TOKEN, {}),
};

/** Where a creation can be when the two meet. */
const SCENES = {
  "stale in processing": { kind: "image", reach: "processing" },
  "stale in processing, with an attempt left": { kind: "video", reach: "processing" },
  "failed, with a late result": { kind: "image", reach: "late" },
  "put back, with a late result": { kind: "video", reach: "late" },
};

async function stage({ kind, reach }) {
  await world.order({ now: NOW });
  const { id } = await world.report("", { user_id: "ada", kind, prompt: "a fox", tokens: 10 });
  const { fence } = await world.report(`/${id}/start`, { worker: "first" });
  await world.order({ now: HOURS_LATER });
  if (reach === "late") {
    await world.cleanup();
    await world.report(`/${id}/complete`, { fence, result_url: "https://cdn.example/late" });
  }
  // What watches has looked in this minute, and makes no calls beside theirs.
  await world.ask("/api/sweeps");
  return { id, fence };
}

/** All orders of `a` calls of A and `b` of B. */
const interleavings = (a, b) => (a === 0 || b === 0 ? ["A".repeat(a) + "B".repeat(b)] : [...interleavings(a - 1, b).map((rest) => `A${rest}`), ...interleavings(a, b - 1).map((rest) => `B${rest}`)]);

async function check(id, label) {
  assert.deepEqual(await world.wrongBalances(), [], label);
  const creation = await world.one("SELECT status, attempt, charge, error, error_code, sweep_id, result_url, late_result_url, restored_at FROM stale_drafts_creations WHERE id = ?", id);
  const ledger = (await world.all("SELECT type, tokens FROM stale_drafts_ledger WHERE creation_id = ? ORDER BY created_at, entry_key", id)).map(({ type }) => type).sort().join();
  const attempts = await world.all("SELECT attempt, outcome FROM stale_drafts_attempts WHERE creation_id = ? ORDER BY attempt", id);
  const { status, charge, restored_at } = creation;
  // Each charge is refunded if and only if it failed; never twice. Charged again only by a retry, or a restore.
  const times = (type, count) => Array(count).fill(type);
  const expected = [...times("charge", charge), ...times("refund", charge - 1 + (status === "failed" || restored_at !== null)), ...times("restore", Number(restored_at !== null))].join();
  assert.equal(ledger, expected, `${label}: ${JSON.stringify(creation)}`);
  assert.equal(attempts.filter(({ outcome }) => outcome === "failed").length, charge - 1, label);
  assert.equal(status === "failed", creation.error_code !== null, label);
  assert.equal(status === "draft", creation.result_url !== null, label);
  assert.equal(creation.error_code === "generation_timeout", creation.sweep_id !== null, label);
  // Each attempt before this one ended once.
  assert.deepEqual(attempts.filter(({ outcome }) => outcome !== "restored").map(({ attempt }) => attempt), Array.from({ length: creation.attempt - 1 }, (_, n) => n + 1), label);
}

const names = Object.keys(WRITERS);
const pairs = names.flatMap((one, at) => names.slice(at).map((other) => [one, other]));
// A sweep makes two calls, select and write, and a third that notes what it cost, in which nobody else has a share; a report one.
// Beside an answer the monitor may begin: it does not touch creations.
const calls = { sweep: 2, complete: 1, heartbeat: 1, fail: 1, start: 1, restore: 1, retry: 1, cancel: 1 };

for (const [scene, how] of Object.entries(SCENES)) {
  test(`${scene}: every pair of writers, in every order`, async () => {
    for (const [one, other] of pairs) {
      for (const turns of interleavings(calls[one], calls[other])) {
        const label = `${one} and ${other}, ${turns}`;
        const creation = await stage(how);
        await world.order({ now: HOURS_LATER, turns: [...turns] });
        const codes = await Promise.all([WRITERS[one](creation)("A"), WRITERS[other](creation)("B")]);
        for (const code of codes) assert.ok([200, 402, 409].includes(code), `${label}: ${codes}`);
        // Else there would be more orders than these.
        const { A, B } = await world.spent();
        for (const [writer, spent] of [[one, A], [other, B]]) assert.ok(spent >= 1 && spent <= calls[writer] + (writer === "sweep") + 1, `${label}: ${writer} made ${spent} calls`);
        await world.order({ now: HOURS_LATER });
        await check(creation.id, label);
        // Whatever happened, what follows goes well: a sweep later it is settled, or waits for its next attempt.
        await world.order({ now: HOURS_LATER + 4 * HOUR });
        await world.cleanup();
        await world.cleanup();
        await check(creation.id, `${label}, swept after`);
      }
    }
    const left = await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'processing'");
    assert.equal(left.n, 0);
  });
}
