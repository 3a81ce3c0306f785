import { checkAll } from "./check.js";
import { following } from "./clock.js";
import { repeat } from "./repeat.js";

export const watch = (drafts, { now, policy, signal } = {}, onChange) => {
  const clock = following(now);
  let last;
  repeat(
    () => {
      const results = checkAll(drafts.call ? drafts() : drafts, { now: clock, policy });
      const words = results.map(({ verdict }) => verdict).join();
      if (words != last) {
        last = words;
        onChange(results);
      }
      return results;
    },
    () => clock,
    signal,
  );
};
