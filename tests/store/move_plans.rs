//! Which move a request is about, and what it is told at the wrong step.

use serde_json::json;
use stale_drafts::config::{Config, Shards};
use stale_drafts::service::moves::{Goal, Plan, Route, Wrong, plan};
use stale_drafts::store::{Buckets, MoveRow};

const ROUTE: Route<'_> = Route { buckets: Buckets { first: 0, last: 63 }, source: "A", target: "B" };
const GOALS: [Goal; 3] = [Goal::Moved, Goal::Done, Goal::Cancelled];
/// What the configuration gives `A`, `B` and `C` before a move, and from step 5 on.
const BEFORE: [&str; 3] = ["0-999", "1000-4095", ""];
const AFTER: [&str; 3] = ["64-999", "0-63,1000-4095", ""];

fn configured(buckets: [&str; 3]) -> Shards {
    let shards: Vec<_> = ["A", "B", "C"]
        .iter()
        .zip(buckets)
        .map(|(binding, buckets)| json!({ "binding": binding, "buckets": buckets }))
        .collect();
    Config::from_json(&json!({ "shards": shards })).unwrap().shards
}

fn row(id: &str, role: &str, state: &str, started_at: u64) -> MoveRow {
    MoveRow {
        id: id.to_owned(),
        role: role.to_owned(),
        first_bucket: 0,
        last_bucket: 63,
        other: String::from(if role == "source" { "B" } else { "A" }),
        state: state.to_owned(),
        place: String::new(),
        started_at,
        changed_at: started_at,
        stepped_at: started_at,
        users: None,
        creations: None,
        entries: None,
    }
}

/// The answer where the moves are these: id, the states of both sides, and when it began. The configuration is what it is to be.
fn answer(moves: &[(&str, &str, &str, u64)], goal: Goal) -> String {
    let moved = moves.iter().any(|(_, source, ..)| matches!(*source, "moved" | "trimmed"));
    answer_by(if goal == Goal::Done && moved { AFTER } else { BEFORE }, moves, goal)
}

fn answer_by(buckets: [&str; 3], moves: &[(&str, &str, &str, u64)], goal: Goal) -> String {
    let side = |role: &'static str| {
        let of = move |(id, source, target, at): &(&str, &str, &str, u64)| {
            let state = if role == "source" { *source } else { *target };
            (state != "none").then(|| row(id, role, state, *at))
        };
        moves.iter().filter_map(of).collect::<Vec<_>>()
    };
    match plan(ROUTE, goal, &side("source"), &side("target"), &configured(buckets)) {
        Ok(Plan::Begins) => String::from("begins"),
        Ok(Plan::GoesOn(id)) => format!("goes on: {id}"),
        Err(wrong @ Wrong::Unknown(_)) => format!("404 {wrong}"),
        Err(wrong @ Wrong::NotNow(_)) => format!("409 {wrong}"),
    }
}

fn answers(source: &str, target: &str) -> [String; 3] {
    GOALS.map(|goal| answer(&[("m", source, target, 1)], goal))
}

#[test]
fn before_any_move_there_is_nothing_to_finish_or_to_cancel() {
    let unknown = "404 there is no move of the buckets 0-63 from `A` to `B`: begin it with `mark-stale-drafts shards move --from A --to B --buckets 0-63`";
    assert_eq!(GOALS.map(|goal| answer(&[], goal)), ["begins", unknown, unknown]);
    // One of other buckets, or the other way about, is another one.
    let wider = MoveRow { last_bucket: 64, ..row("m", "source", "moved", 1) };
    let back = row("m", "target", "open", 1);
    for other in [wider, back] {
        assert_eq!(plan(ROUTE, Goal::Moved, &[other], &[], &configured(BEFORE)), Ok(Plan::Begins));
    }
}

#[test]
fn at_each_step_the_wrong_word_is_told_the_state_and_the_next_command() {
    for (source, target) in
        [("none", "arriving"), ("paused", "arriving"), ("copied", "arriving"), ("verified", "arriving")]
    {
        let finish = format!(
            "409 move `m` is `{source}` in `A` and `{target}` in `B`: expected `moved` in `A` before it is finished; go on with `mark-stale-drafts shards move --from A --to B --buckets 0-63`"
        );
        assert_eq!(answers(source, target), ["goes on: m", finish.as_str(), "goes on: m"]);
    }
    let no_way_back = "it can't be cancelled any more; finish it with `mark-stale-drafts shards finish --from A --to B --buckets 0-63`, and then move the buckets back with `mark-stale-drafts shards move --from B --to A --buckets 0-63`";
    let cancel = format!("409 move `m` is `moved` in `A` and `arriving` in `B`: {no_way_back}");
    assert_eq!(answers("moved", "arriving"), ["goes on: m", "goes on: m", cancel.as_str()]);
    for (source, target) in [("moved", "open"), ("trimmed", "open")] {
        let place = format!("409 move `m` is `{source}` in `A` and `{target}` in `B`: ");
        let moved = format!(
            "{place}the buckets have moved; go on with `mark-stale-drafts shards finish --from A --to B --buckets 0-63`"
        );
        let cancel = format!("{place}{no_way_back}");
        assert_eq!(answers(source, target), [moved.as_str(), "goes on: m", cancel.as_str()]);
    }
    // Done once more is done.
    let cancel = "409 move `m` is `trimmed` in `A` and `settled` in `B`: it can't be cancelled any more; move the buckets back with `mark-stale-drafts shards move --from B --to A --buckets 0-63`";
    assert_eq!(answers("trimmed", "settled"), ["begins", "goes on: m", cancel]);
    for (source, target) in [
        ("cancelling", "arriving"),
        ("cancelling", "cancelling"),
        ("cancelled", "arriving"),
        ("cancelling", "cancelled"),
    ] {
        let text = format!(
            "409 move `m` is `{source}` in `A` and `{target}` in `B`: end its cancellation with `mark-stale-drafts shards cancel --from A --to B --buckets 0-63`"
        );
        assert_eq!(answers(source, target), [text.as_str(), text.as_str(), "goes on: m"]);
    }
    let finish = "409 move `m` is `cancelled` in `A` and `cancelled` in `B`: it was cancelled; begin another one with `mark-stale-drafts shards move --from A --to B --buckets 0-63`";
    assert_eq!(answers("cancelled", "cancelled"), ["begins", finish, "goes on: m"]);
}

#[test]
fn of_several_the_one_under_way_is_meant_or_else_the_newest() {
    let cancelled = |id, at| (id, "cancelled", "cancelled", at);
    let done = |id, at| (id, "trimmed", "settled", at);
    let meant = |moves: &[_]| answer(moves, Goal::Done);
    // Whatever came after it.
    assert_eq!(meant(&[done("a", 1), ("b", "moved", "arriving", 2), cancelled("c", 3)]), "goes on: b");
    assert_eq!(meant(&[cancelled("a", 1), done("b", 2)]), "goes on: b");
    // What was cancelled after a move has come back is no repetition of that.
    assert!(meant(&[done("a", 1), cancelled("b", 2)]).starts_with("409 move `b`"));
    // In the same millisecond ids say nothing of the order.
    assert_eq!(meant(&[done("a", 2), cancelled("b", 2)]), "goes on: a");
    assert_eq!(meant(&[cancelled("a", 2), done("b", 2)]), "goes on: b");
    assert_eq!(answer(&[cancelled("a", 2), cancelled("b", 2)], Goal::Cancelled), "goes on: b");
}

#[test]
fn where_the_configuration_gives_the_buckets_to_another_one_the_answer_says_which_and_what_is_next() {
    let by = |buckets, source, target, goal| answer_by(buckets, &[("m", source, target, 1)], goal);
    let command = |verb: &str| format!("`mark-stale-drafts shards {verb} --from A --to B --buckets 0-63`");
    let place =
        |source: &str, target: &str| format!("409 move `m` is `{source}` in `A` and `{target}` in `B`: ");
    // Given to the target before it has moved: `move` and `finish` send nobody to each other.
    for (source, target) in [("none", "arriving"), ("paused", "arriving"), ("verified", "arriving")] {
        let text = format!(
            "{}the configuration gives the buckets 0-63 to `B` before they have moved; give them to `A` again, deploy that, and go on with {}, or undo it with {}",
            place(source, target),
            command("move"),
            command("cancel")
        );
        assert_eq!(
            [Goal::Moved, Goal::Done].map(|goal| by(AFTER, source, target, goal)),
            [text.clone(), text]
        );
        assert_eq!(by(AFTER, source, target, Goal::Cancelled), "goes on: m");
    }
    // Not given to it, or put back, before it is open or trimmed.
    for (source, target) in [("moved", "arriving"), ("moved", "open"), ("trimmed", "open")] {
        let text = |buckets: &str| {
            format!(
                "{}the configuration gives {buckets} to `A`; give them to `B`, deploy that, and go on with {}",
                place(source, target),
                command("finish")
            )
        };
        assert_eq!(by(BEFORE, source, target, Goal::Done), text("the buckets 0-63"));
        let some = ["10-20,64-999", "0-9,21-63,1000-4095", ""];
        assert_eq!(by(some, source, target, Goal::Done), text("the buckets 10-20"));
        let one = ["63-999", "0-62,1000-4095", ""];
        assert_eq!(by(one, source, target, Goal::Done), text("bucket 63"));
        assert_eq!(by(AFTER, source, target, Goal::Done), "goes on: m");
    }
    let text = format!(
        "{}the buckets have moved, and the configuration gives them to `B`; go on with {}",
        place("moved", "arriving"),
        command("finish")
    );
    assert_eq!(by(AFTER, "moved", "arriving", Goal::Moved), text);
    // What is done is done, also once other moves have changed whose they are.
    assert_eq!(by(BEFORE, "trimmed", "settled", Goal::Done), "goes on: m");
    let done = "move `m` is `trimmed` in `A` and `settled` in `B`";
    assert_eq!(
        by(AFTER, "trimmed", "settled", Goal::Moved),
        format!("409 {done}: the buckets are in `B`, and nothing is left to do")
    );
    // None has begun.
    let none = "there is no move of the buckets 0-63 from `A` to `B`";
    let give = |place: &str| {
        format!(
            "409 {place}, and the configuration gives the buckets 0-63 to `B`: give them to `A`, which they are to leave, deploy that, and begin with {}",
            command("move")
        )
    };
    assert_eq!(answer_by(AFTER, &[], Goal::Moved), give(none));
    let cancelled = "move `m` is `cancelled` in `A` and `cancelled` in `B`";
    assert_eq!(by(AFTER, "cancelled", "cancelled", Goal::Moved), give(cancelled));
    let third = ["0-9,64-999", "1000-4095", "10-63"];
    let theirs = "and the configuration gives the buckets 10-63 to `C`: expected `A`, which they are to leave. `mark-stale-drafts shards` shows which database has them on record: give them to that one, deploy that, and move them from there";
    assert_eq!(answer_by(third, &[], Goal::Moved), format!("409 {none}, {theirs}"));
    assert_eq!(by(third, "trimmed", "settled", Goal::Moved), format!("409 {done}, {theirs}"));
    // Those who have moved are on no way to a third one.
    let gives = |buckets: &str, shard: &str| {
        format!(
            "{}the configuration gives {buckets} to `{shard}`; give them to `B`, deploy that, and go on with {}",
            place("moved", "arriving"),
            command("finish")
        )
    };
    assert_eq!(by(third, "moved", "arriving", Goal::Moved), gives("the buckets 10-63", "C"));
    assert_eq!(by(third, "moved", "arriving", Goal::Done), gives("the buckets 0-9", "A"));
}

#[test]
fn a_side_that_has_lost_the_move_is_said_whatever_is_asked() {
    for (source, target, lost) in [
        ("moved", "none", "B"),
        ("trimmed", "none", "B"),
        ("trimmed", "arriving", "B"),
        ("moved", "cancelled", "B"),
        ("none", "open", "A"),
        ("paused", "open", "A"),
        ("verified", "settled", "A"),
        ("cancelled", "open", "A"),
    ] {
        let texts = answers(source, target);
        let knows = if lost == "B" { "it was given the buckets" } else { "it gave the buckets away" };
        let begins = format!(
            "409 move `m` is `{source}` in `A` and `{target}` in `B`: `{lost}` does not know that {knows}; it was restored to an earlier time, or another database is bound as `{lost}`. Bind the one that "
        );
        let ends = "go on with `mark-stale-drafts shards finish --from A --to B --buckets 0-63`; docs/scale.md says ";
        assert!(texts[0].starts_with(&begins) && texts[0].contains(ends), "{}", texts[0]);
        assert_eq!(texts[1..], [texts[0].clone(), texts[0].clone()]);
    }
}

#[test]
fn who_cancels_is_told_to_take_the_configuration_back() {
    assert_eq!(ROUTE.after_cancelling(&configured(BEFORE)), None);
    assert_eq!(
        ROUTE.after_cancelling(&configured(AFTER)).unwrap(),
        "the configuration gives the buckets 0-63 to `B`: give them to `A` again and deploy that; until then their users see nothing of theirs and can't write"
    );
    // Another move may have taken them elsewhere.
    assert_eq!(ROUTE.after_cancelling(&configured(["64-999", "1000-4095", "0-63"])), None);
}
