// Generates what Stale Drafts offers on the queue. Stale Drafts keeps the state; this Worker starts a creation, sends
// heartbeats and reports the result. It may die at any point: the queue delivers again, or the sweep steps in.

import { Refusal, render } from "./render.js";
import { NotWanted, StaleDrafts } from "./stale-drafts.js";

/** Cloudflare ends an invocation after 15 minutes, without a word. A rendering is given up before that, with one. */
const MAX_RENDER_SECONDS = 14 * 60;
/** How soon a message comes back that could not be dealt with. */
const RETRY_SECONDS = 30;
/** Between two heartbeats. More often only costs, less often shows progress late. */
const MIN_BEAT_SECONDS = 1;
const MAX_BEAT_SECONDS = 30;

/**
 * @typedef {object} Offer What Stale Drafts sends: `creation.created` and `creation.retried`.
 * @property {string} type
 * @property {{ creation_id: string }} data
 *
 * @typedef {import("./render.js").Env & { STALE_DRAFTS: Fetcher, STALE_DRAFTS_TOKEN: string, MAX_RENDER_SECONDS?: number }} Env
 */

export default {
  /**
   * @param {MessageBatch<Offer>} batch
   * @param {Env} env
   */
  async queue(batch, env) {
    const drafts = new StaleDrafts(env.STALE_DRAFTS, env.STALE_DRAFTS_TOKEN);
    await Promise.all(batch.messages.map((message) => handle(message, drafts, env)));
  },
};

/**
 * Deals with one message, and says to the queue whether that is done.
 *
 * @param {Message<Offer>} message
 * @param {StaleDrafts} drafts
 * @param {Env} env
 */
async function handle(message, drafts, env) {
  const id = message.body?.data?.creation_id;
  if (typeof id !== "string") {
    console.error(`message ${message.id} offers no creation`);
    return message.ack();
  }
  let delaySeconds = RETRY_SECONDS;
  try {
    // A message that is delivered again has the same id. So it continues its attempt, and is not taken for another worker.
    const creation = await drafts.start(id, message.id);
    const beat = beatSeconds(creation.max_silence_ms);
    // A returned message sends no heartbeats, so it must be here again before the heartbeat limit.
    delaySeconds = Math.min(delaySeconds, beat);
    console.log(`creation ${id}: ${await generate(creation, beat, drafts, env)}`);
    message.ack();
  } catch (error) {
    if (error instanceof NotWanted) {
      console.log(`creation ${id}: stopped, ${error.message}`);
      return message.ack();
    }
    console.error(`creation ${id}: tried again in ${delaySeconds} s, ${error}`);
    message.retry({ delaySeconds });
  }
}

/** @param {number | null} maxSilence in ms */
function beatSeconds(maxSilence) {
  // Two heartbeats may be lost before the limit.
  const third = Math.floor((maxSilence ?? Infinity) / 3_000);
  return Math.min(Math.max(third, MIN_BEAT_SECONDS), MAX_BEAT_SECONDS);
}

/**
 * Renders, with heartbeats, and reports the end.
 *
 * @param {import("./stale-drafts.js").Creation} creation
 * @param {number} beat seconds between two heartbeats
 * @param {StaleDrafts} drafts
 * @param {Env} env
 * @returns {Promise<string>} what came of it
 */
async function generate(creation, beat, drafts, env) {
  /** @type {number | undefined} */
  let percent;
  // If an earlier delivery of this message has finished the work, this is refused, and nothing is rendered again.
  await drafts.heartbeat(creation);

  const over = new AbortController();
  const { signal } = over;
  const progress = (/** @type {number} */ value) => { percent = Math.min(Math.max(Math.round(value), 0), 100); };
  const heartbeats = async () => {
    for (;;) {
      await scheduler.wait(beat * 1_000, { signal });
      await drafts.heartbeat(creation, percent).catch((error) => {
        // Only a refusal ends the work. A lost heartbeat is followed by another.
        if (error instanceof NotWanted) throw error;
        console.warn(`creation ${creation.id}: ${error.message}`);
      });
    }
  };
  const deadline = async () => {
    const seconds = Number(env.MAX_RENDER_SECONDS ?? MAX_RENDER_SECONDS);
    await scheduler.wait(seconds * 1_000, { signal });
    throw new Refusal("render_timeout", `The rendering took more than ${seconds} seconds`);
  };

  let url;
  try {
    // Whatever ends first. Only the rendering ends with a result.
    url = checked(await Promise.race([render(creation, { progress, signal, env }), heartbeats(), deadline()]));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    await drafts.fail(creation, error.code, error.message);
    return `failed, ${error.code}`;
  } finally {
    over.abort();
  }
  await drafts.complete(creation, url);
  return `completed, attempt ${creation.attempt}`;
}

/**
 * A result that Stale Drafts would not take must not be rendered again and again.
 *
 * @param {unknown} url
 */
function checked(url) {
  if (typeof url === "string" && /^https?:\/\/[!-~]+$/.test(url) && url.length <= 2_048) return url;
  throw new Refusal("bad_result", "The provider gave no usable address of a result");
}
