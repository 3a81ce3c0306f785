// The app, that asks for creations, and the workers, that generate them: well, slowly, twice, or not at all.

import { WORKER_TOKEN } from "../worker/harness.mjs";
import { KINDS } from "./policy.mjs";

const token = WORKER_TOKEN;

/** So many workers are of each style in turn, so that a short run has them all. */
const IN_TURN = 24;

/** How workers are. `never`: none begins. `silent`: it dies. `late`: its result comes too late. `endless`: alive, and never done. */
const STYLES = [
  [50, "good"],
  [7, "never"],
  [11, "silent"],
  [11, "late"],
  [10, "failing"],
  [4, "hasty"],
  [4, "rivals"],
  [3, "endless"],
];

/** The app and its workers. `finished` and `kept` are told of drafts, and of results that came too late. */
export function workers({ journal, agenda, limits, owners, finished, kept, living }) {
  let names = 0;
  let hired = 0;
  const name = () => `worker-${(names += 1)}`;
  const pause = Math.floor(limits.heartbeat / 6);
  const over = (life) => living.delete(life.id);

  /** The app asks for a creation; its key makes it one, however often that is sent. */
  async function create(session) {
    const { rng } = session;
    const user = rng.pick(owners);
    const made = { user_id: user, kind: rng.pick(KINDS), prompt: `a fox, ${name()}`, tokens: rng.between(1, 30) };
    const answer = await session.report("create", { path: "/api/creations", token, body: made, headers: { "Idempotency-Key": `key-${name()}` } });
    if (answer.is !== "good") return;
    const { id, created_at } = answer.json;
    const life = { id, user, kind: made.kind, tokens: made.tokens, prompt: made.prompt, created_at, deleting: false, reports: [] };
    journal.lives.set(id, life);
    living.add(id);
    agenda.in(rng.between(0, pause), (next) => begin(next, life));
  }

  const post = (session, verb, life, body, facts = {}) => session.report(verb, { path: `/api/creations/${life.id}/${verb}`, token, body }, life, facts);

  /** A worker takes a creation, or nobody does. */
  async function begin(session, life) {
    const style = (hired += 1) <= IN_TURN ? STYLES[hired % STYLES.length][1] : session.rng.weighted(STYLES);
    if (style === "never") return;
    if (style === "hasty") {
      const error_code = "no_capacity";
      await post(session, "fail", life, { error_code, error: "Nobody can generate this now" }, { error_code });
      // It is only refused where a sweep was faster.
      return void over(life);
    }
    const start = (worker) => post(session, "start", life, { worker }, { worker });
    const answers = style === "rivals" ? await Promise.all([start(name()), start(name())]) : [await start(name())];
    const started = answers.filter(({ is }) => is === "good");
    if (started.length > 1) journal.complain(`start: two workers have begun ${life.id}: ${JSON.stringify(started.map(({ json }) => json))}`);
    if (started.length === 0) return void over(life);
    const { fence, attempt } = started[0].json;
    const run = { fence, attempt, style, beats: session.rng.between(style === "silent" ? 0 : 1, style === "late" ? 2 : 7) };
    if (run.beats === 0) return;
    // As docs/workers.md has it: a first heartbeat right after the start.
    await beat(session, life, run);
  }

  async function beat(session, life, run) {
    run.beats -= 1;
    const { fence, attempt, style } = run;
    const answer = await post(session, "heartbeat", life, { fence, progress: session.rng.between(0, 99) }, { fence, attempt });
    if (answer.is === "refused") {
      // It is told to stop. What it has done by then, some send all the same.
      return style === "endless" ? finish(session, life, run) : undefined;
    }
    const endless = style === "endless" && life.kind === "song";
    if (run.beats > 0 || endless) return agenda.in(pause, (next) => beat(next, life, run));
    if (style === "silent") return;
    if (style === "late") return agenda.in(limits.heartbeat * session.rng.between(12, 20) / 10, (next) => finish(next, life, run));
    return agenda.in(session.rng.between(0, pause), (next) => finish(next, life, run));
  }

  async function finish(session, life, { fence, attempt, style }) {
    if (style === "failing") {
      const error_code = session.rng.pick(["provider_error", "content_policy"]);
      const answer = await post(session, "fail", life, { fence, error_code, error: "The service answered 502" }, { fence, attempt, error_code });
      if (answer.is === "good") over(life);
      return;
    }
    const result_url = `https://cdn.example/${life.id}/${attempt}`;
    const answer = await post(session, "complete", life, { fence, result_url }, { fence, attempt, result_url });
    if (answer.is === "good") {
      over(life);
      finished(session, life);
    } else if (answer.json?.kept) kept(session, life);
  }

  return {
    create,
    /** What the app hears by the webhook. */
    hear({ type, data }) {
      const life = journal.lives.get(data.creation_id);
      if (!life) return;
      if (type === "creation.failed") over(life);
      if (type === "creation.retried") agenda.in(0, (session) => begin(session, life));
    },
  };
}
