//! The runner of `cargo test --target wasm32-unknown-unknown`, built from crates.io at the version in Cargo.lock.

fn main() -> anyhow::Result<()> {
    wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::env::args_os())
}
