// A move, as docs/import.md has it: a database by wrangler with the real migrations, the command's file, the Worker's sweep.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { start } from "../worker/harness.mjs";
import { NOW, system } from "./data.mjs";
import { exportImport, pages } from "./forms.mjs";
import { d1, firestore, folder, root, verify } from "./harness.mjs";

// wrangler starts anew for each query.
const options = { timeout: 600_000 };
const HOUR = 3_600_000;

const query = async (path, sql) => JSON.parse(await d1(path, "execute", "DB", "--local", "--json", "--command", sql))[0].results;

/** Writes the source, imports it, and gives what the command has said. */
async function imported(path, text) {
  writeFileSync(join(path, "source.json"), text);
  const result = await firestore(path, "source.json", "--mapping", "mapping.json");
  assert.equal(result.code, 0, result.err);
  await d1(path, "execute", "DB", "--local", "--file", "import.sql");
  return result;
}

const clone = (documents) => structuredClone(documents);
const word = ({ fields }) => fields.status?.stringValue;
const isActive = (document) => ["pending", "processing"].includes(word(document));
const tokens = ({ fields }) => Number(fields.tokensUsed.integerValue);
/** Each user's balance by id, in the old system. */
const balances = (documents) => Object.fromEntries(documents.filter(({ path }) => path.startsWith("users/")).map(({ path, fields }) => [path.slice(6), Number(fields.tokenBalance.integerValue)]));
const credit = (documents, user, by) => {
  const { fields } = documents.find(({ path }) => path === `users/${user}`);
  fields.tokenBalance.integerValue = String(Number(fields.tokenBalance.integerValue) + by);
};

/** The old system some time later: much of what was active has ended, users have bought and spent, there are new creations. */
function later(documents) {
  const next = clone(documents);
  for (const [n, document] of next.filter(isActive).entries()) {
    const ended = [word(document), "draft", "published", "failed"][n % 4];
    document.fields.status.stringValue = ended;
    if (ended === "failed") {
      document.fields.error = { stringValue: "API key invalid" };
      credit(next, document.fields.userId.stringValue, tokens(document));
    }
  }
  for (const user of Object.keys(balances(next))) credit(next, user, 100);
  for (const [n, status] of ["draft", "failed", "pending"].entries()) {
    const made = clone(next.find(({ path }) => path === "creations/c00002"));
    made.path = `creations/new-${n}`;
    Object.assign(made.fields, { status: { stringValue: status }, tokensUsed: { integerValue: "60" }, userId: { stringValue: "user-5" }, error: { nullValue: null } });
    next.push(made);
    if (status !== "failed") credit(next, "user-5", -60);
  }
  return next;
}

const INVARIANTS = readFileSync(join(root, "tests/invariants.sql"), "utf8").split("-- name: ").slice(1).map((text) => [text.slice(0, text.indexOf("\n")), text.slice(text.indexOf("\n"))]);
/** What the Worker's tests have, over the database that wrangler keeps in the folder. */
async function world(path, run) {
  const running = await start({ config: { circuit_breaker: "off" }, migrate: false, persist: join(path, ".wrangler/state/v3/d1") });
  try {
    await running.order({ now: NOW + 4 * HOUR });
    const result = await run(running);
    for (const [name, sql] of INVARIANTS) assert.deepEqual(await running.all(sql), [], name);
    return result;
  } finally {
    await running.stop();
  }
}
const state = ({ all }) => Promise.all(["SELECT * FROM stale_drafts_ledger ORDER BY entry_key", "SELECT user_id, tokens FROM stale_drafts_balances ORDER BY user_id", "SELECT * FROM stale_drafts_creations ORDER BY id"].map((sql) => all(sql)));
const here = async ({ all }) => Object.fromEntries((await all("SELECT user_id, tokens FROM stale_drafts_balances")).map(({ user_id, tokens: left }) => [user_id, left]));
const some = (list) => Object.fromEntries(Object.entries(list).filter(([, left]) => left > 0));

test("2,000 creations of 50 users: imported, the old system goes on, a last import, verified, swept", options, async (t) => {
  const path = folder(t);
  await d1(path, "migrations", "apply", "DB", "--local");
  const old = system({ users: 50, creations: 2_000 });
  const { out } = await imported(path, pages(old));
  assert.equal(out.trim().split("\n").map((line) => Number(line.split("\t")[2])).reduce((sum, count) => sum + count), 2_000);
  const first = await verify(path, "source.json");
  assert.equal(first.code, 0, first.out + first.err);
  assert.match(first.err, /Compared 2,000 creations and 50 balances, 200 of them in every field\./);

  // The same again changes nothing.
  const before = await world(path, state);
  assert.deepEqual(some(Object.fromEntries(before[1].map(({ user_id, tokens: left }) => [user_id, left]))), some(balances(old)));
  await d1(path, "execute", "DB", "--local", "--file", "import.sql");
  assert.deepEqual(await world(path, state), before);

  // The last import, from another tool.
  const moved = later(old);
  await imported(path, exportImport(moved));
  assert.deepEqual(some(await world(path, here)), some(balances(moved)));
  const last = await verify(path, "source.json", "--json");
  assert.equal(last.code, 0, last.out + last.err);

  // What was stuck there fails here, and is refunded once.
  const stuck = moved.filter(isActive);
  const { refunded, left } = await world(path, async (running) => {
    await running.cleanup("?max_age_hours=1");
    const [{ refunded: sum }] = await running.all("SELECT sum(tokens) AS refunded FROM stale_drafts_ledger WHERE type = 'refund' AND sweep_id IS NOT NULL");
    return { refunded: sum, left: await here(running) };
  });
  assert.equal(refunded, stuck.reduce((sum, document) => sum + tokens(document), 0));
  const expected = balances(moved);
  for (const document of stuck) expected[document.fields.userId.stringValue] += tokens(document);
  assert.deepEqual(some(left), some(expected));
  await d1(path, "execute", "DB", "--local", "--file", "import.sql");
  assert.deepEqual(some(await world(path, here)), some(expected));
  const swept = await verify(path, "source.json", "--json");
  assert.equal(swept.code, 0, swept.out + swept.err);
  assert.deepEqual([JSON.parse(swept.out).differences, JSON.parse(swept.out).moved_on], [0, stuck.length]);
});

test("what differs is named", options, async (t) => {
  const path = folder(t);
  await d1(path, "migrations", "apply", "DB", "--local");
  const old = system({ users: 3, creations: 30 });
  await imported(path, pages(old));
  const other = clone(old);
  credit(other, "user-1", 1);
  const find = (id) => other.find((document) => document.path === `creations/${id}`);
  find("c00002").fields.status.stringValue = "failed";
  find("c00003").fields.tokensUsed.integerValue = "31";
  find("c00004").fields.creationType.stringValue = "song";
  find("c00005").fields.prompt.stringValue = "another";
  other.push({ ...clone(find("c00006")), path: "creations/missing" });
  writeFileSync(join(path, "source.json"), pages(other.filter((document) => document.path !== "creations/c00000")));
  const { code, out, err } = await verify(path, "source.json");
  assert.equal(code, 8, err);
  assert.deepEqual(out.trim().split("\n").sort(), [
    "`c00000` came in as pending, and is not in the source any more",
    "`c00002`: draft instead of failed",
    "`c00003`: tokens 30 instead of 31",
    "`c00004`: another owner or kind",
    '`c00005`: its prompt is "a fox", and was "another"',
    "`missing` (failed) is not here",
    "the user `user-1` has brought 37 tokens, and had 38",
  ]);
  assert.match(err, /7 differences\./);
  // Nothing was written.
  assert.equal((await query(path, "SELECT count(*) AS n FROM stale_drafts_ledger"))[0].n, (await query(path, "SELECT count(DISTINCT entry_key) AS n FROM stale_drafts_ledger"))[0].n);
  const without = await verify(folder(t, { "source.json": pages(old) }), "source.json");
  assert.deepEqual([without.code, /no such table/.test(without.err)], [5, true], without.err);
});
