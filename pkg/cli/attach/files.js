// Where the migration and what belongs to it are written.

import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { MIGRATIONS_TABLE } from "../lib/config/scope.js";
import { read, shown } from "../lib/files.js";
import { Help } from "../lib/help.js";

/** A table's name as a part of a file's. */
const slug = (table) => table.replace(/[^A-Za-z0-9_-]+/g, "_");

/** The folder with the app's migrations. */
export function migrationsFolder(cwd, project, out) {
  if (out !== undefined) return resolve(cwd, out);
  if (!project) return resolve(cwd, "migrations");
  const { config, found } = project;
  if (found.migrations_pattern) throw new Help(`the migrations of \`${found.binding}\` follow a pattern of their own, \`${found.migrations_pattern}\`.\n  Print this one with --print, and put it where it belongs.`);
  if (found.migrations_table === MIGRATIONS_TABLE) throw new Help(`the migrations of \`${found.binding}\` are the package's, and there is no folder for yours.\n  Name one with --out FOLDER: the file in it is not applied by itself.`);
  return resolve(config.folder, found.migrations_dir ?? "migrations");
}

/** The next number of a folder, as wrangler counts. */
function numbered(folder, rest) {
  const present = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".sql")) : [];
  const numbers = present.map((file) => file.match(/^\d+/)?.[0]).filter(Boolean);
  const digits = Math.max(4, ...numbers.map((number) => number.length));
  return `${String(Math.max(0, ...numbers.map(Number)) + 1).padStart(digits, "0")}_${rest}`;
}

/** Beside the migrations, and not among them: they are not to be applied. */
export const besides = (root, table) => ({
  detach: join(root, "stale-drafts", `detach_${slug(table)}.sql`),
  mapping: join(root, "stale-drafts", `attach_${slug(table)}.json`),
});

export const attachFile = (folder, table) => join(folder, numbered(folder, `attach_${slug(table)}.sql`));

/** A migration that attaches the table already and may not be applied yet. */
export function earlier(folder, table) {
  const present = existsSync(folder) ? readdirSync(folder) : [];
  return present.filter((file) => new RegExp(`^\\d+_attach_${slug(table)}\\.sql$`).test(file)).sort().at(-1);
}

/** A change for `writeAll`. */
export const change = (path, after) => ({ path, before: read(path), after });

/** A mapping from a file. */
export function mappingFrom(cwd, file) {
  const path = resolve(cwd, file);
  const text = read(path);
  if (text === null) throw new Help(`there is no file \`${file}\``);
  let mapping;
  try {
    mapping = JSON.parse(text);
  } catch (error) {
    throw new Help(`\`${shown(cwd, path)}\` is no JSON: ${error.message}`);
  }
  if (typeof mapping !== "object" || mapping === null || Array.isArray(mapping)) throw new Help(`\`${shown(cwd, path)}\` holds no mapping: expected a JSON object`);
  return mapping;
}
