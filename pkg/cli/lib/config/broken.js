import { Help } from "../help.js";

/** Line and column, from 1, of an offset. */
export function positionAt(text, offset) {
  const lines = text.slice(0, offset).split("\n");
  return { line: lines.length, column: lines.at(-1).length + 1 };
}

const SHOWN = 70;

/** The failure to read a file: it quotes the line. */
export function broken(name, text, { line, column }, what) {
  const quoted = (text.split(/\r?\n/)[line - 1] ?? "").slice(0, SHOWN);
  const pointer = column <= SHOWN ? `\n  ${" ".repeat(String(line).length)} | ${" ".repeat(column - 1)}^` : "";
  return new Help(`\`${name}\` can't be read: line ${line}, column ${column}: ${what}\n  ${line} | ${quoted}${pointer}\n  Nothing was changed.`);
}
