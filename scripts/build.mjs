// Builds the npm package into pkg/dist and www/stale-drafts, and the Worker into build/, if anything that it is made of has changed.

import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { buildPackage } from "./build-package.mjs";
import { bin, newest, note, root, run, sh, step } from "./lib.mjs";
import { setup, tool } from "./setup.mjs";

/** The package as the pages load it, beside their own files. */
function copyPackage() {
  const [from, to] = [join(root, "pkg/dist/esm"), join(root, "www/stale-drafts")];
  if (existsSync(to) && newest(to) >= newest(from)) return;
  rmSync(to, { recursive: true, force: true });
  // Without the entry for React, which no page here uses.
  cpSync(from, to, { recursive: true, filter: (file) => !file.endsWith("react.js") });
}

export async function build() {
  await buildPackage();
  copyPackage();
  await buildWorker();
}

async function buildWorker() {
  const folder = "build";
  // Written last: a build that was interrupted is none.
  const stamp = join(root, folder, ".built");
  if (existsSync(stamp) && newest(stamp) > newest("src", "Cargo.toml", "Cargo.lock", "package-lock.json", "scripts/build.mjs")) return;
  rmSync(stamp, { force: true });
  step("Building the Worker (the first time about 1½ minutes on two cores)");
  await sh(tool("worker-build"), ["--out-dir", folder, "--release", "--no-default-features", "--features", "worker"], {
    quiet: true,
    env: {
      CARGO_TARGET_DIR: join(root, "target/worker"),
      // SHA-256 as a loop instead of unrolled: it hashes a token per request.
      RUSTFLAGS: '--cfg sha2_backend_soft="compact"',
      WASM_BINDGEN_BIN: tool("wasm-bindgen"),
      ESBUILD_BIN: bin("esbuild"),
      WASM_OPT_BIN: bin("wasm-opt"),
    },
  });
  // worker-build keeps the names of all functions for stack traces: a sixth of the download, and nothing reads them.
  // The stack stands below the data, so no object has an address in the first kilobyte.
  const wasm = join(root, folder, "index_bg.wasm");
  await sh(bin("wasm-opt"), ["--strip-debug", "--enable-exception-handling", "--low-memory-unused", "-Oz", wasm, "-o", wasm], { quiet: true });
  const files = ["index.js", "index_bg.wasm"].map((file) => readFileSync(join(root, folder, file)));
  const size = files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).length, 0);
  writeFileSync(stamp, "");
  note(`${folder}/ is ready: ${size.toLocaleString("en")} bytes, gzip`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await run(async () => {
    await setup();
    await build();
  });
}
