// Clocks that follow the server's.

import { instant } from "./check.js";

export const serverClock = ({ now, sent_at, received_at }) => {
  const [start, wall] = [performance.now(), Date.now()];
  // As everywhere, no time is the present, by the page's own clock.
  const begin = now == null ? wall : instant(instant(now) + start - (sent_at + received_at) / 2);
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

/** What a caller gives for `now` as a clock: a time goes on from here. Without one, the page's own. */
export const running = (now) => {
  if (now == null || typeof now.now == "function") return now;
  const seen = performance.now();
  return serverClock({ now, sent_at: seen, received_at: seen });
};

/** How many times are kept. A page has one of the server's, or a few; a caller may give another each time. */
const KEPT = 100;
const kept = /* @__PURE__ */ new Map();

/** The same for what appears later, too: a time goes on from when the page first saw it. */
export const following = (now) => {
  if (now == null || typeof now.now == "function") return now;
  const at = instant(now);
  if (!kept.has(at)) {
    if (kept.size == KEPT) kept.delete(kept.keys().next().value);
    kept.set(at, running(at));
  }
  return kept.get(at);
};
