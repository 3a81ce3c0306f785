// `stale-drafts attach`: lets a team's own table be watched, by one migration.

import { relative } from "node:path";
import { parse } from "../lib/args.js";
import { writeAll } from "../lib/files.js";
import { Help, Usage } from "../lib/help.js";
import { confirm, paint, say, wrap } from "../lib/terminal.js";
import { answers } from "./answers.js";
import { check as inspect } from "./check.js";
import { binding, open } from "./database.js";
import { attachFile, besides, change, earlier, mappingFrom, migrationsFolder } from "./files.js";
import { check } from "./mapping.js";
import { rehearse } from "./rehearse.js";
import { attachSql, described, detachSql } from "./sql.js";
import { isAttached, pick, read, rival } from "./table.js";

export const SUMMARY = "lets it watch a table of your own, with your credits";

export const USAGE = `Usage: stale-drafts attach TABLE [flags]

Writes a migration by which the rows of your own table are watched: your code,
statuses and balances stay as they are. Rows that are stuck are failed, with the
reason, and their owners get their credits back, once. Without flags it asks,
and shows its guesses.

What your columns mean (COLUMN, or none where there is none):
  --user-id COLUMN         who has paid
  --kind COLUMN|=TEXT      image, video, …, or always that text
  --prompt COLUMN
  --status COLUMN          and your words in it, as in --failed error,cancelled:
      --pending --processing --draft --published --failed  WORD,WORD
      --timed-out WORD     what a time-out writes
  --created-at --started-at --heartbeat-at --finished-at  COLUMN:UNIT
                           UNIT is ms, s, iso, or sqlite for
                           YYYY-MM-DD HH:MM:SS in UTC
  --error --result-url     COLUMN
  --tokens COLUMN|=NUMBER  what a row costs
  --refund TABLE.COLUMN    where balances are; or none
  --refund-key COLUMN      and the column there that names the owner
  --refund-sql SQL         or your own statement, with :user_id, :tokens, :id
  --charge-sql SQL         and the one that takes it back, for a late result
                           that you restore
  --refund-failures        also what your app fails, if it refunds nothing
  --id-prefix TEXT         how creations' ids begin; TABLE: by default
  --mapping FILE           all of that, from a file that was written before

Where the table is (your project's D1 database, as it is on this machine):
  --binding NAME --env NAME --config FILE --persist-to FOLDER
  --remote                 as it is deployed
  --database FILE          a SQLite file
  --schema FILE            CREATE statements

  --out FOLDER  where the migration goes     --print    the migration, printed
  --dry-run     writes nothing               --json     the mapping, printed
  -y, --yes     takes the guesses            --check    which rows it misses
  -h, --help                                 --detach   how to undo it

Exit code: 0 done; 1 it can't be done, the answer was no, or --check found
something; 2 a wrong flag, or an answer is missing and there is no terminal.`;

const TEXTS = ["user-id", "kind", "prompt", "status", "pending", "processing", "draft", "published", "failed", "timed-out", "created-at", "started-at", "heartbeat-at", "finished-at", "error", "result-url", "tokens", "refund", "refund-key", "refund-sql", "charge-sql", "id-prefix"];
const PLACES = ["mapping", "binding", "env", "config", "persist-to", "database", "schema", "out"];
const SWITCHES = ["refund-failures", "remote", "print", "json", "dry-run", "check", "detach"];
const OPTIONS = {
  ...Object.fromEntries([...TEXTS, ...PLACES].map((flag) => [flag, { type: "string" }])),
  ...Object.fromEntries(SWITCHES.map((flag) => [flag, { type: "boolean", default: false }])),
  yes: { type: "boolean", short: "y", default: false },
};

/** What the flags say of the mapping, by its fields. */
function givenBy(values) {
  const given = Object.fromEntries(TEXTS.filter((flag) => values[flag] !== undefined).map((flag) => [flag.replaceAll("-", "_"), values[flag]]));
  if (values.refund !== undefined && values["refund-sql"] !== undefined) throw new Usage("--refund and --refund-sql can't both be given");
  if (values["charge-sql"] !== undefined && values["refund-sql"] === undefined) throw new Usage("--charge-sql goes with --refund-sql");
  if (values["refund-failures"] && values.refund === "none") throw new Usage("--refund-failures goes with a refund, and --refund is none");
  return values["refund-failures"] ? { ...given, refund_failures: true } : given;
}

/** A message in lines that fit; those that are indented fit already, or are to be copied. */
const fitting = (message) => message.split("\n").map((line) => (line.startsWith(" ") ? line : wrap(line, { indent: "  " }).trimStart())).join("\n");

export async function attach(argv, io) {
  try {
    return await run(argv, io);
  } catch (error) {
    if (error.name === "Help") error.message = fitting(error.message);
    throw error;
  }
}

async function run(argv, io) {
  const { values, positionals } = parse(argv, { command: "stale-drafts attach", options: OPTIONS, most: 1 });
  if (values.help) {
    say(io, USAGE);
    return 0;
  }
  const [wanted] = positionals;
  if (wanted === undefined) throw new Usage("name the table, as in stale-drafts attach generations\n  `stale-drafts attach --help` lists what it takes.");
  const project = values.database ?? values.schema ? undefined : binding(io.cwd, values);
  const root = project?.config.folder ?? io.cwd;
  if (values.detach) return detach(io, root, wanted, values);

  const source = await open(io, values, project);
  const schema = await read(source);
  const table = pick(schema, wanted, source.name);
  if (values.check) {
    if (!isAttached(schema, table.name)) throw new Help(`\`${table.name}\` is not attached in ${source.name}`);
    return inspect(io, source, schema, table);
  }
  if (isAttached(schema, table.name)) throw new Help(`\`${table.name}\` is attached already in ${source.name}.\n  --check says which rows it misses. To change the mapping, detach first:\n  --detach says how.`);

  const given = givenBy(values);
  if (values.mapping !== undefined && Object.keys(given).length > 0) throw new Usage("--mapping has all answers: no other flag of the mapping goes with it");
  const { mapping: raw, unmapped } = values.mapping === undefined ? await answers(io, source, schema, table, given, values) : { mapping: mappingFrom(io.cwd, values.mapping), unmapped: [] };
  const mapping = check({ ...raw, table: table.name }, schema, table);
  const other = rival(schema, mapping.id_prefix);
  if (other) throw new Help(`the ids of creations would begin with \`${mapping.id_prefix}\`, and those of another table begin with \`${other}\`: give another beginning with --id-prefix`);
  if (values.json) {
    say(io, JSON.stringify(mapping, null, 2));
    return 0;
  }
  const sql = attachSql(mapping);
  const rehearsed = await rehearse(schema, mapping, sql);
  if (values.print) {
    io.stdout.write(sql.up);
    return 0;
  }
  const folder = migrationsFolder(io.cwd, project, values.out);
  const before = earlier(folder, table.name);
  if (before) remind(io, before);
  const beside = besides(root, table.name);
  const changes = [change(attachFile(folder, table.name), sql.up), change(beside.detach, sql.down), change(beside.mapping, `${JSON.stringify(mapping, null, 2)}\n`)];
  show(io, mapping, unmapped, rehearsed, changes);
  if (values["dry-run"]) {
    say(io, "A dry run: nothing was written. --print prints the migration.");
    return 0;
  }
  if (io.isTTY && !values.yes && !(await confirm(io, "Write these files?"))) {
    say(io, "Nothing was written.");
    return 1;
  }
  writeAll(changes);
  next(io, project, schema, values, changes, beside);
  if (mapping.refund && !mapping.refund_failures) say(io, `\n${wrap("If your code pays back what it fails, a failure that is reported after a time-out would be paid a second time: docs/attach.md, Money, says how to guard that write.")}`);
  return 0;
}

function remind(io, before) {
  say(io, `${wrap(`There is \`${before}\` already, and it is not applied here. If it was never applied anywhere, remove it first.`)}\n`);
}

/** What was understood, and what would be written. */
function show(io, mapping, unmapped, rehearsed, changes) {
  say(io, paint(io, "bold", `The rows of ${mapping.table} as creations:`));
  for (const line of described(mapping)) say(io, wrap(line.slice(13), { indent: " ".repeat(15) }).replace(/^ {15}/, `  ${line.slice(0, 13)}`));
  say(io);
  if (unmapped.length > 0) say(io, `${wrap(`Not in the mapping: ${unmapped.map((word) => `\`${word}\``).join(", ")}. Rows with ${unmapped.length === 1 ? "that word" : "these words"} are left alone.`)}\n`);
  if (!rehearsed) say(io, `${wrap(`Not tried out: that needs Node 22.13 or newer, and this is Node ${process.versions.node}.`)}\n`);
  for (const { path, before } of changes) say(io, `  ${before === null ? "new" : "anew"}  ${relative(io.cwd, path)}`);
  say(io);
}

/** How to go on. */
function next(io, project, schema, values, [migration], beside) {
  say(io, `${paint(io, "green", "✓")} Written. Read ${relative(io.cwd, migration.path)}, then apply it:\n`);
  // By the binding: a second one to the same database may have migrations of its own.
  const database = project?.found.binding ?? "DATABASE";
  const env = values.env ? ` --env ${values.env}` : "";
  // The one binding of a new project applies the package's migrations only.
  const alone = project !== undefined && project.migrations === project.found;
  const apply = (name, where) => say(io, `  npx wrangler d1 migrations apply ${name} --${where}${env}`);
  const first = !schema.objects.some(({ name }) => name === "stale_drafts_creations");
  if (first) say(io, `${wrap("Stale Drafts' own tables are not in this database: their migrations come first (stale-drafts init adds them).", { indent: "  " })}\n`);
  for (const where of ["local", "remote"]) {
    if (first && project?.migrations) apply(project.migrations.binding, where);
    if (alone) say(io, `  npx wrangler d1 execute ${database} --${where}${env} --file ${relative(io.cwd, migration.path)}`);
    else apply(database, where);
  }
  say(io);
  say(io, wrap(`Rows that are stuck now are failed and refunded by the first sweep. ${relative(io.cwd, beside.detach)} undoes it: run it with wrangler d1 execute --file. Once it is applied, --check says which rows are not watched, and why.`));
}

/** Writes what detaches a table, without a look at the database: it may be run in each. */
function detach(io, root, table, values) {
  const beside = besides(root, table);
  let id_prefix;
  try {
    id_prefix = mappingFrom(io.cwd, values.mapping ?? beside.mapping).id_prefix;
  } catch (error) {
    if (values.mapping !== undefined) throw error;
  }
  const sql = detachSql(table, values["id-prefix"] ?? id_prefix);
  if (values.print) {
    io.stdout.write(sql);
    return 0;
  }
  const changed = change(beside.detach, sql);
  const file = relative(io.cwd, beside.detach);
  if (values["dry-run"]) {
    say(io, `A dry run: ${file} was not written. --print prints it.`);
    return 0;
  }
  if (changed.before !== sql) writeAll([changed]);
  say(io, `${wrap(`${file} detaches \`${table}\`. Run it in each database that it is attached in, and remove the migration that attached it from those that it is still to come to:`)}\n`);
  say(io, `  npx wrangler d1 execute DATABASE --remote \\\n    --file ${file}`);
  return 0;
}
