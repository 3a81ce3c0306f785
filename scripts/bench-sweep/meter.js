// Stands before each contender: its clock stands, and what its database calls cost is counted, in rows as D1 bills them and in
// the time that it waits for them. What is left of the time is its own.

import { sweep } from "./contender.js";

function metered(database, meter) {
  const count = async (call, of) => {
    const before = performance.now();
    const answer = await call();
    meter.database_ms += performance.now() - before;
    for (const { meta } of of(answer)) {
      meter.queries += 1;
      meter.rows_read += meta.rows_read;
      meter.rows_written += meta.rows_written;
    }
    return answer;
  };
  const one = (statement) => ({
    bind: (...values) => one(statement.bind(...values)),
    run: () => count(() => statement.run(), (answer) => [answer]),
    all: () => count(() => statement.all(), (answer) => [answer]),
  });
  return new Proxy(database, {
    get(target, name) {
      // A batch gets the runtime's own statements.
      if (name === "batch") return (statements) => count(() => target.batch(statements), (answers) => answers);
      if (name === "prepare" && !BATCHES) return (sql) => one(target.prepare(sql));
      // The Worker looks at the constructor's name.
      return typeof target[name] === "function" && name !== "constructor" ? target[name].bind(target) : target[name];
    },
  });
}

/** Whether the contender calls the database by batches alone. */
let BATCHES = false;

export default {
  async fetch(request, env, context) {
    const orders = await request.json();
    if (orders.sql) return Response.json(await env.DB.batch(orders.sql.map((sql) => env.DB.prepare(sql))));
    BATCHES = env.BATCHES;
    // The lines of the log are written by the runtime, not by the contender.
    if (orders.quiet) console.log = () => {};
    Date.now = () => orders.now;
    const meter = { queries: 0, rows_read: 0, rows_written: 0, database_ms: 0 };
    const begun = performance.now();
    const result = await sweep({ ...env, DB: metered(env.DB, meter) }, orders, context);
    return Response.json({ ...result, ...meter, total_ms: performance.now() - begun });
  },
};
