// Guesses from names, declarations and rows. Each is shown before it is taken.

/** What columns are called, the likeliest first; compared without case and underscores. */
const NAMES = {
  user_id: ["user_id", "uid", "owner_id", "account_id", "customer_id", "profile_id", "member_id", "author_id", "created_by", "owner", "user", "account"],
  kind: ["kind", "media_type", "type", "task_type", "job_type", "mode"],
  prompt: ["prompt", "prompt_text", "input_prompt", "input", "description", "text"],
  status: ["status", "state", "job_status", "generation_status", "stage"],
  tokens: ["tokens", "credits", "credits_used", "token_cost", "credit_cost", "credits_cost", "credits_charged", "tokens_used", "cost", "price"],
  created_at: ["created_at", "created", "inserted_at", "submitted_at", "queued_at", "requested_at", "date_created", "timestamp"],
  started_at: ["started_at", "started", "processing_started_at", "start_time", "began_at"],
  heartbeat_at: ["heartbeat_at", "last_heartbeat_at", "last_heartbeat", "last_seen_at", "progress_at", "updated_at", "updated", "modified_at", "last_modified"],
  finished_at: ["finished_at", "completed_at", "ended_at", "done_at", "finished", "end_time"],
  error: ["error_message", "error", "error_text", "failure_reason", "fail_reason", "last_error", "failure"],
  result_url: ["result_url", "output_url", "image_url", "video_url", "asset_url", "media_url", "url", "result", "output"],
};
const TIMES = ["created_at", "started_at", "heartbeat_at", "finished_at"];

const WORDS = {
  pending: ["queued", "pending", "waiting", "created", "submitted", "scheduled", "new", "requested", "enqueued", "inqueue"],
  processing: ["processing", "running", "generating", "inprogress", "started", "starting", "working", "active", "rendering", "uploading", "busy"],
  draft: ["succeeded", "success", "completed", "complete", "done", "finished", "ready", "draft", "generated", "ok"],
  published: ["published", "public", "live"],
  failed: ["failed", "error", "errored", "failure", "timeout", "timedout", "cancelled", "canceled", "aborted", "expired", "rejected", "dead"],
};

const plain = (text) => String(text).toLowerCase().replace(/[^a-z0-9]/g, "");

/** The column of a table that is probably meant. */
const columnFor = (table, field) => NAMES[field].map((wanted) => table.columns.find(({ name }) => plain(name) === plain(wanted))).find(Boolean)?.name;

/** The columns that the fields are probably in; no column is in two. */
export function columns(table) {
  const taken = new Set(table.key.map(({ name }) => name));
  const found = {};
  for (const field of Object.keys(NAMES)) {
    const column = columnFor({ ...table, columns: table.columns.filter(({ name }) => !taken.has(name)) }, field);
    if (!column) continue;
    found[field] = column;
    taken.add(column);
  }
  return found;
}

/** The texts of `CHECK (status IN ('a', 'b'))`. */
export function checked(table, column) {
  const escaped = column.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const list = table.sql.match(new RegExp(`["'\`\\[]?${escaped}["'\`\\]]?\\s+IN\\s*\\(([^)]*)\\)`, "i"))?.[1];
  return list ? [...list.matchAll(/'((?:[^']|'')*)'|(-?\d+)/g)].map(([, word, number]) => (number === undefined ? word.replaceAll("''", "'") : Number(number))) : [];
}

/** Which words mean what: `{ pending, …, unknown }`. */
export function words(list) {
  const found = { pending: [], processing: [], draft: [], published: [], failed: [], unknown: [] };
  for (const word of list) {
    const status = Object.keys(WORDS).find((name) => WORDS[name].includes(plain(word)));
    found[status ?? "unknown"].push(word);
  }
  return found;
}

/** The word to write at a time-out: the nearest to one of those that mean failed. */
export const timedOut = (failed) => ["timedout", "timeout", "failed", "error"].map((wanted) => failed.find((word) => plain(word) === wanted)).find(Boolean) ?? failed[0];

const SQLITE = /^\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d(\.\d+)?)?)?$/;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;

function unitOf(value) {
  if (typeof value === "number") return value >= 1e11 ? "ms" : value >= 1e8 ? "s" : undefined;
  if (typeof value !== "string") return undefined;
  if (/^\d+$/.test(value)) return unitOf(Number(value));
  return ISO.test(value) ? "iso" : SQLITE.test(value) ? "sqlite" : undefined;
}

/** The unit of a time, by its values, else by its default; `{ unit }`, or `{ reason }`. */
export function unit(column, values) {
  const units = [...new Set(values.map(unitOf))];
  const quoted = (wanted) => `\`${values.find((value) => unitOf(value) === wanted)}\``;
  if (units.length > 1) return { reason: `its values differ in unit: ${units.map(quoted).join(" and ")}` };
  if (units.length === 1) return units[0] ? { unit: units[0] } : { reason: `its values, such as ${quoted(undefined)}, are in no unit that is known` };
  const fallback = String(column.dflt_value ?? "").toLowerCase().replace(/\s/g, "");
  if (/current_timestamp|datetime\('now'\)/.test(fallback)) return { unit: "sqlite" };
  if (/strftime\('%y-%m-%dt/.test(fallback)) return { unit: "iso" };
  if (/unixepoch|strftime\('%s'/.test(fallback)) return { unit: /1000/.test(fallback) ? "ms" : "s" };
  return { reason: "it has no values yet" };
}

/** The unit of the values, if they can't be read in the one that is given. */
export function otherUnit(given, values) {
  const units = [...new Set(values.map(unitOf))];
  const family = (unit) => (unit === "iso" ? "sqlite" : unit); // each reads both
  return units.length === 1 && units[0] && family(units[0]) !== family(given) ? units[0] : undefined;
}

/** The column that holds balances: of the table that the owner refers to, else of one called users or the like. */
export function balance(tables, table, owner) {
  const amount = ["credits", "tokens", "balance", "credit_balance", "token_balance", "coins"];
  const places = ["users", "user", "accounts", "account", "profiles", "profile", "customers", "members", "wallets", "wallet", "balances", "user_credits", "user_balances"];
  const referred = table.references.find(({ from }) => from === owner)?.table;
  const candidates = [referred, ...places].map((wanted) => wanted && tables.find(({ name }) => plain(name) === plain(wanted))).filter(Boolean);
  for (const found of candidates) {
    const column = amount.map((wanted) => found.columns.find(({ name }) => plain(name) === plain(wanted))).find(Boolean);
    const owns = NAMES.user_id.map((wanted) => found.unique.find((name) => plain(name) === plain(wanted))).find(Boolean);
    const key = owns ?? (found.key.length === 1 ? found.key[0].name : undefined);
    if (column && key) return { table: found.name, column: column.name, key };
  }
  return undefined;
}

/** The columns of the times that are known. */
export function times(table, found) {
  return TIMES.map((field) => found[field]).filter(Boolean);
}

export { TIMES };
