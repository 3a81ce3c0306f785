// The built commands, as a user runs them: a process in a folder of its own.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

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

/** The lines that a terminal of 80 columns would break. */
export const tooLong = (output) => output.split("\n").filter((line) => [...line].length > 80);
