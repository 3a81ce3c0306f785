// Creations to look at: every status, kind and age.

import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { demoStatements } from "../../../scripts/demo-data.mjs";

/** Fills the local database, once and only if it is empty. `execute(...args)` runs `wrangler d1 execute` on it. */
export async function fill(folder, execute) {
  const state = join(folder, ".wrangler");
  const done = join(state, "stale-drafts-demo");
  if (existsSync(done)) return;
  mkdirSync(state, { recursive: true });
  if (/"n":\s*0\b/.test(await execute("--json", "--command", "SELECT count(*) AS n FROM stale_drafts_creations"))) {
    const file = join(state, "stale-drafts-demo.sql");
    writeFileSync(file, demoStatements(Date.now()).map((statement) => `${statement};\n`).join(""));
    await execute("--file", file);
    rmSync(file);
  }
  writeFileSync(done, "");
}
