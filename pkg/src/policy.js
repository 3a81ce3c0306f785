// A policy object: this walks through its settings, and the rules understand them and word what is wrong.

import { policy as rules } from "#policy";
import { fill, textOf } from "./text.js";

const text = /* @__PURE__ */ textOf(rules);

/** A kind's setting is at `kinds.<kind>.<key>`; no path is longer. */
const LONGEST = 3;

/** The settings of a table as pairs of a path and a value. An empty table is a value, unless it is one that holds kinds. */
const flatten = (value, path = []) => {
  if (!value || typeof value != "object" || Array.isArray(value) || path.length == LONGEST) return [[path, value]];
  const settings = Object.keys(value).flatMap((key) => flatten(value[key], [...path, key]));
  return settings.length || !path.length || path[0] == "kinds" ? settings : [[path, value]];
};

/** Gives a value to the rules; false if it is not understood. */
const give = (value) => {
  if (typeof value == "number") return rules.number(value);
  if (typeof value == "string") return rules.text(text.write(value));
  return typeof value == "boolean" ? rules.flag(value) : rules.other();
};

/** A value as messages show it. */
const shown = (value) => (typeof value == "string" ? `"${value}"` : typeof value == "object" ? JSON.stringify(value) : String(value));

/** Has the rules read the settings from their beginning. */
const understand = (settings) => {
  rules.begin();
  for (const [path, value] of settings) {
    for (const key of path) rules.key(text.write(key));
    if (!give(value)) throw RangeError(fill(text.read(rules.error()), { key: path.join("."), value: shown(value) }));
  }
};

/** What the settings give for a kind: the arguments of the rules' `limits`, and the name of each limit's entry. */
const limitsOf = (settings, kind) => {
  understand(settings.filter(([path]) => path.length < LONGEST || path[1] == kind));
  const places = [...Array(rules.limit_count()).keys()];
  return {
    limits: [...places.map((place) => rules.limit(place)), rules.attempts()],
    names: places.map((place) => fill(text.read(rules.rule(place)), { kind })),
  };
};

export function policy(object) {
  const settings = flatten(object);
  understand(settings);
  const others = limitsOf(settings);
  const kinds = new Map(settings.filter(([path]) => path.length == LONGEST).map(([[, kind]]) => [kind, limitsOf(settings, kind)]));
  return (kind) => kinds.get(kind) ?? others;
}
