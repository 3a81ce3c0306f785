// docs/moving.md, from which the tests take the commands and files that they run.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const PAGE = fileURLToPath(new URL("../../docs/moving.md", import.meta.url));
export const markdown = readFileSync(PAGE, "utf8");

/** Every named block: its language, name and content. A block in a list is indented. */
export const blocks = [...markdown.matchAll(/^( *)```(\w+) (\S+)\n([^]*?)^\1```$/gm)].map(([, indent, language, name, content]) => ({
  language, name, content: content.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
}));

export function block(name) {
  const found = blocks.filter((candidate) => candidate.name === name);
  if (found.length !== 1) throw new Error(`docs/moving.md has ${found.length} blocks called \`${name}\`: expected 1`);
  return found[0].content;
}
