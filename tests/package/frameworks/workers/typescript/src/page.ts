import type { Drafts } from "stale-drafts/worker";

export const page = ({ drafts, balance }: Drafts) =>
  `<ul>${drafts.map(({ badge, prompt, error }) => `<li>${badge} ${prompt}: ${error}`).join("")}</ul><p>${balance} tokens`;
