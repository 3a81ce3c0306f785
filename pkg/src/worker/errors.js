/** What a call could not do: the same as the API answers. */
export class StaleDraftsError extends Error {
  /** @param {number} status @param {Record<string, unknown>} body the API's answer: `error`, `code`, and what else says more */
  constructor(status, { error, code = "unauthorized", ...details }) {
    super(String(error));
    this.name = "StaleDraftsError";
    this.status = status;
    this.code = code;
    this.details = details;
  }
}
