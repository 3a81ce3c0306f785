//! Which database has which buckets: the first record, what moves make of it, and a configuration that says something else.

use serde_json::{Value, json};
use stale_drafts::config::{Config, Shards};
use stale_drafts::rules::{Bucket, Finding, Policy, Severity, Thresholds};
use stale_drafts::service::monitor::{self, Occasion};
use stale_drafts::service::moves::{Bounds, Goal, Move, step};
use stale_drafts::service::placement;
use stale_drafts::service::shards::Shard;
use stale_drafts::store::{self, Buckets, Database as _, DatabaseError, NewCreation, OfUser};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, MINUTE, NOW, ONE_DATABASE, at, now, watching};

const NAMES: [&str; 3] = ["A", "B", "C"];

/// The configuration with these buckets, in the order of [`NAMES`].
fn config<const N: usize>(buckets: [&str; N]) -> Shards {
    let shards: Vec<_> = NAMES
        .iter()
        .zip(buckets)
        .map(|(binding, buckets)| json!({ "binding": binding, "buckets": buckets }))
        .collect();
    Config::from_json(&json!({ "shards": shards })).unwrap().shards
}

fn shards<'a, const N: usize>(databases: [&'a Sqlite; N]) -> Vec<Shard<'a, Sqlite>> {
    NAMES.iter().zip(databases).map(|(name, database)| Shard { name, database }).collect()
}

/// A minute's cron, and the findings about buckets that a look has after it.
fn cron<const N: usize>(databases: [&Sqlite; N], configured: &Shards) -> Vec<Finding> {
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let settings = watching(&policy, &thresholds, configured);
    let shards = shards(databases);
    let occasion = Occasion::Cron { swept: true };
    wait(monitor::run(&shards, &settings, now(), occasion)).unwrap().unwrap();
    let health = wait(monitor::look(&shards, &settings, now())).unwrap();
    health.findings.into_iter().filter(|finding| finding.code == "buckets_misplaced").collect()
}

fn evidence(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.evidence.as_str()).collect()
}

fn record(database: &Sqlite) -> Vec<Value> {
    database.read("SELECT first_bucket, state FROM stale_drafts_buckets ORDER BY first_bucket")
}

/// A user of this bucket.
fn user(bucket: impl Fn(u16) -> bool) -> String {
    (0..).map(|n| format!("user-{n}")).find(|user| bucket(Bucket::of_user(user).number())).unwrap()
}

fn grant(database: &Sqlite, user: &str) {
    database.write(&format!(
        "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:{user}', '{user}', 'grant', 9, 0)"
    ));
}

/// Whether a new user of the bucket may create something there. `None`: it is the only database.
fn creates(database: &Sqlite, bucket: Option<u16>) -> Result<(), DatabaseError> {
    let user = format!("of {bucket:?}");
    let new = NewCreation { id: &user, user_id: &user, kind: "image", prompt: "", tokens: 0 };
    let create = store::create(new, now());
    database.write("SAVEPOINT try");
    let made = wait(OfUser::new(database, bucket.and_then(Bucket::new)).run(&create));
    database.write("ROLLBACK TO try; RELEASE try");
    made.map(|results| assert!(!results.is_empty()))
}

fn takes(database: &Sqlite, bucket: u16) -> bool {
    creates(database, Some(bucket)).is_ok()
}

#[test]
fn a_single_database_has_nothing_on_record_and_pays_nothing_for_it() {
    let database = Sqlite::new();
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let settings = watching(&policy, &thresholds, &ONE_DATABASE);
    wait(monitor::run(&Shard::one(&database), &settings, now(), Occasion::Cron { swept: true })).unwrap();
    assert_eq!(record(&database), Vec::<Value>::new());
    assert_eq!(creates(&database, None), Ok(()));
    // One of several that became the only one lacks what the others have.
    database.write("INSERT INTO stale_drafts_buckets VALUES (0, 'here'), (2048, 'away')");
    let health = wait(monitor::look(&Shard::one(&database), &settings, now())).unwrap();
    assert_eq!(
        evidence(&health.findings),
        ["the configuration gives the buckets 2048-4095 to `DB`, and no database has them"]
    );
}

#[test]
fn new_databases_are_taken_as_having_what_the_first_configuration_gives_them() {
    let [a, b, c] = [Sqlite::new(), Sqlite::new(), Sqlite::new()];
    let configured = config(["0-99,300-4095", "100-299", ""]);
    // Somebody was faster than the cron, past the question whether they may.
    grant(&b, &user(|bucket| (100..300).contains(&bucket)));
    // Whoever knows of several asks; nobody has anybody yet.
    for (database, bucket) in [(&a, 0), (&b, 100), (&c, 0), (&a, 4_095)] {
        let refused = creates(database, Some(bucket)).unwrap_err();
        assert!(refused.is_unrecorded() && !refused.is_moving(), "{refused}");
    }
    assert_eq!(cron([&a, &b, &c], &configured), []);
    assert_eq!(record(&a), [json!([0, "here"]), json!([100, "away"]), json!([300, "here"])]);
    assert_eq!(record(&b), [json!([0, "away"]), json!([100, "here"]), json!([300, "away"])]);
    assert_eq!(record(&c), [json!([0, "away"])]);
    let who = |bucket: u16| [&a, &b, &c].map(|database| takes(database, bucket));
    assert_eq!([0, 99, 300, 4_095].map(who), [[true, false, false]; 4]);
    assert_eq!([100, 299].map(who), [[false, true, false]; 2]);
    // Once.
    let other = config(["0-4095", "", ""]);
    cron([&a, &b, &c], &other);
    assert_eq!(record(&c), [json!([0, "away"])]);
}

#[test]
fn one_existing_database_becomes_the_first_of_two() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    (0..50).for_each(|n| grant(&a, &format!("user-{n}")));
    let configured = config(["0-4095", ""]);
    // Who moves at once need not wait for the cron.
    wait(placement::record(&shards([&a, &b]), &configured)).unwrap();
    assert_eq!([record(&a), record(&b)], [[json!([0, "here"])], [json!([0, "away"])]]);
    assert_eq!(cron([&a, &b], &configured), []);
}

#[test]
fn one_whose_buckets_were_given_away_at_once_keeps_them() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    (0..50).for_each(|n| grant(&a, &format!("user-{n}")));
    let half = config(["0-2047", "2048-4095"]);
    let [found] = &cron([&a, &b], &half)[..] else { panic!() };
    assert_eq!(found.severity, Severity::Critical);
    assert_eq!(found.evidence, "the configuration gives the buckets 2048-4095 to `B`, and `A` has them");
    assert_eq!(
        found.remedy,
        "give them to `A` in the configuration and deploy that; if `B` is to have them, move them then: `mark-stale-drafts shards move --from A --to B --buckets 2048-4095`"
    );
    assert!(takes(&a, 0) && takes(&a, 4_095) && !takes(&b, 4_095));
    assert_eq!(cron([&a, &b], &config(["0-4095", ""])), []);
}

#[test]
fn whose_users_they_are_is_not_guessed() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    (0..50).for_each(|n| grant(&a, &format!("user-{n}")));
    grant(&b, &user(|bucket| bucket >= 2_048));
    let half = config(["0-2047", "2048-4095"]);
    let found = cron([&a, &b], &half);
    let [text] = evidence(&found)[..] else { panic!() };
    assert!(
        text.starts_with("`A` has users of bucket ")
            && text.ends_with(", which the configuration gives to `B`"),
        "{text}"
    );
    assert_eq!([record(&a), record(&b)], [Vec::<Value>::new(), Vec::new()]);
    assert!(!takes(&a, 0) && !takes(&b, 4_095));
}

#[test]
fn a_new_database_that_has_others_users_is_found_and_takes_nobody() {
    let [a, b, c] = [Sqlite::new(), Sqlite::new(), Sqlite::new()];
    (0..50).for_each(|n| grant(&a, &format!("user-{n}")));
    assert_eq!(cron([&a, &b], &config(["0-4095", ""])), []);
    // An app of old wrote there without a question, by a configuration that no move had made true.
    let stray = user(|bucket| bucket >= 2_048);
    grant(&c, &stray);
    let bucket = Bucket::of_user(&stray).number();
    let found = cron([&a, &b, &c], &config(["0-4095", "", ""]));
    let text = format!("`C` has users of bucket {bucket}, which `A` has on record; it has nothing on record");
    assert_eq!(evidence(&found), [text.as_str()]);
    assert_eq!(found[0].severity, Severity::Critical);
    // Also where the configuration gives them to it: first whose they are is put right, and then this is found.
    let found = cron([&a, &b, &c], &config(["0-2047", "", "2048-4095"]));
    assert_eq!(evidence(&found), ["the configuration gives the buckets 2048-4095 to `C`, and `A` has them"]);
    assert_eq!(record(&c), Vec::<Value>::new());
    assert!(takes(&a, bucket) && !takes(&c, bucket));
}

#[test]
fn a_new_database_is_written_down_while_others_move() {
    let [a, b, c] = [Sqlite::new(), Sqlite::new(), Sqlite::new()];
    (0..50).for_each(|n| grant(&a, &format!("user-{n}")));
    cron([&a, &b], &config(BEFORE));
    assert!(wait(step(&a, &b, MOVE, Goal::Moved, now(), Bounds::default())).unwrap().done);
    // What moves is nobody else's, nor what another one has.
    assert!(!takes(&c, 1_500));
    cron([&a, &b, &c], &config(["0-999,2000-4095", "", "1000-1999"]));
    assert_eq!(record(&c), [json!([0, "away"])]);
    assert_eq!(cron([&a, &b, &c], &config(["0-999,2000-4095", "1000-1999", ""])), []);
    // One that has lost its own side of a move knows nothing, and is found.
    b.write("DELETE FROM stale_drafts_moving_users; DELETE FROM stale_drafts_moves; DELETE FROM stale_drafts_buckets");
    cron([&a, &b, &c], &config(["0-999,2000-4095", "1000-1999", ""]));
    assert_eq!(record(&b), Vec::<Value>::new());
    assert!(!takes(&b, 1_500));
    // The same of one that was restored to a time before the move.
    b.write("INSERT INTO stale_drafts_buckets VALUES (0, 'away')");
    let found = cron([&a, &b, &c], &config(["0-999,2000-4095", "1000-1999", ""]));
    assert_eq!(
        evidence(&found),
        ["the configuration gives the buckets 1000-1999 to `B`, and no database has them"]
    );
    assert!(found[0].remedy.starts_with("`B` has lost what moved there: "), "{}", found[0].remedy);
    assert!(!takes(&b, 1_500));
}

#[test]
fn two_bindings_of_one_database_are_named_before_anything_moves() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    assert_eq!(wait(placement::shared(&shards([&a, &b]))), Ok(None));
    let why = wait(placement::shared(&shards([&a, &b, &a]))).unwrap().unwrap();
    assert!(
        why.starts_with("`A` and `C` are one and the same database, or one is a copy of the other: "),
        "{why}"
    );
}

#[test]
fn while_one_does_not_answer_or_moves_nothing_goes_on_record() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    let configured = config(["0-4095", ""]);
    b.write("ALTER TABLE stale_drafts_monitor RENAME TO away; ALTER TABLE stale_drafts_buckets RENAME TO away_too");
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let settings = watching(&policy, &thresholds, &configured);
    wait(monitor::run(&shards([&a, &b]), &settings, now(), Occasion::Cron { swept: true })).unwrap();
    assert_eq!(record(&a), Vec::<Value>::new());
    let c = Sqlite::new();
    c.write("INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
      VALUES ('m', 'target', 0, 7, 'A', 'arriving', 1, 1, 1)");
    cron([&a, &c], &configured);
    assert_eq!([record(&a), record(&c)], [Vec::<Value>::new(), Vec::new()]);
}

const BUCKETS: Buckets = Buckets { first: 1_000, last: 1_999 };
const MOVE: Move<'_> = Move { id: "m", buckets: BUCKETS, source: "A", target: "B" };
const BEFORE: [&str; 2] = ["0-4095", ""];
const AFTER: [&str; 2] = ["0-999,2000-4095", "1000-1999"];

#[test]
fn a_configuration_without_a_move_is_found_and_its_writes_are_refused() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    assert_eq!(cron([&a, &b], &config(BEFORE)), []);
    let found = cron([&a, &b], &config(["0-999,1500-4095", "1000-1499"]));
    assert_eq!(evidence(&found), ["the configuration gives the buckets 1000-1499 to `B`, and `A` has them"]);
    assert_eq!(
        evidence(&cron([&a, &b], &config(["0-6,8-999,2000-4095", "7,1000-1999"]))),
        [
            "the configuration gives the buckets 7 to `B`, and `A` has them; 1000 other buckets are misplaced too"
        ]
    );
    assert!(!takes(&b, 1_000) && takes(&b, 1_000) == takes(&b, 7) && takes(&a, 1_000));
    // A third one, that nobody has ever seen, gets none either.
    let c = Sqlite::new();
    let three = config(["0-999,2000-4095", "", "1000-1999"]);
    let text = ["the configuration gives the buckets 1000-1999 to `C`, and `A` has them"];
    assert_eq!(evidence(&cron([&a, &b, &c], &three)), text);
    assert_eq!(record(&c), [json!([0, "away"])]);
    assert!(!takes(&c, 1_000));
}

#[test]
fn no_moment_of_a_move_is_a_finding_and_each_bucket_is_in_one_database() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    let (before, after) = (config(BEFORE), config(AFTER));
    cron([&a, &b], &before);
    let who = || [500, 1_000, 1_999, 2_000].map(|bucket| [takes(&a, bucket), takes(&b, bucket)]);
    let (left, nobody, right) = ([true, false], [false, false], [false, true]);
    let go = |goal, queries, when| {
        wait(step(&a, &b, MOVE, goal, at(when), Bounds { queries, ..Bounds::default() })).unwrap()
    };
    let mut states = Vec::new();
    let mut state = || {
        let state = a.read("SELECT state FROM stale_drafts_moves")[0][0].as_str().unwrap().to_owned();
        if states.last() != Some(&state) {
            states.push(state.clone());
        }
        state
    };
    let early = ["the configuration gives the buckets 1000-1999 to `B`, and `A` has them"];
    let command =
        |verb: &str| format!("`mark-stale-drafts shards {verb} --from A --to B --buckets 1000-1999`");
    for _ in 0..40 {
        let done = go(Goal::Moved, 14, NOW).done;
        assert_eq!(who(), [left, nobody, nobody, left]);
        assert_eq!(cron([&a, &b], &before), []);
        // Step 5 comes after step 4.
        let moved = state() == "moved";
        let found = cron([&a, &b], &after);
        assert_eq!(evidence(&found), if moved { &[][..] } else { &early });
        let back = format!(
            "give them to `A` again and deploy that; then go on with {}, or undo it with {}",
            command("move"),
            command("cancel")
        );
        assert!(found.iter().all(|finding| finding.remedy == back), "{found:?}");
        if done {
            break;
        }
    }
    assert_eq!(states, ["paused", "copied", "verified", "moved"]);
    go(Goal::Done, 14, NOW);
    assert_eq!(who(), [left, right, right, left]);
    assert_eq!(cron([&a, &b], &after), []);
    // Put back too early: nobody is to take the buckets from the target again.
    let remedies = || cron([&a, &b], &before).into_iter().map(|finding| finding.remedy.into_owned());
    let forward = format!(
        "they have moved: give them to `B` in the configuration and deploy that; then go on with {}",
        command("finish")
    );
    assert_eq!(remedies().collect::<Vec<_>>(), [forward]);
    assert!(go(Goal::Done, 900, NOW).waits_until.is_some());
    for when in [NOW, NOW + 15 * MINUTE] {
        assert_eq!(go(Goal::Done, 900, when).done, when > NOW);
        assert_eq!(cron([&a, &b], &after), []);
        // An old configuration is found.
        let text = ["the configuration gives the buckets 1000-1999 to `A`, and `B` has them"];
        assert_eq!(evidence(&cron([&a, &b], &before)), text);
    }
    assert_eq!(record(&a), [json!([0, "here"]), json!([1_000, "away"]), json!([2_000, "here"])]);
    assert_eq!(record(&b), [json!([0, "away"]), json!([1_000, "here"]), json!([2_000, "away"])]);
}

#[test]
fn a_cancelled_move_leaves_the_record_as_it_was_and_one_that_comes_back_makes_it_whole() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    cron([&a, &b], &config(BEFORE));
    let whole = || (record(&a), record(&b));
    let before = whole();
    for queries in [14, 17, 20] {
        let id = format!("m{queries}");
        let planned = Move { id: &id, ..MOVE };
        let bounds = Bounds { queries, ..Bounds::default() };
        assert!(!wait(step(&a, &b, planned, Goal::Moved, now(), bounds)).unwrap().done);
        assert!(!takes(&a, 1_000));
        assert!(wait(step(&a, &b, planned, Goal::Cancelled, now(), Bounds::default())).unwrap().done);
        assert!(takes(&a, 1_000));
        assert_eq!(whole(), before);
    }
    // A delayed word of a cancellation changes nothing any more.
    let late = store::turn_move("m14", "cancelling", "cancelled", None, now());
    let all_the_way = |sides: [&Sqlite; 2], planned: Move<'_>| {
        for (goal, when) in [(Goal::Moved, NOW), (Goal::Done, NOW), (Goal::Done, NOW + HOUR)] {
            wait(step(sides[0], sides[1], planned, goal, at(when), Bounds::default())).unwrap();
            sides[0].all(std::slice::from_ref(&late));
        }
    };
    all_the_way([&a, &b], MOVE);
    assert!(!takes(&a, 1_000) && takes(&b, 1_000));
    all_the_way([&b, &a], Move { id: "back", source: "B", target: "A", ..MOVE });
    assert_eq!(whole(), before);
}

#[test]
fn two_that_have_the_same_buckets_are_found() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    a.write("INSERT INTO stale_drafts_buckets VALUES (0, 'here')");
    b.write("INSERT INTO stale_drafts_buckets VALUES (0, 'away'), (2048, 'here')");
    let found = cron([&a, &b], &config(["0-2047", "2048-4095"]));
    assert_eq!(
        evidence(&found),
        ["the configuration gives the buckets 2048-4095 to `B`, and `A` and `B` have them"]
    );
    assert_eq!(found[0].cause, "two databases have the same users, and both take writes of them");
}

#[test]
fn an_empty_database_in_place_of_one_that_had_users_is_given_nothing_and_is_found() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    (0..50).for_each(|n| grant(&a, &format!("user-{n}")));
    cron([&a, &b], &config(BEFORE));
    for (goal, when) in [(Goal::Moved, NOW), (Goal::Done, NOW), (Goal::Done, NOW + HOUR)] {
        wait(step(&a, &b, MOVE, goal, at(when), Bounds::default())).unwrap();
    }
    let after = config(AFTER);
    assert_eq!(cron([&a, &b], &after), []);
    let text = "`B` has nothing on record, and no database has the buckets 1000-1999, which the configuration gives to it";
    let other = Sqlite::new();
    for _ in 0..2 {
        let found = cron([&a, &other], &after);
        assert_eq!((evidence(&found), found[0].severity), (vec![text], Severity::Critical));
        assert!(found[0].remedy.starts_with("bind the database that was there as `B` again; "));
        wait(placement::record(&shards([&a, &other]), &after)).unwrap();
        assert_eq!(record(&other), Vec::<Value>::new());
        assert!(!takes(&other, 1_500) && takes(&a, 500));
    }
    // Nothing moves to it either.
    let planned = Move { id: "n", buckets: Buckets { first: 0, last: 7 }, ..MOVE };
    let refused = wait(step(&a, &other, planned, Goal::Moved, now(), Bounds::default())).unwrap_err();
    assert!(refused.to_string().contains("which buckets `B` has"), "{refused}");
    assert_eq!(cron([&a, &b], &after), []);
    assert!(takes(&b, 1_500));

    // The same where the first configuration gave them to it, with no move at all; and of the other one.
    let half = config(["0-2047", "2048-4095"]);
    let [c, d] = [Sqlite::new(), Sqlite::new()];
    assert_eq!(cron([&c, &d], &half), []);
    assert!(
        evidence(&cron([&c, &other], &half))[0]
            .starts_with("`B` has nothing on record, and no database has the buckets 2048-4095")
    );
    assert!(
        evidence(&cron([&other, &d], &half))[0]
            .starts_with("`A` has nothing on record, and no database has the buckets 0-2047")
    );
    // One that is to have nothing is a new one.
    assert_eq!(cron([&c, &d, &other], &config(["0-2047", "2048-4095", ""])), []);
    assert_eq!(record(&other), [json!([0, "away"])]);
}

#[test]
fn users_of_buckets_that_were_given_away_are_found_by_a_diagnosis() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    let configured = config(["0-2047", "2048-4095"]);
    cron([&a, &b], &configured);
    let diagnose = || {
        let (policy, thresholds) = (Policy::default(), Thresholds::default());
        let settings = watching(&policy, &thresholds, &configured);
        let health = wait(monitor::diagnose(&shards([&a, &b]), &settings, now(), None)).unwrap();
        health.findings.into_iter().filter(|finding| finding.code == "buckets_misplaced").collect::<Vec<_>>()
    };
    grant(&a, &user(|bucket| bucket < 2_048));
    assert_eq!(diagnose(), []);
    let stray = user(|bucket| bucket >= 2_048);
    grant(&a, &stray);
    let found = diagnose();
    let text =
        format!("`A` has users of bucket {}, which is away by its record", Bucket::of_user(&stray).number());
    assert_eq!((evidence(&found), found[0].severity), (vec![text.as_str()], Severity::Warning));
    // Every minute's look is spared that.
    assert_eq!(cron([&a, &b], &configured), []);
    // What has moved, and is to be trimmed, is none.
    a.write("DELETE FROM stale_drafts_buckets");
    let moved = "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
      VALUES ('m', 'source', 2048, 4095, 'B', 'moved', 1, 1, 1); INSERT INTO stale_drafts_buckets VALUES (0, 'here'), (2048, 'away')";
    a.write(moved);
    assert_eq!(diagnose(), []);
}

#[test]
fn a_database_that_is_silent_is_named_where_the_configuration_gives_it_what_another_one_has() {
    let [a, b, c] = [Sqlite::new(), Sqlite::new(), Sqlite::new()];
    cron([&a, &b], &config(["0-2047", "2048-4095"]));
    c.write("ALTER TABLE stale_drafts_buckets RENAME TO away");
    let found = cron([&a, &b, &c], &config(["0-2047", "2048-3110", "3111-4095"]));
    assert_eq!(evidence(&found), ["the configuration gives the buckets 3111-4095 to `C`, and `B` has them"]);
    assert!(
        found[0].remedy.ends_with("shards move --from B --to C --buckets 3111-4095`"),
        "{}",
        found[0].remedy
    );
}

#[test]
fn two_whose_databases_are_swapped_are_said_to_be() {
    let [a, b] = [Sqlite::new(), Sqlite::new()];
    let half = config(["0-2047", "2048-4095"]);
    cron([&a, &b], &half);
    let found = cron([&b, &a], &half);
    assert!(
        found[0].remedy.starts_with(
            "each of `A` and `B` has what the configuration gives to the other: if their `database_id`s are swapped in `d1_databases`, put that right. Otherwise give them to `B` in the configuration"
        ),
        "{}",
        found[0].remedy
    );
}
