// What a fleet of so many creations a second needs of the platform, and what a month of it costs.

import { ASSUMED, BYTES, LIMITS, MEASURED, PRICES } from "./figures.mjs";

export const DAY_S = 86_400;
const MONTH_DAYS = 30;
const CRONS = MONTH_DAYS * DAY_S / 60;
export const GB = 1e9;
/** What a cron keeps of its queries for what goes on beside its sweeps: docs/limits.md. */
const KEPT_QUERIES = 20;
const NOTHING = { queries: 0, rows_read: 0, rows_written: 0 };

const plus = (a, b, times = 1) => Object.fromEntries(Object.keys(NOTHING).map((key) => [key, a[key] + b[key] * times]));

/** The assumptions, without what they mean; `given` replaces some. */
export const assumptions = (given = {}) => ({ ...Object.fromEntries(Object.entries(ASSUMED).map(([name, { value }]) => [name, value])), ...given });

/** How many shards one invocation can sweep, with so many queries each. */
export const shardsOfInvocation = ({ queries }) => Math.floor((LIMITS.queries.value - KEPT_QUERIES) / queries);

/** What a creation costs that times out, with its event: what a cron costs more if it finds a hundred of them, for each. */
export const timedOut = () => plus(NOTHING, plus(MEASURED.cron_with_100_stale, MEASURED.cron, -1), 1 / 100);

/** What it costs to archive a creation. Each object has a few queries. */
const archiving = ({ rows_per_object, archive_rows_read, archive_rows_written }) => ({ queries: 10 / rows_per_object, rows_read: archive_rows_read, rows_written: archive_rows_written });

/** The requests of one creation: how often each comes, what it costs, and how long the database is at it. */
export function requests(assumed, sharded) {
  const { heartbeats, stale_percent, failed_percent, published_percent, lists, polls, read_ms, write_ms } = assumed;
  // Where there are shards, a statement before a creation is made asks whether this one takes the bucket: it reads the row that says so.
  const fence = { ...NOTHING, queries: sharded ? 1 : 0, rows_read: sharded ? 1 : 0 };
  const write = (what, times, cost) => ({ what, times, cost, ms: write_ms });
  const read = (what, times, cost, calls) => ({ what, times, cost, ms: calls * read_ms });
  return [
    write("create", 1, plus(MEASURED.create, fence)),
    write("start", 1, MEASURED.start),
    write("heartbeat", heartbeats, MEASURED.heartbeat),
    write("complete", 1 - (stale_percent + failed_percent) / 100, MEASURED.complete),
    write("fail, with its event", failed_percent / 100, MEASURED.fail),
    write("publish", published_percent / 100, MEASURED.publish),
    read("drafts list", lists, MEASURED.list, 2),
    read("open page asks", polls, MEASURED.poll, 1),
  ];
}

/** The sum over the requests of one creation. */
export const ofCreation = (list) => ({
  requests: list.reduce((sum, { times }) => sum + times, 0),
  cost: list.reduce((sum, { times, cost }) => plus(sum, cost, times), NOTHING),
  ms: list.reduce((sum, { times, ms }) => sum + times * ms, 0),
});

/** Dollars for a million of each, beyond what a month includes. */
export function aMillion(assumed) {
  const price = (name) => PRICES[name].dollars * 1e6 / PRICES[name].per;
  const rows = ({ rows_read, rows_written }) => rows_read * price("rows_read") + rows_written * price("rows_written");
  const request = price("requests") + assumed.cpu_ms * price("cpu");
  const { requests: count, cost } = ofCreation(requests(assumed, true));
  const stored = (bytes, name) => bytes / GB * price(name);
  return {
    creation: count * request + rows(cost) + rows(timedOut()) * assumed.stale_percent / 100,
    heartbeat: request + rows(MEASURED.heartbeat),
    poll: request + rows(MEASURED.poll),
    kept: stored(BYTES.creation, "d1_storage"),
    ledger: stored(BYTES.ledger, "d1_storage"),
    archiving: rows(archiving(assumed)) + price("r2_writes") / assumed.rows_per_object,
    archived: stored(BYTES.archived, "r2_storage"),
    offer: 3 * price("queues"),
  };
}

/** What one database holds and does. */
export function database(assumed) {
  const gb = LIMITS.database_gb.value * assumed.full_percent / 100;
  const { ms } = ofCreation(requests(assumed, true));
  const aSecond = 1_000 / ms * assumed.busy_percent / 100;
  const aDayForAYear = (keepDays) => gb * GB / (Math.min(keepDays, 365) * BYTES.creation + 365 * BYTES.ledger);
  return { gb, ms, aSecond, aDayForAYear };
}

/** Days until an account's storage is full. Before the first creations are archived everything grows, and then only the ledger. */
export function daysUntilFull(rate, keepDays) {
  const aDay = rate * DAY_S / GB;
  const full = LIMITS.account_gb.value;
  const all = full / (aDay * (BYTES.creation + BYTES.ledger));
  return all <= keepDays ? all : (full - keepDays * aDay * BYTES.creation) / (aDay * BYTES.ledger);
}

export function dollars({ dollars: price, per, included }, amount) {
  return Math.max(0, amount - included) / per * price;
}

/** The last of so many months with so many creations a second. Those that ended `keepDays` ago are archived. */
export function fleet(rate, assumed, { keepDays = Infinity, months = 1 } = {}) {
  const creations = rate * MONTH_DAYS * DAY_S;
  const ever = creations * months;
  const kept = rate * DAY_S * Math.min(keepDays, MONTH_DAYS * months);
  const archived = ever - kept;
  const archivedNow = Math.min(archived, creations);
  const creationsGb = kept * BYTES.creation / GB;
  const ledgerGb = ever * BYTES.ledger / GB;

  const { gb, aSecond } = database(assumed);
  const byThroughput = Math.ceil(rate / aSecond);
  const byStorage = Math.ceil((creationsGb + ledgerGb) / gb);
  const shards = Math.max(byThroughput, byStorage);

  const stale = creations * assumed.stale_percent / 100;
  const events = stale + creations * assumed.failed_percent / 100;
  // The sweeps of all shards go into one invocation as long as their queries fit.
  const busy = stale / CRONS / shards >= 0.5;
  const byQueue = shards > shardsOfInvocation(busy ? MEASURED.cron_with_100_stale : MEASURED.cron);
  const sweepMessages = byQueue ? shards * CRONS : 0;

  const one = ofCreation(requests(assumed, shards > 1));
  const parts = [[one.cost, creations], [timedOut(), stale], [MEASURED.cron, CRONS * shards], [archiving(assumed), archivedNow]];
  const d1 = parts.reduce((sum, [cost, times]) => plus(sum, cost, times), NOTHING);

  const invocations = creations * one.requests + CRONS + sweepMessages;
  const amounts = {
    plan: 1,
    requests: invocations,
    cpu: invocations * assumed.cpu_ms,
    rows_read: d1.rows_read,
    rows_written: d1.rows_written,
    d1_storage: creationsGb + ledgerGb,
    queues: 3 * (events + sweepMessages),
    r2_storage: archived * BYTES.archived / GB,
    r2_writes: archivedNow === 0 ? 0 : Math.max(archivedNow / assumed.rows_per_object, shards * MONTH_DAYS * 24),
  };
  const items = Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, dollars(PRICES[name], amount)]));
  return {
    creations, shards, byThroughput, byStorage, byQueue, creationsGb, ledgerGb, events, sweepMessages, d1, amounts, items,
    stalePerMinute: stale / CRONS,
    sum: Object.values(items).reduce((sum, item) => sum + item, 0),
    // Not in the sum: what only some have.
    offers: dollars(PRICES.queues, amounts.queues + 3 * creations) - items.queues,
    logs: dollars(PRICES.logs, invocations),
  };
}
