// What the scripts share: running commands, saying what is done, failing with a message that helps.

import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(fileURLToPath(import.meta.url), "../..");

// The packages' commands come first, a newer Node among them: wrangler needs Node 22, and this project Node 20.
process.env.PATH = [join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);

export const step = (text) => console.log(`\n▸ ${text}`);
export const note = (text) => console.log(`  ${text}`);

/** A failure that the reader can do something about: shown without a stack. */
export class Help extends Error {}

/** Runs `main`; a `Help` becomes its message and exit code 1. */
export async function run(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof Help)) throw error;
    console.error(`\n✗ ${error.message}`);
    process.exitCode = 1;
  }
}

/** Runs a command with its output shown. `help` is what to say if it fails. */
export async function sh(command, args, { help, env, cwd = root, quiet = false } = {}) {
  const { code, output } = await capture(command, args, { env, cwd, echo: !quiet });
  if (code === 0) return output;
  if (quiet) process.stderr.write(output);
  throw new Help(`\`${command} ${args.join(" ")}\` failed${help ? `.\n  ${help}` : ` with code ${code}.`}`);
}

/** Runs a command and gives its exit code and everything it printed. */
export function capture(command, args, { env, cwd = root, echo = false } = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      shell: process.platform === "win32",
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => {
        output += text;
        if (echo) process.stdout.write(text);
      });
    }
    child.on("error", (error) => done({ code: 127, output: output + error.message }));
    child.on("close", (code) => done({ code: code ?? 1, output }));
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
  let latest = 0;
  for (const path of paths.map((path) => resolve(root, path))) {
    if (!existsSync(path)) continue;
    const stat = statSync(path);
    const inner = stat.isDirectory() ? newest(...readdirSync(path).map((name) => join(path, name))) : 0;
    latest = Math.max(latest, stat.isDirectory() ? inner : stat.mtimeMs);
  }
  return latest;
}

/** The version of a crate in Cargo.lock. */
export function lockedVersion(crate) {
  const lock = readFileSync(join(root, "Cargo.lock"), "utf8");
  const version = lock.match(new RegExp(`name = "${crate}"\\nversion = "([^"]+)"`))?.[1];
  if (!version) throw new Help(`Cargo.lock has no \`${crate}\`: restore the file from git.`);
  return version;
}

/** Whether version `a` is at least `b`, both as `1.2.3`. */
export function atLeast(a, b) {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  for (let i = 0; i < 3; i += 1) {
    if ((x[i] ?? 0) !== (y[i] ?? 0)) return (x[i] ?? 0) > (y[i] ?? 0);
  }
  return true;
}
