// The secrets for this machine: the file that `wrangler dev` reads, ignored by git and never deployed.

import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { read } from "../lib/files.js";
import { isIgnored, isTracked } from "../lib/git.js";
import { Help } from "../lib/help.js";

export const SECRETS = ["JWT_SECRET", "CLEANUP_TOKEN", "REPORT_TOKEN"];

const eol = (text) => (text?.includes("\r\n") ? "\r\n" : "\n");

/**
 * Where the secrets belong. wrangler reads the first of `.dev.vars.NAME` and `.dev.vars`, and only without them `.env` and
 * `.env.local`: a new `.dev.vars` would hide those.
 */
function fileFor(folder, environment) {
  const has = (name) => existsSync(join(folder, name));
  if (environment !== undefined && has(`.dev.vars.${environment}`)) return `.dev.vars.${environment}`;
  if (has(".dev.vars")) return ".dev.vars";
  return has(".env") || has(".env.local") ? ".env.local" : ".dev.vars";
}

const IGNORED = { ".env.local": ["/.env.local"], ".dev.vars": ["/.dev.vars*", "!/.dev.vars.example"] };

/** Lines at the end of a text. */
function append(text, lines) {
  const end = eol(text);
  return `${text ?? ""}${text && !text.endsWith("\n") ? end : ""}${lines.join(end)}${end}`;
}

/**
 * The file with what is missing, as a change; values are shown as what they are, not as they read. `extra` has further variables for
 * this machine, by name.
 */
export function secretChanges(folder, environment, extra = {}) {
  const name = fileFor(folder, environment);
  const path = join(folder, name);
  const before = read(path);
  const isMissing = (variable) => !new RegExp(`^\\s*(export\\s+)?${variable}\\s*=`, "m").test(before ?? "");
  const secrets = SECRETS.filter(isMissing);
  const others = Object.keys(extra).filter(isMissing);
  if (secrets.length + others.length === 0) return [];
  if (isTracked(path)) throw new Help(`git keeps \`${name}\`, so new secrets in it would become public with the next commit.\n  Take it out first: git rm --cached ${name}`);
  const head = [...(before ? [""] : []), "# Stale Drafts: secrets for this machine. Never deployed."];
  const lines = (random) => [...head, ...others.map((variable) => `${variable}=${extra[variable]}`), ...secrets.map((secret) => `${secret}=${random()}`)];
  const change = {
    path,
    before,
    after: append(before, lines(() => randomBytes(32).toString("base64url"))),
    mode: 0o600,
    shown: { before: before === null ? null : "", after: append("", lines(() => "(32 random bytes)")) },
  };
  return [change, ...ignoreChanges(folder, name)];
}

function ignoreChanges(folder, name) {
  const path = join(folder, ".gitignore");
  const before = read(path);
  const listed = before?.split(/\r?\n/).some((line) => [name, `/${name}`, `${name}*`, `/${name}*`].includes(line.trim()));
  if (isIgnored(join(folder, name)) ?? listed) return [];
  return [{ path, before, after: append(before, IGNORED[name] ?? [`/${name}`]) }];
}
