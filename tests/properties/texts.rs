//! Texts say what they are about, and can be read back.

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use stale_drafts::rules::{Active, Age, ErrorText, MarkedMessage, RetriedMessage, SweepMessage, Unit};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 3_600_000;

fn age() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..2 * MINUTE,
        0..2 * HOUR,
        0..1_000 * HOUR,
        // Near where the unit or the count changes.
        (0..100_000_u64, 0..5_u64).prop_map(|(count, off)| (count * 180_000 + off).saturating_sub(2)),
        (0..200_u64, 0..5_u64).prop_map(|(count, off)| (count * 1_000 + off).saturating_sub(2)),
    ]
}

/// The unit of what is written, in milliseconds.
fn unit(unit: Unit) -> u64 {
    match unit {
        Unit::TenthsOfHours => HOUR / 10,
        Unit::Minutes => MINUTE,
        Unit::Seconds => 1_000,
        Unit::Days => 24 * HOUR,
    }
}

/// An age that was written out: its count, in tenths for hours, and its unit.
fn read(text: &str) -> Option<(u64, Unit)> {
    let (number, word) = text.split_once(' ')?;
    match word {
        "hours" => {
            let (whole, tenth) = number.split_once('.').filter(|(_, tenth)| tenth.len() == 1)?;
            Some((format!("{whole}{tenth}").parse().ok()?, Unit::TenthsOfHours))
        }
        "minute" | "minutes" | "second" | "seconds" => {
            let count = number.parse().ok().filter(|count| (*count == 1) != word.ends_with('s'))?;
            Some((count, if word.starts_with('m') { Unit::Minutes } else { Unit::Seconds }))
        }
        _ => None,
    }
}

proptest! {
    #[test]
    fn an_age_is_within_its_unit_of_what_is_written(age in age()) {
        let (count, of) = Age(age).parts();
        let (age, low) = (u128::from(age), u128::from(count) * u128::from(unit(of)));
        let size = u128::from(unit(of));
        match of {
            // Rounded half up: within half a unit.
            Unit::TenthsOfHours => prop_assert!(low <= age + size / 2 && age < low + size / 2),
            // Begun and finished.
            Unit::Minutes | Unit::Seconds | Unit::Days => prop_assert!(low <= age && age < low + size),
        }
    }

    #[test]
    fn a_greater_age_is_never_written_as_a_smaller_one(a in age(), b in age()) {
        let written = |age| {
            let (count, of) = read(&Age(age).to_string()).unwrap();
            u128::from(count) * u128::from(unit(of))
        };
        prop_assert!(written(a.min(b)) <= written(a.max(b)));
        for next in [a.saturating_add(1), a.saturating_add(1_000)] {
            prop_assert!(written(a) <= written(next));
        }
    }

    #[test]
    fn an_age_is_read_back(age in age()) {
        prop_assert_eq!(read(&Age(age).to_string()), Some(Age(age).parts()));
    }

    #[test]
    fn the_short_form_says_what_the_long_one_says(age in age()) {
        let (long, short) = (Age(age).to_string(), format!("{:#}", Age(age)));
        let (number, word) = long.split_once(' ').unwrap();
        prop_assert_eq!(short, format!("{number}{}", &word[..1]));
    }

    #[test]
    fn an_error_text_is_read_back(pending in any::<bool>(), age_ms in age(), attempt in prop_oneof![any::<u32>(), 0..4_u32]) {
        let stuck_status = if pending { Active::Pending } else { Active::Processing };
        let text = ErrorText { stuck_status, age_ms, attempt }.to_string();
        let rest = text.strip_prefix("Generation timeout: Task stuck in ").unwrap();
        let (status, rest) = rest.split_once(" status for ").unwrap();
        let (age, attempts) = rest.split_once(", after ").map_or((rest, None), |(age, after)| (age, Some(after)));
        prop_assert_eq!(status, stuck_status.as_str());
        prop_assert_eq!(age, Age(age_ms).to_string());
        prop_assert_eq!(read(age), Some(Age(age_ms).parts()));
        let attempts = attempts.map(|after| after.strip_suffix(" attempts").unwrap().parse::<u32>().unwrap());
        prop_assert_eq!(attempts, (attempt > 1).then_some(attempt));
    }

    #[test]
    fn a_line_in_the_log_shows_the_ids_beginning(id in ".*", age_ms in age(), attempt in any::<u32>(), marked in any::<u64>()) {
        let short: String = id.chars().take(6).collect();
        let cut = if id.chars().count() > 6 { short + "..." } else { short };
        let age = format!("{:#}", Age(age_ms));
        let marked_one = MarkedMessage { id: &id, age_ms }.to_string();
        prop_assert_eq!(marked_one, format!("Marked stale creation {cut} as failed (age: {age})"));
        let retried = RetriedMessage { id: &id, age_ms, attempt }.to_string();
        let next = u64::from(attempt).saturating_add(1).min(u64::from(u32::MAX));
        prop_assert_eq!(retried, format!("Put stale creation {cut} back for attempt {next} (age: {age})"));
        let sweep = SweepMessage { marked }.to_string();
        let creations = if marked == 1 { "creation" } else { "creations" };
        prop_assert_eq!(sweep, format!("Auto-cleanup: Marked {marked} stale {creations} as failed"));
    }
}
