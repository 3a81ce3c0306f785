// What must hold: at every moment, by the queries of tests/invariants.sql; and in the end, when everything is read from the files that
// the runtime has left: what was acknowledged stands, the money is exact, nobody was wronged, every event is delivered or waits.

import { readFileSync } from "node:fs";
import { attemptsOf, lastBeat, lived } from "./journal.mjs";

/** Rows at once. */
const PAGE = 2_000;

const TABLES = {
  creations: "SELECT id, user_id, kind, prompt, status, attempt, tokens, created_at, queued_at, started_at, heartbeat_at, finished_at, error, error_code, worker, fence, result_url, late_result_url, late_at, restored_at, deleted_at, stuck_status, age_ms, max_age_ms, sweep_id FROM stale_drafts_creations ORDER BY id",
  attempts: "SELECT creation_id, attempt, outcome, worker, fence, started_at, heartbeat_at, finished_at, error_code, stuck_status, age_ms, max_age_ms, sweep_id FROM stale_drafts_attempts ORDER BY creation_id, attempt",
  ledger: "SELECT entry_key, user_id, type, creation_id, sweep_id, tokens FROM stale_drafts_ledger ORDER BY entry_key",
  balances: "SELECT user_id, tokens FROM stale_drafts_balances ORDER BY user_id",
  sweeps: "SELECT id, source, started_at, finished_at, failed, retried, rejected, unreadable, refunded_tokens, error FROM stale_drafts_sweeps ORDER BY id",
  events: "SELECT id, state, due_at, deliveries, body FROM stale_drafts_events ORDER BY id",
  rollups: "SELECT outcome, creations, tokens FROM stale_drafts_rollups WHERE hour = 0 ORDER BY outcome, kind, stuck_status, rule",
  alerts: "SELECT code, since, resolved_at FROM stale_drafts_alerts ORDER BY code, since",
};

/** All of it, table by table; nobody else may write meanwhile. */
export async function rows(all) {
  const found = {};
  for (const [table, sql] of Object.entries(TABLES)) {
    found[table] = [];
    for (let page; !page || page.length === PAGE; found[table].push(...page)) {
      page = await all(`${sql} LIMIT ${PAGE} OFFSET ${found[table].length}`);
    }
  }
  return found;
}

/** What must hold at every moment: the queries of tests/invariants.sql, by name. Each finds what breaks it. */
const INVARIANTS = Object.fromEntries(
  readFileSync(new URL("../invariants.sql", import.meta.url), "utf8").split(/^-- name: /m).slice(1).map((part) => {
    const [name, ...sql] = part.trim().split("\n");
    return [name, sql.join("\n").replace(/;$/, "")];
  }),
);

/** Looks at one moment: `batch` runs `[[sql], …]` in one transaction. Gives what is broken, by invariant and row. */
export async function look(batch) {
  const results = await batch(Object.values(INVARIANTS).map((sql) => [`SELECT * FROM (${sql}) LIMIT 20`]));
  return Object.keys(INVARIANTS).flatMap((name, at) => results[at].map((row) => `not so while it ran: ${name}: ${JSON.stringify(row)}`));
}

/** What SQLite itself finds wrong with the file. */
export async function integrity(all) {
  const quick = (await all("PRAGMA quick_check")).map((row) => Object.values(row)[0]).filter((text) => text !== "ok");
  const foreign = await all("PRAGMA foreign_key_check");
  return [...quick, ...foreign.map((row) => JSON.stringify(row))];
}

// Each check is given the rows, the journal's creations and what the webhook took. It gives how many things it looked at, and what
// is wrong with them.

/** What was acknowledged: reports of `action` that were good. */
const acknowledged = ({ lives }, action) =>
  [...lives.values()].flatMap((life) => life.reports.filter((report) => report.action === action && report.is === "good").map((report) => ({ life, report })));

/** Checks each of `list`; `fault` says what is wrong with one. */
function each(list, fault) {
  const found = list.map((item) => fault(item)).filter(Boolean);
  return { checked: list.length, found };
}

/** Looks up by what is asked often. */
function index({ rows, journal, told }) {
  const by = (list, key) => new Map(list.map((row) => [key(row), row]));
  const group = (list, key) => Map.groupBy(list, key);
  const fences = new Map();
  for (const row of rows.creations) if (row.fence) fences.set(row.fence + row.id, row);
  for (const row of rows.attempts) if (row.fence) fences.set(row.fence + row.creation_id, row);
  return {
    ...rows,
    lives: journal.lives,
    told,
    creation: by(rows.creations, ({ id }) => id),
    attemptsOf: group(rows.attempts, ({ creation_id }) => creation_id),
    entries: group(rows.ledger, ({ creation_id }) => creation_id),
    sweep: by(rows.sweeps, ({ id }) => id),
    /** The attempt that a fence was given to. */
    fenced: (id, fence) => fences.get(fence + id),
  };
}

const entry = (world, id, type) => (world.entries.get(id) ?? []).filter((row) => row.type === type);

/** The attempts that sweeps ended: each with the creation, and when the attempt had been put back to pending. */
function timedOut(world) {
  const ended = [...world.attempts.filter(({ sweep_id }) => sweep_id), ...world.creations.filter(({ sweep_id }) => sweep_id)];
  return ended.map((attempt) => {
    const id = attempt.creation_id ?? attempt.id;
    const before = world.attemptsOf.get(id)?.find((row) => row.outcome === "retried" && row.attempt === attempt.attempt - 1);
    return { id, attempt, queued_at: before?.finished_at };
  });
}

/** The events that there must have been. */
function expectedEvents(world) {
  const failed = world.creations.filter(({ status, restored_at }) => status === "failed" || restored_at !== null);
  const resolved = world.alerts.filter(({ resolved_at }) => resolved_at !== null);
  return [
    ...failed.map(({ id, attempt }) => `failed:${id}:${attempt}`),
    ...world.creations.filter(({ restored_at }) => restored_at !== null).map(({ id, attempt }) => `restored:${id}:${attempt}`),
    ...world.attempts.filter(({ outcome }) => outcome === "retried").map(({ creation_id, attempt }) => `retried:${creation_id}:${attempt}`),
    ...world.alerts.map(({ code, since }) => `alert.fired:${code}:${since}`),
    ...resolved.map(({ code, since }) => `alert.resolved:${code}:${since}`),
  ];
}

const CHECKS = {
  "acknowledged creations stand": (world) => each([...world.lives.values()], ({ id, user, kind, tokens, prompt }) => {
    const row = world.creation.get(id);
    if (!row) return `${id} is not there`;
    if (row.user_id !== user || row.kind !== kind || row.tokens !== tokens) return `${id} is another: ${JSON.stringify(row)}`;
    if (row.deleted_at === null ? row.prompt !== prompt : row.prompt !== "") return `the prompt of ${id} is ${row.prompt}`;
  }),
  "no creation that nobody was told of": (world) => each(world.creations, ({ id }) => (world.lives.has(id) ? undefined : `${id} was never acknowledged`)),
  "acknowledged starts stand": (world) => each(acknowledged(world, "start"), ({ life, report }) => {
    const row = world.fenced(life.id, report.json.fence);
    if (row?.worker !== report.worker || row.attempt !== report.json.attempt || row.started_at !== report.json.started_at) return `${life.id} was started by ${report.worker} as ${report.json.fence}, and it is ${JSON.stringify(row)}`;
  }),
  "acknowledged heartbeats stand": (world) => {
    const fences = Map.groupBy(acknowledged(world, "heartbeat"), ({ life, report }) => `${report.fence} ${life.id}`);
    const { found } = each([...fences.values()], (list) => {
      const [{ life, report: { fence } }] = list;
      const stored = world.fenced(life.id, fence)?.heartbeat_at;
      const least = lastBeat(life.reports.filter((report) => report.action === "heartbeat" && report.fence === fence && report.is !== "refused"));
      if (!(stored >= least)) return `${life.id} was last alive at ${least} or later, and ${stored} stands`;
    });
    return { checked: acknowledged(world, "heartbeat").length, found };
  },
  "acknowledged results stand": (world) => each(acknowledged(world, "complete"), ({ life: { id }, report: { result_url } }) => {
    const { status, result_url: stored, deleted_at } = world.creation.get(id) ?? {};
    const there = deleted_at === null ? stored === result_url : stored === null;
    if (!["draft", "published"].includes(status) || !there) return `${id} was completed with ${result_url}, and it is ${status} with ${stored}`;
  }),
  "acknowledged failures stand, and are refunded": (world) => each(acknowledged(world, "fail"), ({ life: { id }, report }) => {
    const row = world.creation.get(id);
    // A restore has undone it, and recorded it.
    const { error_code, outcome, status } = row?.restored_at ? world.attemptsOf.get(id).find((attempt) => attempt.outcome === "restored") : row ?? {};
    if ((outcome ?? status) !== (row?.restored_at ? "restored" : "failed") || error_code !== report.error_code) return `${id} failed with ${report.error_code}, and it is ${outcome ?? status} with ${error_code}`;
    if (entry(world, id, "refund").length !== 1) return `${id} failed, and it is not refunded once`;
  }),
  "results that came too late are kept": (world) => {
    const kept = [...world.lives.values()].filter(({ reports }) => reports.some(({ json }) => json?.kept));
    return each(kept, ({ id }) => {
      const { late_result_url, deleted_at } = world.creation.get(id) ?? {};
      if (!late_result_url && deleted_at === null) return `a result of ${id} was said to be kept, and there is none`;
    });
  },
  "acknowledged restores are charged": (world) => each(acknowledged(world, "restore"), ({ life: { id } }) => {
    const { status, restored_at, tokens } = world.creation.get(id) ?? {};
    const charged = entry(world, id, "restore");
    if (!["draft", "published"].includes(status) || restored_at === null || charged.length !== 1 || charged[0].tokens !== -tokens) return `${id} was restored, and it is ${status}, charged ${JSON.stringify(charged)}`;
  }),
  "what owners published and deleted stands": (world) => {
    const published = each(acknowledged(world, "publish"), ({ life: { id } }) => {
      const { status } = world.creation.get(id) ?? {};
      if (status !== "published") return `${id} was published, and it is ${status}`;
    });
    const deleted = each(acknowledged(world, "delete"), ({ life: { id } }) => {
      const { deleted_at, prompt, result_url, late_result_url } = world.creation.get(id) ?? {};
      if (deleted_at === null || prompt !== "" || result_url !== null || late_result_url !== null) return `${id} was deleted, and it is there`;
    });
    return { checked: published.checked + deleted.checked, found: [...published.found, ...deleted.found] };
  },
  "nobody was refused a result without cause": (world) => {
    const refused = [...world.lives.values()].flatMap((life) => life.reports.filter(({ action, code }) => ["complete", "heartbeat", "fail"].includes(action) && code === "attempt_over").map((report) => ({ life, report })));
    return each(refused, ({ life: { id }, report: { action, fence } }) => {
      const row = world.fenced(id, fence);
      if (!row?.outcome && row?.status !== "failed" && !row?.restored_at) return `${action} of ${id} was refused as over, and its attempt is ${JSON.stringify(row)}`;
    });
  },
  "nothing that lived was failed": (world, { limits }) => each(timedOut(world), ({ id, attempt, queued_at }) => {
    const creation = world.lives.get(id);
    const sweep = world.sweep.get(attempt.sweep_id);
    if (!creation || !sweep) return `${id} was failed by the sweep ${attempt.sweep_id}, which is not there`;
    const why = lived({ creation, attempt, queued_at, now: sweep.started_at, limits });
    return why && `${id} was failed as ${attempt.stuck_status}: ${why}`;
  }),
  "nothing is tried too seldom or too often": (world) => each(world.creations, ({ id, kind, attempt, error_code }) => {
    const most = attemptsOf(kind);
    if (attempt > most || (error_code === "generation_timeout" && attempt < most)) return `${id} is a ${kind}, and its attempt ${attempt} of ${most} was the last`;
    if ((world.attemptsOf.get(id) ?? []).filter(({ outcome }) => outcome === "retried").length !== attempt - 1) return `the attempts of ${id} are not all recorded`;
  }),
  "nothing stale remains after the last sweep": (world) => each(world.creations, ({ id, status }) => (["pending", "processing"].includes(status) ? `${id} is still ${status}` : undefined)),
  "each balance is the sum of its ledger": (world) => {
    const sums = new Map();
    for (const { user_id, tokens } of world.ledger) sums.set(user_id, (sums.get(user_id) ?? 0) + tokens);
    const balances = new Map(world.balances.map(({ user_id, tokens }) => [user_id, tokens]));
    return each([...new Set([...sums.keys(), ...balances.keys()])], (user) => (sums.get(user) === balances.get(user) ? undefined : `${user} has ${balances.get(user)}, and the ledger says ${sums.get(user)}`));
  },
  "charged once, refunded once and with the same": (world) => each(world.creations, ({ id, user_id, tokens }) => {
    const [charges, refunds] = [entry(world, id, "charge"), entry(world, id, "refund")];
    if (charges.length !== 1 || charges[0].tokens !== -tokens || charges[0].user_id !== user_id) return `${id} costs ${tokens}, and was charged ${JSON.stringify(charges)}`;
    if (refunds.length > 1 || refunds.some((refund) => refund.tokens !== tokens || refund.user_id !== user_id)) return `${id} costs ${tokens}, and was refunded ${JSON.stringify(refunds)}`;
  }),
  "failed means refunded, and refunded means failed": (world) => each(world.creations, ({ id, status, restored_at }) => {
    const refunded = entry(world, id, "refund").length > 0;
    if (refunded !== (status === "failed" || restored_at !== null)) return `${id} is ${status}, and it is ${refunded ? "" : "not "}refunded`;
    if ((entry(world, id, "restore").length > 0) !== (restored_at !== null)) return `${id} is charged for a restore that was none, or not charged for one`;
  }),
  "each sweep counts what the ledger says": (world) => {
    const refunds = Map.groupBy(world.ledger.filter(({ type, sweep_id }) => type === "refund" && sweep_id), ({ sweep_id }) => sweep_id);
    const retries = Map.groupBy(world.attempts.filter(({ outcome }) => outcome === "retried"), ({ sweep_id }) => sweep_id);
    const counted = each(world.sweeps, ({ id, source, failed, retried, refunded_tokens }) => {
      const of = refunds.get(id) ?? [];
      const tokens = of.reduce((sum, entry) => sum + entry.tokens, 0);
      const again = retries.get(id)?.length ?? 0;
      if (failed !== of.length || refunded_tokens !== tokens || retried !== again) return `the ${source} sweep ${id} says ${failed} failed, ${refunded_tokens} tokens, ${retried} retried; there are ${of.length}, ${tokens}, ${again}`;
    });
    for (const id of [...refunds.keys(), ...retries.keys()]) if (!world.sweep.has(id)) counted.found.push(`the sweep ${id} is not there`);
    for (const [outcome, column] of [["failed", "failed"], ["retried", "retried"]]) {
      const rolled = world.rollups.filter((row) => row.outcome === outcome).reduce((sum, row) => sum + row.creations, 0);
      const swept = world.sweeps.reduce((sum, row) => sum + row[column], 0);
      if (rolled !== swept) counted.found.push(`the roll-ups count ${rolled} ${outcome}, and the sweeps ${swept}`);
    }
    return counted;
  },
  "each sweep ended, and none was refused a row": (world, { held, cutPages }) => {
    const breaker = (error) => error?.startsWith("the circuit breaker is open");
    // A page that was closed before it came may have taken its sweep with it, between two transactions.
    let cut = cutPages;
    const ended = each(world.sweeps, ({ id, source, finished_at, rejected, unreadable, error }) => {
      const running = finished_at === null && (source !== "page" || (cut -= 1) < 0);
      if (running || rejected > 0 || unreadable > 0 || (error !== null && !breaker(error))) return `the ${source} sweep ${id}: ${JSON.stringify({ finished_at, rejected, unreadable, error })}`;
    });
    for (const source of ["cron", "endpoint"]) {
      const stand = world.sweeps.filter((row) => row.source === source && breaker(row.error)).length;
      if (stand !== held[source]) ended.found.push(`${held[source]} sweeps by ${source} were answered as stopped by the circuit breaker, and ${stand} stand so`);
    }
    return ended;
  },
  "each event is told, or still in the outbox": (world) => {
    const outbox = new Map(world.events.map((event) => [event.id, event]));
    const expected = new Set(expectedEvents(world));
    const accounted = each([...expected], (id) => (world.told.has(id) || outbox.has(id) ? undefined : `${id} was never told`));
    for (const id of [...world.told.keys(), ...outbox.keys()]) if (!expected.has(id)) accounted.found.push(`${id} was told, and it did not happen`);
    for (const { id, state } of world.events) if (state === "dead") accounted.found.push(`${id} was given up`);
    return accounted;
  },
  "what is told is true": (world) => each([...world.told.values()].filter(({ event }) => event.data.creation_id), ({ event: { id, type, data } }) => {
    const row = world.creation.get(data.creation_id);
    const refunded = type === "creation.failed" ? row?.tokens : 0;
    if (data.user_id !== row?.user_id || data.tokens !== row.tokens || data.refunded_tokens !== refunded || `creation.${id.split(":")[0]}` !== type) return `${id} says ${JSON.stringify(data)}`;
  }),
};

/** The checks' names. */
export const NAMES = Object.keys(CHECKS);

/** Carries them all out: `[{ name, checked, found }]`. */
export function check(result) {
  const world = index(result);
  return NAMES.map((name) => ({ name, ...CHECKS[name](world, result) }));
}
