// Fires the cron trigger of a local Worker every minute, as the local runtime does not.

import { setTimeout as sleep } from "node:timers/promises";

const MINUTE_MS = 60_000;

/** Where the local runtime is told to, in its versions. Any other path is the app's own, which may answer 200 too. */
const PATHS = ["/cdn-cgi/handler/scheduled", "/cdn-cgi/local/scheduled"];

const QUERY = `format=json&cron=${encodeURIComponent("* * * * *")}`;

/** Fires it once; gives why it failed, or undefined. `paths` is left with the one that is right. */
async function fire(url, paths, ended) {
  try {
    for (const path of [...paths]) {
      const answer = await fetch(`${url}${path}?${QUERY}`, { signal: AbortSignal.any([ended, AbortSignal.timeout(MINUTE_MS)]) });
      const text = await answer.text();
      const outcome = text.match(/"outcome":\s*"(\w+)"/)?.[1];
      if (!outcome) continue;
      paths.splice(0, paths.length, path);
      return outcome === "ok" ? undefined : `its outcome is \`${outcome}\``;
    }
    return "this wrangler has no way to fire it that is known here";
  } catch (error) {
    return error.cause?.message ?? error.message;
  }
}

/** Fires it until `ended`; `report(problem)` is called for the first time and whenever that changes. */
export async function runCron(url, ended, report) {
  const paths = [...PATHS];
  let before;
  while (!ended.aborted) {
    const problem = await fire(url, paths, ended);
    if (ended.aborted) return;
    if (before === undefined || Boolean(problem) !== before) report(problem);
    before = Boolean(problem);
    await sleep(MINUTE_MS, undefined, { signal: ended }).catch(() => {});
  }
}
