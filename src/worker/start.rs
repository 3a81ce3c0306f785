//! What the shim of `worker-build` expects of a module, and a panic that is seen. The crate `worker` has the same, with its
//! wrappers of streams and requests beside it, which a linker must keep.

use js_sys::{Object, Reflect};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::console;

/// Nothing here panics by itself; if something does, the log says where, and the next invocation has a fresh instance.
#[wasm_bindgen(start, private)]
fn start() {
    std::panic::set_hook(Box::new(|info| console::error(&info.to_string())));
    wasm_bindgen::handler::set_on_abort(wasm_bindgen::handler::schedule_reinit);
}

/// The shim notes here that an instance has crashed.
#[wasm_bindgen(js_name = __worker_init_state)]
pub fn state() -> Result<JsValue, JsValue> {
    let state = Object::new();
    Reflect::set(&state, &"criticalError".into(), &false.into())?;
    Reflect::set(&state, &"instanceId".into(), &1.into())?;
    Ok(state.into())
}
