// The owners' pages in German and Japanese, in Chromium: what the Worker rendered and what the package's element says later are the same
// words, and nothing is cut. Screenshots are in tests/output.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { HOUR, MINUTE, NOW, start, token } from "../worker/harness.mjs";

let world;
let browser;
let address;

before(async () => {
  world = await start({ config: { auth: { cookie: "session" }, languages: ["en", "de", "ja"], policy: { kinds: { film: { cancel: "keep" } } } } });
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
async function open(user, locale, path = "/drafts", options = {}) {
  const context = await browser.newContext({ locale, viewport: { width: 1_280, height: 900 }, ...options });
  await context.addCookies([{ name: "session", value: token({ sub: user }), url: address }]);
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(`${address}${path}`);
  return { page, problems, context };
}

const shot = (page, name) => page.screenshot({ path: new URL(`../output/${name}.png`, import.meta.url).pathname, fullPage: true });

/** What of the words lies outside of what is seen: the page itself, or an element that is smaller than its content. */
const cut = (page) => page.evaluate(() => {
  const wide = [...document.querySelectorAll("body *")].filter((element) => !element.matches(".skip, .unseen") && element.clientWidth > 0 && element.scrollWidth > element.clientWidth);
  return [document.documentElement, ...wide].filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth).map(({ outerHTML }) => outerHTML.slice(0, 120));
});

/** The page on a desk and on a phone, and from the right. */
async function looked(page, name) {
  assert.deepEqual(await cut(page), []);
  await shot(page, name);
  await page.setViewportSize({ width: 360, height: 740 });
  assert.deepEqual(await cut(page), []);
  await shot(page, `${name}-phone`);
  await page.evaluate(() => { document.documentElement.dir = "rtl"; });
  assert.deepEqual(await cut(page), []);
  await shot(page, `${name}-phone-rtl`);
}

const SAID = {
  "de-DE": {
    pending: "⏳ Wartet", processing: "⚙️ In Arbeit", failed: "❌ Fehlgeschlagen", error: "Zeitüberschreitung: Der Auftrag hat 1,0 Stunden auf seinen Beginn gewartet",
    refund: "1.234 Tokens werden gleich erstattet", refunded: "1.234 Tokens erstattet", ages: [/^vor \d+ Sekunden?$/, /^vor 59 Minuten$/, /^vor 1,5 Stunden$/, /^vor 2 Tagen$/],
    cancel: "Abbrechen", keep: "Ohne Erstattung abbrechen", retry: "Für 1.234 Tokens erneut versuchen", cancelled: "Vor der Fertigstellung abgebrochen", putOff: "noch Zeit bis 14.11.2023, 23:43 UTC",
    nothing: "Es wurde nichts geändert", tokens: "Wofür Ihre Tokens verwendet wurden",
    entries: ["+1.234 Tokens", "−1.234 Tokens", "Erstattet, weil es abgebrochen wurde", "Zeitüberschreitung: Der Auftrag hat 1,5 Stunden auf seinen Beginn gewartet", "Ihrem Guthaben hinzugefügt", "buyer-de", "14.11.2023, 22:13 UTC"],
  },
  "ja-JP": {
    pending: "⏳ 待機中", processing: "⚙️ 処理中", failed: "❌ 失敗", error: "生成タイムアウト：1.0時間、開始を待ったままでした",
    refund: "1,234トークンをまもなく返金します", refunded: "1,234トークン返金済み", ages: [/^\d+秒前$/, /^59分前$/, /^1\.5時間前$/, /^2日前$/],
    cancel: "キャンセル", keep: "返金なしでキャンセル", retry: "1,234トークンでもう一度試す", cancelled: "完了前にキャンセルされました", putOff: "2023/11/14 23:43 UTCまで",
    nothing: "何も変更されませんでした", tokens: "トークンの利用履歴",
    entries: ["+1,234トークン", "−1,234トークン", "キャンセルされたため返金", "生成タイムアウト：1.5時間、開始を待ったままでした", "残高に追加", "buyer-ja", "2023/11/14 22:13 UTC"],
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
    await looked(page, `drafts-${name}`);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test(`${name}: cancelled, tried again and told of among the tokens, by the page's own buttons`, async () => {
    const buyer = `buyer-${name}`;
    await world.grant(buyer, 10_000);
    await world.create(
      { id: `${name}-a`, user_id: buyer, created_at: NOW - MINUTE, tokens: 1_234, prompt: "a lighthouse in the fog, seen from the sea" },
      { id: `${name}-b`, user_id: buyer, kind: "film", status: "processing", created_at: NOW - 2 * MINUTE, started_at: NOW - MINUTE, extended_until: NOW + 90 * MINUTE, tokens: 5_000 },
      { id: `${name}-c`, user_id: buyer, created_at: NOW - 90 * MINUTE, prompt: "stuck" },
    );
    const { page, problems, context } = await open(buyer, locale);
    const card = page.locator(".card", { hasText: "a lighthouse in the fog" });
    await card.getByRole("button", { name: said.cancel }).click();
    await card.getByText(said.cancelled).waitFor();
    await card.getByRole("button", { name: said.retry }).click();
    await card.getByRole("button", { name: said.cancel }).waitFor();
    assert.equal(await page.locator(".card", { hasText: said.putOff }).getByRole("button").innerText(), said.keep);
    await looked(page, `drafts-buttons-${name}`);
    // What is pressed on a page that is out of date is said in the language.
    await world.report(`/${name}-a/start`, { worker: "w" });
    await world.report(`/${name}-b/start`, { worker: "w" });
    await page.setViewportSize({ width: 1_280, height: 900 });
    await page.reload();
    await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${NOW}, error = 'x', error_code = 'x' WHERE id = '${name}-b'`);
    await page.getByRole("button", { name: said.keep }).click();
    await page.getByRole("heading", { name: said.nothing }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), name);
    await looked(page, `nothing-changed-${name}`);
    await page.setViewportSize({ width: 1_280, height: 900 });
    await page.getByRole("link").click();
    await page.getByRole("link", { name: said.tokens }).click();
    await page.locator("#entries").waitFor();
    const told = await page.locator("body").innerText();
    for (const words of said.entries) assert.ok(told.includes(words), `${words}\n${told}`);
    assert.doesNotMatch(told, /\btokens\b|Charged|Refunded|Added|Balance|Signed in|Drafts/);
    await looked(page, `tokens-${name}`);
    assert.deepEqual(problems.filter((text) => !text.includes("409")), []);
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
