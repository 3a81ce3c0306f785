import type { Hours, PolicySettings, Preset, Status, TimeParams, TimeoutParams } from "./api.js";
import type { Texts } from "./texts.js";

export type { Config, Hours, KindLimits, Minutes, PolicySettings, Preset, Status, TimeParams, TimeoutParams } from "./api.js";
export type { Texts } from "./texts.js";

/**
 * A time: epoch milliseconds, a `Date` of any window or context, or RFC 3339 text with its zone, such as
 * `2026-01-01T12:00:00Z`. Anything else is malformed: text without a zone, a day that does not exist, digits in a string.
 */
export type Time = number | bigint | Date | string | null | undefined;

/**
 * A creation, by the names of its columns: a row of the database or a draft of `GET /api/drafts` can be given as it is.
 * Whatever is not understood gives a verdict that says so, never an exception.
 */
export interface Draft {
  /** One of {@link Status}; any other text is unreadable. */
  readonly status: Status | (string & {});
  /** Its kind, such as `image`: the key of a policy's limits per kind. */
  readonly kind?: string | null;
  /** Which attempt at generating it this is, from 1. */
  readonly attempt?: number;
  /** When it was asked for. */
  readonly created_at?: Time;
  /** When it was put back for another attempt. */
  readonly queued_at?: Time;
  /** When a worker began. */
  readonly started_at?: Time;
  /** When a worker last said that it is alive. */
  readonly heartbeat_at?: Time;
  /** Until when an operator has given it more time: it is not stale before. */
  readonly extended_until?: Time;
  /** Why it failed, if it has; passed on. */
  readonly error?: string | null;
  /** The same as a stable code; passed on. */
  readonly error_code?: string | null;
  /** What that text is made of, as the API gives it; passed on. */
  readonly error_params?: ErrorParams;
}

/** What an error's text is made of, rounded as it is said; `null` where it is not the rules' own. */
export type ErrorParams = TimeoutParams | TimeParams | null;

/** What the rules say of a draft. */
export interface Verdict {
  /** `settled`: not active. `fresh`: within its limit. `stale`: beyond it. `unreadable`: its age can't be known. */
  readonly verdict: "settled" | "fresh" | "stale" | "unreadable";
  /** `failed` for a stale draft, or `pending` if it is given another attempt; otherwise the draft's own. */
  readonly status: string;
  /** A sign and a word, such as `❌ Failed`. */
  readonly badge: string;
  /** The same as a stable code. */
  readonly badge_code: "pending" | "processing" | "draft" | "published" | "failed" | "retrying" | "needs_attention";
  /** Why it failed, or why its age can't be known. */
  readonly error: string | null;
  /** The same as a stable code: `generation_timeout`, `time_missing`, `time_malformed`, `time_implausible` (it looks like seconds), `time_in_future` (by more than a minute), `unknown_status`. */
  readonly error_code: string | null;
  /** What the text is made of: of a time-out `status`, `count`, `unit` and `attempts`, of a time that can't be read `field`. */
  readonly error_params: ErrorParams;
  /** The last instant at which it is not stale, in epoch ms; `null` for `never`, and for what is settled or unreadable. */
  readonly deadline: number | null;
  /** How long a stale draft has shown no sign of life, or has been processed in all, in ms; otherwise `null`. */
  readonly age_ms: number | null;
  /** The limit that it was judged by, in ms; `Infinity` for `never`, `null` for what is settled or unreadable. */
  readonly max_age_ms: number | null;
  /** The entry of the policy that the limit comes from, such as `kinds.video.processing`; `null` where the policy is one limit, and for what is settled or unreadable. */
  readonly rule: string | null;
  /** When the verdict changes by itself, in epoch ms: the draft goes stale, or is no longer in the future; `null` if it never does. */
  readonly changes_at: number | null;
  /** The deadline, where an operator has put it off beyond the policy's; otherwise `null`. */
  readonly extended_until: number | null;
}

/** A policy that has been understood: what {@link policy} gives. It answers with the limits of a kind, in ms, and the number of attempts; and with the entry that each limit comes from. */
export type Policy = (kind?: string | null) => { readonly limits: readonly number[]; readonly names: readonly string[] };

/** A clock that follows the server's: what {@link serverClock} gives. */
export interface Clock {
  /** The server's time, in epoch ms. */
  now(): number;
  /** How far it may be off, in ms, either way. */
  readonly error: number;
}

/** By what a draft is judged. */
export interface Options {
  /** The server's time; the page's own clock if left out or `null`. An invalid time is a `RangeError`. A draft within a clock's error of its deadline is not stale yet. */
  readonly now?: Time | Clock;
  /** After how long a draft is stale: hours, `"never"`, a preset or a {@link Policy}; 1 hour if left out. */
  readonly policy?: Hours | Preset | Policy;
  /** Another language for `badge` and `error`: what `texts()` of `stale-drafts/texts` gives. English if left out. */
  readonly texts?: Texts;
}

/**
 * What one draft is.
 *
 * @throws RangeError if `options.now` is an invalid time, or `options.policy` is not understood.
 * @example
 * check({ status: "pending", created_at: 1_699_934_480_000 }, { now: 1_700_000_000_000 }).error
 * // "Generation timeout: Task stuck in pending status for 18.2 hours"
 */
export function check(draft: Draft, options?: Options): Verdict;

/** What each of many drafts is, all at the same instant. */
export function checkAll(drafts: readonly Draft[], options?: Options): Verdict[];

/** The last instant at which a draft is not stale, in epoch ms: {@link Verdict.deadline}. */
export function deadline(draft: Draft, options?: Options): number | null;

/** The first instant at which one of the fresh drafts is stale, in epoch ms; `null` if none ever is. */
export function nextChange(drafts: readonly Draft[], options?: Options): number | null;

/** How many ms ago something was, in the words of the drafts page: `18.2 hours ago`. */
export function ago(ms: number, options?: { readonly texts?: Texts }): string;

/** How a list is watched. */
export interface WatchOptions {
  /** A clock, or the server's time, which goes on from the call; the page's own clock if left out. */
  readonly now?: Time | Clock;
  /** As in {@link Options}. */
  readonly policy?: Options["policy"];
  /** As in {@link Options}. */
  readonly texts?: Texts;
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

/**
 * Calls `onChange` with the verdicts at once, and again whenever one of them changes, with one timer. Give a function
 * for a list that itself changes.
 *
 * @example
 * const stop = new AbortController();
 * watch(drafts, { signal: stop.signal }, (verdicts) => render(verdicts));
 */
export function watch(drafts: readonly Draft[] | (() => readonly Draft[]), options: WatchOptions, onChange: (verdicts: Verdict[]) => void): void;

/**
 * A clock that follows the server's, whatever the page's own says. The server's instant lay between the two local ones;
 * it is taken for their middle, and the error is at most half of what lies between. It goes on by `performance.now()` or
 * `Date.now()`, whichever has advanced further, for one of them may stand still while the machine sleeps. It never goes back.
 *
 * @throws RangeError if `now` is an invalid time.
 * @param reading `now`: the server's time. `sent_at`, `received_at`: `performance.now()` before the request and after it.
 * @example
 * const sent_at = performance.now();
 * const { now, drafts } = await (await fetch("/api/drafts")).json();
 * const clock = serverClock({ now, sent_at, received_at: performance.now() });
 */
export function serverClock(reading: { readonly now: Time; readonly sent_at: number; readonly received_at: number }): Clock;

/**
 * Understands a policy, by the rules that the Worker uses and with its messages.
 *
 * @throws RangeError that names the key, quotes the value and says what would be right.
 * @example
 * const limits = policy({ max_age_hours: 1, kinds: { video: { processing: 6 } } });
 */
export function policy(settings: PolicySettings): Policy;
