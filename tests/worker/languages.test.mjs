// The owners' pages in the caller's language: by `Accept-Language`, of the languages that the configuration names. The API stays English,
// with the code and the parameters of what it says.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Miniflare } from "miniflare";
import { CLEANUP_TOKEN, HOUR, JWT_SECRET, MINUTE, NOW, WRITE, start, statements, token } from "./harness.mjs";

let world;
before(async () => {
  world = await start({ config: { page_size: 20, auth: { cookie: "session" }, languages: ["en", "de", "ja"], policy: { kinds: { film: { cancel: "keep" }, clip: { cancel: "never", max_active: 1 } } } } });
  for (const user of ["ada", "one", "none", "late", "eve", "kim"]) await world.grant(user, 10_000);
});
after(() => world.stop());

const ask = (path, user, language) => world.fetch(path, { headers: { Cookie: `session=${token({ sub: user })}`, ...(language !== undefined && { "Accept-Language": language }) } });

const press = (what, user, fields, language) => world.fetch(`/drafts/${what}`, {
  method: "POST", redirect: "manual", body: new URLSearchParams(fields).toString(),
  headers: { ...(user && { Cookie: `session=${token({ sub: user })}` }), "Accept-Language": language, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded" },
});

/** A page as text: what its elements hold, without tags, and what a person reads of it. */
const words = (html) => html.replace(/<script[^]*?<\/script>/g, "").replace(/<[^>]*>/g, " ").replaceAll("&amp;", "&").replace(/\s+/g, " ").trim();
const page = async (user, language, path = "/drafts") => {
  const response = await ask(path, user, language);
  const html = await response.text();
  return { response, html, said: words(html), lang: /<html lang="([^"]*)"/.exec(html)[1] };
};

test("`Accept-Language` chooses, by its weights; who asks for none gets the first", async () => {
  const cases = { de: "de", "de-AT,de;q=0.9": "de", "fr, ja;q=0.3, de;q=0.2": "ja", "ja;q=0.2, de;q=0.9": "de", "fr": "en", "*": "en", "de;q=0, *;q=0.1": "en", "en;q=0, *": "de", "": "en", ";;;,=": "en" };
  for (const [asked, expected] of Object.entries(cases)) {
    const { response, lang } = await page("ada", asked);
    assert.equal(lang, expected, asked);
    assert.equal(response.headers.get("Content-Language"), expected);
    assert.equal(response.headers.get("Vary"), "Accept-Language");
    assert.equal(response.headers.get("Cache-Control"), "private, no-store");
  }
  assert.equal((await page("ada")).lang, "en");
});

test("a time-out reads in each language by its code and parameters, before the sweep's row and after", async () => {
  await world.create(
    { id: "hours", created_at: NOW - 65_520_000, tokens: 1_200 },
    { id: "processing", kind: "video", status: "processing", created_at: NOW - 3 * HOUR, started_at: NOW - 90 * MINUTE },
    { id: "own", created_at: NOW - MINUTE },
    { id: "ahead", status: "processing", created_at: NOW, started_at: NOW, heartbeat_at: NOW + 2 * HOUR },
    { id: "garbage", status: "pending", created_at: "soon" },
    { id: "done", status: "draft", created_at: NOW - 72 * HOUR, tokens: 0 },
  );
  await world.report("/own/fail", { error_code: "provider_error", error: "The provider is out" });
  for (const round of ["as it is swept", "afterwards"]) {
    const german = (await page("ada", "de")).said;
    for (const text of ["Entwürfe", "Angemeldet als ada", "❌ Fehlgeschlagen", "Zeitüberschreitung: Der Auftrag hat 18,2 Stunden auf seinen Beginn gewartet", "Der Auftrag ist seit 1,5 Stunden ohne Lebenszeichen in Arbeit", "1.200 Tokens erstattet", "The provider is out", "Das letzte Lebenszeichen liegt in der Zukunft", "created_at ist keine Zeitangabe", "vor 3 Tagen", "📝 Entwurf", "Kostenlos", "⚠️ Bitte prüfen"]) {
      assert.ok(german.includes(text), `${round}: ${text}\n${german}`);
    }
    assert.equal(german.includes("2 Entwürfe haben zu lange gebraucht."), round === "as it is swept");
    assert.doesNotMatch(german, /Failed|Generation timeout|tokens|ago|Draft\b|Balance/);
  }
  const japanese = (await page("ada", "ja")).said;
  for (const text of ["下書き一覧", "❌ 失敗", "生成タイムアウト：18.2時間、開始を待ったままでした", "1,200トークン返金済み", "3日前", "The provider is out"]) assert.ok(japanese.includes(text), `${text}\n${japanese}`);
  const english = (await page("ada", "en")).said;
  for (const text of ["Generation timeout: Task stuck in pending status for 18.2 hours", "1,200 tokens refunded", "3 days ago", "is not a time"]) assert.ok(english.includes(text), text);
  // The database is English, whoever looked first.
  assert.equal((await world.one("SELECT error FROM stale_drafts_creations WHERE id = 'hours'")).error, "Generation timeout: Task stuck in pending status for 18.2 hours");
});

test("the API is English in every language, with code and parameters", async () => {
  const { drafts } = await (await ask("/api/drafts", "ada", "de")).json();
  const of = (id) => { const { badge, badge_code, error, error_code, error_params } = drafts.find((draft) => draft.id === id); return [badge, badge_code, error, error_code, error_params]; };
  assert.deepEqual(of("hours"), ["❌ Failed", "failed", "Generation timeout: Task stuck in pending status for 18.2 hours", "generation_timeout", { status: "pending", count: 18.2, unit: "hour", attempts: 1 }]);
  assert.deepEqual(of("processing")[4], { status: "processing", count: 1.5, unit: "hour", attempts: 1 });
  assert.deepEqual(of("own"), ["❌ Failed", "failed", "The provider is out", "provider_error", null]);
  assert.deepEqual(of("garbage").slice(1, 2).concat(of("garbage").slice(3)), ["needs_attention", "time_malformed", { field: "created_at" }]);
  assert.deepEqual(of("done"), ["📝 Draft", "draft", null, null, null]);
});

test("forms for one and for many, and what there is to say of nothing", async () => {
  await world.create({ id: "single", user_id: "one", created_at: NOW - 2 * HOUR, tokens: 1 });
  const first = (await page("one", "de")).said;
  assert.match(first, /1 Entwurf hat zu lange gebraucht\. Seine Tokens sind wieder in Ihrem Guthaben\./);
  assert.match(first, /1 Token erstattet/);
  assert.match((await page("none", "de")).said, /Noch keine Entwürfe\. Was Sie erstellen, erscheint hier\./);
  assert.match((await page("none", "ja")).said, /下書きはまだありません/);
  await world.create({ id: "again", user_id: "late", status: "pending", attempt: 2, created_at: NOW - 2 * HOUR, queued_at: NOW - MINUTE });
  assert.match((await page("late", "de")).said, /Versuch 2/);
  assert.match((await page("late", "ja")).said, /2回目の試行/);
});

test("more time, and what its owner may do, is said in the language", async () => {
  await world.create(
    { id: "waits", user_id: "eve", created_at: NOW, tokens: 1_030 },
    { id: "film", user_id: "eve", kind: "film", status: "processing", created_at: NOW, started_at: NOW, extended_until: NOW + 90 * MINUTE },
    { id: "over", user_id: "eve", created_at: NOW - HOUR, tokens: 1_030 },
    { id: "free", user_id: "eve", created_at: NOW - HOUR, tokens: 0 },
  );
  for (const id of ["over", "free"]) assert.equal((await press("cancel", "eve", { id, attempt: 1 }, "de")).status, 303);
  const said = {
    de: ["Wofür Ihre Tokens verwendet wurden", "Abbrechen", "Ohne Erstattung abbrechen", "Für 1.030 Tokens erneut versuchen", "Erneut versuchen", "Es dauert länger als sonst und hat noch Zeit bis 14.11.2023, 23:43 UTC.", "Vor der Fertigstellung abgebrochen"],
    ja: ["トークンの利用履歴", "キャンセル", "返金なしでキャンセル", "1,030トークンでもう一度試す", "もう一度試す", "通常より時間がかかっています。2023/11/14 23:43 UTCまで処理を続けます。", "完了前にキャンセルされました"],
    en: ["Where your tokens went", "Cancel", "Cancel without a refund", "Try again for 1,030 tokens", "Try again", "It takes longer than usual: it has time until 2023-11-14 23:43 UTC.", "Cancelled before it was finished"],
  };
  for (const [language, texts] of Object.entries(said)) {
    const { html } = await page("eve", language);
    for (const text of texts) assert.ok(html.includes(`>${text}<`), `${text}\n${words(html)}`);
  }
  assert.doesNotMatch((await page("eve", "de")).said, /Cancel|again|Where|longer/);
});

test("what a result or a failure has used of its charge is said in the language, and of no other draft", async () => {
  await world.grant("pat", 2_000);
  await world.create(...[["part", 30], ["lost", 1_030], ["whole", 30], ["nothing", 30]].map(([id, tokens]) => ({ id, user_id: "pat", created_at: NOW, tokens })));
  const over = async (id, how, used) => world.report(`/${id}/${how}`, { fence: (await world.report(`/${id}/start`, { worker: "w" })).fence, ...used, ...(how === "fail" ? { error_code: "x", error: "It broke" } : { result_url: "https://r.example/1" }) });
  for (const [id, how, used] of [["part", "complete", { tokens_used: 22 }], ["lost", "fail", { tokens_used: 1 }], ["whole", "complete", {}], ["nothing", "fail", {}]]) assert.equal((await over(id, how, used)).http, 200);
  for (const [language, texts] of Object.entries({
    de: ["Von 30 berechneten Tokens wurden 22 verbraucht: Der Rest ist wieder in Ihrem Guthaben.", "Von 1.030 berechneten Tokens wurde 1 verbraucht: Der Rest ist wieder in Ihrem Guthaben."],
    ja: ["課金された30トークンのうち22トークンを使用しました。残りは残高に戻りました。", "課金された1,030トークンのうち1トークンを使用しました。残りは残高に戻りました。"],
    en: ["It used 22 tokens of the 30 that it was charged: the rest is back in your balance.", "It used 1 token of the 1,030 that it was charged: the rest is back in your balance."],
  })) {
    const notes = [...(await page("pat", language)).html.matchAll(/<p class="note">([^<]*)</g)].map(([, note]) => note);
    assert.deepEqual(notes.sort(), texts.sort());
  }
});

test("a button that can do nothing says why in the language, by the code of the answer", async () => {
  await world.create({ id: "moved-on", user_id: "kim", status: "draft", created_at: NOW }, { id: "dear", user_id: "kim", created_at: NOW, tokens: 6_000 });
  assert.equal((await press("cancel", "kim", { id: "dear", attempt: 1 }, "de")).status, 303);
  await world.create({ id: "clip", user_id: "kim", kind: "clip", created_at: NOW });
  assert.equal((await press("cancel", "kim", { id: "clip", attempt: 1 }, "de")).status, 303);
  await world.create({ id: "other-clip", user_id: "kim", kind: "clip", status: "processing", created_at: NOW, started_at: NOW });
  await world.create({ id: "spent", user_id: "kim", status: "draft", created_at: NOW, tokens: 9_000 });
  const cases = [
    ["cancel", { id: "moved-on", attempt: 1 }, 409, "Der Stand ist inzwischen ein anderer: Es wurde nichts geändert.", "その間に状態が変わったため、何も変更されませんでした。"],
    ["retry", { id: "dear", attempt: 2 }, 409, "Der Stand ist inzwischen ein anderer: Es wurde nichts geändert.", "その間に状態が変わったため、何も変更されませんでした。"],
    ["retry", { id: "dear", attempt: 1 }, 402, "Ihr Guthaben reicht dafür nicht: Es wurde nichts berechnet.", "残高が足りないため、課金されませんでした。"],
    ["retry", { id: "clip", attempt: 1 }, 429, "Es sind so viele Ihrer Entwürfe in Arbeit, wie es gleichzeitig sein dürfen: Versuchen Sie es erneut, wenn einer davon beendet ist.", "同時に生成できる件数に達しています。いずれかが終わってからもう一度お試しください。"],
    ["cancel", { id: "other-clip", attempt: 1 }, 409, "Die Verarbeitung hat begonnen und kann nicht mehr abgebrochen werden.", "処理が始まっているため、キャンセルできません。"],
    ["retry", { id: "nobody's", attempt: 1 }, 404, "Diesen Entwurf gibt es nicht.", "この下書きはありません。"],
    ["retry", { id: "dear" }, 400, "Die Seite ist vielleicht veraltet: Laden Sie sie neu, und versuchen Sie es noch einmal.", "ページが古くなっている可能性があります。再読み込みして、もう一度お試しください。"],
  ];
  for (const [what, fields, status, german, japanese] of cases) {
    for (const [language, title, text, back] of [["de", "Es wurde nichts geändert", german, "Zurück zu den Entwürfen"], ["ja", "何も変更されませんでした", japanese, "下書き一覧に戻る"]]) {
      const answer = await press(what, "kim", fields, language);
      const said = words(await answer.text());
      assert.deepEqual([answer.status, answer.headers.get("Content-Language"), answer.headers.get("Vary")], [status, language, "Accept-Language"]);
      assert.equal(said, `${title} ${title} ${text} ${back}`);
    }
  }
  await world.order({ failBefore: WRITE });
  assert.match(words(await (await press("cancel", "eve", { id: "waits", attempt: 1 }, "de")).text()), /Das geht gerade nicht: Versuchen Sie es in einer Minute erneut\. Zweimal schadet nicht\./);
  await world.order({ failBefore: null });
  // Its session has ended meanwhile.
  const signedOut = await press("cancel", undefined, { id: "waits", attempt: 1 }, "de");
  assert.equal(signedOut.status, 401);
  assert.match(words(await signedOut.text()), /Melden Sie sich an, um Ihre Entwürfe zu sehen/);
});

test("the tokens are told in the language: amounts, reasons, dates, and what is archived", async () => {
  await world.create({ id: "told", user_id: "ada", created_at: NOW - 65_520_000, tokens: 1 });
  // A failure that was swept and retried, one of the worker's own, a cancellation, and a result that used less.
  await world.cron();
  const retry = async (attempt) => assert.equal((await world.fetch("/api/creations/told/retry", { method: "POST", body: JSON.stringify({ attempt }), headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).status, 200);
  await retry(1);
  const fence = async () => (await world.report("/told/start", { worker: "w" })).fence;
  await world.report("/told/fail", { fence: await fence(), error_code: "provider_error", error: "The provider is out" });
  await retry(2);
  await world.report("/told/cancel", {});
  await retry(3);
  await world.report("/told/complete", { fence: await fence(), result_url: "https://r.example/1", tokens_used: 0 });
  await world.database.batch([
    world.database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('carry:ada:2023-08', 'ada', 'carry', 0, ?)").bind(NOW - 2_000 * HOUR),
    world.database.prepare("INSERT INTO stale_drafts_archived_users (user_id, creations, deleted, tokens, first_created_at, last_created_at) VALUES ('ada', 2, 0, -1040, 1, 2)"),
  ]);
  const german = await page("ada", "de", "/drafts/tokens?limit=100");
  for (const text of ["Tokens Zu den Buchungen springen Tokens Angemeldet als ada Guthaben", "+10.000 Tokens Ihrem Guthaben hinzugefügt ada", "+1 Token Erstattet, weil es fehlgeschlagen ist: Zeitüberschreitung: Der Auftrag hat 18,2 Stunden auf seinen Beginn gewartet", "+1 Token Erstattet, weil es fehlgeschlagen ist: The provider is out", "+1 Token Erstattet, weil es abgebrochen wurde", "+1 Token Erstattet, was nicht verbraucht wurde", "−1 Token Erneut berechnet: Es wurde nach einem Fehlschlag noch einmal versucht", "−1 Token Beim Erstellen berechnet", "image a fox +1 Token Erstattet, was nicht verbraucht wurde", "Insgesamt 0 Tokens", "Summe der früheren Buchungen bis August 2023", "14.11.2023, 22:13 UTC", "2 ältere Entwürfe sind archiviert: zusammen -1.040 Tokens, Erstattungen eingerechnet."]) assert.ok(german.said.includes(text), `${text}\n${german.said}`);
  assert.doesNotMatch(german.said, /tokens|Charged|Refunded|Added|Signed|Balance|earlier/);
  const japanese = (await page("ada", "ja", "/drafts/tokens?limit=100")).said;
  for (const text of ["+10,000トークン 残高に追加 ada", "−1トークン 作成の依頼時に課金", "+1トークン 失敗したため返金：生成タイムアウト：18.2時間、開始を待ったままでした", "合計 0トークン", "2023年8月までの履歴の合計", "2023/11/14 22:13 UTC", "以前の作成2件はアーカイブされています（返金を含めて合計-1,040トークン）。"]) assert.ok(japanese.includes(text), `${text}\n${japanese}`);
  assert.match((await page("ada", "ja", "/drafts/tokens?limit=1")).html, /以前 →/);
  assert.match((await page("new", "de", "/drafts/tokens")).said, /Es gibt noch keine Buchungen\./);
  const english = (await page("ada", "en", "/drafts/tokens?limit=100")).said;
  for (const text of ["+10,000 tokens Added to the balance ada", "−1 token Charged when it was asked for", "In all 0 tokens", "The sum of earlier entries, up to 2023-08", "2023-11-14 22:13 UTC", "2 older creations are archived: -1,040 tokens in all, with their refunds."]) assert.ok(english.includes(text), `${text}\n${english}`);
});

test("who is not signed in, and who asks for a page that is none, is told in the language too", async () => {
  const signedOut = await world.fetch("/drafts", { headers: { "Accept-Language": "de" } });
  assert.equal(signedOut.status, 401);
  assert.equal(signedOut.headers.get("Content-Language"), "de");
  assert.match(words(await signedOut.text()), /Melden Sie sich an, um Ihre Entwürfe zu sehen/);
  const tokens = await world.fetch("/drafts/tokens", { headers: { "Accept-Language": "ja" } });
  assert.deepEqual([tokens.status, tokens.headers.get("Content-Language")], [401, "ja"]);
  assert.match(words(await tokens.text()), /トークンを見るにはログインしてください/);
  const unread = await page("ada", "de", "/drafts/tokens?cursor=%20");
  assert.equal(unread.response.status, 400);
  assert.equal(unread.said, "Diese Seite gibt es nicht Diese Seite gibt es nicht Die Adresse ist nicht lesbar: Vielleicht fehlt ein Teil davon. Zurück zu den Tokens");
  const wrong = await page("ada", "ja", "/drafts?cursor=%20");
  assert.equal(wrong.response.status, 400);
  assert.match(wrong.said, /このページはありません/);
  await world.order({ failBefore: /AS page/ });
  assert.match((await page("ada", "de")).said, /Ihre Entwürfe können gerade nicht geladen werden/);
  await world.order({ failBefore: /places AS/ });
  assert.match((await page("ada", "ja", "/drafts/tokens")).said, /現在、トークンを表示できません/);
});

test("one language needs no `Vary`, and English none of this", async () => {
  for (const [config, lang, asked] of [[{}, "en", "de"], [{ languages: ["de"] }, "de", "en"]]) {
    const other = await start({ config: { auth: { cookie: "session" }, ...config } });
    try {
      const response = await other.fetch("/drafts", { headers: { Cookie: `session=${token({ sub: "ada" })}`, "Accept-Language": asked } });
      const html = await response.text();
      assert.equal(/<html lang="([^"]*)"/.exec(html)[1], lang);
      assert.equal(response.headers.get("Vary"), null);
      assert.equal(html.includes("data-texts"), lang !== "en");
    } finally {
      await other.stop();
    }
  }
});

test("a language without a catalogue is a configuration error that names those that there are", async () => {
  const other = await start({ config: { languages: ["en", "fr"] } });
  try {
    const ready = await (await other.fetch("/readyz")).json();
    assert.ok(JSON.stringify(ready).includes("`languages` names `fr`: expected `en`, `de`, `ja`, or one whose catalogue `staleDrafts({ texts })` is given"), JSON.stringify(ready));
    assert.equal((await other.fetch("/drafts")).status, 503);
  } finally {
    await other.stop();
  }
});

test("an app that embeds the Worker brings a language of its own, from the right too", async () => {
  const root = join(import.meta.dirname, "../..");
  const read = (path) => readFileSync(join(root, path));
  const arabic = { locale: "ar-EG", dir: "rtl", badges: { failed: "فشل" }, page: { drafts: "المسودات", refunded: { one: "استرداد رمز", two: "استرداد رمزين", few: "استرداد {count} رموز", many: "استرداد {count} رمزا", other: "استرداد {count} رمز" } } };
  const app = `
    import { staleDrafts } from "./index.js";
    const drafts = staleDrafts({ config: { auth: { cookie: "session" } }, texts: [${JSON.stringify(arabic)}] });
    const own = staleDrafts({ basePath: "/own", config: { auth: { cookie: "session" }, languages: ["en"] }, texts: [{ locale: "en", page: { drafts: "Your videos" } }] });
    export default { async fetch(request, env, ctx) {
      if (new URL(request.url).pathname === "/wrong") { try { staleDrafts({ texts: [{ locale: "x" }] }); } catch (error) { return new Response(error.message); } }
      return (await drafts.fetch(request, env, ctx)) ?? (await own.fetch(request, env, ctx)) ?? new Response("");
    } };`;
  const folder = join(root, "pkg/dist/worker");
  const miniflare = new Miniflare({
    cf: false, modulesRoot: folder, compatibilityDate: "2026-07-01", d1Databases: { DB: "languages" }, bindings: { JWT_SECRET },
    modules: [
      { type: "ESModule", path: join(folder, "app.js"), contents: app },
      { type: "ESModule", path: join(folder, "index.js"), contents: read("pkg/dist/worker/index.js").toString() },
      { type: "CompiledWasm", path: join(folder, "index_bg.wasm"), contents: read("pkg/dist/worker/index_bg.wasm") },
    ],
  });
  try {
    const database = await miniflare.getD1Database("DB");
    for (const name of readdirSync(join(root, "migrations")).sort()) {
      for (const sql of statements(read(`migrations/${name}`).toString())) await database.prepare(sql).run();
    }
    const created_at = Date.now() - 2 * HOUR;
    await database.batch([
      database.prepare("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:1', 'ada', 'grant', 100, 1700000000000)"),
      database.prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES ('c1', 'ada', 'image', 'a fox', 'pending', 11, ?)").bind(created_at),
    ]);
    const get = async (path, language) => (await miniflare.dispatchFetch(`http://localhost${path}`, { headers: { Cookie: `session=${token({ sub: "ada", exp: Math.floor(Date.now() / 1_000) + 600 })}`, "Accept-Language": language } })).text();
    const html = await get("/stale-drafts/drafts", "ar");
    assert.match(html, /<html lang="ar-EG" dir="rtl">/);
    assert.match(words(html), /المسودات/);
    assert.match(words(html), /❌ فشل/);
    assert.match(words(html), /استرداد ١١ رمزا/);
    // What it lacks is English.
    assert.match(words(html), /Generation timeout: Task stuck in pending status for 2\.0 hours/);
    assert.match(await get("/stale-drafts/drafts", "fr"), /<html lang="en">/);
    assert.match(words(await get("/own/drafts", "en")), /Your videos/);
    assert.match(await get("/wrong", ""), /^Invalid texts: `locale` is `x`: expected catalogues with the tag of a language/);
  } finally {
    await miniflare.dispose();
  }
});
