// A second reading of the rules, from outside: until when a worker was heard, by what it was answered.

/**
 * The earliest that the last heartbeat may be which the database has, given those of one fence: of two that overlap, either
 * may have been written last. One without an answer was written after it was sent, if at all. Undefined if none is certain.
 */
export function lastBeat(beats) {
  const certain = beats.filter(({ json }) => json);
  if (certain.length === 0) return undefined;
  const latest = Math.max(...certain.map(({ sent }) => sent));
  return Math.min(...beats.filter(({ ended }) => ended >= latest).map(({ sent, json }) => json?.heartbeat_at ?? sent));
}

/** Why an attempt that a sweep ended at `now` was not stale, by what its workers were answered; undefined if it was. */
export function lived({ creation, attempt, queued_at, now, limits }) {
  const { stuck_status, fence, started_at } = attempt;
  if (stuck_status === "pending") {
    const age = now - Math.max(creation.created_at, queued_at ?? 0);
    return age > limits.silence ? undefined : `it was pending for ${age} ms of ${limits.silence}`;
  }
  const beats = creation.reports.filter((report) => report.action === "heartbeat" && report.fence === fence && report.is !== "refused");
  const beat = lastBeat(beats);
  // Without a certain heartbeat there may have been one all the same: then the shorter limit held.
  const silence = beats.length > 0 ? Math.min(limits.heartbeat, beat === undefined ? limits.silence : Infinity) : limits.silence;
  const total = creation.kind === "song" ? now - started_at > limits.total : false;
  const age = now - Math.max(started_at, beat ?? 0);
  return age > silence || total ? undefined : `its worker was silent for ${age} ms of ${silence}`;
}
