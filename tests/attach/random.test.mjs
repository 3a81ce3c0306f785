// An app that is not changed, its late workers, and sweeps, in any order: the money adds up, nothing that has timed out is overwritten,
// and each row and its creation agree. ATTACH_SEEDS=1000 tries more; a failure names its seed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MAPPING, open, queue, row, transaction } from "./database.mjs";

const SEEDS = Number(process.env.ATTACH_SEEDS ?? 20);
const STEPS = 60;
const USERS = [1, 2, 3];

function random(seed) {
  let state = seed * 2_654_435_761 + 1;
  const next = () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return (state ^ (state >>> 13)) >>> 0;
  };
  return { below: (n) => next() % n, of: (list) => list[next() % list.length] };
}

/** What each user has: the start, less what the app charged, and what came back. */
function run(seed) {
  const dice = random(seed);
  const refund_failures = seed % 3 === 0;
  const app = open({ before: USERS.map((id) => `INSERT INTO users VALUES (${id}, 1000);`).join(" "), mapping: { ...MAPPING, refund_failures } });
  const charged = new Map(USERS.map((id) => [id, 0]));
  const rows = () => app.all("SELECT gid FROM generations").map(({ gid }) => gid);
  const timedOut = () => app.all("SELECT g.* FROM generations AS g JOIN stale_drafts_attach_generations AS v ON v.app_id = g.gid JOIN stale_drafts_creations AS c ON c.id = v.id WHERE c.status = 'failed' AND c.sweep_id IS NOT NULL");

  const acts = {
    queue() {
      const uid = dice.of(USERS);
      const price = dice.below(4) * 5;
      // The app charges by itself, in the same transaction.
      transaction(app.db, () => {
        app.run("UPDATE users SET credits = credits - ? WHERE id = ?", price, uid);
        queue(app, { uid, credits_used: price || dice.of([0, null]), state: dice.of(["queued", "running"]) });
      });
      charged.set(uid, charged.get(uid) + price);
    },
    write() {
      const gid = dice.of([...rows(), 0]);
      app.run("UPDATE generations SET state = ?, updated_at = CURRENT_TIMESTAMP WHERE gid = ?", dice.of(["queued", "running", "succeeded", "error", "archived"]), gid);
    },
    result() {
      app.run("UPDATE generations SET state = 'succeeded', result_url = 'https://cdn.example/' || gid WHERE gid = ?", dice.of([...rows(), 0]));
    },
    title() {
      app.run("UPDATE generations SET prompt = prompt || '!' WHERE gid = ?", dice.of([...rows(), 0]));
    },
    remove() {
      app.run("DELETE FROM generations WHERE gid = ?", dice.of([...rows(), 0]));
    },
    replace() {
      const gid = dice.of([...rows(), 0]);
      if (gid) app.run("INSERT OR REPLACE INTO generations (gid, uid, type, prompt, state, credits_used, created_at) SELECT gid, uid, type, prompt, ?, credits_used, created_at FROM generations WHERE gid = ?", dice.of(["queued", "running", "succeeded"]), gid);
    },
    sweep() {
      const where = dice.of(["true", "rowid % 2 = 0", "rowid % 3 = 0"]);
      const retry = dice.below(3) === 0;
      // A row with a word that nobody knows is rejected: a sweep goes on without it.
      const known = "id NOT IN (SELECT id FROM stale_drafts_attach_generations WHERE status IS NULL)";
      app.sweep({ where: `(${where}) AND ${known}`, retry });
    },
    restore() {
      const { gid } = dice.of([...app.all("SELECT v.app_id AS gid FROM stale_drafts_attach_generations AS v JOIN stale_drafts_creations AS c ON c.id = v.id WHERE c.late_at IS NOT NULL AND c.status = 'failed'"), { gid: 0 }]);
      const id = gid && app.one("SELECT id FROM stale_drafts_attach_generations WHERE app_id = ?", gid).id;
      if (!id) return;
      app.restore(id.slice("generations:".length));
      assert.equal(row(app, gid).state, "succeeded", `seed ${seed}: a restored row is done`);
    },
  };

  for (let step = 0; step < STEPS; step += 1) {
    const before = timedOut();
    const act = dice.of(["queue", "queue", "queue", "write", "write", "write", "result", "title", "remove", "replace", "sweep", "sweep", "restore"]);
    acts[act]();
    const label = `seed ${seed}, step ${step}: ${act}`;
    if (!["sweep", "restore", "remove", "title"].includes(act)) {
      for (const was of before) {
        const { prompt: _, updated_at: __, ...is } = row(app, was.gid);
        const { prompt: ___, updated_at: ____, ...then } = was;
        assert.deepEqual(is, then, `${label}: what has timed out is left alone`);
      }
    }
    for (const id of USERS) {
      const { back } = app.one(
        `SELECT coalesce(sum(l.tokens), 0) AS back FROM stale_drafts_ledger AS l JOIN stale_drafts_creations AS c ON c.id = l.creation_id
         WHERE l.user_id = ? AND (l.type = 'restore' OR l.type = 'refund' AND (l.sweep_id IS NOT NULL OR ? AND c.error_code = 'app_failed'))`,
        String(id),
        Number(refund_failures),
      );
      assert.equal(app.balance(id), 0, `${label}: our balance of ${id}`);
      assert.equal(app.credits(id), 1000 - charged.get(id) + back, `${label}: the credits of ${id}`);
    }
    const wrong = app.all(`SELECT v.app_id, v.app_status, c.status FROM stale_drafts_attach_generations AS v JOIN stale_drafts_creations AS c ON c.id = v.id
      WHERE c.status IN ('pending', 'processing') AND v.status NOT IN ('pending', 'processing')
        OR c.status = 'pending' AND v.status <> 'pending'
        OR c.status = 'failed' AND c.sweep_id IS NOT NULL AND v.app_status <> 'error'
        OR v.new_id IS NOT NULL AND v.problem IS NULL AND v.status IN ('pending', 'processing')`);
    assert.deepEqual(wrong, [], `${label}: a row and its creation agree`);
    app.check();
  }
  app.db.close();
}

test(`${SEEDS} random histories of ${STEPS} steps`, () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) run(seed);
});
