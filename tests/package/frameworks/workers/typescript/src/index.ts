import { staleDrafts } from "stale-drafts/worker";
import { page } from "./page";

const drafts = staleDrafts();

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const answer = await drafts.fetch(request, env, ctx);
    if (answer) return answer;
    if (request.method === "POST") {
      await drafts.grant(env, { user_id: "ada", tokens: 100, idempotency_key: "welcome" });
      return Response.json(await drafts.create(env, { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 }), { status: 201 });
    }
    return new Response(page(await drafts.list(env, "ada")), { headers: { "Content-Type": "text/html" } });
  },
  async scheduled(event, env, ctx) {
    await drafts.scheduled(event, env, ctx);
  },
} satisfies ExportedHandler<Env>;
