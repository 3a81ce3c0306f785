// A framework that bundles an app's pages for Node runs them in a Worker all the same. There they can't load what is a Worker's own,
// and use what its entry has loaded.

const KEY = Symbol.for("stale-drafts/worker");

export const share = (platform) => { globalThis[KEY] = platform; };
export const shared = () => globalThis[KEY];
