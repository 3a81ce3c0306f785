// Choices that a seed decides: of the demo's data, of the load, and of the drafts on which Rust and JavaScript must agree.

/** Mulberry32: numbers from 0 to below 1. Small, seeded, good enough for tests. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A generator's choices. */
export function choices(seed) {
  const next = random(seed);
  const between = (from, to) => from + Math.floor(next() * (to - from + 1));
  return {
    chance: (share) => next() < share,
    /** A whole number, both ends included. */
    between,
    pick: (list) => list[between(0, list.length - 1)],
    /** One of `[[weight, what], …]`. */
    weighted(list) {
      let at = next() * list.reduce((sum, [weight]) => sum + weight, 0);
      return (list.find(([weight]) => (at -= weight) < 0) ?? list[0])[1];
    },
  };
}
