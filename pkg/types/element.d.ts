import type { Clock, Options, Texts, Verdict } from "./index.js";

/**
 * `<stale-badge status kind attempt created-at queued-at started-at heartbeat-at extended-until max-age-hours now>`: a badge that turns into
 * `❌ Failed` by itself. What the server rendered inside it stays as it is while it agrees. Fires `verdict`, with the verdict as its
 * `detail`. CSS: `--stale-badge-color`, `--stale-badge-background`, `--stale-badge-padding`, `--stale-badge-radius`,
 * `::part(badge)`, `[data-verdict]`.
 *
 * Importing the module defines the element; on a server it defines nothing.
 */
export class StaleBadge extends HTMLElement {
  /** What `now` is measured by. Without it the attribute `now`, the server's time, goes on; without both the page's own clock. */
  clock: Clock | undefined;
  /** Comes before the attribute `max-age-hours`. */
  policy: Options["policy"];
  /** Another language: the badge speaks it, and has its `lang` and `dir`. */
  texts: Texts | undefined;
  /** The verdict as it is now. */
  readonly result: Verdict;
}

declare global {
  interface HTMLElementTagNameMap {
    "stale-badge": StaleBadge;
  }
  interface HTMLElementEventMap {
    verdict: CustomEvent<Verdict>;
  }
}
