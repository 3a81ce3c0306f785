// docs/attach.md: its example is what the command does.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { attach } from "../../pkg/cli/attach/index.js";
import { MAPPING } from "./database.mjs";

const text = readFileSync(new URL("../../docs/attach.md", import.meta.url), "utf8");
const block = (info) => text.match(new RegExp(`^\`\`\`${info}\\n(.*?)^\`\`\``, "ms"))[1];

test("the example's flags and the guesses give the mapping that stands there", async (t) => {
  const cwd = mkdtempSync(join(tmpdir(), "attach-"));
  t.after(() => rmSync(cwd, { recursive: true, force: true }));
  writeFileSync(join(cwd, "schema.sql"), block("sql app"));
  const mapping = async (...argv) => {
    const stdout = new PassThrough();
    await attach([...argv, "--schema", "schema.sql", "--json"], { stdin: new PassThrough(), stdout, stderr: stdout, env: {}, cwd, isTTY: false });
    return JSON.parse(stdout.read().toString());
  };
  const [, , , ...argv] = block("sh command").replaceAll("\\\n", " ").split(/\s+/).filter(Boolean);
  const expected = JSON.parse(block("json mapping"));
  assert.deepEqual(await mapping(...argv), expected);
  assert.deepEqual(await mapping("generations", "--yes"), expected);
  const { id_prefix: _, ...rest } = expected;
  assert.deepEqual(rest, MAPPING);
});
