// Writes the fixtures anew. The managed export is left alone: fixtures/README.md says how it was made.

import { mkdir, writeFile } from "node:fs/promises";
import { fixtureFiles } from "./seed-data.mjs";

for (const [name, text] of Object.entries(fixtureFiles())) {
  const file = new URL(`fixtures/${name}`, import.meta.url);
  await mkdir(new URL(".", file), { recursive: true });
  await writeFile(file, text);
}
