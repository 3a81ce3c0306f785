// Other languages: the catalogues that ship, plural forms by `Intl`, and what every flavour of the package says with them.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { root } from "../../scripts/lib.mjs";
import { findings } from "../../pkg/cli/texts/check.js";

const NOW = 1_700_000_000_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const dist = new URL("../../pkg/dist/", import.meta.url);
const require = createRequire(import.meta.url);
const read = (path) => JSON.parse(readFileSync(join(root, path), "utf8"));

const { texts } = await import(new URL("esm/texts.js", dist));
const { ago, check, checkAll, policy, watch } = await import(new URL("esm/index.js", dist));
const shipped = { de: (await import(new URL("texts/de.js", dist))).default, ja: (await import(new URL("texts/ja.js", dist))).default };
const english = read("pkg/texts/en.json");
const [de, ja] = [texts(shipped.de), texts(shipped.ja)];

/** A language with four forms, and one with six that is written from the right: no more of them than the tests say. */
const POLISH = {
  locale: "pl",
  errors: { generation_timeout: { pending: "Limit czasu: oczekiwanie trwa {age}", processing: "Limit czasu: przetwarzanie trwa {age}" } },
  attempts: { few: "{error}, po {count} próbach", many: "{error}, po {count} próbach", other: "{error}, po {count} próby" },
  ages: {
    hour: { few: "{count} godziny", many: "{count} godzin", other: "{count} godziny" },
    minute: { one: "{count} minuta", few: "{count} minuty", many: "{count} minut", other: "{count} minuty" },
    second: { one: "{count} sekunda", few: "{count} sekundy", many: "{count} sekund", other: "{count} sekundy" },
  },
};
const ARABIC = {
  locale: "ar-EG",
  dir: "rtl",
  badges: { failed: "فشل" },
  ago: { minute: { zero: "الآن", one: "قبل دقيقة", two: "قبل دقيقتين", few: "قبل {count} دقائق", many: "قبل {count} دقيقة", other: "قبل {count} دقيقة" } },
};

const stale = (status, age_ms, texts, attempt = 1) => {
  const draft = { status, attempt, created_at: NOW - age_ms };
  return check(draft, { now: NOW, policy: 0.0001, texts });
};

for (const [name, catalogue] of Object.entries({ ...shipped, en: english })) {
  test(`${name} has every text, every form that its language needs, and every parameter`, () => {
    assert.deepEqual(findings(catalogue), []);
    assert.deepEqual(catalogue, read(`pkg/texts/${name}.json`));
  });
}

test("what a catalogue lacks, and what is wrong with it, is said", () => {
  const said = (change) => findings({ ...shipped.de, ...change }).map(({ path, problem }) => `${path} ${problem}`);
  const { failed, ...badges } = shipped.de.badges;
  assert.deepEqual(said({ badges }), ["badges.failed is missing"]);
  assert.deepEqual(said({ badges: { ...badges, failed, faild: "" } }), ["badges.faild is no key of a text"]);
  assert.deepEqual(said({ badges: { ...badges, failed: { other: failed } } }), ['badges.failed is {"other":"Fehlgeschlagen"}: expected text']);
  assert.deepEqual(said({ attempts: "nach {n} Versuchen" }), ["attempts has `{n}`: expected `{error}`, `{count}`", "attempts lacks `{error}`"]);
  assert.deepEqual(said({ ages: { ...shipped.de.ages, minute: { other: "{count} Minuten", few: "{count}", most: "" } } }), ["ages.minute.one is missing: this language needs the form", "ages.minute.most is no plural form: expected `one`, `other`"]);
  assert.deepEqual(said({ errors: {} }), ["errors.cancelled is missing", "errors.generation_timeout.pending is missing", "errors.generation_timeout.processing is missing"]);
  assert.deepEqual(said({ errors: { ...shipped.de.errors, provider_error: "Der Anbieter ist nicht erreichbar" } }), []);
  assert.deepEqual(said({ locale: "x" }), ['locale is "x": expected the tag of a language that `Intl` knows, such as "de"']);
  assert.deepEqual(said({ dir: "up" }), ['dir is "up": expected "ltr" or "rtl"']);
  assert.deepEqual(findings(POLISH).filter(({ missing }) => !missing), []);
  assert.ok(findings({ ...POLISH, attempts: { other: "{error} {count}" } }).some(({ path }) => path === "attempts.few"));
});

/** Codes that only workers, operators and the app's own code get. */
const NOT_OF_OWNERS = "forbidden method_not_allowed payload_too_large uri_too_long idempotency_key_reused taken attempt_over wrong_fence fence_missing not_active nothing_kept cancelled more_than_charged".split(" ");

test("every code that can reach an owner has words", () => {
  const { schemas } = read("www/openapi.json").components;
  const codes = (schema) => [schema.enum ?? [], ...(schema.anyOf ?? schema.oneOf ?? []).map(codes)].flat();
  assert.deepEqual(Object.keys(english.movements).sort(), codes(schemas.LedgerItem.properties.message_code).sort());
  // Beside the API's codes, the client has two of its own.
  const problems = [...new Set([...codes(schemas.ErrorCode), "network_error", "unexpected_answer"])].filter((code) => !NOT_OF_OWNERS.includes(code));
  assert.deepEqual(Object.keys(english.problems).sort(), problems.sort());
});

test("the English original, as a catalogue, says what the rules say", () => {
  // `Intl` sets thousands apart, which the stored text does not.
  const together = (text) => text?.replace(/(?<=\d),(?=\d{3})/g, "") ?? null;
  const en = texts(english);
  for (const entry of read("tests/cases/verdicts.json")) {
    const time = (value) => (typeof value === "number" ? NOW - value : value);
    const draft = { status: entry.status, kind: entry.kind ?? "image", attempt: entry.attempt, created_at: time(entry.created), queued_at: time(entry.queued), started_at: time(entry.started), heartbeat_at: time(entry.heartbeat) };
    const options = { now: NOW, policy: policy(entry.policy ?? {}) };
    const rules = check(draft, options);
    // Nothing of the rules' own is in the catalogue's answer: the words are marked.
    const marked = texts(JSON.parse(JSON.stringify(english), (key, value) => (typeof value === "string" && key !== "locale" ? `«${value}` : value)));
    const said = check(draft, { ...options, texts: en });
    assert.deepEqual({ ...said, error: together(said.error) }, rules, entry.name);
    const { badge, error } = check(draft, { ...options, texts: marked });
    assert.equal(badge.replaceAll("«", ""), rules.badge);
    assert.ok(badge.includes("«") && (error === null || error.includes("«")), `${entry.name}: ${badge}, ${error}`);
    assert.equal(together(error)?.replaceAll("«", "") ?? null, rules.error);
  }
  for (const { age_ms, long } of read("tests/cases/ages.json")) {
    assert.equal(together(ago(age_ms, { texts: en })), ago(age_ms), long);
  }
});

test("a message's code and parameters stand beside it, rounded as it is", () => {
  const said = ({ badge_code, error_code, error_params }) => [badge_code, error_code, error_params];
  assert.deepEqual(said(stale("pending", 65_520_000)), ["failed", "generation_timeout", { status: "pending", count: 18.2, unit: "hour", attempts: 1 }]);
  assert.deepEqual(said(stale("processing", 12 * MINUTE + 59_999, undefined, 3)), ["failed", "generation_timeout", { status: "processing", count: 12, unit: "minute", attempts: 3 }]);
  assert.deepEqual(said(stale("pending", MINUTE)), ["failed", "generation_timeout", { status: "pending", count: 1, unit: "minute", attempts: 1 }]);
  assert.deepEqual(said(stale("pending", 59_999)), ["failed", "generation_timeout", { status: "pending", count: 59, unit: "second", attempts: 1 }]);
  assert.deepEqual(said(check({ status: "pending", attempt: 1, created_at: NOW - 2 * HOUR }, { now: NOW, policy: policy({ attempts: 2 }) })), ["retrying", "generation_timeout", { status: "pending", count: 2, unit: "hour", attempts: 1 }]);
  for (const [field, draft] of [["created_at", { status: "pending", created_at: "soon" }], ["started_at", { status: "processing", started_at: 1_700_000_000 }], ["heartbeat_at", { status: "pending", heartbeat_at: 1.5 }], ["queued_at", { status: "pending", queued_at: -1 }]]) {
    assert.deepEqual(said(check(draft, { now: NOW }))[2], { field });
    assert.equal(said(check(draft, { now: NOW }))[0], "needs_attention");
  }
  assert.deepEqual(said(check({ status: "pending" }, { now: NOW })), ["needs_attention", "time_missing", null]);
  for (const status of ["draft", "published", "failed"]) assert.deepEqual(said(check({ status }, { now: NOW })), [status, null, null]);
  for (const status of ["pending", "processing"]) assert.deepEqual(said(check({ status, created_at: NOW }, { now: NOW })), [status, null, null]);
  // A word that the rules know otherwise is no status.
  for (const status of ["retrying", "hour", "created_at", "stale"]) assert.equal(check({ status, created_at: NOW }, { now: NOW }).error_code, "unknown_status");
});

test("German: two forms, its decimal comma, and 1.0 as a plural", () => {
  assert.equal(stale("pending", 65_520_000, de).error, "Zeitüberschreitung: Der Auftrag hat 18,2 Stunden auf seinen Beginn gewartet");
  assert.equal(stale("pending", HOUR, de).error, "Zeitüberschreitung: Der Auftrag hat 1,0 Stunden auf seinen Beginn gewartet");
  assert.equal(stale("processing", MINUTE, de).error, "Zeitüberschreitung: Der Auftrag ist seit 1 Minute ohne Lebenszeichen in Arbeit");
  assert.equal(stale("processing", 2 * MINUTE, de, 3).error, "Zeitüberschreitung: Der Auftrag ist seit 2 Minuten ohne Lebenszeichen in Arbeit, nach 3 Versuchen");
  assert.equal(stale("pending", 1_999, de).error, "Zeitüberschreitung: Der Auftrag hat 1 Sekunde auf seinen Beginn gewartet");
  assert.equal(stale("pending", 3_600_000 * 4_321, de).error, "Zeitüberschreitung: Der Auftrag hat 4.321,0 Stunden auf seinen Beginn gewartet");
  assert.equal(stale("pending", HOUR, de).badge, "❌ Fehlgeschlagen");
  assert.equal(check({ status: "pending", created_at: "soon" }, { texts: de }).error, "`created_at` ist keine Zeitangabe: erwartet werden ganze Millisekunden seit 1970");
  assert.deepEqual([MINUTE, 5 * MINUTE, HOUR, 72 * HOUR].map((ms) => ago(ms, { texts: de })), ["vor 1 Minute", "vor 5 Minuten", "vor 1,0 Stunden", "vor 3 Tagen"]);
  assert.deepEqual([1, 2, 1_000].map((count) => de.say("page", "refunded", { count })), ["1 Token erstattet", "2 Tokens erstattet", "1.000 Tokens erstattet"]);
  assert.equal(de.say("page", "archived_until", { count: 2, date: NOW }), "2 ältere Entwürfe sind archiviert, der neueste vom 14.11.2023.");
});

test("Japanese: one form", () => {
  assert.equal(stale("pending", 65_520_000, ja).error, "生成タイムアウト：18.2時間、開始を待ったままでした");
  assert.equal(stale("processing", MINUTE, ja, 2).error, "生成タイムアウト：1分間、処理中のまま応答がありませんでした（2回試行）");
  assert.equal(stale("pending", HOUR, ja).badge, "❌ 失敗");
  assert.deepEqual([1_000, MINUTE, 72 * HOUR].map((ms) => ago(ms, { texts: ja })), ["1秒前", "1分前", "3日前"]);
  assert.equal(ja.say("page", "archived_until", { count: 1, date: NOW }), "以前の下書き1件はアーカイブされています（最新は2023/11/14）。");
});

test("an entry of the ledger and a refusal, by their codes", () => {
  assert.equal(de.say("movements", "granted", { key: "order-7" }), "Ihrem Guthaben hinzugefügt");
  assert.equal(de.say("movements", "refunded", { error: "The provider is out" }), "Erstattet, weil es fehlgeschlagen ist: The provider is out");
  const stuck = { error: "Generation timeout: …", error_code: "generation_timeout", error_params: { status: "pending", count: 2, unit: "hour", attempts: 1 } };
  assert.equal(de.say("movements", "refunded", stuck), "Erstattet, weil es fehlgeschlagen ist: Zeitüberschreitung: Der Auftrag hat 2,0 Stunden auf seinen Beginn gewartet");
  for (const error_code of ["provider_error", "constructor"]) assert.equal(ja.say("movements", "refunded", { error: "502", error_code, error_params: null }), "失敗したため返金：502");
  assert.deepEqual([de, ja].map(({ say }) => say("movements", "carried", { month: "2023-08" })), ["Summe der früheren Buchungen bis August 2023", "2023年8月までの履歴の合計"]);
  assert.equal(de.say("movements", "carried", { month: "?" }), "Summe der früheren Buchungen bis ?");
  assert.equal(de.say("page", "put_off", { time: NOW }), "Es dauert länger als sonst und hat noch Zeit bis 14.11.2023, 22:13 UTC.");
  assert.equal(de.say("problems", "insufficient_tokens"), "Ihr Guthaben reicht dafür nicht: Es wurde nichts berechnet.");
  assert.equal(check({ status: "failed", error: "Cancelled before it was finished", error_code: "cancelled" }, { texts: ja }).error, "完了前にキャンセルされました");
  assert.equal(de.say("problems", "taken"), undefined);
});

test("Polish: four forms", () => {
  const pl = texts(POLISH);
  const minutes = (count) => stale("pending", count * MINUTE, pl).error.split("trwa ")[1];
  assert.deepEqual([1, 2, 4, 5, 12, 21, 22, 25, 59].map(minutes), ["1 minuta", "2 minuty", "4 minuty", "5 minut", "12 minut", "21 minut", "22 minuty", "25 minut", "59 minut"]);
  // With a decimal, it is always the form for fractions.
  assert.deepEqual([1, 2, 5, 18.2].map((hours) => stale("processing", hours * HOUR, pl).error), ["1,0", "2,0", "5,0", "18,2"].map((count) => `Limit czasu: przetwarzanie trwa ${count} godziny`));
  assert.equal(stale("pending", 5 * MINUTE, pl, 2).error, "Limit czasu: oczekiwanie trwa 5 minut, po 2 próbach");
});

test("Arabic: six forms, its own digits, and the direction", () => {
  const ar = texts(ARABIC);
  assert.equal(ar.dir, "rtl");
  assert.deepEqual([1, 2, 3, 11].map((count) => ago(count * MINUTE, { texts: ar })), ["قبل دقيقة", "قبل دقيقتين", "قبل ٣ دقائق", "قبل ١١ دقيقة"]);
  assert.equal(stale("pending", HOUR, ar).badge, "❌ فشل");
});

test("what a catalogue lacks is said in English, as a whole", () => {
  const only = (catalogue) => texts({ locale: "de", ...catalogue });
  const { badge, error } = stale("pending", HOUR);
  for (const catalogue of [{}, { badges: {}, errors: {}, page: {} }, { errors: { generation_timeout: { pending: "seit {age}" } } }, { errors: { generation_timeout: { pending: "seit {age}" } }, ages: { hour: { one: "{count} Stunde" } } }, { errors: { generation_timeout: 5 }, ages: shipped.de.ages }]) {
    const said = stale("pending", HOUR, only(catalogue));
    assert.deepEqual([said.badge, said.error], [badge, error], JSON.stringify(catalogue));
  }
  assert.equal(ago(MINUTE, { texts: only({}) }), "1 minute ago");
  assert.equal(stale("pending", HOUR, only({ errors: { generation_timeout: { pending: "seit {age}" } }, ages: shipped.de.ages }), 2).error, `${error}, after 2 attempts`);
  assert.throws(() => texts({ locale: "not a tag" }), RangeError);
});

test("a worker's own error is shown as it is, unless the app has words for its code", () => {
  const failed = (error_code, texts) => check({ status: "failed", error: "The provider is out", error_code }, { texts }).error;
  for (const code of ["provider_error", "constructor", "__proto__", "time_missing", "generation_timeout", null]) assert.equal(failed(code, de), "The provider is out", code);
  const own = texts({ ...shipped.de, errors: { ...shipped.de.errors, provider_error: "Der Anbieter ist nicht erreichbar" } });
  assert.equal(failed("provider_error", own), "Der Anbieter ist nicht erreichbar");
  // A row of the API that has timed out before brings its parameters.
  const row = { status: "failed", error: "Generation timeout: Task stuck in pending status for 18.2 hours", error_code: "generation_timeout", error_params: { status: "pending", count: 18.2, unit: "hour", attempts: 1 } };
  assert.equal(check(row, { texts: de }).error, "Zeitüberschreitung: Der Auftrag hat 18,2 Stunden auf seinen Beginn gewartet");
  assert.equal(de({ ...row, badge: "❌ Failed", badge_code: "failed" }).error, check(row, { texts: de }).error);
});

for (const [name, api, made, catalogue] of [
  ["wasm2js", await import(new URL("js/index.js", dist)), await import(new URL("js/texts.js", dist)), shipped.de],
  ["CommonJS", require(new URL("cjs/index.cjs", dist).pathname), require(new URL("cjs/texts.cjs", dist).pathname), require(new URL("texts/de.cjs", dist).pathname)],
]) {
  test(`every flavour says the same: ${name}`, () => {
    const german = made.texts(catalogue);
    const draft = { status: "processing", attempt: 2, created_at: NOW - 2 * HOUR };
    assert.deepEqual(api.check(draft, { now: NOW, texts: german }), check(draft, { now: NOW, texts: de }));
    assert.equal(api.ago(HOUR, { texts: german }), "vor 1,0 Stunden");
  });
}

test("lists, watches and React speak it too", async () => {
  const drafts = [{ status: "pending", created_at: NOW - 2 * HOUR }, { status: "draft" }];
  assert.deepEqual(checkAll(drafts, { now: NOW, texts: ja }).map(({ badge }) => badge), ["❌ 失敗", "📝 下書き"]);
  const stop = new AbortController();
  let told;
  watch(drafts, { now: NOW, texts: ja, signal: stop.signal }, (verdicts) => (told = verdicts));
  stop.abort();
  assert.deepEqual(told.map(({ badge }) => badge), ["❌ 失敗", "📝 下書き"]);
  const { StaleBadge, useVerdict, useDrafts } = await import(new URL("esm/react.js", dist));
  const ar = texts(ARABIC);
  assert.equal(renderToString(createElement(StaleBadge, { draft: drafts[0], now: NOW, texts: ar })), '<span data-verdict="stale" lang="ar-EG" dir="rtl"><span aria-hidden="true">❌</span> فشل</span>');
  const Error = () => useVerdict(drafts[0], { now: NOW, texts: de }).error;
  assert.equal(renderToString(createElement(Error)), "Zeitüberschreitung: Der Auftrag hat 2,0 Stunden auf seinen Beginn gewartet");
  const row = { id: "a", ...check(drafts[0], { now: NOW }), created_at: NOW - 2 * HOUR };
  const initial = { now: NOW, user_id: "ada", balance: 1, drafts: [row], next_cursor: null, policy: {} };
  const client = { clock: undefined, list: async () => initial, watch: () => () => {} };
  const List = () => useDrafts({ client, initial, texts: de }).drafts.map(({ id, badge, error }) => createElement("p", { key: id }, `${badge}: ${error}`));
  assert.equal(renderToString(createElement(List)), "<p>❌ Fehlgeschlagen: Zeitüberschreitung: Der Auftrag hat 2,0 Stunden auf seinen Beginn gewartet</p>");
});

test("`stale-drafts check-texts` says what a file lacks, by its exit code too", async () => {
  const folder = join(root, "tests/output/texts");
  mkdirSync(folder, { recursive: true });
  const run = async (name, catalogue, ...flags) => {
    writeFileSync(join(folder, name), typeof catalogue === "string" ? catalogue : JSON.stringify(catalogue));
    const command = promisify(execFile)(process.execPath, [join(root, "pkg/dist/cli/index.js"), "check-texts", name, ...flags], { cwd: folder });
    const { stdout, stderr, code = 0 } = await command.catch((error) => error);
    return { said: stdout + stderr, code };
  };
  assert.deepEqual(await run("de.json", shipped.de), { said: "✓ de.json is complete.\n", code: 0 });
  const partial = await run("pl.json", POLISH);
  assert.match(partial.said, /^· badges\.pending is missing$/m);
  assert.match(partial.said, /^\d+ findings in pl\.json\.$/m);
  assert.equal(partial.code, 1);
  assert.equal((await run("pl.json", POLISH, "--partial")).code, 0);
  assert.equal((await run("pl.json", { ...POLISH, bages: {} }, "--partial")).code, 1);
  assert.match((await run("no.json", "{")).said, /^✗ `no\.json` is no JSON/);
});

test("docs/languages.md: its example runs, and its catalogue is one", async () => {
  const document = readFileSync(join(root, "docs/languages.md"), "utf8");
  const [, example] = /```js\n([^]*?)```/.exec(document);
  const files = { "stale-drafts": "esm/index.js", "stale-drafts/texts": "esm/texts.js", "stale-drafts/texts/de": "texts/de.js" };
  const code = example.replace(/from "([^"]+)"/g, (_, name) => `from "${new URL(files[name], dist)}"`).replace(/^ago\(/m, "const since = ago(");
  const said = await import(`data:text/javascript,${encodeURIComponent(`${code}\nexport { badge, error, since };`)}`);
  for (const text of [said.badge, said.error, said.since]) assert.ok(example.includes(`"${text}"`), text);
  const [, catalogue] = /```json\n([^]*?)```/.exec(document);
  assert.deepEqual(findings(JSON.parse(catalogue)).filter(({ missing }) => !missing), []);
});
