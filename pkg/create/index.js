// `npm create stale-drafts`: a new project that runs.

import { readdirSync, existsSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import { parse } from "../cli/lib/args.js";
import { because, read, writeAll } from "../cli/lib/files.js";
import { Help, Usage } from "../cli/lib/help.js";
import { main } from "../cli/lib/main.js";
import { ask, paint, say, wrap } from "../cli/lib/terminal.js";
import { secretChanges } from "../cli/init/secrets.js";
import { nameFor, projectFiles } from "./project.js";

const USAGE = `Usage: npm create stale-drafts [FOLDER] [-- flags]

Makes a new Cloudflare Worker with Stale Drafts in it and demo creations to look
at. The folder must be new or empty.

  --from FILE   takes the package stale-drafts from a .tgz file
  -h, --help`;

const OPTIONS = { from: { type: "string" } };

const SUGGESTED = "stale-drafts-app";

/** What may be in a folder that counts as empty. */
const HARMLESS = [".git", ".gitkeep", ".DS_Store", "LICENSE"];

const contents = (folder) => {
  try {
    return readdirSync(folder).filter((name) => !HARMLESS.includes(name));
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw new Help(`can't use \`${folder}\`: ${because(error)}`);
  }
};

async function folderFor(io, given) {
  if (given !== undefined) return given;
  if (contents(io.cwd).length === 0) return ".";
  if (!io.isTTY) throw new Usage(`name a folder: npm create stale-drafts ${SUGGESTED}`);
  return ask(io, `In which folder? [${SUGGESTED}] `, SUGGESTED);
}

await main(async (argv, io) => {
  const { values, positionals } = parse(argv, { command: "npm create stale-drafts --", options: OPTIONS, most: 1 });
  if (values.help) {
    say(io, USAGE);
    return 0;
  }
  const folder = resolve(io.cwd, await folderFor(io, positionals[0]));
  const shown = relative(io.cwd, folder) || ".";
  const there = contents(folder);
  if (there.includes("package.json")) throw new Help(`\`${shown}\` holds a project already. To add Stale Drafts to it, run there:\n  npm install stale-drafts\n  npx stale-drafts init`);
  if (there.length > 0) throw new Help(`\`${shown}\` is not empty: it has \`${there[0]}\`${there.length > 1 ? ` and ${there.length - 1} more` : ""}. Name a new folder.`);
  const from = values.from && resolve(io.cwd, values.from);
  if (from && !existsSync(from)) throw new Help(`there is no file \`${values.from}\``);

  const name = nameFor(basename(folder));
  const files = projectFiles({ name, from: from && relative(folder, from) });
  const changes = Object.entries(files).map(([path, after]) => ({ path: join(folder, path), before: read(join(folder, path)), after }));
  const own = new Set(changes.map(({ path }) => path));
  // The template's .gitignore covers the secrets already.
  const secrets = secretChanges(folder, undefined, { DEMO_SIGN_IN: "local" }).filter(({ path }) => !own.has(path));
  writeAll([...changes, ...secrets]);
  say(io, wrap(`${paint(io, "green", "✓")} ${name} is in ${shown === "." ? "this folder" : shown}: ${Object.keys(files).filter((path) => !path.startsWith(".")).join(", ")}`));
  say(io, "\nNext:");
  if (shown !== ".") say(io, `  cd ${/[^\w./@+-]/.test(shown) ? `"${shown}"` : shown}`);
  say(io, "  npm install\n  npm start");
  return 0;
});
