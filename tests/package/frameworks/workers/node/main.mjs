import { StaleDraftsError, staleDrafts } from "stale-drafts/worker";
import { getPlatformProxy } from "wrangler";

const { env, ctx, dispose } = await getPlatformProxy();
const drafts = staleDrafts();
await drafts.grant(env, { user_id: "ada", tokens: 100, idempotency_key: "welcome" });
const { id } = await drafts.create(env, { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 });
await env.DB.prepare("UPDATE stale_drafts_creations SET created_at = created_at - 7200000 WHERE id = ?").bind(id).run();
await drafts.scheduled({ scheduledTime: Date.now(), cron: "* * * * *" }, env, ctx);
const { creation } = await drafts.explain(env, id);
const error = await drafts.explain(env, "none").catch((error) => error);
const style = await drafts.fetch(new Request("http://localhost/stale-drafts/drafts.css"), env, ctx);
// As a bundle for Node that runs in a Worker, whose entry has not loaded the package.
Object.defineProperty(globalThis, "navigator", { value: { userAgent: "Cloudflare-Workers" } });
const lost = await drafts.list(env, "ada").catch(({ message }) => message);
console.log(`answer: ${JSON.stringify([creation.status, error instanceof StaleDraftsError, error.code, style.status, lost])}`);
await dispose();
