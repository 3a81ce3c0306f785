// `stale-drafts init`: adds what a Worker lacks to its configuration, and says which lines its code needs.

import { relative } from "node:path";
import { parse } from "../lib/args.js";
import { edit, find, load } from "../lib/config/index.js";
import { scope as scopeOf } from "../lib/config/scope.js";
import { shown, writeAll } from "../lib/files.js";
import { Help, Usage } from "../lib/help.js";
import { choose, confirm, difference, paint, say, wrap } from "../lib/terminal.js";
import { copies } from "./migrations.js";
import { next, used } from "./next.js";
import { database, plan, refuse } from "./plan.js";
import { secretChanges } from "./secrets.js";

export const SUMMARY = "adds Stale Drafts to the Worker in this folder";

export const USAGE = `Usage: stale-drafts init [flags]

Adds to the Worker in this folder what Stale Drafts needs: the cron trigger, the
migrations, a first configuration, and secrets for this machine. It shows the
difference and asks before it writes. What is there already stays.

  --binding NAME     the D1 database's binding, if there are several
  --env NAME         for this environment, which inherits no bindings
  --copy-migrations  as files beside yours, not by a second binding to the same
                     database that applies them from the package
  --config FILE      another file than wrangler.json, .jsonc or .toml
  --dry-run          shows the difference and writes nothing
  -y, --yes          writes without asking
  -h, --help

Exit code: 0 done, or nothing to do; 1 it can't be done, or the answer was no;
2 a wrong flag, or an answer was needed and there is no terminal.`;

const OPTIONS = {
  binding: { type: "string" },
  env: { type: "string" },
  "copy-migrations": { type: "boolean", default: false },
  config: { type: "string" },
  "dry-run": { type: "boolean", default: false },
  yes: { type: "boolean", short: "y", default: false },
};

/** Which database, asked for if the configuration leaves it open. */
async function chosen(io, config, scope, { binding, yes, "dry-run": dry }) {
  const { found, choice } = database(config, scope, binding);
  if (!choice) return found;
  const names = choice.map((database) => database.binding);
  if (!io.isTTY || yes || dry) throw new Usage(`there are ${names.length} D1 databases: name one, as in --binding ${names[0]}\n  ${names.join(", ")}`);
  return choice[await choose(io, "In which D1 database are your creations, or shall they be?", choice.map((database) => `${database.binding}${database.database_name ? ` (${database.database_name})` : ""}`))];
}

/** Everything that would be written: `{ path, before, after, … }`. */
function changesFor(config, scope, made, found) {
  const text = edit(config, made.edits);
  const secrets = secretChanges(config.folder, scope.name);
  return [
    ...(text === config.text ? [] : [{ path: config.path, before: config.text, after: text }]),
    ...(made.copy ? copies(config, found) : []),
    ...secrets,
  ];
}

function show(io, changes) {
  for (const { path, before, after, shown: instead, brief } of changes) {
    const name = shown(io.cwd, path);
    if (brief) say(io, paint(io, "bold", `+++ ${name} (new, ${brief})`));
    else say(io, difference(io, name, ...(instead ? [instead.before, instead.after] : [before, after])));
    say(io);
  }
}

export async function init(argv, io) {
  const { values } = parse(argv, { command: "stale-drafts init", options: OPTIONS });
  if (values.help) {
    say(io, USAGE);
    return 0;
  }
  const path = find(io.cwd, values.config);
  if (!path) throw new Help("there is no wrangler.json, wrangler.jsonc or wrangler.toml in this folder.\n  For a new project: npm create stale-drafts");
  const config = load(path);
  refuse(config);
  const scope = scopeOf(config, values.env);
  const found = await chosen(io, config, scope, values);
  const made = plan(config, scope, { found, copy: values["copy-migrations"], configured: used(config).configures });
  const changes = changesFor(config, scope, made, found);
  const others = () => {
    const rest = scope.names.filter((name) => name !== scope.name);
    if (scope.name === undefined && rest.length > 0) say(io, `\n${wrap(`Environments inherit no bindings and no variables: for each, run this again, as in --env ${rest[0]}. This configuration has ${rest.map((name) => `\`${name}\``).join(", ")}.`)}`);
  };
  if (changes.length === 0) {
    say(io, "Everything is there already: nothing to change.");
    next(io, config, scope, made);
    others();
    return 0;
  }
  show(io, changes);
  made.remarks.forEach((remark) => say(io, `${wrap(remark)}\n`));
  if (values["dry-run"]) {
    say(io, "A dry run: nothing was changed.");
    return 0;
  }
  if (!values.yes) {
    if (!io.isTTY) throw new Usage("nothing was changed: repeat with --yes");
    if (!(await confirm(io, "Write this?"))) {
      say(io, "Nothing was changed.");
      return 1;
    }
  }
  writeAll(changes);
  say(io, wrap(`${paint(io, "green", "✓")} Written: ${changes.map((change) => relative(io.cwd, change.path)).join(", ")}`));
  next(io, config, scope, made);
  others();
  return 0;
}
