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

/** Why a draft is unreadable, as code and as text, from its number: 1 to 6. */
export const reason = (code) =>
  code < 2
    ? ["unknown_status", "its status is unknown"]
    : code < 3
      ? ["time_missing", "it has no time"]
      : code < 4
        ? ["time_in_future", "its last sign of life is in the future"]
        : ["time_malformed", `its \`${["created", "started", "heartbeat"][code - 4]}_at\` is no time: expected whole epoch milliseconds`];
