// `node scripts/scale-costs.mjs`: the arithmetic of docs/scale.md, as Markdown. Other figures than those of the page:
// `--rates 50,500 --keep-days 30 --assume heartbeats=10,polls=0`.

import { parseArgs } from "node:util";
import { Help, run } from "./lib.mjs";
import { DAY_S, GB, aMillion, assumptions, database, daysUntilFull, fleet, ofCreation, requests, shardsOfInvocation, timedOut } from "./scale-costs/arithmetic.mjs";
import { ASSUMED, BYTES, LIMITS, MEASURED, PRICES } from "./scale-costs/figures.mjs";

const USAGE = "Usage: node scripts/scale-costs.mjs [--rates 10,100] [--keep-days 7] [--assume NAME=NUMBER,…]";
const BUCKETS = 4_096;
/** An entry of the configuration's list of shards. */
const SHARD_BYTES = Buffer.byteLength('{"binding":"DB_100","buckets":"2048-2111"},');

const number = (value, digits = 0) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const money = (value) => number(value, value < 100 ? 2 : 0);
/** Three digits, such as `4.79 G`. */
const short = (value) => {
  const [size, unit] = [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]].find(([size]) => value >= size) ?? [1, ""];
  return `${Number((value / size).toPrecision(3))}${unit}`;
};
const table = (head, rows) => {
  const line = head.map((name, at) => (at === 0 || name === "source" ? "---" : "---:"));
  return [head, line, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
};

/** All of it, as docs/scale.md has it: parts with an empty line between them. */
function print({ rates, keepDays, assumed }) {
  const of = (options) => rates.map((rate) => fleet(rate, assumed, options));
  const [month, year, archive, archiveYear] = [of({}), of({ months: 12 }), of({ keepDays }), of({ keepDays, months: 12 })];
  const head = ["creations a second", ...rates.map((rate) => number(rate))];
  const row = (what, fleets, cell) => [what, ...fleets.map(cell)];
  const archived = `\`keep_days.creations = ${keepDays}\``;
  const cost = ({ queries, rows_read, rows_written }) => [number(queries, 1), number(rows_read, 1), number(rows_written, 1)];
  const days = (keep) => rates.map((rate) => daysUntilFull(rate, keep)).map((value) => number(value, value < 10 ? 1 : 0));
  const list = requests(assumed, true);
  const one = ofCreation(list);
  const million = aMillion(assumed);
  const { gb, ms, aSecond, aDayForAYear } = database(assumed);

  return [
    "Assumed:",
    table(["what", "value"], Object.entries(ASSUMED).map(([name, { what }]) => [`${what} (\`${name}\`)`, number(assumed[name], assumed[name] % 1 ? 1 : 0)])),
    "A creation, with shards:",
    table(["request", "times", "queries", "rows read", "rows written"], [
      ...list.map((request) => [request.what, number(request.times, 2), ...cost(request.cost)]),
      ["**a creation**", number(one.requests, 2), ...cost(one.cost)],
      ["one that times out, on top of that", number(assumed.stale_percent / 100, 2), ...cost(timedOut())],
    ]),
    table([`one database, filled to ${number(gb, 1)} GB`, ""], [
      ["its time that a creation takes, ms", number(ms, 1)],
      [`creations a second, at ${number(assumed.busy_percent)} % of its time`, number(aSecond, 1)],
      ["the same a day, million", number(aSecond * DAY_S / 1e6, 2)],
      ["creations that fill it, million", number(gb * GB / (BYTES.creation + BYTES.ledger) / 1e6, 1)],
      ["creations whose ledger alone fills it, million", number(gb * GB / BYTES.ledger / 1e6, 1)],
      ["creations a day for a year, nothing archived", number(aDayForAYear(Infinity))],
      [`creations a day for a year, ${archived}`, number(aDayForAYear(keepDays))],
    ]),
    "Dollars for a million, beyond what a month includes:",
    table(["what", "dollars"], [
      ["creations, with all their requests", money(million.creation)],
      ["heartbeats", money(million.heartbeat)],
      ["questions of an open page", money(million.poll)],
      ["creations kept in D1, a month", money(million.kept)],
      ["their entries in the ledger, a month", money(million.ledger)],
      ["creations archived, once", money(million.archiving)],
      ["creations kept in R2, a month", money(million.archived)],
      ["creations offered by the Queue `GENERATIONS`", money(million.offer)],
    ]),
    "Shards:",
    table(head, [
      row("by throughput", month, ({ byThroughput }) => number(byThroughput)),
      row("by storage after a month, nothing archived", month, ({ byStorage }) => number(byStorage)),
      row("by storage after a year, nothing archived", year, ({ byStorage }) => number(byStorage)),
      row(`by storage after a month, ${archived}`, archive, ({ byStorage }) => number(byStorage)),
      row(`by storage after a year, ${archived}`, archiveYear, ({ byStorage }) => number(byStorage)),
      ["days until the account's 1 TB is full, nothing archived", ...days(Infinity)],
      [`days until the account's 1 TB is full, ${archived}`, ...days(keepDays)],
      row("stale creations a minute, over all shards", archive, ({ stalePerMinute }) => number(stalePerMinute)),
      row("sweeps by the Queue `SWEEPS`", archive, ({ byQueue }) => (byQueue ? "yes" : "no")),
    ]),
    `The first month, with ${archived}:`,
    table(head, [
      row("shards", archive, ({ shards }) => number(shards)),
      row("creations", archive, ({ creations }) => short(creations)),
      row("requests, cron and Queue included", archive, ({ amounts }) => short(amounts.requests)),
      row("D1: queries", archive, ({ d1 }) => short(d1.queries)),
      row("D1: rows read", archive, ({ d1 }) => short(d1.rows_read)),
      row("D1: rows written", archive, ({ d1 }) => short(d1.rows_written)),
      row("D1: creations at its end, GB", archive, ({ creationsGb }) => number(creationsGb, 1)),
      row("D1: ledger at its end, GB", archive, ({ ledgerGb }) => number(ledgerGb, 1)),
      row("messages of `EVENTS`", archive, ({ events }) => short(events)),
      row("messages of `SWEEPS`", archive, ({ sweepMessages }) => short(sweepMessages)),
      row("R2: objects written", archive, ({ amounts }) => short(amounts.r2_writes)),
      row("R2: stored at its end, GB", archive, ({ amounts }) => number(amounts.r2_storage, 1)),
    ]),
    "Its dollars:",
    table(head, [
      ...Object.keys(archive[0].items).map((name) => row(PRICES[name].what, archive, ({ items }) => money(items[name]))),
      row("**sum**", archive, ({ sum }) => `**${money(sum)}**`),
      row("for 1,000 creations", archive, ({ sum, creations }) => number(sum / creations * 1_000, 4)),
      row("the sum if nothing is archived", month, ({ sum }) => money(sum)),
      row("the sum of the twelfth month, archived", archiveYear, ({ sum }) => money(sum)),
      row("on top: creations offered by the Queue `GENERATIONS`", archive, ({ offers }) => money(offers)),
      row("on top: Workers Logs of every request", archive, ({ logs }) => money(logs)),
    ]),
    "What one invocation and one variable hold:",
    table(["what", "shards"], [
      ["a cron that finds nothing, with the monitor", number(shardsOfInvocation(MEASURED.cron))],
      ["a cron that fails a hundred in each, with the monitor and events", number(shardsOfInvocation(MEASURED.cron_with_100_stale))],
      [`a variable of 5 kB, at ${SHARD_BYTES} bytes a shard, about`, number(Math.floor(LIMITS.variable_bytes.value / SHARD_BYTES))],
      ["the buckets", number(BUCKETS)],
    ]),
    "Prices:",
    table(["what", "included a month", "dollars", "source"], Object.values(PRICES).map(({ what, dollars, per, included, unit, source }) => [
      what, included === 0 ? "" : `${short(included)} ${unit}`, per === 1 ? `${dollars} per ${unit.replace(/s$/, "")}` : `${dollars} per million ${unit}`, `<${source}>`,
    ])),
    "Limits:",
    table(["what", "limit", "source"], Object.values(LIMITS).map(({ what, value, unit, source }) => [what, `${number(value)} ${unit}`.trim(), `<${source}>`])),
  ].join("\n\n");
}

function options() {
  try {
    return parseArgs({ options: { rates: { type: "string", default: "10,100,1000,10000" }, "keep-days": { type: "string", default: "7" }, assume: { type: "string", default: "" } } }).values;
  } catch (error) {
    throw new Help(`${error.message}\n${USAGE}`);
  }
}

function positive(name, text) {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new Help(`--${name} takes numbers above 0, such as \`10\`; it was \`${text}\`.\n${USAGE}`);
  return value;
}

/** `heartbeats=10,polls=0`, as a table. */
function assumption(pair) {
  const [, name, value] = /^(\w+)=(\d+(?:\.\d+)?)$/.exec(pair) ?? [];
  if (!Object.hasOwn(ASSUMED, name ?? "")) throw new Help(`--assume takes \`NAME=NUMBER\` with one of ${Object.keys(ASSUMED).join(", ")}; it was \`${pair}\`.\n${USAGE}`);
  return [name, Number(value)];
}

await run(() => {
  const { rates, "keep-days": keep, assume } = options();
  const given = Object.fromEntries(assume.split(",").filter(Boolean).map(assumption));
  console.log(print({ rates: rates.split(",").map((rate) => positive("rates", rate)), keepDays: positive("keep-days", keep), assumed: assumptions(given) }));
});
