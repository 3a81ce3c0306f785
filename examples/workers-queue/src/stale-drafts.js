// A client of Stale Drafts for workers. Any request may be sent twice: a repeated one changes nothing and gets the same
// answer. So the client repeats requests that got no good answer.

const TIMEOUT_MS = 10_000;
const TRIES = 5;
const FIRST_WAIT_MS = 500;

/**
 * What `start` answers. `https://<your Worker>/openapi.json` describes every field.
 *
 * @typedef {object} Creation
 * @property {string} id
 * @property {string} kind
 * @property {string} prompt What its owner typed: untrusted text.
 * @property {string} user_id
 * @property {number} attempt
 * @property {string} fence Names this attempt. Every later report carries it.
 * @property {number | null} max_silence_ms How long there may be no heartbeat; null for as long as it likes.
 */

/** Nobody waits for this work: another worker has it, it is finished, or its time is over. Stopping is all there is to do. */
export class NotWanted extends Error {
  /** @param {{ code: string, error: string, kept: boolean }} answer */
  constructor({ code, error, kept }) {
    super(`${error} (${code})${kept ? "; the result is kept for an operator to restore" : ""}`);
    this.code = code;
    this.kept = kept;
  }
}

export class StaleDrafts {
  #fetcher;
  #token;

  /**
   * @param {Pick<Fetcher, "fetch">} fetcher The service binding.
   * @param {string} token A token with the scope `report`.
   */
  constructor(fetcher, token) {
    this.#fetcher = fetcher;
    this.#token = token;
  }

  /**
   * Begins an attempt. The same worker may begin again, and gets the same fence; another one is refused.
   *
   * @param {string} id
   * @param {string} worker Names this run of the task.
   * @returns {Promise<Creation>}
   */
  start(id, worker) {
    return this.#post(id, "start", { worker });
  }

  /**
   * Says that the work goes on.
   *
   * @param {Creation} creation
   * @param {number} [progress] A whole number from 0 to 100.
   */
  heartbeat({ id, fence }, progress) {
    return this.#post(id, "heartbeat", { fence, progress });
  }

  /**
   * Says where the result is.
   *
   * @param {Creation} creation
   * @param {string} result_url
   */
  complete({ id, fence }, result_url) {
    return this.#post(id, "complete", { fence, result_url });
  }

  /**
   * Says that there will be no result. Its owner is refunded.
   *
   * @param {Creation} creation
   * @param {string} error_code For programs: short, and always the same for the same reason.
   * @param {string} error For the owner to read.
   */
  fail({ id, fence }, error_code, error) {
    // A provider's text may be very long, or cut in the middle of a character. That must not prevent a refund.
    return this.#post(id, "fail", { fence, error_code, error: error.slice(0, 5_000).toWellFormed() || error_code });
  }

  /**
   * @param {string} id
   * @param {string} verb
   * @param {object} body
   * @returns {Promise<any>}
   */
  async #post(id, verb, body) {
    let problem = "";
    for (let tries = 0; tries < TRIES; tries += 1) {
      if (tries > 0) await scheduler.wait(FIRST_WAIT_MS * 2 ** (tries - 1));
      let status;
      let answer;
      try {
        // A service binding ignores the host.
        const response = await this.#fetcher.fetch(`https://stale-drafts/api/creations/${encodeURIComponent(id)}/${verb}`, {
          method: "POST",
          headers: { Authorization: `Bearer ${this.#token}`, "Content-Type": "application/json" },
          body: JSON.stringify(body),
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        status = response.status;
        answer = await response.json();
      } catch (error) {
        problem = status ? `${status}, and no JSON` : String(error);
        continue;
      }
      if (status === 200) return answer;
      if (status === 409) throw new NotWanted(answer);
      problem = `${status} ${answer.error}`;
      // No answer from the database, or too many requests: these pass. Other errors do not.
      if (status < 500 && status !== 429) break;
    }
    throw new Error(`${verb}: ${problem}`);
  }
}
