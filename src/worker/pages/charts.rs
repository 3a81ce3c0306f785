use maud::{Markup, html};

use super::dashboard::DashboardView;
use super::layout::{count, minute, table};
use crate::rules::LAGS;
use crate::store::{ActiveBand, Rolled};

const HOUR_MS: u64 = 3_600_000;
/// The bands of the time from the deadline to the mark, as people read them.
const LAG_WORDS: [&str; 6] =
    ["up to 1 min", "up to 5 min", "up to 15 min", "up to 1 h", "up to 6 h", "longer"];
const BAND_WORDS: [&str; 5] = ["first quarter", "second", "third", "last quarter", "beyond its limit"];

/// A bar chart of what timed out, by hours, and the table behind it.
pub(super) fn over_time(view: &DashboardView<'_>) -> Markup {
    let step = match view.hours {
        ..49 => 1,
        49..169 => 6,
        _ => 24,
    };
    let step_ms = HOUR_MS.saturating_mul(step);
    let place = |millis: u64| millis.checked_div(step_ms).unwrap_or(0);
    let last = place(view.now.as_millis());
    let bars = u64::from(view.hours).div_ceil(step).max(1);
    let first = last.saturating_sub(bars.saturating_sub(1));
    let mut sums: Vec<(u64, [u64; 3])> = (first..=last).map(|at| (at, [0; 3])).collect();
    for row in &view.data.hours {
        let series = match (row.outcome.as_str(), row.stuck_status.as_str()) {
            ("retried", _) => 2,
            (_, "processing") => 1,
            _ => 0,
        };
        let at = place(row.hour).checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(number) = at.and_then(|at| sums.get_mut(at)).and_then(|(_, sums)| sums.get_mut(series)) {
            *number = number.saturating_add(row.creations);
        }
    }
    let names = ["Failed while pending", "Failed while processing", "Tried again"];
    let add = |numbers: &[u64]| numbers.iter().fold(0, |sum: u64, number| sum.saturating_add(*number));
    let highest = sums.iter().map(|(_, three)| add(three)).max().unwrap_or(0);
    let row = |(at, three): &(u64, [u64; 3])| {
        let [one, two, other] = three.map(count);
        (*three != [0; 3]).then(|| vec![minute(at.saturating_mul(step_ms)), one, two, other])
    };
    let rows: Vec<_> = sums.iter().rev().filter_map(row).collect();
    let width = 960_u64.checked_div(bars).unwrap_or(1).max(2);
    html! {
        section .panel aria-labelledby="over-time" {
            h2 #over-time { "Stale creations over time" }
            @if highest == 0 { p .muted { "None in the last " (view.hours) " hours." } }
            @else {
                p .legend aria-hidden="true" { @for (name, at) in names.iter().zip(0..) { span .{ "key series-" (at) } {} (name) " " } }
                svg .chart viewBox="0 0 960 210" role="img" aria-label={ "Bars by time; the highest is " (highest) } preserveAspectRatio="none" {
                    @for ((_, three), at) in sums.iter().zip(0_u64..) {
                        @let heights = three.map(|number| number.saturating_mul(190).checked_div(highest).unwrap_or(0));
                        @for (series, height) in heights.iter().enumerate().filter(|(_, height)| **height > 0) {
                            @let below = add(heights.get(..series).unwrap_or_default());
                            rect .{ "series-" (series) } x=(at.saturating_mul(width).saturating_add(1)) width=(width.saturating_sub(2).max(1))
                                y=(200_u64.saturating_sub(below.saturating_add(*height))) height=(height.max(&1)) {}
                        }
                    }
                    line .axis x1="0" x2="960" y1="201" y2="201" {}
                }
                p .ends .muted { span { (minute(first.saturating_mul(step_ms))) } span { "highest: " (count(highest)) } span { (minute(last.saturating_mul(step_ms))) " UTC" } }
                details {
                    summary { "As a table" }
                    (table(&["From (UTC)", names[0], names[1], names[2]], rows))
                }
            }
        }
    }
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
    bars("From the deadline to the mark", "time", &list, "Nothing was marked.")
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
