import { getCloudflareContext } from "@opennextjs/cloudflare";
import { drafts } from "../../lib/drafts";

export async function POST() {
  const { env } = getCloudflareContext();
  await drafts.grant(env, { user_id: "ada", tokens: 100, idempotency_key: "welcome" });
  return Response.json(await drafts.create(env, { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 }), { status: 201 });
}
