// Read out of a live database, an emulator, by what docs/import.md names: while the seed system is at work on it, and again when it has
// gone on.

import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
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

/** The collections of creations: the one at the top, and those below a user. */
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
}

/** Looks into the database that wrangler keeps in a folder. */
function openHere(t, path) {
  const databases = join(path, ".wrangler/state/v3/d1/miniflare-D1DatabaseObject");
  const [file] = readdirSync(databases).filter((name) => name.endsWith(".sqlite") && name !== "metadata.sqlite");
  const database = new DatabaseSync(join(databases, file), { readOnly: true });
  t.after(() => database.close());
  const all = (sql, ...values) => database.prepare(sql).all(...values).map((row) => ({ ...row }));
  return {
    status: (id) => all("SELECT status FROM stale_drafts_creations WHERE id = ?", id)[0]?.status,
    balances: () => Object.fromEntries(all("SELECT user_id, tokens FROM stale_drafts_balances").map(({ user_id, tokens }) => [user_id, tokens])),
    assertInvariants() {
      for (const text of readFileSync(join(root, "tests/invariants.sql"), "utf8").split("-- name: ").slice(1)) {
        const end = text.indexOf("\n");
        assert.deepEqual(all(text.slice(end)), [], text.slice(0, end));
      }
    },
  };
}
/** Whoever has nothing may have no balance here. */
const some = (balances) => Object.fromEntries(Object.entries(balances).filter(([, tokens]) => tokens > 0));

test("the system goes on while it is read, and is read again", options, async (t) => {
  const { documents } = seedData({ users: 20, creations: 300 });
  const { system, read } = await startLive(t, packages.home, documents);
  const path = folder(t);
  await d1(path, "migrations", "apply", "DB", "--local");
  const here = openHere(t, path);
  /** Reads the users, then the creations, imports both, and compares. */
  const move = async (meanwhile = () => {}) => {
    writeFileSync(join(path, "users"), await read("read-firestore.mjs", ["users"]));
    await meanwhile();
    writeFileSync(join(path, "creations"), await read("read-firestore.mjs", collections(documents)));
    const { code, err } = await firestore(path, "users", "creations", ...SEED_MAPPING);
    assert.equal(code, 6, err);
    await d1(path, "execute", "DB", "--local", "--file", "import.sql");
    const compared = await verify(path, "users", "creations", "--times", "milliseconds", "--local", "--json");
    assert.equal(compared.code, 0, compared.out + compared.err);
    here.assertInvariants();
  };

  const [completed, failed, published] = await system.with("pending", "processing");
  const [draft] = await system.with("draft");
  const were = await system.balances();
  const [first, second, third] = Object.keys(were).filter((user) => were[user] >= 200);
  await move(async () => {
    await system.create("made-meanwhile", first, 80);
    await system.complete(completed);
  });
  // The users were read before the 80 tokens were paid. The creation is here, and the next import finds the balance lower.
  assert.deepEqual(some(here.balances()), some(were));
  assert.deepEqual([completed, "made-meanwhile"].map(here.status), ["draft", "pending"]);

  await system.complete("made-meanwhile");
  await system.fail(failed);
  await system.complete(published);
  for (const id of [published, draft]) await system.publish(id);
  await system.create("made-and-failed", second, 80);
  await system.fail("made-and-failed");
  await system.create("made-and-waiting", second, 25);
  await system.buy(third, 1_000);
  await move();
  const now = await system.balances();
  assert.notDeepEqual(now, were);
  assert.deepEqual(some(here.balances()), some(now));
  const statuses = [completed, "made-meanwhile", failed, published, draft, "made-and-failed", "made-and-waiting"].map(here.status);
  assert.deepEqual(statuses, ["draft", "draft", "failed", "published", "published", "failed", "pending"]);

  // The other reader finds the same.
  writeFileSync(join(path, "other"), await read("firestore-export-import.mjs", ["users", ...collections(documents)]));
  const [one, other] = await Promise.all([["users", "creations"], ["other"]].map((sources) => firestore(path, ...sources, ...SEED_MAPPING, "--dry-run", "--json")));
  const sums = ({ out }) => {
    const { creations, users, balances, unreadable } = JSON.parse(out).report;
    return { creations, users, balances, unreadable };
  };
  assert.deepEqual(sums(other), sums(one));
  assert.equal(sums(one).balances, Object.values(now).reduce((sum, tokens) => sum + tokens));
});
