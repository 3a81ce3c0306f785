// Makes an image or a video. This is the file to replace with your own.

/** The provider will not make this, however often it is asked. The owner reads the text, and is refunded. */
export class Refusal extends Error {
  /**
   * @param {string} code For programs: short, and always the same for the same reason.
   * @param {string} text For the owner to read.
   */
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

/**
 * Renders a creation.
 *
 * - It calls `progress` with percent as often as it likes.
 * - It stops when `signal` is aborted: nobody waits for the result any more.
 * - It throws a `Refusal` for what can't be made. Any other error is tried again a little later.
 *
 * @param {import("./stale-drafts.js").Creation} creation
 * @param {{ progress: (percent: number) => void, signal: AbortSignal, env: Env }} tools
 * @returns {Promise<string>} Where the result is: an address with `https://`.
 *
 * @typedef {object} Env
 * @property {string} [PROVIDER_URL]
 * @property {number} [PRETEND_SECONDS]
 */
export function render(creation, tools) {
  return tools.env.PROVIDER_URL ? ask(tools.env.PROVIDER_URL, creation, tools) : pretend(creation, tools);
}

/** The provider's answers that are about what was asked for. Anything else (a wrong key, too busy, broken) may pass. */
const REFUSALS = [400, 422, 451];

/**
 * Asks a provider: `{ kind, prompt }` goes there, `{ url }` or `{ error }` comes back.
 *
 * @param {string} url
 * @param {import("./stale-drafts.js").Creation} creation
 * @param {{ signal: AbortSignal }} tools
 */
async function ask(url, { kind, prompt, fence }, { signal }) {
  const response = await fetch(url, {
    method: "POST",
    // A continued attempt sends the same key: a provider that knows keys is not paid twice.
    headers: { "Content-Type": "application/json", "Idempotency-Key": fence },
    body: JSON.stringify({ kind, prompt }),
    signal,
  });
  /** @type {{ url?: unknown, error?: unknown }} */
  const answer = (await response.json().catch(() => null)) ?? {};
  if (response.ok && typeof answer.url === "string") return answer.url;
  const error = typeof answer.error === "string" ? answer.error : `The provider answered ${response.status}`;
  throw REFUSALS.includes(response.status) ? new Refusal("provider_rejected", error) : new Error(error);
}

/**
 * Pretends. A prompt with the word `forbidden` is refused, so that you can see what becomes of it.
 *
 * @param {import("./stale-drafts.js").Creation} creation
 * @param {{ progress: (percent: number) => void, signal: AbortSignal, env: Env }} tools
 */
async function pretend({ id, prompt }, { progress, signal, env }) {
  if (prompt.includes("forbidden")) throw new Refusal("provider_rejected", "The prompt was rejected by the content filter");
  for (let percent = 0; percent < 100; percent += 5) {
    progress(percent);
    await scheduler.wait(Number(env.PRETEND_SECONDS ?? 20) * 50, { signal });
  }
  return `https://example.com/${id}.png`;
}
