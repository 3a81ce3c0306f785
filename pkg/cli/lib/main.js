// How a command begins and ends, whatever it does.

import { Help } from "./help.js";

/** What a command may use of the process it runs in. */
function surroundings() {
  const { stdin, stdout, stderr, env } = process;
  return { stdin, stdout, stderr, env, cwd: process.cwd(), isTTY: Boolean(stdin.isTTY && stdout.isTTY) };
}

/** Runs `command(argv, io)`, which gives the exit code; a `Help` becomes its message. */
export async function main(command) {
  // Whoever reads may have enough: `stale-drafts --help | head -1`.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => {
      if (error.code !== "EPIPE") throw error;
      process.exit(process.exitCode ?? 1);
    });
  }
  const io = surroundings();
  try {
    process.exitCode = (await command(process.argv.slice(2), io)) ?? 0;
  } catch (error) {
    // By name: a bundle may hold the class twice.
    if (!(error instanceof Help) && error.name !== "Help") throw error;
    io.stderr.write(`✗ ${error.message}\n`);
    process.exitCode = error.code ?? 1;
  }
}
