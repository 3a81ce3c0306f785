//! `simulate`: the deterministic simulator. docs/simulator.md says what it checks.

mod actors;
mod args;
mod as_d1;
mod asking;
mod attached;
mod call;
mod courier;
mod database;
mod generate;
mod image;
mod in_bulk;
mod invariants;
mod more_time;
mod plant;
mod random;
mod range;
mod run;
mod script;
mod sharded;
mod shrink;
mod sql;
mod trace;
mod world;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser as _, ValueEnum as _};

use crate::args::Arguments;
use crate::database::Pool;
use crate::generate::schedule;
use crate::run::run;
use crate::shrink::{chosen, shrink};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs one seed; whether it is clean.
fn one(seed: u64, arguments: &Arguments) -> Result<bool, String> {
    let ops = schedule(seed);
    let places = match &arguments.only {
        None => (0..ops.len()).collect(),
        Some(text) => args::places(text)
            .ok_or_else(|| format!("`--only` is `{text}`: expected places such as `0,3,7-9`"))?,
    };
    let databases = Pool::new(arguments.plant)?.of(seed);
    let ran = run(&databases, arguments.plant, chosen(&ops, &places), arguments.trace)?;
    for line in &ran.trace {
        println!("{line}");
    }
    let Some(violation) = ran.violation else {
        println!("seed {seed}: clean after {} decisions", ran.decisions);
        return Ok(true);
    };
    println!("seed {seed} fails after {} of {} decisions", ran.decisions, ops.len());
    println!("{}: {}", violation.invariant, violation.found);
    if arguments.only.is_some() {
        return Ok(false);
    }
    let kept = places.into_iter().take(ran.decisions).collect();
    let kept = shrink(&databases, arguments.plant, &ops, kept, &violation)?;
    let ran = run(&databases, arguments.plant, chosen(&ops, &kept), true)?;
    println!("\nThe shortest schedule found has {} decisions:\n", kept.len());
    for line in &ran.trace {
        println!("{line}");
    }
    if let Some(violation) = ran.violation {
        println!("\n{}: {}", violation.invariant, violation.found);
    }
    let plant = arguments.plant.and_then(|plant| plant.to_possible_value());
    let plant = plant.map(|plant| format!(" --plant {}", plant.get_name())).unwrap_or_default();
    println!("\nReplay it: cargo simulate --seed {seed}{plant} --only {} --trace", args::only(&kept));
    Ok(false)
}

/// Runs a range of seeds; whether all of them are clean.
fn many(arguments: &Arguments) -> Result<bool, String> {
    let seeds = arguments.seeds.clone();
    let total = seeds.end.saturating_sub(seeds.start);
    let threads = arguments.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from));
    let shown = std::io::stderr().is_terminal();
    let progress = |clean: u64| {
        if shown && clean.is_multiple_of(500) {
            eprint!("\r{clean} of {total} seeds");
        }
    };
    let summary = range::run_all(seeds, arguments.plant, threads.unwrap_or(1), progress)?;
    if shown {
        eprint!("\r\x1b[K");
    }
    if let Some(seed) = summary.failed {
        println!("seed {seed} fails; those below it are clean\n");
        one(seed, arguments)?;
        return Ok(false);
    }
    println!("{} seeds clean, {} decisions", summary.clean, summary.decisions);
    for (what, times) in &summary.reached {
        println!("{times:>12}  {what}");
    }
    Ok(true)
}
