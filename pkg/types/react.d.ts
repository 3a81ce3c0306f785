import type { HTMLAttributes, ReactElement } from "react";
import type { Clock, Draft, Options, Time, Verdict } from "./index.js";

/** By what a draft is judged in React. */
export interface VerdictOptions {
  /** The server's time as it rendered: server and hydration show the same by it, and time goes on from there. */
  readonly now?: Time;
  /** A clock for what comes after; without it `now` goes on, and without both the page's own clock. */
  readonly clock?: Clock;
  /** As in {@link Options}. */
  readonly policy?: Options["policy"];
}

/** What a draft is, kept up to date. The same object for as long as it says the same. */
export function useVerdict(draft: Draft, options?: VerdictOptions): Verdict;

/** `<span data-verdict>` with the badge of a draft, kept up to date. */
export function StaleBadge(props: VerdictOptions & { readonly draft: Draft } & HTMLAttributes<HTMLSpanElement>): ReactElement;
