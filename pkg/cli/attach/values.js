// How the app's values become ours, and ours the app's: SQL expressions.

import { text } from "./names.js";

/** The present instant in epoch milliseconds, as the migrations write it. It stands still within a statement and its triggers. */
export const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/** The units that a time can have in the app's table. */
export const UNITS = ["ms", "s", "iso", "sqlite"];

/** The most tokens that one row can cost: sums of them stay far below the largest balance. */
export const MOST_TOKENS = 1_000_000_000_000;

/** A time in epoch milliseconds. What can't be read stays what it is, so that it is shown and nothing is guessed. */
export function toMillis(value, unit) {
  if (unit === "ms") return value;
  if (unit === "s") return `CASE WHEN typeof(${value}) IN ('integer', 'real') THEN CAST(round(${value} * 1000) AS INTEGER) ELSE ${value} END`;
  return `CASE WHEN typeof(${value}) = 'text' THEN ifnull(CAST(round(unixepoch(${value}, 'subsec') * 1000) AS INTEGER), ${value}) ELSE ${value} END`;
}

/** Epoch milliseconds in the app's unit. */
export function fromMillis(value, unit) {
  if (unit === "ms") return value;
  if (unit === "s") return `${value} / 1000`;
  if (unit === "iso") return `strftime('%Y-%m-%dT%H:%M:%fZ', ${value} / 1000.0, 'unixepoch')`;
  return `datetime(${value} / 1000, 'unixepoch')`;
}

/** A text of at most 20,000 characters. `substr` also ends it at a U+0000; a BLOB is no text. */
export const toText = (value) => `CASE WHEN typeof(${value}) <> 'blob' THEN substr(CAST(${value} AS TEXT), 1, 20000) END`;

/** Whether a text can be a name of ours: an id, a user's id, a kind. */
export const isName = (value, least = 1) =>
  `length(CAST(${value} AS BLOB)) BETWEEN ${least} AND 200 AND instr(${value}, char(0)) = 0
      AND ${value} NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*'`;

/** An integer or a text as text, and NULL for all else. */
export const toId = (value) => `CASE typeof(${value}) WHEN 'integer' THEN CAST(${value} AS TEXT) WHEN 'text' THEN ${value} END`;

/** Whole tokens, and NULL for what is none. A missing price is no price. */
export const toTokens = (value) =>
  `CASE WHEN ${value} IS NULL THEN 0 WHEN typeof(${value}) IN ('integer', 'real') AND ${value} BETWEEN 0 AND ${MOST_TOKENS} AND ${value} = CAST(${value} AS INTEGER) THEN CAST(${value} AS INTEGER) END`;

/** The address of a result, and NULL for what is none. */
export const toUrl = (value) => `CASE WHEN typeof(${value}) = 'text' AND length(${value}) BETWEEN 1 AND 2048 AND instr(${value}, char(0)) = 0 THEN ${value} END`;

/** The statuses that an app's word can mean. */
export const STATUSES = ["pending", "processing", "draft", "published", "failed"];

/** Our status for the app's word, and NULL for a word that the mapping does not know. */
export function toStatus(value, words, list) {
  const cases = STATUSES.filter((status) => words[status]?.length > 0).map((status) => `WHEN ${value} IN ${list(words[status])} THEN ${text(status)}`);
  return `CASE ${cases.join(" ")} END`;
}
