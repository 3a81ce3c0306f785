// Edits of TOML: what is not touched keeps its bytes. The parser says where things are; the edits are of the text, because no
// serialiser leaves comments where they belong.

import { getStaticTOMLValue, ParseError, parseTOML } from "toml-eslint-parser";
import { broken } from "./broken.js";
import { behind, eol, insert } from "./insert.js";

export function parse(name, text) {
  try {
    return getStaticTOMLValue(parseTOML(text));
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    throw broken(name, text, { line: error.lineNumber, column: error.column + 1 }, error.message);
  }
}

// What a document has, each with the path that it is at. A header is `[table]` or `[[array]]`.

function* inside(path, node) {
  yield { path, node };
  if (node.type === "TOMLInlineTable") for (const pair of node.body) yield* pairs(path, pair);
  if (node.type === "TOMLArray") for (const [index, element] of node.elements.entries()) yield* inside([...path, index], element);
}

function* pairs(base, pair) {
  const keys = pair.key.keys.map((key) => (key.type === "TOMLBare" ? key.name : key.value));
  yield* inside([...base, ...keys], pair.value);
}

function* nodes(text) {
  for (const item of parseTOML(text).body[0].body) {
    if (item.type !== "TOMLTable") {
      yield* pairs([], item);
      continue;
    }
    yield { path: item.resolvedKey, node: item };
    for (const pair of item.body) yield* pairs(item.resolvedKey, pair);
  }
}

const isIn = (path, prefix) => prefix.every((key, index) => path[index] === key);
const isAt = (path, other) => path.length === other.length && isIn(path, other);

// Values as TOML writes them. JSON's texts are TOML's, but for DEL.

const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const string = (text) => JSON.stringify(text).replaceAll("\u007f", "\\u007f");
const key = (name) => (/^[\w-]+$/.test(name) ? name : string(name));

function literal(value) {
  if (typeof value === "string") return string(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (isTable(value)) return `{ ${Object.entries(value).map(([name, item]) => `${key(name)} = ${literal(item)}`).join(", ")} }`;
  return String(value);
}

/** The lines of a table of its own; a table of nothing but tables needs no header. */
function block(path, value, [open, close] = ["[", "]"]) {
  const entries = Object.entries(value);
  const own = entries.filter(([, item]) => !isTable(item)).map(([name, item]) => `${key(name)} = ${literal(item)}`);
  // Where an array of tables is on the way, TOML means its last one: its index is not written.
  const header = path.filter((part) => typeof part === "string").map(key).join(".");
  const lines = own.length > 0 || open === "[[" ? [`${open}${header}${close}`, ...own] : [];
  for (const [name, item] of entries.filter(([, item]) => isTable(item))) lines.push(...(lines.length > 0 ? [""] : []), ...block([...path, name], item));
  return lines;
}

/** Lines at the end, after an empty one. */
function append(text, lines) {
  const end = eol(text);
  const before = text.trim() === "" || text === "\uFEFF" ? "" : text.endsWith("\n") ? end : end + end;
  return text + before + lines.join(end) + end;
}

/** Lines after the line that holds the offset. */
function after(text, offset, lines) {
  const end = eol(text);
  const newline = text.indexOf("\n", offset);
  const added = lines.join(end);
  return newline === -1 ? text + end + added + end : insert(text, newline + 1, added + end);
}

/** Where a table's own lines end: its header if it has none. */
const endOf = (table) => (table.body.at(-1) ?? table.key).range[1];

/** Puts an element or a pair into a bracket. */
function put(text, node, render) {
  return behind(text, parseTOML(text).comments.map(({ range }) => range), {
    range: node.range,
    items: (node.elements ?? node.body).map(({ range }) => range),
    render,
    unit: "  ",
    spread: false,
    padding: node.type === "TOMLInlineTable" ? " " : "",
  });
}

/** Adds `value` at a path where nothing is. */
export function add(text, path, value) {
  let home = { path: [], node: { type: "TOMLTopLevelTable" } };
  for (const item of nodes(text)) if (isIn(path, item.path) && item.path.length >= home.path.length) home = item;
  const rest = path.slice(home.path.length);
  if (home.node.type === "TOMLInlineTable") {
    return put(text, home.node, () => `${rest.map(key).join(".")} = ${literal(value)}`);
  }
  if (home.node.type === "TOMLTable" && rest.length === 1 && !isTable(value)) {
    return after(text, endOf(home.node), [`${key(rest[0])} = ${literal(value)}`]);
  }
  if (isTable(value)) return append(text, block(path, value));
  // An array of tables is written as such.
  if (Array.isArray(value) && value.every(isTable)) return value.reduce((made, item) => append(made, block(path, item, ["[[", "]]"])), text);
  return append(text, block(path.slice(0, -1), { [path.at(-1)]: value }));
}

/** Adds `value` to the end of the array at a path, which is made if it isn't there. */
export function push(text, path, value, length) {
  if (length === undefined) return add(text, path, [value]);
  const found = [...nodes(text)];
  const array = found.find((item) => isAt(item.path, path));
  if (array) return put(text, array.node, () => literal(value));
  // The tables of the last one are below it: the new one comes behind them.
  const tables = found.filter(({ path: at, node }) => node.type === "TOMLTable" && isIn(at, [...path, length - 1]));
  const end = endOf(tables.at(-1).node);
  const [, next = ""] = text.slice(end).split("\n");
  return after(text, end, ["", ...block(path, value, ["[[", "]]"]), ...(next.trim() === "" ? [] : [""])]);
}
