// Times as the rules take them: epoch milliseconds, NaN for missing, Infinity for malformed.

const RFC_3339 = /^(\d{4}-\d\d-(\d\d))[T ]((?:[01]\d|2[0-3])(?::[0-5]\d){2}(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))$/i;

const parse = (text) => {
  const [, date, day, time] = RFC_3339.exec(text) ?? [];
  // Some engines take the 30th of February for the 2nd of March.
  return day < 29 || new Date(date).getUTCDate() == day ? Date.parse(`${date}T${time}`.toUpperCase()) : NaN;
};

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
