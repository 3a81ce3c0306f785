// What the app's own code may ask, each as the route of the API that answers it: so it takes the same, gives the same, and fails
// by the same messages. No request leaves the Worker.

import { StaleDraftsError } from "../error.js";

const creation = (id, report = "") => `/api/creations/${encodeURIComponent(id)}${report}`;
const draft = (id, action = "") => `/api/drafts/${encodeURIComponent(id)}${action}`;
const post = (path, body) => ({ method: "POST", path, body });
/** What is made once, whatever the number of calls with the same key. */
const once = (path, { idempotency_key, ...body }) => ({ ...post(path, body), idempotency_key });

/** Of an operator: `user_id` says whose it is, for an id that an app chose and several databases. */
const operate = (path, { user_id, ...body } = {}) => ({ ...post(path, body), query: { user_id } });

const quoted = (value) => `\`${JSON.stringify(value) ?? String(value)}\``;

/** The user's id, if it is one. A session that has ended has none, and what is asked for a user is never done as the app itself. */
function named(user_id, otherwise = "") {
  if (typeof user_id === "string" && user_id !== "") return user_id;
  throw new TypeError(`\`user_id\` is ${quoted(user_id)}: expected a text that is not empty${otherwise}`);
}

/** Options that name a user do so with an id: `undefined` is there, and not left out. */
function checkUser(options) {
  if (typeof options === "object" && options !== null && "user_id" in options) named(options.user_id, ", or no `user_id` where no user is meant");
}

/** A page of what is a user's. A `user_id` in it would ask for another one's, as an operator. */
function own(page = {}) {
  if ("user_id" in page) throw new TypeError(`\`user_id\` is ${quoted(page.user_id)} in the page: expected the user as the parameter before it`);
  return page;
}

/** On behalf of a user. */
const by = (user_id, route) => ({ ...route, user: { user_id: named(user_id) } });

/** On behalf of the user whom the options name; where they name none, as the app itself. */
function byEither(id, action, options = {}) {
  const { user_id, ...body } = options;
  return "user_id" in options ? by(user_id, post(draft(id, action), body)) : post(creation(id, action), body);
}

/** Each function: its route, from its arguments. A `user_id` beside it is on whose behalf the app calls. */
const ROUTES = {
  markStaleCreationsAsFailed: (options = {}) => ({ method: "POST", path: "/api/generate/cleanup-stale", query: options }),
  list: (user_id, page) => by(user_id, { path: "/api/drafts", query: own(page) }),
  activeDrafts: (user_id) => by(user_id, { path: "/api/drafts/active" }),
  balance: (user_id) => by(user_id, { path: "/api/balance" }),
  ledger: (user_id, page) => by(user_id, { path: "/api/ledger", query: own(page) }),
  publish: (user_id, id) => by(user_id, post(draft(id, "/publish"))),
  retry: (id, attempt) => byEither(id, "/retry", attempt),
  cancel: (id, attempt) => byEither(id, "/cancel", attempt),
  remove: (user_id, id) => by(user_id, { method: "DELETE", path: draft(id) }),
  create: (creation) => once("/api/creations", creation),
  start: (id, report) => post(creation(id, "/start"), report),
  heartbeat: (id, report) => post(creation(id, "/heartbeat"), report),
  complete: (id, report) => post(creation(id, "/complete"), report),
  fail: (id, report) => post(creation(id, "/fail"), report),
  restore: (id, whose) => operate(creation(id, "/restore"), whose),
  failNow: (id, failure) => operate(creation(id, "/fail-now"), failure),
  note: (id, note) => operate(creation(id, "/notes"), note),
  noteSweep: (id, note) => post(`/api/sweeps/${encodeURIComponent(id)}/notes`, note),
  extend: (id, extension) => operate(creation(id, "/extend"), extension),
  extendKind: (extension) => post("/api/extensions", extension),
  extensions: () => ({ path: "/api/extensions" }),
  endExtension: (kind) => ({ method: "DELETE", path: "/api/extensions", query: kind }),
  creations: (user_id, page) => ({ path: "/api/creations", query: { user_id: named(user_id), ...own(page) } }),
  search: (sought = {}) => ({ path: "/api/search", query: sought }),
  previewRetries: (which) => post("/api/retries/preview", which),
  retryMany: (plan) => post("/api/retries", plan),
  grant: (grant) => once("/api/grants", grant),
  explain: (id, whose = {}) => ({ path: creation(id), query: whose }),
  counts: (bands = {}) => ({ path: "/api/counts", query: bands }),
  sweeps: (page = {}) => ({ path: "/api/sweeps", query: page }),
  events: (page = {}) => ({ path: "/api/events", query: page }),
  replay: (which) => post("/api/events/replay", which),
  policy: () => ({ path: "/api/policy" }),
  shards: () => ({ path: "/api/shards" }),
  moveBuckets: (move) => post("/api/shards/moves", move),
  compactLedger: (compaction) => post("/api/ledger/compact", compaction),
  doctor: () => ({ path: "/api/doctor" }),
  // 503 is an answer here: what is in the way.
  health: () => ({ path: "/readyz", answers: 503 }),
};

export const NAMES = Object.keys(ROUTES);

/**
 * Calls one of the functions.
 * @param {(request: Request, caller?: string) => Promise<Response>} ask
 */
export async function call(ask, name, args) {
  for (const options of args) {
    checkUser(options);
    checkUser(options?.filter);
  }
  const { method = "GET", path, query = {}, body, idempotency_key, user, answers } = ROUTES[name](...args);
  const url = new URL(path, "https://stale-drafts.internal");
  for (const [key, value] of Object.entries(query)) if (value !== undefined && value !== null) url.searchParams.set(key, value);
  const headers = { "Content-Type": "application/json" };
  if (idempotency_key !== undefined) headers["Idempotency-Key"] = idempotency_key;
  const request = new Request(url, { method, headers, body: body && JSON.stringify(body) });
  const response = await ask(request, user && JSON.stringify(user));
  const text = await response.text();
  if (response.ok || response.status === answers) return JSON.parse(text);
  throw new StaleDraftsError(response.status, said(text));
}

/** An error's body; what is no JSON is none of the API's. */
function said(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { error: text, code: "unavailable" };
  }
}
