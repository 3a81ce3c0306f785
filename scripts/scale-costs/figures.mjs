// What the arithmetic of docs/scale.md rests on: prices and limits with their sources, what was measured, and what is assumed. A price
// that changes is one line here.

const D1_PRICING = "https://developers.cloudflare.com/d1/platform/pricing/";
const D1_LIMITS = "https://developers.cloudflare.com/d1/platform/limits/";
const WORKERS_PRICING = "https://developers.cloudflare.com/workers/platform/pricing/";
const WORKERS_LIMITS = "https://developers.cloudflare.com/workers/platform/limits/";
const QUEUES_PRICING = "https://developers.cloudflare.com/queues/platform/pricing/";
const QUEUES_LIMITS = "https://developers.cloudflare.com/queues/platform/limits/";
const R2_PRICING = "https://developers.cloudflare.com/r2/pricing/";
const LOGS_PRICING = "https://developers.cloudflare.com/workers/observability/logs/workers-logs/#pricing";

/** Dollars for each `per` beyond what a month includes. */
export const PRICES = {
  plan: { what: "Workers Paid, a month", dollars: 5, per: 1, included: 0, unit: "account", source: WORKERS_PRICING },
  requests: { what: "Workers: requests", dollars: 0.3, per: 1e6, included: 10e6, unit: "requests", source: WORKERS_PRICING },
  cpu: { what: "Workers: CPU time", dollars: 0.02, per: 1e6, included: 30e6, unit: "ms", source: WORKERS_PRICING },
  rows_read: { what: "D1: rows read", dollars: 0.001, per: 1e6, included: 25e9, unit: "rows", source: D1_PRICING },
  rows_written: { what: "D1: rows written", dollars: 1, per: 1e6, included: 50e6, unit: "rows", source: D1_PRICING },
  d1_storage: { what: "D1: storage", dollars: 0.75, per: 1, included: 5, unit: "GB-months", source: D1_PRICING },
  queues: { what: "Queues: operations, three a message", dollars: 0.4, per: 1e6, included: 1e6, unit: "operations", source: QUEUES_PRICING },
  r2_storage: { what: "R2: storage", dollars: 0.015, per: 1, included: 10, unit: "GB-months", source: R2_PRICING },
  r2_writes: { what: "R2: Class A operations", dollars: 4.5, per: 1e6, included: 1e6, unit: "operations", source: R2_PRICING },
  logs: { what: "Workers Logs, until 1 December 2026", dollars: 0.6, per: 1e6, included: 20e6, unit: "log events", source: LOGS_PRICING },
};

export const LIMITS = {
  database_gb: { what: "size of a D1 database, which can't be raised", value: 10, unit: "GB", source: D1_LIMITS },
  account_gb: { what: "D1 storage of an account; more on request", value: 1_000, unit: "GB", source: D1_LIMITS },
  databases: { what: "D1 databases of an account; more on request", value: 50_000, unit: "", source: D1_LIMITS },
  bindings: { what: "bindings of a Worker, about", value: 5_000, unit: "", source: D1_LIMITS },
  queries: { what: "D1 queries of an invocation", value: 1_000, unit: "", source: D1_LIMITS },
  connections: { what: "connections to D1 that an invocation has open at once", value: 6, unit: "", source: D1_LIMITS },
  variable_bytes: { what: "size of a variable", value: 5_000, unit: "bytes", source: WORKERS_LIMITS },
  queue_messages: { what: "messages a second of a Queue", value: 5_000, unit: "", source: QUEUES_LIMITS },
};

/** What requests and cron runs cost: D1's queries, and rows as it bills them. tests/worker/scale-costs.test.mjs measures them. */
export const MEASURED = {
  create: { queries: 2, rows_read: 5, rows_written: 7 },
  start: { queries: 2, rows_read: 2, rows_written: 5 },
  heartbeat: { queries: 2, rows_read: 2, rows_written: 2 },
  complete: { queries: 3, rows_read: 3, rows_written: 2 },
  // With its event, delivered to the Queue `EVENTS`.
  fail: { queries: 4, rows_read: 14, rows_written: 7 },
  publish: { queries: 2, rows_read: 2, rows_written: 1 },
  // The drafts of an owner who has a full page of them, and one that is being generated.
  list: { queries: 4, rows_read: 28, rows_written: 0 },
  poll: { queries: 2, rows_read: 3, rows_written: 0 },
  // The cron trigger with the monitor, on a database with 2,500 creations that ended within the hour: nothing is stale, or a hundred of
  // different owners are, each with an event.
  cron: { queries: 10, rows_read: 690, rows_written: 3 },
  cron_with_100_stale: { queries: 24, rows_read: 3_225, rows_written: 612 },
};

/** Bytes of a creation with a prompt of 200 characters, once it has ended, in SQLite with the real migrations; measured there too. */
export const BYTES = {
  creation: 645,   // the row, its key, and the index of its owner's list
  ledger: 166,     // the charge, and the refunds of three in a hundred
  archived: 710,   // a line of NDJSON
};

/** What nobody can know for you. `--assume heartbeats=10,polls=0` changes any of it. */
export const ASSUMED = {
  heartbeats: { value: 4, what: "heartbeats of a creation" },
  stale_percent: { value: 1, what: "creations in a hundred that time out" },
  failed_percent: { value: 2, what: "creations in a hundred that their worker fails" },
  published_percent: { value: 50, what: "creations in a hundred that are published" },
  lists: { value: 1, what: "loads of the drafts list for each creation" },
  polls: { value: 10, what: "questions of an open page for each creation" },
  cpu_ms: { value: 3, what: "CPU time of a request, in ms" },
  read_ms: { value: 0.5, what: "time of the database for a call that only reads, in ms" },
  write_ms: { value: 3, what: "time of the database for a transaction that writes, in ms" },
  busy_percent: { value: 50, what: "share of its time that a database is busy on average, so that peaks fit" },
  full_percent: { value: 70, what: "share of its 10 GB that a database is filled to" },
  // Measured there too, with a creation for each owner: one of the rows written is the owner's.
  archive_rows_read: { value: 42, what: "rows read for a creation that is archived" },
  archive_rows_written: { value: 2, what: "rows written for it" },
  rows_per_object: { value: 1_000, what: "creations in an object of the archive, at most" },
};
