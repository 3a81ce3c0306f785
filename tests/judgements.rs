//! What becomes of a report, on every status; what becomes of a plan's creation; and the words for both.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use stale_drafts::rules::{
    Action, CANCELLED, Candidate, Decision, Draft, Elsewhere, FAILED_BY_OPERATOR, IllegalTransition,
    Judgement, Planned, Policy, Refusal, Report, Setting, SkipReason, Snapshot, Status, Time, Timestamp,
    Unreadable, recheck,
};

use Judgement::{Accept, Refuse, Repeat};
use Status::{Draft as Drafted, Failed, Pending, Processing, Published};

/// A second attempt that `w` has begun, and nothing more.
fn begun(status: Status) -> Snapshot<'static> {
    Snapshot {
        status,
        attempt: 2,
        worker: Some("w"),
        fence: Some("2.abc"),
        kind: "video",
        tokens: 10,
        tokens_used: None,
        retried: &[],
        error_code: None,
        result_url: None,
        late: false,
        restored: false,
        deleted: false,
        elsewhere: None,
    }
}

fn waiting() -> Snapshot<'static> {
    Snapshot { worker: None, fence: None, ..begun(Pending) }
}

fn illegal(from: Status, to: Status) -> Judgement {
    Refuse(Refusal::Illegal(IllegalTransition { from, to }))
}

/// What becomes of the report where each status stands, in the order of [`Status::ALL`].
fn on_each(report: Report<'_>, standing: Snapshot<'_>) -> [Judgement; 5] {
    Status::ALL.map(|status| report.judge(&Snapshot { status, ..standing }))
}

#[test]
fn a_start() {
    let start = |worker| Report::Start { worker };
    assert_eq!(start("w").judge(&waiting()), Accept);
    assert_eq!(on_each(start("w"), begun(Pending)), [Accept, Repeat, Repeat, Repeat, Repeat]);
    let to = |from| illegal(from, Processing);
    let others = [Accept, Refuse(Refusal::Taken), to(Drafted), to(Published), to(Failed)];
    assert_eq!(on_each(start("another"), begun(Pending)), others);
    // Nobody began it, as after a start by hand.
    assert_eq!(on_each(start("w"), waiting()), others);
}

#[test]
fn a_heartbeat() {
    let over = Refuse(Refusal::Over);
    let heartbeat = Report::Heartbeat { fence: "2.abc" };
    assert_eq!(on_each(heartbeat, begun(Pending)), [over, Accept, over, over, over]);
}

#[test]
fn a_result() {
    let complete = Report::Complete { fence: "2.abc", result_url: "https://r/1", tokens_used: None };
    let over = Refuse(Refusal::Over);
    let to = |from| illegal(from, Drafted);
    let refused = [to(Pending), Accept, to(Drafted), to(Published), over];
    assert_eq!(on_each(complete, begun(Pending)), refused);
    let with = |url| Snapshot { result_url: Some(url), ..begun(Pending) };
    assert_eq!(on_each(complete, with("https://r/1")), [to(Pending), Accept, Repeat, Repeat, over]);
    assert_eq!(on_each(complete, with("https://r/2")), refused);
    // After a restore the same result stands, but this report was too late for it.
    assert_eq!(on_each(complete, Snapshot { restored: true, ..with("https://r/1") }), refused);
}

#[test]
fn a_failure_by_a_worker() {
    let fail = Report::Fail { fence: Some("2.abc"), error_code: "broken", tokens_used: None };
    let to = |from| illegal(from, Failed);
    let with = |code| Snapshot { error_code: code, ..begun(Pending) };
    assert_eq!(
        on_each(fail, with(Some("broken"))),
        [to(Pending), Accept, to(Drafted), to(Published), Repeat]
    );
    for code in [None, Some("other")] {
        let over = Refuse(Refusal::Over);
        assert_eq!(on_each(fail, with(code)), [to(Pending), Accept, to(Drafted), to(Published), over]);
    }
}

#[test]
fn a_failure_before_a_worker_has_begun() {
    let fail = Report::Fail { fence: None, error_code: "broken", tokens_used: None };
    let to = |from| illegal(from, Failed);
    let missing = Refuse(Refusal::FenceMissing);
    let with = |code| Snapshot { error_code: code, ..waiting() };
    assert_eq!(on_each(fail, with(Some("broken"))), [Accept, missing, to(Drafted), to(Published), Repeat]);
    assert_eq!(on_each(fail, with(Some("other")))[4], to(Failed));
    assert_eq!(on_each(fail, with(None))[4], to(Failed));
    // A worker that had begun said so, not this caller.
    let begun = Snapshot { error_code: Some("broken"), ..begun(Pending) };
    assert_eq!(on_each(fail, begun), [Accept, missing, to(Drafted), to(Published), to(Failed)]);
}

#[test]
fn a_fence() {
    let with = |fence| Report::Heartbeat { fence }.judge(&begun(Processing));
    assert_eq!(with("2.abc"), Accept);
    assert_eq!(with("1.abc"), Refuse(Refusal::Over));
    for wrong in ["2.abd", "3.abc", "abc", "", "x.abc", "-1.abc"] {
        assert_eq!(with(wrong), Refuse(Refusal::WrongFence), "{wrong}");
    }
    for report in [
        Report::Complete { fence: "1.abc", result_url: "", tokens_used: None },
        Report::Fail { fence: Some("1.abc"), error_code: "", tokens_used: None },
    ] {
        assert_eq!(on_each(report, begun(Pending)), [Refuse(Refusal::Over); 5]);
    }
}

#[test]
fn what_owners_report() {
    let deleted = Snapshot { deleted: true, ..begun(Pending) };
    let to = |from| illegal(from, Published);
    assert_eq!(
        on_each(Report::Publish, begun(Pending)),
        [to(Pending), to(Processing), Accept, Repeat, to(Failed)]
    );
    assert_eq!(on_each(Report::Publish, deleted), [Refuse(Refusal::Deleted); 5]);
    let active = Refuse(Refusal::Active);
    assert_eq!(on_each(Report::Delete, begun(Pending)), [active, active, Accept, Accept, Accept]);
    assert_eq!(on_each(Report::Delete, deleted), [active, active, Repeat, Repeat, Repeat]);
}

#[test]
fn a_restore() {
    let late = Snapshot { late: true, ..begun(Pending) };
    let active = Refuse(Refusal::Active);
    let [drafted, published] = [Drafted, Published].map(|from| illegal(from, Drafted));
    assert_eq!(on_each(Report::Restore, late), [active, active, drafted, published, Accept]);
    let nothing = Refuse(Refusal::NothingKept);
    assert_eq!(on_each(Report::Restore, begun(Pending)), [active, active, drafted, published, nothing]);
    let restored = Snapshot { restored: true, ..late };
    assert_eq!(on_each(Report::Restore, restored), [active, active, Repeat, Repeat, Accept]);
    let deleted = Snapshot { deleted: true, ..restored };
    assert_eq!(on_each(Report::Restore, deleted), [Refuse(Refusal::Deleted); 5]);
}

#[test]
fn what_was_used() {
    let complete = |tokens_used| Report::Complete { fence: "2.abc", result_url: "https://r/1", tokens_used };
    let fail = |tokens_used| Report::Fail { fence: Some("2.abc"), error_code: "broken", tokens_used };
    let done = |tokens_used| Snapshot { result_url: Some("https://r/1"), tokens_used, ..begun(Drafted) };
    let failed = |tokens_used| Snapshot { error_code: Some("broken"), tokens_used, ..begun(Failed) };
    for used in [Some(0), Some(10), None] {
        assert_eq!(complete(used).judge(&begun(Processing)), Accept);
        assert_eq!(fail(used).judge(&begun(Processing)), Accept);
        // The same again is answered as it was; another number is another report.
        assert_eq!(complete(used).judge(&done(used)), Repeat);
        assert_eq!(complete(Some(7)).judge(&done(used)), illegal(Drafted, Drafted));
        assert_eq!(fail(used).judge(&failed(used)), Repeat);
        assert_eq!(fail(Some(7)).judge(&failed(used)), Refuse(Refusal::Over));
    }
    // Where nothing was said, a result has used all, and a failure nothing.
    assert_eq!(complete(Some(10)).judge(&done(None)), Repeat);
    assert_eq!(complete(None).judge(&done(Some(10))), Repeat);
    assert_eq!(fail(Some(0)).judge(&failed(None)), Repeat);
    assert_eq!((done(None).used(), failed(None).used(), failed(Some(4)).used()), (10, 0, 4));

    let more = Refuse(Refusal::MoreThanCharged { tokens_used: 11, tokens: 10 });
    assert_eq!(complete(Some(11)).judge(&begun(Processing)), more);
    assert_eq!(fail(Some(11)).judge(&begun(Processing)), more);
    let waiting_fail = Report::Fail { fence: None, error_code: "broken", tokens_used: Some(11) };
    assert_eq!(waiting_fail.judge(&waiting()), more);
    let of_app = Snapshot { elsewhere: Some(Elsewhere::Balance), ..begun(Processing) };
    assert_eq!(complete(Some(7)).judge(&of_app), Refuse(Refusal::BalanceElsewhere));
    assert_eq!(complete(None).judge(&of_app), Accept);
}

#[test]
fn a_retry() {
    let retry = Report::Retry { attempt: 2 };
    let active = Refuse(Refusal::Active);
    let [drafted, published] = [Drafted, Published].map(|from| illegal(from, Pending));
    assert_eq!(on_each(retry, begun(Pending)), [active, active, drafted, published, Accept]);
    // One that is repeated is the same one, whatever has become of it since.
    let retried = Snapshot { attempt: 4, retried: &[2, 3], ..begun(Pending) };
    assert_eq!(on_each(retry, retried), [Repeat; 5]);
    assert_eq!(on_each(retry, Snapshot { deleted: true, ..retried }), [Repeat; 5]);
    let other = |attempt, present| Refuse(Refusal::OtherAttempt { attempt, present });
    assert_eq!(on_each(Report::Retry { attempt: 1 }, retried), [other(1, 4); 5]);
    assert_eq!(on_each(Report::Retry { attempt: 5 }, retried), [other(5, 4); 5]);
    let failed = begun(Failed);
    assert_eq!(retry.judge(&Snapshot { deleted: true, ..failed }), Refuse(Refusal::Deleted));
    // A late result that is kept stays so.
    assert_eq!(retry.judge(&Snapshot { late: true, ..failed }), Accept);
    for (elsewhere, refusal) in
        [(Elsewhere::Settled, Refusal::SettledElsewhere), (Elsewhere::Balance, Refusal::BalanceElsewhere)]
    {
        let failed = Snapshot { elsewhere: Some(elsewhere), ..failed };
        assert_eq!(retry.judge(&failed), Refuse(refusal));
    }
}

#[test]
fn a_cancellation() {
    let says = |word| Policy::from_settings([(["kinds", "video", "cancel"], Setting::Text(word))]).unwrap();
    let to = |from| illegal(from, Failed);
    for (policy, begun_one) in [
        (Policy::default(), Accept),
        (says("refund"), Accept),
        (says("keep"), Accept),
        (says("never"), Refuse(Refusal::NotCancellable)),
    ] {
        let cancel = |attempt| Report::Cancel { attempt, policy: &policy };
        let expected = [Accept, begun_one, to(Drafted), to(Published), to(Failed)];
        assert_eq!(on_each(cancel(None), begun(Pending)), expected);
        assert_eq!(on_each(cancel(Some(2)), begun(Pending)), expected);
        let other = Refuse(Refusal::OtherAttempt { attempt: 1, present: 2 });
        assert_eq!(on_each(cancel(Some(1)), begun(Pending)), [other; 5]);
        let cancelled = Snapshot { error_code: Some(CANCELLED), ..begun(Failed) };
        assert_eq!(cancel(None).judge(&cancelled), Repeat);
        let of_app = Snapshot { elsewhere: Some(Elsewhere::Balance), ..begun(Processing) };
        assert_eq!(cancel(None).judge(&of_app), Refuse(Refusal::BalanceElsewhere));
        // Its worker is told.
        let told = Refuse(Refusal::Cancelled);
        assert_eq!(Report::Heartbeat { fence: "2.abc" }.judge(&cancelled), told);
        let complete = Report::Complete { fence: "2.abc", result_url: "https://r/1", tokens_used: None };
        assert_eq!(complete.judge(&cancelled), told);
        let fail = Report::Fail { fence: Some("2.abc"), error_code: "broken", tokens_used: None };
        assert_eq!(fail.judge(&cancelled), told);
    }
}

#[test]
fn a_failure_by_an_operator() {
    let fail = |attempt| Report::FailNow { attempt };
    let to = |from| illegal(from, Failed);
    // Whatever the policy says of a cancellation.
    assert_eq!(on_each(fail(2), begun(Pending)), [Accept, Accept, to(Drafted), to(Published), to(Failed)]);
    let other = Refuse(Refusal::OtherAttempt { attempt: 1, present: 2 });
    assert_eq!(on_each(fail(1), begun(Pending)), [other; 5]);
    let failed = Snapshot { error_code: Some(FAILED_BY_OPERATOR), ..begun(Failed) };
    assert_eq!(fail(2).judge(&failed), Repeat);
    let of_app = Snapshot { elsewhere: Some(Elsewhere::Balance), ..begun(Processing) };
    assert_eq!(fail(2).judge(&of_app), Refuse(Refusal::BalanceElsewhere));
    // What its worker delivers later is a late result.
    let complete = Report::Complete { fence: "2.abc", result_url: "https://r/1", tokens_used: None };
    assert_eq!(complete.judge(&failed), Refuse(Refusal::Over));
}

#[test]
fn a_refusal_has_a_code_and_words() {
    let illegal = Refusal::Illegal(IllegalTransition { from: Failed, to: Drafted });
    for (refusal, code, words) in [
        (illegal, "illegal_transition", "a creation can't go from `failed` to `draft`: `failed` is final"),
        (Refusal::Taken, "taken", "another worker has begun this attempt"),
        (Refusal::Over, "attempt_over", "the attempt of this fence is over"),
        (
            Refusal::WrongFence,
            "wrong_fence",
            "the fence does not belong to this creation: expected the one that its start gave",
        ),
        (
            Refusal::FenceMissing,
            "fence_missing",
            "a worker has begun: expected the fence that its start gave",
        ),
        (Refusal::Active, "active", "it is still being generated: wait until it is finished or failed"),
        (Refusal::NothingKept, "nothing_kept", "no result has come in too late: there is nothing to restore"),
        (Refusal::Deleted, "deleted", "its owner has deleted it"),
        (Refusal::Cancelled, "cancelled", "it was cancelled: the attempt of this fence is over"),
        (
            Refusal::NotCancellable,
            "not_cancellable",
            "a worker has begun, and the policy has `cancel = \"never\"`: wait until it is finished or failed",
        ),
        (
            Refusal::MoreThanCharged { tokens_used: 11, tokens: 10 },
            "more_than_charged",
            "`tokens_used` is `11`: expected at most 10, which were charged",
        ),
        (
            Refusal::OtherAttempt { attempt: 1, present: 2 },
            "other_attempt",
            "`attempt` is `1`: expected 2, the present one",
        ),
        (
            Refusal::SettledElsewhere,
            "settled_elsewhere",
            "another system has charged and settled it: make a new creation in its place",
        ),
        (
            Refusal::BalanceElsewhere,
            "balance_elsewhere",
            "the app keeps its owner's balance itself: it is done in the app's own row, see docs/attach.md",
        ),
    ] {
        assert_eq!((refusal.code(), refusal.to_string().as_str()), (code, words));
    }
}

const NOW: u64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;

fn at(millis: u64) -> Time {
    Time::from_millis(millis as i64)
}

/// What becomes of a plan that was made for the second attempt of `c`, pending since two hours ago.
fn rechecked(draft: Option<Draft<'static>>) -> Result<Decision<'static>, SkipReason> {
    let planned = Planned {
        id: "c",
        stuck_status: Some(Pending),
        attempt: 2,
        last_sign_of_life: NOW - 2 * HOUR,
        action: Action::Fail,
    };
    let candidate = draft.map(|draft| Candidate { id: "c", draft });
    let now = Timestamp::from_millis(NOW as i64).unwrap();
    recheck(&planned, candidate.as_ref(), now, &Policy::default())
}

#[test]
fn a_plan_is_carried_out_only_for_what_it_was_made_for() {
    let same = Draft {
        status: Some(Pending),
        kind: "image",
        attempt: 2,
        created_at: at(NOW - 2 * HOUR),
        ..Draft::default()
    };
    let failure = rechecked(Some(same)).unwrap();
    assert_eq!((failure.id, failure.staleness.age_ms), ("c", 2 * HOUR));
    let with = |draft| rechecked(Some(draft)).unwrap_err();
    assert_eq!(rechecked(None), Err(SkipReason::Gone));
    assert_eq!(with(Draft { status: Some(Drafted), ..same }), SkipReason::Settled(Drafted));
    assert_eq!(with(Draft { status: Some(Processing), ..same }), SkipReason::Started);
    assert_eq!(with(Draft { attempt: 1, ..same }), SkipReason::Restarted);
    assert_eq!(with(Draft { attempt: 3, ..same }), SkipReason::Restarted);
    // It is stale again, after a sign of life of which the plan knew nothing.
    assert_eq!(with(Draft { heartbeat_at: at(NOW - 2 * HOUR + 1), ..same }), SkipReason::Alive);
    // Of an image the second attempt is the last one; of a song it would not be.
    let policy = Policy::from_settings([(["kinds", "song", "attempts"], Setting::Number(3.0, "3"))]).unwrap();
    let song = Candidate { id: "c", draft: Draft { kind: "song", ..same } };
    let now = Timestamp::from_millis(NOW as i64).unwrap();
    for (action, expected) in [(Action::Retry, None), (Action::Fail, Some(SkipReason::ActionChanged))] {
        let planned = Planned {
            id: "c",
            stuck_status: Some(Pending),
            attempt: 2,
            last_sign_of_life: NOW - 2 * HOUR,
            action,
        };
        assert_eq!(recheck(&planned, Some(&song), now, &policy).err(), expected);
        let image = recheck(&planned, Some(&Candidate { id: "c", draft: same }), now, &policy);
        assert_eq!(image.err(), if action == Action::Retry { Some(SkipReason::ActionChanged) } else { None });
    }
    let deadline = Timestamp::from_millis((NOW + HOUR) as i64);
    assert_eq!(with(Draft { heartbeat_at: at(NOW), ..same }), SkipReason::Fresh(deadline));
    let unreadable = SkipReason::Unreadable(Unreadable::Missing);
    assert_eq!(with(Draft { created_at: Time::Missing, ..same }), unreadable);
}

#[test]
fn what_is_left_alone_has_a_code_and_words() {
    for (reason, code, words) in [
        (SkipReason::Gone, "gone", "there is no such creation"),
        (SkipReason::Settled(Drafted), "settled", "it is `draft` now"),
        (SkipReason::Started, "started", "a worker has begun since"),
        (SkipReason::Restarted, "restarted", "it is another attempt now"),
        (SkipReason::Alive, "alive", "it showed a sign of life since"),
        (SkipReason::ActionChanged, "action_changed", "the planned action no longer matches the policy"),
        (SkipReason::Fresh(None), "fresh", "it is within its limit now"),
        (SkipReason::Unreadable(Unreadable::Missing), "time_missing", "it has no time"),
    ] {
        assert_eq!((reason.code(), reason.to_string().as_str()), (code, words));
    }
}
