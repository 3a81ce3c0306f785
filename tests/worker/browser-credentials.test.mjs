// What a page of another site can make a browser do: every route that changes something, attacked with each credential that
// a browser adds by itself, and what still has to work.

import assert from "node:assert/strict";
import { createHash, createHmac, createSign, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { DOCUMENT } from "./openapi.mjs";
import { CLEANUP_TOKEN, HOUR, NOW, WORKER_TOKEN, start, token } from "./harness.mjs";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 });
const published = [{ ...rsa.publicKey.export({ format: "jwk" }), kid: "one", alg: "RS256", use: "sig" }];
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** What Cloudflare Access writes about somebody. */
function assertion(claims) {
  const body = { iss: "https://acme.cloudflareaccess.com", aud: ["tag"], exp: NOW / 1_000 + 600, type: "app", ...claims };
  const signed = `${part({ alg: "RS256", kid: "one" })}.${part(body)}`;
  return `${signed}.${createSign("SHA256").update(signed).sign(rsa.privateKey, "base64url")}`;
}
const person = assertion({ email: "ops@acme.test", sub: "117" });
const machine = assertion({ common_name: "e367.access", sub: "" });

const OWN = "http://localhost";
const APP = "https://app.example";
let world;
before(async () => {
  const config = {
    issuers: [{ name: "access", preset: "cloudflare-access", team: "acme", audience: "tag", scopes: ["read", "sweep", "report"] }],
    allowed_origins: [APP],
    webhook_url: "https://app.test/hook",
  };
  const outbound = async ({ url }) => (url.endsWith("/certs") ? Response.json({ keys: published }) : new Response(null, { status: 500 }));
  world = await start({ config, outbound, bindings: { DEMO_SIGN_IN: "local", WEBHOOK_SECRET: "n0t-Used-Anywhere-Else-Webhook-5c1d2" } });
  await world.grant("ada", 1_000);
  await world.create({ id: "stale" }, { id: "draft", status: "draft" }, { id: "working", status: "processing", started_at: NOW - 2 * HOUR });
  await world.all("INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, creation_id, body) VALUES ('gone', 'dead', 0, 2, 0, 'stale', '{}')");
});
after(() => world?.stop());

/** Every route that changes something: as the router has them, so that a new one is attacked too. */
const source = readFileSync(new URL("../../src/worker/routes/mod.rs", import.meta.url), "utf8");
const UNSAFE = [...source.matchAll(/\.route\(\s*"([^"]+)",\s*([^;]*?)\)\s*(?=\.route|\.fallback|\.layer)/g)].flatMap(([, path, handlers]) =>
  [...handlers.matchAll(/\b(post|put|patch|delete)\(/g)].map(([, method]) => [method.toUpperCase(), path.replace("{id}", path.startsWith("/api/drafts") ? "draft" : "working")]),
);

test("the routes are found", () => {
  const described = Object.entries(DOCUMENT.paths).flatMap(([path, operations]) => ["post", "put", "patch", "delete"].filter((method) => operations[method]).map((method) => `${method.toUpperCase()} ${path}`));
  const found = UNSAFE.map(([method, path]) => `${method} ${path.replace(/\b(draft|working)(?=$|\/)/, "{id}")}`);
  for (const operation of described) assert.ok(found.includes(operation), operation);
  for (const operation of ["POST /dashboard/apply", "POST /dashboard/pause", "POST /dashboard/sign-in", "POST /demo"]) assert.ok(found.includes(operation), operation);
});

const everything = async () => {
  const tables = ["creations", "ledger", "balances", "sweeps", "controls", "events", "audit"];
  return JSON.stringify(await Promise.all(tables.map((table) => world.all(`SELECT * FROM stale_drafts_${table}`))));
};

/** What each page of another site may say of itself. */
const PAGES = {
  "another site": { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" },
  "another host of the same site": { "Sec-Fetch-Site": "same-site", Origin: "http://evil.localhost" },
  "another site, in an older browser": { Origin: "https://evil.example" },
  "another port": { Origin: "http://localhost:8080" },
  "the same host without encryption, or with it": { Origin: "https://localhost" },
  "a sandboxed frame": { Origin: "null" },
  "nobody's page": { "Sec-Fetch-Site": "none" },
  "another site, with a header that it can't send": { "Sec-Fetch-Site": "cross-site", "X-Requested-With": "fetch" },
  "a listed origin": { "Sec-Fetch-Site": "cross-site", Origin: APP },
};
/** What a browser adds by itself. */
const AMBIENT = () => ({
  "Access' assertion": { "Cf-Access-Jwt-Assertion": person },
  "a service token's assertion": { "Cf-Access-Jwt-Assertion": machine },
  "the session's cookie": { Cookie: `session=${token({ sub: "ada" })}` },
  "the dashboard's cookie": { Cookie: `operator=${CLEANUP_TOKEN}` },
  "both, and a password for the site": { "Cf-Access-Jwt-Assertion": person, Cookie: `session=${token({ sub: "ada" })}; operator=${CLEANUP_TOKEN}`, Authorization: `Basic ${Buffer.from(`a:${CLEANUP_TOKEN}`).toString("base64")}` },
});
const FORM = { "text/plain": "", "application/x-www-form-urlencoded": "token=x&user_id=ada", "multipart/form-data; boundary=x": "--x--" };

for (const [page, from] of Object.entries(PAGES)) {
  test(`no request that changes something is taken from ${page}`, async () => {
    const before = await everything();
    for (const [method, path] of UNSAFE) {
      const query = path.endsWith("cleanup-stale") ? "?user_id=ada&max_age_hours=0.001" : "";
      for (const [credential, headers] of Object.entries(AMBIENT())) {
        for (const [type, body] of Object.entries(FORM)) {
          const response = await world.fetch(path + query, { method, body, headers: { ...from, ...headers, "Content-Type": type } });
          assert.deepEqual([response.status, await response.text()], [401, '{"error":"Unauthorized"}'], `${method} ${path}, ${credential}, ${type}`);
          assert.equal(response.headers.get("Set-Cookie"), null);
        }
      }
    }
    assert.equal(await everything(), before);
    await world.logged(/"reason":"a page of another site has sent it"/);
  });
}

test("where nothing says which page has sent it, a person's session does not count, and the log says what would", async () => {
  const before = await everything();
  for (const [method, path] of UNSAFE.filter(([, path]) => path.startsWith("/api/"))) {
    for (const [credential, headers] of Object.entries(AMBIENT()).filter(([credential]) => !credential.startsWith("a service"))) {
      const response = await world.fetch(path, { method, headers });
      assert.deepEqual([response.status, await response.text()], [401, '{"error":"Unauthorized"}'], `${method} ${path}, ${credential}`);
    }
  }
  assert.equal(await everything(), before);
  await world.logged(/"reason":"access: another site's page may have sent it: expected `Sec-Fetch-Site: same-origin` or `X-Requested-With`"/);
});

const sweep = (headers, query = "?kind=none") => world.fetch(`/api/generate/cleanup-stale${query}`, { method: "POST", headers });

test("who is not a page of another site gets in", async () => {
  const actor = async (headers) => {
    const response = await sweep(headers);
    assert.equal(response.status, 200, JSON.stringify(headers));
    return (await world.one("SELECT actor FROM stale_drafts_sweeps WHERE id = ?", (await response.json()).sweep_id)).actor;
  };
  const vouched = { "Cf-Access-Jwt-Assertion": person };
  for (const own of [{ "Sec-Fetch-Site": "same-origin", Origin: OWN }, { "Sec-Fetch-Site": "same-origin" }, { Origin: OWN }, { "X-Requested-With": "curl" }]) {
    assert.equal(await actor({ ...vouched, ...own }), "access:ops@acme.test");
  }
  // No browser has a service token.
  assert.equal(await actor({ "Cf-Access-Jwt-Assertion": machine }), "access:e367.access");
  // Nor does it send a bearer token by itself, wherever the page is from.
  for (const from of [{}, ...Object.values(PAGES)]) {
    assert.equal(await actor({ ...from, ...vouched, Authorization: `Bearer ${CLEANUP_TOKEN}` }), "CLEANUP_TOKEN");
  }
});

test("a bearer token that opens nothing does not open the door for what the browser adds", async () => {
  for (const from of [{}, ...Object.values(PAGES)]) {
    const response = await sweep({ ...from, "Cf-Access-Jwt-Assertion": person, Authorization: "Bearer nonsense" });
    assert.equal(response.status, 401, JSON.stringify(from));
  }
});

test("what only reads is not kept from anybody's links", async () => {
  for (const from of Object.values(PAGES)) {
    const headers = { ...from, "Cf-Access-Jwt-Assertion": person };
    assert.equal((await world.fetch("/dashboard", { headers })).status, 200);
    assert.equal((await world.fetch("/api/sweeps", { headers })).status, 200);
  }
});

test("the dashboard's forms are taken from its own pages, and not without their own token", async () => {
  const csrf = (credential) => createHmac("sha256", credential).update("stale-drafts csrf").digest("hex").slice(0, 32);
  const post = (path, fields, headers) => world.fetch(`/dashboard/${path}`, { method: "POST", body: new URLSearchParams(fields).toString(), headers: { "Content-Type": "application/x-www-form-urlencoded", ...headers } });
  const own = { "Sec-Fetch-Site": "same-origin", Origin: OWN };
  for (const [credential, headers] of [[person, { "Cf-Access-Jwt-Assertion": person }], [CLEANUP_TOKEN, { Cookie: `operator=${CLEANUP_TOKEN}` }]]) {
    // Known to nobody else, the form's token stands for the page.
    for (const from of [own, {}]) {
      assert.equal((await post("pause", { csrf: csrf("other") }, { ...headers, ...from })).status, 403);
      assert.equal((await post("pause", {}, { ...headers, ...from })).status, 403);
      assert.equal((await post("pause", { csrf: csrf(credential) }, { ...headers, ...from })).status, 303);
      assert.equal((await post("resume", { csrf: csrf(credential) }, { ...headers, ...from })).status, 303);
    }
    for (const [page, from] of Object.entries(PAGES)) assert.equal((await post("pause", { csrf: csrf(credential) }, { ...headers, ...from })).status, 401, page);
  }
  const signedIn = await post("sign-in", { token: CLEANUP_TOKEN }, own);
  assert.equal(signedIn.status, 303);
  assert.match(signedIn.headers.get("Set-Cookie"), /^operator=.+; HttpOnly; SameSite=Strict/);
  assert.equal((await post("sign-out", {}, own)).status, 303);
});

test("a token that a cookie can't hold is refused, and nothing of it becomes an attribute", async () => {
  for (const wrong of ["n0t-Used-Anywhere-Else-Cookie; Domain=evil.example", "n0t-Used-Anywhere-Else-Çookie-30a1f", 'n0t-Used-Anywhere-"Else-Cookie-30a1f']) {
    const config = { api_tokens: [{ name: "ops", sha256: createHash("sha256").update(wrong).digest("hex"), scopes: ["read"] }] };
    const own = await start({ config });
    const response = await own.fetch("/dashboard/sign-in", { method: "POST", body: new URLSearchParams({ token: wrong }).toString() });
    assert.deepEqual([response.status, response.headers.get("Set-Cookie")], [400, null]);
    assert.match(await response.text(), /a cookie can(&#39;|')t hold/);
    await own.stop();
  }
});

const ask = (path, origin, method = "GET", headers = {}) =>
  world.fetch(path, { method: "OPTIONS", headers: { Origin: origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization", "Sec-Fetch-Site": "cross-site", ...headers } });

test("a page of a listed origin may call the users' routes with its user's token", async () => {
  for (const [path, method] of [["/api/drafts", "GET"], ["/api/drafts?limit=5", "GET"], ["/api/drafts/active", "GET"], ["/api/drafts/draft", "DELETE"], ["/api/drafts/draft/publish", "POST"]]) {
    const asked = await ask(path, APP, method);
    assert.deepEqual([asked.status, asked.headers.get("Access-Control-Allow-Origin"), asked.headers.get("Vary")], [204, APP, "Origin"], path);
    assert.ok(asked.headers.get("Access-Control-Allow-Methods").split(", ").includes(method));
    assert.equal(asked.headers.get("Access-Control-Allow-Headers"), "Authorization, Content-Type, If-None-Match");
    assert.equal(asked.headers.get("Access-Control-Allow-Credentials"), null);
  }
  const headers = { Origin: APP, "Sec-Fetch-Site": "cross-site" };
  const list = await world.as("ada", "/api/drafts/active", { headers: {} });
  assert.equal(list.headers.get("Access-Control-Allow-Origin"), null);
  assert.equal(list.headers.get("Vary"), "Origin", "a cache tells the askers apart");
  const Authorization = `Bearer ${token({ sub: "ada" })}`;
  const shared = await world.fetch("/api/drafts/active", { headers: { ...headers, Authorization } });
  assert.deepEqual([shared.status, shared.headers.get("Access-Control-Allow-Origin"), shared.headers.get("Access-Control-Expose-Headers")], [200, APP, "ETag, Retry-After"]);
  const same = await world.fetch("/api/drafts/active", { headers: { ...headers, Authorization, "If-None-Match": shared.headers.get("ETag") } });
  assert.deepEqual([same.status, same.headers.get("Access-Control-Allow-Origin")], [304, APP]);
  const published = await world.fetch("/api/drafts/draft/publish", { method: "POST", headers: { ...headers, Authorization } });
  assert.deepEqual([published.status, published.headers.get("Access-Control-Allow-Origin")], [200, APP]);
  // A refusal can be read as well.
  const refused = await world.fetch("/api/drafts/draft", { method: "DELETE", headers });
  assert.deepEqual([refused.status, refused.headers.get("Access-Control-Allow-Origin")], [401, APP]);
});

test("no other origin and no other route is shared", async () => {
  for (const origin of ["https://evil.example", "https://app.example.evil.example", "https://app.example:8443", "http://app.example", "null", "*", "HTTPS://APP.EXAMPLE"]) {
    const asked = await ask("/api/drafts", origin);
    assert.deepEqual([asked.status, asked.headers.get("Access-Control-Allow-Origin")], [405, null], origin);
    const answer = await world.as("ada", "/api/drafts", { headers: { Origin: origin } });
    assert.equal(answer.headers.get("Access-Control-Allow-Origin"), null, origin);
  }
  for (const path of ["/api/creations", "/api/sweeps", "/api/generate/cleanup-stale", "/dashboard", "/drafts", "/api/draftsmen", "/readyz", "/healthz"]) {
    const asked = await ask(path, APP, "POST");
    assert.ok([404, 405].includes(asked.status), path);
    assert.equal(asked.headers.get("Access-Control-Allow-Origin"), null, path);
    const answer = await world.fetch(path, { headers: { Origin: APP } });
    assert.equal(answer.headers.get("Access-Control-Allow-Origin"), null, path);
  }
});

test("a listed page reads that it asks too often", async () => {
  const own = await start({ config: { allowed_origins: [APP] }, ratelimits: { RATE_LIMITER: { namespace_id: "1", simple: { limit: 1, period: 60 } } } });
  const get = async (path, origin) => {
    const answer = await own.fetch(path, { headers: { Origin: origin, "CF-Connecting-IP": "192.0.2.1" } });
    return [answer.status, answer.headers.get("Access-Control-Allow-Origin"), answer.headers.get("Vary")];
  };
  assert.deepEqual(await get("/api/drafts", APP), [401, APP, "Origin"]);
  assert.deepEqual(await get("/api/drafts", APP), [429, APP, "Origin"]);
  assert.deepEqual(await get("/api/drafts", "https://evil.example"), [429, null, "Origin"]);
  assert.deepEqual(await get("/api/creations", APP), [429, null, null]);
  await own.stop();
});

test("without the setting nothing is shared", async () => {
  const own = await start();
  const asked = await own.fetch("/api/drafts", { method: "OPTIONS", headers: { Origin: APP, "Access-Control-Request-Method": "GET" } });
  assert.deepEqual([asked.status, asked.headers.get("Access-Control-Allow-Origin"), asked.headers.get("Vary")], [405, null, null]);
  assert.equal((await asked.json()).error, "method not allowed: the header `Allow` lists those that are");
  await own.stop();
});

test("an `Authorization` header of another scheme hides no cookie, and stands for no bearer token", async () => {
  const session = token({ sub: "ada" });
  for (const Authorization of ["Basic YTpi", "Digest username=ada", "Bearer", "Bearer ", "bearer", "Negotiate x", `Token ${session}`]) {
    const headers = { Authorization, Cookie: `other=1; session=${session}` };
    assert.equal((await world.fetch("/drafts", { headers })).status, 200, Authorization);
    assert.equal((await world.fetch("/api/drafts", { headers })).status, 200, Authorization);
    assert.equal((await world.fetch("/dashboard", { headers: { Authorization, Cookie: `operator=${CLEANUP_TOKEN}` } })).status, 200, Authorization);
    // An owner's change needs the token in the header itself.
    for (const from of [{}, { "Sec-Fetch-Site": "same-origin" }]) {
      assert.equal((await world.fetch("/api/drafts/draft", { method: "DELETE", headers: { ...headers, ...from } })).status, 401, Authorization);
    }
  }
  const wrong = { Authorization: "Bearer nonsense", Cookie: `session=${session}` };
  assert.equal((await world.fetch("/drafts", { headers: wrong })).status, 401, "a bearer token counts before a cookie, right or wrong");
});

test("who has shown no credential gets no long body read", async () => {
  const long = "x".repeat(16_385);
  const post = async (path, body, headers = {}) => (await world.fetch(path, { method: "POST", body, headers })).status;
  assert.equal(await post("/dashboard/sign-in", `token=${long}`), 413);
  assert.equal(await post("/demo", `user_id=${long}`), 413);
  for (const [method, path] of UNSAFE.filter(([method, path]) => method === "POST" && !/sign-|demo/.test(path))) {
    // The body breaks off: whoever reads it would see that.
    const status = await post(path, "x", { "X-Cut": "1" });
    assert.equal(status, 401, `${method} ${path}`);
  }
  const bearer = (credential) => ({ Authorization: `Bearer ${credential}` });
  assert.equal(await post("/api/creations", " ".repeat(1_000_001), bearer(WORKER_TOKEN)), 413);
  assert.equal(await post("/api/creations/working/heartbeat", " ".repeat(1_000_001), bearer(WORKER_TOKEN)), 413);
  assert.equal(await post("/api/generate/cleanup-stale?dry_run=true", " ".repeat(4_000_000), bearer(CLEANUP_TOKEN)), 200);
});
