// Fires the cron trigger of a local Worker every minute, as the local runtime does not.

import { setTimeout as sleep } from "node:timers/promises";

const MINUTE_MS = 60_000;

/** Fires it once; gives why it failed, or undefined. */
async function fire(url, ended) {
  try {
    const answer = await fetch(`${url}/cdn-cgi/handler/scheduled?cron=${encodeURIComponent("* * * * *")}`, { signal: AbortSignal.any([ended, AbortSignal.timeout(MINUTE_MS)]) });
    return answer.ok ? undefined : `it answered ${answer.status} ${(await answer.text()).slice(0, 200)}`;
  } catch (error) {
    return error.cause?.message ?? error.message;
  }
}

/** Fires it until `ended`; `report(problem)` is called for the first time and whenever that changes. */
export async function runCron(url, ended, report) {
  let before;
  while (!ended.aborted) {
    const problem = await fire(url, ended);
    if (ended.aborted) return;
    if (before === undefined || Boolean(problem) !== before) report(problem);
    before = Boolean(problem);
    await sleep(MINUTE_MS, undefined, { signal: ended }).catch(() => {});
  }
}
