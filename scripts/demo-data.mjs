// The demo's creations: every status, kind and age, the same for the same seed. They take the path that real ones
// take (asked for, started, finished), so the database charges and refunds them itself.

import { random } from "./random.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const USERS = ["ada", "bashir", "chen", "daniela", "emeka", "freya"];
const KINDS = { image: 10, video: 80, music: 25 };
const SUBJECTS = ["a lighthouse in a storm", "two foxes sharing an umbrella", "a city of glass at dawn", "an astronaut tending roses", "a library under the sea", "a paper boat on a mirror lake", "a market on the moon", "a cat conducting an orchestra", "a train through autumn hills", "a robot learning to bake bread"];
const STYLES = ["as a watercolour", "in the style of a woodcut", "macro photography", "isometric, soft light", "as a 1970s film poster", "slow dolly shot", "lo-fi, 80 bpm", "charcoal on grey paper"];
const PROVIDER_ERRORS = [["provider_rejected", "The prompt was rejected by the content filter"], ["provider_error", "The image service answered with an error (502)"]];

const quote = (value) => (value === null ? "NULL" : typeof value === "number" ? String(value) : `'${value.replaceAll("'", "''")}'`);

/** SQL statements that fill an empty database as of `now`, in epoch ms. */
export function demoStatements(now, seed = 20_260_101) {
  const next = random(seed);
  const pick = (list) => list[Math.floor(next() * list.length)];
  const between = (low, high) => Math.round(low + next() * (high - low));
  const statements = [];
  const creations = [];

  const add = (user_id, status, age, fields = {}) => {
    const kind = fields.kind ?? pick(Object.keys(KINDS));
    creations.push({ user_id, status, kind, created_at: now - age, prompt: fields.prompt ?? `${pick(SUBJECTS)}, ${pick(STYLES)}`, tokens: KINDS[kind], ...fields });
  };

  // Ada's first page shows every badge.
  add("ada", "pending", Math.round(18.2 * HOUR), { kind: "image", prompt: "a lighthouse in a storm, as a watercolour" });
  add("ada", "processing", 95 * MINUTE, { kind: "video", started_after: 5 * MINUTE, prompt: "two foxes sharing an umbrella, slow dolly shot" });
  add("ada", "processing", 3 * HOUR, { kind: "video", started_after: MINUTE, heartbeat: now - 20_000, prompt: "a train through autumn hills, slow dolly shot" });
  add("ada", "pending", 4 * MINUTE, { kind: "image" });
  add("ada", "processing", 6 * MINUTE, { kind: "music", started_after: 30_000 });
  add("ada", "draft", 35 * MINUTE, { kind: "image" });
  add("ada", "published", 2 * HOUR, { kind: "image" });
  add("ada", "failed", 50 * MINUTE, { kind: "image", failure: PROVIDER_ERRORS[0] });
  add("ada", "pending", -2 * HOUR, { kind: "image", prompt: "written by a machine whose clock runs two hours ahead" });
  add("ada", "pending", 70 * MINUTE, { kind: "image", prompt: '<img src=x onerror="alert(1)"> a prompt full of <b>HTML</b> & "quotes"' });

  for (const user_id of USERS) {
    for (let i = 0; i < 48; i += 1) {
      const settled = next() < 0.86;
      if (settled) {
        const status = pick(["draft", "draft", "published", "published", "published", "failed"]);
        add(user_id, status, between(HOUR, 60 * DAY), { failure: pick(PROVIDER_ERRORS) });
      } else {
        // Some within the limit of one hour, some minutes to days beyond it.
        const age = next() < 0.4 ? between(MINUTE, 55 * MINUTE) : between(65 * MINUTE, 3 * DAY);
        add(user_id, pick(["pending", "processing"]), age, { started_after: between(1_000, 30_000) });
      }
    }
  }

  for (const user_id of USERS) statements.push(`INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:demo:${user_id}', '${user_id}', 'grant', 10000, ${now - 61 * DAY})`);
  creations.sort((a, b) => a.created_at - b.created_at);
  for (const creation of creations) {
    const id = Array.from({ length: 12 }, () => "0123456789abcdef"[Math.floor(next() * 16)]).join("");
    const { user_id, kind, prompt, tokens, created_at, status } = creation;
    statements.push(`INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES (${[id, user_id, kind, prompt, "pending", tokens, created_at].map(quote).join(", ")})`);
    if (status === "pending") continue;
    const started_at = created_at + (creation.started_after ?? between(1_000, 30_000));
    statements.push(`UPDATE stale_drafts_creations SET status = 'processing', started_at = ${started_at}, heartbeat_at = ${creation.heartbeat ?? "NULL"} WHERE id = '${id}'`);
    if (status === "processing") continue;
    const finished_at = started_at + between(5_000, 10 * MINUTE);
    if (status === "failed") {
      const [code, error] = creation.failure;
      statements.push(`UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${finished_at}, error_code = ${quote(code)}, error = ${quote(error)} WHERE id = '${id}'`);
      continue;
    }
    statements.push(`UPDATE stale_drafts_creations SET status = 'draft', finished_at = ${finished_at} WHERE id = '${id}'`);
    if (status === "published") statements.push(`UPDATE stale_drafts_creations SET status = 'published' WHERE id = '${id}'`);
  }
  statements.push(...outage(now, next));
  return statements;
}

/**
 * A worker that was dead for two hours, some hours ago: what was asked for meanwhile was failed an hour later and refunded, as a
 * sweep does it, whose rows the dashboard is made from.
 */
function outage(now, next) {
  const statements = [];
  const hour = Math.floor((now - 9 * HOUR) / HOUR) * HOUR;
  for (let at = 0; at < 8; at += 1) {
    const swept_at = hour + at * 15 * MINUTE;
    const sweep_id = `${swept_at.toString(16).padStart(12, "0").replace(/(.{8})/, "$1-")}-7000-8000-${String(at).padStart(12, "0")}`;
    const user_id = USERS[3 + (at % 3)];
    const count = 4 + Math.floor(next() * 6);
    const tokens = KINDS.video;
    const failed = [];
    let lag_ms = 0;
    for (let i = 0; i < count; i += 1) {
      const id = Array.from({ length: 12 }, () => "0123456789abcdef"[Math.floor(next() * 16)]).join("");
      const age_ms = HOUR + 1 + Math.floor(next() * 50_000);
      const prompt = `${SUBJECTS[(at + i) % SUBJECTS.length]}, ${STYLES[(at * i) % STYLES.length]}`;
      lag_ms += age_ms - HOUR;
      failed.push(
        `INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at) VALUES (${[id, user_id, "video", prompt, "pending", tokens, swept_at - age_ms].map(quote).join(", ")})`,
        `UPDATE stale_drafts_creations SET status = 'failed', finished_at = ${swept_at}, error = 'Generation timeout: Task stuck in pending status for 1.0 hours', error_code = 'generation_timeout',
          stuck_status = 'pending', age_ms = ${age_ms}, max_age_ms = ${HOUR}, rule = 'preset', sweep_id = '${sweep_id}' WHERE id = '${id}'`,
        `UPDATE stale_drafts_balances SET tokens = tokens + ${tokens} WHERE user_id = '${user_id}'`,
      );
    }
    statements.push(`INSERT INTO stale_drafts_sweeps (id, source, started_at, finished_at, examined, failed, refunded_tokens, queries, rows_read, rows_written, counted)
      VALUES ('${sweep_id}', 'cron', ${swept_at}, ${swept_at + 20}, ${count}, ${count}, ${count * tokens}, 5, ${12 * count + 15}, ${2 * count + 5},
      '${JSON.stringify([["failed", "video", "pending", "preset", count, count * tokens, count, 0, 0, 0, 0, 0, lag_ms]])}')`);
    statements.push(...failed);
  }
  return statements;
}
