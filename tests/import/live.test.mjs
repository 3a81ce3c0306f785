// Read out of a live database, an emulator, by what docs/import.md names: while the seed system is at work on it, and again when it has
// gone on.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { SEED_MAPPING, importsAsExpected } from "./expected.mjs";
import { d1, firestore, folder, root, verify } from "./harness.mjs";
import { READERS, install, startLive } from "./live/database.mjs";
import { ROOT, fixtureData, seedData } from "./seed-data.mjs";

// The packages are downloaded, and wrangler starts anew for each query.
const options = { timeout: 600_000 };

let packages;
before(async () => {
  packages = await install();
}, options);
after(() => packages?.remove());

/** The collections with users and creations: `creations`, and those below a user. */
const collections = (documents) => {
  const paths = documents.map(({ name }) => name.slice(ROOT.length + 1).split("/").slice(0, -1).join("/"));
  return [...new Set(paths)].filter((path) => path.endsWith("creations"));
};

for (const reader of Object.keys(READERS)) {
  test(`the seed system, read live by ${reader}`, options, async (t) => {
    const { documents } = fixtureData();
    const live = await startLive(t, packages.home, documents);
    const path = folder(t, { source: await live.read(reader, ["users", ...collections(documents)]) });
    await importsAsExpected(path, ["source"], JSON.parse(readFileSync(join(root, "tests/import/fixtures/expected.json"), "utf8")));
  });

  test(`the seed system goes on while it is read by ${reader}, and is read again`, options, async (t) => {
    const { documents } = seedData({ users: 20, creations: 300 });
    const { system, read } = await startLive(t, packages.home, documents);
    const path = folder(t);
    await d1(path, "migrations", "apply", "DB", "--local");
    const query = async (sql) => JSON.parse(await d1(path, "execute", "DB", "--local", "--json", "--command", sql))[0].results;
    /** Reads users, then creations, imports both, and compares. */
    const move = async (meanwhile = () => {}) => {
      writeFileSync(join(path, "users"), await read(reader, ["users"]));
      await meanwhile();
      writeFileSync(join(path, "creations"), await read(reader, collections(documents)));
      const { code, err } = await firestore(path, "users", "creations", ...SEED_MAPPING);
      assert.equal(code, 6, err);
      await d1(path, "execute", "DB", "--local", "--file", "import.sql");
      const compared = await verify(path, "users", "creations", "--times", "milliseconds", "--local", "--json");
      assert.equal(compared.code, 0, compared.out + compared.err);
      return JSON.parse(compared.out);
    };
    const here = async () => Object.fromEntries((await query("SELECT user_id, tokens FROM stale_drafts_balances ORDER BY user_id")).map(({ user_id, tokens }) => [user_id, tokens]));
    const some = (balances) => Object.fromEntries(Object.entries(balances).filter(([, tokens]) => tokens > 0));

    const [done, failed, published, stuck] = await system.with("pending", "processing");
    const [drafted] = await system.with("draft");
    const users = await system.balances();
    const [first, second, third] = Object.keys(users).filter((user) => users[user] >= 200);
    await move(async () => {
      await system.create("made-meanwhile", first, 80);
      await system.complete(done);
    });
    // What was paid meanwhile is not in the users that were read before.
    assert.deepEqual(some(await here()), some(users));

    await system.complete("made-meanwhile");
    await system.fail(failed);
    await system.complete(published);
    for (const id of [published, drafted]) await system.change(id, { status: "published" });
    await system.create("made-and-failed", second, 80);
    await system.fail("made-and-failed");
    await system.create("made-and-waits", second, 25);
    await system.buy(third, 1_000);
    const last = await move();
    assert.deepEqual(some(await here()), some(await system.balances()));
    assert.equal(last.differences, 0);

    const rows = await query(`SELECT id, status, tokens, settled_elsewhere AS settled FROM stale_drafts_creations WHERE id IN ('${[done, failed, published, stuck, drafted].join("', '")}') OR id LIKE 'made-%'`);
    console.log(rows);
  });
}
