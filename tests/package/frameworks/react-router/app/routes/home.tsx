import { env } from "cloudflare:workers";
import { drafts } from "../drafts.server";
import type { Route } from "./+types/home";

export const loader = () => drafts.list(env, "ada");

export default function Home({ loaderData: { drafts, balance } }: Route.ComponentProps) {
  return (
    <>
      <ul>{drafts.map(({ id, badge, prompt, error }) => <li key={id}>{`${badge} ${prompt}: ${error}`}</li>)}</ul>
      <p>{`${balance} tokens`}</p>
    </>
  );
}
