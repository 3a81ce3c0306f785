// Clocks that follow the server's.

import { instant } from "./check.js";

export const serverClock = ({ now, sent_at, received_at }) => {
  const [start, wall] = [performance.now(), Date.now()];
  const begin = instant(instant(now) + start - (sent_at + received_at) / 2);
  let last = begin;
  return {
    now: () => {
      // While a machine sleeps, only one of the page's two clocks may go on. `Date.now()` is rounded: it may be 1 ms ahead.
      const elapsed = Math.max(performance.now() - start, Date.now() - wall - 1);
      return (last = Math.max(last, begin + elapsed));
    },
    error: Math.abs(received_at - sent_at) / 2,
  };
};

/** How many of the server's readings are kept. A page has one, or a few; a caller may give another each time. */
const KEPT = 100;
const kept = /* @__PURE__ */ new Map();

/** What a caller gives for `now` as a clock: a time goes on from when it was first seen. Without one, the page's own. */
export const following = (now) => {
  if (now == null || typeof now.now == "function") return now;
  const at = instant(now);
  if (!kept.has(at)) {
    if (kept.size == KEPT) kept.delete(kept.keys().next().value);
    const seen = performance.now();
    kept.set(at, serverClock({ now: at, sent_at: seen, received_at: seen }));
  }
  return kept.get(at);
};
