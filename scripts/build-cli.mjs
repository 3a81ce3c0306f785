// Bundles the commands: `stale-drafts` into pkg/dist/cli, `create-stale-drafts` into pkg/create/dist. Each is one file that needs
// nothing but Node.

import { chmodSync, existsSync, readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { newest, root, run } from "./lib.mjs";

const COMMANDS = { "pkg/cli/index.js": "pkg/dist/cli/index.js", "pkg/create/index.js": "pkg/create/dist/index.js" };
const SOURCES = ["pkg/cli", "pkg/texts", "pkg/create/index.js", "pkg/create/project.js", "pkg/create/template", "pkg/package.json", "package.json", "scripts/build-cli.mjs", "scripts/demo-data.mjs", "scripts/random.mjs"];

/** The texts of a new project by their paths. In the bundle, because npm would leave a .gitignore out of the package. */
function template() {
  const folder = join(root, "pkg/create/template");
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)).replaceAll("\\", "/")).sort();
  return Object.fromEntries(paths.map((path) => [path, readFileSync(join(folder, path), "utf8")]));
}

export async function buildCli() {
  const { build } = await import("esbuild");
  for (const [source, made] of Object.entries(COMMANDS)) {
    const out = join(root, made);
    if (existsSync(out) && newest(made) > newest(...SOURCES)) continue;
    await build({
      entryPoints: [join(root, source)],
      outfile: out,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20.3",
      mainFields: ["module", "main"],
      banner: { js: "#!/usr/bin/env node" },
      plugins: [{
        name: "template",
        setup(build) {
          build.onResolve({ filter: /^#template$/ }, () => ({ path: "template", namespace: "template" }));
          build.onLoad({ filter: /.*/, namespace: "template" }, () => ({ contents: JSON.stringify(template()), loader: "json" }));
        },
      }],
      minifySyntax: true,
      legalComments: "none",
    });
    chmodSync(out, 0o755);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await run(buildCli);
