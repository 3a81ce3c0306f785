// The Rust Worker's module, in Node: beside this file, once it is built. Its name is put together, for bundlers copy what they see
// named to where browsers load it.

const { readFileSync } = process.getBuiltinModule("node:fs");
export default new WebAssembly.Module(readFileSync(new URL(import.meta.url.replace(/[^/]*$/, "index_bg.wasm"))));
