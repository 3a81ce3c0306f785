// Text goes through a buffer in a module's memory, in UTF-16: see src/browser/text.rs.

export const textOf = (rules) => {
  const units = new Uint16Array(rules.memory.buffer, rules.buffer(), rules.buffer_units());
  return {
    /** The text that the rules have written, of this length. */
    read: (length) => String.fromCharCode.apply(null, units.subarray(0, length)),
    /** Writes a text for the rules, and gives its length. What does not fit is no word of theirs. */
    write: (text) => {
      for (let at = 0; at < text.length; at++) units[at] = text.charCodeAt(at);
      return text.length;
    },
  };
};

/** A text of the rules with its `{names}` replaced by the caller's own values. */
export const fill = (text, values) => text.replace(/{(\w+)}/g, (_, name) => values[name]);
