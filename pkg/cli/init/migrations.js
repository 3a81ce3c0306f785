// The migrations as files of the app's own, for those who want one list of them.

import { existsSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { read, shown } from "../lib/files.js";
import { Help } from "../lib/help.js";
import { migrations } from "../lib/installed.js";

const folderOf = (config, database) => resolve(config.folder, database.migrations_dir ?? "migrations");

function filesOf(folder) {
  if (!existsSync(folder)) return [];
  if (!statSync(folder).isDirectory()) throw new Help(`\`${folder}\` is to hold the migrations, but it is no folder`);
  return readdirSync(folder).filter((name) => name.endsWith(".sql"));
}

/** How a copy's name ends, whatever number it has. */
const suffixOf = (name) => `_stale_drafts_${name.replace(/^\d+_/, "")}`;

/** Whether the app has copies of them already. */
export function copied(config, database) {
  const files = filesOf(folderOf(config, database));
  return migrations().some(({ name }) => files.some((file) => file.endsWith(suffixOf(name))));
}

/** Copies, with the next numbers of the folder that the binding's migrations are in. Those that are there already stay. */
export function copies(config, database) {
  const folder = folderOf(config, database);
  if (database.migrations_pattern) throw new Help(`the migrations of \`${database.binding}\` follow a pattern of their own, \`${database.migrations_pattern}\`: they can't be copied.\n  Leave out --copy-migrations, so that a second binding applies them from the package.`);
  const present = filesOf(folder);
  const numbers = present.map((name) => name.match(/^\d+/)?.[0]).filter(Boolean);
  const digits = Math.max(4, ...numbers.map((number) => number.length));
  let next = Math.max(0, ...numbers.map(Number)) + 1;
  const changes = [];
  for (const { name, text } of migrations()) {
    const suffix = suffixOf(name);
    const copy = present.find((other) => other.endsWith(suffix));
    if (!copy) {
      changes.push({ path: join(folder, `${String(next).padStart(digits, "0")}${suffix}`), before: null, after: text, brief: `${text.trimEnd().split("\n").length} lines` });
      next += 1;
    } else if (read(join(folder, copy)) !== text) {
      throw new Help(`\`${shown(config.folder, join(folder, copy))}\` differs from this version's migration \`${name}\`.\n  If it was never applied, remove it and run this again; else keep the version of stale-drafts that it came from.`);
    }
  }
  return changes;
}
