// `npm run load`: a mixed load on the built Worker, on this machine only, and then everything that must hold is checked.

import { parseArgs } from "node:util";
import { load, print } from "../tests/load/run.mjs";
import { build } from "./build.mjs";
import { Help, note, run, step } from "./lib.mjs";

/** Each option: its default, and the most that it may be. */
const OPTIONS = { seconds: [180, 3_600], clients: [24, 256], rate: [0, 100_000], seed: [undefined, 4_294_967_295] };

function options() {
  const help = "Usage: npm run load -- [--seconds 180] [--clients 24] [--rate 0] [--seed N]\n  --rate is the most requests a second, 0 for as many as are answered; a run's seed is printed.";
  const given = () => {
    try {
      return parseArgs({ options: Object.fromEntries(Object.keys(OPTIONS).map((name) => [name, { type: "string" }])) }).values;
    } catch (error) {
      throw new Help(`${error.message}\n  ${help}`);
    }
  };
  return Object.fromEntries(Object.entries({ ...OPTIONS, ...given() }).map(([name, value]) => {
    const [usual, most] = OPTIONS[name];
    if (typeof value !== "string") return [name, usual ?? Math.floor(Math.random() * 1_000_000)];
    const whole = Number(value);
    const least = name === "rate" || name === "seed" ? 0 : 1;
    if (!Number.isInteger(whole) || whole < least || whole > most || value.trim() === "") throw new Help(`--${name} is \`${value}\`: expected a whole number from ${least} to ${most}.\n  ${help}`);
    return [name, whole];
  }));
}

await run(async () => {
  const asked = options();
  await build();
  step(`Sending the load for ${asked.seconds} s, with ${asked.clients} clients and the seed ${asked.seed}`);
  const result = await load({ ...asked, say: note });
  console.log(`\n${print(result)}`);
  if (result.found.length > 0) process.exitCode = 1;
});
