import { handle } from "@astrojs/cloudflare/handler";
import { drafts } from "./drafts";

export default {
  async fetch(request, env, ctx) {
    return (await drafts.fetch(request, env, ctx)) ?? handle(request, env, ctx);
  },
  scheduled: drafts.scheduled,
} satisfies ExportedHandler<Env>;
