// The languages of the owners' pages: the catalogues that ship with the package, and an app's own. The Rust Worker finds a function for
// each in its environment, and asks it for a text by group and key; what is undefined it says in English.

import de from "../../texts/de.json" with { type: "json" };
import ja from "../../texts/ja.json" with { type: "json" };
import { texts } from "../texts.js";

/** What speaks a language. The formats of `Intl` are made when they are first needed, and kept for the isolate's life. */
function speaker(catalogue) {
  const { dir = "ltr", page, movements, problems, ...said } = catalogue;
  let spoken;
  const say = (group, key, values) => (spoken ??= texts(catalogue)).say(group, key, JSON.parse(values));
  // The page's own script says all but what only the server does.
  return Object.assign(say, { dir, script: JSON.stringify({ ...said, dir }) });
}

/** The tag of a catalogue, if it is one. */
function localeOf(catalogue) {
  try {
    return Intl.getCanonicalLocales(catalogue.locale)[0] ?? refuse(catalogue);
  } catch {
    return refuse(catalogue);
  }
}

function refuse(catalogue) {
  throw new TypeError(`Invalid texts: \`locale\` is \`${catalogue?.locale}\`: expected catalogues with the tag of a language, such as \`de\``);
}

const speakers = (catalogues) => Object.fromEntries(catalogues.map((catalogue) => [localeOf(catalogue), speaker(catalogue)]));

/** Those that ship with the package. */
export const shipped = speakers([de, ja]);

/** An app's own beside them: the tags, if there are any, and what speaks them. */
export function translations(texts = []) {
  const own = speakers(texts);
  return { tags: Object.keys(own), speakers: { ...shipped, ...own } };
}
