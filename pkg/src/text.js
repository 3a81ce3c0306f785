// Text goes through a buffer in a module's memory: see src/browser/text.rs.

/** Not everywhere: jsdom has none. */
const utf8 = globalThis.TextDecoder && /* @__PURE__ */ new TextDecoder();

export const textOf = (rules) => {
  const buffer = new Uint8Array(rules.memory.buffer, rules.buffer(), rules.buffer_bytes());
  return {
    /** The text that the rules have written, of this length. */
    read: (length) => {
      const bytes = buffer.subarray(0, length);
      return utf8 ? utf8.decode(bytes) : decodeURIComponent(escape(String.fromCharCode(...bytes)));
    },
    /** Writes a text for the rules, and gives its length. Their words are short and of ASCII; what is not is none of them. */
    write: (text) => {
      for (let at = 0; at < text.length; at++) buffer[at] = Math.min(text.charCodeAt(at), 255);
      return text.length;
    },
  };
};

/** A text of the rules with its `{names}` replaced by the caller's own values. */
export const fill = (text, values) => text.replace(/{(\w+)}/g, (_, name) => values[name]);
