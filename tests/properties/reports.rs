//! What becomes of a report: on every state that can be told apart, possible or not.

use stale_drafts::rules::{
    CANCELLED, FAILED_BY_OPERATOR, Judgement, Limit, Policy, Refusal, Report, Snapshot, Status,
};

const FENCES: [&str; 7] = ["1.a", "2.a", "2.b", "3.a", "", "x.y", "99999999999.a"];
const WORDS: [&str; 2] = ["a", "b"];
/// What is said to be used of 10 tokens: nothing is said, a part, and more than there is.
const USED: [Option<u64>; 3] = [None, Some(3), Some(11)];
static POLICY: Policy = Policy::uniform(Limit::Never);

fn or_none(words: &'static [&'static str]) -> impl Iterator<Item = Option<&'static str>> + Clone {
    words.iter().copied().map(Some).chain([None])
}

fn standings() -> impl Iterator<Item = Snapshot<'static>> {
    let flags = (0..8_u8).map(|bits| [bits & 1 > 0, bits & 2 > 0, bits & 4 > 0]);
    Status::ALL.into_iter().flat_map(move |status| {
        let flags = flags.clone();
        (1..=3).flat_map(move |attempt| {
            let flags = flags.clone();
            or_none(&WORDS).flat_map(move |worker| {
                let flags = flags.clone();
                or_none(&FENCES).flat_map(move |fence| {
                    let flags = flags.clone();
                    or_none(&WORDS).flat_map(move |error_code| {
                        let flags = flags.clone();
                        or_none(&WORDS).flat_map(move |result_url| {
                            flags.clone().map(move |[late, restored, deleted]| Snapshot {
                                status,
                                attempt,
                                worker,
                                fence,
                                kind: "video",
                                tokens: 10,
                                tokens_used: None,
                                retried: &[],
                                error_code,
                                result_url,
                                late,
                                restored,
                                deleted,
                                elsewhere: None,
                            })
                        })
                    })
                })
            })
        })
    })
}

fn reports() -> Vec<Report<'static>> {
    let mut reports = vec![Report::Publish, Report::Delete, Report::Restore];
    reports.extend([1, 2, 3].map(|attempt| Report::Retry { attempt }));
    reports.extend([None, Some(2)].map(|attempt| Report::Cancel { attempt, policy: &POLICY }));
    reports.extend([1, 2].map(|attempt| Report::FailNow { attempt }));
    reports.extend(WORDS.map(|worker| Report::Start { worker }));
    reports.extend(FENCES.map(|fence| Report::Heartbeat { fence }));
    for word in WORDS {
        for tokens_used in USED {
            reports.extend(FENCES.map(|fence| Report::Complete { fence, result_url: word, tokens_used }));
            let failures =
                or_none(&FENCES).map(|fence| Report::Fail { fence, error_code: word, tokens_used });
            reports.extend(failures);
        }
    }
    reports
}

/// Every state with every report, and what is answered.
fn judged(mut check: impl FnMut(&Snapshot<'_>, &Report<'_>, Judgement)) {
    let reports = reports();
    for standing in standings() {
        for report in &reports {
            check(&standing, report, report.judge(&standing));
        }
    }
}

/// What can stand in the database: the statements and the schema see to it.
fn possible(standing: &Snapshot<'_>) -> bool {
    let Snapshot { status, worker, fence, late, restored, deleted, .. } = *standing;
    let begun = worker.is_some() && fence.is_some();
    match status {
        Status::Pending => worker.is_none() && fence.is_none() && !restored && !deleted && !late,
        Status::Processing => begun && !restored && !deleted && !late,
        Status::Failed => !restored,
        Status::Draft | Status::Published => begun || restored,
    }
}

/// What stands after a report took effect.
fn after<'a>(standing: &Snapshot<'a>, report: &Report<'a>) -> Snapshot<'a> {
    let standing = *standing;
    match *report {
        Report::Start { worker } => {
            Snapshot { status: Status::Processing, worker: Some(worker), fence: Some("2.a"), ..standing }
        }
        Report::Heartbeat { .. } => standing,
        Report::Complete { result_url, tokens_used, .. } => {
            Snapshot { status: Status::Draft, result_url: Some(result_url), tokens_used, ..standing }
        }
        Report::Fail { error_code, tokens_used, .. } => {
            Snapshot { status: Status::Failed, error_code: Some(error_code), tokens_used, ..standing }
        }
        Report::Retry { attempt } => Snapshot {
            status: Status::Pending,
            attempt: attempt + 1,
            worker: None,
            fence: None,
            error_code: None,
            retried: [&[1], &[2], &[3]][attempt as usize - 1],
            ..standing
        },
        Report::Cancel { .. } => Snapshot { status: Status::Failed, error_code: Some(CANCELLED), ..standing },
        Report::FailNow { .. } => Snapshot {
            status: Status::Failed,
            error_code: Some(FAILED_BY_OPERATOR),
            tokens_used: None,
            ..standing
        },
        Report::Publish => Snapshot { status: Status::Published, ..standing },
        Report::Delete => Snapshot { deleted: true, ..standing },
        Report::Restore => Snapshot { status: Status::Draft, restored: true, ..standing },
    }
}

/// The fence that a report carries.
fn fence<'a>(report: &Report<'a>) -> Option<&'a str> {
    match *report {
        Report::Heartbeat { fence }
        | Report::Complete { fence, .. }
        | Report::Fail { fence: Some(fence), .. } => Some(fence),
        _ => None,
    }
}

#[test]
fn every_report_has_an_answer() {
    let mut count = 0;
    judged(|standing, report, judgement| {
        count += 1;
        if let Judgement::Refuse(refusal) = judgement {
            assert!(
                !refusal.code().is_empty() && !refusal.to_string().is_empty(),
                "{report:?} of {standing:?}"
            );
        }
    });
    assert_eq!(count, 2_825_280);
}

#[test]
fn what_is_accepted_is_a_legal_transition() {
    judged(|standing, report, judgement| {
        if judgement != Judgement::Accept {
            return;
        }
        let next = after(standing, report);
        let legal = match report {
            Report::Heartbeat { .. } => standing.status == Status::Processing,
            Report::Delete => standing.status.active().is_none(),
            Report::Restore => standing.status == Status::Failed && standing.late,
            Report::Retry { attempt } => standing.status == Status::Failed && standing.attempt == *attempt,
            _ => standing.status.transition(next.status).is_ok(),
        };
        assert!(legal, "{report:?} of {standing:?}");
    });
}

#[test]
fn an_illegal_transition_is_none() {
    judged(|standing, report, judgement| {
        if let Judgement::Refuse(Refusal::Illegal(illegal)) = judgement {
            assert_eq!(illegal.from, standing.status, "{report:?} of {standing:?}");
            let illegal = illegal.from.transition(illegal.to).is_err();
            assert!(illegal || !possible(standing), "{report:?} of {standing:?}");
        }
    });
}

#[test]
fn a_report_with_another_fence_changes_nothing() {
    judged(|standing, report, judgement| {
        if fence(report).is_some() && fence(report) != standing.fence {
            let refused = matches!(judgement, Judgement::Refuse(Refusal::Over | Refusal::WrongFence));
            assert!(refused, "{report:?} of {standing:?}");
        }
    });
}

#[test]
fn a_report_that_took_effect_may_be_repeated() {
    judged(|standing, report, judgement| {
        if possible(standing) && judgement == Judgement::Accept {
            let repeated = report.judge(&after(standing, report));
            let heartbeat = matches!(report, Report::Heartbeat { .. });
            let expected = if heartbeat { Judgement::Accept } else { Judgement::Repeat };
            assert_eq!(repeated, expected, "{report:?} of {standing:?}");
        }
    });
}

#[test]
fn no_more_is_used_than_was_charged() {
    judged(|standing, report, judgement| {
        if judgement == Judgement::Accept {
            let after = after(standing, report);
            assert!(after.used() <= after.tokens, "{report:?} of {standing:?}");
        }
    });
}

#[test]
fn only_one_worker_begins_an_attempt() {
    judged(|standing, report, judgement| {
        let Report::Start { worker } = report else { return };
        for other in WORDS.iter().filter(|other| *other != worker && judgement == Judgement::Accept) {
            let taken = Report::Start { worker: other }.judge(&after(standing, report));
            assert_eq!(taken, Judgement::Refuse(Refusal::Taken), "{report:?} of {standing:?}");
        }
    });
}

#[test]
fn what_is_deleted_stays_so() {
    judged(|standing, report, judgement| {
        let changed = possible(standing) && standing.deleted && judgement == Judgement::Accept;
        assert!(!changed, "{report:?} of {standing:?}");
    });
}
