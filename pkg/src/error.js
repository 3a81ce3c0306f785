/** What a request could not do: the same as the API answers. */
export class StaleDraftsError extends Error {
  /** The API's answer: `error`, `code`, and what else says more. Only 401 has no code. */
  constructor(status, { error, code = "unauthorized", ...details }, { cause, retry_after_ms = null } = {}) {
    super(String(error), cause && { cause });
    this.name = "StaleDraftsError";
    this.status = status;
    this.code = code;
    this.details = details;
    this.retry_after_ms = retry_after_ms;
  }
}
