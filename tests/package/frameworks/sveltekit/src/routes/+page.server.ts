import { drafts } from "../lib/server/drafts";
import type { PageServerLoad } from "./$types";

export const load: PageServerLoad = async ({ platform }) => drafts.list(platform!.env, "ada");
