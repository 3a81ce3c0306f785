// What the tests of the examples share: Python, and a Redis server of the test's own, beside processes that none of them outlives.

import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { launch, until } from "./processes.mjs";

export { freePort, kill, killAll as end, launch, processes, until } from "./processes.mjs";

export const PYTHON = process.env.CELERY_PYTHON ?? fileURLToPath(new URL("../../target/examples/celery-venv/bin/python", import.meta.url));
export const REDIS = process.env.REDIS_SERVER ?? "redis-server";
export const CELERY_FOLDER = fileURLToPath(new URL("../../examples/celery", import.meta.url));

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
