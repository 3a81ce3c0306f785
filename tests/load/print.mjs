// What a run prints.

const MB = 1_048_576;
const SHOWN = 20;
const number = (value) => value.toLocaleString("en");
const ms = (ns) => (Number(ns) / 1e6).toFixed(1);
const row = (first, ...cells) => first.padEnd(12) + cells.map((cell) => String(cell).padStart(9)).join("");

function memory(name, seen) {
  if (!seen) return `${name.padEnd(12)}n/a`;
  const mb = (bytes) => (bytes / MB).toFixed(0);
  return row(name, mb(seen.first), mb(seen.middle), mb(seen.peak), mb(seen.last));
}

/** The text of a run's results. */
export function print({ seed, seconds, clients, rate, limits, took, requests, drained, actions, memory: used, rows, bytes, statuses, events, checks, found }) {
  const lines = [
    `seed ${seed}, ${seconds} s, ${clients} clients${rate ? `, at most ${rate} requests a second` : ""}; limits: ${limits.silence} ms, between heartbeats ${limits.heartbeat} ms, songs in all ${limits.total} ms`,
    "",
    `${row("action", "answered", "refused", "held", "cut", "wrong", "p50 ms", "p90 ms", "p99 ms", "max ms")}`,
  ];
  for (const [name, { answered, refused, held, cut, wrong, latency }] of Object.entries(actions)) {
    const at = (percent) => (answered > 0 ? ms(latency.percentile(percent)) : "-");
    lines.push(row(name, number(answered), refused, held, cut, wrong, at(50), at(90), at(99), answered > 0 ? ms(latency.max) : "-"));
  }
  lines.push(
    "",
    `${number(requests)} requests in ${(took / 1_000).toFixed(1)} s: ${number(Math.round(requests / (took / 1_000)))} a second; ${(drained / 1_000).toFixed(1)} s more until nothing was left`,
    "",
    row("resident MB", "begin", "middle", "peak", "end"),
    memory("workerd", used.workerd),
    memory("driver", used.driver),
    "",
    `rows: ${Object.entries(rows).map(([table, count]) => `${table} ${number(count)}`).join(", ")}; ${(bytes / MB).toFixed(1)} MB of files`,
    `creations: ${Object.entries(statuses).map(([status, count]) => `${status} ${number(count)}`).join(", ")}`,
    `events: ${number(events.told)} told, ${number(events.again)} of them more than once, ${number(events.waiting)} waiting for another try`,
    "",
    `${"check".padEnd(56)}${"looked at".padStart(10)}${"wrong".padStart(7)}`,
    ...checks.map(({ name, checked, found: wrong }) => `${name.padEnd(56)}${number(checked).padStart(10)}${String(wrong.length).padStart(7)}`),
    "",
    ...found.slice(0, SHOWN).map((text) => `✗ ${text}`),
    found.length === 0 ? "nothing is wrong" : `${found.length} wrong`,
  );
  return lines.join("\n");
}
