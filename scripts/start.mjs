// `npm start`: the Worker on this machine, with a D1 database and demo creations, at http://localhost:8787. It fires the cron
// trigger every minute, as Cloudflare does.

import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { demoStatements } from "./demo-data.mjs";
import { Help, bin, note, root, run, sh, start, step, timed } from "./lib.mjs";
import { duration } from "./progress.mjs";

const env = { WRANGLER_SEND_METRICS: "false", WRANGLER_LOG: process.env.WRANGLER_LOG ?? "log" };

const USAGE = `Usage: npm start -- [--port 8787] [--no-cron]
  --no-cron  does not fire the cron trigger: creations that are stale are failed when their owner looks`;

function options() {
  const types = { port: { type: "string", default: "8787" }, "no-cron": { type: "boolean", default: false }, help: { type: "boolean", short: "h" } };
  let values;
  try {
    values = parseArgs({ options: types }).values;
  } catch (error) {
    throw new Help(`${error.message}\n  ${USAGE}`);
  }
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Help(`Invalid --port \`${values.port}\`: expected a whole number from 1 to 65535.\n  ${USAGE}`);
  return { port, cron: !values["no-cron"] };
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

/** The migrations, each with what it says. */
function readMigrations() {
  const hash = (name) => createHash("sha256").update(readFileSync(join(root, "migrations", name))).digest("hex");
  return Object.fromEntries(readdirSync(join(root, "migrations")).sort().map((name) => [name, hash(name)]));
}

/** Brings the local database up to date and fills it the first time. What was done is noted, so that it is done once. */
async function prepareDatabase() {
  const state = join(root, ".wrangler/stale-drafts.json");
  const migrations = readMigrations();
  const done = existsSync(state) ? JSON.parse(readFileSync(state, "utf8")) : { migrations: {}, filled: false };
  // An older state lists names only; its database is older than the tables' prefix.
  const other = Array.isArray(done.migrations) ? done.migrations[0] : Object.keys(done.migrations).find((name) => done.migrations[name] !== migrations[name]);
  if (other) {
    throw new Help(`The local database is older than this version: its migration \`${other}\` was rewritten since, which is done as long as nothing is released.
  All tables begin with stale_drafts_ now. Start over with an empty database: remove .wrangler/, then run npm start again.`);
  }
  if (done.filled && Object.keys(migrations).every((name) => name in done.migrations)) return;
  await timed("Preparing the local D1 database", async () => {
    await wrangler("d1", "migrations", "apply", "stale-drafts", "--local");
    const output = await wrangler("d1", "execute", "stale-drafts", "--local", "--json", "--command", "SELECT count(*) AS n FROM stale_drafts_creations");
    if (!done.filled && /"n":\s*0\b/.test(output)) {
      const file = join(root, ".wrangler/demo.sql");
      mkdirSync(join(root, ".wrangler"), { recursive: true });
      writeFileSync(file, demoStatements(Date.now()).map((statement) => `${statement};\n`).join(""));
      await wrangler("d1", "execute", "stale-drafts", "--local", "--file", file);
    }
  });
  writeFileSync(state, JSON.stringify({ migrations, filled: true }));
}

const MINUTE_MS = 60_000;

/** Waits until the server answers. */
async function served(url, ended) {
  while (!ended.aborted) {
    const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.any([ended, AbortSignal.timeout(10_000)]) }).catch(() => undefined);
    if (answer?.ok) return true;
    await sleep(250, undefined, { signal: ended }).catch(() => {});
  }
  return false;
}

/** Fires the cron trigger; gives why it failed, or undefined. */
async function fireCron(url, ended) {
  try {
    const answer = await fetch(`${url}/cdn-cgi/handler/scheduled`, { signal: AbortSignal.any([ended, AbortSignal.timeout(MINUTE_MS)]) });
    return answer.ok ? undefined : `it answered ${answer.status} ${(await answer.text()).slice(0, 200)}`;
  } catch (error) {
    return error.cause?.message ?? error.message;
  }
}

/** Fires it every minute, as the local runtime does not. Prints only what has changed. */
async function runCron(url, ended) {
  let before;
  while (!ended.aborted) {
    const problem = await fireCron(url, ended);
    const now = problem ? "fails" : "works";
    if (now !== before && !ended.aborted) {
      if (problem) console.error(`✗ The cron trigger fails: ${problem}. ${url}/readyz says more. It is fired again every minute.`);
      else console.log(before ? "✓ The cron trigger works again." : "✓ The cron trigger has run. It is fired every minute; npm start -- --no-cron leaves that out.");
    }
    before = now;
    await sleep(MINUTE_MS, undefined, { signal: ended }).catch(() => {});
  }
}

await run(async () => {
  const begun = performance.now();
  const { port, cron } = options();
  await checkPort(port);
  await build();
  writeSecrets();
  await prepareDatabase();
  const url = `http://localhost:${port}`;
  step("Starting the local server");
  // From here on, to be stopped is how it ends.
  process.exitCode = 0;
  const stop = new AbortController();
  const serve = () => start(bin("wrangler"), ["dev", "--port", String(port), "--ip", "localhost", "--show-interactive-dev-session=false"], { stdio: "inherit", env: { ...process.env, ...env } });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => stop.abort());
  let ready = false;
  const ended = (async () => {
    for (;;) {
      const code = await new Promise((done) => serve().on("close", (code) => done(code ?? 0)));
      if (stop.signal.aborted || !ready || code === 0) {
        stop.abort();
        return code;
      }
      // This wrangler ends when a client breaks off the body of a request.
      console.error("✗ The local server has ended by itself, as it does when a client breaks off a request. It is started again.");
    }
  })();
  if (await served(url, stop.signal)) {
    ready = true;
    step(`Ready at ${url} after ${duration(performance.now() - begun)}`);
    note(`Sign in as a demo user: ${url}/demo`);
    note(`Current health:         ${url}/dashboard`);
    note("Stop with Ctrl-C. Start over with an empty database: remove .wrangler/\n");
    if (cron) await runCron(url, stop.signal);
  }
  process.exitCode = await ended;
});
