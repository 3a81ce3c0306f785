// The npm package in Chromium: the shared cases in both flavours, the element, and a page with a strict policy.

import assert from "node:assert/strict";
import { readFile, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;
const dist = new URL("../../pkg/dist/", import.meta.url);
const cases = JSON.parse(readFileSync(new URL("../cases/verdicts.json", import.meta.url), "utf8"));

const WASM_CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'";
const STRICT_CSP = "default-src 'none'; script-src 'self'; style-src 'self'";

let server;
let browser;
let address;

before(async () => {
  server = createServer(({ url }, response) => {
    if (url.endsWith(".html")) {
      response.setHeader("Content-Type", "text/html");
      response.setHeader("Content-Security-Policy", url.includes("strict") ? STRICT_CSP : WASM_CSP);
      response.end("<!doctype html><html lang=en><title>test</title><main></main>");
      return;
    }
    readFile(new URL(`.${url}`, dist), (error, text) => {
      response.statusCode = error ? 404 : 200;
      response.setHeader("Content-Type", "text/javascript");
      response.end(text);
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  address = `http://127.0.0.1:${server.address().port}`;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(async () => {
  await browser?.close();
  server?.close();
});

async function open(path) {
  const page = await browser.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && !message.text().includes("favicon") && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(`${address}${path}`);
  return { page, problems };
}

for (const [flavour, path] of [["esm", "/page.html"], ["js", "/strict.html"]]) {
  test(`the shared cases: ${flavour}`, async () => {
    const { page } = await open(path);
    const results = await page.evaluate(async ({ flavour, cases, NOW }) => {
      const { check, policy } = await import(`/${flavour}/index.js`);
      const time = (value) => (typeof value === "number" ? NOW - value : value);
      return cases.map(({ status, kind = "image", attempt, created, queued, started, heartbeat, policy: settings = {} }) => {
        const { verdict, badge, error } = check({ status, kind, attempt, created_at: time(created), queued_at: time(queued), started_at: time(started), heartbeat_at: time(heartbeat) }, { now: NOW, policy: policy(settings) });
        return [verdict, badge, error];
      });
    }, { flavour, cases, NOW });
    assert.deepEqual(results, cases.map(({ verdict, badge, error = null }) => [verdict, badge, error]));
    await page.close();
  });
}

test("a page that forbids WebAssembly has the other build", async () => {
  const { page } = await open("/strict.html");
  const refused = await page.evaluate(() => import("/esm/index.js").then(() => "loaded", (error) => error.name));
  assert.equal(refused, "CompileError");
  await page.close();
});

test("the element keeps what the server rendered while it agrees, and flips by itself", async () => {
  const { page, problems } = await open("/page.html");
  // Time goes on only where this test says so.
  await page.clock.install({ time: NOW - 1_000 });
  await page.clock.pauseAt(NOW);
  await page.evaluate(async ({ NOW, HOUR }) => {
    document.querySelector("main").innerHTML = `<stale-badge class="mine" status="pending" created-at="${NOW - HOUR + 1000}"><b id="server">⏳</b> Pending</stale-badge>`;
    window.events = [];
    document.addEventListener("verdict", ({ detail }) => window.events.push(detail.verdict));
    await import("/esm/element.js");
  }, { NOW, HOUR });
  const badge = page.locator("stale-badge");
  assert.equal(await page.locator("#server").count(), 1, "the server's own nodes stay");
  assert.equal(await badge.getAttribute("role"), null);
  await page.clock.runFor(900);
  assert.equal(await badge.innerText(), "⏳ Pending");
  await page.clock.runFor(3_000);
  assert.equal(await badge.innerText(), "❌ Failed");
  assert.equal(await badge.getAttribute("role"), "status");
  assert.equal(await badge.getAttribute("data-verdict"), "stale");
  assert.equal(await badge.getAttribute("class"), "mine");
  assert.equal(await badge.locator("span[aria-hidden=true]").innerText(), "❌");
  assert.deepEqual(await page.evaluate(() => window.events), ["fresh", "stale"]);
  assert.deepEqual(problems, []);
  await page.close();
});

test("the element follows its attributes, its policy and its clock, and stops when it is taken away", async () => {
  const { page, problems } = await open("/page.html");
  await page.clock.install({ time: NOW });
  const texts = await page.evaluate(async ({ NOW, HOUR }) => {
    const [{ policy }] = await Promise.all([import("/esm/index.js"), import("/esm/element.js")]);
    const badge = document.createElement("stale-badge");
    const seen = [];
    const note = () => seen.push(badge.textContent);
    badge.setAttribute("status", "processing");
    badge.setAttribute("created-at", new Date(NOW - 2 * HOUR).toISOString());
    document.querySelector("main").append(badge);
    note();
    badge.setAttribute("max-age-hours", "3");
    note();
    badge.setAttribute("max-age-hours", "never");
    note();
    badge.setAttribute("kind", "video");
    badge.policy = policy({ kinds: { video: { processing: 1.5 } } });
    note();
    badge.clock = { now: () => NOW - HOUR, error: 0 };
    note();
    badge.setAttribute("status", "draft");
    note();
    badge.setAttribute("created-at", "garbage");
    badge.setAttribute("status", "pending");
    note();
    badge.remove();
    badge.setAttribute("status", "published");
    note();
    return seen;
  }, { NOW, HOUR });
  assert.deepEqual(texts, ["❌ Failed", "⚙️ Processing", "⚙️ Processing", "❌ Failed", "⚙️ Processing", "📝 Draft", "⚠️ Needs attention", "⚠️ Needs attention"]);
  assert.deepEqual(problems, []);
  await page.close();
});

test("the element is themed by custom properties and by its part", async () => {
  const { page } = await open("/page.html");
  const style = await page.evaluate(async ({ NOW }) => {
    await import("/esm/element.js");
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("stale-badge { --stale-badge-color: rgb(1, 2, 3); --stale-badge-padding: 5px } stale-badge::part(badge) { text-decoration: underline }");
    document.adoptedStyleSheets = [sheet];
    const badge = document.createElement("stale-badge");
    badge.setAttribute("status", "pending");
    badge.setAttribute("created-at", NOW);
    document.body.append(badge);
    const { color, paddingLeft } = getComputedStyle(badge);
    return [color, paddingLeft, getComputedStyle(badge.shadowRoot.querySelector("[part=badge]")).textDecorationLine];
  }, { NOW });
  assert.deepEqual(style, ["rgb(1, 2, 3)", "5px", "underline"]);
  await page.close();
});

test("the modules import nothing, and have one page of memory", () => {
  for (const name of ["draft", "policy"]) {
    const module = new WebAssembly.Module(readFileSync(new URL(`workerd/${name}.wasm`, dist)));
    assert.deepEqual(WebAssembly.Module.imports(module), []);
    const { memory } = new WebAssembly.Instance(module).exports;
    assert.equal(memory.buffer.byteLength, 65_536);
  }
});
