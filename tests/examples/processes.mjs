// Processes of an example, that none outlives its test. What is waited for is a condition, never a time.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:net";

/** Every process that was started. */
export const processes = [];
// Also where the test itself is stopped from outside.
process.once("exit", () => processes.forEach((started) => kill(started)));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/**
 * Starts a process in a group of its own, as a service manager would: a kill of the group takes its children too. It has
 * nothing of the machine's environment: a proxy, say, would be asked for addresses of this machine.
 */
export function launch(name, command, args, { cwd, env }) {
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const started = { name, child, log: "", ended: false, expected: false };
  started.gone = new Promise((done) => {
    child.on("error", (error) => done((started.log += `${error.message}\n`)));
    child.on("close", (code, signal) => done(signal ?? code));
  }).finally(() => { started.ended = true; });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text) => { if (process.env.DEBUG) process.stderr.write(text); started.log += text; });
  }
  processes.push(started);
  return started;
}

/** Sends a signal to the process and to all its children, or, as a container's runtime does, to it alone. */
export function kill(started, signal = "SIGKILL", alone = false) {
  started.expected = true;
  try {
    process.kill(alone ? started.child.pid : -started.child.pid, signal);
  } catch {
    // It was never there, or is gone.
  }
}

/** Ends them all. */
export async function killAll() {
  for (const started of processes) kill(started);
  await Promise.all(processes.map(({ gone }) => gone));
}

/** Waits until the condition gives something, and gives it back. Says what was waited for, and what the processes said. */
export async function until(what, condition, seconds = 30) {
  const deadline = Date.now() + seconds * 1_000;
  for (;;) {
    const found = await condition();
    if (found) return found;
    const lost = processes.find(({ expected, ended }) => ended && !expected);
    if (lost || Date.now() > deadline) {
      const said = processes.map(({ name, log }) => `--- ${name}\n${log.slice(-2_000)}`).join("\n");
      assert.fail(`${lost ? `${lost.name} has ended, so it can't be that` : `in ${seconds} s it did not come to be that`} ${what}\n${said}`);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
}

export function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}
