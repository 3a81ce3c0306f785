//! When something ends or began, as an operator writes it: a time of day on this machine's clock, or an instant with its zone.

use chrono::{DateTime, Days, Local, MappedLocalTime, NaiveTime, TimeZone, Utc};

/// `04:00` is the next one on the clock of `now`, which has this machine's zone; `04:00Z` the next one in UTC; and `2026-01-05T04:00+01:00`
/// is what it says.
///
/// # Errors
///
/// What would be right, for anything else, and for a time that the clock leaves out or has twice.
pub fn instant<Zone: TimeZone>(text: &str, now: &DateTime<Zone>) -> Result<DateTime<Utc>, String> {
    read(text, now, "end", Side::After)
}

/// The same of what has been: a time of day is the last one.
///
/// # Errors
///
/// As [`instant`].
pub fn last<Zone: TimeZone>(text: &str, now: &DateTime<Zone>) -> Result<DateTime<Utc>, String> {
    read(text, now, "time", Side::Before)
}

/// The end of a window of what has been. After a `since` a time of day is the first one: `22:00` to `02:00` is one night.
///
/// # Errors
///
/// As [`instant`].
pub fn last_after<Zone: TimeZone>(
    text: &str,
    since: Option<DateTime<Utc>>,
    now: &DateTime<Zone>,
) -> Result<DateTime<Utc>, String> {
    match since {
        Some(since) => read(text, &since.with_timezone(&now.timezone()), "time", Side::After),
        None => last(text, now),
    }
}

/// Where a time of day is from now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

fn read<Zone: TimeZone>(
    text: &str,
    now: &DateTime<Zone>,
    what: &str,
    side: Side,
) -> Result<DateTime<Utc>, String> {
    let expected = || {
        format!(
            "`{text}` is no {what}: expected a time of day such as `04:00` on this machine's clock or `04:00Z` in UTC, or an instant with its zone such as `2026-01-05T04:00:00+01:00`"
        )
    };
    if let Some(instant) = whole(text) {
        return Ok(instant);
    }
    let (time, utc) = match text.strip_suffix(['Z', 'z']) {
        Some(time) => (time, true),
        None => (text, false),
    };
    let time = NaiveTime::parse_from_str(time, "%H:%M").map_err(|_| expected())?;
    if utc { nearest(time, &now.to_utc(), text, side) } else { nearest(time, now, text, side) }
}

/// An instant with its zone. Seconds may be left out, and blanks may stand where tables and [`both_ways`] have them: what is printed can be
/// given again.
fn whole(text: &str) -> Option<DateTime<Utc>> {
    let (day, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let text = format!("{day}T{}", rest.replacen(' ', "", 1));
    let instant =
        DateTime::parse_from_rfc3339(&text).or_else(|_| DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M%#z"));
    instant.ok().map(|instant| instant.to_utc())
}

/// The next time of day after `now`, or the last one before it, on its clock.
fn nearest<Zone: TimeZone>(
    time: NaiveTime,
    now: &DateTime<Zone>,
    text: &str,
    side: Side,
) -> Result<DateTime<Utc>, String> {
    let today = now.date_naive();
    let other = match side {
        Side::Before => today.checked_sub_days(Days::new(1)),
        Side::After => today.checked_add_days(Days::new(1)),
    };
    let days = [Some(today), other];
    for day in days.into_iter().flatten() {
        match now.timezone().from_local_datetime(&day.and_time(time)) {
            MappedLocalTime::Single(instant) if (instant > *now) == (side == Side::After) => {
                return Ok(instant.to_utc());
            }
            MappedLocalTime::Single(_) => {}
            MappedLocalTime::None => {
                return Err(format!(
                    "the clocks here leave `{text}` out on {day}: give the instant with its zone"
                ));
            }
            MappedLocalTime::Ambiguous(..) => {
                return Err(format!("`{text}` comes twice here on {day}: give the instant with its zone"));
            }
        }
    }
    Err(format!("`{text}` does not come within a day: give the instant with its zone"))
}

/// The instant on this machine's clock and in UTC: `2026-01-05 04:00 +01:00 (2026-01-05 03:00Z)`; once where the two are the same.
pub fn both_ways(millis: i64) -> String {
    let Some(instant) = DateTime::from_timestamp_millis(millis) else { return String::from("-") };
    let here = instant.with_timezone(&Local);
    let utc = instant.format("%Y-%m-%d %H:%MZ");
    match here.offset().local_minus_utc() {
        0 => utc.to_string(),
        _ => format!("{} ({utc})", here.format("%Y-%m-%d %H:%M %:z")),
    }
}

/// This machine's clock, with its zone.
pub fn now() -> DateTime<Local> {
    Local::now()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use chrono::{DateTime, FixedOffset};

    use super::{instant, last, last_after};

    fn at(text: &str) -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339(text).unwrap()
    }

    #[test]
    fn a_time_of_day_is_the_next_one_here_or_in_utc() {
        let now = at("2026-01-05T03:30:00+01:00");
        for (text, expected) in [
            ("04:00", "2026-01-05T03:00:00Z"),
            ("03:30", "2026-01-06T02:30:00Z"),
            ("03:29", "2026-01-06T02:29:00Z"),
            ("04:00Z", "2026-01-05T04:00:00Z"),
            ("02:00Z", "2026-01-06T02:00:00Z"),
            ("2026-02-01T04:00:00+09:00", "2026-01-31T19:00:00Z"),
            ("2026-02-01T04:00Z", "2026-02-01T04:00:00Z"),
            ("2026-02-01 04:00Z", "2026-02-01T04:00:00Z"),
            ("2026-02-01 04:00:30Z", "2026-02-01T04:00:30Z"),
            ("2026-02-01 04:00 +09:00", "2026-01-31T19:00:00Z"),
        ] {
            assert_eq!(instant(text, &now).unwrap(), at(expected).to_utc(), "{text}");
        }
    }

    #[test]
    fn a_time_of_day_that_has_been_is_the_last_one() {
        let now = at("2026-01-05T03:30:00+01:00");
        for (text, expected) in [
            ("04:00", "2026-01-04T03:00:00Z"),
            ("03:30", "2026-01-05T02:30:00Z"),
            ("03:31", "2026-01-04T02:31:00Z"),
            ("04:00Z", "2026-01-04T04:00:00Z"),
            ("02:00Z", "2026-01-05T02:00:00Z"),
            ("2026-02-01T04:00Z", "2026-02-01T04:00:00Z"),
        ] {
            assert_eq!(last(text, &now).unwrap(), at(expected).to_utc(), "{text}");
        }
        assert!(last("4 am", &now).unwrap_err().starts_with("`4 am` is no time: expected a time of day"));
    }

    #[test]
    fn an_end_after_a_beginning_is_the_first_one_after_it() {
        let now = at("2026-11-29T11:35:00+01:00");
        for (since, until, expected) in [
            // Within the window that goes on still.
            (Some("10:00"), "12:00", "2026-11-29T11:00:00Z"),
            (Some("10:00"), "11:00", "2026-11-29T10:00:00Z"),
            (Some("22:00"), "02:00", "2026-11-29T01:00:00Z"),
            (Some("10:00"), "10:00", "2026-11-30T09:00:00Z"),
            (Some("2026-11-02T22:00Z"), "04:00Z", "2026-11-03T04:00:00Z"),
            // A whole date and time is taken as it is, even if it is before the beginning: the server refuses that.
            (Some("10:00"), "2026-11-01T00:00Z", "2026-11-01T00:00:00Z"),
            (None, "12:00", "2026-11-28T11:00:00Z"),
        ] {
            let since = since.map(|since| last(since, &now).unwrap());
            assert_eq!(last_after(until, since, &now).unwrap(), at(expected).to_utc(), "{since:?} {until}");
        }
    }

    #[test]
    fn anything_else_is_quoted_with_what_would_be_right() {
        let now = at("2026-01-05T03:30:00+01:00");
        for text in [
            "",
            "4 am",
            "24:00",
            "04:00+01:00",
            "2026-01-05",
            "2026-01-05T04:00:00",
            "2026-01-05 04:00",
            "1700000000000",
        ] {
            let error = instant(text, &now).unwrap_err();
            assert!(
                error.starts_with(&format!("`{text}` is no end: expected a time of day such as `04:00`")),
                "{error}"
            );
        }
    }
}
