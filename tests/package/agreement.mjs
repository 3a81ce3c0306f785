// Drafts and policies by a seed, most of them near a limit, and what a build of the package answers to them. It runs in Node
// and in workerd.

import { random } from "../../scripts/random.mjs";

export const MAX = 8.64e15;
const NOON = 1_700_000_000_000;
const DRAFTS = 20;
const KINDS = ["image", "video", "pending", "undefined", "null", "$.ключ'\"[0]", "a.b"];
const GARBAGE = [1.5, -1, -0.5, MAX + 1, 2 ** 53, 1e300, -1e300, Infinity, -Infinity, NaN, 5e-324, "soon", "", "2023-11-14", "1700000000000", true, {}, [], [5]];
const WRONG = [0, -0, -1, NaN, Infinity, -Infinity, 1e21, 1.5e-7, 5e-324, 2_400_000_000.1, 101, 1.5, "1", "Never", "a\"b\\\n\u0001ü", "", null, undefined, [], [1], { x: 1 }, true, false];

/** One policy, and drafts that are judged by it. */
export function batch(seed, number) {
  const next = random(Math.imul(seed, 0x9e3779b1) + Math.imul(number + 1, 0x85ebca6b));
  const below = (bound) => Math.floor(next() * bound);
  const pick = (list) => list[below(list.length)];
  const chance = (share) => next() < share;
  const wrong = chance(0.2);
  const term = () => (chance(0.15) ? "never" : chance(0.7) ? pick([0.01, 0.5, 1, 1.5, 2, 24]) : chance(0.9) ? 0.001 + next() * 50 : pick([1 / 60_000, 1e-5, next() * 2.4e9, 2.4e9]));
  const value = (right) => (wrong && chance(0.15) ? pick(WRONG) : right());
  const own = (keys) => {
    const table = {};
    for (const key of keys) if (chance(0.4)) table[key] = value(key === "attempts" ? () => 1 + below(4) : term);
    if (wrong && chance(0.2)) table[pick(["x", "preset", "", "__proto_", "kinds", "keep_late_results"])] = value(term);
    return table;
  };
  const statuses = ["pending", "processing", "heartbeat_minutes", "total_hours", "attempts"];
  const table = () => {
    const policy = own(statuses);
    if (chance(0.6)) policy[chance(0.5) ? "max_age_hours" : "preset"] = value(chance(0.5) ? term : () => pick(["development", "budget", "production"]));
    if ("preset" in policy && !wrong) policy.preset = pick(["development", "budget", "production"]);
    if (wrong && chance(0.3)) policy[pick(["max_age_hours", "preset"])] = value(term);
    if (wrong && chance(0.2)) Object.assign(policy, { max_age_hours: 1, preset: "budget" });
    if (chance(0.2)) policy.keep_late_results = value(() => chance(0.5));
    if (chance(0.6)) {
      policy.kinds = {};
      for (const kind of KINDS) if (chance(0.3)) policy.kinds[kind] = value(() => own(["max_age_hours", ...statuses]));
      if (wrong && chance(0.1)) policy.kinds[""] = own(statuses);
    }
    return policy;
  };
  // One limit for everything is given as it is.
  const plain = chance(0.2);
  const policy = plain ? value(() => pick([undefined, "never", "development", "budget", "production", term()])) : value(table);
  const settings = plain ? base(policy) : flat(policy, []);

  const at = pick([() => NOON + below(2_000_000), () => 1e12 + below(10), () => MAX - below(10), () => 1e12 + Math.floor(next() * (MAX - 1e12)), () => NOON + next() * 1_000])();
  const error = chance(0.3) ? pick([0.5, 1, 50, below(5_000_000)]) : 0;
  const now = error > 0 ? { now: () => at, error } : chance(0.3) ? new Date(at) : at;
  const clock = error > 0 ? at : +new Date(at);
  const earliest = Math.min(Math.max(Math.floor((now instanceof Date ? clock : at) - error), 0), MAX);
  const latest = Math.min(Math.floor((now instanceof Date ? clock : at) + error), MAX);

  const limits = settings.filter(([, type]) => type === "number").map(([path, , text]) => Math.round(+text * (path.at(-1) === "heartbeat_minutes" ? 60_000 : 3_600_000)));
  limits.push(3_600_000, 600_000, 1_800_000, 0);
  const instant = () => (chance(0.5) ? latest : earliest) - (chance(0.75) ? pick(limits) + below(5) - 2 : chance(0.8) ? below(100_000_000) - 3 : Math.floor(next() * MAX));
  const time = () => {
    if (chance(0.35)) return [pick([null, undefined]), null];
    if (chance(0.03)) return [pick(GARBAGE), "garbage"];
    if (chance(0.03)) return pick([[0, 0], [-0, 0], [MAX, MAX], [1e12, 1e12], [1e12 - 1, 1e12 - 1], [1_700_000_000, 1_700_000_000]]);
    if (chance(0.03)) return Array(2).fill(latest + 59_999 + below(3));
    const millis = instant();
    const inYears = millis >= 0 && millis < 253_402_300_800_000;
    // As a `Date` or as text it is the same; before the epoch it is malformed either way.
    const written = chance(0.8) || Math.abs(millis) > MAX ? millis : chance(0.5) || !inYears ? new Date(millis) : new Date(millis).toISOString();
    return [written, millis];
  };
  const drafts = Array.from({ length: DRAFTS }, () => {
    const times = { created_at: time(), queued_at: time(), started_at: time(), heartbeat_at: time(), extended_until: time() };
    const status = chance(0.8) ? pick(["pending", "processing", "processing"]) : pick(["draft", "published", "failed", "PENDING", "", "constructor", "attempts", undefined]);
    const kind = chance(0.9) ? pick(KINDS) : pick([undefined, null, "", "image.pending"]);
    const attempt = chance(0.9) ? pick([undefined, 1, 2, 3, 4]) : pick([0, 99, 100, 101, 4_294_967_295]);
    const given = { status, kind, attempt };
    const plain = { status, kind, attempt };
    for (const [key, [written, millis]] of Object.entries(times)) [given[key], plain[key]] = [written, millis];
    return { given, plain };
  });
  return { policy, plain, now, native: { settings, earliest, latest, drafts: drafts.map(({ plain }) => plain) }, drafts: drafts.map(({ given }) => given) };
}

/** A policy that is one limit, as settings. */
function base(policy) {
  if (policy === undefined) return [];
  return [[[["development", "budget", "production"].includes(policy) ? "preset" : "max_age_hours"], ...leaf(policy)]];
}

/** A policy object as settings, as the Worker's configuration reads it. */
function flat(value, path) {
  if (value && typeof value === "object" && !Array.isArray(value) && path.length < 3) return Object.keys(value).flatMap((key) => flat(value[key], [...path, key]));
  return [[path, ...leaf(value)]];
}

function leaf(value) {
  if (typeof value === "number") return ["number", String(value)];
  return typeof value === "string" ? ["text", value] : ["other", JSON.stringify(value) ?? String(value)];
}

/** What a build answers to a batch, as the native rules answer it. */
export function answer({ check, checkAll, policy: understand }, { policy, plain, now, drafts }) {
  try {
    const limits = plain ? policy : understand(policy);
    const verdicts = drafts.map((draft) => check(draft, { now, policy: limits }));
    if (JSON.stringify(checkAll(drafts, { now, policy: limits })) !== JSON.stringify(verdicts)) return { error: "checkAll differs from check" };
    return { verdicts: verdicts.map((result) => row(result, plain)) };
  } catch (error) {
    return { error: error instanceof RangeError ? error.message : `${error.name}: ${error.message}` };
  }
}

function row({ verdict, status, badge, badge_code, error, error_code, error_params, deadline, age_ms, max_age_ms, rule, extended_until }, plain) {
  const limited = verdict === "fresh" || verdict === "stale";
  const shown = [verdict, status ?? null, badge, error, error_code, deadline, age_ms];
  return [...shown, limited ? (max_age_ms === Infinity ? "Infinity" : max_age_ms) : null, limited && !plain ? rule : null, extended_until, badge_code, error_params];
}
