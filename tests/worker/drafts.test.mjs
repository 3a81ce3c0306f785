// The drafts list, as page and as JSON: who sees what, swept first, and shown by the verdict.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { HOUR, MINUTE, NOW, WRITE, start, token } from "./harness.mjs";

let world;
beforeEach(async () => {
  world = await start({ config: { page_size: 3, auth: { cookie: "session", issuer: "app", audience: "drafts" } } });
  await world.grant("ada", 1_000);
  await world.grant("bo", 1_000);
});
afterEach(() => world.stop());

const claims = (sub) => ({ sub, iss: "app", aud: "drafts" });
const get = (path, user, options) => world.fetch(path, { headers: { Authorization: `Bearer ${token(claims(user), options)}` } });

test("opening the list sweeps the caller's creations and nobody else's", async () => {
  await world.create({ id: "mine", created_at: NOW - 65_520_000 }, { id: "theirs", user_id: "bo" });
  const view = await (await get("/api/drafts", "ada")).json();
  assert.deepEqual(view, {
    now: NOW, user_id: "ada", balance: 1_000, next_cursor: null, marked_as_failed: 1, swept: true, policy: {}, archived: null,
    drafts: [{
      id: "mine", kind: "image", prompt: "a fox", status: "failed", stored_status: "failed", verdict: "settled",
      badge: "❌ Failed", badge_code: "failed", error: "Generation timeout: Task stuck in pending status for 18.2 hours",
      error_code: "generation_timeout", error_params: { status: "pending", count: 18.2, unit: "hour", attempts: 1 }, attempt: 1, tokens: 10, refunded_tokens: 10, created_at: NOW - 65_520_000,
      queued_at: null, started_at: null, heartbeat_at: null, extended_until: null, finished_at: NOW, deadline: null, max_age_ms: null, age_ms: 65_520_000,
      progress: null, result_url: null, late_at: null, restored_at: null, deleted_at: null, can_retry: true, can_cancel: false,
    }],
  });
  assert.equal(await world.status("mine"), "failed");
  assert.equal(await world.status("theirs"), "pending");
  const sweep = await world.one("SELECT source, actor, failed FROM stale_drafts_sweeps");
  assert.deepEqual({ ...sweep }, { source: "page", actor: "ada", failed: 1 });
  assert.deepEqual(await world.wrongBalances(), []);
});

test("a page load that finds nothing stale writes nothing", async () => {
  await world.create({ id: "fresh", created_at: NOW });
  // What watches has looked in this minute.
  await world.cron();
  await world.cost();
  const page = await get("/drafts", "ada");
  assert.equal(page.status, 200);
  assert.equal((await world.cost()).rows_written, 0);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_sweeps")).n, 1);
});

test("while sweeping is paused, what is due is not said to be swept", async () => {
  await world.all("INSERT INTO stale_drafts_controls (name, since, actor, detail) VALUES ('paused', ?, 'anna', 'by an operator')", NOW);
  const swept = async (path) => (await (await get(path, "ada")).json()).swept;
  await world.create({ id: "fresh", created_at: NOW });
  assert.equal(await swept("/api/drafts"), true);
  await world.create({ id: "stale" });
  for (const path of ["/api/drafts", "/api/balance", "/api/ledger"]) assert.equal(await swept(path), false, path);
  const { marked_as_failed, drafts } = await (await get("/api/drafts", "ada")).json();
  assert.deepEqual([marked_as_failed, drafts.map(({ id, status, stored_status }) => [id, status, stored_status])], [0, [["fresh", "pending", "pending"], ["stale", "failed", "pending"]]]);
  assert.match(await (await get("/drafts", "ada")).text(), /Refunds are delayed: your balance will be corrected\./);
});

test("a refund that the database rejects is not said to be done, now and while it is set aside", async () => {
  await world.all("CREATE TRIGGER poison BEFORE UPDATE OF status ON stale_drafts_creations WHEN OLD.id = 'stuck' BEGIN SELECT RAISE(ABORT, 'poison'); END");
  const swept = async (path, user = "ada") => (await (await get(path, user)).json()).swept;
  await world.create({ id: "stuck" });
  for (const path of ["/api/drafts", "/api/balance", "/api/ledger"]) {
    await world.all("DELETE FROM stale_drafts_rejected");
    assert.equal(await swept(path), false, path);
    // It is set aside now, so the next sweep does not meet it: the list does.
    assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_rejected")).n, 1);
    assert.equal(await swept("/api/drafts"), false, path);
  }
  const page = await (await get("/drafts", "ada")).text();
  assert.match(page, /Refunds are delayed: your balance will be corrected\./);
  assert.match(page, /Refund of 10 tokens on its way/);
  // Of nobody else it is said.
  await world.create({ id: "due", user_id: "bo" });
  assert.equal(await swept("/api/drafts", "bo"), true);
});

test("of more than one sweep fails at once, what is left is not said to be swept", async () => {
  const own = await start({ config: { rows_per_sweep: 2 } });
  try {
    await own.grant("ada", 100);
    await own.create(...["a", "b", "c"].map((id) => ({ id })));
    const swept = async (path) => (await (await own.as("ada", path)).json()).swept;
    assert.deepEqual([await swept("/api/balance"), await swept("/api/balance")], [false, true]);
  } finally {
    await own.stop();
  }
});

test("what is shown is the verdict, even if the write failed", async () => {
  await world.create({ id: "stale" });
  for (const when of ["failBefore", "failAfter"]) {
    await world.order({ [when]: WRITE });
    const view = await (await get("/api/drafts", "ada")).json();
    assert.equal(view.swept, false);
    assert.equal(view.drafts[0].badge, "❌ Failed");
    assert.equal(view.drafts[0].status, "failed");
    assert.equal(view.drafts[0].error, "Generation timeout: Task stuck in pending status for 2.0 hours");
    const stored = when === "failAfter" ? "failed" : "pending";
    assert.equal(view.drafts[0].stored_status, stored);
    assert.equal(view.balance, stored === "failed" ? 1_000 : 990);
  }
});

test("a database that does not answer gives a page that says so", async () => {
  await world.order({ failBefore: /AS page/ });
  await world.create({ id: "stale" });
  const page = await get("/drafts", "ada");
  assert.equal(page.status, 503);
  assert.match(await page.text(), /can&#39;t be loaded|can't be loaded/);
});

test("the newest come first, page by page, and garbage times last", async () => {
  await world.create(
    ...Array.from({ length: 5 }, (_, n) => ({ id: `c${n}`, status: "draft", created_at: NOW - n * MINUTE })),
    { id: "same-a", status: "draft", created_at: NOW - 10 * MINUTE },
    { id: "same-b", status: "draft", created_at: NOW - 10 * MINUTE },
    { id: "garbage", status: "draft", created_at: "x" },
    { id: "nothing", status: "draft", created_at: null },
  );
  const seen = [];
  let cursor = null;
  do {
    const view = await (await get(`/api/drafts${cursor ? `?cursor=${cursor}` : ""}`, "ada")).json();
    seen.push(...view.drafts.map(({ id }) => id));
    assert.ok(view.drafts.length <= 3);
    cursor = view.next_cursor;
  } while (cursor);
  assert.deepEqual(seen, ["c0", "c1", "c2", "c3", "c4", "same-b", "same-a", "nothing", "garbage"]);
  const all = await (await get("/api/drafts?limit=100", "ada")).json();
  assert.equal(all.drafts.length, 9);
});

test("the page shows badge, prompt, kind, age, error and refund, and prompts only as text", async () => {
  const prompt = `<script>alert(1)</script> <img src=x onerror=alert(2)> "&'`;
  await world.create(
    { id: "stale", created_at: NOW - 65_520_000, prompt },
    { id: "waiting", created_at: NOW - 12 * MINUTE, kind: "<b>video</b>", tokens: 1 },
    { id: "unclear", created_at: "x" },
  );
  const page = await get("/drafts", "ada");
  assert.equal(page.headers.get("Content-Security-Policy").includes("default-src 'none'"), true);
  assert.equal(page.headers.get("Cache-Control"), "private, no-store");
  const html = await page.text();
  assert.match(html, /Failed<\/span>/);
  assert.match(html, /Generation timeout: Task stuck in pending status for 18\.2 hours/);
  assert.match(html, /18\.2 hours ago/);
  assert.match(html, /10 tokens refunded/);
  assert.match(html, /12 minutes ago/);
  assert.match(html, /1 token</);
  assert.match(html, /Needs attention/);
  assert.match(html, /<code>created_at<\/code> is not a time/);
  assert.ok(html.includes("&lt;script&gt;alert(1)&lt;/script&gt; &lt;img src=x onerror=alert(2)&gt; &quot;&amp;'"));
  assert.ok(!html.includes("<script>alert") && !html.includes("<img") && !html.includes("<b>"));
});

test("nobody sees anything without a valid token", async () => {
  await world.create({ id: "mine", prompt: "a secret wish" });
  const { sub, iss, aud } = claims("ada");
  const refused = {
    "no token": {},
    "not a token": { Authorization: "Bearer nonsense" },
    "another scheme": { Authorization: `Basic ${token(claims("ada"))}` },
    "alg none": { Authorization: `Bearer ${token(claims("ada"), { header: { alg: "none" } })}` },
    "another secret": { Authorization: `Bearer ${token(claims("ada"), { secret: "x".repeat(32) })}` },
    expired: { Authorization: `Bearer ${token({ ...claims("ada"), exp: NOW / 1_000 - 61 })}` },
    "never expires": { Authorization: `Bearer ${token({ ...claims("ada"), exp: undefined })}` },
    "not yet valid": { Authorization: `Bearer ${token({ ...claims("ada"), nbf: NOW / 1_000 + 61 })}` },
    "another issuer": { Authorization: `Bearer ${token({ sub, aud, iss: "other" })}` },
    "another audience": { Authorization: `Bearer ${token({ sub, iss, aud: ["other"] })}` },
    "no subject": { Authorization: `Bearer ${token({ iss, aud })}` },
    "another cookie": { Cookie: `other=${token(claims("ada"))}` },
    "a bad header beside a good cookie": { Authorization: "Bearer x", Cookie: `session=${token(claims("ada"))}` },
  };
  for (const [name, headers] of Object.entries(refused)) {
    const json = await world.fetch("/api/drafts", { headers });
    assert.equal(json.status, 401, name);
    assert.equal(await json.text(), '{"error":"Unauthorized"}', name);
    const page = await world.fetch("/drafts?user=ada", { headers });
    assert.equal(page.status, 401, name);
    assert.ok(!(await page.text()).includes("wish"), name);
  }
  assert.equal(await world.status("mine"), "pending");
  await world.logged(/"event":"unauthorized"/, 2 * Object.keys(refused).length);
  assert.ok(!world.logs.join().includes("eyJ"), "no token in the log");
});

test("a cookie signs in as well as a header", async () => {
  const response = await world.fetch("/api/drafts", { headers: { Cookie: `a=b; session=${token(claims("bo"))}; c=d` } });
  assert.equal((await response.json()).user_id, "bo");
});

test("another user's drafts are not visible", async () => {
  await world.create({ id: "mine", prompt: "a secret wish" });
  const view = await (await get("/api/drafts", "bo")).json();
  assert.deepEqual(view.drafts, []);
  const everything = await (await get("/api/drafts", "bo")).json();
  const cursor = Buffer.from(`${NOW + HOUR}.zzz`).toString("base64url");
  const paged = await (await get(`/api/drafts?cursor=${cursor}`, "bo")).json();
  assert.deepEqual([everything.drafts, paged.drafts], [[], []]);
  assert.equal((await (await get("/api/drafts?user_id=ada", "bo")).json()).error, "unknown parameter `user_id`: expected `cursor` or `limit`");
  for (const path of ["/drafts", "/drafts?user_id=ada"]) {
    const page = await get(path, "bo");
    assert.equal(page.status, 200);
    assert.ok(!(await page.text()).includes("wish"));
  }
});

test("bad parameters get a message that quotes them; a page says it in its owner's words, without what was sent", async () => {
  const limit = await get("/api/drafts?limit=0", "ada");
  assert.equal(limit.status, 400);
  assert.deepEqual(await limit.json(), { error: "`limit` is `0`: expected a whole number from 1 to 100", code: "invalid_request" });
  const cursor = await get("/drafts?cursor=<b>", "ada");
  assert.equal(cursor.status, 400);
  const page = await cursor.text();
  assert.match(page, /Its address can't be read/);
  assert.doesNotMatch(page, /<b>|&lt;b|next_cursor/);
  const { error } = await (await get("/api/drafts?cursor=<b>", "ada")).json();
  assert.equal(error, "`cursor` is `<b>`: expected the `next_cursor` of the page before");
});

test("unknown paths and wrong methods are named", async () => {
  const missing = await world.fetch("/nothing");
  assert.deepEqual([missing.status, await missing.json()], [404, { error: "there is nothing at `/nothing`", code: "not_found" }]);
  const post = await world.fetch("/drafts", { method: "POST" });
  assert.deepEqual([post.status, post.headers.get("Allow")], [405, "GET,HEAD"]);
  const read = await world.fetch("/api/generate/cleanup-stale");
  assert.deepEqual([read.status, read.headers.get("Allow")], [405, "POST"]);
  const root = await world.fetch("/");
  assert.deepEqual([root.status, root.headers.get("Location")], [303, "/drafts"]);
});

test("the demo's sign-in is there only on this machine and only where it was switched on", async () => {
  assert.equal((await world.fetch("/demo")).status, 404);
  await world.stop();
  world = await start({ bindings: { DEMO_SIGN_IN: "local" } });
  await world.grant("ada", 1_000);
  assert.equal((await world.fetch("/demo")).status, 200);
  const form = { method: "POST", redirect: "manual", body: new URLSearchParams({ user_id: "ada" }) };
  const signedIn = await world.fetch("/demo", form);
  const cookie = signedIn.headers.get("Set-Cookie");
  assert.match(cookie, /^session=[^;]+; Path=\/; HttpOnly; SameSite=Lax; Max-Age=86400$/);
  assert.equal((await world.fetch("/drafts", { headers: { Cookie: cookie.split(";")[0] } })).status, 200);
  const stranger = await world.fetch("/demo", { ...form, body: new URLSearchParams({ user_id: "root" }) });
  assert.equal(stranger.status, 400);
  const deployed = await world.fetchFrom("https://drafts.example.com/demo");
  assert.equal(deployed.status, 404);
});

test("workers that send heartbeats while their owner looks are never shown as anything but processing", async () => {
  const ids = Array.from({ length: 8 }, (_, n) => `c${n}`);
  await world.create(...ids.map((id) => ({ id, status: "processing", created_at: NOW - 9 * HOUR, started_at: NOW - 9 * HOUR })));
  let verdicts = 0;
  const wrong = [];
  for (let ahead = 0; ahead <= MINUTE; ahead += 2_500) {
    // Between the request's `now` and what it reads, by workers whose clocks are ahead; the last one by a minute.
    const sql = ids.map((id, n) => `UPDATE stale_drafts_creations SET heartbeat_at = ${NOW + Math.floor((ahead * (n + 1)) / ids.length)} WHERE id = '${id}'`);
    for (const path of ["/api/drafts?limit=100", "/api/drafts/active"]) {
      await world.order({ sqlBefore: 1, sql });
      const { drafts } = await (await get(path, "ada")).json();
      for (const { id, badge, status } of drafts) {
        verdicts += 1;
        if (status !== "processing" || (badge ?? "⚙️ Processing") !== "⚙️ Processing") wrong.push([path, ahead, id, badge]);
      }
    }
  }
  console.log(`${verdicts} verdicts while 8 workers send heartbeats: ${wrong.length} wrong`);
  assert.ok(verdicts >= 400, `${verdicts}`);
  assert.deepEqual(wrong, []);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'processing'")).n, 8);
});
