import { drafts } from "../../lib/server/drafts";
import { json } from "@sveltejs/kit";
import type { RequestHandler } from "./$types";

export const POST: RequestHandler = async ({ platform }) => {
  const { env } = platform!;
  await drafts.grant(env, { user_id: "ada", tokens: 100, idempotency_key: "welcome" });
  return json(await drafts.create(env, { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 }), { status: 201 });
};
