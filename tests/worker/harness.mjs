// The built Worker on workerd with a real D1 database, a clock that stands where the test puts it, and a hand on
// the Worker's database calls: any of them can be made to fail before or after it commits, or be preceded by
// somebody else's write. Which one is said by a number, or by a pattern for the SQL of one of its statements.

import { createHash, createHmac } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { unstable_splitSqlQuery as splitSql } from "wrangler";
import { check } from "./openapi.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const read = (...path) => readFileSync(join(root, ...path));

/** The statements of a sweep, by which faults are planted: the one that finds what is stale, and those that fail or retry it. */
export const SELECT = /AS candidates/;
export const WRITE = /SET status = '(failed|pending)'/;

/** Where the clock stands. */
export const NOW = 1_700_000_000_000;
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

export const JWT_SECRET = "n0t-Used-Anywhere-Else-JwtSecret-7f3a9";
export const WORKER_TOKEN = "n0t-Used-Anywhere-Else-Worker-91d7e";
export const CLEANUP_TOKEN = "n0t-Used-Anywhere-Else-Cleanup-2b81c";

/** Stands before the Worker: sets its clock and interferes with its database as it is told. */
const stand = (queries) => `
import Worker from "./index.js";

/** How many queries an invocation may make. */
const QUERIES = ${queries};
const nothing = { dead: [], silent: [], call: 0, failBefore: 0, failAfter: 0, sqlBefore: 0, holdAt: 0, dieAt: 0, times: 0, sql: [] };
// The orders given by a pattern that no call has met yet.
let unmet = new Map();
let turns = null;
const received = [];
const points = [];
let cost = { queries: 0, rows_read: 0, rows_written: 0 };
const sleep = () => new Promise((done) => setTimeout(done, 0));
let orders = { ...nothing };
let counts = {};
let spent = {};
/** How many queries went to each database since the last order. */
let queriesOf = {};
/** The constraint of the session that each transaction by one was in since the last order. */
let sessions = [];
let now = ${NOW};
// Where an order says so, the clock is that of the machine, so many ms ahead.
let ahead = null;
const real = Date.now.bind(Date);
Date.now = () => (ahead === null ? now : real() + ahead);

/** What the Worker tries again after a failure, as the last call that failed: it fails so often, and has no number of its own. */
const TRIES = 4;
let failing = null;
// The pauses before that are short here: those of src/store/retry.rs, and no other timer.
const PAUSES_MS = [100, 400, 1_600];
const { setTimeout: timer } = globalThis;
globalThis.setTimeout = (callback, ms, ...rest) => timer(callback, PAUSES_MS.includes(ms) ? ms / 100 : ms, ...rest);
const lost = () => new Error("D1_ERROR: Network connection lost.", { cause: new Error("Network connection lost.") });

/** What the platform allows, and the local runtime does not hold anybody to: docs/limits.md. */
const LIMITS = { string: 2_000_000, statement: 100_000, parameters: 100, batchBytes: 256_000, messageBytes: 128_000, messages: 100 };
const bytes = (text) => new TextEncoder().encode(text).length;
const exceeded = [];
const exceed = (what) => {
  exceeded.push(what);
  throw new Error("D1_ERROR: " + what);
};
/** The statements of an invocation are counted, and what is bound and answered has the database's sizes. */
function limited(statements, invocation) {
  invocation.queries += statements.length;
  if (invocation.queries > QUERIES) exceed("Too many API requests by single worker invocation: " + invocation.queries);
  for (const { statement, params } of statements) {
    if (bytes(statement) > LIMITS.statement) exceed("statement too long");
    if (params.length > LIMITS.parameters) exceed("too many SQL variables");
    for (const param of params) if (typeof param === "string" && bytes(param) > LIMITS.string) throw new Error("D1_ERROR: string or blob too big: SQLITE_TOOBIG");
  }
}
function answered(results) {
  for (const row of results.flatMap(({ results: rows }) => rows ?? [])) {
    for (const cell of Object.values(row)) if (typeof cell === "string" && bytes(cell) > LIMITS.string) throw new Error("D1_ERROR: string or blob too big: SQLITE_TOOBIG");
  }
}
function limitedQueue(queue) {
  const sendBatch = async (messages) => {
    const list = [...messages];
    const sizes = list.map(({ body }) => bytes(JSON.stringify(body)) + 100);
    if (sizes.length > LIMITS.messages) exceed("a batch of " + sizes.length + " messages");
    if (sizes.some((size) => size > LIMITS.messageBytes)) exceed("a message of " + Math.max(...sizes) + " bytes");
    if (sizes.reduce((sum, size) => sum + size, 0) > LIMITS.batchBytes) exceed("a batch of more than 256 kB");
    return queue.sendBatch(list);
  };
  const get = (target, name) => {
    if (name === "sendBatch") return sendBatch;
    if (name === "send") return (body, options) => sendBatch([{ body, ...options }]);
    return target[name];
  };
  return new Proxy(queue, { get });
}

/** The request, whose body breaks off in the middle. */
const cut = ({ url, method, headers }) => {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"'));
      controller.error(new Error("Network connection lost."));
    },
  });
  return new Request(url, { method, headers, body });
};

/** The orders that a call carries out: those with its number, and those whose pattern one of its statements is the first to match. */
function ordered(number, statements) {
  const found = new Set(Object.keys(nothing).filter((name) => orders[name] === number && name !== "call" && name !== "times"));
  for (const [name, pattern] of unmet) {
    if (!statements.some(({ statement }) => pattern.test(statement))) continue;
    found.add(name);
    unmet.delete(name);
  }
  return found;
}

function watched(database, actor, die, invocation = { queries: 0 }, binding = "DB") {
  return new Proxy(database, {
    get(target, name) {
      const value = target[name];
      if (typeof value !== "function" || name === "constructor") return value;
      if (name === "withSession") {
        return (constraint) => {
          const session = watched(target.withSession(constraint), actor, die, invocation, binding);
          const batch = (statements) => {
            sessions.push([constraint, statements.length]);
            return session.batch(statements);
          };
          return { prepare: session.prepare, batch };
        };
      }
      if (name !== "batch") return value.bind(target);
      return async (statements) => {
        // A database that is gone, and one that is locked.
        if (orders.dead.includes(binding)) throw new Error("D1_ERROR: " + binding + " is gone");
        if (orders.silent.includes(binding)) await new Promise(() => {});
        queriesOf[binding] = (queriesOf[binding] ?? 0) + statements.length;
        // Two writers take the turns that the test says, one database call each.
        while (turns && actor && turns[0] !== actor && turns.includes(actor)) await sleep();
        try {
          return await call(statements);
        } finally {
          if (turns && turns[0] === actor) turns.shift();
        }
      };
      async function pass(statements) {
        limited(statements, invocation);
        const result = await target.batch(statements);
        answered(result);
        for (const { meta } of result) cost = { queries: cost.queries + 1, rows_read: cost.rows_read + meta.rows_read, rows_written: cost.rows_written + meta.rows_written };
        return result;
      }
      async function call(statements) {
        const text = JSON.stringify(statements.map(({ statement, params }) => [statement, params]));
        if (failing?.text === text) {
          const { after } = failing;
          const fails = (failing.fails -= 1) >= 0;
          if ((failing.tries -= 1) === 0 || !fails) failing = null;
          const result = after || !fails ? await pass(statements) : null;
          if (fails) throw lost();
          return result;
        }
        const todo = ordered((orders.call += 1), statements);
        counts[actor] = (counts[actor] ?? 0) + 1;
        // Until the next order.
        for (const given = orders; todo.has("holdAt") && orders === given; ) await sleep();
        if (todo.has("sqlBefore")) for (const sql of orders.sql) await target.prepare(sql).run();
        const fails = (after) => {
          failing = { text, after, tries: TRIES - 1, fails: (orders.times || TRIES) - 1 };
          throw lost();
        };
        if (todo.has("failBefore")) fails(false);
        const dies = todo.has("dieAt");
        if (dies && orders.dieHow === "before") await die();
        // The process is killed while the transaction is under way, at a moment that nobody chooses.
        if (dies && orders.dieHow === "during") void die();
        const result = await pass(statements);
        if (todo.has("failAfter")) fails(true);
        if (dies) await die();
        return result;
      }
    },
  });
}
// The local dataset forgets what it is given: what the Worker hands to it is noted on the way.
const dataset = ({ ANALYTICS }) => ANALYTICS && { ANALYTICS: { writeDataPoint: (point) => (points.push(point), ANALYTICS.writeDataPoint(point)) } };
// A bound Worker has a method of any name.
const queued = (env) => Object.fromEntries(Object.entries(env).filter(([, value]) => typeof value?.sendBatch === "function" && value.constructor.name !== "Fetcher").map(([name, queue]) => [name, limitedQueue(queue)]));
const made = (env, context, actor) => {
  // What an invocation asks of all databases counts together.
  const invocation = { queries: 0 };
  const databases = Object.entries(env).filter(([name]) => /^DB(_\\d+)?$/.test(name));
  const watch = ([name, database]) => [name, watched(database, actor, () => env.DIE.fetch("http://die"), invocation, name)];
  return new Worker(context, { ...env, ...dataset(env), ...queued(env), ...Object.fromEntries(databases.map(watch)) });
};
export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname === "/__stand") {
      if (request.method === "GET") return Response.json({ received, cost, points, calls: orders.call, spent, exceeded, queriesOf, sessions });
      const { now: time, ahead: ms, turns: list, ...rest } = await request.json();
      now = time ?? now;
      ahead = ms ?? ahead;
      turns = list ?? null;
      orders = { ...nothing, ...rest };
      failing = null;
      const missed = [...unmet].map(([name, pattern]) => name + ": " + pattern);
      unmet = new Map(Object.entries(rest).filter(([, value]) => value?.pattern).map(([name, { pattern, flags }]) => [name, new RegExp(pattern, flags)]));
      counts = {};
      spent = {};
      queriesOf = {};
      sessions = [];
      return Response.json({ missed });
    }
    const actor = request.headers.get("X-Actor");
    // A request may say what the time is.
    now = Number(request.headers.get("X-Now")) || now;
    const before = cost.rows_read;
    let answer = await made(env, context, actor).fetch(request.headers.has("X-Cut") ? cut(request) : request);
    if (/^\\/(dashboard|metrics)/.test(new URL(request.url).pathname)) {
      answer = new Response(answer.body, answer);
      answer.headers.set("X-Rows-Read", cost.rows_read - before);
    }
    spent[actor] = counts[actor];
    // Whoever is done leaves the turns to the other.
    if (turns && actor) turns = turns.filter((name) => name !== actor);
    return answer;
  },
  scheduled: (event, env, context) => made(env, context).scheduled(event),
  queue: (batch, env, context) => {
    // Those of the Worker itself.
    if (batch.queue === "sweeps") return made(env, context).queue(batch);
    for (const { body } of batch.messages) received.push([batch.queue, body]);
  },
};
`;

/** The statements of a migration, as `wrangler d1 migrations apply` has them. */
export const statements = (sql) => splitSql(sql);

/** A token that may report. */
const worker = { name: "worker", sha256: createHash("sha256").update(WORKER_TOKEN).digest("hex"), scopes: ["report"] };

/**
 * Starts a Worker with an empty, migrated database. Stop it with `stop()`. What goes to `queues` comes back by
 * `received()`; what goes to `producers` is for one of `others`, which are Miniflare's options of further Workers. With
 * a folder as `registry`, the Workers of other Miniflares with the same one are found too. With a folder as `persist`, the
 * database outlives the runtime. With a number of `shards`, so many databases have the users, `DB_0` and so on. `die` is called when an order says so. An invocation may make so many `queries`: D1 allows 1,000, and
 * 50 on the free plan. `outbound` answers what the Workers fetch. `r2Buckets` are the names of bindings.
 */
export async function start({ config = {}, bindings = {}, migrate = true, ratelimits, queues = [], producers = [], others = [], registry, persist, die, outbound, queries = 1_000, shards = 0, r2Buckets = [], serviceBindings = {} } = {}) {
  const logs = [];
  let counted = {};
  let byPattern = false;
  const names = shards > 0 ? Array.from({ length: shards }, (_, at) => `DB_${at}`) : ["DB"];
  const first = (at) => Math.floor((at * 4_096) / shards);
  const sharded = shards > 0 ? { shards: names.map((binding, at) => ({ binding, buckets: `${first(at)}-${first(at + 1) - 1}` })) } : {};
  const main = {
    name: "stale-drafts",
    queueProducers: Object.fromEntries([...queues, ...producers].map((name) => [name, { queueName: name.toLowerCase() }])),
    queueConsumers: Object.fromEntries(queues.map((name) => [name.toLowerCase(), { maxBatchSize: 100, maxBatchTimeout: 0 }])),
    modules: [
      { type: "ESModule", path: join(root, "pkg/dist/worker/stand.js"), contents: stand(queries) },
      { type: "ESModule", path: join(root, "pkg/dist/worker/index.js"), contents: read("pkg/dist/worker/index.js").toString() },
      { type: "CompiledWasm", path: join(root, "pkg/dist/worker/index_bg.wasm"), contents: read("pkg/dist/worker/index_bg.wasm") },
    ],
    modulesRoot: join(root, "pkg/dist/worker"),
    compatibilityDate: "2026-07-01",
    d1Databases: Object.fromEntries(names.map((name) => [name, name === "DB" ? "test" : name.toLowerCase()])),
    r2Buckets,
    ratelimits,
    outboundService: outbound,
    analyticsEngineDatasets: { ANALYTICS: { dataset: "sweeps" } },
    assets: { directory: join(root, "www"), routerConfig: { has_user_worker: true } },
    bindings: { STALE_DRAFTS: { auth: { cookie: "session" }, api_tokens: [worker], ...sharded, ...config }, JWT_SECRET, CLEANUP_TOKEN, ...bindings },
  };
  main.serviceBindings = { ...serviceBindings, ...(die && { DIE: die }) };
  const miniflare = new Miniflare({
    workers: [main, ...others],
    cf: false,
    unsafeDevRegistryPath: registry,
    unsafeTriggerHandlers: true,
    d1Persist: persist,
    handleRuntimeStdio(stdout, stderr) {
      for (const stream of [stdout, stderr]) {
        let rest = "";
        stream.setEncoding("utf8");
        stream.on("data", (text) => {
          if (process.env.DEBUG) process.stderr.write(text);
          const lines = (rest + text).split("\n");
          rest = lines.pop();
          logs.push(...lines.filter(Boolean));
        });
      }
    },
  });
  const databases = await Promise.all(names.map((name) => miniflare.getD1Database(name))).catch(async (error) => {
    await miniflare.dispose();
    throw new Error(`${error.message}\n${logs.join("\n")}`);
  });
  const [database] = databases;
  if (migrate) {
    // A transaction for each file: one for each statement takes several times as long.
    const files = readdirSync(join(root, "migrations")).sort().map((name) => statements(read("migrations", name).toString()));
    for (const one of databases) for (const all of files) await one.batch(all.map((sql) => one.prepare(sql)));
  }
  const entry = await miniflare.getWorker();
  const fetchFrom = async (url, init) => {
    const response = await miniflare.dispatchFetch(url, { redirect: "manual", ...init });
    await check(init?.method ?? "GET", new URL(url).pathname, response);
    return response;
  };
  const fetch = (path, init) => fetchFrom(`http://localhost${path}`, init);
  return {
    logs,
    /** The lines of the log that match, once there are so many: they come by another way than the answers. */
    async logged(pattern, count = 1) {
      for (let tries = 0; tries < 500; tries += 1) {
        const found = logs.filter((line) => pattern.test(line));
        if (found.length >= count) return found;
        await new Promise((done) => setTimeout(done, 10));
      }
      throw new Error(`${count} of ${pattern} are not in the log:\n${logs.join("\n")}`);
    },
    /** What the queues have delivered so far: `[queue, body]`. */
    received: async () => (await (await fetch("/__stand")).json()).received,
    /** How many database calls the Worker has made since the last order. */
    calls: async () => (await (await fetch("/__stand")).json()).calls,
    /** How many database calls each actor's last request has made until it was answered. */
    spent: async () => (await (await fetch("/__stand")).json()).spent,
    /** How many queries went to each database since the last order. */
    queriesOf: async () => (await (await fetch("/__stand")).json()).queriesOf,
    /** The transactions in sessions since the last order: their constraint, and how many statements they had. */
    sessions: async () => (await (await fetch("/__stand")).json()).sessions,
    /** The data points that the Worker has written. */
    points: async () => (await (await fetch("/__stand")).json()).points,
    /** What the Worker's database calls have cost since the last question, as D1 bills it. */
    async cost() {
      const { cost } = await (await fetch("/__stand")).json();
      const since = Object.fromEntries(Object.entries(cost).map(([key, value]) => [key, value - (counted[key] ?? 0)]));
      counted = cost;
      return since;
    },
    database,
    databases,
    url: () => miniflare.ready,
    /** Where one of `others` listens, if it has a socket of its own. */
    directUrl: (name) => miniflare.unsafeGetDirectURL(name),
    async stop() {
      try {
        const { exceeded } = await (await fetch("/__stand")).json();
        if (exceeded.length > 0) throw new Error(`the Worker has exceeded what the platform allows: ${exceeded.join(", ")}`);
        if (byPattern) await this.order({});
      } finally {
        await miniflare.dispose();
      }
    },
    fetch,
    fetchFrom,
    /**
     * Says what the Worker's next database calls meet. `failBefore`, `failAfter`, `sqlBefore`, `holdAt` and `dieAt` take the number of
     * the call, counted from 1, or a pattern for the SQL of one of its statements: then it is the first call that matches, and it is a
     * failure if none has by the next order. A call that fails does so each time that the Worker tries it again, or only `times` times.
     * `now` sets the clock, and `ahead` lets it run, so many ms before the machine's.
     */
    async order(orders) {
      byPattern = Object.values(orders).some((value) => value instanceof RegExp);
      const body = JSON.stringify(orders, (_, value) => (value instanceof RegExp ? { pattern: value.source, flags: value.flags } : value));
      const { missed } = await (await fetch("/__stand", { method: "POST", body })).json();
      if (missed.length > 0) throw new Error(`no statement has met the last order: ${missed.join(", ")}`);
    },
    /** One of `r2Buckets`. */
    bucket: (name) => miniflare.getR2Bucket(name),
    /** Runs the cron trigger; gives `ok` or `exception`. */
    cron: async () => (await entry.scheduled({ cron: "* * * * *" })).outcome,
    as: (user, path, init) => fetch(path, { ...init, headers: { Authorization: `Bearer ${token({ sub: user, exp: NOW / 1_000 + 7 * 24 * 3_600 })}` } }),
    cleanup: (query = "", credential = CLEANUP_TOKEN, body) =>
      fetch(`/api/generate/cleanup-stale${query}`, { method: "POST", body, headers: credential ? { Authorization: `Bearer ${credential}` } : {} }),
    /** Asks as an operator; gives the answer's JSON. */
    ask: async (path) => (await fetch(path, { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).json(),
    all: async (sql, ...values) => (await database.prepare(sql).bind(...values).all()).results,
    one: (sql, ...values) => database.prepare(sql).bind(...values).first(),
    grant: (user, tokens) =>
      database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', ?2, 0)").bind(user, tokens).run(),
    /** Inserts creations; what is left out has a default. */
    async create(...creations) {
      const columns = ["id", "user_id", "kind", "prompt", "status", "attempt", "tokens", "created_at", "queued_at", "started_at", "heartbeat_at", "extended_until"];
      const defaults = { user_id: "ada", kind: "image", prompt: "a fox", status: "pending", attempt: 1, tokens: 10, created_at: NOW - 2 * HOUR, queued_at: null, started_at: null, heartbeat_at: null, extended_until: null };
      const rows = creations.map((creation) => columns.map((column) => (column in creation ? creation[column] : defaults[column])));
      const list = columns.map((_, at) => `value ->> ${at}`).join(", ");
      for (let at = 0; at < rows.length; at += 1_000) {
        await database.prepare(`INSERT INTO stale_drafts_creations (${columns.join(", ")}) SELECT ${list} FROM json_each(?1)`).bind(JSON.stringify(rows.slice(at, at + 1_000))).run();
      }
    },
    /** Users whose balance is not the sum of their ledger, or who have only one of the two. */
    wrongBalances: async () =>
      (await database.prepare("SELECT user_id FROM (SELECT user_id, sum(tokens) AS sum FROM stale_drafts_ledger GROUP BY user_id) FULL JOIN stale_drafts_balances USING (user_id) WHERE sum IS NOT tokens").all()).results,
    /** Reports as a worker does; gives the status and the JSON of the answer. */
    async report(path, body, headers = {}) {
      const response = await fetch(`/api/creations${path}`, { method: "POST", body: JSON.stringify(body), headers: { Authorization: `Bearer ${WORKER_TOKEN}`, ...headers } });
      return { http: response.status, ...(await response.json()) };
    },
    async status(id) {
      return (await database.prepare("SELECT status FROM stale_drafts_creations WHERE id = ?").bind(id).first())?.status;
    },
  };
}

const base64url = (value) => Buffer.from(value).toString("base64url");

/** A signed token for the drafts page. */
export function token(claims, { secret = JWT_SECRET, header = { alg: "HS256", typ: "JWT" } } = {}) {
  const signed = [header, { exp: NOW / 1_000 + 600, ...claims }].map((part) => base64url(JSON.stringify(part))).join(".");
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
