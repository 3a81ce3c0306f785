// The command itself: what it says of itself, and of what it does not know.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Miniflare } from "miniflare";
import { CLI, folder, project, read, root, run, serve, tooLong } from "./harness.mjs";

const COMMANDS = ["init", "attach", "dev"];

test("help and version, at 80 columns", async (t) => {
  const path = folder(t);
  const { code, output } = await run(path, ["--help"]);
  assert.equal(code, 0);
  assert.deepEqual(tooLong(output), []);
  for (const command of COMMANDS) {
    assert.match(output, new RegExp(`^ {2}${command} `, "m"));
    for (const flag of ["--help", "-h"]) {
      const help = await run(path, [command, flag]);
      assert.equal(help.code, 0);
      assert.match(help.output, new RegExp(`^Usage: stale-drafts ${command} `));
      assert.deepEqual(tooLong(help.output), []);
    }
  }
  assert.equal((await run(path, [])).code, 2);
  assert.equal((await run(path, ["--version"])).output, `${JSON.parse(read(root, "pkg/package.json")).version}\n`);
});

for (const [args, message] of [
  [["innit"], "unknown command `innit`, did you mean `init`?\n  `stale-drafts --help` lists the commands."],
  [["frobnicate"], "unknown command `frobnicate`\n  `stale-drafts --help` lists the commands."],
  [["constructor"], "unknown command `constructor`\n  `stale-drafts --help` lists the commands."],
  [["--frobnicate"], "unknown flag `--frobnicate`\n  `stale-drafts --help` lists the commands."],
  [["init", "--dryrun"], "unknown flag `--dryrun`, did you mean `--dry-run`?\n  `stale-drafts init --help` lists what it takes."],
  [["init", "--constructor"], "unknown flag `--constructor`\n  `stale-drafts init --help` lists what it takes."],
  [["init", "--binding"], "`--binding` needs a value\n  `stale-drafts init --help` lists what it takes."],
  [["init", "--yes=1"], "`--yes` takes no value, got `1`\n  `stale-drafts init --help` lists what it takes."],
  [["init", "here"], "unexpected argument `here`\n  `stale-drafts init --help` lists what it takes."],
  [["dev", "--url", "localhost:5173"], "invalid --url `localhost:5173`: expected the address of a local server, such as http://localhost:5173"],
  [["dev", "--port", "x"], "invalid --port `x`: expected a whole number from 1 to 65535"],
]) {
  test(`stale-drafts ${args.join(" ")}`, async (t) => {
    assert.deepEqual(await run(folder(t), args), { code: 2, output: `✗ ${message}\n` });
  });
}

test("dev --url fires the cron trigger of a server that runs already", async (t) => {
  const script = `let fired = 0;
    export default { fetch: () => new Response(String(fired)), scheduled() { fired += 1; if (fired === 1) throw new Error("not yet"); } };`;
  const miniflare = new Miniflare({ modules: true, script, compatibilityDate: "2026-04-20", cf: false, unsafeTriggerHandlers: true });
  t.after(() => miniflare.dispose());
  const url = String(await miniflare.ready);
  const fire = (at, ready) => serve(t, folder(t), () => [process.execPath, CLI, "dev", "--url", at], { env: process.env, ready });
  const failing = await fire(url, /^✗ The cron trigger fails: its outcome is `exception`\. It is fired again every minute\.$/m);
  assert.equal(await failing.stop(), true);
  const working = await fire(`${url}app`, /^✓ The cron trigger has run\. It is fired every minute\.$/m);
  assert.equal(await working.stop(), true);
  assert.equal(await (await fetch(url)).text(), "2");
  const nobody = await fire("http://localhost:1", /^✗ The cron trigger fails: .*\. It is fired again every minute\.$/m);
  assert.equal(await nobody.stop(), true);
});

test("dev says what is missing", async (t) => {
  const none = await run(folder(t), ["dev"]);
  assert.match(none.output, /^✗ there is no wrangler\.json, wrangler\.jsonc or wrangler\.toml in this folder\./);
  const path = project(t, { "wrangler.toml": 'name = "app"\nmain = "src/index.ts"\n' });
  assert.deepEqual(await run(path, ["dev"]), { code: 1, output: "✗ this Worker has no migrations of Stale Drafts: stale-drafts init\n" });
  await run(path, ["init", "--yes"]);
  assert.deepEqual(await run(path, ["dev"]), { code: 1, output: "✗ wrangler isn't installed here: npm install --save-dev wrangler\n" });
});
