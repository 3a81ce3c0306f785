// What a catalogue lacks: keys, plural forms of its language, parameters. The original is pkg/texts/en.json.

import original from "../../texts/en.json" with { type: "json" };

const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const namesOf = (text) => [...new Set(text.match(/(?<={)\w+(?=})/g))];
const FORMS = ["zero", "one", "two", "few", "many", "other"];

/** Whether a text of the original is one text, with or without plural forms. */
const isText = (text) => typeof text === "string" || Object.keys(text).every((form) => FORMS.includes(form));

/** The forms that a language needs of a text. A count of hours has one decimal, and there are never fewer than two days or attempts: so they may be fewer. */
function categories(locale, path) {
  const digits = path.endsWith(".hour") ? 1 : 0;
  const rules = new Intl.PluralRules(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const found = new Set(["other"]);
  const least = path === "attempts" || path.endsWith(".day") ? 2 : 0;
  for (let count = least; count <= 200; count += 1) found.add(rules.select(digits ? count / 10 : count));
  return FORMS.filter((form) => found.has(form));
}

/** What is wrong with a text: its form, and what it takes that the original does not. */
function ofText(locale, path, english, text) {
  const allowed = namesOf(JSON.stringify(english));
  const counted = allowed.includes("count");
  if (typeof text === "string") return ofForm(path, allowed, text);
  if (!isTable(text) || !counted) return [{ path, problem: `is ${JSON.stringify(text)}: expected text${counted ? ", or an object of plural forms" : ""}` }];
  const needed = categories(locale, path);
  const missing = needed.filter((form) => !Object.hasOwn(text, form)).map((form) => ({ path: `${path}.${form}`, problem: "is missing: this language needs the form", missing: true }));
  const forms = Object.entries(text).flatMap(([form, words]) => {
    if (!FORMS.includes(form)) return [{ path: `${path}.${form}`, problem: `is no plural form: expected ${needed.map((name) => `\`${name}\``).join(", ")}` }];
    return typeof words === "string" ? ofForm(`${path}.${form}`, allowed, words) : [{ path: `${path}.${form}`, problem: `is ${JSON.stringify(words)}: expected text` }];
  });
  return [...missing, ...forms];
}

function ofForm(path, allowed, text) {
  const unknown = namesOf(text).filter((name) => !allowed.includes(name));
  const lost = allowed.filter((name) => name !== "count" && !namesOf(text).includes(name));
  const expected = allowed.length > 0 ? `expected ${allowed.map((name) => `\`{${name}}\``).join(", ")}` : "it takes none";
  return [
    ...unknown.map((name) => ({ path, problem: `has \`{${name}}\`: ${expected}` })),
    ...lost.map((name) => ({ path, problem: `lacks \`{${name}}\`` })),
  ];
}

function ofTable(locale, path, english, table) {
  if (!isTable(table)) return [{ path, problem: `is ${JSON.stringify(table)}: expected an object` }];
  const below = (key) => (path ? `${path}.${key}` : key);
  const found = Object.entries(english).flatMap(([key, text]) => {
    if (!Object.hasOwn(table, key)) return isText(text) ? [{ path: below(key), problem: "is missing", missing: true }] : ofTable(locale, below(key), text, {});
    return isText(text) ? ofText(locale, below(key), text, table[key]) : ofTable(locale, below(key), text, table[key]);
  });
  // Of errors, an app may name codes of its workers' own.
  const unknown = path === "errors" ? [] : Object.keys(table).filter((key) => !Object.hasOwn(english, key));
  return [...found, ...unknown.map((key) => ({ path: below(key), problem: "is no key of a text" }))];
}

/** Everything that is to be said of a catalogue: `path`, `problem`, and `missing` where English stands for it. */
export function findings(catalogue) {
  if (!isTable(catalogue)) return [{ path: "the catalogue", problem: "is no object" }];
  const { locale, dir, ...texts } = catalogue;
  try {
    if (Intl.PluralRules.supportedLocalesOf(locale).length === 0) throw new RangeError();
  } catch {
    return [{ path: "locale", problem: `is ${JSON.stringify(locale)}: expected the tag of a language that \`Intl\` knows, such as "de"` }];
  }
  const { locale: _, ...english } = original;
  const direction = dir === undefined || dir === "ltr" || dir === "rtl" ? [] : [{ path: "dir", problem: `is ${JSON.stringify(dir)}: expected "ltr" or "rtl"` }];
  return [...direction, ...ofTable(locale, "", english, texts)];
}
