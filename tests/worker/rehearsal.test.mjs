// A bounded share of `npm run proof:shards`: sixteen databases and a Queue under load, the process killed in mid-sweep, a database that is
// silent, another that is locked, and a split by the command, whose mover is killed on the way. After that nothing may be wrong.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { rehearse } from "../shards/rehearsal.mjs";

let result;
before(async () => {
  result = await rehearse({ users: 1, kills: 1, pause: 2_000, seed: 7, short: true });
}, { timeout: 900_000 });

test("sixteen databases under load, with deaths and a split, and nothing is wrong", () => {
  assert.deepEqual(result.found, []);
  for (const { name, checked } of result.checks) if (name !== "each event is signed") assert.ok(checked > 0 || /restore|publish|too late/.test(name), `nothing was looked at: ${name}`);
});

test("everything has happened", () => {
  const { seen, counts, rows } = result;
  assert.ok(seen.deaths.some((death) => death.includes("write of a sweep")), JSON.stringify(seen));
  assert.deepEqual(seen.missed, [], "the mover has died wherever it was to die");
  assert.ok(counts.moving > 0, "nobody was refused while the buckets moved");
  assert.ok(rows.creations.some(({ sweep_id }) => sweep_id), "no sweep has failed anything");
  assert.equal(new Set(rows.balances.map(({ user_id }) => Math.floor(bucketOf(user_id) / 256))).size, 16);
});
