// The whole Worker: embedded in an app's own by `staleDrafts()`, or by itself, as the default export.

import { Core, WorkerEntrypoint } from "#platform";
import { asset } from "./assets.js";
import { NAMES, call } from "./calls.js";
import { shipped, translations } from "./languages.js";
import { base, mounted, pathBelow, stripped } from "./mount.js";
import { OPTIONAL, context, environment } from "./surroundings.js";

export { StaleDraftsError } from "../error.js";

/** Calls a function of the API in an environment that is the Worker's own. */
const ask = (env, ctx) => (request, caller) => new Core(ctx, env).fetchTrusted(request, env, ctx, caller);

/** After how many seconds a message is delivered again whose database did not answer: the first time, the second, and from then on. */
const AGAIN_AFTER = [10, 30, 90];

/** Sweeps what the messages of the queue `SWEEPS` name, each by itself: one that fails is delivered again, and keeps nothing from the others. */
async function sweepShards(batch, core, env) {
  await Promise.all(batch.messages.map(async (message) => {
    try {
      await core.sweepShard(JSON.stringify(message.body ?? null), env);
      message.ack();
    } catch {
      message.retry({ delaySeconds: AGAIN_AFTER[message.attempts - 1] ?? AGAIN_AFTER.at(-1) });
    }
  }));
}

/** The environment of a Worker of its own, with the languages that ship. */
const speaking = (env) => ({ ...env, STALE_DRAFTS_TRANSLATIONS: shipped });

/** Stale Drafts as a part of a Worker. */
export function staleDrafts({ binding = "DB", basePath = "/stale-drafts", bindings = {}, config, texts } = {}) {
  const mount = base(basePath);
  const languages = translations(texts);
  const unknown = Object.keys(bindings).find((name) => !OPTIONAL.includes(name));
  if (unknown !== undefined) throw new TypeError(`Unknown binding \`${unknown}\`: expected ${OPTIONAL.map((name) => `\`${name}\``).join(", ")}`);
  const own = (env) => environment(env, { binding, bindings, config, languages });
  return {
    async fetch(request, env, ctx = context) {
      const path = pathBelow(mount, request.url);
      if (path === null) return null;
      return asset(request, path) ?? mounted(mount, await new Core(ctx, own(env)).fetch(stripped(request, path)));
    },
    async scheduled(event, env, ctx = context) {
      await new Core(ctx, own(env)).scheduled(event);
    },
    async queue(batch, env, ctx = context) {
      const surroundings = own(env);
      await sweepShards(batch, new Core(ctx, surroundings), surroundings);
    },
    ...Object.fromEntries(NAMES.map((name) => [name, async (env, ...args) => call(ask(own(env), context), name, args)])),
  };
}

/** Stale Drafts as a Worker of its own. Other Workers of the account call the same functions by a service binding. */
export default class StaleDrafts extends WorkerEntrypoint {
  async fetch(request) {
    return asset(request, new URL(request.url).pathname) ?? new Core(this.ctx, speaking(this.env)).fetch(request);
  }

  async scheduled(event) {
    await new Core(this.ctx, speaking(this.env)).scheduled(event);
  }

  async queue(batch) {
    const env = speaking(this.env);
    await sweepShards(batch, new Core(this.ctx, env), env);
  }
}
for (const name of NAMES) {
  StaleDrafts.prototype[name] = async function (...args) {
    return call(ask(speaking(this.env), this.ctx), name, args);
  };
}
