import { checkAll } from "./check.js";
import { running } from "./clock.js";
import { repeat } from "./repeat.js";

export const watch = (drafts, { now, policy, texts, signal } = {}, onChange) => {
  const clock = running(now);
  let last;
  repeat(
    () => {
      const results = checkAll(drafts.call ? drafts() : drafts, { now: clock, policy, texts });
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
