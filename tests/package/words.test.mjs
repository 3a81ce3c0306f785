// What a user reads has one source, in Rust: nothing of it stands in the package's JavaScript.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const cases = (name) => JSON.parse(readFileSync(new URL(`../cases/${name}.json`, import.meta.url), "utf8"));
const folder = new URL("../../pkg/src/", import.meta.url);
const sources = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".js")).map((name) => [name, readFileSync(new URL(name, folder), "utf8")]);

/** A text without what it quotes and without its numbers: the parts of two words or more. */
const parts = (text) => text.split(/`[^`]*`|\d+(?:\.\d+)?/).map((part) => part.trim()).filter((part) => /\w \w/.test(part));

const verdicts = cases("verdicts");
const texts = {
  badges: verdicts.map(({ badge }) => badge.replace(/^\S+ /, "")),
  signs: verdicts.map(({ badge }) => badge.split(" ")[0]),
  errors: verdicts.flatMap(({ error }) => parts(error ?? "")),
  codes: ["generation_timeout", ...verdicts.flatMap(({ reason }) => reason ?? [])],
  "messages about a policy": cases("policies").flatMap(({ error }) => parts(error ?? "")),
  presets: ["development", "budget", "production", "never"],
  statuses: ["pending", "processing", "published"],
  "a policy's keys": ["max_age_hours", "heartbeat_minutes", "total_hours", "keep_late_results"],
};

/** Without comments. */
const code = (source) => source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");

for (const [what, some] of Object.entries(texts)) {
  test(`no ${what} in pkg/src`, () => {
    const all = new Set(some);
    assert.ok(all.size > 0);
    for (const text of all) {
      for (const [name, source] of sources) {
        const found = new RegExp(`(?<![\\w.-])${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?![\\w-])`, "u").test(code(source));
        assert.ok(!found, `${name} holds \`${text}\``);
      }
    }
  });
}
