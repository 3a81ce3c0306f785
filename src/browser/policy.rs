//! What a policy object says.
//!
//! ```js
//! rules.begin();
//! for (const [path, value] of settings) {                      // (["kinds", "video", "processing"], 6)
//!   for (const key of path) rules.key(write(key));
//!   if (!rules.number(value)) throw RangeError(rules.error());
//! }
//! rules.limit(place); rules.rule(place); rules.attempts();     // what they give
//! ```
//!
//! The settings of at most one kind count: whoever wants to know of another begins anew.

use std::cell::Cell;
use std::thread::LocalKey;

use wasm_bindgen::prelude::wasm_bindgen;

use super::millis;
use super::text::{is, write};
use crate::rules::{Active, Entry, Key, KindPolicy, Limit, Phase, Rule, SettingError, Value};

/// One limit on silence for each phase, in their order, and one on the total time.
const LIMITS: usize = Phase::ALL.len() + 1;

/// Nobody's path is longer: a kind's setting has this many keys.
const LONGEST: usize = 3;

thread_local! {
    static POLICY: Cell<KindPolicy> = const { Cell::new(KindPolicy::DEFAULT) };
    static PATH: Cell<Path> = const { Cell::new(Path::EMPTY) };
    static ERROR: Cell<Option<SettingError>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Path {
    keys: [Key; LONGEST],
    length: usize,
}

impl Path {
    const EMPTY: Path = Path { keys: [Key::Other; LONGEST], length: 0 };
}

/// Begins a policy.
#[wasm_bindgen]
pub fn begin() {
    set(&POLICY, KindPolicy::DEFAULT);
    set(&PATH, Path::EMPTY);
}

/// Reads the next key of a setting's path from the buffer.
#[wasm_bindgen]
pub fn key(length: usize) {
    let mut path = get(&PATH, Path::EMPTY);
    if let Some(key) = path.keys.get_mut(path.length) {
        *key = Key::of(|word| is(word, length));
        path.length = path.length.saturating_add(1);
    }
    set(&PATH, path);
}

/// Ends the setting with a number; says whether the setting is understood. So do the other three.
#[wasm_bindgen]
pub fn number(value: f64) -> bool {
    end(Value::Number(value))
}

/// Ends the setting with the text in the buffer.
#[wasm_bindgen]
pub fn text(length: usize) -> bool {
    end(Value::of(|word| is(word, length)))
}

/// Ends the setting with `true` or `false`.
#[wasm_bindgen]
pub fn flag(value: bool) -> bool {
    end(Value::Bool(value))
}

/// Ends the setting with anything else.
#[wasm_bindgen]
pub fn other() -> bool {
    end(Value::Other)
}

fn end(value: Value) -> bool {
    let Path { keys, length } = get(&PATH, Path::EMPTY);
    set(&PATH, Path::EMPTY);
    let mut policy = get(&POLICY, KindPolicy::DEFAULT);
    let path = keys.get(..length).unwrap_or_default();
    let result = Entry::read(path, value).and_then(|entry| policy.set(entry));
    set(&POLICY, policy);
    set(&ERROR, result.err());
    result.is_ok()
}

/// Writes what is wrong with the last setting, with `{key}` and `{value}` where the setting's own are to stand.
#[wasm_bindgen]
pub fn error() -> usize {
    get(&ERROR, None).map_or(0, |error| write(&error.message()))
}

/// How many limits a policy gives: the first arguments of [`limits`](super::draft::limits).
#[wasm_bindgen]
pub fn limit_count() -> usize {
    LIMITS
}

/// One of the limits, by its place.
#[wasm_bindgen]
pub fn limit(place: usize) -> f64 {
    millis(at(place).0)
}

/// Writes the path of the entry that a limit comes from, with `{kind}` where the kind's name is to stand.
#[wasm_bindgen]
pub fn rule(place: usize) -> usize {
    let status = Phase::ALL.get(place).map_or(Active::Processing, |phase| phase.status());
    write(&at(place).1.path(status))
}

fn at(place: usize) -> (Limit, Rule) {
    let policy = get(&POLICY, KindPolicy::DEFAULT);
    Phase::ALL.get(place).map_or_else(|| policy.total(), |phase| policy.silence(*phase))
}

/// How often a draft is tried.
#[wasm_bindgen]
pub fn attempts() -> f64 {
    get(&POLICY, KindPolicy::DEFAULT).attempts().get().into()
}

/// What an earlier call has kept. In WebAssembly a thread's own value is an ordinary static and always there; but `LocalKey::get`
/// would bring a panic and its texts with it.
fn get<T: Copy>(kept: &'static LocalKey<Cell<T>>, otherwise: T) -> T {
    kept.try_with(Cell::get).unwrap_or(otherwise)
}

/// Keeps a value for later calls; see [`get`].
fn set<T>(kept: &'static LocalKey<Cell<T>>, value: T) {
    let _always_there = kept.try_with(|kept| kept.set(value));
}
