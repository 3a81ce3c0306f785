// `npm run proof`: the long versions of everything that `npm test` runs a share of, and one line for each at the end. Two lanes run
// beside one another: what computes, and what waits for workerd most of its time. With `--one-lane` one part follows the other.
// `npm run proof -- simulator load` runs only those named. docs/proof.md says what each holds, and what it printed.
//
// What a part prints is in target/proof/<part>.log, and its end is shown when the part ends.

import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { Help, capture, note, root, run, sh, step, timed } from "./lib.mjs";
import { duration } from "./progress.mjs";

const LOGS = "target/proof";
/** So many lines of what a part prints are shown at its end. */
const TAIL = 12;

// Optimised, in a folder of its own: what `npm test` has built stays.
const cargo = (...args) => ["test", "--config", "profile.dev.opt-level=2", "--target-dir", LOGS, "--locked", "-p", "stale-drafts", ...args];
const node = (...args) => ["node", args, { NODE_OPTIONS: "" }];
const suite = (file, env) => ["node", ["--test", "--test-reporter=spec", join("tests", file)], { NODE_OPTIONS: "", ...env }];

// Of the cargo target that both lanes share. Cargo locks it while it builds, so all is built before they begin.
const VERDICTS = ["build", "--locked", "--quiet", "--target-dir", "target", "-p", "stale-drafts", "--example", "verdicts"];
const COMMAND = ["build", "--locked", "--quiet", "--target-dir", "target", "-p", "mark-stale-drafts"];

/** Each part: its lane, how long it takes, and its commands. */
const PARTS = {
  simulator: { lane: "processor", minutes: 4, commands: [["cargo", ["simulate", "--seeds", "0..100000"]]] },
  properties: { lane: "processor", minutes: 5, commands: [["cargo", cargo("--test", "properties"), { PROPTEST_CASES: "100000" }]] },
  agreement: {
    lane: "processor",
    minutes: 6,
    commands: [
      ["cargo", cargo("--test", "agreement"), { PROPTEST_CASES: "4000" }],
      ["cargo", VERDICTS],
      suite("package/agreement.test.mjs", { AGREEMENT_CASES: "200000" }),
    ],
  },
  fuzz: { lane: "processor", minutes: 15, commands: [node("scripts/fuzz.mjs", "--seconds", "190")] },
  mutants: { lane: "processor", minutes: 90, commands: [node("scripts/mutants.mjs")] },
  frameworks: { lane: "workerd", minutes: 8, commands: [suite("package/frameworks.test.mjs", { FRAMEWORKS: "all" })] },
  faults: { lane: "workerd", minutes: 15, commands: [suite("worker/faults.test.mjs", { KILLS: "200", ROUNDS: "40" })] },
  load: { lane: "workerd", minutes: 4, commands: [node("scripts/load.mjs", "--seconds", "180")] },
  shards: { lane: "workerd", minutes: 25, commands: [node("scripts/proof-shards.mjs")] },
  bench: { lane: "workerd", minutes: 8, commands: [node("scripts/bench-sweep.mjs", "--sizes", "10000,100000,1000000,10000000")] },
};

function options() {
  try {
    const { values, positionals } = parseArgs({ options: { "one-lane": { type: "boolean" } }, allowPositionals: true });
    const unknown = positionals.find((name) => !(name in PARTS));
    if (unknown) throw new Error(`unknown part \`${unknown}\``);
    const asked = positionals.length > 0 ? positionals : Object.keys(PARTS);
    const of = (lane) => asked.filter((name) => PARTS[name].lane === lane);
    const lanes = values["one-lane"] ? [asked] : [of("processor"), of("workerd")].filter((lane) => lane.length > 0);
    return { asked, lanes };
  } catch (error) {
    throw new Help(`${error.message}: expected --one-lane, and parts: ${Object.keys(PARTS).map((name) => `\`${name}\``).join(", ")}.`);
  }
}

/** Runs a part. `alone`: what it prints is shown as it comes. */
async function runPart(name, alone) {
  const { minutes, commands } = PARTS[name];
  const log = createWriteStream(join(root, LOGS, `${name}.log`));
  const begun = performance.now();
  let [failed, printed] = [false, ""];
  for (const [command, args, env] of commands) {
    const said = `${Object.entries(env ?? {}).filter(([key]) => key !== "NODE_OPTIONS").map(([key, value]) => `${key}=${value} `).join("")}${command} ${args.join(" ")}`;
    step(`${name}, about ${minutes} minutes on two cores: ${said}`);
    log.write(`▸ ${said}\n`);
    const { code, output } = await capture(command, args, { env, echo: alone, log });
    failed ||= code !== 0;
    printed += output;
  }
  await new Promise((done) => log.end(done));
  const took = performance.now() - begun;
  if (!alone) {
    step(`${name} ${failed ? "FAILED" : "passed"} after ${duration(took)}; all that it printed is in ${LOGS}/${name}.log`);
    for (const line of printed.trimEnd().split("\n").slice(-TAIL)) note(line);
  }
  return { name, failed, minutes: took / 60_000 };
}

await run(async () => {
  const { asked, lanes } = options();
  mkdirSync(join(root, LOGS), { recursive: true });
  await build();
  await timed("Building what both lanes use", async () => {
    for (const args of [VERDICTS, COMMAND]) await sh("cargo", args, { quiet: true });
  });
  const results = {};
  await Promise.all(lanes.map(async (lane) => {
    for (const name of lane) results[name] = await runPart(name, lanes.length === 1);
  }));
  console.log("\nPart        outcome  minutes");
  for (const { name, failed, minutes } of asked.map((name) => results[name])) console.log(`${name.padEnd(11)} ${failed ? "FAILED " : "passed "}  ${minutes.toFixed(1).padStart(7)}`);
  if (Object.values(results).some(({ failed }) => failed)) process.exitCode = 1;
});
