// The hook `useDrafts` in Chromium, on a page of another origin than the Worker's, in React's strict mode and rendered by a server.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { useDrafts } from "../../pkg/dist/esm/react.js";
import { createClient } from "../../pkg/dist/esm/client.js";
import { root } from "../../scripts/lib.mjs";
import { HOUR, NOW, start, token } from "../worker/harness.mjs";

/** What an app writes. */
const LIST = `
export const list = (createElement, useDrafts) => function List(options) {
  const { drafts, balance, status, error, refresh, publish, remove } = useDrafts(options);
  if (globalThis.seen) seen.push([status, drafts.length]);
  return createElement("main", { "data-status": status, "data-balance": balance, "data-error": error?.code },
    createElement("button", { id: "refresh", onClick: () => refresh() }),
    createElement("ul", null, drafts.map((draft) => createElement("li", { key: draft.id, id: draft.id, "data-verdict": draft.verdict },
      draft.badge + (draft.error ? ": " + draft.error : "") + (draft.status !== "processing" || draft.progress === null ? "" : " " + draft.progress + " %"),
      createElement("button", { className: "publish", onClick: () => publish(draft.id) }),
      createElement("button", { className: "remove", onClick: () => remove(draft.id) })))));
};
`;
const PAGE = `
import { StrictMode, createElement } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { policy } from "stale-drafts";
import { createClient } from "stale-drafts/client";
import { useDrafts } from "stale-drafts/react";
import { list } from "./list.js";
globalThis.seen = [];
const List = list(createElement, useDrafts);
const { baseUrl, token, initial, limit, inline } = JSON.parse(document.querySelector("#data").textContent);
const client = createClient({ baseUrl, token });
// A policy that is made anew at each rendering.
const Page = () => createElement(List, { client, initial, limit, ...(inline && { policy: policy({ max_age_hours: 1 }) }) });
const app = createElement(StrictMode, null, createElement(Page));
const place = document.querySelector("#root");
const made = initial ? hydrateRoot(place, app) : createRoot(place);
if (!initial) made.render(app);
globalThis.leave = () => made.unmount();
`;

const List = (await import(`data:text/javascript,${encodeURIComponent(LIST)}`)).list(createElement, useDrafts);
const sources = { "./list.js": LIST };

let server;
let world;
let browser;
let bundle;
let home;
let api;
let html;
let users = 0;
let user;

before(async () => {
  const { outputFiles } = await build({
    stdin: { contents: PAGE, resolveDir: root },
    alias: Object.fromEntries(["index", "client", "react"].map((entry) => [entry === "index" ? "stale-drafts" : `stale-drafts/${entry}`, join(root, `pkg/dist/bundle/${entry}.js`)]).reverse()),
    plugins: [{
      name: "sources",
      setup(build) {
        build.onResolve({ filter: /^\.\/list\.js$/ }, ({ path }) => ({ path, namespace: "sources" }));
        build.onLoad({ filter: /.*/, namespace: "sources" }, ({ path }) => ({ contents: sources[path] }));
      },
    }],
    bundle: true,
    format: "esm",
    define: { "process.env.NODE_ENV": '"development"' },
    write: false,
    logLevel: "error",
  });
  bundle = outputFiles[0].text;
  server = createServer(({ url }, response) => {
    if (url === "/page.js") response.writeHead(200, { "Content-Type": "text/javascript" }).end(bundle);
    else if (url === "/") response.writeHead(200, { "Content-Type": "text/html" }).end(html);
    else response.writeHead(204).end();
  });
  await new Promise((done) => server.listen(0, "localhost", done));
  home = `http://localhost:${server.address().port}`;
  world = await start({ config: { allowed_origins: [home] } });
  api = `http://localhost:${(await world.url()).port}`;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  await world?.stop();
  server?.close();
});

let page;
let problems;
let requests;
beforeEach(async () => {
  users += 1;
  user = `hook-${users}`;
  await world.grant(user, 1_000);
  page = await browser.newPage();
  problems = [];
  requests = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("request", (request) => request.url().startsWith(api) && request.method() !== "OPTIONS" && requests.push(request.url().slice(api.length)));
});
afterEach(() => page.close());

async function open(data = {}, inside = "") {
  const json = JSON.stringify({ baseUrl: api, token: token({ sub: user }), ...data }).replaceAll("<", "\\u003c");
  html = `<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title><body><div id="root">${inside}</div><script id="data" type="application/json">${json}</script><script type="module" src="/page.js"></script></body></html>`;
  await page.goto(home);
}

const mine = (creation) => world.create({ user_id: user, ...creation });
const rows = () => page.locator("li").allInnerTexts();
const status = () => page.locator("main").getAttribute("data-status");
const is = (text) => page.waitForFunction((text) => [...document.querySelectorAll("li")].map((row) => row.innerText.trim()).join("|") === text, text);
const lists = () => requests.filter((path) => !path.includes("/active")).length;

test("a list is loaded, followed, and ended with its component", async () => {
  const { id } = await world.report("", { user_id: user, kind: "video", prompt: "a fox", tokens: 30 });
  await open();
  await is("⏳ Pending");
  assert.deepEqual(await page.evaluate(() => [seen[0], seen.at(-1)]), [["loading", 0], ["ready", 1]]);
  assert.equal(await page.locator("main").getAttribute("data-balance"), "970");
  const { fence } = await world.report(`/${id}/start`, { worker: "w1" });
  await is("⚙️ Processing");
  await world.report(`/${id}/heartbeat`, { fence, progress: 40 });
  await is("⚙️ Processing 40 %");
  const before = lists();
  await world.report(`/${id}/complete`, { fence, result_url: "https://cdn.example/fox.mp4" });
  await is("📝 Draft");
  assert.equal(lists(), before + 1, "what has ended is fetched, and nothing else is");
  // Nothing is being generated, so nobody asks; a refresh finds what has come.
  await world.order({ now: NOW + 1_000 });
  const other = await world.report("", { user_id: user, kind: "video", prompt: "a hen", tokens: 30 });
  await page.locator("#refresh").click();
  await is("⏳ Pending|📝 Draft");
  await world.report(`/${other.id}/fail`, { error_code: "provider_error", error: "The provider is out" });
  await is("❌ Failed: The provider is out|📝 Draft");
  assert.equal(await page.locator("main").getAttribute("data-balance"), "970");
  await world.order({ now: NOW });
  await page.evaluate(() => leave());
  const asked = requests.length;
  await mine({ id: "unseen", created_at: NOW });
  await page.waitForTimeout(4_000);
  assert.equal(requests.length, asked);
  assert.deepEqual(problems, []);
});

test("its owner publishes and removes, and no list is fetched for it", async () => {
  await mine({ id: "mine-1", status: "draft", created_at: NOW - 2_000 });
  await mine({ id: "mine-2", status: "draft", created_at: NOW - 3_000 });
  await open();
  await is("📝 Draft|📝 Draft");
  const before = lists();
  await page.locator("#mine-1 .publish").click();
  await is("🌐 Published|📝 Draft");
  await page.locator("#mine-2 .remove").click();
  await is("🌐 Published");
  assert.equal(await world.status("mine-1"), "published");
  assert.equal(lists(), before + 2, "the two requests that did it");
  assert.deepEqual(problems, []);
});

test("a server renders it, hydration agrees, and a draft flips by the server's clock", async () => {
  await mine({ id: "flips", tokens: 7, created_at: NOW - HOUR + 3_000 });
  await mine({ id: "ahead", status: "processing", created_at: NOW - 60_000, started_at: NOW - 50_000, heartbeat_at: NOW + 7_200_000 });
  await mine({ id: "malformed", created_at: "soon" });
  const initial = await createClient({ baseUrl: api, token: token({ sub: user }) }).list();
  const inside = renderToString(createElement(List, { baseUrl: api, initial }));
  assert.match(inside, /data-status="ready"/);
  assert.match(inside, /⏳ Pending/);
  await open({ initial }, inside);
  await page.waitForFunction(() => seen.length > 0);
  assert.equal(await status(), "ready");
  const failed = page.locator("#flips[data-verdict=stale]");
  await failed.waitFor();
  assert.equal((await failed.innerText()).trim(), "❌ Failed: Generation timeout: Task stuck in pending status for 1.0 hours");
  // What the server said of a time that it can't pass on stays.
  for (const { id, badge, error } of initial.drafts.filter(({ verdict }) => verdict === "unreadable")) {
    assert.equal((await page.locator(`#${id}`).innerText()).trim(), `${badge}: ${error}`);
  }
  assert.equal(lists(), 0, "the list was there");
  assert.deepEqual(problems, []);
});

test("a server without a list renders that it is loading, and asks nothing", () => {
  assert.match(renderToString(createElement(List, { baseUrl: "http://nowhere.example" })), /^<main data-status="loading"/);
});

test("while the Worker is away what is known stays, and it goes on by itself", async () => {
  await mine({ id: "known", created_at: NOW });
  await open();
  await is("⏳ Pending");
  await page.route(`${api}/**`, (route) => route.abort());
  await page.locator("main[data-status=error]").waitFor();
  assert.deepEqual([await page.locator("main").getAttribute("data-error"), (await rows()).length], ["network_error", 1]);
  await page.unroute(`${api}/**`);
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await page.locator("main[data-status=ready]").waitFor();
  assert.ok(problems.every((text) => text.includes("ERR_FAILED")), problems.join());
});

test("whoever is signed out is told, and nothing is asked without end", async () => {
  await open({ token: "expired" });
  await page.locator("main[data-error=unauthorized]").waitFor();
  assert.equal(await status(), "error");
  assert.ok(requests.length <= 8, requests.join());
});

test("a policy that is made anew at each rendering is no new list", async () => {
  await mine({ id: "still", created_at: NOW });
  await open({ inline: true });
  await is("⏳ Pending");
  const now = async () => [requests.length, await page.evaluate(() => seen.length)];
  // The first answer may still be on its way into the page. A list that was made anew would never come to rest.
  let before;
  let after = await now();
  for (let tries = 0; tries < 5 && String(before) !== String(after); tries += 1) {
    before = after;
    await page.waitForTimeout(1_000);
    after = await now();
  }
  assert.deepEqual(after, before);
  assert.deepEqual(problems, []);
});

test("a page that is hidden asks nothing, and at once when it is shown", async () => {
  const { id } = await world.report("", { user_id: user, kind: "video", prompt: "a fox", tokens: 30 });
  await open();
  await is("⏳ Pending");
  const look = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await look(true);
  await world.report(`/${id}/start`, { worker: "w1" });
  const asked = requests.length;
  await page.waitForTimeout(4_000);
  assert.equal(requests.length, asked);
  await look(false);
  await is("⚙️ Processing");
  assert.deepEqual(problems, []);
});

test("drafts on later pages are no reason to fetch the first one again and again", async () => {
  for (const at of [1, 2, 3]) await mine({ id: `page-${users}-${at}`, created_at: NOW - at * 1_000 });
  await open({ limit: 2 });
  await is("⏳ Pending|⏳ Pending");
  const before = lists();
  await world.database.prepare("UPDATE stale_drafts_creations SET status = 'processing', started_at = ?1 WHERE id = ?2").bind(NOW, `page-${users}-1`).run();
  await is("⚙️ Processing|⏳ Pending");
  assert.equal(lists(), before);
  assert.deepEqual(problems, []);
});
