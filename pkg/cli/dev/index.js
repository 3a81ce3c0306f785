// `stale-drafts dev`: `wrangler dev` with the tables made and the cron trigger fired.

import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "../lib/args.js";
import { find, load } from "../lib/config/index.js";
import { applied, databases, scope as scopeOf } from "../lib/config/scope.js";
import { shown, writeAll } from "../lib/files.js";
import { Help, Usage } from "../lib/help.js";
import { say } from "../lib/terminal.js";
import { run, start, wranglerIn } from "../lib/wrangler.js";
import { copied } from "../init/migrations.js";
import { BASE_PATH } from "../init/plan.js";
import { secretChanges } from "../init/secrets.js";
import { runCron } from "./cron.js";
import { fill, isNew } from "./demo.js";

export const SUMMARY = "runs the Worker on this machine, with its cron trigger";

export const USAGE = `Usage: stale-drafts dev [flags]

Runs the Worker in this folder on this machine: makes the tables in the local D1
database, starts \`wrangler dev\`, and fires the cron trigger every minute, which
the local runtime does not do by itself.

  --port 8787    another port
  --demo         fills an empty database with demo creations, and allows to sign
                 in as one of their owners
  --no-cron      does not fire the cron trigger
  --url URL      only fires it, at a server that runs already, such as Vite's:
                 http://localhost:5173
  --env NAME     the environment of the configuration
  --config FILE  another file than wrangler.json, .jsonc or .toml
  -h, --help`;

const OPTIONS = {
  port: { type: "string", default: "8787" },
  demo: { type: "boolean", default: false },
  "no-cron": { type: "boolean", default: false },
  url: { type: "string" },
  env: { type: "string" },
  config: { type: "string" },
};

const command = "stale-drafts dev";

/** The binding that the tables are made by. */
function migrateBy(config, scope) {
  const list = databases(config, scope);
  const found = applied(list) ?? list.find((database) => copied(config, database));
  if (!found) throw new Help("this Worker has no migrations of Stale Drafts: stale-drafts init");
  return found.binding;
}

function checkPort(port) {
  return new Promise((free, taken) => {
    const server = createServer();
    server.once("error", ({ code }) => taken(new Help(`port ${port} ${code === "EADDRINUSE" ? "is in use" : `can't be used (${code})`}: choose another, as in --port ${port === 65_535 ? 8788 : port + 1}`)));
    server.listen(port, "localhost", () => server.close(free));
  });
}

/** Waits until the server answers, whatever it answers. It asks what the app's own code never sees. */
async function served(url, ended) {
  while (!ended.aborted) {
    const answer = await fetch(`${url}${BASE_PATH}/healthz`, { redirect: "manual", signal: AbortSignal.any([ended, AbortSignal.timeout(10_000)]) }).catch(() => undefined);
    if (answer) return true;
    await sleep(200, undefined, { signal: ended }).catch(() => {});
  }
  return false;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Fires the cron trigger until `ended`. */
const runAndSay = (io, url, ended) => runCron(url, ended, (problem) => {
  if (problem) io.stderr.write(`✗ The cron trigger fails: ${problem}. It is fired again every minute.\n`);
  else say(io, "✓ The cron trigger has run. It is fired every minute.");
});

/** Fires it at somebody else's server, until it is stopped. */
async function onlyCron(io, given) {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (!["http:", "https:"].includes(url?.protocol)) throw new Usage(`invalid --url \`${given}\`: expected the address of a local server, such as http://localhost:5173`);
  const stop = new AbortController();
  for (const signal of SIGNALS) process.once(signal, () => stop.abort());
  await runAndSay(io, url.origin, stop.signal);
  return 0;
}

export async function dev(argv, io) {
  const { values } = parse(argv, { command, options: OPTIONS });
  if (values.help) {
    say(io, USAGE);
    return 0;
  }
  if (values.url !== undefined) return onlyCron(io, values.url);
  const begun = performance.now();
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Usage(`invalid --port \`${values.port}\`: expected a whole number from 1 to 65535`);
  const path = find(io.cwd, values.config);
  if (!path) throw new Help("there is no wrangler.json, wrangler.jsonc or wrangler.toml in this folder.\n  For a new project: npm create stale-drafts");
  const config = load(path);
  const scope = scopeOf(config, values.env);
  const binding = migrateBy(config, scope);
  const script = wranglerIn(config.folder);
  await checkPort(port);

  const secrets = secretChanges(config.folder, scope.name, values.demo ? { DEMO_SIGN_IN: "local" } : {});
  writeAll(secrets);
  if (secrets.length > 0) say(io, `✓ Secrets for this machine: ${shown(io.cwd, secrets[0].path)}`);

  say(io, "Preparing the local D1 database …");
  const flags = ["--config", path, ...(scope.name === undefined ? [] : ["--env", scope.name])];
  const options = { cwd: config.folder, env: io.env };
  const empty = isNew(config.folder);
  await run(script, ["d1", "migrations", "apply", binding, "--local", ...flags], options);
  if (values.demo) await fill(config.folder, empty, (...args) => run(script, ["d1", "execute", binding, "--local", ...flags, ...args], options));

  const stop = new AbortController();
  let stopped = false;
  const args = ["dev", "--port", String(port), "--ip", "localhost", "--show-interactive-dev-session=false", ...flags];
  const child = start(script, args, { ...options, env: { ...io.env, WRANGLER_SEND_METRICS: "false" }, stdio: "inherit" });
  // Ctrl-C reaches the child by itself; other signals do not.
  for (const signal of SIGNALS) {
    process.once(signal, () => {
      stopped = true;
      stop.abort();
      if (signal !== "SIGINT" || !io.isTTY) child.kill(signal);
    });
  }
  const ended = new Promise((done) => {
    child.once("error", (error) => done({ error }));
    child.once("close", (code) => done({ code }));
  });
  ended.then(() => stop.abort());
  const url = `http://localhost:${port}`;
  if (await served(url, stop.signal)) {
    say(io, `✓ Ready at ${url} after ${((performance.now() - begun) / 1000).toFixed(1)} seconds. Stop with Ctrl-C.`);
    if (!values["no-cron"]) await runAndSay(io, url, stop.signal);
  }
  const { code, error } = await ended;
  if (error) throw new Help(`wrangler can't be started: ${error.message}`);
  // To be stopped is how it ends.
  return stopped ? 0 : (code ?? 1);
}
