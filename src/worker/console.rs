//! The log: one line each.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// A line of what is as it should be.
    #[wasm_bindgen(js_namespace = console)]
    pub(super) fn log(line: &str);

    /// A line of what is not.
    #[wasm_bindgen(js_namespace = console)]
    pub(super) fn error(line: &str);
}
