import { getCloudflareContext } from "@opennextjs/cloudflare";
import { drafts } from "../lib/drafts";

export const dynamic = "force-dynamic";

export default async function Page() {
  const page = await drafts.list(getCloudflareContext().env, "ada");
  return (
    <>
      <ul>{page.drafts.map(({ id, badge, prompt, error }) => <li key={id}>{`${badge} ${prompt}: ${error}`}</li>)}</ul>
      <p>{`${page.balance} tokens`}</p>
    </>
  );
}
