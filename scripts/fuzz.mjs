// `npm run fuzz`: looks for inputs that break a law, by libFuzzer, as many targets at once as there are cores. See docs/fuzzing.md.
//
//   npm run fuzz                              every target for 60 seconds
//   npm run fuzz -- --seconds 600 token keys  these, for 10 minutes each
//   npm run fuzz -- --minimise                takes into the corpus what has been found, as far as it reaches further
//   npm run fuzz -- --replay token FILE       one input

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { basename, delimiter, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Help, capture, note, root, run, sh, step, which } from "./lib.mjs";

const CARGO_FUZZ = "0.13.2";
const OFFLINE = "This step downloads. Check the network (and any proxy), then run the same command again.";
const TARGETS = readdirSync(join(root, "fuzz/fuzz_targets")).map((file) => file.replace(".rs", "")).sort();

/** The corpus that is kept, what is found beside it, and the inputs that broke a law. */
const corpus = (target) => join(root, "fuzz/corpus", target);
const found = (target) => join(root, "target/fuzz-found", target);
const artifacts = (target) => join(root, "fuzz/artifacts", target) + "/";

/** Installs what fuzzing needs beside what the project needs: nothing else is built by a nightly compiler, or with C++. */
async function setup() {
  if (!which("rustup")) throw new Help("Fuzzing needs a nightly compiler, and there is no rustup to install it with: https://rustup.rs.");
  if (!which("c++")) throw new Help("Fuzzing needs a C++ compiler for libFuzzer. Install one (Debian, Ubuntu: g++).");
  if (!/^nightly-/m.test((await capture("rustup", ["toolchain", "list"])).output)) {
    step("Installing a nightly compiler beside yours, for libFuzzer's instrumentation");
    await sh("rustup", ["toolchain", "install", "nightly", "--profile", "minimal"], { help: OFFLINE });
  }
  const folder = join(process.env.STALE_DRAFTS_TOOLS || join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "stale-drafts"), `cargo-fuzz-${CARGO_FUZZ}`);
  process.env.PATH = [join(folder, "bin"), process.env.PATH].join(delimiter);
  if ((await capture("cargo-fuzz", ["--version"])).output.trim() !== `cargo-fuzz ${CARGO_FUZZ}`) {
    step(`Installing cargo-fuzz ${CARGO_FUZZ} into ${folder} (about 1½ minutes on two cores, once)`);
    await sh("cargo", ["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked", "--root", folder], { help: OFFLINE, quiet: true });
  }
}

/** `cargo fuzz` with the flags that all of it shares. There is no unsafe code, so there is nothing for a sanitizer to see. */
const fuzz = (command, ...args) => ["+nightly", "fuzz", command, "--sanitizer", "none", "--features", "libfuzzer", ...args];

/** Inputs that somebody wrote have names, those that were found have a hash. */
const isNamed = (file) => !/^[0-9a-f]{40}$/.test(file);

const inputs = (folder) => (existsSync(folder) ? readdirSync(folder) : []);

async function search(target, seconds) {
  step(`${target}: ${seconds} seconds, from ${inputs(corpus(target)).length} inputs`);
  for (const folder of [found(target), artifacts(target)]) mkdirSync(folder, { recursive: true });
  const limits = [`-max_total_time=${seconds}`, "-max_len=4096", "-timeout=10", "-dict=fuzz/words.dict", "-print_final_stats=1"];
  const { code, output } = await capture("cargo", fuzz("run", target, found(target), corpus(target), "--", ...limits));
  const last = [...output.matchAll(/cov: (\d+) ft: (\d+) corp: (\d+)/g)].at(-1) ?? [];
  const executions = output.match(/stat::number_of_executed_units: (\d+)/)?.[1] ?? "0";
  if (code !== 0) return { target, problem: failure(target, output) };
  return { target, executions, coverage: last[1], features: last[2], corpus: last[3], problem: "" };
}

/** Shows the input that broke a law, the law, and how to run it again. */
function failure(target, output) {
  const path = output.match(/Test unit written to (\S+)/)?.[1];
  if (!path) {
    process.stderr.write(output.split("\n").slice(-40).join("\n"));
    return "it can't be run";
  }
  const input = readFileSync(path);
  const said = output.match(/panicked at [^]*?(?=\nnote: |\nstack backtrace:|\n==)/)?.[0] ?? output.match(/ERROR: libFuzzer: .*/)?.[0] ?? "";
  console.log(`\n✗ ${target}: ${said}\n\n  the input, ${input.length} bytes: ${JSON.stringify(input.toString()).slice(0, 2_000)}`);
  console.log(`  run it again: npm run fuzz -- --replay ${target} ${relative(root, path)}`);
  console.log(`  when it is fixed, keep it: mv ${relative(root, path)} fuzz/corpus/${target}/<what it shows>`);
  return "broke a law";
}

/** So many inputs that were found are kept for each target. */
const KEPT = 30;

/** What each input reaches, by libFuzzer's own record of a merge. */
function reached(record) {
  const [count, , ...lines] = readFileSync(record, "utf8").split("\n");
  const files = lines.slice(0, Number(count)).map((path) => ({ path, reaches: [] }));
  for (const [, file, features] of lines.join("\n").matchAll(/^FT (\d+)(.*)$/gm)) files[file].reaches = features.trim().split(" ");
  return files;
}

/** Keeps what somebody wrote, and of what was found what reaches most beside it, each counted with those before it. */
async function minimise(target) {
  const [kept, merged] = [corpus(target), join(root, "target/fuzz-merged", target)];
  rmSync(merged, { recursive: true, force: true });
  for (const folder of [merged, found(target)]) mkdirSync(folder, { recursive: true });
  const before = inputs(kept).length;
  const record = join(merged, "../record");
  rmSync(record, { force: true });
  const folders = [merged, kept, found(target)];
  await sh("cargo", fuzz("run", target, ...folders, "--", "-merge=1", `-merge_control_file=${record}`, "-use_counters=0", "-max_len=4096"), { quiet: true });
  const files = reached(record);
  const named = files.filter(({ path }) => path.startsWith(kept) && isNamed(basename(path)));
  const known = new Set(named.flatMap(({ reaches }) => reaches));
  const chosen = [];
  while (chosen.length < KEPT) {
    for (const file of files) file.reaches = file.reaches.filter((feature) => !known.has(feature));
    const best = files.reduce((one, other) => (other.reaches.length > one.reaches.length ? other : one));
    if (best.reaches.length === 0) break;
    chosen.push(readFileSync(best.path));
    best.reaches.forEach((feature) => known.add(feature));
  }
  for (const file of inputs(kept).filter((file) => !isNamed(file))) rmSync(join(kept, file));
  for (const input of chosen) writeFileSync(join(kept, createHash("sha1").update(input).digest("hex")), input);
  note(`${target}: ${before} inputs before, ${inputs(kept).length} now, ${named.length} of them with a name`);
}

function options() {
  try {
    const types = { seconds: { type: "string", default: "60" }, minimise: { type: "boolean" }, replay: { type: "boolean" } };
    return parseArgs({ options: types, allowPositionals: true });
  } catch (error) {
    throw new Help(error.message);
  }
}

await run(async () => {
  const { values, positionals } = options();
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Help(`\`--seconds\` is \`${values.seconds}\`: expected a whole number above 0.`);
  const names = values.replay ? positionals.slice(0, 1) : positionals;
  const unknown = names.find((name) => !TARGETS.includes(name));
  if (unknown) throw new Help(`Unknown target \`${unknown}\`: expected ${TARGETS.map((name) => `\`${name}\``).join(", ")}.`);
  if (values.replay && positionals.length !== 2) throw new Help("Expected a target and a file: npm run fuzz -- --replay token FILE.");
  await setup();
  const chosen = names.length > 0 ? names : TARGETS;
  step("Building the targets (the first time about 1½ minutes on two cores)");
  await sh("cargo", fuzz("build"), { quiet: true });
  if (values.replay) {
    await sh("cargo", fuzz("run", names[0], resolve(root, positionals[1])));
    return;
  }
  if (values.minimise) {
    step("Minimising");
    for (const target of chosen) await minimise(target);
    return;
  }
  // Each target uses one core.
  const queue = [...chosen.entries()];
  const results = [];
  const oneByOne = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) results[next[0]] = await search(next[1], seconds);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, oneByOne));
  console.log("\nTarget      executions  coverage  features  corpus");
  for (const { target, executions = "", coverage = "", features = "", corpus = "", problem } of results) {
    console.log(`${target.padEnd(10)} ${executions.padStart(11)} ${coverage.padStart(9)} ${features.padStart(9)} ${corpus.padStart(7)}  ${problem}`.trimEnd());
  }
  if (results.some(({ problem }) => problem)) process.exitCode = 1;
  else console.log("\nTake what was found into the corpus: npm run fuzz -- --minimise");
});
