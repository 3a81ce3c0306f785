// What was sent and what was answered: all that the checks know of what should be in the database. And the limits of a run, short
// enough for creations to go stale within it, with a second reading of the rules, from outside.

import { createHistogram } from "node:perf_hooks";

/** Limits in ms. `long` is for runs of a minute or more. */
export const LIMITS = {
  long: { silence: 10_800, heartbeat: 6_000, total: 21_600 },
  short: { silence: 3_600, heartbeat: 2_400, total: 5_400 },
};

/** The kinds: a video is tried twice; a song may not take longer than `total`, alive or not. */
export const KINDS = ["image", "video", "song"];

/** The same as the Worker's configuration has it. */
export const policy = ({ silence, heartbeat, total }) => ({
  max_age_hours: silence / 3_600_000,
  heartbeat_minutes: heartbeat / 60_000,
  kinds: { video: { attempts: 2 }, song: { total_hours: total / 3_600_000 } },
});

/** How often a creation of a kind is tried. */
export const attemptsOf = (kind) => (kind === "video" ? 2 : 1);

/** At most so many of what is wrong are kept. */
const KEPT = 50;

/** Which answers an action may get; for a 409 by its code. The rest is wrong. */
const EXPECTED = {
  create: { 201: true, 402: true },
  start: { 200: true, 409: ["taken", "illegal_transition"] },
  heartbeat: { 200: true, 409: ["attempt_over"] },
  complete: { 200: true, 409: ["attempt_over"] },
  fail: { 200: true, 409: ["attempt_over", "illegal_transition", "fence_missing"] },
  publish: { 200: true },
  delete: { 200: true, 409: ["active"] },
  restore: { 200: true, 402: true, 409: ["illegal_transition", "active"] },
  page: { 200: true },
  list: { 200: true },
  follow: { 200: true, 304: true },
  sweep: { 200: true },
  preview: { 200: true },
  apply: { 200: true },
  cron: { 200: true },
  doctor: { 200: true },
  explain: { 200: true },
  metrics: { 200: true },
  dashboard: { 200: true },
  ready: { 200: true },
};

/** What there is to do. */
export const ACTIONS = Object.keys(EXPECTED);

/** These meet a creation that its owner has deleted, or an operator restored, meanwhile. */
const AFTER_DELETION = { complete: "illegal_transition", publish: "deleted", restore: "deleted" };
const AFTER_RESTORE = { complete: "illegal_transition" };

/** `good`, `refused` as may be, `held` by the circuit breaker, or `wrong`. The flags say what has been asked for the creation by then. */
export function judge(action, { status, code, text = "" }, { deleting = false, restoring = false } = {}) {
  // A sweep that is held says so to a scheduler, and fails as an invocation; how often is compared with `sweeps` in the end.
  if (action === "sweep" && status === 409 && text.includes("the circuit breaker is open")) return "held";
  if (action === "cron" && status === 500 && text === "exception") return "held";
  const expected = EXPECTED[action][status];
  if (expected === true) return status < 400 ? "good" : "refused";
  const meets = (when, codes) => when && status === 409 && code !== undefined && codes[action] === code;
  if (expected?.includes(code) || meets(deleting, AFTER_DELETION) || meets(restoring, AFTER_RESTORE)) return "refused";
  return "wrong";
}

/** An empty journal. */
export function journal() {
  const actions = Object.fromEntries(ACTIONS.map((name) => [name, { answered: 0, good: 0, refused: 0, held: 0, cut: 0, wrong: 0, latency: createHistogram() }]));
  const wrong = [];
  return {
    actions,
    /** What was answered otherwise than it may be. */
    wrong,
    /** Creations that were acknowledged, by id: `{ id, user, kind, tokens, prompt, deleting, restoring, reports: […] }`. */
    lives: new Map(),
    complain(text) {
      if (wrong.length < KEPT) wrong.push(text);
    },
    /** Notes an answer and gives what it is. */
    note(action, answer, life) {
      const sum = actions[action];
      if (answer.status === 0) {
        if (answer.cut) sum.cut += 1;
        else {
          sum.wrong += 1;
          this.complain(`${action}: no answer: ${answer.error}`);
        }
        return answer.cut ? "cut" : "wrong";
      }
      sum.answered += 1;
      sum.latency.record(answer.ns > 0n ? answer.ns : 1n);
      const is = judge(action, answer, life);
      sum[is] += 1;
      if (is === "wrong") this.complain(`${action}: ${answer.status} ${answer.text.slice(0, 300)}`);
      return is;
    },
  };
}

/**
 * The earliest that the last heartbeat may be which the database has, given those of one fence: of two that overlap, either
 * may have been written last. One without an answer was written after it was sent, if at all. Undefined if none is certain.
 */
export function lastBeat(beats) {
  const certain = beats.filter(({ json }) => json);
  if (certain.length === 0) return undefined;
  const latest = Math.max(...certain.map(({ sent }) => sent));
  return Math.min(...beats.filter(({ ended }) => ended >= latest).map(({ sent, json }) => json?.heartbeat_at ?? sent));
}

/** Why an attempt that a sweep ended at `now` was not stale, by what its workers were answered; undefined if it was. */
export function lived({ creation, attempt, queued_at, now, limits }) {
  const { stuck_status, fence, started_at } = attempt;
  if (stuck_status === "pending") {
    const age = now - Math.max(creation.created_at, queued_at ?? 0);
    return age > limits.silence ? undefined : `it was pending for ${age} ms of ${limits.silence}`;
  }
  const beats = creation.reports.filter((report) => report.action === "heartbeat" && report.fence === fence && report.is !== "refused");
  const beat = lastBeat(beats);
  // Without a certain heartbeat there may have been one all the same: then the shorter limit held.
  const silence = beats.length > 0 ? Math.min(limits.heartbeat, beat === undefined ? limits.silence : Infinity) : limits.silence;
  const total = creation.kind === "song" ? now - started_at > limits.total : false;
  const age = now - Math.max(started_at, beat ?? 0);
  return age > silence || total ? undefined : `its worker was silent for ${age} ms of ${silence}`;
}
