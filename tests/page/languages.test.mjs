// The drafts page in German and Japanese, in Chromium: what the Worker rendered and what the package's element says later are the same
// words. Screenshots are in tests/output.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { HOUR, MINUTE, NOW, start, token } from "../worker/harness.mjs";

let world;
let browser;
let address;

before(async () => {
  world = await start({ config: { auth: { cookie: "session" }, languages: ["en", "de", "ja"] } });
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

/** A page as a browser of this language opens it. */
async function open(user, locale, options = {}) {
  const context = await browser.newContext({ locale, viewport: { width: 1_280, height: 900 }, ...options });
  await context.addCookies([{ name: "session", value: token({ sub: user }), url: address }]);
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(`${address}/drafts`);
  return { page, problems, context };
}

const shot = (page, name) => page.screenshot({ path: new URL(`../output/${name}.png`, import.meta.url).pathname, fullPage: true });

const SAID = {
  "de-DE": {
    pending: "⏳ Wartet", processing: "⚙️ In Arbeit", failed: "❌ Fehlgeschlagen", error: "Zeitüberschreitung: Der Auftrag hat 1,0 Stunden auf seinen Beginn gewartet",
    refund: "1.234 Tokens werden gleich erstattet", refunded: "1.234 Tokens erstattet", ages: [/^vor \d+ Sekunden?$/, /^vor 59 Minuten$/, /^vor 1,5 Stunden$/, /^vor 2 Tagen$/],
  },
  "ja-JP": {
    pending: "⏳ 待機中", processing: "⚙️ 処理中", failed: "❌ 失敗", error: "生成タイムアウト：1.0時間、開始を待ったままでした",
    refund: "1,234トークンをまもなく返金します", refunded: "1,234トークン返金済み", ages: [/^\d+秒前$/, /^59分前$/, /^1\.5時間前$/, /^2日前$/],
  },
};

for (const [locale, said] of Object.entries(SAID)) {
  const name = locale.slice(0, 2);
  const user = `user-${name}`;

  test(`${name}: a draft turns while the page is open, in the words that the Worker says later`, async () => {
    await world.grant(user, 10_000);
    await world.create(
      { id: `${name}-stuck`, user_id: user, tokens: 1_234, created_at: NOW - HOUR + 15_000, prompt: "a harbour at dawn" },
      { id: `${name}-video`, user_id: user, kind: "video", status: "processing", created_at: NOW - 40_000, started_at: NOW - 3_000, prompt: "clouds" },
    );
    const { page, problems, context } = await open(user, locale);
    assert.equal(await page.evaluate(() => document.documentElement.lang), name);
    const badges = () => page.locator(".badge").allInnerTexts();
    assert.deepEqual(await badges(), [said.processing, said.pending]);
    await page.waitForFunction(() => document.querySelector("stale-badge").clock);
    assert.deepEqual(await badges(), [said.processing, said.pending], "the element says the same");
    assert.equal(await page.locator("stale-badge").first().getAttribute("lang"), name);
    await context.setOffline(true);
    const card = page.locator(".card", { hasText: "a harbour at dawn" });
    await card.locator(".badge.failed").waitFor({ timeout: 60_000 });
    const shown = async () => [await card.locator(".badge").innerText(), await card.locator(".error").innerText()];
    const turned = await shown();
    assert.deepEqual(turned, [said.failed, said.error]);
    assert.equal(await card.locator(".tokens").innerText(), said.refund);
    await context.setOffline(false);
    await world.order({ now: NOW + 16_000 });
    await page.reload();
    assert.deepEqual(await shown(), turned, "the Worker says the same");
    assert.equal(await card.locator(".tokens").innerText(), said.refunded);
    await world.order({ now: NOW });
    assert.deepEqual(problems.filter((text) => !text.includes("ERR_INTERNET_DISCONNECTED")), []);
    await context.close();
  });

  test(`${name}: every kind of card, on a desk and on a phone`, async () => {
    const all = `all-${name}`;
    await world.grant(all, 10_000);
    await world.create(
      { id: `${name}-1`, user_id: all, created_at: NOW - 7_000, prompt: "just asked for" },
      { id: `${name}-2`, user_id: all, kind: "video", status: "processing", created_at: NOW - 59 * MINUTE, started_at: NOW - 50 * MINUTE, prompt: "a train through autumn hills" },
      { id: `${name}-3`, user_id: all, created_at: NOW - 90 * MINUTE, prompt: "stuck for an hour and a half" },
      { id: `${name}-4`, user_id: all, status: "draft", created_at: NOW - 50 * HOUR, tokens: 0, prompt: "ready" },
      { id: `${name}-5`, user_id: all, status: "processing", created_at: NOW - 51 * HOUR, started_at: NOW - HOUR, heartbeat_at: NOW + 2 * HOUR, prompt: "a worker whose clock is ahead" },
      { id: `${name}-6`, user_id: all, status: "published", created_at: NOW - 52 * HOUR, prompt: "out in the world" },
      { id: `${name}-7`, user_id: all, attempt: 3, created_at: NOW - 53 * HOUR, queued_at: NOW - MINUTE, prompt: "for the third time" },
    );
    const { page, problems, context } = await open(all, locale);
    await page.waitForFunction(() => document.querySelector("stale-badge").clock);
    const ages = await page.locator("time.age").allInnerTexts();
    for (const [at, pattern] of said.ages.entries()) assert.match(ages[at], pattern);
    const main = await page.locator("body").innerText();
    assert.doesNotMatch(main, / ago\b|\btokens\b|Failed|Pending|Balance|Signed in|Needs attention|Attempt /);
    assert.ok(main.includes(said.failed));
    await shot(page, `drafts-${name}`);
    await page.setViewportSize({ width: 360, height: 740 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    await shot(page, `drafts-${name}-phone`);
    // From the right, nothing hangs over the edge either.
    await page.evaluate(() => { document.documentElement.dir = "rtl"; });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    await shot(page, `drafts-${name}-phone-rtl`);
    assert.deepEqual(problems, []);
    await context.close();
  });
}

test("another language gets English, and the element with it", async () => {
  await world.grant("bo", 100);
  await world.create({ id: "bo", user_id: "bo", created_at: NOW });
  const { page, problems, context } = await open("bo", "fr-FR");
  assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
  await page.waitForFunction(() => document.querySelector("stale-badge").clock);
  assert.equal(await page.locator(".badge").innerText(), "⏳ Pending");
  assert.equal(await page.locator("stale-badge").getAttribute("lang"), null);
  assert.deepEqual(problems, []);
  await context.close();
});
