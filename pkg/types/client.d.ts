import type { ActiveDraft, Cancelled, Deleted, Draft, Drafts, Published, Retried } from "./api.js";
import type { Clock, Options } from "./index.js";
import { StaleDraftsError } from "./error.js";

export * from "./api.js";
export { StaleDraftsError };

/** Where the Worker is, and who asks. */
export interface ClientOptions {
  /** Below which address its routes are; `/stale-drafts` if left out. */
  readonly baseUrl?: string | URL;
  /**
   * The user's token, or what gives the present one, asked for each request. Without it a page of the same origin is known by its
   * cookie, if the configuration names one; only to publish and to remove takes a token.
   */
  readonly token?: string | null | (() => string | null | undefined | Promise<string | null | undefined>);
  /** In place of the global `fetch`. */
  readonly fetch?: typeof fetch;
}

/** Which page of the list. */
export interface ListOptions {
  /** Rows on a page, 1 to 100; the Worker's own `page_size` if left out. */
  readonly limit?: number;
  /** The `next_cursor` of the page before. */
  readonly cursor?: string | null;
  /** Ends the request. */
  readonly signal?: AbortSignal;
}

/** A draft that is being generated, with what the rules say of it now, as {@link Draft} has it. */
export type FollowedDraft = Omit<ActiveDraft, "status"> & Pick<Draft, "status" | "stored_status" | "verdict" | "badge" | "badge_code" | "error" | "error_code" | "error_params" | "deadline">;

/** What is being generated for a user. */
export interface Followed {
  readonly user_id: string;
  /** Tokens. */
  readonly balance: number;
  /** The same order as in the API. */
  readonly drafts: FollowedDraft[];
}

/** How what is being generated is followed. */
export interface FollowOptions {
  /** Ends it. */
  readonly signal?: AbortSignal;
  /** How many ms after a change the next question comes; 3,000 if left out. It grows to ten times as many while nothing changes. */
  readonly interval?: number;
  /** In place of the Worker's own policy, which comes with its answers. */
  readonly policy?: Options["policy"];
  /** A list as it was rendered or fetched: what it holds is told at once, and followed from there. */
  readonly initial?: Drafts;
  /**
   * What goes wrong, and `null` when all is well again; it is tried again by itself. Without this, errors of the network and the
   * Worker are passed over, and those of `onChange` thrown.
   */
  readonly onError?: (error: unknown) => void;
}

/** The users' routes, for one user. Whatever goes wrong is a {@link StaleDraftsError}, but for what `signal` aborts and `token` throws. */
export interface Client {
  /** The server's clock, measured by the requests that were made; `undefined` before the first. */
  readonly clock: Clock | undefined;

  /** The user's drafts, swept first, the newest first. */
  list(options?: ListOptions): Promise<Drafts>;

  /**
   * Follows what is being generated: asks the Worker again and again, and judges by its clock and its policy in between, with one
   * timer. It asks seldom while nothing changes, and not at all while the page is hidden or nothing is being generated. After a
   * failure it waits longer each time, and as long as a `Retry-After` says.
   *
   * Calls `onChange` when something has changed: a draft has begun, gone on, ended or gone stale. One that gives a promise is waited
   * for; if that is rejected, the same comes again later.
   *
   * @returns what asks at once, and tells what it hears even if it is the same: for when you know that a draft has come.
   * @example
   * const stop = new AbortController();
   * client.watch(({ drafts }) => render(drafts), { signal: stop.signal });
   */
  watch(onChange: (followed: Followed) => void | Promise<void>, options?: FollowOptions): () => void;

  /** Publishes a draft. A draft that is none is a conflict: 409. */
  publish(id: string): Promise<Published>;

  /**
   * Has a draft that has failed generated once more, for its price. `attempt` is the draft's: the same one is retried once, however
   * often it is asked. A balance that does not cover it: 402.
   */
  retry(id: string, attempt: number): Promise<Retried>;

  /** Ends a draft that is not finished; with an `attempt`, only that one. What goes back, the policy's `cancel` says. */
  cancel(id: string, attempt?: number): Promise<Cancelled>;

  /** Deletes a draft, or one that has failed or is published. */
  remove(id: string): Promise<Deleted>;
}

/**
 * A client for the page's user.
 *
 * @example
 * const client = createClient({ token: () => session.token() });
 * const { drafts, balance } = await client.list({ limit: 50 });
 */
export function createClient(options?: ClientOptions): Client;
