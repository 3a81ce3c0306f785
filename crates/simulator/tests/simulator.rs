//! The simulator finds every planted bug, and nothing in the product; and it says the same twice.
//!
//! `SIMULATE_SEEDS=100000 cargo test --profile simulate …` runs more seeds: see docs/simulator.md.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::process::Command;

/// Each planted bug, the number of seeds within which it must be found, and what may be found.
const PLANTS: [(&str, u64, &[&str]); 50] = [
    ("no-status-guard", 50, &[STALE, SWEPT, MACHINE, REFUNDED, BALANCE]),
    ("ledger-in-second-transaction", 50, &[REFUNDED, BALANCE]),
    ("no-fence", 500, &["a-report-does-what-it-says"]),
    ("worker-clock", 50, &[SWEPT, STALE, LATER, ANSWER, "answers-are-true", "nothing-is-hidden"]),
    (
        "refund-keyed-on-the-sweep",
        100,
        &["refunded-once", STALE, SWEPT, "answers-are-true", THEIRS, REFUNDED],
    ),
    ("null-heartbeat-escapes", 20, &["one-last-sign-of-life"]),
    ("restore-without-charge", 200, &["a-restore-is-charged"]),
    ("no-sign-of-life-guard", 1_000, &[STALE, SWEPT, RECORDED]),
    ("counts-the-plan", 50, &["a-sweep-counts-what-it-did"]),
    ("late-result-wins", 50, &[REFUNDED, MACHINE, "deleted-is-gone", "answers-are-true"]),
    ("no-phase-guard", 2_000, &[STALE, SWEPT, RECORDED]),
    ("no-kind-guard", 2_000, &[STALE, SWEPT, RECORDED]),
    ("never-set-aside", 2_000, &["everything-ends"]),
    ("seconds-are-times", 1_000, &["one-last-sign-of-life"]),
    ("heartbeating-never-found", 100, &["nobody-is-passed-over", "nothing-is-hidden"]),
    ("late-write-wins", 100, &["a-time-out-stays"]),
    ("late-replace-wins", 100, &[THEIRS, "a-time-out-stays", "late-results-are-kept"]),
    ("every-failure-pays", 100, &[THEIRS, "a-time-out-pays-once"]),
    ("refund-to-nobody", 200, &["a-time-out-pays-once"]),
    ("write-back-unguarded", 1_000, &[OVERWRITTEN]),
    ("replace-not-mirrored", 1_000, &[MIRROR]),
    ("retry-not-written-back", 500, &["a-time-out-is-written-back", OVERWRITTEN, MIRROR]),
    ("restore-for-free", 1_000, &["a-time-out-pays-once"]),
    ("reused-id-forgotten", 100, &[MIRROR]),
    ("no-price-guard", 2_000, &["a-sweep-counts-what-it-did", "answers-are-true"]),
    ("copy-loses-entries", 200, &[MOVE_ENDS]),
    ("move-without-verifying", 200, &[MOVE]),
    ("copy-skips-rows", 1_000, &[MOVE, MOVE_ENDS]),
    ("trim-too-early", 100, &[MOVE]),
    ("no-bucket-gate", 500, &[MOVE, MOVE_ENDS, PLACE]),
    ("no-record", 2_000, &[PLACE, "answers-are-true", MOVE, MOVE_ENDS]),
    ("no-user-fence", 200, &[MOVE, MOVE_ENDS, PLACE]),
    ("no-grace", 500, &[SILENCE]),
    ("sweeps-of-movers", 200, &[SILENCE, MOVE, MOVE_ENDS, PLACE, "answers-are-true"]),
    ("retry-without-charge", 50, &["charged-once"]),
    ("retry-of-any-attempt", 50, &[REPORT]),
    ("retry-reuses-the-key", 200, &["answers-are-true", "everything-ends", REFUNDED, BALANCE]),
    ("retry-refunds-twice", 50, &["the-refund-is-the-charge", BALANCE]),
    ("cancel-refunds-kept", 1_000, &[REPORT]),
    ("partial-refund-twice", 1_000, &["refunded-once"]),
    ("restore-charges-all", 1_000, &["the-refund-is-the-charge"]),
    ("more-time-ignored", 50, &[LATER, "answers-are-true"]),
    ("no-more-time-guard", 200, &[LATER, STALE, SWEPT]),
    ("active-counted-before", 500, &["no-more-than-max-active"]),
    ("answer-unguarded", 2_000, &[ANSWER]),
    ("bulk-of-any-attempt", 1_000, &[PREVIEWED]),
    ("bulk-beyond-the-balance", 1_000, &["answers-are-true", PREVIEWED]),
    ("bulk-out-of-order", 1_000, &["answers-are-true", PREVIEWED]),
    ("fail-now-keeps-the-charge", 500, &[REPORT]),
    ("fail-now-of-any-attempt", 1_000, &[REPORT]),
];

const REPORT: &str = "a-report-does-what-it-says";
const PREVIEWED: &str = "only-what-was-previewed";
const LATER: &str = "nothing-before-its-end";
const ANSWER: &str = "an-answer-is-about-what-was-asked";

const MOVE: &str = "a-move-changes-nothing";
const MOVE_ENDS: &str = "a-move-ends";
const PLACE: &str = "written-where-it-counts";
const SILENCE: &str = "a-move-is-no-silence";

const STALE: &str = "only-the-stale-are-swept";
const SWEPT: &str = "a-sweep-does-what-it-says";
const RECORDED: &str = "each-attempt-is-recorded";
const MACHINE: &str = "the-status-machine";
const REFUNDED: &str = "failed-means-refunded";
const BALANCE: &str = "the-balance-is-the-ledger";
const THEIRS: &str = "their-writes-go-through";
const OVERWRITTEN: &str = "nothing-of-theirs-is-overwritten";
const MIRROR: &str = "the-mirror-agrees";

fn simulate(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn seeds_run_clean_and_reach_everything() {
    let seeds = std::env::var("SIMULATE_SEEDS").unwrap_or(String::from("300"));
    let (code, text) = simulate(&["--seeds", &format!("0..{seeds}")]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with(&format!("{seeds} seeds clean")), "{text}");
    for reached in [
        "callers that died",
        "cancellations that the policy refused",
        "creations cancelled and kept",
        "creations cancelled and refunded",
        "creations refused by a limit per owner",
        "creations that a balance did not cover",
        "creations that a provider has completed",
        "creations that a provider says are running",
        "creations that got more time",
        "failures retried by hand",
        "creations that an operator failed",
        "failures of a plan that a balance did not cover",
        "failures of a plan that had moved on",
        "failures retried in bulk",
        "failures that used a part",
        "reports of more than was charged",
        "reports of what was cancelled",
        "results that used a part",
        "retries that a balance did not cover",
        "configurations without a move",
        "calls of a database that answers nothing",
        "calls that failed",
        "creations deleted",
        "creations of a plan left alone",
        "creations of a plan that it failed or put back",
        "creations that a sweep could not write",
        "creations that a sweep failed",
        "creations that a sweep put back",
        "creations that can't be read",
        "creations that moved on meanwhile",
        "creations that somebody else failed",
        "dry runs",
        "events delivered",
        "events sent to a slow receiver",
        "events that became dead letters",
        "late results kept",
        "movers that died",
        "moves begun",
        "moves cancelled",
        "moves decided",
        "moves done",
        "requests to move that were refused",
        "sweeps of several databases",
        "writes refused by a move",
        "late results of an app",
        "results of an app",
        "rows of an app that timed out",
        "rows of an app that were queued again",
        "rejected by a constraint",
        "reports of an attempt that was over",
        "results restored",
        "creations set aside",
        "sweeps that were suspended",
    ] {
        assert!(text.contains(reached), "no seed reached this: {reached}\n{text}");
    }
}

#[test]
fn every_planted_bug_is_found() {
    for (plant, within, invariants) in PLANTS {
        let (code, text) = simulate(&["--seeds", &format!("0..{within}"), "--plant", plant]);
        assert_eq!(code, 1, "{plant} was not found within {within} seeds\n{text}");
        let found = text
            .lines()
            .find_map(|line| invariants.iter().find(|name| line.starts_with(&format!("{name}: "))));
        assert!(found.is_some(), "{plant}: expected one of {invariants:?}\n{text}");
        assert!(text.contains("Replay it: cargo simulate --seed "), "{text}");
    }
}

#[test]
fn every_plant_is_tested() {
    let (_, help) = simulate(&["--help"]);
    let listed = help.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'));
    let mut listed: Vec<_> = listed.map(|(name, _)| name).collect();
    let mut tested = PLANTS.map(|(name, ..)| name);
    listed.sort_unstable();
    tested.sort_unstable();
    assert_eq!(listed, tested);
}

#[test]
fn a_seed_says_the_same_twice() {
    for arguments in [
        &["--seed", "7", "--trace"][..],
        &["--seeds", "0..60", "--plant", "no-status-guard"],
        &["--seeds", "0..60", "--plant", "no-status-guard", "--threads", "1"],
    ] {
        assert_eq!(simulate(arguments), simulate(arguments));
    }
    let [alone, together] = ["1", "3"].map(|threads| {
        simulate(&["--seeds", "0..100", "--plant", "restore-without-charge", "--threads", threads])
    });
    assert_eq!(alone, together);
}

#[test]
fn what_is_printed_replays_the_failure() {
    let (_, text) = simulate(&["--seeds", "0..100", "--plant", "late-result-wins"]);
    let command = text.lines().find_map(|line| line.strip_prefix("Replay it: cargo simulate ")).unwrap();
    let (code, replayed) = simulate(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(code, 1, "{replayed}");
    let shortest = text.split("decisions:\n\n").nth(1).unwrap().split("\n\nReplay").next().unwrap();
    for line in shortest.lines().filter(|line| !line.is_empty()) {
        assert!(replayed.contains(line), "`{line}` is not in\n{replayed}");
    }
}

#[test]
fn wrong_input_is_explained() {
    for (arguments, words) in [
        (&["--seeds", "5"][..], "expected two numbers such as `0..1000`"),
        (&["--seeds", "5..5"], "the second one greater"),
        (&["--plant", "weeds"], "possible values"),
        (&["--seed", "1", "--only", "x"], "expected places such as `0,3,7-9`"),
    ] {
        let (code, text) = simulate(arguments);
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(words), "{text}");
    }
}
