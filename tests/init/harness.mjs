// The built commands, as a user runs them: a process in a folder of its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const root = join(import.meta.dirname, "../..");
export const CLI = join(root, "pkg/dist/cli/index.js");
export const CREATE = join(root, "pkg/create/dist/index.js");

/** A folder with files by their paths, removed when the test ends. */
export function folder(t, files = {}) {
  const path = mkdtempSync(join(tmpdir(), "stale-drafts-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}

export const MAIN = "export default { fetch: () => new Response('the app') };\n";

/** A project with the package installed and an entry point. */
export function project(t, files) {
  const path = folder(t, { "package.json": '{ "type": "module" }\n', "src/index.ts": MAIN, ".gitignore": "/node_modules/\n/.dev.vars*\n", ...files });
  mkdirSync(join(path, "node_modules"));
  symlinkSync(join(root, "pkg"), join(path, "node_modules/stale-drafts"), "dir");
  return path;
}

export const read = (...path) => readFileSync(join(...path), "utf8");

const escape = /\u001b\[[\d;?]*[A-Za-z]/g;

/** Runs a command to its end; `type` is called with what it has printed so far, and gives what to type, on a terminal of its own. */
export function run(cwd, args, { command = CLI, type, env, uid } = {}) {
  return new Promise((done, failed) => {
    const inner = [process.execPath, command, ...args];
    // `script` gives it a terminal.
    const [program, ...rest] = type ? ["script", "-qefc", inner.map((word) => `'${word}'`).join(" "), "/dev/null"] : inner;
    const child = spawn(program, rest, { cwd, uid, env: { ...process.env, NO_COLOR: "1", ...env }, stdio: [type ? "pipe" : "ignore", "pipe", "pipe"] });
    let output = "";
    let typed = 0;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
        const answer = type?.(output.slice(typed));
        if (answer === undefined) return;
        typed = output.length;
        child.stdin.write(answer);
      });
    }
    child.on("error", failed);
    child.on("close", (code) => done({ code, output: output.replaceAll("\r\n", "\n").replace(escape, "") }));
  });
}

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, "localhost", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** How long a server may take to end. */
const GRACE_MS = 10_000;

/**
 * Starts a server, `command(port)`, and waits until its output says that it is `ready`. `stop()` ends it as Ctrl-C does, all of its
 * processes at once, and says whether they ended by that.
 */
export async function serve(t, cwd, command, { env, ready }) {
  const port = await freePort();
  const [program, ...args] = command(port);
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let ended = false;
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  const closed = new Promise((done) => child.once("close", done)).then(() => (ended = true));
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // It has ended.
    }
  };
  const stop = async () => {
    if (ended) return true;
    signal("SIGINT");
    const alone = await Promise.race([closed, sleep(GRACE_MS, false, { ref: false })]);
    signal("SIGKILL");
    return alone;
  };
  t.after(stop);
  while (!ready.test(output)) {
    assert.ok(!ended, output);
    await sleep(100);
  }
  return { url: `http://localhost:${port}`, stop, output: () => output };
}

/** Asks `what()` until the answer is `wanted`, and gives it. */
export async function until(what, wanted) {
  for (;;) {
    const value = await what();
    if (wanted(value)) return value;
    await sleep(300);
  }
}

/** The lines that a terminal of 80 columns would break. */
export const tooLong = (output) => output.split("\n").filter((line) => [...line].length > 80);
