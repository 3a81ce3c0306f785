//! A server's answer, as the command prints it: nothing in it may act on a terminal.
//!
//! The input is the answer as JSON; anything else is taken as a string.

use serde_json::Value;

use self::format::{
    age, count, indented, is_retry, limit, list, minute, number, one_line, sum, summary, text, time,
};
use crate::as_text;

#[path = "../../crates/cli/src/format.rs"]
mod format;

/// Panics if something in the output may act on a terminal.
pub fn holds(data: &[u8]) {
    let input = as_text(data);
    let line = one_line(&input);
    calm(&line);
    assert!(!line.contains('\n') && line.chars().count() == input.chars().count());
    assert!(one_line(&line) == line);
    let value = serde_json::from_str(&input).unwrap_or_else(|_| Value::from(&*input));
    let written = indented(&value);
    calm(&written);
    // Numbers are read to the nearest but one, so both are read anew.
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("it is JSON");
    assert_eq!(read(&written), read(&value.to_string()), "{written}");
    printed(&value);
    let rows = list(&value, "creations");
    let said = summary(rows, "would be ");
    calm(&said);
    assert!(said.contains("creation"));
    let retried = rows.iter().filter(|row| is_retry(row)).count();
    assert_eq!(retried > 0, said.contains("retried"));
    assert!(sum(rows, "tokens") >= rows.iter().map(|row| number(row, "tokens")).max().unwrap_or(0));
    rows.iter().for_each(printed);
}

fn printed(value: &Value) {
    for key in value.as_object().into_iter().flat_map(|row| row.keys()) {
        for cell in
            [text(value, key), age(value, key), limit(value, key), time(value, key), minute(value, key)]
        {
            calm(&cell);
            assert!(!cell.contains('\n'));
        }
        assert!(count(number(value, key), "token").contains("token"));
    }
    // The fuzzer has found that one, too.
    if value.get("there is no such key").is_none() {
        assert_eq!(text(value, "there is no such key"), "-");
    }
}

/// Holds nothing that moves the cursor, begins a sequence, or turns round the order of what follows.
fn calm(text: &str) {
    for character in text.chars().filter(|character| *character != '\n') {
        let bidi = ['\u{202a}', '\u{202b}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}'];
        assert!(!character.is_control() && !bidi.contains(&character), "{text:?}");
    }
}
