// The configuration of wrangler in its three forms: read, edited with its comments kept, and each edit checked.

import { isDeepStrictEqual } from "node:util";
import { basename, dirname, join, resolve } from "node:path";
import { existsSync } from "node:fs";
import { Help } from "../help.js";
import { read } from "../files.js";
import * as jsonc from "./jsonc.js";
import * as toml from "./toml.js";

/** In the order in which wrangler looks for them. */
export const NAMES = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];

const BOM = "\uFEFF";

/** The value at a path of plain data, or undefined. */
export const at = (data, path) => path.reduce((value, key) => value?.[key], data);

/** The configuration's file: the one that was named, else the only one in the folder. */
export function find(cwd, named) {
  if (named !== undefined) {
    const path = resolve(cwd, named);
    if (!existsSync(path)) throw new Help(`there is no file \`${named}\``);
    if (!/\.(json|jsonc|toml)$/.test(path)) throw new Help(`\`${named}\` is no configuration of wrangler: expected a name that ends in .toml, .json or .jsonc`);
    return path;
  }
  const found = NAMES.filter((name) => existsSync(join(cwd, name)));
  if (found.length > 1) throw new Help(`there are ${found.length} configurations: ${found.map((name) => `\`${name}\``).join(" and ")}. wrangler reads \`${found[0]}\`.\n  Remove the other, or name one: --config ${found[0]}`);
  return found[0] && join(cwd, found[0]);
}

/** Reads it: `{ path, name, folder, text, data }`. */
export function load(path) {
  const text = read(path);
  const name = basename(path);
  const language = name.endsWith(".toml") ? toml : jsonc;
  const data = language.parse(name, text.startsWith(BOM) ? text.slice(1) : text);
  if (typeof data !== "object" || data === null || Array.isArray(data)) throw new Help(`\`${name}\` holds no table: expected \`{ "name": …, "main": … }\``);
  return { path, name, folder: dirname(path), text, data, language };
}

/** The plain data after the edits, by which each is checked. */
function expected(data, edits) {
  const result = structuredClone(data);
  for (const { op, path, value } of edits) {
    let table = result;
    for (const key of path.slice(0, -1)) table = table[key] ??= {};
    if (op === "push") (table[path.at(-1)] ??= []).push(value);
    else table[path.at(-1)] = value;
  }
  return result;
}

/**
 * The text with the edits `{ op: "add" | "push", path, value }`. What it says is compared with what it should say: a text that can't be
 * edited so is refused, with what to add by hand.
 */
export function edit(config, edits) {
  const { name, language } = config;
  const mark = config.text.startsWith(BOM) ? BOM : "";
  let text = config.text.slice(mark.length);
  try {
    for (const { op, path, value } of edits) {
      text = op === "push" ? language.push(text, path, value, at(language.parse(name, text), path)?.length) : language.add(text, path, value);
    }
    if (isDeepStrictEqual(plain(language.parse(name, text)), plain(expected(config.data, edits)))) return mark + text;
  } catch {
    // The edited text can't be read: the same refusal.
  }
  const lines = edits.map(({ op, path, value }) => `  ${path.join(".")}${op === "push" ? " (one more)" : ""}: ${JSON.stringify(value)}`);
  throw new Help(`\`${name}\` is written in a way that can't be edited without a change of something else. Add by hand:\n${lines.join("\n")}`);
}

/** Without prototypes and the parsers' own classes. */
const plain = (data) => JSON.parse(JSON.stringify(data));
