// The rules are two small modules: compiling one takes microseconds, so it is done at once and nothing waits. They
// are written in hexadecimal, of which gzip finds the repeated bytes; in base64, which packs three bytes into four
// letters, it finds few of them, and a module is a fifth larger.

/** The rules of a module. Where there is no WebAssembly, or a page's policy forbids it, what `otherwise` makes of the error. */
export const load = (hex, otherwise) => {
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(hex.match(/../g), (byte) => "0x" + byte))).exports;
  } catch (error) {
    return otherwise(error);
  }
};

/** In place of rules that can't be loaded: a bundle starts all the same, and the first call throws the error. */
export const absent = (error) => {
  const there = { memory: { buffer: new ArrayBuffer(80) }, answer: Number, buffer: Number, buffer_bytes: Number, names: Number };
  const fail = () => {
    throw error;
  };
  return new Proxy(there, { get: (_, name) => there[name] ?? fail });
};
