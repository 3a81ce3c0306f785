// What a script says of its work. On a terminal, a line counts the seconds of what is under way.

const terminal = process.stdout.isTTY;
const EVERY_MS = 1_000;

/** What is under way: `{ text, begun }`. */
const tasks = new Set();
let ticking;

/** `42 s`, or `1 min 5 s`. */
export function duration(ms) {
  const seconds = Math.round(ms / 1_000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

const elapsed = ({ begun }) => duration(performance.now() - begun);

/** Prints a line above the one that counts. */
function print(text) {
  if (terminal && tasks.size > 0) process.stdout.write("\r\x1b[K");
  console.log(text);
  draw();
}

function draw() {
  if (!terminal || tasks.size === 0) return;
  const line = `  … ${[...tasks].map((task) => `${task.text}: ${elapsed(task)}`).join("  ")}`;
  process.stdout.write(`\r\x1b[K${line.slice(0, (process.stdout.columns || 80) - 1)}`);
}

export const step = (text) => print(`\n▸ ${text}`);
export const note = (text) => print(`  ${text}`);

/** Does `work`, which takes a while, and says how long it took. Several may be under way at once. */
export async function timed(text, work) {
  const task = { text, begun: performance.now() };
  print(`▸ ${text}`);
  tasks.add(task);
  draw();
  ticking ??= setInterval(draw, EVERY_MS).unref();
  try {
    const result = await work();
    end(task, `✓ ${text}: ${elapsed(task)}`);
    return result;
  } catch (error) {
    end(task, `✗ ${text}: failed after ${elapsed(task)}`);
    throw error;
  }
}

function end(task, text) {
  if (terminal) process.stdout.write("\r\x1b[K");
  tasks.delete(task);
  print(text);
  if (tasks.size > 0) return;
  clearInterval(ticking);
  ticking = undefined;
}
