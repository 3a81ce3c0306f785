// What a command prints: at most 80 columns, coloured only on a terminal.

import { createInterface } from "node:readline";
import { structuredPatch } from "diff";
import { Help } from "./help.js";

const WIDTH = 80;
const CODES = { bold: 1, dim: 2, red: 31, green: 32, cyan: 36 };

/** Colours a text, if the output is a terminal that wants it. */
export function paint(io, colour, text) {
  return io.isTTY && !io.env.NO_COLOR && io.env.TERM !== "dumb" ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;
}

export const say = (io, text = "") => io.stdout.write(`${text}\n`);

/** Text in lines of at most `width` columns, broken between words. A word that is longer stays whole: somebody may copy it. */
export function wrap(text, { indent = "", width = WIDTH } = {}) {
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const last = lines.at(-1);
    if (last !== undefined && `${indent}${last} ${word}`.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => indent + line).join("\n");
}

/** A line in pieces that fit; the later ones begin with `mark`. */
function fold(line, mark) {
  const pieces = [line.slice(0, WIDTH)];
  for (let at = WIDTH; at < line.length; at += WIDTH - mark.length) pieces.push(mark + line.slice(at, at + WIDTH - mark.length));
  return pieces;
}

const COLOURS = { "+": "green", "-": "red", "@": "cyan" };

/** The difference between two texts, as `diff -u` shows it. */
export function difference(io, name, before, after) {
  const plain = (text) => (text ?? "").replace(/^\uFEFF/, "").replaceAll("\r\n", "\n");
  const { hunks } = structuredPatch(name, name, plain(before), plain(after), undefined, undefined, { context: 2 });
  const lines = [paint(io, "bold", `--- ${before === null ? "(new)" : name}`), paint(io, "bold", `+++ ${name}`)];
  for (const hunk of hunks) {
    const head = `@@ -${hunk.oldStart},${hunk.oldLines} +${hunk.newStart},${hunk.newLines} @@`;
    for (const line of [head, ...hunk.lines]) {
      // Of what stays, the beginning is enough to know it by.
      const shown = line[0] === " " ? [line.length > WIDTH ? `${line.slice(0, WIDTH - 1)}…` : line] : fold(line, `${line[0]} … `);
      for (const piece of shown) lines.push(COLOURS[line[0]] ? paint(io, COLOURS[line[0]], piece) : piece.trimEnd());
    }
  }
  return lines.join("\n");
}

/** Asks on the terminal; an empty answer gives `fallback`. To end the input or press Ctrl-C ends the command. */
export function ask(io, question, fallback = "") {
  return new Promise((answered, gone) => {
    const lines = createInterface({ input: io.stdin, output: io.stdout });
    const leave = (code) => {
      lines.removeAllListeners("close");
      lines.close();
      io.stdout.write("\n");
      gone(new Help("nothing was changed", { code }));
    };
    lines.once("SIGINT", () => leave(130));
    lines.once("close", () => leave(1));
    lines.question(question, (answer) => {
      lines.removeAllListeners("close");
      lines.close();
      answered(answer.trim() || fallback);
    });
  });
}

/** Asks until the answer is yes or no. */
export async function confirm(io, question) {
  for (;;) {
    const answer = (await ask(io, `${question} [y/N] `, "n")).toLowerCase();
    if (["y", "yes"].includes(answer)) return true;
    if (["n", "no"].includes(answer)) return false;
  }
}

/** Asks for one of a list, by its number or its text. */
export async function choose(io, question, choices) {
  say(io, question);
  choices.forEach((choice, index) => say(io, `  ${index + 1}. ${choice}`));
  for (;;) {
    const answer = await ask(io, "Which? [1] ", "1");
    const index = choices.indexOf(answer) + 1 || Number(answer);
    if (Number.isInteger(index) && index >= 1 && index <= choices.length) return index - 1;
  }
}
