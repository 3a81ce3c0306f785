import { drafts } from "./lib/drafts";
// @ts-ignore: `opennextjs-cloudflare build` writes it.
import app from "./.open-next/worker.js";

export default {
  async fetch(request, env, ctx) {
    return (await drafts.fetch(request, env, ctx)) ?? app.fetch(request, env, ctx);
  },
  scheduled: drafts.scheduled,
} satisfies ExportedHandler<CloudflareEnv>;
