// The drafts page below a base path of an app's own Worker, in Chromium: its script and all that it asks for are below it too.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Miniflare } from "miniflare";
import { chromium } from "playwright-core";
import { JWT_SECRET, statements, token } from "../worker/harness.mjs";

const root = join(import.meta.dirname, "../..");
const folder = join(root, "pkg/dist/worker");
const read = (path) => readFileSync(join(root, path));

const APP = `
import { staleDrafts } from "./index.js";
const drafts = staleDrafts({ basePath: "/my/drafts", config: { auth: { cookie: "session" } } });
export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/call") return (await drafts.fetch(request, env, ctx)) ?? new Response("the app's own", { status: 404 });
    const [name, ...args] = await request.json();
    return Response.json(await drafts[name](env, ...args));
  },
};
`;

let miniflare;
let browser;

before(async () => {
  miniflare = new Miniflare({
    cf: false,
    modules: [
      { type: "ESModule", path: join(folder, "app.js"), contents: APP },
      { type: "ESModule", path: join(folder, "index.js"), contents: read("pkg/dist/worker/index.js").toString() },
      { type: "CompiledWasm", path: join(folder, "index_bg.wasm"), contents: read("pkg/dist/worker/index_bg.wasm") },
    ],
    modulesRoot: folder,
    compatibilityDate: "2026-07-01",
    d1Databases: { DB: "test" },
    bindings: { JWT_SECRET },
  });
  const database = await miniflare.getD1Database("DB");
  for (const name of readdirSync(join(root, "migrations")).sort()) {
    for (const sql of statements(read(`migrations/${name}`).toString())) await database.prepare(sql).run();
  }
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  await miniflare?.dispose();
});

const call = async (...args) => (await miniflare.dispatchFetch("http://localhost/call", { method: "POST", body: JSON.stringify(args) })).json();

test("an open page follows its drafts, and asks for nothing that is the app's", async () => {
  const { id } = await call("create", { user_id: "ada", kind: "video", prompt: "a fox", tokens: 0 });
  const address = `http://localhost:${(await miniflare.ready).port}`;
  const context = await browser.newContext();
  await context.addCookies([{ name: "session", value: token({ sub: "ada", exp: Math.floor(Date.now() / 1_000) + 600 }), url: address }]);
  const page = await context.newPage();
  const problems = [];
  const asked = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("response", (response) => !response.url().includes("favicon") && asked.push([new URL(response.url()).pathname, response.status()]));
  await page.goto(`${address}/my/drafts/drafts`);
  const badge = page.locator(".badge");
  assert.equal(await badge.innerText(), "⏳ Pending");
  await call("start", id, { worker: "w1" });
  await page.locator(".badge.processing").waitFor();
  assert.equal(await badge.innerText(), "⚙️ Processing");
  assert.ok(asked.some(([path]) => path === "/my/drafts/api/drafts/active"), asked.join(" "));
  for (const [path, status] of asked) assert.ok(path.startsWith("/my/drafts/") && [200, 304].includes(status), `${path} ${status}`);
  assert.deepEqual(problems.filter((text) => !text.includes("favicon")), []);
  await context.close();
});
