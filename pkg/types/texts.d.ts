import type { ErrorParams, Verdict } from "./index.js";

/**
 * A text with a `{count}`: one form for each plural category of the language (`Intl.PluralRules`), of which `other` is always needed
 * and stands for those that are left out.
 */
export type Text = string | { readonly other: string; readonly zero?: string; readonly one?: string; readonly two?: string; readonly few?: string; readonly many?: string };

/** A language: its texts, with their parameters in braces. What is left out is said in English. */
export interface Catalogue {
  /** The tag of the language, such as `de` or `pt-BR`: by it numbers are written, and plural forms chosen. */
  readonly locale: string;
  /** The direction of its text; `ltr` if left out. */
  readonly dir?: "ltr" | "rtl";
  /** The words of a badge, without its sign. */
  readonly badges?: Badges;
  /** Why a draft failed. */
  readonly errors?: Errors;
  // attempts
  /** How long something has lasted, as it stands in `errors`. A count of hours has one decimal. */
  readonly ages?: Ages;
  /** How long ago something was. */
  readonly ago?: Ago;
  /** Why a draft's age can't be known. */
  readonly reasons?: Reasons;
  /** What the owners' pages of the Worker say. */
  readonly page?: Page;
  /** Why tokens went or came: an entry of the ledger, by its `message_code` and with its `message_params`. */
  readonly movements?: Movements;
  /** Why something that an owner wants can't be done: by the `code` of the API's answer, which a `StaleDraftsError` has. */
  readonly problems?: Problems;
}

/** What has a badge and an error: a verdict of `check()`, or a draft of the API. */
export interface Said {
  readonly badge: string;
  readonly badge_code: Verdict["badge_code"];
  readonly error: string | null;
  readonly error_code: string | null;
  readonly error_params: ErrorParams;
}

/** Gives the same with `badge` and `error` in its language. `check()` and others take it as `texts`. */
export interface Texts {
  <T extends Said>(said: T): T;
  readonly locale: string;
  readonly dir: "ltr" | "rtl";
  /**
   * A text by its group and key, with its parameters; `undefined` where it is missing.
   *
   * @example
   * de.say("movements", entry.message_code, entry.message_params) ?? entry.message // of the ledger
   * de.say("problems", error.code) ?? error.message // of a `StaleDraftsError`
   */
  say(group: Exclude<keyof Catalogue, "locale" | "dir" | "attempts">, key: string, values?: { readonly [name: string]: unknown }): string | undefined;
}

/**
 * Another language than English, of a catalogue.
 *
 * @throws RangeError if `locale` is no tag of a language.
 * @example
 * import { check } from "stale-drafts";
 * import { texts } from "stale-drafts/texts";
 * import de from "stale-drafts/texts/de";
 * check(draft, { texts: texts(de) }).badge // "❌ Fehlgeschlagen"
 */
export function texts(catalogue: Catalogue): Texts;
