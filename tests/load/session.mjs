// One client: sends what is to be sent once, twice at once, twice in turn, or again after a connection that broke, for whom
// the outcome of the first is unknown. All reports may be repeated, so whatever comes of it has to be the same.

const read = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** A session of a client. */
export function session({ client, journal, rng, count }) {
  async function once(action, { method = "POST", path, ...options }, life, facts) {
    count();
    const answer = await client.ask(method, path, options);
    answer.json = read(answer.text);
    answer.code = answer.json?.code;
    answer.is = journal.note(action, answer, life);
    const { sent, ended, status, code, is, json } = answer;
    // A cut request may be carried out at any time after.
    const noted = { action, ...facts, sent, ended: status === 0 ? Infinity : ended, status, code, is, json: status === 0 ? undefined : json };
    life?.reports.push(noted);
    return answer;
  }

  /** The answer that counts: the first that is good. */
  const best = (answers) => answers.find(({ is }) => is === "good") ?? answers.at(-1);

  return {
    rng,
    once,
    /** Sends a report in one of the ways that it may come. `facts` go into the journal with it. */
    async report(action, request, life, facts) {
      const send = (more) => once(action, { ...request, ...more }, life, facts);
      const answers = await rng.weighted([
        [80, async () => [await send()]],
        [10, () => Promise.all([send(), send()])],
        [5, async () => [await send(), await send()]],
        [5, async () => [await send({ cutAfter: rng.between(1, 12) }), await send()]],
      ])();
      const good = answers.filter(({ is }) => is === "good").map(({ json }) => json);
      for (const key of ["id", "fence"]) {
        if (new Set(good.map((json) => json[key])).size > 1) journal.complain(`${action}: answered twice, with another \`${key}\`: ${JSON.stringify(good)}`);
      }
      return best(answers);
    },
  };
}
