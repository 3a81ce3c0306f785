// What is to be done when. Whichever client is free does it.

/** An empty agenda. */
export function agenda() {
  const steps = [];
  return {
    /** Puts down a step for `ms` from now. */
    in(ms, step) {
      const at = Date.now() + ms;
      let [from, to] = [0, steps.length];
      while (from < to) {
        const middle = (from + to) >> 1;
        if (steps[middle].at > at) from = middle + 1;
        else to = middle;
      }
      steps.splice(from, 0, { at, step });
    },
    /** How late the first one is, in ms; below 0 if it is not due yet. */
    late: () => (steps.length > 0 ? Date.now() - steps.at(-1).at : -Infinity),
    /** Takes the first one. */
    take: () => steps.pop().step,
  };
}
