// The drafts page in Chromium, served by the Worker on workerd with the demo's creations.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { demoStatements } from "../../scripts/demo-data.mjs";
import { NOW, start } from "../worker/harness.mjs";

let world;
let browser;
let address;

before(async () => {
  world = await start({ bindings: { DEMO_SIGN_IN: "local" } });
  const statements = demoStatements(NOW);
  for (let at = 0; at < statements.length; at += 100) {
    await world.database.batch(statements.slice(at, at + 100).map((sql) => world.database.prepare(sql)));
  }
  address = `http://localhost:${(await world.url()).port}`;
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  mkdirSync(new URL("../output/", import.meta.url), { recursive: true });
});
after(async () => {
  await browser?.close();
  await world?.stop();
});

/** A fresh browser, signed in by the demo's own page. */
async function signIn(user, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("dialog", (dialog) => problems.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
  await page.goto(`${address}/demo`);
  await Promise.all([page.waitForURL("**/drafts"), page.getByRole("button", { name: new RegExp(`^${user} `) }).click()]);
  return { page, problems, close: () => context.close() };
}

const shot = (page, name) => page.screenshot({ path: new URL(`../output/${name}.png`, import.meta.url).pathname, fullPage: true });

test("the demo holds every status and kind, and its balances are the sums of the ledger", async () => {
  const found = await world.all("SELECT status, count(*) AS n FROM stale_drafts_creations GROUP BY status ORDER BY status");
  assert.deepEqual(found.map(({ status }) => status), ["draft", "failed", "pending", "processing", "published"]);
  assert.ok(found.reduce((sum, { n }) => sum + n, 0) > 250);
  assert.equal((await world.all("SELECT DISTINCT kind FROM stale_drafts_creations")).length, 3);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("on the first load stale drafts are failed, with their text and the refund", async () => {
  const before = (await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'ada'")).tokens;
  const due = (await world.one("SELECT sum(tokens) AS tokens FROM stale_drafts_creations WHERE user_id = 'ada' AND status IN ('pending', 'processing') AND last_sign_of_life < ?", NOW - 3_600_000)).tokens;
  const { page, problems, close } = await signIn("ada", { viewport: { width: 1_280, height: 900 } });
  // Two of the three creations that are named in the demo stand on later pages, by their age.
  const older = page.getByRole("link", { name: "Older" });
  const texts = [];
  for (;;) {
    texts.push(...(await page.locator(".card").allInnerTexts()));
    if (texts.length <= 20) {
      await shot(page, "drafts-desktop-light");
      await page.emulateMedia({ colorScheme: "dark" });
      await shot(page, "drafts-desktop-dark");
      await page.emulateMedia({ colorScheme: "light" });
    }
    if ((await older.count()) === 0) break;
    await older.click();
  }
  const card = (text) => texts.find((entry) => entry.includes(text)) ?? assert.fail(`no card says ${text}`);
  const stuck = card("18.2 hours ago");
  assert.match(stuck, /❌ Failed/);
  assert.match(stuck, /Generation timeout: Task stuck in pending status for 18\.2 hours/);
  assert.match(stuck, /10 tokens refunded/);
  assert.match(card("stuck in processing status for 1.5 hours"), /❌ Failed[^]*80 tokens refunded/);
  assert.match(card("a train through autumn hills, slow dolly shot"), /⚙️ Processing/);
  assert.match(card("whose clock runs two hours ahead"), /⚠️ Needs attention[^]*in the future/);
  for (const badge of ["⏳ Pending", "📝 Draft", "🌐 Published"]) card(badge);
  assert.match(card("onerror"), /<img src=x onerror="alert\(1\)"> a prompt full of <b>HTML<\/b> & "quotes"/);
  assert.equal(await page.locator(".card img, .card b").count(), 0);
  assert.equal(await page.locator("#balance").innerText(), `${(before + due).toLocaleString("en")} tokens`);
  assert.deepEqual(problems, []);
  assert.deepEqual(await world.wrongBalances(), []);
  await close();
});

test("a second load changes nothing", async () => {
  const dump = () => world.all("SELECT id, status, finished_at FROM stale_drafts_creations UNION ALL SELECT entry_key, tokens, created_at FROM stale_drafts_ledger");
  const { page, close } = await signIn("ada");
  const before = await dump();
  await page.reload();
  assert.deepEqual(await dump(), before);
  await close();
});

test("the other users' stale drafts wait for the cron trigger", async () => {
  const stale = async () => (await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status IN ('pending', 'processing') AND last_sign_of_life < ?", NOW - 3_600_000)).n;
  assert.ok((await stale()) > 0);
  assert.equal(await world.cron(), "ok");
  assert.equal(await stale(), 0);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a phone shows it without scrolling sideways", async () => {
  const { page, close } = await signIn("bashir", { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 });
  const { scroll, client } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth }));
  assert.equal(scroll, client);
  await page.screenshot({ path: new URL("../output/drafts-phone.png", import.meta.url).pathname });
  await close();
});

test("a screen reader finds headings, a list, and each badge as words", async () => {
  const { page, close } = await signIn("chen");
  assert.equal(await page.getByRole("heading", { level: 1, name: "Drafts" }).count(), 1);
  assert.equal(await page.getByRole("listitem").count(), 20);
  assert.equal(await page.getByRole("navigation", { name: "Pages" }).count(), 1);
  assert.match(await page.locator(".card").first().ariaSnapshot(), /Draft|Published|Failed|Pending|Processing/);
  await close();
});

test("a draft flips at its deadline while the page is open, with the network cut", async () => {
  await world.grant("flip", 1_000);
  await world.create(
    { id: "flips", user_id: "flip", tokens: 7, created_at: NOW - 3_600_000 + 20_000, prompt: "about to go stale" },
    { id: "video-stays", user_id: "flip", kind: "video", status: "processing", created_at: NOW - 60_000, started_at: NOW - 50_000 },
    { id: "done", user_id: "flip", status: "draft", created_at: NOW - 120_000 },
  );
  const { token } = await import("../worker/harness.mjs");
  const context = await browser.newContext();
  await context.addCookies([{ name: "session", value: token({ sub: "flip" }), url: address }]);
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  const loaded = await page.goto(`${address}/drafts`);
  const badges = () => page.locator(".badge").allInnerTexts();
  const before = await badges();
  assert.deepEqual(before, ["⚙️ Processing", "📝 Draft", "⏳ Pending"]);
  await page.waitForFunction(() => document.querySelector("stale-badge").clock);
  assert.deepEqual(await badges(), before, "upgrading changes nothing");
  await context.setOffline(true);
  const card = page.locator(".card", { hasText: "about to go stale" });
  const start = Date.now();
  await card.locator(".badge.failed").waitFor({ timeout: 60_000 });
  const at = await page.evaluate(() => document.querySelector("stale-badge").clock.now());
  assert.ok(at >= NOW + 20_000, `flipped ${NOW + 20_000 - at} ms before its deadline, after ${Date.now() - start} ms`);
  assert.equal(await card.locator(".badge").innerText(), "❌ Failed");
  assert.equal(await card.locator(".badge").getAttribute("role"), "status");
  assert.equal(await card.locator(".error").innerText(), "Generation timeout: Task stuck in pending status for 1.0 hours");
  assert.equal(await card.locator(".tokens").innerText(), "Refund of 7 tokens on its way");
  assert.deepEqual((await badges()).slice(0, 2), before.slice(0, 2));
  await context.setOffline(false);
  await world.order({ now: NOW + 21_000 });
  await page.reload();
  assert.equal(await card.locator(".badge").innerText(), "❌ Failed");
  assert.equal(await card.locator(".error").innerText(), "Generation timeout: Task stuck in pending status for 1.0 hours");
  assert.equal(await card.locator(".tokens").innerText(), "7 tokens refunded");
  assert.deepEqual(problems.filter((text) => !text.includes("ERR_INTERNET_DISCONNECTED")), []);
  assert.equal(loaded.status(), 200);
  await world.order({ now: NOW });
  await context.close();
});

/** A page of the drafts list, for a user who is signed in by a session. */
async function open(user, { options = {}, lack = () => {} } = {}) {
  const { token } = await import("../worker/harness.mjs");
  const context = await browser.newContext(options);
  await context.addCookies([{ name: "session", value: token({ sub: user }), url: address }]);
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  await page.addInitScript(lack);
  await page.goto(`${address}/drafts`);
  await page.waitForLoadState("load");
  return { page, problems, context };
}

test("ages go on while the page is seen, and move nothing", async () => {
  await world.grant("ages", 1_000);
  const ages = { second: 7_000, minute: 59_000, hour: 3_599_000, days: 200_000_000 };
  await world.create(...Object.entries(ages).map(([id, age]) => ({ id: `age-${id}`, user_id: "ages", status: "draft", created_at: NOW - age })));
  for (const width of [360, 1_280]) {
    const { page, problems, context } = await open("ages", {
      options: { viewport: { width, height: 740 } },
      lack: () => {
        window.shifts = 0;
        new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (window.shifts += value))).observe({ type: "layout-shift", buffered: true });
      },
    });
    const texts = () => page.locator("time.age").allInnerTexts();
    await page.waitForFunction(() => /^1\d seconds ago$/.test(document.querySelector("time.age").textContent));
    assert.deepEqual((await texts()).slice(1), ["1 minute ago", "1.0 hours ago", "2 days ago"]);
    assert.equal(await page.evaluate(() => window.shifts), 0);
    // Out of sight nothing is done; back in sight it is right at once.
    const look = (hidden) => page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
      return document.querySelector("time.age").textContent;
    }, hidden);
    const before = await look(true);
    await page.waitForTimeout(2_100);
    assert.equal((await texts())[0], before);
    assert.notEqual(await look(false), before);
    assert.deepEqual(problems, []);
    await context.close();
  }
});

test("in a browser without WebAssembly a draft flips all the same", async () => {
  await world.grant("lockdown", 1_000);
  await world.create({ id: "lockdown-flips", user_id: "lockdown", tokens: 7, created_at: NOW - 3_600_000 + 4_000, prompt: "about to go stale" });
  const { page, problems, context } = await open("lockdown", { lack: () => { delete globalThis.WebAssembly; } });
  assert.equal(await page.evaluate(() => typeof WebAssembly), "undefined");
  await page.locator(".badge.failed").waitFor({ timeout: 20_000 });
  assert.equal(await page.locator(".error").innerText(), "Generation timeout: Task stuck in pending status for 1.0 hours");
  assert.deepEqual(problems, []);
  await context.close();
});

test("a draft whose worker's clock was ahead is followed until it can be read", async () => {
  await world.grant("ahead", 1_000);
  await world.create(
    { id: "ahead", user_id: "ahead", kind: "video", status: "processing", created_at: NOW - 60_000, started_at: NOW - 50_000, heartbeat_at: NOW + 7_200_000, prompt: "a clock two hours ahead" },
  );
  const { page, problems, context } = await open("ahead");
  const card = page.locator(".card", { hasText: "a clock two hours ahead" });
  assert.match(await card.innerText(), /⚠️ Needs attention[^]*in the future/);
  await world.database.prepare("UPDATE stale_drafts_creations SET heartbeat_at = ? WHERE id = 'ahead'").bind(NOW).run();
  await card.locator(".badge.processing").waitFor({ timeout: 20_000 });
  assert.doesNotMatch(await card.innerText(), /in the future/);
  assert.deepEqual(problems, []);
  await context.close();
});

test("every static file is answered with the headers of a rendered page", async () => {
  const { page, context } = await open("ages");
  const names = ["content-security-policy", "x-content-type-options", "referrer-policy"];
  const headers = async (path) => {
    const response = await page.request.get(`${address}${path}`);
    assert.equal(response.status(), 200, path);
    return names.map((name) => response.headers()[name]);
  };
  const rendered = await headers("/drafts");
  assert.match(rendered[0], /frame-ancestors 'none'/);
  const www = new URL("../../www/", import.meta.url);
  const files = readdirSync(www, { recursive: true, withFileTypes: true }).filter((file) => file.isFile() && file.name !== "_headers");
  const paths = files.map((file) => `/${relative(www.pathname, join(file.parentPath ?? file.path, file.name))}`);
  assert.ok(paths.includes("/drafts.js") && paths.includes("/openapi.json") && paths.length > 10, paths.join());
  for (const path of ["/playground", ...paths]) assert.deepEqual(await headers(path), rendered, path);
  assert.equal((await page.request.get(`${address}/_headers`)).status(), 404);
  await context.close();
});

test("an open page follows the workers without a reload", async () => {
  const { token } = await import("../worker/harness.mjs");
  await world.grant("live", 1_000);
  const made = (prompt) => world.report("", { user_id: "live", kind: "video", prompt, tokens: 30 });
  const { id } = await made("a fox on the move");
  await made("a hen at rest");
  const context = await browser.newContext({ viewport: { width: 1_280, height: 500 } });
  await context.addCookies([{ name: "session", value: token({ sub: "live" }), url: address }]);
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  const asked = [];
  page.on("response", (response) => response.url().includes("/active") && asked.push(response.status()));
  await page.goto(`${address}/drafts`);
  await page.evaluate(() => { globalThis.stays = true; });
  const card = page.locator(".card", { hasText: "a fox on the move" });
  assert.equal(await card.locator(".badge").innerText(), "⏳ Pending");

  const { fence } = await world.report(`/${id}/start`, { worker: "w1" });
  await card.locator(".badge.processing").waitFor();
  await world.report(`/${id}/heartbeat`, { fence, progress: 40 });
  await page.waitForFunction(() => document.querySelector("progress")?.value === 40);
  await shot(page, "drafts-live");
  // Nothing happens: the answer is 304, and has no body.
  await page.waitForResponse((response) => response.url().includes("/active") && response.status() === 304);
  await world.report(`/${id}/complete`, { fence, result_url: "https://cdn.example/fox.mp4" });
  await card.locator(".badge.draft").waitFor();
  assert.equal(await card.getByRole("link", { name: "Open the result" }).getAttribute("href"), "https://cdn.example/fox.mp4");
  assert.equal(await page.locator("#news").innerText(), "a fox on the move: 📝 Draft");
  const other = page.locator(".card", { hasText: "a hen at rest" });
  const { id: second } = await world.one("SELECT id FROM stale_drafts_creations WHERE prompt = 'a hen at rest'");
  await world.report(`/${second}/fail`, { error_code: "provider_error", error: "The provider is out" });
  await other.locator(".badge.failed").waitFor({ timeout: 35_000 });
  assert.equal(await page.locator("#balance").innerText(), "970 tokens");
  assert.equal(await page.evaluate(() => globalThis.stays), true, "no reload");
  // Nothing is being generated any more, so nobody asks.
  const before = asked.length;
  await page.waitForTimeout(4_000);
  assert.equal(asked.length, before);
  assert.deepEqual(problems, []);
  await context.close();
});

test("it is complete with JavaScript off", async () => {
  const { page, close } = await signIn("daniela", { javaScriptEnabled: false });
  assert.equal(await page.locator(".card").count(), 20);
  assert.ok((await page.locator(".badge.failed").count()) > 0);
  await close();
});

for (const [name, options] of [["by the keyboard, with its script", {}], ["without JavaScript, on a phone", { javaScriptEnabled: false, viewport: { width: 360, height: 740 } }]]) {
  test(`its owner cancels a draft, and has it tried again, ${name}`, async () => {
    const { page, problems, close } = await signIn("daniela", options);
    const balance = async () => Number((await page.locator("#balance").innerText()).replace(/\D/g, ""));
    const waiting = page.locator(".card").filter({ has: page.getByRole("button", { name: /^Cancel/ }) }).first();
    const [id, before] = [await waiting.getAttribute("data-id"), await balance()];
    const price = (await world.one("SELECT tokens FROM stale_drafts_creations WHERE id = ?", id)).tokens;
    const attempt = Number(await waiting.getAttribute("data-attempt"));
    const card = page.locator(`[data-id="${id}"]`);
    const press = async (words) => {
      await card.getByRole("button", { name: words }).focus();
      await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
      assert.ok(page.url().endsWith("/drafts"));
    };
    await press(/^Cancel/);
    assert.deepEqual([await card.getAttribute("data-status"), await card.locator(".error").innerText()], ["failed", "Cancelled before it was finished"]);
    assert.equal(await balance(), before + price);
    await press(/^Try again for /);
    assert.deepEqual([await card.getAttribute("data-status"), await card.locator(".note").innerText()], ["pending", `Attempt ${attempt + 1}`]);
    assert.equal(await balance(), before);
    if (options.viewport) {
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
      await shot(page, "drafts-buttons");
    }
    assert.deepEqual(problems, []);
    assert.deepEqual(await world.wrongBalances(), []);
    await close();
  });
}

test("whoever is not signed in sees no draft", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const response = await page.goto(`${address}/drafts`);
  assert.equal(response.status(), 401);
  assert.equal(await page.locator(".card").count(), 0);
  await context.close();
});

test("the playground shows what `check()` answers, as the draft and the policy are edited", async () => {
  const context = await browser.newContext({ viewport: { width: 1_280, height: 900 } });
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(`${address}/playground`);
  const text = (id) => page.locator(`#${id}`).innerText();
  const slide = (name, value) => page.getByRole("slider", { name }).fill(String(value));
  assert.equal(await text("badge"), "❌ Failed");
  assert.match(await text("error"), /^Generation timeout: Task stuck in pending status for 15\.4 hours$/);
  assert.equal(await text("limit"), "30 min, by pending");
  await slide("Asked for", 200);
  assert.equal(await text("badge"), "⏳ Pending");
  assert.match(await text("sentence"), /^It goes stale in 15 min 36 s\.$/);
  await page.locator("[name=status]").selectOption("processing");
  await page.getByLabel("Kind", { exact: true }).fill("video");
  await slide("Asked for", 700);
  assert.deepEqual([await text("badge"), await text("limit")], ["❌ Failed", "6 h, by kinds.video.processing"]);
  await slide("Last heartbeat", 100);
  assert.equal(await text("badge"), "⚙️ Processing");
  await page.getByLabel("Kind", { exact: true }).fill("music");
  assert.deepEqual([await text("sentence"), await text("limit"), await text("deadline")], ["It never goes stale.", "never, by kinds.music.max_age_hours", "none"]);
  await page.locator("[name=status]").selectOption("cancelled");
  assert.deepEqual([await text("badge"), await text("error")], ["⚠️ Needs attention", "its status is unknown"]);
  const editor = page.getByLabel("As in the Worker's configuration");
  await editor.fill('{ "pending": -1 }');
  assert.equal(await page.getByRole("alert").innerText(), "`pending` is `-1`: expected hours above 0, such as `1` or `0.5`, or `\"never\"`");
  await editor.fill("{ not json");
  assert.match(await page.getByRole("alert").innerText(), /^No JSON: /);
  await editor.fill("{}");
  assert.equal(await page.locator("#problem").isVisible(), false);
  await page.locator("[name=status]").selectOption("pending");
  await slide("Last heartbeat", -1);
  assert.match(await text("call"), /"error_code": "generation_timeout"/);
  await shot(page, "playground");
  await page.setViewportSize({ width: 360, height: 740 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  assert.deepEqual(problems, []);
  await context.close();
});
