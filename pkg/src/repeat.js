import { next, range } from "./check.js";

/**
 * How long a timer runs at most, in ms. Timers stand still while a machine sleeps, and its clock does not: a minute after it
 * woke at the latest, the clock is read. It is also less than 2^31, from which a timer fires at once.
 */
export const LONGEST = 60_000;

/**
 * Looks at once, again as soon as one of the results that `look` gives has changed, and whenever the page is shown again.
 * Gives the function that looks.
 */
export const repeat = (look, clock, signal) => {
  let timer;
  let change;
  const wait = () => {
    // A deadline has passed for certain only when the earliest instant that it may be has.
    const left = change - range(clock()).earliest;
    if (left > 0) timer = setTimeout(wait, Math.min(left, LONGEST));
    else again();
  };
  const again = () => {
    clearTimeout(timer);
    if (signal?.aborted) return;
    change = next(look());
    if (change < Infinity && !signal?.aborted) timer = setTimeout(wait, Math.min(Math.max(change - range(clock()).earliest, 1), LONGEST));
  };
  globalThis.document?.addEventListener("visibilitychange", again, { signal });
  globalThis.addEventListener?.("pageshow", again, { signal });
  signal?.addEventListener("abort", again);
  again();
  return again;
};
