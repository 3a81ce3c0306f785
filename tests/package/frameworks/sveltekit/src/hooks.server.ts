import { drafts } from "./lib/server/drafts";
import type { Handle } from "@sveltejs/kit";

export const handle: Handle = async ({ event, resolve }) =>
  (event.platform && (await drafts.fetch(event.request, event.platform.env, event.platform.ctx))) ?? resolve(event);
