// What clients send: texts of every length and script, addresses, keys, tags.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { NOW, WORKER_TOKEN, start, token } from "./harness.mjs";

let world;
beforeEach(async () => {
  world = await start();
  await world.grant("ada", 1_000);
});
afterEach(() => world.stop());

const NEW = { user_id: "ada", kind: "video", prompt: "a fox", tokens: 30 };
const row = (id) => world.one("SELECT * FROM stale_drafts_creations WHERE id = ?", id);
const begun = async () => {
  const { id } = await world.report("", NEW);
  const { fence } = await world.report(`/${id}/start`, { worker: "w1" });
  return { id, fence };
};
const ada = (path, headers) => world.fetch(path, { headers: { Authorization: `Bearer ${token({ sub: "ada" })}`, ...headers } });

test("a result is at an address on the web, and nothing else becomes a link", async () => {
  const { id, fence } = await begun();
  const wrong = [
    "http://", "https:///a", "httpx://cdn.example/a", "javascript:alert(1)", "JAVASCRIPT://cdn.example/%0aalert(1)", "data:text/html,x", "//cdn.example/a",
    "https://x\r\nSet-Cookie: a=b", " https://cdn.example/a", "https://cdn.example/a b", "https://cdn.example/a\u0000", "https://user:secret@cdn.example/a",
    "https://cdn.example\\@elsewhere.example/a", "https://cdn.example:port/", "https://cdn.example:+80/", "https://[:::]/", "https://010.0.0.1/", "https://0x7f000001/", "",
  ];
  for (const result_url of wrong) {
    const { http, error } = await world.report(`/${id}/complete`, { fence, result_url });
    assert.equal(http, 400, result_url);
    assert.match(error, /^`result_url` is `.*`: expected (an address such as |text )/s);
  }
  assert.equal((await world.report(`/${id}/complete`, { fence, result_url: "HTTPS://CDN.example/fox.mp4" })).http, 200);
  const link = async () => (await (await ada("/drafts")).text()).match(/class="result"><a href="([^"]*)"/)?.[1];
  assert.equal(await link(), "HTTPS://CDN.example/fox.mp4");
  assert.equal((await (await ada("/api/drafts")).json()).drafts[0].result_url, "HTTPS://CDN.example/fox.mp4");
  for (const written of ["httpx://cdn.example/a", "javascript:alert(1)", "http://", "https://user@cdn.example/a", "s3://bucket/a"]) {
    await world.one("UPDATE stale_drafts_creations SET result_url = ? WHERE id = ?", written, id);
    assert.equal(await link(), undefined, written);
    const [draft] = (await (await ada("/api/drafts")).json()).drafts;
    assert.deepEqual([draft.id, draft.result_url], [id, null], written);
  }
});

test("a failure is taken whatever is said of it", async () => {
  const cases = [
    ["", "The worker gave no reason."],
    [" \n", "The worker gave no reason."],
    [null, "The worker gave no reason."],
    [undefined, "The worker gave no reason."],
    ["x".repeat(25_000), "x".repeat(20_000)],
    ["狐".repeat(25_000), "狐".repeat(20_000)],
    ["🦊".repeat(25_000), "🦊".repeat(20_000)],
    ["cut \ud83e", "cut \ufffd"],
    ["\udd8a cut", "\ufffd cut"],
    ["a\u0000b", "ab"],
    ["\u0001", "\u0001"],
  ];
  for (const [error, stored] of cases) {
    const { id, fence } = await begun();
    assert.equal((await world.report(`/${id}/fail`, { fence, error_code: "broken", error })).http, 200);
    const { status, error: said } = await row(id);
    assert.deepEqual([status, said], ["failed", stored]);
  }
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a failure is taken whatever its code", async () => {
  const cases = [
    ["", "unknown"],
    [" \n", "unknown"],
    [null, "unknown"],
    [undefined, "unknown"],
    ["\u0000", "unknown"],
    ["狐".repeat(201), "狐".repeat(200)],
    ["x".repeat(25_000), "x".repeat(200)],
    ["a\u0000b", "ab"],
    ["cut \ud83e", "cut \ufffd"],
  ];
  for (const [error_code, stored] of cases) {
    const { id, fence } = await begun();
    // Repeated, it is answered alike.
    for (let time = 0; time < 2; time += 1) assert.equal((await world.report(`/${id}/fail`, { fence, error_code, error: "it broke" })).http, 200);
    const { status, error_code: said } = await row(id);
    assert.deepEqual([status, said], ["failed", stored]);
  }
  // Only this one is the sweep's, however it is written.
  const { id, fence } = await begun();
  for (const error_code of ["generation_timeout", "generation_\u0000timeout"]) {
    const { http, error } = await world.report(`/${id}/fail`, { fence, error_code, error: "it broke" });
    assert.deepEqual([http, error.split(": expected ")[1]], [400, "a code of your own, for this one is the sweep's"]);
  }
  assert.deepEqual(await world.wrongBalances(), []);
});

test("what the app's own database rejects is refused for good, with its reason", async () => {
  const { id, fence } = await begun();
  await world.one("CREATE TRIGGER own_rule AFTER UPDATE OF status ON stale_drafts_creations WHEN NEW.status <> 'processing' BEGIN SELECT RAISE(ABORT, 'closed on Sundays'); END");
  for (const [verb, body] of [["complete", { fence, result_url: "https://cdn.example/a" }], ["fail", { fence, error_code: "broken", error: "it broke" }]]) {
    const { http, code, error } = await world.report(`/${id}/${verb}`, body);
    assert.deepEqual([http, code], [409, "rejected"]);
    assert.match(error, /^the database rejects it, and nothing was changed: `.*closed on Sundays.*`; repeating it is of no use before that is removed$/);
  }
  await world.one("CREATE TRIGGER own_rule_too AFTER INSERT ON stale_drafts_creations BEGIN SELECT RAISE(ABORT, 'closed on Sundays'); END");
  const refused = await world.report("", NEW);
  assert.deepEqual([refused.http, refused.code], [409, "rejected"]);
  assert.equal((await row(id)).status, "processing");
  assert.deepEqual(await world.wrongBalances(), []);
});

test("texts are measured in characters, and names in bytes", async () => {
  const create = (fields) => world.report("", { ...NEW, ...fields });
  for (const prompt of ["狐".repeat(20_000), "🦊".repeat(7_000), "\n\t\u0001"]) {
    const { http, id } = await create({ prompt });
    assert.equal(http, 201);
    assert.equal((await row(id)).prompt, prompt);
  }
  for (const [fields, expected] of [
    [{ prompt: "狐".repeat(20_001) }, "text of 1 to 20000 characters"],
    [{ prompt: "a\u0000b" }, "text without the character U+0000"],
    [{ kind: "é".repeat(101) }, "text of 1 to 200 bytes without control characters"],
    [{ kind: "a\n" }, "text of 1 to 200 bytes without control characters"],
    [{ user_id: "a\u0000" }, "text of 1 to 200 bytes without control characters"],
  ]) {
    const { http, error } = await create(fields);
    assert.deepEqual([http, error.split(": expected ")[1]], [400, expected]);
  }
  assert.equal((await create({ kind: "é".repeat(100) })).http, 201);
  const { id } = await create({});
  assert.equal((await world.report(`/${id}/start`, { worker: "狐".repeat(200) })).http, 200);
});

test("white space around an Idempotency-Key is no part of it, and what is no key is refused", async () => {
  const send = (key) => world.report("", NEW, { "Idempotency-Key": key });
  const { id } = await send("k1");
  for (const key of ["k1 ", "\tk1", " k1\t "]) assert.equal((await send(key)).id, id);
  assert.notEqual((await send("k 1")).id, id);
  const error = "`Idempotency-Key` is not valid: expected 1 to 200 ASCII characters without control characters";
  for (const key of ["k1\u00a0", "clé", "k".repeat(201)]) assert.deepEqual(await send(key), { http: 400, code: "invalid_request", error }, JSON.stringify(key));
  assert.equal((await send("k".repeat(200))).http, 201);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations")).n, 3);
});

test("a page is read whatever texts its creations have", async () => {
  // 8 MB, which is more than D1 has in one string.
  const made = Array.from({ length: 100 }, (_, n) => ({ id: `c${n}`, prompt: "🦊".repeat(20_000), created_at: NOW - n, tokens: 0 }));
  for (let at = 0; at < made.length; at += 20) await world.create(...made.slice(at, at + 20));
  const view = await (await ada("/api/drafts?limit=100")).json();
  assert.deepEqual(view.drafts.map(({ id }) => id), made.map(({ id }) => id));
  assert.equal(view.next_cursor, null);
  assert.equal((await ada("/drafts?limit=100")).status, 200);
  assert.equal((await world.ask("/api/creations?user_id=ada&limit=100")).creations.length, 100);
  assert.equal((await world.ask("/api/creations/c0")).creation.prompt.length, 40_000);
});

test("a page that is open is answered by 304 however it names what it has", async () => {
  await begun();
  const active = async (tag) => (await ada("/api/drafts/active", tag && { "If-None-Match": tag })).status;
  const tag = (await ada("/api/drafts/active")).headers.get("ETag");
  const strong = tag.replace("W/", "");
  for (const known of [tag, strong, "*", `"other", ${tag}`, `W/"other",${strong} , "more"`]) assert.equal(await active(known), 304, known);
  for (const other of ['"other"', strong.replaceAll('"', ""), `w/${strong}`, "", '"*"', strong.slice(0, -2) + '"']) assert.equal(await active(other), 200, other);
});

test("a whole number may be written as a float", async () => {
  const send = async (path, body) => {
    const response = await world.fetch(`/api/creations${path}`, { method: "POST", body, headers: { Authorization: `Bearer ${WORKER_TOKEN}` } });
    return { http: response.status, ...(await response.json()) };
  };
  const { http, id, tokens } = await send("", '{"user_id":"ada","kind":"video","prompt":"a fox","tokens":30.0}');
  assert.deepEqual([http, tokens], [201, 30]);
  const { fence } = await world.report(`/${id}/start`, { worker: "w1" });
  assert.equal((await send(`/${id}/heartbeat`, `{"fence":"${fence}","progress":4.0e1}`)).http, 200);
  assert.equal((await row(id)).progress, 40);
  assert.equal((await send(`/${id}/heartbeat`, `{"fence":"${fence}","progress":40.5}`)).http, 400);
});
