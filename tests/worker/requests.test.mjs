// Requests as strangers send them: whatever comes, the answer is one that was meant.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CLEANUP_TOKEN, NOW, WORKER_TOKEN, start } from "./harness.mjs";

let world;
before(async () => {
  world = await start({ bindings: { DEMO_SIGN_IN: "local" } });
  await world.grant("ada", 1_000);
  await world.create({ id: "stale" }, { id: "draft", status: "draft" });
});
after(() => world?.stop());

const bearer = (credential) => ({ Authorization: `Bearer ${credential}` });

test("every answer says to browsers how far it may be trusted, a page or not", async () => {
  const operator = bearer(CLEANUP_TOKEN);
  const pages = [["/drafts"], ["/drafts?limit=0"], ["/dashboard"], ["/dashboard", operator], ["/dashboard?hours=0", operator], ["/dashboard/creations/draft", operator], ["/dashboard/creations/none", operator], ["/demo"]];
  const others = [["/"], ["/nothing"], ["/api/drafts"], ["/healthz"], ["/readyz"], ["/api/sweeps", operator], ["/metrics", operator], [`/drafts?x=${"x".repeat(5_000)}`]];
  const signedIn = ["bo", "/drafts"];
  const answers = [...(await Promise.all([...pages, ...others].map(async ([path, headers = {}]) => [path, await world.fetch(path, { headers })]))), [signedIn[1], await world.as(...signedIn)]];
  for (const [path, { headers }] of answers) {
    assert.equal(headers.get("X-Content-Type-Options"), "nosniff", path);
    assert.equal(headers.get("Referrer-Policy"), "same-origin", path);
    const policy = headers.get("Content-Security-Policy");
    assert.match(policy, /^default-src 'none';/, path);
    assert.match(policy, /frame-ancestors 'none'$/, path);
    const page = headers.get("Content-Type")?.startsWith("text/html") ?? false;
    assert.equal(page, path !== "/" && (pages.some(([known]) => known === path) || path === "/drafts"), path);
    assert.equal(policy.includes("script-src 'self'"), page, path);
    assert.ok(!/unsafe-inline|unsafe-eval'|\*/.test(policy.replace("'wasm-unsafe-eval'", "")), path);
  }
});

test("a version of HTTP that nobody knows is no reason to fail", async () => {
  for (const httpProtocol of ["HTTP/4", "", "SPDY/3.1", "h2", undefined]) {
    const response = await world.fetch("/healthz", { cf: { httpProtocol } });
    assert.equal(response.status, 200, httpProtocol);
  }
});

test("headers beyond ASCII are read, and come back", async () => {
  const latin = Buffer.from("S\u00e3o Paulo", "utf8").toString("latin1");
  assert.equal((await world.fetch("/healthz", { headers: { "cf-ipcity": latin } })).status, 200);
  assert.equal((await world.fetch("/api/sweeps", { headers: { ...bearer(CLEANUP_TOKEN), "cf-ipcity": latin } })).status, 200);
  assert.equal((await world.fetch("/api/sweeps", { headers: bearer(latin) })).status, 401);
  assert.equal((await world.fetch("/drafts", { headers: { Cookie: `session=${latin}` } })).status, 401);
});

test("a query that can't be read is not an empty one", async () => {
  for (const query of ["user_id=%ff", "user_id=ad%c3", "%ff=1", "user_id=ada&kind=%e7%8b"]) {
    const response = await world.cleanup(`?${query}`);
    assert.deepEqual([response.status, (await response.json()).error], [400, "the query can't be read: expected UTF-8, with `%` before two digits"], query);
    assert.equal((await world.as("bo", `/drafts?cursor=%ff`)).status, 400);
  }
  assert.equal(await world.status("stale"), "pending");
});

test("what is given twice is an error, however it is written", async () => {
  const error = async (response) => [response.status, (await response.json()).error];
  for (const query of ["user_id=ada&user_id=ada", "user_id=ada&user%5Fid=eve", "dry_run=true&dry_run=false", "user_id=a&kind=b&user_id="]) {
    const [status, text] = await error(await world.cleanup(`?${query}`));
    assert.equal(status, 400);
    assert.match(text, /^`(user_id|dry_run)` is given twice: give it once$/);
  }
  for (const [path, body] of [
    ["/api/creations", '{"user_id":"ada","user_id":"eve","kind":"image","prompt":"a","tokens":1}'],
    ["/api/creations", '{"user_id":"ada","kind":"image","prompt":"a","tokens":1,"tok\\u0065ns":2}'],
    ["/api/creations/stale/fail", '{"error_code":"a","error":"b","error":"c"}'],
    ["/api/creations/stale/start", '{"fence":"a","fence":"a"}'],
  ]) {
    const [status, text] = await error(await world.fetch(path, { method: "POST", body, headers: bearer(WORKER_TOKEN) }));
    assert.deepEqual([status, /is given twice/.test(text)], [400, true], text);
  }
  const plan = `{"creations":[{"id":"stale","id":"other","stuck_status":"pending","attempt":1,"last_sign_of_life":${NOW},"action":"fail"}]}`;
  for (const body of [plan, '{"creations":[],"creations":[]}']) {
    const [status, text] = await error(await world.cleanup("", CLEANUP_TOKEN, body));
    assert.deepEqual([status, /is given twice/.test(text)], [400, true], text);
  }
  const replay = await world.fetch("/api/events/replay", { method: "POST", body: '{"ids":[],"ids":null}', headers: bearer(CLEANUP_TOKEN) });
  assert.equal(replay.status, 400);
  const form = await world.fetch("/dashboard/sign-in", { method: "POST", body: `token=x&token=${CLEANUP_TOKEN}` });
  assert.equal(form.status, 400);
  assert.equal(await world.status("stale"), "pending");
  assert.deepEqual(await world.all("SELECT id FROM stale_drafts_creations WHERE kind = 'none'"), []);
});

test("a caller is a network of IPv6 or an address of IPv4, however it is written", async () => {
  const own = await start({ ratelimits: { RATE_LIMITER: { namespace_id: "1", simple: { limit: 2, period: 60 } } } });
  const from = async (...addresses) => {
    const statuses = [];
    for (const address of addresses) statuses.push((await own.fetch("/readyz", { headers: { "CF-Connecting-IP": address } })).status === 429);
    return statuses;
  };
  assert.deepEqual(await from("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:0DB8:0001:0002:1:2:3:4"), [false, false, true]);
  assert.deepEqual(await from("2001:db8:1:3::1", "2001:db8:1:3::1", "2001:db8:1:3::2"), [false, false, true], "the next network");
  assert.deepEqual(await from("192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201", "0:0:0:0:0:ffff:192.0.2.1"), [false, false, true, true]);
  assert.deepEqual(await from("::ffff:192.0.2.2", "192.0.2.2", "192.0.2.3"), [false, false, false], "each of IPv4 is one");
  assert.deepEqual(await from("not an address", "not an address", "not an address", "another"), [false, false, true, false]);
  await own.stop();
});
