import { Hono } from "hono";
import { staleDrafts } from "stale-drafts/worker";

const drafts = staleDrafts();
const app = new Hono<{ Bindings: Env }>();

app.all("/stale-drafts/*", async (c) => (await drafts.fetch(c.req.raw, c.env, c.executionCtx)) ?? c.notFound());
app.post("/", async (c) => {
  await drafts.grant(c.env, { user_id: "ada", tokens: 100, idempotency_key: "welcome" });
  return c.json(await drafts.create(c.env, { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 }), 201);
});
app.get("/", async (c) => {
  const page = await drafts.list(c.env, "ada");
  return c.html(
    <html lang="en">
      <body>
        <ul>{page.drafts.map(({ badge, prompt, error }) => <li>{badge} {prompt}: {error}</li>)}</ul>
        <p>{page.balance} tokens</p>
      </body>
    </html>,
  );
});

export default { fetch: app.fetch, scheduled: drafts.scheduled } satisfies ExportedHandler<Env>;
