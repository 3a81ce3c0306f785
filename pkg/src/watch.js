import { checkAll, next, range } from "./check.js";

/** The longest delay that a timer takes, 2^31 - 1 ms; a longer one fires at once. */
const LONGEST = 2147483647;

export function watch(drafts, { now, policy, signal } = {}, onChange) {
  let timer;
  let last;
  const look = () => {
    clearTimeout(timer);
    if (signal?.aborted) return;
    const list = typeof drafts == "function" ? drafts() : drafts;
    const clock = typeof now == "function" ? now() : now;
    const results = checkAll(list, { now: clock, policy });
    const words = results.map(({ verdict }) => verdict).join();
    if (words !== last) {
      last = words;
      onChange(results);
      if (signal?.aborted) return;
    }
    // A deadline has passed for certain only when the earliest instant that it may be has.
    const wait = next(results) - range(clock)[0];
    if (wait < Infinity) timer = setTimeout(look, Math.min(Math.max(wait, 1), LONGEST));
  };
  const page = globalThis.document;
  // Timers stand still in a sleeping tab.
  page?.addEventListener("visibilitychange", look, { signal });
  globalThis.addEventListener?.("pageshow", look, { signal });
  signal?.addEventListener("abort", () => clearTimeout(timer), { once: true });
  look();
}
