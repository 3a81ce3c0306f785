// docs/prometheus and docs/grafana, with a real Prometheus that reads a real Worker.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parse } from "yaml";
import { CLEANUP_TOKEN, HOUR, NOW, start } from "../worker/harness.mjs";

const docs = (...path) => new URL(`../../docs/${path.join("/")}`, import.meta.url).pathname;
const PROMETHEUS = process.env.PROMETHEUS ?? "prometheus";
const promtool = (...args) => execFileSync(process.env.PROMTOOL ?? "promtool", args, { cwd: docs("prometheus"), encoding: "utf8", stdio: "pipe" });
const DASHBOARD = JSON.parse(readFileSync(docs("grafana", "stale-drafts.json"), "utf8"));
const RULES = parse(readFileSync(docs("prometheus", "stale-drafts.rules.yml"), "utf8")).groups.flatMap(({ rules }) => rules);
const QUERIES = DASHBOARD.panels.flatMap(({ title, targets }) => targets.map(({ expr, refId }) => [`${title} ${refId}`, expr]));

let world;
let server;
let url;
let folder;

const wait = async (what, condition) => {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = await condition().catch(() => null);
    if (found) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
  assert.fail(`${what} did not happen`);
};
const api = async (path, query = {}) => {
  const answer = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(query)}`);
  return answer.json();
};
const query = async (expr) => {
  const { status, data, error } = await api("query", { query: expr });
  assert.equal(status, "success", `${expr}: ${error}`);
  return data.result;
};

before(async () => {
  world = await start({ config: { policy: { kinds: { song: { attempts: 2 } } } } });
  await world.grant("ada", 1_000);
  await world.create({ id: "late" }, { id: "again", kind: "song" });
  for (const [kind, end] of [["image", "complete"], ["video", "complete"], ["video", "fail"]]) {
    const { id } = await world.report("", { user_id: "ada", kind, prompt: "p", tokens: 1 });
    const { fence } = await world.report(`/${id}/start`, { worker: "w" });
    await world.report(`/${id}/${end}`, end === "complete" ? { fence, result_url: "https://r.example/1" } : { fence, error_code: "x", error: "y" });
  }
  await world.report("", { user_id: "ada", kind: "image", prompt: "p", tokens: 1 });
  await world.cron();
  // An alert, so that its metric is there.
  await world.all("INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, creation_id, body) VALUES ('failed:x:1', 'dead', ?1, 2, ?1, 'x', '{}')", NOW);

  folder = mkdtempSync(join(tmpdir(), "stale-drafts-prometheus-"));
  cpSync(docs("prometheus"), folder, { recursive: true });
  writeFileSync(join(folder, "stale-drafts.token"), CLEANUP_TOKEN);
  const given = readFileSync(join(folder, "prometheus.yml"), "utf8");
  const changed = given.replace("scrape_interval: 1m", "scrape_interval: 1s\n  evaluation_interval: 1s").replace("scheme: https", "scheme: http").replace('"drafts.example"', `"${(await world.url()).host}"`);
  assert.notEqual(changed, given);
  writeFileSync(join(folder, "prometheus.yml"), changed);
  // A port that is free.
  const probe = createServer();
  await new Promise((done) => probe.listen(0, "127.0.0.1", done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  url = `http://127.0.0.1:${port}`;
  server = spawn(PROMETHEUS, [`--config.file=${join(folder, "prometheus.yml")}`, `--storage.tsdb.path=${join(folder, "data")}`, `--web.listen-address=127.0.0.1:${port}`, "--log.level=warn"], { stdio: ["ignore", "ignore", "inherit"] });
  await wait("the scrape", async () => (await query("up")).some(({ value: [, up] }) => up === "1"));
  // A rate needs two scrapes, and here some more.
  await wait("five scrapes", async () => Number((await query("count_over_time(up[5m])"))[0].value[1]) >= 5);
});

after(async () => {
  if (server) {
    const ended = new Promise((done) => server.once("exit", done));
    server.kill("SIGTERM");
    await ended;
  }
  await world?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

test("promtool takes the rules and the configuration, and each rule fires when it should and not else", () => {
  assert.match(promtool("check", "rules", "stale-drafts.rules.yml"), /SUCCESS: \d+ rules found/);
  promtool("check", "config", "--syntax-only", "prometheus.yml");
  assert.match(promtool("test", "rules", "stale-drafts.rules.test.yml"), /SUCCESS/);
  // Each of them is tested both ways.
  const tested = parse(readFileSync(docs("prometheus", "stale-drafts.rules.test.yml"), "utf8")).tests.flatMap(({ alert_rule_test }) => alert_rule_test);
  for (const { alert } of RULES) {
    const cases = tested.filter(({ alertname }) => alertname === alert).map(({ exp_alerts }) => Boolean(exp_alerts?.length));
    assert.deepEqual([...new Set(cases)].sort(), [false, true], alert);
  }
});

test("each metric that the dashboard and the rules name is in a scrape", async () => {
  const texts = [...QUERIES.map(([, expr]) => expr), ...RULES.map(({ expr }) => expr), ...DASHBOARD.templating.list.map(({ definition = "" }) => definition)];
  const names = new Set(texts.flatMap((text) => text.match(/\bstale_drafts_\w+/g) ?? []));
  assert.ok(names.size >= 12, [...names].join(" "));
  for (const name of names) assert.ok((await query(`count({__name__="${name}"})`)).length > 0, `${name} is in no scrape`);
  // And the other way round: each that there is has a panel or a rule.
  const there = (await api("label/__name__/values")).data.filter((name) => name.startsWith("stale_drafts_"));
  const base = (name) => name.replace(/_(bucket|sum|count)$/, "");
  for (const name of there) assert.ok([...names].some((other) => base(other) === base(name)), `${name} is nowhere shown`);
});

test("each panel's query is answered, over an instant and over a range", async () => {
  const filled = (expr) => expr.replaceAll("$__rate_interval", "1m").replaceAll("$job", ".*").replaceAll("$kind", ".*");
  for (const [title, expr] of QUERIES) {
    assert.doesNotMatch(filled(expr), /\$/, title);
    const found = await query(filled(expr));
    assert.ok(found.length > 0, `${title} shows nothing: ${filled(expr)}`);
    const now = Math.floor(Date.now() / 1_000);
    const { status, error } = await api("query_range", { query: filled(expr), start: now - 60, end: now, step: 5 });
    assert.equal(status, "success", `${title}: ${error}`);
  }
});

test("the rules are evaluated without an error, and the Worker's alert fires by its own severity", async () => {
  const rules = await wait("the rules' evaluation", async () => {
    const { data } = await api("rules");
    const all = data.groups.flatMap(({ rules }) => rules);
    return all.length > 0 && all.every(({ lastEvaluation }) => !lastEvaluation.startsWith("0001")) && all;
  });
  assert.deepEqual(rules.map(({ name }) => name), RULES.map(({ alert }) => alert));
  for (const { name, health, lastError } of rules) assert.equal(health, "ok", `${name}: ${lastError}`);
  const alert = await wait("the alert", async () => (await api("alerts")).data.alerts.find(({ labels }) => labels.alertname === "StaleDraftsAlert" && labels.code === "dead_letters"));
  assert.deepEqual([alert.state, alert.labels.severity], ["firing", "warning"]);
});

test("a histogram is one to Prometheus: its quantile is within its bucket", async () => {
  const [{ value: [, sum] }] = await query('stale_drafts_processing_seconds_sum{kind="video",outcome="completed"}');
  const [{ value: [, count] }] = await query('stale_drafts_processing_seconds_count{kind="video",outcome="completed"}');
  assert.deepEqual([sum, count], ["0", "1"]);
  const [{ value: [, late] }] = await query('histogram_quantile(1, stale_drafts_time_to_failure_seconds_bucket{outcome="failed"})');
  assert.ok(Number(late) > 900 && Number(late) <= HOUR / 1_000, late);
});

test("the dashboard can be imported: its panels have ids and places of their own, and its data source is chosen", () => {
  const { panels, templating } = DASHBOARD;
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
    assert.ok(x >= 0 && x + w <= 24 && h > 0);
    return Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`);
  });
  assert.equal(new Set(cells).size, cells.length, "two panels lie on one another");
  assert.deepEqual(templating.list.map(({ name }) => name), ["datasource", "job", "kind"]);
  for (const { title, description, datasource, targets } of panels) {
    assert.ok(title && description && targets.length > 0, title);
    assert.deepEqual([datasource, ...targets.map(({ datasource }) => datasource)].map(({ uid }) => uid), Array(targets.length + 1).fill("${datasource}"), title);
  }
});
