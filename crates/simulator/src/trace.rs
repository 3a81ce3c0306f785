//! What a trace says.

use std::fmt::Debug;

use crate::image::{Creation, Image};

/// The time since the beginning of a run.
pub fn clock(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    let part = |unit: u64, of: u64| millis.checked_div(unit).and_then(|all| all.checked_rem(of)).unwrap_or(0);
    let hours = format!("{sign}{}", part(3_600_000, u64::MAX));
    format!("{hours:>3}:{:02}:{:02}.{:03}", part(60_000, 60), part(1_000, 60), part(1, 1_000))
}

/// What changed from one image to the next: statuses, times that matter, and money.
pub fn changes(before: &Image, after: &Image) -> String {
    let mut list = Vec::new();
    for (id, now) in &after.creations {
        match before.creations.get(id) {
            None => list.push(format!("{id} is {}", state(now))),
            Some(then) if state(then) != state(now) => {
                list.push(format!("{id} was {}, is {}", state(then), state(now)));
            }
            Some(then) if then != now => list.push(format!("{id} changed")),
            Some(_) => {}
        }
    }
    for (key, entry) in after.ledger.iter().filter(|(key, _)| !before.ledger.contains_key(*key)) {
        list.push(format!("{key} {:+}", entry.tokens));
    }
    for (user, tokens) in after.balances.iter().filter(|(user, now)| before.balances.get(*user) != Some(now))
    {
        list.push(format!("{user} has {tokens}"));
    }
    if list.is_empty() { String::new() } else { format!(" → {}", list.join("; ")) }
}

/// Where two values of one type differ.
pub fn differences<T: Debug>(found: Option<&T>, expected: Option<&T>) -> String {
    let (Some(found), Some(expected)) = (found, expected) else {
        let word = |value: Option<&T>| value.map_or(String::from("nothing"), |value| format!("{value:?}"));
        return format!("{}: expected {}", word(found), word(expected));
    };
    let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
    let parts: Vec<_> = found
        .split(", ")
        .zip(expected.split(", "))
        .filter(|(found, expected)| found != expected)
        .map(|(found, expected)| format!("{found}: expected {expected}"))
        .collect();
    parts.join(", ")
}

/// What a creation is at.
pub fn state(creation: &Creation) -> String {
    let Creation { status, attempt, fence, last_sign_of_life, .. } = creation;
    let mut text = format!("{status} (attempt {attempt}");
    if let Some(fence) = fence {
        text.push_str(&format!(", fence {fence}"));
    }
    if let Some(at) = last_sign_of_life {
        let since = at.saturating_sub(crate::world::BEGINNING);
        text.push_str(&format!(", last sign of life {}", clock(since).trim_start()));
    }
    for (mark, time) in [
        ("late result", creation.late_at),
        ("restored", creation.restored_at),
        ("deleted", creation.deleted_at),
    ] {
        if time.is_some() {
            text.push_str(", ");
            text.push_str(mark);
        }
    }
    text.push(')');
    text
}
