import { next, range } from "./check.js";

/**
 * Looks at once, again as soon as one of the results that `look` gives has changed, and whenever the page wakes up,
 * for timers stand still in a sleeping tab. Gives the function that looks.
 */
export const repeat = (look, clock, signal) => {
  let timer;
  const again = () => {
    clearTimeout(timer);
    if (signal?.aborted) return;
    const results = look();
    // A deadline has passed for certain only when the earliest instant that it may be has.
    const wait = next(results) - range(clock()).earliest;
    // 2^31 - 1 ms is the longest delay that a timer takes; a longer one fires at once.
    if (wait < Infinity && !signal?.aborted) timer = setTimeout(again, Math.min(Math.max(wait, 1), 2147483647));
  };
  globalThis.document?.addEventListener("visibilitychange", again, { signal });
  globalThis.addEventListener?.("pageshow", again, { signal });
  signal?.addEventListener("abort", again);
  again();
  return again;
};
