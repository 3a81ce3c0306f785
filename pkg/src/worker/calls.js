// What the app's own code may ask, each as the route of the API that answers it: so it takes the same, gives the same, and fails
// by the same messages. No request leaves the Worker.

import { StaleDraftsError } from "../error.js";

const creation = (id, report = "") => `/api/creations/${encodeURIComponent(id)}${report}`;
const draft = (id, action = "") => `/api/drafts/${encodeURIComponent(id)}${action}`;
const post = (path, body) => ({ method: "POST", path, body });
/** What is made once, whatever the number of calls with the same key. */
const once = (path, { idempotency_key, ...body }) => ({ ...post(path, body), idempotency_key });

/** Each function: its route, from its arguments. A `user_id` beside it is on whose behalf the app calls. */
const ROUTES = {
  markStaleCreationsAsFailed: (options = {}) => ({ method: "POST", path: "/api/generate/cleanup-stale", query: options }),
  list: (user_id, page = {}) => ({ path: "/api/drafts", query: page, user: { user_id } }),
  balance: (user_id) => ({ path: "/api/balance", user: { user_id } }),
  ledger: (user_id, page = {}) => ({ path: "/api/ledger", query: page, user: { user_id } }),
  publish: (user_id, id) => ({ ...post(draft(id, "/publish")), user: { user_id } }),
  // On behalf of a user, or as the app itself.
  retry: (id, { user_id, ...attempt }) => (user_id === undefined ? post(creation(id, "/retry"), attempt) : { ...post(draft(id, "/retry"), attempt), user: { user_id } }),
  cancel: (id, { user_id, ...attempt } = {}) => (user_id === undefined ? post(creation(id, "/cancel"), attempt) : { ...post(draft(id, "/cancel"), attempt), user: { user_id } }),
  remove: (user_id, id) => ({ method: "DELETE", path: draft(id), user: { user_id } }),
  create: (creation) => once("/api/creations", creation),
  start: (id, report) => post(creation(id, "/start"), report),
  heartbeat: (id, report) => post(creation(id, "/heartbeat"), report),
  complete: (id, report) => post(creation(id, "/complete"), report),
  fail: (id, report) => post(creation(id, "/fail"), report),
  restore: (id) => post(creation(id, "/restore")),
  grant: (grant) => once("/api/grants", grant),
  explain: (id) => ({ path: creation(id) }),
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
