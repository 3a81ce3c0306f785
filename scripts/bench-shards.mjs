// `npm run bench:shards`: what several databases cost beside one, and what one of them that is silent costs the others: the figures of
// docs/scale.md. Queries and rows repeat exactly; of times only the ratios within this run mean anything.

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CLEANUP_TOKEN, HOUR, NOW, start } from "../tests/worker/harness.mjs";
import { fillBase, fillStale } from "./bench-sweep/database.mjs";
import { migrate } from "./bench-sweep/runtime.mjs";
import { build } from "./build.mjs";
import { Help, note, run, step } from "./lib.mjs";

const HELP = `Usage: npm run bench:shards -- [--creations 1600000] [--stale 16000]
  --creations  how many there are over 16 databases, and in one
  --stale      how many of them are stale, at most 16,000`;

function options() {
  const { values } = parseArgs({ options: { creations: { type: "string", default: "1600000" }, stale: { type: "string", default: "16000" } } });
  const number = (name, least, most) => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new Help(`--${name} takes a whole number from ${least} to ${most}; it was \`${values[name]}\`.\n${HELP}`);
  };
  return { creations: number("creations", 16_000, 1e8), stale: number("stale", 16, 16_000) };
}

const CONFIG = { circuit_breaker: "off", rows_per_sweep: 1_000 };
const digits = (value, count = 0) => value.toLocaleString("en", { minimumFractionDigits: count, maximumFractionDigits: count });

/** Cron, once; its outcome has to be this. */
async function cron(world, expected = "ok") {
  const outcome = await world.cron();
  if (outcome !== expected) throw new Help(`cron ended with \`${outcome}\`:\n${world.logs.slice(-5).join("\n")}`);
}

const failed = async (world) => {
  const counts = await Promise.all(world.databases.map((database) => database.prepare("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'").first("n")));
  return { counts, sum: counts.reduce((sum, count) => sum + count, 0) };
};

/** Stale creations in a database, each of an owner of its own, and the balances that they were paid from. */
async function fill(database, at, count) {
  const json = JSON.stringify(Array.from({ length: count }, (_, index) => [`c-${at}-${index}`, `u-${at}-${index}`]));
  await database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) SELECT DISTINCT 'grant:' || (value ->> 1), value ->> 1, 'grant', 1000000, 0 FROM json_each(?1)").bind(json).run();
  await database.prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) SELECT value ->> 0, value ->> 1, 'image', 'a fox', 'pending', 10, CAST(?2 AS INTEGER) FROM json_each(?1)").bind(json, NOW - 2 * HOUR).run();
}

async function idle(shards) {
  const world = await start({ shards, config: CONFIG });
  // The first run notes that each is new.
  await cron(world);
  await world.order({ now: NOW + 60_000 });
  await cron(world);
  const queries = Object.values(await world.queriesOf());
  await world.order({ now: NOW + 60_000 });
  await world.cleanup();
  const swept = Object.values(await world.queriesOf());
  await world.stop();
  const sum = (list) => list.reduce((all, one) => all + one, 0);
  return { of: queries.length, sum: sum(queries), each: Math.max(...queries), swept: Math.max(...swept) };
}

/** Rows read and written for each of 6,400 creations that are swept, by the sweeps alone. */
async function rows(shards) {
  const world = await start({ shards, config: CONFIG });
  const count = 6_400 / Math.max(1, shards);
  for (const [at, database] of world.databases.entries()) await fill(database, at, Math.min(count, 6_400));
  const sum = { queries: 0, rows_read: 0, rows_written: 0 };
  for (;;) {
    const { cost, more } = await (await world.cleanup()).json();
    for (const key of Object.keys(sum)) sum[key] += cost[key];
    if (!more) break;
  }
  const done = (await failed(world)).sum;
  await world.stop();
  if (done !== 6_400) throw new Help(`6,400 were stale, and ${done} were failed`);
  return Object.fromEntries(Object.entries(sum).map(([key, value]) => [key, value / 6_400]));
}

/** Puts a filled database in the place of each that a runtime keeps below `folder`. */
function replace(folder, filled) {
  const of = (path) => join(path, "miniflare-D1DatabaseObject");
  const isDatabase = (name) => /^[0-9a-f]{64}\.sqlite$/.test(name);
  const from = join(of(filled), readdirSync(of(filled)).find(isDatabase));
  for (const name of readdirSync(of(folder))) {
    if (isDatabase(name)) copyFileSync(from, join(of(folder), name));
    else if (/\.sqlite-(wal|shm)$/.test(name) && !name.startsWith("metadata")) rmSync(join(of(folder), name));
  }
}

/** How long sweeping takes, in ms, where so many creations are over so many databases. */
async function timed(folder, shards, { creations, stale }) {
  const [base, filled, own] = ["base", "filled", "own"].map((name) => join(folder, `${name}-${shards}`));
  mkdirSync(base);
  step(`Filling ${shards} ${shards === 1 ? "database" : "databases"} with ${digits(creations / shards)} creations each`);
  await migrate(base, false);
  fillBase(base, Math.round(creations / shards));
  fillStale(base, filled, { count: Math.round(stale / shards) });
  await (await start({ shards: shards === 1 ? 0 : shards, config: CONFIG, persist: own })).stop();
  replace(own, filled);
  const world = await start({ shards: shards === 1 ? 0 : shards, config: CONFIG, persist: own, migrate: false });
  const begun = performance.now();
  let runs = 0;
  for (; (await failed(world)).sum < stale; runs += 1) await cron(world);
  const took = performance.now() - begun;
  await world.stop();
  for (const path of [base, filled, own]) rmSync(path, { recursive: true, force: true });
  return { took, runs };
}

async function silent() {
  const world = await start({ shards: 16, config: CONFIG });
  for (const [at, database] of world.databases.entries()) await fill(database, at, 100);
  await world.order({ silent: ["DB_7"] });
  const begun = performance.now();
  await cron(world, "exception");
  const seconds = (performance.now() - begun) / 1_000;
  await world.order({});
  const { counts } = await failed(world);
  await world.order({ now: NOW + 60_000 });
  await cron(world);
  const after = (await failed(world)).sum;
  await world.stop();
  return { swept: counts.filter((count) => count === 100).length, seconds, after };
}

/** What moving most of 10,000 creations of 400 users costs, and removing them where they were, for each 1,000 that move. */
async function moving(folder) {
  const options = (first, second) => ({ shards: 2, persist: join(folder, "moving"), config: { ...CONFIG, shards: [{ binding: "DB_0", buckets: first }, { binding: "DB_1", buckets: second }] } });
  const reach = async (world, goal) => {
    const request = { method: "POST", headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` }, body: JSON.stringify({ source: "DB_0", target: "DB_1", buckets: "0-4031", goal }) };
    await world.cost();
    for (;;) {
      const { done, waits_until, error } = await (await world.fetch("/api/shards/moves", request)).json();
      if (error) throw new Help(`a step of the move failed: ${error}`);
      if (done || waits_until !== null) return world.cost();
    }
  };
  let world = await start(options("0-4095", ""));
  const all = JSON.stringify(Array.from({ length: 10_000 }, (_, index) => [`c-${index}`, `u-${index % 400}`]));
  await world.databases[0].prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) SELECT DISTINCT 'grant:' || (value ->> 1), value ->> 1, 'grant', 1000000, 0 FROM json_each(?1)").bind(all).run();
  await world.databases[0].prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) SELECT value ->> 0, value ->> 1, 'image', 'a fox', 'pending', 10, CAST(?2 AS INTEGER) FROM json_each(?1)").bind(all, NOW).run();
  const moved = await reach(world, "moved");
  await world.stop();
  world = await start({ ...options("4032-4095", "0-4031"), migrate: false });
  const trimmed = await reach(world, "done");
  const [left, there] = await Promise.all(world.databases.map((database) => database.prepare("SELECT count(*) AS n FROM stale_drafts_creations").first("n")));
  await world.stop();
  if (left + there !== 10_000 || left > 1_000) throw new Help(`of 10,000 creations ${left} stayed and ${there} are in the other database`);
  const words = ({ queries, rows_read, rows_written }) => [queries, rows_read, rows_written].map((count) => digits(Math.round((count * 1_000) / there)));
  return [words(moved), words(trimmed)].map(([queries, read, written]) => `${queries} queries, ${read} rows read, ${written} written`);
}

await run(async () => {
  const chosen = options();
  await build();
  const folder = mkdtempSync(join(tmpdir(), "stale-drafts-shards-"));
  const lines = [];
  const add = (what, target, measured) => {
    lines.push([what, target, measured]);
    note(`${what}: ${measured}`);
  };
  try {
    const nothing = await idle(64);
    add("64 databases, idle: queries of a sweep", "at most 2 each", `${nothing.swept} each`);
    add("64 databases, idle: queries of a whole cron, the monitor included", "within 1,000", `${nothing.each} at most each, ${digits(nothing.sum)} in all`);
    const [one, many] = [await rows(0), await rows(64)];
    add("rows read for each that is swept, 1 database against 64", "the same", `${digits(one.rows_read, 2)} against ${digits(many.rows_read, 2)}`);
    add("rows written for each that is swept, 1 database against 64", "the same", `${digits(one.rows_written, 3)} against ${digits(many.rows_written, 3)}`);
    const [moved, trimmed] = await moving(folder);
    add("most of 10,000 creations of 400 users move: for each 1,000", "", moved);
    add("and are removed where they were", "", trimmed);
    const away = await silent();
    add("one of 16 answers nothing: others swept within the minute", "15", `${away.swept}, in ${digits(away.seconds, 0)} s; the last one by the next cron: ${away.after === 1_600 ? "yes" : "no"}`);
    const [single, spread] = [await timed(folder, 1, chosen), await timed(folder, 16, chosen)];
    add(`${digits(chosen.creations)} creations, ${digits(chosen.stale)} stale at once: time over 16 databases against one`, "at most 1/4", `${digits(spread.took / single.took, 2)}; crons until all are swept: ${spread.runs} against ${single.runs}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log("\n| what | target | measured |\n|---|---|---|");
  for (const line of lines) console.log(`| ${line.join(" | ")} |`);
});
