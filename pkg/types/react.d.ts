import type { HTMLAttributes, ReactElement } from "react";
import type { Cancelled, Draft as Row, Drafts, Deleted, Published, Retried } from "./api.js";
import type { Client } from "./client.js";
import type { Clock, Draft, Options, Texts, Time, Verdict } from "./index.js";

/** By what a draft is judged in React. */
export interface VerdictOptions {
  /** The server's time as it rendered: server and hydration show the same by it, and time goes on from there. */
  readonly now?: Time;
  /** A clock for what comes after; without it `now` goes on, and without both the page's own clock. */
  readonly clock?: Clock;
  /** As in {@link Options}. */
  readonly policy?: Options["policy"];
  /** Another language. A badge has its `lang` and `dir` too. */
  readonly texts?: Texts;
}

/** What a draft is, kept up to date. The same object for as long as it says the same. */
export function useVerdict(draft: Draft, options?: VerdictOptions): Verdict;

/** `<span data-verdict>` with the badge of a draft, kept up to date. */
export function StaleBadge(props: VerdictOptions & { readonly draft: Draft } & HTMLAttributes<HTMLSpanElement>): ReactElement;

/** Whose drafts, and how they begin. */
export interface DraftsOptions {
  /** What `createClient()` gave, outside of the component: another client is another list. */
  readonly client?: Client;
  /** Instead: where the Worker is; `/stale-drafts` if left out. */
  readonly baseUrl?: string;
  /** What `list()` gave as the server rendered: shown at once, and followed from there. Only the first one counts. */
  readonly initial?: Drafts;
  /** In place of the Worker's own policy. */
  readonly policy?: Options["policy"];
  /** How many, 1 to 100. */
  readonly limit?: number;
  /** Another language for the badges and errors of `drafts`. */
  readonly texts?: Texts;
}

/** The drafts list of a user, and what its owner can do. */
export interface DraftsState {
  /** The newest first, each with its verdict as it is now. What is not known yet is not there. */
  readonly drafts: readonly Row[];
  /** Tokens; `null` while it is not known. */
  readonly balance: number | null;
  /** `loading`: nothing has been heard. `error`: the last request failed; what was known is still there, and it is tried again. */
  readonly status: "loading" | "ready" | "error";
  /** A `StaleDraftsError`, or what the client's `token` threw. */
  readonly error: unknown;
  /** For the next page: `client.list({ cursor })`. */
  readonly next_cursor: string | null;
  /** Fetches the list again: when a draft has been created, for instance. These are rejected with what goes wrong, which is no part of the state. */
  readonly refresh: () => Promise<void>;
  /** Publishes a draft. */
  readonly publish: (id: string) => Promise<Published>;
  /** Has a draft that has failed tried again, for its price: `attempt` is the draft's. */
  readonly retry: (id: string, attempt: number) => Promise<Retried>;
  /** Ends a draft that is not finished. */
  readonly cancel: (id: string, attempt?: number) => Promise<Cancelled>;
  /** Deletes a draft. */
  readonly remove: (id: string) => Promise<Deleted>;
}

/** The user's drafts, kept true while the component is there. The same object for as long as nothing changes. */
export function useDrafts(options?: DraftsOptions): DraftsState;
