import type { Act, ActiveDrafts, Balance, Cancel, Cancelled, Compaction, Complete, Completed, Config, Counts, Created, Creations, Deleted, Diagnosis, Drafts, Events, Explained, Extended, ExtensionEnded, Extensions, Fail, FailNow, Failed, Found, Granted, Health, Heartbeat, HeartbeatNoted, KindExtended, Ledger, MoveProgress, NewCompaction, NewCreation, NewExtension, NewGrant, NewKindExtension, NewMove, NewNote, NewRetries, NewRetryPreview, Policy, Published, Replay, Replayed, Restored, Retried, RetriedMany, Retry, RetryPreview, Shards, Start, Started, Status, SweepReport, Sweeps } from "./api.js";
import { StaleDraftsError } from "./error.js";
import type { Catalogue } from "./texts.js";

export * from "./api.js";
export { StaleDraftsError };

/** What goes on after an answer: the third parameter of a Worker's `fetch`. */
export interface ExecutionContext {
  waitUntil(promise: Promise<unknown>): void;
}

export interface Settings {
  /** The name of the D1 binding; by default `DB`. */
  readonly binding?: string;
  /** Below which path the routes are; by default `/stale-drafts`. `/` is every path of the host. */
  readonly basePath?: string;
  /** The configuration, if it is not in `env.STALE_DRAFTS`. */
  readonly config?: Config;
  /** Languages of your own for the drafts page, beside those that ship; or a shipped one with words of yours. They are spoken beside English, unless `config.languages` says which. */
  readonly texts?: readonly Catalogue[];
  /** The names that your Worker gives to bindings that are optional: `{ EVENTS: "DRAFT_EVENTS" }`. Without a name, none is used. */
  readonly bindings?: { readonly [name in "GENERATIONS" | "EVENTS" | "SWEEPS" | "ANALYTICS" | "RATE_LIMITER" | "ARCHIVE"]?: string };
}

/** A page of a list: `limit` is 1 to 100, and `cursor` the `next_cursor` of the page before. */
export interface PageOf {
  limit?: number;
  cursor?: string | null;
}

/** Whose a creation is: needed only for an id that your app chose, where there are several databases. A `user_id` that is there is a text that is not empty. */
export interface Whose {
  user_id?: string;
}

/** What to look for: whatever is given holds for each that is found. Times are epoch milliseconds, or text in UTC such as `2026-01-05T03:00Z`. */
export interface Search extends PageOf {
  status?: Status;
  kind?: string;
  user_id?: string;
  error_code?: string;
  /** Only what a sweep failed by this entry of the policy. */
  rule?: string;
  /** Made then or later. */
  since?: number | string;
  /** Made before then. */
  until?: number | string;
  /** Failed then or later, and not retried since. */
  failed_since?: number | string;
  /** Failed before then. */
  failed_until?: number | string;
  /** The newest first, or active ones, the longest silent first. */
  order?: "newest" | "silent";
}

/**
 * The functions of a Worker of its own, by a service binding; {@link StaleDrafts} has the same with `env` first.
 *
 * Where a `user_id` is there, it is a text that is not empty: for `undefined`, as of a session that has ended, each rejects with a
 * `TypeError`, and does nothing.
 */
export interface StaleDraftsService {
  /** Fails what is stale, refunds it, and says what it did. `limit`: 1 to 1,000. */
  markStaleCreationsAsFailed(options?: { max_age_hours?: number; user_id?: string; kind?: string; status?: "pending" | "processing"; dry_run?: boolean; limit?: number }): Promise<SweepReport>;
  /** A user's drafts, the newest first, swept before. `limit`: 1 to 100. */
  list(user_id: string, page?: PageOf): Promise<Drafts>;
  /** What is being generated for a user. It sweeps nothing, and reads little. */
  activeDrafts(user_id: string): Promise<ActiveDrafts>;
  /** A user's balance, swept before. */
  balance(user_id: string): Promise<Balance>;
  /** Where a user's tokens went, in words, swept before. `limit`: 1 to 100 creations. */
  ledger(user_id: string, page?: PageOf): Promise<Ledger>;
  /** Makes a creation and charges its owner; with the same `idempotency_key`, once. */
  create(creation: NewCreation & { idempotency_key?: string }): Promise<Created>;
  /** A worker begins. */
  start(id: string, report: Start): Promise<Started>;
  /** Its worker is alive. `progress`: 0 to 100. */
  heartbeat(id: string, report: Heartbeat): Promise<HeartbeatNoted>;
  /** Its worker has a result. */
  complete(id: string, report: Complete): Promise<Completed>;
  /** Its worker can't make it; its owner is refunded. Without `fence`: nobody has begun. */
  fail(id: string, report: Fail): Promise<Failed>;
  /** Publishes a user's own draft. */
  publish(user_id: string, id: string): Promise<Published>;
  /** Deletes a user's own draft. */
  remove(user_id: string, id: string): Promise<Deleted>;
  /** Accepts a result that came too late, and charges again. */
  restore(id: string, whose?: Whose): Promise<Restored>;
  /** Has a failed creation generated once more, and charges again: once for each `attempt`. With a `user_id`, only that user's; without one in it, as the app itself. */
  retry(id: string, retry: Retry & { user_id?: string }): Promise<Retried>;
  /** Ends what is not finished. What goes back, the policy's `cancel` says. With a `user_id`, only that user's; without one in it, as the app itself. */
  cancel(id: string, cancel?: Cancel & { user_id?: string }): Promise<Cancelled>;
  /** Fails what is active, as an operator, with all tokens back; its owner reads `error`. */
  failNow(id: string, failure: FailNow & Whose): Promise<Failed>;
  /** Notes what others should know of a creation. It is never its owner's to read. */
  note(id: string, note: NewNote & Whose): Promise<Act>;
  /** The same of a sweep. */
  noteSweep(id: string, note: NewNote): Promise<Act>;
  /** Gives a creation more time: either `minutes`, or `until` in epoch milliseconds. */
  extend(id: string, extension: NewExtension & Whose): Promise<Extended>;
  /** Gives all of a kind more time. While the answer has `more`, repeat it with its `until`. */
  extendKind(extension: NewKindExtension): Promise<KindExtended>;
  /** Which kinds have more time. */
  extensions(): Promise<Extensions>;
  /** Takes back what a kind has. While the answer has `more`, repeat it. */
  endExtension(kind: { kind: string }): Promise<ExtensionEnded>;
  /** A user's creations as they are, deleted ones among them, without sweeping. */
  creations(user_id: string, page?: PageOf & { status?: Status }): Promise<Creations>;
  /** Creations of all users, found by what they are. A page may be empty and have a `next_cursor` all the same: so far it has looked. */
  search(sought?: Search): Promise<Found>;
  /** What retrying many failed creations would do and charge: one of `filter`, `all` and `plan`. Nothing is written. */
  previewRetries(which: NewRetryPreview): Promise<RetryPreview>;
  /** Retries the creations of a preview's `plan`, as far as they are still as they were; `skipped` names the others, with the reason. */
  retryMany(plan: NewRetries): Promise<RetriedMany>;
  /** Gives a user tokens, once for each `idempotency_key`. */
  grant(grant: NewGrant & { idempotency_key: string }): Promise<Granted>;
  /** All about one creation; of one that is archived, where it is: then `archived` is in it. */
  explain(id: string, whose?: Whose): Promise<Explained>;
  /** Active creations by status, kind and age. `bands` are ages in ascending minutes. */
  counts(bands?: { bands?: readonly number[] }): Promise<Counts>;
  /** What swept, when, by whom, and what came of it. */
  sweeps(page?: PageOf): Promise<Sweeps>;
  /** The events that are not delivered: the dead letters, or those that are still being tried. */
  events(page?: PageOf & { state?: "dead" | "due" }): Promise<Events>;
  /** Tries dead letters again: either `ids`, or `all: true`. */
  replay(which: Replay): Promise<Replayed>;
  /** By what creations are judged. */
  policy(): Promise<Policy>;
  /** How full each database is, and what moves between them. */
  shards(): Promise<Shards>;
  /** Takes a move of buckets on. Repeat it until `done`. */
  moveBuckets(move: NewMove): Promise<MoveProgress>;
  /** Sums up what the ledger has of archived creations, of months before `before`. */
  compactLedger(compaction: NewCompaction): Promise<Compaction>;
  /** What is wrong, with its evidence. */
  doctor(): Promise<Diagnosis>;
  /** Whether it can do its work, and what is in the way. */
  health(): Promise<Health>;
}

/** Puts `env` before the parameters. */
type WithEnv<Service> = { [name in keyof Service]: Service[name] extends (...args: infer Args) => infer Result ? (env: object, ...args: Args) => Result : never };

/** Stale Drafts as a part of a Worker. */
export interface StaleDrafts extends WithEnv<StaleDraftsService> {
  /** Answers a request below the base path; `null` for any other. */
  fetch(request: Request, env: object, ctx?: ExecutionContext): Promise<Response | null>;
  /** Sweeps, watches and delivers, for the cron trigger. Rejects if the sweep failed. */
  scheduled(event: object, env: object, ctx?: ExecutionContext): Promise<void>;
  /** Sweeps the databases that the messages of the queue `SWEEPS` name: for a Worker with several databases, as its consumer. */
  queue(batch: MessageBatch, env: object, ctx?: ExecutionContext): Promise<void>;
}

/** What a consumer of a queue is given. */
export interface MessageBatch {
  readonly messages: readonly { readonly body: unknown; ack(): void; retry(): void }[];
}

/**
 * Stale Drafts as a part of a Worker.
 *
 * @throws TypeError for a `basePath` that is no path, and for an unknown binding.
 * @example
 * const drafts = staleDrafts({ binding: "DB", basePath: "/stale-drafts" });
 * export default {
 *   async fetch(request, env, ctx) { return (await drafts.fetch(request, env, ctx)) ?? app.fetch(request, env, ctx); },
 *   async scheduled(event, env, ctx) { await drafts.scheduled(event, env, ctx); },
 * };
 */
export function staleDrafts(settings?: Settings): StaleDrafts;

/** The Worker by itself: the default export of a Worker's `main`. */
declare const entrypoint: new (ctx: any, env: any) => StaleDraftsService & { fetch(request: Request): Promise<Response>; scheduled(event: object): Promise<void>; queue(batch: MessageBatch): Promise<void> };
export default entrypoint;
