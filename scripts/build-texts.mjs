// The types of a catalogue, from the English original, which a test holds against Rust: every key, what it says in English, and the
// parameters that it takes.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./lib.mjs";

/** The names in braces of a text, or of all its forms. */
export const parametersOf = (text) => [...new Set(JSON.stringify(text).match(/(?<={)\w+(?=})/g))].sort();

const indented = (text, by) => text.replace(/^(?=.)/gm, " ".repeat(by));

/** A key as a member of an interface. */
function member(name, text, typed) {
  const names = parametersOf(text);
  const english = typeof text === "string" ? text : text.other;
  const said = [english && `\`${english.replaceAll("`", "'")}\``, names.length > 0 && `Takes ${names.map((name) => `\`{${name}}\``).join(", ")}.`].filter(Boolean).join(" ");
  return `/** ${said} */\nreadonly ${name}?: ${typed};\n`;
}

const typeOf = (text) => (parametersOf(text).includes("count") ? "Text" : "string");

/** The lines of a type that has a member for each key of a group. */
const group = (texts) => Object.entries(texts).map(([name, text]) => member(name, text, typeOf(text))).join("");

/** The text of `texts.d.ts`: what is written by hand, and the catalogue. */
export function textTypes(head) {
  const { errors, attempts, badges, ages, ago, reasons, page, movements, problems } = JSON.parse(readFileSync(join(root, "pkg/texts/en.json"), "utf8"));
  const { generation_timeout: timeout, ...others } = errors;
  const groups = { Badges: badges, Ages: ages, Ago: ago, Reasons: reasons, Page: page, Movements: movements, Problems: problems };
  const interfaces = Object.entries(groups).map(([name, texts]) => `export interface ${name} {\n${indented(group(texts), 2)}}\n`);
  interfaces.push(`export interface Errors {
  /** A time-out, by the status that it was stuck in. \`{age}\` is a text of \`ages\`. */
  readonly generation_timeout?: {
${indented(group(timeout), 4)}  };
${indented(group(others), 2)}  /** What another \`error_code\` of your workers' is to say, in place of the error's own text. */
  readonly [error_code: string]: string | { readonly [status: string]: string } | undefined;
}
`);
  return `${head.replace("  // attempts\n", indented(member("attempts", attempts, "Text"), 2))}\n${interfaces.join("\n")}`;
}
