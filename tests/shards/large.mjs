// A database with a million creations gives away buckets by the command: first a few, undisturbed, to measure what it costs; then half of
// them, while the Worker dies at each step and again and again within the copy. Every user's sums are compared, before and after.

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fillBase } from "../../scripts/bench-sweep/database.mjs";
import { migrate } from "../../scripts/bench-sweep/runtime.mjs";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { fleet as aFleet } from "./fleet.mjs";
import { DEATHS, carry } from "./rehearsal.mjs";

const GRACE_MS = 16 * 60_000;
/** The few that move first, and then the half; and the configuration after each. */
const STEPS = [
  { buckets: "0-63", left: "64-4095", right: "0-63" },
  { buckets: "2048-4095", left: "64-2047", right: "0-63,2048-4095" },
];
const shards = (left, right) => ({ shards: [{ binding: "DB_0", buckets: left }, { binding: "DB_1", buckets: right }] });

const inner = (folder) => join(folder, "miniflare-D1DatabaseObject");
const files = (folder) => readdirSync(inner(folder)).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)).map((name) => join(inner(folder), name));

/** What the bench fills has gone well, all of it: here some have failed and are refunded, some are tried again, and each user has a balance of their own. */
function vary(path) {
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA synchronous = OFF;
    UPDATE stale_drafts_creations SET status = 'failed', error = 'No capacity', error_code = 'no_capacity', finished_at = created_at + 9000 WHERE status = 'pending' AND rowid % 4 = 1;
    UPDATE stale_drafts_creations SET attempt = 2, queued_at = created_at + 1000 WHERE status = 'pending' AND rowid % 4 = 0;
    INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, finished_at) SELECT id, 1, 'retried', created_at + 1000 FROM stale_drafts_creations WHERE attempt = 2;
    INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) SELECT 'gift:' || user_id, user_id, 'grant', 1 + abs(random() % 1000), 0 FROM stale_drafts_balances;
    PRAGMA wal_checkpoint(TRUNCATE);`);
  database.close();
}

/** What a user has in a database, in a line: rows, and sums that no lost, doubled or changed row leaves as they are. */
function sums(path) {
  const database = new DatabaseSync(path, { readOnly: true });
  const users = new Map();
  const add = (sql) => {
    for (const { user_id, ...rest } of database.prepare(sql).iterate()) users.set(user_id, `${users.get(user_id) ?? ""} ${Object.values(rest).join("/")}`);
  };
  add("SELECT user_id, tokens FROM stale_drafts_balances");
  add("SELECT user_id, count(*), sum(tokens), sum(created_at), sum(length(entry_key)), min(entry_key), max(entry_key) FROM stale_drafts_ledger GROUP BY user_id");
  add("SELECT user_id, count(*), sum(tokens), sum(created_at), sum(ifnull(started_at, 0)), count(DISTINCT status), sum(attempt), min(id), max(id), sum(length(prompt)) FROM stale_drafts_creations GROUP BY user_id");
  const attempts = database.prepare("SELECT count(*) AS n FROM stale_drafts_attempts").get().n;
  database.close();
  return { users, attempts };
}

/** What breaks a promise about money in a database: each question reads its tables once, for they are large. */
function wrong(path) {
  const database = new DatabaseSync(path, { readOnly: true });
  const found = [
    ["a balance is not the sum of its ledger", "SELECT user_id AS of FROM (SELECT user_id, sum(tokens) AS sum FROM stale_drafts_ledger GROUP BY user_id) FULL JOIN stale_drafts_balances USING (user_id) WHERE sum IS NOT tokens"],
    ["a creation is not charged once", "SELECT id AS of FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_ledger AS l ON l.entry_key = 'charge:' || c.id WHERE l.tokens IS NOT -c.tokens"],
    ["a creation is not refunded once if it failed", "SELECT id AS of FROM stale_drafts_creations AS c LEFT JOIN stale_drafts_ledger AS l ON l.entry_key = 'refund:' || c.id WHERE l.tokens IS NOT iif(c.status = 'failed', c.tokens, NULL)"],
    ["an entry is of no creation", "SELECT entry_key AS of FROM stale_drafts_ledger AS l WHERE creation_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM stale_drafts_creations WHERE id = l.creation_id)"],
  ].flatMap(([what, sql]) => database.prepare(`${sql} LIMIT 5`).all().map(({ of }) => `${what}: ${of}`));
  database.close();
  return found;
}

/** Runs a command, and again if the connection broke: an operator does the same. */
async function repeated({ fleet, args, say }) {
  for (let tries = 1; ; tries += 1) {
    const { code, output } = await fleet.command(args);
    if (code === 0) return output;
    if (tries === 5 || !output.includes("can't be reached")) throw new Error(output);
    say(`${output}; the Worker is ${fleet.isUp() ? `there: ${(await fleet.warnings()).slice(-3).join(" ").slice(0, 500)}` : `gone: ${fleet.logs.at(-1)}`}`);
  }
}

/** Moves, configures and finishes; gives how long that took, in ms, and what it has cost. */
async function measured({ fleet, step: { buckets, left, right }, say }) {
  const args = ["--from", "DB_0", "--to", "DB_1", "--buckets", buckets];
  const begun = performance.now();
  await fleet.cost();
  const output = await repeated({ fleet, args: ["shards", "move", ...args], say });
  const moved = performance.now() - begun;
  const copy = await fleet.cost();
  const [row] = await fleet.all(0, "SELECT users, creations, entries FROM stale_drafts_moves ORDER BY started_at DESC LIMIT 1");
  say(output.split("\n").at(-1));
  await fleet.kill();
  await fleet.start(shards(left, right));
  await fleet.cost();
  const opened = performance.now();
  const finished = await repeated({ fleet, args: ["shards", "finish", ...args], say });
  const trimmed = performance.now() - opened;
  say(finished.split("\n").at(-1));
  return { buckets, ...row, moved, trimmed, copy, trim: await fleet.cost() };
}

/** Runs it. Gives what was measured, and `found`: all that is wrong. */
export async function large({ creations, every, say = () => {} }) {
  const folder = mkdtempSync(join(tmpdir(), "stale-drafts-large-"));
  const [base, own] = ["base", "own"].map((name) => join(folder, name));
  const found = [];
  let fleet;
  try {
    mkdirSync(base);
    mkdirSync(own);
    await migrate(base, false);
    fillBase(base, creations);
    vary(files(base)[0]);
    say(`a database of ${(statSync(files(base)[0]).size / 1e6).toFixed(0)} MB is there`);
    fleet = aFleet({ folder: own, shards: 2, config: { circuit_breaker: "off" } });
    await fleet.start(shards("0-4095", ""));
    await fleet.all(0, "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:first', 'first', 'grant', 1, 0)");
    await fleet.stop();
    const [source, target] = files(own).sort((one) => {
      const database = new DatabaseSync(one, { readOnly: true });
      const { n } = database.prepare("SELECT count(*) AS n FROM stale_drafts_balances").get();
      database.close();
      return n === 1 ? -1 : 1;
    });
    for (const end of ["-wal", "-shm"]) rmSync(source + end, { force: true });
    copyFileSync(files(base)[0], source);
    rmSync(base, { recursive: true, force: true });
    const before = sums(source);

    await fleet.start(shards("0-4095", ""));
    const [few, half] = STEPS;
    const quiet = await measured({ fleet, step: few, say });
    say(`${few.buckets}: ${JSON.stringify(quiet)}`);

    // Half of it, and it dies again and again.
    let config = shards(few.left, few.right);
    const start = () => fleet.start(config);
    const args = ["--from", "DB_0", "--to", "DB_1", "--buckets", half.buckets];
    let goes = true;
    let within = 0;
    const killer = (async () => {
      for (;;) {
        for (let waited = 0; waited < every && goes; waited += 200) await sleep(200);
        if (!goes) return;
        if (!fleet.isUp()) continue;
        await fleet.kill().catch(() => {});
        within += 1;
      }
    })();
    const begun = performance.now();
    const moved = await carry({ fleet, start, goal: "move", args, commandDies: [3_000, 7_000, 15_000], say, patience: 3_600_000 });
    const movedAfter = performance.now() - begun;
    say(moved.output.split("\n").at(-1));
    config = shards(half.left, half.right);
    if (fleet.isUp()) await fleet.kill();
    await fleet.start(config);
    const finished = await carry({ fleet, start, goal: "finish", args, commandDies: [3_000], say, patience: 3_600_000 });
    const trimmedAfter = performance.now() - begun;
    goes = false;
    await killer;
    say(finished.output.split("\n").at(-1));
    const deaths = [...moved.died, ...finished.died];
    if (fleet.isUp()) await fleet.kill();
    await fleet.start(config, GRACE_MS);
    for (const { buckets } of STEPS) {
      const { code, output } = await fleet.command(["shards", "finish", "--from", "DB_0", "--to", "DB_1", "--buckets", buckets]);
      if (code !== 0) found.push(`finish of ${buckets} ends with ${code}: ${output}`);
    }
    const states = (await Promise.all([0, 1].map((at) => fleet.all(at, "SELECT role, state, users, creations, entries FROM stale_drafts_moves ORDER BY started_at")))).flat();
    for (const { role, state } of states) if (state !== (role === "source" ? "trimmed" : "settled")) found.push(`a move is ${state} in its ${role}`);
    const restarts = fleet.counts.starts;
    await fleet.stop();

    const after = [source, target].map(sums);
    for (const path of [source, target]) found.push(...wrong(path));
    const moves = (user) => { const bucket = bucketOf(user); return bucket < 64 || bucket >= 2_048; };
    let users = 0;
    for (const [user, line] of before.users) {
      const [here, there] = after.map(({ users: all }) => all.get(user));
      users += 1;
      const [has, not] = moves(user) ? [there, here] : [here, there];
      if (has !== line || not !== undefined) found.push(`${user} had${line}, and has ${here} in DB_0 and ${there} in DB_1`);
    }
    for (const { users: all } of after) for (const user of all.keys()) if (!before.users.has(user)) found.push(`${user} was not there before`);
    if (after[0].attempts + after[1].attempts !== before.attempts) found.push(`there were ${before.attempts} attempts, and there are ${after.map(({ attempts }) => attempts)}`);
    const { creations: count, entries } = states.filter(({ role }) => role === "source").at(-1);
    return { creations, users, quiet, half: { moved: movedAfter, trimmed: trimmedAfter, creations: count, entries, deaths, within, missed: [...moved.missed, ...finished.missed], restarts }, found };
  } finally {
    await fleet?.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}
