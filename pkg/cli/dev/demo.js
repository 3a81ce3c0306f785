// Creations to look at: every status, kind and age.

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { demoStatements } from "../../../scripts/demo-data.mjs";

const stateOf = (folder) => join(folder, ".wrangler");

/** Whether the project has no local database yet. To ask wrangler for it takes seconds. */
export const isNew = (folder) => !existsSync(join(stateOf(folder), "state"));

/**
 * Fills the local database, once and only if it is empty: `empty`, if that is known. `execute(...args)` runs `wrangler d1 execute` on it.
 */
export async function fill(folder, empty, execute) {
  const done = join(stateOf(folder), "stale-drafts-demo");
  if (existsSync(done)) return;
  if (empty || /"n":\s*0\b/.test(await execute("--json", "--command", "SELECT count(*) AS n FROM stale_drafts_creations"))) {
    const file = `${done}.sql`;
    writeFileSync(file, demoStatements(Date.now()).map((statement) => `${statement};\n`).join(""));
    await execute("--file", file);
    rmSync(file);
  }
  writeFileSync(done, "");
}
