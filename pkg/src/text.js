// The words for what the rules decide, as `src/rules/text.rs` has them; the shared cases hold the two together.

export const STATUSES = ["pending", "processing", "draft", "published", "failed"];

/** By the status' place, and last for what is unreadable. */
export const BADGES = ["⏳ Pending", "⚙️ Processing", "📝 Draft", "🌐 Published", "❌ Failed", "⚠️ Needs attention"];

/** An age as it is written, from its count and unit: see `age` in `src/browser/draft.rs`. */
export const ageText = (packed) => {
  const unit = packed % 4;
  const count = (packed - unit) / 4;
  return unit ? count + (unit < 2 ? " minute" : " second") + (count == 1 ? "" : "s") : (count - (count % 10)) / 10 + "." + (count % 10) + " hours";
};

const REASONS = [
  ["unknown_status", "its status is unknown"],
  ["time_missing", "it has no time"],
  ["time_in_future", "its last sign of life is in the future"],
];

/** Why a draft is unreadable, as code and as text, from its number, 1 to 6, and its status' place. */
export const reason = (code, status) =>
  REASONS[code - 1] ?? ["time_malformed", `its \`${["created", status ? "started" : "queued", "heartbeat"][code - 4]}_at\` is no time: expected whole epoch milliseconds`];
