// In Node: where frameworks develop and inspect an app, with its bindings as proxies of real ones (wrangler's `getPlatformProxy`).

import { shared } from "./shared.js";

// Loaded when it is first asked for: a build that only looks at what an app exports needs none of it, and a Worker may not compile it.
function local() {
  if (globalThis.navigator?.userAgent === "Cloudflare-Workers") throw new Error("`stale-drafts/worker` is bundled for Node and runs in a Worker: expected an import of it in the file that `main` names too");
  return { Core: require("#core").default, waitUntil() {} };
}
const platform = () => shared() ?? local();

export class Core {
  constructor(ctx, env) {
    const { Core } = platform();
    return new Core(ctx, env);
  }
}

export class WorkerEntrypoint {
  constructor(ctx, env) {
    Object.assign(this, { ctx, env });
  }
}

export const waitUntil = (promise) => platform().waitUntil(promise);

/** What the Rust Worker knows a binding by, which a proxy of it hasn't: the name of its class. */
const CLASSES = { DB: "D1Database", GENERATIONS: "WorkerQueue", EVENTS: "WorkerQueue", SWEEPS: "WorkerQueue", ANALYTICS: "AnalyticsEngineDataset", RATE_LIMITER: "Ratelimit", ARCHIVE: "R2Bucket" };

/** A binding as the Rust Worker takes it. */
export const native = (name, binding) => shared() ? binding : new Proxy(binding, {
  get(target, key) {
    if (key === "constructor") return { name: CLASSES[name] };
    const value = target[key];
    return typeof value === "function" ? value.bind(target) : value;
  },
});
