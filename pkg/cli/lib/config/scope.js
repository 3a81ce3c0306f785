// What an environment of the configuration inherits, and what it does not: bindings and variables are its own.

import { Help } from "../help.js";
import { suggestion } from "../args.js";
import { at } from "./index.js";

/** The part of the configuration that `--env NAME` means; without a name, the top level. */
export function scope(config, name) {
  const names = Object.keys(config.data.env ?? {});
  if (name !== undefined && !names.includes(name)) {
    const what = names.length === 0 ? "it has none" : `it has ${names.map((other) => `\`${other}\``).join(", ")}`;
    throw new Help(`\`${config.name}\` has no environment \`${name}\`: ${what}${suggestion(name, names)}`, { code: 2 });
  }
  const base = name === undefined ? [] : ["env", name];
  const own = (...path) => at(config.data, [...base, ...path]);
  return {
    name,
    names,
    path: (...path) => [...base, ...path],
    own,
    /** What is inherited unless the environment says otherwise. */
    inherited: (...path) => own(...path) ?? at(config.data, path),
    top: (...path) => at(config.data, path),
  };
}

/** The D1 databases of a scope, each with its position. */
export function databases(config, { own }) {
  const list = own("d1_databases") ?? [];
  const wrong = !Array.isArray(list) || list.some((database) => typeof database?.binding !== "string");
  if (wrong) throw new Help(`\`${config.name}\`: \`d1_databases\` must be a list of tables, each with a \`binding\``);
  return list;
}

/** The table in which wrangler notes the migrations of this package. */
export const MIGRATIONS_TABLE = "stale_drafts_migrations";

/** The binding by which this package's migrations are applied, or undefined. */
export const applied = (list) => list.find((database) => database.migrations_table === MIGRATIONS_TABLE);
