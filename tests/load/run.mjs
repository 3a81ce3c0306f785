// A run: starts the Worker, sends the load, ends it, and checks. All that is bounded is bounded here.

import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { choices } from "../../scripts/random.mjs";
import { agenda as anAgenda, operators as someOperators, owners as someOwners, session as aSession, workers as someWorkers } from "./actors.mjs";
import { check, integrity, look, rows as read } from "./checks.mjs";
import { client as aClient, stand as aStand, watchMemory, webhook as aWebhook } from "./environment.mjs";
import { ACTIONS, LIMITS, journal as aJournal, policy } from "./journal.mjs";

/** A run of a minute or more has the longer limits. */
const LONG_S = 60;
const OWNERS = 60;
/** Every so many have too few tokens for long. */
const POOR = 10;
/** For each client so many creations are being generated at once. */
const LIVING = 6;
/** Nothing new is begun while what is due waits for longer. */
const BEHIND_MS = 250;
/** On a slow machine a run takes so much longer, until everything has happened that there is to do. */
const LONGER_MS = 30_000;
/** No more requests than this in one run. */
export const MOST_REQUESTS = 1_000_000;

/** What clients do of themselves, beside what is due. */
const MIX = [
  [34, "create"],
  [10, "page"],
  [14, "list"],
  [34, "follow"],
  [2, "removeAny"],
];

/**
 * What the Worker's log may tell of here: a webhook that is not well, the circuit breaker, and alerts of what is done on purpose. The first
 * two are of the local runtime's database, not of the Worker: it was being asked as a request was cut, and reads half of the question.
 */
const MEANT = [/^workerd\/server\/server\.c\+\+:\d+: error: Uncaught exception: .*SyntaxError: Unexpected end of JSON input$/, /^stack: \S*workerd/, /"destination":"webhook".*"event":"delivery_failed"/, /the circuit breaker is open/, /"code":"(many_stale|many_failed|one_error_dominates|circuit_breaker_open)","event":"alert_fired"/];

/** The lines of a log that tell of something else. */
export const unmeant = (lines) => lines.filter((line) => !MEANT.some((meant) => meant.test(line)));

/** Makes sure that no client sends before its turn: at most `rate` in a second. */
function pacer(rate) {
  let next = Date.now();
  return async () => {
    if (!rate) return;
    next = Math.max(next, Date.now()) + 1_000 / rate;
    await sleep(Math.max(0, next - 1_000 / rate - Date.now()));
  };
}

async function grant(stand, names) {
  const sql = "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', ?2, ?3)";
  await stand.batch(names.map((name, at) => [sql, name, at % POOR === 0 ? 60 : 1_000_000, Date.now()]));
}

/** The bytes of the database's files below `folder`. */
function bytes(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile()).reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0);
}

/** Sweeps and delivers until nothing is active and nothing is due; gives how long that took. */
async function drain({ stand, session, operators, limits, pause }) {
  const begun = Date.now();
  // Two attempts at most, each of which waits for the longest limit; and once more for a slow machine.
  const latest = begun + 3 * Math.max(limits.silence, limits.total) + 30_000;
  const left = async () => (await stand.all("SELECT (SELECT count(*) FROM stale_drafts_creations WHERE status IN ('pending', 'processing')) AS active, (SELECT count(*) FROM stale_drafts_events WHERE state = 'due' AND due_at <= ?1) AS due", Date.now()))[0];
  for (let last = await left(); last.active > 0 || last.due > 0; last = await left()) {
    if (Date.now() > latest) break;
    await Promise.all([operators.sweep(session), operators.cron(session)]);
    await sleep(pause);
  }
  // What is over is told; and the last sweep finds nothing.
  await operators.cron(session);
  const { json } = await operators.sweep(session);
  return { ms: Date.now() - begun, last: json };
}

/**
 * Runs the load for `seconds` with `clients` at once. Gives what was measured, what the checks looked at, and `found`: all that
 * is wrong. `say` is told how it goes.
 */
export async function load({ seconds, clients, rate, seed, say = () => {} }) {
  const limits = seconds < LONG_S ? LIMITS.short : LIMITS.long;
  const pause = Math.floor(limits.heartbeat / 6);
  const folder = mkdtempSync(join(tmpdir(), "stale-drafts-load-"));
  const hook = await aWebhook(choices(seed ^ 0x5eed));
  const options = { folder, policy: policy(limits), webhook_url: hook.url };
  let stand = await aStand(options);
  try {
    const journal = aJournal();
    const names = Array.from({ length: OWNERS }, (_, at) => `owner-${at}`);
    await grant(stand, names);
    const client = aClient(stand.url, 2 * clients + 4);
    const agenda = anAgenda();
    const living = new Set();
    let requests = 0;
    const count = () => (requests += 1);
    const owners = someOwners({ journal, agenda, names, living, pause });
    const operators = someOperators({ journal, agenda });
    const { create, hear } = someWorkers({ journal, agenda, limits, owners: names, living, finished: owners.finished, kept: operators.kept });
    hook.listen(hear);
    const own = aSession({ client, journal, rng: choices(seed), count });
    await operators.cron(own);

    const actions = { ...owners, ...operators, create };
    const memory = watchMemory();
    const begun = Date.now();
    const deadline = begun + seconds * 1_000;
    const turn = pacer(rate);
    operators.schedule(pause);
    const lacks = () => ACTIONS.some((action) => journal.actions[action].good === 0);
    const goes = () => requests < MOST_REQUESTS && (Date.now() < deadline || (Date.now() < deadline + LONGER_MS && lacks()));

    async function work(number) {
      const session = aSession({ client, journal, rng: choices(seed + 7_919 * number), count });
      while (goes()) {
        await turn();
        const late = agenda.late();
        if (late >= 0 && session.rng.chance(0.8)) {
          await agenda.take()(session);
          continue;
        }
        const what = session.rng.weighted(MIX);
        const busy = living.size >= LIVING * clients || late > BEHIND_MS;
        await actions[what === "create" && busy ? "follow" : what](session);
      }
    }
    const looks = { checked: 0, found: [] };
    async function watch() {
      while (goes()) {
        await sleep(Math.min(seconds * 250, 5_000));
        looks.found.push(...(await look(stand.batch)));
        looks.checked += 1;
        say(`${Math.round((Date.now() - begun) / 1_000)} s, ${requests} requests, ${living.size} being generated, ${journal.wrong.length + looks.found.length} wrong`);
      }
    }
    await Promise.all([watch(), ...Array.from({ length: clients }, (_, number) => work(number + 1))]);
    const took = Date.now() - begun;
    const sent = requests;
    say("no more is sent; what is left goes stale and is swept");
    const drained = await drain({ stand, session: own, operators, limits, pause });
    const used = memory.stop();
    client.close();

    // What stands is read by another process, from the files that the first has left as it was killed.
    const { logs } = stand;
    await stand.stop();
    stand = await aStand(options);
    const rows = await read(stand.all);
    const broken = await integrity(stand.all);
    const { page, list, sweep, cron } = journal.actions;
    const world = { rows, journal: { lives: journal.lives }, told: hook.told, limits, held: { endpoint: sweep.held, cron: cron.held }, cutPages: page.cut + list.cut };
    const answered = ACTIONS.reduce((sum, action) => sum + journal.actions[action].answered, 0);
    const checks = [
      { name: "every answer is one that was expected", checked: answered, found: journal.wrong },
      { name: "every invariant holds while it runs", ...looks },
      { name: "the last sweep finds nothing", checked: 1, found: drained.last?.marked_as_failed === 0 && drained.last.retried === 0 ? [] : [JSON.stringify(drained.last)] },
      ...check(world),
      { name: "the Worker has logged no error", checked: logs.length, found: unmeant(logs) },
      { name: "each event is signed", checked: hook.told.size, found: hook.forged },
      { name: "the database's file is whole", checked: 1, found: broken },
    ];
    return {
      seed, seconds, clients, rate, limits, took, requests: sent, drained: drained.ms,
      actions: journal.actions,
      memory: used,
      rows: Object.fromEntries(Object.entries(rows).map(([table, list]) => [table, list.length])),
      bytes: bytes(folder),
      statuses: Object.fromEntries(Map.groupBy(rows.creations, ({ status, error_code }) => (error_code === "generation_timeout" ? "failed by a sweep" : status)).entries().map(([status, list]) => [status, list.length])),
      events: { told: hook.told.size, again: [...hook.told.values()].filter(({ times }) => times > 1).length, waiting: rows.events.length },
      checks,
      found: checks.flatMap(({ name, found }) => found.map((text) => `${name}: ${text}`)),
      world,
    };
  } finally {
    await stand.stop();
    await hook.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const MB = 1_048_576;
const SHOWN = 20;
const number = (value) => value.toLocaleString("en");
const ms = (ns) => (Number(ns) / 1e6).toFixed(1);
const row = (first, ...cells) => first.padEnd(12) + cells.map((cell) => String(cell).padStart(9)).join("");

function memory(name, seen) {
  if (!seen) return `${name.padEnd(12)}n/a`;
  const mb = (bytes) => (bytes / MB).toFixed(0);
  return row(name, mb(seen.first), mb(seen.middle), mb(seen.peak), mb(seen.last));
}

/** The text of a run's results. */
export function print({ seed, seconds, clients, rate, limits, took, requests, drained, actions, memory: used, rows, bytes, statuses, events, checks, found }) {
  const lines = [
    `seed ${seed}, ${seconds} s, ${clients} clients${rate ? `, at most ${rate} requests a second` : ""}; limits: ${limits.silence} ms, between heartbeats ${limits.heartbeat} ms, songs in all ${limits.total} ms`,
    "",
    `${row("action", "answered", "refused", "held", "cut", "wrong", "p50 ms", "p90 ms", "p99 ms", "max ms")}`,
  ];
  for (const [name, { answered, refused, held, cut, wrong, latency }] of Object.entries(actions)) {
    const at = (percent) => (answered > 0 ? ms(latency.percentile(percent)) : "-");
    lines.push(row(name, number(answered), refused, held, cut, wrong, at(50), at(90), at(99), answered > 0 ? ms(latency.max) : "-"));
  }
  lines.push(
    "",
    `${number(requests)} requests in ${(took / 1_000).toFixed(1)} s: ${number(Math.round(requests / (took / 1_000)))} a second; ${(drained / 1_000).toFixed(1)} s more until nothing was left`,
    "",
    row("resident MB", "begin", "middle", "peak", "end"),
    memory("workerd", used.workerd),
    memory("driver", used.driver),
    "",
    `rows: ${Object.entries(rows).map(([table, count]) => `${table} ${number(count)}`).join(", ")}; ${(bytes / MB).toFixed(1)} MB of files`,
    `creations: ${Object.entries(statuses).map(([status, count]) => `${status} ${number(count)}`).join(", ")}`,
    `events: ${number(events.told)} told, ${number(events.again)} of them more than once, ${number(events.waiting)} waiting for another try`,
    "",
    `${"check".padEnd(56)}${"looked at".padStart(10)}${"wrong".padStart(7)}`,
    ...checks.map(({ name, checked, found: wrong }) => `${name.padEnd(56)}${number(checked).padStart(10)}${String(wrong.length).padStart(7)}`),
    "",
    ...found.slice(0, SHOWN).map((text) => `✗ ${text}`),
    found.length === 0 ? "nothing is wrong" : `${found.length} wrong`,
  );
  return lines.join("\n");
}
