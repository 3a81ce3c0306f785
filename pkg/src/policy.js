// A policy object: which of its values apply, and what is wrong with one that is not understood, is the rules' to
// say; the words are those of `src/rules/policy.rs`, and the shared cases hold the two together.

import { law } from "#law";
import { core } from "#core";

const KEYS = ["max_age_hours", "preset", "pending", "processing", "kinds", ""];
const MEANINGS = ["never", "development", "budget", "production"];

const keyCode = (keys, at) => (at < keys.length ? (KEYS.indexOf(keys[at]) + 7) % 7 : 7);

/** A value as the rules write it. */
const valueText = (value) => (typeof value == "number" ? `${value}` : (JSON.stringify(value) ?? `${value}`));

/** What is wrong, by the codes of `setting` in `src/browser/policy.rs`. */
const problem = (code, key, value) =>
  code == 3
    ? "`preset` and `max_age_hours` exclude each other: give one"
    : (code < 5 ? `\`${key}\` is \`${value}\`` : `unknown key \`${key}\``) +
      ": expected " +
      [
        'hours above 0, such as `1` or `0.5`, or `"never"`',
        '`"development"` (10 minutes), `"budget"` (30 minutes) or `"production"` (1 hour)',
        "",
        "a table such as `kinds.video = { processing = 6 }`",
        "`preset`, `max_age_hours`, `pending`, `processing` or `kinds.<kind>`",
        "`max_age_hours`, `pending` or `processing`",
      ][code - 1];

export function policy(object) {
  const limits = new Map();
  const read = (value, keys) => {
    if (value && typeof value == "object" && !Array.isArray(value) && keys.length < 3) {
      for (const key in value) read(value[key], [...keys, key]);
      return;
    }
    const meaning = typeof value == "number" ? 0 : MEANINGS.indexOf(value) + 1 || 5;
    const other = limits.has(keys[0] == "preset" ? "max_age_hours" : "preset");
    const key = keys.join(".");
    const limit = law.setting(keyCode(keys, 0), keyCode(keys, 1), keyCode(keys, 2), meaning, value, +(keys.length < 2 && other));
    if (limit < 0) throw RangeError(problem(-limit, key, valueText(value)));
    limits.set(key, limit);
  };
  read(object, []);
  const basis = limits.has("preset") ? "preset" : "max_age_hours";
  const base = limits.get(basis) ?? core.base(5, 0);
  return ({ status, kind }) => {
    const names = [`kinds.${kind}.${status}`, `kinds.${kind}.max_age_hours`, status];
    const rule = law.rule(...names.map((name) => limits.get(name) ?? NaN));
    return rule < 3 ? { max_age_ms: limits.get(names[rule]), rule: names[rule] } : { max_age_ms: base, rule: basis };
  };
}
