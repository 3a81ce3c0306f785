// The team's own statement: one, with placeholders, that can stand in a trigger.

import { appId } from "./view.js";

/** Texts, quoted names, comments and placeholders; what stands between them is one character each. */
const TOKEN = /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|[:@$?][A-Za-z0-9_]*|[A-Za-z_][A-Za-z0-9_$]*|[\s\S]/g;

const tokens = (sql) => sql.match(TOKEN) ?? [];
const isComment = (token) => token.startsWith("--") || token.startsWith("/*");

/** What is wrong with a statement; undefined: nothing. `needed` are the placeholders that it must have. */
export function faultOf(sql, needed = [":tokens"]) {
  const parts = tokens(sql).filter((token) => !isComment(token) && token.trim() !== "");
  while (parts.at(-1) === ";") parts.pop();
  if (parts.length === 0) return "it is empty";
  if (parts.includes(";")) return "it is more than one statement: a trigger of yours can hold several";
  if (!/^(UPDATE|INSERT|REPLACE)$/i.test(parts[0])) return `it begins with \`${parts[0]}\`: expected UPDATE or INSERT`;
  if (parts.some((part) => /^RETURNING$/i.test(part))) return "it has RETURNING, which a trigger can't have";
  const unknown = parts.find((part) => /^[:@$?]/.test(part) && ![":user_id", ":tokens", ":id"].includes(part));
  if (unknown) return `it has the placeholder \`${unknown}\`: expected :user_id, :tokens or :id`;
  const missing = needed.find((placeholder) => !parts.includes(placeholder));
  return missing && `it has no ${missing}`;
}

/** The statement with the values of the creation that a trigger is about. */
export function bind(sql, m) {
  const values = {
    ":tokens": "NEW.tokens",
    ":user_id": m.user_id.type === "integer" ? "CAST(NEW.user_id AS INTEGER)" : "NEW.user_id",
    ":id": appId(m, "NEW.id"),
  };
  const bound = tokens(sql).filter((token) => !isComment(token)).map((token) => values[token] ?? token).join("").trim();
  return bound.replace(/[;\s]+$/, "");
}
