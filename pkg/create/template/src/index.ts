import { staleDrafts } from "stale-drafts/worker";

const drafts = staleDrafts({ basePath: "/stale-drafts" });

export default {
  async fetch(request, env, ctx) {
    return (await drafts.fetch(request, env, ctx)) ?? app(request, env);
  },
  async scheduled(event, env, ctx) {
    await drafts.scheduled(event, env, ctx);
  },
} satisfies ExportedHandler<Env>;

// Your app goes here. This one is a button, on your machine only.
async function app(request: Request, env: Env) {
  const { hostname, origin } = new URL(request.url);
  if (hostname !== "localhost") return new Response("Your app goes here.");
  if (request.method === "POST") {
    // No worker ever starts it, so it is stale after the limit of its kind: see wrangler.jsonc.
    await drafts.create(env, { user_id: "ada", kind: "demo", prompt: "a fox in the snow", tokens: 10 });
    return Response.redirect(`${origin}/stale-drafts/drafts`, 303);
  }
  const page = `<!doctype html><title>My app</title><p>1. <a href="/stale-drafts/demo">Sign in as ada</a>
    <form method="post">2. <button>Make a creation whose worker dies</button> and watch it fail after 36 seconds.</form>`;
  return new Response(page, { headers: { "Content-Type": "text/html" } });
}
