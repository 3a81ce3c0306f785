use maud::{Markup, html};

use super::dashboard::DashboardView;
use super::layout::{count, day, minute, weekday};
use super::tables::{cell, figure, name, table};
use crate::rules::LAGS;
use crate::store::{ActiveBand, FailedHour, LOOKED_AT, Rolled};

const HOUR_MS: u64 = 3_600_000;
/// The height of the chart, in its own units.
const HEIGHT: u64 = 200;
/// The bands of the time from the deadline to the mark, as people read them.
const LAG_WORDS: [&str; 6] =
    ["up to 1 min", "up to 5 min", "up to 15 min", "up to 1 h", "up to 6 h", "longer"];
const BAND_WORDS: [&str; 5] = ["first quarter", "second", "third", "last quarter", "beyond its limit"];

/// A bar chart of what went stale, by spans of time, and the table behind it.
pub(super) fn over_time(view: &DashboardView<'_>) -> Markup {
    let names = ["Failed while pending", "Failed while processing", "Retried"].map(String::from);
    let mut spans = Spans::back(view.now.as_millis(), view.hours.into(), names.len());
    for row in &view.data.hours {
        let series = match (row.outcome.as_str(), row.stuck_status.as_str()) {
            ("retried", _) => 2,
            (_, "processing") => 1,
            _ => 0,
        };
        spans.add(row.hour, series, row.creations);
    }
    html! {
        section .panel aria-labelledby="over-time" {
            h2 #over-time { "Stale creations over time, " (spans.word) " (UTC)" }
            @if spans.highest() == 0 { p .muted { "None in the last " (span_word(view.hours)) "." } }
            @else { (drawn(&names, &spans)) }
        }
    }
}

/// So many error codes have a series of their own; all others share one.
const CODES: usize = 5;

/// A bar chart of what failed when, by the error code; `within` are the instants of the first and the last bar.
pub(super) fn failures(failed: &[FailedHour], within: (u64, u64)) -> Markup {
    let mut codes: Vec<(Option<&str>, u64)> = Vec::new();
    for one in failed {
        let code = one.error_code.as_deref();
        match codes.iter_mut().find(|(other, _)| *other == code) {
            Some((_, sum)) => *sum = sum.saturating_add(one.creations),
            None => codes.push((code, one.creations)),
        }
    }
    codes.sort_by_key(|(code, sum)| (std::cmp::Reverse(*sum), *code));
    let others = codes.len().saturating_sub(CODES);
    codes.truncate(CODES);
    let mut names: Vec<_> =
        codes.iter().map(|(code, _)| code.unwrap_or("without a code").to_owned()).collect();
    if others > 0 {
        names.push(if others == 1 {
            String::from("1 other")
        } else {
            format!("{} others", count(others as u64))
        });
    }
    let mut spans = Spans::between(within, names.len());
    for one in failed {
        let series = codes.iter().position(|(code, _)| *code == one.error_code.as_deref());
        spans.add(one.hour, series.unwrap_or(CODES), one.creations);
    }
    html! {
        section .panel aria-labelledby="failures" {
            h2 #failures { "Failures over time, " (spans.word) " (UTC)" }
            p .muted { "By the error code, of what has not been retried since, among the newest " (count(LOOKED_AT.into())) " creations of each database." }
            (drawn(&names, &spans))
        }
    }
}

/// The bars, with their axes, and the table behind them.
fn drawn(names: &[String], spans: &Spans) -> Markup {
    let highest = spans.highest();
    let ticks = ticks(highest);
    let top = ticks.last().copied().unwrap_or(1).max(1);
    let some = |numbers: &[u64]| numbers.iter().any(|number| *number > 0);
    let row = |(from, numbers): &(u64, Vec<u64>)| {
        let figures = || numbers.iter().map(|number| cell(count(*number)));
        some(numbers).then(|| [cell(minute(*from))].into_iter().chain(figures()).collect())
    };
    let rows = spans.sums.iter().rev().filter_map(row);
    let columns: Vec<_> =
        [name("From (UTC)")].into_iter().chain(names.iter().map(|name| figure(name))).collect();
    let bars = spans.sums.len() as u64;
    let width = 960_u64.checked_div(bars).unwrap_or(1).max(2);
    let of_top = |number: u64| number.saturating_mul(HEIGHT).checked_div(top).unwrap_or(0);
    html! {
        p .legend aria-hidden="true" { @for (name, at) in names.iter().zip(0..) { span { span .{ "key series-" (at) } {} (name) } } }
        figure .plot {
            div .y aria-hidden="true" { @for tick in ticks.iter().rev() { span { (count(*tick)) } } }
            svg .chart viewBox={ "0 0 " (width.saturating_mul(bars)) " " (HEIGHT) } role="img"
                aria-label={ "Bars " (spans.word) ", up to " (count(highest)) "; the table below has their numbers" } preserveAspectRatio="none" {
                @for tick in &ticks {
                    @let y = HEIGHT.saturating_sub(of_top(*tick));
                    line .grid x1="0" x2=(width.saturating_mul(bars)) y1=(y) y2=(y) {}
                }
                @for ((from, numbers), at) in spans.sums.iter().zip(0_u64..).filter(|((_, numbers), _)| some(numbers)) {
                    g {
                        title { (minute(*from)) ": " @for (name, number) in names.iter().zip(numbers).filter(|(_, number)| **number > 0) { (name) " " (count(*number)) ". " } }
                        @for (series, number) in numbers.iter().enumerate().filter(|(_, number)| **number > 0) {
                            // What is there is seen.
                            @let height = of_top(*number).max(2);
                            @let below = of_top(sum(numbers.get(..series).unwrap_or_default()));
                            rect .{ "series-" (series) } x=(at.saturating_mul(width).saturating_add(width / 10)) width=(width.saturating_sub(width / 5).max(1))
                                y=(HEIGHT.saturating_sub(below.saturating_add(height))) height=(height) {}
                        }
                    }
                }
            }
            div .x aria-hidden="true" { @for (at, (from, _)) in spans.sums.iter().enumerate() {
                @let label = spans.label(*from).unwrap_or_default();
                // The last ones would have no room.
                span { @if at.saturating_add(label.len() / 2) < spans.sums.len() { (label) } }
            } }
        }
        details {
            summary { "As a table" }
            (table("The numbers of the bars", &columns, rows))
        }
    }
}

/// What the axis says: round numbers from 0 to the highest or above, four at most beside 0.
fn ticks(highest: u64) -> Vec<u64> {
    let mut steps = (0..19)
        .flat_map(|power| [1, 2, 5].map(|digit: u64| digit.saturating_mul(10_u64.saturating_pow(power))));
    let step = steps.find(|step| highest.div_ceil(*step) <= 4).unwrap_or(u64::MAX);
    (0..=highest.div_ceil(step)).map(|at| step.saturating_mul(at)).collect()
}

/// `24 hours`, `7 days`
pub(super) fn span_word(hours: u32) -> String {
    match (hours / 24, hours % 24) {
        (days @ 2.., 0) => format!("{days} days"),
        (0, 1) => String::from("hour"),
        _ => format!("{hours} hours"),
    }
}

/// The spans of time that have a bar each, with the numbers of each series.
struct Spans {
    word: &'static str,
    hours: u64,
    sums: Vec<(u64, Vec<u64>)>,
}

impl Spans {
    /// So many hours back from now.
    fn back(now: u64, hours: u64, series: usize) -> Self {
        let (word, each) = Spans::scale(hours);
        let last = place(now, each);
        let bars = hours.div_ceil(each).max(1);
        Spans::new(word, each, last.saturating_sub(bars.saturating_sub(1))..=last, series)
    }

    /// From the span of one instant to that of another.
    fn between((first, last): (u64, u64), series: usize) -> Self {
        let hour = |millis: u64| millis / HOUR_MS;
        let (word, each) = Spans::scale(hour(last).saturating_sub(hour(first)).saturating_add(1));
        Spans::new(word, each, place(first, each)..=place(last, each), series)
    }

    /// How long a span is, in hours and in words.
    const fn scale(hours: u64) -> (&'static str, u64) {
        match hours {
            ..49 => ("by the hour", 1),
            49..169 => ("by 6 hours", 6),
            _ => ("by the day", 24),
        }
    }

    fn new(word: &'static str, hours: u64, places: std::ops::RangeInclusive<u64>, series: usize) -> Self {
        let from = |place: u64| place.saturating_mul(hours).saturating_mul(HOUR_MS);
        Spans { word, hours, sums: places.map(|place| (from(place), vec![0; series])).collect() }
    }

    /// Adds to a series what was at an instant, if that has a bar.
    fn add(&mut self, at: u64, series: usize, creations: u64) {
        let span_ms = self.hours.saturating_mul(HOUR_MS);
        let first = self.sums.first().map_or(0, |(from, _)| *from);
        let place = at.checked_sub(first).and_then(|after| after.checked_div(span_ms));
        let bar = place.and_then(|place| self.sums.get_mut(usize::try_from(place).ok()?));
        if let Some(number) = bar.and_then(|(_, numbers)| numbers.get_mut(series)) {
            *number = number.saturating_add(creations);
        }
    }

    fn highest(&self) -> u64 {
        self.sums.iter().map(|(_, numbers)| sum(numbers)).max().unwrap_or(0)
    }

    /// What the axis says below a bar, if anything: each sixth or twelfth hour, each day of the week, or each Monday, second or fourth
    /// one.
    fn label(&self, from: u64) -> Option<String> {
        let hour = from / HOUR_MS;
        let day = || day(from);
        let bars = self.sums.len();
        let many = bars > 31;
        match self.hours {
            1 if hour.is_multiple_of(24) => Some(day()),
            1 => hour.is_multiple_of(if many { 12 } else { 6 }).then(|| format!("{:02}:00", hour % 24)),
            6 => hour.is_multiple_of(24).then(|| weekday(from)),
            // The epoch began on a Thursday.
            _ if bars > 62 => ((hour / 24) % 28 == 4).then(day),
            _ if many => ((hour / 24) % 14 == 4).then(day),
            _ => ((hour / 24) % 7 == 4).then(day),
        }
    }
}

/// The number of the span of so many hours in which an instant lies, from the epoch on.
fn place(millis: u64, hours: u64) -> u64 {
    millis.checked_div(hours.saturating_mul(HOUR_MS)).unwrap_or(0)
}

fn sum(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |sum: u64, number| sum.saturating_add(*number))
}

/// Bars for the values of a column.
pub(super) fn breakdown(title: &str, head: &str, rows: &[Rolled], key: fn(&Rolled) -> &str) -> Markup {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for row in rows {
        match sums.iter_mut().find(|(name, _)| name == key(row)) {
            Some((_, sum)) => *sum = sum.saturating_add(row.creations),
            None => sums.push((key(row).to_owned(), row.creations)),
        }
    }
    // The eight greatest, the greatest first.
    let mut list = Vec::new();
    while list.len() < 8
        && let Some(at) = (0..sums.len()).max_by_key(|at| sums.get(*at).map(|(_, sum)| *sum))
    {
        list.push(sums.swap_remove(at));
    }
    bars(title, head, &list, "None.")
}

/// Bars for the time from the deadline to the failure.
pub(super) fn lags(rows: &[Rolled]) -> Markup {
    let of = |at: usize| {
        rows.iter().filter_map(|row| row.lags.get(at)).fold(0, |sum: u64, lag| sum.saturating_add(*lag))
    };
    let list: Vec<_> =
        LAG_WORDS.iter().zip(0..=LAGS.len()).map(|(word, at)| ((*word).to_owned(), of(at))).collect();
    bars("Delay from deadline to failure", "time", &list, "Nothing was failed.")
}

/// Bars for active creations against their limits.
pub(super) fn actives(bands: &[ActiveBand]) -> Markup {
    let of = |at: u64| {
        let here = bands.iter().filter(|band| band.band == Some(at));
        here.fold(0, |sum: u64, band| sum.saturating_add(band.creations))
    };
    let mut list: Vec<_> =
        BAND_WORDS.iter().zip(0..).map(|(word, at)| ((*word).to_owned(), of(at))).collect();
    let never = bands
        .iter()
        .filter(|band| band.band.is_none())
        .fold(0, |sum: u64, band| sum.saturating_add(band.creations));
    if never > 0 {
        list.push((String::from("without a limit"), never));
    }
    bars(
        "Active creations, by how much of their limit has passed",
        "of the limit",
        &list,
        "Nothing is being generated.",
    )
}

/// Horizontal bars with their numbers: a table that is drawn, so that everybody reads the same.
fn bars(title: &str, head: &str, list: &[(String, u64)], none: &str) -> Markup {
    let highest = list.iter().map(|(_, number)| *number).max().unwrap_or(0);
    html! {
        section .panel {
            h2 { (title) }
            @if highest == 0 { p .muted { (none) } }
            @else {
                table .bars {
                    thead .unseen { tr { th { (head) } th { "creations" } th { "share" } } }
                    tbody {
                        @for (name, number) in list {
                            tr {
                                th scope="row" { (name) }
                                td { (count(*number)) }
                                td aria-hidden="true" { svg viewBox="0 0 100 10" preserveAspectRatio="none" {
                                    rect .series-1 width=(number.saturating_mul(100).checked_div(highest).unwrap_or(0)) height="10" {}
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}
