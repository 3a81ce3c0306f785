// The rest of the app: takes the events of the outbox. It is not always well, so some come more than once.

import { createHmac } from "node:crypto";
import { createServer } from "node:http";

const SECRET = Buffer.from("n0t-Used-Anywhere-Else-Load-Webhook-8c14").toString("base64");

/** The secret as the Worker has it. */
export const WEBHOOK_SECRET = `whsec_${SECRET}`;

/** Takes events on this machine. `told` holds each with how often it came; `forged` those whose signature was wrong. */
export async function webhook(rng) {
  const told = new Map();
  const forged = [];
  const heard = { take: () => {} };
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature } = request.headers;
      const good = createHmac("sha256", Buffer.from(SECRET, "base64")).update(`${id}.${at}.${body}`).digest("base64");
      if (signature !== `v1,${good}`) forged.push(id);
      // Not taken, so it has to come again; or taken, and the answer says otherwise.
      const refused = rng.chance(0.02);
      if (!refused) {
        const event = JSON.parse(body);
        const known = told.get(event.id);
        told.set(event.id, { event, times: (known?.times ?? 0) + 1 });
        if (!known) heard.take(event);
      }
      response.writeHead(refused || rng.chance(0.01) ? 503 : 204).end();
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}/events`,
    told,
    forged,
    /** Says who is told of each event that is new. */
    listen: (take) => (heard.take = take),
    close: () => new Promise((done) => { server.close(done); server.closeAllConnections(); }),
  };
}
