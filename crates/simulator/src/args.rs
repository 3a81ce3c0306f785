use std::ops::Range;

use clap::Parser;

use crate::plant::Plant;

const AFTER: &str = "\
Exit codes:
  0  every seed ran clean
  1  a seed fails: it is printed with the invariant, the shortest schedule found, and the command that replays it
  2  the input is not understood, or the simulator itself is at fault

`cargo simulate` is an alias in .cargo/config.toml. It builds with the profile `simulate`: the release profile is made for
small WebAssembly, and takes long to build and to run. docs/simulator.md says what is checked.";

/// Runs workers, owners, operators and sweeps against the real statements and migrations in SQLite, in an order that a
/// seed decides, with calls that fail and callers that die, and checks every invariant after every transaction.
#[derive(Debug, Parser)]
#[command(name = "simulate", bin_name = "cargo simulate", after_help = AFTER)]
pub struct Arguments {
    /// Run one seed.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// Run a range of seeds, the last one left out.
    #[arg(long, value_name = "FROM..TO", value_parser = range, default_value = "0..1000")]
    pub seeds: Range<u64>,
    /// Plant a bug, which must be found.
    #[arg(long, value_name = "NAME", value_enum)]
    pub plant: Option<Plant>,
    /// Print every decision and call of the seed.
    #[arg(long, requires = "seed")]
    pub trace: bool,
    /// Only these decisions of the seed, such as `0,3,7-9`: what a failing seed prints.
    #[arg(long, value_name = "PLACES", requires = "seed")]
    pub only: Option<String>,
    /// Threads for a range of seeds [default: one a core].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().ok();
    text.split_once("..")
        .and_then(|(from, to)| Some(number(from)?..number(to)?))
        .filter(|range| !range.is_empty())
        .ok_or_else(|| String::from("expected two numbers such as `0..1000`, the second one greater"))
}

/// The places that `--only` names; `None` if it is not understood.
pub fn places(text: &str) -> Option<Vec<usize>> {
    let mut list = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        list.extend(from.parse::<usize>().ok()?..=to.parse().ok().filter(|to| *to < 1_000_000)?);
    }
    Some(list)
}

/// The text for `--only`: the counterpart of [`places`].
pub fn only(places: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for place in places {
        match parts.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*place) => *last = *place,
            _ => parts.push((*place, *place)),
        }
    }
    let part = |(from, to): &(usize, usize)| {
        if from == to { from.to_string() } else { format!("{from}-{to}") }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}
