// The bytes that the npm package adds to a page, as a bundler makes them.

import { build } from "esbuild";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { root } from "./lib.mjs";

/** What each figure imports. */
export const IMPORTS = {
  check: `export { check } from "stale-drafts";`,
  "check and policy": `export { check, policy } from "stale-drafts";`,
  "everything but policy": `export { check, checkAll, deadline, nextChange, serverClock, watch } from "stale-drafts";`,
  everything: `export * from "stale-drafts";`,
  element: `import "stale-drafts/element";`,
};

/** The same source, bundled, minified and compressed: bytes. `resolveDir` is where its packages are. */
export async function size(contents, resolveDir = root, alias = { "stale-drafts": join(root, "pkg/dist/bundle/index.js"), "stale-drafts/element": join(root, "pkg/dist/bundle/element.js") }) {
  const { outputFiles } = await build({ stdin: { contents, resolveDir }, alias, bundle: true, minify: true, format: "esm", target: "es2022", write: false, legalComments: "none" });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}
