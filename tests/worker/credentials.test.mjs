// Who may call: named tokens, Cloud Scheduler's and Access' tokens by keys from a server on loopback, and every attack
// on them that is known.

import assert from "node:assert/strict";
import { createHash, createHmac, createSign, generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CLEANUP_TOKEN, HOUR, JWT_SECRET, MINUTE, NOW, start } from "./harness.mjs";

const AUDIENCE = "https://drafts.test/api/generate/cleanup-stale";
const EMAIL = "sweeper@project.iam.gserviceaccount.com";
const tokens = { ops: randomBytes(32).toString("base64url"), viewer: randomBytes(32).toString("base64url"), next: randomBytes(32).toString("base64url") };
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 });
const other = generateKeyPairSync("rsa", { modulusLength: 2_048 });
const weak = generateKeyPairSync("rsa", { modulusLength: 1_024 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const jwk = ({ publicKey }, kid, alg) => ({ ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" });

/** The key server: what it publishes, how it answers, and how often it was asked. */
const keys = { published: [jwk(rsa, "one", "RS256"), jwk(weak, "weak", "RS256")], status: 200, asked: 0, delays: [] };
let server;
let world;
let users;
let config;

before(async () => {
  server = createServer(async ({ url }, response) => {
    keys.asked += 1;
    await sleep(keys.delays.shift() ?? 0);
    response.writeHead(keys.status, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ keys: url === "/ec" ? [jwk(ec, "curve", "ES256")] : keys.published }));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${server.address().port}`;
  config = {
    api_tokens: [
      { name: "ops", sha256: sha256(tokens.ops), scopes: ["read", "sweep"] },
      { name: "viewer", sha256: sha256(tokens.viewer), scopes: ["read"] },
      { name: "next", sha256: sha256(tokens.next), scopes: ["sweep"] },
    ],
    issuers: [
      { name: "scheduler", issuer: "https://accounts.google.com", audience: AUDIENCE, jwks_url: `${url}/rsa`, algorithm: "RS256", emails: [EMAIL], scopes: ["sweep"] },
      { name: "curves", issuer: "https://curves.test", audience: AUDIENCE, jwks_url: `${url}/ec`, algorithm: "ES256", anyone: true, scopes: ["read"] },
    ],
  };
  world = await start({ config });
  users = await start({ config: { auth: { algorithm: "RS256", jwks_url: `${url}/rsa`, issuer: "https://app.test", audience: "drafts", cookie: "session" } } });
  await world.grant("ada", 1_000);
  await world.create({ id: "stale" });
});
after(async () => {
  server?.closeAllConnections();
  server?.close();
  await world?.stop();
  await users?.stop();
});

const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const claims = { iss: "https://accounts.google.com", aud: AUDIENCE, exp: NOW / 1_000 + 600, iat: NOW / 1_000, sub: "117", email: EMAIL, email_verified: true };

/** A signed token; `header` and `body` change what a good one has. */
function sign(body = {}, header = {}, key = rsa) {
  const signed = `${part({ alg: "RS256", typ: "JWT", kid: "one", ...header })}.${part({ ...claims, ...body })}`;
  return `${signed}.${createSign("SHA256").update(signed).sign({ key: key.privateKey, dsaEncoding: "ieee-p1363" }, "base64url")}`;
}

const post = (credential, headers = {}) => world.fetch("/api/generate/cleanup-stale?dry_run=true", { method: "POST", headers: { ...(credential && { Authorization: `Bearer ${credential}` }), ...headers } });
const get = (credential) => world.fetch("/api/sweeps", { headers: { Authorization: `Bearer ${credential}` } });

/** The audit's name for whoever sweeps with this credential. */
async function actor(credential, headers = {}) {
  const response = await world.fetch("/api/generate/cleanup-stale?kind=none", { method: "POST", headers: { Authorization: `Bearer ${credential}`, ...headers } });
  assert.equal(response.status, 200, await response.clone().text());
  return (await world.one("SELECT actor FROM stale_drafts_sweeps WHERE id = ?", (await response.json()).sweep_id)).actor;
}

const refused = async (response) => {
  assert.deepEqual([response.status, await response.json()], [401, { error: "Unauthorized" }]);
};

test("named tokens open what their scopes allow, and the audit names them", async () => {
  assert.equal(await actor(tokens.ops), "ops");
  assert.equal(await actor(tokens.next), "next");
  assert.equal((await get(tokens.ops)).status, 200);
  assert.equal((await get(tokens.viewer)).status, 200);
  const forbidden = await post(tokens.viewer);
  assert.deepEqual([forbidden.status, await forbidden.json()], [403, { error: "`viewer` lacks the scope `sweep`", code: "forbidden" }]);
  assert.deepEqual([(await get(tokens.next)).status, await (await get(tokens.next)).json()], [403, { error: "`next` lacks the scope `read`", code: "forbidden" }]);
  assert.equal(await actor(CLEANUP_TOKEN), "CLEANUP_TOKEN");
  for (const wrong of ["", "x", tokens.ops.slice(1), `${tokens.ops}x`, sha256(tokens.ops), JWT_SECRET]) await refused(await post(wrong));
});

test("Cloud Scheduler's token opens the endpoint, by the keys that Google publishes", async () => {
  assert.equal(await actor(sign()), `scheduler:${EMAIL}`);
  assert.equal(await actor(sign({ aud: ["https://else.test", AUDIENCE] })), `scheduler:${EMAIL}`);
  const forbidden = await get(sign());
  assert.deepEqual([forbidden.status, await forbidden.json()], [403, { error: `\`scheduler:${EMAIL}\` lacks the scope \`read\``, code: "forbidden" }]);
});

test("an issuer may sign with elliptic curves", async () => {
  const token = (key, header) => sign({ iss: "https://curves.test" }, { alg: "ES256", kid: "curve", ...header }, key);
  assert.equal((await get(token(ec))).status, 200);
  await refused(await get(token(generateKeyPairSync("ec", { namedCurve: "P-256" }))));
  await refused(await get(sign({ iss: "https://curves.test" })));
});

const publicPem = rsa.publicKey.export({ type: "spki", format: "pem" });
const hs256 = (secret) => {
  const signed = `${part({ alg: "HS256", typ: "JWT", kid: "one" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
};
const ATTACKS = {
  "no signature, alg none": () => [`${part({ alg: "none" })}.${part(claims)}.`, "the token's algorithm is not the configured one"],
  "alg None": () => [`${part({ alg: "None" })}.${part(claims)}.x`, "the token is malformed"],
  "HS256 with the public key as its secret": () => [hs256(publicPem), "the token's algorithm is not the configured one"],
  "HS256 with the users' secret": () => [hs256(JWT_SECRET), "the token's algorithm is not the configured one"],
  "another algorithm of the same key": () => [sign({}, { alg: "RS512" }), "the token's algorithm is not the configured one"],
  "signed with another key": () => [sign({}, {}, other), "the token's signature is wrong"],
  "signed with a key that is too short": () => [sign({}, { kid: "weak" }, weak), "the issuer's keys do not have the token's `kid`"],
  "a key of its own in the header": () => [sign({}, { kid: "one", jwk: jwk(other, "one") }, other), "the token's signature is wrong"],
  "a wrong audience": () => [sign({ aud: "https://else.test" }), "the token's `aud` does not hold the configured one"],
  "no audience": () => [sign({ aud: undefined }), "the token's `aud` does not hold the configured one"],
  "another issuer": () => [sign({ iss: "https://evil.test" }), "the bearer token matches no configured one"],
  expired: () => [sign({ exp: NOW / 1_000 - 61 }), "the token has expired or has no `exp`"],
  "without an end": () => [sign({ exp: undefined }), "the token has expired or has no `exp`"],
  "not yet valid": () => [sign({ nbf: NOW / 1_000 + 61 }), "the token is not valid yet"],
  "an unverified email": () => [sign({ email_verified: false }), "the token's email is not verified"],
  "an email that only says that it is verified": () => [sign({ email_verified: "true" }), "the token's email is not verified"],
  "another email": () => [sign({ email: "eve@project.iam.gserviceaccount.com" }), "neither the token's email nor its `sub` is a configured one"],
  "no email": () => [sign({ email: undefined }), "neither the token's email nor its `sub` is a configured one"],
  "a list of emails": () => [sign({ email: [EMAIL] }), "the bearer token matches no configured one"],
  truncated: () => [sign().slice(0, -22), "the token's signature is wrong"],
  "without its signature": () => [sign().split(".").slice(0, 2).join("."), "the token is malformed"],
  "a body that was changed": () => [sign().replace(/\.[^.]+\./, `.${part({ ...claims, sub: "1" })}.`), "the token's signature is wrong"],
  "a header that must be understood": () => [sign({}, { crit: ["exp"] }), "the token is malformed"],
  huge: () => [sign({ padding: "x".repeat(9_000) }), "the bearer token matches no configured one"],
  "no JSON": () => [`${part("{")}.${part("{")}.${part("x")}`, "the bearer token matches no configured one"],
  "another word than Bearer": () => ["", "no bearer token"],
};
/** Where the log stands: at the line of a request that is made for it. */
let marks = 0;
async function place() {
  marks += 1;
  await world.fetch(`/api/creations/mark${marks}`);
  const [line] = await world.logged(new RegExp(`/api/creations/mark${marks}"`));
  return world.logs.indexOf(line);
}

for (const [name, attack] of Object.entries(ATTACKS)) {
  test(`refused, and nothing done: ${name}`, async () => {
    const [credential, reason] = attack();
    const before = await place();
    const swept = await world.fetch("/api/generate/cleanup-stale", { method: "POST", headers: { Authorization: name.startsWith("another word") ? `Basic ${tokens.ops}` : `Bearer ${credential}` } });
    await refused(swept);
    assert.equal(await world.status("stale"), "pending");
    const lines = world.logs.slice(before + 1, await place()).filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    assert.equal(lines.length, 1, JSON.stringify(lines));
    assert.ok(lines[0].reason.endsWith(reason), `${lines[0].reason} is not: ${reason}`);
    assert.ok(credential.length < 9 || !JSON.stringify(lines).includes(credential.slice(-8)), "nothing of the token is in the log");
  });
}

test("an unknown key asks for the keys again at most once a minute, and new keys are found", async () => {
  const fresh = sign({}, { kid: "two" }, other);
  await world.order({ now: NOW + 2 * MINUTE });
  const asked = keys.asked;
  for (let i = 0; i < 5; i += 1) await refused(await post(fresh));
  assert.equal(keys.asked, asked + 1);
  keys.published.push(jwk(other, "two", "RS256"));
  await refused(await post(fresh));
  await world.order({ now: NOW + 3 * MINUTE });
  assert.equal((await post(fresh)).status, 200);
  assert.equal((await post(sign())).status, 200);
  assert.equal(keys.asked, asked + 2);
  await world.order({ now: NOW });
});

/** A Worker of its own, with keys that are not yet known, and a call with a token. */
async function fresh() {
  const own = await start({ config });
  const call = (header, key) => own.fetch("/api/generate/cleanup-stale?dry_run=true", { method: "POST", headers: { Authorization: `Bearer ${sign({}, header, key)}` } });
  return { own, statuses: async (count, ...token) => (await Promise.all(Array.from({ length: count }, () => call(...token)))).map(({ status }) => status) };
}

test("who comes while a key set is fetched waits for it, with a new key or with the first one", async () => {
  const { own, statuses } = await fresh();
  const asked = keys.asked;
  keys.delays = [1_500];
  assert.deepEqual(await statuses(6), Array(6).fill(200));
  assert.equal(keys.asked, asked + 1);
  const rotated = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  keys.published.push(jwk(rotated, "rotated", "RS256"));
  await own.order({ now: NOW + 2 * MINUTE });
  keys.delays = [1_500];
  const [new_, known] = await Promise.all([statuses(6, { kid: "rotated" }, rotated), statuses(3)]);
  assert.deepEqual([new_, known], [Array(6).fill(200), Array(3).fill(200)]);
  assert.equal(keys.asked, asked + 2);
  // Nor does an unknown one let anybody in, or ask again.
  await own.order({ now: NOW + 4 * MINUTE });
  keys.delays = [300];
  assert.deepEqual(await statuses(6, { kid: "never" }), Array(6).fill(401));
  assert.deepEqual(await statuses(6, { kid: "never" }), Array(6).fill(401));
  assert.equal(keys.asked, asked + 3);
  keys.published.pop();
  await own.stop();
});

test("a key set that can't be fetched once keeps nobody out for longer than the short pause", async () => {
  const { own, statuses } = await fresh();
  const asked = keys.asked;
  keys.status = 503;
  keys.delays = [300];
  assert.deepEqual(await statuses(6), Array(6).fill(401), "those who waited see that it failed");
  keys.status = 200;
  assert.deepEqual(await statuses(2), [401, 401]);
  assert.equal(keys.asked, asked + 1);
  await own.order({ now: NOW + 10_000 });
  assert.deepEqual(await statuses(6), Array(6).fill(200));
  assert.equal(keys.asked, asked + 2);
  await own.stop();
});

test("without keys nobody comes in; with old ones those who could before still can, for a day", async () => {
  const later = (ms) => sign({ exp: (NOW + ms) / 1_000 + 600 });
  keys.status = 500;
  await world.order({ now: NOW + 5 * HOUR });
  assert.equal((await post(later(5 * HOUR))).status, 200);
  await world.order({ now: NOW + 30 * HOUR });
  await refused(await post(later(30 * HOUR)));
  keys.status = 200;
  await world.order({ now: NOW + 31 * HOUR });
  assert.equal((await post(later(31 * HOUR))).status, 200);
  await world.order({ now: NOW });
});

test("Access' assertion opens it, and only in its own header", async () => {
  const access = await start({ config: { issuers: [{ name: "access", preset: "cloudflare-access", team: "acme", audience: "tag", scopes: ["read"] }] } });
  // Its keys can't be had here, which is no reason to let anybody in.
  const token = sign({ iss: "https://acme.cloudflareaccess.com", aud: "tag" });
  const ask = (headers) => access.fetch("/api/sweeps", { headers });
  await refused(await ask({ Authorization: `Bearer ${token}` }));
  await access.logged(/matches no configured one/);
  await refused(await ask({ "Cf-Access-Jwt-Assertion": `${token.slice(0, -10)}` }));
  await access.logged(/access: /);
  await access.stop();
});

test("two issuers of one `iss` have callers and scopes of their own", async () => {
  const url = `http://127.0.0.1:${server.address().port}/rsa`;
  const google = (name, email, scopes) => ({ name, issuer: claims.iss, audience: AUDIENCE, jwks_url: url, algorithm: "RS256", emails: [email], scopes });
  const own = await start({ config: { issuers: [google("scheduler", EMAIL, ["sweep"]), google("monitor", "monitor@project.test", ["read"])] } });
  const ask = async (email) => (await own.fetch("/api/sweeps", { headers: { Authorization: `Bearer ${sign({ email })}` } })).status;
  assert.deepEqual([await ask(EMAIL), await ask("monitor@project.test"), await ask("eve@project.test")], [403, 200, 401]);
  await own.stop();
});

test("behind Access, the dashboard's forms hang on who was let in, and on no cookie that somebody else has set", async () => {
  const outbound = async (request) => {
    assert.equal(request.url, "https://acme.cloudflareaccess.com/cdn-cgi/access/certs");
    return Response.json({ keys: keys.published });
  };
  const config = { issuers: [{ name: "access", preset: "cloudflare-access", team: "acme", audience: "tag", scopes: ["read", "sweep"] }] };
  const own = await start({ config, outbound });
  const assertion = sign({ iss: "https://acme.cloudflareaccess.com", aud: "tag" });
  const form = (fields) => ({ method: "POST", body: new URLSearchParams(fields).toString() });
  const type = { "Content-Type": "application/x-www-form-urlencoded" };
  const ask = (path, init, headers) => own.fetch(`/dashboard${path}`, { ...init, headers: { ...type, "Cf-Access-Jwt-Assertion": assertion, ...headers } });

  const page = await ask("");
  assert.equal(page.status, 200);
  const [, csrf] = (await page.text()).match(/name="csrf" value="([0-9a-f]{32})"/);
  // Whoever plants a cookie knows it, and so could make the token of a form that hangs on it.
  const planted = "a-cookie-of-another-subdomain";
  const tokenOf = (credential) => createHmac("sha256", credential).update("stale-drafts csrf").digest("hex").slice(0, 32);
  assert.equal(csrf, tokenOf(assertion), "it is forged as it is made");
  const forged = tokenOf(planted);
  const cookie = { Cookie: `operator=${planted}` };
  assert.equal((await ask("/pause", form({ csrf: forged }), cookie)).status, 403);
  assert.deepEqual(await own.all("SELECT name FROM stale_drafts_controls"), []);
  const signedIn = await ask("/sign-in", form({ token: planted }));
  assert.deepEqual([signedIn.status, signedIn.headers.get("Set-Cookie")], [401, null]);
  assert.equal((await ask("/pause", form({ csrf }), cookie)).status, 303);
  assert.deepEqual(await own.all("SELECT name, actor FROM stale_drafts_controls"), [{ name: "paused", actor: `access:${EMAIL}` }]);
  await own.stop();
});

test("the users' tokens may be signed by an issuer with published keys", async () => {
  await users.grant("ada", 100);
  await users.create({ id: "hers" });
  const user = { iss: "https://app.test", aud: "drafts", sub: "ada", email: undefined, email_verified: undefined };
  const ask = (token, path = "/api/drafts") => users.fetch(path, { headers: { Cookie: `session=${token}` } });
  const answer = await (await ask(sign(user))).json();
  assert.deepEqual([answer.user_id, answer.drafts[0].status, answer.balance], ["ada", "failed", 100]);
  for (const wrong of [{ iss: "https://accounts.google.com" }, { aud: AUDIENCE }, { sub: undefined }, { sub: "" }, { exp: 0 }]) await refused(await ask(sign({ ...user, ...wrong })));
  await refused(await ask(sign(user, {}, weak)));
  await refused(await ask(hs256(JWT_SECRET)));
  await users.cron();
  assert.equal((await users.fetch("/readyz")).status, 200, "no JWT_SECRET is needed");
});

test("the same request twice does no harm", async () => {
  await world.create({ id: "twice", tokens: 5 });
  const send = () => world.fetch("/api/generate/cleanup-stale", { method: "POST", headers: { Authorization: `Bearer ${sign()}` } });
  const answers = await Promise.all([send(), send()]);
  const marked = (await Promise.all(answers.map((answer) => answer.json()))).reduce((sum, { marked_as_failed }) => sum + marked_as_failed, 0);
  assert.equal(marked, 2, "both stale creations, once each");
  assert.deepEqual(await world.wrongBalances(), []);
});

test("tokens beyond what one variable may hold have variables of their own, as a list or as a secret's text", async () => {
  const named = (count, name) => Array.from({ length: count }, (_, n) => ({ name: `${name}${n}`, sha256: sha256(`n0t-Used-Anywhere-Else-${name}${n}`), scopes: ["read"] }));
  const bindings = { STALE_DRAFTS_API_TOKENS: named(40, "more"), STALE_DRAFTS_API_TOKENS_2: JSON.stringify(named(40, "most")) };
  const own = await start({ config: { api_tokens: named(30, "first") }, bindings });
  const ask = async (name) => (await own.fetch("/api/sweeps", { headers: { Authorization: `Bearer n0t-Used-Anywhere-Else-${name}` } })).status;
  assert.deepEqual([await ask("first0"), await ask("first29"), await ask("more0"), await ask("more39"), await ask("most39")], [200, 200, 200, 200, 200]);
  assert.deepEqual([await ask("more40"), await ask("most40")], [401, 401]);
  await own.stop();
  const refused = async (options, expected) => {
    const wrong = await start(options);
    const { checks } = await (await wrong.fetch("/readyz")).json();
    assert.match(checks.configuration, expected);
    assert.equal((await wrong.fetch("/api/sweeps", { headers: { Authorization: `Bearer ${CLEANUP_TOKEN}` } })).status, 503);
    await wrong.stop();
  };
  await refused({ config: { api_tokens: named(60, "first") } }, /^`STALE_DRAFTS` has \d+ bytes as JSON, and Cloudflare takes 5120 of one variable: put `api_tokens` into `STALE_DRAFTS_API_TOKENS`/);
  await refused({ bindings: { STALE_DRAFTS_API_TOKENS: named(60, "more") } }, /^`STALE_DRAFTS_API_TOKENS` has \d+ bytes/);
  await refused({ bindings: { STALE_DRAFTS_API_TOKENS_2: "n0t-Used-Anywhere-Else" } }, /^`STALE_DRAFTS_API_TOKENS_2` is not valid: expected a list$/);
  await refused({ bindings: { STALE_DRAFTS_API_TOKENS: `[{"name": "a", "name": "b"}]` } }, /^`STALE_DRAFTS_API_TOKENS` is not valid: expected a list$/);
  await refused({ config: { api_tokens: named(1, "a") }, bindings: { STALE_DRAFTS_API_TOKENS: named(1, "a") } }, /^`STALE_DRAFTS_API_TOKENS\[0\]\.name` is `a0` a second time/);
});

test("a secret under two names opens nothing, and neither does one that no header can hold", async () => {
  const ask = async (bindings, credential, config) => {
    const own = await start({ bindings, config });
    await own.create({ id: "stale", tokens: 0 });
    const { status } = await own.cleanup("", credential);
    const { checks } = await (await own.fetch("/readyz")).json();
    assert.equal(await own.status("stale"), status === 200 ? "failed" : "pending");
    await own.stop();
    return [status, checks.secrets];
  };
  const shared = "n0t-Used-Anywhere-Else-Shared-77e0c";
  for (const names of [["JWT_SECRET", "CLEANUP_TOKEN", "REPORT_TOKEN"], ["CLEANUP_TOKEN", "REPORT_TOKEN_NEXT"], ["CLEANUP_TOKEN", "CLEANUP_TOKEN_NEXT"], ["WEBHOOK_SECRET", "CLEANUP_TOKEN"]]) {
    const [status, secrets] = await ask(Object.fromEntries(names.map((name) => [name, shared])), shared);
    assert.equal(status, 401);
    const [, one, other] = secrets.match(/^secret `(\w+)` is also in `(\w+)`: give each its own$/);
    assert.ok(names.includes(one) && names.includes(other) && one !== other, secrets);
  }
  for (const spaced of [`${shared}\n`, ` ${shared}`, `${shared}\r\n`, `\t${shared}`, `\ufeff${shared}`, `${shared}\u00a0`]) {
    const [status, secrets] = await ask({ CLEANUP_TOKEN: spaced }, shared);
    assert.deepEqual([status, secrets.replace(/:.*/, "")], [401, "secret `CLEANUP_TOKEN` is surrounded by white space"]);
  }
  const config = { api_tokens: [{ name: "ops", sha256: sha256(shared), scopes: ["read"] }] };
  const [, secrets] = await ask({ REPORT_TOKEN: shared }, CLEANUP_TOKEN, config);
  assert.equal(secrets, "secret `REPORT_TOKEN` is also in `api_tokens`: give each its own");
});
