// The metrics, read by the parser of Prometheus' own client.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { CLEANUP_TOKEN, HOUR, NOW, start } from "../worker/harness.mjs";

const PARSE = `
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
print(json.dumps([[f.name, f.type, [[s.name, s.labels, s.value] for s in f.samples]] for f in text_string_to_metric_families(sys.stdin.read())]))
`;

test("a real parser understands them, whatever a kind is called", async () => {
  const world = await start();
  try {
    await world.grant("ada", 1_000);
    const odd = 'a "kind" of \\ its own';
    await world.create({ id: "a", kind: odd, created_at: NOW - HOUR - 30_000 }, { id: "b", kind: "video", tokens: 30 }, { id: "c", status: "processing", started_at: NOW });
    await world.cron();
    const response = await world.fetch("/metrics", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } });
    const families = JSON.parse(execFileSync(process.env.CELERY_PYTHON, ["-c", PARSE], { input: await response.text() }));
    const samples = new Map(families.map(([name, type, list]) => [name, { type, list }]));
    const swept = samples.get("stale_drafts_swept_creations");
    assert.equal(swept.type, "counter");
    assert.deepEqual(swept.list.map(([, { kind }, value]) => [kind, value]), [[odd, 1], ["video", 1]]);
    assert.deepEqual(samples.get("stale_drafts_refunded_tokens").list.map(([, , value]) => value), [10, 30]);
    const lags = samples.get("stale_drafts_time_to_failure_seconds");
    const failed = lags.list.filter(([name, { outcome }]) => name.endsWith("_bucket") && outcome === "failed");
    assert.deepEqual([lags.type, failed.map(([, { le }, value]) => [le, value])], ["histogram", [["60.0", 1], ["300.0", 1], ["900.0", 1], ["3600.0", 2], ["21600.0", 2], ["+Inf", 2]]]);
    // The parser holds each histogram's buckets, sum and count against one another.
    for (const name of ["stale_drafts_wait_seconds", "stale_drafts_processing_seconds"]) assert.equal(samples.get(name).type, "histogram");
    assert.deepEqual(samples.get("stale_drafts_newest_creations").list.map(([, { outcome }, value]) => [outcome, value]), [["completed", 0], ["failed", 2], ["timed_out", 2], ["retried", 0], ["active", 1]]);
    assert.deepEqual(samples.get("stale_drafts_alert_firing").list, []);
  } finally {
    await world.stop();
  }
});
