// The playground: the package's own functions on a draft and a policy that the visitor edits.

import { check, policy } from "./stale-drafts/esm/index.js";

const now = Date.now();
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const get = (id) => document.getElementById(id);
const draft = get("draft");
const settings = get("limits").elements.policy;
const inPolicy = { max_age_hours: "the policy's `max_age_hours`", preset: "the policy's preset" };

/** A slider goes from now at its left to 30 hours ago, the recent minutes wide and the hours narrow. */
const age = (position) => Math.round((30 * HOUR * (position / 1_000) ** 3) / 1_000) * 1_000;

const words = (ms) => {
  const [hours, minutes, seconds] = [Math.floor(ms / HOUR), Math.floor(ms / MINUTE) % 60, Math.floor(ms / 1_000) % 60];
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return minutes ? `${minutes} min${seconds ? ` ${seconds} s` : ""}` : `${seconds} s`;
};

/** The time at a slider, shown beside it; `null` at the far left of one that can be empty. */
function time(name, output) {
  const position = Number(draft.elements[name].value);
  draft.elements[output].textContent = position < 0 ? "never" : `${words(age(position))} ago`;
  return position < 0 ? null : now - age(position);
}

/** The policy in the editor, or what is wrong with it. */
function limits() {
  const problem = get("problem");
  try {
    const understood = policy(JSON.parse(settings.value));
    problem.hidden = true;
    return understood;
  } catch (error) {
    problem.textContent = error instanceof SyntaxError ? `No JSON: ${error.message}` : error.message;
    problem.hidden = false;
  }
}

function sentence({ verdict, deadline, error }) {
  if (verdict === "stale") return "It would be marked failed and refunded now.";
  if (verdict === "unreadable") return `It is never failed by guesswork: ${error}.`;
  if (verdict === "settled") return "Nobody waits for a worker: there is nothing to decide.";
  return deadline === null ? "It never goes stale." : `It goes stale in ${words(deadline - now)}.`;
}

/** Shows a text, with what stands between backticks as code. */
const write = (id, text) => get(id).replaceChildren(...text.split("`").map((part, at) => (at % 2 ? Object.assign(document.createElement("code"), { textContent: part }) : part)));

function show() {
  const row = {
    status: draft.elements.status.value,
    kind: draft.elements.kind.value,
    created_at: time("created_at", "created"),
    started_at: time("started_at", "started"),
    heartbeat_at: time("heartbeat_at", "heartbeat"),
  };
  draft.querySelector("[data-for=processing]").hidden = row.status !== "processing";
  const understood = limits();
  if (!understood) return;
  const result = check(row, { now, policy: understood });
  const badge = get("badge");
  badge.className = `badge ${result.verdict === "unreadable" ? "unreadable" : result.status}`;
  badge.textContent = result.badge;
  write("sentence", sentence(result));
  get("verdict").textContent = result.verdict;
  write("error", result.error ?? "none");
  const limit = result.max_age_ms === Infinity ? "never" : words(result.max_age_ms);
  write("limit", result.rule === null ? "none" : `${limit}, by ${inPolicy[result.rule] ?? `\`${result.rule}\``}`);
  get("deadline").textContent = result.deadline === null ? "none" : new Date(result.deadline).toISOString();
  get("call").textContent = `check(${JSON.stringify(row, null, 2)}, { now: ${now}, policy: policy(…) });\n\n// ${JSON.stringify(result, null, 2).replaceAll("\n", "\n// ")}`;
}

document.addEventListener("input", show);
show();
