import type { ErrorCode } from "./api.js";

/** What the client and the Worker's functions reject with. */
export class StaleDraftsError extends Error {
  constructor(status: number, body: { error: string; code?: string; [key: string]: unknown }, more?: { cause?: unknown; retry_after_ms?: number | null });
  readonly name: "StaleDraftsError";
  /**
   * What is wrong, as a stable code: the API's own, or `network_error` (no answer came), or `unexpected_answer` (what came is not
   * the API's: something else answers there).
   */
  readonly code: ErrorCode | "network_error" | "unexpected_answer";
  /** The HTTP status; 0 where no answer came. */
  readonly status: number;
  /** What is wrong, quoting the input, and what would be right. */
  readonly message: string;
  /** What else the answer says: of a conflict, the creation's `status`, and in `next` what could follow. */
  readonly details: { readonly [key: string]: unknown };
  /** How many ms the server asks to wait before the next try; `null` if it does not say. */
  readonly retry_after_ms: number | null;
}
