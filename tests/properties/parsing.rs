//! What is read from text and numbers: nothing but what is right, and the error quotes it.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use stale_drafts::rules::{MaxAge, Status, Time, Timestamp};

use crate::generate::{EARLIEST, MAX};

/// Text that is nearly a number.
fn numberlike() -> impl Strategy<Value = String> {
    prop_oneof![
        ".*",
        "[-+]?[0-9]{0,12}[.,]?[0-9]{0,12}(e[-+]?[0-9]{1,3})?",
        any::<f64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        select(vec!["inf", "NaN", "infinity", "1_000", "0x1p3", " 1 ", "+1", "1.", ".5", "1e400", "٣"])
            .prop_map(String::from),
    ]
}

fn word() -> impl Strategy<Value = String> {
    let status = || (0..Status::ALL.len()).prop_map(|at| String::from(Status::ALL[at].as_str()));
    prop_oneof![
        ".*",
        status(),
        status().prop_map(|word| word.to_uppercase()),
        (status(), ".{0,2}").prop_map(|(word, more)| word + &more),
    ]
}

proptest! {
    #[test]
    fn hours_are_read_back(millis in prop_oneof![1..=8_640_000_000_000_u64, 1..=10_000_u64]) {
        let max_age = MaxAge::from_millis(millis).unwrap();
        prop_assert_eq!(max_age.as_millis(), millis);
        let hours = millis as f64 / 3_600_000.0;
        prop_assert_eq!(hours.to_string().parse::<MaxAge>(), Ok(max_age));
        prop_assert_eq!(format!(" {hours:e}\n").parse::<MaxAge>(), Ok(max_age));
        prop_assert_eq!(MaxAge::checked(hours), Some(max_age));
        prop_assert_eq!(MaxAge::minutes(millis as f64 / 60_000.0), Some(max_age));
    }

    #[test]
    fn hours_are_rounded_to_the_nearest_millisecond(hours in prop_oneof![0.0..1e9_f64, 0.0..1e-5_f64, 0.0..30.0_f64]) {
        let millis = hours * 3_600_000.0;
        match MaxAge::checked(hours) {
            Some(max_age) => prop_assert!((max_age.as_millis() as f64 - millis).abs() <= 0.5),
            None => prop_assert!(millis < 0.5),
        }
    }

    #[test]
    fn any_number_of_hours_is_a_maximum_age_or_none(hours in proptest::num::f64::ANY) {
        let inside = (0.5..8_640_000_000_000_000.5).contains(&(hours * 3_600_000.0));
        let max_age = MaxAge::checked(hours);
        prop_assert_eq!(max_age.is_some(), inside);
        prop_assert!(max_age.is_none_or(|max_age| MaxAge::from_millis(max_age.as_millis()).is_some()));
    }

    #[test]
    fn more_hours_are_never_less(a in proptest::num::f64::POSITIVE, by in 1.0..2.0_f64) {
        for checked in [MaxAge::checked, MaxAge::minutes] {
            if let (Some(less), Some(more)) = (checked(a), checked(a * by)) {
                prop_assert!(less <= more);
            }
        }
    }

    #[test]
    fn any_text_is_a_maximum_age_or_an_error_that_quotes_it(text in numberlike()) {
        let number = text.trim().parse::<f64>().ok();
        match text.parse::<MaxAge>() {
            Ok(max_age) => prop_assert_eq!(Some(max_age), number.and_then(MaxAge::checked)),
            Err(error) => {
                prop_assert_eq!(number.and_then(MaxAge::checked), None);
                let expected = "expected a number of hours above 0, such as `1` or `0.5`";
                prop_assert_eq!(error.to_string(), format!("invalid max age `{text}`: {expected}"));
            }
        }
    }

    #[test]
    fn any_text_is_a_status_or_an_error(text in word()) {
        match text.parse::<Status>() {
            Ok(status) => prop_assert_eq!((status.as_str(), status.to_string()), (text.as_str(), text.clone())),
            Err(error) => {
                let quoted = error.to_string().starts_with(&format!("unknown status `{text}`: expected "));
                prop_assert!(quoted);
            }
        }
    }

    #[test]
    fn times_are_whole_milliseconds_in_range(millis in prop_oneof![any::<i64>(), 0..=MAX, MAX - 3..=MAX + 3, -3..=3_i64, EARLIEST - 3..=EARLIEST + 3]) {
        let inside = (0..=MAX).contains(&millis);
        prop_assert_eq!(Timestamp::from_millis(millis).is_some(), inside);
        match Time::from_millis(millis) {
            Time::At(at) => {
                prop_assert_eq!(i64::try_from(at.as_millis()), Ok(millis));
                prop_assert!(millis >= EARLIEST);
            }
            Time::Implausible => prop_assert!(inside && millis < EARLIEST),
            time => prop_assert!(!inside && time == Time::Malformed && time.instant().is_none()),
        }
    }

    #[test]
    fn time_goes_forth_and_back_within_its_range(
        millis in 0..=MAX,
        by in prop_oneof![Just(0), 0..=10_u64, 0..=MAX as u64, any::<u64>()],
    ) {
        let at = Timestamp::from_millis(millis).unwrap();
        let (later, earlier) = (at.saturating_add(by), at.saturating_sub(by));
        prop_assert!(earlier <= at && at <= later && later <= Timestamp::MAX);
        prop_assert_eq!(later.millis_since(at), by.min(Timestamp::MAX.millis_since(at)));
        prop_assert_eq!(at.millis_since(earlier), by.min(at.as_millis()));
        prop_assert_eq!(at.millis_since(later), 0);
    }

    #[test]
    fn a_status_goes_where_its_text_says(from in 0..5_usize, to in 0..5_usize) {
        let (from, to) = (Status::ALL[from], Status::ALL[to]);
        match from.transition(to) {
            Ok(reached) => prop_assert!(reached == to && from.next().contains(&to) && from != to),
            Err(illegal) => {
                prop_assert!(!from.next().contains(&to));
                let text = illegal.to_string();
                if from == to {
                    prop_assert!(text.ends_with(" already"), "{}", text);
                    return Ok(());
                }
                let (_, rest) = text.split_once(": ").unwrap();
                let named: Vec<_> = rest.split('`').skip(1).step_by(2).map(|word| word.parse::<Status>().unwrap()).collect();
                // It names what may follow; of what is final, itself.
                prop_assert_eq!(named.as_slice(), if from.next().is_empty() { std::slice::from_ref(&from) } else { from.next() });
            }
        }
    }
}
