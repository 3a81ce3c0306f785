// `npm test`: builds, runs every suite and ends with one summary. A suite that can't run, or runs no test, is a failure.
// `npm test -- worker page` runs only those named. `npm run check` is the fast share: it needs no tool, no package and no browser.
//
// One crate is built once for each way in which it is used: for this machine (the suites `lint` and `native`, the command and the
// package's native answers share `target/`), for the Worker, for the browser, and for the tests of the rules as WebAssembly.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { chromium } from "./chromium.mjs";
import { setupExamples, setupRedis } from "./examples.mjs";
import { Help, capture, root, run, sh, step, timed } from "./lib.mjs";
import { duration } from "./progress.mjs";
import { setupPython } from "./python.mjs";
import { checkMachine, setup, tool } from "./setup.mjs";

const WASM = "wasm32-unknown-unknown";
const FUZZ = "fuzz/Cargo.toml";
// Bundlers and runtimes, installed from the registry: suites of their own, for each takes as long as the rest of the package's.
const CONSUMERS = "consumers.test.mjs";
const FRAMEWORKS = "frameworks.test.mjs";

/** Clippy on the library as WebAssembly, with one of its two features. */
const wasmLint = (feature) => ["cargo", ["clippy", "--locked", "--quiet", "--target", WASM, "-p", "stale-drafts", "--no-default-features", "--features", feature, "--target-dir", `target/${feature}-lint`, "--", "-D", "warnings"]];

/** The Python package, and each Python of this machine with it installed: its version and its path. */
const PACKAGE = join(root, "python");
let environments = [];

/** Each suite: what it needs first, and its commands. */
const SUITES = {
  lint: {
    commands: () => [
      ["cargo", ["fmt", "--check"]],
      ["cargo", ["clippy", "--locked", "--quiet", "--all-targets", "--", "-D", "warnings"]],
      wasmLint("worker"),
      wasmLint("browser"),
      // The tests that the mutants meet are named there: renamed ones would be noticed by nobody before the next long proof.
      ["node", ["scripts/mutants.mjs", "--check"]],
    ],
  },
  native: {
    commands: () => [["cargo", ["test", "--locked"]]],
  },
  fuzz: {
    commands: () => [
      ["cargo", ["fmt", "--check", "--manifest-path", FUZZ]],
      ["cargo", ["clippy", "--locked", "--quiet", "--manifest-path", FUZZ, "--all-targets", "--target-dir", "target/fuzz", "--", "-D", "warnings"]],
      ["cargo", ["test", "--locked", "--manifest-path", FUZZ, "--test", "corpus", "--target-dir", "target/fuzz"]],
    ],
  },
  wasm: {
    before: setup,
    commands: () => [
      ["cargo", ["test", "--locked", "-p", "stale-drafts", "--no-default-features", "--target", WASM, "--test", "rules", "--target-dir", "target/wasm-test"], {
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: tool("wasm-bindgen-test-runner"),
      }],
    ],
  },
  worker: {
    before: async () => {
      await build();
      await native("Building mark-stale-drafts", "-p", "mark-stale-drafts");
    },
    commands: () => [node("tests/worker")],
  },
  cli: {
    before: async () => {
      await build();
      await native("Building mark-stale-drafts", "-p", "mark-stale-drafts");
    },
    commands: () => [node("tests/cli")],
  },
  package: {
    before: async () => {
      await build();
      await native("Building the native answers", "-p", "stale-drafts", "--example", "verdicts");
      process.env.CHROMIUM_BIN = await chromium();
    },
    commands: () => [node("tests/package", (name) => !name.endsWith(CONSUMERS) && name !== FRAMEWORKS)],
  },
  consumers: {
    before: async () => {
      await build();
      process.env.CHROMIUM_BIN = await chromium();
    },
    commands: () => [node("tests/package", (name) => name.endsWith(CONSUMERS))],
  },
  // Those of a framework's pages are in `npm run proof`.
  frameworks: { before: build, commands: () => [node("tests/package", (name) => name === FRAMEWORKS)] },
  init: { before: build, commands: () => [node("tests/init")] },
  import: {
    before: async () => {
      await build();
      await native("Building mark-stale-drafts", "-p", "mark-stale-drafts");
    },
    commands: () => [node("tests/import")],
  },
  attach: { before: build, commands: () => [node("tests/attach")] },
  page: {
    before: async () => {
      await build();
      process.env.CHROMIUM_BIN = await chromium();
    },
    commands: () => [node("tests/page")],
  },
  examples: {
    before: async () => {
      await build();
      await native("Building mark-stale-drafts", "-p", "mark-stale-drafts");
      await setupExamples();
    },
    commands: () => [node("tests/examples")],
  },
  moving: {
    before: async () => {
      await build();
      await native("Building mark-stale-drafts", "-p", "mark-stale-drafts");
      await setupExamples();
    },
    commands: () => [node("tests/moving")],
  },
  python: {
    before: async () => {
      await build();
      await setupRedis();
      environments = await setupPython();
    },
    // The types are the same for every Python.
    commands: () => [
      ...environments.slice(0, 1).map(([, python]) => [python, ["-m", "mypy"], {}, PACKAGE]),
      ...environments.map(([, python]) => [python, ["-m", "pytest", "-q"], { NODE_OPTIONS: "" }, PACKAGE]),
    ],
  },
};

/** `npm run check`. */
const FAST = ["lint", "native"];

const native = (text, ...args) => timed(text, () => sh("cargo", ["build", "--locked", "--quiet", "--target-dir", "target", ...args], { quiet: true }));

function node(folder, wanted = () => true) {
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith(".test.mjs") && wanted(name)).map((name) => join(folder, name));
  return ["node", ["--test", "--test-timeout=120000", "--test-reporter=spec", ...files], { NODE_OPTIONS: "" }];
}

/** What test runners say at their end, added up: cargo's `test result:` lines, Node's `pass` and the like, and pytest's last line. */
function count(output) {
  const sum = (pattern) => [...output.matchAll(pattern)].reduce((total, [, number]) => total + Number(number), 0);
  // Such as `1 failed, 60 passed in 3.21s (0:00:03)`, and `2 errors in 0.10s`.
  const pytest = (word) => sum(new RegExp(`^(?=\\d+ \\w+.* in [\\d.]+s\\b).*?\\b(\\d+) (?:${word})\\b`, "gm"));
  return {
    passed: sum(/^test result: .*?(\d+) passed/gm) + sum(/^ℹ pass (\d+)/gm) + pytest("passed"),
    failed: sum(/^test result: .*?(\d+) failed/gm) + sum(/^ℹ (?:fail|cancelled) (\d+)/gm) + pytest("failed") + pytest("errors?"),
    skipped: sum(/^test result: .*?(\d+) ignored/gm) + sum(/^ℹ (?:skipped|todo) (\d+)/gm) + pytest("skipped|xfailed|xpassed|deselected"),
  };
}

/** What only passes or fails, and counts as one test. */
const isLint = (args) => ["fmt", "clippy"].includes(args[0]) || args[1] === "mypy" || args[1] === "--check";

/** Runs one command of a suite; gives its counts, and what is wrong if they do not say it. */
async function runCommand(suite, [command, args, env, cwd = root]) {
  step(`${suite}: ${command.replace(`${root}/`, "")} ${args.join(" ")}`);
  const { code, output } = await capture(command, args, { env, cwd, echo: true });
  const counts = isLint(args) ? { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 } : count(output);
  if (code !== 0 && counts.failed === 0) return { ...counts, problem: `\`${command} ${args[0]}\` ended with code ${code}` };
  if (code === 0 && counts.passed === 0) return { ...counts, problem: `\`${command} ${args[0]}\` ran no test` };
  if (counts.skipped > 0) return { ...counts, problem: `${counts.skipped} skipped` };
  return counts;
}

async function runSuite(name) {
  const { before, commands } = SUITES[name];
  const begun = performance.now();
  const results = [];
  try {
    await before?.();
    for (const command of commands()) results.push(await runCommand(name, command));
  } catch (error) {
    if (!(error instanceof Help)) throw error;
    results.push({ passed: 0, failed: 0, problem: error.message });
  }
  const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
  const problems = results.map(({ problem }) => problem).filter(Boolean);
  return { name, passed: total("passed"), failed: total("failed") + problems.length, problem: problems[0] ?? "", took: duration(performance.now() - begun) };
}

await run(async () => {
  const asked = process.argv.slice(2).flatMap((name) => (name === "--fast" ? FAST : name));
  const unknown = asked.find((name) => !(name in SUITES));
  if (unknown) throw new Help(`Unknown suite \`${unknown}\`: expected ${Object.keys(SUITES).map((name) => `\`${name}\``).join(", ")}.`);
  await checkMachine();
  const results = [];
  for (const name of asked.length > 0 ? asked : Object.keys(SUITES)) results.push(await runSuite(name));
  console.log("\nSuite      passed  failed           took");
  for (const { name, passed, failed, problem, took } of results) {
    console.log(`${name.padEnd(10)} ${String(passed).padStart(6)}  ${String(failed).padStart(6)}  ${took.padStart(13)}  ${problem}`.trimEnd());
  }
  const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
  console.log(`\n${total("passed")} passed, ${total("failed")} failed`);
  if (total("failed") > 0) process.exitCode = 1;
});
