// Times as the rules take them: epoch milliseconds, NaN for missing, Infinity for malformed.

const RFC_3339 = /^\d{4}-\d\d-\d\d[T ](?:[01]\d|2[0-3])(?::[0-5]\d){2}(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

/** Whether a month has this day: some engines take the 30th of February for the 2nd of March. */
const exists = (date, day) => day < 29 || new Date(date).getUTCDate() == day;

const parse = (text) =>
  RFC_3339.test(text) && exists(text.slice(0, 10), text.slice(8, 10)) ? Date.parse(text.toUpperCase().replace(" ", "T")) : NaN;

/** Of a `Date`, whichever window or context it comes from: it is known by what it holds, not by its class. */
const ofDate = (date) => {
  try {
    return Date.prototype.getTime.call(date);
  } catch {
    return NaN;
  }
};

export const millis = (time) => {
  if (time == null) return NaN;
  const type = typeof time;
  if (type != "number") time = type == "string" ? parse(time) : type == "bigint" ? Number(time) : ofDate(time);
  return time == time ? time : Infinity;
};
