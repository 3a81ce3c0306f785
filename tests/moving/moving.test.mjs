// The whole move of docs/moving.md, with the commands and files that the page has: 2,000 creations of 50 users come from the old
// system, which goes on meanwhile, into a real D1 database; Flask and Celery, with a real Redis, go on here.
//
// Not run, since they need Google's or Cloudflare's platform: the blocks in NOT_RUN below, and everything with `--remote`. An export
// is written here in the forms that Firestore's REST API answers. The old system is its data and what its code did to it:
// old-system.mjs.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { freePort, kill, launch, redis, startRedis, until } from "../examples/harness.mjs";
import { OldSystem, PRICES } from "./old-system.mjs";
import { PAGE, block, blocks, markdown } from "./page.mjs";
import { GRANT_TOKEN, SECRETS, startProject } from "./project.mjs";

/** Blocks that need Google Cloud, a deployed Worker or the old code; and what is written by hand. */
const NOT_RUN = ["deployed", "managed-export", "rest-export", "package", "stop-sweeps", "off"];
const INVARIANTS = readFileSync(new URL("../invariants.sql", import.meta.url), "utf8");
const CONTENT_FILTER = "a forbidden fox";
const TABLES = ["creations", "ledger", "balances", "attempts", "events"];
/** Commands of wrangler take seconds each, and more on a busy machine. */
const SLOW = { timeout: 900_000 };

let project;
let old;
let exported;
let flask;
let celery;
let redisPort;
/** What is made in the new system: each user's charges, refunds and grants. */
const here = new Map();
const moved = (user, tokens) => here.set(user, (here.get(user) ?? 0) + tokens);

before(async () => {
  old = new OldSystem();
  project = await startProject();
}, SLOW);
after(async () => {
  await project?.stop();
});

const balances = () => Object.fromEntries(project.all("SELECT user_id, tokens FROM stale_drafts_balances").map(({ user_id, tokens }) => [user_id, tokens]));
const creation = (id) => project.one("SELECT * FROM stale_drafts_creations WHERE id = ?", id);
const active = () => project.all("SELECT id, user_id, tokens FROM stale_drafts_creations WHERE status IN ('pending', 'processing')");
const unreadable = () => readFileSync(join(project.folder, "unreadable.ndjson"), "utf8").trim().split("\n").map((line) => JSON.parse(line).path);

/** Every balance is the old one, and what was made, refunded and bought here since. */
function sameBalances(expected = old.balances()) {
  const found = balances();
  for (const [user, tokens] of Object.entries(expected)) assert.equal(found[user] ?? 0, tokens + (here.get(user) ?? 0), `the balance of ${user}`);
}
/** Every creation that can be read is here as it is there. */
function sameCreations(except = () => false) {
  const left = new Set(unreadable());
  for (const path of old.paths()) {
    const id = path.split("/").at(-1);
    if (left.has(path)) assert.equal(creation(id), undefined, `${path} can't be read`);
    else if (!except(id)) assert.equal(creation(id)?.status, old.status(id), path);
  }
}
/** Those that have been failed since they were `due`: each is a refund of its owner. */
function timedOut(due) {
  const failed = due.filter(({ id }) => creation(id).status === "failed");
  for (const { user_id, tokens } of failed) moved(user_id, tokens);
  return failed;
}
/** Whatever happens, these hold. */
function sound() {
  for (const part of INVARIANTS.split(/^-- name: /m).slice(1)) {
    const [name, ...sql] = part.split("\n");
    assert.deepEqual(project.all(sql.join("\n").replace(/;\s*$/, "")), [], name);
  }
}
/** All rows, to see that nothing has changed. */
const everything = () => Object.fromEntries(TABLES.map((table) => [table, JSON.stringify(project.all(`SELECT * FROM stale_drafts_${table}`))]));

/** An export in another folder, and the two commands of step 4. */
async function importAgain(name, form) {
  exported = old.write(project.folder, name, form);
  await imported();
}
/** Some documents can't be read: code 6. The SQL of the readable ones is written nevertheless. */
async function imported() {
  const [read, execute, ...more] = block("import").trim().split("\n");
  assert.deepEqual([more, read.split(" ")[0]], [[], "mark-stale-drafts"]);
  await project.done(`${block("rehearsal")}EXPORT="${exported}"\n${read}`, { code: 6 });
  await project.done(`${block("rehearsal")}${execute}`);
}
/** The old system goes on: workers complete, fail and leave creations, owners publish, and look at their drafts. */
function goesOn() {
  for (const [n, id] of old.with("processing").entries()) {
    if (n % 8 === 0) old.complete(id);
    else if (n % 8 === 1) old.fail(id, "The provider answered 502");
  }
  for (const [n, id] of old.with("pending").entries()) {
    if (n % 10 === 0) old.start(id);
    else if (n % 10 === 1) old.complete(id);
    else if (n % 10 === 2) old.fail(id, "API key invalid");
  }
}

test("the page names every block that is run, its links lead somewhere, and its table has what the old system had", () => {
  const used = ["rehearsal", "guess", "dry-run", "import", "verify", ".env", "workers", "drained", "first-look", "first-sweep", "healthy", "back-balances", "back-creations", "test-tokens"];
  const python = ["services/creation_service.py", "api/generation_routes.py", "celery_app.py", "jobs/generation_tasks.py", "closed.py", "tests/test_stale_draft_cleanup.py"];
  assert.deepEqual(blocks.map(({ name }) => name).sort(), [...NOT_RUN, ...used, ...python].sort());

  const anchor = (heading) => heading.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-");
  for (const [, target] of markdown.matchAll(/\]\(([^)\s]+)\)/g)) {
    const [file, fragment] = target.split("#");
    const path = file ? join(dirname(PAGE), file) : PAGE;
    assert.ok(existsSync(path), `${target} is there`);
    if (!fragment) continue;
    const headings = [...readFileSync(path, "utf8").matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchor(heading));
    assert.ok(headings.includes(fragment), `${target} is a heading`);
  }

  const table = markdown.slice(markdown.indexOf("## Where everything is"));
  const features = [
    "api/generation_routes.py", "services/creation_service.py", "scripts/mark_stale_drafts.py", "scripts/verify_deleted_drafts.py --user", "jobs/cleanup_tasks.py", "celery_app.py",
    "start_local.sh", "celery_worker.log", "/cleanup-stale", "gcloud scheduler jobs create http stale-draft-cleanup", "mark_stale_creations_as_failed(max_age_hours=1.0)", "create_pending_creation",
    "mark_failed", "get_creation", "--dry-run", "--max-age-hours", "0.167", "0.5", "6.0", "0.01", "beat_schedule", "cleanup_stale_creations", "celery -A celery_app beat --loglevel=info",
    "🧹 Auto-cleanup: Marked 3 stale creations as failed", "⏰ Marked stale creation abc123... as failed (age: 18.2h)", "❌ Failed", "Generation timeout: Task stuck in pending status for 18.2 hours",
    "ps aux", "redis-cli ping", "tail -f", "API key invalid", "pkill -9", "tests/test_stale_draft_cleanup.py", "marked_as_failed", "Monitoring dashboard", "Option A", "Option B", "Option C", "createdAt",
  ];
  assert.deepEqual(features.filter((feature) => !table.includes(feature)), []);
});

test("2 to 4: an export is looked at and imported while the old system runs; sweeping is paused", SLOW, async () => {
  await project.press("Pause sweeping");
  exported = old.write(project.folder, "first", "run-query");

  // It has only guessed, and has done nothing.
  await project.run("guess", { exported, code: 2 });
  const mapping = JSON.parse(readFileSync(join(project.folder, "mapping.json"), "utf8"));
  assert.deepEqual([mapping.fields.created_at, mapping.fields.kind, mapping.fields.user_id, mapping.fields.tokens, mapping.fields.balance], ["createdAt", "creationType", "userId", "tokensUsed", "tokenBalance"]);
  assert.ok(!existsSync(join(project.folder, "import.sql")));

  const { out } = await project.run("dry-run", { exported, code: 6 });
  assert.match(out, /^pending\timage\t\d+\t\d+$/m);
  assert.ok(!existsSync(join(project.folder, "import.sql")));

  await imported();
  const known = new Set(old.expected.unreadable.map(({ path }) => path));
  // What says its owner only by its path may be read or not: it is one of both.
  const further = unreadable().filter((path) => !known.delete(path) && !path.startsWith("users/"));
  assert.deepEqual([[...known], further], [[], []], "exactly what has no right reading is listed");

  await project.run("verify", { exported });
  sameBalances();
  sameCreations();
  sound();

  const before = everything();
  await imported();
  assert.deepEqual(everything(), before, "imported twice, nothing is there twice");
  await project.cron();
  assert.deepEqual(everything(), before, "no sweep takes what the old workers are at");
});

test("5: the new code works beside the old one, for a user of its own", SLOW, async () => {
  redisPort = await freePort();
  await startRedis(redisPort, project.folder);
  const cwd = project.writeApp();
  const values = { STALE_DRAFTS_URL: project.url, STALE_DRAFTS_TOKEN: SECRETS.REPORT_TOKEN, STALE_DRAFTS_OPERATOR_TOKEN: SECRETS.CLEANUP_TOKEN, JWT_SECRET: SECRETS.JWT_SECRET };
  assert.deepEqual([...block(".env").matchAll(/^(\w+)=/gm)].map(([, name]) => name), Object.keys(values));
  const env = { ...project.environment, ...values, REDIS_URL: `redis://127.0.0.1:${redisPort}/0`, SECRET_KEY: "of-the-app" };

  celery = launch("celery", "bash", ["-c", block("workers")], { cwd, env });
  const served = launch("flask", "python", ["-m", "flask", "--app", "app", "run", "--port", "0"], { cwd, env });
  flask = await until("Flask serves", () => served.log.match(/Running on (http:\/\/127\.0\.0\.1:\d+)/)?.[1]);
  await until("the Celery worker is ready", () => / ready\.$/m.test(celery.log));

  await grant("rehearsal", 100, "order-0");
  const browser = await signIn("rehearsal");
  const { id } = await browser.create("image", "a fox");
  await until("it is a draft", () => creation(id).status === "draft");
  const listed = await browser.list();
  assert.deepEqual([listed.balance, listed.drafts[0].badge, listed.drafts[0].result_url], [90, "📝 Draft", "https://results.example/image/5"]);
  assert.doesNotMatch(celery.log, /celery\/celery#5935/, "the timeout of Redis is above the policy's longest time");

  // While sweeping is paused, nobody sweeps, and the caller is told.
  const sweep = await fetch(`${flask}/api/generate/cleanup-stale`, { method: "POST", headers: { Authorization: `Bearer ${SECRETS.CLEANUP_TOKEN}` } });
  assert.deepEqual([sweep.status, (await sweep.json()).error.includes("paused")], [409, true]);
  const nobody = await fetch(`${flask}/api/generate/cleanup-stale`, { method: "POST" });
  assert.deepEqual([nobody.status, await nobody.json()], [401, { error: "Unauthorized" }]);
  sound();
});

test("6: the old system is closed for what is new, and imported again at the switch", SLOW, async () => {
  // Meanwhile it has gone on as always.
  goesOn();
  const [rich] = old.users().sort((one, other) => old.balance(other) - old.balance(one));
  for (const kind of ["video", "video", "image"]) old.create(rich, kind);
  old.pay("user-001", 500);
  old.open("user-002");
  for (const id of old.with("draft").slice(0, 20)) old.publish(id);

  // Closed: it can be read, and not written.
  const script = `from flask import Flask\nimport closed\napp = Flask(__name__)\nclosed.close(app)\n@app.route("/x", methods=["GET", "POST", "DELETE"])\ndef x():\n    return "x"\nc = app.test_client()\nprint(c.get("/x").status_code, c.post("/x").status_code, c.delete("/x").status_code)`;
  const { out } = await project.done(`cd app && python -c '${script}'`);
  assert.equal(out.trim(), "200 503 503");

  await importAgain("second", "ndjson");
  await project.run("verify", { exported });
  sameBalances();
  sameCreations();
  sound();
});

test("7: new creations are made here, while the old workers finish what they have", SLOW, async () => {
  const spender = old.users().find((user) => old.balance(user) > 300);
  const browser = await signIn(spender);
  const before = (await browser.list()).balance;
  assert.equal(before, old.balance(spender), "an owner finds the old balance, and the old drafts");

  const done = await browser.create("video", "a fox");
  moved(spender, -PRICES.video);
  const refused = await browser.create("image", CONTENT_FILTER);
  await until("one is a draft, one has failed", () => creation(done.id).status === "draft" && creation(refused.id).status === "failed");
  assert.equal((await browser.list()).balance, before - PRICES.video, "what the provider refused is refunded");
  const poor = await signIn("user-nobody");
  assert.equal((await poor.post("image", "a fox")).status, 402);
  await grant(spender, 40, "order-1");
  await grant(spender, 40, "order-1");
  moved(spender, 40);

  // Redis is gone for one: its owner does not wait. Another is stuck: nobody has its task.
  const stuck = await (await project.call("POST", "/api/creations", SECRETS.REPORT_TOKEN, { user_id: spender, kind: "audio", prompt: "stuck", tokens: PRICES.audio })).json();
  moved(spender, -PRICES.audio);
  await project.execute(`UPDATE stale_drafts_creations SET created_at = created_at - 7200000 WHERE id = '${stuck.id}'`);
  assert.equal((await browser.list()).drafts.find(({ id }) => id === stuck.id).badge, "❌ Failed", "the list says so already");
  assert.equal(creation(stuck.id).status, "pending", "a paused sweep leaves it");

  // An owner publishes and deletes old drafts, here.
  const [published, deleted] = old.with("draft").filter((id) => old.owner(id) === spender && creation(id));
  assert.equal((await browser.owner("POST", `/api/drafts/${published}/publish`)).status, 200);
  assert.equal((await browser.owner("DELETE", `/api/drafts/${deleted}`)).status, 200);

  goesOn();
  assert.ok(old.with("pending").length > 20, "some are stuck there");
  // The queue of the new code is another one.
  assert.equal(await redis(redisPort, "LLEN celery"), ":0");
  sound();
});

test("gone back half way: with what the page says, no user of the old system gains or loses a token", SLOW, async () => {
  await backInTheOldSystem();
});

test("8: the last import brings what the old workers did, once", SLOW, async () => {
  await importAgain("last", "rest");
  const { err } = await project.run("verify", { exported });
  assert.match(err, /has moved on: .* is published here and draft in the source/);
  sameBalances();
  sameCreations((id) => creation(id)?.deleted_at !== null || (creation(id).status === "published" && old.status(id) === "draft"));
  sound();

  const before = everything();
  await imported();
  assert.deepEqual(everything(), before);
});

test("9: what was stuck is looked at, failed and refunded once, and sweeping is resumed", SLOW, async () => {
  const { out, err } = await project.run("first-look", { code: 3 });
  const plan = err.match(/--apply ([0-9a-f]{12})/)?.[1] ?? assert.fail(`${out}${err}`);
  const due = active();
  await project.done(`${block("rehearsal")}${block("first-sweep").replace("PLAN", plan)}`);
  await project.run("first-look");
  await project.press("Resume sweeping");
  assert.equal((await project.cron()).status, 200);
  // What has just timed out is much, and what is younger than its limit has no task any more.
  const { out: diagnosis } = await project.run("healthy", { code: 7 });
  const findings = [...diagnosis.matchAll(/ \((\w+)\)$/gm)].map(([, code]) => code).filter((code) => code.includes("_"));
  assert.ok(findings.length > 0 && findings.every((code) => ["many_stale", "no_worker_running"].includes(code)), diagnosis);

  const failed = timedOut(due);
  assert.ok(failed.length > 50, "so many that a sweep by itself would have been suspended");
  for (const { id, tokens } of failed) {
    assert.match(creation(id).error, /^Generation timeout: Task stuck in (pending|processing) status for /);
    assert.deepEqual(project.all("SELECT tokens FROM stale_drafts_ledger WHERE entry_key = ?", `refund:${id}`), tokens > 0 ? [{ tokens }] : []);
  }
  // Old balance, and what timed out, less what is new.
  sameBalances();
  sound();

  const verified = await project.run("verify", { exported });
  assert.match(verified.err, /has moved on: .* is failed here and (pending|processing) in the source/);
  // Imported once more by mistake, after the sweep: the old system says pending, and nothing is undone.
  const before = everything();
  await imported();
  assert.deepEqual(everything(), before);
});

test("the automated test of the old system passes, and Celery sweeps", SLOW, async () => {
  await project.run("test-tokens");
  const cwd = join(project.folder, "app");
  const env = { STALE_DRAFTS_URL: project.url, STALE_DRAFTS_TOKEN: SECRETS.REPORT_TOKEN, STALE_DRAFTS_OPERATOR_TOKEN: SECRETS.CLEANUP_TOKEN, JWT_SECRET: SECRETS.JWT_SECRET, REDIS_URL: `redis://127.0.0.1:${redisPort}/0` };
  const due = active();
  await project.done("python -c 'from tests.test_stale_draft_cleanup import *; test_stale_draft_cleanup()'", { cwd, env });
  // With its limit of seconds it has failed what was younger than an hour.
  assert.equal(timedOut(due).length, due.length);
  sameBalances();

  const schedule = `from celery_app import celery_app; [entry] = celery_app.conf.beat_schedule.values(); celery_app.send_task(entry["task"], kwargs=entry["kwargs"])`;
  await project.done(`python -c '${schedule}'`, { cwd, env });
  await until("the sweep's task has succeeded", () => /Task stale_drafts\.mark_stale_creations_as_failed\[.*\] succeeded/.test(celery.log));
  assert.match(celery.log, /Auto-cleanup: Marked 0 stale creations as failed/);
  assert.equal(celery.log.match(/Traceback/g).length, 1, "nothing but what the provider refused has raised an error");

  // What shows that the workers have nothing left.
  const inspected = await project.done(`${block("drained").replace("redis-cli", `redis-cli -p ${redisPort}`)}`, { cwd, env });
  assert.match(inspected.out, /- empty -/);
  assert.match(inspected.out, /^0$/m);
  kill(celery);
});

test("gone back after the first sweep: the refunds go back too", SLOW, async () => {
  await backInTheOldSystem();
});

/** "Going back", as a script of the team would do it: on a copy, so that the move goes on. */
async function backInTheOldSystem() {
  const back = old.copy();
  const users = new Set(back.users());
  for (const { user_id, tokens } of await project.query("back-balances")) if (users.has(user_id)) back.pay(user_id, tokens);
  for (const row of await project.query("back-creations")) {
    if (!users.has(row.user_id) || row.deleted) continue;
    if (row.made_here) {
      assert.ok(!back.has(row.id), row.id);
      back.adopt(row);
      // What is stuck here is charged here.
      if (row.status === "pending") back.fail(row.id, "It was not generated.");
    } else if (row.status === "failed") back.failWithoutRefund(row.id, row.error);
  }

  const stuck = new Map();
  for (const { user_id, tokens } of project.all("SELECT c.user_id, c.tokens FROM stale_drafts_creations AS c WHERE c.status = 'pending' AND NOT EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = 'import-active:' || c.id)")) stuck.set(user_id, (stuck.get(user_id) ?? 0) + tokens);
  for (const user of users) {
    assert.equal(back.balance(user), old.balance(user) + (here.get(user) ?? 0) + (stuck.get(user) ?? 0), `the balance of ${user} there`);
  }
  // What the old workers and its sweep may still refund was refunded nowhere.
  for (const id of back.with("pending", "processing")) assert.notEqual(creation(id)?.status, "failed", `${id} is refunded once`);
}

/** The payment's id is the key. */
async function grant(user_id, tokens, key) {
  const answer = await project.call("POST", "/api/grants", GRANT_TOKEN, { user_id, tokens }, { "Idempotency-Key": key });
  assert.ok(answer.ok, await answer.text());
}

/** A browser of the new app, with its session. */
async function signIn(user) {
  const answer = await fetch(`${flask}/sign-in`, { method: "POST", body: new URLSearchParams({ user }) });
  const headers = { Cookie: answer.headers.getSetCookie()[0].split(";")[0] };
  const post = (type, prompt) => fetch(`${flask}/api/generate`, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify({ type, prompt }) });
  return {
    post,
    async create(type, prompt) {
      const created = await post(type, prompt);
      assert.equal(created.status, 202, await created.clone().text());
      return created.json();
    },
    list: async () => (await fetch(`${flask}/api/drafts?limit=100`, { headers })).json(),
    /** A request of the owner to the Worker itself. */
    owner: async (method, path) => project.call(method, path, await ownerToken(user)),
  };
}
async function ownerToken(user) {
  const { out } = await project.done(`python -c 'from stale_drafts.flask import owner_token; print(owner_token("${user}", "${SECRETS.JWT_SECRET}"))'`);
  return out.trim();
}
