// Builds the npm package into pkg/dist and www/stale-drafts, and the Worker into build/ and from there into pkg/dist/worker, if
// anything that they are made of has changed.

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { buildPackage } from "./build-package.mjs";
import { bin, newest, note, root, run, sh, timed } from "./lib.mjs";
import { duration } from "./progress.mjs";
import { checkMachine, setup, tool } from "./setup.mjs";

/** Installs what is missing, and builds. What is compiled is compiled side by side, so that the first time both cores are busy. */
export async function build() {
  await checkMachine();
  await Promise.all([buildPages(), buildWorker()]);
  await buildEmbedded();
}

/** The package, and its copy beside the pages that load it. */
async function buildPages() {
  await setup();
  const begun = performance.now();
  await buildPackage();
  const took = performance.now() - begun;
  if (took > 1_000) note(`✓ Building the npm package: ${duration(took)}`);
  const [from, to] = [join(root, "pkg/dist"), join(root, "www/stale-drafts")];
  // The package's last file, and not what the Worker puts beside it later.
  if (existsSync(to) && newest(to) >= newest(join(from, "draft.wasm"))) return;
  rmSync(to, { recursive: true, force: true });
  for (const file of reached(["client", "element", "index", "texts"].map((entry) => join(from, `esm/${entry}.js`)))) cpSync(file, join(to, relative(from, file)));
}

/** What pages load with these modules: WebAssembly, and the JavaScript that it falls back to. */
function reached(files, all = new Set()) {
  for (const file of files.filter((file) => !all.has(file))) {
    all.add(file);
    const imports = readFileSync(file, "utf8").matchAll(/(?<=["'])\.\.?\/[\w./-]+\.js(?=["'])/g);
    reached([...imports].map(([path]) => join(file, "..", path)), all);
  }
  return all;
}

const FEATURES = ["--no-default-features", "--features", "worker"];
const ENV = {
  CARGO_TARGET_DIR: join(root, "target/worker"),
  // SHA-256 as a loop instead of unrolled: it hashes a token per request.
  RUSTFLAGS: '--cfg sha2_backend_soft="compact"',
  // As worker-build sets it for cargo.
  WASM_BINDGEN_USE_JS_SYS: "1",
};

async function buildWorker() {
  const folder = "build";
  // Written last: a build that was interrupted is none.
  const stamp = join(root, folder, ".built");
  if (existsSync(stamp) && newest(stamp) > newest("src", "Cargo.toml", "Cargo.lock", "package-lock.json", "scripts/build.mjs")) return setup();
  rmSync(stamp, { force: true });
  // worker-build would compile it as well, but not before it is compiled itself.
  const compile = () => sh("cargo", ["build", "--locked", "--release", "--lib", "--target", "wasm32-unknown-unknown", ...FEATURES], { quiet: true, env: ENV });
  await Promise.all([setup(), timed("Compiling the Worker", compile)]);
  const pack = () => sh(tool("worker-build"), ["--out-dir", folder, "--release", ...FEATURES], {
    quiet: true,
    env: { ...ENV, WASM_BINDGEN_BIN: tool("wasm-bindgen"), ESBUILD_BIN: bin("esbuild"), WASM_OPT_BIN: bin("wasm-opt") },
  });
  // worker-build keeps the names of all functions for stack traces: a sixth of the download, and nothing reads them.
  // The stack stands below the data, so no object has an address in the first kilobyte. A second round takes 300 bytes more.
  const wasm = join(root, folder, "index_bg.wasm");
  const strip = () => sh(bin("wasm-opt"), ["--strip-debug", "--enable-exception-handling", "--low-memory-unused", "-Oz", "-Oz", wasm, "-o", wasm], { quiet: true });
  await timed("Packing the Worker", async () => {
    await pack();
    await strip();
  });
  const files = ["index.js", "index_bg.wasm"].map((file) => readFileSync(join(root, folder, file)));
  const size = files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).length, 0);
  writeFileSync(stamp, "");
  note(`${folder}/ is ready: ${size.toLocaleString("en")} bytes, gzip`);
}

/** What the package's Worker is built of in each place where it runs: files, and what each stands in for. */
const PLATFORMS = {
  index: { "#platform": "workers", external: ["cloudflare:workers", "./index_bg.wasm"] },
  // Node has no event `error` of its own.
  node: { "#platform": "node", "cloudflare:workers": "node", "./index_bg.wasm": "node-wasm", banner: "const addEventListener = () => {};" },
};

/** What the command refers to. */
const MANUALS = ["adopt", "attach", "frameworks"];

/** The Worker as the package has it: with the files of its pages in it, and what an app calls. */
export async function buildEmbedded() {
  const out = join(root, "pkg/dist/worker");
  const made = Object.keys(PLATFORMS).map((name) => join(out, `${name}.js`));
  if (made.every((file) => existsSync(file) && newest(file) > newest("build", "pkg/src/error.js", "pkg/src/texts.js", "pkg/texts", "pkg/src/worker", "www", "migrations", "docs", "scripts/build.mjs"))) return;
  const { build, transform } = await import("esbuild");
  const contents = JSON.stringify(await assets(transform));
  mkdirSync(out, { recursive: true });
  for (const [name, { external = [], banner = "", ...files }] of Object.entries(PLATFORMS)) {
    await build({
      entryPoints: [join(root, "pkg/src/worker/index.js")],
      outfile: join(out, `${name}.js`),
      bundle: true,
      format: "esm",
      target: "es2022",
      external,
      banner: { js: banner },
      legalComments: "none",
      plugins: [{
        name: "worker",
        setup(build) {
          build.onResolve({ filter: /^#core$/ }, () => ({ path: join(root, "build/index.js") }));
          build.onResolve({ filter: /^#assets$/ }, () => ({ path: "assets", namespace: "assets" }));
          build.onLoad({ filter: /.*/, namespace: "assets" }, () => ({ contents, loader: "json" }));
          build.onResolve({ filter: /./ }, ({ path }) => (Object.hasOwn(files, path) ? { path: join(root, `pkg/src/worker/platform/${files[path]}.js`) } : undefined));
        },
      }],
    });
  }
  cpSync(join(root, "build/index_bg.wasm"), join(out, "index_bg.wasm"));
  rmSync(join(root, "pkg/migrations"), { recursive: true, force: true });
  cpSync(join(root, "migrations"), join(root, "pkg/migrations"), { recursive: true });
  for (const name of MANUALS) cpSync(join(root, "docs", `${name}.md`), join(root, "pkg/docs", `${name}.md`));
}

/** The files of the Worker's own pages by their paths, each with its tag. */
async function assets(transform) {
  const www = join(root, "www");
  const files = readdirSync(www, { recursive: true }).filter((file) => /\.(css|js)$/.test(file) && !file.startsWith("playground")).sort();
  const minified = files.map(async (file) => {
    const { code } = await transform(readFileSync(join(www, file), "utf8"), { minify: true, loader: file.split(".").at(-1) });
    const tag = createHash("sha256").update(code).digest("hex").slice(0, 16);
    return [`/${file.replaceAll("\\", "/")}`, [`"${tag}"`, code]];
  });
  return Object.fromEntries(await Promise.all(minified));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await run(build);
