// Where the app's table is looked at: the project's D1 database by its wrangler, a SQLite file, or a schema as SQL.

import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { find, load } from "../lib/config/index.js";
import { MIGRATIONS_TABLE, databases, scope as scopeOf } from "../lib/config/scope.js";
import { Help, Usage } from "../lib/help.js";
import { start, wranglerIn } from "../lib/wrangler.js";

/** Node's own SQLite, or undefined: Node 20 has none. */
export async function sqlite() {
  const { emitWarning } = process;
  // It still calls itself experimental in some versions; whoever runs this can do nothing about it.
  process.emitWarning = (warning, ...rest) => (/SQLite/.test(String(warning)) ? undefined : emitWarning.call(process, warning, ...rest));
  try {
    return (await import("node:sqlite")).DatabaseSync;
  } catch {
    return undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** A SQLite file or a schema as a source: `query(statements)` gives the rows of each. */
async function local(cwd, { database, schema }) {
  const file = database ?? schema;
  const path = resolve(cwd, file);
  if (!existsSync(path)) throw new Help(`there is no file \`${file}\``);
  const Database = await sqlite();
  if (!Database) throw new Help(`to read \`${file}\` needs Node 22.13 or newer, and this is Node ${process.versions.node}.\n  Leave out ${database ? "--database" : "--schema"}: wrangler reads the project's database.`);
  try {
    const db = new Database(database ? path : ":memory:", database ? { readOnly: true } : {});
    if (schema) db.exec(readFileSync(path, "utf8"));
    return { name: file, query: async (statements) => statements.map((sql) => db.prepare(sql).all()) };
  } catch (error) {
    throw new Help(`\`${file}\` can't be read as ${database ? "a SQLite database" : "SQL of a schema"}: ${error.message}`);
  }
}

/** What wrangler printed for `--json`. */
function answerOf(text) {
  // It may say something before.
  const from = text.search(/^[[{]\s*$/m);
  try {
    return JSON.parse(text.slice(from));
  } catch {
    return undefined;
  }
}

function execute(script, args, { cwd, env }) {
  return new Promise((done, failed) => {
    const child = start(script, args, { cwd, env: { ...env, CI: "true", WRANGLER_SEND_METRICS: "false" }, stdio: ["ignore", "pipe", "pipe"] });
    const printed = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"]) child[stream].setEncoding("utf8").on("data", (text) => (printed[stream] += text));
    child.on("error", (error) => failed(new Help(`wrangler can't be started: ${error.message}`)));
    child.on("close", (code) => done({ code, ...printed }));
  });
}

/** The project's configuration and the binding of its database. */
export function binding(cwd, { config: named, env, binding }) {
  const path = find(cwd, named);
  if (!path) return undefined;
  const config = load(path);
  // The second binding to the same database is there for the migrations only.
  const all = databases(config, scopeOf(config, env));
  const isOurs = ({ migrations_table }) => migrations_table === MIGRATIONS_TABLE;
  const theirs = all.filter((database) => !isOurs(database));
  // A new project has the one binding, by which the package's migrations come.
  const list = theirs.length > 0 ? theirs : all;
  const found = binding === undefined ? list[0] : list.find((database) => database.binding === binding);
  if (binding === undefined && list.length > 1) throw new Usage(`there are ${list.length} D1 databases: name one, as in --binding ${list[0].binding}\n  ${list.map((database) => database.binding).join(", ")}`);
  if (!found) throw new Help(`\`${config.name}\` has no D1 database${binding ? ` with the binding \`${binding}\`` : ""}`);
  return { config, found, migrations: all.find(isOurs) };
}

function d1(io, project, { remote, env, "persist-to": persist }) {
  const { config, found } = project;
  const script = wranglerIn(config.folder);
  const where = [remote ? "--remote" : "--local", "--config", config.path, ...(env ? ["--env", env] : []), ...(persist && !remote ? ["--persist-to", resolve(io.cwd, persist)] : [])];
  return {
    name: `${found.binding}${found.database_name ? ` (${found.database_name})` : ""}, ${remote ? "deployed" : "local"}`,
    async query(statements) {
      const args = ["d1", "execute", found.binding, ...where, "--json", "--command", statements.join(";\n")];
      const once = () => execute(script, args, { cwd: config.folder, env: io.env });
      let { code, stdout, stderr } = await once();
      // On a busy machine it was seen to end without a word. Nothing is written here, so it can be asked again.
      if (stdout === "" && stderr === "") ({ code, stdout, stderr } = await once());
      const answer = answerOf(stdout);
      if (code !== 0 || !Array.isArray(answer)) throw new Help(`wrangler can't read ${found.binding}: ${answer?.error?.text ?? ((stderr || stdout).trim() || `it ended with ${code ?? "a signal"} and said nothing`)}`);
      return answer.map(({ results }) => results);
    },
  };
}

/** The source that the flags name. */
export async function open(io, values, project) {
  if (values.database !== undefined && values.schema !== undefined) throw new Usage("--database and --schema can't both be given");
  if (values.database ?? values.schema) return local(io.cwd, values);
  if (!project) throw new Help("there is no wrangler.json, wrangler.jsonc or wrangler.toml in this folder.\n  Or name a database or its schema: --database FILE.sqlite, --schema FILE.sql");
  return d1(io, project, values);
}
