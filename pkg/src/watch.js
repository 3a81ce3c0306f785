import { checkAll } from "./check.js";
import { repeat } from "./repeat.js";

export const watch = (drafts, { now, policy, signal } = {}, onChange) => {
  let last;
  repeat(
    () => {
      const results = checkAll(drafts.call ? drafts() : drafts, { now, policy });
      const words = results.map(({ verdict }) => verdict).join();
      if (words != last) {
        last = words;
        onChange(results);
      }
      return results;
    },
    () => now,
    signal,
  );
};
