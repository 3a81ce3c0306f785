// What the configuration lacks, decided from what it says. Nothing is written here.

import { join } from "node:path";
import { suggestion } from "../lib/args.js";
import { MIGRATIONS_TABLE, applied, databases } from "../lib/config/scope.js";
import { Help } from "../lib/help.js";
import { fromFolder, packageFolder } from "../lib/installed.js";
import { copied } from "./migrations.js";

export const CRON = "* * * * *";
export const BASE_PATH = "/stale-drafts";
const MIGRATIONS_BINDING = "STALE_DRAFTS_MIGRATIONS";
const DEFAULTS = { policy: { preset: "production" } };

/** Where wrangler finds the migrations in the installed package. */
function installedMigrations(config) {
  const found = packageFolder(config.folder, "stale-drafts");
  if (!found) throw new Help("the package isn't installed here: npm install stale-drafts\n  Without a node_modules folder, as with Yarn's Plug'n'Play:\n  npx stale-drafts init --copy-migrations");
  return fromFolder(config.folder, join(found, "migrations"));
}

/** The database that the creations are to be in: undefined if there is none, a `choice` if only the reader can say. */
export function database(config, scope, wanted) {
  const list = databases(config, scope);
  const own = list.filter((database) => database.migrations_table !== MIGRATIONS_TABLE || list.length === 1);
  if (wanted !== undefined) {
    const found = own.find(({ binding }) => binding === wanted);
    const names = own.map(({ binding }) => binding);
    if (!found) throw new Help(`\`${config.name}\` has no D1 database with the binding \`${wanted}\`: it has ${names.map((name) => `\`${name}\``).join(", ") || "none"}${suggestion(wanted, names)}`, { code: 2 });
    return { found };
  }
  // What was decided before, stays.
  const through = applied(list);
  const same = through && own.find(({ database_id: id }) => id !== undefined && id === through.database_id);
  if (same ?? through) return { found: same ?? through };
  return own.length > 1 ? { choice: own } : { found: own[0] };
}

/** The value of a binding that applies the package's migrations to the same database. */
function second(config, { database_name, database_id, preview_database_id, remote }) {
  const kept = Object.entries({ database_name, database_id, preview_database_id, remote }).filter(([, value]) => value !== undefined);
  return { binding: MIGRATIONS_BINDING, ...Object.fromEntries(kept), migrations_dir: installedMigrations(config), migrations_table: MIGRATIONS_TABLE };
}

/**
 * The edits of the configuration, and how the migrations come: `{ edits, binding, migrate, copy, created, remarks }`. `migrate` names
 * the binding by which they are applied; with `copy` they are files of the app's own. `configured`: the code has a configuration.
 */
export function plan(config, scope, { found, copy, configured }) {
  const edits = [];
  const remarks = [];
  const push = (value, ...path) => edits.push({ op: "push", path: scope.path(...path), value });
  const add = (value, ...path) => edits.push({ op: "add", path: scope.path(...path), value });

  const crons = scope.inherited("triggers", "crons") ?? [];
  if (!Array.isArray(crons)) throw new Help(`\`${config.name}\`: \`crons\` must be a list of texts`);
  if (!crons.includes(CRON)) {
    // Crons of an environment's own would replace those that it inherits.
    if (scope.own("triggers", "crons")) push(CRON, "triggers", "crons");
    else add([...crons, CRON], "triggers", "crons");
  }

  const through = applied(databases(config, scope));
  const result = { edits, remarks, crons: crons.filter((cron) => cron !== CRON), binding: found?.binding ?? "DB", migrate: found?.binding ?? "DB", copy: false, created: !found?.database_id };
  if (!found) {
    push({ binding: "DB", migrations_dir: installedMigrations(config), migrations_table: MIGRATIONS_TABLE }, "d1_databases");
    remarks.push(`There is no D1 database${scope.name === undefined ? "" : " in this environment"} yet: the first \`wrangler deploy\` creates it.`);
  } else if (through) {
    result.migrate = through.binding;
  } else if (copy || copied(config, found)) {
    result.copy = true;
  } else if (found.database_id === undefined) {
    result.copy = true;
    remarks.push(`The binding \`${found.binding}\` has no \`database_id\`, and a second binding without one would be another database. So the migrations are copied beside yours.`);
  } else {
    push(second(config, found), "d1_databases");
    result.migrate = MIGRATIONS_BINDING;
  }

  if (!configured && scope.own("vars", "STALE_DRAFTS") === undefined) add(DEFAULTS, "vars", "STALE_DRAFTS");
  edits.push(...assets(scope));
  return result;
}

/** Static assets may answer a navigation to a page that they don't have; then the Worker must be asked first. */
function assets(scope) {
  const own = scope.own("assets") !== undefined;
  const settings = scope.inherited("assets");
  const first = settings?.run_worker_first;
  const path = own || scope.name === undefined ? scope.path("assets", "run_worker_first") : ["assets", "run_worker_first"];
  if (!settings?.not_found_handling || settings.not_found_handling === "none" || first === true) return [];
  const route = `${BASE_PATH}/*`;
  if (!Array.isArray(first)) return first === undefined ? [{ op: "add", path, value: [route] }] : [];
  return first.includes(route) || first.includes("/*") ? [] : [{ op: "push", path, value: route }];
}

/** What makes a project one that this can't be added to. */
export function refuse(config) {
  if (config.data.pages_build_output_dir) throw new Help(`\`${config.name}\` is of a Pages project, which has no cron trigger.\n  Make a Worker of it (\`main\` and \`assets\` instead of \`pages_build_output_dir\`), or make one beside it: npm create stale-drafts`);
  if (!config.data.main) throw new Help(`\`${config.name}\` has no \`main\`, so there is no code to add this to.\n  For a Worker of its own: npm create stale-drafts`);
}
