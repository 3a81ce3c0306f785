import type { APIRoute } from "astro";
import { env } from "cloudflare:workers";
import { drafts } from "../drafts";

export const POST: APIRoute = async () => {
  await drafts.grant(env, { user_id: "ada", tokens: 100, idempotency_key: "welcome" });
  return Response.json(await drafts.create(env, { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 }), { status: 201 });
};
