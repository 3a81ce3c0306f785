// `npm start`: the Worker on this machine, with a D1 database and demo creations, at http://localhost:8787.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { demoStatements } from "./demo-data.mjs";
import { Help, bin, note, root, run, sh, step } from "./lib.mjs";
import { setup } from "./setup.mjs";

const env = { WRANGLER_SEND_METRICS: "false", WRANGLER_LOG: process.env.WRANGLER_LOG ?? "log" };

function options() {
  const help = "Usage: npm start -- [--port 8787]";
  try {
    const port = Number(parseArgs({ options: { port: { type: "string", default: "8787" } } }).values.port);
    if (Number.isInteger(port) && port > 0 && port < 65_536) return { port };
  } catch (error) {
    throw new Help(`${error.message}\n  ${help}`);
  }
  throw new Help(`--port takes a whole number from 1 to 65535.\n  ${help}`);
}

function checkPort(port) {
  return new Promise((free, taken) => {
    const server = createServer();
    server.once("error", ({ code }) => taken(new Help(code === "EADDRINUSE"
      ? `Port ${port} is in use. Stop what uses it (\`lsof -i :${port}\` names it), or choose another: npm start -- --port ${port + 1}`
      : `Port ${port} can't be used (${code}). Choose another: npm start -- --port 8788`)));
    server.listen(port, "localhost", () => server.close(free));
  });
}

/** Secrets for this machine only: the file is ignored by git and never deployed. What is there already stays. */
function writeSecrets() {
  const file = join(root, ".dev.vars");
  let text = existsSync(file) ? readFileSync(file, "utf8") : "# Made by `npm start` for this machine. Never deployed.\nDEMO_SIGN_IN=local\n";
  for (const name of ["JWT_SECRET", "CLEANUP_TOKEN", "REPORT_TOKEN"]) {
    if (!new RegExp(`^${name}=`, "m").test(text)) text += `${name}=${randomBytes(32).toString("base64url")}\n`;
  }
  writeFileSync(file, text, { mode: 0o600 });
}

const wrangler = (...args) => sh(bin("wrangler"), args, { env: { ...env, CI: "true" }, quiet: true });

/** Brings the local database up to date and fills it the first time. Done once per set of migrations. */
async function prepareDatabase() {
  const state = join(root, ".wrangler/stale-drafts.json");
  const migrations = readdirSync(join(root, "migrations")).sort();
  const done = existsSync(state) ? JSON.parse(readFileSync(state, "utf8")) : { migrations: [], filled: false };
  if (done.filled && done.migrations.join() === migrations.join()) return;
  const gone = done.migrations.find((name) => !migrations.includes(name));
  if (gone) {
    throw new Help(`The local database was made by the migration \`${gone}\`, which is no more: nothing has been released yet, so the first ones were rewritten.\n  Start over with an empty database: remove .wrangler/`);
  }
  step("Migrating the local D1 database");
  await wrangler("d1", "migrations", "apply", "stale-drafts", "--local");
  if (!done.filled) {
    const output = await wrangler("d1", "execute", "stale-drafts", "--local", "--json", "--command", "SELECT count(*) AS n FROM stale_drafts_creations");
    if (/"n":\s*0\b/.test(output)) {
      const statements = demoStatements(Date.now());
      step("Filling it with demo creations");
      const file = join(root, ".wrangler/demo.sql");
      mkdirSync(join(root, ".wrangler"), { recursive: true });
      writeFileSync(file, statements.map((statement) => `${statement};\n`).join(""));
      await wrangler("d1", "execute", "stale-drafts", "--local", "--file", file);
    }
  }
  writeFileSync(state, JSON.stringify({ migrations, filled: true }));
}

await run(async () => {
  const { port } = options();
  await checkPort(port);
  await setup();
  await build();
  writeSecrets();
  await prepareDatabase();
  const url = `http://localhost:${port}`;
  step(`Serving at ${url}`);
  note(`Sign in as a demo user:    ${url}/demo`);
  note(`See how it goes:           ${url}/dashboard`);
  note(`Run the cron trigger once: curl "${url}/cdn-cgi/handler/scheduled"`);
  note("Stop with Ctrl-C. Start over with an empty database: remove .wrangler/\n");
  const child = spawn(bin("wrangler"), ["dev", "--port", String(port), "--ip", "localhost", "--show-interactive-dev-session=false"], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise((done) => child.on("close", (code) => done(code ?? 0)));
});
