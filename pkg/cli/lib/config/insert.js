// Putting text into text, so that everything else stays where it is.

export const eol = (text) => (text.includes("\r\n") ? "\r\n" : "\n");

export const insert = (text, offset, added) => text.slice(0, offset) + added + text.slice(offset);

/** The text with its comments made unreadable, at the same length: no comma, bracket or line end is found in one. */
export const masked = (text, comments) => comments.reduce((made, [from, to]) => made.slice(0, from) + "·".repeat(to - from) + made.slice(to), text);

const indentAt = (text, offset) => text.slice(text.lastIndexOf("\n", offset - 1) + 1).match(/^[ \t]*/)[0];

/**
 * Puts one more item behind the last of a bracket: on a line of its own where they have that, after the last one's comment. `range` is
 * the bracket's, `items` are the ranges of what it holds, `render(indent)` writes the item, on one line without an indent; `unit` is one step of indentation.
 * `spread` says whether an empty bracket on one line is opened.
 */
export function behind(text, comments, { range: [from, to], items, render, unit, spread, padding = "" }) {
  const bare = masked(text, comments);
  const close = to - 1;
  const last = items.at(-1);
  const end = eol(text);
  const outer = indentAt(text, from);
  if (!last) {
    const line = bare.lastIndexOf("\n", close) + 1;
    // Only blanks and comments are inside, and they stay.
    if (line > from) return insert(text, line, `${outer}${unit}${render(outer + unit)}${end}`);
    if (!spread) return insert(text, close, `${padding}${render()}${padding}`);
    return insert(text, close, `${end}${outer}${unit}${render(outer + unit)}${end}${outer}`);
  }
  const comma = bare.slice(last[1], close).indexOf(",");
  const behindLast = last[1] + (comma === -1 ? 0 : comma + 1);
  const newline = bare.slice(0, close).indexOf("\n", behindLast);
  if (newline === -1) return insert(text, behindLast, `${comma === -1 ? "," : ""} ${render()}`);
  const indent = bare.lastIndexOf("\n", last[0]) > from ? indentAt(text, last[0]) : outer + unit;
  const made = insert(text, newline + 1, `${indent}${render(indent)}${comma === -1 ? "" : ","}${end}`);
  return comma === -1 ? insert(made, behindLast, ",") : made;
}
