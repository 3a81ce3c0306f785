// stale-drafts/client against the real Worker, and against servers that are busy, away, or something else.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, beforeEach, test } from "node:test";
import { createClient, StaleDraftsError } from "../../pkg/dist/esm/client.js";
import { check } from "../../pkg/dist/esm/index.js";
import { HOUR, NOW, start, token } from "../worker/harness.mjs";

let world;
let address;
let users = 0;
let user;

before(async () => {
  world = await start({ config: { policy: { max_age_hours: 0.5, kinds: { song: { attempts: 2 } } } } });
  address = `http://localhost:${(await world.url()).port}`;
});
after(() => world?.stop());
beforeEach(async () => {
  users += 1;
  user = `user-${users}`;
  await world.grant(user, 1_000);
});

const HALF = HOUR / 2;
const mine = (creation) => world.create({ user_id: user, ...creation });

/** A client of this test's user, and the statuses of its answers. `lack` is whether the network is away. */
function client(options = {}) {
  const answers = [];
  const network = { lack: false };
  const made = createClient({
    baseUrl: address,
    token: () => token({ sub: user }),
    fetch: async (...request) => {
      if (network.lack) throw new TypeError("no network");
      const response = await fetch(...request);
      answers.push(response.status);
      return response;
    },
    ...options,
  });
  return { client: made, answers, network };
}

/** Follows, and gives what `onChange` gets, one after the other. */
function follow(made, options) {
  const stop = new AbortController();
  const seen = [];
  let wake = () => {};
  const again = made.watch((followed) => {
    seen.push(followed);
    wake();
  }, { interval: 20, ...options, signal: stop.signal });
  const next = async (find = () => true) => {
    for (;;) {
      const at = seen.findIndex(find);
      if (at >= 0) return seen.splice(0, at + 1).at(-1);
      await new Promise((done) => (wake = done));
    }
  };
  return { again, next, seen, end: () => stop.abort() };
}

const until = async (condition) => {
  while (!condition()) await new Promise((done) => setTimeout(done, 5));
};

test("a list is the API's, and measures the server's clock", async () => {
  await mine({ id: "list-a", created_at: NOW - 1_000 });
  const { client: made } = client();
  assert.equal(made.clock, undefined);
  const list = await made.list({ limit: 1 });
  assert.deepEqual([list.now, list.user_id, list.balance, list.drafts.map(({ id, badge }) => [id, badge])], [NOW, user, 990, [["list-a", "⏳ Pending"]]]);
  const { now, error } = made.clock;
  assert.equal(typeof now, "function");
  assert.ok(made.clock.now() >= NOW && error >= 0);
  assert.deepEqual(list.policy, { max_age_hours: 0.5, kinds: { song: { attempts: 2 } } });
  await mine({ id: "list-b", created_at: NOW });
  const first = await made.list({ limit: 1 });
  const second = await made.list({ limit: 1, cursor: first.next_cursor });
  assert.deepEqual([first, second].map(({ drafts }) => drafts[0].id), ["list-b", "list-a"]);
});

test("a draft is published, and removed", async () => {
  await mine({ id: "odd/id ?", status: "draft" });
  const { client: made } = client();
  assert.deepEqual(await made.publish("odd/id ?"), { id: "odd/id ?", status: "published", attempt: 1 });
  assert.equal(await world.status("odd/id ?"), "published");
  assert.equal((await made.remove("odd/id ?")).deleted_at, NOW);
  assert.deepEqual((await made.list()).drafts, []);
});

test("a draft is cancelled, and tried again", async () => {
  await mine({ id: "odd/id 2", created_at: NOW });
  const { client: made } = client();
  const [waits] = (await made.list()).drafts;
  assert.deepEqual([waits.can_cancel, waits.can_retry], [true, false]);
  const { refunded_tokens, attempt } = await made.cancel(waits.id, waits.attempt);
  assert.deepEqual([refunded_tokens, attempt, await world.status(waits.id)], [10, 1, "failed"]);
  const [failed] = (await made.list()).drafts;
  assert.deepEqual([failed.error_code, failed.can_cancel, failed.can_retry], ["cancelled", false, true]);
  assert.deepEqual(await made.retry(failed.id, failed.attempt), { id: failed.id, status: "pending", attempt: 2, charged_tokens: 10 });
  assert.equal((await made.cancel(failed.id)).attempt, 2);
});

/** What a promise is rejected with, which has to be an error of the client. */
async function error(promise) {
  const problem = await promise.then(() => assert.fail("it went through"), (problem) => problem);
  assert.ok(problem instanceof StaleDraftsError && problem instanceof Error, problem.stack);
  return problem;
}

test("an error has the API's code, status and message, and what else it says", async () => {
  await mine({ id: "waits" });
  const { client: made } = client();
  const conflict = await error(made.publish("waits"));
  assert.deepEqual([conflict.name, conflict.code, conflict.status, conflict.details.status, conflict.details.next], ["StaleDraftsError", "illegal_transition", 409, "pending", ["processing", "failed"]]);
  const missing = await error(made.remove("not there"));
  assert.deepEqual([missing.code, missing.status, missing.message], ["not_found", 404, "there is no such creation"]);
  const invalid = await error(made.list({ limit: 0 }));
  assert.deepEqual([invalid.code, invalid.status, invalid.message], ["invalid_request", 400, "`limit` is `0`: expected a whole number from 1 to 100"]);
  for (const token of [undefined, null, "", "wrong", async () => "wrong"]) {
    const denied = await error(client({ token }).client.list());
    assert.deepEqual([denied.code, denied.status, denied.message, denied.details], ["unauthorized", 401, "Unauthorized", {}]);
  }
  const { client: away, network } = client();
  network.lack = true;
  const lost = await error(away.list());
  assert.deepEqual([lost.code, lost.status, lost.message, lost.cause.message], ["network_error", 0, `\`${address}/api/drafts\`: no network`, "no network"]);
});

test("what is aborted, and what the app's own `token` throws, is passed on as it is", async () => {
  const stop = AbortSignal.abort(new Error("enough"));
  await assert.rejects(client().client.list({ signal: stop }), /^Error: enough$/);
  const own = new Error("signed out");
  await assert.rejects(client({ token: () => { throw own; } }).client.list(), own);
});

test("what is being generated is told at once and at each change, and asked for no more when nothing is", async () => {
  const made = await world.report("", { user_id: user, kind: "video", prompt: "a fox", tokens: 30 });
  const { client: ours, answers } = client();
  const { next, again, seen, end } = follow(ours);
  const first = await next();
  assert.deepEqual([first.user_id, first.balance, first.drafts.map(({ id, status, stored_status, verdict, badge, error }) => [id, status, stored_status, verdict, badge, error])], [user, 970, [[made.id, "pending", "pending", "fresh", "⏳ Pending", null]]]);
  const { fence } = await world.report(`/${made.id}/start`, { worker: "w1" });
  assert.equal((await next()).drafts[0].badge, "⚙️ Processing");
  await world.report(`/${made.id}/heartbeat`, { fence, progress: 40 });
  const going = (await next()).drafts[0];
  assert.deepEqual([going.progress, going.heartbeat_at, going.deadline], [40, NOW, NOW + HALF]);
  answers.length = 0;
  await until(() => answers.length >= 2);
  assert.ok(answers.every((status) => status === 304), answers.join());
  await world.report(`/${made.id}/complete`, { fence, result_url: "https://cdn.example/fox.mp4" });
  assert.deepEqual((await next()).drafts, []);
  answers.length = 0;
  await new Promise((done) => setTimeout(done, 200));
  assert.deepEqual(answers, [], "nothing is being generated");
  again();
  assert.deepEqual((await next()).drafts, [], "who asks is told, also what was told before");
  await mine({ id: "later", created_at: NOW });
  again();
  assert.deepEqual((await next()).drafts.map(({ id }) => id), ["later"]);
  end();
  answers.length = 0;
  await new Promise((done) => setTimeout(done, 200));
  assert.deepEqual([answers, seen], [[], []], "it has ended");
});

test("asked while it asks already, it asks once more", async () => {
  let open;
  const gate = new Promise((done) => (open = done));
  const { client: ours, answers } = client({ fetch: async (...request) => {
    const response = await fetch(...request);
    answers.push(response.status);
    await gate;
    return response;
  } });
  const { next, again, end } = follow(ours);
  await until(() => answers.length === 1);
  await mine({ id: "came-meanwhile", created_at: NOW });
  again();
  again();
  open();
  assert.deepEqual((await next()).drafts, []);
  assert.deepEqual((await next()).drafts.map(({ id }) => id), ["came-meanwhile"]);
  end();
});

test("a draft flips at its deadline by the server's clock and policy, with the network cut", async () => {
  const ms = 400;
  await mine({ id: "flips", created_at: NOW - HALF + ms });
  await mine({ id: "retries", kind: "song", created_at: NOW - HALF + ms });
  await mine({ id: "stays", created_at: NOW });
  const { client: ours, network } = client();
  const { next, end } = follow(ours, { onError: () => {} });
  assert.deepEqual((await next()).drafts.map(({ verdict }) => verdict), ["fresh", "fresh", "fresh"]);
  network.lack = true;
  const { drafts } = await next(({ drafts }) => drafts.every(({ id, verdict }) => id === "stays" || verdict === "stale"));
  assert.ok(ours.clock.now() > NOW + ms, "not before its deadline");
  const by = Object.fromEntries(drafts.map((draft) => [draft.id, draft]));
  assert.deepEqual(["flips", "retries", "stays"].map((id) => [by[id].badge, by[id].status, by[id].stored_status]), [["❌ Failed", "failed", "pending"], ["🔁 Retrying", "pending", "pending"], ["⏳ Pending", "pending", "pending"]]);
  assert.equal(by.flips.error, "Generation timeout: Task stuck in pending status for 30 minutes");
  end();
});

test("a policy of the caller's comes before the server's", async () => {
  await mine({ id: "strict", created_at: NOW - 120_000 });
  const { next, end } = follow(client().client, { policy: 1 / 60 });
  assert.equal((await next()).drafts[0].verdict, "stale");
  end();
});

test("a list that is there already is told before anything is asked", async () => {
  await mine({ id: "rendered", created_at: NOW - HALF + 300 });
  await mine({ id: "done", status: "draft" });
  const initial = await client().client.list();
  const { client: ours, network, answers } = client();
  network.lack = true;
  const errors = [];
  const { seen, next, end } = follow(ours, { initial, onError: (problem) => errors.push(problem?.code ?? null) });
  assert.deepEqual([seen.length, seen[0].balance, seen[0].drafts.map(({ id, verdict }) => [id, verdict])], [1, 980, [["rendered", "fresh"]]]);
  await next(({ drafts }) => drafts[0]?.verdict === "stale");
  await until(() => errors.includes("network_error"));
  network.lack = false;
  await until(() => errors.at(-1) === null);
  assert.ok(answers.includes(200));
  end();
});

test("what `onChange` could not take comes again", async () => {
  await mine({ id: "twice", created_at: NOW });
  const { client: ours, answers } = client();
  const stop = new AbortController();
  const own = new Error("not rendered");
  const told = [];
  let tries = 0;
  const taken = new Promise((done) => {
    ours.watch(async ({ drafts }) => {
      told.push(drafts.length);
      tries += 1;
      if (tries < 3) throw own;
      done();
    }, { interval: 10, signal: stop.signal, onError: (problem) => told.push(problem) });
  });
  await taken;
  await until(() => told.at(-1) === null);
  stop.abort();
  assert.deepEqual(told, [1, own, 1, own, 1, null]);
  assert.ok(answers.slice(0, 3).every((status) => status === 200), answers.join());
});

/** A server of the test's own. */
async function serve(answer, use) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answer(request, response, requests.length);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    await use(`http://127.0.0.1:${server.address().port}`, requests);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const json = (response, status, body, headers = {}) => response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));

/** Notes how long each timer is to run. */
function timers() {
  const delays = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (callback, delay, ...rest) => (delays.push(delay), setTimeout(callback, delay, ...rest));
  return { delays, restore: () => (globalThis.setTimeout = setTimeout) };
}

test("a busy server is left alone for as long as it says", async () => {
  const { delays, restore } = timers();
  const stop = new AbortController();
  try {
    await serve((request, response) => json(response, 429, { error: "too many", code: "too_many_requests" }, { "Retry-After": "50" }), async (baseUrl, requests) => {
      const failed = new Promise((done) => {
        const again = createClient({ baseUrl }).watch(() => assert.fail("there is no answer"), { signal: stop.signal, interval: 1, onError: (problem) => done([problem, delays.at(-1), again]) });
      });
      const [{ code, retry_after_ms }, delay, again] = await failed;
      assert.deepEqual([code, retry_after_ms], ["too_many_requests", 50_000]);
      assert.ok(delay > 49_000 && delay <= 50_000, `${delay} ms`);
      again();
      await new Promise((done) => setTimeout(done, 50));
      assert.equal(requests.length, 1, "not even when it is told to");
    });
  } finally {
    stop.abort();
    restore();
  }
});

test("a server that is away is asked less often each time", async () => {
  const { delays, restore } = timers();
  const stop = new AbortController();
  const waits = [];
  try {
    await serve((request, response) => json(response, 503, { error: "away", code: "unavailable" }), (baseUrl) => new Promise((done) => {
      createClient({ baseUrl }).watch(() => assert.fail("there is no answer"), { signal: stop.signal, interval: 4, onError: () => waits.push(delays.at(-1)) > 8 && done() });
    }));
  } finally {
    stop.abort();
    restore();
  }
  // Up to a quarter more than twice as long each time, and a hundred intervals at most.
  [8, 16, 32, 64, 128, 256, 400, 400].forEach((ms, at) => assert.ok(waits[at] > ms - 4 && waits[at] <= ms * 1.25, `${waits[at]} ms instead of ${ms}`));
});

test("what is not the API is called so", async () => {
  const answers = [
    (response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html>"),
    (response) => response.writeHead(502).end("bad gateway"),
    (response) => json(response, 404, { error: "the app's own" }),
    (response) => json(response, 200, null),
    (response) => json(response, 200, { hello: "world" }),
  ];
  for (const [at, status] of [200, 502, 404, 200, 200].entries()) {
    await serve((request, response) => answers[at](response), async (baseUrl) => {
      const problem = await error(createClient({ baseUrl: `${baseUrl}/app/` }).list());
      assert.deepEqual([problem.code, problem.status, problem.message], ["unexpected_answer", status, `\`${baseUrl}/app/api/drafts\` is not the API (status ${status}): expected the Worker at \`${baseUrl}/app\``]);
    });
  }
});

test("a policy that is newer than the package fails nothing", async () => {
  const draft = { id: "a", kind: "image", status: "pending", attempt: 1, created_at: NOW - 100 * HOUR, queued_at: null, started_at: null, heartbeat_at: null, progress: null };
  for (const policy of [{ max_age_hours: 1, moon: "full" }, undefined]) {
    await serve((request, response) => json(response, 200, { now: NOW, user_id: "a", balance: 0, drafts: [draft], policy }), async (baseUrl) => {
      const { next, end } = follow(createClient({ baseUrl }));
      assert.deepEqual((await next()).drafts.map(({ verdict }) => verdict), ["fresh"]);
      end();
    });
  }
  assert.equal(check(draft, { now: NOW }).verdict, "stale");
});

test("a token goes with each request, in the header alone", async () => {
  const tokens = ["one", "two"];
  await serve((request, response) => json(response, 404, { error: "none", code: "not_found" }), async (baseUrl, requests) => {
    const made = createClient({ baseUrl: new URL(baseUrl), token: async () => tokens.shift() });
    await error(made.publish("x"));
    await error(made.list({ limit: 5, cursor: "a&b" }));
    await error(made.remove("y"));
    assert.deepEqual(requests.map(({ method, url, headers }) => [method, url, headers.authorization]), [
      ["POST", "/api/drafts/x/publish", "Bearer one"],
      ["GET", "/api/drafts?limit=5&cursor=a%26b", "Bearer two"],
      ["DELETE", "/api/drafts/y", undefined],
    ]);
  });
});

test("the clock that says more is kept", async () => {
  let slow = 300;
  let set = 0;
  const answer = (request, response) => {
    const list = { user_id: "a", balance: 0, drafts: [], policy: {}, now: NOW + performance.now() + set };
    setTimeout(() => json(response, 200, list), slow);
  };
  await serve(answer, async (baseUrl) => {
    const made = createClient({ baseUrl });
    await made.list();
    const first = made.clock;
    slow = 0;
    await made.list();
    const second = made.clock;
    assert.ok(second !== first && second.error < first.error);
    slow = 300;
    await made.list();
    assert.equal(made.clock, second);
    // A server whose clock was set is believed.
    set = -10 * HOUR;
    await made.list();
    assert.ok(made.clock.now() < NOW);
  });
});
