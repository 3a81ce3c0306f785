// The policy, as a fleet reads it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { CLEANUP_TOKEN, HOUR, WORKER_TOKEN, start } from "./harness.mjs";

test("a fleet reads the policy, and how long an attempt may take at the longest", async () => {
  const policies = [
    [{}, null],
    [{ max_age_hours: 2, heartbeat_minutes: 5 }, null],
    [{ total_hours: 6 }, 6 * HOUR],
    [{ total_hours: 6, kinds: { video: { total_hours: 12 }, image: { total_hours: 0.5 } } }, 12 * HOUR],
    [{ kinds: { video: { total_hours: 12 } } }, null],
  ];
  for (const [policy, max_run_ms] of policies) {
    const world = await start({ config: { policy } });
    try {
      const ask = (token) => world.fetch("/api/policy", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
      assert.deepEqual(await (await ask(WORKER_TOKEN)).json(), { policy, max_run_ms });
      assert.deepEqual([(await ask(CLEANUP_TOKEN)).status, (await ask()).status], [403, 401]);
    } finally {
      await world.stop();
    }
  }
});
