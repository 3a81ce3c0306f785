// The Rust Worker's module, in Node: beside this file, once it is built.

const { readFileSync } = process.getBuiltinModule("node:fs");
export default new WebAssembly.Module(readFileSync(new URL("./index_bg.wasm", import.meta.url)));
