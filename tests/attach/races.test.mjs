// A sweep and the app's own code, which has no guard, at every moment: before the sweep has found the row, between its decision and
// its write, and after it. A sweep makes two database calls, so there are no other moments. The same code also writes a copy of the
// table that nothing is attached to: unless a sweep was first, both must be the same.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { attachSql } from "../../pkg/cli/attach/sql.js";
import { CLEANUP_TOKEN, HOUR, NOW, SELECT, WRITE, start, statements } from "../worker/harness.mjs";
import { MAPPING, SCHEMA } from "./database.mjs";

const INVARIANTS = ["../invariants.sql", "invariants.sql"]
  .flatMap((file) => readFileSync(new URL(file, import.meta.url), "utf8").split(/^-- name: /m).slice(1))
  .map((query) => [query.split("\n", 1)[0], query.slice(query.indexOf("\n")).trim().replace(/;$/, "")]);
const when = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
const URL_1 = "https://cdn.example/1.png";

let world;
let gid = 0;
before(async () => {
  world = await start({ config: { policy: { kinds: { video: { attempts: 2 } } }, circuit_breaker: "off" } });
  const plain = SCHEMA.slice(SCHEMA.indexOf("CREATE TABLE generations")).replace("generations", "plain");
  await run(SCHEMA, plain, "CREATE TABLE payments (uid INTEGER NOT NULL, credits INTEGER NOT NULL)", attachSql(MAPPING).up);
  await run("INSERT INTO users VALUES (7, 100000), (8, 100000)", "INSERT INTO payments SELECT * FROM users");
});
after(() => world.stop());

const run = async (...list) => {
  for (const sql of list.flatMap(statements)) await world.database.prepare(sql).run();
};
const row = (id, table = "generations") => world.one(`SELECT * FROM ${table} WHERE gid = ?`, id);
/** The user's credits, less what the app has given and taken by itself. */
const ours = async () => (await world.one("SELECT credits - (SELECT sum(credits) FROM payments WHERE uid = 7) AS ours FROM users WHERE id = 7")).ours;
/** The creation of a row's latest life. */
const creation = (id) => world.one("SELECT * FROM stale_drafts_creations WHERE id = ?1 OR id GLOB ?1 || '~*' ORDER BY id DESC LIMIT 1", `generations:${id}`);

/** Every promise, in one call. */
async function check(label) {
  const found = await world.database.batch(INVARIANTS.map(([, sql]) => world.database.prepare(sql)));
  for (const [at, { results }] of found.entries()) assert.deepEqual(results, [], `${label}: ${INVARIANTS[at][0]}`);
}

/** What the app gives a user by itself, and notes. */
const pays = (user, tokens) => [`UPDATE users SET credits = credits + ${tokens} WHERE id = ${user}`, `INSERT INTO payments VALUES (${user}, ${tokens})`];
const columns = "gid, uid, type, prompt, state, credits_used, created_at, result_url";

/**
 * What an app's unguarded code writes, whatever has become of the row: each gives its statements. `TABLE` is the table, and `?` stands
 * for what it has read before, as an ORM has. `result`: it brings one.
 */
const WRITERS = {
  starts: ({ id }) => [`UPDATE TABLE SET state = 'running', started_at = '${when(NOW)}' WHERE gid = ${id}`],
  "has a result": ({ id }) => [`UPDATE TABLE SET state = 'succeeded', result_url = '${URL_1}', finished_at = '${when(NOW)}' WHERE gid = ${id}`],
  "fails, and gives the credits back by itself": ({ id }) => [`UPDATE TABLE SET state = 'error', error_message = 'out of memory' WHERE gid = ${id}`, ...pays(7, 10)],
  "shows a sign of life": ({ id }) => [`UPDATE TABLE SET updated_at = '${when(NOW)}' WHERE gid = ${id}`],
  "queues it again": ({ id }) => [`UPDATE TABLE SET state = 'queued', started_at = NULL WHERE gid = ${id}`],
  "writes a word that the mapping does not know": ({ id }) => [`UPDATE TABLE SET state = 'moderating' WHERE gid = ${id}`],
  "writes no word": ({ id }) => [`UPDATE TABLE SET state = NULL WHERE gid = ${id}`],
  "changes its prompt": ({ id }) => [`UPDATE TABLE SET prompt = 'an owl' WHERE gid = ${id}`],
  "saves it whole, as it was read, with a result": ({ id, read }) => [
    `UPDATE TABLE SET ${Object.entries({ ...read, state: "succeeded", result_url: URL_1 }).filter(([column]) => column !== "gid").map(([column, value]) => `${column} = ${value === null ? "NULL" : typeof value === "number" ? value : `'${value}'`}`).join(", ")} WHERE gid = ${id}`,
  ],
  "inserts it again by REPLACE, with a result": ({ id, read }) => [`INSERT OR REPLACE INTO TABLE (${columns}) VALUES (${id}, 7, '${read.type}', 'a fox', 'succeeded', 10, '${read.created_at}', '${URL_1}')`],
  "inserts it again by REPLACE, queued": ({ id, read }) => [`REPLACE INTO TABLE (${columns}) VALUES (${id}, 7, '${read.type}', 'a fox', 'queued', 10, '${when(NOW)}', NULL)`],
  "inserts it again with ON CONFLICT": ({ id, read }) => [`INSERT INTO TABLE (${columns}) VALUES (${id}, 7, '${read.type}', 'a fox', 'succeeded', 10, '${read.created_at}', '${URL_1}') ON CONFLICT (gid) DO UPDATE SET state = excluded.state, result_url = excluded.result_url`],
  "gives it to another user": ({ id }) => [`UPDATE TABLE SET uid = 8 WHERE gid = ${id}`],
  "changes its price": ({ id }) => [`UPDATE TABLE SET credits_used = 30 WHERE gid = ${id}`, ...pays(7, -20)],
  "gives it another key": ({ id }) => [`UPDATE TABLE SET gid = ${id} + 100000 WHERE gid = ${id}`],
  "deletes it": ({ id }) => [`DELETE FROM TABLE WHERE gid = ${id}`],
  "deletes it, and uses its key again": ({ id, read }) => [`DELETE FROM TABLE WHERE gid = ${id}`, `INSERT INTO TABLE (${columns}) VALUES (${id}, 7, '${read.type}', 'a fox', 'running', 10, '${when(NOW)}', NULL)`],
  "deletes it, and uses its key for one that is over": ({ id, read }) => [`DELETE FROM TABLE WHERE gid = ${id}`, `INSERT INTO TABLE (${columns}) VALUES (${id}, 7, '${read.type}', 'a fox', 'succeeded', 10, '${when(NOW)}', '${URL_1}')`],
};
const RESULTS = ["has a result", "saves it whole, as it was read, with a result", "inserts it again by REPLACE, with a result", "inserts it again with ON CONFLICT"];
const MOMENTS = { "before it is found": SELECT, "between the decision and the write": WRITE, "after it": null };

/** A row that has been there for two hours, and the app has charged for it. */
async function queue({ state = "queued", type = "image" } = {}) {
  gid += 1;
  const old = `'${when(NOW - 2 * HOUR)}'`;
  const insert = `INSERT INTO TABLE (gid, uid, type, prompt, state, credits_used, created_at, started_at) VALUES (${gid}, 7, '${type}', 'a fox', '${state}', 10, ${old}, ${state === "running" ? old : "NULL"})`;
  await run(...pays(7, -10), insert.replace("TABLE", "generations"), insert.replace("TABLE", "plain"));
  return gid;
}

/** What a write of the app leaves, and what it would have left without us. */
async function judge(id, { writer, late, label }) {
  await check(label);
  const [is, plain, { status, attempt, sweep_id, error, late_at, deleted_at }] = [await row(id), await row(id, "plain"), await creation(id)];
  if (sweep_id === null && attempt === 1) assert.deepEqual(is, plain, `${label}: nobody has touched it but the app`);
  if (sweep_id !== null && deleted_at === null) {
    const { state, error_message, result_url } = is;
    assert.deepEqual([status, state, error_message, result_url], ["failed", "error", error, null], `${label}: it has timed out`);
    if (late) assert.equal(late_at !== null, RESULTS.includes(writer), `${label}: a late result is kept`);
  }
  // All lives of it, also under another key.
  const ids = JSON.stringify([`generations:${id}`, `generations:${id + 100_000}`]);
  return (await world.one("SELECT coalesce(sum(tokens), 0) AS back FROM json_each(?1) JOIN stale_drafts_creations AS c ON c.id = value OR c.id GLOB value || '~*' WHERE c.sweep_id IS NOT NULL", ids)).back;
}

for (const [writer, write] of Object.entries(WRITERS)) {
  for (const scene of [{ state: "queued" }, { state: "running" }, { state: "running", type: "video" }]) {
    test(`the app ${writer} at every moment of a sweep: ${scene.state}, ${scene.type === "video" ? "with an attempt left" : "at its last attempt"}`, async () => {
      for (const [moment, pattern] of Object.entries(MOMENTS)) {
        const label = `${writer}, ${moment}`;
        const id = await queue(scene);
        const app = write({ id, read: await row(id) });
        const theirs = app.map((sql) => sql.replace("TABLE", "generations"));
        const had = await ours();
        if (pattern) await world.order({ sqlBefore: pattern, sql: theirs });
        const { rejected } = await (await world.cleanup()).json();
        await world.order({});
        if (!pattern) await run(...theirs);
        await run(...app.filter((sql) => sql.includes("TABLE")).map((sql) => sql.replace("TABLE", "plain")));
        const back = await judge(id, { writer, late: !pattern, label });
        assert.equal((await ours()) - had, back, `${label}: it was paid back if and only if it has timed out`);
        if (writer.includes("word") && pattern && scene.type !== "video") assert.deepEqual(rejected.map(({ id }) => id), [`generations:${id}`], label);

        // Whatever came of it: an operator restores what can be, a later sweep ends what is active, and the app goes on writing.
        await world.fetch(`/api/creations/${(await creation(id)).id}/restore`, { method: "POST", headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });
        await run(...theirs.filter((sql) => sql.startsWith("UPDATE generations")));
        await check(`${label}, restored and written again`);
        await world.order({ now: NOW + 4 * HOUR });
        await world.cleanup();
        await world.cleanup();
        await world.order({ now: NOW });
        await run("DELETE FROM generations", "DELETE FROM plain");
        await check(`${label}, swept again and deleted`);
      }
    });
  }
}

test("two sweeps at once, and the app between any two of their calls", async () => {
  for (const writer of ["has a result", "fails, and gives the credits back by itself", "deletes it", "changes its price"]) {
    for (const turns of ["AABB", "ABAB", "ABBA", "BABA", "BAAB", "BBAA"]) {
      for (const call of [1, 2, 3, 4]) {
        const label = `${writer}, ${turns}, before call ${call}`;
        const id = await queue({ state: "running" });
        const app = WRITERS[writer]({ id, read: await row(id) });
        await world.ask("/api/sweeps");
        await world.order({ turns: [...turns], sqlBefore: call, sql: app.map((sql) => sql.replace("TABLE", "generations")) });
        const sweep = (actor) => world.fetch("/api/generate/cleanup-stale", { method: "POST", headers: { Authorization: `Bearer ${CLEANUP_TOKEN}`, "X-Actor": actor } });
        for (const { status } of await Promise.all([sweep("A"), sweep("B")])) assert.equal(status, 200, label);
        await world.order({});
        await run(...app.filter((sql) => sql.includes("TABLE")).map((sql) => sql.replace("TABLE", "plain")));
        await judge(id, { writer, late: false, label });
        await run("DELETE FROM generations", "DELETE FROM plain");
      }
    }
  }
});
