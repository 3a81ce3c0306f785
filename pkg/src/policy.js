// A policy object: which of its values apply, and what is wrong with one that is not understood, is the rules' to
// say; the words are those of `src/rules/policy.rs`, and the shared cases hold the two together.

import { law } from "#law";
import { core } from "#core";

const KEYS = ["max_age_hours", "preset", "pending", "processing", "kinds", ""];
const MEANINGS = ["never", "development", "budget", "production"];
const HOURS = 'hours above 0, such as `1` or `0.5`, or `"never"`';

const keyCode = (keys, at) => (at < keys.length ? (KEYS.indexOf(keys[at]) + 7) % 7 : 7);

/** A number as the rules write it. */
const numberText = (number) => {
  const size = Math.abs(number);
  return size < 1e-6 || size >= 1e21 ? (size ? `${number.toExponential ? number : ""}`.replace("e+", "e") : "0") : `${number}`;
};

const valueText = (value) => (typeof value == "number" ? numberText(value) : (JSON.stringify(value) ?? `${value}`));

const PROBLEMS = [
  (key, value) => `\`${key}\` is \`${value}\`: expected ${HOURS}`,
  (key, value) => `\`${key}\` is \`${value}\`: expected \`"development"\` (10 minutes), \`"budget"\` (30 minutes) or \`"production"\` (1 hour)`,
  () => "`preset` and `max_age_hours` exclude each other: give one",
  (key, value) => `\`${key}\` is \`${value}\`: expected a table such as \`kinds.video = { processing = 6 }\``,
  (key) => `unknown key \`${key}\`: expected \`preset\`, \`max_age_hours\`, \`pending\`, \`processing\` or \`kinds.<kind>\``,
  (key) => `unknown key \`${key}\`: expected \`max_age_hours\`, \`pending\` or \`processing\``,
];

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
    if (limit < 0) throw new RangeError(PROBLEMS[-limit - 1](key, valueText(value)));
    limits.set(key, limit);
  };
  read(object, []);
  const basis = limits.has("preset") ? "preset" : "max_age_hours";
  const base = limits.get(basis) ?? core.base(5, 0);
  return ({ status, kind }) => {
    const names = [`kinds.${kind}.${status}`, `kinds.${kind}.max_age_hours`, status];
    const rule = law.rule(...names.map((name) => limits.get(name) ?? NaN));
    return rule < 3 ? [limits.get(names[rule]), names[rule]] : [base, basis];
  };
}
