// What each real situation looks like to an operator: the exact list of what is found in `/readyz`, `/api/doctor`, on the
// dashboard and as alerts. The cause is named, and only the cause: what it explains is not said beside it.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, SELECT, start, statements, token } from "./harness.mjs";

/** When each situation begins. A sweep's end is by the database's clock, so it is the present. */
const T0 = Date.now();
const SECOND = 1_000;
const MIGRATIONS = new URL("../../migrations/", import.meta.url);

/** Sets the clock, so long after the beginning. */
const at = (world, millis) => world.order({ now: T0 + millis });

/** The cron trigger, each minute from one to the other. */
async function cronEachMinute(world, from, to) {
  for (let minute = from; minute <= to; minute += 1) {
    await at(world, minute * MINUTE);
    await world.cron();
  }
}

/** A request of a user, beside which the monitor looks: gives its status, once the monitor is done. */
async function request(world) {
  const { now } = await world.one("SELECT max(looked_at) AS now FROM stale_drafts_monitor");
  const response = await world.fetch("/api/drafts", { headers: { Authorization: `Bearer ${token({ sub: "visitor", exp: T0 / SECOND + 86_400 })}` } });
  for (let tries = 0; tries < 100 && (await world.one("SELECT looked_at FROM stale_drafts_monitor")).looked_at === now; tries += 1) await new Promise((done) => setTimeout(done, 10));
  // It has taken its turn; it looks and writes in two more calls.
  await new Promise((done) => setTimeout(done, 150));
  return response.status;
}

const many = (count, fields) => Array.from({ length: count }, (_, n) => ({ id: `${fields.name ?? "c"}${n}`, ...fields, name: undefined }));
const waiting = (minutes, fields = {}) => ({ created_at: T0 - minutes * MINUTE, ...fields });
const working = (minutes, fields = {}) => ({ status: "processing", created_at: T0 - minutes * MINUTE, started_at: T0 - minutes * MINUTE, ...fields });
const failed = (world, ids, code) => world.all("UPDATE stale_drafts_creations SET status = 'failed', finished_at = ?1, error = 'it failed', error_code = ?2 WHERE id IN (SELECT value FROM json_each(?3))", T0, code, JSON.stringify(ids));
const event = (world, destinations) => world.all("INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, body) VALUES ('e1', ?1, ?2, ?1, '{}')", T0, destinations);
/** Each of these videos is started so many minutes before the beginning, beats so many minutes before it, and is started once more by its worker then. */
async function startedTwice(world, videos) {
  for (const [n, [minutes, silent]] of videos.entries()) {
    const [id, worker] = [`v${n}`, `task-${n}`];
    await at(world, -minutes * MINUTE);
    await world.create({ id, kind: "video", created_at: T0 - minutes * MINUTE });
    const { fence } = await world.report(`/${id}/start`, { worker });
    await at(world, -silent * MINUTE);
    await world.report(`/${id}/heartbeat`, { fence });
    await at(world, 0);
    const again = await world.report(`/${id}/start`, { worker });
    assert.deepEqual([again.http, again.fence], [200, fence]);
    await world.report(`/${id}/heartbeat`, { fence });
  }
}
const pause = (world) => world.all("INSERT INTO stale_drafts_controls (name, since, actor, detail) VALUES ('paused', ?, 'anna', 'by an operator')", T0);
/** An app whose own trigger rejects that one of its creations fails. */
const REJECTS = "CREATE TRIGGER own BEFORE UPDATE OF status ON stale_drafts_creations WHEN NEW.status = 'failed' AND NEW.id = 'rejected' BEGIN SELECT RAISE(ABORT, 'the app says no'); END";
/** Two databases, and a mover that has gone so far with the buckets of the first, at the beginning. */
const SHARDS = { shards: 2 };
async function moveTo(world, state) {
  await world.cron();
  // What it writes to the source is refused, after the target has taken it.
  if (state === "begun") await world.databases[0].prepare("CREATE TRIGGER no_moves BEFORE INSERT ON stale_drafts_moves BEGIN SELECT RAISE(ABORT, 'no'); END").run();
  else await world.order(state === "copied" ? { now: T0, failBefore: /SET state = 'verified'/ } : { now: T0 });
  const body = JSON.stringify({ source: "DB_0", target: "DB_1", buckets: "0-7" });
  const { status } = await world.fetch("/api/shards/moves", { method: "POST", body, headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });
  assert.equal(status, state === "moved" ? 200 : 503);
  await world.order({ now: T0 });
}
const LIMITS = { policy: { max_age_hours: 1, heartbeat_minutes: 30, kinds: { video: { max_age_hours: 6 } } } };
const WEBHOOK = { config: { webhook_url: "https://app.test/hook" }, bindings: { WEBHOOK_SECRET: "whsec_bm90LXVzZWQtYW55d2hlcmUtZWxzZS13ZWJob29rLXNlY3JldA==" } };

/**
 * Each situation: what it is, how it comes about, and what is found. `ready`, `doctor`, `dashboard` and `alerts` default to what
 * `found` says; what is found is critical and in all four, unless one says otherwise.
 */
const SITUATIONS = [
  {
    name: "all is well",
    set: async (world) => {
      await world.create({ id: "waits", ...waiting(1) }, { id: "works", ...working(20, { heartbeat_at: T0 - SECOND }) }, { id: "done", ...waiting(5, { status: "draft" }) });
      await cronEachMinute(world, 0, 2);
    },
  },
  { name: "nothing has ever happened, but that cron sweeps", set: (world) => cronEachMinute(world, 0, 0) },
  {
    name: "an operator has paused sweeping for 20 minutes",
    set: async (world) => {
      await world.cron();
      await pause(world);
      await world.create({ id: "stale", ...working(58) });
      await cronEachMinute(world, 1, 20);
    },
    ready: ["held"],
    found: ["sweeping_paused"],
  },
  {
    name: "an operator has paused sweeping, and cron has nothing to sweep",
    set: async (world) => {
      await world.cron();
      await pause(world);
      await cronEachMinute(world, 1, 20);
    },
    ready: ["held"],
    found: ["sweeping_paused"],
  },
  {
    name: "sweeping goes on after a pause, and cron has not run since",
    set: async (world) => {
      await world.cron();
      await pause(world);
      await world.create({ id: "stale", ...working(58) });
      await cronEachMinute(world, 1, 20);
      await world.all("DELETE FROM stale_drafts_controls");
      await at(world, 21 * MINUTE + SECOND);
      await request(world);
    },
  },
  {
    name: "the circuit breaker is open for 20 minutes",
    set: async (world) => {
      await world.create(...many(60, working(58)));
      await cronEachMinute(world, 0, 20);
    },
    ready: ["held"],
    found: ["circuit_breaker_open"],
  },
  {
    name: "an operator has applied the plan that the circuit breaker held",
    set: async (world) => {
      await world.create(...many(60, working(58)));
      await cronEachMinute(world, 0, 20);
      const plan = await (await world.cleanup("?dry_run=true")).text();
      assert.equal((await world.cleanup("", CLEANUP_TOKEN, plan)).status, 200);
      await cronEachMinute(world, 21, 21);
    },
    // They have really timed out.
    found: ["many_stale"],
    ready: [],
  },
  {
    name: "cron stopped 20 minutes ago",
    set: async (world) => {
      await world.create({ id: "stale", ...working(58) });
      await world.cron();
      await at(world, 20 * MINUTE);
      assert.equal(await request(world), 200);
    },
    ready: ["sweep"],
    found: ["cron_not_running"],
  },
  {
    name: "cron stopped five minutes ago, which it may",
    set: async (world) => {
      await world.create({ id: "stale", ...working(59) });
      await world.cron();
      await at(world, 6 * MINUTE);
      await request(world);
    },
  },
  {
    name: "cron has never run",
    set: async (world) => {
      await at(world, MINUTE);
      await request(world);
    },
    ready: ["sweep"],
    found: ["cron_not_running"],
  },
  {
    name: "cron is four seconds late",
    set: async (world) => {
      await world.create({ id: "stale", ...working(59) });
      await cronEachMinute(world, 0, 0);
      await at(world, MINUTE + 4 * SECOND);
      await request(world);
    },
  },
  {
    name: "cron runs hourly, as the configuration says",
    options: { config: { ...LIMITS, max_minutes_since_sweep: 75 } },
    set: async (world) => {
      await world.create({ id: "stale", ...working(57) });
      await world.cron();
      await at(world, 59 * MINUTE);
      await request(world);
    },
  },
  {
    name: "there is no cron trigger, as the configuration says",
    options: { config: { ...LIMITS, max_minutes_since_sweep: 0 } },
    set: async (world) => {
      await world.create({ id: "stale", ...working(59) });
      await at(world, 3 * HOUR);
      await request(world);
    },
    ready: ["not expected"],
  },
  {
    name: "the database is locked",
    set: (world) => cronEachMinute(world, 0, 1),
    ask: (world) => world.order({ now: T0 + 2 * MINUTE, failBefore: /./ }),
    ready: ["schema", "sweep"],
    doctor: [503],
    dashboard: [503],
    alerts: [],
  },
  {
    name: "each sweep fails, for 12 minutes",
    set: async (world) => {
      await world.cron();
      for (let minute = 1; minute <= 12; minute += 1) {
        await world.order({ now: T0 + minute * MINUTE, failBefore: SELECT });
        assert.equal(await world.cron(), "exception");
      }
    },
    ready: ["sweep"],
    found: ["sweep_failing"],
  },
  {
    name: "one sweep has failed",
    set: async (world) => {
      await world.cron();
      await world.order({ now: T0 + MINUTE, failBefore: SELECT });
      await world.cron();
    },
    doctor: ["sweep_failing"],
  },
  {
    name: "two videos were begun 30 seconds apart by workers that send no heartbeats, and images wait",
    set: async (world) => {
      await world.create({ id: "v1", kind: "video", ...working(40) }, { id: "v2", kind: "video", ...working(39.5) }, ...many(10, waiting(15)));
      await cronEachMinute(world, 0, 1);
    },
  },
  {
    name: "1,500 were asked for within minutes, and all workers are busy",
    set: async (world) => {
      await world.create(...many(5, working(14, { name: "w", heartbeat_at: T0 - 10 * SECOND })));
      await world.create(...many(1_500, waiting(12)));
      await cronEachMinute(world, 0, 1);
    },
  },
  {
    name: "1,500 were asked for within minutes, and workers without heartbeats are busy",
    set: async (world) => {
      await world.create(...many(5, working(14, { name: "w" })));
      await world.create(...many(1_500, waiting(12)));
      await cronEachMinute(world, 0, 1);
    },
  },
  {
    name: "no worker runs",
    set: async (world) => {
      await world.create(...many(5, waiting(20)));
      await cronEachMinute(world, 0, 1);
    },
    doctor: ["no_worker_running"],
  },
  {
    name: "no worker has run for so long that creations time out",
    set: async (world) => {
      await world.create(...many(8, waiting(70)), ...many(30, waiting(20, { name: "w" })));
      await cronEachMinute(world, 0, 1);
    },
    ready: [],
    doctor: ["no_worker_running"],
    dashboard: ["many_stale"],
    alerts: ["many_stale"],
  },
  {
    name: "a worker died, and its queue waits",
    set: async (world) => {
      await world.create(...many(3, working(20, { heartbeat_at: T0 - 7 * MINUTE })), ...many(5, waiting(14, { name: "w" })));
      await cronEachMinute(world, 0, 1);
    },
    doctor: ["worker_died"],
  },
  {
    name: "one of two workers died",
    set: async (world) => {
      await world.create(...many(3, working(20, { heartbeat_at: T0 - 7 * MINUTE })), ...many(2, working(20, { name: "w", heartbeat_at: T0 })));
      await cronEachMinute(world, 0, 1);
    },
  },
  {
    name: "the broker delivers videos again after an hour, while they are being generated",
    set: async (world) => {
      await startedTwice(world, [[60, 0], [61.5, 0.5], [10, 0]]);
      await cronEachMinute(world, 0, 1);
    },
    doctor: ["tasks_redelivered"],
  },
  {
    name: "processes of a worker were killed in the middle, and it runs their tasks again at once",
    set: async (world) => {
      await startedTwice(world, [[10, 0], [30, 0], [50, 0]]);
      await cronEachMinute(world, 0, 1);
    },
  },
  {
    name: "a worker died, and the broker has given its tasks to another one",
    set: async (world) => {
      await startedTwice(world, [[60, 20], [60, 20], [61, 20]]);
      await cronEachMinute(world, 0, 1);
    },
  },
  {
    name: "the provider is down",
    set: async (world) => {
      await world.create(...many(12, working(2, { kind: "video" })), ...many(9, waiting(1, { name: "i", status: "draft" })));
      await failed(world, many(12, {}).map(({ id }) => id), "provider_error");
      await world.all("UPDATE stale_drafts_creations SET finished_at = ? WHERE status = 'draft'", T0);
      await cronEachMinute(world, 0, 1);
    },
    ready: [],
    found: ["many_failed", "one_error_dominates"],
  },
  {
    name: "one kind fails, for several reasons",
    set: async (world) => {
      await world.create(...many(12, working(2, { kind: "video" })), ...many(9, waiting(1, { name: "i", status: "draft" })));
      for (const [n, { id }] of many(12, {}).entries()) await failed(world, [id], `error_${n % 3}`);
      await world.all("UPDATE stale_drafts_creations SET finished_at = ? WHERE status = 'draft'", T0);
      await cronEachMinute(world, 0, 1);
    },
    doctor: ["many_failed", "one_kind_dominates"],
    dashboard: ["many_failed"],
    alerts: ["many_failed"],
  },
  ...[["webhook", 2], ["queue", 1]].map(([name, destination]) => ({
    name: `the ${name} was removed from the configuration, with an event due`,
    set: async (world) => {
      await event(world, destination);
      await cronEachMinute(world, 0, 2);
    },
    ready: [],
    found: ["dead_letters"],
  })),
  {
    name: "the webhook's receiver has been down for 10 minutes",
    options: { ...WEBHOOK, outbound: () => new Response("down", { status: 503 }) },
    set: async (world) => {
      await event(world, 2);
      await cronEachMinute(world, 0, 10);
    },
  },
  {
    name: "the webhook's receiver has been down for 20 minutes",
    options: { ...WEBHOOK, outbound: () => new Response("down", { status: 503 }) },
    set: async (world) => {
      await event(world, 2);
      await cronEachMinute(world, 0, 20);
    },
    ready: [],
    found: ["outbox_stuck"],
  },
  {
    name: "creations are to be archived, and no bucket is bound",
    options: { config: { keep_days: { creations: 90 } } },
    set: (world) => cronEachMinute(world, 0, 1),
    ready: ["configuration"],
    found: ["archive_not_bound"],
  },
  {
    name: "rows have times that can't be read",
    set: async (world) => {
      await world.create({ id: "none", created_at: null }, { id: "text", created_at: "soon" }, { id: "ahead", created_at: T0 + HOUR }, { id: "fine", ...waiting(1) });
      await cronEachMinute(world, 0, 1);
    },
    ready: [],
    found: ["unreadable_times"],
  },
  {
    name: "the app's own trigger rejects what a sweep writes of one creation",
    set: async (world) => {
      await world.database.prepare(REJECTS).run();
      await world.create({ id: "rejected", ...waiting(70) }, { id: "stale", ...working(70) });
      await cronEachMinute(world, 0, 20);
      assert.deepEqual([await world.status("rejected"), await world.status("stale")], ["pending", "failed"]);
    },
    ready: [],
    found: ["creations_rejected"],
  },
  ...["copied", "moved"].map((state) => ({
    name: `buckets are ${state} to another database, and nobody has gone on for 20 minutes`,
    options: SHARDS,
    set: async (world) => {
      await moveTo(world, state);
      await cronEachMinute(world, 1, 20);
    },
    ready: ["moves"],
    found: ["move_unfinished"],
  })),
  {
    name: "buckets are moved, and their configuration has ten minutes to come",
    options: SHARDS,
    set: async (world) => {
      await moveTo(world, "moved");
      await cronEachMinute(world, 1, 10);
    },
  },
  {
    // The configuration gives the buckets to the first one again, or still.
    name: "what has moved away is not trimmed for 20 minutes, and the configuration was put back",
    options: SHARDS,
    set: async (world) => {
      await moveTo(world, "moved");
      await world.databases[1].prepare("UPDATE stale_drafts_moves SET state = 'open'").run();
      await cronEachMinute(world, 1, 20);
    },
    ready: ["buckets"],
    found: ["buckets_misplaced", "move_unfinished"],
  },
  {
    name: "a mover died when only one of the two databases knew of it, 20 minutes ago",
    options: SHARDS,
    set: async (world) => {
      await moveTo(world, "begun");
      await cronEachMinute(world, 1, 20);
    },
    ready: [],
    found: ["move_unfinished"],
  },
  {
    name: "buckets move to a database that has not answered for 20 minutes",
    options: SHARDS,
    set: async (world) => {
      await moveTo(world, "copied");
      for (let minute = 1; minute <= 20; minute += 1) {
        await world.order({ now: T0 + minute * MINUTE, dead: ["DB_1"] });
        await world.cron();
      }
    },
    ready: ["schema", "sweep"],
    found: ["database_unreachable"],
  },
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((applied) => ({
    name: `${applied} of 10 migrations are applied`,
    options: { migrate: false },
    set: async (world) => {
      for (const name of readdirSync(MIGRATIONS).sort().slice(0, applied)) {
        for (const sql of statements(readFileSync(new URL(name, MIGRATIONS)).toString())) await world.database.prepare(sql).run();
      }
      // The later ones bring what only lists, operators and the archive ask for.
      assert.equal(await world.cron(), applied < 5 ? "exception" : "ok");
    },
    ready: ["schema", "sweep"],
    doctor: applied < 6 ? [503] : ["schema_not_current"],
    dashboard: [503],
    // Without the table there are none.
    alerts: applied < 4 ? null : [],
  })),
];

/** What is found at each of the four places. */
async function asked(world, ask = async () => {}) {
  const operator = { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } };
  const found = {};
  await ask(world);
  const { ready, checks } = await (await world.fetch("/readyz")).json();
  const amiss = Object.entries(checks).filter(([, check]) => check !== "ok");
  found.ready = amiss.map(([name, check]) => check.match(/^(held|not expected): /)?.[1] ?? name);
  assert.equal(ready, amiss.every(([, check]) => /^(held|not expected): /.test(check)));
  await ask(world);
  const doctor = await world.fetch("/api/doctor", operator);
  found.doctor = doctor.status === 200 ? (await doctor.json()).findings.map(({ code }) => code) : [doctor.status];
  await ask(world);
  const dashboard = await world.fetch("/dashboard", operator);
  const health = (await dashboard.text()).match(/<section[^>]*id="health".*?<\/section>/s)?.[0] ?? "";
  found.dashboard = dashboard.status === 200 ? [...health.matchAll(/data-code="(\w+)"/g)].map(([, code]) => code) : [dashboard.status];
  const alerts = await world.all("SELECT code FROM stale_drafts_alerts WHERE resolved_at IS NULL").catch(() => null);
  found.alerts = alerts?.map(({ code }) => code) ?? null;
  return found;
}

let missed = 0;
let unfounded = 0;
after(() => console.log(`${SITUATIONS.length} situations; false findings: ${unfounded}; missed: ${missed}`));

for (const { name, options = {}, set, ask, ...expected } of SITUATIONS) {
  test(name, async () => {
    const world = await start({ config: LIMITS, ...options, ...(options.config && { config: { ...LIMITS, ...options.config } }) });
    try {
      if (options.migrate !== false) await world.grant("ada", 1_000_000);
      await at(world, 0);
      await set(world);
      const found = await asked(world, ask);
      const all = expected.found ?? [];
      const right = { ready: expected.ready ?? all, doctor: expected.doctor ?? all, dashboard: expected.dashboard ?? all, alerts: expected.alerts === undefined ? all : expected.alerts };
      const beyond = (one, other) => Object.keys(right).reduce((sum, place) => sum + (one[place] ?? []).filter((code) => !(other[place] ?? []).includes(code)).length, 0);
      unfounded += beyond(found, right);
      missed += beyond(right, found);
      assert.deepEqual(found, right);
    } finally {
      await world.stop();
    }
  });
}
