import { env } from "cloudflare:workers";
import { drafts } from "../drafts.server";

export async function action() {
  await drafts.grant(env, { user_id: "ada", tokens: 100, idempotency_key: "welcome" });
  return Response.json(await drafts.create(env, { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 }), { status: 201 });
}
