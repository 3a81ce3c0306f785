import type { DraftsPage } from "stale-drafts/worker";

export const page = ({ drafts, balance }: DraftsPage) =>
  `<ul>${drafts.map(({ badge, prompt, error }) => `<li>${badge} ${prompt}: ${error}`).join("")}</ul><p>${balance} tokens`;
