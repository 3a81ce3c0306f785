// The rules are two small modules: compiling one takes microseconds, so it is done at once and nothing waits. They are
// written a character for a byte, so that gzip finds what repeats: in base64, which packs three bytes into four letters, it
// finds little, and a module is a fifth larger. scripts/build-package.mjs writes them.

/** A byte is a character from `(` on. `%` before it adds 87, which is how many there are, and `&` twice as many. */
const byte = (unit) => unit.charCodeAt(unit.length - 1) - 40 + (unit.length - 1) * 87 * (unit.charCodeAt(0) - 36);

/** The rules of a module. Where there is no WebAssembly, or a page's policy forbids it, what `otherwise` makes of the error. */
export const load = (text, otherwise) => {
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(text.match(/[%&]?./g), byte))).exports;
  } catch (error) {
    return otherwise(error);
  }
};

/** In place of rules that can't be loaded: a bundle starts all the same, and the first call throws the error. */
export const absent = (error) => {
  const there = { memory: { buffer: new ArrayBuffer(112) }, answer: Number, buffer: Number, buffer_bytes: Number, names: Number };
  const fail = () => {
    throw error;
  };
  return new Proxy(there, { get: (_, name) => there[name] ?? fail });
};
