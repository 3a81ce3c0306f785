// What is left for the reader to do: two lines of code, and the commands.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { read } from "../lib/files.js";
import { say, paint, wrap } from "../lib/terminal.js";
import { BASE_PATH, CRON } from "./plan.js";
import { SECRETS } from "./secrets.js";

/** Folders in which frameworks write the Worker that they build. */
const BUILT = /^(\.\/)?(\.svelte-kit|\.open-next|\.output|\.wrangler|dist|build|out)\//;

/** Where Vite serves, its plugin for Workers runs them. */
const VITE = ["js", "mjs", "ts", "mts"].map((ending) => `vite.config.${ending}`);

const MODULE = "stale-drafts/worker";

/** The Worker in the package, which is a `main` by itself. */
const ITSELF = /stale-drafts\/dist\/worker\//;

/** What the Worker's code has of it: whether it uses the package, and whether it gives it the configuration. */
export function used(config) {
  if (ITSELF.test(config.data.main)) return { uses: true, configures: false };
  const path = join(config.folder, config.data.main);
  const text = (existsSync(path) && read(path)) || "";
  return { uses: text.includes(MODULE), configures: /\bstaleDrafts\([^)]*\bconfig\b/.test(text) };
}

/** The lines for their Worker, for a default export that is there. */
export function code(main, { binding, crons }) {
  const options = binding === "DB" ? `{ basePath: "${BASE_PATH}" }` : `{ binding: "${binding}", basePath: "${BASE_PATH}" }`;
  const built = BUILT.test(main);
  const from = `./${main.replace(/^\.\//, "")}`;
  const scheduled = crons.length === 0
    ? ["  async scheduled(event, env, ctx) {", "    await drafts.scheduled(event, env, ctx);", "  },"]
    : ["  async scheduled(event, env, ctx) {", `    if (event.cron === "${CRON}") {`, "      return drafts.scheduled(event, env, ctx);", "    }", "    // what you do at your other times", "  },"];
  return [
    `import { staleDrafts } from "${MODULE}";`,
    built ? `import app from "${from}";` : undefined,
    "",
    `const drafts = staleDrafts(${options});`,
    "",
    // Durable Objects and the like, which wrangler looks for beside the default export.
    built ? `export * from "${from}";` : undefined,
    "export default {",
    "  async fetch(request, env, ctx) {",
    "    return (await drafts.fetch(request, env, ctx))",
    "      ?? app.fetch(request, env, ctx); // what you have today",
    "  },",
    ...scheduled,
    "};",
  ].filter((line) => line !== undefined);
}

const WIDTH = 76;

/** A command in lines that a shell takes as one. */
function shellLines(command) {
  const cut = command.length > WIDTH ? command.lastIndexOf(" --", WIDTH) : -1;
  return cut < 1 ? [command] : [`${command.slice(0, cut)} \\`, `  ${command.slice(cut + 1)}`];
}

export function next(io, config, scope, made) {
  const { main } = config.data;
  const flag = scope.name === undefined ? "" : ` --env ${scope.name}`;
  let step = 0;
  const heading = (text) => say(io, `\n${paint(io, "bold", wrap(`${(step += 1)}. ${text}`))}`);
  const show = (lines) => lines.forEach((line) => say(io, line && `   ${line}`));
  const commands = (lines) => show(lines.flatMap(shellLines));
  if (!used(config).uses) {
    if (BUILT.test(main)) heading(`Your framework builds \`${main}\`. Write worker.js around it, and let \`main\` be "worker.js":`);
    else heading(`Let it answer first, in \`${main}\`:`);
    show(code(main, made));
    if (made.crons.length > 0) say(io, wrap(`Your Worker now runs at \`${CRON}\` too. A \`scheduled\` of yours that does not look at \`event.cron\` would do its work every minute.`, { indent: "   " }));
  }
  heading("Make the tables on this machine:");
  commands([`npx wrangler d1 migrations apply ${made.migrate} --local${flag}`]);
  if (VITE.some((name) => existsSync(join(config.folder, name)))) {
    heading("Try it with your own `npm run dev`. Beside it, this fires the cron trigger every minute:");
    commands(["npx stale-drafts dev --url http://localhost:5173"]);
  } else {
    heading("Try it. This runs `wrangler dev`, and the cron trigger every minute:");
    commands([`npx stale-drafts dev${flag}`]);
  }
  heading("Set the secrets of the real Worker. JWT_SECRET is what signs your users' tokens.");
  commands(SECRETS.map((name) => `openssl rand -base64 32 | npx wrangler secret put ${name}${flag}`));
  heading("Deploy:");
  const steps = [`npx wrangler d1 migrations apply ${made.migrate} --remote${flag}`, `npx wrangler deploy${flag}`];
  commands(made.created ? steps.reverse() : steps);
  if (!used(config).uses) say(io, `\n${wrap("If your app has a table of creations of its own, it can stay as it is: npx stale-drafts attach TABLE")}`);
}
