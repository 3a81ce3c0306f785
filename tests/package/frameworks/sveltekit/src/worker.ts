import { staleDrafts } from "stale-drafts/worker";
// @ts-ignore: `vite build` writes it.
import app from "../.svelte-kit/cloudflare/_worker.js";

export default { fetch: app.fetch, scheduled: staleDrafts().scheduled };
