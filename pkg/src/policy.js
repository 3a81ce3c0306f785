// A policy object: which of its values apply, and what is wrong with one that is not understood, is the rules' to
// say; the words are those of `src/rules/policy.rs`, and the shared cases hold the two together.

import { law } from "#law";
import { core } from "#core";
import { STATUSES } from "./text.js";
import { times } from "./time.js";

const KEYS = ["max_age_hours", "preset", "pending", "processing", "heartbeat_minutes", "total_hours", "attempts", "keep_late_results", "kinds", ""];
const MEANINGS = ["never", "development", "budget", "production", true, false];

/** What is wrong, by the codes of `setting` in `src/browser/policy.rs`, with the value as the rules write it. */
const problem = (code, key, value) =>
  code == 3
    ? "`preset` and `max_age_hours` exclude each other: give one"
    : (code == 5 || code == 6 ? `unknown key \`${key}\`` : `\`${key}\` is \`${typeof value == "object" ? JSON.stringify(value) : typeof value == "string" ? `"${value}"` : value}\``) +
      ": expected " +
      [
        'hours above 0, such as `1` or `0.5`, or `"never"`',
        '`"development"` (10 minutes), `"budget"` (30 minutes) or `"production"` (1 hour)',
        "",
        "a table such as `kinds.video = { processing = 6 }`",
        "`preset`, `max_age_hours`, `pending`, `processing`, `heartbeat_minutes`, `total_hours`, `attempts`, `keep_late_results` or `kinds.<kind>`",
        "`max_age_hours`, `pending`, `processing`, `heartbeat_minutes`, `total_hours` or `attempts`",
        'minutes above 0, such as `2` or `0.5`, or `"never"`',
        "a whole number from 1 to 100",
        "`true` or `false`",
      ][code - 1];

export function policy(object) {
  const limits = new Map();
  const read = (value, keys) => {
    if (value && typeof value == "object" && !Array.isArray(value) && keys.length < 3) {
      // An empty table says nothing where it is one of kinds or of a kind's limits; elsewhere it is no value.
      let wrong = keys.length && keys[0] != "kinds";
      for (const key in value) wrong = read(value[key], [...keys, key]);
      if (!wrong) return;
    }
    const meaning = typeof value == "number" ? 0 : MEANINGS.indexOf(value) + 1 || 7;
    const key = keys.join(".");
    // The other of the two that exclude each other.
    const other = limits.has(key == "preset" ? "max_age_hours" : "preset");
    const codes = [0, 1, 2].map((at) => (at in keys ? (KEYS.indexOf(keys[at]) + 11) % 11 : 11));
    const limit = law.setting(...codes, meaning, value, other && keys.length < 2);
    if (limit < 0) throw RangeError(problem(-limit, key, value));
    limits.set(key, limit);
  };
  read(object, []);
  const basis = limits.has("preset") ? "preset" : "max_age_hours";
  return (draft, latest = Infinity) => {
    const { status } = draft;
    const own = `kinds.${draft.kind ?? ""}.`;
    const code = STATUSES.indexOf(status);
    const [created, entered, heartbeat] = times(draft);
    const of = (key) => [own + key, key].find((name) => limits.has(name));
    const names = [own + "heartbeat_minutes", "heartbeat_minutes", own + status, own + "max_age_hours", status];
    let rule = names[law.rule(code, entered, heartbeat, ...names.map((name) => limits.get(name) ?? NaN))] ?? basis;
    let max_age_ms = limits.get(rule) ?? core.base(5, 0);
    const hours = of("total_hours");
    const total = !!law.total(code, created, entered, heartbeat, max_age_ms, limits.get(hours), latest);
    if (total) max_age_ms = limits.get((rule = hours));
    return { max_age_ms, rule, total, retry: law.retries(draft.attempt, limits.get(of("attempts"))) ? ["pending", "🔁 Retrying"] : undefined };
  };
}
