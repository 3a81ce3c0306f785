// Several databases behind one Worker that is killed and started again, with the same configuration or another, and the command that
// an operator has. Whoever uses it waits while it is down.

import { fork, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { batchOf, client as aClient } from "../load/environment.mjs";
import { CLEANUP_TOKEN } from "../worker/harness.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const SERVER = fileURLToPath(new URL("server.mjs", import.meta.url));
export const COMMAND = join(root, "target/debug/mark-stale-drafts");

const SOCKETS = 256;
/** Nobody waits longer for the Worker to come back, or for a write to be taken. */
const PATIENCE_MS = 300_000;

/** `at` of `of` equal shards: its buckets. */
export function range(at, of) {
  const first = (number) => Math.floor((number * 4_096) / of);
  return [first(at), first(at + 1) - 1];
}

/**
 * The databases in `folder`, which are `options.shards`, and one Worker over them at a time. `start(config)` starts it, `kill()` kills it,
 * `stop()` ends it in peace, and `died()` waits for the death that an order of the harness brings about.
 */
export function fleet({ folder, migrate = true, ...options }) {
  let server;
  let up = Promise.withResolvers();
  const counts = { starts: 0, kills: 0 };
  const logs = [];

  async function start(config, ahead = 0) {
    const child = fork(SERVER, [JSON.stringify({ ...options, persist: folder, migrate: migrate && counts.starts === 0, config: { ...options.config, ...config } })], { detached: true, silent: true });
    const waiting = new Map();
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output = (output + text).slice(-10_000)));
    const begun = Promise.withResolvers();
    const gone = new Promise((done) => child.on("exit", (code, signal) => {
      for (const { reject } of waiting.values()) reject(new Error("the Worker was killed"));
      waiting.clear();
      logs.push(`${code ?? signal}: ${output.slice(-2_000)}`);
      if (server?.child === child) {
        server = undefined;
        up = Promise.withResolvers();
      }
      begun.reject(new Error(`the Worker did not start: ${code ?? signal}\n${output}`));
      done();
    }));
    child.on("message", ({ id, url, direct, answer, error }) => {
      if (url) return begun.resolve({ url, direct });
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) resolve(answer);
      else reject(new Error(error));
    });
    const { url, direct } = await begun.promise;
    let asked = 0;
    const ask = (what, rest) => new Promise((resolve, reject) => {
      const id = (asked += 1);
      waiting.set(id, { resolve, reject });
      child.send({ id, what, ...rest }, (error) => error && reject(error));
    });
    counts.starts += 1;
    server = { child, url, direct, ask, gone, client: aClient(url, SOCKETS) };
    await ask("order", { orders: { ahead } });
    const { text } = await server.client.ask("GET", "/readyz", {});
    if (text && JSON.parse(text).checks.configuration !== "ok") throw new Error(text);
    up.resolve();
  }

  const asked = async (what, rest) => {
    await up.promise;
    return server.ask(what, rest);
  };
  const batch = async (at, statements) => {
    await up.promise;
    return batchOf(server.direct, `DB_${at}`, statements);
  };
  const end = async () => {
    const { child, gone, client } = server;
    process.kill(-child.pid, "SIGKILL");
    client.close();
    await gone;
  };

  return {
    counts,
    /** How each Worker ended, and what it printed last. */
    logs,
    start,
    /** Kills the Worker and its runtime, whatever they are at. */
    async kill() {
      counts.kills += 1;
      await end();
    },
    /** Ends it in peace; a failure if it exceeded what the platform allows. */
    async stop() {
      const { child } = server;
      await server.ask("stop");
      process.kill(-child.pid, "SIGKILL");
      await server?.gone;
    },
    /** What is left of it at the end of a run that failed. */
    async dispose() {
      if (server) await end();
    },
    /** Whether it dies within so many ms, as an order says. */
    async dies(ms) {
      if (!server) return true;
      const { gone, client } = server;
      const dead = await Promise.race([gone.then(() => true), sleep(ms, false)]);
      if (dead) {
        counts.kills += 1;
        client.close();
      }
      return dead;
    },
    isUp: () => server !== undefined,
    /** It may die of the order before it has answered. */
    async order(orders) {
      await asked("order", { orders }).catch((error) => {
        if (!orders.dieAt || server) throw error;
        counts.kills += 1;
      });
    },
    cost: () => asked("cost"),
    /** Runs `[sql, …values]` in one transaction of the database with this number. */
    batch,
    /** The same for one statement. */
    all: async (at, ...statement) => (await batch(at, [statement]))[0],
    warnings: () => asked("logs"),

    /**
     * Asks as a client of tests/load does. A write is repeated until it is answered, as workers do; anything else counts as cut off where
     * the Worker is down, or a database does not answer.
     */
    async ask(method, path, request) {
      const writes = method !== "GET" && !path.startsWith("/api/generate/");
      const latest = Date.now() + PATIENCE_MS;
      for (;;) {
        await up.promise;
        const answer = await server?.client.ask(method, path, request) ?? { status: 0 };
        const refused = answer.status === 503 || (answer.status === 0 && !answer.cut);
        if (!refused) return answer;
        answer.refused = answer.status;
        if (!writes) return { ...answer, status: 0, cut: true };
        if (Date.now() > latest) return answer;
        counts[answer.text?.includes('"moving"') ? "moving" : "repeated"] = (counts[answer.text?.includes('"moving"') ? "moving" : "repeated"] ?? 0) + 1;
        await sleep(60 + Math.random() * 120);
      }
    },

    /** Runs `mark-stale-drafts`. It is killed after `killAfter` ms, if that is given. */
    async command(args, { killAfter } = {}) {
      await up.promise;
      const child = spawn(COMMAND, args, { cwd: folder, env: { PATH: process.env.PATH, HOME: folder, MARK_STALE_DRAFTS_URL: server.url, MARK_STALE_DRAFTS_TOKEN: CLEANUP_TOKEN } });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
      const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfter);
      const [code, signal] = await new Promise((done) => child.on("close", (...how) => done(how)));
      clearTimeout(timer);
      return { code, signal, output: output.trim() };
    },
  };
}
