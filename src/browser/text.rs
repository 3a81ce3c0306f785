//! The buffer that text goes through, one at a time: Rust writes and tells the length, or JavaScript does.

use std::cell::Cell;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::rules::{Sink, Words};

/// Longer than every text of the rules; longer text from JavaScript is no word of theirs.
const UNITS: usize = 512;

thread_local! {
    static BUFFER: [Cell<u16>; UNITS] = const { [const { Cell::new(0) }; UNITS] };
}

/// Where the buffer begins in the module's memory, in bytes.
#[wasm_bindgen]
pub fn buffer() -> usize {
    BUFFER.try_with(|units| units.as_ptr().addr()).unwrap_or_default()
}

/// How many UTF-16 units the buffer holds.
#[wasm_bindgen]
pub fn buffer_units() -> usize {
    UNITS
}

#[inline(never)]
/// Writes a text to the buffer and gives its length.
pub(super) fn write(words: &impl Words) -> usize {
    let mut end = End(0);
    words.write(&mut end);
    end.0
}

/// Writes a list to the buffer, one line each, and gives its length.
#[cfg(feature = "browser-draft")]
#[inline(never)]
pub(super) fn write_lines(lines: &[&str]) -> usize {
    let mut end = End(0);
    for line in lines {
        if end.0 > 0 {
            end.char('\n');
        }
        end.text(line);
    }
    end.0
}

#[inline(never)]
/// Whether the first `length` units of the buffer are this word.
pub(super) fn is(word: &str, length: usize) -> bool {
    // The rules' own words are ASCII.
    let is = |units: &[Cell<u16>; UNITS]| {
        let mut pairs = units.iter().zip(word.bytes());
        length == word.len() && pairs.all(|(unit, byte)| unit.get() == byte.into())
    };
    BUFFER.try_with(is).unwrap_or_default()
}

/// Where the text in the buffer ends.
struct End(usize);

impl Sink for End {
    #[inline(never)]
    fn char(&mut self, char: char) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            let _always_there = BUFFER.try_with(|units| {
                if let Some(cell) = units.get(self.0) {
                    cell.set(*unit);
                    self.0 = self.0.saturating_add(1);
                }
            });
        }
    }

    #[inline(never)]
    fn text(&mut self, text: &str) {
        text.chars().for_each(|char| self.char(char));
    }

    #[inline(never)]
    fn number(&mut self, number: u64) {
        if number >= 10 {
            self.number(number / 10);
        }
        let digit = char::from_digit((number % 10) as u32, 10);
        self.char(digit.unwrap_or_default());
    }
}
