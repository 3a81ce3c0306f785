// `npm run proof`: the long versions of everything that `npm test` runs a share of, one after the other, and one line for each at
// the end. `npm run proof -- simulator load` runs only those named. docs/proof.md says what each holds, and what it printed.

import { join } from "node:path";
import { build } from "./build.mjs";
import { Help, capture, run, step } from "./lib.mjs";

// Optimised, in a folder of its own: what `npm test` has built stays.
const cargo = (...args) => ["test", "--config", "profile.dev.opt-level=2", "--target-dir", "target/proof", "--locked", "-p", "stale-drafts", ...args];
const node = (...args) => ["node", args, { NODE_OPTIONS: "" }];
const suite = (file, env) => ["node", ["--test", "--test-reporter=spec", join("tests", file)], { NODE_OPTIONS: "", ...env }];

/** Each part: what it does more of, and its commands. */
const PARTS = {
  simulator: { minutes: 4, commands: [["cargo", ["simulate", "--seeds", "0..100000"]]] },
  properties: { minutes: 5, commands: [["cargo", cargo("--test", "properties"), { PROPTEST_CASES: "100000" }]] },
  agreement: {
    minutes: 6,
    commands: [
      ["cargo", cargo("--test", "agreement"), { PROPTEST_CASES: "4000" }],
      ["cargo", ["build", "--locked", "--quiet", "--target-dir", "target", "-p", "stale-drafts", "--example", "verdicts"]],
      suite("package/agreement.test.mjs", { AGREEMENT_CASES: "200000" }),
    ],
  },
  frameworks: { minutes: 8, commands: [suite("package/frameworks.test.mjs", { FRAMEWORKS: "all" })] },
  faults: { minutes: 15, commands: [suite("worker/faults.test.mjs", { KILLS: "200", ROUNDS: "40" })] },
  load: { minutes: 4, commands: [node("scripts/load.mjs", "--seconds", "180")] },
  shards: { minutes: 25, commands: [node("scripts/proof-shards.mjs")] },
  fuzz: { minutes: 15, commands: [node("scripts/fuzz.mjs", "--seconds", "190")] },
  mutants: { minutes: 20, commands: [node("scripts/mutants.mjs")] },
  bench: { minutes: 8, commands: [node("scripts/bench-sweep.mjs", "--sizes", "10000,100000,1000000,10000000")] },
};

await run(async () => {
  const asked = process.argv.slice(2);
  const unknown = asked.find((name) => !(name in PARTS));
  if (unknown) throw new Help(`Unknown part \`${unknown}\`: expected ${Object.keys(PARTS).map((name) => `\`${name}\``).join(", ")}.`);
  await build();
  const results = [];
  for (const name of asked.length > 0 ? asked : Object.keys(PARTS)) {
    const { minutes, commands } = PARTS[name];
    const begun = performance.now();
    let failed = false;
    for (const [command, args, env] of commands) {
      step(`${name}, about ${minutes} minutes on two cores: ${Object.entries(env ?? {}).filter(([key]) => key !== "NODE_OPTIONS").map(([key, value]) => `${key}=${value} `).join("")}${command} ${args.join(" ")}`);
      const { code } = await capture(command, args, { env, echo: true });
      failed ||= code !== 0;
    }
    results.push({ name, failed, seconds: (performance.now() - begun) / 1_000 });
  }
  console.log("\nPart        outcome  minutes");
  for (const { name, failed, seconds } of results) console.log(`${name.padEnd(11)} ${failed ? "FAILED " : "passed "}  ${(seconds / 60).toFixed(1).padStart(7)}`);
  if (results.some(({ failed }) => failed)) process.exitCode = 1;
});
