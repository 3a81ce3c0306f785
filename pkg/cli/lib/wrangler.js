// The project's own wrangler.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Help } from "./help.js";
import { atLeast, packageFolder } from "./installed.js";

/** The script that is wrangler, for the Node that runs this. */
export function wranglerIn(folder) {
  const found = packageFolder(folder, "wrangler");
  if (!found) throw new Help("wrangler isn't installed here: npm install --save-dev wrangler");
  const { version, bin, engines } = JSON.parse(readFileSync(join(found, "package.json"), "utf8"));
  const have = process.versions.node;
  if (engines?.node && !atLeast(have, engines.node)) throw new Help(`wrangler ${version} needs Node ${engines.node.replace(">=", "")} or newer, and this is Node ${have}`);
  return join(found, typeof bin === "string" ? bin : bin.wrangler);
}

/** Starts wrangler. */
export const start = (script, args, options) => spawn(process.execPath, [script, ...args], options);

/** Runs wrangler to its end and gives what it printed; what fails is a `Help` with that. */
export function run(script, args, { cwd, env }) {
  return new Promise((done, failed) => {
    // It asks nothing there.
    const child = start(script, args, { cwd, env: { ...env, CI: "true", WRANGLER_SEND_METRICS: "false" }, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", (error) => failed(new Help(`wrangler can't be started: ${error.message}`)));
    child.on("close", (code) => (code === 0 ? done(output) : failed(new Help(`\`wrangler ${args.join(" ")}\` failed:\n${output.trimEnd()}`))));
  });
}
