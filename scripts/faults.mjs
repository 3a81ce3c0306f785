// `npm run faults`: each fault that was found from outside, by its id, with the tests that hold the right answer and their
// results. `npm run faults -- T1 M3` runs only those named. The table is tests/faults.json.
//
// A test that does not run counts as wrong: a renamed one would otherwise pass unnoticed.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { chromium } from "./chromium.mjs";
import { setupExamples } from "./examples.mjs";
import { Help, capture, root, run, sh, step, timed } from "./lib.mjs";
import { checkMachine } from "./setup.mjs";

const FAULTS = JSON.parse(readFileSync(join(root, "tests/faults.json"), "utf8"));

/** What a test runner of Rust prints: `test name ... ok`. */
const RUST = /^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED)/gm;
/** What Node's prints as TAP, subtests included. */
const NODE = /^\s*(not ok|ok) \d+ - (.*?)(?: # .*)?$/gm;

/** The results of some tests of a Cargo target, such as `--test rules`: name → passed. */
async function cargo(target, names) {
  step(`cargo test ${target}: ${names.length} tests`);
  const { output } = await capture("cargo", ["test", "--locked", "--no-fail-fast", ...target.split(" "), "--", "--exact", ...names]);
  return new Map([...output.matchAll(RUST)].map(([, name, result]) => [name, result === "ok"]));
}

/** The same of a file of Node's runner. */
async function node(file, names) {
  step(`node --test ${file}: ${names.length} tests`);
  const patterns = names.map((name) => `--test-name-pattern=^${name.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")}$`);
  const { output } = await capture("node", ["--test", "--test-timeout=180000", "--test-reporter=tap", ...patterns, file], { env: { NODE_OPTIONS: "" } });
  return new Map([...output.matchAll(NODE)].map(([, result, name]) => [name.replaceAll("\\#", "#").replaceAll("\\\\", "\\"), result === "ok"]));
}

/** The tests of the faults, by what runs them: target or file → names. */
function grouped(faults, key) {
  const groups = new Map();
  for (const test of faults.flatMap(({ tests }) => tests)) {
    if (!(key in test)) continue;
    groups.set(test[key], (groups.get(test[key]) ?? new Set()).add(test.name));
  }
  return groups;
}

await run(async () => {
  const asked = process.argv.slice(2);
  const unknown = asked.find((id) => !FAULTS.some((fault) => fault.id === id));
  if (unknown) throw new Help(`Unknown fault \`${unknown}\`: expected one of ${FAULTS.map(({ id }) => id).join(", ")}.`);
  const faults = asked.length > 0 ? FAULTS.filter(({ id }) => asked.includes(id)) : FAULTS;
  await checkMachine();
  const files = grouped(faults, "node");
  if (files.size > 0) {
    await build();
    process.env.CHROMIUM_BIN = await chromium();
    await timed("Building the command and the native answers", () => sh("cargo", ["build", "--locked", "--quiet", "--target-dir", "target", "-p", "mark-stale-drafts", "-p", "stale-drafts", "--bins", "--example", "verdicts"], { quiet: true }));
  }
  if ([...files.keys()].some((file) => file.startsWith("tests/examples/"))) await setupExamples();

  const results = new Map();
  const add = (group, outcomes) => outcomes.forEach((passed, name) => results.set(`${group}\n${name}`, passed));
  for (const [target, names] of grouped(faults, "cargo")) add(target, await cargo(target, [...names]));
  for (const [file, names] of files) add(file, await node(file, [...names]));

  console.log();
  let right = 0;
  for (const { id, input, tests } of faults) {
    const outcomes = tests.map((test) => ({ where: test.node ?? `cargo test ${test.cargo}`, name: test.name, passed: results.get(`${test.node ?? test.cargo}\n${test.name}`) }));
    const ok = tests.length > 0 && outcomes.every(({ passed }) => passed);
    right += ok ? 1 : 0;
    console.log(`${id.padEnd(4)}${ok ? "right" : "WRONG"}  ${input}`);
    for (const { where, name, passed } of outcomes) console.log(`           ${passed ? "✓" : passed === false ? "✗" : "did not run:"} ${where}: ${name}`);
    if (tests.length === 0) console.log("           no test holds it");
  }
  console.log(`\n${right} of ${faults.length} right`);
  if (right < faults.length) process.exitCode = 1;
});
