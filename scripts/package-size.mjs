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
  client: `export { createClient } from "stale-drafts/client";`,
  "one draft in React": `export { StaleBadge, useVerdict } from "stale-drafts/react";`,
  texts: `export { texts } from "stale-drafts/texts";`,
  "a language that ships": `export { default } from "stale-drafts/texts/de";`,
  "a list in React": `export { useDrafts } from "stale-drafts/react";`,
};

const built = (entry) => join(root, `pkg/dist/bundle/${entry}.js`);
const BUILT = { "stale-drafts": built("index"), ...Object.fromEntries(["client", "element", "react", "texts"].map((entry) => [`stale-drafts/${entry}`, built(entry)])), "stale-drafts/texts/de": join(root, "pkg/dist/texts/de.js") };

/** The same source, bundled, minified and compressed, without React: bytes. `resolveDir` is where its packages are. */
export async function size(contents, resolveDir = root, alias = BUILT) {
  const { outputFiles } = await build({ stdin: { contents, resolveDir }, alias, external: ["react"], bundle: true, minify: true, format: "esm", target: "es2022", write: false, legalComments: "none", logLevel: "error" });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}
