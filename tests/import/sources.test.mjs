// Every form of a source: what is in it comes out, whatever it was read from.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { below, odd, system } from "./data.mjs";
import { exportImport, importExport, lines, pages, query } from "./forms.mjs";
import { COMMAND, firestore, fixture, folder, rows, run } from "./harness.mjs";

const documents = [...system({ users: 5, creations: 160 }), ...odd, ...below];
const read = odd.filter(({ becomes }) => becomes === "draft");

/** What came out: the rows of the SQL, and the reasons by path. */
async function imported(path, ...args) {
  const { code, err } = await firestore(path, ...args, "--mapping", "mapping.json");
  assert.equal(code, 6, err);
  const unreadable = readFileSync(join(path, "unreadable.ndjson"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  return { rows: rows(readFileSync(join(path, "import.sql"), "utf8")), unreadable, err };
}

/** Rows without the time that Firestore itself has given, which only some sources have. */
const timeless = (list) => list.map((row) => (row.startsWith("('no-time'") ? row.replace(/'draft', 10, \w+/, "'draft', 10, …") : row));

const FORMS = { pages, query, lines, exportImport, importExport };
for (const [name, form] of Object.entries(FORMS)) {
  test(`the form ${name}`, async (t) => {
    const path = folder(t, { "source": form(documents) });
    const { rows: found, unreadable } = await imported(path, "source");
    assert.equal(found.length, 5 + 160 + read.length);
    assert.deepEqual(timeless(found), timeless((await imported(folder(t), fixture("managed"))).rows));
    const reasons = Object.fromEntries(unreadable.map(({ path: document, reason }) => [document, reason]));
    const expected = odd.filter(({ becomes }) => becomes !== "draft");
    assert.deepEqual(Object.keys(reasons).sort(), expected.map(({ path: document }) => document).sort());
    for (const { path: document, becomes } of expected) assert.ok(reasons[document].includes(becomes), `${document}: ${reasons[document]}`);
  });
}

test("what the emulator and the two tools have written", async (t) => {
  const managed = await imported(folder(t), fixture("managed"));
  for (const name of ["pages.json", "lines.ndjson", "firestore-export-import.json", "node-firestore-import-export.json"]) {
    const found = await imported(folder(t), fixture(name));
    assert.deepEqual(timeless(found.rows), timeless(managed.rows), name);
    assert.deepEqual(found.unreadable.map(({ path }) => path).sort(), managed.unreadable.map(({ path }) => path).sort(), name);
  }
  // The query has asked for creations alone.
  const query = await imported(folder(t), fixture("query.json"));
  assert.deepEqual(timeless(query.rows), timeless(managed.rows.filter((row) => !row.startsWith("('user-"))));
});

test("an owner in the path, and a source in several files", async (t) => {
  const path = folder(t, { one: pages(below.slice(0, 2)), two: exportImport(below.slice(2)) });
  const { code, err } = await firestore(path, "one", "two", "--collection", "people/{user_id}/works", "--users", "people", "--field", "balance=tokenBalance",
    "--field", "kind=creationType", "--field", "status=status", "--field", "tokens=tokensUsed");
  assert.equal(code, 0, err);
  const found = rows(readFileSync(join(path, "import.sql"), "utf8"));
  assert.deepEqual(found.map((row) => row.split(", ").slice(0, 2).join(", ")), ["('person-0', 5)", "('w0', 'person-0'", "('w1', 'person-1'", "('w2', 'person-0'"]);
});

test("balances in a file", async (t) => {
  const path = folder(t, { "balances.json": '{"user-1": 80, "user-2": 0, "user-3": -1, "user-1": 3}', source: lines(system({ users: 1, creations: 3 })) });
  const { code, err } = await firestore(path, "source", "--mapping", "mapping.json", "--balances", "balances.json");
  assert.equal(code, 6, err);
  assert.deepEqual(rows(readFileSync(join(path, "import.sql"), "utf8")).filter((row) => row.startsWith("('user-")), ["('user-1', 80)", "('user-2', 0)"]);
  const unreadable = readFileSync(join(path, "unreadable.ndjson"), "utf8").trim().split("\n").map((line) => JSON.parse(line).path);
  assert.deepEqual(unreadable, ["user-3", "user-1"]);
});

test("a line that can't be read, and one from stdin", async (t) => {
  const path = folder(t);
  const [first, second] = lines(system({ users: 2, creations: 0 })).trim().split("\n");
  const { code, err } = await run(path, COMMAND, ["import", "firestore", "-", "--mapping", "mapping.json"], { input: `${first}\n{"name": "broken\n\n${second}\n` });
  assert.equal(code, 6, err);
  assert.match(readFileSync(join(path, "unreadable.ndjson"), "utf8"), /"path":"-:2","reason":"the line is no document: /);
  assert.equal(rows(readFileSync(join(path, "import.sql"), "utf8")).length, 2);
});

test("a part of a database by node-firestore-import-export", async (t) => {
  const whole = JSON.parse(importExport(documents)).__collections__;
  const path = folder(t, { source: JSON.stringify(whole.creations) });
  assert.equal((await firestore(path, "source", "--mapping", "mapping.json", "--node-path", "creations")).code, 6);
  const { code, err } = await firestore(path, "source", "--mapping", "mapping.json");
  assert.equal(code, 2);
  assert.match(err, /pass --node-path/);
});

test("what is cut off or no source is an error that says so, and leaves no file", async (t) => {
  const whole = readFileSync(fixture("managed/all_namespaces/all_kinds/output-0"));
  const wrong = Buffer.from(whole);
  wrong[40_000] ^= 1;
  for (const [text, reason] of [
    [whole.subarray(0, 50_000), /cut off: copy the file again/],
    [wrong, /a checksum does not match/],
    ["", /it is empty/],
    ["user,tokens\nada,80\n", /none of the forms/],
    [Buffer.from([0x1f, 0x8b, 8, 0]), /unpack it first/],
    [pages(documents).slice(0, -100), /EOF while parsing/],
    ['{"error": {"code": 403, "message": "Missing or insufficient permissions."}}', /Missing or insufficient permissions/],
    ['{"users": 3}', /`users` holds no documents/],
  ]) {
    const path = folder(t, { source: text });
    const { code, err } = await firestore(path, "source", "--mapping", "mapping.json");
    assert.deepEqual([code, readdirSync(path).sort()], [2, ["mapping.json", "source", "wrangler.toml"]], err);
    assert.match(err, reason);
  }
  const { code, err } = await firestore(folder(t), fixture("managed/all_namespaces"), "--mapping", "mapping.json");
  assert.deepEqual([code, /overall_export_metadata/.test(err)], [2, true], err);
});

test("a guess is shown with what it would give, and nothing is written without a word", async (t) => {
  const path = folder(t);
  const shown = await firestore(path, fixture("managed"));
  assert.equal(shown.code, 2);
  assert.deepEqual(readdirSync(path).sort(), ["mapping.json", "wrangler.toml"]);
  const guessed = JSON.parse(shown.out);
  const { statuses, ...known } = JSON.parse((await import("./harness.mjs")).MAPPING);
  assert.deepEqual(guessed, { ...known, times: "seconds" });
  assert.equal(shown.err, readFileSync(fixture("guess.txt"), "utf8"));
  const accepted = await firestore(path, fixture("managed"), "--accept-guesses");
  assert.equal(accepted.code, 6, accepted.err);
  assert.ok(existsSync(join(path, "import.sql")));
});

test("words and names of another system are guessed, and its units", async (t) => {
  const fields = { uid: { stringValue: "ada" }, kind: { stringValue: "image" }, state: { stringValue: "Completed" }, cost: { integerValue: "3" }, created: { integerValue: "1763640000123" } };
  const path = folder(t, { source: lines([{ path: "jobs/j1", fields }, { path: "jobs/j2", fields: { ...fields, state: { stringValue: "weird" } } }]) });
  const { out, err } = await firestore(path, "source");
  assert.deepEqual(JSON.parse(out), {
    collection: "jobs", fields: { created_at: "created", kind: "kind", status: "state", tokens: "cost", user_id: "uid" }, statuses: { Completed: "draft" }, times: "milliseconds",
  });
  assert.match(err, /the state `weird` is not known/);
  assert.match(err, /no collection looks like users/);
});

test("a dry run counts, and writes nothing", async (t) => {
  const path = folder(t);
  const { code, out } = await firestore(path, fixture("managed"), "--mapping", "mapping.json", "--dry-run", "--json");
  assert.equal(code, 6);
  assert.deepEqual(readdirSync(path).sort(), ["mapping.json", "wrangler.toml"]);
  const { report } = JSON.parse(out);
  const sum = (key) => report.creations.reduce((total, row) => total + row[key], 0);
  const others = Object.values(report.other_collections).reduce((total, count) => total + count, 0);
  assert.equal(sum("creations") + report.users + report.unreadable + others, report.documents);
  assert.equal(report.balances, system({ users: 5, creations: 0 }).reduce((total, { fields }) => total + Number(fields.tokenBalance.integerValue), 0));
});

test("a disk that is full and a reader that is gone are errors", async (t) => {
  const path = folder(t);
  const full = await firestore(path, fixture("managed"), "--mapping", "mapping.json", "--output", "/dev/full", "--unreadable", "unreadable.ndjson");
  assert.equal(full.code, 1, full.err);
  // More than a pipe holds.
  const long = folder(t, { source: lines(system({ users: 5, creations: 2_000 })) });
  const gone = await run(long, "bash", ["-c", `"${COMMAND}" import firestore source --mapping mapping.json --output - | head -c 10; exit \${PIPESTATUS[0]}`]);
  assert.equal(gone.code, 1, gone.err);
  assert.match(gone.err, /can't be written/);
});
