// A user's drafts list, kept true for a view: fetched when the view appears, followed while it is there, and fetched again
// when what is being generated is no longer what the list says.

import { range } from "./check.js";
import { judged, resultOf } from "./client.js";

/** So many drafts are followed at most: an older one that is missing there may still be generated. */
const FOLLOWED = 100;

export const draftsList = (client, { initial, policy, limit }) => {
  const listeners = new Set();
  let list = initial;
  /** What is being generated, by id; the ids that were in the last answer; and in the last one since the list was fetched. */
  let active = new Map();
  let told;
  let known;
  let error = null;
  let stop;
  let again;
  let loading;

  /** What a view shows: the same object for as long as it is the same. */
  const snapshot = () => ({
    drafts: (list?.drafts ?? []).map(followed),
    balance: list?.balance ?? null,
    status: error ? "error" : list ? "ready" : "loading",
    error,
    next_cursor: list?.next_cursor ?? null,
    refresh,
    publish,
    retry,
    cancel,
    remove,
  });

  /** A row with what has been heard of it. One that is settled stays so; of why one can't be read, the list knows more. */
  const followed = (row) => {
    const now = row.verdict == "settled" ? undefined : active.get(row.id);
    return now ? { ...row, ...now, ...(row.verdict == now.verdict && { error: row.error, error_code: row.error_code, error_params: row.error_params }) } : row;
  };

  const change = () => {
    shown = snapshot();
    for (const listener of listeners) listener();
  };

  const note = (problem) => {
    if (problem === error) return;
    error = problem;
    change();
  };

  /** Fetches the list; several who want it wait for the same answer. */
  const load = () => {
    const { signal } = stop ?? {};
    const asked = (loading ??= client.list({ limit, signal }).then((answer) => {
      const before = new Set(list?.drafts.map(({ id }) => id));
      // A draft that has come with it may end before the next question, and then the answer would be as the last one was.
      const came = told && answer.drafts.some(({ id, verdict }) => verdict != "settled" && !told.has(id) && !before.has(id));
      list = answer;
      active = new Map();
      known = undefined;
      error = null;
      change();
      if (came) again();
    }).finally(() => {
      if (loading === asked) loading = undefined;
    }));
    return asked;
  };

  /** Whether the list does not say what is being generated: a draft has come, or has ended. */
  const differs = (drafts) => {
    const ids = new Set(drafts.map(({ id }) => id));
    const rows = new Set(list.drafts.map(({ id }) => id));
    const came = (id) => !rows.has(id) && (known ? !known.has(id) : !list.next_cursor);
    const ended = ({ id, verdict }) => verdict != "settled" && !ids.has(id) && (known ? known.has(id) : ids.size < FOLLOWED);
    return [...ids].some(came) || list.drafts.some(ended);
  };

  const follow = async ({ balance, drafts }) => {
    told = new Set(drafts.map(({ id }) => id));
    // The list is newer than this answer then: the next one is held against it.
    if (!list || differs(drafts)) return load();
    active = new Map(drafts.map((draft) => [draft.id, draft]));
    known = told;
    list = { ...list, balance };
    change();
  };

  const begin = () => {
    stop = new AbortController();
    const { signal } = stop;
    // Beside the first question; if it fails, that is noted with the question, which needs it.
    if (!list) load().catch(() => {});
    again = client.watch(follow, { signal, initial: list, onError: note, get policy() { return policy; } });
    // What `watch` has told by now is the list's own.
    known = told = undefined;
  };

  const end = () => {
    stop.abort();
    loading = undefined;
  };

  /** A draft's row as it is after its owner did something with it. */
  const settle = (id, status) => {
    active.delete(id);
    if (!list) return;
    const after = (row) => {
      const changed = { ...row, stored_status: status };
      return judged(changed, resultOf(changed, undefined, range(client.clock)));
    };
    list = { ...list, drafts: list.drafts.flatMap((row) => (row.id != id ? row : status ? after(row) : [])) };
    change();
  };

  const refresh = async () => {
    await loading?.catch(() => {});
    await load();
  };

  const publish = async (id) => {
    const answer = await client.publish(id);
    settle(id, answer.status);
    return answer;
  };

  const remove = async (id) => {
    const answer = await client.remove(id);
    settle(id);
    return answer;
  };

  /** What changes more than a row's status: the list is asked for again. That it has happened does not depend on that. */
  const anew = async (answer) => {
    const said = await answer;
    await refresh().catch(() => {});
    return said;
  };
  const retry = (id, attempt) => anew(client.retry(id, attempt));
  const cancel = (id, attempt) => anew(client.cancel(id, attempt));

  let shown = snapshot();
  const first = shown;

  return {
    get: () => shown,
    /** As the server rendered it, for hydration. */
    first: () => first,
    judgeBy: (given) => {
      policy = given;
    },
    subscribe: (listener) => {
      listeners.add(listener);
      if (listeners.size == 1) begin();
      return () => {
        listeners.delete(listener);
        if (listeners.size == 0) end();
      };
    },
  };
};
