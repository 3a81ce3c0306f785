// Edits of JSON with comments: what is not touched keeps its bytes.

import { createScanner, findNodeAtLocation, getNodeValue, parseTree, printParseErrorCode, SyntaxKind } from "jsonc-parser";
import { broken, positionAt } from "./broken.js";
import { behind, eol } from "./insert.js";

const WORDS = { InvalidSymbol: "an unexpected word", InvalidNumberFormat: "a malformed number", PropertyNameExpected: "a name is missing", ValueExpected: "a value is missing", ColonExpected: "a colon is missing", CommaExpected: "a comma is missing", CloseBraceExpected: "`}` is missing", CloseBracketExpected: "`]` is missing", EndOfFileExpected: "text after the end", UnexpectedEndOfString: "a text without its closing quote" };

function tree(name, text) {
  const errors = [];
  const root = parseTree(text, errors, { allowTrailingComma: true });
  if (errors.length === 0 && root) return root;
  const code = errors.length > 0 ? printParseErrorCode(errors[0].error) : "ValueExpected";
  throw broken(name, text, positionAt(text, errors[0]?.offset ?? 0), WORDS[code] ?? code);
}

export const parse = (name, text) => getNodeValue(tree(name, text));

function comments(text) {
  const scanner = createScanner(text);
  const found = [];
  for (let kind = scanner.scan(); kind !== SyntaxKind.EOF; kind = scanner.scan()) {
    if (kind === SyntaxKind.LineCommentTrivia || kind === SyntaxKind.BlockCommentTrivia) found.push([scanner.getTokenOffset(), scanner.getTokenOffset() + scanner.getTokenLength()]);
  }
  return found;
}

const WIDTH = 80;
const scalar = (value) => typeof value !== "object" || value === null;

/** A value on one line if that is asked for, or if it is short and holds no table; else over several. */
function literal(value, indent, unit, end) {
  if (scalar(value)) return JSON.stringify(value);
  const inline = indent === undefined;
  const array = Array.isArray(value);
  const entries = array ? value.map((item) => ["", item]) : Object.entries(value).map(([key, item]) => [`${JSON.stringify(key)}: `, item]);
  const [open, close] = array ? ["[", "]"] : ["{ ", " }"];
  if (inline || entries.every(([, item]) => scalar(item))) {
    const line = `${open}${entries.map(([key, item]) => key + literal(item)).join(", ")}${close}`;
    if (inline || indent.length + line.length < WIDTH) return line;
  }
  const lines = entries.map(([key, item]) => `${indent}${unit}${key}${literal(item, indent + unit, unit, end)}`);
  return `${open.trim()}${end}${lines.join(`,${end}`)}${end}${indent}${close.trim()}`;
}

function put(text, node, key, value) {
  const unit = text.match(/^([ \t]+)\S/m)?.[1] ?? "  ";
  return behind(text, comments(text), {
    range: [node.offset, node.offset + node.length],
    items: (node.children ?? []).map(({ offset, length }) => [offset, offset + length]),
    render: (indent) => key + literal(value, indent, unit, eol(text)),
    unit,
    spread: node.type === "object" || !scalar(value),
  });
}

/** Adds `value` at a path where nothing is. */
export function add(text, path, value) {
  const root = tree("", text);
  let depth = path.length - 1;
  while (!findNodeAtLocation(root, path.slice(0, depth))) depth -= 1;
  const rest = path.slice(depth + 1).reduceRight((inner, key) => ({ [key]: inner }), value);
  return put(text, findNodeAtLocation(root, path.slice(0, depth)), `${JSON.stringify(path[depth])}: `, rest);
}

/** Adds `value` to the end of the array at a path, which is made if it isn't there. */
export function push(text, path, value, length) {
  return length === undefined ? add(text, path, [value]) : put(text, findNodeAtLocation(tree("", text), path), "", value);
}
