// `mark-stale-drafts` against the Worker on workerd with a real D1 database: what it prints, what it does, how it ends.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, beforeEach, test } from "node:test";
import { bucketOf } from "../../pkg/dist/esm/shards.js";
import { CLEANUP_TOKEN, HOUR, MINUTE, NOW, start } from "../worker/harness.mjs";

const COMMAND = fileURLToPath(new URL("../../target/debug/mark-stale-drafts", import.meta.url));
const home = mkdtempSync(join(tmpdir(), "mark-stale-drafts-"));
/** A prompt with what terminals act on: `ESC [`, the same as one character, and an override of the direction. */
const UNSAFE = "a \u001b[31mred\u001b[0m fox\nand a \u009b2Jhen\u202e";
/** A user of the one or the other of two databases. */
const userOf = (at) => Array.from({ length: 20 }, (_, n) => `u${n}`).find((user) => bucketOf(user) >> 11 === at);
let world;
let url;

before(async () => {
  world = await start({ config: { circuit_breaker: "off", rows_per_sweep: 1_000 } });
  url = `http://localhost:${(await world.url()).port}`;
});
after(async () => {
  await world?.stop();
  rmSync(home, { recursive: true, force: true });
});
beforeEach(async () => {
  await world.order({ now: NOW });
  await world.database.exec("DROP TRIGGER stale_drafts_ledger_is_append_only_delete");
  for (const table of ["ledger", "balances", "events", "attempts", "creations", "sweeps"]) await world.database.exec(`DELETE FROM stale_drafts_${table}`);
  await world.database.exec("CREATE TRIGGER stale_drafts_ledger_is_append_only_delete BEFORE DELETE ON stale_drafts_ledger BEGIN SELECT RAISE(ABORT, 'append-only'); END");
  for (const user of ["ada", "bo"]) await world.grant(user, 10_000);
});

const environment = () => ({ PATH: process.env.PATH, HOME: home, MARK_STALE_DRAFTS_URL: url, MARK_STALE_DRAFTS_TOKEN: CLEANUP_TOKEN });

/** Runs a command to its end. */
function finish(command, args, { env, input, onData } = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: home, env: { ...environment(), ...env } });
    const result = { out: "", err: "" };
    child.stdout.on("data", (text) => { result.out += text; onData?.(result, child); });
    child.stderr.on("data", (text) => { result.err += text; });
    child.on("close", (code) => done({ ...result, code }));
    if (input !== undefined) child.stdin.end(input);
    else child.stdin.end();
  });
}
const run = (...args) => finish(COMMAND, args);

/** Stands between the command and the Worker. `before(n, request)` runs before the nth sweep or dry run is passed on; what it
 * returns is answered instead. */
async function between(before) {
  let sweeps = 0;
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray();
    const instead = await before((sweeps += 1), request);
    if (instead) return response.writeHead(instead.status, { "Content-Type": "application/json" }).end(JSON.stringify(instead.body));
    const { authorization } = request.headers;
    const answer = await fetch(`${url}${request.url}`, { method: request.method, headers: { authorization, "content-type": "application/json" }, body: Buffer.concat(chunks) });
    response.writeHead(answer.status, { "Content-Type": "application/json" }).end(await answer.text());
  });
  await new Promise((done) => server.listen(0, "localhost", done));
  return {
    env: { MARK_STALE_DRAFTS_URL: `http://localhost:${server.address().port}` },
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

/** Runs it on a terminal of 80 columns, and types an answer where it asks. */
async function onTerminal(args, answer = "", env = {}) {
  const line = `stty cols 80 rows 40; exec ${[COMMAND, ...args].map((arg) => `'${arg}'`).join(" ")}`;
  let typed = false;
  const result = await new Promise((done) => {
    const child = spawn("script", ["-qec", line, "/dev/null"], { cwd: home, env: { ...environment(), TERM: "xterm-256color", SHELL: "/bin/sh", ...env } });
    let text = "";
    child.stdout.on("data", (data) => {
      text += data;
      if (answer && !typed && text.includes("[y/N]")) {
        typed = true;
        child.stdin.write(answer);
      }
    });
    child.on("close", (code) => done({ text, code }));
  });
  return { ...result, plain: result.text.replace(/\x1b\[[0-9;?]*[a-zA-Z]/g, "").replaceAll("\r\n", "\n") };
}

const DAY = 24 * HOUR;
const stale = (id, fields = {}) => ({ id, created_at: NOW - 2 * DAY, ...fields });

test("a dry run shows each creation with its rule and text, and a plan; it changes nothing", async () => {
  await world.create(stale("one"), stale("two", { user_id: "bo", kind: "video", status: "processing", started_at: NOW - 30 * HOUR, tokens: 80 }), { id: "young" }, { id: "garbage", created_at: null });
  const { out, err, code } = await run("--dry-run");
  assert.equal(code, 3);
  assert.deepEqual(out.trim().split("\n"), [
    "one\tada\timage\tpending\t48.0h\t24h\tmax_age_hours\t10\tGeneration timeout: Task stuck in pending status for 48.0 hours",
    "two\tbo\tvideo\tprocessing\t30.0h\t24h\tmax_age_hours\t80\tGeneration timeout: Task stuck in processing status for 30.0 hours",
  ]);
  assert.match(err, /^unreadable: garbage: .+\n2 creations of 2 users would be marked failed, 90 tokens refunded\.\nNothing was changed\.\nTo apply exactly this plan: mark-stale-drafts --apply [0-9a-f]{12}\n$/);
  assert.equal(await world.status("one"), "pending");
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_sweeps")).n, 0);
});

test("a plan skips what completed since, and says so", async () => {
  await world.create(stale("stays"), stale("completes", { status: "processing", started_at: NOW - 30 * HOUR }));
  const plan = (await run("--dry-run")).err.match(/--apply (\w+)/)[1];
  await world.database.exec("UPDATE stale_drafts_creations SET status = 'draft' WHERE id = 'completes'");
  await world.create(stale("came-later"));
  const { out, err, code } = await run("--apply", plan);
  assert.equal(code, 6);
  assert.match(out, /^stays\t[^\n]+\n$/);
  assert.match(err, /skipped: completes: .*`draft`.*\n1 creation of 1 user marked failed, 10 tokens refunded\.\n$/);
  assert.deepEqual([await world.status("stays"), await world.status("completes"), await world.status("came-later")], ["failed", "draft", "pending"]);
  assert.deepEqual(await world.wrongBalances(), []);
  const { out: sweeps } = await run("sweeps");
  assert.match(sweeps, new RegExp(`tool CLEANUP_TOKEN\t2\t1\t0\t0\t0\t10\t\\d+ ms\tapplied plan ${plan}`));
  const unknown = await run("--apply", "0123456789ab");
  assert.deepEqual([unknown.code, unknown.err], [2, "error: unknown plan `0123456789ab`: expected one that a dry run on this machine printed in the last 7 days\n"]);
  assert.equal((await run("--apply", "../../etc/passwd")).code, 2);
});

test("bare, it marks what is older than 24 hours, and nothing twice", async () => {
  await world.create(stale("old"), { id: "two-hours" });
  const first = await run();
  assert.deepEqual([first.code, first.err], [0, "1 creation of 1 user marked failed, 10 tokens refunded.\n"]);
  assert.deepEqual([await world.status("old"), await world.status("two-hours")], ["failed", "pending"]);
  const second = await run();
  assert.deepEqual([second.code, second.out, second.err], [0, "", "Nothing is stale: nothing to do.\n"]);
  assert.equal((await run("--max-age-hours", "1.5")).code, 0);
  assert.equal(await world.status("two-hours"), "failed");
  assert.deepEqual(await world.wrongBalances(), []);
});

test("filters, limit and the Worker's own policy", async () => {
  await world.create(stale("a"), stale("b", { user_id: "bo" }), stale("c", { kind: "video" }), stale("d", { status: "processing", started_at: NOW - 40 * HOUR }), { id: "e" });
  const ids = async (...args) => JSON.parse((await run("--dry-run", "--json", ...args)).out).creations.map(({ id }) => id).sort().join("");
  assert.deepEqual([await ids(), await ids("--user", "ada"), await ids("--kind", "video"), await ids("--status", "processing"), await ids("--policy")], ["abcd", "acd", "c", "d", "abcde"]);
  const limited = await run("--limit", "2", "--json");
  const answer = JSON.parse(limited.out);
  assert.deepEqual([limited.code, answer.marked_as_failed, answer.creations.length], [0, 2, 2]);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'")).n, 2);
});

test("a limit cuts a plan to another one, and may be more than one plan holds", async () => {
  await world.create(stale("a"), stale("b"), stale("c"), stale("d"));
  const plan = async (...args) => JSON.parse((await run("--dry-run", "--json", ...args)).out);
  const [whole, two, four] = [await plan(), await plan("--limit", "2"), await plan("--limit", "4")];
  assert.deepEqual([two.plan_id === whole.plan_id, four.plan_id === whole.plan_id], [false, true]);
  assert.equal((await plan("--limit", "2")).plan_id, two.plan_id);
  assert.deepEqual([two.marked_as_failed, two.refunded_tokens, two.more], [2, 20, true]);
  const carried = await run("--apply", two.plan_id, "--json");
  const applied = JSON.parse(carried.out);
  assert.deepEqual([carried.code, applied.success, applied.more], [0, true, false]);
  assert.deepEqual(applied.creations.map(({ id }) => id).sort(), two.creations.map(({ id }) => id).sort());
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'")).n, 2);
  // The id is the one that the Worker gives to just these.
  const rest = await plan();
  await world.create(stale("z", { created_at: NOW - 30 * HOUR }));
  assert.equal((await plan("--limit", "2")).plan_id, rest.plan_id);

  await world.create(...Array.from({ length: 2_300 }, (_, i) => stale(`n${String(i).padStart(4, "0")}`, { tokens: 1 })));
  const { out, code } = await run("--limit", "2200", "--json");
  const { marked_as_failed, plan_ids, more } = JSON.parse(out);
  assert.deepEqual([code, marked_as_failed, plan_ids.length, more], [0, 2_200, 3, false]);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'")).n, 2_202);
});

/** Creates so many stale creations of 1 token. */
const many = (length) => world.create(...Array.from({ length }, (_, i) => stale(`c${String(i).padStart(4, "0")}`, { tokens: 1, user_id: i % 2 ? "ada" : "bo" })));

test("a dry run of more than one plan shows the first, and says that more are stale", async () => {
  await many(1_001);
  for (const limit of [[], ["--limit", "5000"]]) {
    const { out, err, code } = await run("--dry-run", ...limit);
    assert.deepEqual([code, out.trim().split("\n").length], [3, 1_000]);
    assert.match(err, /^1,000 creations of 2 users would be marked failed, 1,000 tokens refunded\.\nMore are stale: this plan is for the first 1,000 creations\.\n/);
  }
});

test("it shows what was done when a later preview fails, and does not end as if all were done", async () => {
  await many(1_100);
  // A dry run, the plan of 1,000, and another dry run.
  const broken = await between((n) => n === 3 && { status: 503, body: { error: "the sweep stopped early" } });
  const { out, err, code } = await finish(COMMAND, ["--json"], broken);
  broken.close();
  const { marked_as_failed, success, more } = JSON.parse(out);
  assert.deepEqual([code, marked_as_failed, success, more], [6, 1_000, false, true]);
  assert.match(err, /error: .* the sweep stopped early/);
});

test("it continues until nothing is left, a transaction at a time", async () => {
  await many(2_600);
  const { out, code } = await run("--json");
  const { marked_as_failed, refunded_tokens, sweep_ids, plan_ids, more, success } = JSON.parse(out);
  assert.deepEqual([code, marked_as_failed, refunded_tokens, sweep_ids.length, plan_ids.length, more, success], [0, 2_600, 2_600, 3, 3, false, true]);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("Ctrl-C stops it after the transaction under way, which stays", async () => {
  await many(3_000);
  let child;
  // The signal comes while the first plan is under way.
  const slow = await between(async (n) => {
    if (n !== 2) return;
    child.kill("SIGINT");
    await new Promise((done) => setTimeout(done, 200));
  });
  child = spawn(COMMAND, ["--json"], { cwd: home, env: { ...environment(), ...slow.env } });
  let out = "";
  let err = "";
  child.stdout.on("data", (text) => { out += text; });
  child.stderr.on("data", (text) => { err += text; });
  const code = await new Promise((done) => child.on("close", done));
  slow.close();
  const marked = (await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'")).n;
  const answer = JSON.parse(out);
  assert.equal(answer.marked_as_failed, marked, "it reports exactly what was done");
  assert.deepEqual([code, answer.interrupted, answer.more, marked], [6, true, true, 1_000]);
  assert.match(err, /Interrupted between two transactions: run it again for the rest\.\n$/);
  assert.equal((await run()).code, 0);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'")).n, 3_000);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("on a terminal it asks before it marks more than a handful", async () => {
  await world.create(...Array.from({ length: 6 }, (_, i) => stale(`c${i}`)));
  const no = await onTerminal([], "n");
  assert.match(no.plain, /6 creations of 1 user will be marked failed, 60 tokens refunded\.\nContinue\? \[y\/N\].*Nothing was changed\./s);
  assert.equal(await world.status("c0"), "pending");
  const yes = await onTerminal([], "y");
  assert.match(yes.plain, /6 creations of 1 user marked failed, 60 tokens refunded\.\n$/);
  await world.create(...Array.from({ length: 6 }, (_, i) => stale(`d${i}`)));
  const unasked = await onTerminal(["--yes"]);
  assert.ok(!unasked.plain.includes("[y/N]"));
  assert.equal(await world.status("d5"), "failed");
});

test("what is held is carried out by nobody but who has seen it", async () => {
  await world.create(stale("a"), stale("b"));
  await world.all("INSERT INTO stale_drafts_controls (name, since, actor, detail) VALUES ('paused', ?, 'anna', '')", NOW);
  const held = "sweeping is paused by `anna`";
  for (const args of [[], ["--yes"], ["--policy", "--yes"]]) {
    const { code, out, err } = await run(...args);
    assert.deepEqual([code, out, err], [1, "", `error: nothing was changed: ${held}; \`--dry-run\` shows the plan, and \`--apply\` applies it\n`]);
  }
  assert.equal((await onTerminal(["--yes"])).code, 1);
  const asked = await onTerminal(["--limit", "1"], "n");
  assert.match(asked.plain, new RegExp(`suspended: ${held}\n1 creation of 1 user will be marked failed.*Continue\\? \\[y/N\\].*Nothing was changed`, "s"));
  assert.deepEqual([await world.status("a"), await world.status("b")], ["pending", "pending"]);
  assert.equal((await onTerminal(["--limit", "1"], "y")).code, 0);
  const preview = await run("--dry-run");
  assert.ok(preview.err.startsWith(`suspended: ${held}\n`), preview.err);
  assert.deepEqual([(await run("--apply", preview.err.match(/--apply (\w+)/)[1])).code, await world.status("a"), await world.status("b")], [0, "failed", "failed"]);
  await world.all("DELETE FROM stale_drafts_controls");
  // Where nothing is stale, nothing is held.
  assert.equal((await run("--yes")).code, 0);
});

test("its tables fit 80 columns, with long ids too, and colours respect NO_COLOR", async () => {
  await world.create(stale("01890a5d-ac96-774b-bcce-b302099a8057", { user_id: "ada", kind: "video", status: "processing", started_at: NOW - 2 * DAY }), stale("short"));
  for (const args of [["--dry-run"], ["count"], ["list", "--user", "ada"], ["explain", "short"], ["doctor"]]) {
    const { plain } = await onTerminal(args);
    for (const line of plain.split("\n")) assert.ok([...line].length <= 80 || args[0] === "explain", `${args}: ${line}`);
  }
  assert.match((await onTerminal(["--dry-run"])).text, /\x1b\[1m/);
  assert.doesNotMatch((await onTerminal(["--dry-run"], "", { NO_COLOR: "1" })).text, /\x1b\[[0-9;]*m/);
  await run();
  for (const line of (await onTerminal(["sweeps"])).plain.split("\n")) assert.ok([...line].length <= 80, line);
});

test("count, list, explain and sweeps answer truthfully", async () => {
  await world.create(stale("abc", { prompt: UNSAFE, tokens: 7 }), { id: "busy", status: "processing", started_at: NOW - MINUTE, heartbeat_at: NOW });
  assert.equal((await run("count")).out, "pending\timage\tover 24h\t1h\t1\t7\nprocessing\timage\t0s to 30m\t1h\t1\t10\n");
  assert.match((await run("count", "--bands", "90,4000")).out, /^pending\timage\t1\.5h to 66\.7h\t/);
  const listed = await run("list", "--user", "ada");
  assert.deepEqual([listed.out.split("\n")[0].split("\t").slice(0, 4), listed.err], [["busy", "image", "processing", "fresh"], "2 creations of `ada`, whose balance is 9,983 tokens.\n"]);
  assert.equal((await run("list", "--user", "ada", "failed")).out, "");
  await world.cron();
  const { out } = await run("explain", "abc");
  assert.doesNotMatch(out, /[\u001b\u009b\u202e]/, "nothing in a prompt moves the terminal's cursor");
  const { out: json } = await run("explain", "abc", "--json");
  assert.doesNotMatch(json, /[\u001b\u009b\u202e]/, "nor as JSON");
  assert.equal(JSON.parse(json).creation.prompt, UNSAFE);
  for (const line of ["Status        failed, attempt 1 of 1", "Error         Generation timeout: Task stuck in pending status for 48.0 hours (generation_timeout)", "Tokens        7 charged, 7 refunded"]) assert.ok(out.includes(line), out);
  assert.match(out, /\trefund\t7\t[0-9a-f-]{36}\n/);
  assert.match(out, /cron\t\d\t1\t0\t0\t0\t7\t/);
  const missing = await run("explain", "nothing");
  assert.deepEqual([missing.code, missing.err], [2, "error: there is no creation `nothing`\n"]);
  assert.equal(JSON.parse((await run("sweeps", "--json")).out).sweeps[0].source, "cron");
});

test("an archived creation is explained by its ledger and its place, and a list says that there are such", async () => {
  const own = await start({ config: { keep_days: { creations: 30 } }, r2Buckets: ["ARCHIVE"] });
  try {
    await own.grant("ada", 100);
    await own.create({ id: "old", status: "processing", created_at: NOW - 60 * 24 * HOUR });
    await own.all("UPDATE stale_drafts_creations SET status = 'draft', finished_at = created_at + 1000");
    await own.cron();
    const ask = async (...args) => finish(COMMAND, args, { env: { MARK_STALE_DRAFTS_URL: `http://localhost:${(await own.url()).port}` } });
    const { out, code } = await ask("explain", "old");
    assert.equal(code, 0);
    assert.match(out, /^Creation {6}old\nOwner {9}ada\nArchived {6}It is archived, in `(creations\/2023-09-15\/22\/DB\/[0-9a-f]{32}\.ndjson)`\.\n {14}\1\n\n.*\tcharge\t-10\t/);
    assert.equal((await ask("list", "--user", "ada")).err, "0 creations of `ada`, whose balance is 90 tokens.\n1 older draft is archived, the newest from 2023-09-15.\n");
  } finally {
    await own.stop();
  }
});

test("old entries of the ledger are summed up if somebody says yes, and explained as a part of a sum", async () => {
  const own = await start({ config: { keep_days: { creations: 30 } }, r2Buckets: ["ARCHIVE"] });
  try {
    await own.grant("ada", 100);
    await own.create({ id: "old", status: "processing", created_at: NOW - 60 * 24 * HOUR }, { id: "older", status: "processing", created_at: NOW - 61 * 24 * HOUR });
    await own.all("UPDATE stale_drafts_creations SET status = 'draft', finished_at = created_at + 1000");
    await own.cron();
    const env = { MARK_STALE_DRAFTS_URL: `http://localhost:${(await own.url()).port}` };
    const ask = (...args) => finish(COMMAND, ["ledger", "compact", "--before", ...args], { env });
    const sums = async () => (await own.one("SELECT count(*) AS n FROM stale_drafts_ledger WHERE type = 'carry'")).n;
    assert.deepEqual(await ask("2023-11"), { out: "", err: "error: this can't be undone, and there is nobody to ask: pass --yes to do it, or --dry-run to look\n", code: 2 });
    assert.deepEqual(await ask("2023-11", "--yes"), { out: "", err: "error: `before` is `2023-11`: expected a month that began at least 31 days ago\n", code: 2 });
    assert.deepEqual(await ask("2023-10", "--dry-run"), { out: "2 entries of months before 2023-10 would become a part of the sums of their months, with 1 new sum.\n", err: "", code: 0 });
    const asked = await onTerminal(["ledger", "compact", "--before", "2023-10"], "n\n", env);
    assert.match(asked.plain, /2 entries of months before 2023-10 would become .* This can't be undone\.[^]*\[y\/N\]/);
    assert.deepEqual([asked.code, await sums()], [0, 0]);
    const { out, err, code } = await ask("2023-10", "--yes");
    assert.deepEqual([out, code, await sums()], ["2 entries of months before 2023-10 became a part of the sums of their months, with 1 new sum.\n", 0, 1]);
    assert.match(err, /^One by one they are in the archive: 1 object with [\d,]+ bytes\.\n$/);
    // The API's answer, of all requests together.
    const nothing = { entries: 0, carries: 0, objects: 0, bytes: 0 };
    assert.deepEqual(JSON.parse((await ask("2023-10", "--yes", "--json")).out), { now: NOW, before: "2023-10", dry_run: false, ...nothing, more: false, cursor: null, shards: [{ shard: "DB", ...nothing, error: null }] });
    assert.deepEqual(await ask("2023-10", "--yes"), { out: "No entry of months before 2023-10 was summed up.\n", err: "", code: 0 });
    assert.deepEqual(await ask("2023-10", "--dry-run"), { out: "No entry of months before 2023-10 would be summed up.\n", err: "", code: 0 });
    assert.match((await finish(COMMAND, ["explain", "old"], { env })).out, /The ledger has its entries in the sum of a month; one by one they are in an object under `ledger\/2023-09\/`\./);
  } finally {
    await own.stop();
  }
});

test("a summing up that takes several requests is one answer", async () => {
  const part = (shard, entries, error = null) => ({ shard, entries, carries: 1, objects: 1, bytes: 10, error });
  const answers = [["DB:x", [part("DB", 2)]], ["DB_2:", [part("DB", 3), part("DB_2", 0)]], [null, [part("DB_2", 1), part("DB_3", 0, "it is gone")]]];
  const cursors = [];
  const server = createServer(async (request, response) => {
    cursors.push(JSON.parse(Buffer.concat(await request.toArray())).cursor);
    const [cursor, shards] = answers[cursors.length - 1];
    const sum = (key) => shards.reduce((all, shard) => all + shard[key], 0);
    const body = { now: NOW, before: "2023-10", dry_run: false, entries: sum("entries"), carries: sum("carries"), objects: sum("objects"), bytes: sum("bytes"), more: cursor !== null, cursor, shards };
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise((done) => server.listen(0, "localhost", done));
  const { out, err, code } = await run("ledger", "compact", "--before", "2023-10", "--yes", "--json", "--url", `http://localhost:${server.address().port}`);
  server.closeAllConnections();
  server.close();
  assert.deepEqual([cursors, code, err], [[undefined, "DB:x", "DB_2:"], 6, "DB_3 does not answer: it is gone. Run it again later.\n"]);
  const shards = [{ ...part("DB", 5), carries: 2, objects: 2, bytes: 20 }, { ...part("DB_2", 1), carries: 2, objects: 2, bytes: 20 }, part("DB_3", 0, "it is gone")];
  assert.deepEqual(JSON.parse(out), { now: NOW, before: "2023-10", dry_run: false, entries: 6, carries: 5, objects: 5, bytes: 50, more: false, cursor: null, shards });
});

/** A creation whose sweep came before its result; gives its id. */
async function late(tokens = 30) {
  const { id } = await world.report("", { user_id: "ada", kind: "video", prompt: "a fox", tokens });
  const { fence } = await world.report(`/${id}/start`, { worker: "w1" });
  await world.order({ now: NOW + 2 * HOUR });
  await world.cron();
  assert.equal((await world.report(`/${id}/complete`, { fence, result_url: "https://cdn.example/fox.mp4" })).kept, true);
  return id;
}

test("restore charges for a late result and gives it to its owner, or says why not", async () => {
  const id = await late();
  assert.match((await run("explain", id)).out, new RegExp(`Late result   2023-11-15 00:13:20Z\n.*a late result is kept: mark-stale-drafts restore ${id}`));
  const { out, err, code } = await run("restore", id);
  assert.deepEqual([code, out, err], [0, "https://cdn.example/fox.mp4\n", `\`${id}\` is a draft again; 30 tokens charged.\n`]);
  assert.equal((await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'ada'")).tokens, 9_970);
  const { out: explained } = await run("explain", id);
  assert.match(explained, /Restored      2023-11-15 00:13:20Z/);
  assert.match(explained, /1\trestored\t2023-11-15 00:13:20Z\tw1\tmax_age_hours\tGeneration timeout: Task stuck in processing status for 2\.0 hours\n/);
  assert.match(explained, /\trestore\t-30\t-\n/);

  await world.create({ id: "mute", created_at: NOW - 3 * HOUR });
  await world.cron();
  assert.deepEqual([(await run("restore", "mute")).code, (await run("restore", "mute")).err], [1, "error: no result has come in too late: there is nothing to restore\n"]);
  assert.equal((await run("restore", "none")).code, 2);
  await world.order({ now: NOW });
  const poor = await late(9_000);
  await world.report("", { user_id: "ada", kind: "video", prompt: "a hen", tokens: 5_000 });
  const refused = await run("restore", poor);
  assert.deepEqual([refused.code, refused.err], [1, "error: insufficient tokens: the balance does not cover the charge (it costs 9000, the balance is 4970)\n"]);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("retry gives failed creations another attempt and charges for it, and names those that it can't", async () => {
  await world.create({ id: "one", created_at: NOW - 3 * HOUR }, { id: "two", created_at: NOW - 3 * HOUR }, { id: "fresh", created_at: NOW });
  await world.cron();
  assert.match((await run("explain", "one")).out, /it can be tried again: mark-stale-drafts retry one\n/);
  const { code, out, err } = await run("retry", "one", "fresh", "two", "nobody");
  assert.deepEqual([code, out], [6, "one\ntwo\n"]);
  assert.deepEqual(err.trim().split("\n"), [
    "`one` waits for attempt 2; 10 tokens charged.",
    "error: `fresh`: it is still being generated: wait until it is finished or failed",
    "`two` waits for attempt 2; 10 tokens charged.",
    "error: `nobody`: there is no creation `nobody`",
  ]);
  assert.equal((await world.one("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'ada'")).tokens, 9_970);
  assert.match((await run("explain", "one")).out, /1\tfailed\t2023-11-14 22:13:20Z\t-\tmax_age_hours\tGeneration timeout: Task stuck in pending status for 3\.0 hours\n/);
  // What was done already is not done again.
  const again = await run("retry", "one");
  assert.deepEqual([again.code, again.out], [1, ""]);
  assert.deepEqual(await world.wrongBalances(), []);
});

/** What failed in an outage: `down` for a reason that is over, and `refused` for one that is not. */
async function outage() {
  const made = (id, fields) => ({ id, created_at: NOW - 3 * HOUR, ...fields });
  await world.create(...["d1", "d2", "d3"].map((id) => made(id)), made("d4", { user_id: "bo", kind: "video", tokens: 70 }), made("refused"), made("old", { created_at: NOW - 9 * HOUR }));
  await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = created_at + 60000 + rowid, error = 'it said 503', error_code = iif(id = 'refused', 'refused', 'down')`);
}

test("retry by filter previews what would be retried and charged, and applies exactly that", async () => {
  await outage();
  // Bo has spent all but 40.
  await world.create({ id: "spent", user_id: "bo", created_at: NOW, tokens: 9_960 });
  const filter = ["retry", "--error-code", "down", "--since", "2023-11-14T18:00Z"];
  const dry = await run(...filter, "--dry-run");
  assert.equal(dry.code, 3);
  assert.deepEqual(dry.out.trim().split("\n"), [
    ...["d1", "d2", "d3"].map((id) => `${id}\tada\timage\t1\t2023-11-14 19:14Z\tdown\t-\t10\t`),
    "d4\tbo\tvideo\t1\t2023-11-14 19:14Z\tdown\t-\t70\tits owner's balance does not cover it",
  ]);
  assert.match(dry.err, /^Made from 2023-11-14 18:00Z on\.\ninsufficient tokens: `bo` has 40 tokens, and 1 creation cost 70: 0 of them would be retried\n3 creations of 4, of 1 user, would be retried, 30 tokens charged\.\nNothing was changed\.\nTo apply exactly this plan: mark-stale-drafts retry --apply [0-9a-f]{12}\n$/);
  assert.equal(await world.status("d1"), "failed");
  const plan = dry.err.match(/--apply (\w+)/)[1];

  // Meanwhile one has moved on, and one more has failed.
  assert.equal((await run("retry", "d2")).code, 0);
  await world.create({ id: "d5", created_at: NOW - HOUR });
  await world.database.exec(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${NOW}, error = 'x', error_code = 'down' WHERE id = 'd5'`);
  const applied = await run("retry", "--apply", plan, "--reason", "it is back");
  assert.deepEqual([applied.code, applied.out], [6, "d1\tada\timage\t2\t10\nd3\tada\timage\t2\t10\n"]);
  assert.deepEqual(applied.err.trim().split("\n"), [
    "skipped: d2 of `ada`: it has been retried since: it is `pending` now, attempt 2",
    "skipped: d4 of `bo`: insufficient tokens: it costs 70, and its owner's balance has 40 left for it",
    "2 creations retried, 20 tokens charged; 2 skipped.",
  ]);
  assert.deepEqual([await world.status("d1"), await world.status("d5"), await world.status("refused"), await world.status("old")], ["pending", "failed", "failed", "failed"]);
  assert.deepEqual(await world.wrongBalances(), []);
  assert.equal((await world.one("SELECT detail FROM stale_drafts_audit WHERE action = 'retry_many' ORDER BY id DESC LIMIT 1")).detail, "2 of 4 failed creations: it is back");

  assert.match((await run("explain", "d1")).out, /2023-11-14 22:13:20Z\tCLEANUP_TOKEN\tretry_in_bulk\tit is back\n/);

  const night = await run("retry", "--dry-run", "--failed-until", "2023-11-14T19:15Z", "--failed-since", "2023-11-14T19:14Z");
  assert.match(night.err, /^Failed from 2023-11-14 19:14Z until 2023-11-14 19:15Z\.\n/);
  assert.deepEqual(night.out.trim().split("\n").map((line) => line.split("\t")[0]), ["d4", "refused"]);
  const rest = await run(...filter, "--yes", "--user", "ada", "--json");
  assert.deepEqual([rest.code, JSON.parse(rest.out).retried.map(({ id }) => id)], [0, ["d5"]]);
  const nothing = await run(...filter, "--yes", "--user", "ada");
  assert.deepEqual([nothing.code, nothing.out, nothing.err], [0, "", "Made from 2023-11-14 18:00Z on.\nNothing that has failed is like that: nothing to do.\n"]);
  // A plan of nothing is not offered.
  const unpaid = await run("retry", "--user", "bo", "--kind", "video", "--dry-run");
  assert.deepEqual([unpaid.code, unpaid.err.split("\n").slice(1)], [0, ["0 creations of 1, of 0 users, would be retried, 0 tokens charged.", "There is nothing to apply.", ""]]);
  // Each plan is applied by what made it.
  assert.match((await run("--apply", plan)).err, /^error: plan `\w+` is one of retries: apply it with `mark-stale-drafts retry --apply \w+`\n$/);
});

test("retry by filter asks on a terminal, and elsewhere says that there is nobody to ask", async () => {
  await outage();
  const { code, err } = await run("retry", "--all");
  assert.deepEqual([code, err], [2, "error: this charges owners, and there is nobody to ask: pass --yes to do it, or --dry-run to look\n"]);
  const no = await onTerminal(["retry", "--kind", "video"], "n\r");
  assert.match(no.plain, /1 creation, of 1 user, would be retried, 70 tokens charged\.\n[^]*\nContinue\? \[y\/N\]/);
  assert.match(no.plain, /Nothing was changed\./);
  // What is asked about is shown.
  assert.match(no.plain, /^d4\s+bo\s+video\s/m);
  assert.deepEqual([no.code, await world.status("d4")], [0, "failed"]);
  const yes = await onTerminal(["retry", "--kind", "video"], "y\r");
  assert.deepEqual([yes.code, await world.status("d4")], [0, "pending"]);
  assert.match(yes.plain, /1 creation retried, 70 tokens charged\./);
});

test("a limit of retries leaves the rest, and says so", async () => {
  await outage();
  const first = await run("retry", "--all", "--yes", "--limit", "4");
  assert.equal(first.code, 0);
  assert.match(first.err, /^4 creations, of 2 users, would be retried, 100 tokens charged\.\nMore have failed: this plan is for 4 creations\.\n4 creations retried, 100 tokens charged\.\n$/);
  assert.equal((await world.one("SELECT count(*) AS n FROM stale_drafts_creations WHERE status = 'failed'")).n, 2);
});

test("retry by filter says what it needs", async () => {
  for (const [args, expected] of [
    [["retry"], /<ID\|--user <ID>\|/],
    [["retry", "one", "--kind", "video"], /cannot be used with/],
    [["retry", "--all", "--kind", "video"], /cannot be used with/],
    [["retry", "--apply", "x", "--limit", "3"], /cannot be used with/],
    [["retry", "--since", "soon", "--yes"], /^error: `soon` is no time: expected a time of day such as `04:00`/],
    [["retry", "--failed-since", "2026-11-29 10:00Z", "--failed-until", "2026-11-28 12:00Z", "--dry-run"], /\nerror: `failed_until` is `2026-11-28T12:00:00Z`, and `failed_since` is `2026-11-29T10:00:00Z`: expected an end after its beginning\n$/],
    [["search", "--since", "2026-11-29T10:00Z", "--until", "2026-11-29 10:00:00Z"], /^error: `until` is `2026-11-29T10:00:00Z`, and/],
    [["retry", "--error-code", "", "--yes"], /a value is required for '--error-code <CODE>'/],
    [["search", "--user", ""], /a value is required for '--user <ID>'/],
    [["note", "--sweep", "s", "x", "--user", "ada"], /cannot be used with/],
    [["extend", "--kind", "video", "--user", "ada", "--minutes", "5", "--reason", "x"], /cannot be used with/],
    [["retry", "--apply", "0123456789ab"], /^error: unknown plan `0123456789ab`/],
  ]) {
    const { code, err } = await run(...args);
    assert.equal(code, 2, args.join(" "));
    assert.match(err, expected);
  }
});

test("cancel ends what is not finished and refunds it, and names what it can't", async () => {
  await world.create({ id: "one", created_at: NOW }, { id: "done", created_at: NOW, status: "draft" });
  const { code, out, err } = await run("cancel", "one", "done", "nobody");
  assert.deepEqual([code, out], [6, "one\n"]);
  assert.match(err, /^`one` is cancelled; 10 tokens refunded\.\nerror: `done`: .+\nerror: `nobody`: there is no such creation\n$/);
  assert.equal(await world.status("one"), "failed");
  assert.deepEqual(await world.wrongBalances(), []);
});

test("fail ends what is not finished in words for its owner, and refunds it whole", async () => {
  await world.create({ id: "one", created_at: NOW }, { id: "done", created_at: NOW, status: "draft" }, { id: "over", created_at: NOW, status: "failed" });
  const { code, out, err } = await run("fail", "one", "done", "nobody", "--error", "This model is withdrawn.");
  assert.deepEqual([code, out], [6, "one\n"]);
  assert.match(err, /^`one` has failed; 10 tokens refunded\.\nerror: `done`: .+\nerror: `nobody`: there is no creation `nobody`\n$/);
  const [{ error, error_code }] = await world.all("SELECT error, error_code FROM stale_drafts_creations WHERE id = 'one'");
  assert.deepEqual([error, error_code], ["This model is withdrawn.", "failed_by_operator"]);
  const over = await run("fail", "over", "--error", "x");
  assert.deepEqual([over.code, over.err], [1, "error: `over`: it has failed already\n"]);
  assert.equal((await run("fail", "one")).code, 2);
  assert.deepEqual(await world.wrongBalances(), []);
});

test("search finds creations by what they are, over all users", async () => {
  await outage();
  const { code, out, err } = await run("search", "failed", "--error-code", "down", "--since", "2023-11-14T18:00Z", "--limit", "3");
  assert.equal(code, 0);
  assert.deepEqual(out.trim().split("\n").map((line) => line.trimEnd()), [
    "d4\tbo\tvideo\tfailed\tsettled\t2023-11-14 19:13Z\tdown\t70\t2023-11-14 19:14Z\tit said 503",
    ...["d3", "d2"].map((id) => `${id}\tada\timage\tfailed\tsettled\t2023-11-14 19:13Z\tdown\t10\t2023-11-14 19:14Z\tit said 503`),
  ]);
  const cursor = err.match(/^Made from 2023-11-14 18:00Z on\.\n3 creations\.\nIt has looked back to 2023-11-14 19:13Z\.\nThere are more: --cursor (\S+)\n$/)[1];
  const next = await run("search", "failed", "--error-code", "down", "--since", "2023-11-14T18:00Z", "--cursor", cursor);
  assert.equal(next.out.split("\t")[0], "d1");
  // When it failed, and not when it was made.
  const failed = async (...times) => JSON.parse((await run("search", "--json", ...times)).out).creations.map(({ id }) => id);
  assert.deepEqual(await failed("--failed-since", "2023-11-14T19:14Z", "--failed-until", "2023-11-14T19:15Z"), ["refused", "d4", "d3", "d2", "d1"]);
  assert.deepEqual(await failed("--failed-since", "2023-11-14T19:15Z", "--error-code", "down"), []);
  assert.equal((await run("search", "--silent", "--kind", "image")).err, "0 creations.\n");
  await world.create({ id: "s1", created_at: NOW - 60_000 }, { id: "s2", created_at: NOW });
  // It does not go back in time, so it has looked back to none.
  assert.match((await run("search", "--silent", "--limit", "1")).err, /^1 creation\.\nThere are more: --cursor \S+\n$/);
  assert.deepEqual(JSON.parse((await run("search", "--user", "bo", "--json")).out).creations.map(({ id }) => id), ["d4"]);
});

test("note stands with a creation or a sweep", async () => {
  await world.create({ id: "noted", created_at: NOW });
  const { code, err } = await run("note", "noted", "the provider says sorry");
  assert.deepEqual([code, err], [0, "Noted about the creation `noted`, by CLEANUP_TOKEN.\n"]);
  assert.deepEqual((await world.ask("/api/creations/noted")).acts.map(({ detail }) => detail), ["the provider says sorry"]);
  assert.match((await run("explain", "noted")).out, /2023-11-14 22:13:20Z\tCLEANUP_TOKEN\tnote\tthe provider says sorry\n/);
  await world.cron();
  const [{ id }] = (await world.ask("/api/sweeps")).sweeps;
  assert.equal((await run("note", "--sweep", id, "after the outage")).code, 0);
  // The list has the id that a note is given by, and the note.
  assert.match((await run("sweeps")).out, new RegExp(`\t${id}\tCLEANUP_TOKEN: after the outage\n`));
  assert.match((await onTerminal(["sweeps"])).plain, new RegExp(`  ${id}\n  CLEANUP_TOKEN: after the outage\n`));
  const nothing = await run("note", "nobody", "x");
  assert.deepEqual([nothing.code, nothing.err], [2, "error: there is no creation `nobody`\n"]);
});

test("dead letters are listed, and replayed", async () => {
  const own = await start({ config: { webhook_url: "http://127.0.0.1:1/hook", max_deliveries: 1 }, bindings: { WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString("base64")}` } });
  await own.grant("ada", 1_000);
  await own.create({ id: "a" }, { id: "b" });
  await own.cron();
  const at = { env: { MARK_STALE_DRAFTS_URL: `http://localhost:${(await own.url()).port}` } };
  const { out, code } = await finish(COMMAND, ["events"], at);
  assert.equal(code, 0);
  assert.match(out, /^failed:a:1\twebhook\t2023-11-14 22:13Z\t1\t[^\t]+\twebhook: .+\nfailed:b:1\t/);
  const some = await finish(COMMAND, ["replay", "failed:a:1", "failed:c:1"], at);
  assert.deepEqual([some.code, some.err], [6, "1 event will be delivered again.\nNot among the dead letters: 1 id.\n"]);
  const rest = await finish(COMMAND, ["replay", "--all", "--json"], at);
  assert.equal(rest.code, 0);
  assert.ok(JSON.parse(rest.out).replayed >= 1);
  assert.equal((await finish(COMMAND, ["replay"], at)).code, 2);
  await own.stop();
});

test("retries are counted apart from failures", async () => {
  const own = await start({ config: { policy: { kinds: { video: { attempts: 2 } } } } });
  await own.grant("ada", 1_000);
  await own.create(stale("image"), stale("video", { kind: "video", tokens: 50 }));
  const at = { env: { MARK_STALE_DRAFTS_URL: `http://localhost:${(await own.url()).port}` } };
  const preview = await finish(COMMAND, ["--dry-run"], at);
  assert.match(preview.err, /^1 creation of 1 user would be marked failed, 10 tokens refunded; 1 creation would be retried\.\n/);
  assert.match(preview.out, /^video\t.*\tretry: it goes back to pending for another attempt$/m);
  const { err, code } = await finish(COMMAND, ["--apply", preview.err.match(/--apply (\w+)/)[1]], at);
  assert.deepEqual([code, err], [0, "1 creation of 1 user marked failed, 10 tokens refunded; 1 creation retried.\n"]);
  assert.deepEqual([await own.status("image"), await own.status("video")], ["failed", "pending"]);
  const { out } = await finish(COMMAND, ["explain", "video"], at);
  assert.match(out, /Status        pending, attempt 2 of 2\n/);
  assert.match(out, /1\tretried\t/);
  await own.stop();
});

test("doctor that is rate-limited does not say that the Worker is not ready", async () => {
  const server = createServer((_, response) => response.writeHead(429, { "Content-Type": "application/json" }).end('{"error":"too many requests: try again in a minute"}'));
  await new Promise((done) => server.listen(0, "localhost", done));
  const { code, out, err } = await run("doctor", "--url", `http://localhost:${server.address().port}`);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /answered 429: too many requests: try again in a minute/);
  server.closeAllConnections();
  server.close();
});

test("what sweeps have set aside is explained and diagnosed, with its reason and until when", async () => {
  await world.create(stale("mine"));
  await world.database.prepare("CREATE TRIGGER own BEFORE UPDATE OF status ON stale_drafts_creations WHEN NEW.status = 'failed' BEGIN SELECT RAISE(ABORT, 'the app\u001b says no'); END").run();
  try {
    await world.cron();
    const reason = /D1_ERROR: the app. says no/;
    const { out } = await run("explain", "mine");
    assert.match(out, /^Set aside     until 2023-11-14 23:13:20Z, since the database rejects its failure$/m);
    assert.match(out, reason);
    assert.doesNotMatch(out, /\u001b/);
    const { set_aside } = JSON.parse((await run("explain", "mine", "--json")).out);
    assert.deepEqual([set_aside.creation_id, set_aside.until], ["mine", NOW + HOUR]);
    const doctor = await run("doctor");
    assert.equal(doctor.code, 7);
    assert.match(doctor.out, /the database rejects that some stale creations are failed \(creations_rejected\)\n {2}`mine`: .*; a sweep tries it again in 1\.0 hours/);
    assert.match(doctor.out, reason);
    assert.equal(doctor.out.split("●").length, 2, "the cause, and nothing else");
  } finally {
    await world.database.exec("DROP TRIGGER own");
    await world.database.exec("DELETE FROM stale_drafts_rejected");
  }
  await world.cron();
  assert.equal(JSON.parse((await run("explain", "mine", "--json")).out).set_aside, null);
});

test("doctor says healthy or not by its exit code", async () => {
  await world.cron();
  assert.deepEqual([(await run("doctor")).code, (await run("doctor")).out], [0, "● healthy: workers start, creations show signs of life, cron sweeps\n"]);
  await world.create({ id: "waits", created_at: NOW - 20 * MINUTE });
  const { out, code } = await run("doctor");
  assert.deepEqual([code, out.split("\n").slice(0, 2)], [7, ["● no worker is running, or none reaches the queue (no_worker_running)", "  1 creation waits, the longest for 20 minutes; nothing has ever started"]]);
  assert.equal(JSON.parse((await run("doctor", "--json")).out).healthy, false);
  const broken = await start({ config: { policy: { preset: "prod" } } });
  const answer = await finish(COMMAND, ["doctor", "--url", `http://localhost:${(await broken.url()).port}`]);
  await broken.stop();
  assert.equal(answer.code, 7);
  assert.match(answer.out, /configuration: .*preset.* is `"prod"`/);
});

test("each failure has its exit code and a message that helps", async () => {
  const cases = [
    [["--max-age-hours", "0"], 2, /`0`.*: expected .*hours above 0/],
    [["--status", "failed"], 2, /invalid value 'failed'/],
    [["--apply", "x", "--dry-run"], 2, /cannot be used with/],
    [["count", "--bands", "9,3"], 2, /`bands` is `9,3`: expected up to 10 ascending numbers of minutes/],
    [["doctor", "--token", "wrong"], 4, /refused the token/],
    [["doctor", "--url", "http://localhost:1"], 5, /`http:\/\/localhost:1` can't be reached .* Is `npm start` running\?/],
    [["doctor", "--url", "http://drafts.test"], 2, /invalid address `http:\/\/drafts\.test`: expected `https:\/\/…`, so that nobody on the way can read the token/],
    [["doctor", "--url", "http://localhost.evil.test"], 2, /expected `https:\/\/…`/],
    [["doctor", "--url", "http://localhost:1@evil.test"], 2, /expected `https:\/\/…`/],
    [["--user", "ada", "count"], 2, /`--user` before `count` is an option of a sweep: remove it/],
    [["--dry-run", "--yes", "replay", "--all"], 2, /`--dry-run` before `replay` is an option of a sweep/],
    [["token", "--name", "a\\b", "--scope", "read"], 2, /expected text without quotes and backslashes/],
  ];
  for (const [args, code, message] of cases) {
    const result = await run(...args);
    assert.equal(result.code, code, `${args}: ${result.err}`);
    assert.match(result.err, message);
    assert.equal(result.out, "");
    assert.ok(!result.err.includes(CLEANUP_TOKEN));
  }
  await world.create(stale("a"));
  const broken = await between((n) => n === 2 && { status: 503, body: { error: "the sweep stopped early" } });
  const failed = await finish(COMMAND, [], broken);
  broken.close();
  assert.deepEqual([failed.code, failed.err.split("\n")[0]], [1, "0 creations of 0 users marked failed, 0 tokens refunded."]);
  assert.match(failed.err, /answered 503: the sweep stopped early/);
  assert.equal(await world.status("a"), "pending");
});

test("what it found stays its exit code, whatever becomes of its output", async () => {
  const shell = (line) => finish("bash", ["-o", "pipefail", "-c", line]);
  await world.create({ id: "waits", created_at: NOW - 20 * MINUTE }, stale("old"));
  for (const [args, code] of [["doctor", 7], ["--dry-run", 3], ["replay none --json", 2], ["sweeps --json", 0]]) {
    // A reader that is gone.
    const closed = await shell(`'${COMMAND}' ${args} | true`);
    assert.deepEqual([closed.code, /can't be written/.test(closed.err)], [code, false], `${args}: ${closed.err}`);
    // Another error is one, and a success becomes a failure.
    const full = await shell(`'${COMMAND}' ${args} > /dev/full`);
    assert.deepEqual([full.code, /error: stdout can't be written: /.test(full.err)], [code || 1, true], `${args}: ${full.err}`);
  }
  assert.equal((await shell(`'${COMMAND}' doctor 2> /dev/full`)).code, 7);
  for (const args of ["--help", "man", "completions bash"]) {
    assert.equal((await shell(`'${COMMAND}' ${args} > /dev/full`)).code, 1, args);
    assert.equal((await shell(`'${COMMAND}' ${args} | true`)).code, 0, args);
  }
});

test("something else at the address is named, and no token follows a redirect", async () => {
  const seen = [];
  const server = createServer(({ headers, url }, response) => {
    seen.push([url, headers.authorization]);
    if (url.startsWith("/api/doctor")) response.writeHead(302, { Location: "/elsewhere" }).end();
    else response.end("<html>");
  });
  await new Promise((done) => server.listen(0, "localhost", done));
  const address = `http://localhost:${server.address().port}`;
  const html = await run("sweeps", "--url", address);
  assert.deepEqual([html.code, /is this the Worker's address\?/.test(html.err)], [5, true]);
  assert.equal((await run("doctor", "--url", address)).code, 5);
  assert.ok(seen.every(([url]) => url !== "/elsewhere"));
  server.closeAllConnections();
  server.close();
});

test("a request of a move is repeated if its connection breaks", async () => {
  const bodies = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    bodies.push(body);
    if (bodies.length == 2) return request.socket.destroy();
    const side = { state: "moved", users: 1, creations: 2 };
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ done: bodies.length > 2, waits_until: null, source: side, target: side }));
  });
  await new Promise((done) => server.listen(0, "localhost", done));
  const moved = await run("shards", "move", "--from", "DB", "--to", "DB_2", "--buckets", "0-63", "--url", `http://localhost:${server.address().port}`);
  assert.equal(moved.code, 0, moved.err);
  assert.match(moved.err, /It is asked again in 1 s\./);
  assert.deepEqual(bodies, [bodies[0], bodies[0], bodies[0]]);
  server.closeAllConnections();
  server.close();
});

test("shards shows what moves, and of what has moved the last", async () => {
  const move = (n, state, more) => ({ id: `m${n}`, role: "source", first_bucket: n, last_bucket: n, other: "DB_2", state, started_at: NOW, changed_at: NOW, users: 0, creations: 0, ...more });
  let moves = [move(4, "trimmed"), move(3, "copied"), move(2, "trimmed"), move(1, "cancelled")];
  const shard = () => ({ shard: "DB", buckets: "0-4095", recorded: "0-4095", bytes: 1_000_000, max_bytes: 10_000_000_000, used_percent: 0, nearly_full: false, creations: 0, active: 0, last_sweep: null, error: null, moves });
  const server = createServer((_, response) => response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ now: NOW, shards: [shard()] })));
  await new Promise((done) => server.listen(0, "localhost", done));
  const shown = async (...args) => (await run("shards", ...args, "--url", `http://localhost:${server.address().port}`)).out;
  const said = (n, state) => `buckets ${n}-${n} to DB_2: ${state}, since 2023-11-14 22:13:20Z`;
  assert.deepEqual((await shown()).trim().split("\t").slice(8), [said(4, "trimmed"), said(3, "copied")]);
  assert.equal(JSON.parse(await shown("--json")).shards[0].moves.length, 4);
  // What the target has to settle is not over.
  moves = [move(4, "settled"), move(3, "open")];
  assert.deepEqual((await shown()).trim().split("\t").slice(8), [said(4, "settled"), said(3, "open")]);
  server.closeAllConnections();
  server.close();
});

test("Ctrl-C stops a move at once, and says what the Worker does and which command goes on", async () => {
  const server = createServer((request) => request.resume());
  await new Promise((done) => server.listen(0, "localhost", done));
  const stopped = async (verb) => {
    const args = ["shards", verb, "--from", "DB", "--to", "DB_2", "--buckets", "0-63", "--url", `http://localhost:${server.address().port}`];
    const child = spawn(COMMAND, args, { cwd: home, env: environment() });
    let err = "";
    child.stderr.on("data", (text) => { err += text; });
    server.once("request", () => child.kill("SIGINT"));
    return { code: await new Promise((done) => child.on("close", done)), err };
  };
  const command = (verb) => `mark-stale-drafts shards ${verb} --from DB --to DB_2 --buckets 0-63`;
  const said = "Stopped. The Worker still ends the step that it is at; the users of a move that is not finished can't write.\n";
  assert.deepEqual(await stopped("move"), { code: 130, err: `${said}Go on with: ${command("move")}\nOr undo it: ${command("cancel")}\n` });
  for (const verb of ["finish", "cancel"]) assert.deepEqual(await stopped(verb), { code: 130, err: `${said}Go on with: ${command(verb)}\n` });
  server.closeAllConnections();
  server.close();
});

test("the token comes from a file, stdin, or the configuration file", async () => {
  const none = { MARK_STALE_DRAFTS_TOKEN: "", MARK_STALE_DRAFTS_URL: "" };
  const missing = await finish(COMMAND, ["sweeps"], { env: none });
  assert.equal(missing.code, 4);
  assert.match(missing.err, /there is no token: set MARK_STALE_DRAFTS_TOKEN, or give --token-file/);
  writeFileSync(join(home, "token"), `${CLEANUP_TOKEN}\n`, { mode: 0o600 });
  assert.equal((await finish(COMMAND, ["sweeps", "--url", url, "--token-file", "token"], { env: { MARK_STALE_DRAFTS_TOKEN: undefined } })).code, 0);
  assert.equal((await finish(COMMAND, ["sweeps", "--url", url, "--token-file", "-"], { env: { MARK_STALE_DRAFTS_TOKEN: undefined }, input: CLEANUP_TOKEN })).code, 0);
  const config = join(home, "settings.toml");
  writeFileSync(config, `url = "${url}"\ntoken = "${CLEANUP_TOKEN}"\n`);
  chmodSync(config, 0o644);
  const env = { MARK_STALE_DRAFTS_TOKEN: undefined, MARK_STALE_DRAFTS_URL: undefined, MARK_STALE_DRAFTS_CONFIG: config };
  const open = await finish(COMMAND, ["sweeps"], { env });
  assert.equal(open.code, 0, open.err);
  assert.match(open.err, /warning: others can read the token/);
  chmodSync(config, 0o600);
  assert.equal((await finish(COMMAND, ["sweeps"], { env })).err, "");
  // What is given by hand comes before the environment.
  const wrong = { MARK_STALE_DRAFTS_TOKEN: "wrong" };
  for (const [args, code] of [[[], 4], [["--token-file", "token"], 0], [["--token", CLEANUP_TOKEN], 0]]) {
    const found = await finish(COMMAND, ["sweeps", ...args], { env: wrong });
    assert.equal(found.code, code, found.err);
  }
  writeFileSync(config, `tokens = "x"\n`);
  assert.match((await finish(COMMAND, ["sweeps"], { env })).err, /unknown key `tokens`: expected `url` or `token`/);
});

test("a token that it makes opens the Worker, by its hash", async () => {
  const { out, err, code } = await run("token", "--name", "night shift", "--scope", "read", "--scope", "sweep");
  assert.equal(code, 0);
  const sha256 = err.match(/sha256 = "([0-9a-f]{64})"/)[1];
  assert.ok(!err.includes(out.trim()));
  const own = await start({ config: { api_tokens: [{ name: "night shift", sha256, scopes: ["read", "sweep"] }] } });
  const result = await finish(COMMAND, ["--json", "--url", `http://localhost:${(await own.url()).port}`], { env: { MARK_STALE_DRAFTS_TOKEN: out.trim() } });
  assert.equal(result.code, 0, result.err);
  await own.stop();
});

test("completions and a manual page", async () => {
  for (const shell of ["bash", "zsh", "fish", "elvish", "powershell"]) assert.match((await run("completions", shell)).out, /mark-stale-drafts/);
  assert.match((await run("man")).out, /\.TH mark-stale-drafts 1/);
  const { out } = await run("--help");
  for (const word of ["--dry-run", "--max-age-hours", "count", "doctor", "Exit codes:"]) assert.ok(out.includes(word));
});

test("plans that are a week old are forgotten", async () => {
  const { utimesSync } = await import("node:fs");
  await world.create(stale("a"));
  await run("--dry-run");
  const folder = join(home, ".local/state/mark-stale-drafts/plans");
  const [file] = readdirSync(folder);
  const old = Date.now() / 1_000 - 8 * 24 * 3_600;
  for (const name of readdirSync(folder)) utimesSync(join(folder, name), old, old);
  await world.create(stale("b"));
  await run("--dry-run");
  assert.ok(!readdirSync(folder).includes(file));
});

test("where one of several databases does not answer, it shows what the others have, says who is missing, and ends with 7", async () => {
  const shards = await start({ shards: 2 });
  try {
    const env = { MARK_STALE_DRAFTS_URL: `http://localhost:${(await shards.url()).port}` };
    for (const [at, database] of shards.databases.entries()) {
      await database.prepare("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES (?1, ?2, 'image', 'a fox', 'pending', 0, ?3)").bind(`c${at}`, userOf(at), NOW).run();
    }
    await shards.cron();
    const missing = "incomplete: DB_1 does not answer, and what it has is missing here: D1_ERROR: DB_1 is gone\n";
    const again = "Once it answers, list from the beginning again: a cursor does not go back to what was missing.\n";
    for (const [args, lines, err] of [["count", 1, "1 creation active, worth 0 tokens.\n" + missing], ["sweeps", 1, missing + again], ["events", 0, missing + again]]) {
      await shards.order({});
      assert.equal((await finish(COMMAND, [args], { env })).code, 0, args);
      await shards.order({ dead: ["DB_1"] });
      const shown = await finish(COMMAND, [args], { env });
      assert.deepEqual([shown.code, shown.out.split("\n").length - 1, shown.err], [7, lines, err], args);
      const json = await finish(COMMAND, [args, "--json"], { env });
      assert.deepEqual([json.code, JSON.parse(json.out).unreachable.map(({ shard }) => shard), json.err], [7, ["DB_1"], missing + (args === "count" ? "" : again)], args);
    }
    await shards.order({ dead: ["DB_0", "DB_1"] });
    assert.equal((await finish(COMMAND, ["count"], { env })).code, 1);
  } finally {
    await shards.stop();
  }
});

test("a user of whom there is nothing since another database has them is not shown as one who has nothing", async () => {
  const shards = await start({ shards: 2 });
  try {
    const env = { MARK_STALE_DRAFTS_URL: `http://localhost:${(await shards.url()).port}` };
    await shards.cron();
    const asked = [["list", "--user", "ada"], ["ledger", "--user", "ada"], ["list", "--user", "ada", "--json"], ["ledger", "--user", "ada", "--json"]];
    for (const args of asked) {
      const { err, code } = await finish(COMMAND, args, { env });
      assert.deepEqual([code, err.includes("incomplete")], [0, false], args);
    }
    // The configuration gives Ada to DB_0; by what is on record DB_1 has all.
    const record = (at, sql) => shards.databases[at].prepare(sql).run();
    for (const [at, state] of [[0, "away"], [1, "here"]]) {
      await record(at, "DELETE FROM stale_drafts_buckets");
      await record(at, `INSERT INTO stale_drafts_buckets VALUES (0, '${state}')`);
    }
    for (const args of asked) {
      const { err, code } = await finish(COMMAND, args, { env });
      assert.equal(code, 7, `${args}: ${err}`);
      assert.match(err, /^incomplete: what `ada` has may be in another database: .*`DB_0`.*`DB_1`.*\. See: mark-stale-drafts doctor$/m, args);
    }
    // Nor is what is asked of all of them all that there is.
    const of = (what) => new RegExp(`^incomplete: ${what}: .*\`DB_0\`.*\`DB_1\`.*\\. See: mark-stale-drafts doctor$`, "m");
    for (const [args, ends, what] of [
      [["count"], 7, "what is shown may not be what there is"],
      [["search"], 7, "what is shown may not be what there is"],
      [["search", "--json"], 7, "what is shown may not be what there is"],
      [["sweeps"], 7, "what is shown may not be what there is"],
      [["retry", "--all", "--dry-run"], 7, "what is shown may not be what there is"],
      [["shards"], 7, "what is shown may not be what there is"],
      [["--dry-run"], 7, "what is shown may not be what there is"],
      [["explain", "nobody"], 7, "it may be in another database"],
      [["retry", "nobody"], 7, "it may be in another database"],
      [["fail", "nobody", "--error", "no"], 7, "it may be in another database"],
      [["note", "nobody", "look"], 7, "it may be in another database"],
      [["extend", "nobody", "--minutes", "5", "--reason", "x"], 7, "it may be in another database"],
    ]) {
      const { err, code } = await finish(COMMAND, args, { env });
      assert.equal(code, ends, `${args}: ${err}`);
      assert.match(err, of(what), args);
    }
  } finally {
    await shards.stop();
  }
});

test("of an id that two users have, `--user` says whose is meant", async () => {
  const shards = await start({ shards: 2, config: { circuit_breaker: "off" } });
  try {
    const env = { MARK_STALE_DRAFTS_URL: `http://localhost:${(await shards.url()).port}` };
    await shards.cron();
    const owners = [0, 1].map(userOf);
    for (const [at, user] of owners.entries()) {
      const run = (sql, ...values) => shards.databases[at].prepare(sql).bind(...values).run();
      await run("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 100, 0)", user);
      await run("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES ('alike', ?1, 'image', '', 'pending', 10, ?2)", user, NOW);
    }
    const [other, meant] = owners;
    for (const args of [["explain", "alike"], ["extend", "alike", "--minutes", "5", "--reason", "x"], ["note", "alike", "look"], ["fail", "alike", "--error", "no"], ["retry", "alike"], ["cancel", "alike"]]) {
      const without = await finish(COMMAND, args, { env });
      assert.deepEqual([without.code, without.err], [2, `error: \`alike\` is an id of several users: expected \`--user\`, of: ${owners.join(", ")}\n`], args);
      // Of somebody who has none, on either database, there is none.
      for (const at of [0, 1]) {
        const nobody = Array.from({ length: 99 }, (_, n) => `v${n}`).find((user) => bucketOf(user) >> 11 === at);
        assert.equal((await finish(COMMAND, [...args, "--user", nobody], { env })).code, 2, `${args} of ${nobody}`);
      }
      const done = await finish(COMMAND, [...args, "--user", meant], { env });
      assert.equal(done.code, 0, `${args}: ${done.err}`);
    }
    assert.equal((await finish(COMMAND, ["restore", "alike", "--user", meant], { env })).err, "error: no result has come in too late: there is nothing to restore\n");
    const states = await Promise.all(shards.databases.map((database) => database.prepare("SELECT status, attempt FROM stale_drafts_creations WHERE id = 'alike'").first()));
    assert.deepEqual(states.map(({ status, attempt }) => [status, attempt]), [["pending", 1], ["failed", 2]]);
    assert.equal(await shards.databases[0].prepare("SELECT tokens FROM stale_drafts_balances WHERE user_id = ?").bind(other).first("tokens"), 90);
  } finally {
    await shards.stop();
  }
});

test("against a Worker without one of its databases each command names the binding", async () => {
  const shard = (binding, buckets) => ({ binding, buckets });
  const shards = await start({ shards: 1, config: { shards: [shard("DB_0", "0-2047"), shard("DB_9", "2048-4095")] } });
  try {
    const url = `http://localhost:${(await shards.url()).port}`;
    for (const args of [["count"], ["list", "--user", "ada"], ["--dry-run"]]) {
      const { err, code } = await finish(COMMAND, [...args, "--url", url]);
      const why = "the service is not configured: see /readyz, which says: the database binding `DB_9` is not there: expected one in `d1_databases`";
      assert.deepEqual([err, code], [`error: \`${url}\` answered 503: ${why}\n`, 1], args);
    }
  } finally {
    await shards.stop();
  }
});

test("ledger shows where a user's tokens went, and goes on", async () => {
  await world.create(stale("swept", { tokens: 7 }), { id: "made", kind: "video", created_at: NOW, tokens: 3 });
  await world.cron();
  const { out, err, code } = await run("ledger", "--user", "ada");
  assert.equal(code, 0);
  assert.deepEqual(out.trim().split("\n"), [
    "2023-11-14 22:13Z\t-3\tvideo\tmade\tCharged when it was asked for",
    "2023-11-14 22:13Z\t7\timage\tswept\tRefunded, since it failed: Generation timeout: Task stuck in pending status for 48.0 hours",
    "2023-11-12 22:13Z\t-7\timage\tswept\tCharged when it was asked for",
    "1970-01-01 00:00Z\t10000\t-\t-\tAdded to the balance: ada",
  ]);
  assert.equal(err, "The balance of `ada` is 9,997 tokens.\n");
  const first = await run("ledger", "--user", "ada", "--limit", "1");
  const [, cursor] = first.err.match(/There are more: --cursor (\S+)\n$/);
  assert.match((await run("ledger", "--user", "ada", "--limit", "1", "--cursor", cursor)).out, /\trefund|\tswept\tRefunded/);
  assert.equal(JSON.parse((await run("ledger", "--user", "ada", "--json")).out).entries.length, 4);
});

test("extend gives a creation or a kind more time, until an end that is printed both ways", async () => {
  for (const table of ["extensions", "audit"]) await world.database.exec(`DELETE FROM stale_drafts_${table}`);
  await world.create({ id: "slow" }, { id: "busy", kind: "video" });
  const zoned = (...args) => finish(COMMAND, args, { env: { TZ: "Asia/Tokyo" } });
  const one = await zoned("extend", "slow", "--minutes", "30", "--reason", "a slow day");
  assert.deepEqual([one.code, one.out, one.err], [0, "2023-11-14 22:43:20Z\n", "`slow` is not stale before 2023-11-15 07:43 +09:00 (2023-11-14 22:43Z).\n"]);
  // The same time stands once where this machine's clock is UTC, and an end that is earlier than the deadline is not called done.
  const less = await run("extend", "slow", "--minutes", "10", "--reason", "a slow day");
  assert.deepEqual([less.code, less.err], [0, "`slow`: its deadline, 2023-11-14 22:43Z, is later already: nothing changes.\n"]);
  const { out: explained } = await run("explain", "slow");
  assert.match(explained, /More time {5}until 2023-11-14 22:43:20Z, by CLEANUP_TOKEN at 2023-11-14 22:13:20Z: a slow day\n/);
  assert.match((await run("list", "--user", "ada")).out, /^slow\timage\tpending\tfresh\t.*\thas time until 2023-11-14 22:43Z$/m);

  const kind = await zoned("extend", "--kind", "video", "--until", "2023-11-15T04:00:00Z", "--reason", "the provider is down");
  assert.deepEqual([kind.code, kind.out], [0, "2023-11-15 04:00:00Z\n"]);
  assert.equal(kind.err, "No `video` is stale before 2023-11-15 13:00 +09:00 (2023-11-15 04:00Z). 1 creation has more time now; what is made until then gets it too.\n");
  const misspelt = await run("extend", "--kind", "vidoe", "--until", "2023-11-15 04:00Z", "--reason", "x");
  assert.deepEqual([misspelt.code, misspelt.err.split("\n").slice(0, 2)], [0, [
    "No `vidoe` is stale before 2023-11-15 04:00Z. 0 creations have more time now; what is made until then gets it too.",
    "warning: no active creation has the kind `vidoe`: what is active is `image`, `video`",
  ]]);
  await world.database.exec("DELETE FROM stale_drafts_extensions WHERE name = 'vidoe'");
  await world.cron();
  assert.deepEqual([await world.status("slow"), await world.status("busy")], ["pending", "pending"]);
  assert.equal((await run("extensions")).out, "video\truns\t2023-11-15 04:00:00Z\t2023-11-14 22:13:20Z\tCLEANUP_TOKEN\tthe provider is down\t\t\n");
  await world.order({ now: NOW + MINUTE });
  const ended = await run("extensions", "end", "--kind", "video");
  assert.deepEqual([ended.code, ended.out, ended.err], [0, "2023-11-14 22:14:20Z\n", "`video` has the policy's limits again; 1 active creation had more time.\n"]);
  assert.match((await run("extensions")).out, /^video\tended\t.*\tended at 2023-11-14 22:14:20Z by CLEANUP_TOKEN\t\n$/);
  await world.order({ now: NOW + MINUTE + 1 });
  await world.cron();
  assert.deepEqual([await world.status("slow"), await world.status("busy")], ["pending", "failed"]);
});

test("extend says what it needs, and what is no end", async () => {
  const said = async (args, code, text) => {
    const result = await run(...args);
    assert.equal(result.code, code, result.err);
    assert.match(result.err, text);
  };
  await said(["extend", "c", "--minutes", "5"], 2, /--reason/);
  await said(["extend", "--minutes", "5", "--reason", "x"], 2, /<ID\|--kind <KIND>>/);
  await said(["extend", "c", "--kind", "video", "--minutes", "5", "--reason", "x"], 2, /cannot be used with/);
  await said(["extend", "c", "--reason", "x"], 2, /--minutes <NUMBER>\|--until <TIME>/);
  await said(["extend", "c", "--until", "4 am", "--reason", "x"], 2, /^error: `4 am` is no end: expected a time of day such as `04:00` on this machine's clock or `04:00Z` in UTC/);
  await said(["extend", "nobody", "--minutes", "5", "--reason", "x"], 2, /there is no such creation/);
  await said(["extensions", "end", "--kind", "nothing"], 2, /`nothing` has no more time than its policy gives/);
});
