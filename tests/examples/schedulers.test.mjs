// The ways to run sweeps by a scheduler, as docs/deployment.md has them: each snippet is read out of the document and run against the
// Worker on workerd with a real D1 database. Only addresses, secrets and the period of Celery Beat are replaced.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, createSign, generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { getStaticTOMLValue, parseTOML } from "toml-eslint-parser";
import { parse as parseYaml } from "yaml";
import { NOW, SELECT, WRITE, start } from "../worker/harness.mjs";
import { PYTHON, end, freePort, launch, startRedis, until } from "./harness.mjs";

const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const DEPLOYMENT = read("docs/deployment.md");
const COMMAND = fileURLToPath(new URL("../../target/debug/mark-stale-drafts", import.meta.url));
/** The address in the document, in place of which stands the Worker's. */
const DEPLOYED = "https://stale-drafts.example.workers.dev";

/** The blocks of one section of the document, in this language. */
function blocks(section, language) {
  const text = DEPLOYMENT.split(/^#{2,3} /m).find((part) => part.startsWith(`${section}\n`));
  return [...(text ?? assert.fail(`there is no section ${section}`)).matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, of]) => of === language).map(([, , block]) => block);
}
function only(section, language) {
  const found = blocks(section, language);
  assert.equal(found.length, 1, `the blocks of ${language} in ${section}`);
  return found[0];
}

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const tokens = { sweeper: randomBytes(32).toString("base64url"), fleet: randomBytes(32).toString("base64url") };
const config = {
  api_tokens: [
    { name: "sweeper", sha256: sha256(tokens.sweeper), scopes: ["sweep"] },
    { name: "fleet", sha256: sha256(tokens.fleet), scopes: ["report"] },
  ],
};
const home = mkdtempSync(join(tmpdir(), "stale-drafts-schedulers-"));
let world;
let url;

async function open(options = {}) {
  world = await start({ config, ...options });
  url = `http://localhost:${(await world.url()).port}`;
  await world.grant("ada", 1_000);
  await world.create({ id: "stale" }, { id: "young", created_at: NOW });
}
beforeEach(() => open());
afterEach(async () => {
  await end();
  await world.stop();
});
after(() => rmSync(home, { recursive: true, force: true }));

/** The text with the Worker's address, which it must name. */
function deployed(text) {
  assert.ok(text.includes(DEPLOYED), text);
  return text.replaceAll(DEPLOYED, url);
}

/** Runs a program with nothing of this environment but the path. */
function run(program, args, env = {}) {
  return new Promise((done) => {
    execFile(program, args, { cwd: home, env: { PATH: process.env.PATH, HOME: home, ...env } }, (error, out, err) => done({ code: error?.code ?? 0, out, err }));
  });
}

/** Who has swept, and how many were failed. */
const sweeps = async () => (await world.all("SELECT source, actor, failed FROM stale_drafts_sweeps ORDER BY id")).map(({ source, actor, failed }) => [source, actor, failed]);
const states = async () => [await world.status("stale"), await world.status("young")];

test("cron: the line sweeps, says nothing if all is well, and says what is wrong", async () => {
  const [, minute, hour, day, month, weekday, line] = only("cron", "crontab").match(/^(\S+) (\S+) (\S+) (\S+) (\S+) (.+)\n$/);
  assert.deepEqual([minute, hour, day, month, weekday], ["*/5", "*", "*", "*", "*"]);
  // In a crontab, `%` is the end of the line.
  assert.ok(!line.includes("%"));
  const cron = () => run("sh", ["-c", deployed(line)]);
  writeFileSync(join(home, ".stale-drafts-token"), `${tokens.sweeper}\n`, { mode: 0o600 });
  assert.deepEqual(await cron(), { code: 0, out: "", err: "" });
  assert.deepEqual([await states(), await sweeps()], [["failed", "pending"], [["endpoint", "sweeper", 1]]]);

  writeFileSync(join(home, ".stale-drafts-token"), `${tokens.fleet}\n`);
  const refused = await cron();
  assert.deepEqual([refused.code, refused.out], [22, ""]);
  assert.match(refused.err, /^curl: \(22\) The requested URL returned error: 403/);
});

/** The words of a command, as a shell would split them; it has no variables. */
const words = (command) => [...command.replaceAll("\\\n", " ").matchAll(/(?:"[^"]*"|[^\s"])+/g)].map(([word]) => word.replaceAll('"', ""));
const KEYS = generateKeyPairSync("rsa", { modulusLength: 2_048 });
const OTHERS = generateKeyPairSync("rsa", { modulusLength: 2_048 });

/** What Google answers, and nobody else does. */
function google(request) {
  if (request.url !== "https://www.googleapis.com/oauth2/v3/certs") return new Response("no such server", { status: 502 });
  return Response.json({ keys: [{ ...KEYS.publicKey.export({ format: "jwk" }), kid: "google", alg: "RS256", use: "sig" }] });
}

/** A token as Google's servers sign it for a service account. */
function oidc({ email, audience }, claims = {}, keys = KEYS) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const at = NOW / 1_000;
  const body = { aud: audience, azp: "117000000000000000000", email, email_verified: true, exp: at + 3_600, iat: at, iss: "https://accounts.google.com", sub: "117000000000000000000", ...claims };
  const signed = `${part({ alg: "RS256", kid: "google", typ: "JWT" })}.${part(body)}`;
  return `${signed}.${createSign("SHA256").update(signed).sign(keys.privateKey, "base64url")}`;
}

test("Google Cloud Scheduler: the request of the job that the command makes is let in by the configuration beside it", async () => {
  const [program, ...rest] = words(only("Google Cloud Scheduler", "sh"));
  assert.deepEqual([program, ...rest.slice(0, 5)], ["gcloud", "scheduler", "jobs", "create", "http", "cleanup-stale-creations"]);
  const flags = Object.fromEntries(rest.slice(5).map((word) => word.match(/^--([\w-]+)=(.+)$/).slice(1)));
  // Each is explained.
  for (const flag of Object.keys(flags)) assert.ok(DEPLOYMENT.includes(`\`--${flag}\``), flag);
  const { vars: { STALE_DRAFTS } } = getStaticTOMLValue(parseTOML(only("Google Cloud Scheduler", "toml")));
  await world.stop();
  await open({ config: { ...config, ...STALE_DRAFTS }, outbound: google });

  /** What Cloud Scheduler sends: an empty body, and no more of the address than its path and query. */
  const send = (authorization) => world.fetchFrom(flags.uri, { method: flags["http-method"], headers: { Authorization: authorization, "User-Agent": "Google-Cloud-Scheduler", "X-CloudScheduler": "true", "X-CloudScheduler-JobName": rest[4] } });
  const account = { email: flags["oidc-service-account-email"], audience: flags["oidc-token-audience"] };
  // By default the audience is the address.
  assert.equal(account.audience, flags.uri);
  for (const [what, token] of [
    ["another account", oidc({ ...account, email: "somebody@else.iam.gserviceaccount.com" })],
    ["another audience", oidc({ ...account, audience: DEPLOYED })],
    ["an email that is not verified", oidc(account, { email_verified: false })],
    ["another issuer", oidc(account, { iss: "https://accounts.evil.test" })],
    ["an hour ago", oidc(account, { exp: NOW / 1_000 - 61 })],
    ["somebody else's key", oidc(account, {}, OTHERS)],
  ]) {
    const refused = await send(`Bearer ${token}`);
    assert.deepEqual([refused.status, await refused.json()], [401, { error: "Unauthorized" }], what);
  }
  assert.deepEqual([await states(), await sweeps()], [["pending", "pending"], []]);

  const swept = await send(`Bearer ${oidc(account)}`);
  assert.equal(swept.status, 200);
  const { success, marked_as_failed } = await swept.json();
  assert.deepEqual([success, marked_as_failed], [true, 1]);
  assert.deepEqual([await states(), await sweeps()], [["failed", "pending"], [["endpoint", `scheduler:${account.email}`, 1]]]);

  // With a named token, the same job has one header more.
  const [, header] = DEPLOYMENT.match(/`--headers="Authorization=([^"]+)"`/);
  assert.equal((await send(header.replace("TOKEN", tokens.sweeper))).status, 200);
});

test("Celery Beat: the module sweeps by its schedule, with a worker and a real Redis", async () => {
  const folder = join(home, "beat");
  mkdirSync(folder);
  const module = deployed(only("Celery Beat", "python"));
  // What the document says for five minutes is a second here.
  assert.ok(module.includes("sweep_schedule(every=300)"));
  writeFileSync(join(folder, "celery_app.py"), module.replace("every=300", "every=1"));
  const port = await freePort();
  await startRedis(port, folder);
  const env = { PATH: process.env.PATH, HOME: home, PYTHONUNBUFFERED: "1", BROKER_URL: `redis://127.0.0.1:${port}/0`, STALE_DRAFTS_TOKEN: tokens.fleet, STALE_DRAFTS_SWEEP_TOKEN: tokens.sweeper };
  const celery = (name, ...args) => launch(name, PYTHON, ["-m", ...args], { cwd: folder, env });
  const worker = celery("worker", "celery", "-A", "celery_app", "worker", "--concurrency", "1", "--loglevel", "info");
  const beat = celery("beat", ...words(only("Celery Beat", "sh")));
  await until("it has swept", async () => (await states())[0] === "failed");
  assert.deepEqual(await states(), ["failed", "pending"]);
  assert.deepEqual((await sweeps()).find(([, , failed]) => failed === 1), ["endpoint", "sweeper", 1]);
  await until("the worker says so", () => worker.log.includes("Auto-cleanup: Marked 1 stale creations as failed"));
  await until("it sweeps again", async () => (await sweeps()).length > 1);
  assert.match(beat.log, /Scheduler: Sending due task stale-drafts-sweep/);
  for (const { log } of [worker, beat]) assert.ok(!log.includes("Traceback"), log);
});

const CRON_JOB = parseYaml(only("Kubernetes CronJob", "yaml"));
const JOB = CRON_JOB.spec.jobTemplate.spec;
const POD = JOB.template.spec;
const [CONTAINER] = POD.containers;
/** The exit codes of the command, by its manual. */
const EXIT_CODES = [...read("docs/operators.md").split("| exit code | meaning |")[1].split("\n\n")[0].matchAll(/^\| (\d) \|/gm)].map(([, code]) => Number(code));

/** What becomes of a pod that ends with this code, by the first rule that matches: https://kubernetes.io/docs/tasks/job/pod-failure-policy/ */
function action(code) {
  const matches = ({ onExitCodes }) => onExitCodes?.containerName === CONTAINER.name && onExitCodes.operator === "In" && onExitCodes.values.includes(code);
  return JOB.podFailurePolicy.rules.find(matches)?.action ?? "Count";
}

/** Runs the Job to its end, pod for pod, with the command instead of the image: gives the pods' exit codes, and how the Job ends. */
async function runJob({ address = url, token = tokens.sweeper } = {}) {
  const [mount] = CONTAINER.volumeMounts;
  writeFileSync(join(home, "token"), token);
  const args = CONTAINER.args.map((arg) => arg.replace(mount.mountPath, home));
  const env = Object.fromEntries(CONTAINER.env.map(({ name, value }) => [name, value.replace(DEPLOYED, address)]));
  const codes = [];
  for (let failures = 0; failures <= JOB.backoffLimit; ) {
    const { code } = await run(COMMAND, args, env);
    codes.push(code);
    if (code === 0) return { codes, job: "Complete" };
    const what = action(code);
    if (what === "FailJob") break;
    if (what === "Count") failures += 1;
  }
  return { codes, job: "Failed" };
}

test("Kubernetes CronJob: the manifest holds together", () => {
  assert.deepEqual([CRON_JOB.apiVersion, CRON_JOB.kind], ["batch/v1", "CronJob"]);
  assert.equal(CRON_JOB.spec.schedule, "*/5 * * * *");
  // Two sweeps at once do no harm, and are of no use.
  assert.equal(CRON_JOB.spec.concurrencyPolicy, "Forbid");
  // What a pod failure policy needs.
  assert.equal(POD.restartPolicy, "Never");
  const { rules } = JOB.podFailurePolicy;
  for (const rule of rules) assert.equal([rule.onExitCodes, rule.onPodConditions].filter(Boolean).length, 1, "each rule has one condition");
  assert.deepEqual(rules.find(({ onPodConditions }) => onPodConditions), { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] });
  for (const { onExitCodes: { values, containerName } } of rules.filter(({ onExitCodes }) => onExitCodes)) {
    assert.equal(containerName, CONTAINER.name);
    assert.ok(values.every((code) => code !== 0 && EXIT_CODES.includes(code)), `${values}`);
  }
  // 0 to 8, the last of which is that of `import verify`.
  assert.deepEqual(EXIT_CODES, [...Array(9).keys()]);
  assert.deepEqual(CONTAINER.volumeMounts.map(({ name }) => name), POD.volumes.map(({ name }) => name));
  assert.ok(CONTAINER.args.includes(`${CONTAINER.volumeMounts[0].mountPath}/token`));
  assert.equal(CONTAINER.command[0], "mark-stale-drafts");
});

test("Kubernetes CronJob: its command sweeps, and each exit code makes of the Job what it should", async () => {
  assert.deepEqual(await runJob(), { codes: [0], job: "Complete" });
  assert.deepEqual([await states(), await sweeps()], [["failed", "pending"], [["tool", "sweeper", 1]]]);
  assert.deepEqual(await runJob(), { codes: [0], job: "Complete" }, "there is nothing to do");

  // Another try would end the same way.
  await world.create({ id: "other" });
  assert.deepEqual(await runJob({ token: "a-token-that-was-replaced" }), { codes: [4], job: "Failed" });
  assert.deepEqual(await runJob({ token: tokens.fleet }), { codes: [4], job: "Failed" }, "it lacks the scope");
  assert.deepEqual(await runJob({ address: "http://drafts.test" }), { codes: [2], job: "Failed" });

  // Another try may well be better.
  assert.deepEqual(await runJob({ address: `http://localhost:${await freePort()}` }), { codes: [5, 5, 5], job: "Failed" });
  await world.order({ failBefore: SELECT });
  assert.deepEqual(await runJob(), { codes: [1, 0], job: "Complete" }, "the database did not answer for a moment");
  assert.equal(await world.status("other"), "failed");
  await world.create({ id: "moves on", status: "processing", started_at: NOW - 7_200_000 });
  await world.order({ sqlBefore: WRITE, sql: ["UPDATE stale_drafts_creations SET status = 'draft' WHERE id = 'moves on'"] });
  assert.deepEqual(await runJob(), { codes: [6, 0], job: "Complete" });

  // Nobody has seen what the circuit breaker or a pause holds.
  await world.create({ id: "held" });
  await world.all("INSERT INTO stale_drafts_controls (name, since, actor, detail) VALUES ('paused', ?, 'anna', '')", NOW);
  assert.deepEqual(await runJob(), { codes: [1, 1, 1], job: "Failed" });
  assert.equal(await world.status("held"), "pending");
});
