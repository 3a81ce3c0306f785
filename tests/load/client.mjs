// HTTP as a client over the network speaks it, to this machine only.

import { Agent, request } from "node:http";

/** Nobody waits longer for an answer. */
const PATIENCE_MS = 30_000;

/** workerd closes a connection that was idle for 5 seconds, and says so nowhere: a request must not meet that. */
const IDLE_MS = 2_000;

/** A client of the Worker at `url`, with at most `sockets` connections. */
export function client(url, sockets) {
  const { hostname, port } = new URL(url);
  if (hostname !== "127.0.0.1") throw new Error(`the load goes to this machine only, not to ${hostname}`);
  const agent = new Agent({ keepAlive: true, maxSockets: sockets, timeout: IDLE_MS });
  return {
    /**
     * Sends a request. Gives `{ status, text, headers, sent, ended }`; `status` is 0 where no answer came, because the connection
     * was cut on purpose after `cutAfter` ms (`cut`) or because of `error`.
     */
    ask(method, path, { token, body, headers, cutAfter } = {}) {
      const sent = Date.now();
      const begun = process.hrtime.bigint();
      const text = body === undefined ? undefined : JSON.stringify(body);
      return new Promise((done) => {
        let timer;
        let cut = false;
        const end = (answer) => {
          clearTimeout(timer);
          done({ sent, ended: Date.now(), ns: process.hrtime.bigint() - begun, text: "", headers: {}, cut, ...answer });
        };
        const asked = request({
          agent, hostname, port, method, path,
          headers: { ...(token && { Authorization: `Bearer ${token}` }), ...(text !== undefined && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }), ...headers },
        }, (response) => {
          let answer = "";
          response.setEncoding("utf8");
          response.on("data", (part) => (answer += part));
          response.on("end", () => end({ status: response.statusCode, headers: response.headers, text: answer }));
          response.on("error", (error) => end({ status: 0, error: error.message }));
        });
        asked.on("error", (error) => end({ status: 0, error: cut ? undefined : error.message }));
        timer = setTimeout(() => {
          cut = cutAfter !== undefined;
          asked.destroy(new Error(`no answer within ${PATIENCE_MS} ms`));
        }, cutAfter ?? PATIENCE_MS);
        asked.end(text);
      });
    },
    close: () => agent.destroy(),
  };
}
