/// Words that address many people at once, after an `@`.
const MANY: [&str; 4] = ["here", "channel", "everyone", "group"];

/// A sentence of the rules, as it begins a line. An id is left as it is.
pub fn capitalized(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// How long a chat takes a text to be. None of them says what it counts as a character; this is never less.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// As much of a text as has at most `most` characters once it is escaped, on one line.
pub(super) fn fit(text: &str, most: usize, escape: impl Fn(&str) -> String) -> String {
    let text = plain(text);
    let whole = escape(&text);
    if length(&whole) <= most {
        return whole;
    }
    let ends: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
    let cut = |at: usize| escape(&format!("{}…", text.get(..at).unwrap_or_default()));
    // The more of it, the longer, but for a few characters: markup that is cut in two is escaped otherwise.
    let fitting = ends.partition_point(|at| length(&cut(*at)) <= most);
    let shorter = ends.iter().take(fitting).rev().map(|at| cut(*at));
    shorter.into_iter().find(|text| length(text) <= most).unwrap_or_default()
}

/// On one line, without what turns the direction of writing, and with nothing in it that addresses everybody.
fn plain(text: &str) -> String {
    let turns = |char: char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(text.len());
    for (at, char) in text.char_indices().filter(|(_, char)| !turns(*char)) {
        plain.push(if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') { ' ' } else { char });
        let rest = text.get(at.saturating_add(char.len_utf8())..).unwrap_or_default();
        let begins =
            |word: &&str| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        if char == '@' && MANY.iter().any(begins) {
            // A space without width: it reads the same, and is no mention.
            plain.push('\u{200b}');
        }
    }
    plain
}
