// Hooks and a badge for React. The first rendering, on the server and in hydration, is by the `now` that the server gave;
// from there time goes on as it passes, unless a clock is given.

import { createElement, useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { check } from "./check.js";
import { createClient } from "./client.js";
import { following } from "./clock.js";
import { draftsList } from "./list.js";
import { repeat } from "./repeat.js";
import { millis } from "./time.js";

/** Everything that is shown; the age goes on all the time, and shows in the error. */
const same = (a, b) => a && ["verdict", "status", "badge", "error", "error_code", "deadline", "max_age_ms", "rule", "changes_at", "extended_until"].every((key) => a[key] === b[key]);

export function useVerdict(draft, { now, policy, clock, texts } = {}) {
  const { status, kind, attempt, created_at, queued_at, started_at, heartbeat_at, extended_until, error, error_code } = draft;
  const cache = useRef(null);
  const at = (moment) => {
    const result = check(draft, { now: moment, policy, texts });
    // React takes a new object for a change: the last one stays while it says the same.
    return same(cache.current, result) ? cache.current : (cache.current = result);
  };
  // Not while the server renders: there nothing goes on, and every request has another `now`.
  const running = () => clock ?? following(now);
  const subscribe = useCallback(
    (changed) => {
      const stop = new AbortController();
      const look = () => {
        changed();
        return [check(draft, { now: running(), policy, texts })];
      };
      repeat(look, running, stop.signal);
      return () => stop.abort();
    },
    // The draft by what is in it, so that a new object with the same values does not subscribe anew.
    [status, kind, attempt, ...[created_at, queued_at, started_at, heartbeat_at, extended_until].map(millis), error, error_code, policy, clock, texts, now?.now ?? millis(now)],
  );
  return useSyncExternalStore(subscribe, () => at(running()), () => at(now));
}

export function StaleBadge({ draft, now, policy, clock, texts, ...rest }) {
  const { verdict, badge } = useVerdict(draft, { now, policy, clock, texts });
  const [sign, ...words] = badge.split(" ");
  return createElement("span", { "data-verdict": verdict, lang: texts?.locale, dir: texts?.dir, ...rest }, createElement("span", { "aria-hidden": true }, sign), ` ${words.join(" ")}`);
}

export function useDrafts({ client, baseUrl, initial, policy, limit, texts } = {}) {
  // `initial` is what the list begins with: a later one, and a policy that is made anew at each rendering, begin no other.
  const list = useMemo(() => draftsList(client ?? createClient({ baseUrl }), { initial, policy, limit }), [client, baseUrl, limit]);
  useEffect(() => list.judgeBy(policy), [list, policy]);
  const state = useSyncExternalStore(list.subscribe, list.get, list.first);
  return useMemo(() => (texts ? { ...state, drafts: state.drafts.map(texts) } : state), [state, texts]);
}
