import type { Hours, PolicySettings, Status, Verdict } from "./index.js";

/** What goes on after an answer: the third parameter of a Worker's `fetch`. */
export interface ExecutionContext {
  waitUntil(promise: Promise<unknown>): void;
}

/** The configuration, as `vars.STALE_DRAFTS` has it: README.md, "Configuration". */
export interface Config {
  readonly policy?: PolicySettings;
  readonly [key: string]: unknown;
}

export interface Settings {
  /** The name of the D1 binding; by default `DB`. */
  readonly binding?: string;
  /** Below which path the routes are; by default `/stale-drafts`. `/` is every path of the host. */
  readonly basePath?: string;
  /** The configuration, if it is not in `env.STALE_DRAFTS`. */
  readonly config?: Config;
  /** The names that your Worker gives to bindings that are optional: `{ EVENTS: "DRAFT_EVENTS" }`. Without a name, none is used. */
  readonly bindings?: { readonly [name in "GENERATIONS" | "EVENTS" | "ANALYTICS" | "RATE_LIMITER"]?: string };
}

/** Why a call did nothing: what the API answers. */
export class StaleDraftsError extends Error {
  /** A stable word: `insufficient_tokens`, `not_found`, `invalid_request`. */
  readonly code: string;
  /** The status that the API answers with. */
  readonly status: number;
  /** What else says more, such as `balance`. */
  readonly details: Record<string, unknown>;
}

/** A creation as its owner sees it. Times are epoch ms. */
export interface Draft {
  readonly id: string;
  readonly kind: string;
  readonly prompt: string;
  /** By the verdict: a stale draft is failed, whatever the row says. */
  readonly status: Status;
  readonly verdict: Verdict["verdict"];
  readonly badge: string;
  readonly error: string | null;
  readonly error_code: string | null;
  readonly attempt: number;
  readonly tokens: number;
  readonly refunded_tokens: number;
  readonly created_at: number | null;
  readonly [key: string]: unknown;
}

export interface DraftsPage {
  /** The server's time. */
  readonly now: number;
  readonly user_id: string;
  readonly balance: number;
  readonly drafts: readonly Draft[];
  readonly next_cursor: string | null;
  /** How many of them this call has marked failed. */
  readonly marked_as_failed: number;
}

/** What a sweep did, or would do. */
export interface Sweep {
  readonly success: true;
  readonly dry_run: boolean;
  readonly sweep_id: string;
  readonly marked_as_failed: number;
  readonly refunded_tokens: number;
  readonly raced: number;
  readonly more: boolean;
  readonly [key: string]: unknown;
}

export interface Created {
  readonly id: string;
  readonly user_id: string;
  readonly kind: string;
  readonly status: "pending";
  readonly attempt: number;
  readonly tokens: number;
  readonly created_at: number;
}

export interface Started {
  readonly id: string;
  readonly status: "processing";
  readonly attempt: number;
  /** What the further reports of this attempt carry. */
  readonly fence: string;
  readonly user_id: string;
  readonly kind: string;
  readonly prompt: string;
  readonly started_at: number;
  /** How long it may send no heartbeat, in ms, once it has sent one. */
  readonly max_silence_ms: number | null;
}

export interface Health {
  readonly ready: boolean;
  readonly checks: { readonly configuration: string; readonly secrets: string; readonly schema: string; readonly sweep: string };
}

/** The functions of a Worker of its own, by a service binding; {@link StaleDrafts} has the same with `env` first. */
export interface StaleDraftsService {
  /** Fails what is stale, refunds it, and says what it did. `limit`: 1 to 1,000. */
  markStaleCreationsAsFailed(options?: { max_age_hours?: Exclude<Hours, "never">; user_id?: string; kind?: string; status?: "pending" | "processing"; dry_run?: boolean; limit?: number }): Promise<Sweep>;
  /** A user's drafts, the newest first, swept before. `limit`: 1 to 100. */
  list(user_id: string, page?: { limit?: number; cursor?: string }): Promise<DraftsPage>;
  /** Makes a creation and charges its owner; with the same `idempotency_key`, once. */
  create(creation: { user_id: string; kind: string; prompt: string; tokens: number; idempotency_key?: string }): Promise<Created>;
  /** A worker begins. */
  start(id: string, report: { worker: string }): Promise<Started>;
  /** Its worker is alive. `progress`: 0 to 100. */
  heartbeat(id: string, report: { fence: string; progress?: number }): Promise<{ id: string; status: "processing"; attempt: number; heartbeat_at: number }>;
  /** Its worker has a result. */
  complete(id: string, report: { fence: string; result_url: string }): Promise<{ id: string; status: "draft"; attempt: number; finished_at: number }>;
  /** Its worker can't make it; its owner is refunded. Without `fence`: nobody has begun. */
  fail(id: string, report: { fence?: string; error_code: string; error?: string }): Promise<{ id: string; status: "failed"; attempt: number; finished_at: number; refunded_tokens: number }>;
  /** Publishes a user's own draft. */
  publish(user_id: string, id: string): Promise<{ id: string; status: "published"; attempt: number }>;
  /** Deletes a user's own draft. */
  remove(user_id: string, id: string): Promise<{ id: string; status: Status; attempt: number; deleted_at: number }>;
  /** Accepts a result that came too late, and charges again. */
  restore(id: string): Promise<{ id: string; status: "draft"; attempt: number; restored_at: number; charged_tokens: number; result_url: string }>;
  /** Gives a user tokens, once for each `idempotency_key`. */
  grant(grant: { user_id: string; tokens: number; idempotency_key: string }): Promise<{ user_id: string; tokens: number; created_at: number; balance: number }>;
  /** All about one creation. */
  explain(id: string): Promise<Record<string, unknown>>;
  /** What is wrong, with its evidence. */
  doctor(): Promise<Record<string, unknown>>;
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
declare const entrypoint: new (ctx: any, env: any) => StaleDraftsService & { fetch(request: Request): Promise<Response>; scheduled(event: object): Promise<void> };
export default entrypoint;
