// The users' routes, for a page: requests with the server's clock measured by them, and what is being generated, followed.

import { checkIn, next, range } from "./check.js";
import { following, serverClock } from "./clock.js";
import { StaleDraftsError } from "./error.js";
import { policy as understood } from "./policy.js";
import { LONGEST } from "./repeat.js";

export { StaleDraftsError };

/** How long to wait between two questions, in ms: this after a change, and half as long again each time that nothing has. */
const INTERVAL = 3_000;
/** At most so many intervals; after failures, so many. */
const IDLE = 10;
const AWAY = 100;

/** When a server that is too busy wants to be asked again: in how many ms. */
const retryAfter = (response, now) => {
  const given = response.headers.get("Retry-After");
  if (!given) return null;
  const ms = isFinite(given) ? given * 1_000 : Date.parse(given) - now;
  return ms > 0 ? ms : null;
};

/** What fails nothing. */
const unlimited = () => ({ limits: [Infinity, Infinity, Infinity, Infinity, 1], names: [] });

/** The limits of a server's policy. By one that is newer than this package nothing is failed here: the server will. */
const limitsOf = (settings) => {
  try {
    return understood(settings);
  } catch {
    return unlimited;
  }
};

/** A row's status as it is stored: in lists, `status` is the verdict's. */
const stored = ({ stored_status, status }) => stored_status ?? status;

/** What the rules say of a row, and the row with it. */
export const resultOf = (row, policy, at) => checkIn({ ...row, status: stored(row) }, policy, at);
export const judged = (row, { status, verdict, badge, badge_code, error, error_code, error_params, deadline }) => ({ ...row, stored_status: stored(row), status, verdict, badge, badge_code, error, error_code, error_params, deadline });

export const createClient = ({ baseUrl = "/stale-drafts", token, fetch: send = (...request) => fetch(...request) } = {}) => {
  const base = `${baseUrl}`.replace(/\/+$/, "");
  let clock;

  /** Takes over a measurement of the server's clock that says more: its earliest instant is later, or the two exclude each other. */
  const measure = (reading) => {
    const measured = serverClock(reading);
    const [before, after] = [range(clock), range(measured)];
    if (!clock || after.earliest > before.earliest || after.latest < before.earliest) clock = measured;
  };

  /** Sends a request; gives the answer's headers and its JSON, which is `undefined` for 304. */
  const request = async (path, { method, signal, headers = {}, given } = {}) => {
    const url = `${base}/api/drafts${path}`;
    const credential = typeof token == "function" ? await token() : token;
    if (credential) headers = { ...headers, Authorization: `Bearer ${credential}` };
    const sent_at = performance.now();
    let response;
    let body;
    try {
      response = await send(url, { method, signal, headers, cache: "no-store", body: given && JSON.stringify(given) });
      const received_at = performance.now();
      if (response.status == 304) return { headers: response.headers };
      body = await response.text();
      body = JSON.parse(body);
      if (response.ok && body.now) measure({ now: body.now, sent_at, received_at });
    } catch (cause) {
      signal?.throwIfAborted();
      if (body === undefined) throw new StaleDraftsError(0, { code: "network_error", error: `\`${url}\`: ${cause.message}` }, { cause });
      body = null;
    }
    // What is asked for with GET are lists.
    if (response.ok && (method ? body : body?.drafts)) return { headers: response.headers, body };
    const unexpected = { code: "unexpected_answer", error: `\`${url}\` is not the API (status ${response.status}): expected the Worker at \`${base}\`` };
    const own = body?.error && (body.code || response.status == 401);
    throw new StaleDraftsError(response.status, own ? body : unexpected, { retry_after_ms: retryAfter(response, range(clock).latest) });
  };

  const ofDraft = async (id, path, method, given) => (await request(`/${encodeURIComponent(id)}${path}`, { method, given })).body;

  return {
    get clock() {
      return clock;
    },

    async list({ limit, cursor, signal } = {}) {
      const query = Object.entries({ limit, cursor }).flatMap(([key, value]) => (value == null ? [] : `${key}=${encodeURIComponent(value)}`));
      return (await request(query.length ? `?${query.join("&")}` : "", { signal })).body;
    },

    publish: (id) => ofDraft(id, "/publish", "POST"),

    retry: (id, attempt) => ofDraft(id, "/retry", "POST", { attempt }),

    cancel: (id, attempt) => ofDraft(id, "/cancel", "POST", { attempt }),

    remove: (id) => ofDraft(id, "", "DELETE"),

    watch(onChange, options = {}) {
      const { signal, interval = INTERVAL, initial } = options;
      /** What is told: the last answer, at first a part of the list; its limits, and its verdicts as they were told. */
      let followed = initial && { ...initial, drafts: initial.drafts.filter(({ verdict }) => verdict != "settled") };
      let limits = initial && limitsOf(initial.policy);
      let words;
      let tag;
      let anew = false;
      let wait = interval;
      let failures = 0;
      let asking = false;
      // When to ask, by `performance.now()`, and when a busy server may be asked again.
      let due = 0;
      let floor = 0;
      let timer;

      const failed = (error) => {
        if (signal?.aborted) return;
        tag = undefined;
        failures += 1;
        // Not all pages at once when the server is back.
        wait = interval * Math.min(2 ** failures, AWAY) * (1 + Math.random() / 4);
        floor = performance.now() + (error?.retry_after_ms ?? 0);
        due = Math.max(performance.now() + wait, floor);
        turn();
        if (options.onError) options.onError(error);
        // What the app's own function throws is not the network's.
        else if (!(error instanceof StaleDraftsError)) throw error;
      };

      const ask = async () => {
        asking = true;
        due = Infinity;
        const known = anew ? undefined : tag;
        anew = false;
        try {
          const { headers, body } = await request("/active", { signal, headers: known ? { "If-None-Match": known } : {} });
          wait = body ? interval : Math.min(failures ? interval : wait * 1.5, IDLE * interval);
          if (body) {
            [followed, limits, words] = [body, limitsOf(body.policy), undefined];
            await tell();
            tag = headers.get("ETag");
          }
          if (failures) options.onError?.(null);
          failures = 0;
          if (followed.drafts.length) due = Math.min(due, performance.now() + wait);
        } finally {
          asking = false;
        }
        turn();
      };

      /** What the rules say now, and when that changes. */
      const look = () => {
        const at = range(clock ?? following(initial?.now));
        const results = followed.drafts.map((row) => resultOf(row, options.policy ?? limits, at));
        return { results, said: results.map(({ verdict }) => verdict).join(), left: next(results) - at.earliest };
      };

      /** Tells what has changed. */
      const tell = async () => {
        const { results, said } = look();
        if (said === words || signal?.aborted) return;
        words = said;
        const { user_id, balance, drafts } = followed;
        await onChange({ user_id, balance, drafts: drafts.map((row, at) => judged(row, results[at])) });
      };

      /** Does what is due, and waits for what is next with one timer. Deadlines pass in a hidden page too, which asks nothing. */
      const turn = () => {
        clearTimeout(timer);
        if (signal?.aborted) return;
        const hidden = globalThis.document?.hidden;
        if (!asking && !hidden && performance.now() >= due) ask().catch(failed);
        // Of a new answer `ask` tells, and waits for what comes of it.
        if (followed && words !== undefined) tell().catch(failed);
        const left = Math.min(followed ? look().left : Infinity, asking || hidden ? Infinity : due - performance.now());
        if (left < Infinity) timer = setTimeout(turn, Math.min(Math.max(left, 1), LONGEST));
      };

      const soon = () => {
        due = Math.min(due, floor);
        turn();
      };
      // Who asks knows that something has happened. Meanwhile all may be again as it was, and is told all the same.
      const again = () => {
        anew = true;
        soon();
      };
      // Nobody waits for what a page asks that comes into sight while it asks already.
      const wake = () => (asking ? turn() : soon());
      globalThis.document?.addEventListener("visibilitychange", wake, { signal });
      globalThis.addEventListener?.("online", wake, { signal });
      // Out of the browser's cache of pages, and not at the end of loading.
      globalThis.addEventListener?.("pageshow", ({ persisted }) => persisted && wake(), { signal });
      signal?.addEventListener("abort", turn);
      if (followed) tell().catch(failed);
      turn();
      return again;
    },
  };
};
