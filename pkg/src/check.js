// What a draft is: the rules decide, this converts.

import { core } from "#core";
import { BADGES, STATUSES, ageText, reason } from "./text.js";
import { millis, times } from "./time.js";

/** What is settled or unreadable is answered below every age: see `src/browser/draft.rs`. */
const SETTLED = -9e15;

/** What a policy may be instead of hours; the last is the default. */
const WORDS = ["never", "development", "budget", "production", undefined];

let lastPolicy = WORDS;
let lastLimit;

/** The limit of a policy and the rule that it comes from: what `policy()` gives is a function that answers for each draft. */
const limit = (draft, policy, latest) => {
  if (policy?.call) return policy(draft, latest);
  if (policy !== lastPolicy) {
    const ms = core.base(WORDS.indexOf(policy) + 1 || (typeof policy == "number" ? 0 : 6), policy);
    if (ms != ms) throw RangeError(`\`policy\` is \`${policy}\`: expected hours above 0, "never", a preset or a policy()`);
    lastPolicy = policy;
    lastLimit = { max_age_ms: ms, rule: null };
  }
  return lastLimit;
};

/** `now` as the two instants that it lies between: a clock knows its error. */
export const range = (now = Date.now()) => {
  const at = now.now?.() ?? millis(now);
  const error = now.error || 0;
  return { earliest: Math.floor(at - error), latest: at + error };
};

export const checkIn = (draft, policy, { earliest, latest }) => {
  let { status, error = null, error_code = null } = draft;
  const code = STATUSES.indexOf(status);
  const { max_age_ms, rule, total, retry } = limit(draft, policy, latest);
  const answer = core.classify(code, ...times(draft, total), max_age_ms, earliest, latest);
  let verdict = "settled";
  let badge = BADGES[code];
  let deadline = null;
  let age_ms = null;
  if (answer > SETTLED) {
    verdict = "fresh";
    error = error_code = null;
    deadline = answer;
    if (answer < 0) {
      verdict = "stale";
      age_ms = -answer;
      deadline = earliest - age_ms + max_age_ms;
      error = `Generation timeout: Task stuck in ${status} status for ${ageText(core.age(age_ms))}` + (draft.attempt > 1 ? `, after ${draft.attempt} attempts` : "");
      error_code = "generation_timeout";
      [status, badge] = retry ?? ["failed", BADGES[4]];
    }
  } else if (answer < SETTLED) {
    verdict = "unreadable";
    badge = BADGES[5];
    [error_code, error] = reason(SETTLED - answer, code);
  }
  return { verdict, status, badge, error, error_code, deadline: deadline < Infinity ? deadline : null, age_ms, max_age_ms, rule };
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
