// A bounded share of `npm run load`: ten seconds of it, after which nothing may be wrong; and faults planted into what it left,
// each of which has to be found, for a check that can't fail says nothing.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { NAMES, check, look } from "../load/checks.mjs";
import { judge, lastBeat, lived } from "../load/journal.mjs";
import { load, unmeant } from "../load/run.mjs";
import { start } from "./harness.mjs";

let result;
before(async () => {
  result = await load({ seconds: 10, clients: 8, rate: 0, seed: 7 });
});

test("nothing is wrong after ten seconds of load", () => {
  assert.deepEqual(result.found, []);
  // Everything has happened, and each check had something to look at.
  for (const [name, { good }] of Object.entries(result.actions)) assert.ok(good > 0, `${name} has not happened`);
  for (const { name, checked } of result.checks) if (name !== "the Worker has logged no error") assert.ok(checked > 0, `nothing was looked at: ${name}`);
  const { world: { rows } } = result;
  for (const status of ["failed", "draft", "published"]) assert.ok(rows.creations.some((row) => row.status === status), status);
  for (const outcome of ["retried", "restored"]) assert.ok(rows.attempts.some((row) => row.outcome === outcome), outcome);
  assert.ok(Object.values(result.actions).some(({ cut }) => cut > 0), "no connection was cut");
});

/** What to do to the rows of a run behind the Worker's back, and which check finds it. `of` says whose row: what a report of it was. */
const FAULTS = {
  "a lost creation": ["acknowledged creations stand", (rows) => rows.creations.pop()],
  "a creation of another owner": ["acknowledged creations stand", (rows) => (rows.creations[0].user_id = "mallory")],
  "a creation that nobody asked for": ["no creation that nobody was told of", (rows) => rows.creations.push({ ...rows.creations[0], id: "forged" })],
  "a start by somebody else": ["acknowledged starts stand", (rows, of) => (of("start").worker = "another")],
  "a lost heartbeat": ["acknowledged heartbeats stand", (rows, of) => (of("heartbeat").heartbeat_at -= 60_000)],
  "a heartbeat that was never written": ["acknowledged heartbeats stand", (rows, of) => (of("heartbeat").heartbeat_at = null)],
  "a lost result": ["acknowledged results stand", (rows, of) => (of("complete").status = "failed")],
  "another result": ["acknowledged results stand", (rows, of) => (of("complete").result_url = "https://cdn.example/another")],
  "a lost failure": ["acknowledged failures stand, and are refunded", (rows, of) => (of("fail").status = "draft")],
  "a failure with another reason": ["acknowledged failures stand, and are refunded", (rows, of) => (of("fail").error_code = "another")],
  "a failure that is not refunded": ["failed means refunded, and refunded means failed", (rows, of) => { const { id } = of("fail"); rows.ledger = rows.ledger.filter(({ entry_key }) => entry_key !== `refund:${id}`); }],
  "a refund of what was finished": ["failed means refunded, and refunded means failed", (rows, of) => { const { id, tokens, user_id } = of("complete"); rows.ledger.push({ entry_key: `refund:${id}`, user_id, type: "refund", creation_id: id, sweep_id: null, tokens }); }],
  "a double refund": ["charged once, refunded once and with the same", (rows) => rows.ledger.push({ ...rows.ledger.find(({ type }) => type === "refund"), entry_key: "again" })],
  "a refund of more than was charged": ["charged once, refunded once and with the same", (rows) => (rows.ledger.find(({ type }) => type === "refund").tokens += 1)],
  "a refund to somebody else": ["charged once, refunded once and with the same", (rows) => (rows.ledger.find(({ type }) => type === "refund").user_id = "mallory")],
  "a double charge": ["charged once, refunded once and with the same", (rows) => rows.ledger.push({ ...rows.ledger.find(({ type }) => type === "charge"), entry_key: "again" })],
  "a wrong balance": ["each balance is the sum of its ledger", (rows) => (rows.balances[1].tokens += 1)],
  "a lost balance": ["each balance is the sum of its ledger", (rows) => rows.balances.pop()],
  "a late result that is gone": ["results that came too late are kept", (rows) => rows.creations.forEach((row) => { if (row.late_result_url) row.late_result_url = null; })],
  "a restore for nothing": ["acknowledged restores are charged", (rows) => { rows.ledger = rows.ledger.filter(({ type }) => type !== "restore"); }],
  "a publication that is undone": ["what owners published and deleted stands", (rows, of) => (of("publish").status = "draft")],
  "something that is still there": ["what owners published and deleted stands", (rows, of) => (of("delete").deleted_at = null)],
  "a living one that was failed": ["nothing that lived was failed", (rows) => { const { sweep_id } = rows.creations.find((row) => row.sweep_id); rows.sweeps.find(({ id }) => id === sweep_id).started_at -= 60_000; }],
  "an attempt too many": ["nothing is tried too seldom or too often", (rows) => (rows.creations.find(({ kind }) => kind === "image").attempt = 2)],
  "an attempt that left no trace": ["nothing is tried too seldom or too often", (rows) => { rows.attempts = rows.attempts.filter(({ outcome }) => outcome !== "retried"); }],
  "one that remains": ["nothing stale remains after the last sweep", (rows) => (rows.creations[0].status = "processing")],
  "a sweep that counts too much": ["each sweep counts what the ledger says", (rows) => (rows.sweeps.find(({ failed }) => failed > 0).failed += 1)],
  "a sweep that is gone": ["each sweep counts what the ledger says", (rows) => { rows.sweeps = rows.sweeps.filter(({ failed }) => failed === 0); }],
  "a roll-up that counts too little": ["each sweep counts what the ledger says", (rows) => (rows.rollups[0].creations -= 1)],
  "a sweep that never ended": ["each sweep ended, and none was refused a row", (rows) => (rows.sweeps.find(({ source }) => source === "cron").finished_at = null)],
  "a sweep that failed": ["each sweep ended, and none was refused a row", (rows) => (rows.sweeps[0].error = "D1_ERROR: database is locked: SQLITE_BUSY")],
  "a circuit breaker that nobody was told of": ["each sweep ended, and none was refused a row", (rows) => (rows.sweeps.find(({ source }) => source === "cron").error = "the circuit breaker is open: …")],
  "a lost event": ["each event is told, or still in the outbox", (rows, of, told) => { const id = [...told.keys()].find((key) => key.startsWith("failed:")); told.delete(id); rows.events = rows.events.filter((event) => event.id !== id); }],
  "an event of what did not happen": ["each event is told, or still in the outbox", (rows) => rows.events.push({ id: "failed:forged:1", state: "due" })],
  "an event that was given up": ["each event is told, or still in the outbox", (rows, of, told) => { const id = [...told.keys()][0]; rows.events.push({ id, state: "dead" }); }],
  "an event that says something else": ["what is told is true", (rows, of, told) => ([...told.values()].find(({ event }) => event.type === "creation.failed").event.data.refunded_tokens = 0)],
  "a refusal without cause": ["nobody was refused a result without cause", (rows, of, told, lives) => {
    // One that was restored would be a cause.
    const { id, fence } = of("complete");
    lives.get(id).reports.push({ action: "complete", fence, code: "attempt_over", is: "refused" });
  }],
};

for (const [fault, [name, plant]] of Object.entries(FAULTS)) {
  test(`the checks find ${fault}`, () => {
    const { world } = result;
    const rows = structuredClone(world.rows);
    const told = structuredClone(world.told);
    const lives = structuredClone(world.journal.lives);
    const of = (action) => {
      for (const { id, reports } of lives.values()) {
        const report = reports.find((one) => one.action === action && one.is === "good");
        const row = report && rows.creations.find((creation) => creation.id === id);
        const fence = report?.fence ?? report?.json.fence;
        // The present attempt's, of what was not restored nor deleted, so that the fault is the only one.
        if (row && row.restored_at === null && (action === "delete" || row.deleted_at === null) && (!fence || row.fence === fence)) return row;
      }
      throw new Error(`nobody reported ${action}`);
    };
    plant(rows, of, told, lives);
    const found = check({ ...world, rows, told, journal: { lives } }).find((one) => one.name === name).found;
    assert.ok(found.length > 0, `nothing was found by: ${name}`);
  });
}

test("each check that compares rows has a fault that it finds", () => {
  const covered = new Set(Object.values(FAULTS).map(([name]) => name));
  assert.deepEqual(NAMES.filter((name) => !covered.has(name)), []);
});

test("a broken invariant is found while it runs", async () => {
  const world = await start();
  const batch = async (list) => (await world.database.batch(list.map(([sql]) => world.database.prepare(sql)))).map(({ results }) => results);
  try {
    await world.grant("ada", 100);
    await world.create({ id: "a" }, { id: "b" });
    await world.database.prepare("UPDATE stale_drafts_creations SET status = 'failed' WHERE id = 'a'").run();
    assert.deepEqual(await look(batch), []);
    const broken = async (sql) => {
      await world.database.prepare(sql).run();
      return (await look(batch)).map((text) => text.split(": ")[1]);
    };
    assert.deepEqual(await broken("UPDATE stale_drafts_balances SET tokens = tokens + 1"), ["every balance is the sum of its ledger"]);
    await world.database.prepare("UPDATE stale_drafts_balances SET tokens = tokens - 1").run();
    await world.database.prepare("DROP TRIGGER stale_drafts_creations_are_refunded").run();
    assert.deepEqual(await broken("UPDATE stale_drafts_creations SET status = 'failed' WHERE id = 'b'"), ["of each charge, what was not used was refunded, once, and nothing else"]);
    await world.database.prepare("DROP TRIGGER stale_drafts_ledger_refunds_failures").run();
    await world.database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at) VALUES ('refund:b', 'ada', 'refund', 'b', 10, 0)").run();
    assert.deepEqual(await look(batch), []);
    await world.database.prepare("DROP TRIGGER stale_drafts_ledger_is_append_only_update").run();
    assert.ok((await broken("UPDATE stale_drafts_ledger SET tokens = 9 WHERE entry_key = 'refund:b'")).includes("of each charge, what was not used was refunded, once, and nothing else"));
  } finally {
    await world.stop();
  }
});

test("an answer is judged by what was asked", () => {
  for (const [action, answer, life, is] of [
    ["create", { status: 201 }, {}, "good"],
    ["create", { status: 402 }, {}, "refused"],
    ["create", { status: 422 }, {}, "wrong"],
    ["complete", { status: 409, code: "attempt_over" }, {}, "refused"],
    ["complete", { status: 409, code: "wrong_fence" }, {}, "wrong"],
    ["complete", { status: 409, code: "illegal_transition" }, {}, "wrong"],
    ["complete", { status: 409, code: "illegal_transition" }, { deleting: true }, "refused"],
    ["complete", { status: 409 }, { deleting: true }, "wrong"],
    ["heartbeat", { status: 503 }, {}, "wrong"],
    ["heartbeat", { status: 401 }, {}, "wrong"],
    ["publish", { status: 409, code: "deleted" }, {}, "wrong"],
    ["sweep", { status: 409, text: '{"error":"the circuit breaker is open: …"}' }, {}, "held"],
    ["sweep", { status: 409, text: '{"error":"sweeping is paused"}' }, {}, "wrong"],
    ["sweep", { status: 503 }, {}, "wrong"],
    ["cron", { status: 500, text: "exception" }, {}, "held"],
    ["cron", { status: 500, text: "Error: …" }, {}, "wrong"],
    ["list", { status: 500 }, {}, "wrong"],
    ["follow", { status: 304 }, {}, "good"],
  ]) assert.equal(judge(action, answer, life), is, `${action} ${JSON.stringify(answer)}`);
});

test("a line of the log that is not meant is found", () => {
  const alert = (code) => `{"code":"${code}","event":"alert_fired","level":"error"}`;
  const delivery = (destination) => `{"destination":"${destination}","error":"it answered 503","event":"delivery_failed","level":"error"}`;
  assert.deepEqual(unmeant([alert("many_stale"), delivery("webhook")]), []);
  const wrong = [alert("ledger_differs"), delivery("outbox"), '{"error":"D1_ERROR: database is locked","event":"read_failed","level":"error"}', "kj/exception: segmentation fault"];
  assert.deepEqual(unmeant(wrong), wrong);
});

test("a worker is heard until its last heartbeat, as far as that is certain", () => {
  const beat = (sent, ended, heartbeat_at) => ({ action: "heartbeat", fence: "1.a", is: heartbeat_at ? "good" : "cut", sent, ended, json: heartbeat_at && { heartbeat_at } });
  assert.equal(lastBeat([]), undefined);
  assert.equal(lastBeat([beat(10, 20, 12), beat(30, 40, 33)]), 33);
  // Two at once: either may have been written last.
  assert.equal(lastBeat([beat(10, 20, 12), beat(11, 21, 15)]), 12);
  // One without an answer may be written at any time after it was sent.
  assert.equal(lastBeat([beat(10, Infinity), beat(30, 40, 33)]), 10);
  assert.equal(lastBeat([beat(10, Infinity)]), undefined);

  const limits = { silence: 1_000, heartbeat: 100, total: 500 };
  const attempt = { stuck_status: "processing", fence: "1.a", started_at: 1_000 };
  const why = (kind, now, reports = [], changes = {}) => lived({ creation: { created_at: 900, kind, reports }, attempt: { ...attempt, ...changes }, now, limits });
  assert.match(why("image", 2_000), /silent for 1000 ms of 1000/);
  assert.equal(why("image", 2_001), undefined);
  // With a heartbeat it is the other limit, and from then on.
  assert.match(why("image", 1_300, [beat(1_190, 1_210, 1_200)]), /silent for 100 ms of 100/);
  assert.equal(why("image", 1_301, [beat(1_190, 1_210, 1_200)]), undefined);
  // A song is over by the total, alive or not.
  assert.match(why("song", 1_500, [beat(1_440, 1_460, 1_450)]), /silent/);
  assert.equal(why("song", 1_501, [beat(1_440, 1_460, 1_450)]), undefined);
  assert.match(why("image", 1_900, [], { stuck_status: "pending" }), /pending for 1000 ms/);
  assert.equal(why("image", 1_901, [], { stuck_status: "pending" }), undefined);
});
