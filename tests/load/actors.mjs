// Who is at the Worker, all at once: the app and its workers, the owners, the operators and schedulers. What each does next goes on
// an agenda; whichever client is free takes it from there and sends it, in one of the ways that a request may come.

import { CLEANUP_TOKEN, WORKER_TOKEN, token as sign } from "../worker/harness.mjs";
import { KINDS } from "./journal.mjs";

/** What is to be done when. */
export function agenda() {
  const steps = [];
  return {
    /** Puts down a step for `ms` from now. */
    in(ms, step) {
      const at = Date.now() + ms;
      let [from, to] = [0, steps.length];
      while (from < to) {
        const middle = (from + to) >> 1;
        if (steps[middle].at > at) from = middle + 1;
        else to = middle;
      }
      steps.splice(from, 0, { at, step });
    },
    /** How late the first one is, in ms; below 0 if it is not due yet. */
    late: () => (steps.length > 0 ? Date.now() - steps.at(-1).at : -Infinity),
    /** Takes the first one. */
    take: () => steps.pop().step,
  };
}

const read = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/**
 * One client: sends what is to be sent once, twice at once, twice in turn, or again after a connection that broke, for whom the
 * outcome of the first is unknown. All reports may be repeated, so whatever comes of it has to be the same.
 */
export function session({ client, journal, rng, count }) {
  async function once(action, { method = "POST", path, ...options }, life, facts) {
    count();
    const answer = await client.ask(method, path, options);
    answer.json = read(answer.text);
    answer.code = answer.json?.code;
    answer.is = journal.note(action, answer, life);
    const { sent, ended, status, code, is, json } = answer;
    // A cut request may be carried out at any time after.
    const noted = { action, ...facts, sent, ended: status === 0 ? Infinity : ended, status, code, is, json: status === 0 ? undefined : json };
    life?.reports.push(noted);
    return answer;
  }

  /** The answer that counts: the first that is good. */
  const best = (answers) => answers.find(({ is }) => is === "good") ?? answers.at(-1);

  return {
    rng,
    once,
    /** Sends a report in one of the ways that it may come. `facts` go into the journal with it. */
    async report(action, request, life, facts) {
      const send = (more) => once(action, { ...request, ...more }, life, facts);
      const answers = await rng.weighted([
        [80, async () => [await send()]],
        [10, () => Promise.all([send(), send()])],
        [5, async () => [await send(), await send()]],
        [5, async () => [await send({ cutAfter: rng.between(1, 12) }), await send()]],
      ])();
      const good = answers.filter(({ is }) => is === "good").map(({ json }) => json);
      for (const key of ["id", "fence"]) {
        if (new Set(good.map((json) => json[key])).size > 1) journal.complain(`${action}: answered twice, with another \`${key}\`: ${JSON.stringify(good)}`);
      }
      return best(answers);
    },
  };
}

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

/** The app and its workers, whose names begin with `crew`. `finished` and `kept` are told of drafts, and of results that came too late. */
export function workers({ journal, agenda, limits, owners, finished, kept, living, crew = "worker" }) {
  const token = WORKER_TOKEN;
  let names = 0;
  let hired = 0;
  const name = () => `${crew}-${(names += 1)}`;
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
    // Where databases are away they may repeat it for so long that the attempt of the first has died of silence: then the other has the next.
    if (new Set(started.map(({ json }) => json.attempt)).size < started.length) journal.complain(`start: two workers have begun ${life.id}: ${JSON.stringify(started.map(({ json }) => json))}`);
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

const DAY_S = 86_400;

/** The owners' sessions. `living` are the ids of creations that are not known to be over. */
export function owners({ journal, agenda, names, living, pause }) {
  const exp = Math.floor(Date.now() / 1_000) + DAY_S;
  const tokens = new Map(names.map((sub) => [sub, sign({ sub, exp })]));
  const tags = new Map();

  async function look(session, action, path) {
    const user = session.rng.pick(names);
    const asked = { method: "GET", path, token: tokens.get(user) };
    // Some close the page before it has come.
    const answer = await session.once(action, session.rng.chance(0.03) ? { ...asked, cutAfter: session.rng.between(1, 12) } : asked);
    if (answer.is === "good" && action === "list") {
      const { user_id, swept, drafts } = answer.json;
      if (user_id !== user || !swept) journal.complain(`list: it is of ${user_id}, asked by ${user}; swept: ${swept}`);
      for (const { id, status, error } of drafts) {
        const life = journal.lives.get(id);
        if (life && life.user !== user) journal.complain(`list: ${id} of ${life.user} is shown to ${user}`);
        if (status === "failed" && !error) journal.complain(`list: ${id} has failed, and it is not said why`);
      }
    }
  }

  async function follow(session) {
    const user = session.rng.pick(names);
    const known = tags.get(user);
    const answer = await session.once("follow", { method: "GET", path: "/api/drafts/active", token: tokens.get(user), headers: known && { "If-None-Match": known } });
    if (answer.status === 304 && answer.headers.etag !== known) journal.complain(`follow: 304 with the tag ${answer.headers.etag}, asked with ${known}`);
    if (answer.status === 200) tags.set(user, answer.headers.etag);
  }

  const publish = (session, life) => session.report("publish", { path: `/api/drafts/${life.id}/publish`, token: tokens.get(life.user) }, life);
  function remove(session, life) {
    life.deleting = true;
    return session.report("delete", { method: "DELETE", path: `/api/drafts/${life.id}`, token: tokens.get(life.user) }, life);
  }

  return {
    page: (session) => look(session, "page", "/drafts"),
    list: (session) => look(session, "list", "/api/drafts"),
    follow,
    /** What becomes of a draft. */
    finished(session, life) {
      if (session.rng.chance(0.5)) agenda.in(session.rng.between(0, pause), (next) => publish(next, life));
      if (session.rng.chance(0.2)) agenda.in(session.rng.between(0, 2 * pause), (next) => remove(next, life));
    },
    /** Deletes one that may still be active; then it is refused. */
    async removeAny(session) {
      const id = session.rng.pick([...living]);
      if (id) await remove(session, journal.lives.get(id));
    },
  };
}

const CLEANUP = "/api/generate/cleanup-stale";

/** The operators' sessions. */
export function operators({ journal, agenda }) {
  const token = CLEANUP_TOKEN;

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
