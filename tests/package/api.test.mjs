// The npm package, built: the shared cases in every flavour, and what it adds to the rules.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { mock, test } from "node:test";
import { runInNewContext } from "node:vm";

const NOW = 1_700_000_000_000;
/** The earliest time that a draft may have. */
const EARLIEST = 1e12;
const HOUR = 3_600_000;
const read = (name) => JSON.parse(readFileSync(new URL(`../cases/${name}.json`, import.meta.url), "utf8"));
const dist = new URL("../../pkg/dist/", import.meta.url);
const require = createRequire(import.meta.url);

const flavours = {
  wasm: await import(new URL("esm/index.js", dist)),
  wasm2js: await import(new URL("js/index.js", dist)),
  "wasm, CommonJS": require(new URL("cjs/index.cjs", dist).pathname),
  "wasm2js, CommonJS": require(new URL("js-cjs/index.cjs", dist).pathname),
};
const { ago, check, checkAll, deadline, nextChange, policy, serverClock, watch } = flavours.wasm;

const time = (value) => (typeof value === "number" ? NOW - value : value);

for (const [name, { check, policy }] of Object.entries(flavours)) {
  test(`verdicts: ${name}`, () => {
    for (const entry of read("verdicts")) {
      const draft = { status: entry.status, kind: entry.kind ?? "image", attempt: entry.attempt, created_at: time(entry.created), queued_at: time(entry.queued), started_at: time(entry.started), heartbeat_at: time(entry.heartbeat), extended_until: time(entry.extended) };
      const result = check(draft, { now: NOW, policy: policy(entry.policy ?? {}) });
      assert.deepEqual([result.verdict, result.badge, result.error], [entry.verdict, entry.badge, entry.error ?? null], entry.name);
      if (entry.reason) assert.equal(result.error_code, entry.reason, entry.name);
      for (const key of ["age_ms", "max_age_ms", "rule"]) if (key in entry) assert.equal(result[key], entry[key], `${entry.name}: ${key}`);
      if ("deadline" in entry) assert.equal(result.deadline, entry.deadline === null ? null : NOW - entry.deadline, entry.name);
      const stale = entry.badge === "🔁 Retrying" ? "pending" : "failed";
      assert.equal(result.status, result.verdict === "stale" ? stale : entry.status, entry.name);
    }
  });

  test(`ages: ${name}`, () => {
    for (const { age_ms, long } of read("ages")) {
      const now = Math.max(age_ms + EARLIEST, NOW);
      // No draft is as old as the range of time.
      if (age_ms === 0 || now > 8.64e15) continue;
      const { error } = check({ status: "pending", created_at: now - age_ms }, { now, policy: 0.0000003 });
      if (age_ms > 1) assert.equal(error, `Generation timeout: Task stuck in pending status for ${long}`);
    }
  });

  test(`policies: ${name}`, () => {
    for (const { policy: settings, error } of read("policies")) {
      if (error === null) policy(settings);
      else assert.throws(() => policy(settings), { name: "RangeError", message: error });
    }
    const expected = "expected hours above 0, such as `1` or `0.5`, or `\"never\"`";
    for (const number of [NaN, Infinity, -Infinity]) assert.throws(() => policy({ pending: number }), { message: `\`pending\` is \`${number}\`: ${expected}` });
  });
}

test("a policy is hours, a preset, never or a policy object, and nothing else", () => {
  const draft = { status: "pending", created_at: NOW - 20 * 60_000 };
  const verdict = (policy) => check(draft, { now: NOW, policy }).verdict;
  assert.deepEqual([undefined, "production", "budget", 1, 0.5, "never"].map(verdict), Array(6).fill("fresh"));
  assert.deepEqual(["development", 0.25, policy({ pending: 0.1 })].map(verdict), Array(3).fill("stale"));
  for (const wrong of ["prod", 0, -1, NaN, Infinity, null, {}, true]) assert.throws(() => verdict(wrong), /`policy` is `.*`: expected hours above 0/);
  // What went wrong once does so again, and harms nobody else.
  assert.throws(() => verdict("prod"), RangeError);
  assert.equal(verdict(0.25), "stale");
});

test("times are epoch ms, Date or RFC 3339 text; all else gives a verdict that says so", () => {
  const verdict = (created_at) => check({ status: "pending", created_at }, { now: NOW });
  const at = NOW - 2 * HOUR;
  for (const good of [at, new Date(at), new Date(at).toISOString(), "2023-11-14T20:13:20Z", "2023-11-14t20:13:20.000z", "2023-11-14 21:13:20+01:00"]) {
    assert.equal(verdict(good).age_ms, 2 * HOUR, String(good));
  }
  for (const bad of [NaN, Infinity, 1.5, -1, "", "soon", new Date(NaN), {}, [], [5], true, -1n, 2n ** 64n, Symbol("x"), () => 1]) {
    assert.equal(verdict(bad).error_code, "time_malformed", String(bad));
  }
  for (const none of [null, undefined]) assert.equal(verdict(none).error_code, "time_missing");
});

test("a date that does not exist, and text that is no instant, is malformed", () => {
  const code = (created_at) => check({ status: "pending", created_at }, { now: NOW }).error_code;
  const good = ["2023-02-28T12:00:00Z", "2020-02-29T12:00:00Z", "2000-02-29T12:00:00Z", "2023-01-31T23:59:59.999999Z", "2023-11-14T00:00:00-00:00", "2023-10-31t00:00:00+23:59", "2023-11-14 20:13:20Z"];
  for (const text of good) assert.notEqual(code(text), "time_malformed", text);
  const days = ["2023-02-29", "2023-02-30", "2023-02-31", "1900-02-29", "2100-02-29", "2023-04-31", "2023-06-31", "2023-09-31", "2023-11-31", "2023-00-10", "2023-13-01", "2023-01-00", "2023-01-32"];
  const times = ["24:00:00Z", "12:60:00Z", "23:59:60Z", "12:00:00+24:00", "12:00:00+25:00", "12:00:00-00:60", "12:00Z", "12:00:00", "12:00:00 Z", "12:00:00+0100", "12:00:00+01", "12:00:00.Z", "12:00:00,5Z", "12:00:00 GMT"];
  const others = ["2023-11-14", "20231114T201320Z", "+002023-11-14T20:13:20Z", " 2023-11-14T20:13:20Z", "2023-11-14T20:13:20Z ", "2023-11-14T20:13:20Z\n", "2023-11-14  20:13:20Z", "2023-11-14_20:13:20Z", "1700000000000", "Tue, 14 Nov 2023 20:13:20 GMT"];
  for (const text of [...days.map((day) => `${day}T12:00:00Z`), ...times.map((time) => `2023-11-14T${time}`), ...others]) assert.equal(code(text), "time_malformed", text);
});

test("a Date of another realm, and a BigInt, are read by what they are", () => {
  const at = NOW - 2 * HOUR;
  const elsewhere = (code) => runInNewContext(code);
  class Later extends Date {}
  for (const created_at of [elsewhere(`new Date(${at})`), structuredClone(new Date(at)), new Later(at), BigInt(at)]) {
    const draft = { status: "processing", attempt: 1n, created_at, started_at: created_at };
    assert.equal(check(draft, { now: NOW }).age_ms, 2 * HOUR, String(created_at));
    assert.equal(check({ status: "pending", created_at: at - HOUR }, { now: created_at }).verdict, "fresh");
  }
  for (const no of [elsewhere("new Date(NaN)"), { getTime: () => at }, { [Symbol.toStringTag]: "Date" }, Object.create(Date.prototype)]) {
    assert.equal(check({ status: "pending", created_at: no }, { now: NOW }).error_code, "time_malformed");
  }
});

const WRONG_NOW = [NaN, Infinity, -Infinity, 0, -1, 1_700_000_000, 999_999_999_999, 8.64e15 + 2, "", "soon", "2023-11-14 22:13:20", "2023-11-14", "2023-02-30T12:00:00Z", "1700000000000", new Date(NaN), {}, [], true, 5n, Symbol("x"), { now: NOW }];
const notNow = (value) => ({ name: "RangeError", message: `\`now\` is \`${String(value)}\`: expected epoch milliseconds (not seconds), a Date, RFC 3339 text with its zone, or a clock` });

for (const [name, api] of Object.entries(flavours)) {
  test(`a wrong \`now\` is one clear error for the call, and never a verdict: ${name}`, () => {
    const draft = { status: "pending", created_at: NOW };
    for (const now of WRONG_NOW) {
      assert.throws(() => api.check(draft, { now }), notNow(now));
      for (const list of [[], [draft]]) {
        assert.throws(() => api.checkAll(list, { now }), notNow(now));
        assert.throws(() => api.nextChange(list, { now }), notNow(now));
        assert.throws(() => api.watch(list, { now }, () => assert.fail("no verdict")), notNow(now));
      }
      assert.throws(() => api.deadline(draft, { now }), notNow(now));
      assert.throws(() => api.serverClock({ now, sent_at: 0, received_at: 1 }), notNow(now));
      assert.throws(() => api.check(draft, { now: { now: () => now, error: 0 } }), notNow(now));
    }
    // Nothing said of the time of the request gives no clock either.
    assert.throws(() => api.serverClock({ now: NOW }), notNow(NaN));
    for (const now of [null, undefined]) {
      const lag = Date.now() - api.serverClock({ now, sent_at: 0, received_at: 1 }).now();
      assert.ok(Math.abs(lag) < 1_000, String(lag));
      assert.equal(api.check({ status: "pending", created_at: Date.now() - 1 }, { now }).verdict, "fresh");
    }
    for (const now of [1e12, 8.64e15, NOW + 0.5, new Date(NOW), "2023-11-14T22:13:20Z", BigInt(NOW), { now: () => NOW }, { now: () => new Date(NOW), error: "5" }]) assert.ok(api.check(draft, { now }).verdict);
  });
}

test("a list may be longer than the arguments of a call", () => {
  const drafts = Array.from({ length: 1_000_000 }, (_, at) => ({ status: "pending", created_at: NOW - at % 1_000 }));
  assert.equal(nextChange(drafts, { now: NOW }), NOW - 999 + HOUR + 1);
  const stop = new AbortController();
  let seen;
  watch(drafts, { now: NOW, signal: stop.signal }, (verdicts) => (seen = verdicts.length));
  stop.abort();
  assert.equal(seen, drafts.length);
});

test("any draft has a verdict", () => {
  const odd = [{}, { status: null }, { status: "constructor" }, { status: "__proto__" }, { status: 0 }, { status: "PENDING" }];
  for (const result of checkAll(odd, { now: NOW })) {
    assert.equal(result.verdict, "unreadable");
    assert.equal(result.error_code, "unknown_status");
  }
});

test("what a failed draft says is passed on", () => {
  const failed = { status: "failed", error: "provider", error_code: "provider_error" };
  const { badge, error, error_code } = check(failed, { now: NOW });
  assert.deepEqual([badge, error, error_code], ["❌ Failed", "provider", "provider_error"]);
});

test("deadlines and the next change", () => {
  const drafts = [
    { status: "pending", created_at: NOW - 10 },
    { status: "pending", created_at: NOW - HOUR },
    { status: "pending", created_at: NOW - HOUR - 1 },
    { status: "draft", created_at: 0 },
  ];
  assert.deepEqual(drafts.map((draft) => deadline(draft, { now: NOW })), [NOW - 10 + HOUR, NOW, NOW - 1, null]);
  assert.equal(nextChange(drafts, { now: NOW }), NOW + 1);
  assert.equal(nextChange([drafts[3]], { now: NOW }), null);
  assert.equal(nextChange([], { now: NOW }), null);
  assert.equal(nextChange([drafts[0]], { now: NOW, policy: "never" }), null);
});

test("within a clock's error a draft is not stale yet", () => {
  const clock = (at, error) => ({ now: () => at, error });
  const draft = { status: "pending", created_at: NOW - HOUR };
  const verdict = (at, error) => check(draft, { now: clock(at, error) }).verdict;
  assert.equal(verdict(NOW + 50, 50), "fresh");
  assert.equal(verdict(NOW + 51, 50), "stale");
  assert.equal(verdict(NOW + 1, 0), "stale");
  // Nor is it in the future, if it need not be: more than a minute ahead.
  const ahead = (ms) => check({ status: "pending", created_at: NOW + 60_000 + ms }, { now: clock(NOW, 50) });
  assert.equal(ahead(50).verdict, "fresh");
  assert.equal(ahead(51).error_code, "time_in_future");
  // It is looked at again when it need no longer be.
  assert.equal(ahead(51).changes_at, NOW + 51);
});

test("the server's clock lies between the request and its answer", () => {
  const received_at = performance.now();
  const clock = serverClock({ now: new Date(NOW), sent_at: received_at - 300, received_at });
  assert.equal(clock.error, 150);
  const lag = clock.now() - NOW - 150;
  assert.ok(lag >= 0 && lag < 1_000, String(lag));
});

/** Both clocks of the page, which a test moves. */
function clocks(use) {
  const real = [performance.now, Date.now];
  const at = { monotonic: 5_000, wall: NOW - 2 * HOUR };
  performance.now = () => at.monotonic;
  Date.now = () => at.wall;
  try {
    use(at);
  } finally {
    [performance.now, Date.now] = real;
  }
}

test("the server's clock goes on by the greater advance of the page's two, and never back", () => {
  clocks((at) => {
    const clock = serverClock({ now: NOW, sent_at: 5_000, received_at: 5_000 });
    assert.equal(clock.now(), NOW);
    at.monotonic += 1_000;
    assert.equal(clock.now(), NOW + 1_000, "the wall clock stands still");
    at.wall += 8 * HOUR;
    assert.equal(clock.now(), NOW + 8 * HOUR - 1, "asleep: only the wall clock went on");
    at.wall -= 9 * HOUR;
    assert.equal(clock.now(), NOW + 8 * HOUR - 1, "set back");
    at.monotonic += 9 * HOUR;
    assert.equal(clock.now(), NOW + 9 * HOUR + 1_000);
  });
});

test("a badge whose machine slept turns within a minute of waking", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const stop = new AbortController();
  try {
    clocks((at) => {
      const seen = [];
      watch([{ status: "pending", created_at: NOW }], { now: NOW, signal: stop.signal }, ([{ verdict }]) => seen.push(verdict));
      at.wall += 8 * HOUR;
      mock.timers.tick(60_000);
      assert.deepEqual(seen, ["fresh", "stale"]);
    });
  } finally {
    stop.abort();
    mock.timers.reset();
  }
});

test("a watch from a time goes on from there, whatever the page's clock says", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const stop = new AbortController();
  try {
    clocks((at) => {
      const seen = [];
      watch([{ status: "pending", created_at: NOW - HOUR + 1_000 }], { now: NOW, signal: stop.signal }, ([{ verdict }]) => seen.push(verdict));
      at.monotonic += 1_000;
      mock.timers.tick(1_000);
      assert.deepEqual(seen, ["fresh"]);
      at.monotonic += 1;
      mock.timers.tick(1);
      assert.deepEqual(seen, ["fresh", "stale"]);
    });
  } finally {
    stop.abort();
    mock.timers.reset();
  }
});

test("how long ago something was, in the words of the page", () => {
  const DAY = 24 * HOUR;
  assert.deepEqual([0, 1_000, 59_999, 60_000, 3_599_999, HOUR, 18.2 * HOUR, 2 * DAY - 1, 2 * DAY, 1_000 * DAY].map(ago),
    ["0 seconds ago", "1 second ago", "59 seconds ago", "1 minute ago", "59 minutes ago", "1.0 hours ago", "18.2 hours ago", "48.0 hours ago", "2 days ago", "1000 days ago"]);
});

test("a watch calls at once and at each change, with one clamped timer, until it is aborted", () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW });
  const delays = [];
  const timeout = globalThis.setTimeout;
  globalThis.setTimeout = (look, delay) => (delays.push(delay), timeout(look, delay));
  try {
    const stop = new AbortController();
    const seen = [];
    const drafts = [{ status: "pending", created_at: NOW - HOUR + 1_000 }, { status: "pending", created_at: NOW - HOUR + 5_000 }];
    watch(drafts, { signal: stop.signal }, (verdicts) => seen.push(verdicts.map(({ verdict }) => verdict).join()));
    assert.deepEqual(seen, ["fresh,fresh"]);
    mock.timers.tick(1_000);
    assert.equal(seen.length, 1);
    mock.timers.tick(1);
    assert.deepEqual(seen, ["fresh,fresh", "stale,fresh"]);
    stop.abort();
    mock.timers.tick(10_000);
    assert.equal(seen.length, 2);
    assert.deepEqual(delays, [1_001, 4_000]);
    watch([{ status: "pending", created_at: NOW }], { policy: 24 * 60 }, () => {});
    // No timer runs for long: a machine that slept is noticed.
    assert.equal(delays.at(-1), 60_000);
    const before = delays.length;
    watch([{ status: "pending", created_at: NOW }], { policy: "never" }, () => {});
    assert.equal(delays.length, before);
  } finally {
    globalThis.setTimeout = timeout;
    mock.timers.reset();
  }
});

test("every entry can be imported on a server", async () => {
  for (const entry of ["index", "element"]) await import(new URL(`esm/${entry}.js`, dist));
  const { StaleBadge } = await import(new URL("esm/element.js", dist));
  assert.equal(typeof StaleBadge, "function");
});
