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
      response.setHeader("Content-Security-Policy", url.includes("strict") ? STRICT_CSP : url.includes("styles") ? `${WASM_CSP} 'unsafe-inline'` : WASM_CSP);
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

/** Opens a page in a browser from which `lack` has taken something. */
async function open(path, lack = () => {}) {
  const page = await browser.newPage();
  await page.addInitScript(lack);
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
      return cases.map(({ status, kind = "image", attempt, created, queued, started, heartbeat, extended, policy: settings = {} }) => {
        const { verdict, badge, error } = check({ status, kind, attempt, created_at: time(created), queued_at: time(queued), started_at: time(started), heartbeat_at: time(heartbeat), extended_until: time(extended) }, { now: NOW, policy: policy(settings) });
        return [verdict, badge, error];
      });
    }, { flavour, cases, NOW });
    assert.deepEqual(results, cases.map(({ verdict, badge, error = null }) => [verdict, badge, error]));
    await page.close();
  });
}

/** What a visitor's browser may lack. */
const LACKS = {
  "no WebAssembly": () => { delete globalThis.WebAssembly; },
  "WebAssembly that compiles nothing": () => { WebAssembly.Module = class { constructor() { throw new WebAssembly.CompileError("no"); } }; },
};

for (const [name, lack] of Object.entries(LACKS)) {
  test(`${name}: the package and the element fall back to JavaScript`, async () => {
    const { page, problems } = await open("/page.html", lack);
    const [results, badge] = await page.evaluate(async ({ cases, NOW }) => {
      const { check, policy } = await import("/esm/index.js");
      await import("/esm/element.js");
      const time = (value) => (typeof value === "number" ? NOW - value : value);
      const results = cases.map(({ status, kind = "image", attempt, created, queued, started, heartbeat, extended, policy: settings = {} }) =>
        check({ status, kind, attempt, created_at: time(created), queued_at: time(queued), started_at: time(started), heartbeat_at: time(heartbeat), extended_until: time(extended) }, { now: NOW, policy: policy(settings) }).badge);
      document.querySelector("main").innerHTML = `<stale-badge status="pending" created-at="${NOW}">⏳ Pending</stale-badge>`;
      return [results, document.querySelector("stale-badge").textContent];
    }, { cases, NOW });
    assert.deepEqual(results, cases.map(({ badge }) => badge));
    assert.equal(badge, "❌ Failed");
    assert.deepEqual(problems, []);
    await page.close();
  });

  test(`${name}: a bundle that brings no other build starts, and only its calls fail`, async () => {
    const { page } = await open("/page.html", lack);
    const seen = await page.evaluate(async ({ NOW }) => {
      const { check } = await import("/bundle/index.js");
      await import("/bundle/element.js");
      document.querySelector("main").innerHTML = `<stale-badge status="pending" created-at="${NOW}">⏳ Pending</stale-badge>`;
      try {
        return check({ status: "pending" });
      } catch (error) {
        return [error.name, document.querySelector("stale-badge").textContent];
      }
    }, { NOW });
    assert.deepEqual(seen, [name === "no WebAssembly" ? "ReferenceError" : "CompileError", "⏳ Pending"]);
    await page.close();
  });
}

test("a page that forbids WebAssembly has the JavaScript build, for the element too", async () => {
  const { page } = await open("/strict.html");
  for (const flavour of ["esm", "js"]) {
    const badge = await page.evaluate(async ({ flavour, NOW }) => {
      await import(`/${flavour}/element.js`);
      document.querySelector("main").innerHTML = `<stale-badge status="pending" created-at="${NOW}">⏳ Pending</stale-badge>`;
      return document.querySelector("stale-badge").textContent;
    }, { flavour, NOW });
    assert.equal(badge, "❌ Failed");
  }
  await page.close();
});

test("the element is styled without constructable stylesheets", async () => {
  for (const lack of [() => { delete CSSStyleSheet.prototype.replaceSync; }, () => { globalThis.CSSStyleSheet = undefined; }]) {
    // In such a browser a strict policy would refuse the style, and nothing else.
    const { page, problems } = await open("/styles.html", lack);
    const [text, padding] = await page.evaluate(async ({ NOW }) => {
      await import("/esm/element.js");
      document.querySelector("main").innerHTML = `<stale-badge style="--stale-badge-padding: 5px" status="pending" created-at="${NOW}">⏳ Pending</stale-badge>`;
      const badge = document.querySelector("stale-badge");
      return [badge.textContent, getComputedStyle(badge).paddingLeft];
    }, { NOW });
    assert.deepEqual([text, padding], ["❌ Failed", "5px"]);
    assert.deepEqual(problems, []);
    await page.close();
  }
});

test("the element goes on from its attribute `now`, whatever the page's clock says", async () => {
  const { page, problems } = await open("/page.html");
  await page.clock.install({ time: NOW + 2 * HOUR });
  await page.clock.pauseAt(NOW + 2 * HOUR + 1_000);
  await page.evaluate(async ({ NOW, HOUR }) => {
    await import("/esm/element.js");
    document.querySelector("main").innerHTML = `<stale-badge now="${NOW}" status="pending" created-at="${NOW - HOUR + 60_000}">⏳ Pending</stale-badge>`;
  }, { NOW, HOUR });
  const badge = page.locator("stale-badge");
  assert.equal(await badge.innerText(), "⏳ Pending");
  await page.clock.runFor(59_000);
  assert.equal(await badge.innerText(), "⏳ Pending");
  await page.clock.runFor(1_100);
  assert.equal(await badge.innerText(), "❌ Failed");
  // Another badge that appears now goes on from the same.
  const later = await page.evaluate(({ NOW, HOUR }) => {
    document.querySelector("main").innerHTML = `<stale-badge now="${NOW}" status="pending" created-at="${NOW - HOUR + 60_000}">⏳ Pending</stale-badge>`;
    return document.querySelector("stale-badge").textContent;
  }, { NOW, HOUR });
  assert.equal(later, "❌ Failed");
  assert.deepEqual(problems, []);
  await page.close();
});

test("a wrong attribute `now` is an error, and the badge stays as it was rendered", async () => {
  const { page, problems } = await open("/page.html");
  const text = await page.evaluate(async () => {
    await import("/esm/element.js");
    document.querySelector("main").innerHTML = `<stale-badge now="1700000000" status="pending" created-at="1699990000000">⏳ Pending</stale-badge>`;
    return document.querySelector("stale-badge").textContent;
  });
  assert.equal(text, "⏳ Pending");
  assert.match(problems.join(), /`now` is `1700000000`: expected epoch milliseconds \(not seconds\)/);
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
