// The built Worker on workerd with a real D1 database, for the tests of the Python package: prints where it is and what opens it,
// and ends when its standard input does.

import { createHash } from "node:crypto";
import { CLEANUP_TOKEN, JWT_SECRET, NOW, WORKER_TOKEN, start } from "../../tests/worker/harness.mjs";

const GRANT_TOKEN = "n0t-Used-Anywhere-Else-Grant-c03d5";
const named = (name, token, scopes) => ({ name, sha256: createHash("sha256").update(token).digest("hex"), scopes });
const api_tokens = [named("worker", WORKER_TOKEN, ["report"]), named("shop", GRANT_TOKEN, ["grant"])];
// Longer than the visibility timeout that one test gives Redis, and shorter than Redis' own.
const policy = { total_hours: 0.5 };
// A reader of the events, which is never there.
const webhook_url = "https://nobody.invalid/events";

const world = await start({
  config: { api_tokens, policy, webhook_url, max_deliveries: 1 },
  bindings: { WEBHOOK_SECRET: `whsec_${Buffer.from("n0t-Used-Anywhere-Else-Webhook-5e").toString("base64")}` },
  outbound: () => new Response("nobody is there", { status: 500 }),
});
const url = new URL(await world.url()).origin;
console.log(JSON.stringify({ url, now: NOW, report: WORKER_TOKEN, operator: CLEANUP_TOKEN, grant: GRANT_TOKEN, secret: JWT_SECRET }));

/** Each line is a question: `cron`, or a statement whose rows are the answer. */
let rest = "";
for await (const part of process.stdin.setEncoding("utf8")) {
  const lines = (rest + part).split("\n");
  rest = lines.pop();
  for (const line of lines) console.log(JSON.stringify(line === "cron" ? await world.cron() : await world.all(line)));
}
await world.stop();
