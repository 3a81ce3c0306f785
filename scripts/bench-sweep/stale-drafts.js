// This project: the built Worker's own endpoint, as a scheduler calls it, and its cron trigger.

import Worker from "./index.js";

export async function sweep(env, { limit, cron }, context) {
  const worker = new Worker(context, env);
  if (cron) {
    await worker.scheduled({ cron: "* * * * *", scheduledTime: 0 });
    return { marked: 0, more: false, left: 0 };
  }
  const response = await worker.fetch(new Request(`http://worker/api/generate/cleanup-stale?limit=${limit}`, { method: "POST", headers: { Authorization: `Bearer ${env.CLEANUP_TOKEN}` } }));
  const answer = await response.json();
  if (response.status !== 200) throw new Error(`${response.status}: ${answer.error}`);
  return { marked: answer.marked_as_failed, more: answer.more, left: 0 };
}
