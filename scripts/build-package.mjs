// Builds the npm package: the rules as WebAssembly, reduced to what is exported, in six flavours.
//
// | folder | the rules are | for |
// |---|---|---|
// | dist/esm | inlined, compiled synchronously; dist/js where there is no WebAssembly, by a top-level `await` | browsers, Node |
// | dist/bundle | inlined, compiled synchronously | bundlers, some of which know no top-level `await` |
// | dist/cjs | inlined, compiled synchronously; dist/js-cjs where there is no WebAssembly | `require`, old bundlers |
// | dist/workerd | a .wasm module that is imported | Workers, which forbid compiling bytes |
// | dist/js, dist/js-cjs | JavaScript, by wasm2js | pages with a strict CSP, edge runtimes |

import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildCli } from "./build-cli.mjs";
import { textTypes } from "./build-texts.mjs";
import { apiTypes } from "./build-types.mjs";
import { bin, newest, note, root, run, sh, step } from "./lib.mjs";
import { setup, tool } from "./setup.mjs";

const TARGET = "wasm32-unknown-unknown";
const work = join(root, "target/package");
const dist = join(root, "pkg/dist");

/**
 * The modules, each a feature `browser-<name>` and `src/browser/<name>.rs`: what a draft is, and what a policy object says; and the
 * level at which Rust optimises each. Optimised for speed, the first is also the smaller: it becomes one function without a stack.
 */
const LEVELS = { draft: "3", policy: "s" };
const MODULES = Object.keys(LEVELS);

const ENTRIES = ["index", "element", "react", "client", "shards", "texts"];
/** The languages that ship, each a module, for Node imports JSON only if it is told to. */
const LANGUAGES = ["de", "ja"];

/** What Rust's own target needs. With more, `wasm-opt` would use it, and a browser of 2023 could not load the modules: tail calls. */
const FEATURES = ["bulk-memory", "bulk-memory-opt", "multivalue", "mutable-globals", "nontrapping-float-to-int", "reference-types", "sign-ext"].map((name) => `--enable-${name}`);

/** A module as wasm-bindgen gives it, without what only its glue would need. */
async function wasm(name) {
  const target = join("target", `browser-${name}`);
  await sh("cargo", ["build", "--locked", "--quiet", "--profile", "browser", "-p", "stale-drafts", "--no-default-features", "--features", `browser-${name}`, "--lib", "--target", TARGET, "--target-dir", target], {
    env: { RUSTFLAGS: "-Clink-arg=-zstack-size=4096", CARGO_PROFILE_BROWSER_OPT_LEVEL: LEVELS[name] },
    quiet: true,
  });
  await sh(tool("wasm-bindgen"), ["--target", "web", "--no-typescript", "--out-dir", work, "--out-name", name, join(root, target, TARGET, "browser/stale_drafts.wasm")], { quiet: true });
  const made = join(work, `${name}_bg.wasm`);
  const graph = join(work, `${name}.json`);
  const exports = WebAssembly.Module.exports(new WebAssembly.Module(readFileSync(made))).map(({ name }) => name).filter((name) => !name.startsWith("__"));
  writeFileSync(graph, JSON.stringify([{ name: "outside", root: true, reaches: exports }, ...exports.map((name) => ({ name, export: name }))]));
  await sh(bin("wasm-metadce"), [made, ...FEATURES, "--graph-file", graph, "-o", join(work, `${name}-all.wasm`)], { quiet: true });
  await sh(bin("wasm-opt"), [join(work, `${name}-all.wasm`), ...FEATURES, "--flatten", "--rereloop", "-Oz", "-Oz", "--converge", "--strip-debug", "--strip-producers", "--strip-target-features", "-o", join(work, `${name}.wasm`)], { quiet: true });
  // wasm2js knows the first version of WebAssembly only.
  await sh(bin("wasm-opt"), [join(work, `${name}.wasm`), ...FEATURES, "--llvm-memory-copy-fill-lowering", "--llvm-nontrapping-fptoint-lowering", "--signext-lowering", "-Oz", "-o", join(work, `${name}-mvp.wasm`)], { quiet: true });
  await sh(bin("wasm2js"), [join(work, `${name}-mvp.wasm`), "-Oz", "-o", join(work, `${name}.wasm2js.mjs`)], { quiet: true });
}

/** Where the rules are in the JavaScript build: what another flavour falls back to. */
const fallback = (name, folder, extension) => `../${folder}/${name}.${extension}`;

/** The modules `#draft` and `#policy` in a flavour, and the language that its files are written in: old bundlers read ES2018. */
const FLAVOURS = {
  esm: { target: "es2022", rules: (name) => inline(name, "() => undefined", ` ?? (await import("${fallback(name, "js", "js")}")).${name}`) },
  bundle: { target: "es2020", rules: (name) => inline(name, "absent") },
  cjs: { target: "es2018", rules: (name) => inline(name, `() => require("${fallback(name, "js-cjs", "cjs")}").${name}`) },
  workerd: { target: "es2022", rules: (name) => `import module from "./${name}.wasm";\nexport const ${name} = /* @__PURE__ */ new WebAssembly.Instance(module).exports;` },
  js: { target: "es2020", rules: javascript, entries: MODULES },
  "js-cjs": { target: "es2018", rules: javascript, entries: MODULES },
};

function javascript(name) {
  return `export * as ${name} from ${JSON.stringify(join(work, `${name}.wasm2js.mjs`))};`;
}

/** Bytes as text: see pkg/src/load.js, which reads it. */
function textOf(bytes) {
  const BANK = 87;
  return [...bytes].map((byte) => ["", "%", "&"][Math.floor(byte / BANK)] + String.fromCharCode(40 + (byte % BANK))).join("");
}

function inline(name, otherwise, then = "") {
  const text = textOf(readFileSync(join(work, `${name}.wasm`)));
  return `import { absent, load } from ${JSON.stringify(join(root, "pkg/src/load.js"))};\nexport const ${name} = /* @__PURE__ */ load(${JSON.stringify(text)}, ${otherwise})${then};`;
}

async function bundle(flavour) {
  const { build } = await import("esbuild");
  const { target, rules, entries = [] } = FLAVOURS[flavour];
  const cjs = flavour.endsWith("cjs");
  await build({
    entryPoints: [
      ...ENTRIES.map((name) => ({ in: join(root, `pkg/src/${name}.js`), out: name })),
      ...entries.map((name) => ({ in: `#${name}`, out: name })),
    ],
    outdir: join(dist, flavour),
    outExtension: cjs ? { ".js": ".cjs" } : {},
    bundle: true,
    splitting: !cjs,
    format: cjs ? "cjs" : "esm",
    target,
    chunkNames: "shared-[hash]",
    external: ["react", ...MODULES.flatMap((name) => [`./${name}.wasm`, fallback(name, "js", "js"), fallback(name, "js-cjs", "cjs")])],
    legalComments: "none",
    plugins: [{
      name: "rules",
      setup(build) {
        build.onResolve({ filter: /^#(draft|policy)$/ }, ({ path }) => ({ path: path.slice(1), namespace: "rules", sideEffects: false }));
        build.onLoad({ filter: /.*/, namespace: "rules" }, ({ path }) => ({ contents: rules(path), resolveDir: root }));
      },
    }],
  });
  if (flavour === "workerd") for (const name of MODULES) copyFileSync(join(work, `${name}.wasm`), join(dist, flavour, `${name}.wasm`));
}

export async function buildPackage() {
  const made = join(dist, "draft.wasm");
  if (existsSync(made) && newest(made) > newest("src/rules", "src/browser", "pkg/src", "pkg/texts", "pkg/types", "www/openapi.json", "Cargo.toml", "Cargo.lock", "package-lock.json", "scripts/build-package.mjs", "scripts/build-texts.mjs", "scripts/build-types.mjs")) return buildCli();
  step("Building the npm package");
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  mkdirSync(dist, { recursive: true });
  for (const name of MODULES) await wasm(name);
  for (const flavour of Object.keys(FLAVOURS)) await bundle(flavour);
  const types = readdirSync(join(root, "pkg/types")).map((name) => [name, readFileSync(join(root, "pkg/types", name), "utf8")]).map(([name, text]) => [name, name === "texts.d.ts" ? textTypes(text) : text]);
  for (const [name, text] of [...types, ["api.d.ts", await apiTypes()]]) {
    writeFileSync(join(dist, name), text);
    // The same types for `require`, whose relative imports name the same kind of file.
    writeFileSync(join(dist, name.replace(".d.ts", ".d.cts")), text.replaceAll('.js"', '.cjs"'));
  }
  mkdirSync(join(dist, "texts"));
  for (const name of LANGUAGES) {
    const catalogue = readFileSync(join(root, `pkg/texts/${name}.json`), "utf8").trimEnd();
    const type = (extension) => `import type { Catalogue } from "../texts.${extension}";\n\ndeclare const catalogue: Catalogue;\n`;
    const files = { js: `export default ${catalogue};`, cjs: `module.exports = ${catalogue};`, "d.ts": `${type("js")}export default catalogue;`, "d.cts": `${type("cjs")}export = catalogue;` };
    for (const [extension, text] of Object.entries(files)) writeFileSync(join(dist, "texts", `${name}.${extension}`), `${text}\n`);
  }
  copyFileSync(join(work, "draft.wasm"), made);
  await buildCli();
  note(`pkg/dist is ready: draft.wasm has ${readFileSync(made).length} bytes`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await run(async () => {
    await setup();
    await buildPackage();
  });
}
