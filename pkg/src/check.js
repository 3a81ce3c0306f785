// What a draft is: the rules decide and give the words, this converts.

import { draft as rules } from "#draft";
import { fill, textOf } from "./text.js";
import { millis } from "./time.js";

const text = /* @__PURE__ */ textOf(rules);
const answer = /* @__PURE__ */ new Float64Array(/* @__PURE__ */ rules.memory.buffer, /* @__PURE__ */ rules.answer(), 9);
const list = (length) => text.read(length).split("\n");
const VERDICTS = /* @__PURE__ */ list(/* @__PURE__ */ rules.verdicts());
const STATUSES = /* @__PURE__ */ list(/* @__PURE__ */ rules.statuses());
const BADGES = /* @__PURE__ */ list(/* @__PURE__ */ rules.badges());
const ERROR_CODES = /* @__PURE__ */ list(/* @__PURE__ */ rules.error_codes());

/** A number of the rules, which is NaN where there is none. */
const orNull = (number) => (number == number ? number : null);

/** Sets the limits for a draft, and gives the names of their rules where a policy object has them. */
const setLimits = (policy, kind) => {
  if (policy?.call) {
    const { limits, names } = policy(kind);
    rules.limits(...limits);
    return names;
  }
  if (policy === undefined) rules.default_limit();
  else if (!(typeof policy == "number" ? rules.hours(policy) : typeof policy == "string" && rules.named_limit(text.write(policy)))) {
    throw RangeError(fill(text.read(rules.no_policy()), { value: String(policy) }));
  }
};

/** `now` as the two instants that it lies between: a clock knows its error. */
export const range = (now = Date.now()) => {
  const at = now.now?.() ?? millis(now);
  const error = now.error || 0;
  return { earliest: Math.floor(at - error), latest: at + error };
};

export const checkIn = (draft, policy, { earliest, latest }) => {
  const names = setLimits(policy, draft.kind);
  rules.check(STATUSES.indexOf(draft.status), millis(draft.created_at), millis(draft.queued_at), millis(draft.started_at), millis(draft.heartbeat_at), draft.attempt, earliest, latest);
  const [verdict, status, badge, length, code, deadline, age_ms, max_age_ms, limit] = answer;
  const settled = VERDICTS[verdict] == "settled";
  return {
    verdict: VERDICTS[verdict],
    status: STATUSES[status] ?? draft.status,
    badge: BADGES[badge],
    error: (settled ? draft.error : length && text.read(length)) || null,
    error_code: (settled ? draft.error_code : ERROR_CODES[code]) ?? null,
    deadline: orNull(deadline),
    age_ms: orNull(age_ms),
    max_age_ms: orNull(max_age_ms),
    rule: names?.[limit] ?? null,
  };
};

export const check = (draft, { now, policy } = {}) => checkIn(draft, policy, range(now));

export const checkAll = (drafts, { now, policy } = {}) => {
  const at = range(now);
  return drafts.map((draft) => checkIn(draft, policy, at));
};

export const deadline = (draft, options) => check(draft, options).deadline;

/** The first instant at which a fresh one among the results is stale; Infinity if there is none. */
export const next = (results) => Math.min(...results.map(({ verdict, deadline }) => (verdict == "fresh" && deadline != null ? deadline + 1 : Infinity)));

export const nextChange = (drafts, options) => {
  const change = next(checkAll(drafts, options));
  return change < Infinity ? change : null;
};
