// Times as the rules take them: epoch milliseconds, NaN for missing, Infinity for malformed.

const RFC_3339 = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

export const millis = (time) => {
  if (time == null) return NaN;
  if (typeof time != "number") time = typeof time == "string" ? (RFC_3339.test(time) ? Date.parse(time) : NaN) : time instanceof Date ? +time : NaN;
  return time == time ? time : Infinity;
};
