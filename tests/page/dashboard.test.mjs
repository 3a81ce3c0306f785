// The dashboard in Chromium, with the demo's creations, in which a worker was dead for two hours.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { demoStatements } from "../../scripts/demo-data.mjs";
import { CLEANUP_TOKEN, NOW, start } from "../worker/harness.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let world;
let browser;
let address;

before(async () => {
  world = await start({ bindings: { DEMO_SIGN_IN: "local" } });
  const statements = demoStatements(NOW);
  for (let at = 0; at < statements.length; at += 100) {
    await world.database.batch(statements.slice(at, at + 100).map((sql) => world.database.prepare(sql)));
  }
  await world.cron();
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

/** An operator at the dashboard, signed in by its own form. */
async function operator(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1_280, height: 900 }, bypassCSP: true, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && !message.text().includes("401") && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(`${address}/dashboard`);
  await page.getByLabel("A token with the scope").fill(CLEANUP_TOKEN);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.locator(".tiles").waitFor();
  return { page, problems, context };
}
const shot = (page, name) => page.screenshot({ path: new URL(`../output/${name}.png`, import.meta.url).pathname, fullPage: true });

/** What an accessibility checker finds. */
async function axe(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.map(({ id, nodes }) => [id, ...nodes.slice(0, 3).map(({ html }) => html.slice(0, 120))]);
}

test("it makes the outage obvious, in light, dark and on a phone, and an accessibility checker finds nothing", async () => {
  const { page, problems, context } = await operator();
  // Two bars of the day stand out: the outage, and what the cron trigger has just swept.
  const heights = await page.locator(".chart rect").evaluateAll((bars) => bars.map((bar) => [Number(bar.getAttribute("x")), Number(bar.getAttribute("height"))]));
  assert.ok(new Set(heights.filter(([, height]) => height > 40).map(([x]) => x)).size >= 3, JSON.stringify(heights));
  const tile = (name) => page.locator(".tile", { hasText: name }).locator(".value").innerText();
  const { tokens, creations } = await world.one("SELECT sum(tokens) AS tokens, sum(creations) AS creations FROM stale_drafts_rollups WHERE hour = 0");
  assert.deepEqual([await tile("Timed out"), await tile("Refunded")], [creations.toLocaleString("en"), tokens.toLocaleString("en")]);
  assert.match(await page.locator("#health").innerText(), /many creations time out/);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await shot(page, `dashboard-${colorScheme}`);
    assert.deepEqual(await axe(page), []);
  }
  await page.setViewportSize({ width: 360, height: 740 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  await shot(page, "dashboard-phone");
  assert.deepEqual(await axe(page), []);
  assert.deepEqual(problems, []);
  assert.deepEqual(await world.wrongBalances(), []);
  await context.close();
});

test("an operator drills down, previews, applies, pauses and resumes", async () => {
  const { page, problems, context } = await operator();
  await page.locator("table a").first().click();
  assert.match(await page.locator("h1").innerText(), /^Creation [0-9a-f]{12}$/);
  assert.deepEqual(await axe(page), []);
  await page.getByRole("link", { name: "Back to the dashboard" }).click();
  await world.create({ id: "late", user_id: "ada", kind: "image", tokens: 3 });
  await page.getByRole("button", { name: "Preview a sweep" }).click();
  assert.match(await page.locator("main").innerText(), /1 would be failed and refunded, 0 would be retried/);
  assert.equal(await world.status("late"), "pending");
  assert.deepEqual(await axe(page), []);
  await page.getByRole("button", { name: "Apply exactly this" }).click();
  await page.getByText("Done: 1 failed").waitFor();
  assert.equal(await world.status("late"), "failed");
  await page.getByRole("button", { name: "Pause sweeping" }).click();
  await page.getByText("sweeping_paused").waitFor();
  await page.getByRole("button", { name: "Resume sweeping" }).click();
  await page.getByText("Done: sweeping goes on").waitFor();
  assert.equal(await page.getByText("sweeping_paused").count(), 0);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Operators" }).waitFor();
  assert.deepEqual(problems, []);
  await context.close();
});

test("it is complete without JavaScript", async () => {
  const { page, context } = await operator({ javaScriptEnabled: false });
  await page.locator(".chart rect").first().waitFor();
  await page.getByRole("link", { name: "7 days" }).click();
  await page.locator("strong", { hasText: "7 days" }).waitFor();
  await page.locator(".chart rect").first().waitFor();
  await context.close();
});
