//! The buffer that text goes through, one at a time: Rust writes and tells the length, or JavaScript does.

use std::cell::Cell;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::rules::{Sink, Words};

/// Longer than every text of the rules; longer text from JavaScript is no word of theirs.
const BYTES: usize = 512;

thread_local! {
    static BUFFER: [Cell<u8>; BYTES] = const { [const { Cell::new(0) }; BYTES] };
}

/// Where the buffer begins in the module's memory, in bytes.
#[wasm_bindgen]
pub fn buffer() -> usize {
    BUFFER.try_with(|bytes| bytes.as_ptr().addr()).unwrap_or_default()
}

/// How many bytes the buffer holds.
#[wasm_bindgen]
pub fn buffer_bytes() -> usize {
    BYTES
}

/// Writes a text to the buffer and gives its length.
pub(super) fn write(words: &impl Words) -> usize {
    let mut end = End(0);
    words.write(&mut end);
    end.0
}

/// How many bytes [`lines`] needs.
#[cfg(feature = "browser-draft")]
#[expect(clippy::arithmetic_side_effects, reason = "it runs when it is compiled, and fails then")]
pub(super) const fn lines_length(mut words: &[&str]) -> usize {
    let mut length = 0;
    while let [word, rest @ ..] = words {
        length += word.len() + 1;
        words = rest;
    }
    length
}

/// The words, each on a line of its own.
#[cfg(feature = "browser-draft")]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "it runs when it is compiled, and fails then"
)]
pub(super) const fn lines<const LENGTH: usize>(mut words: &[&str]) -> [u8; LENGTH] {
    let mut lines = [b'\n'; LENGTH];
    let mut at = 0;
    while let [word, rest @ ..] = words {
        let mut bytes = word.as_bytes();
        while let [byte, rest @ ..] = bytes {
            lines[at] = *byte;
            at += 1;
            bytes = rest;
        }
        at += 1;
        words = rest;
    }
    lines
}

/// Whether the first `length` bytes of the buffer are this word.
#[inline(never)]
pub(super) fn is(word: &str, length: usize) -> bool {
    let is = |bytes: &[Cell<u8>; BYTES]| {
        let mut pairs = bytes.iter().zip(word.bytes());
        length == word.len() && pairs.all(|(cell, byte)| cell.get() == byte)
    };
    BUFFER.try_with(is).unwrap_or_default()
}

/// Where the text in the buffer ends.
struct End(usize);

impl Sink for End {
    #[inline(never)]
    fn text(&mut self, text: &str) {
        let _always_there = BUFFER.try_with(|bytes| {
            for (cell, byte) in bytes.iter().skip(self.0).zip(text.bytes()) {
                cell.set(byte);
            }
            self.0 = self.0.saturating_add(text.len()).min(BYTES);
        });
    }

    #[inline(never)]
    fn number(&mut self, number: u64) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.digit((number % 10) as u8);
    }
}
