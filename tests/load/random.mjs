// Choices that a seed decides. What happens when is up to the machine: a seed repeats the mix, not the run.

/** A generator (mulberry32). Each client has its own, so that none depends on who is answered first. */
export function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
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
