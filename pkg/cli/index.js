// The command `stale-drafts`.

import { suggestion } from "./lib/args.js";
import { Usage } from "./lib/help.js";
import { version } from "./lib/installed.js";
import { main } from "./lib/main.js";
import { say } from "./lib/terminal.js";
import { attach } from "./attach/index.js";
import { dev, SUMMARY as DEV } from "./dev/index.js";
import { init, SUMMARY as INIT } from "./init/index.js";
import { checkTexts, SUMMARY as CHECK_TEXTS } from "./texts/index.js";

const COMMANDS = {
  init: { run: init, summary: INIT },
  attach: { run: attach, summary: "lets it watch a table of your own: your statuses, your credits" },
  dev: { run: dev, summary: DEV },
  "check-texts": { run: checkTexts, summary: CHECK_TEXTS },
};

const USAGE = `Usage: stale-drafts COMMAND [flags]

Finds generated images and videos that are stuck, fails them and refunds their
owners: a Cloudflare Worker's part. For a new project: npm create stale-drafts

${Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(12)}${summary}`).join("\n")}

  stale-drafts COMMAND --help says more. --version prints the version.`;

await main(async ([name, ...argv], io) => {
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    say(io, USAGE);
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-v") {
    say(io, version());
    return 0;
  }
  const more = "\n  `stale-drafts --help` lists the commands.";
  if (!Object.hasOwn(COMMANDS, name)) throw new Usage(`unknown ${name.startsWith("-") ? "flag" : "command"} \`${name}\`${suggestion(name, Object.keys(COMMANDS))}${more}`);
  return COMMANDS[name].run(argv, io);
});
