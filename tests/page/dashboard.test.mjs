// The dashboard in Chromium, with the demo's creations, in which a worker was dead for two hours.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { demoStatements } from "../../scripts/demo-data.mjs";
import { CLEANUP_TOKEN, HOUR, NOW, start } from "../worker/harness.mjs";

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
  await page.locator(".tiles").first().waitFor();
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
  assert.deepEqual([await tile("Went stale"), await tile("Refunded")], [creations.toLocaleString("en"), tokens.toLocaleString("en")]);
  assert.deepEqual([await tile("Failed"), await tile("Retried")], [creations.toLocaleString("en"), "0"]);
  const { share } = await world.one("SELECT printf('%.1f', (2000 * sum(error_code = 'generation_timeout') + count(*)) / (2 * count(*)) / 10.0) AS share FROM stale_drafts_creations");
  assert.equal(await tile("Share of all"), `${share} %`);
  // Shares are rounded: what succeeded and what failed is all that ended.
  assert.equal(parseFloat(await tile("Success")) + parseFloat(await tile("Failure")), 100);
  // The finding is in plain words.
  assert.match(await page.locator("#health").innerText(), /Many creations time out, first seen \d+ seconds ago/);
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

/** What the axes say, and how many bars there are places for. */
async function axes(page) {
  const texts = (selector) => page.locator(selector).allInnerTexts();
  const [numbers, times] = [await texts(".plot .y span"), await texts(".plot .x span")];
  const highest = Number((await page.locator(".chart").getAttribute("aria-label")).match(/up to ([\d,]+)/)[1].replaceAll(",", ""));
  return { numbers: numbers.map((text) => Number(text.replaceAll(",", ""))), times: times.filter(Boolean), places: times.length, highest };
}

test("the chart has an axis of numbers and one of times: hours for a day, days for a week and a month", async () => {
  const { page, context } = await operator();
  const expected = { "24 hours": [24, /^(06:00|12:00|18:00|14 Nov)$/, 3], "7 days": [28, /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)$/, 6], "30 days": [30, /^(16|23|30) Oct|(6|13) Nov$/, 4] };
  for (const [range, [places, time, labels]] of Object.entries(expected)) {
    if (range !== "24 hours") await page.getByRole("link", { name: range }).click();
    await page.locator("strong", { hasText: range }).waitFor();
    const found = await axes(page);
    assert.equal(found.places, places);
    assert.ok(found.times.length >= labels && found.times.every((text) => time.test(text)), `${range}: ${found.times}`);
    // From 0, in equal steps, to no less than the highest bar.
    const [top, below] = found.numbers;
    assert.deepEqual([found.numbers.at(-1), found.numbers.length <= 5, top >= found.highest, top - (top - below) < found.highest], [0, true, true, true], JSON.stringify(found));
    for (const [at, number] of found.numbers.entries()) assert.equal(number, (found.numbers.length - 1 - at) * (top - below));
    // Its highest bar is as high as the axis says.
    const height = await page.locator(".chart g").evaluateAll((groups) => Math.max(...groups.map((group) => [...group.querySelectorAll("rect")].reduce((sum, rect) => sum + Number(rect.getAttribute("height")), 0))));
    assert.ok(Math.abs(height - (200 * found.highest) / top) <= 3, `${height}`);
    for (const width of [1_280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, range);
      // No time stands over the next one.
      const boxes = await page.locator(".plot .x span").evaluateAll((spans) => spans.filter((span) => span.textContent).map((span) => { const words = document.createRange(); words.selectNodeContents(span); const { left, right } = words.getBoundingClientRect(); return [left, right]; }));
      for (const [at, [, right]] of boxes.entries()) assert.ok(right < (boxes[at + 1]?.[0] ?? width), `${range} at ${width}: ${boxes}`);
    }
    await page.setViewportSize({ width: 1_280, height: 900 });
    await shot(page, `dashboard-${range.replace(" ", "-")}`);
  }
  await context.close();
});

test("what sweeps have set aside is shown with its reason and until when, on the dashboard and beside the creation", async () => {
  await world.create({ id: "aside" });
  await world.all("INSERT INTO stale_drafts_rejected (creation_id, until, reason) VALUES ('aside', ?, 'the app says no')", NOW + 60_000);
  const { page, problems, context } = await operator();
  assert.match(await page.locator("#health").innerText(), /The database rejects that some stale creations are failed/);
  const row = page.locator("section", { hasText: "Set aside, since" }).locator("tbody tr");
  assert.deepEqual(await row.locator("th, td").allInnerTexts(), ["aside", "2023-11-14 22:14", "the app says no"]);
  await shot(page, "dashboard-set-aside");
  assert.deepEqual(await axe(page), []);
  await row.getByRole("link").click();
  assert.match(await page.locator(".error").innerText(), /rejects its failure: the app says no\. A sweep tries again after 2023-11-14 22:14 UTC/);
  assert.deepEqual(await axe(page), []);
  assert.deepEqual(problems, []);
  await world.all("DELETE FROM stale_drafts_rejected");
  await world.cron();
  await context.close();
});

test("an operator drills down, previews, applies, pauses and resumes", async () => {
  const { page, problems, context } = await operator();
  await page.locator("table a").first().click();
  assert.match(await page.locator("h1").innerText(), /^Creation [0-9a-f]{12}$/);
  assert.match(await page.locator("main").innerText(), /Charged\s+\d+ tokens\s+Refunded\s+0 tokens/);
  assert.deepEqual(await axe(page), []);
  await page.getByRole("link", { name: "Back to the dashboard" }).click();
  await world.create({ id: "late", user_id: "ada", kind: "image", tokens: 3 });
  await page.getByRole("button", { name: "Preview a sweep" }).click();
  assert.match(await page.locator("main").innerText(), /1 would be failed and refunded, 0 would be retried/);
  assert.equal(await page.getByRole("link", { name: "late" }).getAttribute("href"), "/dashboard/creations/late");
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

test("from a page that is not there, a link leads back", async () => {
  const { page, context } = await operator();
  await page.goto(`${address}/dashboard/creations/nobody`);
  await page.getByRole("heading", { name: "There is no such creation" }).waitFor();
  await page.getByRole("link", { name: "Back to the dashboard" }).click();
  await page.locator(".tiles").first().waitFor();
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

test("the axis names the newest of its times as well, where there is room, on a phone too", async () => {
  const { page, context } = await operator({ extraHTTPHeaders: { "X-Now": String(NOW + 10 * HOUR) } });
  for (const [hours, last] of [[24, "06:00"], [168, "Wed"]]) {
    await page.goto(`${address}/dashboard?hours=${hours}`);
    for (const width of [1_280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      assert.equal((await axes(page)).times.at(-1), last);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    }
  }
  await page.setExtraHTTPHeaders({ "X-Now": String(NOW) });
  await page.reload();
  await context.close();
});

test("the explorer finds the outage's failures, leads to one with its timeline, and takes a note, by keyboard too", async () => {
  const { page, problems, context } = await operator();
  await page.getByRole("link", { name: "Creations", exact: true }).click();
  await page.getByLabel("Status").selectOption("failed");
  await page.getByLabel("Error code").fill("generation_timeout");
  await page.keyboard.press("Enter");
  await page.waitForURL(/error_code=generation_timeout/);
  const { failed } = await world.one("SELECT count(*) AS failed FROM stale_drafts_creations WHERE status = 'failed' AND error_code = 'generation_timeout'");
  const facets = await page.locator("section", { hasText: "What there is most of" }).locator("tbody tr td:nth-child(5)").allInnerTexts();
  assert.equal(facets.reduce((sum, text) => sum + Number(text.replaceAll(",", "")), 0), failed);
  assert.deepEqual(await uneven(page, ".find"), []);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await shot(page, `explorer-${colorScheme}`);
    assert.deepEqual(await axe(page), []);
  }
  await page.setViewportSize({ width: 375, height: 812 });
  await shot(page, "explorer-phone");
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  await page.setViewportSize({ width: 1_280, height: 900 });
  await page.locator("#found tbody th a").first().click();
  await page.getByLabel("What others should know").fill("the provider was down");
  await page.getByRole("button", { name: "Add the note" }).click();
  await page.getByRole("status").waitFor();
  assert.match(await page.locator(".timeline").innerText(), /Created[^]*Failed[^]*Noted by CLEANUP_TOKEN: the provider was down/);
  await shot(page, "creation");
  assert.deepEqual(await axe(page), []);
  assert.deepEqual(problems, []);
  await context.close();
});

test("the explorer's chart says its numbers and times for hours, days and months, on a phone too, with a table behind it", async () => {
  const { page, problems, context } = await operator();
  for (const [back, word, places] of [[2, "by the hour", 24], [40, "by the hour", 41], [6 * 24, "by 6 hours", 25], [30 * 24, "by the day", 31], [90 * 24, "by the day", 91]]) {
    await page.goto(`${address}/dashboard/creations?status=failed&failed_since=${NOW - back * HOUR}`);
    await page.getByRole("heading", { name: `Failures over time, ${word} (UTC)` }).waitFor();
    const found = await axes(page);
    assert.ok(Math.abs(found.places - places) <= 1, `${back}: ${found.places}`);
    assert.ok(found.times.length >= 2 && found.numbers[0] >= found.highest && found.numbers.at(-1) === 0, JSON.stringify(found));
    // What is drawn is what is in the table, and all that failed since.
    const { failed } = await world.one("SELECT count(*) AS failed FROM stale_drafts_creations WHERE status = 'failed' AND finished_at >= ?", NOW - back * HOUR);
    const cells = await page.locator("section", { has: page.locator("#failures") }).locator("tbody td:not(:first-child)").allTextContents();
    assert.equal(cells.reduce((sum, text) => sum + Number(text.replaceAll(",", "")), 0), failed);
    for (const width of [1_280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
      const boxes = await page.locator(".plot .x span").evaluateAll((spans) => spans.filter((span) => span.textContent).map((span) => { const words = document.createRange(); words.selectNodeContents(span); const { left, right } = words.getBoundingClientRect(); return [left, right]; }));
      for (const [at, [, right]] of boxes.entries()) assert.ok(right < (boxes[at + 1]?.[0] ?? width), `${back} at ${width}: ${boxes}`);
    }
    await page.setViewportSize({ width: 1_280, height: 900 });
  }
  assert.deepEqual(await axe(page), []);
  assert.deepEqual(problems, []);
  await context.close();
});

/** Labels and fields of a form in line: the tops of what stands in one row of it. */
const uneven = (page, selector) =>
  page.locator(selector).evaluateAll((forms) =>
    forms.flatMap((form) => {
      const fields = [...form.querySelectorAll("label:not(.wide) :is(input, select)")].map((field) => field.getBoundingClientRect());
      return fields.flatMap((one) => fields.filter((other) => Math.abs(one.bottom - other.bottom) > 0.5 && one.top < other.bottom && other.top < one.bottom).map((other) => [one.bottom, other.bottom]));
    }),
  );

test("an operator fails one, gives it time and retries it, by keyboard and on a phone, and hears what was done", async () => {
  await world.grant("ada", 1_000);
  await world.create({ id: "acted", user_id: "ada", kind: "video", tokens: 30, created_at: NOW - 60_000 });
  const { page, problems, context } = await operator();
  await page.goto(`${address}/dashboard/creations/acted`);
  for (const width of [1_280, 375]) {
    await page.setViewportSize({ width, height: 812 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    await shot(page, `creation-active-light${width < 400 ? "-phone" : ""}`);
    assert.deepEqual(await axe(page), []);
  }
  await page.setViewportSize({ width: 1_280, height: 900 });
  await page.getByLabel("Minutes from now").fill("90");
  await page.getByLabel("Why").fill("the provider is slow");
  await page.keyboard.press("Enter");
  await page.getByRole("status").filter({ hasText: "it has time until" }).waitFor();
  // Who can't see it hears it: it has the focus.
  await page.waitForFunction(() => document.activeElement.textContent === "Done: it has time until 2023-11-14 23:43 UTC.");
  // From there, tabs go through the links, the forms' fields and their buttons, each of which shows where one is.
  const order = [];
  for (let at = 0; at < 12; at += 1) {
    await page.keyboard.press("Tab");
    order.push(await page.evaluate(() => { const used = document.activeElement; const { outlineStyle, outlineWidth } = getComputedStyle(used); return [used.labels?.[0]?.textContent || used.textContent, outlineStyle !== "none" && parseFloat(outlineWidth) >= 2]; }));
  }
  // A field of a date has several stops, of which its own button shows itself.
  assert.deepEqual([...new Set(order.map(([name]) => name))].slice(0, 4), ["Minutes from now", "or until (UTC)", "Why", "Give it"]);
  assert.ok(order.every(([name, seen]) => seen || name === "or until (UTC)"), JSON.stringify(order));
  await page.getByLabel("Words for its owner").fill("the model was wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("status").filter({ hasText: "it is failed, refunded: 30 tokens" }).waitFor();
  for (const [colorScheme, width] of [["light", 1_280], ["dark", 1_280], ["light", 375], ["dark", 375]]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 812 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    await shot(page, `creation-${colorScheme}${width < 400 ? "-phone" : ""}`);
    assert.deepEqual(await axe(page), []);
  }
  await page.getByRole("button", { name: "Retry for 30 tokens" }).click();
  await page.getByRole("status").filter({ hasText: "another attempt begins, for 30 tokens" }).waitFor();
  assert.match(await page.locator(".timeline").innerText(), /Created[^]*gave it more time[^]*Failed by CLEANUP_TOKEN: the model was wrong[^]*Refunded: 30 tokens[^]*Retried by CLEANUP_TOKEN\. Charged again for attempt 2/);
  assert.deepEqual(await uneven(page, ".find"), []);
  assert.deepEqual(problems, []);
  assert.deepEqual(await world.wrongBalances(), []);
  await context.close();
});

for (const javaScriptEnabled of [true, false]) {
  test(`many are chosen, previewed and retried, ${javaScriptEnabled ? "by keyboard" : "without JavaScript"}`, async () => {
    const kind = `bulk-${javaScriptEnabled}`;
    await world.grant(`rich-${javaScriptEnabled}`, 1_000);
    await world.create(...Array.from({ length: 12 }, (_, at) => ({ id: `${kind}-${at}`, user_id: at < 9 ? `rich-${javaScriptEnabled}` : `poor-${javaScriptEnabled}`, kind, tokens: at < 9 ? 10 : 0, created_at: NOW - 60_000 + at })));
    await world.all("UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 1000, error = 'it said 503', error_code = 'provider_down' WHERE kind = ?", kind);
    const { page, problems, context } = await operator({ javaScriptEnabled });
    await page.goto(`${address}/dashboard/creations?kind=${kind}&limit=8`);
    const boxes = page.getByRole("checkbox");
    assert.deepEqual([await boxes.count(), await page.locator(":checked[type=checkbox]").count()], [8, 0]);
    await page.getByLabel(`Choose ${kind}-11`).focus();
    await page.keyboard.press("Space");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "What would be retried" }).waitFor();
    assert.match(await page.locator("main").innerText(), /1 would be retried, and 0 tokens charged to 1 owner/);
    await page.getByRole("link", { name: "Back to the creations" }).click();
    await page.getByRole("link", { name: "Choose all of this page" }).click();
    await page.getByRole("link", { name: "Choose none" }).waitFor();
    assert.equal(await page.locator(":checked[type=checkbox]").count(), 8);
    await page.getByRole("button", { name: "Preview a retry of those chosen" }).first().click();
    await page.getByRole("heading", { name: "What would be retried" }).waitFor();
    assert.match(await page.locator("main").innerText(), /8 would be retried, and 50 tokens charged to 2 owners/);
    await page.getByRole("link", { name: "Back to the creations" }).click();
    await page.getByRole("button", { name: "Preview a retry of all that match and failed" }).click();
    await page.getByRole("heading", { name: "What would be retried" }).waitFor();
    // One moves on while the operator reads.
    await world.all("UPDATE stale_drafts_creations SET deleted_at = 1, prompt = '' WHERE id = ?", `${kind}-2`);
    const views = javaScriptEnabled ? [["light", 1_280], ["dark", 1_280], ["light", 375]] : [];
    const look = async (name) => {
      for (const [colorScheme, width] of views) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 812 });
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, name);
        await shot(page, `${name}-${colorScheme}${width < 400 ? "-phone" : ""}`);
        assert.deepEqual(await axe(page), []);
      }
    };
    await look("retries-preview");
    await page.getByLabel("Why (optional").fill("the provider is back");
    await page.getByRole("button", { name: "Retry exactly these" }).click();
    await page.getByRole("status").filter({ hasText: "Done: 11 creations were retried, for 80 tokens. 1 was left as it is, and is named below." }).waitFor();
    assert.match(await page.getByRole("region", { name: "Left as they are" }).innerText(), new RegExp(`${kind}-2\\s`));
    await look("retries");
    assert.deepEqual(problems, []);
    assert.deepEqual(await world.wrongBalances(), []);
    await context.close();
  });
}

test("a kind is given more time, and a sweep a note, on the dashboard; what is being written is not taken away", async () => {
  const { page, problems, context } = await operator();
  await page.getByText("Give a kind more time").click();
  const form = page.locator("form[action='/dashboard/extend-kind']");
  await form.getByLabel("Kind").fill("video");
  await form.getByLabel("Minutes from now").fill("600");
  await form.getByLabel("Why").fill("the provider is slow");
  assert.deepEqual(await uneven(page, "form[action='/dashboard/extend-kind']"), []);
  await form.getByRole("button", { name: "Give it" }).click();
  await page.getByRole("status").filter({ hasText: "the kind has time until" }).waitFor();
  await page.getByText("Note something about a sweep").click();
  await page.getByLabel("What others should know of it").fill("after the outage");
  // Half a minute later, with the focus elsewhere.
  await page.locator("h1").click();
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.waitForTimeout(300);
  assert.equal(await page.getByLabel("What others should know of it").inputValue(), "after the outage");
  await shot(page, "dashboard-forms");
  assert.deepEqual(await axe(page), []);
  await page.getByRole("button", { name: "Add the note" }).click();
  await page.getByRole("status").filter({ hasText: "the note is added" }).waitFor();
  assert.match(await page.locator("#sweeps").innerText(), /CLEANUP_TOKEN: after the outage/);
  await page.setViewportSize({ width: 375, height: 812 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  await page.getByRole("button", { name: "End what video has" }).click();
  await page.getByRole("status").filter({ hasText: "the kind has no more time than its limits give" }).waitFor();
  assert.deepEqual(problems, []);
  await context.close();
});

/** How far a table goes beyond what is seen of it. */
const beyond = (page, label) => page.getByRole("region", { name: label }).evaluate((region) => region.scrollWidth - region.clientWidth);

test("ids and sentences wrap, so that figures and reasons are seen without scrolling", async () => {
  const uuid = (at) => `0190a5e2-7c4b-7d3e-9f21-${String(at).padStart(12, "a")}`;
  const owner = "5d0c2f8e-41b7-4a96-8c3d-e2f7a9b01c64";
  await world.create(...Array.from({ length: 6 }, (_, at) => ({ id: uuid(at), user_id: owner, kind: "long-ids", tokens: 0, created_at: NOW - 60_000 })));
  await world.all("UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 1000, error = 'The provider answered 503 and asked to try again later', error_code = 'provider_down' WHERE kind = 'long-ids'");
  await world.all("UPDATE stale_drafts_alerts SET evidence = ?", "4 of 35 that ended within the last hour, among the newest creations, of which `0190a5e2-7c4b-7d3e-9f21-aaaaaaaaaaaa` is the one that waits longest of all, 14 hours beyond its limit of 8 hours");
  const { page, problems, context } = await operator();
  for (const label of ["The last alerts", "The last sweeps", "Longest without a sign of life"]) assert.equal(await beyond(page, label), 0, label);
  await shot(page, "wrap-dashboard");
  await page.goto(`${address}/dashboard/creations?kind=long-ids&select=page`);
  assert.equal(await beyond(page, "Creations that were found"), 0);
  // A UUID is broken at its dashes only: in three lines at most.
  const lines = await page.getByRole("region", { name: "Creations that were found" }).locator(".id > a").evaluateAll((links) => links.map((link) => link.getClientRects().length));
  assert.ok(lines.length > 0 && Math.max(...lines) <= 3, lines.join());
  await shot(page, "wrap-explorer");
  await page.getByRole("button", { name: "Preview a retry of those chosen" }).first().click();
  await page.getByRole("button", { name: "Retry exactly these" }).waitFor();
  assert.equal(await beyond(page, "The plan"), 0);
  await shot(page, "wrap-preview");
  await world.all("UPDATE stale_drafts_creations SET deleted_at = 1, prompt = '' WHERE id IN (?1, ?2)", uuid(1), uuid(2));
  await page.getByRole("button", { name: "Retry exactly these" }).click();
  const left = page.getByRole("region", { name: "Left as they are" });
  await left.waitFor();
  await shot(page, "wrap-retried");
  await page.setViewportSize({ width: 375, height: 812 });
  const cut = await left.evaluate((region) => [...region.querySelectorAll("td.words")].filter((cell) => cell.getBoundingClientRect().right > region.getBoundingClientRect().right).length);
  assert.equal(cut, 0);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  await shot(page, "wrap-retried-phone");
  await page.setViewportSize({ width: 390, height: 844 });
  await world.create(...Array.from({ length: 6 }, (_, at) => ({ id: uuid(at + 6), user_id: owner, kind: "long-ids-too", tokens: 0, created_at: NOW - 60_000 })));
  await world.all("UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 1000, error = 'it said 503', error_code = 'provider_down' WHERE kind = 'long-ids-too'");
  await page.goto(`${address}/dashboard/creations?kind=long-ids-too&select=page`);
  const seen = async (label, heads) => {
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
    assert.equal(await beyond(page, label), 0, label);
    for (const head of heads) assert.ok(await page.getByRole("region", { name: label }).locator(`td[data-head="${head}"]`).first().isVisible(), head);
    // A screen reader still hears a table.
    assert.ok(await page.getByRole("region", { name: label }).getByRole("row").count() > 1);
    assert.deepEqual(await axe(page), []);
  };
  await seen("Creations that were found", ["State", "Error", "Failed (UTC)", "Tokens"]);
  await shot(page, "wrap-explorer-phone");
  // From the last box, a keyboard comes to a button below the table.
  await page.getByRole("button", { name: "Preview a retry of those chosen" }).last().press("Enter");
  await page.getByRole("button", { name: "Retry exactly these" }).waitFor();
  await seen("The plan", ["Tokens", "Can be paid"]);
  await shot(page, "wrap-preview-phone");
  // And on a tablet.
  await page.setViewportSize({ width: 760, height: 1_000 });
  await page.goto(`${address}/dashboard/creations?kind=long-ids&select=page`);
  assert.equal(await beyond(page, "Creations that were found"), 0);
  await shot(page, "wrap-explorer-tablet");
  await page.setViewportSize({ width: 390, height: 844 });
  // So is each table of the dashboard.
  await page.goto(`${address}/dashboard`);
  await seen("The last sweeps", ["By", "Failed", "Rows read", "Took"]);
  await seen("The last alerts", ["Until (UTC)", "What was wrong", "Evidence"]);
  await seen("Longest without a sign of life", ["Owner", "Silent for", "State"]);
  await page.locator("#actions summary").click();
  await seen("What operators did", ["Who", "What"]);
  await page.getByRole("link", { name: "All that operators did" }).click();
  await seen("What operators did", ["Who", "What"]);
  await shot(page, "wrap-audit-phone");
  await page.goto(`${address}/dashboard/creations?kind=long-ids-too&select=page`);
  // Figures stand at the end of their column, and a button is seen by its border: at least 3 : 1.
  await page.setViewportSize({ width: 1_280, height: 900 });
  assert.deepEqual(await page.locator("th", { hasText: "Tokens" }).or(page.locator("td[data-head=Tokens]")).evaluateAll((cells) => [...new Set(cells.map((cell) => getComputedStyle(cell).textAlign))]), ["end"]);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const contrast = await page.locator("form .button").first().evaluate((button) => {
      const luminance = (color) => {
        const [red, green, blue] = color.match(/\d+/g).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const [one, other] = [getComputedStyle(button).borderTopColor, getComputedStyle(button).backgroundColor].map(luminance);
      return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    });
    assert.ok(contrast >= 3, `${colorScheme}: ${contrast}`);
  }
  assert.deepEqual(problems, []);
  await context.close();
});
