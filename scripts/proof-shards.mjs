// `npm run proof:shards`: several databases through everything that may befall them, and then all that must hold: sixteen of them with a
// Queue under load, and one with a million creations that gives half of its buckets away. docs/scale.md says what it printed.

import { parseArgs } from "node:util";
import { rehearse } from "../tests/shards/rehearsal.mjs";
import { large } from "../tests/shards/large.mjs";
import { build } from "./build.mjs";
import { Help, note, run, sh, step, timed } from "./lib.mjs";

/** Each option: its default, and the least and the most that it may be. */
const OPTIONS = { owners: [3, 1, 100], kills: [6, 1, 1_000], pause: [8, 1, 600], creations: [1_000_000, 1_000, 10_000_000], every: [60, 5, 3_600], seed: [1, 0, 4_294_967_295] };
const HELP = `Usage: npm run proof:shards -- [--owners 3] [--kills 6] [--pause 8] [--creations 1000000] [--every 60] [--seed 1] [rehearsal] [large]
  --owners     so many in each of 16 databases, and four times as many in the buckets that move
  --kills      how often the process dies in mid-sweep
  --pause      seconds of load between two events
  --creations  how many the large database has
  --every      seconds after which the process dies within its move, again and again`;
const PARTS = ["rehearsal", "large"];

function options() {
  const given = () => {
    try {
      return parseArgs({ allowPositionals: true, options: Object.fromEntries(Object.keys(OPTIONS).map((name) => [name, { type: "string" }])) });
    } catch (error) {
      throw new Help(`${error.message}\n${HELP}`);
    }
  };
  const { values, positionals } = given();
  const unknown = positionals.find((part) => !PARTS.includes(part));
  if (unknown) throw new Help(`Unknown part \`${unknown}\`: expected \`rehearsal\` or \`large\`.\n${HELP}`);
  const numbers = Object.entries(OPTIONS).map(([name, [usual, least, most]]) => {
    const value = Number(values[name] ?? usual);
    if (!Number.isInteger(value) || value < least || value > most) throw new Help(`--${name} is \`${values[name]}\`: expected a whole number from ${least} to ${most}.\n${HELP}`);
    return [name, value];
  });
  return { ...Object.fromEntries(numbers), parts: positionals.length > 0 ? positionals : PARTS };
}

const digits = (value, count = 0) => value.toLocaleString("en", { minimumFractionDigits: count, maximumFractionDigits: count });
const seconds = (ms) => `${digits(ms / 1_000, ms < 10_000 ? 1 : 0)} s`;

function ofRehearsal({ took, requests, counts, seen, checks, rows }) {
  return [
    ["16 databases and a Queue: load", `${digits(requests)} requests in ${seconds(took)}, ${digits(rows.creations.length)} creations, ${digits(rows.creations.filter(({ sweep_id }) => sweep_id).length)} of them failed by ${digits(rows.sweeps.length)} sweeps`],
    ["deaths of the process", `${counts.kills}: ${seen.deaths.filter((death) => death.includes("write of a sweep")).length} in mid-sweep, the others at a step of the move`],
    ["a database that answers nothing, another that is locked", `${seen.silent.swept} of the others were swept meanwhile, ${seen.silent.late} creations late; writes that came again: ${digits(counts.repeated ?? 0)}`],
    ["a split under load", `writes refused while it moved, which came again: ${digits(counts.moving ?? 0)}; not reached of the deaths that were ordered: ${seen.missed.length === 0 ? "none" : seen.missed.join(", ")}`],
    ["checks of each database and of all together", `${checks.length}, ${digits(checks.reduce((sum, { checked }) => sum + checked, 0))} things looked at, ${checks.reduce((sum, { found }) => sum + found.length, 0)} wrong`],
  ];
}

function ofLarge({ creations, users, quiet, half }) {
  const thousand = (value, count) => digits((value / count) * 1_000);
  const rows = ({ queries, rows_read, rows_written }, count) => `${thousand(queries, count)} queries, ${thousand(rows_read, count)} rows read, ${thousand(rows_written, count)} written`;
  return [
    [`64 buckets of ${digits(creations)} creations, undisturbed`, `${digits(quiet.creations)} creations and ${digits(quiet.entries)} entries of ${digits(quiet.users)} users`],
    ["their downtime", `${seconds(quiet.moved)} until they had moved, and the deploy: the target is open at once`],
    ["their move, for each 1,000", rows(quiet.copy, quiet.creations)],
    ["their trim, for each 1,000", rows(quiet.trim, quiet.creations)],
    ["half of the buckets, stopped again and again", `${digits(half.creations)} creations and ${digits(half.entries)} entries`],
    ["deaths", `${half.deaths.length} at steps of the move and of the command, ${half.within} at any moment; not reached: ${half.missed.length === 0 ? "none" : half.missed.join(", ")}`],
    ["their downtime, restarts included", `${seconds(half.moved)} until they had moved; all in all ${seconds(half.trimmed)} with the trim`],
    ["users whose rows and sums were compared", digits(users)],
  ];
}

await run(async () => {
  const asked = options();
  await build();
  await timed("Building mark-stale-drafts", () => sh("cargo", ["build", "--locked", "--quiet", "--target-dir", "target", "-p", "mark-stale-drafts"], { quiet: true }));
  const lines = [];
  const found = [];
  if (asked.parts.includes("rehearsal")) {
    step(`Rehearsing with 16 databases, and the seed ${asked.seed}`);
    const result = await rehearse({ users: asked.owners, kills: asked.kills, pause: asked.pause * 1_000, seed: asked.seed, say: note });
    lines.push(...ofRehearsal(result));
    found.push(...result.found);
  }
  if (asked.parts.includes("large")) {
    step(`Moving buckets of ${digits(asked.creations)} creations`);
    const result = await large({ creations: asked.creations, every: asked.every * 1_000, say: note });
    lines.push(...ofLarge(result));
    found.push(...result.found);
  }
  console.log("\n| what | measured |\n|---|---|");
  for (const line of lines) console.log(`| ${line.join(" | ")} |`);
  console.log();
  for (const text of found.slice(0, 20)) console.log(`✗ ${text}`);
  console.log(found.length === 0 ? "nothing is wrong" : `${found.length} wrong`);
  if (found.length > 0) process.exitCode = 1;
});
