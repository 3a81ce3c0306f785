// Alerts that arrive: on Slack and on Discord, beside the signed webhook, each as it takes them.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { afterEach, beforeEach, test } from "node:test";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, start } from "./harness.mjs";
import { checkEvent } from "./openapi.mjs";

const SECRET = "n0t-Shown-Anywhere-8f2c61";
const PATHS = { slack: `/services/T0000/B0000/${SECRET}`, discord: `/api/webhooks/1/${SECRET}`, webhook: "/hook" };
let server;
let got;
let answers;
let world;

/** What Slack, Discord and an app would do: take what is within their limits, and refuse the rest. */
beforeEach(async () => {
  got = { slack: [], discord: [], webhook: [] };
  answers = {};
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (part) => (text += part));
    request.on("end", () => {
      const [to] = Object.entries(PATHS).find(([, path]) => path === request.url) ?? ["nobody"];
      const body = JSON.parse(text);
      got[to]?.push({ headers: request.headers, body });
      const [status, headers] = answers[to]?.shift() ?? [to === "discord" ? 204 : 200, {}];
      const fault = to === "slack" ? faultOfSlack(body) : to === "discord" ? faultOfDiscord(body) : null;
      if (fault) got.fault = `${to}: ${fault}`;
      response.writeHead(fault ? 400 : status, headers).end();
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
});
afterEach(async () => {
  await world.stop();
  await new Promise((done) => server.close(done));
  assert.equal(got.fault, undefined);
  for (const { body } of got.webhook) checkEvent(body);
  // The addresses are secrets: they are in no line of the log.
  assert.ok(!world.logs.some((line) => line.includes(SECRET)));
});

const isText = (text, most) => typeof text === "string" && text.length >= 1 && text.length <= most;

/** https://docs.slack.dev/reference/block-kit/blocks: what a message's blocks may be. */
function faultOfSlack({ text, blocks, ...rest }) {
  const object = ({ type, text, ...rest }, most, ...types) =>
    types.includes(type) && isText(text, most) && Object.entries(rest).every(([key, value]) => (key === "verbatim" ? type === "mrkdwn" : key === "emoji") && typeof value === "boolean");
  const block = {
    header: (block) => object(block.text, 150, "plain_text"),
    section: (block) => object(block.text, 3_000, "plain_text", "mrkdwn"),
    context: ({ elements }) => elements.length >= 1 && elements.length <= 10 && elements.every((element) => object(element, 2_000, "plain_text", "mrkdwn")),
  };
  if (!isText(text, 40_000)) return "no_text";
  if (!(blocks.length <= 50 && blocks.every((one) => block[one.type]?.(one)))) return "invalid_blocks";
  // Special mentions, and those of users, groups and channels.
  if (/<[!@#](?!date\^)/.test(JSON.stringify(blocks) + text)) return "it mentions somebody";
  return Object.keys(rest).some((key) => !["unfurl_links", "unfurl_media"].includes(key)) ? "invalid_payload" : null;
}

/** https://discord.com/developers/docs/resources/message#embed-object: what an embed may be. */
function faultOfDiscord({ allowed_mentions, embeds, ...rest }) {
  if (JSON.stringify(allowed_mentions) !== '{"parse":[]}') return "it may mention somebody";
  if (Object.keys(rest).length > 0 || embeds.length !== 1) return "invalid form body";
  const [{ title, url, description, color, fields, timestamp, footer, ...others }] = embeds;
  const sizes = [title, description, footer.text, ...fields.flatMap(({ name, value }) => [name, value])].map((text) => text.length);
  const fit = isText(title, 256) && isText(description, 4_096) && isText(footer.text, 2_048) && fields.length <= 25 && fields.every(({ name, value }) => isText(name, 256) && isText(value, 1_024));
  const valid = Number.isInteger(color) && color >= 0 && color <= 0xffffff && new Date(timestamp).toISOString() === timestamp && (url === undefined || URL.canParse(url));
  return fit && valid && Object.keys(others).length === 0 && sizes.reduce((sum, size) => sum + size) <= 6_000 ? null : "invalid embed";
}

const address = (to) => `http://127.0.0.1:${server.address().port}${PATHS[to]}`;
const CHATS = () => ({ SLACK_WEBHOOK_URL: address("slack"), DISCORD_WEBHOOK_URL: address("discord") });
const open = async ({ config = {}, bindings = CHATS() } = {}) => {
  world = await start({ config: { public_url: "https://drafts.example/admin", ...config }, bindings });
  await world.grant("ada", 1_000_000);
};
const at = (minute) => world.order({ now: NOW + minute * MINUTE });
const events = () => world.all("SELECT id, state, destinations, deliveries, due_at - ? AS due_in, last_error FROM stale_drafts_events ORDER BY id", NOW);
/** A balance that differs from its ledger: an alert with text of somebody else's, for it names the user. */
const breakLedger = async (user, by) => {
  await world.grant(user, 5);
  await world.database.prepare("UPDATE stale_drafts_balances SET tokens = tokens + ? WHERE user_id = ?").bind(by, user).run();
};

test("the same alert arrives on Slack, on Discord and at the webhook, when it fires and when it is resolved", async () => {
  const webhook_url = address("webhook");
  await open({ config: { webhook_url }, bindings: { ...CHATS(), WEBHOOK_SECRET: `whsec_${Buffer.from("n0t-Used-Anywhere-Else-Webhook-a1e27").toString("base64")}` } });
  await world.cron();
  await world.all("INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, creation_id, body) VALUES ('failed:a:1', 'dead', ?1, 2, ?1, 'a', '{}')", NOW);
  await at(1);
  await world.cron();
  const evidence = "1 event is kept, with its error";
  const [fired] = got.webhook;
  assert.deepEqual([fired.body.type, fired.body.data.code], ["alert.fired", "dead_letters"]);
  const { cause, evidence: said, remedy } = fired.body.data;
  assert.ok(said.length > 0, evidence);
  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const [slack] = got.slack;
  assert.equal(slack.headers["content-type"], "application/json");
  assert.deepEqual(slack.body.blocks.map(({ text, elements }) => text?.text ?? elements.map(({ text }) => text)), [
    `🟠 Warning: dead_letters`, capital(cause), `*Evidence*\n${capital(said)}`, `*Remedy*\n${capital(remedy)}`,
    [`Since <!date^${(NOW + MINUTE) / 1_000}^{date_short_pretty} {time}|${new Date(NOW + MINUTE).toISOString().slice(0, 16).replace("T", " ")} UTC>`, "<https://drafts.example/admin/dashboard#health|Open the dashboard>"],
  ]);
  const [{ body: { embeds: [embed] } }] = got.discord;
  assert.deepEqual([embed.title, embed.url, embed.timestamp], ["Warning: dead_letters", "https://drafts.example/admin/dashboard#health", new Date(NOW + MINUTE).toISOString()]);
  // A backslash before what would be markup.
  const plain = (text) => text.replaceAll(/\\(.)/g, "$1");
  assert.deepEqual([plain(embed.description), ...embed.fields.map(({ name, value }) => [name, plain(value)])], [capital(cause), ["Evidence", capital(said)], ["Remedy", capital(remedy)]]);
  // Of creations, only the app is told.
  await world.create({ id: "b" });
  await world.all("DELETE FROM stale_drafts_events WHERE state = 'dead'");
  await at(21);
  await world.cron();
  assert.deepEqual(got.webhook.map(({ body }) => body.type).sort(), ["alert.fired", "alert.resolved", "creation.failed"]);
  assert.deepEqual([got.slack.length, got.discord.length], [2, 2]);
  assert.match(got.slack[1].body.text, /^Resolved: /);
  assert.match(JSON.stringify(got.slack[1].body), /after 20 minutes/);
  assert.deepEqual([got.discord[1].body.embeds[0].title, got.discord[1].body.embeds[0].fields.at(-1)], ["Resolved: dead_letters", { name: "Lasted", value: "20 minutes" }]);
  assert.deepEqual(await events(), []);
});

test("a link leads to a view that is there", async () => {
  await open();
  await world.create({ id: "a" });
  await world.all("INSERT INTO stale_drafts_rejected (creation_id, until, reason) VALUES ('a', ?, 'no')", NOW + HOUR);
  const page = await (await world.fetch("/dashboard", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).text();
  for (const section of ["health", "sweeps", "silent", "set-aside", "stale", "generation", "actions", "alerts"]) assert.match(page, new RegExp(`id="${section}"`));
});

test("text of others mentions nobody, and Slack and Discord take it", async () => {
  await open();
  await breakLedger("<!channel> @everyone **& `_", 1);
  for (const minute of [0, 1, 2]) {
    await at(minute);
    await world.cron();
  }
  const [{ body: slack }] = got.slack.filter(({ body }) => /ledger_differs/.test(JSON.stringify(body)));
  assert.match(slack.blocks[2].text.text, /&lt;!channel&gt; @\u200beveryone \*\*&amp;/);
  const [{ body: discord }] = got.discord.filter(({ body }) => /ledger_differs/.test(JSON.stringify(body)));
  assert.ok(discord.embeds[0].fields[0].value.includes("\\<!channel\\> @\u200beveryone \\*\\*&") || discord.embeds[0].fields[0].value.includes("`<!channel> @\u200beveryone **& `"));
});

test("who answers 429 is left alone for as long as it says, and the other has the alert meanwhile", async () => {
  // That it waits for so long is an alert of its own otherwise.
  await open({ config: { alerts: { outbox_minutes: 1_440 } } });
  answers.slack = [[429, { "Retry-After": "600" }]];
  await world.all("INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, creation_id, body) VALUES ('failed:a:1', 'dead', ?1, 2, ?1, 'a', '{}')", NOW);
  await world.cron();
  const open_ = async () => (await events()).filter(({ state }) => state === "due").map(({ destinations, due_in, last_error }) => [destinations, due_in, last_error]);
  assert.deepEqual(await open_(), [[8, 600_000, "slack: it answered 429"]]);
  assert.deepEqual([got.slack.length, got.discord.length], [1, 1]);
  await at(9);
  await world.cron();
  assert.deepEqual(got.slack.length, 1);
  // By a date too; and what comes sooner than the next try by itself waits for that.
  answers.slack = [[429, { "Retry-After": new Date(NOW + 40 * MINUTE).toUTCString() }], [503, { "Retry-After": "0.5" }]];
  await at(10);
  await world.cron();
  assert.deepEqual(await open_(), [[8, 40 * MINUTE, "slack: it answered 429"]]);
  await at(40);
  await world.cron();
  assert.deepEqual(await open_(), [[8, 42 * MINUTE, "slack: it answered 503"]]);
  await at(42);
  await world.cron();
  assert.deepEqual([await open_(), got.slack.length, got.discord.length], [[], 4, 1]);
});

test("one that asks to be left alone gets nothing else in the same run either", async () => {
  await open();
  await world.create({ id: "a", created_at: NOW });
  await breakLedger("bo", 1);
  await world.all("INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, creation_id, body) VALUES ('failed:a:1', 'dead', ?1, 2, ?1, 'a', '{}')", NOW);
  answers.slack = Array.from({ length: 8 }, () => [429, { "Retry-After": "120" }]);
  const body = (n) => JSON.stringify({ id: `alert.fired:x${n}:1`, type: "alert.fired", created_at: NOW, data: { code: `x${n}`, severity: "warning", cause: "c", evidence: "e", remedy: "r" } });
  for (let n = 0; n < 30; n += 1) await world.all("INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, body) VALUES (?1, ?2, 8, ?2, ?3)", `alert.fired:x${String(n).padStart(2, "0")}:1`, NOW, body(n));
  await world.cron();
  // Those that were on their way together.
  assert.ok(got.slack.length <= 6, `${got.slack.length}`);
  assert.equal((await events()).filter(({ destinations, last_error }) => destinations === 8 && /^slack: it has just asked to be left alone/.test(last_error)).length >= 24, true);
});

test("an address is in no answer, no page and no error, and one that is unfit shows by its name", async () => {
  // Nobody listens there.
  await open({ bindings: { SLACK_WEBHOOK_URL: `http://127.0.0.1:1/services/${SECRET}`, DISCORD_WEBHOOK_URL: `discord.com/api/webhooks/1/${SECRET}` } });
  await world.all("INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, creation_id, body) VALUES ('failed:a:1', 'dead', ?1, 2, ?1, 'a', '{}')", NOW);
  await world.cron();
  const [{ last_error, destinations }] = (await events()).filter(({ state }) => state === "due");
  assert.equal(destinations, 8, "nothing is meant for an address that is none");
  assert.match(last_error, /^slack: /);
  const as = { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } };
  const ready = await world.fetch("/readyz");
  const texts = [last_error, await ready.text()];
  assert.match(texts[1], /secret `DISCORD_WEBHOOK_URL` is no address: expected an `https:\/\/` URL/);
  for (const path of ["/dashboard", "/metrics", "/api/doctor", "/api/events", "/api/events?state=due"]) texts.push(await (await world.fetch(path, as)).text());
  for (const text of texts) assert.ok(!text.includes(SECRET), text);
});

test("an alert for a chat that is no longer configured is a dead letter that says so", async () => {
  await open({ bindings: {} });
  const body = JSON.stringify({ id: "alert.fired:x:1", type: "alert.fired", created_at: NOW, data: { code: "x", severity: "warning", cause: "c", evidence: "e", remedy: "r" } });
  await world.all("INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, body) VALUES ('alert.fired:x:1', ?1, 24, ?1, ?2)", NOW, body);
  await world.cron();
  assert.deepEqual((await world.ask("/api/events")).events.map(({ id, destinations, last_error }) => [id, destinations, last_error]), [["alert.fired:x:1", ["slack", "discord"], "discord: the secret `DISCORD_WEBHOOK_URL` is not set"]]);
});
