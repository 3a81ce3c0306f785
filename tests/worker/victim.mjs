// A runtime that sweeps and is killed on the way: `faults.test.mjs` starts it in a process group of its own. It prints what the one
// before it has left, then sweeps until it dies; where no death is ordered, it completes the work and prints what stands.

import { broken } from "./checker.mjs";
import { CLEANUP_TOKEN, HOUR, NOW, start, token } from "./harness.mjs";

const { folder, create, at, what, how, dieAt, delay, rows } = JSON.parse(process.argv[2]);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const world = await start({
  config: { circuit_breaker: "off", rows_per_sweep: rows, webhook_url: "http://127.0.0.1:9/hook", max_deliveries: 100 },
  bindings: { WEBHOOK_SECRET: `whsec_${Buffer.from("n0t-Used-Anywhere-Else-Webhook-77ac1").toString("base64")}` },
  persist: folder,
  migrate: at === 0,
  // The runtime is a child of this process: both are in the group, and neither gets to say goodbye.
  die: async () => {
    if (delay > 0) await sleep(delay);
    process.kill(-process.pid, "SIGKILL");
  },
});
const active = async () => (await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status IN ('pending', 'processing')")).n;
say({ active: at === 0 ? 0 : await active(), broken: at === 0 ? {} : await broken(world.all, { told: true }) });

/** Completes the work that is left. */
async function finish() {
  for (let sweeps = 0; sweeps < 20 && (await active()) > 0; sweeps += 1) await world.cleanup();
}

if (at > 0) await finish();
if (create > 0) {
  await world.database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES (?1, 'ada', 'grant', ?2, 0)").bind(`grant:${at}`, create * 10).run();
  await world.create(...Array.from({ length: create }, (_, n) => ({ id: `k${at}-${n}`, created_at: NOW - 2 * HOUR - n })));
  const plan = what === "plan" ? await (await world.cleanup("?dry_run=true&limit=1000")).text() : undefined;
  await world.order({ dieAt, dieHow: how });
  // A page's sweep is bounded by what a page needs: it is opened until it dies.
  for (let tries = 0; tries < 50; tries += 1) {
    if (what === "cron") await world.cron();
    else if (what === "endpoint") await world.cleanup();
    else if (what === "plan") await world.cleanup("?source=tool", CLEANUP_TOKEN, plan);
    else await world.fetch("/api/drafts", { headers: { Authorization: `Bearer ${token({ sub: "ada" })}` } });
    await sleep(100);
  }
  say({ error: "it was not killed" });
  process.exit(1);
}
await finish();
say({ active: await active(), broken: await broken(world.all, { told: true }), created: (await world.one("SELECT count(*) AS n FROM stale_drafts_creations")).n, failed: (await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed' AND sweep_id IS NOT NULL")).n });
await world.stop();
