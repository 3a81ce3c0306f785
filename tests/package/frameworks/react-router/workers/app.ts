import { createRequestHandler } from "react-router";
import { drafts } from "../app/drafts.server";

const handle = createRequestHandler(() => import("virtual:react-router/server-build"), import.meta.env.MODE);

export default {
  async fetch(request, env, ctx) {
    return (await drafts.fetch(request, env, ctx)) ?? handle(request);
  },
  scheduled: drafts.scheduled,
} satisfies ExportedHandler<Env>;
