// The answers that make a mapping: from flags, from questions on a terminal, or the guesses.

import { suggestion } from "../lib/args.js";
import { Help, Usage } from "../lib/help.js";
import { ask, say, wrap } from "../lib/terminal.js";
import * as guess from "./guess.js";
import { columnOf } from "./mapping.js";
import { sample } from "./table.js";
import { STATUSES, UNITS } from "./values.js";

const flagOf = (field) => `--${field.replaceAll("_", "-")}`;
const NONE = "none";

/** `state`, as a column's entry. */
const column = (table, field) => (given) => ({ column: columnOf(table, flagOf(field), given).name });
const optional = (parse) => (given) => (given === NONE ? null : parse(given));
/** `=image` is always that, `type` is a column. */
const constant = (parse, of = String) => (given) => (given.startsWith("=") ? { value: of(given.slice(1)) } : parse(given));
/** `created_at:ms` */
function time(table, field, sampled) {
  return optional((given) => {
    const at = given.lastIndexOf(":");
    const [name, unit] = at === -1 ? [given, ""] : [given.slice(0, at), given.slice(at + 1)];
    const { column: found } = column(table, field)(name);
    if (!UNITS.includes(unit)) throw new Help(`${flagOf(field)}: \`${given}\` lacks its unit: expected ${found}:UNIT, of ${UNITS.join(", ")}`);
    const values = sampled.values.get(found) ?? [];
    const other = guess.otherUnit(unit, values);
    if (other) throw new Help(`${flagOf(field)}: the values of \`${found}\`, such as \`${values[0]}\`, are in ${other}, not ${unit}: expected ${found}:${other}`);
    return { column: found, unit };
  });
}
const words = (known) => (given) => (given === NONE ? [] : given.split(",").map((word) => word.trim()).filter((word) => word !== "").map((word) => (known.includes(Number(word)) && !known.includes(word) ? Number(word) : word)));

const HELP = {
  user_id: "The column of the owner, who has paid",
  kind: "The column of the kind, such as image or video; or =image, if it is always that",
  prompt: "The column of what was asked for, which the list shows; or none",
  status: "The column of the status",
  pending: "Words for waiting to be started",
  processing: "Words for being worked on",
  draft: "Words for done",
  published: "Words for published; or none",
  failed: "Words for failed",
  timed_out: "The word that a time-out writes",
  created_at: "When it was asked for, as COLUMN:UNIT; the units are ms, s, iso and sqlite (YYYY-MM-DD HH:MM:SS in UTC)",
  started_at: "When work on it began, as COLUMN:UNIT; or none",
  heartbeat_at: "The last sign of life while it is worked on, as COLUMN:UNIT; a column that is set at every update will do; or none",
  finished_at: "When it ended, as COLUMN:UNIT; or none",
  error: "The column of the error that the owner reads; or none",
  result_url: "The column of the result's address; or none",
  refund: "Where an owner's balance is, as TABLE.COLUMN; or none, if nothing is refunded. A statement of your own: --refund-sql",
  refund_key: "The column of that table that names the owner",
  tokens: "The column of what a row costs; or =10, if it is always that",
};

/** The words that a status can have: by its CHECK, and in the rows. */
const wordsOf = (table, status, sampled) => [...new Set([...guess.checked(table, status), ...sampled.words.map(({ word }) => word).filter((word) => word !== null)])];

/** Every question with what is guessed, in order. */
function questions({ table, schema, found, sampled, given }) {
  const { status } = found;
  const listed = status ? wordsOf(table, status, sampled) : [];
  const meant = guess.words(listed);
  const list = (status) => (meant[status].length > 0 ? meant[status].join(",") : undefined);
  const failed = given.failed ? words(listed)(given.failed) : meant.failed;
  const balance = guess.balance(schema.tables, table, found.user_id);
  const created = found.created_at && columnOf(table, "--created-at", found.created_at);
  const units = new Map();
  const reasons = new Map();
  for (const field of guess.TIMES) {
    const named = found[field] && columnOf(table, flagOf(field), found[field]);
    if (!named) continue;
    const { unit, reason } = guess.unit(named, sampled.values.get(named.name) ?? []);
    // Times of one table are mostly alike.
    const same = !unit && created && named.type === created.type && reason === "it has no values yet" ? units.get("created_at") : undefined;
    if (unit ?? same) units.set(field, unit ?? same);
    else reasons.set(field, `\`${named.name}\`: ${reason}; expected ${named.name}:UNIT, of ${UNITS.join(", ")}`);
  }
  const timed = (field) => (found[field] === undefined ? NONE : units.has(field) ? `${found[field]}:${units.get(field)}` : undefined);
  const tableName = table.name.replace(/ies$/, "y").replace(/s$/, "");

  const all = [
    ["user_id", found.user_id, column(table, "user_id")],
    ["kind", found.kind ?? `=${tableName}`, constant(column(table, "kind"))],
    ["prompt", found.prompt ?? NONE, optional(column(table, "prompt"))],
    ["status", status, (text) => column(table, "status")(text).column],
    ["pending", list("pending") ?? (listed.length > 0 ? NONE : undefined), words(listed)],
    ["processing", list("processing") ?? (listed.length > 0 && meant.pending.length > 0 ? NONE : undefined), words(listed)],
    ["draft", list("draft"), words(listed)],
    ["published", list("published") ?? NONE, words(listed)],
    ["failed", list("failed"), words(listed)],
    ["timed_out", failed.length > 0 ? String(guess.timedOut(failed)) : undefined, (text) => words(listed)(text)[0], undefined, undefined, ["failed"]],
    ...guess.TIMES.map((field) => [field, timed(field), time(table, field, sampled), reasons.get(field)]),
    ["error", found.error ?? NONE, optional(column(table, "error"))],
    ["result_url", found.result_url ?? NONE, optional(column(table, "result_url"))],
  ];
  if (given.refund_sql === undefined) {
    all.push(["refund", balance ? `${balance.table}.${balance.column}` : undefined, refund, balance ? undefined : "TABLE.COLUMN, or none"]);
    all.push(["refund_key", (answers) => keyFor(schema, balance, answers.refund), (text) => text, undefined, (answers) => answers.refund === null, ["refund"]]);
  }
  const noRefund = (answers) => given.refund_sql === undefined && answers.refund === null;
  all.push(["tokens", found.tokens, constant(column(table, "tokens"), Number), undefined, noRefund, ["refund"]]);
  return all.map(([field, guessed, parse, reason, skip, needs]) => ({ field, guessed, parse, reason, skip, needs, flag: flagOf(field) }));
}

function refund(given) {
  if (given === NONE) return null;
  const at = given.lastIndexOf(".");
  if (at < 1) throw new Help(`--refund: \`${given}\`: expected TABLE.COLUMN, or none`);
  return { table: given.slice(0, at), column: given.slice(at + 1) };
}

function keyFor(schema, balance, answer) {
  if (!answer) return undefined;
  if (balance && balance.table.toLowerCase() === answer.table.toLowerCase()) return balance.key;
  const table = schema.tables.find(({ name }) => name.toLowerCase() === answer.table.toLowerCase());
  return table?.key.length === 1 ? table.key[0].name : undefined;
}

/** A shell's word. */
const shell = (text) => (/^[\w.:,=/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** What is missing, as the command that has it. */
function missing(table, list, { yes, some }) {
  const unguessed = list.filter(({ guessed }) => guessed === undefined).map(({ flag, field, reason }) => wrap(`${flag}: ${reason ?? HELP[field]}`, { indent: "    " }).replace(/^ {4}/, "  "));
  const guessed = list.filter(({ guessed }) => guessed !== undefined).map(({ flag, guessed }) => ` \\\n    ${flag} ${shell(guessed)}`);
  const command = `  stale-drafts attach ${shell(table.name)}${some ? " …" : ""}${guessed.join("")}`;
  return new Usage(
    [
      ...(unguessed.length > 0 ? [`answers are missing that can't be guessed:\n\n${unguessed.join("\n")}`] : []),
      ...(guessed.length > 0 ? [`${unguessed.length > 0 ? "  And" : "answers are missing,"} with the guesses:\n\n${command}\n\n  --yes takes the guesses.`] : []),
      ...(yes ? [] : ["  On a terminal you are asked."]),
    ].join("\n\n"),
  );
}

async function answer(io, { field, guessed, parse, reason }) {
  for (;;) {
    say(io, `\n${wrap(`${HELP[field]}.${reason ? ` Of ${reason}` : ""}`)}`);
    const text = await ask(io, `${flagOf(field).slice(2)}${guessed === undefined ? "" : ` [${guessed}]`}: `, guessed ?? "");
    if (text === "") continue;
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof Help)) throw error;
      say(io, `✗ ${wrap(error.message, { indent: "  " }).trimStart()}`);
    }
  }
}

function introduce(io, table, found, sampled) {
  say(io, wrap(`The table \`${table.name}\`: ${table.columns.map(({ name, type }) => `${name}${type ? ` ${type}` : ""}`).join(", ")}.`));
  if (sampled.words.length > 0) say(io, wrap(`Of its newest rows, ${sampled.words.map(({ word, rows }) => `${rows} ${rows === 1 ? "has" : "have"} ${found.status} \`${word}\``).join(", ")}.`));
}

/** An answer as it would be given. */
function shown(value) {
  if (value === null || value?.length === 0) return NONE;
  if (Array.isArray(value)) return value.join(",");
  if (typeof value !== "object") return String(value);
  if ("value" in value) return `=${value.value}`;
  return value.table ? `${value.table}.${value.column}` : `${value.column}${value.unit ? `:${value.unit}` : ""}`;
}

/** Shows all answers, and asks for another one until they are right. */
async function change(io, list, made) {
  for (;;) {
    say(io, "\nWhat they mean, as far as it could be guessed:");
    for (const { field, flag } of list) if (field in made) say(io, `  ${flag.slice(2).padEnd(14)}${shown(made[field])}`);
    const text = await ask(io, "Enter, if that is right, or the name of one to change: ");
    if (text === "") return;
    const question = list.find(({ field, flag }) => [field, flag, flag.slice(2)].includes(text));
    if (!question) say(io, `✗ there is no \`${text}\`${suggestion(text, list.map(({ flag }) => flag.slice(2)))}`);
    else made[question.field] = await answer(io, { ...question, guessed: question.field in made ? shown(made[question.field]) : undefined });
    // What is refunded has a price, and somebody who gets it.
    for (const open of list.filter(({ field, skip }) => !(field in made) && !skip?.(made))) {
      const guessed = typeof open.guessed === "function" ? open.guessed(made) : open.guessed;
      made[open.field] = guessed === undefined ? await answer(io, { ...open, guessed }) : open.parse(guessed);
    }
  }
}

/** The mapping that the flags, the questions and the guesses make. */
export async function answers(io, source, schema, table, given, { yes }) {
  const asks = io.isTTY && !yes;
  const found = { ...guess.columns(table) };
  for (const field of ["user_id", "status", "tokens", ...guess.TIMES]) {
    const text = given[field];
    if (text === undefined) continue;
    if (text === NONE || text.startsWith("=")) delete found[field];
    else found[field] = field === "user_id" || field === "status" || field === "tokens" ? text : text.replace(/:\w+$/, "");
  }
  if (found.status === undefined && asks) found.status = (await answer(io, { field: "status", parse: column(table, "status") })).column;
  if (found.status !== undefined) found.status = columnOf(table, "--status", found.status).name;
  const times = guess.times(table, found).map((name) => columnOf(table, "a time", name).name);
  const sampled = found.status === undefined ? { words: [], values: new Map() } : await sample(source, table, { status: found.status, times });
  const made = {};
  const lacking = [];
  const list = questions({ table, schema, found, sampled, given });
  if (asks) introduce(io, table, found, sampled);
  const open = new Set();
  for (const question of list) {
    if (question.skip?.(made) || question.needs?.some((field) => open.has(field))) continue;
    const { field, parse } = question;
    const guessed = typeof question.guessed === "function" ? question.guessed(made) : question.guessed;
    if (given[field] !== undefined) made[field] = parse(given[field]);
    else if (guessed !== undefined) made[field] = parse(guessed);
    else if (asks) made[field] = await answer(io, { ...question, guessed });
    if (given[field] === undefined && !asks && (guessed === undefined || !yes)) lacking.push({ ...question, guessed });
    if (made[field] === undefined) open.add(field);
  }
  if (lacking.length > 0) throw missing(table, lacking, { yes, some: Object.keys(given).length > 0 });
  if (asks) await change(io, list, made);
  const { status: column_, timed_out, refund_key, ...rest } = made;
  const status = { column: column_, timed_out };
  for (const name of STATUSES) {
    status[name] = rest[name];
    delete rest[name];
  }
  const paid = given.refund_sql === undefined ? rest.refund && { ...rest.refund, key: refund_key } : { sql: given.refund_sql, ...(given.charge_sql === undefined ? {} : { charge_sql: given.charge_sql }) };
  const mapped = STATUSES.flatMap((name) => status[name]);
  return {
    mapping: { ...rest, table: table.name, status, refund: paid, refund_failures: given.refund_failures, ...(given.id_prefix === undefined ? {} : { id_prefix: given.id_prefix }) },
    unmapped: wordsOf(table, column_, sampled).filter((word) => !mapped.includes(word) && word !== timed_out),
  };
}
