// The operators and schedulers: they sweep, several at once, carry out plans, restore, and read.

import { CLEANUP_TOKEN } from "../worker/harness.mjs";

const token = CLEANUP_TOKEN;
const CLEANUP = "/api/generate/cleanup-stale";

/** The operators' sessions. */
export function operators({ journal, agenda }) {
  async function sweep(session) {
    const answer = await session.once("sweep", { path: CLEANUP, token });
    // The circuit breaker goes on once somebody has confirmed what it holds.
    if (answer.is === "held") await plan(session);
    return answer;
  }

  /** Previews, and carries out exactly that. */
  async function plan(session) {
    const preview = await session.once("preview", { path: `${CLEANUP}?dry_run=true`, token });
    const { plan_id, creations } = preview.json ?? {};
    if (creations?.length > 0) await session.once("apply", { path: `${CLEANUP}?source=tool`, token, body: { plan_id, creations } });
  }

  /** The cron trigger, by the address that the local runtime has for it. */
  const cron = (session) => session.once("cron", { method: "GET", path: "/cdn-cgi/handler/scheduled" });

  const read = (action, path) => (session) => session.once(action, { method: "GET", path, token });

  async function explain(session) {
    const id = session.rng.pick([...journal.lives.keys()].slice(-100));
    if (id) await read("explain", `/api/creations/${id}`)(session);
  }

  return {
    sweep,
    plan,
    cron,
    /** From now on every `ms`: sweeps that overlap, each fifth time a plan instead, and a look at something. */
    schedule(ms) {
      const looks = [read("doctor", "/api/doctor"), read("metrics", "/metrics"), explain, read("dashboard", "/dashboard"), read("ready", "/readyz")];
      let turn = 0;
      const again = () => {
        turn += 1;
        for (const step of turn % 5 === 0 ? [plan] : [sweep, cron, sweep]) agenda.in(0, step);
        agenda.in(0, looks[turn % looks.length]);
        agenda.in(ms, again);
      };
      again();
    },
    /** A result that came too late is given to its owner, mostly. */
    kept(session, life) {
      if (!session.rng.chance(0.7)) return;
      life.restoring = true;
      agenda.in(session.rng.between(0, 500), (next) => next.report("restore", { path: `/api/creations/${life.id}/restore`, token }, life));
    },
  };
}
