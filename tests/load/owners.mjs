// The owners: they look at their drafts, follow those that are being generated, publish and delete.

import { token } from "../worker/harness.mjs";

const DAY_S = 86_400;

/** The owners' sessions. `living` are the ids of creations that are not known to be over. */
export function owners({ journal, agenda, names, living, pause }) {
  const exp = Math.floor(Date.now() / 1_000) + DAY_S;
  const tokens = new Map(names.map((sub) => [sub, token({ sub, exp })]));
  const tags = new Map();

  async function look(session, action, path) {
    const user = session.rng.pick(names);
    const asked = { method: "GET", path, token: tokens.get(user) };
    // Some close the page before it has come.
    const answer = await session.once(action, session.rng.chance(0.03) ? { ...asked, cutAfter: session.rng.between(1, 12) } : asked);
    if (answer.is === "good" && action === "list") {
      const { user_id, swept, drafts } = answer.json;
      if (user_id !== user || !swept) journal.complain(`list: it is of ${user_id}, asked by ${user}; swept: ${swept}`);
      for (const { id, status, error } of drafts) {
        const life = journal.lives.get(id);
        if (life && life.user !== user) journal.complain(`list: ${id} of ${life.user} is shown to ${user}`);
        if (status === "failed" && !error) journal.complain(`list: ${id} has failed, and it is not said why`);
      }
    }
  }

  async function follow(session) {
    const user = session.rng.pick(names);
    const known = tags.get(user);
    const answer = await session.once("follow", { method: "GET", path: "/api/drafts/active", token: tokens.get(user), headers: known && { "If-None-Match": known } });
    if (answer.status === 304 && answer.headers.etag !== known) journal.complain(`follow: 304 with the tag ${answer.headers.etag}, asked with ${known}`);
    if (answer.status === 200) tags.set(user, answer.headers.etag);
  }

  const publish = (session, life) => session.report("publish", { path: `/api/drafts/${life.id}/publish`, token: tokens.get(life.user) }, life);
  function remove(session, life) {
    life.deleting = true;
    return session.report("delete", { method: "DELETE", path: `/api/drafts/${life.id}`, token: tokens.get(life.user) }, life);
  }

  return {
    page: (session) => look(session, "page", "/drafts"),
    list: (session) => look(session, "list", "/api/drafts"),
    follow,
    /** What becomes of a draft. */
    finished(session, life) {
      if (session.rng.chance(0.5)) agenda.in(session.rng.between(0, pause), (next) => publish(next, life));
      if (session.rng.chance(0.2)) agenda.in(session.rng.between(0, 2 * pause), (next) => remove(next, life));
    },
    /** Deletes one that may still be active; then it is refused. */
    async removeAny(session) {
      const id = session.rng.pick([...living]);
      if (id) await remove(session, journal.lives.get(id));
    },
  };
}
