use std::borrow::Cow;

/// JSON text with `\ufffd` for each escaped half of a surrogate pair that has no other half.
///
/// Python and JavaScript cut text in the middle of a pair, and write the half as such an escape. It is no Unicode text, so
/// `serde_json` refuses the whole.
pub(super) fn paired(text: &[u8]) -> Cow<'_, [u8]> {
    let mut paired = Cow::Borrowed(text);
    let mut at = 0_usize;
    while let Some(skipped) = text.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at = at.saturating_add(skipped);
        let length = match (escaped(text, at), escaped(text, at.saturating_add(6))) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                let digits = at.saturating_add(2)..at.saturating_add(6);
                if let Some(digits) = paired.to_mut().get_mut(digits) {
                    digits.copy_from_slice(b"fffd");
                }
                6
            }
            (Some(_), _) => 6,
            // Another escape, such as `\\`.
            (None, _) => 2,
        };
        at = at.saturating_add(length);
    }
    paired
}

/// The unit that is escaped at this place, such as `\ud83e`.
fn escaped(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0_u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16).and_then(|digit| u16::try_from(digit).ok())?;
        Some(unit << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_of_a_pair_is_replaced_and_nothing_else() {
        for (text, expected) in [
            (r#""a""#, r#""a""#),
            (r#""\ud83e\udd8a""#, r#""\ud83e\udd8a""#),
            (r#""\uD83E\uDD8A\n\\u""#, r#""\uD83E\uDD8A\n\\u""#),
            (r#""\ud83e""#, r#""\ufffd""#),
            (r#""\udd8a\ud83e""#, r#""\ufffd\ufffd""#),
            (r#""\ud83e\ud83e\udd8a""#, r#""\ufffd\ud83e\udd8a""#),
            (r#""\ud83ex\udd8a""#, r#""\ufffdx\ufffd""#),
            // A backslash that is escaped begins nothing.
            (r#""\\ud83e""#, r#""\\ud83e""#),
            (r#""\\\ud83e""#, r#""\\\ufffd""#),
            (r#""\ud83"#, r#""\ud83"#),
            (r#""\"#, r#""\"#),
        ] {
            assert_eq!(paired(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }
}
