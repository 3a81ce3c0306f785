// Sixteen databases and a Queue under load, through everything that may befall them: the process dies in mid-sweep, a database is silent,
// another is locked, and half of one moves to a seventeenth while the mover dies at each of its steps. Then all that must hold is checked.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { choices } from "../../scripts/random.mjs";
import { agenda as anAgenda, operators as someOperators, owners as someOwners, session as aSession, workers as someWorkers } from "../load/actors.mjs";
import { look } from "../load/checks.mjs";
import { WEBHOOK_SECRET, webhook as aWebhook } from "../load/environment.mjs";
import { LIMITS, journal as aJournal, policy } from "../load/journal.mjs";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { judged } from "./checks.mjs";
import { fleet as aFleet, range } from "./fleet.mjs";
import { WRITE } from "../worker/harness.mjs";

export const SHARDS = 16;
/** The one that is split, and the empty one that takes the upper half of its buckets. */
const [FULL, EMPTY] = [3, SHARDS];
const [FIRST, LAST] = range(FULL, SHARDS);
const SPLIT = (FIRST + LAST + 1) / 2;
const BUCKETS = `${SPLIT}-${LAST}`;
const SILENT = 5;
const LOCKED = 9;
/** With so few queries in one run, the shards are swept by messages of the Queue, one each. */
const FEW = { queries_per_run: 225 };
const LOCK_MS = 1_000;
/** A creation for each user at a time is the load that this needs; more only takes longer. */
const LIVING = 4;
/** No sweep decides on users who have arrived for 15 minutes. */
const GRACE_MS = 16 * 60_000;

/** The configuration's shards before and after the split. */
const shards = (split) => Array.from({ length: SHARDS + 1 }, (_, at) => {
  const [first, last] = at === EMPTY ? [SPLIT, LAST] : [range(at, SHARDS)[0], split && at === FULL ? SPLIT - 1 : range(at, SHARDS)[1]];
  return { binding: `DB_${at}`, buckets: at === EMPTY && !split ? "" : `${first}-${last}` };
});
const shardOf = (split) => (bucket) => (split && bucket >= SPLIT && bucket <= LAST ? EMPTY : Math.floor((bucket * SHARDS) / 4_096));

/** Where a mover dies: in the first transaction that has such a statement, before it, after it, or at some moment within. */
export const DEATHS = {
  move: [
    ["before the move is entered", "INSERT INTO stale_drafts_moves", "before"],
    // The target knows of it, and the source does not yet.
    ["between its two rows", "INSERT INTO stale_drafts_moves", "after"],
    ["where its users are entered", "INSERT INTO stale_drafts_moving_users", "after"],
    ["within the copy of creations", "INSERT INTO stale_drafts_creations \\(id, user_id, kind, prompt, status, attempt", "during"],
    ["after a page of creations", "INSERT INTO stale_drafts_creations \\(id, user_id, kind, prompt, status, attempt", "after"],
    ["within the copy of the ledger", "INSERT INTO stale_drafts_ledger .* FROM \\(SELECT value AS v", "during"],
    ["after a page of the ledger", "INSERT INTO stale_drafts_ledger .* FROM \\(SELECT value AS v", "after"],
    ["after the balances", "INSERT INTO stale_drafts_balances", "after"],
    ["before it is copied", "UPDATE stale_drafts_moves SET state = \\?3", "before"],
    ["after it is copied", "UPDATE stale_drafts_moves SET state = \\?3", "after"],
    ["before it is verified", "SET state = 'verified'", "before"],
    ["after it is verified", "SET state = 'verified'", "after"],
    ["after it has moved", "UPDATE stale_drafts_moves SET state = \\?3", "after"],
  ],
  finish: [
    ["before the target is open", "UPDATE stale_drafts_moves SET state = \\?3", "before"],
    ["after the target is open", "UPDATE stale_drafts_moves SET state = \\?3", "after"],
    ["within the trim of the ledger", "DELETE FROM stale_drafts_ledger", "during"],
    ["after a page of it", "DELETE FROM stale_drafts_ledger", "after"],
    ["within the trim of creations", "DELETE FROM stale_drafts_creations", "during"],
    ["after a page of them", "DELETE FROM stale_drafts_creations", "after"],
    ["before the last are let go", "DELETE FROM stale_drafts_moving_users", "before"],
    ["after the source is trimmed", "UPDATE stale_drafts_moves SET state = \\?3", "after"],
  ],
};

/**
 * Moves the buckets by the command, as an operator does: `goal` is `move` or `finish`. It is started again whenever the Worker or itself
 * has died. Gives each death that happened.
 */
export async function carry({ fleet, start, goal, args, deaths = DEATHS[goal], commandDies = [], say, patience = 120_000 }) {
  const died = [];
  const ordered = [...deaths];
  const kills = [...commandDies];
  const latest = Date.now() + patience;
  let waiting;
  for (;;) {
    if (!fleet.isUp()) await start();
    if (!waiting && ordered.length > 0) {
      waiting = ordered.shift();
      await fleet.order({ dieAt: { pattern: waiting[1], flags: "s" }, dieHow: waiting[2] });
    }
    const killAfter = ordered.length % 3 === 0 ? kills.shift() : undefined;
    const { code, signal, output } = await fleet.command(["shards", goal, ...args], { killAfter });
    if (signal) died.push("the command");
    if (waiting && code !== 0 && (await fleet.dies(2_000))) {
      died.push(waiting[0]);
      say(`killed ${waiting[0]}`);
      waiting = undefined;
      continue;
    }
    if (code === 0) {
      // What was ordered and did not happen is in nobody's way.
      if (waiting && fleet.isUp()) await fleet.order({}).catch(() => {});
      return { died, output, missed: [waiting, ...ordered].filter(Boolean).map(([name]) => name) };
    }
    if (Date.now() > latest) throw new Error(`\`shards ${goal}\` does not end: ${output}`);
    if (!signal) await sleep(300);
  }
}

/** So many owners in each database, and four times as many in the buckets that move. */
function owners(each) {
  const left = [...Array(SHARDS).fill(each), 4 * each];
  const names = [];
  for (let at = 0; left.some((count) => count > 0); at += 1) {
    const [user, shard] = [`owner-${at}`, shardOf(true)(bucketOf(`owner-${at}`))];
    if ((left[shard] -= 1) >= 0) names.push(user);
  }
  return names;
}

/** Which file is a database's, by a user that is in it. */
function fileOf(folder, at) {
  const inner = join(folder, "miniflare-D1DatabaseObject");
  return readdirSync(inner).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)).map((name) => join(inner, name)).find((path) => {
    const database = new DatabaseSync(path, { readOnly: true });
    const row = database.prepare("SELECT user_id FROM stale_drafts_balances LIMIT 1").get();
    database.close();
    return row && shardOf(false)(bucketOf(row.user_id)) === at;
  });
}

/** Holds the write lock of a database's file for so long. */
async function lock(path, ms) {
  const database = new DatabaseSync(path, { timeout: 10_000 });
  database.exec("BEGIN IMMEDIATE");
  await sleep(ms);
  database.exec("ROLLBACK");
  database.close();
}

/**
 * Rehearses it all: `users` at work, `kills` in mid-sweep, and `pause` ms of load between two events. Gives what was seen, and `found`:
 * all that is wrong.
 */
export async function rehearse({ users, kills, pause, seed, short = false, say = () => {} }) {
  const limits = short ? LIMITS.short : LIMITS.long;
  const folder = mkdtempSync(join(tmpdir(), "stale-drafts-fleet-"));
  const hook = await aWebhook(choices(seed ^ 0x5eed));
  const fleet = aFleet({
    folder, shards: SHARDS + 1, queues: ["SWEEPS"],
    config: { circuit_breaker: "off", policy: policy(limits), webhook_url: hook.url, max_deliveries: 100 },
    bindings: { WEBHOOK_SECRET },
  });
  const journal = aJournal();
  const names = owners(users);
  let split = false;
  let goes = true;
  let requests = 0;
  let crons = 0;
  const looks = { checked: 0, found: [] };
  const seen = { deaths: [] };
  // In turn all in one invocation, and each by a message.
  const start = () => fleet.start({ shards: shards(split), ...(fleet.counts.starts % 2 === 1 ? FEW : {}) });
  const sum = async (sql) => Promise.all(Array.from({ length: SHARDS + 1 }, (_, at) => fleet.all(at, sql).then(([row]) => Object.values(row)[0])));
  const swept = () => sum("SELECT count(*) FROM stale_drafts_creations WHERE sweep_id IS NOT NULL");
  /** What has been stale for so long, by database. */
  const waiting = (ms) => sum(`SELECT count(*) FROM stale_drafts_creations WHERE status IN ('pending', 'processing') AND last_sign_of_life < ${Date.now() - limits.silence - ms}`);

  try {
    await start();
    say(`${SHARDS + 1} databases are there`);
    const grant = "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', ?2, ?3)";
    for (const [at, list] of Map.groupBy(names, (name) => shardOf(false)(bucketOf(name)))) await fleet.batch(at, list.map((name) => [grant, name, 1_000_000, Date.now()]));
    const hears = new Map();
    hook.listen((event) => hears.get(event.data.user_id)?.(event));

    async function live(user, number) {
      const agenda = anAgenda();
      const living = new Set();
      const step = Math.floor(limits.heartbeat / 6);
      const session = aSession({ client: fleet, journal, rng: choices(seed + 7_919 * number), count: () => (requests += 1) });
      const own = someOwners({ journal, agenda, names: [user], living, pause: step });
      const { kept } = someOperators({ journal, agenda });
      const { create, hear } = someWorkers({ journal, agenda, limits, owners: [user], living, finished: own.finished, kept, crew: user });
      hears.set(user, hear);
      while (goes) {
        if (agenda.late() >= 0) {
          await agenda.take()(session);
          continue;
        }
        if (living.size < LIVING && session.rng.chance(0.4)) await create(session);
        else await own[session.rng.weighted([[20, "page"], [25, "list"], [50, "follow"], [5, "removeAny"]])](session);
        await sleep(session.rng.between(100, 700));
      }
    }
    /** As the platform fires it, only more often. */
    async function sweep() {
      while (goes) {
        await sleep(1_000);
        if ((await fleet.ask("GET", "/cdn-cgi/handler/scheduled", {})).status === 200) crons += 1;
      }
    }
    async function watch() {
      while (goes) {
        for (let at = 0; goes && at <= SHARDS; at += 1) {
          await sleep(250);
          try {
            looks.found.push(...(await look((statements) => fleet.batch(at, statements))).map((text) => `DB_${at}: ${text}`));
            looks.checked += 1;
          } catch {
            // It is down, or locked: another look follows.
          }
        }
      }
    }
    const begun = Date.now();
    const all = Promise.all([...names.map(live), sweep(), watch()]);
    // What fails in there is told at once.
    let broke;
    all.catch((error) => (broke = error));
    const load = async (ms) => {
      await sleep(ms);
      say(`${requests} requests, ${crons} crons, ${looks.checked} looks`);
      if (broke) throw broke;
    };

    for (let kill = 0; kill < kills; kill += 1) {
      await load(pause);
      const how = ["during", "before", "after"][kill % 3];
      await fleet.order({ dieAt: { pattern: WRITE.source, flags: "" }, dieHow: how });
      if (await fleet.dies(60_000)) seen.deaths.push(`${how} a write of a sweep`);
      else throw new Error("no sweep has written anything for a minute");
      say(`killed ${how} a write of a sweep`);
      await start();
    }

    // One answers nothing: what goes stale meanwhile in the others is swept all the same, within a minute.
    await load(pause);
    const before = await swept();
    await fleet.order({ silent: [`DB_${SILENT}`] });
    // What was on its way to it has arrived by then.
    await sleep(1_000);
    const silenced = (await swept())[SILENT];
    await load(short ? 15_000 : 60_000);
    const [after, late] = [await swept(), await waiting(25_000)];
    await fleet.order({ silent: [] });
    const others = after.map((count, at) => count - before[at]).filter((_, at) => at < SHARDS && at !== SILENT);
    seen.silent = { swept: others.filter((count) => count > 0).length, late: late.filter((_, at) => at !== SILENT).reduce((total, count) => total + count), own: after[SILENT] - silenced };
    say(`DB_${SILENT} was silent, and ${seen.silent.swept} others were swept meanwhile`);
    // Another is locked: the local runtime waits for it with all that it does.
    const free = lock(fileOf(join(folder), LOCKED), LOCK_MS);
    await load(pause);
    await free;
    say(`DB_${LOCKED} was locked`);

    // The split, with the Worker killed at each step, and the command some times.
    const args = ["--from", `DB_${FULL}`, "--to", `DB_${EMPTY}`, "--buckets", BUCKETS];
    const paused = Date.now();
    const moved = await carry({ fleet, start, goal: "move", args, commandDies: [40, 400, 900], say, ...(short && { deaths: DEATHS.move.filter((_, at) => at % 4 === 2) }) });
    say(`moved: ${moved.output.split("\n").at(-1)}`);
    if (fleet.isUp()) await fleet.kill();
    split = true;
    await start();
    const finished = await carry({ fleet, start, goal: "finish", args, commandDies: [40, 400], say, ...(short && { deaths: DEATHS.finish.filter((_, at) => at % 4 === 2) }) });
    seen.downtime_ms = Date.now() - paused;
    seen.deaths.push(...moved.died, ...finished.died);
    seen.missed = [...moved.missed, ...finished.missed];
    say(`finished: ${finished.output.split("\n").at(-1)}`);
    await load(2 * pause);

    goes = false;
    await all;
    const took = Date.now() - begun;
    say(`${requests} requests in ${Math.round(took / 1_000)} s; what is left goes stale and is swept`);

    // What has arrived is left alone for 15 minutes: the clock is put on.
    await fleet.kill();
    await fleet.start({ shards: shards(true) }, GRACE_MS);
    const left = async () => (await sum("SELECT (SELECT count(*) FROM stale_drafts_creations WHERE status IN ('pending', 'processing')) + (SELECT count(*) FROM stale_drafts_moving_users)")).reduce((total, count) => total + count, 0);
    const ended = await fleet.command(["shards", "finish", ...args]);
    if (ended.code !== 0) looks.found.push(`finish ends with ${ended.code}: ${ended.output}`);
    let last = 0;
    for (let tries = 0; tries < 60 && last < 2; tries += 1) {
      const { text, status } = await fleet.ask("GET", "/cdn-cgi/handler/scheduled", {});
      if (status !== 200) looks.found.push(`cron fails at the end: ${text}`);
      last = (await left()) === 0 ? last + 1 : 0;
      if (last === 0) await sleep(500);
    }
    await fleet.kill();
    await fleet.start({ shards: shards(true) }, GRACE_MS);
    const { checks, rows, each } = await judged({ fleet, count: SHARDS + 1, shardOf: shardOf(true), journal, told: hook.told, limits });
    await fleet.stop();
    const moves = journal.wrong;
    checks.unshift(
      { name: "every answer is one that was expected", checked: requests, found: moves },
      { name: "every invariant holds in every database while it runs", ...looks },
      { name: "the others were swept while a database was silent", checked: SHARDS, found: seen.silent.late === 0 && seen.silent.own === 0 && seen.silent.swept > 0 ? [] : [JSON.stringify(seen.silent)] },
      { name: "each event is signed", checked: hook.told.size, found: hook.forged },
    );
    return {
      seed, users, took, requests, crons, seen, checks, each, rows,
      counts: fleet.counts,
      found: checks.flatMap(({ name, found }) => found.map((text) => `${name}: ${text}`)),
    };
  } finally {
    goes = false;
    await fleet.dispose();
    await hook.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
