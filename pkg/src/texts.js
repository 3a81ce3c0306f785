// What is said in another language: a catalogue of texts, and the plural rules and numbers of `Intl`. It holds no text itself, and
// rounds nothing: the rules give what is said as a code with its parameters, and the English that stands for what is missing.

const own = (table, key) => (table && Object.hasOwn(table, key) ? table[key] : undefined);

/** Hours have one decimal, as the rules count them, and all else has none. It is said as it is shown: 1.0 takes another form than 1. */
const inFormat = (locale, digits) => {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return { number: new Intl.NumberFormat(locale, options), plural: new Intl.PluralRules(locale, options) };
};

/** How an instant is written, by the name of its parameter. A month may be text, such as "2026-01". */
const DATES = {
  date: { dateStyle: "medium" },
  time: { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", timeZoneName: "short" },
  month: { year: "numeric", month: "long" },
};

/** Makes of a catalogue what `check()` and others take as `texts`: what gives a row, or a verdict, with its badge and error in the language. */
export const texts = (catalogue) => {
  const { locale, dir = "ltr" } = catalogue;
  const whole = inFormat(locale, 0);
  const tenths = inFormat(locale, 1);
  const dates = {};

  /** A value as the language writes it. */
  const written = (name, value, number) => {
    if (!own(DATES, name)) return typeof value == "number" ? number.format(value) : value;
    const format = (dates[name] ??= new Intl.DateTimeFormat(locale, { ...DATES[name], timeZone: "UTC" }));
    const date = new Date(value);
    return isNaN(date) ? value : format.format(date);
  };

  /** A text of the catalogue with its parameters in it; undefined where it, or a form of it, is missing. */
  const fill = (text, values, { number, plural }) => {
    if (text && typeof text == "object") text = own(text, values.status) ?? own(text, plural.select(values.count)) ?? own(text, "other");
    if (typeof text != "string") return undefined;
    return text.replace(/{(\w+)}/g, (there, name) => (values[name] == null ? there : written(name, values[name], number)));
  };

  /** A text by its group and key. An age in it is a text of its own, and so are an error with its code and how many attempts there were. */
  const say = (group, key, values = {}) => {
    const { unit, count, attempts, error_code, error_params } = values;
    if (error_code) values = { ...values, error: say("errors", error_code, error_params ?? {}) ?? values.error };
    const age = unit && say("ages", unit, { count });
    if (unit && !age) return undefined;
    const said = fill(own(own(catalogue, group), key), { ...values, age }, (unit ?? key) == "hour" ? tenths : whole);
    return said && attempts > 1 ? fill(catalogue.attempts, { error: said, count: attempts }, whole) : said;
  };

  const translated = (row) => {
    const badge = say("badges", row.badge_code);
    const error = row.error && say(row.badge_code == "needs_attention" ? "reasons" : "errors", row.error_code, row.error_params ?? {});
    return {
      ...row,
      // The sign is the same everywhere.
      badge: badge ? `${row.badge.split(" ")[0]} ${badge}` : row.badge,
      error: error || row.error,
    };
  };
  return Object.assign(translated, { locale, dir, say });
};
