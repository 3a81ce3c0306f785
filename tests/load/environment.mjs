// What surrounds the actors: the built Worker on workerd, HTTP to it, the app's webhook, and the memory that all of it takes.

import { createHmac } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { CLEANUP_TOKEN, JWT_SECRET, WORKER_TOKEN, statements } from "../worker/harness.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** The Worker that the build left. */
const BUILT = {
  name: "stale-drafts",
  modules: [
    { type: "ESModule", path: join(root, "pkg/dist/worker/index.js") },
    { type: "CompiledWasm", path: join(root, "pkg/dist/worker/index_bg.wasm") },
  ],
  modulesRoot: join(root, "pkg/dist/worker"),
  compatibilityDate: "2026-07-01",
  d1Databases: { DB: "load" },
  assets: { directory: join(root, "www"), routerConfig: { has_user_worker: true } },
};

/** Has the databases beside them, at an address of its own. Miniflare's own way in would hold the driver up until it is answered. */
const PROBE = `
export default {
  async fetch(request, env) {
    const { binding, statements } = await request.json();
    const prepared = statements.map(([sql, ...values]) => env[binding].prepare(sql).bind(...values));
    return Response.json((await env[binding].batch(prepared)).map(({ results }) => results));
  },
};
`;

/** The Worker `probe` with these databases. */
export const probe = (d1Databases) => ({ name: "probe", modules: true, script: PROBE, compatibilityDate: "2026-07-01", d1Databases, unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] });

/**
 * Runs `[sql, …values]` in one transaction by the probe at `url`; gives the rows of each. By a connection of its own: workerd closes those
 * that were idle, and says so nowhere.
 */
export async function batchOf(url, binding, statements) {
  const answer = await new Promise((done, fail) => {
    const asked = request(url, { method: "POST", agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (text += part));
      response.on("end", () => done({ status: response.statusCode, text }));
      response.on("error", fail);
    });
    asked.on("error", fail);
    asked.end(JSON.stringify({ binding, statements }));
  });
  if (answer.status !== 200) throw new Error(`the database answered ${answer.status}: ${answer.text}`);
  return JSON.parse(answer.text);
}

/** Starts the Worker over the database in `folder`, which is made there if it is not: with the real clock, and the circuit breaker at its default. */
export async function stand({ folder, policy, webhook_url }) {
  const logs = [];
  const bindings = { STALE_DRAFTS: { auth: { cookie: "session" }, policy, webhook_url }, JWT_SECRET, CLEANUP_TOKEN, REPORT_TOKEN: WORKER_TOKEN, WEBHOOK_SECRET };
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    logRequests: false,
    unsafeTriggerHandlers: true,
    defaultPersistRoot: folder,
    workers: [
      { ...BUILT, bindings },
      probe({ DB: "load" }),
    ],
    handleRuntimeStdio(stdout, stderr) {
      for (const stream of [stdout, stderr]) {
        let rest = "";
        stream.setEncoding("utf8");
        stream.on("data", (text) => {
          const lines = (rest + text).split("\n");
          rest = lines.pop();
          // Only what may be wrong: a line for each creation that was marked would fill the memory that is measured.
          logs.push(...lines.filter((line) => line && !line.startsWith('{"level":"info"') && !line.includes('"level":"info"')));
        });
      }
    },
  });
  try {
    const url = (await miniflare.ready).origin;
    const direct = await miniflare.unsafeGetDirectURL("probe");
    const batch = (statements) => batchOf(direct, "DB", statements);
    const all = async (...statement) => (await batch([statement]))[0];
    if ((await all("SELECT name FROM sqlite_schema WHERE name = 'stale_drafts_creations'")).length === 0) {
      for (const name of readdirSync(join(root, "migrations")).sort()) {
        await batch(statements(readFileSync(join(root, "migrations", name)).toString()).map((sql) => [sql]));
      }
    }
    return { url, logs, batch, all, stop: () => miniflare.dispose() };
  } catch (error) {
    await miniflare.dispose();
    throw new Error(`${error.message}\n${logs.join("\n")}`);
  }
}

/** Nobody waits longer for an answer. */
const PATIENCE_MS = 30_000;

/** workerd closes a connection that was idle for 5 seconds, and says so nowhere: a request must not meet that. */
const IDLE_MS = 2_000;

/** A client of the Worker at `url`, with at most `sockets` connections. */
export function client(url, sockets) {
  const { hostname, port } = new URL(url);
  if (hostname !== "127.0.0.1") throw new Error(`the load goes to this machine only, not to ${hostname}`);
  const agent = new Agent({ keepAlive: true, maxSockets: sockets, timeout: IDLE_MS });
  return {
    /**
     * Sends a request. Gives `{ status, text, headers, sent, ended }`; `status` is 0 where no answer came, because the connection
     * was cut on purpose after `cutAfter` ms (`cut`) or because of `error`.
     */
    ask(method, path, { token, body, headers, cutAfter } = {}) {
      const sent = Date.now();
      const begun = process.hrtime.bigint();
      const text = body === undefined ? undefined : JSON.stringify(body);
      return new Promise((done) => {
        let timer;
        let cut = false;
        const end = (answer) => {
          clearTimeout(timer);
          done({ sent, ended: Date.now(), ns: process.hrtime.bigint() - begun, text: "", headers: {}, cut, ...answer });
        };
        const asked = request({
          agent, hostname, port, method, path,
          headers: { ...(token && { Authorization: `Bearer ${token}` }), ...(text !== undefined && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }), ...headers },
        }, (response) => {
          let answer = "";
          response.setEncoding("utf8");
          response.on("data", (part) => (answer += part));
          response.on("end", () => end({ status: response.statusCode, headers: response.headers, text: answer }));
          response.on("error", (error) => end({ status: 0, error: error.message }));
        });
        asked.on("error", (error) => end({ status: 0, error: cut ? undefined : error.message }));
        timer = setTimeout(() => {
          cut = cutAfter !== undefined;
          asked.destroy(new Error(`no answer within ${PATIENCE_MS} ms`));
        }, cutAfter ?? PATIENCE_MS);
        asked.end(text);
      });
    },
    close: () => agent.destroy(),
  };
}

const SECRET = Buffer.from("n0t-Used-Anywhere-Else-Load-Webhook-8c14").toString("base64");

/** The secret as the Worker has it. */
export const WEBHOOK_SECRET = `whsec_${SECRET}`;

/** Takes events on this machine. `told` holds each with how often it came; `forged` those whose signature was wrong. */
export async function webhook(rng) {
  const told = new Map();
  const forged = [];
  const heard = { take: () => {} };
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature } = request.headers;
      const good = createHmac("sha256", Buffer.from(SECRET, "base64")).update(`${id}.${at}.${body}`).digest("base64");
      if (signature !== `v1,${good}`) forged.push(id);
      // Not taken, so it has to come again; or taken, and the answer says otherwise.
      const refused = rng.chance(0.02);
      if (!refused) {
        const event = JSON.parse(body);
        const known = told.get(event.id);
        told.set(event.id, { event, times: (known?.times ?? 0) + 1 });
        if (!known) heard.take(event);
      }
      response.writeHead(refused || rng.chance(0.01) ? 503 : 204).end();
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}/events`,
    told,
    forged,
    /** Says who is told of each event that is new. */
    listen: (take) => (heard.take = take),
    close: () => new Promise((done) => { server.close(done); server.closeAllConnections(); }),
  };
}

const EVERY_MS = 500;

/** The process `name` that this one has started; undefined where /proc does not say. */
function child(name) {
  try {
    return readdirSync("/proc").find((pid) => {
      if (!/^\d+$/.test(pid)) return false;
      try {
        const [, command, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").match(/^\d+ \((.*)\) \S (\d+)/s);
        return command === name && Number(parent) === process.pid;
      } catch {
        return false;
      }
    });
  } catch {
    return undefined;
  }
}

function resident(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmRSS:\s+(\d+) kB/m)[1]) * 1_024;
  } catch {
    return undefined;
  }
}

/** Looks every half second until `stop`, which gives bytes for both: `{ first, middle, peak, last }`. */
export function watchMemory() {
  const pid = child("workerd");
  const seen = { workerd: [], driver: [] };
  const look = () => {
    const workerd = pid && resident(pid);
    if (workerd) seen.workerd.push(workerd);
    seen.driver.push(process.memoryUsage.rss());
  };
  look();
  const timer = setInterval(look, EVERY_MS);
  return {
    stop() {
      clearInterval(timer);
      look();
      const sum = (list) => list.length > 0 ? { first: list[0], middle: list[list.length >> 1], peak: Math.max(...list), last: list.at(-1) } : undefined;
      return { workerd: sum(seen.workerd), driver: sum(seen.driver) };
    },
  };
}
