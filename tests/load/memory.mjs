// Resident memory of workerd and of the driver.

import { readFileSync, readdirSync } from "node:fs";

const EVERY_MS = 500;

/** The process `name` that this one has started; undefined where /proc does not say. */
function child(name) {
  try {
    return readdirSync("/proc").find((pid) => {
      if (!/^\d+$/.test(pid)) return false;
      try {
        const [, command, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").match(/^\d+ \((.*)\) \S (\d+)/s);
        return command === name && Number(parent) === process.pid;
      } catch {
        return false;
      }
    });
  } catch {
    return undefined;
  }
}

function resident(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmRSS:\s+(\d+) kB/m)[1]) * 1_024;
  } catch {
    return undefined;
  }
}

/** Looks every half second until `stop`, which gives bytes for both: `{ first, middle, peak, last }`. */
export function watchMemory() {
  const pid = child("workerd");
  const seen = { workerd: [], driver: [] };
  const look = () => {
    const workerd = pid && resident(pid);
    if (workerd) seen.workerd.push(workerd);
    seen.driver.push(process.memoryUsage.rss());
  };
  look();
  const timer = setInterval(look, EVERY_MS);
  return {
    stop() {
      clearInterval(timer);
      look();
      const sum = (list) => list.length > 0 ? { first: list[0], middle: list[list.length >> 1], peak: Math.max(...list), last: list.at(-1) } : undefined;
      return { workerd: sum(seen.workerd), driver: sum(seen.driver) };
    },
  };
}
