//! Many seeds, on every core.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::database::Pool;
use crate::generate::schedule;
use crate::plant::Plant;
use crate::run::run;

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// The first seed that fails; none below it does.
    pub failed: Option<u64>,
    /// How many ran to their end.
    pub clean: u64,
    /// How many decisions they took.
    pub decisions: u64,
    /// What they reached, and how often.
    pub reached: BTreeMap<&'static str, u64>,
}

/// Runs the seeds in order on `threads` threads, up to the first that fails. `progress` is told how many are done.
///
/// # Errors
///
/// Those of the simulator itself.
pub fn run_all(
    seeds: Range<u64>,
    plant: Option<Plant>,
    threads: usize,
    progress: impl Fn(u64) + Sync,
) -> Result<Summary, String> {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let summary = Mutex::new(Summary::default());
    let work = || -> Result<(), String> {
        let pool = Pool::new(plant)?;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // Seeds are handed out in order, so all those below a failing one are run.
            if seed >= seeds.end || seed > failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let ran = run(&pool.of(seed), plant, &schedule(seed), false)
                .map_err(|error| format!("seed {seed}: {error}"))?;
            if ran.violation.is_some() {
                failed.fetch_min(seed, Ordering::Relaxed);
                continue;
            }
            let Ok(mut summary) = summary.lock() else { return Err(String::from("another thread panicked")) };
            summary.clean = summary.clean.saturating_add(1);
            summary.decisions = summary.decisions.saturating_add(ran.decisions as u64);
            for (what, times) in ran.reached {
                let count = summary.reached.entry(what).or_default();
                *count = count.saturating_add(times);
            }
            progress(summary.clean);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(String::from("a thread of the simulator panicked")))
        })
    })?;
    let mut summary = summary.into_inner().map_err(|_| String::from("a thread of the simulator panicked"))?;
    let failed = failed.into_inner();
    summary.failed = (failed < u64::MAX).then_some(failed);
    Ok(summary)
}
