// The files of a new project, made from those in template/.

import template from "#template";

const PLACEHOLDER = "stale-drafts-app";
/** What Cloudflare takes as a Worker's name beneath workers.dev. */
const LONGEST = 54;

/** A name for npm and for Cloudflare, from the folder's. */
export function nameFor(folder) {
  const name = folder.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, LONGEST).replace(/^-+|-+$/g, "");
  return name || PLACEHOLDER;
}

/** The texts by their paths. `from` is a package file, by its path from the project. */
export function projectFiles({ name, from }) {
  const files = Object.fromEntries(Object.entries(template).map(([path, text]) => [path, text.replaceAll(PLACEHOLDER, name)]));
  if (from) {
    const described = JSON.parse(files["package.json"]);
    described.dependencies["stale-drafts"] = `file:${from.replaceAll("\\", "/")}`;
    files["package.json"] = `${JSON.stringify(described, undefined, 2)}\n`;
  }
  return files;
}
