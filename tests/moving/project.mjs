// A folder as a checkout of this repository is for who moves: `npx wrangler` and `mark-stale-drafts` work in it, `npm start`'s
// server runs, and nothing of the developer's own is touched.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { PYTHON, end, freePort, launch, until } from "../examples/harness.mjs";
import { block, blocks, markdown } from "./page.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const COMMANDS = process.env.MARK_STALE_DRAFTS_FOLDER ?? join(root, "target/debug");
const VENV = dirname(PYTHON);

export const SECRETS = { JWT_SECRET: "n0t-Used-Anywhere-Else-JwtSecret-3c81f", CLEANUP_TOKEN: "n0t-Used-Anywhere-Else-Cleanup-a90d2", REPORT_TOKEN: "n0t-Used-Anywhere-Else-Report-77e41" };
/** Of who sells tokens: a named token. */
export const GRANT_TOKEN = "n0t-Used-Anywhere-Else-Grant-5d17b";

/** The repository's configuration, with the policy of the page. */
function configuration() {
  const policy = markdown.match(/```toml\n\[vars\.STALE_DRAFTS\.policy\]\n([^]*?)```/)[1];
  const replace = (text, from, to) => {
    assert.equal(text.split(from).length, 2, `wrangler.toml has \`${from}\` once`);
    return text.replace(from, () => to);
  };
  let text = readFileSync(join(root, "wrangler.toml"), "utf8");
  text = text.replace(/\[build\]\n(?:.+\n)+/, "");
  text = replace(text, 'main = "pkg/dist/worker/index.js"', `main = ${JSON.stringify(join(root, "pkg/dist/worker/index.js"))}`);
  text = replace(text, 'directory = "www"', `directory = ${JSON.stringify(join(root, "www"))}`);
  text = replace(text, 'migrations_dir = "migrations"', `migrations_dir = ${JSON.stringify(join(root, "migrations"))}`);
  text = replace(text, 'preset = "production" # 1 hour\n', policy);
  const hash = createHash("sha256").update(GRANT_TOKEN).digest("hex");
  return `${text}\n[[vars.STALE_DRAFTS.api_tokens]]\nname = "payments"\nsha256 = "${hash}"\nscopes = ["grant"]\n`;
}

export async function startProject() {
  const folder = mkdtempSync(join(tmpdir(), "moving-"));
  const port = await freePort();
  const url = `http://localhost:${port}`;
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "wrangler.toml"), configuration());
  writeFileSync(join(folder, ".dev.vars"), Object.entries(SECRETS).map(([name, value]) => `${name}=${value}\n`).join(""), { mode: 0o600 });
  // Nothing else of the machine's environment: a proxy, say, would be asked for addresses of this machine.
  const environment = {
    PATH: [COMMANDS, join(root, "node_modules/.bin"), VENV, process.env.PATH].join(":"), HOME: folder, NO_COLOR: "1", CI: "true",
    WRANGLER_SEND_METRICS: "false", MARK_STALE_DRAFTS_URL: url,
    // `npx wrangler`, without what npx itself takes: a comparison calls it a dozen times.
    MARK_STALE_DRAFTS_WRANGLER: join(root, "node_modules/.bin/wrangler"), PYTHONUNBUFFERED: "1", PYTHONDONTWRITEBYTECODE: "1",
  };

  /** Runs a block of the page, as in a terminal in this folder. Gives what it printed, and its exit code. */
  const sh = (script, { env = {}, cwd = folder } = {}) => new Promise((done) => {
    const child = spawn("bash", ["-euo", "pipefail", "-c", script], { cwd, env: { ...environment, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    const result = { out: "", err: "" };
    child.stdout.setEncoding("utf8").on("data", (text) => { result.out += text; });
    child.stderr.setEncoding("utf8").on("data", (text) => { result.err += text; });
    child.on("close", (code) => {
      if (process.env.DEBUG) process.stderr.write(`$ ${script}${result.out}${result.err}→ ${code}\n`);
      done({ ...result, code });
    });
  });
  const said = ({ out, err, code }) => `it ended with ${code}:\n${out}${err}`;
  /** The same, where it must end with this code. */
  const done = async (script, { code = 0, ...options } = {}) => {
    const result = await sh(script, options);
    assert.equal(result.code, code, `${script}\n${said(result)}`);
    return result;
  };
  const rehearsal = block("rehearsal");
  /** A named block, with the export that it reads. */
  const run = (name, { exported = "", ...options } = {}) => done(`${rehearsal}export EXPORT="${exported}"\n${block(name)}`, options);

  await done("npx wrangler d1 migrations apply stale-drafts --local");
  // As `npm start` does it.
  launch("worker", join(root, "node_modules/.bin/wrangler"), ["dev", "--port", String(port), "--ip", "localhost", "--show-interactive-dev-session=false"], { cwd: folder, env: environment });
  await until("the Worker answers", async () => (await fetch(`${url}/healthz`).catch(() => undefined))?.ok, 90);

  const databases = join(folder, ".wrangler/state/v3/d1/miniflare-D1DatabaseObject");
  const [file] = readdirSync(databases).filter((name) => name.endsWith(".sqlite") && name !== "metadata.sqlite");
  const database = new DatabaseSync(join(databases, file), { readOnly: true });

  return {
    folder, url, environment, sh, done, run,
    all: (sql, ...values) => database.prepare(sql).all(...values).map((row) => ({ ...row })),
    one: (sql, ...values) => database.prepare(sql).get(...values),
    /** A statement by wrangler, as an operator would run it. */
    execute: (sql) => done(`npx wrangler d1 execute stale-drafts --local --command "${sql.replaceAll('"', '\\"')}"`),
    /** What a query of the page gives, by wrangler. */
    async query(name) {
      const { out } = await done(`${rehearsal}npx wrangler d1 execute stale-drafts $PLACE --json --command "${block(name)}"`);
      return JSON.parse(out.slice(out.indexOf("[")))[0].results;
    },
    /** A button of the dashboard. */
    async press(button) {
      const headers = { Authorization: `Bearer ${SECRETS.CLEANUP_TOKEN}` };
      const page = await (await fetch(`${url}/dashboard`, { headers })).text();
      const csrf = page.match(/name="csrf" value="([0-9a-f]{32})"/)?.[1] ?? assert.fail(page);
      const action = page.match(new RegExp(`action="(/dashboard/\\w+)"(?:(?!</form>)[^])*?${button}`))?.[1] ?? assert.fail(`no button says ${button}:\n${page}`);
      const answer = await fetch(url + action, { method: "POST", headers, body: new URLSearchParams({ csrf }), redirect: "manual" });
      assert.equal(answer.status, 303, await answer.text());
    },
    /** The cron trigger. */
    cron: () => fetch(`${url}/cdn-cgi/handler/scheduled`),
    call: (method, path, token, body, headers = {}) => fetch(url + path, { method, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json", ...headers }, body: body && JSON.stringify(body) }),
    /** The files of the page beside those of the app that stay. */
    writeApp() {
      const app = join(folder, "app");
      cpSync(fileURLToPath(new URL("app", import.meta.url)), app, { recursive: true });
      for (const { language, name, content } of blocks) {
        if (language !== "python") continue;
        mkdirSync(dirname(join(app, name)), { recursive: true });
        writeFileSync(join(app, name), content);
      }
      return app;
    },
    async stop() {
      database.close();
      await end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
