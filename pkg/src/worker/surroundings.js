// What the Worker takes of the app that it is embedded in: of its environment the names that are its own, and nothing else.

import { native, waitUntil } from "#platform";

/** The variables and secrets that the Worker reads: see README.md, "Configuration". */
const OWN = /^(STALE_DRAFTS(_API_TOKENS.*)?|JWT_SECRET|(CLEANUP|REPORT)_TOKEN(_NEXT)?|WEBHOOK_SECRET|(SLACK|DISCORD)_WEBHOOK_URL|DEMO_SIGN_IN)$/;

/** The bindings that it can do without. An app may have others by these names, so it says itself which they are. */
export const OPTIONAL = ["GENERATIONS", "EVENTS", "SWEEPS", "ANALYTICS", "RATE_LIMITER", "ARCHIVE", "ASK"];

/**
 * The environment as the Worker takes it.
 * @param {Record<string, any>} env the app's
 */
export function environment(env, { binding, bindings, config, languages }) {
  const own = Object.fromEntries(Object.entries(env).filter(([name]) => OWN.test(name)));
  for (const [name, theirs] of Object.entries(bindings)) if (env[theirs] !== undefined) own[name] = native(name, env[theirs]);
  if (config !== undefined) {
    if (env.STALE_DRAFTS !== undefined) throw new TypeError("The configuration is given twice, as `config` and as the variable `STALE_DRAFTS`: expected one of them");
    own.STALE_DRAFTS = config;
  }
  own.STALE_DRAFTS = spoken(bound(own.STALE_DRAFTS, binding), languages.tags);
  own.STALE_DRAFTS_TRANSLATIONS = languages.speakers;
  for (const name of databases(own.STALE_DRAFTS)) if (env[name] !== undefined) own[name] = native("DB", env[name]);
  return own;
}

/** The names of the databases: those of the shards, or the only one. If `shards` is not a list, the Worker refuses it. */
function databases({ binding, shards }) {
  return Array.isArray(shards) && binding === undefined ? shards.map((shard) => shard?.binding) : [binding];
}

/**
 * The table with the binding's name, unless it lists shards, which have their own. A secret holds the table as text; the Worker says what is
 * wrong with a text that is no table.
 */
function bound(table, binding) {
  if (typeof table !== "string") return table?.shards?.length ? table : { ...table, binding };
  try {
    return bound(JSON.parse(table), binding);
  } catch {
    return table;
  }
}

/** The table with the languages that the app gives texts for, beside English, unless it names them itself. */
function spoken(table, tags) {
  return typeof table === "string" || tags.length === 0 ? table : { languages: [...new Set(["en", ...tags])], ...table };
}

/** A context for calls that come without one: what may wait is waited for by the invocation that is under way. */
export const context = { waitUntil, passThroughOnException() {} };
