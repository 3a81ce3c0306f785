// A hook and a badge for React. The first rendering, on the server and in hydration, is by the `now` that the
// server gave; after it the page's own clock goes on.

import { createElement, useCallback, useRef, useSyncExternalStore } from "react";
import { check, next, range } from "./check.js";

const LONGEST = 2147483647;
/** Everything that is shown; the age goes on all the time, and shows in the error. */
const same = (a, b) => a && ["verdict", "status", "error", "error_code", "deadline", "max_age_ms", "rule"].every((key) => a[key] === b[key]);

export function useVerdict(draft, { now, policy, clock } = {}) {
  const { status, kind, created_at, started_at, heartbeat_at, error, error_code } = draft;
  const cache = useRef(null);
  const at = (moment) => {
    const result = check(draft, { now: moment, policy });
    // React takes a new object for a change: the last one stays while it says the same.
    return same(cache.current, result) ? cache.current : (cache.current = result);
  };
  const subscribe = useCallback(
    (changed) => {
      let timer;
      const look = () => {
        clearTimeout(timer);
        changed();
        const wait = next([check(draft, { now: clock, policy })]) - range(clock)[0];
        if (wait < Infinity) timer = setTimeout(look, Math.min(Math.max(wait, 1), LONGEST));
      };
      document.addEventListener("visibilitychange", look);
      addEventListener("pageshow", look);
      look();
      return () => {
        clearTimeout(timer);
        document.removeEventListener("visibilitychange", look);
        removeEventListener("pageshow", look);
      };
    },
    // The draft by what is in it, so that a new object with the same values does not subscribe anew.
    [status, kind, +created_at || created_at, +started_at || started_at, +heartbeat_at || heartbeat_at, error, error_code, policy, clock],
  );
  return useSyncExternalStore(subscribe, () => at(clock), () => at(now));
}

export function StaleBadge({ draft, now, policy, clock, ...rest }) {
  const { verdict, badge } = useVerdict(draft, { now, policy, clock });
  const [sign, ...words] = badge.split(" ");
  return createElement("span", { "data-verdict": verdict, ...rest }, createElement("span", { "aria-hidden": true }, sign), ` ${words.join(" ")}`);
}
