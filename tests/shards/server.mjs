// The Worker over several databases in a process group of its own, so that it can be killed: `fleet.mjs` starts it. It says where it
// listens, and does what it is asked by messages.

import { probe } from "../load/environment.mjs";
import { start } from "../worker/harness.mjs";

const options = JSON.parse(process.argv[2]);
const world = await start({
  ...options,
  others: [probe(Object.fromEntries(Array.from({ length: options.shards }, (_, at) => [`DB_${at}`, `db_${at}`])))],
  // The runtime is a child of this process: both are in the group, and neither gets to say goodbye.
  die: () => process.kill(-process.pid, "SIGKILL"),
});

const DO = {
  order: ({ orders }) => world.order(orders),
  cost: () => world.cost(),
  logs: () => world.logs.splice(0),
  stop: () => world.stop(),
};

process.on("message", async ({ id, what, ...rest }) => {
  try {
    process.send({ id, answer: (await DO[what](rest)) ?? null });
  } catch (error) {
    process.send({ id, error: error.message });
  }
  if (what === "stop") process.disconnect();
});
process.send({ url: `http://127.0.0.1:${(await world.url()).port}`, direct: String(await world.directUrl("probe")) });
// Whoever started it is gone.
process.on("disconnect", () => process.kill(-process.pid, "SIGKILL"));
