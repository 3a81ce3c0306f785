import { staleDrafts } from "stale-drafts/worker";

export const drafts = staleDrafts();
