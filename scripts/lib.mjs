// What the scripts share: running commands, saying what is done, failing with a message that helps.
//
// `npm run setup` begins here, before any package is installed: only Node's own modules may be imported.

import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export { note, step, timed } from "./progress.mjs";

export const root = resolve(fileURLToPath(import.meta.url), "../..");

// The packages' commands come first, a newer Node among them: wrangler needs Node 22, and this project Node 20.
process.env.PATH = [join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);

/** A failure that the reader can do something about: shown without a stack. */
export class Help extends Error {}

/** Runs `main`; a `Help` becomes its message and exit code 1. */
export async function run(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof Help)) throw error;
    console.error(`\n✗ ${error.message}`);
    // What was started beside it is not waited for.
    process.exit(1);
  }
}

// Each command is a group of processes of its own, so that ending it ends its compilers and servers too.
const windows = process.platform === "win32";
const running = new Set();

/** Starts a command; it ends when this process does. */
export function start(command, args, options) {
  const child = spawn(command, args, { cwd: root, detached: !windows, shell: windows, ...options });
  running.add(child);
  child.on("close", () => running.delete(child));
  child.on("error", () => running.delete(child));
  return child;
}

/** Sends a signal to a command and all that it has started. */
function signal(child, name) {
  try {
    if (windows) child.kill(name);
    else process.kill(-child.pid, name);
  } catch {
    // It has ended meanwhile.
  }
}

/** How long a command may take to end. */
const GRACE_MS = 5_000;

for (const [name, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.once(name, async () => {
    const ended = [...running].map((child) => new Promise((done) => child.once("close", done)));
    for (const child of running) signal(child, name);
    await Promise.race([Promise.all(ended), new Promise((done) => setTimeout(done, GRACE_MS))]);
    process.exit(process.exitCode ?? code);
  });
}
process.on("exit", () => {
  for (const child of running) signal(child, "SIGKILL");
});

/** Runs a command with its output shown. `help` is what to say if it fails. */
export async function sh(command, args, { help, env, cwd = root, quiet = false } = {}) {
  const { code, output } = await capture(command, args, { env, cwd, echo: !quiet });
  if (code === 0) return output;
  if (quiet) process.stderr.write(output);
  throw new Help(`\`${command} ${args.join(" ")}\` failed${help ? `.\n  ${help}` : ` with code ${code}.`}`);
}

/**
 * Runs a command and gives its exit code and everything it printed. `log` is a stream that this is written to as well; after `timeout`
 * milliseconds the command is ended, and has `expired`; once it has printed a line that matches `until` it is ended, too.
 */
export function capture(command, args, { env, cwd = root, echo = false, log, timeout, until } = {}) {
  return new Promise((done) => {
    const child = start(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    let [output, expired] = ["", false];
    const timer = timeout && setTimeout(() => {
      expired = true;
      signal(child, "SIGKILL");
    }, timeout);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => {
        output += text;
        if (echo) process.stdout.write(text);
        log?.write(text);
        if (until?.test(output)) signal(child, "SIGKILL");
      });
    }
    child.on("error", (error) => done({ code: 127, output: output + error.message }));
    child.on("close", (code) => {
      clearTimeout(timer);
      done({ code: code ?? 1, output, expired });
    });
  });
}

/** The path of a program on the PATH, or undefined. */
export function which(name) {
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not there.
    }
  }
}

/** A command of a package in node_modules. */
export const bin = (name) => join(root, "node_modules/.bin", name);

/** The newest modification time below the paths, in ms; 0 if none exists. */
export function newest(...paths) {
  const times = paths.map((path) => resolve(root, path)).filter((path) => existsSync(path)).map((path) => {
    const stat = statSync(path);
    return stat.isDirectory() ? newest(...readdirSync(path).map((name) => join(path, name))) : stat.mtimeMs;
  });
  return Math.max(0, ...times);
}

/** The version of a crate in Cargo.lock. */
export function lockedVersion(crate) {
  const lock = readFileSync(join(root, "Cargo.lock"), "utf8");
  const version = lock.match(new RegExp(`name = "${crate}"\\nversion = "([^"]+)"`))?.[1];
  if (!version) throw new Help(`Cargo.lock has no \`${crate}\`: restore the file from git.`);
  return version;
}
