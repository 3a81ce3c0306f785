// The limits of a run, short enough for staleness to happen within it, and a second reading of them for the checks.

/** Limits in ms. `long` is for runs of a minute or more. */
export const LIMITS = {
  long: { silence: 10_800, heartbeat: 6_000, total: 21_600 },
  short: { silence: 3_600, heartbeat: 2_400, total: 5_400 },
};

/** The kinds: a video is tried twice; a song may not take longer than `total`, alive or not. */
export const KINDS = ["image", "video", "song"];

/** The same as the Worker's configuration has it. */
export const policy = ({ silence, heartbeat, total }) => ({
  max_age_hours: silence / 3_600_000,
  heartbeat_minutes: heartbeat / 60_000,
  kinds: { video: { attempts: 2 }, song: { total_hours: total / 3_600_000 } },
});

/** How often a creation of a kind is tried. */
export const attemptsOf = (kind) => (kind === "video" ? 2 : 1);
