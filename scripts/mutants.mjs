// `npm run mutants`: changes the code in one place at a time and demands that a test fails. `npm run mutants -- rules` or
// `-- store` runs one part. What survives is printed, stands in target/mutants/<part>/mutants.out/missed.txt, and is a failure;
// `.cargo/mutants.toml` names the few changes that make no difference, and why.

import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { Help, capture, note, root, run, sh, step, which } from "./lib.mjs";

const VERSION = "27.1.0";
const exe = process.platform === "win32" ? ".exe" : "";

/** Each part: the files that are changed, how they are built, the tests that have to notice, and those among them that run last. */
const PARTS = {
  rules: {
    files: ["src/rules/**"],
    build: ["--package", "stale-drafts"],
    tests: ["rules", "properties", "diagnosis", "judgements"],
    slow: [],
  },
  store: {
    files: ["src/store/**", "src/service/**"],
    build: ["--package", "stale-drafts"],
    // Without the simulator: it would double the time, and each statement has a test of its own.
    tests: ["store"],
    // They take more time than all the others together.
    slow: [
      "rejected_rows_that_have_something_in_common_are_told_from_the_others_in_a_few_invocations",
      "a_sweep_whose_answers_are_lost_counts_and_rolls_up_once_and_calls_nothing_raced",
      "the_longest_names_and_reasons_fit_into_the_databases_strings",
    ],
  },
};

/** The command, installed at the pinned version if it is not there. */
async function cargoMutants() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = join(process.env.STALE_DRAFTS_TOOLS || join(cache, "stale-drafts"), `cargo-mutants-${VERSION}`);
  const own = join(folder, "bin", `cargo-mutants${exe}`);
  const cargoHome = process.env.CARGO_HOME || join(homedir(), ".cargo");
  for (const path of [own, which(`cargo-mutants${exe}`), join(cargoHome, "bin", `cargo-mutants${exe}`)]) {
    if (!path || !existsSync(path)) continue;
    if ((await capture(path, ["mutants", "--version"])).output.trim() === `cargo-mutants ${VERSION}`) return path;
  }
  step(`Compiling cargo-mutants ${VERSION} (about 3 minutes on two cores, once)`);
  await sh("cargo", ["install", "cargo-mutants", "--version", VERSION, "--locked", "--root", folder], {
    help: "This step downloads. Check the network (and any proxy), then run the same command again.",
  });
  return own;
}

/**
 * Runs one part, and gives how many mutants there were of each outcome. Most mutants are caught by quick tests and the first inputs
 * of a property, so there are two rounds: all mutants with those, and those that it did not catch with all tests and inputs.
 */
async function runPart(command, name) {
  const { files, build, tests, slow } = PARTS[name];
  const output = join(root, "target/mutants", name);
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const args = ["mutants", ...files.flatMap((file) => ["--file", file]), ...build, "--jobs", "2", "--timeout", "90", "--output", output];
  // Said to cargo as a whole, so that no other test is built either.
  args.push(...tests.map((test) => `--cargo-arg=--test=${test}`));
  // A property that fails need not look for the shortest input, and nobody debugs a mutant: it is built in half the time.
  const env = { PROPTEST_MAX_SHRINK_ITERS: "0", CARGO_PROFILE_DEV_DEBUG: "0" };
  const round = async (title, more, environment) => {
    step(`${name}: ${files.join(", ")}, ${title}`);
    const { code } = await capture(command, [...args, ...more], { echo: true, env: { ...env, ...environment } });
    // 2 and 3 say that some were missed or never ended; anything else says that nothing was judged.
    if (![0, 2, 3].includes(code)) throw new Help(`cargo-mutants ended with code ${code}: the tests fail without any change, or it could not begin. See target/mutants/${name}/mutants.out/log.`);
    const lines = (outcome) => {
      const path = join(output, "mutants.out", `${outcome}.txt`);
      return existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean).length : 0;
    };
    return { caught: lines("caught"), unviable: lines("unviable"), missed: lines("missed"), timeout: lines("timeout") };
  };
  const first = await round("quick tests", ["--", "--", ...slow.flatMap((test) => ["--skip", test])], { PROPTEST_CASES: "16" });
  if (first.caught === 0) throw new Help(`No mutant of \`${name}\` was caught: its tests were not run.`);
  if (first.missed === 0) return { name, ...first };
  const second = await round("what is left, all tests", ["--iterate"], {});
  return { name, ...second, caught: first.caught + second.caught, unviable: first.unviable + second.unviable };
}

await run(async () => {
  const asked = process.argv.slice(2);
  const unknown = asked.find((name) => !(name in PARTS));
  if (unknown) throw new Help(`Unknown part \`${unknown}\`: expected ${Object.keys(PARTS).map((name) => `\`${name}\``).join(" or ")}.`);
  const command = await cargoMutants();
  const results = [];
  for (const name of asked.length > 0 ? asked : Object.keys(PARTS)) results.push(await runPart(command, name));
  step("Summary");
  for (const { name, caught, unviable, missed, timeout } of results) {
    note(`${missed ? "✗" : "✓"} ${name}: ${caught + unviable + missed + timeout} mutants; ${caught} caught, ${timeout} never ended, ${unviable} did not compile, ${missed} survived`);
  }
  if (results.some(({ missed }) => missed > 0)) {
    throw new Help("A change to the code went unnoticed: write a test for it. If it makes no difference, say why in .cargo/mutants.toml.");
  }
});
