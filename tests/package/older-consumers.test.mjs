// The packed package in tools that know no `exports`, and in jsdom.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { EXPECTED } from "./consumers/fixtures.mjs";
import { install, ok, pack } from "./consumers/install.mjs";

let world;
before(async () => {
  world = await install("tests/package/consumers/older");
});
after(() => world?.remove());

test("webpack 4", async () => {
  const folder = join(world.home, "webpack4");
  const { default: webpack } = await import(pathToFileURL(join(world.home, "node_modules/webpack/lib/webpack.js")));
  assert.equal(await ok("node", [await pack(webpack, folder)], folder), EXPECTED);
});

test("tsc 5, node10", () => ok(world.bin("tsc"), ["-p", "node10.json"], join(world.home, "types")));

test("Jest with jsdom", () => ok(world.bin("jest"), [], join(world.home, "jsdom")));
