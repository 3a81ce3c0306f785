//! Dependencies point inwards only: rules ← store ← service ← shells, rules ← browser. The command and the simulator are crates of their own. Each folder names what it may use, and using
//! anything else fails here.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![cfg(not(target_arch = "wasm32"))]

use std::path::Path;

/// Folder or file of `src/`, the modules of this crate that it may use, and the crates beside std.
const RINGS: [(&str, &[&str], &[&str]); 9] = [
    ("rules", &["rules"], &[]),
    // The crate `worker` is D1's: see `d1.rs`.
    ("store", &["rules", "read", "store"], &["js_sys", "serde", "serde_json", "worker"]),
    (
        "service",
        &["rules", "read", "store", "config", "service"],
        &["chrono", "futures_util", "serde", "serde_json", "sha2"],
    ),
    ("read", &["read"], &["serde", "serde_json"]),
    ("config", &["rules", "auth", "read", "config"], &["serde", "serde_json"]),
    ("auth", &["rules", "read", "auth"], &["base64", "hmac", "serde", "serde_json", "sha2", "subtle"]),
    ("texts.rs", &[], &[]),
    ("browser", &["rules", "browser"], &["lol_alloc", "wasm_bindgen"]),
    (
        "worker",
        &["rules", "read", "store", "service", "config", "auth", "texts", "worker"],
        &[
            "base64",
            "chrono",
            "getrandom",
            "js_sys",
            "maud",
            "serde",
            "serde_json",
            "serde_wasm_bindgen",
            "sha2",
            "uuid",
            "wasm_bindgen",
            "web_sys",
            "worker",
        ],
    ),
];

const CRATES: [&str; 33] = [
    "anstream",
    "anstyle",
    "base64",
    "chrono",
    "clap",
    "clap_complete",
    "clap_mangen",
    "comfy_table",
    "ctrlc",
    "dialoguer",
    "etcetera",
    "getrandom",
    "hmac",
    "indicatif",
    "js_sys",
    "lol_alloc",
    "maud",
    "oorandom",
    "rusqlite",
    "serde",
    "serde_json",
    "serde_wasm_bindgen",
    "sha2",
    "subtle",
    "terminal_size",
    "textwrap",
    "toml",
    "ureq",
    "uuid",
    "wasm_bindgen",
    "wasm_bindgen_futures",
    "web_sys",
    "worker",
];

fn sources(path: &Path) -> Vec<(String, String)> {
    if path.is_file() {
        return vec![(path.display().to_string(), std::fs::read_to_string(path).unwrap())];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries.flat_map(|entry| sources(&entry.unwrap().path())).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !(character.is_alphanumeric() || character == '_'))
}

#[test]
fn dependencies_point_inwards() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (ring, modules, crates) in RINGS {
        for (file, text) in sources(&src.join(ring)) {
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            // A command is a crate of its own, beside the library.
            for path in code.replace("stale_drafts::", "crate::").split("crate::").skip(1) {
                // `use crate::{a::…, b::…}` would hide what it names.
                let module = words(path).next().unwrap_or_default();
                assert!(modules.contains(&module), "{file} uses `crate::{module}`");
            }
            for name in CRATES.iter().filter(|name| !crates.contains(name)) {
                // A module of this crate may have a crate's name: `worker`.
                let used = code.contains(&format!("use {name}::"))
                    || code.contains(&format!("::{name}::"))
                    || code.contains(&format!(" {name}::"));
                assert!(!used, "{file} uses the crate `{name}`");
            }
        }
    }
}

/// What two routes share stands beside them, not in one of them.
#[test]
fn no_route_uses_another() {
    let routes = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/worker/routes");
    for (file, text) in sources(&routes).iter().filter(|(file, _)| !file.ends_with("mod.rs")) {
        assert!(!text.contains("super::") && !text.contains("routes::"), "{file} uses another route");
    }
}

#[test]
fn every_part_of_src_is_in_a_ring() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(src).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "lib.rs" || RINGS.iter().any(|(ring, ..)| *ring == name), "src/{name} is in no ring");
    }
}

/// `worker-build` would put the browser's exports on the Worker's entry point.
#[test]
fn the_browser_and_the_worker_are_built_apart() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let feature =
        |name: &str| manifest.lines().find(|line| line.starts_with(&format!("{name} = ["))).unwrap();
    assert!(!feature("worker").contains("\"browser"));
    for half in ["browser-draft", "browser-policy"] {
        assert_eq!(feature(half), format!("{half} = [\"dep:lol_alloc\", \"dep:wasm-bindgen\"]"));
    }
}

#[test]
fn sql_stands_in_the_store_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, text) in sources(&src) {
        let sql = ["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM"].iter().any(|word| text.contains(word));
        // The simulator plays the app, which writes directly, and rewrites the store's statements to plant bugs.
        let simulated = file.ends_with("/simulate/sql.rs") || file.ends_with("/simulate/plant.rs");
        assert!(!sql || simulated || file.contains("/store/"), "{file} holds SQL");
    }
}
