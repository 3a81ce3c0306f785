// What the tests of the examples share: processes that none of them outlives, and a Redis server of the test's own. What is waited
// for is a condition, never a time.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { fileURLToPath } from "node:url";

export const PYTHON = process.env.CELERY_PYTHON ?? fileURLToPath(new URL("../../target/examples/celery-venv/bin/python", import.meta.url));
export const REDIS = process.env.REDIS_SERVER ?? "redis-server";
export const CELERY_FOLDER = fileURLToPath(new URL("../../examples/celery", import.meta.url));

/** Every process that was started, so that none outlives the test, however it ends. */
export const processes = [];
process.once("exit", () => processes.forEach(kill));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** A process group of its own, as a service manager would make it: a kill of the group takes its children too. */
export function launch(name, command, args, { cwd, env }) {
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const started = { name, child, log: "", killed: false, ended: false };
  started.gone = new Promise((done) => {
    child.on("error", (error) => done((started.log += `${error.message}\n`)));
    child.on("close", done);
  }).then(() => { started.ended = true; });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text) => { if (process.env.DEBUG) process.stderr.write(text); started.log += text; });
  }
  processes.push(started);
  return started;
}

/** Kills it and its children, as a machine that dies does. */
export function kill(started) {
  started.killed = true;
  try {
    process.kill(-started.child.pid, "SIGKILL");
  } catch {
    // It was never there, or is gone.
  }
}

/** Ends all that was started, and waits for it. */
export async function end() {
  processes.forEach(kill);
  await Promise.all(processes.map(({ gone }) => gone));
}

/** Waits until the condition gives something, and gives it back. Says what was waited for, and what the processes said. */
export async function until(what, condition, seconds = 30) {
  const deadline = Date.now() + seconds * 1_000;
  for (;;) {
    const found = await condition();
    if (found) return found;
    const lost = processes.find(({ killed, ended }) => ended && !killed);
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

/** A Redis server on this port that keeps nothing, once it answers. */
export async function startRedis(port, folder) {
  const server = launch("redis", REDIS, ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder], { cwd: folder, env: process.env });
  await until("Redis answers", async () => (await redis(port, "PING")) === "+PONG");
  return server;
}

/** Sends Redis a command, and gives what it answers, as it comes; nothing as long as there is no server. */
export function redis(port, command) {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1", () => socket.end(`${command}\r\n`));
    let answer = "";
    socket.setEncoding("utf8").on("data", (text) => { answer += text; });
    socket.on("close", () => done(answer.trimEnd())).on("error", () => {});
  });
}
