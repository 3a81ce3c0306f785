// Names and texts as SQL writes them, and the names of what is made.

/** An identifier, quoted: any name a table or column can have. */
export const name = (text) => `"${String(text).replaceAll('"', '""')}"`;

/** A text as a literal. */
export const text = (value) => `'${String(value).replaceAll("'", "''")}'`;

/** A status word as a literal: a text, or a number for those who have numbers. */
export const word = (value) => (typeof value === "number" ? String(value) : text(value));

/** A list of words for IN. */
export const list = (words) => `(${words.map(word).join(", ")})`;

/** What everything is named after that is made for a table. */
export const prefix = (table) => `stale_drafts_attach_${table}`;

/** A text in a comment: on one line. */
export const comment = (value) => String(value).replace(/[\r\n\u2028\u2029]+/g, " ");
