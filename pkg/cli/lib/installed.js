// Where this package is, for the project and for this command.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { Help } from "./help.js";

/** The folder of a package that a project in `folder` has installed, or undefined: workspaces hoist theirs. */
export function packageFolder(folder, name) {
  for (let at = folder; ; at = dirname(at)) {
    const found = join(at, "node_modules", name);
    if (existsSync(join(found, "package.json"))) return found;
    if (at === dirname(at)) return undefined;
  }
}

// These are at the same place from the source and from the bundle, which is in dist/cli.
const ours = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export const version = () => JSON.parse(readFileSync(ours("package.json"), "utf8")).version;

/** A path as wrangler's configuration writes it. */
export const fromFolder = (folder, path) => relative(folder, path).split(sep).join("/");

/** The migrations that came with this command: `{ name, text }` each, in order. */
export function migrations() {
  const folder = ours("migrations");
  if (!existsSync(folder)) throw new Help(`this package is incomplete: \`${folder}\` is missing. Install it again.`);
  return readdirSync(folder).filter((name) => name.endsWith(".sql")).sort().map((name) => ({ name, text: readFileSync(join(folder, name), "utf8") }));
}

/** Whether version `have` is at least what `wanted` (`>=22.12.0`) says. */
export function atLeast(have, wanted) {
  const parts = (text) => (text.match(/\d+(\.\d+)*/)?.[0] ?? "0").split(".").map(Number);
  const [a, b] = [parts(have), parts(wanted)];
  const index = [0, 1, 2].find((i) => (a[i] ?? 0) !== (b[i] ?? 0));
  return index === undefined || (a[index] ?? 0) > (b[index] ?? 0);
}
