import { applyD1Migrations, createExecutionContext, createScheduledController, waitOnExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { staleDrafts } from "stale-drafts/worker";
import { beforeAll, expect, test } from "vitest";
import worker from "../src/index";

const drafts = staleDrafts();

beforeAll(() => applyD1Migrations(env.DB, env.MIGRATIONS, "stale_drafts_migrations"));

test("a stale creation is failed by the cron trigger", async () => {
  await drafts.grant(env, { user_id: "ada", tokens: 100, idempotency_key: "welcome" });
  const { id } = await drafts.create(env, { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 });
  await env.DB.prepare("UPDATE stale_drafts_creations SET created_at = created_at - 7200000 WHERE id = ?").bind(id).run();
  const ctx = createExecutionContext();
  await worker.scheduled(createScheduledController(), env, ctx);
  await waitOnExecutionContext(ctx);
  const page = await (await exports.default.fetch("https://app.example/")).text();
  expect(page).toContain("<li>❌ Failed a fox: Generation timeout: Task stuck in pending status for 2.0 hours</ul><p>100 tokens");
});

test("the pages' style comes from the Worker", async () => {
  const style = await exports.default.fetch("https://app.example/stale-drafts/drafts.css");
  expect([style.status, style.headers.get("Content-Type")]).toEqual([200, "text/css; charset=utf-8"]);
});
