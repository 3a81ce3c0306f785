//! Which database has which buckets: what goes on record first, and what operators are told where the configuration, the records and the
//! users differ.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use stale_drafts::rules::{
    Bucket, BucketSet, Evidence, OpenMove, Placed, Severity, Thresholds, Timestamp, alerts, first_records,
};

fn set(text: &str) -> BucketSet {
    let bucket = |text: &str| Bucket::new(text.parse().unwrap()).unwrap();
    let ranges = text.split(',').filter(|range| !range.is_empty());
    ranges
        .map(|range| range.split_once('-').unwrap_or((range, range)))
        .map(|(first, last)| bucket(first)..=bucket(last))
        .collect()
}

/// A database: what the configuration gives it, what it has on record, and whose users are there.
fn place(shard: &str, configured: &str, recorded: Option<&str>, users: &str) -> Placed {
    Placed {
        shard: String::from(shard),
        configured: set(configured),
        recorded: recorded.map(set),
        users: set(users),
    }
}

/// A move of the buckets 0 to 9, as `shard` has it.
fn moving(shard: &str, is_source: bool, other: &str, state: &str) -> OpenMove {
    OpenMove {
        id: String::from("m"),
        shard: String::from(shard),
        is_source,
        other: String::from(other),
        first_bucket: 0,
        last_bucket: 9,
        state: String::from(state),
        stepped_at: Timestamp::EPOCH,
    }
}

fn records(placed: &[Placed], moves: &[OpenMove]) -> Vec<String> {
    first_records(placed, moves).iter().map(|(shard, buckets)| format!("{shard}: {buckets}")).collect()
}

/// The one finding: evidence and remedy.
fn found(evidence: Evidence) -> Option<(Severity, String, String)> {
    let mut found = alerts(&evidence, &Thresholds::default(), Timestamp::EPOCH);
    found.retain(|finding| finding.code == "buckets_misplaced");
    assert!(found.len() < 2, "{found:?}");
    found.pop().map(|finding| (finding.severity, finding.evidence, finding.remedy.into_owned()))
}

fn misplaced<const N: usize, const M: usize>(
    placed: [Placed; N],
    moves: [OpenMove; M],
) -> Option<(Severity, String, String)> {
    found(Evidence { placed: placed.to_vec(), moves: moves.to_vec(), ..Evidence::default() })
}

fn a(recorded: Option<&str>, users: &str) -> Placed {
    place("A", "0-2047", recorded, users)
}

fn b(recorded: Option<&str>, users: &str) -> Placed {
    place("B", "2048-4095", recorded, users)
}

/// A, B, and one to which the configuration gives the first of A's buckets.
fn with_another(recorded_of_a: &str, buckets: &str) -> [Placed; 3] {
    [a(Some(recorded_of_a), ""), b(Some("2048-4095"), ""), place("E", buckets, None, "")]
}

#[test]
fn what_goes_on_record_first() {
    let none: [&str; 0] = [];
    // Each has what the configuration gives it,
    assert_eq!(records(&[a(None, ""), b(None, "")], &[]), ["A: 0-2047", "B: 2048-4095"]);
    assert_eq!(records(&[a(None, "1"), b(None, "3000")], &[]), ["A: 0-2047", "B: 2048-4095"]);
    assert_eq!(records(&[a(Some("0-2047"), "1"), b(None, "3000")], &[]), ["B: 2048-4095"]);
    // but for what another one has, or what moves.
    assert_eq!(records(&[a(Some("0-4095"), "1"), b(None, "")], &[]), ["B: "]);
    let others = [moving("C", true, "D", "paused")];
    assert_eq!(records(&[a(None, ""), b(None, "")], &others), ["A: 10-2047", "B: 2048-4095"]);
    assert_eq!(records(&with_another("0-2047", "0-9"), &others), ["E: "]);
    assert_eq!(records(&with_another("10-2047", "0-9"), &others), ["E: "]);
    // What was the only database has all, and comes first.
    assert_eq!(records(&[a(None, ""), b(None, "1,3000")], &[]), ["B: 0-4095", "A: "]);
    assert_eq!(records(&[a(None, "1,3000"), b(None, "")], &[]), ["A: 0-4095", "B: "]);
    assert_eq!(records(&[a(None, "3000"), b(None, "")], &others), ["A: 10-4095", "B: "]);
    // Whose users they are is not guessed.
    assert_eq!(records(&[a(None, "3000"), b(None, "1")], &[]), none);
    assert_eq!(records(&[a(None, "1,3000"), b(None, "3001")], &[]), none);
    assert_eq!(records(&[a(Some("0-4095"), "1"), b(None, "3000")], &[]), none);
    assert_eq!(records(&[a(Some("0-2047"), ""), b(None, "7")], &[]), none);
    assert_eq!(records(&[a(None, "7"), b(None, "")], &others), none);
    // One that has nothing where there was something is in the place of another one.
    assert_eq!(records(&[a(Some("0-2047"), "1"), b(None, "")], &[]), none);
    assert_eq!(records(&with_another("12-2047", "0-11"), &others), none);
    assert_eq!(records(&[a(None, ""), b(None, "")], &[moving("A", true, "D", "paused")]), none);
    assert_eq!(records(&[a(None, ""), b(None, "")], &[moving("C", true, "B", "paused")]), none);
}

#[track_caller]
fn check(found: Option<(Severity, String, String)>, evidence: &str, remedy: &str) {
    let found =
        found.as_ref().map(|(severity, evidence, remedy)| (*severity, evidence.as_str(), remedy.as_str()));
    assert_eq!(found, Some((Severity::Critical, evidence, remedy)));
}

#[test]
fn buckets_that_the_configuration_gives_to_another_one() {
    assert_eq!(misplaced([a(Some("0-2047"), "1"), b(Some("2048-4095"), "3000")], []), None);
    check(
        misplaced([a(Some("0-4,7-2047"), ""), b(Some("2048-4095"), "")], []),
        "the configuration gives the buckets 5-6 to `A`, and no database has them",
        "a database was restored to before a move, or another one is bound in its place: restore it to a time after that, or bind the one that has them; docs/scale.md says how to correct its record where that is lost",
    );
    check(
        misplaced([a(Some("0-4,7-2047"), ""), b(Some("5-6,2048-4095"), "")], []),
        "the configuration gives the buckets 5-6 to `A`, and `B` has them",
        "give them to `B` in the configuration and deploy that; if `A` is to have them, move them then: `mark-stale-drafts shards move --from B --to A --buckets 5-6`",
    );
    let remedy = "give them to `B` in the configuration and deploy that; if `A` is to have them, move them then: `mark-stale-drafts shards move --from B --to A --buckets 5-5`";
    check(
        misplaced([a(Some("0-4,6,8-2047"), ""), b(Some("5,7,2048-4095"), "")], []),
        "the configuration gives the buckets 5 to `A`, and `B` has them; 1 other bucket is misplaced too",
        remedy,
    );
    check(
        misplaced([a(Some("0-4,6,8,10-2047"), ""), b(Some("5,7,9,2048-4095"), "")], []),
        "the configuration gives the buckets 5 to `A`, and `B` has them; 2 other buckets are misplaced too",
        remedy,
    );
    // Of neighbours only those that are in the same way: the next one is nobody's, or the configuration gives it to another one.
    check(
        misplaced([a(Some("0-4,7-2047"), ""), b(Some("5,2048-4095"), "")], []),
        "the configuration gives the buckets 5 to `A`, and `B` has them; 1 other bucket is misplaced too",
        remedy,
    );
    let three = [
        place("A", "0-5", Some("0-4"), ""),
        place("E", "6-2047", Some("7-2047"), ""),
        b(Some("5-6,2048-4095"), ""),
    ];
    check(
        misplaced(three, []),
        "the configuration gives the buckets 5 to `A`, and `B` has them; 1 other bucket is misplaced too",
        remedy,
    );
    check(
        misplaced([a(Some("0-2047"), ""), b(Some("5,2048-4095"), "")], []),
        "the configuration gives the buckets 5 to `A`, and `A` and `B` have them",
        "find out which of them was restored or copied; docs/scale.md says how to correct its record",
    );
    check(
        misplaced([a(Some("2048-4095"), ""), b(Some("0-2047"), "")], []),
        "the configuration gives the buckets 0-2047 to `A`, and `B` has them; 2048 other buckets are misplaced too",
        "each of `A` and `B` has what the configuration gives to the other: if their `database_id`s are swapped in `d1_databases`, put that right. Otherwise give them to `B` in the configuration and deploy that; if `A` is to have them, move them then: `mark-stale-drafts shards move --from B --to A --buckets 0-2047`",
    );
    // Only where it is so of both.
    let remedy = "give them to `B` in the configuration and deploy that; if `A` is to have them, move them then: `mark-stale-drafts shards move --from B --to A --buckets 0-2047`";
    check(
        misplaced([a(Some("2048-4094"), ""), b(Some("0-2047"), "")], []),
        "the configuration gives the buckets 0-2047 to `A`, and `B` has them; 2048 other buckets are misplaced too",
        remedy,
    );
    check(
        misplaced([a(Some("2048-4095"), ""), b(Some("0-2046"), "")], []),
        "the configuration gives the buckets 0-2046 to `A`, and `B` has them; 2049 other buckets are misplaced too",
        &remedy.replace("2047", "2046"),
    );
}

#[test]
fn buckets_of_a_move() {
    let [early, late] = [("0-2047", "2048-4095"), ("10-2047", "0-9,2048-4095")];
    let move_of = |configured: (&str, &str), recorded: (&str, &str), moves: &[OpenMove]| {
        let placed = vec![
            place("A", configured.0, Some(recorded.0), ""),
            place("B", configured.1, Some(recorded.1), ""),
        ];
        found(Evidence { placed, moves: moves.to_vec(), ..Evidence::default() })
    };
    let source = |state| moving("A", true, "B", state);
    let target = moving("B", false, "A", "arriving");
    check(
        move_of(late, ("10-2047", "2048-4095"), &[source("moved")]),
        "the configuration gives the buckets 0-9 to `B`, and no database has them",
        "`B` has lost what moved there: it was restored, or another database is bound. Bind the one that took it, or restore it to a time after the move, and go on with `mark-stale-drafts shards finish --from A --to B --buckets 0-9`; docs/scale.md says what to do where that is lost",
    );
    check(
        move_of(early, late, &[source("moved")]),
        "the configuration gives the buckets 0-9 to `A`, and `B` has them",
        "they have moved: give them to `B` in the configuration and deploy that; then go on with `mark-stale-drafts shards finish --from A --to B --buckets 0-9`",
    );
    for (state, target) in [("paused", &[][..]), ("copied", std::slice::from_ref(&target))] {
        check(
            move_of(late, early, &[&[source(state)], target].concat()),
            "the configuration gives the buckets 0-9 to `B`, and `A` has them",
            "give them to `A` again and deploy that; then go on with `mark-stale-drafts shards move --from A --to B --buckets 0-9`, or undo it with `mark-stale-drafts shards cancel --from A --to B --buckets 0-9`",
        );
    }
    // One that is about others is not named.
    let others = OpenMove { first_bucket: 20, last_bucket: 29, ..source("moved") };
    check(
        move_of(early, late, &[others]),
        "the configuration gives the buckets 0-9 to `A`, and `B` has them",
        "give them to `B` in the configuration and deploy that; if `A` is to have them, move them then: `mark-stale-drafts shards move --from B --to A --buckets 0-9`",
    );
    // On the way either may have them. Where the source does not know of it, it has moved, and the target has lost that.
    let lost = "`A` gave them away, and `B` has lost that it took them: it was restored, or another database is bound. Restore it to a time after the move; docs/scale.md says what to do where that is lost";
    for (configured, given_to) in [(early, "A"), (late, "B")] {
        let recorded = ("10-2047", "2048-4095");
        assert_eq!(move_of(configured, recorded, &[source("moved"), target.clone()]), None);
        check(
            move_of(configured, recorded, std::slice::from_ref(&target)),
            &format!(
                "the configuration gives the buckets 0-9 to `{given_to}`, and they are on the way to `B`"
            ),
            lost,
        );
    }
    // Before the source says that they have moved, they are there.
    check(
        move_of(late, early, std::slice::from_ref(&target)),
        "the configuration gives the buckets 0-9 to `B`, and `A` has them",
        "give them to `A` in the configuration and deploy that; if `B` is to have them, move them then: `mark-stale-drafts shards move --from A --to B --buckets 0-9`",
    );
    // But no third one.
    for (moves, remedy) in [
        (
            &[source("moved"), target.clone()][..],
            "give them to `B` in the configuration and deploy that; then go on with `mark-stale-drafts shards finish --from A --to B --buckets 0-9`",
        ),
        (std::slice::from_ref(&target), lost),
    ] {
        let placed = vec![
            place("A", "10-2047", Some("10-2047"), ""),
            place("B", "2048-4095", Some("2048-4095"), ""),
            place("C", "0-9", Some(""), ""),
        ];
        check(
            found(Evidence { placed, moves: moves.to_vec(), ..Evidence::default() }),
            "the configuration gives the buckets 0-9 to `C`, and they are on the way to `B`",
            remedy,
        );
    }
}

#[test]
fn where_another_database_is_bound_while_buckets_move() {
    let back = "put each `database_id` in `d1_databases` back to the binding that it had when the move began, and deploy that; then go on with the move";
    // Each has the other's record of the move, which names its own binding as the other side.
    for state in ["paused", "copied", "verified", "moved"] {
        check(
            misplaced(
                [a(Some("2048-4095"), ""), b(Some("0-2047"), "")],
                [moving("B", true, "B", state), moving("A", false, "A", "arriving")],
            ),
            "the database that is bound as `B` has a move of the buckets 0-9 on record that it began with `B` under another name",
            back,
        );
    }
    // One of the two and a third: what is known of the move does not name where the other side is.
    for (source, target) in [
        (moving("C", true, "B", "moved"), moving("B", false, "A", "arriving")),
        (moving("A", true, "B", "moved"), moving("C", false, "A", "arriving")),
    ] {
        let evidence = format!(
            "the database that is bound as `{}` has a move of the buckets 0-9 on record that it began with `B` under another name",
            source.shard
        );
        check(
            misplaced([a(Some("10-2047"), ""), b(Some("2048-4095"), "")], [source.clone(), target.clone()]),
            &evidence,
            back,
        );
        // Nothing else is said of it, whenever it went on last.
        let evidence = Evidence { moves: vec![source, target], ..Evidence::default() };
        let found = alerts(&evidence, &Thresholds::default(), Timestamp::from_millis(1 << 40).unwrap());
        assert!(found.iter().all(|finding| finding.code != "move_unfinished"), "{found:?}");
    }
    // Those of a move as it is to be are nothing.
    assert_eq!(
        misplaced([a(Some("0-2047"), ""), b(Some("2048-4095"), "")], [moving("A", true, "B", "paused")]),
        None
    );
}

#[test]
fn where_the_configuration_has_lost_the_other_databases() {
    check(
        misplaced([place("A", "0-4095", Some("0-2047"), "")], []),
        "the configuration gives the buckets 2048-4095 to `A`, and no database has them",
        "this database has given them to another: put `shards` back as it was, with all databases, and deploy that",
    );
}

#[test]
fn where_one_does_not_answer() {
    let silent = |placed: &[Placed], unreachable: &[&str], other_schemas: &[&str]| {
        found(Evidence {
            placed: placed.to_vec(),
            unreachable: unreachable
                .iter()
                .map(|shard| (String::from(*shard), String::from("gone")))
                .collect(),
            other_schemas: other_schemas.iter().map(|shard| (String::from(*shard), Some(3))).collect(),
            ..Evidence::default()
        })
    };
    // What nobody has that answers may be there.
    assert_eq!(silent(&[a(Some("0-4,6-2047"), "")], &["B"], &[]), None);
    check(
        silent(&[a(Some("0-4,6-2047"), ""), b(Some("5,2048-4095"), "")], &["C"], &[]),
        "the configuration gives the buckets 5 to `A`, and `B` has them",
        "give them to `B` in the configuration and deploy that; if `A` is to have them, move them then: `mark-stale-drafts shards move --from B --to A --buckets 5-5`",
    );
    // Only with the name of the one there is a command.
    let by = ": `mark-stale-drafts shards move --from A --to B --buckets 3000-3000`";
    for (unreachable, other_schemas, name, by) in [
        (&["B"][..], &[][..], "`B`", by),
        (&[], &["B"], "`B`", by),
        (&["B"], &["C"], "`B` or `C`", ""),
        (&[], &[], "another database", ""),
    ] {
        check(
            silent(&[a(Some("0-2047,3000"), "")], unreachable, other_schemas),
            &format!("the configuration gives the buckets 3000 to {name}, and `A` has them"),
            &format!(
                "give them to `A` in the configuration and deploy that; if {name} is to have them, move them then{by}"
            ),
        );
    }
    // Nor can one be missed.
    assert_eq!(silent(&[a(Some("0-2047"), ""), place("B", "2048-3000", None, "")], &["C"], &[]), None);
}

#[test]
fn a_database_that_has_nothing_on_record() {
    let bind = |shard: &str| {
        format!(
            "bind the database that was there as `{shard}` again; docs/scale.md says what to do where that is lost, or where `{shard}` never had users"
        )
    };
    check(
        misplaced([a(Some("0-2047"), ""), b(None, "")], []),
        "`B` has nothing on record, and no database has the buckets 2048-4095, which the configuration gives to it",
        &bind("B"),
    );
    assert_eq!(misplaced([a(None, ""), b(None, "")], []), None);
    check(
        misplaced([a(None, ""), b(None, "")], [moving("A", true, "B", "paused")]),
        "`A` has nothing on record, and no database has the buckets 0-2047, which the configuration gives to it",
        &bind("A"),
    );
    let all = place("A", "0-4095", Some("0-4095"), "");
    check(
        misplaced([all, place("B", "0-9", None, "")], [moving("C", true, "B", "moved")]),
        "`B` has nothing on record, and a move is about its buckets",
        &bind("B"),
    );
    let empty = "bind an empty database as `B` once you have looked what its users got; or, if a database was restored, correct its record: docs/scale.md says how";
    check(
        misplaced([a(Some("0-2047"), "1"), b(None, "7,3000")], []),
        "`B` has users of bucket 7, which `A` has on record; it has nothing on record",
        empty,
    );
    let [first, last] =
        [place("A", "10-2047", Some("10-2047"), ""), place("E", "3001-4095", Some("3001-4095"), "")];
    check(
        misplaced([first, place("B", "0-9,2048-3000", None, "7"), last], [moving("A", true, "C", "moved")]),
        "`B` has users of bucket 7, which is on the way to another database; it has nothing on record",
        empty,
    );
    check(
        misplaced([a(None, "1,3000"), b(None, "3001")], []),
        "`A` has users of bucket 3000, which the configuration gives to `B`",
        "if `A` was the only database, give it all `buckets` and deploy that; then remove what is in the others, and move buckets there",
    );
    // That one is taken for the only one.
    assert_eq!(misplaced([a(None, "1,3000"), b(None, "")], []), None);
}

#[test]
fn users_of_buckets_that_were_given_away() {
    let left = misplaced([a(Some("0-2047"), "1,3000"), b(Some("2048-4095"), "")], []);
    assert_eq!(
        left,
        Some((
            Severity::Warning,
            String::from("`A` has users of bucket 3000, which is away by its record"),
            String::from(
                "look what they have there, give them again what they got there alone, and remove the rest: docs/scale.md says how"
            )
        ))
    );
    // A move still has to remove them.
    let late =
        [place("A", "10-2047", Some("10-2047"), "1"), place("B", "0-9,2048-4095", Some("0-9,2048-4095"), "")];
    assert_eq!(misplaced(late.clone(), [moving("A", true, "B", "moved")]), None);
    assert!(misplaced(late, []).is_some());
}
