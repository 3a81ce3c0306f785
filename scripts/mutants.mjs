// `npm run mutants`: changes the code in one place at a time and demands that a test fails. `npm run mutants -- rules` or
// `-- store` runs one part, `-- --file src/store/notes.rs` one file, and `-- --missed` what has survived the last time;
// `-- --check` only says whether the tests that it asks are there and can be built, as `npm test` does. What survives is printed, stands in
// target/mutants/<part>.json with all others, and is a failure; `.cargo/mutants.toml` names the few changes that make no difference,
// and why.
//
// cargo-mutants says what can be changed. Here it is built once and tested in stages, for most mutants are caught by the tests of their
// own file, by quick ones and by the first inputs of a property.

import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Help, capture, note, root, run, sh, step, timed, which } from "./lib.mjs";
import { PARTS, misnamed, sources } from "./mutants/tests.mjs";
import { duration } from "./progress.mjs";

const VERSION = "27.1.0";
const exe = process.platform === "win32" ? ".exe" : "";

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

/** What can be changed in the files of a part: each with its name, its file and its difference. */
async function mutantsOf(command, files) {
  const { code, output } = await capture(command, ["mutants", "--list", "--json", "--diff", "--package", "stale-drafts", ...files.flatMap((file) => ["--file", file])]);
  if (code !== 0) throw new Help(`cargo-mutants can't list what can be changed: ${output}`);
  return JSON.parse(output);
}

/** As many copies of the project as there are cores, in which the tests of a part pass. */
async function trees(part) {
  // Only here, since it needs a package: `--check` runs before any is installed.
  const { Tree } = await import("./mutants/tree.mjs");
  const { build, stages } = PARTS[part];
  const list = Array.from({ length: Math.min(4, availableParallelism()) }, (_, at) => new Tree(`tree-${at + 1}`, build));
  for (const tree of list) {
    tree.update();
    // What the project depends on is compiled once.
    if (tree !== list[0] && !existsSync(join(tree.path, "target"))) cpSync(join(list[0].path, "target"), join(tree.path, "target"), { recursive: true, preserveTimestamps: true });
    // In the others there is the same: that it can be built and run there is enough.
    const asked = tree === list[0] ? stages : stages.slice(0, 1);
    const { outcome, stage, said } = await timed(`${part}: ${tree === list[0] ? "all tests" : "the first tests"} without a change, in ${tree.path}`, () => tree.test(sources(root, part)[0], asked));
    if (outcome !== "missed") throw new Help(`The tests fail without any change${stage ? `, at the ${stage}` : ""}:\n${said.slice(-4_000)}`);
  }
  return list;
}

/** Runs one part, or some files of it, and gives what became of each mutant. */
async function runPart(command, part, files, names) {
  const { stages } = PARTS[part];
  const all = (await mutantsOf(command, files)).filter(({ name }) => !names || names.has(name));
  if (all.length === 0) return { part, results: [] };
  const places = await trees(part);
  step(`${part}: ${all.length} mutants`);
  const begun = performance.now();
  const results = [];
  /** Asks the stages of each mutant, and gives those that none has noticed. */
  const pass = async (mutants, asked, last) => {
    const [waiting, left] = [[...mutants], []];
    let judged = 0;
    await Promise.all(places.map(async (tree) => {
      for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
        const started = performance.now();
        const { outcome, stage } = await tree.judge(mutant, asked);
        if (outcome === "missed" && !last) left.push(mutant);
        else results.push({ name: mutant.name, outcome, stage, seconds: (performance.now() - started) / 1_000 });
        if (outcome === "missed" || outcome === "timeout") note(`${outcome === "timeout" ? "… never ended" : last ? "✗ survived" : "? not by the first tests"}: ${mutant.name}`);
        judged += 1;
        if (judged % 100 === 0) note(`${judged} of ${mutants.length} after ${duration(performance.now() - begun)}`);
      }
    }));
    return left;
  };
  // The last stage takes longer than all others together, so it is asked only when it is known which are left for it.
  const left = await pass(all, stages.slice(0, -1), false);
  if (left.length > 0) note(`${left.length} are left for the ${stages.at(-1).title}`);
  await pass(left, stages.slice(-1), true);
  for (const [title, of] of [...stages.map(({ title }) => [`caught by the ${title}`, ({ outcome, stage }) => outcome === "caught" && stage === title]), ["did not compile", ({ outcome }) => outcome === "unviable"], ["never ended", ({ outcome }) => outcome === "timeout"], ["survived", ({ outcome }) => outcome === "missed"]]) {
    const those = results.filter(of);
    if (those.length > 0) note(`${those.length} ${title}, in ${(those.reduce((sum, { seconds }) => sum + seconds, 0) / those.length).toFixed(1)} s each`);
  }
  note(`${results.length} in ${duration(performance.now() - begun)}, ${places.length} at a time`);
  return { part, results };
}

/** Its tests, as cargo wants them. */
const testsOf = (part) => [...new Set(PARTS[part].stages.flatMap(({ programs }) => programs("").map(({ test }) => test)))].flatMap((test) => ["--test", test]);

const logOf = (part) => join(root, "target/mutants", `${part}.json`);

/** What has survived the last time. */
function missedOf(part) {
  const results = existsSync(logOf(part)) ? JSON.parse(readFileSync(logOf(part), "utf8")) : [];
  return new Set(results.filter(({ outcome }) => outcome === "missed").map(({ name }) => name));
}

function options() {
  const known = Object.keys(PARTS);
  try {
    const { values: { check, file, missed }, positionals } = parseArgs({ options: { check: { type: "boolean" }, file: { type: "string", multiple: true }, missed: { type: "boolean" } }, allowPositionals: true });
    const unknown = positionals.find((name) => !known.includes(name));
    if (unknown) throw new Error(`unknown part \`${unknown}\``);
    const nowhere = file?.find((path) => known.every((part) => !sources(root, part).includes(path)));
    if (nowhere) throw new Error(`no part has the file \`${nowhere}\``);
    const parts = positionals.length > 0 ? positionals : known;
    const filesOf = (part) => sources(root, part).filter((path) => !file || file.includes(path));
    return { check, missed, parts: parts.map((part) => [part, filesOf(part)]).filter(([, files]) => files.length > 0) };
  } catch (error) {
    throw new Help(`${error.message}: expected ${known.map((name) => `\`${name}\``).join(" or ")}, --file such as \`src/store/notes.rs\`, --missed or --check.`);
  }
}

await run(async () => {
  const { check, missed, parts } = options();
  const wrong = misnamed(root);
  if (wrong.length > 0) throw new Help(`scripts/mutants/tests.mjs names modules that tests/store does not have: ${wrong.join(", ")}.`);
  if (check) {
    for (const [part] of parts) await sh("cargo", ["check", "--locked", "--quiet", "--package", "stale-drafts", ...PARTS[part].build, ...testsOf(part)]);
    return;
  }
  const command = await cargoMutants();
  mkdirSync(join(root, "target/mutants"), { recursive: true });
  const summary = [];
  for (const [part, files] of parts) {
    const { results } = await runPart(command, part, files, missed && missedOf(part));
    writeFileSync(logOf(part), JSON.stringify(results, null, 1));
    summary.push([part, results]);
  }
  step("Summary");
  let survived = 0;
  for (const [part, results] of summary) {
    const count = (outcome) => results.filter((result) => result.outcome === outcome).length;
    survived += count("missed");
    note(`${count("missed") ? "✗" : "✓"} ${part}: ${results.length} mutants; ${count("caught")} caught, ${count("timeout")} never ended, ${count("unviable")} did not compile, ${count("missed")} survived`);
  }
  if (survived > 0) throw new Help("A change to the code went unnoticed: write a test for it. If it makes no difference, say why in .cargo/mutants.toml.");
});
