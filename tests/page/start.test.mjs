// `npm start` itself: the local server goes on, whatever its clients do.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

const root = join(import.meta.dirname, "../..");

/** A port that nobody uses. */
const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, "localhost", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

/** Sends a part of a body, and breaks off. */
const breakOff = (port) =>
  new Promise((done) => {
    const socket = connect(port, "localhost", () => {
      socket.write('POST /api/creations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"user_id"');
      setTimeout(() => socket.destroy(), 300);
    });
    socket.on("error", () => {}).on("close", done);
  });

const answers = async (port) => (await fetch(`http://localhost:${port}/healthz`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined))?.ok ?? false;

test("the local server goes on after clients have broken off a request's body", { timeout: 110_000 }, async () => {
  const port = await freePort();
  const server = spawn(process.execPath, ["scripts/start.mjs", "--port", String(port), "--no-cron"], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [server.stdout, server.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  try {
    for (let tries = 0; !output.includes("Ready at"); tries += 1) {
      assert.ok(tries < 300 && server.exitCode === null, output);
      await sleep(200);
    }
    for (let round = 0; round < 3; round += 1) {
      await breakOff(port);
      await breakOff(port);
      for (let tries = 0; !(await answers(port)); tries += 1) {
        assert.ok(tries < 60 && server.exitCode === null, output);
        await sleep(250);
      }
    }
  } finally {
    server.kill("SIGTERM");
    await new Promise((done) => (server.exitCode === null ? server.once("exit", done) : done()));
  }
});
