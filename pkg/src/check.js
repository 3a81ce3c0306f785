// What a draft is: the rules decide and give the words, this converts.

import { draft as rules } from "#draft";
import { fill, textOf } from "./text.js";
import { millis } from "./time.js";

const text = /* @__PURE__ */ textOf(rules);
/** The fields of an answer, as `Answer` in src/browser/draft.rs has them. */
const VERDICT = 0;
const STATUS = 1;
const BADGE = 2;
const ERROR = 3;
const ERROR_CODE = 4;
const DEADLINE = 5;
const AGE = 6;
const MAX_AGE = 7;
const LIMIT = 8;
const CHANGES_AT = 9;
const EXTENDED_UNTIL = 10;
const UNIT = 11;
const COUNT = 12;
const ATTEMPT = 13;
const answer = /* @__PURE__ */ new Float64Array(/* @__PURE__ */ rules.memory.buffer, /* @__PURE__ */ rules.answer(), 14);
const split = (length) => text.read(length).split("\n");
const names = /* @__PURE__ */ split(/* @__PURE__ */ rules.names());
/** Where among the names the badges are; each is as far behind its code. */
const BADGES = 11;

/** A number of the rules, which is NaN where there is none. */
const orNull = (number) => (number == number ? number : null);

/** What the limits were last set by: a call into WebAssembly costs as much as a tenth of a verdict. */
let current = NaN;

/** Sets the limits: by one limit for everything, or by what a policy object gives for a kind. */
const setLimits = (by) => {
  if (by === current) return;
  if (by === undefined) rules.default_limit();
  else if (by?.limits) rules.limits(...by.limits);
  else if (!(typeof by == "number" ? rules.hours(by) : typeof by == "string" && rules.named_limit(text.write(by)))) {
    throw RangeError(fill(text.read(rules.no_policy()), { value: String(by) }));
  }
  current = by;
};

/** A reading of a clock as epoch ms. A wrong one is the caller's mistake, and judges nothing. */
export const instant = (reading) => {
  const at = millis(reading);
  if (!rules.is_now(at)) throw RangeError(fill(text.read(rules.no_now()), { value: String(reading) }));
  return at;
};

/** `now` as the two instants that it lies between: a clock knows its error. */
export const range = (now) => {
  // The page's own clock is nobody's mistake: if it is wrong, a draft is unreadable.
  const at = now == null ? Date.now() : instant(typeof now.now == "function" ? now.now() : now);
  const error = Math.abs(now?.error) || 0;
  return { earliest: Math.floor(at - error), latest: at + error };
};

/** What a text of the rules is made of: an age as it is written, or a time that can't be read. */
const params = (stale, status) => {
  const name = names[answer[UNIT]];
  return name ? (stale ? { status, count: answer[COUNT], unit: name, attempts: answer[ATTEMPT] } : { field: name }) : null;
};

export const checkIn = (draft, policy, { earliest, latest }, texts) => {
  const by = policy?.call ? policy(draft.kind) : policy;
  setLimits(by);
  rules.check(names.indexOf(draft.status), millis(draft.created_at), millis(draft.queued_at), millis(draft.started_at), millis(draft.heartbeat_at), millis(draft.extended_until), Number(draft.attempt), earliest, latest);
  const verdict = names[answer[VERDICT]];
  const settled = verdict == "settled";
  const said = {
    verdict,
    status: names[answer[STATUS]] ?? draft.status,
    badge: names[answer[BADGE] + BADGES],
    badge_code: names[answer[BADGE]],
    error: (settled ? draft.error : answer[ERROR] && text.read(answer[ERROR])) || null,
    error_code: (settled ? draft.error_code : names[answer[ERROR_CODE]]) ?? null,
    error_params: settled ? (draft.error_params ?? null) : params(verdict == "stale", draft.status),
    deadline: orNull(answer[DEADLINE]),
    age_ms: orNull(answer[AGE]),
    max_age_ms: orNull(answer[MAX_AGE]),
    rule: by?.names?.[answer[LIMIT]] ?? null,
    changes_at: orNull(answer[CHANGES_AT]),
    extended_until: orNull(answer[EXTENDED_UNTIL]),
  };
  return texts ? texts(said) : said;
};

export const check = (draft, { now, policy, texts } = {}) => checkIn(draft, policy, range(now), texts);

export const checkAll = (drafts, { now, policy, texts } = {}) => {
  const at = range(now);
  return drafts.map((draft) => checkIn(draft, policy, at, texts));
};

export const deadline = (draft, options) => check(draft, options).deadline;

/** The first instant at which one of the results may be another; Infinity if there is none. A loop: a list may be longer than a call's arguments. */
export const next = (results) => {
  let first = Infinity;
  for (const { changes_at } of results) if (changes_at != null && changes_at < first) first = changes_at;
  return first;
};

/** How many ms ago something was, in the words of the rules, or of another language. */
export const ago = (ms, { texts } = {}) => {
  const english = text.read(rules.ago(ms));
  return texts?.say("ago", names[answer[UNIT]], { count: answer[COUNT] }) ?? english;
};

export const nextChange = (drafts, options) => {
  const change = next(checkAll(drafts, options));
  return change < Infinity ? change : null;
};
