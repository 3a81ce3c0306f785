import type { Balance, Cancel, Cancelled, Complete, Completed, Config, Created, Deleted, Diagnosis, Drafts, Explained, Fail, Failed, Granted, Health, Heartbeat, HeartbeatNoted, Ledger, NewCreation, NewGrant, Published, Restored, Retried, Retry, Start, Started, SweepReport } from "./api.js";
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

/** The functions of a Worker of its own, by a service binding; {@link StaleDrafts} has the same with `env` first. */
export interface StaleDraftsService {
  /** Fails what is stale, refunds it, and says what it did. `limit`: 1 to 1,000. */
  markStaleCreationsAsFailed(options?: { max_age_hours?: number; user_id?: string; kind?: string; status?: "pending" | "processing"; dry_run?: boolean; limit?: number }): Promise<SweepReport>;
  /** A user's drafts, the newest first, swept before. `limit`: 1 to 100. */
  list(user_id: string, page?: { limit?: number; cursor?: string | null }): Promise<Drafts>;
  /** A user's balance, swept before. */
  balance(user_id: string): Promise<Balance>;
  /** Where a user's tokens went, in words, swept before. `limit`: 1 to 100 creations. */
  ledger(user_id: string, page?: { limit?: number; cursor?: string | null }): Promise<Ledger>;
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
  restore(id: string): Promise<Restored>;
  /** Has a failed creation generated once more, and charges again: once for each `attempt`. With a `user_id`, only that user's. */
  retry(id: string, retry: Retry & { user_id?: string }): Promise<Retried>;
  /** Ends what is not finished. What goes back, the policy's `cancel` says. With a `user_id`, only that user's. */
  cancel(id: string, cancel?: Cancel & { user_id?: string }): Promise<Cancelled>;
  /** Gives a user tokens, once for each `idempotency_key`. */
  grant(grant: NewGrant & { idempotency_key: string }): Promise<Granted>;
  /** All about one creation; of one that is archived, where it is: then `archived` is in it. */
  explain(id: string): Promise<Explained>;
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
