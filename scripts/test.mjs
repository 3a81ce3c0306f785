// `npm test`: sets up, builds, runs every suite and ends with one summary. A suite that can't run, or runs no test,
// is a failure. `npm test -- worker page` runs only those named.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { buildPackage } from "./build-package.mjs";
import { build } from "./build.mjs";
import { chromium } from "./chromium.mjs";
import { setupExamples } from "./examples.mjs";
import { Help, capture, root, run, sh, step } from "./lib.mjs";
import { setup, tool } from "./setup.mjs";

const WASM = "wasm32-unknown-unknown";
const FUZZ = "fuzz/Cargo.toml";

/** Each suite: what it needs first, and its commands. */
const SUITES = {
  lint: {
    commands: () => [
      ["cargo", ["fmt", "--check"]],
      ["cargo", ["fmt", "--check", "--manifest-path", FUZZ]],
      ["cargo", ["clippy", "--locked", "--quiet", "--all-targets", "--", "-D", "warnings"]],
      ["cargo", ["clippy", "--locked", "--quiet", "--target", WASM, "-p", "stale-drafts", "--no-default-features", "--features", "browser", "--target-dir", "target/browser-lint", "--", "-D", "warnings"]],
      ["cargo", ["clippy", "--locked", "--quiet", "--target", WASM, "-p", "stale-drafts", "--no-default-features", "--features", "worker", "--target-dir", "target/worker-lint", "--", "-D", "warnings"]],
      ["cargo", ["clippy", "--locked", "--quiet", "--manifest-path", FUZZ, "--all-targets", "--target-dir", "target/fuzz", "--", "-D", "warnings"]],
    ],
  },
  native: {
    commands: () => [
      ["cargo", ["test", "--locked"]],
      ["cargo", ["test", "--locked", "--manifest-path", FUZZ, "--test", "corpus", "--target-dir", "target/fuzz"]],
    ],
  },
  wasm: {
    commands: () => [
      ["cargo", ["test", "--locked", "-p", "stale-drafts", "--no-default-features", "--target", WASM, "--test", "rules", "--target-dir", "target/wasm-test"], {
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: tool("wasm-bindgen-test-runner"),
      }],
    ],
  },
  worker: { before: build, commands: () => [node("tests/worker")] },
  cli: {
    before: async () => {
      await build();
      step("Building mark-stale-drafts");
      await sh("cargo", ["build", "--locked", "--quiet", "--target-dir", "target", "-p", "mark-stale-drafts"], { quiet: true });
    },
    commands: () => [node("tests/cli")],
  },
  package: {
    before: async () => {
      await buildPackage();
      step("Building the native answers");
      await sh("cargo", ["build", "--locked", "--quiet", "--target-dir", "target", "-p", "stale-drafts", "--example", "verdicts"], { quiet: true });
      process.env.CHROMIUM_BIN = await chromium();
    },
    commands: () => [node("tests/package")],
  },
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
      await setupExamples();
    },
    commands: () => [node("tests/examples")],
  },
};

function node(folder) {
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith(".test.mjs")).map((name) => join(folder, name));
  return ["node", ["--test", "--test-timeout=120000", "--test-reporter=spec", ...files], { NODE_OPTIONS: "" }];
}

/** Adds up what test runners say at their end: cargo's `test result:` lines, and Node's `pass` and `fail`. */
function count(output) {
  const sum = (pattern) => [...output.matchAll(pattern)].reduce((total, [, number]) => total + Number(number), 0);
  return {
    passed: sum(/^test result: .*?(\d+) passed/gm) + sum(/^ℹ pass (\d+)/gm),
    failed: sum(/^test result: .*?(\d+) failed/gm) + sum(/^ℹ (?:fail|cancelled) (\d+)/gm),
    skipped: sum(/^test result: .*?(\d+) ignored/gm) + sum(/^ℹ (?:skipped|todo) (\d+)/gm),
  };
}

async function runSuite(name) {
  const { before, commands } = SUITES[name];
  const result = { name, passed: 0, failed: 0, skipped: 0, problem: "" };
  try {
    await before?.();
    for (const [command, args, env] of commands()) {
      step(`${name}: ${command} ${args.join(" ")}`);
      const { code, output } = await capture(command, args, { env, echo: true });
      const counts = name === "lint" ? { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 } : count(output);
      for (const key of ["passed", "failed", "skipped"]) result[key] += counts[key];
      if (code !== 0 && counts.failed === 0) result.problem ||= `\`${command}\` ended with code ${code}`;
      if (code === 0 && counts.passed === 0) result.problem ||= `\`${command}\` ran no test`;
    }
  } catch (error) {
    if (!(error instanceof Help)) throw error;
    result.problem = error.message;
  }
  if (result.skipped > 0) result.problem ||= `${result.skipped} skipped`;
  if (result.problem) result.failed += 1;
  return result;
}

await run(async () => {
  const asked = process.argv.slice(2);
  const unknown = asked.find((name) => !(name in SUITES));
  if (unknown) throw new Help(`Unknown suite \`${unknown}\`: expected ${Object.keys(SUITES).map((name) => `\`${name}\``).join(", ")}.`);
  await setup();
  const results = [];
  for (const name of asked.length > 0 ? asked : Object.keys(SUITES)) results.push(await runSuite(name));
  console.log("\nSuite      passed  failed");
  for (const { name, passed, failed, problem } of results) {
    console.log(`${name.padEnd(10)} ${String(passed).padStart(6)}  ${String(failed).padStart(6)}  ${problem}`);
  }
  const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
  console.log(`\n${total("passed")} passed, ${total("failed")} failed`);
  if (total("failed") > 0) process.exitCode = 1;
});
