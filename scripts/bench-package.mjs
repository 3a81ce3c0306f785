// `npm run bench:package`: the npm package beside what a frontend would use instead. Sizes in bytes; speeds and times
// as ratios to ordinary JavaScript in the same run, because only ratios mean anything on another machine.

import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildPackage } from "./build-package.mjs";
import { chromium as findChromium } from "./chromium.mjs";
import { root, run, sh } from "./lib.mjs";
import { setup } from "./setup.mjs";

/** The same verdicts in the same shape, as ordinary JavaScript: the limit in hours, and the clock exact. */
const PLAIN = `
const BADGES = { pending: "⏳ Pending", processing: "⚙️ Processing", draft: "📝 Draft", published: "🌐 Published", failed: "❌ Failed" };
const millis = (time) => (time == null ? null : typeof time === "number" ? time : new Date(time).getTime());
const good = (time) => Number.isInteger(time) && time >= 0 && time <= 8.64e15;
function age(ms) {
  if (ms >= 3600000) return (Math.floor(ms / 360000 + 0.5) / 10).toFixed(1) + " hours";
  const [count, unit] = ms >= 60000 ? [Math.floor(ms / 60000), "minute"] : [Math.floor(ms / 1000), "second"];
  return count + " " + unit + (count === 1 ? "" : "s");
}
const unreadable = (status, error_code, error, max_age_ms) => ({ verdict: "unreadable", status, badge: "⚠️ Needs attention", error, error_code, deadline: null, age_ms: null, max_age_ms, rule: null });
export function check(draft, { now = Date.now(), policy = 1 } = {}) {
  const { status, error = null, error_code = null } = draft;
  const max_age_ms = Math.round(policy * 3600000);
  const at = millis(now);
  if (!Object.hasOwn(BADGES, status)) return unreadable(status, "unknown_status", "its status is unknown", max_age_ms);
  if (status !== "pending" && status !== "processing") return { verdict: "settled", status, badge: BADGES[status], error, error_code, deadline: null, age_ms: null, max_age_ms, rule: null };
  let last = null;
  for (const name of status === "pending" ? ["created_at", "heartbeat_at"] : ["created_at", "started_at", "heartbeat_at"]) {
    const time = millis(draft[name]);
    if (time === null) continue;
    if (!good(time)) return unreadable(status, "time_malformed", "its " + name + " is not a time: expected whole epoch milliseconds", max_age_ms);
    last = Math.max(last, time);
  }
  if (last === null) return unreadable(status, "time_missing", "it has no time", max_age_ms);
  if (last > at) return unreadable(status, "time_in_future", "its last sign of life is in the future", max_age_ms);
  const age_ms = at - last;
  const deadline = last + max_age_ms;
  if (age_ms <= max_age_ms) return { verdict: "fresh", status, badge: BADGES[status], error: null, error_code: null, deadline, age_ms: null, max_age_ms, rule: null };
  return { verdict: "stale", status: "failed", badge: BADGES.failed, error: "Generation timeout: Task stuck in " + status + " status for " + age(age_ms), error_code: "generation_timeout", deadline, age_ms, max_age_ms, rule: null };
}`;

const ALTERNATIVES = {
  "the same by hand": null,
  "timeago.js": `export { format } from "timeago.js";`,
  ms: `export { default } from "ms";`,
  "pretty-ms": `export { default } from "pretty-ms";`,
  "date-fns formatDistanceToNow": `export { formatDistanceToNow } from "date-fns/formatDistanceToNow";`,
  "dayjs + relativeTime": `import dayjs from "dayjs"; import relative from "dayjs/plugin/relativeTime.js"; dayjs.extend(relative); export { dayjs };`,
  moment: `export { default } from "moment";`,
  luxon: `export { DateTime } from "luxon";`,
};

/** Runs in Node and in the page: the median of interleaved rounds, each a ratio to plain JavaScript. */
function race(check, plain) {
  const NOW = 1_700_000_000_000;
  // Active drafts, up to 2.2 hours old: half of them are stale.
  const statuses = ["pending", "processing"];
  const numeric = Array.from({ length: 1_000 }, (_, i) => ({
    status: statuses[i % 2],
    kind: "image",
    created_at: NOW - i * 7_919,
    started_at: i % 2 ? NOW - i * 7_000 : null,
    heartbeat_at: i % 3 ? null : NOW - i * 6_000,
  }));
  const text = (time) => (time === null ? null : new Date(time).toISOString());
  const iso = numeric.map((draft) => ({ ...draft, created_at: text(draft.created_at), started_at: text(draft.started_at), heartbeat_at: text(draft.heartbeat_at) }));
  const known = numeric.map((draft) => check(draft, { now: NOW }));
  const [fresh, stale] = ["fresh", "stale"].map((verdict) => numeric.filter((_, at) => known[at].verdict === verdict));
  let sink = 0;
  const each = (list, look) => () => {
    for (const draft of list) sink += look(draft).verdict.length;
  };
  const time = (round) => {
    const start = performance.now();
    for (let i = 0; i < 40; i += 1) round();
    return performance.now() - start;
  };
  const compare = (round, other) => {
    time(round), time(other);
    const ratios = Array.from({ length: 31 }, () => time(round) / time(other)).sort((a, b) => a - b);
    return ratios[15];
  };
  const options = { now: NOW };
  const results = {
    fresh: compare(each(fresh, (draft) => check(draft, options)), each(fresh, (draft) => plain(draft, options))),
    stale: compare(each(stale, (draft) => check(draft, options)), each(stale, (draft) => plain(draft, options))),
    numeric: compare(each(numeric, (draft) => check(draft, options)), each(numeric, (draft) => plain(draft, options))),
    iso: compare(each(iso, (draft) => check(draft, options)), each(iso, (draft) => plain(draft, options))),
    again: compare(() => {
      for (const { deadline } of known) sink += deadline !== null && deadline < NOW ? 1 : 0;
    }, each(numeric, (draft) => plain(draft, options))),
  };
  if (sink < 0) throw Error();
  return results;
}

async function sizes() {
  const { IMPORTS, size } = await import("./package-size.mjs");
  const home = mkdtempSync(join(tmpdir(), "stale-drafts-alternatives-"));
  try {
    for (const name of ["package.json", "package-lock.json"]) cpSync(join(root, "tests/package/alternatives", name), join(home, name));
    await sh("npm", ["ci", "--no-audit", "--no-fund"], { cwd: home, quiet: true });
    console.log("\n| what is imported | bytes, min + gzip |\n|---|---:|");
    const row = (name, bytes) => console.log(`| ${name} | ${bytes.toLocaleString("en")} |`);
    for (const [name, source] of Object.entries(IMPORTS)) row(`**stale-drafts**: ${name}`, await size(source));
    for (const [name, source] of Object.entries(ALTERNATIVES)) row(name, await size(source ?? PLAIN, home, {}));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
  const { draft } = await import(join(root, "pkg/dist/esm/index.js")).then(() => WebAssembly.instantiate(readFileSync(join(root, "pkg/dist/draft.wasm")))).then(({ instance }) => ({ draft: instance.exports }));
  const pages = Object.values(draft).filter((value) => value instanceof WebAssembly.Memory).length;
  console.log(`\ndraft.wasm: ${readFileSync(join(root, "pkg/dist/draft.wasm")).length} bytes, ${pages} pages of memory`);
}

/** Both pages carry their script as one file; one has the package in it, the other the plain function. */
async function pages() {
  const { build } = await import("esbuild");
  const bundle = async (contents) => (await build({ stdin: { contents, resolveDir: root }, alias: { "stale-drafts": join(root, "pkg/dist/bundle/index.js") }, bundle: true, minify: true, format: "esm", write: false })).outputFiles[0].text;
  const use = `document.querySelector("main").textContent = check({ status: "pending", created_at: 1e12 }).badge; window.first = performance.now();`;
  return {
    "/package.js": await bundle(`import { check } from "stale-drafts"; ${use}`),
    "/plain.js": await bundle(`${PLAIN}\n${use}`),
    "/race.js": await bundle(`export { check } from "stale-drafts"; export { check as plain } from "data:text/javascript,${encodeURIComponent(PLAIN)}";`),
  };
}

async function inChromium() {
  const { chromium } = await import("playwright-core");
  const files = await pages();
  const server = createServer(({ url }, response) => {
    const script = files[url];
    response.setHeader("Content-Type", script ? "text/javascript" : "text/html; charset=utf-8");
    response.end(script ?? `<!doctype html><html lang="en"><title>bench</title><main></main>${url.startsWith("/race") ? "" : `<script type="module" src="${url}.js"></script>`}`);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const address = `http://127.0.0.1:${server.address().port}`;
  const browser = await chromium.launch({ executablePath: await findChromium(), args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const page = await browser.newPage();
    await page.goto(`${address}/race`);
    const speeds = await page.evaluate(`(async () => { const { check, plain } = await import("/race.js"); return (${race})(check, plain); })()`);
    const first = async (path) => {
      const context = await browser.newContext();
      const page = await context.newPage();
      const session = await context.newCDPSession(page);
      await session.send("Network.enable");
      await session.send("Network.emulateNetworkConditions", { offline: false, latency: 60, downloadThroughput: (9 * 1_000_000) / 8, uploadThroughput: (9 * 1_000_000) / 8 });
      await session.send("Emulation.setCPUThrottlingRate", { rate: 4 });
      await page.goto(`${address}${path}`);
      await page.waitForFunction(() => window.first);
      const time = await page.evaluate(() => window.first);
      await context.close();
      return time;
    };
    const times = { package: [], plain: [] };
    for (let i = 0; i < 21; i += 1) for (const path of Object.keys(times)) times[path].push(await first(`/${path}`));
    const median = (list) => list.sort((a, b) => a - b)[10];
    return { speeds, first: median(times.package) / median(times.plain) };
  } finally {
    await browser.close();
    server.close();
  }
}

await run(async () => {
  await setup();
  await buildPackage();
  await sizes();
  const { check } = await import(join(root, "pkg/dist/esm/index.js"));
  const { check: plain } = await import(`data:text/javascript,${encodeURIComponent(PLAIN)}`);
  const node = race(check, plain);
  const { speeds, first } = await inChromium();
  const row = (name, ...values) => console.log(`| ${name} | ${values.map((value) => (value === null ? "" : `${value.toFixed(2)} ×`)).join(" | ")} |`);
  console.log("\n| time, as a ratio to ordinary JavaScript | Node | Chromium |\n|---|---:|---:|");
  row("one check, fresh", node.fresh, speeds.fresh);
  row("one check, stale, with its text", node.stale, speeds.stale);
  row("one check, numeric times", node.numeric, speeds.numeric);
  row("one check, ISO text", node.iso, speeds.iso);
  row("a known draft again, by its deadline", node.again, speeds.again);
  row("first verdict after navigation: 60 ms, 9 Mbit/s, CPU 4 × slower", null, first);
});
