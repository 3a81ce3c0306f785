// `stale-drafts check-texts FILE`: what a language of an app's own lacks.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse } from "../lib/args.js";
import { Help, Usage } from "../lib/help.js";
import { say } from "../lib/terminal.js";
import { findings } from "./check.js";

export const SUMMARY = "says what a translation lacks";

const USAGE = `Usage: stale-drafts check-texts FILE

Reads the texts of a language from a JSON file, and says which keys, plural forms
and parameters are missing or wrong. What is missing is said in English: with
--partial that is no fault.

  --partial  only what is wrong counts
  -h, --help prints this

The English original, to begin from: node_modules/stale-drafts/texts/en.json`;

function read(io, file) {
  let text;
  try {
    text = readFileSync(resolve(io.cwd, file), "utf8");
  } catch (error) {
    throw new Help(`\`${file}\` can't be read: ${error.message}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Help(`\`${file}\` is no JSON: ${error.message}`);
  }
}

export function checkTexts(argv, io) {
  const { values, positionals } = parse(argv, { command: "stale-drafts check-texts", options: { partial: { type: "boolean", default: false } }, most: 1 });
  if (values.help) {
    say(io, USAGE);
    return 0;
  }
  const [file] = positionals;
  if (file === undefined) throw new Usage("expected the file of a translation, such as `texts/pl.json`\n  `stale-drafts check-texts --help` lists what it takes.");
  const found = findings(read(io, file));
  for (const { path, problem, missing } of found) say(io, `${missing ? "·" : "✗"} ${path} ${problem}`);
  const wrong = found.filter(({ missing }) => !missing || !values.partial);
  say(io, found.length === 0 ? `✓ ${file} is complete.` : `${found.length} ${found.length === 1 ? "finding" : "findings"} in ${file}.`);
  return wrong.length > 0 ? 1 : 0;
}
